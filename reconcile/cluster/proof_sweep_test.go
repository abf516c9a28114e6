package cluster_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

var sweepAll = flag.Bool("proof.sweep", false, "kill at every call both before it is sent and after it was answered, not in turn")

// fired is the end of two slots, in numbers that do not depend on when it was.
type fired struct {
	// Created says how many Jobs each slot ever had; Left what is there.
	Created map[int]int
	Left    map[int]string
	Active  []int
	// Cursor is the last resolved slot, Outcome its.
	Cursor  int
	Outcome schedule.Outcome
}

// TestAKillAtAnyCallChangesNothing ends a scheduler at each API call of two fires
// and what follows them, before the call is sent and after the server did it, and
// lets another go on: what is left, and every Job that ever was, is as without.
func TestAKillAtAnyCallChangesNothing(t *testing.T) {
	for name, policy := range map[string]struct {
		native batchv1.ConcurrencyPolicy
		rules  string
	}{
		"allow": {batchv1.AllowConcurrent, ""}, "forbid": {batchv1.ForbidConcurrent, ""}, "queue": {batchv1.AllowConcurrent, `{"overlap":"Queue"}`},
	} { // TestRunsSurviveACrashAtEveryCall has Replace
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newRunWorld(t)
			seen := w.follow()
			want, calls := w.fireTwice(seen, "ref", policy.native, policy.rules, 0, false)
			if calls < 8 {
				t.Fatalf("only %d calls", calls)
			}
			t.Logf("two fires are %d calls, and end in %+v", calls, want)
			for at := 1; at <= calls; at++ {
				for _, after := range []bool{false, true} {
					if !*sweepAll && after != (at%2 == 0) {
						continue
					}
					got, _ := w.fireTwice(seen, fmt.Sprintf("at-%d-%t", at, after), policy.native, policy.rules, at, after)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("call %d, done %t (- undisturbed, + disturbed):\n%s", at, after, diff)
					}
				}
			}
		})
	}
}

// fireTwice fires two slots, of which the second comes due while the run of the
// first works, and returns what is left in the end and how many calls it took.
func (w *runWorld) fireTwice(seen *journal, name string, policy batchv1.ConcurrencyPolicy, rules string, at int, after bool) (fired, int) {
	w.t.Helper()
	w.beginMinute()
	w.apply(name, "r1", policy)
	if rules != "" {
		body, _ := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{schema.AnnotationPolicy: rules}}})
		if _, err := w.client.BatchV1().CronJobs(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
	s := w.start(func(f *flaky) { f.at, f.after = at, after })
	undisturbed := s
	// reach waits for a condition, and replaces a scheduler that has ended.
	reach := func(what string, holds func() bool) {
		w.t.Helper()
		w.until(what, func() bool {
			s.mu.Lock()
			ended := s.at != 0 && s.calls >= s.at
			s.mu.Unlock()
			if ended {
				s.stop()
				s = w.start()
			}
			return holds()
		})
	}
	reach(name+" is recorded", func() bool { return !w.cursor(name).IsZero() })
	first := w.nextSlot()
	reach("the first run is released", func() bool { return w.released(name, first) })
	second := w.nextSlot()
	reach("the second slot is resolved, or waits", func() bool {
		c := w.cursor(name)
		return c.Hold != nil || w.released(name, second)
	})
	w.finish(name, first, corev1.PodSucceeded)
	reach("the second run is released", func() bool { return w.released(name, second) })
	w.finish(name, second, corev1.PodFailed)
	reach("nothing is left to do", func() bool {
		cj := w.cronJob(name)
		if len(cj.Status.Active) > 0 || !seen.has(cj) {
			return false
		}
		return !slices.ContainsFunc(w.jobs(), func(job batchv1.Job) bool {
			_, prepared := job.Annotations[schema.AnnotationPrepared]
			return job.Labels[schema.LabelSchedule] == name && (prepared || !seen.has(&job))
		})
	})
	s.stop()
	result := w.firedState(seen, name, first)
	if err := w.client.BatchV1().CronJobs(w.namespace).Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Error(err)
	}
	return result, undisturbed.calls
}

func (w *runWorld) firedState(seen *journal, name string, first time.Time) fired {
	index := func(slot time.Time) int { return int(slot.Sub(first)/time.Minute) + 1 }
	cj := w.cronJob(name)
	f := fired{Created: map[int]int{}, Left: map[int]string{}, Cursor: index(w.cursor(name).Slot), Outcome: w.cursor(name).Outcome}
	uids := map[types.UID]bool{}
	seen.mu.Lock()
	for _, s := range seen.states {
		job, ok := s.object.(*batchv1.Job)
		if !ok || job.Labels[schema.LabelSchedule] != name || uids[job.UID] {
			continue
		}
		uids[job.UID] = true
		run, _ := schedule.RunOf(cj, job)
		f.Created[index(run.Slot)]++
	}
	seen.mu.Unlock()
	for _, job := range w.jobs() {
		if job.Labels[schema.LabelSchedule] == name {
			run, _ := schedule.RunOf(cj, &job)
			f.Left[index(run.Slot)] = string(run.Finished)
			if run.Prepared {
				f.Left[index(run.Slot)] = "prepared"
			}
		}
	}
	for _, ref := range cj.Status.Active {
		for _, job := range w.jobs() {
			if run, _ := schedule.RunOf(cj, &job); job.UID == ref.UID {
				f.Active = append(f.Active, index(run.Slot))
			}
		}
	}
	return f
}
