package schedule

import (
	"strconv"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

// retry starts the k-th retry of the run of minute n.
func (w *pastWorld) retry(n, k int) *batchv1.Job {
	slot := minute(n)
	w.cursor.Recent = append(w.cursor.Recent, Resolution{Slot: slot, Retry: k, Outcome: Ran})
	job := w.jobs[slot].DeepCopy()
	job.Name, job.UID = RetryName("x", slot, k), types.UID("uid-retry-"+strconv.Itoa(k))
	job.Annotations[schema.AnnotationRetry] = strconv.Itoa(k)
	job.Status = batchv1.JobStatus{}
	return job
}

func TestRetriesAreToldOfBesideTheirRun(t *testing.T) {
	w := newPastWorld()
	w.run(1)
	w.end(1, batchv1.JobFailed)
	view := w.view()
	h := History{}.Add(HistoryOf(view))

	first := w.retry(1, 1)
	first.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{Time: minute(2)}}}
	view = w.view()
	view.Jobs = append(view.Jobs, first)
	h = h.Add(HistoryOf(view))

	// The second is withdrawn, since the next slot is due; both Jobs are gone by then.
	w.cursor.Recent = append(w.cursor.Recent, Resolution{Slot: minute(1), Retry: 2, Outcome: Skipped, Reason: Superseded})
	w.run(3)
	delete(w.jobs, minute(1))
	h = h.Add(HistoryOf(w.view()))

	if len(h.Entries) != 2 || h.Entries[0].Outcome != Ran || h.Entries[0].Run.Result != RunFailed {
		t.Fatalf("the run is not what it was: %+v", h.Entries)
	}
	if got := h.Entries[0].Run.Retries; len(got) != 2 || got[0].Result != RunFailed || !got[0].Ended.Equal(minute(2)) || got[1].Outcome != Skipped {
		t.Fatalf("got %+v", got)
	}
	if again := h.Add(h); !again.Equal(h) {
		t.Error("what is known is not the same when it is added again")
	}
	a := Why(Question{Namespace: "n", Name: "x", CronJob: w.view().CronJob, Jobs: w.view().Jobs, History: h, Slot: Span{minute(1), minute(2)}, Now: minute(4)})
	text := strings.Join(a.Details, "\n")
	for _, want := range []string{"retry 1, " + RetryName("x", minute(1), 1) + ", failed at 2026-11-25 00:02", "retry 2, " + RetryName("x", minute(1), 2) + ", did not start: a later slot was due"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	if a.Verdict != VerdictRan {
		t.Errorf("the slot %s", a.Verdict)
	}
}

func TestACronJobThatIsMadeAnewDoesNotGoOnWithRetries(t *testing.T) {
	w := newPastWorld()
	w.run(1)
	w.end(1, batchv1.JobFailed)
	w.cursor.Retry = &Retry{Number: 1, Due: minute(1).Add(time.Hour)}
	if h := HistoryOf(w.view()); h.Cursor.Retry != nil {
		t.Errorf("the kept cursor has %+v", h.Cursor.Retry)
	}
}
