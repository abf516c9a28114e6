package schema

import (
	"fmt"
	"slices"
	"strings"
)

// clusterChecks follow Kubernetes' validation of RBAC, policies, autoscaling,
// classes and leases.
var clusterChecks = map[string][]check{
	"rbac.v1.PolicyRule":      {filled("verbs"), whole((*validator).policyRule)},
	"rbac.v1.AggregationRule": {needed("clusterRoleSelectors")},
	"rbac.v1.RoleRef":         {filled("kind", "name"), wordedIfAny("apiGroup", "rbac.authorization.k8s.io"), written(pathSegment, "name"), whole((*validator).roleRef)},
	"rbac.v1.Subject":         {filled("kind", "name"), whole((*validator).subject)},
	"policy.v1.PodDisruptionBudgetSpec": {mostOne("minAvailable", "maxUnavailable"), share("minAvailable", 100), share("maxUnavailable", 100),
		worded("unhealthyPodEvictionPolicy", "IfHealthyBudget", "AlwaysAllow")},
	"scheduling.v1.PriorityClass": {worded("preemptionPolicy", "PreemptLowerPriority", "Never"), whole((*validator).priorityClass)},
	"storage.v1.StorageClass":     {filled("provisioner"), worded("volumeBindingMode", "Immediate", "WaitForFirstConsumer"), wordedIfAny("reclaimPolicy", "Delete", "Retain"), whole((*validator).provisioner)},
	"node.v1.RuntimeClass":        {filled("handler"), written(dnsLabel, "handler")},
	"node.v1.Overhead":            {whole((*validator).podFixed)},
	"node.v1.Scheduling":          {whole((*validator).runtimeNodes)},
	"coordination.v1.LeaseSpec":   {least(1, "leaseDurationSeconds"), least(0, "leaseTransitions")},

	"autoscaling.v2.HorizontalPodAutoscaler":       {needed("spec")},
	"autoscaling.v2.HorizontalPodAutoscalerSpec":   {least(1, "minReplicas", "maxReplicas"), whole((*validator).autoscaler)},
	"autoscaling.v2.CrossVersionObjectReference":   {filled("kind", "name"), written(pathSegment, "kind", "name")},
	"autoscaling.v2.HPAScalingRules":               {between(0, 3600, "stabilizationWindowSeconds"), worded("selectPolicy", "Max", "Min", "Disabled"), whole((*validator).scalingRules)},
	"autoscaling.v2.HPAScalingPolicy":              {worded("type", "Pods", "Percent"), least(1, "value"), between(1, 1800, "periodSeconds")},
	"autoscaling.v2.MetricSpec":                    {worded("type", "ContainerResource", "External", "Object", "Pods", "Resource"), whole((*validator).metric)},
	"autoscaling.v2.ResourceMetricSource":          {filled("name")},
	"autoscaling.v2.ContainerResourceMetricSource": {filled("name", "container")},
	"autoscaling.v2.MetricIdentifier":              {filled("name"), written(pathSegment, "name")},
	"autoscaling.v2.MetricTarget":                  {worded("type", "Utilization", "Value", "AverageValue"), least(1, "averageUtilization"), whole((*validator).metricTarget)},
}

func (v *validator) policyRule(rule map[string]any, at *place) {
	urls := given(rule, "nonResourceURLs")
	switch {
	case urls && v.key.Kind == "Role":
		v.fail("R083", at.field("nonResourceURLs"), "a Role is of one namespace, where there are no such addresses", "Use a ClusterRole.")
	case urls && (given(rule, "apiGroups") || given(rule, "resources") || given(rule, "resourceNames")):
		v.fail("R078", at.field("nonResourceURLs"), "a rule is about resources or about addresses", "Make two rules of it.")
	case !urls:
		needed("apiGroups", "resources").on(v, rule, at)
	}
}

func (v *validator) roleRef(ref map[string]any, at *place) {
	kinds := []string{"Role", "ClusterRole"}
	if v.key.Kind == "ClusterRoleBinding" {
		kinds = kinds[1:]
	}
	if kind := textOf(ref, "kind"); kind != "" {
		v.word(kind, kinds, at.field("kind"))
	}
}

func (v *validator) subject(s map[string]any, at *place) {
	const group = "rbac.authorization.k8s.io"
	kind, name, api := textOf(s, "kind"), textOf(s, "name"), textOf(s, "apiGroup")
	switch kind {
	case "ServiceAccount":
		v.form(name, dnsSubdomain, at.field("name"))
		if api != "" {
			v.fail("R070", at.field("apiGroup"), "a ServiceAccount is of the core, which has no name", "Remove apiGroup.")
		}
		if textOf(s, "namespace") == "" && v.key.Kind == "ClusterRoleBinding" {
			v.fail("R072", at.field("namespace"), "a ServiceAccount is of a namespace", "Add it.")
		}
	case "User", "Group":
		if api != group && api != "" {
			v.word(api, []string{group}, at.field("apiGroup"))
		}
	case "":
	default:
		v.word(kind, []string{"ServiceAccount", "User", "Group"}, at.field("kind"))
	}
}

