package schema

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// containerChecks follow validateContainerCommon and what it calls in
// Kubernetes' pkg/apis/core/validation.
var containerChecks = map[string][]check{
	"core.v1.Container":                       {worded("restartPolicy", "Always", "Never", "OnFailure"), whole((*validator).container)},
	"core.v1.EphemeralContainer":              {filled("name"), written(dnsLabel, "name"), needed("image")},
	"core.v1.ContainerPort":                   {between(1, 65535, "containerPort"), between(0, 65535, "hostPort"), written(portName, "name")},
	"core.v1.ContainerResizePolicy":           {filled("resourceName", "restartPolicy"), whole((*validator).resizePolicy)},
	"core.v1.ContainerRestartRule":            {worded("action", "Restart", "RestartAllContainers"), needed("exitCodes")},
	"core.v1.ContainerRestartRuleOnExitCodes": {worded("operator", "In", "NotIn"), mostItems(255, "values")},
	"core.v1.EnvVar":                          {filled("name"), written(variableName, "name"), whole((*validator).variable)},
	"core.v1.EnvVarSource":                    {exactlyOne("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"), whole((*validator).variableSource)},
	"core.v1.EnvFromSource":                   {written(variableName, "prefix"), exactlyOne("configMapRef", "secretRef")},
	"core.v1.ConfigMapEnvSource":              {needed("name"), written(dnsSubdomain, "name")},
	"core.v1.SecretEnvSource":                 {needed("name"), written(dnsSubdomain, "name")},
	"core.v1.ConfigMapKeySelector":            {needed("name"), written(dnsSubdomain, "name"), filled("key"), written(dataKey, "key")},
	"core.v1.SecretKeySelector":               {needed("name"), written(dnsSubdomain, "name"), filled("key"), written(dataKey, "key")},
	"core.v1.FileKeySelector":                 {filled("key", "path", "volumeName"), written(variableName, "key"), written(dnsLabel, "volumeName"), written(noBacksteps, "path")},
	"core.v1.ObjectFieldSelector":             {filled("fieldPath")},
	"core.v1.ResourceFieldSelector":           {filled("resource"), whole((*validator).resourceField)},
	"core.v1.ResourceRequirements":            {whole((*validator).resources)},
	"core.v1.Lifecycle":                       {},
	"core.v1.LifecycleHandler":                {exactlyOne("exec", "httpGet", "tcpSocket", "sleep")},
	"core.v1.Probe": {exactlyOne("exec", "httpGet", "tcpSocket", "grpc"), least(0, "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"),
		least(1, "terminationGracePeriodSeconds")},
	"core.v1.ExecAction":                    {needed("command")},
	"core.v1.HTTPGetAction":                 {portOrName("port")},
	"core.v1.HTTPHeader":                    {filled("name"), written(headerName, "name")},
	"core.v1.TCPSocketAction":               {portOrName("port")},
	"core.v1.GRPCAction":                    {between(1, 65535, "port")},
	"core.v1.SecurityContext":               {between(0, 1<<31-1, "runAsUser", "runAsGroup"), worded("procMount", "Default", "Unmasked"), whole((*validator).securityContext)},
	"core.v1.WindowsSecurityContextOptions": {filled("gmsaCredentialSpec", "runAsUserName"), writtenIfSet(dnsSubdomain, "gmsaCredentialSpecName")},
	"core.v1.VolumeMount":                   {filled("name", "mountPath"), worded("mountPropagation", "Bidirectional", "HostToContainer", "None"), worded("recursiveReadOnly", "Disabled", "Enabled", "IfPossible"), written(relativePath, "subPath", "subPathExpr"), whole((*validator).mount)},
	"core.v1.VolumeDevice":                  {filled("name", "devicePath"), written(noBacksteps, "devicePath")},
}

// containerName is unique among all containers of a Pod; names are the ones so
// far.
func (v *validator) containerName(c map[string]any, at *place, names map[string]*place) {
	name := textOf(c, "name")
	switch first, twice := names[name]; {
	case name == "" && (!has(c, "name") || c["name"] == ""):
		v.fail("R071", at.field("name"), "the container has no name", "Add one.")
	case twice && name != "":
		v.fail("R071", at.field("name"), fmt.Sprintf("%s is called %q, too", first, name), "Give each container its own name.")
	case name != "" && !v.memo.label(name):
		v.fail("R060", at.field("name"), fmt.Sprintf("%q is no name of a container", name), "Use at most 63 lower-case letters, digits and -.")
	}
	names[name] = at
}

