package schema

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// podChecks follow ValidatePodSpec of Kubernetes' pkg/apis/core/validation.
var podChecks = map[string][]check{
	"core.v1.PodTemplateSpec": {needed("spec"), whole((*validator).podTemplate)},
	"core.v1.PodSpec": {
		between(1, 1<<31-1, "activeDeadlineSeconds"),
		written(dnsSubdomain, "serviceAccountName", "nodeName", "priorityClassName"), writtenIfSet(dnsSubdomain, "runtimeClassName"),
		worded("preemptionPolicy", "PreemptLowerPriority", "Never"),
		whole((*validator).podSpec), whole((*validator).podNetwork), whole((*validator).podRestarts),
	},
	"core.v1.PodReadinessGate":   {filled("conditionType"), written(qualifiedName, "conditionType")},
	"core.v1.PodSchedulingGate":  {filled("name"), written(qualifiedName, "name")},
	"core.v1.PodResourceClaim":   {filled("name"), written(dnsLabel, "name"), exactlyOne("resourceClaimName", "resourceClaimTemplateName"), writtenIfSet(dnsSubdomain, "resourceClaimName", "resourceClaimTemplateName")},
	"core.v1.HostAlias":          {filled("ip"), written(address, "ip"), eachWritten(dnsSubdomain, "hostnames")},
	"core.v1.PodDNSConfig":       {mostItems(3, "nameservers"), eachWritten(address, "nameservers"), mostItems(32, "searches"), whole((*validator).searches)},
	"core.v1.PodDNSConfigOption": {needed("name")},
	"core.v1.PodSecurityContext": {between(0, 1<<31-1, "fsGroup", "runAsUser", "runAsGroup"), eachBetween(0, 1<<31-1, "supplementalGroups"), worded("seLinuxChangePolicy", "MountOption", "Recursive"), worded("fsGroupChangePolicy", "Always", "OnRootMismatch"),
		worded("supplementalGroupsPolicy", "Merge", "Strict")},
	"core.v1.Sysctl":                   {filled("name"), written(sysctlName, "name")},
	"core.v1.PodOS":                    {filled("name"), worded("name", "linux", "windows")},
	"core.v1.SeccompProfile":           {filled("type"), whole((*validator).profile)},
	"core.v1.AppArmorProfile":          {filled("type"), whole((*validator).profile), whole((*validator).appArmor)},
	"core.v1.Toleration":               {written(qualifiedName, "key"), whole((*validator).toleration)},
	"core.v1.TopologySpreadConstraint": {filled("topologyKey", "whenUnsatisfiable"), least(1, "maxSkew", "minDomains"), worded("nodeAffinityPolicy", "Honor", "Ignore"), worded("nodeTaintsPolicy", "Honor", "Ignore"), whole((*validator).spread)},
	"core.v1.NodeSelector":             {filled("nodeSelectorTerms"), whole((*validator).nodeSelector)},
	"core.v1.NodeSelectorRequirement":  {filled("key", "operator")},
	"core.v1.NodeSelectorTerm":         {whole((*validator).nodeTerm)},
	"core.v1.PreferredSchedulingTerm":  {between(1, 100, "weight")},
	"core.v1.WeightedPodAffinityTerm":  {between(1, 100, "weight")},
	"core.v1.PodAffinityTerm":          {filled("topologyKey"), written(qualifiedName, "topologyKey"), eachWritten(dnsLabel, "namespaces"), whole((*validator).labelKeys)},
	"meta.v1.LabelSelector":            {whole((*validator).labelSelector)},
	"meta.v1.LabelSelectorRequirement": {filled("key", "operator"), written(qualifiedName, "key"), whole((*validator).requirement)},
}

func (v *validator) podTemplate(template map[string]any, at *place) {
	v.metadata(template, at)
	if given(mapOf(template, "spec"), "ephemeralContainers") {
		v.fail("R083", at.fields("spec", "ephemeralContainers"), "ephemeral containers are added to a running Pod, never to a template", "Remove them.")
	}
}