// highestPriority is that of user's classes; Kubernetes' own are above it.
const highestPriority = 1_000_000_000

func (v *validator) priorityClass(m map[string]any, at *place) {
	if n, ok := intOf(m, "value"); ok && n > highestPriority {
		v.fail("R073", at.field("value"), fmt.Sprintf("wants at most %d, not %d", highestPriority, n), "Higher priorities are Kubernetes' own.")
	}
	if strings.HasPrefix(v.key.Name, "system-") && v.key.Name != "system-node-critical" && v.key.Name != "system-cluster-critical" {
		v.fail("R060", at.fields("metadata", "name"), "names that begin with system- are Kubernetes' own", "Use another name.")
	}
}

func (v *validator) provisioner(m map[string]any, at *place) {
	if name := textOf(m, "provisioner"); name != "" {
		v.form(strings.ToLower(name), qualifiedName, at.field("provisioner"))
	}
	for i, term := range mappings(listOf(m, "allowedTopologies")) {
		if term != nil && !given(term, "matchLabelExpressions") {
			v.fail("R072", at.field("allowedTopologies").item(i), "the term is empty", "Remove it.")
		}
		for j, r := range mappings(listOf(term, "matchLabelExpressions")) {
			at := at.field("allowedTopologies").item(i).field("matchLabelExpressions").item(j)
			filled("key", "values").on(v, r, at)
			v.form(textOf(r, "key"), qualifiedName, at.field("key"))
		}
	}
}

func (v *validator) podFixed(m map[string]any, at *place) {
	for name, value := range mapOf(m, "podFixed") {
		v.resource(name, value, at.field("podFixed").key(name))
	}
}

func (v *validator) runtimeNodes(m map[string]any, at *place) {
	v.labels(mapOf(m, "nodeSelector"), at.field("nodeSelector"))
}

func (v *validator) autoscaler(spec map[string]any, at *place) {
	lowest, given := intOf(spec, "minReplicas")
	if !given {
		lowest = 1
	}
	if most, ok := intOf(spec, "maxReplicas"); ok && most >= 1 && most < lowest {
		v.fail("R073", at.field("maxReplicas"), fmt.Sprintf("wants at least minReplicas, %d, not %d", lowest, most), "")
	}
	target := mapOf(spec, "scaleTargetRef")
	if version := textOf(target, "apiVersion"); len(target) > 0 && !has(target, "apiVersion") || has(target, "apiVersion") && textOf(target, "kind") != "" && !v.scalable(version, textOf(target, "kind")) {
		v.fail("R079", at.fields("scaleTargetRef", "apiVersion"), fmt.Sprintf("%q is no version of an API group", version), "Write apps/v1.")
	}
}

func (v *validator) scalable(version, kind string) bool {
	group, _, ok := strings.Cut(version, "/")
	return ok && group != "" && strings.Count(version, "/") == 1 || version == "v1" && kind == "ReplicationController"
}

func (v *validator) scalingRules(m map[string]any, at *place) {
	if list, ok := m["policies"].([]any); (ok && len(list) == 0 || !has(m, "policies")) && has(m, "policies") {
		v.fail("R072", at.field("policies"), "the list is empty", "Add a policy, or remove the field.")
	}
	if amount := v.amount(m["tolerance"]); amount != nil && amount.Sign() < 0 {
		v.fail("R073", at.field("tolerance"), fmt.Sprintf("wants at least 0, not %v", m["tolerance"]), "")
	}
}

var metricSources = map[string]string{"Object": "object", "Pods": "pods", "Resource": "resource", "ContainerResource": "containerResource", "External": "external"}

func (v *validator) metric(m map[string]any, at *place) {
	source := metricSources[textOf(m, "type")]
	if source == "" {
		return
	}
	if !has(m, source) {
		v.fail("R072", at.field(source), "a metric of this type needs it", "Add it.")
	}
	for _, kind := range []string{"object", "pods", "resource", "containerResource", "external"} {
		if kind != source && has(m, kind) {
			v.fail("R078", at.field(kind), fmt.Sprintf("the type %s excludes %s", textOf(m, "type"), kind), "Remove one of the two.")
		}
	}
}

func (v *validator) metricTarget(m map[string]any, at *place) {
	for _, name := range []string{"value", "averageValue"} {
		if amount := v.amount(m[name]); amount != nil && amount.Sign() <= 0 {
			v.fail("R073", at.field(name), fmt.Sprintf("wants more than 0, not %v", m[name]), "")
		}
	}
	kind := textOf(m, "type")
	field, ok := map[string]string{"Utilization": "averageUtilization", "Value": "value", "AverageValue": "averageValue"}[kind]
	if ok && !has(m, field) && slices.Contains([]string{"Utilization", "AverageValue"}, kind) {
		v.fail("R072", at.field(field), "a target of the type "+kind+" needs it", "Add it.")
	}
	if has(m, "averageUtilization") && has(m, "averageValue") {
		v.fail("R078", at.field("averageValue"), "averageUtilization excludes averageValue", "Remove one of the two.")
	}
}
