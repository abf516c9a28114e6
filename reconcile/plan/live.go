package plan

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// The readers of this file do not copy the map that they look into, as those
// of unstructured do: a plan of ten thousand objects asks them often.

// metadataMap returns labels or annotations; do not change them.
func metadataMap(u *unstructured.Unstructured, field string) (map[string]any, bool) {
	metadata, _ := u.Object["metadata"].(map[string]any)
	m, ok := metadata[field].(map[string]any)
	return m, ok
}

func label(u *unstructured.Unstructured, name string) string {
	labels, _ := metadataMap(u, "labels")
	v, _ := labels[name].(string)
	return v
}

func annotation(u *unstructured.Unstructured, name string) string {
	v, _ := hasAnnotation(u, name)
	return v
}

func hasAnnotation(u *unstructured.Unstructured, name string) (string, bool) {
	annotations, _ := metadataMap(u, "annotations")
	v, ok := annotations[name].(string)
	return v, ok
}

// terminating reports whether somebody deleted u and finalizers hold it.
func terminating(u *unstructured.Unstructured) bool {
	metadata, _ := u.Object["metadata"].(map[string]any)
	_, ok := metadata["deletionTimestamp"]
	return ok
}

// owned reports whether u has an ownerReference at all.
func owned(u *unstructured.Unstructured) bool {
	metadata, _ := u.Object["metadata"].(map[string]any)
	references, _ := metadata["ownerReferences"].([]any)
	return len(references) > 0
}

// appliedByRota reports whether live is an object that rota applied before:
// by the membership label or, where somebody removed that, by rota's entry in
// managedFields, which no copy of the object has.
func appliedByRota(live *unstructured.Unstructured) bool {
	if label(live, schema.ApplySetPartOf) != "" {
		return true
	}
	if _, ok := hasAnnotation(live, schema.AnnotationApplied); !ok {
		return false
	}
	for _, o := range newWalker(live).ours {
		if o.operation == "Apply" {
			return true
		}
	}
	return false
}
