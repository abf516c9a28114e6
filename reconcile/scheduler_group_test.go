package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// inGroup puts a CronJob into a group, with other rules beside it.
func inGroup(name string, limit int64, rules ...func(*schema.Policy)) func(*batchv1.CronJob) {
	return func(cj *batchv1.CronJob) {
		p := schema.Policy{ConcurrencyGroup: &schema.ConcurrencyGroup{Name: name, Limit: limit}}
		for _, r := range rules {
			r(&p)
		}
		cj.Annotations[schema.AnnotationPolicy] = p.String()
	}
}

func queued(p *schema.Policy) { p.Overlap = schema.OverlapQueue }

// members are schedules of one group, of every kind of overlap.
var members = []struct {
	name   string
	policy batchv1.ConcurrencyPolicy
	rules  []func(*schema.Policy)
}{
	{"allow", batchv1.AllowConcurrent, nil},
	{"forbid", batchv1.ForbidConcurrent, nil},
	{"replace", batchv1.ReplaceConcurrent, nil},
	{"queue", batchv1.ForbidConcurrent, []func(*schema.Policy){queued}},
	{"other", batchv1.AllowConcurrent, nil},
}

// crowdTest is a model in which the members compete for a group.
type crowdTest struct {
	*model
	since time.Time
	limit int64
}

func newCrowd(t *testing.T, limit int64, change ...func(*batchv1.CronJob)) *crowdTest {
	c := &crowdTest{model: newModel(t), since: time.Now(), limit: limit}
	for _, m := range members {
		c.cronJob(m.name, "* * * * *", m.policy, append([]func(*batchv1.CronJob){inGroup("warehouse", limit, m.rules...)}, change...)...)
	}
	return c
}

// judge says what is wrong with the whole history.
func (c *crowdTest) judge(ran int) {
	c.t.Helper()
	for _, m := range members {
		c.check(m.name, "* * * * *", c.since, nil)
		n := 0
		for job := range c.runs() {
			if strings.HasPrefix(job, m.name+"-") {
				n++
			}
		}
		want := ran
		if m.policy == batchv1.ReplaceConcurrent {
			// A run that waits for its turn gives it up to the next slot of its
			// schedule, and that one waits anew.
			want -= ran / 4
		}
		if n < want {
			c.t.Errorf("STARVED: %s ran %d times, want at least %d", m.name, n, want)
		}
	}
	if got := c.most["warehouse"]; int64(got) > c.limit {
		c.t.Errorf("CROWDED: %d runs of the group at a time, more than %d", got, c.limit)
	}
	for _, job := range c.overlaps {
		if !strings.HasPrefix(job, "allow") && !strings.HasPrefix(job, "other") {
			c.t.Errorf("OVERLAP: %s", job)
		}
	}
}

func TestAGroupIsSharedByTurns(t *testing.T) {
	for limit := int64(1); limit <= 3; limit++ {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t, limit)
				c.duration = 70 * time.Second
				client := c.client(1)
				run(t, client.scheduler(t), 30*time.Minute+30*time.Second)
				// Each run takes 70 s of a place, five schedules share them. A
				// place is taken as soon as it is free: none is left unused.
				c.judge(int(limit*30*60/70/5) - 1)
				if got := c.most["warehouse"]; int64(got) != limit {
					t.Errorf("%d runs at a time, want %d", got, limit)
				}
				total := len(c.runs())
				if want := int(limit * 30 * 60 / 70); total < want-int(limit) {
					t.Errorf("%d runs began, want %d", total, want)
				}
				if !slices.Contains(c.events, "other ConcurrencyGroupFull") {
					t.Errorf("no event says that a run waits: %v", c.events)
				}
			})
		})
	}
}

// A run of a group costs one request more, unless another leader writes too.
func TestAGroupCostsOneRequestARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		m.cronJob("tick", "* * * * *", batchv1.AllowConcurrent, inGroup("warehouse", 2))
		c := m.client(1)
		run(t, c.scheduler(t), 10*time.Minute+30*time.Second)
		count := map[string]int{}
		for _, name := range c.names {
			count[name]++
		}
		if count["reserve"] != 10 || count["get group"] != 1 || count["grouped"] != 1 || count["get job"] != 0 {
			t.Errorf("the calls are %v", count)
		}
		if n := len(m.groups["warehouse"].Places); n != 1 {
			t.Errorf("the group has %d places, want the last run's", n)
		}
	})
}

// A limit that is raised lets those go that wait, at once; one that is lowered,
// and a group that is renamed, stop nothing and hold for what starts later.
func TestALimitThatChangesHoldsForWhatStartsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1)
		c.duration = 10 * time.Minute
		going := func() int {
			c.mu.Lock()
			defer c.mu.Unlock()
			n := 0
			for _, job := range c.jobs {
				if _, prepared := job.Annotations[schema.AnnotationPrepared]; !prepared && !schedule.Finished(job) {
					n++
				}
			}
			return n
		}
		become := func(group string, limit int64) {
			for _, m := range members {
				c.edit(m.name, inGroup(group, limit, m.rules...))
			}
		}
		expect := func(what string, want int) {
			t.Helper()
			time.Sleep(5 * time.Second)
			if got := going(); got != want {
				t.Errorf("%s: %d runs go on, want %d", what, got, want)
			}
		}
		go run(t, c.client(1).scheduler(t), 30*time.Minute)
		time.Sleep(90 * time.Second)
		expect("limit 1", 1)
		become("warehouse", 3)
		expect("raised to 3", 3)
		become("warehouse", 1)
		expect("lowered to 1", 3)
		become("depot", 1)
		expect("renamed, with a place that nobody has", 4)
		time.Sleep(29 * time.Minute)
	})
}

