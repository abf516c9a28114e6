package schema

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// networkChecks follow Kubernetes' validation of Services and of
// networking.k8s.io.
var networkChecks = map[string][]check{
	"core.v1.Service": {needed("spec")},
	"core.v1.ServiceSpec": {wordedIfAny("sessionAffinity", "ClientIP", "None"), worded("internalTrafficPolicy", "Cluster", "Local"),
		worded("trafficDistribution", "PreferClose", "PreferSameZone", "PreferSameNode"), eachWritten(outsideAddress, "externalIPs"), eachWritten(network, "loadBalancerSourceRanges"),
		whole((*validator).service), whole((*validator).servicePorts), whole((*validator).clusterAddresses)},
	"core.v1.ServicePort":    {between(1, 65535, "port"), most(65535, "nodePort"), written(dnsLabel, "name"), whole((*validator).targetPort), writtenIfSet(qualifiedName, "appProtocol")},
	"core.v1.ClientIPConfig": {between(1, 86400, "timeoutSeconds")},

	"networking.v1.Ingress":               {whole((*validator).ingress)},
	"networking.v1.IngressSpec":           {writtenIfSet(dnsSubdomain, "ingressClassName")},
	"networking.v1.IngressBackend":        {exactlyOne("service", "resource")},
	"networking.v1.IngressServiceBackend": {filled("name"), written(dnsLabel, "name"), needed("port")},
	"networking.v1.ServiceBackendPort":    {whole((*validator).backendPort)},
	"networking.v1.IngressRule":           {written(ingressHost, "host")},
	"networking.v1.IngressTLS":            {eachWritten(ingressHost, "hosts"), written(dnsSubdomain, "secretName")},
	"networking.v1.HTTPIngressRuleValue":  {filled("paths")},
	"networking.v1.HTTPIngressPath":       {worded("pathType", "Exact", "Prefix", "ImplementationSpecific"), whole((*validator).ingressPath)},
	"networking.v1.IngressClass":          {needed("spec")},
	"networking.v1.IngressClassSpec":      {needed("controller"), whole((*validator).ingressController)},
	"networking.v1.NetworkPolicySpec":     {mostItems(2, "policyTypes"), whole((*validator).policyTypes)},
	"networking.v1.NetworkPolicyPeer":     {whole((*validator).peer)},
	"networking.v1.NetworkPolicyPort":     {portOrName("port"), worded("protocol", "TCP", "UDP", "SCTP"), between(1, 65535, "endPort"), whole((*validator).portRange)},
	"networking.v1.IPBlock":               {filled("cidr"), written(network, "cidr"), eachWritten(network, "except"), whole((*validator).ipBlock)},
}

// portOrName checks a port by number or by name.
func portOrName(name string) check {
	return check{fields: []string{name}, value: func(v *validator, value any, at *place) {
		switch port := value.(type) {
		case int64:
			v.between(port, 1, 65535, at)
		case string:
			if port == "" {
				v.fail("R072", at, "the field is empty", "Write the number or the name of a port.")
			}
			v.form(port, portName, at)
		}
	}}
}

// targetPort is that of the Service itself unless it is set.
func (v *validator) targetPort(m map[string]any, at *place) {
	if port := m["targetPort"]; port != "" && port != int64(0) {
		portOrName("targetPort").on(v, m, at)
	}
}

// serviceType returns the type of a Service, which is ClusterIP if it is not
// set.
func serviceType(spec map[string]any) string {
	if kind := textOf(spec, "type"); kind != "" {
		return kind
	}
	return "ClusterIP"
}

