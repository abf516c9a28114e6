package schema

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// podChecks follow ValidatePodSpec of Kubernetes' pkg/apis/core/validation.
var podChecks = map[string][]check{
	"core.v1.PodTemplateSpec": {(*validator).podTemplate},
	"core.v1.PodSpec": {
		between(1, 1<<31-1, "activeDeadlineSeconds"),
		written(dnsLabel, "hostname", "subdomain"), written(dnsSubdomain, "serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"),
		(*validator).podSpec, (*validator).podNetwork, (*validator).podRestarts,
	},
	"core.v1.PodReadinessGate":         {filled("conditionType"), written(qualifiedName, "conditionType")},
	"core.v1.PodSchedulingGate":        {filled("name"), written(qualifiedName, "name")},
	"core.v1.PodResourceClaim":         {filled("name"), written(dnsLabel, "name"), exactlyOne("resourceClaimName", "resourceClaimTemplateName"), written(dnsSubdomain, "resourceClaimName", "resourceClaimTemplateName")},
	"core.v1.HostAlias":                {written(address, "ip"), eachWritten(dnsSubdomain, "hostnames")},
	"core.v1.PodDNSConfig":             {mostItems(3, "nameservers"), eachWritten(address, "nameservers"), mostItems(32, "searches"), (*validator).searches},
	"core.v1.PodDNSConfigOption":       {needed("name")},
	"core.v1.PodSecurityContext":       {between(0, 1<<31-1, "fsGroup", "runAsUser", "runAsGroup"), eachBetween(0, 1<<31-1, "supplementalGroups")},
	"core.v1.Sysctl":                   {filled("name"), written(sysctlName, "name")},
	"core.v1.SeccompProfile":           {filled("type"), (*validator).profile},
	"core.v1.AppArmorProfile":          {filled("type"), (*validator).profile},
	"core.v1.Toleration":               {written(qualifiedName, "key"), (*validator).toleration},
	"core.v1.TopologySpreadConstraint": {filled("topologyKey", "whenUnsatisfiable"), least(1, "maxSkew", "minDomains"), (*validator).spread},
	"core.v1.NodeSelector":             {filled("nodeSelectorTerms")},
	"core.v1.NodeSelectorTerm":         {(*validator).nodeTerm},
	"core.v1.PreferredSchedulingTerm":  {between(1, 100, "weight")},
	"core.v1.WeightedPodAffinityTerm":  {between(1, 100, "weight")},
	"core.v1.PodAffinityTerm":          {filled("topologyKey"), written(qualifiedName, "topologyKey"), eachWritten(dnsLabel, "namespaces"), (*validator).labelKeys},
	"meta.v1.LabelSelector":            {(*validator).labelSelector},
	"meta.v1.LabelSelectorRequirement": {filled("key", "operator"), written(qualifiedName, "key"), (*validator).requirement},
}

var address = form{"R079", func(_ *memo, text string) bool { _, err := netip.ParseAddr(text); return err == nil }, "address", "Write an IP address."}

var sysctlName = formOf("R079", func(text string) []string {
	if text != strings.Trim(text, "./") || strings.ToLower(text) != text {
		return []string{"no sysctl"}
	}
	return nil
}, "sysctl", "Write it as kernel.shm_rmid_forced.")

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
	volumes := v.volumeNames(spec)
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
				if has(c, name) {
					v.fail("R083", at.field(name), "an init container that does not run beside the others (restartPolicy: Always) cannot have it", "Remove it.")
				}
			}
		}
	})
	v.hostPorts(spec, at)
	v.grace(spec, at)
	if account, other := textOf(spec, "serviceAccount"), textOf(spec, "serviceAccountName"); account != "" && other != "" && account != other {
		v.fail("R078", at.field("serviceAccount"), "serviceAccount is the old name of serviceAccountName, and the two differ", "Remove serviceAccount.")
	}
	if dns, ok := spec["dnsPolicy"].(string); ok && dns == "None" && len(listOf(mapOf(spec, "dnsConfig"), "nameservers")) == 0 {
		v.fail("R072", at.fields("dnsConfig", "nameservers"), "with dnsPolicy None a name server is needed", "Add one to dnsConfig.nameservers.")
	}
	security := mapOf(spec, "securityContext")
	if boolOf(spec, "hostPID") && boolOf(spec, "shareProcessNamespace") {
		v.fail("R078", at.field("shareProcessNamespace"), "hostPID excludes shareProcessNamespace", "Remove one of the two.")
	}
	v.sysctls(security, spec, at.field("securityContext"))
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
	for i, item := range mappings(listOf(security, "sysctls")) {
		name := strings.ReplaceAll(textOf(item, "name"), "/", ".")
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
	if users, ok := spec["hostUsers"].(bool); ok && !users {
		for _, name := range []string{"hostPID", "hostIPC", "hostNetwork"} {
			if boolOf(spec, name) {
				v.fail("R078", at.field(name), "hostUsers: false excludes "+name, "Remove one of the two.")
			}
		}
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
		if has(mapOf(c, "lifecycle"), "stopSignal") && !has(spec, "os") {
			v.fail("R081", at.fields("lifecycle", "stopSignal"), "a stop signal needs spec.os.name of the Pod", "Add os: {name: linux}.")
		}
	})
}

func (v *validator) searches(config map[string]any, at *place) {
	length := -1
	for i, item := range listOf(config, "searches") {
		text, _ := item.(string)
		length += len(text) + 1
		if text != "." {
			v.form(strings.ReplaceAll(strings.TrimSuffix(text, "."), "_", "-"), dnsSubdomain, at.field("searches").item(i))
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
	case local && strings.TrimSpace(file) == "":
		v.fail("R072", at.field("localhostProfile"), "a profile of the type Localhost needs the name of its file", "Add it.")
	case named && !local:
		v.fail("R081", at.field("localhostProfile"), "only a profile of the type Localhost has a file", "Remove it, or write type: Localhost.")
	case named:
		v.form(file, relativePath, at.field("localhostProfile"))
	}
}
