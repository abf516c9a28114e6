package cluster_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

func TestRunsStatusAndCursorAreStoredInOnePut(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.AllowConcurrent)
	cj := w.cronJob("c")
	old := cj.DeepCopy()
	now := metav1.Time{Time: time.Now().Truncate(time.Second)}
	cj.Status.LastScheduleTime = &now
	cj.Annotations[schema.AnnotationCursor] = "x"
	if _, err := w.client.BatchV1().CronJobs(w.namespace).UpdateStatus(t.Context(), cj, metav1.UpdateOptions{FieldManager: schema.FieldManager}); err != nil {
		t.Fatal(err)
	}
	stored := w.cronJob("c")
	if stored.Annotations[schema.AnnotationCursor] != "x" || stored.Status.LastScheduleTime == nil {
		t.Fatalf("stored: cursor %q, last schedule %v", stored.Annotations[schema.AnnotationCursor], stored.Status.LastScheduleTime)
	}
	if stored.Generation != old.Generation {
		t.Errorf("the generation went from %d to %d", old.Generation, stored.Generation)
	}
	w.apply("c", "r2", batchv1.AllowConcurrent)
	stored = w.cronJob("c")
	if stored.Annotations[schema.AnnotationCursor] != "x" || stored.Annotations[schema.AnnotationRevision] != "r2" {
		t.Errorf("after an apply: %v", stored.Annotations)
	}
}

func TestRunsFireAndAreRecordedAndCleanedUp(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r7", batchv1.AllowConcurrent)
	s := w.start()
	w.observed("c")
	var slots []time.Time
	for range 4 {
		slot := w.nextSlot()
		slots = append(slots, slot)
		w.until("the run is released", func() bool { return w.released("c", slot) })
		job := w.job(schedule.JobName("c", slot))
		if job.Labels[schema.ApplySetPartOf] != "" || job.Labels["app"] != "x" || job.Labels[schema.LabelSchedule] != "c" ||
			job.Spec.Template.Labels[schema.LabelSchedule] != "c" || job.Annotations[schema.AnnotationRevision] != "r7" ||
			job.Annotations[schedule.AnnotationScheduled] != slot.UTC().Format(time.RFC3339) || metav1.GetControllerOf(job) != nil {
			t.Fatalf("the run has the metadata %+v", job.ObjectMeta)
		}
		if cj := w.cronJob("c"); len(cj.Status.Active) != 1 || cj.Status.Active[0].UID != job.UID || !cj.Status.LastScheduleTime.Time.Equal(slot) {
			t.Fatalf("status %+v", cj.Status)
		}
		w.finish("c", slot, corev1.PodSucceeded)
		w.until("the run is forgotten", func() bool { return len(w.cronJob("c").Status.Active) == 0 })
		if w.cronJob("c").Status.LastSuccessfulTime == nil {
			t.Error("no lastSuccessfulTime")
		}
	}
	w.until("the history is two runs", func() bool { return len(w.jobs()) == 2 })
	for _, slot := range slots[2:] {
		if w.job(schedule.JobName("c", slot)) == nil {
			t.Errorf("the run of %s was deleted, an older one not", slot)
		}
	}
	want := []string{"SuccessfulCreate", "SawCompletedJob", "SuccessfulDelete"}
	w.until("the events are there", func() bool {
		events, err := w.client.CoreV1().Events(w.namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=CronJob"})
		if err != nil {
			t.Fatal(err)
		}
		for _, reason := range want {
			if !slices.ContainsFunc(events.Items, func(e corev1.Event) bool { return e.Reason == reason }) {
				return false
			}
		}
		return true
	})
	s.stop()
	count := map[string]int{}
	for _, name := range s.names {
		count[strings.Fields(name)[0]]++
	}
	if count["POST"] != 4 || count["PATCH"] != 4 || count["PUT"] != 9 || count["DELETE"] != 2 {
		t.Errorf("the API calls were %v: %v", count, s.names)
	}
}

func TestRunsForbidWaitsForPodsThatOutliveTheirJob(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.ForbidConcurrent)
	w.start()
	w.observed("c")
	first := w.nextSlot()
	w.until("the first run has a Pod", func() bool { return w.released("c", first) && len(w.pods(first)) == 1 })
	// Bound to a node that does not answer, a deleted Pod stays.
	pod := w.pods(first)[0]
	if err := w.client.CoreV1().Pods(w.namespace).Bind(t.Context(), &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "silent"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	second := w.nextSlot()
	w.until("the second slot is held back", func() bool { h := w.cursor("c").Hold; return h != nil && h.Reason == schedule.Blocked })
	background := metav1.DeletePropagationBackground
	if err := w.client.BatchV1().Jobs(w.namespace).Delete(t.Context(), schedule.JobName("c", first), metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	name := schedule.JobName("c", second)
	w.until("the second run is committed", func() bool { return w.cursor("c").Slot.Equal(second) })
	w.until("the first Pod is going", func() bool { p := w.pods(first); return len(p) == 1 && p[0].DeletionTimestamp != nil })
	for range 25 {
		if job := w.job(name); job == nil || !*job.Spec.Suspend {
			t.Fatal("the second run began while a Pod of the first was left")
		}
		time.Sleep(100 * time.Millisecond)
	}
	now := int64(0)
	if err := w.client.CoreV1().Pods(w.namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	w.until("the second run is released", func() bool { return w.released("c", second) })
}

func (w *runWorld) pods(slot time.Time) []corev1.Pod {
	list, err := w.client.CoreV1().Pods(w.namespace).List(w.t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + schedule.JobName("c", slot)})
	if err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

func TestRunsReplaceDeletesTheOldOneFirst(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.ReplaceConcurrent)
	w.start()
	w.observed("c")
	first := w.nextSlot()
	w.until("the first run has a Pod", func() bool { return w.released("c", first) && len(w.pods(first)) == 1 })
	second := w.nextSlot()
	w.until("the second run is released", func() bool { return w.released("c", second) })
	if w.job(schedule.JobName("c", first)) != nil || len(w.pods(first)) != 0 {
		t.Error("the first run is still there")
	}
	w.until("only the second is active", func() bool {
		a := w.cronJob("c").Status.Active
		return len(a) == 1 && a[0].Name == schedule.JobName("c", second)
	})
}

func TestRunsLeaveAStrangersJobAlone(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.AllowConcurrent)
	w.start()
	w.observed("c")
	slot := w.now().Truncate(time.Minute).Add(time.Minute)
	hold := true
	stranger, err := w.client.BatchV1().Jobs(w.namespace).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: schedule.JobName("c", slot)},
		Spec:       batchv1.JobSpec{Suspend: &hold, Template: w.cronJob("c").Spec.JobTemplate.Spec.Template},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.nextSlot()
	w.until("the slot is skipped", func() bool { c := w.cursor("c"); return c.Slot.Equal(slot) && c.Outcome == schedule.Skipped })
	next := w.nextSlot()
	w.until("the next slot runs", func() bool { return w.released("c", next) })
	if got := w.job(stranger.Name); got == nil || got.UID != stranger.UID || !*got.Spec.Suspend {
		t.Errorf("the stranger's Job is now %+v", got)
	}
}

