package cluster

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// seenTimeout is how long the watch has to show a deletion before it is asked
// for.
const seenTimeout = 2 * time.Second

// delete prunes the object of a Delete, what it owns in the background. What is
// no member any more, or has an owner, is left alone.
func (a *application) delete(i int) {
	c := a.plan.Changes[i]
	if c.Before.GetLabels()[schema.ApplySetPartOf] != a.set.id || len(c.Before.GetOwnerReferences()) > 0 {
		a.settle(i, plan.Outcome{Change: c})
		return
	}
	m := a.set.member(c.Key)
	if m != nil {
		m.begin(c.Key)
	}
	err := a.remove(c, metav1.DeletePropagationBackground)
	if m != nil {
		if err == nil && !a.answer.dry() {
			a.seeDeleted(m, c)
			m.endDelete(c.Key, c.Before.GetUID())
		} else {
			m.end(c.Key, nil)
		}
	}
	switch {
	case errors.Is(err, errMeanwhile):
		a.settle(i, plan.Outcome{Change: c})
	case err != nil:
		a.fail(i, err)
	default:
		a.settle(i, plan.Outcome{Change: c, Done: true})
	}
}

// remove deletes c.Before and nothing else: by uid, and by resourceVersion too
// unless it is a Job at work, whose status changes all the time. An object that
// changed is deleted only if it still is what the plan decided on.
func (a *application) remove(c plan.Change, policy metav1.DeletionPropagation) error {
	before := c.Before
	for range casAttempts {
		ctx, cancel := context.WithTimeout(a.work, writeTimeout)
		client, err := a.set.clientOf(ctx, before)
		if err != nil {
			cancel()
			return err
		}
		uid, version := before.GetUID(), before.GetResourceVersion()
		options := metav1.DeleteOptions{PropagationPolicy: &policy, Preconditions: &metav1.Preconditions{UID: &uid}}
		if !atWork(c) {
			options.Preconditions.ResourceVersion = &version
		}
		err = client.Delete(ctx, c.Key.Name, options)
		cancel()
		if err == nil || isGone(err) {
			return nil
		}
		if !precondition(err) {
			return err
		}
		live, err := a.read(before)
		switch {
		case isGone(err):
			return nil
		case err != nil:
			return err
		case live.GetUID() != uid || !stillToGo(before, live, c.Key):
			return errMeanwhile
		}
		before = live
	}
	return errMeanwhile
}

// atWork reports whether the plan ends an active run on purpose.
func atWork(c plan.Change) bool {
	return c.Key.IsJob() && !finished(c.Before) && !plan.RunOf(c.Before).Started.IsZero()
}

// stillToGo reports whether what was decided on before holds for live too.
func stillToGo(before, live *unstructured.Unstructured, key schema.Key) bool {
	switch {
	case live.GetDeletionTimestamp() != nil:
		return true
	case !sameIntent(before, live):
		return false
	case key.IsJob():
		return finished(live) || plan.RunOf(live).Started.IsZero()
	case key.IsCronJob():
		return !busy(live) || busy(before)
	}
	return true
}

// seeDeleted returns when the mirror does not show c.Before as it was.
func (a *application) seeDeleted(m *mirror, c plan.Change) {
	deadline := time.NewTimer(seenTimeout)
	defer deadline.Stop()
	for {
		now, pulse := m.get(c.Key)
		if now == nil || now.GetUID() != c.Before.GetUID() || now.GetDeletionTimestamp() != nil {
			return
		}
		select {
		case <-pulse:
		case <-deadline.C:
			live, err := a.read(c.Before)
			switch {
			case apierrors.IsNotFound(err) || err == nil && live.GetUID() != c.Before.GetUID():
				m.drop(c.Key, c.Before.GetUID())
			case err == nil:
				m.begin(c.Key)
				m.end(c.Key, live)
				m.begin(c.Key)
			}
			return
		}
	}
}