// podRestarts checks what depends on the Pod's restart policy.
func (v *validator) podRestarts(spec map[string]any, at *place) {
	if textOf(spec, "restartPolicy") != "Never" {
		return
	}
	v.eachContainer(spec, at, func(c map[string]any, at *place, _ bool) {
		for i, policy := range mappings(listOf(c, "resizePolicy")) {
			if textOf(policy, "restartPolicy") == "RestartContainer" {
				v.fail("R081", at.field("resizePolicy").item(i).field("restartPolicy"), "the Pod is never restarted, so that a container cannot be either", "Write NotRequired.")
			}
		}
	})
}

func (v *validator) eachContainer(spec map[string]any, at *place, do func(c map[string]any, at *place, initial bool)) {
	for _, list := range []string{"initContainers", "containers"} {
		for i, c := range mappings(listOf(spec, list)) {
			if c != nil {
				do(c, at.field(list).item(i), list == "initContainers")
			}
		}
	}
}

func (v *validator) podSpec(spec map[string]any, at *place) {
	if len(listOf(spec, "containers")) == 0 && (!has(spec, "containers") || spec["containers"] != nil && typeOf(spec["containers"]) == typeArray) {
		v.fail("R071", at.field("containers"), "the Pod has no container", "Add one with a name and an image.")
	}
	v.labels(mapOf(spec, "nodeSelector"), at.field("nodeSelector"))
	volumes := append(v.volumeNames(spec), v.claimed...)
	claims := namesOf(listOf(spec, "resourceClaims"))
	names := map[string]*place{}
	v.eachContainer(spec, at, func(c map[string]any, at *place, initial bool) {
		v.containerName(c, at, names)
		v.mounts(c, at, volumes)
		for i, claim := range mappings(listOf(mapOf(c, "resources"), "claims")) {
			if name := textOf(claim, "name"); name != "" && !slices.Contains(claims, name) {
				v.missing("resource claim", name, claims, at.fields("resources", "claims").item(i).field("name"))
			}
		}
		if initial && textOf(c, "restartPolicy") != "Always" {
			for _, name := range []string{"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"} {
				gated := name == "lifecycle" && len(mapOf(c, name)) == 1 && has(mapOf(c, name), "stopSignal")
				if has(c, name) && !gated {
					v.fail("R083", at.field(name), "an init container that does not run beside the others (restartPolicy: Always) cannot have it", "Remove it.")
				}
			}
		}
	})
	v.hostPorts(spec, at)
	v.grace(spec, at)
	if dns, ok := spec["dnsPolicy"].(string); ok && dns == "None" && len(listOf(mapOf(spec, "dnsConfig"), "nameservers")) == 0 {
		v.fail("R072", at.fields("dnsConfig", "nameservers"), "with dnsPolicy None a name server is needed", "Add one to dnsConfig.nameservers.")
	}
	security := mapOf(spec, "securityContext")
	if boolOf(spec, "hostPID") && boolOf(spec, "shareProcessNamespace") {
		v.fail("R078", at.field("shareProcessNamespace"), "hostPID excludes shareProcessNamespace", "Remove one of the two.")
	}
	v.sysctls(security, spec, at.field("securityContext"))
	v.podResources(spec, at)
}