func TestAGroupSurvivesAFaultAtAnyCall(t *testing.T) {
	disturb := func(t *testing.T, at int, after, crash bool) int {
		w := newCrowd(t, 2)
		w.duration, w.dying = 40*time.Second, 2*time.Second
		ctx, cancel := context.WithCancel(t.Context())
		c := w.client(1)
		c.lag = 5 * time.Millisecond
		c.fault = func(call int, done bool) error {
			if call != at || done != after {
				return nil
			}
			if crash {
				cancel()
			}
			return errors.New("connection reset")
		}
		stop := time.AfterFunc(3*time.Minute+10*time.Second, cancel)
		if err := c.scheduler(t).Run(ctx); err != nil {
			t.Error(err)
		}
		stop.Stop()
		next := w.client(2)
		next.lag = 5 * time.Millisecond
		run(t, next.scheduler(t), 8*time.Minute+30*time.Second-time.Since(w.since))
		w.judge(2)
		return c.calls
	}
	var calls int
	synctest.Test(t, func(t *testing.T) { calls = disturb(t, -1, false, false) })
	step := 1
	if testing.Short() {
		step = 11
	}
	for at := 1; at <= calls; at += step {
		for _, after := range []bool{false, true} {
			for _, crash := range []bool{false, true} {
				t.Run(fmt.Sprintf("call %d, after %t, crash %t", at, after, crash), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { disturb(t, at, after, crash) })
				})
			}
		}
	}
}

// TestTheCrowdOfSeveralLeaders lets leaders that all believe to lead come and
// go, with watches that lag and calls that fail, while people edit and pause.
func TestTheCrowdOfSeveralLeaders(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 12
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 3))
				retries := func(cj *batchv1.CronJob) {
					p, err := schema.ParsePolicy(cj.Annotations[schema.AnnotationPolicy])
					if err != nil {
						t.Fatal(err)
					}
					p.Retries = schema.Retries{Limit: 2, Backoff: schema.Duration{Duration: 5 * time.Second}}
					cj.Annotations[schema.AnnotationPolicy] = p.String()
					if seed%3 == 0 {
						deadline := int64(45)
						cj.Spec.StartingDeadlineSeconds = &deadline
					}
				}
				w := newCrowd(t, 1+int64(seed%3), retries)
				w.duration, w.dying = time.Duration(15+r.IntN(60))*time.Second, 3*time.Second
				w.fate = func(job string) bool { return len(job)%2 == 0 || strings.HasSuffix(job, "r1") }
				var leaders sync.WaitGroup
				for i := range uint64(3) {
					leaders.Go(func() { lead(t, w, seed*10+i) })
				}
				for range 14 {
					time.Sleep(time.Duration(30+r.IntN(60)) * time.Second)
					w.edit(members[r.IntN(len(members))].name, func(cj *batchv1.CronJob) { disquiet(r, cj) })
				}
				for _, m := range members {
					w.edit(m.name, func(cj *batchv1.CronJob) { delete(cj.Annotations, schema.AnnotationPause) })
				}
				leaders.Wait()
				// A deadline that is shorter than the runs of others can pass in
				// every turn.
				ran := 1
				if seed%3 == 0 {
					ran = 0
				}
				w.judge(ran)
			})
		})
	}
}

// lead runs schedulers one after the other, each until it crashes.
func lead(t *testing.T, w *crowdTest, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 5))
	end := w.since.Add(25*time.Minute + 30*time.Second)
	for serial := uint64(0); time.Now().Before(end); serial++ {
		ctx, cancel := context.WithDeadline(t.Context(), end)
		c := w.client(seed*1000 + serial)
		c.lag, c.slow = time.Duration(r.IntN(400))*time.Millisecond, 200*time.Millisecond
		crash := 20 + r.IntN(120)
		var mu sync.Mutex
		c.fault = func(call int, after bool) error {
			mu.Lock()
			defer mu.Unlock()
			if call == crash {
				cancel()
			}
			if r.IntN(40) == 0 {
				return errors.New("connection reset")
			}
			return nil
		}
		if err := c.scheduler(t).Run(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		time.Sleep(time.Duration(r.IntN(5)) * time.Second)
	}
}

// disquiet is what people do: pause, resume, touch.
func disquiet(r *rand.Rand, cj *batchv1.CronJob) {
	switch r.IntN(3) {
	case 0:
		cj.Annotations[schema.AnnotationPause] = schedule.Pause{Until: time.Now().Add(time.Duration(r.IntN(300)) * time.Second), Reason: "quiet"}.String()
	case 1:
		delete(cj.Annotations, schema.AnnotationPause)
	case 2:
		cj.Annotations[schema.AnnotationRevision] = fmt.Sprint(r.IntN(1000))
	}
}
