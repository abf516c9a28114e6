package schedule

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

// pastWorld makes views of a minutely schedule, minute by minute.
type pastWorld struct {
	cursor Cursor
	jobs   map[time.Time]*batchv1.Job
	active []time.Time
}

func newPastWorld() *pastWorld {
	return &pastWorld{cursor: Cursor{Schedule: "* * * * *", Since: minute(0)}, jobs: map[time.Time]*batchv1.Job{}}
}

func minute(n int) time.Time {
	return time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
}

func (w *pastWorld) run(n int) {
	slot := minute(n)
	w.cursor.resolve(Resolution{Slot: slot, Outcome: Ran})
	w.jobs[slot] = &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Name: JobName("x", slot), Namespace: "n", UID: types.UID(fmt.Sprintf("uid-%d", n)),
		Labels:          map[string]string{schema.LabelSchedule: "x"},
		Annotations:     map[string]string{AnnotationScheduled: slot.Format(time.RFC3339), schema.AnnotationRevision: "r1"},
		OwnerReferences: []metav1.OwnerReference{{UID: "cj"}},
	}, Status: batchv1.JobStatus{StartTime: &metav1.Time{Time: slot.Add(2 * time.Second)}}}
	w.active = append(w.active, slot)
}

func (w *pastWorld) end(n int, how batchv1.JobConditionType) {
	slot := minute(n)
	w.jobs[slot].Status.Conditions = []batchv1.JobCondition{{Type: how, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{Time: slot.Add(30 * time.Second)}}}
	w.forget(n)
}

func (w *pastWorld) forget(n int) {
	var left []time.Time
	for _, slot := range w.active {
		if !slot.Equal(minute(n)) {
			left = append(left, slot)
		}
	}
	w.active = left
}

func (w *pastWorld) delete(n int) { delete(w.jobs, minute(n)) }

func (w *pastWorld) skip(from, to int, reason Reason) {
	r := Resolution{Slot: minute(from), Outcome: Skipped, Reason: reason}
	if to > from {
		r.Last, r.Count = minute(to), to-from+1
	}
	w.cursor.resolve(r)
}

func (w *pastWorld) view() View {
	cj := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "n", UID: "cj",
		Annotations: map[string]string{schema.AnnotationCursor: w.cursor.String()}}}
	v := View{CronJob: cj}
	for _, job := range w.jobs {
		v.Jobs = append(v.Jobs, job)
	}
	for _, slot := range w.active {
		if job := w.jobs[slot]; job != nil {
			activate(cj, job)
		}
	}
	return v
}

var wide = Bounds{Detail: 100, Entries: 200, Age: 14 * 24 * time.Hour}

func summary(h History) []string {
	var out []string
	for _, e := range h.Entries {
		line := e.Slot.Format("15:04")
		if e.Slots() > 1 {
			line += fmt.Sprintf("-%s x%d", e.Last.Format("15:04"), e.Count)
		}
		line += fmt.Sprintf(" %s%s", e.Outcome, e.Reason)
		if e.Run != nil {
			line += fmt.Sprintf(" %s %s late %s", e.Run.UID, e.Run.Result, e.Lateness())
		}
		if e.Gap {
			line += " gap"
		}
		out = append(out, line)
	}
	return out
}

func TestHistoryTellsOfEverySlotWhatCameOfIt(t *testing.T) {
	w := newPastWorld()
	var h History
	look := func() { h = h.Merge(HistoryOf(w.view()), minute(60), wide) }
	w.run(1)
	look()
	w.end(1, batchv1.JobComplete)
	look()
	w.delete(1)
	w.skip(2, 5, Paused)
	w.run(6)
	look()
	w.end(6, batchv1.JobFailed)
	w.run(7) // and the end of 6 is seen together with the start of 7
	look()
	w.forget(7) // deleted by hand while it ran
	w.delete(7)
	w.run(8)
	w.skip(8, 8, DeadlineMissed) // withdrawn
	w.forget(8)
	w.delete(8)
	look()
	want := []string{
		"00:01 Ran uid-1 Complete late 2s",
		"00:02-00:05 x4 SkippedPaused",
		"00:06 Ran uid-6 Failed late 2s",
		"00:07 Ran uid-7 Gone late 2s",
		"00:08 SkippedDeadlineMissed",
	}
	if diff := cmp.Diff(want, summary(h)); diff != "" {
		t.Error(diff)
	}
	again := h.Merge(HistoryOf(w.view()), minute(60), wide)
	if !again.Equal(h) {
		t.Error("looking again at what is known changes the history")
	}
}

