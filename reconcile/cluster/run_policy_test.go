package cluster_test

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// Each rule of a policy once on a real cluster; the tables of package schedule
// have the cases.

// times returns the slots of a CronJob as the cluster has it.
func (w *runWorld) times(name string) schedule.Times {
	w.t.Helper()
	spec, err := schedule.SpecOf(w.cronJob(name))
	if err != nil || spec.Err != nil {
		w.t.Fatal(err, spec.Err)
	}
	return spec.Times()
}

// moveTo sets the clock to just after a time.
func (w *runWorld) moveTo(at time.Time) {
	w.offset.Add(int64(at.Sub(w.now()) + 20*time.Millisecond))
}

func TestRunsStartAfterTheirJitter(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.rules("c", batchv1.AllowConcurrent, schema.Policy{Jitter: schema.Duration{Duration: 50 * time.Minute}})
	w.start()
	w.observed("c")
	slot := w.nextHour()
	due := w.times("c").Due(slot)
	if !due.After(slot.Add(time.Minute)) {
		t.Fatalf("a jitter of %s shows nothing", due.Sub(slot))
	}
	w.moveTo(due.Add(-5 * time.Second))
	time.Sleep(2 * time.Second) // what must not happen has no condition to wait for
	if n := len(w.jobs()); n != 0 {
		t.Fatalf("%d runs before the jitter is over", n)
	}
	w.moveTo(due)
	w.until("the run is released", func() bool { return w.released("c", slot) })
}

func TestRunsStartInTheirWindow(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	opens := w.now().Truncate(time.Hour).Add(150 * time.Minute)
	w.rules("c", batchv1.AllowConcurrent, schema.Policy{NotBefore: opens.UTC(), NotAfter: opens.Add(time.Hour).UTC()})
	w.start()
	w.observed("c")
	w.nextHour()
	w.until("the closed window is on record", func() bool { h := w.cursor("c").Hold; return h != nil && h.Reason == schedule.OutsideWindow })
	w.nextHour()
	open := w.nextHour()
	w.until("the first slot of the window runs", func() bool { return w.released("c", open) })
	w.nextHour()
	w.until("the window is over", func() bool { h := w.cursor("c").Hold; return h != nil && h.Reason == schedule.OutsideWindow })
	recent := w.cursor("c").Recent
	if len(w.jobs()) != 1 || len(recent) != 2 || recent[0].Count != 2 || recent[0].Reason != schedule.OutsideWindow || recent[1].Outcome != schedule.Ran {
		t.Errorf("recorded: %+v\n%s", recent, w.dump())
	}
}

func TestRunsQueueForTheOldest(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.rules("c", batchv1.AllowConcurrent, schema.Policy{Overlap: schema.OverlapQueue})
	w.start()
	w.observed("c")
	first := w.nextHour()
	w.until("the first run is released", func() bool { return w.released("c", first) })
	oldest := w.nextHour()
	w.until("the next slot waits", func() bool {
		h := w.cursor("c").Hold
		return h != nil && h.Reason == schedule.Blocked && h.Since.Equal(oldest)
	})
	w.nextHour()
	w.finish("c", first, corev1.PodSucceeded)
	w.until("the oldest waiting slot runs", func() bool { return w.released("c", oldest) })
	recent := w.cursor("c").Recent
	if last := recent[len(recent)-1]; last.Reason != schedule.QueueFull || len(w.jobs()) != 2 {
		t.Errorf("recorded: %+v", recent)
	}
}

func TestRunsCatchUpOnAllAfterAnOutage(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.rules("c", batchv1.AllowConcurrent, schema.Policy{CatchUp: schema.CatchUp{Policy: schema.CatchUpAll, Limit: 2}})
	s := w.start()
	w.observed("c")
	s.stop()
	var slots []time.Time
	for range 4 {
		slots = append(slots, w.nextHour())
	}
	w.start()
	w.until("the last two slots run", func() bool { return w.released("c", slots[2]) && w.released("c", slots[3]) })
	recent := w.cursor("c").Recent
	if len(w.jobs()) != 2 || len(recent) != 3 || recent[0].Count != 2 || recent[0].Reason != schedule.Superseded {
		t.Errorf("recorded: %+v", recent)
	}
}

func TestRunsGoOnWhenAPauseEndsByItself(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	until := w.now().Truncate(time.Hour).Add(150 * time.Minute).UTC()
	w.rules("c", batchv1.AllowConcurrent, schema.Policy{Pause: &schema.PolicyPause{Until: until, Reason: "ledger migration"}})
	w.start()
	w.until("the pause is recorded", func() bool {
		h := w.cursor("c").Hold
		return h != nil && h.Reason == schedule.Paused && h.By == "ledger migration"
	})
	w.nextHour()
	latest := w.nextHour()
	time.Sleep(time.Second) // what must not happen has no condition to wait for
	if n := len(w.jobs()); n != 0 {
		t.Fatalf("%d runs while paused", n)
	}
	w.moveTo(until)
	w.until("the latest slot runs", func() bool { return w.released("c", latest) })
	recent := w.cursor("c").Recent
	if len(recent) != 2 || recent[0].Reason != schedule.Paused || recent[1].Outcome != schedule.Ran {
		t.Errorf("recorded: %+v", recent)
	}
}
