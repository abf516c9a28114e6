package cluster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile"
	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// handBack hands a CronJob back as `rota release` does, beside whatever runs.
func (w *runWorld) handBack(name string, change ...func(*rest.Config)) error {
	config := rest.CopyConfig(w.config)
	for _, c := range change {
		c(config)
	}
	runs, err := cluster.NewRuns(config, cluster.RunsOptions{SetID: "set-a", Sync: "s"})
	if err != nil {
		return err
	}
	s := reconcile.NewScheduler(reconcile.SchedulerOptions{Reader: runs, Writer: runs, Keeper: runs, Events: runs, Now: w.now, Log: slog.New(slog.DiscardHandler)})
	return s.HandBack(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, runs, func(note string) { w.t.Log(note) })
}

// annotate sets an annotation of a CronJob as kubectl does; nil removes it.
func (w *runWorld) annotate(name, key string, value any) {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.client.BatchV1().CronJobs(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: "kubectl-annotate"}); err != nil {
		w.t.Fatal(err)
	}
}

// TestHandBackLeavesNothingToTheNativeController runs two slots under rota, the
// first of which has finished and the second of which is active, hands back,
// and waits for the wall clock to reach the next slot, which is the native
// controller's. The slots of rota lie ahead of the wall clock: on its way there
// the native controller comes by each of them.
func TestHandBackLeavesNothingToTheNativeController(t *testing.T) {
	besideTheNativeController(t)
	t.Parallel()
	w := newRunWorld(t)
	w.offset.Store(0) // the native controller goes by the real clock
	policies := map[string]batchv1.ConcurrencyPolicy{"forbid": batchv1.ForbidConcurrent, "replace": batchv1.ReplaceConcurrent}
	for name, policy := range policies {
		w.apply(name, "r1", policy)
	}
	w.start()
	for name := range policies {
		w.observed(name)
	}
	first := w.nextSlot()
	for name := range policies {
		w.until("the first run is released", func() bool { return w.released(name, first) })
		w.finish(name, first, corev1.PodSucceeded)
	}
	second := w.nextSlot()
	uids := map[string]types.UID{}
	for name := range policies {
		w.until("the second run is released", func() bool { return w.released(name, second) })
		for _, slot := range []time.Time{first, second} {
			uids[schedule.JobName(name, slot)] = w.job(schedule.JobName(name, slot)).UID
		}
	}
	w.offset.Add(int64(35 * time.Second)) // to where no slot is near
	for name := range policies {
		if err := w.handBack(name); err != nil {
			t.Fatal(err)
		}
		cj := w.cronJob(name)
		if len(cj.Status.Active) != 1 || cj.Status.Active[0].Name != schedule.JobName(name, second) || !cj.Status.LastScheduleTime.Time.Equal(second) {
			t.Errorf("%s: status %+v", name, cj.Status)
		}
		if *cj.Spec.Suspend || cj.Annotations[schema.AnnotationScheduler] != schedule.ByCluster || len(cj.Annotations) != 2 {
			t.Errorf("%s: suspend %t, annotations %v", name, *cj.Spec.Suspend, cj.Annotations)
		}
		for _, slot := range []time.Time{first, second} {
			if ref := metav1.GetControllerOf(w.job(schedule.JobName(name, slot))); ref == nil || ref.UID != cj.UID {
				t.Errorf("%s: the run of %s is controlled by %v", name, slot, ref)
			}
		}
		if err := w.handBack(name); err != nil {
			t.Errorf("%s: handing back again: %v", name, err)
		}
	}
	third := second.Add(time.Minute)
	time.Sleep(time.Until(third)) // the wait is for the wall clock, which nothing can hurry here
	w.until("the native controller replaces the run", func() bool {
		return w.job(schedule.JobName("replace", third)) != nil && w.job(schedule.JobName("replace", second)) == nil
	})
	if job := w.job(schedule.JobName("forbid", third)); job != nil {
		t.Errorf("the native controller overlaps the run of rota with %s", job.Name)
	}
	w.finish("forbid", second, corev1.PodSucceeded)
	w.until("the native controller starts the slot that waited", func() bool { return w.job(schedule.JobName("forbid", third)) != nil })
	for name, uid := range uids {
		if job := w.job(name); job != nil && job.UID != uid {
			t.Errorf("the run %s was started again", name)
		}
	}
	for _, job := range w.jobs() {
		if at, err := time.Parse(time.RFC3339, job.Annotations[schedule.AnnotationScheduled]); err != nil || at.Before(first) {
			t.Errorf("Job %s is of %s, before rota's first slot", job.Name, at)
		}
	}
}

