package reconcile

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"rota.dev/rota/reconcile/history"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

var yearSeed = flag.Uint64("year.seed", 1, "seed of the simulated year")

// year is a simulated life of many schedules, and of what disturbs them.
type year struct {
	t      *testing.T
	m      *model
	random *rand.Rand
	began  time.Time
	end    time.Time
	names  []string

	// offset is how far the scheduler's clock is off; broken breaks its calls.
	offset atomic.Int64
	broken atomic.Pointer[outage]
	client uint64

	clock  []history.Reading
	faults []history.Span
	serial int
	counts map[string]int
}

// outage is how calls fail: of all that are made, the share that fails before
// the server does anything, and the share that fails after it.
type outage struct{ before, after float64 }

const (
	// clockCheck is how often the schedulers of the year look at the clock.
	clockCheck = 30 * time.Second
	// recovery is how long after a fault a retry may come.
	recovery = longRetry + clockCheck + 2*time.Second
	// yearTolerance is what a scheduler that nothing hinders may take.
	yearTolerance = 5 * time.Second
)

func (y *year) chance(n int) bool { return y.random.IntN(n) == 0 }

func (y *year) between(least, most time.Duration) time.Duration {
	return least + time.Duration(y.random.Int64N(int64(most-least)))
}

// cron returns a schedule; there are few that fire often, for they cost most.
func (y *year) cron(i int) string {
	minute, hour := y.random.IntN(60), y.random.IntN(24)
	switch {
	case i%80 == 0:
		return fmt.Sprintf("%d */%d * * *", minute, 5+y.random.IntN(3))
	case i%80 == 20:
		return "30 10,11,12 * * 1-5"
	case i%20 == 2:
		return fmt.Sprintf("@every %dm", 800+y.random.IntN(1900))
	case i%20 == 3:
		return fmt.Sprintf("0-5 %d * * 1", hour)
	case i%20 == 4:
		return fmt.Sprintf("%d %d 1,15,31 * *", minute, hour)
	case i%20 == 5:
		return "0 0 13 * 5"
	case i%20 == 6:
		return fmt.Sprintf("%d %d * * *", minute, 1+y.random.IntN(3)) // where clocks change
	}
	if i%2 == 0 {
		return fmt.Sprintf("%d %d %d,%d * *", minute, hour, 1+y.random.IntN(15), 16+y.random.IntN(16))
	}
	return fmt.Sprintf("%d %d * * %d", minute, hour, y.random.IntN(7))
}

func (y *year) rules() schema.Policy {
	var p schema.Policy
	day := func(n int) schema.Day {
		year, month, date := y.began.AddDate(0, 0, n).Date()
		return schema.Day{Year: year, Month: month, Day: date}
	}
	if y.chance(3) {
		for range 1 + y.random.IntN(6) {
			n := y.random.IntN(360)
			p.Exclude = append(p.Exclude, schema.Days{First: day(n), Last: day(n + y.random.IntN(10))})
		}
	}
	if y.chance(6) {
		p.NotBefore = y.began.Add(y.between(0, 60*24*time.Hour)).UTC().Truncate(time.Second)
	}
	if y.chance(6) {
		p.NotAfter = y.began.Add(y.between(200*24*time.Hour, 360*24*time.Hour)).UTC().Truncate(time.Second)
	}
	if y.chance(4) {
		p.Jitter = schema.Duration{Duration: y.between(time.Minute, 20*time.Minute).Truncate(time.Second)}
	}
	if y.chance(4) {
		p.Overlap = schema.OverlapQueue
	}
	p.CatchUp = []schema.CatchUp{{}, {}, {Policy: schema.CatchUpAll, Limit: 1 + y.random.IntN(5)}, {Policy: schema.CatchUpNone}}[y.random.IntN(4)]
	if y.chance(2) {
		p.DaylightSaving = schema.DaylightSaving{Gap: []string{schema.GapSkip, schema.GapShift}[y.random.IntN(2)],
			Repeat: []string{schema.RepeatBoth, schema.RepeatFirst, schema.RepeatLast}[y.random.IntN(3)]}
	}
	return p
}

var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "Pacific/Chatham"}

func (y *year) populate(schedules int) {
	policies := []batchv1.ConcurrencyPolicy{batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent}
	for i := range schedules {
		name := fmt.Sprintf("s%03d", i)
		y.names = append(y.names, name)
		y.m.takes[name] = []time.Duration{20 * time.Second, 10 * time.Minute, 3 * time.Hour, 9 * time.Hour}[y.random.IntN(4)]
		y.m.cronJob(name, y.cron(i), policies[y.random.IntN(3)], func(cj *batchv1.CronJob) {
			cj.Spec.TimeZone = &zones[y.random.IntN(len(zones))]
			if y.chance(3) {
				deadline := int64(60 + y.random.IntN(7200))
				cj.Spec.StartingDeadlineSeconds = &deadline
			}
			if y.chance(2) {
				cj.Annotations[schema.AnnotationPolicy] = y.rules().String()
			}
		})
	}
}