func TestRunsGoOnWhileTheManifestIsAppliedAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r0", batchv1.AllowConcurrent)
	w.start()
	w.observed("c")
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				w.apply("c", fmt.Sprintf("r%d", i), batchv1.AllowConcurrent)
			}
		}
	}()
	for range 5 {
		slot := w.nextSlot()
		w.until("the run is released", func() bool { return w.released("c", slot) })
		w.finish("c", slot, corev1.PodSucceeded)
	}
	close(stop)
	<-ended
	if n := len(w.cursor("c").Recent); n != 5 {
		t.Errorf("%d slots are recorded, want 5:\n%s", n, w.dump())
	}
}

func TestRunsSuspendedByHandAreNeitherReleasedNorSwept(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.AllowConcurrent)
	w.start()
	w.observed("c")
	first := w.nextSlot()
	w.until("the run is released", func() bool { return w.released("c", first) })
	name := schedule.JobName("c", first)
	if _, err := w.client.BatchV1().Jobs(w.namespace).Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec":{"suspend":true}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		slot := w.nextSlot()
		w.until("the next run is released", func() bool { return w.released("c", slot) })
		w.finish("c", slot, corev1.PodSucceeded)
	}
	if job := w.job(name); job == nil || !*job.Spec.Suspend {
		t.Errorf("the suspended run is now %+v", job)
	}
}

