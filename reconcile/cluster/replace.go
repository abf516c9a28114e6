package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

const (
	// goneTimeout bounds the wait for a replaced object to be gone: Pods have
	// 30 seconds to end unless they ask for more.
	goneTimeout = 60 * time.Second
	// goneAsk is how often it is asked for where no watch tells.
	goneAsk = 2 * time.Second
)

// replace deletes the object that the plan saw, waits until it is gone, and
// creates the new one. An active run is deleted in the foreground, so that its
// Pods are gone before the new run starts.
func (a *application) replace(c plan.Change) (*unstructured.Unstructured, error) {
	policy := metav1.DeletePropagationBackground
	if c.Key.IsJob() && !finished(c.Before) {
		policy = metav1.DeletePropagationForeground
	}
	m := a.set.member(c.Key)
	if m != nil {
		m.begin(c.Key)
	}
	created, err := a.replaceWith(c, policy)
	if m != nil {
		if err == nil && !a.answer.dry() {
			m.end(c.Key, created)
		} else {
			m.end(c.Key, nil)
		}
	}
	return created, err
}

func (a *application) replaceWith(c plan.Change, policy metav1.DeletionPropagation) (*unstructured.Unstructured, error) {
	if err := a.remove(c, policy); err != nil {
		return nil, err
	}
	if a.answer.dry() {
		return a.standIn(c)
	}
	if err := a.waitGone(c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(a.work, writeTimeout)
	defer cancel()
	return a.applyNew(ctx, c)
}

// waitGone returns when no object with the uid of c.Before is there any more.
// It gives up when ctx ends: the next plan goes on from there.
func (a *application) waitGone(c plan.Change) error {
	deadline := time.NewTimer(goneTimeout)
	defer deadline.Stop()
	for {
		pulse, gone := a.goneByWatch(c)
		if gone {
			return nil
		}
		ask := time.NewTimer(goneAsk)
		select {
		case <-pulse:
			ask.Stop()
			continue
		case <-ask.C:
		case <-a.ctx.Done():
			ask.Stop()
			return errMeanwhile
		case <-deadline.C:
			ask.Stop()
			return a.stuck(c)
		}
		live, err := a.read(c.Before)
		if apierrors.IsNotFound(err) || err == nil && live.GetUID() != c.Before.GetUID() {
			return nil
		}
	}
}

// goneByWatch reports whether the watch has seen that c.Before is gone; the
// channel closes when it has seen anything. A nil channel: there is no watch.
func (a *application) goneByWatch(c plan.Change) (<-chan struct{}, bool) {
	m := a.set.member(c.Key)
	if m == nil || c.Before.GetLabels()[schema.ApplySetPartOf] != a.set.id {
		return nil, false
	}
	gone, pulse := m.gone(c.Key, c.Before)
	return pulse, gone
}

func (a *application) stuck(c plan.Change) error {
	message := fmt.Sprintf("the old object is still being deleted after %s", goneTimeout)
	if live, err := a.read(c.Before); err == nil && len(live.GetFinalizers()) > 0 {
		message += ", held by the finalizers " + strings.Join(live.GetFinalizers(), ", ")
	}
	return &schema.Problem{Rule: "R218", Severity: schema.SeverityWarning, Object: &c.Key, Origin: c.Object.Origin, Message: message,
		Mend: "Nothing, if its Pods take long to end; otherwise look at the controller that the finalizers belong to. rota creates the new one when the old one is gone."}
}

func (a *application) read(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(a.work, writeTimeout)
	defer cancel()
	client, err := a.set.clientOf(ctx, object)
	if err != nil {
		return nil, err
	}
	return client.Get(ctx, object.GetName(), metav1.GetOptions{})
}

// standIn has the server check, in a dry run, an object whose name is still
// taken: under another name of the same length, which is then undone.
func (a *application) standIn(c plan.Change) (*unstructured.Unstructured, error) {
	object := c.Object.Unstructured.DeepCopy()
	name := c.Key.Name
	object.SetName(standInName(name))
	ctx, cancel := context.WithTimeout(a.work, writeTimeout)
	defer cancel()
	applied, err := a.apply(ctx, object, c.Force)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(applied.Object)
	if err != nil {
		return nil, fmt.Errorf("reading the answer for %s: %w", c.Key, err)
	}
	renamed := &unstructured.Unstructured{}
	if err := renamed.UnmarshalJSON([]byte(strings.ReplaceAll(string(text), object.GetName(), name))); err != nil {
		return nil, fmt.Errorf("reading the answer for %s: %w", c.Key, err)
	}
	return renamed, nil
}

// standInName returns a name of the same length as name that nothing has.
func standInName(name string) string {
	other := strings.ToLower(rand.Text() + rand.Text() + rand.Text())
	for len(other) < len(name) {
		other += other
	}
	return "x" + other[:len(name)-1]
}