// edit changes a CronJob as an apply of a new commit does.
func (y *year) edit(name string, change func(*batchv1.CronJob)) {
	y.serial++
	y.m.edit(name, func(cj *batchv1.CronJob) {
		before := cj.DeepCopy()
		change(cj)
		cj.Annotations[schema.AnnotationRevision] = "r" + strconv.Itoa(y.serial+1)
		if before.Spec.Schedule != cj.Spec.Schedule || *before.Spec.TimeZone != *cj.Spec.TimeZone {
			cj.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "rota", Time: &metav1.Time{Time: time.Now().Truncate(time.Second)},
				FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:schedule":{},"f:timeZone":{}}}`)}}
		}
	})
}

// schedulers runs n schedulers that all believe to lead, until the returned
// function is called.
func (y *year) schedulers(n int) (stop func()) {
	ctx, cancel := context.WithCancel(y.t.Context())
	var wg sync.WaitGroup
	for range n {
		y.client++
		c := y.m.client(y.client)
		c.lag, c.slow = 20*time.Millisecond, 30*time.Millisecond
		random := rand.New(rand.NewPCG(y.client, 5))
		var mu sync.Mutex
		c.fault = func(_ int, after bool) error {
			o := y.broken.Load()
			if o == nil {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if share := map[bool]float64{false: o.before, true: o.after}[after]; random.Float64() < share {
				return errors.New("connection reset")
			}
			return nil
		}
		s := c.scheduler(y.t)
		s.Log = slog.New(slog.DiscardHandler) // a year of it is too much
		s.ClockCheck = clockCheck
		s.Now = func() time.Time { return time.Now().Add(time.Duration(y.offset.Load())) }
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				y.t.Error(err)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// fault notes that nobody could be expected to work from a time until now.
func (y *year) fault(from time.Time, what string) {
	y.faults = append(y.faults, history.Span{From: from, Until: time.Now().Add(recovery), What: what})
}

// jump sets the scheduler's clock.
func (y *year) jump(offset time.Duration) {
	y.offset.Store(int64(offset))
	y.clock = append(y.clock, history.Reading{At: time.Now(), Offset: offset})
	y.fault(time.Now(), "the clock jumped")
}

// one is any schedule.
func (y *year) one() string { return y.names[y.random.IntN(len(y.names))] }

// disturb lets one thing happen, and returns when it is over.
func (y *year) disturb() {
	from, what := time.Now(), ""
	switch n := y.random.IntN(12); n {
	case 0, 1:
		what = "edits"
		for range 1 + y.random.IntN(20) {
			y.editOne()
		}
	case 2:
		what = "suspends"
		for range 1 + y.random.IntN(10) {
			name, value := y.one(), strconv.FormatBool(y.chance(3))
			y.edit(name, func(cj *batchv1.CronJob) { cj.Annotations[schema.AnnotationSuspended] = value })
		}
	case 3:
		what = "pauses"
		for range 1 + y.random.IntN(10) {
			text := schedule.Pause{Until: time.Now().Add(y.between(time.Minute, 100*time.Hour)).UTC().Truncate(time.Second), Reason: "test"}.String()
			y.m.edit(y.one(), func(cj *batchv1.CronJob) { cj.Annotations[schema.AnnotationPause] = text })
		}
	case 4:
		what = "pauses taken back"
		for range 30 {
			y.m.edit(y.one(), func(cj *batchv1.CronJob) { delete(cj.Annotations, schema.AnnotationPause) })
		}
	case 5:
		what = "outages of the API server"
		y.broken.Store(&outage{before: 1})
		time.Sleep(y.between(time.Second, 90*time.Minute))
		y.broken.Store(nil)
		y.fault(from, what)
	case 6, 7:
		what = "spells of lost calls and answers"
		y.broken.Store(&outage{before: 0.2, after: 0.2})
		time.Sleep(y.between(time.Second, 4*time.Hour))
		y.broken.Store(nil)
		y.fault(from, what)
	case 8:
		what = "jumps of the clock forward and back"
		y.jump(y.between(time.Second, 3*time.Hour))
		time.Sleep(y.between(time.Minute, 10*time.Hour))
		y.jump(0)
	case 9:
		what = "jumps of the clock back and forward"
		y.jump(-y.between(time.Second, 3*time.Hour))
		time.Sleep(y.between(time.Minute, 10*time.Hour))
		y.jump(0)
	case 10, 11:
		what = "runs deleted by hand"
		for range 10 {
			y.deleteOne()
		}
	}
	y.counts[what]++
}

func (y *year) editOne() {
	name := y.one()
	y.edit(name, func(cj *batchv1.CronJob) {
		switch y.random.IntN(4) {
		case 0:
			if cj.Spec.Schedule[0] != '@' {
				cj.Spec.Schedule = y.cron(5 + y.random.IntN(14))
			}
		case 1:
			if cj.Spec.Schedule[0] != '@' {
				cj.Spec.TimeZone = &zones[y.random.IntN(len(zones))]
			}
		case 2:
			cj.Spec.ConcurrencyPolicy = []batchv1.ConcurrencyPolicy{batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent}[y.random.IntN(3)]
		case 3:
			deadline := int64(60 + y.random.IntN(7200))
			cj.Spec.StartingDeadlineSeconds = &deadline
		}
	})
}

// deleteOne deletes a run that works, and leaves its Pods to die.
func (y *year) deleteOne() {
	y.m.mu.Lock()
	var victim *batchv1.Job
	for _, job := range y.m.runsOf[keyOf(y.one())] {
		if _, prepared := job.Annotations[schema.AnnotationPrepared]; !prepared && len(job.Status.Conditions) == 0 && job.DeletionTimestamp == nil {
			victim = job
		}
	}
	y.m.mu.Unlock()
	if victim == nil {
		return
	}
	y.m.recorder.DeletedByHand(victim.UID)
	if err := y.m.client(0).Delete(y.t.Context(), victim, schedule.DeleteFinished); err != nil {
		y.t.Error(err)
	}
}

// live goes through the year.
func (y *year) live() {
	stop := y.schedulers(1)
	for time.Now().Before(y.end) {
		time.Sleep(y.between(time.Minute, 40*time.Hour))
		if y.chance(8) {
			from := time.Now()
			stop()
			if y.chance(2) {
				time.Sleep(y.between(time.Second, 60*time.Hour))
			}
			y.fault(from, "rota was down")
			n := 1 + y.random.IntN(2)
			y.counts[fmt.Sprintf("starts of %d schedulers", n)]++
			stop = y.schedulers(n)
		}
		y.disturb()
	}
	time.Sleep(time.Hour)
	stop()
}

// judge has the checker judge the year.
func (y *year) judge(end time.Time) map[history.Verdict]int {
	checker := history.NewChecker(y.began, end.Add(4*time.Hour), yearTolerance)
	verdicts := map[history.Verdict]int{}
	for _, j := range y.m.recorder.Journals(y.clock, y.faults, nil, end) {
		found, err := checker.Check(j)
		if err != nil {
			y.t.Error(err)
		}
		for _, f := range found {
			if verdicts[f.Verdict]++; f.Verdict != history.OK && verdicts[f.Verdict] <= 5 {
				y.t.Errorf("%s\n%s", f, j.Excerpt(f.Slot.Add(-26*time.Hour), f.Slot.Add(30*time.Hour)))
			}
		}
	}
	for _, err := range y.m.recorder.Problems {
		y.t.Error(err)
	}
	return verdicts
}

// TestAYearOfSchedules is a year of 200 schedules under all policies, in zones
// with daylight saving, with edits, suspends, pauses, outages and clocks that
// jump; every slot of it is judged.
func TestAYearOfSchedules(t *testing.T) {
	length, schedules := 365*24*time.Hour, 200
	if testing.Short() {
		length, schedules = 60*24*time.Hour, 60
	}
	real := time.Now()
	var y *year
	var verdicts map[history.Verdict]int
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		m.recorder, m.takes, m.dying = history.NewRecorder(), map[string]time.Duration{}, 3*time.Second
		// The bubble's time begins in the year 2000.
		y = &year{t: t, m: m, random: rand.New(rand.NewPCG(*yearSeed, 1)), began: time.Now(), end: time.Now().Add(length), counts: map[string]int{}}
		y.populate(schedules)
		y.live()
		verdicts = y.judge(time.Now())
	})
	t.Logf("seed %d: %d slots in %s of real time; %v; %v", *yearSeed, sum(verdicts), time.Since(real).Round(time.Millisecond), verdicts, y.counts)
	if least := schedules * int(length/(24*time.Hour)) / 10; sum(verdicts) < least {
		t.Errorf("only %d slots were judged, want %d", sum(verdicts), least)
	}
}

func sum(verdicts map[history.Verdict]int) int {
	n := 0
	for _, v := range verdicts {
		n += v
	}
	return n
}
