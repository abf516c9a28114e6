package schema

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/validation"
)

// names checks metadata.name and metadata.namespace by the rule of the kind.
func (v *validator) names() {
	name := v.key.Name
	at := v.root.fields("metadata", "name")
	check := validation.IsDNS1123Subdomain
	form := "lower-case letters, digits, - and ., a letter or digit first and last"
	switch {
	case v.key.Group == "rbac.authorization.k8s.io":
		check = content.IsPathSegmentName
		form = "anything but /, % and the names . and .."
	case v.key.Group == "policy" && v.key.Kind == "PodDisruptionBudget":
		check = content.IsPathSegmentName // the one kind whose name the server does not look at
	case v.key.Group == "" && (v.key.Kind == "Namespace" || v.key.Kind == "Service"), v.key.Group == "apps" && v.key.Kind == "StatefulSet":
		check = validation.IsDNS1123Label
		form = "at most 63 lower-case letters, digits and -, a letter or digit first and last"
	}
	if len(check(name)) > 0 {
		message := fmt.Sprintf("%q is no name that Kubernetes takes", name)
		if strings.ContainsRune(name, '$') {
			message += ": a placeholder was not replaced"
		}
		v.fail("R060", at, message, "Use "+form+".")
	}
	if ns := v.key.Namespace; ns != "" && len(validation.IsDNS1123Label(ns)) > 0 {
		v.fail("R060", v.root.fields("metadata", "namespace"), fmt.Sprintf("%q is no name of a namespace", ns), "Use at most 63 lower-case letters, digits and -.")
	}
	switch {
	case v.key.IsCronJob() && len(name) > 52:
		v.fail("R061", at, fmt.Sprintf("the name has %d letters; a CronJob's has at most 52, for its Jobs' names add 11", len(name)), "Shorten the name.")
	case v.key.IsJob() && len(name) > 63:
		v.fail("R062", at, fmt.Sprintf("the name has %d letters; with more than 63 a Job never gets a Pod", len(name)), "Shorten the name.")
	}
}

// metadata checks the labels and annotations of what stands at the path.
func (v *validator) metadata(owner map[string]any, at *place) {
	metadata := mapOf(owner, "metadata")
	at = at.field("metadata")
	v.labels(mapOf(metadata, "labels"), at.field("labels"))
	annotations := mapOf(metadata, "annotations")
	total := 0
	for key, value := range annotations {
		v.qualified(strings.ToLower(key), at.field("annotations").key(key))
		text, _ := value.(string)
		total += len(key) + len(text)
	}
	if total > 256<<10 {
		v.fail("R063", at.field("annotations"), fmt.Sprintf("the annotations have %d bytes; at most %d are stored", total, 256<<10), "Move large texts into a ConfigMap.")
	}
}

// labels checks labels, or the selector that wants them.
func (v *validator) labels(labels map[string]any, at *place) {
	for key, value := range labels {
		v.qualified(key, at.key(key))
		if value, ok := value.(string); ok && !v.memo.labelValue(value) {
			v.fail("R063", at.key(key), fmt.Sprintf("%q is no value of a label", value), "Use at most 63 letters, digits, -, _ and ., a letter or digit first and last; longer texts belong into an annotation.")
		}
	}
}

func (v *validator) qualified(key string, at *place) {
	if !v.memo.qualifiedName(key) {
		v.fail("R063", at, fmt.Sprintf("%q is no key of a label or annotation", key), "Write name or example.com/name, the name of at most 63 letters, digits, -, _ and ..")
	}
}

// unserved tells of a kind of a group of Kubernetes' own that is not in its
// schema. Other kinds are those of CustomResourceDefinitions.
func (v *validator) unserved(apiVersion string) {
	known := kubernetes()
	if !known.own(v.key.Group) {
		v.unknown = true
		return
	}
	at := v.root.field("apiVersion")
	if served := known.served[groupKind{v.key.Group, v.key.Kind}]; len(served) > 0 {
		v.fail("R075", at, fmt.Sprintf("Kubernetes %s does not serve %s in %s", known.version, v.key.Kind, apiVersion), "Write apiVersion: "+strings.Join(served, " or ")+"; the fields may differ.")
		return
	}
	message, mend := fmt.Sprintf("Kubernetes %s has no kind %s in %s", known.version, v.key.Kind, apiVersion), "Correct apiVersion and kind."
	if moved := known.elsewhere(v.key.Kind); len(moved) > 0 {
		mend = "Write apiVersion: " + strings.Join(moved, " or ") + "."
	} else if near := Nearest(v.key.Kind, known.kindsIn(apiVersion)); near != "" {
		message += fmt.Sprintf(" (did you mean %q?)", near)
	}
	v.fail("R075", at, message, mend)
}

// limits returns what was not checked: one warning that names the kinds that
// there is no schema for, and one for those with rules in CEL.
func limits(objects []Object, found []finds) []*Problem {
	var warnings []*Problem
	if words, first := kindsOf(objects, func(i int) bool { return found[i].unknown }); words != "" {
		warnings = append(warnings, &Problem{Rule: "R076", Severity: SeverityWarning, Origin: first,
			Message: "there is no schema for these kinds, so only their names and labels are checked: " + words,
			Mend:    "Add their CustomResourceDefinitions to the repository, or ask the API server by rota validate --server."})
	}
	if words, first := kindsOf(objects, func(i int) bool { return found[i].ruled }); words != "" {
		warnings = append(warnings, &Problem{Rule: "R088", Severity: SeverityWarning, Origin: first,
			Message: "the x-kubernetes-validations of these kinds are left to the API server: " + words,
			Mend:    "Ask it by rota validate --server."})
	}
	return warnings
}

// kindsOf names the kinds of those objects that pick chooses, with their
// numbers, and the place of the first.
func kindsOf(objects []Object, pick func(i int) bool) (words string, first Origin) {
	count := map[string]int{}
	for i, o := range objects {
		if !pick(i) {
			continue
		}
		if len(count) == 0 {
			first = o.At("kind")
		}
		count[o.GetKind()+" of "+o.GetAPIVersion()]++
	}
	var all []string
	for name, n := range count {
		all = append(all, fmt.Sprintf("%s (%d)", name, n))
	}
	slices.Sort(all)
	return strings.Join(all, ", "), first
}