func TestWhatACrashLostIsFilledInFromTheCursorAndTheJobs(t *testing.T) {
	w := newPastWorld()
	w.run(1)
	stored := History{}.Merge(HistoryOf(w.view()), minute(2), wide)
	w.end(1, batchv1.JobComplete)
	for n := 2; n <= 9; n++ {
		w.run(n)
		w.end(n, batchv1.JobComplete)
	}
	for n := 1; n <= 6; n++ {
		w.delete(n)
	}
	filled := stored.Merge(HistoryOf(w.view()), minute(10), wide)
	want := []string{
		"00:01 Ran uid-1 Gone late 2s",
		"00:02 Ran  Gone late 0s", "00:03 Ran  Gone late 0s", "00:04 Ran  Gone late 0s", "00:05 Ran  Gone late 0s", "00:06 Ran  Gone late 0s",
		"00:07 Ran uid-7 Complete late 2s", "00:08 Ran uid-8 Complete late 2s", "00:09 Ran uid-9 Complete late 2s",
	}
	if diff := cmp.Diff(want, summary(filled)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeFilledInIsAGap(t *testing.T) {
	w := newPastWorld()
	w.run(1)
	stored := History{}.Merge(HistoryOf(w.view()), minute(2), wide)
	for n := 2; n <= 20; n++ {
		w.skip(n, n, Reason(fmt.Sprint(n))) // ten of them are in the cursor
	}
	h := stored.Merge(HistoryOf(w.view()), minute(30), wide)
	if got := summary(h); len(got) != 11 || got[1] != "00:11 Skipped11 gap" {
		t.Errorf("the history is %q", got)
	}
	// A batch that waited to be written keeps what it does not know.
	first := HistoryOf(w.view())
	w.skip(21, 21, Paused)
	h = stored.Merge(first.Add(HistoryOf(w.view())), minute(30), wide)
	if got := summary(h); len(got) != 12 || got[1] != "00:11 Skipped11 gap" {
		t.Errorf("the history is %q", got)
	}
}

func TestAHistoryStaysWithinItsBounds(t *testing.T) {
	w := newPastWorld()
	var h History
	b := Bounds{Detail: 12, Entries: 20, Age: 14 * 24 * time.Hour}
	for n := 1; n <= 3000; n++ {
		w.run(n)
		h = h.Merge(HistoryOf(w.view()), minute(n), b)
		w.end(n, batchv1.JobComplete)
		h = h.Merge(HistoryOf(w.view()), minute(n), b)
		w.delete(n - 1)
	}
	if len(h.Entries) != 13 || h.Entries[0].Count != 2988 || !h.Entries[0].Slot.Equal(minute(1)) || h.Entries[0].Lateness() != 2*time.Second {
		t.Errorf("successes became %q", summary(h)[:2])
	}
	for n := 3001; n <= 3100; n++ {
		w.run(n)
		w.end(n, batchv1.JobFailed)
		h = h.Merge(HistoryOf(w.view()), minute(n), b)
		w.delete(n)
	}
	if len(h.Entries) != 20 || !h.Dropped.Equal(h.Entries[0].Slot.Add(-time.Minute)) {
		t.Errorf("%d entries, of which %s was dropped last, and the first is %s", len(h.Entries), h.Dropped, h.Entries[0].Slot)
	}
	h = h.Merge(HistoryOf(w.view()), minute(3100).Add(15*24*time.Hour), b)
	if len(h.Entries) != 10 {
		t.Errorf("%d entries are older than the bound and kept", len(h.Entries))
	}
}

// However looks and crashes fall, the history has one entry a slot, in order,
// none that says otherwise than the world, and none missing without a gap.
func TestAHistoryAgreesWithTheWorld(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newPastWorld()
		truth := map[time.Time]Outcome{}
		var stored, pending History
		for n := 1; n < 200; n++ {
			if r.IntN(3) == 0 {
				w.skip(n, n, DeadlineMissed)
				truth[minute(n)] = Skipped
			} else {
				w.run(n)
				truth[minute(n)] = Ran
			}
			for _, slot := range w.active {
				if r.IntN(2) == 0 && w.jobs[slot] != nil {
					w.end(int(slot.Sub(minute(0))/time.Minute), []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed}[r.IntN(2)])
				}
			}
			if r.IntN(4) == 0 {
				w.delete(1 + r.IntN(n))
			}
			if seen := HistoryOf(w.view()); pending.CronJob == "" {
				pending = seen
			} else {
				pending = pending.Add(seen)
			}
			switch r.IntN(6) {
			case 0:
				stored, pending = stored.Merge(pending, minute(n), wide), History{}
			case 1:
				pending = History{} // a crash
			}
		}
		slot := time.Time{}
		for _, e := range stored.Entries {
			if !e.Slot.After(slot) {
				t.Fatalf("seed %d: %s comes after %s", seed, e.Slot, slot)
			}
			if !slot.IsZero() && !e.Gap && !e.Slot.Equal(slot.Add(time.Minute)) {
				t.Fatalf("seed %d: what came between %s and %s is missing, and that is no gap", seed, slot, e.Slot)
			}
			for slot = e.Slot; !slot.After(e.Final()); slot = slot.Add(time.Minute) {
				if truth[slot] != e.Outcome {
					t.Fatalf("seed %d: %s is %s and recorded as %s", seed, slot, truth[slot], e.Outcome)
				}
			}
			slot = e.Final()
		}
	}
}

