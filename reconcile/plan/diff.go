package plan

import (
	"maps"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"rota.dev/rota/schema"
)

// The words that stand for a value of a Secret, as kubectl diff writes them.
const (
	masked       = "***"
	maskedBefore = "*** (before)"
	maskedAfter  = "*** (after)"
)

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Diff returns the unified diff of the YAML of two objects, empty if they are
// the same. Either may be nil: an object that is created or deleted.
// Status, what only the server writes into metadata, and rota's own notes are
// left out, and the values of Secrets are masked so that one sees which change,
// and not to what. The same two objects have the same diff, also where the
// server made one of them up in a dry run. The objects are not changed.
func Diff(before, after *unstructured.Unstructured) string {
	a, b := trimmed(before), trimmed(after)
	if isSecret(a) || isSecret(b) {
		for _, field := range []string{"data", "stringData"} {
			mask(a, b, field)
		}
		hideLastApplied(a)
		hideLastApplied(b)
	}
	name := ""
	for _, u := range []*unstructured.Unstructured{before, after} {
		if u != nil {
			name = schema.KeyOf(u).String()
		}
	}
	return udiff.Unified(name+" (before)", name+" (after)", withoutUID(text(a), before), withoutUID(text(b), after))
}

// withoutUID replaces the object's own uid, which a Job repeats in its selector
// and labels.
func withoutUID(text string, u *unstructured.Unstructured) string {
	if u == nil || u.GetUID() == "" {
		return text
	}
	return strings.ReplaceAll(text, string(u.GetUID()), "<uid>")
}

// serverMade are the fields of metadata that no repository sets.
var serverMade = []string{"managedFields", "creationTimestamp", "generation", "resourceVersion", "selfLink", "uid"}

// notes are the annotations in which rota remembers what it applied.
var notes = []string{schema.AnnotationApplied, schema.AnnotationRevision, schema.AnnotationOrigin, schema.AnnotationDigest}

// trimmed returns a copy of what is compared, which only shares what mask
// and hideLastApplied do not touch; nil for nil.
func trimmed(u *unstructured.Unstructured) map[string]any {
	if u == nil {
		return nil
	}
	object := maps.Clone(u.Object)
	delete(object, "status")
	if metadata, ok := object["metadata"].(map[string]any); ok {
		metadata = maps.Clone(metadata)
		for _, field := range serverMade {
			delete(metadata, field)
		}
		if annotations, ok := metadata["annotations"].(map[string]any); ok {
			annotations = maps.Clone(annotations)
			for _, note := range notes {
				delete(annotations, note)
			}
			if metadata["annotations"] = annotations; len(annotations) == 0 {
				delete(metadata, "annotations")
			}
		}
		object["metadata"] = metadata
	}
	return object
}

func isSecret(object map[string]any) bool {
	return object["kind"] == "Secret" && object["apiVersion"] == "v1"
}

func mask(before, after map[string]any, field string) {
	a, aIsMap := before[field].(map[string]any)
	b, bIsMap := after[field].(map[string]any)
	// What is no mapping is an error of its author's, and may be secret too.
	if before[field] != nil && !aIsMap {
		before[field] = masked
	}
	if after[field] != nil && !bIsMap {
		after[field] = masked
	}
	a, b = maps.Clone(a), maps.Clone(b)
	for k, v := range a {
		other, both := b[k]
		switch {
		case both && !sameJSON(v, other):
			a[k], b[k] = maskedBefore, maskedAfter
		case both:
			a[k], b[k] = masked, masked
		default:
			a[k] = masked
		}
	}
	for k := range b {
		if _, both := a[k]; !both {
			b[k] = masked
		}
	}
	if aIsMap {
		before[field] = a
	}
	if bIsMap {
		after[field] = b
	}
}

// hideLastApplied drops the annotation in which kubectl repeats the object,
// its values included.
func hideLastApplied(object map[string]any) {
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if _, ok := annotations[lastApplied]; !ok {
		return
	}
	annotations = maps.Clone(annotations)
	delete(annotations, lastApplied)
	metadata["annotations"] = annotations
}

// text returns an object's YAML, empty for nil.
func text(object map[string]any) string {
	if object == nil {
		return ""
	}
	out, err := yaml.Marshal(object)
	if err != nil {
		return "cannot be written as YAML: " + err.Error() + "\n"
	}
	return string(out)
}
