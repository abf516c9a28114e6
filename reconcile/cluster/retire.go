package cluster

import (
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// retire stops a CronJob from firing whose prune waits for its active run, or
// is refused because of it: rota's scheduler reads the annotation, the
// cluster's own controller the field.
func (a *application) retire(c plan.Change) (*unstructured.Unstructured, error) {
	stop := patchOp{Op: "add", Path: "/spec/suspend", Value: true}
	if c.Before.GetAnnotations()[schema.AnnotationScheduler] != "" {
		stop = patchOp{Op: "add", Path: annotationPath(schema.AnnotationSuspended), Value: "true"}
	}
	patch, err := json.Marshal([]patchOp{{Op: "test", Path: "/metadata/uid", Value: string(c.Before.GetUID())}, stop})
	if err != nil {
		return nil, fmt.Errorf("writing the patch that retires %s: %w", c.Key, err)
	}
	retired, err := a.patch(c.Key, c.Before, patch)
	if isGone(err) || apierrors.IsInvalid(err) {
		return nil, errMeanwhile
	}
	return retired, err
}
