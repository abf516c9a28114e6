package reconcile

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// kept is a HistoryStore in memory, which counts what is asked of it.
type kept struct {
	mu    sync.Mutex
	all   map[types.NamespacedName]schedule.History
	calls int
	bytes int
	fail  error
}

func (k *kept) Load(context.Context) error { return nil }

func (k *kept) Past(name types.NamespacedName) schedule.Cursor {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[name].Cursor
}

func (k *kept) Merge(_ context.Context, add map[types.NamespacedName]schedule.History) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if k.fail != nil {
		return 0, k.fail
	}
	if k.all == nil {
		k.all = map[types.NamespacedName]schedule.History{}
	}
	for name, h := range add {
		k.all[name] = k.all[name].Merge(h, time.Now(), schedule.BoundsFor(len(k.all)))
	}
	return k.bytes, nil
}

func (k *kept) history(name string) schedule.History {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.all)[keyOf(name)]
}

func (k *kept) scheduler(t testing.TB, m *model, seed uint64) *Scheduler {
	s := m.client(seed).scheduler(t)
	s.History = k
	return s
}

// ranAndCompleted counts the slots of a history, and fails on any other entry.
func ranAndCompleted(t *testing.T, h schedule.History) int {
	t.Helper()
	n := 0
	for _, e := range h.Entries {
		if e.Outcome != schedule.Ran || e.Run == nil || e.Run.Result != schedule.RunComplete || e.Gap {
			t.Errorf("%s is recorded as %s %+v, gap %t", e.Slot, e.Outcome, e.Run, e.Gap)
		}
		n += e.Slots()
	}
	return n
}

func TestTheHistoryHasEveryRunAndCostsABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, k := newModel(t), &kept{}
		m.cronJob("a", "* * * * *", batchv1.AllowConcurrent)
		m.cronJob("b", "* * * * *", batchv1.AllowConcurrent)
		m.cronJob("idle", "0 0 1 1 *", batchv1.AllowConcurrent)
		run(t, k.scheduler(t, m, 1), 30*time.Minute+45*time.Second)
		for _, name := range []string{"a", "b"} {
			if n := ranAndCompleted(t, k.history(name)); n != 30 {
				t.Errorf("%d runs of %s are recorded, not 30", n, name)
			}
		}
		// Sixty runs begin and end: at most two batches a minute, and the last.
		if k.calls > 30*2+2 {
			t.Errorf("%d writes", k.calls)
		}
		before := k.calls
		m2 := newModel(t)
		m2.cronJob("idle", "0 0 1 1 *", batchv1.AllowConcurrent)
		run(t, k.scheduler(t, m2, 2), 24*time.Hour)
		if n := k.calls - before; n > 2 {
			t.Errorf("an idle day costs %d writes", n)
		}
	})
}

func TestTheHistoryKeepsToItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, k := newModel(t), &kept{bytes: 5 << 20}
		m.cronJob("a", "* * * * *", batchv1.AllowConcurrent)
		run(t, k.scheduler(t, m, 1), 30*time.Minute+45*time.Second)
		if k.calls > 8 {
			t.Errorf("5 MiB were written %d times in half an hour", k.calls)
		}
		if n := ranAndCompleted(t, k.history("a")); n != 30 {
			t.Errorf("%d runs are recorded, not 30", n)
		}
	})
}

func TestTheHistoryOutlivesCrashesAndFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, k := newModel(t), &kept{fail: errors.New("no")}
		m.cronJob("a", "* * * * *", batchv1.AllowConcurrent)
		run(t, k.scheduler(t, m, 1), 8*time.Minute+10*time.Second) // nothing is written: as after a crash
		k.fail = nil
		run(t, k.scheduler(t, m, 2), 4*time.Minute)
		h := k.history("a")
		n := 0
		for _, e := range h.Entries {
			if e.Outcome != schedule.Ran || e.Gap {
				t.Errorf("%s is recorded as %s, gap %t", e.Slot, e.Outcome, e.Gap)
			}
			n += e.Slots()
		}
		if n != 12 {
			t.Errorf("%d runs are recorded, not 12", n)
		}
		for _, e := range h.Entries[len(h.Entries)-6 : len(h.Entries)-1] { // the last one has not ended
			if e.Run == nil || e.Run.UID == "" || e.Run.Revision != "r1" || e.Run.Result != schedule.RunComplete {
				t.Errorf("of %s, whose Job was there, it knows %+v", e.Slot, e.Run)
			}
		}
	})
}

func TestACronJobThatIsMadeAnewGoesOnFromTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, k := newModel(t), &kept{}
		m.cronJob("a", "@every 10m", batchv1.AllowConcurrent)
		run(t, k.scheduler(t, m, 1), 35*time.Minute)
		before := m.runs()
		// Deleted with its Jobs, and made again a minute later.
		m.mu.Lock()
		clear(m.cronJobs)
		clear(m.jobs)
		clear(m.runsOf)
		m.mu.Unlock()
		time.Sleep(time.Minute)
		past := k.history("a").Cursor
		m.cronJob("a", "@every 10m", batchv1.AllowConcurrent, func(cj *batchv1.CronJob) { cj.UID = "another" })
		run(t, k.scheduler(t, m, 2), 10*time.Minute)
		cursor, err := schedule.ParseCursor(m.cronJobs[keyOf("a")].Annotations[schema.AnnotationCursor])
		if err != nil || !cursor.Slot.Equal(past.Slot.Add(10*time.Minute)) {
			t.Errorf("the cursor went from %s to %s, %v: the rhythm of @every is lost", past.Slot, cursor.Slot, err)
		}
		for name, begun := range m.runs() {
			if len(begun) != 1 {
				t.Errorf("Job %s ran %d times", name, len(begun))
			}
		}
		if n := len(m.runs()) - len(before); n != 1 {
			t.Errorf("%d runs since it was made again, not 1", n)
		}
	})
}
