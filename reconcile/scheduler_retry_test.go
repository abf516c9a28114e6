package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

func retrying(limit int64, backoff time.Duration, rules ...func(*schema.Policy)) func(*batchv1.CronJob) {
	return func(cj *batchv1.CronJob) {
		p := schema.Policy{Retries: schema.Retries{Limit: limit, Backoff: schema.Duration{Duration: backoff}}}
		for _, r := range rules {
			r(&p)
		}
		cj.Annotations[schema.AnnotationPolicy] = p.String()
	}
}

// told returns the retries on record of a schedule, as number and outcome.
func (m *model) told(name string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, r := range m.retried[name] {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%d %s %s", r.Retry, r.Outcome, r.Reason)))
	}
	return all
}

func TestARunThatFailsIsRetriedThenReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		since := time.Now()
		m.fate = func(string) bool { return true }
		m.cronJob("f", "*/30 * * * *", batchv1.ForbidConcurrent, retrying(2, time.Minute), func(cj *batchv1.CronJob) {
			keep := int32(5)
			cj.Spec.FailedJobsHistoryLimit = &keep
		})
		s := m.client(1).scheduler(t)
		go run(t, s, 59*time.Minute)
		time.Sleep(45 * time.Minute)
		reports := s.Reports()
		time.Sleep(15 * time.Minute)
		m.check("f", "*/30 * * * *", since, map[schedule.Outcome]int{schedule.Ran: 1})
		slot := since.Truncate(30 * time.Minute).Add(30 * time.Minute)
		began := func(n int) time.Duration {
			at := m.runs()[schedule.RetryName("f", slot, n)]
			if len(at) != 1 {
				t.Fatalf("retry %d began %d times", n, len(at))
			}
			return at[0].Sub(slot).Round(time.Second)
		}
		// Runs take 20 s; the second retry waits twice as long.
		if one, two := began(1), began(2); one != 80*time.Second || two != 220*time.Second {
			t.Errorf("the retries began after %s and %s", one, two)
		}
		if got, want := m.told("f"), []string{"1 Ran", "2 Ran"}; !slices.Equal(got, want) {
			t.Errorf("on record: %v, want %v", got, want)
		}
		if len(reports) != 1 || len(reports[0].Problems) != 1 || reports[0].Problems[0].Rule != "R332" {
			t.Errorf("reported: %+v", reports)
		}
		if countOf(m.events, "f RetriesExhausted") != 1 || countOf(m.events, "f RetryScheduled") != 2 {
			t.Errorf("events %v", m.events)
		}
	})
}

func TestARetryThatSucceedsIsTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		m.fate = func(job string) bool { return !strings.HasSuffix(job, "-r1") }
		m.cronJob("f", "*/30 * * * *", batchv1.AllowConcurrent, retrying(3, time.Minute))
		s := m.client(1).scheduler(t)
		run(t, s, 59*time.Minute)
		if got, want := m.told("f"), []string{"1 Ran"}; !slices.Equal(got, want) {
			t.Errorf("on record: %v, want %v", got, want)
		}
		if m.cronJobs[keyOf("f")].Status.LastSuccessfulTime == nil {
			t.Error("the retry's success is not in the status")
		}
		if slices.Contains(m.events, "f RetriesExhausted") {
			t.Errorf("events %v", m.events)
		}
	})
}

// What the next slot does to a retry, by overlap.
func TestTheNextSlotSupersedesRetries(t *testing.T) {
	for name, c := range map[string]struct {
		policy   batchv1.ConcurrencyPolicy
		rules    []func(*schema.Policy)
		backoff  time.Duration
		duration time.Duration
		want     []string // of nearly six minutes
	}{
		"a retry that waits is given up": {batchv1.AllowConcurrent, nil, 2 * time.Minute, 20 * time.Second,
			[]string{"1 Skipped Superseded", "1 Skipped Superseded", "1 Skipped Superseded", "1 Skipped Superseded"}},
		"Allow: a retry that runs goes on, and is the last": {batchv1.AllowConcurrent, nil, 20 * time.Second, 30 * time.Second,
			[]string{"1 Ran", "1 Ran", "1 Ran", "1 Ran", "1 Ran"}},
		"Replace: a retry that runs is replaced": {batchv1.ReplaceConcurrent, nil, 20 * time.Second, 30 * time.Second,
			[]string{"1 Ran", "1 Ran", "1 Ran", "1 Ran", "1 Ran"}},
		"Forbid: the slot waits for the retry, and then goes before the next": {batchv1.ForbidConcurrent, nil, 20 * time.Second, 30 * time.Second,
			[]string{"1 Ran", "2 Skipped Superseded", "1 Skipped Superseded", "1 Ran", "2 Skipped Superseded", "1 Skipped Superseded", "1 Ran"}},
		"Queue: as Forbid": {batchv1.ForbidConcurrent, []func(*schema.Policy){queued}, 20 * time.Second, 30 * time.Second,
			[]string{"1 Ran", "2 Skipped Superseded", "1 Skipped Superseded", "1 Ran", "2 Skipped Superseded", "1 Skipped Superseded", "1 Ran"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel(t)
				since := time.Now()
				m.duration = c.duration
				m.fate = func(string) bool { return true }
				m.cronJob("f", "* * * * *", c.policy, retrying(2, c.backoff, c.rules...))
				run(t, m.client(1).scheduler(t), 5*time.Minute+58*time.Second)
				m.check("f", "* * * * *", since, nil)
				if got := m.told("f"); !slices.Equal(got, c.want) {
					t.Errorf("on record: %q, want %q", got, c.want)
				}
				if len(m.overlaps) > 0 && c.policy != batchv1.AllowConcurrent {
					t.Errorf("OVERLAP: %v", m.overlaps)
				}
			})
		})
	}
}

