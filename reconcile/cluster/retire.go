package cluster

import (
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// retire stops a CronJob from firing whose prune waits for its active run: the
// scheduler reads the annotation.
func (a *application) retire(c plan.Change) (*unstructured.Unstructured, error) {
	patch, err := json.Marshal([]patchOp{
		{Op: "test", Path: "/metadata/uid", Value: string(c.Before.GetUID())},
		{Op: "add", Path: annotationPath(schema.AnnotationSuspended), Value: "true"},
	})
	if err != nil {
		return nil, fmt.Errorf("writing the patch that retires %s: %w", c.Key, err)
	}
	retired, err := a.patch(c.Key, c.Before, patch)
	if isGone(err) || apierrors.IsInvalid(err) {
		return nil, errMeanwhile
	}
	return retired, err
}
