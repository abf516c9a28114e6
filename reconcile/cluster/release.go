package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// patchOp is one operation of RFC 6902.
type patchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// annotationPath returns the JSON pointer of an annotation.
func annotationPath(name string) string {
	return "/metadata/annotations/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// release lets the prepared Job of change i go and settles the change. The
// patch holds only for this very Job, still prepared.
func (a *application) release(i int, prepared *unstructured.Unstructured) {
	c := a.plan.Changes[i]
	released, err := a.releaseJob(c.Key, prepared)
	switch {
	case err != nil:
		a.fail(i, err)
	case released == nil:
		a.settle(i, plan.Outcome{Change: c})
	default:
		a.settle(i, plan.Outcome{Change: c, Object: released, Done: true})
	}
}

// releaseJob returns the Job as it was released, by us or by another; nil if it
// is not there any more.
func (a *application) releaseJob(key schema.Key, prepared *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	value := prepared.GetAnnotations()[schema.AnnotationPrepared]
	if a.answer.dry() {
		return releasedFrom(prepared, value == "true"), nil
	}
	patch, err := json.Marshal([]patchOp{
		{Op: "test", Path: "/metadata/uid", Value: string(prepared.GetUID())},
		{Op: "test", Path: annotationPath(schema.AnnotationPrepared), Value: value},
		{Op: "remove", Path: annotationPath(schema.AnnotationPrepared)},
		{Op: "replace", Path: "/spec/suspend", Value: value == "true"},
	})
	if err != nil {
		return nil, fmt.Errorf("writing the patch that releases %s: %w", key, err)
	}
	released, err := a.patch(key, prepared, patch)
	switch {
	case err == nil:
		return released, nil
	case isGone(err):
		return nil, nil
	case !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err):
		return nil, err
	}
	live, readErr := a.read(prepared)
	switch {
	case isGone(readErr) || readErr == nil && live.GetUID() != prepared.GetUID():
		return nil, nil
	case readErr == nil && !neverRan(live):
		return live, nil
	}
	return nil, err
}

func releasedFrom(prepared *unstructured.Unstructured, suspend bool) *unstructured.Unstructured {
	released := prepared.DeepCopy()
	annotations := released.GetAnnotations()
	delete(annotations, schema.AnnotationPrepared)
	released.SetAnnotations(annotations)
	if spec, ok := released.Object["spec"].(map[string]any); ok {
		spec["suspend"] = suspend
	}
	return released
}

func (a *application) patch(key schema.Key, object *unstructured.Unstructured, patch []byte) (*unstructured.Unstructured, error) {
	return a.write(key, func(ctx context.Context) (*unstructured.Unstructured, error) {
		client, err := a.set.clientOf(ctx, object)
		if err != nil {
			return nil, err
		}
		return client.Patch(ctx, key.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: schema.FieldManager})
	})
}