func namesOf(list []any) []string {
	var names []string
	for _, item := range mappings(list) {
		if name := textOf(item, "name"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func (v *validator) sysctls(security, spec map[string]any, at *place) {
	var names []string
	for i, item := range mappings(listOf(security, "sysctls")) {
		name := strings.ReplaceAll(textOf(item, "name"), "/", ".")
		if name != "" && slices.Contains(names, name) {
			v.fail("R077", at.field("sysctls").item(i).field("name"), fmt.Sprintf("the sysctl %s is set twice", name), "Remove one of the two.")
		}
		names = append(names, name)
		at := at.field("sysctls").item(i).field("name")
		switch {
		case strings.HasPrefix(name, "net.") && boolOf(spec, "hostNetwork"):
			v.fail("R081", at, "a sysctl of the network is the node's when hostNetwork is true", "Remove it.")
		case (strings.HasPrefix(name, "kernel.shm") || strings.HasPrefix(name, "kernel.msg") || name == "kernel.sem" || strings.HasPrefix(name, "fs.mqueue.")) && boolOf(spec, "hostIPC"):
			v.fail("R081", at, "a sysctl of the IPC namespace is the node's when hostIPC is true", "Remove it.")
		}
	}
}

// podNetwork checks what excludes each other in a Pod's namespaces.
func (v *validator) podNetwork(spec map[string]any, at *place) {
	if v.key.Kind != "StatefulSet" { // it gives its Pods names of its own
		written(dnsLabel, "hostname", "subdomain").on(v, spec, at)
	}
	if users, ok := spec["hostUsers"].(bool); ok && !users {
		for _, name := range []string{"hostPID", "hostIPC", "hostNetwork"} {
			if boolOf(spec, name) {
				v.fail("R078", at.field(name), "hostUsers: false excludes "+name, "Remove one of the two.")
			}
		}
	}
	v.eachContainer(spec, at, func(c map[string]any, at *place, _ bool) {
		users, given := spec["hostUsers"].(bool)
		separate := given && !users
		if separate && len(listOf(c, "volumeDevices")) > 0 {
			v.fail("R078", at.field("volumeDevices"), "hostUsers: false excludes block devices", "Remove one of the two.")
		}
		if !separate && textOf(mapOf(c, "securityContext"), "procMount") == "Unmasked" {
			v.fail("R081", at.fields("securityContext", "procMount"), "Unmasked needs hostUsers: false", "Add it to the Pod, or remove procMount.")
		}
	})
	v.hostProcess(spec, at)
	if textOf(spec, "serviceAccountName") == "" {
		v.form(textOf(spec, "serviceAccount"), dnsSubdomain, at.field("serviceAccount"))
	}
	if override, ok := spec["hostnameOverride"].(string); ok {
		at := at.field("hostnameOverride")
		for _, name := range []string{"setHostnameAsFQDN", "hostNetwork"} {
			if boolOf(spec, name) {
				v.fail("R078", at, name+" excludes hostnameOverride", "Remove one of the two.")
			}
		}
		if len(override) > 64 || override == "" {
			v.fail("R060", at, fmt.Sprintf("%q is no host name: it has 1 to 64 letters", override), "Correct it.")
		} else {
			v.form(override, dnsSubdomain, at)
		}
	}
}

// hostProcess checks the containers that are processes of a Windows node: all of
// a Pod are, or none.
func (v *validator) hostProcess(spec map[string]any, at *place) {
	all, some := true, (*place)(nil)
	whole := boolOf(mapOf(mapOf(spec, "securityContext"), "windowsOptions"), "hostProcess")
	v.eachContainer(spec, at, func(c map[string]any, at *place, _ bool) {
		own, given := mapOf(mapOf(c, "securityContext"), "windowsOptions")["hostProcess"].(bool)
		if own || whole && !given {
			some = at.fields("securityContext", "windowsOptions", "hostProcess")
		} else {
			all = false
		}
	})
	switch {
	case some == nil:
	case !all:
		v.fail("R081", some, "either all containers of a Pod are processes of the node or none is", "Set hostProcess for the Pod.")
	case !boolOf(spec, "hostNetwork"):
		v.fail("R081", some, "hostProcess needs hostNetwork: true", "Add it to the Pod.")
	}
}

// hostPorts checks the ports that containers take of their node.
func (v *validator) hostPorts(spec map[string]any, at *place) {
	taken := map[string]*place{}
	v.eachContainer(spec, at, func(c map[string]any, at *place, initial bool) {
		if initial {
			taken = map[string]*place{} // they run one by one
		}
		for i, port := range mappings(listOf(c, "ports")) {
			host, _ := intOf(port, "hostPort")
			number, _ := intOf(port, "containerPort")
			at := at.field("ports").item(i).field("hostPort")
			if host == 0 {
				continue
			}
			if boolOf(spec, "hostNetwork") && host != number {
				v.fail("R081", at, fmt.Sprintf("with hostNetwork the port of the node is that of the container, %d", number), "Remove hostPort.")
			}
			protocol := textOf(port, "protocol")
			if protocol == "" {
				protocol = "TCP"
			}
			id := fmt.Sprintf("%d/%s/%s", host, protocol, textOf(port, "hostIP"))
			if other, twice := taken[id]; twice {
				v.fail("R077", at, fmt.Sprintf("port %d of the node is taken by %s", host, other), "Use another port.")
				continue
			}
			taken[id] = at
		}
		if initial {
			taken = map[string]*place{}
		}
	})
}

// grace checks times against the Pod's grace period.
func (v *validator) grace(spec map[string]any, at *place) {
	period, ok := intOf(spec, "terminationGracePeriodSeconds")
	if !ok {
		period = 30
	}
	v.eachContainer(spec, at, func(c map[string]any, at *place, _ bool) {
		for _, hook := range []string{"preStop", "postStart"} {
			if seconds, ok := intOf(mapOf(mapOf(mapOf(c, "lifecycle"), hook), "sleep"), "seconds"); ok && (seconds < 0 || seconds > period) {
				v.fail("R073", at.fields("lifecycle", hook, "sleep", "seconds"), fmt.Sprintf("wants 0 to %d, the Pod's grace period, not %d", period, seconds), "Shorten the sleep, or raise terminationGracePeriodSeconds.")
			}
		}
	})
}

func (v *validator) searches(config map[string]any, at *place) {
	length := -1
	for i, item := range listOf(config, "searches") {
		text, _ := item.(string)
		length += len(text) + 1
		if bare := strings.ReplaceAll(strings.TrimSuffix(text, "."), "_", "-"); text != "." && len(validation.IsDNS1123Subdomain(bare)) > 0 {
			v.fail("R060", at.field("searches").item(i), fmt.Sprintf("%q is no name of a domain", text), "Correct it.")
		}
	}
	if length > 2048 {
		v.fail("R073", at.field("searches"), fmt.Sprintf("the search paths have %d letters together; at most 2048 are allowed", length), "Shorten them.")
	}
}

// profile checks a seccomp or AppArmor profile.
func (v *validator) profile(m map[string]any, at *place) {
	file, named := m["localhostProfile"].(string)
	switch local := textOf(m, "type") == "Localhost"; {
	case local && !has(m, "localhostProfile"):
		v.fail("R072", at.field("localhostProfile"), "a profile of the type Localhost needs the name of its file", "Add it.")
	case named && !local:
		v.fail("R081", at.field("localhostProfile"), "only a profile of the type Localhost has a file", "Remove it, or write type: Localhost.")
	case named:
		v.form(file, relativePath, at.field("localhostProfile"))
	}
}

func (v *validator) appArmor(m map[string]any, at *place) {
	file, named := m["localhostProfile"].(string)
	switch {
	case !named || textOf(m, "type") != "Localhost":
	case strings.TrimSpace(file) != file || file == "":
		v.fail("R079", at.field("localhostProfile"), fmt.Sprintf("%q is no name of a profile", file), "Write it without spaces around it.")
	case len(file) > 4095:
		v.fail("R073", at.field("localhostProfile"), "the name has more than 4095 letters", "Shorten it.")
	}
}

// podResources checks what the Pod as a whole may use against its containers.
func (v *validator) podResources(spec map[string]any, at *place) {
	overhead := mapOf(spec, "overhead")
	for _, name := range sortedNames(overhead) {
		v.resource(name, overhead[name], at.field("overhead").key(name))
	}
	whole, ok := spec["resources"].(map[string]any)
	if !ok {
		return
	}
	at = at.field("resources")
	if has(whole, "claims") {
		v.fail("R083", at.field("claims"), "a Pod as a whole has no claims of resources; its containers do", "Move them to the containers.")
	}
	for name, value := range mapOf(whole, "limits") {
		limit := v.amount(value)
		for i, c := range mappings(listOf(spec, "containers")) {
			got := v.amount(mapOf(mapOf(c, "resources"), "limits")[name])
			if limit != nil && got != nil && got.Cmp(*limit) > 0 {
				v.fail("R085", at.field("limits").key(name), fmt.Sprintf("the limit %s of the Pod is less than %s of container %d", limit, got, i+1), "Raise it.")
			}
		}
	}
	for name, value := range mapOf(whole, "requests") {
		request, sum := v.amount(value), resource.Quantity{}
		for _, c := range mappings(listOf(spec, "containers")) {
			if got := v.amount(mapOf(mapOf(c, "resources"), "requests")[name]); got != nil {
				sum.Add(*got)
			}
		}
		if request != nil && sum.Cmp(*request) > 0 {
			v.fail("R085", at.field("requests").key(name), fmt.Sprintf("the Pod requests %s, and its containers %s together", request, &sum), "Raise it.")
		}
	}
}