func TestACronJobThatIsMadeAnewGoesOnFromThePast(t *testing.T) {
	hour := at("10:00")
	cj := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "n", UID: "new", CreationTimestamp: metav1.Time{Time: hour.Add(-time.Second)},
		Annotations: map[string]string{schema.AnnotationScheduler: "rota"}},
		Spec: batchv1.CronJobSpec{Schedule: "0 * * * *", Suspend: new(bool)}}
	*cj.Spec.Suspend = true
	past := Cursor{Slot: hour, Outcome: Ran, Schedule: "0 * * * *", Since: hour.Add(-48 * time.Hour)}
	for name, test := range map[string]struct {
		past   Cursor
		starts int
	}{
		"without a past, by a server's clock that is behind": {Cursor{}, 1},
		"the slot ran under its name already":                {past, 0},
	} {
		t.Run(name, func(t *testing.T) {
			v := View{CronJob: cj.DeepCopy(), Past: test.past}
			starts := 0
			for range 5 {
				spec, err := SpecOf(v.CronJob)
				if err != nil {
					t.Fatal(err)
				}
				d := Decide(spec, StateOf(v), hour.Add(5*time.Second))
				started := map[string]*batchv1.Job{}
				for _, a := range d.Actions {
					if s, ok := a.(Start); ok {
						starts++
						started[s.Name] = NewRun(v.CronJob, "s", s.Slot)
						v.Jobs = append(v.Jobs, started[s.Name])
					}
				}
				next, err := Record(v, d.Actions, started)
				if err != nil {
					t.Fatal(err)
				}
				if next == nil {
					break
				}
				v.CronJob = next
			}
			if starts != test.starts {
				t.Errorf("%d runs start, not %d", starts, test.starts)
			}
			if c, err := ParseCursor(v.CronJob.Annotations[schema.AnnotationCursor]); err != nil || !c.Slot.Equal(hour) {
				t.Errorf("the cursor is %v, %v", c, err)
			}
		})
	}
}

// BenchmarkHistoryOf is what a decision that was carried out costs the history:
// reading a view with ten resolutions and four Jobs, and adding it to what
// waits to be written.
func BenchmarkHistoryOf(b *testing.B) {
	w := newPastWorld()
	for n := 1; n <= 12; n++ {
		w.run(n)
		w.end(n, batchv1.JobComplete)
		w.delete(n - 4)
	}
	v := w.view()
	pending := HistoryOf(v)
	b.ReportAllocs()
	for b.Loop() {
		pending = pending.Add(HistoryOf(v))
	}
}