// container checks one by itself; what it shares with others is the Pod's.
func (v *validator) container(c map[string]any, at *place) {
	switch image, isText := c["image"].(string); {
	case !has(c, "image"), isText && image == "":
		v.fail("R071", at.field("image"), "the container has no image", "Add one.")
	case strings.TrimSpace(image) != image:
		// Refused for a Pod, and accepted in a template that makes none.
		v.say(v.ofPod(SeverityError), "R079", at.field("image"), fmt.Sprintf("the image %q begins or ends with a space", image), "Remove it.")
	}
	if given(c, "restartPolicyRules") && !has(c, "restartPolicy") {
		v.fail("R081", at.field("restartPolicyRules"), "restartPolicyRules needs restartPolicy", "Add it.")
	}
	v.portNames(c, at)
	for _, probe := range []string{"livenessProbe", "startupProbe"} {
		if n, ok := intOf(mapOf(c, probe), "successThreshold"); ok && n > 1 {
			v.fail("R073", at.fields(probe, "successThreshold"), fmt.Sprintf("wants 1, not %d: one success is enough for this probe", n), "Remove it.")
		}
	}
	if has(mapOf(c, "readinessProbe"), "terminationGracePeriodSeconds") {
		v.fail("R083", at.fields("readinessProbe", "terminationGracePeriodSeconds"), "a readiness probe ends no container, so it has no grace period", "Remove it.")
	}
}

func (v *validator) portNames(c map[string]any, at *place) {
	names := map[string]bool{}
	for i, port := range mappings(listOf(c, "ports")) {
		name := textOf(port, "name")
		if name != "" && names[name] {
			v.fail("R077", at.field("ports").item(i).field("name"), fmt.Sprintf("two ports of the container are called %q", name), "Rename one of them.")
		}
		names[name] = true
	}
}

func (v *validator) resizePolicy(p map[string]any, at *place) {
	if name := textOf(p, "resourceName"); name != "" && name != "cpu" && name != "memory" {
		v.word(name, []string{"cpu", "memory"}, at.field("resourceName"))
	}
	if policy := textOf(p, "restartPolicy"); policy != "" {
		v.word(policy, []string{"NotRequired", "RestartContainer"}, at.field("restartPolicy"))
	}
}

func (v *validator) variable(variable map[string]any, at *place) {
	if from, ok := variable["valueFrom"].(map[string]any); ok && textOf(variable, "value") != "" && len(from) > 0 {
		v.fail("R078", at.field("valueFrom"), "value excludes valueFrom", "Remove one of the two.")
	}
}

var (
	environmentFields = []string{"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"}
	volumeFields      = []string{"metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"}
)

func (v *validator) variableSource(source map[string]any, at *place) {
	v.fieldOfPod(mapOf(source, "fieldRef"), environmentFields, at.field("fieldRef"))
}

// fieldOfPod checks a reference to a field of the Pod itself.
func (v *validator) fieldOfPod(ref map[string]any, known []string, at *place) {
	if version, ok := ref["apiVersion"].(string); ok && version != "" && version != "v1" {
		v.fail("R070", at.field("apiVersion"), fmt.Sprintf("%q is no version that Pods have", version), "Remove it.")
	}
	name := textOf(ref, "fieldPath")
	if name == "" || slices.Contains(known, name) {
		return
	}
	for _, group := range []string{"metadata.labels", "metadata.annotations"} {
		if key, ok := strings.CutPrefix(name, group+"['"); ok && strings.HasSuffix(key, "']") {
			v.form(strings.TrimSuffix(key, "']"), qualifiedName, at.field("fieldPath"))
			return
		}
	}
	if name == "spec.host" && slices.Contains(known, "spec.nodeName") {
		return // the old name of spec.nodeName
	}
	v.word(name, known, at.field("fieldPath"))
}

var resourceFields = []string{"limits.cpu", "limits.memory", "limits.ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage"}