func (v *validator) service(spec map[string]any, at *place) {
	kind := serviceType(spec)
	v.labels(mapOf(spec, "selector"), at.field("selector"))
	only := func(needs string, names ...string) {
		for _, name := range names {
			value, pointer := spec[name], name == "loadBalancerClass" || name == "ipFamilyPolicy"
			if given(spec, name) && (pointer || value != "" && value != int64(0)) {
				v.fail("R081", at.field(name), fmt.Sprintf("a Service of the type %s cannot have it: it needs %s", kind, needs), "Remove it.")
			}
		}
	}
	if kind != "LoadBalancer" {
		only("type LoadBalancer", "allocateLoadBalancerNodePorts", "loadBalancerClass", "loadBalancerSourceRanges")
	} else {
		writtenIfSet(qualifiedName, "loadBalancerClass").on(v, spec, at)
	}
	if kind == "ExternalName" {
		only("another type", "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
		name := strings.TrimSuffix(textOf(spec, "externalName"), ".")
		if name == "" {
			v.fail("R072", at.field("externalName"), "a Service of the type ExternalName needs the name", "Add it.")
		}
		v.form(name, dnsSubdomain, at.field("externalName"))
	}
	outside := kind == "LoadBalancer" || kind == "NodePort" || kind == "ClusterIP" && given(spec, "externalIPs")
	if !outside {
		only("type NodePort or LoadBalancer, or externalIPs", "externalTrafficPolicy")
	}
	if kind != "LoadBalancer" || textOf(spec, "externalTrafficPolicy") != "Local" {
		only("type LoadBalancer and externalTrafficPolicy Local", "healthCheckNodePort")
	} else if n, ok := intOf(spec, "healthCheckNodePort"); ok && (n < 0 || n > 65535) {
		v.fail("R073", at.field("healthCheckNodePort"), fmt.Sprintf("wants 1 to 65535, not %d", n), "")
	}
	if affinity := textOf(spec, "sessionAffinity"); has(spec, "sessionAffinityConfig") && (affinity == "" || affinity == "None") {
		v.warn("R081", at.field("sessionAffinityConfig"), "it needs sessionAffinity: ClientIP, and is dropped", "Remove it.")
	}
}

func (v *validator) servicePorts(spec map[string]any, at *place) {
	kind := serviceType(spec)
	ports := mappings(listOf(spec, "ports"))
	if len(ports) == 0 && kind != "ExternalName" && textOf(spec, "clusterIP") != "None" && (!has(spec, "ports") || typeOf(spec["ports"]) == typeArray) {
		v.fail("R072", at.field("ports"), "the Service has no port", "Add one.")
	}
	names, nodePorts := map[string]bool{}, map[string]bool{}
	for i, port := range ports {
		if port == nil {
			continue
		}
		at := at.field("ports").item(i)
		name := textOf(port, "name")
		switch {
		case name == "" && len(ports) > 1 && (!has(port, "name") || port["name"] == ""):
			v.fail("R072", at.field("name"), "the port has no name, and the Service has several", "Add one.")
		case name != "" && names[name]:
			v.fail("R077", at.field("name"), fmt.Sprintf("two ports of the Service are called %q", name), "Rename one of them.")
		}
		names[name] = true
		n, _ := intOf(port, "nodePort")
		id := fmt.Sprintf("%s %d", textOf(port, "protocol"), n)
		switch {
		case n == 0:
		case kind == "ClusterIP":
			v.fail("R081", at.field("nodePort"), "a Service of the type ClusterIP takes no port of the nodes", "Remove it, or use the type NodePort.")
		case nodePorts[id]:
			v.fail("R077", at.field("nodePort"), fmt.Sprintf("two ports of the Service take port %d of the nodes", n), "Use another one.")
		}
		nodePorts[id] = true
	}
}

func (v *validator) clusterAddresses(spec map[string]any, at *place) {
	kind := serviceType(spec)
	if kind == "ExternalName" {
		return
	}
	first := textOf(spec, "clusterIP")
	if first == "None" && (kind == "NodePort" || kind == "LoadBalancer") {
		v.fail("R078", at.field("clusterIP"), "a Service of the type "+kind+" needs an address in the cluster", "Remove clusterIP.")
	}
	if first != "None" {
		v.form(first, address, at.field("clusterIP"))
	}
	all := texts(spec["clusterIPs"])
	for i, text := range all {
		if text != "None" || i > 0 || len(all) > 1 {
			v.formed(text, address, at.field("clusterIPs").item(i))
		}
	}
	if len(all) > 0 && all[0] != first {
		v.fail("R081", at.field("clusterIPs"), "the first address must be that of clusterIP", "Set clusterIP alone.")
	}
	for i, family := range texts(spec["ipFamilies"]) {
		v.word(family, []string{"IPv4", "IPv6"}, at.field("ipFamilies").item(i))
	}
	worded("ipFamilyPolicy", "SingleStack", "PreferDualStack", "RequireDualStack").on(v, spec, at)
}

func (v *validator) ingress(m map[string]any, at *place) {
	spec := mapOf(m, "spec")
	if !given(spec, "rules") && !has(spec, "defaultBackend") {
		v.fail("R078", at.field("spec"), "there is neither a rule nor a defaultBackend", "Add one.")
	}
}

func (v *validator) backendPort(m map[string]any, at *place) {
	name := textOf(m, "name")
	number, _ := intOf(m, "number")
	switch {
	case name == "" && number == 0 && (!has(m, "name") || m["name"] == ""):
		v.fail("R078", at, "neither the number nor the name of the port is set", "Set one of them.")
	case name != "" && has(m, "number") && number != 0:
		v.fail("R078", at.field("number"), "name excludes number", "Remove one of the two.")
	}
	v.form(name, portName, at.field("name"))
	if number < 0 || number > 65535 {
		v.fail("R073", at.field("number"), fmt.Sprintf("wants 1 to 65535, not %d", number), "")
	}
}

func (v *validator) ingressPath(m map[string]any, at *place) {
	kind, text := textOf(m, "pathType"), textOf(m, "path")
	at = at.field("path")
	switch {
	case kind == "Exact" || kind == "Prefix":
		bad := func(part string) bool { return strings.Contains(text, part) }
		if !strings.HasPrefix(text, "/") || slices.ContainsFunc([]string{"//", "/./", "/../", "%2f", "%2F"}, bad) || strings.HasSuffix(text, "/..") || strings.HasSuffix(text, "/.") {
			v.fail("R079", at, fmt.Sprintf("%q is no absolute path", text), "Begin it with /, and write it without //, . and .. .")
		}
	case text != "" && !strings.HasPrefix(text, "/"):
		v.fail("R079", at, fmt.Sprintf("%q is no absolute path", text), "Begin it with / .")
	}
}

func (v *validator) ingressController(m map[string]any, at *place) {
	if name := textOf(m, "controller"); name != "" && (len(name) > 250 || len(validation.IsDomainPrefixedPath(nil, name)) > 0) {
		v.fail("R079", at.field("controller"), fmt.Sprintf("%q is no name of a controller", name), "Write example.com/name.")
	}
	parameters, ok := m["parameters"].(map[string]any)
	if !ok {
		return
	}
	at = at.field("parameters")
	filled("kind", "name").on(v, parameters, at)
	writtenIfSet(dnsSubdomain, "apiGroup").on(v, parameters, at)
	for _, name := range []string{"kind", "name"} {
		if strings.ContainsAny(textOf(parameters, name), "/%") {
			v.fail("R060", at.field(name), fmt.Sprintf("%q has a / or %%", textOf(parameters, name)), "Correct it.")
		}
	}
	scope, namespace := textOf(parameters, "scope"), textOf(parameters, "namespace")
	if has(parameters, "scope") {
		v.word(scope, []string{"Cluster", "Namespace"}, at.field("scope"))
	}
	switch {
	case scope == "Namespace" && namespace == "":
		v.fail("R072", at.field("namespace"), "the scope Namespace needs a namespace", "Add it.")
	case scope != "Namespace" && has(parameters, "namespace"):
		v.fail("R081", at.field("namespace"), "a namespace needs scope: Namespace", "Remove it.")
	default:
		v.form(namespace, dnsLabel, at.field("namespace"))
	}
}

func (v *validator) policyTypes(m map[string]any, at *place) {
	for i, kind := range texts(m["policyTypes"]) {
		v.word(kind, []string{"Ingress", "Egress"}, at.field("policyTypes").item(i))
	}
}

func (v *validator) peer(m map[string]any, at *place) {
	pods := has(m, "podSelector") || has(m, "namespaceSelector")
	switch {
	case has(m, "ipBlock") && pods:
		v.fail("R078", at.field("ipBlock"), "selectors exclude ipBlock", "Make two peers of them.")
	case !has(m, "ipBlock") && !pods:
		v.fail("R078", at, "none of the fields is set of which one is needed: podSelector, namespaceSelector, ipBlock", "Set one of them.")
	}
}

func (v *validator) portRange(m map[string]any, at *place) {
	end, ok := intOf(m, "endPort")
	if !ok {
		return
	}
	switch port := m["port"].(type) {
	case nil:
		v.fail("R081", at.field("endPort"), "endPort needs port", "Add it.")
	case string:
		v.fail("R081", at.field("endPort"), "a named port has no endPort", "Write port as a number.")
	case int64:
		if end < port {
			v.fail("R073", at.field("endPort"), fmt.Sprintf("wants at least %d, the value of port, not %d", port, end), "")
		}
	}
}

func (v *validator) ipBlock(m map[string]any, at *place) {
	whole, err := netip.ParsePrefix(textOf(m, "cidr"))
	if err != nil {
		return
	}
	for i, text := range texts(m["except"]) {
		part, err := netip.ParsePrefix(text)
		if err == nil && (!whole.Masked().Contains(part.Addr()) || part.Bits() <= whole.Bits()) {
			v.fail("R081", at.field("except").item(i), fmt.Sprintf("%s is no part of %s", part, whole), "Correct it.")
		}
	}
}
