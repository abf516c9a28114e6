package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// create applies the object of a Create. A Job to be prepared is made
// suspended: it can start nothing before its release.
func (a *application) create(c plan.Change) (*unstructured.Unstructured, error) {
	return a.write(c.Key, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return a.applyNew(ctx, c)
	})
}

func (a *application) applyNew(ctx context.Context, c plan.Change) (*unstructured.Unstructured, error) {
	object := c.Object.Unstructured
	if c.Prepare {
		object = preparedFrom(object)
	}
	applied, err := a.apply(ctx, object, c.Force)
	switch {
	case err == nil:
		return applied, nil
	case a.answer.dry() && missingNamespace(err) && a.plansNamespace(c.Key.Namespace):
		return object, nil
	case a.answer.dry() && a.creates(err):
		return object, nil
	case ownConflict(err):
		// Another rota created it since the plan was made. Forcing would put
		// suspend back on a Job that it has released.
		return nil, errMeanwhile
	default:
		return nil, err
	}
}

func (a *application) plansNamespace(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.namespaces[name]
}

// creates reports whether err says that something is missing which the plan
// creates, such as the account of a Pod: only a dry run does not find it.
func (a *application) creates(err error) bool {
	kind, name, ok := absent(err)
	return ok && slices.ContainsFunc(a.plan.Changes, func(c plan.Change) bool {
		return c.Op == plan.Create && c.Key.Name == name && strings.ToLower(c.Key.Kind) == kind
	})
}

// preparedFrom returns job as it is created before its release.
func preparedFrom(job *unstructured.Unstructured) *unstructured.Unstructured {
	prepared := job.DeepCopy()
	suspend, _, _ := unstructured.NestedBool(job.Object, "spec", "suspend")
	annotations := prepared.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[schema.AnnotationPrepared] = strconv.FormatBool(suspend)
	prepared.SetAnnotations(annotations)
	if spec, ok := prepared.Object["spec"].(map[string]any); ok {
		spec["suspend"] = true
	}
	return prepared
}

// write sends one write of the object of key, with its own time limit, and lets
// the watch know whose it is.
func (a *application) write(key schema.Key, send func(context.Context) (*unstructured.Unstructured, error)) (*unstructured.Unstructured, error) {
	m := a.set.member(key)
	if m != nil {
		m.begin(key)
	}
	ctx, cancel := context.WithTimeout(a.work, writeTimeout)
	defer cancel()
	answered, err := send(ctx)
	if m != nil {
		if err == nil && !a.answer.dry() {
			m.end(key, answered)
		} else {
			m.end(key, nil)
		}
	}
	return answered, err
}

func (s *Set) member(key schema.Key) *mirror {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.members[scopeOf(key)]
}

// apply sends a server-side apply as the Sync's account.
func (a *application) apply(ctx context.Context, object *unstructured.Unstructured, force bool) (*unstructured.Unstructured, error) {
	client, err := a.set.clientOf(ctx, object)
	if err != nil {
		return nil, err
	}
	return client.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: schema.FieldManager, Force: force})
}

// clientOf returns the way to object's resource as the Sync's account.
func (s *Set) clientOf(ctx context.Context, object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := object.GroupVersionKind()
	kind, known, err := s.cluster.kinds.find(ctx, gvk.GroupKind())
	if err != nil {
		return nil, err
	}
	resource, ok := kind.resource(gvk.Version)
	if !known || !ok {
		return nil, &schema.Problem{Rule: "R202", Severity: schema.SeverityError,
			Message: fmt.Sprintf("the cluster has no kind %s in %s any more", gvk.Kind, object.GetAPIVersion()),
			Mend:    "Install the CustomResourceDefinition again; rota tries again."}
	}
	return s.as.dynamic.Resource(resource).Namespace(object.GetNamespace()), nil
}

// precondition reports whether err says that the object is another one than
// the uid or the resourceVersion of the request names.
func precondition(err error) bool {
	var status apierrors.APIStatus
	return apierrors.IsConflict(err) && errors.As(err, &status) && !hasCause(status.Status(), metav1.CauseTypeFieldManagerConflict)
}
