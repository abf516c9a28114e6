package cluster_test

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// TestRunsBesideAndAfterTheClustersOwnController waits for a real minute: a
// schedule of rota and one of the cluster's own controller fire at it, and then rota
// takes the other one over while its run is active.
func TestRunsBesideAndAfterTheClustersOwnController(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.offset.Store(0) // the native controller goes by the real clock
	// A minute that comes before all is in place would be one slot more.
	if left := time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)); left < 20*time.Second {
		time.Sleep(left)
	}
	w.apply("ours", "r1", batchv1.AllowConcurrent)
	body := fmt.Sprintf(manifest, "native", w.namespace, "none", batchv1.ForbidConcurrent, 2)
	if _, err := w.client.BatchV1().CronJobs(w.namespace).Patch(t.Context(), "native", types.ApplyPatchType, []byte(body), metav1.PatchOptions{FieldManager: "kubectl"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.BatchV1().CronJobs(w.namespace).Patch(t.Context(), "native", types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null},"annotations":{"rota.dev/scheduler":null,"rota.dev/suspended":null}},"spec":{"suspend":false}}`),
		metav1.PatchOptions{FieldManager: "kubectl"}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.observed("ours")
	slot := time.Now().Truncate(time.Minute).Add(time.Minute)
	time.Sleep(time.Until(slot)) // the wait is for the wall clock, which nothing can hurry here
	w.until("rota's run is released", func() bool { return w.released("ours", slot) })
	if late := w.job(schedule.JobName("ours", slot)).CreationTimestamp.Sub(slot); late < 0 || late > 3*time.Second {
		t.Errorf("rota's run was created %s after its slot", late)
	}
	name := schedule.JobName("native", slot)
	w.until("the native run is recorded", func() bool { return len(w.cronJob("native").Status.Active) == 1 })
	native, ours := w.job(name), w.job(schedule.JobName("ours", slot))
	if got, want := ours.Annotations[schedule.AnnotationScheduled], native.Annotations[schedule.AnnotationScheduled]; got != want {
		t.Errorf("scheduled timestamps: rota %q, native %q", got, want)
	}

	w.apply("native", "r1", batchv1.ForbidConcurrent)
	w.offset.Store(int64(35 * time.Second)) // past the time that is left to the native controller
	w.until("the native run is labelled and the cursor set", func() bool {
		return w.job(name).Labels[schema.LabelSchedule] == "native" && w.cursor("native").Slot.Equal(slot)
	})
	next := w.nextSlot()
	w.until("the next slot waits for the native run", func() bool {
		h := w.cursor("native").Hold
		return h != nil && h.Reason == schedule.Blocked && h.By == name
	})
	w.finish("native", slot, corev1.PodSucceeded)
	w.until("the next slot runs when the native run has ended", func() bool { return w.released("native", next) })
	if active := w.cronJob("native").Status.Active; len(active) != 1 || active[0].Name != schedule.JobName("native", next) {
		t.Errorf("active: %+v", active)
	}
}
