package cluster_test

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"rota.dev/rota/reconcile/history"
)

// journal keeps every state of every CronJob, Job and Pod of a namespace, from
// watches that begin before there is any.
type journal struct {
	mu     sync.Mutex
	states []state
	byHand []types.UID
	broken error
}

// state is one object as it was stored. The resource versions of all kinds come
// from one counter, so that they order what was written.
type state struct {
	at      time.Time
	version uint64
	object  metav1.Object
	deleted bool
}

// follow begins a journal; now stamps what arrives.
func (w *runWorld) follow() *journal {
	w.t.Helper()
	j := &journal{}
	list, err := w.client.BatchV1().CronJobs(w.namespace).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	from := metav1.ListOptions{ResourceVersion: list.ResourceVersion}
	ctx := w.t.Context()
	for _, open := range []func(context.Context, metav1.ListOptions) (watch.Interface, error){
		w.client.BatchV1().CronJobs(w.namespace).Watch, w.client.BatchV1().Jobs(w.namespace).Watch, w.client.CoreV1().Pods(w.namespace).Watch,
	} {
		stream, err := open(ctx, from)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(stream.Stop)
		go j.read(w, stream, open)
	}
	return j
}

// read reads one watch, and goes on where it was when the server ends it.
func (j *journal) read(w *runWorld, stream watch.Interface, again func(context.Context, metav1.ListOptions) (watch.Interface, error)) {
	last := ""
	for {
		for event := range stream.ResultChan() {
			object, ok := event.Object.(metav1.Object)
			if !ok || event.Type == watch.Error {
				j.fail(event.Object)
				return
			}
			last = object.GetResourceVersion()
			version, err := strconv.ParseUint(last, 10, 64)
			j.mu.Lock()
			if err != nil {
				j.broken = err
			}
			j.states = append(j.states, state{at: w.now(), version: version, object: object, deleted: event.Type == watch.Deleted})
			j.mu.Unlock()
		}
		if w.t.Context().Err() != nil {
			return
		}
		var err error
		if stream, err = again(w.t.Context(), metav1.ListOptions{ResourceVersion: last}); err != nil {
			j.mu.Lock()
			j.broken = err
			j.mu.Unlock()
			return
		}
	}
}

func (j *journal) fail(object runtime.Object) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if status, ok := object.(*metav1.Status); ok {
		j.broken = &statusError{status}
	}
}

type statusError struct{ status *metav1.Status }

func (e *statusError) Error() string { return "a watch of the journal ended: " + e.status.Message }

// hand notes that a person deleted a run.
func (j *journal) hand(uid types.UID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.byHand = append(j.byHand, uid)
}

// has reports whether this state of an object has arrived.
func (j *journal) has(object metav1.Object) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.states, func(s state) bool {
		return s.object.GetUID() == object.GetUID() && s.object.GetResourceVersion() == object.GetResourceVersion()
	})
}

// journals puts what was seen in the order in which it was written. What
// arrived late happened no later than the next that arrived.
func (j *journal) journals(t *testing.T, faults []history.Span, end time.Time) []history.Journal {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		t.Fatal(j.broken)
	}
	states := slices.Clone(j.states)
	slices.SortStableFunc(states, func(a, b state) int { return cmp.Compare(a.version, b.version) })
	for i := len(states) - 2; i >= 0; i-- {
		if next := states[i+1].at; next.Before(states[i].at) {
			states[i].at = next
		}
	}
	r := history.NewRecorder()
	for _, s := range states {
		switch o := s.object.(type) {
		case *batchv1.CronJob:
			if !s.deleted {
				r.CronJob(s.at, o)
			}
		case *batchv1.Job:
			r.Job(s.at, o, s.deleted)
		case *corev1.Pod:
			r.Pod(s.at, o, s.deleted)
		}
	}
	for _, uid := range j.byHand {
		r.DeletedByHand(uid)
	}
	for _, err := range r.Problems {
		t.Error(err)
	}
	return r.Journals(nil, faults, nil, end)
}

// judge has the checker judge all journals, and logs what is not OK.
func (j *journal) judge(t *testing.T, from time.Time, faults []history.Span, end time.Time) map[history.Verdict]int {
	t.Helper()
	checker := history.NewChecker(from.Add(-time.Hour), end.Add(time.Hour), 20*time.Second)
	verdicts := map[history.Verdict]int{}
	for _, one := range j.journals(t, faults, end) {
		found, err := checker.Check(one)
		if err != nil {
			t.Error(err)
		}
		for _, f := range found {
			if verdicts[f.Verdict]++; f.Verdict != history.OK && verdicts[f.Verdict] <= 3 {
				t.Logf("%s\n%s", f, one.Excerpt(f.Slot.Add(-3*time.Minute), f.Slot.Add(6*time.Minute)))
			}
		}
	}
	return verdicts
}