func TestHandBackEndsWhatWasBegun(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.AllowConcurrent)
	s := w.start()
	w.observed("c")
	s.stop()
	// A leader prepared the run of one slot, and died; a Job of a slot that is
	// resolved was prepared too late.
	slot := w.nextSlot()
	prepared := schedule.NewRun(w.cronJob("c"), "s", slot)
	if _, err := w.client.BatchV1().Jobs(w.namespace).Create(t.Context(), prepared, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.offset.Add(int64(35 * time.Second))
	paused := schedule.Pause{Reason: "test"}
	w.annotate("c", schema.AnnotationPause, paused.String())
	var problem *schema.Problem
	if err := w.handBack("c"); !errors.As(err, &problem) || problem.Rule != "R341" {
		t.Fatalf("a paused schedule is handed back: %v", err)
	}
	w.annotate("c", schema.AnnotationPause, nil)
	if err := w.handBack("c"); err != nil {
		t.Fatal(err)
	}
	w.until("the prepared Job is gone", func() bool { return w.job(prepared.Name) == nil })
	if cj := w.cronJob("c"); *cj.Spec.Suspend || len(cj.Status.Active) != 0 {
		t.Errorf("suspend %t, active %v", *cj.Spec.Suspend, cj.Status.Active)
	}
	// A scheduler whose commit came too late clears up after itself.
	late := schedule.NewRun(w.cronJob("c"), "s", slot.Add(time.Hour))
	if _, err := w.client.BatchV1().Jobs(w.namespace).Create(t.Context(), late, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.until("the late Job is gone", func() bool { return w.job(late.Name) == nil })
}

// TestHandBackIsFinishedAfterACrashAtAnyCall interrupts a hand-back at each of
// its calls, before the server has done it and after, and calls it again.
func TestHandBackIsFinishedAfterACrashAtAnyCall(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	type fault struct {
		at    int
		after bool
	}
	const calls = 6 // read the CronJob, own two Jobs, hand, read, let go; lists are not counted
	faults := map[string]fault{}
	for at := 1; at <= calls; at++ {
		for _, after := range []bool{false, true} {
			faults[fmt.Sprintf("c-%d-%t", at, after)] = fault{at, after}
		}
	}
	for name := range faults {
		w.apply(name, "r1", batchv1.AllowConcurrent)
	}
	s := w.start()
	for name := range faults {
		w.observed(name)
	}
	first := w.nextSlot()
	for name := range faults {
		w.until("the run is released", func() bool { return w.released(name, first) })
		w.finish(name, first, corev1.PodSucceeded)
	}
	second := w.nextSlot()
	for name := range faults {
		w.until("the run is released", func() bool { return w.released(name, second) })
	}
	w.until("finished runs are forgotten", func() bool {
		for name := range faults {
			if len(w.cronJob(name).Status.Active) != 1 {
				return false
			}
		}
		return true
	})
	s.stop() // a scheduler beside it is another test
	w.offset.Add(int64(35 * time.Second))
	for name, f := range faults {
		broken := &flaky{at: f.at, after: f.after, crash: func() {}}
		err := w.handBack(name, func(config *rest.Config) {
			config.Wrap(func(next http.RoundTripper) http.RoundTripper { broken.next = next; return broken })
		})
		if err == nil && broken.calls < f.at {
			t.Errorf("%s: there are only %d calls: %v", name, broken.calls, broken.names)
		}
		if err := w.handBack(name); err != nil {
			t.Errorf("%s: handing back again after %v: %v", name, err, broken.names)
		}
		cj := w.cronJob(name)
		if *cj.Spec.Suspend || len(cj.Status.Active) != 1 || !cj.Status.LastScheduleTime.Time.Equal(second) || len(cj.Annotations) != 2 {
			t.Errorf("%s: suspend %t, status %+v, annotations %v", name, *cj.Spec.Suspend, cj.Status, cj.Annotations)
		}
		for _, slot := range []time.Time{first, second} {
			if ref := metav1.GetControllerOf(w.job(schedule.JobName(name, slot))); ref == nil || ref.UID != cj.UID {
				t.Errorf("%s: the run of %s is controlled by %v", name, slot, ref)
			}
		}
	}
}
