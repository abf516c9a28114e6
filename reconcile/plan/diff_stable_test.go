package plan

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

func madeUp(uid string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{"name": "a", "creationTimestamp": "2026-11-23T12:00:0" + uid[:1] + "Z", "generation": int64(1),
			"annotations": map[string]any{schema.AnnotationApplied: "o1:" + uid}},
		"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"batch.kubernetes.io/controller-uid": uid}}},
	}}
	u.SetUID(types.UID(uid))
	return u
}

func TestADiffDoesNotShowWhatTheServerMakesUp(t *testing.T) {
	first, second := Diff(nil, madeUp("1f6e")), Diff(nil, madeUp("2c9d"))
	if first != second {
		t.Errorf("two dry runs differ:\n%s\n%s", first, second)
	}
	for _, noise := range []string{"1f6e", "creationTimestamp", "generation", "annotations"} {
		if strings.Contains(first, noise) {
			t.Errorf("the diff shows %s:\n%s", noise, first)
		}
	}
	if !strings.Contains(first, "controller-uid: <uid>") {
		t.Errorf("the selector is not shown:\n%s", first)
	}
}