func TestRunsHonourThePauseAnnotation(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.AllowConcurrent)
	w.start()
	w.observed("c")
	annotate := func(value any) {
		body, _ := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{schema.AnnotationPause: value}}})
		if _, err := w.client.BatchV1().CronJobs(w.namespace).Patch(t.Context(), "c", types.MergePatchType, body, metav1.PatchOptions{FieldManager: "kubectl-annotate"}); err != nil {
			t.Fatal(err)
		}
	}
	annotate(`reason="stop"`)
	w.until("the pause is recorded", func() bool { h := w.cursor("c").Hold; return h != nil && h.Reason == schedule.Paused && h.By == "stop" })
	w.nextSlot()
	latest := w.nextSlot()
	if jobs := w.jobs(); len(jobs) != 0 {
		t.Fatalf("%d runs while paused", len(jobs))
	}
	annotate(nil)
	w.until("the latest slot runs", func() bool { return w.released("c", latest) })
	recent := w.cursor("c").Recent
	if len(recent) != 2 || recent[0].Reason != schedule.Paused || recent[1].Outcome != schedule.Ran {
		t.Errorf("recorded: %+v", recent)
	}
}

func TestRunsOfTwoLeadersAreNotDoubled(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.ReplaceConcurrent)
	w.apply("d", "r1", batchv1.AllowConcurrent)
	for range 3 {
		w.start()
	}
	w.observed("c")
	w.observed("d")
	uids := map[types.UID]string{}
	for range 6 {
		slot := w.nextSlot()
		w.until("both runs are released", func() bool { return w.released("c", slot) && w.released("d", slot) })
		for _, job := range w.jobs() {
			uids[job.UID] = job.Name
		}
		w.finish("d", slot, corev1.PodSucceeded)
	}
	names := map[string]int{}
	for _, name := range uids {
		names[name]++
	}
	for name, n := range names {
		if n != 1 {
			t.Errorf("%d Jobs had the name %s", n, name)
		}
	}
	for _, name := range []string{"c", "d"} {
		if n := len(w.cursor(name).Recent); n != 6 {
			t.Errorf("%d slots of %s are recorded, want 6", n, name)
		}
	}
}

// TestRunsSurviveACrashAtEveryCall fails each API call of a fire in turn,
// before it is sent and after the server has done it, and goes on with a fresh
// scheduler.
func TestRunsSurviveACrashAtEveryCall(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	fire := func(t *testing.T, name string, at int, after bool) *scheduler {
		w.offset.Store(0)
		w.apply(name, "r1", batchv1.ReplaceConcurrent)
		created := w.cronJob(name).CreationTimestamp.Time
		s := w.start(func(f *flaky) { f.at, f.after = at, after })
		if at != 0 {
			defer s.stop()
		}
		w.until("the first call fails or the schedule is recorded", func() bool {
			s.mu.Lock()
			failed := at != 0 && s.calls >= at
			s.mu.Unlock()
			return failed || !w.cursor(name).IsZero()
		})
		var slots []time.Time
		for range 2 {
			slot := w.nextSlot()
			slots = append(slots, slot)
			w.until("the call fails or the run is released", func() bool {
				s.mu.Lock()
				failed := at != 0 && s.calls >= at
				s.mu.Unlock()
				return failed || w.released(name, slot)
			})
		}
		if at != 0 {
			s.stop()
			next := w.start()
			defer next.stop()
		}
		last := slots[1]
		w.until("the last slot runs", func() bool { return w.released(name, last) })
		w.until("only the last run is left", func() bool {
			cj := w.cronJob(name)
			n := 0
			for _, job := range w.jobs() {
				if job.Labels[schema.LabelSchedule] == name {
					n++
				}
			}
			return n == 1 && len(cj.Status.Active) == 1 && cj.Status.Active[0].Name == schedule.JobName(name, last)
		})
		recorded := 0
		for _, r := range w.cursor(name).Recent {
			recorded += max(r.Count, 1)
		}
		for _, r := range w.cursor(name).Recent {
			if r.Reason == schedule.Replaced {
				recorded-- // a withdrawn run has two entries
			}
		}
		// A crash while the schedule was first recorded moves nothing: all
		// slots since the CronJob was made count.
		if want := int(last.Sub(created.Truncate(time.Minute)) / time.Minute); recorded != want {
			t.Errorf("%d slots are recorded, want %d: %+v", recorded, want, w.cursor(name))
		}
		if err := w.client.BatchV1().CronJobs(w.namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		return s
	}
	undisturbed := fire(t, "ref", 0, false)
	undisturbed.stop()
	calls := undisturbed.calls
	t.Logf("a fire and a replacement are %d calls: %v", calls, undisturbed.names)
	if calls < 9 {
		t.Fatalf("only %d calls", calls)
	}
	for at := 1; at <= calls; at++ {
		for _, after := range []bool{false, true} {
			fire(t, fmt.Sprintf("at-%d-%t", at, after), at, after)
		}
	}
}