func (v *validator) resourceField(ref map[string]any, at *place) {
	name := textOf(ref, "resource")
	huge := strings.HasPrefix(name, "limits.hugepages-") || strings.HasPrefix(name, "requests.hugepages-")
	if name != "" && !huge {
		v.word(name, resourceFields, at.field("resource"))
	}
	divisor := v.amount(ref["divisor"])
	if divisor == nil || divisor.IsZero() {
		return
	}
	good := []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}
	if strings.HasSuffix(name, ".cpu") {
		good = []string{"1m", "1"}
	}
	if !slices.Contains(good, divisor.String()) {
		v.fail("R073", at.field("divisor"), fmt.Sprintf("%s cannot be divided by %s", name, divisor.String()), "Use one of "+strings.Join(good, ", ")+".")
	}
}

// amount returns the quantity that a value stands for, nil if it is none.
func (v *validator) amount(value any) *resource.Quantity {
	switch value := value.(type) {
	case string:
		return v.memo.quantity(value)
	case int64, float64:
		return v.memo.quantity(fmt.Sprint(value))
	}
	return nil
}

var standardResources = []string{"cpu", "memory", "ephemeral-storage"}

// resources checks what a container asks for and may use.
func (v *validator) resources(m map[string]any, at *place) {
	limits, requests := mapOf(m, "limits"), mapOf(m, "requests")
	huge, ordinary := false, false
	for group, amounts := range map[string]map[string]any{"limits": limits, "requests": requests} {
		for name, value := range amounts {
			v.resource(name, value, at.field(group).key(name))
			huge = huge || strings.HasPrefix(name, "hugepages-")
			ordinary = ordinary || name == "cpu" || name == "memory"
		}
	}
	for name, value := range requests {
		v.withinLimit(name, v.amount(value), limits, at)
	}
	if huge && !ordinary {
		v.fail("R081", at, "huge pages need cpu or memory beside them", "Add memory.")
	}
}

// resource checks one amount.
func (v *validator) resource(name string, value any, at *place) {
	v.resourceName(name, at)
	switch amount := v.amount(value); {
	case amount == nil:
	case amount.Sign() < 0:
		v.fail("R073", at, fmt.Sprintf("wants at least 0, not %v", value), "")
	case strings.Contains(name, "/") && amount.MilliValue()%1000 != 0:
		v.fail("R073", at, fmt.Sprintf("wants a whole number, not %v", value), "")
	}
}

// withinLimit compares a request with its limit; what cannot be overcommitted
// must equal it.
func (v *validator) withinLimit(name string, amount *resource.Quantity, limits map[string]any, at *place) {
	limit := v.amount(limits[name])
	fixed := strings.HasPrefix(name, "hugepages-") || strings.Contains(name, "/") && !strings.Contains(name, "kubernetes.io/")
	switch {
	case amount == nil || limit == nil && !fixed:
	case limit == nil:
		if !has(limits, name) {
			v.fail("R085", at.field("requests").key(name), fmt.Sprintf("%s cannot be overcommitted, so the request needs a limit of the same amount", name), "Add the limit.")
		}
	case amount.Cmp(*limit) > 0:
		v.fail("R085", at.field("requests").key(name), fmt.Sprintf("the request %s is more than the limit %s", amount, limit), "Lower the request, or raise the limit.")
	case fixed && amount.Cmp(*limit) < 0:
		v.fail("R085", at.field("requests").key(name), fmt.Sprintf("%s cannot be overcommitted, so the request %s must equal the limit %s", name, amount, limit), "Write the same amount twice.")
	}
}

func (v *validator) resourceName(name string, at *place) {
	switch {
	case !v.memo.qualifiedName(name):
		v.fail("R063", at, fmt.Sprintf("%q is no name of a resource", name), "Correct it.")
	case strings.Contains(name, "/"):
		if strings.HasPrefix(name, "requests.") {
			v.fail("R063", at, fmt.Sprintf("%q is no name of a resource", name), "Remove requests. .")
		}
	case !slices.Contains(standardResources, name) && !strings.HasPrefix(name, "hugepages-"):
		message := fmt.Sprintf("%q is no resource of a container", name)
		if near := Nearest(name, standardResources); near != "" {
			message += fmt.Sprintf(" (did you mean %q?)", near)
		}
		v.fail("R070", at, message, "Write cpu, memory, ephemeral-storage, hugepages-<size> or example.com/name.")
	}
}