func TestRetriesSurviveAFaultAtAnyCall(t *testing.T) {
	disturb := func(t *testing.T, at int, after, crash bool) int {
		m := newModel(t)
		since := time.Now()
		m.fate = func(string) bool { return true }
		for _, policy := range []batchv1.ConcurrencyPolicy{batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent} {
			m.cronJob(strings.ToLower(string(policy)), "*/10 * * * *", policy, retrying(2, time.Minute, func(p *schema.Policy) {
				p.ConcurrencyGroup = &schema.ConcurrencyGroup{Name: "g", Limit: 2}
			}))
		}
		ctx, cancel := context.WithCancel(t.Context())
		c := m.client(1)
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
		stop := time.AfterFunc(14*time.Minute, cancel)
		if err := c.scheduler(t).Run(ctx); err != nil {
			t.Error(err)
		}
		stop.Stop()
		next := m.client(2)
		next.lag = 5 * time.Millisecond
		run(t, next.scheduler(t), 18*time.Minute-time.Since(since))
		slot := since.Truncate(10 * time.Minute).Add(10 * time.Minute)
		for _, name := range []string{"allow", "forbid", "replace"} {
			m.check(name, "*/10 * * * *", since, map[schedule.Outcome]int{schedule.Ran: 1})
			for n := range 3 {
				if began := m.runs()[schedule.RetryName(name, slot, n)]; len(began) != 1 {
					t.Errorf("retry %d of %s began %d times", n, name, len(began))
				}
			}
			if got, want := m.told(name), []string{"1 Ran", "2 Ran"}; !slices.Equal(got, want) {
				t.Errorf("on record of %s: %v, want %v", name, got, want)
			}
		}
		if m.most["g"] > 2 {
			t.Errorf("CROWDED: %d", m.most["g"])
		}
		for _, job := range m.jobs {
			if _, prepared := job.Annotations[schema.AnnotationPrepared]; prepared {
				t.Errorf("Job %s is left prepared", job.Name)
			}
		}
		for name, n := range m.created {
			if n != 1 {
				t.Errorf("Job %s was created %d times", name, n)
			}
		}
		return c.calls
	}
	var calls int
	synctest.Test(t, func(t *testing.T) { calls = disturb(t, -1, false, false) })
	step := 1
	if testing.Short() {
		step = 7
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

func TestARetryHasADeadlineOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		m.fate = func(string) bool { return true }
		deadline := int64(30)
		m.cronJob("f", "*/30 * * * *", batchv1.AllowConcurrent, retrying(2, 5*time.Minute), func(cj *batchv1.CronJob) {
			cj.Spec.StartingDeadlineSeconds = &deadline
		})
		go run(t, m.client(1).scheduler(t), 59*time.Minute)
		time.Sleep(34 * time.Minute) // the retry is due in 80 s
		m.edit("f", func(cj *batchv1.CronJob) {
			cj.Annotations[schema.AnnotationPause] = "until=" + time.Now().Add(3*time.Minute).UTC().Format(time.RFC3339)
		})
		time.Sleep(26 * time.Minute)
		if got, want := m.told("f"), []string{"1 Skipped DeadlineMissed"}; !slices.Equal(got, want) {
			t.Errorf("on record: %v, want %v", got, want)
		}
	})
}

func TestAnEditEndsTheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		m.fate = func(string) bool { return true }
		m.cronJob("f", "*/30 * * * *", batchv1.AllowConcurrent, retrying(2, 5*time.Minute))
		go run(t, m.client(1).scheduler(t), 59*time.Minute)
		time.Sleep(34 * time.Minute)
		m.edit("f", func(cj *batchv1.CronJob) { cj.Spec.Schedule = "0 9 * * *" })
		time.Sleep(26 * time.Minute)
		if got, want := m.told("f"), []string{"1 Skipped Edited"}; !slices.Equal(got, want) {
			t.Errorf("on record: %v, want %v", got, want)
		}
	})
}
