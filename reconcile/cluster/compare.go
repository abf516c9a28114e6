package cluster

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"rota.dev/rota/schema"
)

// newerVersion reports whether resourceVersion a is later than b. Versions of
// one resource can be compared since Kubernetes 1.35 says so (KEP-5504) and
// could be before; what does not parse counts as later, so that nothing is
// overlooked.
func newerVersion(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	if err != nil {
		return a != "" && a != b
	}
	return order > 0
}

func newer(a, b *unstructured.Unstructured) bool {
	return newerVersion(a.GetResourceVersion(), b.GetResourceVersion())
}

// sameIntent reports whether a and b differ only in what controllers report:
// status, and what the API server counts. A schedule's cursor is such a report.
func sameIntent(a, b *unstructured.Unstructured) bool {
	if !sameFields(a.Object, b.Object, "status", "metadata") {
		return false
	}
	am, _ := a.Object["metadata"].(map[string]any)
	bm, _ := b.Object["metadata"].(map[string]any)
	if !sameFields(am, bm, "resourceVersion", "generation", "managedFields", "annotations") {
		return false
	}
	aa, _ := am["annotations"].(map[string]any)
	ba, _ := bm["annotations"].(map[string]any)
	if !sameFields(aa, ba, schema.AnnotationCursor) {
		return false
	}
	return sameManagers(a.GetManagedFields(), b.GetManagedFields())
}

func sameFields(a, b map[string]any, but ...string) bool {
	skip := func(k string) bool {
		for _, s := range but {
			if s == k {
				return true
			}
		}
		return false
	}
	for k, v := range a {
		if skip(k) {
			continue
		}
		if other, ok := b[k]; !ok || !reflect.DeepEqual(v, other) {
			return false
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok && !skip(k) {
			return false
		}
	}
	return true
}

// sameManagers reports whether the same managers own the same fields, those of
// subresources and the times left out.
func sameManagers(a, b []metav1.ManagedFieldsEntry) bool {
	own := func(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
		var kept []metav1.ManagedFieldsEntry
		for _, e := range entries {
			if e.Subresource == "" && e.FieldsV1 != nil {
				kept = append(kept, e)
			}
		}
		return kept
	}
	a, b = own(a), own(b)
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Manager != b[i].Manager || a[i].Operation != b[i].Operation || a[i].FieldsV1.GetRawString() != b[i].FieldsV1.GetRawString() {
			return false
		}
	}
	return true
}

// finished reports whether a Job has ended.
func finished(job *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(job.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if (condition["type"] == "Complete" || condition["type"] == "Failed") && condition["status"] == "True" {
			return true
		}
	}
	return false
}

// busy reports whether a CronJob has active runs.
func busy(cronJob *unstructured.Unstructured) bool {
	active, _, _ := unstructured.NestedFieldNoCopy(cronJob.Object, "status", "active")
	list, _ := active.([]any)
	return len(list) > 0
}