func (v *validator) securityContext(m map[string]any, at *place) {
	if escalate, ok := m["allowPrivilegeEscalation"].(bool); ok && !escalate {
		if boolOf(m, "privileged") {
			v.fail("R078", at.field("allowPrivilegeEscalation"), "a privileged container can always gain privileges", "Remove one of the two.")
		}
		if slices.Contains(texts(mapOf(m, "capabilities")["add"]), "CAP_SYS_ADMIN") {
			v.fail("R078", at.field("allowPrivilegeEscalation"), "the capability CAP_SYS_ADMIN excludes allowPrivilegeEscalation: false", "Remove one of the two.")
		}
	}
}

// mount checks one by itself.
func (v *validator) mount(m map[string]any, at *place) {
	if textOf(m, "subPath") != "" && textOf(m, "subPathExpr") != "" {
		v.fail("R078", at.field("subPathExpr"), "subPath excludes subPathExpr", "Remove one of the two.")
	}
	recursive := textOf(m, "recursiveReadOnly")
	if recursive != "IfPossible" && recursive != "Enabled" {
		return
	}
	if !boolOf(m, "readOnly") {
		v.fail("R081", at.field("recursiveReadOnly"), "recursiveReadOnly needs readOnly: true", "Add it.")
	}
	if propagation := textOf(m, "mountPropagation"); propagation != "" && propagation != "None" {
		v.fail("R078", at.field("recursiveReadOnly"), "mountPropagation excludes recursiveReadOnly", "Remove one of the two.")
	}
}

// volume is what a container may know of one.
type volume struct {
	name string
	// claim is set for volumes that a block device can come from.
	claim bool
}

func (v *validator) volumeNames(spec map[string]any) []volume {
	var all []volume
	for _, item := range mappings(listOf(spec, "volumes")) {
		if name := textOf(item, "name"); name != "" {
			all = append(all, volume{name, has(item, "persistentVolumeClaim") || has(item, "ephemeral")})
		}
	}
	return all
}

// mounts checks that a container's mounts and devices are of volumes of its
// Pod, and do not hide each other.
func (v *validator) mounts(c map[string]any, at *place, volumes []volume) {
	known := make([]string, len(volumes))
	for i, vol := range volumes {
		known[i] = vol.name
	}
	used, mounted := map[string]*place{}, map[string]bool{}
	for i, m := range mappings(listOf(c, "volumeMounts")) {
		at := at.field("volumeMounts").item(i)
		name, where := textOf(m, "name"), textOf(m, "mountPath")
		if name != "" && !slices.Contains(known, name) {
			v.missing("volume", name, known, at.field("name"))
		}
		if other, twice := used[where]; twice && where != "" {
			v.fail("R077", at.field("mountPath"), fmt.Sprintf("%s is mounted there already by %s", where, other), "Use another path.")
		}
		used[where], mounted[name] = at, true
		if textOf(m, "mountPropagation") == "Bidirectional" && !boolOf(mapOf(c, "securityContext"), "privileged") {
			v.fail("R081", at.field("mountPropagation"), "Bidirectional needs a privileged container", "Use HostToContainer, or make the container privileged.")
		}
	}
	for i, d := range mappings(listOf(c, "volumeDevices")) {
		at := at.field("volumeDevices").item(i)
		name, where := textOf(d, "name"), textOf(d, "devicePath")
		switch n := slices.Index(known, name); {
		case name == "":
		case n < 0:
			v.missing("volume", name, known, at.field("name"))
		case !volumes[n].claim:
			v.fail("R081", at.field("name"), fmt.Sprintf("the volume %q is no block device: only claims are", name), "Mount it with volumeMounts.")
		case mounted[name]:
			v.fail("R078", at.field("name"), fmt.Sprintf("the volume %q is mounted, too", name), "Remove one of the two.")
		}
		if _, twice := used[where]; twice && where != "" {
			v.fail("R077", at.field("devicePath"), fmt.Sprintf("%s is used already", where), "Use another path.")
		}
		used[where] = at
	}
}
