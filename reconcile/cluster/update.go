package cluster

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/plan"
)

// update applies over the object that the plan saw, and only over that one: its
// uid is part of the request.
func (a *application) update(c plan.Change) (*unstructured.Unstructured, error) {
	object := c.Object.Unstructured.DeepCopy()
	object.SetUID(c.Before.GetUID())
	return a.write(c.Key, func(ctx context.Context) (*unstructured.Unstructured, error) {
		applied, err := a.apply(ctx, object, c.Force)
		if ownConflict(err) {
			applied, err = a.apply(ctx, object, true)
		}
		if precondition(err) {
			return nil, errMeanwhile
		}
		return applied, err
	})
}
