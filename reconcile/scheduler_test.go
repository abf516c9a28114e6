package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

func TestAScheduleFiresOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		since := time.Now()
		m.cronJob("tick", "* * * * *", batchv1.AllowConcurrent)
		c := m.client(1)
		run(t, c.scheduler(t), 10*time.Minute+30*time.Second)
		m.check("tick", "* * * * *", since, map[schedule.Outcome]int{schedule.Ran: 10})
		if got := len(m.jobs); got != 3 {
			t.Errorf("%d Jobs are left, want the 3 of the history limit", got)
		}
		cj := m.cronJobs[keyOf("tick")]
		if len(cj.Status.Active) != 0 || cj.Status.LastScheduleTime == nil || cj.Status.LastSuccessfulTime == nil {
			t.Errorf("status %+v", cj.Status)
		}
		if slices.Contains(c.names, "live") {
			t.Errorf("undisturbed, it had to read live: %v", c.names)
		}
		// Per run: prepare, commit, release, and the commit that forgets it.
		if want := 10*4 + 1 + 7; c.calls != want {
			t.Errorf("%d calls, want %d: %v", c.calls, want, c.names)
		}
	})
}

// disturb runs two schedules through a fault at the given call, a restart
// after it, and an edit, and returns the model and the number of calls.
func disturb(t *testing.T, at int, after bool, crash bool) (*model, int) {
	m := newModel(t)
	m.duration, m.dying = 75*time.Second, 3*time.Second
	since := time.Now()
	m.cronJob("allow", "* * * * *", batchv1.AllowConcurrent)
	m.cronJob("forbid", "* * * * *", batchv1.ForbidConcurrent)
	m.cronJob("replace", "* * * * *", batchv1.ReplaceConcurrent)
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
	stop := time.AfterFunc(4*time.Minute+10*time.Second, cancel)
	if err := c.scheduler(t).Run(ctx); err != nil {
		t.Error(err)
	}
	stop.Stop()
	next := m.client(2)
	next.lag = 5 * time.Millisecond
	run(t, next.scheduler(t), 7*time.Minute+30*time.Second-time.Since(since))
	// A fault costs no run: the next try, or the next leader, makes it.
	m.check("allow", "* * * * *", since, map[schedule.Outcome]int{schedule.Ran: 7})
	m.check("forbid", "* * * * *", since, nil)
	m.check("replace", "* * * * *", since, nil)
	for _, job := range m.overlaps {
		if job[:5] != "allow" {
			t.Errorf("OVERLAP: %s began while another run's Pods were there", job)
		}
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
	return m, c.calls
}

func TestNoSlotIsLostOrDoubledByAFaultAtAnyCall(t *testing.T) {
	var calls int
	synctest.Test(t, func(t *testing.T) { _, calls = disturb(t, -1, false, false) })
	if calls < 30 {
		t.Fatalf("only %d calls", calls)
	}
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

func TestTwoLeadersDoNoHarm(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel(t)
				m.duration, m.dying = 75*time.Second, 3*time.Second
				since := time.Now()
				m.cronJob("allow", "* * * * *", batchv1.AllowConcurrent)
				m.cronJob("forbid", "* * * * *", batchv1.ForbidConcurrent)
				m.cronJob("replace", "* * * * *", batchv1.ReplaceConcurrent)
				done := make(chan struct{})
				for i := range uint64(3) {
					c := m.client(seed*10 + i)
					c.lag, c.slow = time.Duration(i)*400*time.Millisecond, 300*time.Millisecond
					go func() {
						run(t, c.scheduler(t), 7*time.Minute+30*time.Second)
						done <- struct{}{}
					}()
				}
				for range 3 {
					<-done
				}
				for _, name := range []string{"allow", "forbid", "replace"} {
					m.check(name, "* * * * *", since, nil)
				}
				for _, job := range m.overlaps {
					if job[:5] != "allow" {
						t.Errorf("OVERLAP: %s", job)
					}
				}
			})
		})
	}
}

// A leader that is frozen at any call, and thaws when another has long gone on,
// changes nothing any more.
func TestAFrozenLeaderDoesNoHarm(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 3
	}
	for at := 1; at <= 40; at += step {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel(t)
				m.duration, m.dying = 75*time.Second, 3*time.Second
				since := time.Now()
				m.cronJob("allow", "* * * * *", batchv1.AllowConcurrent)
				m.cronJob("forbid", "* * * * *", batchv1.ForbidConcurrent)
				m.cronJob("replace", "* * * * *", batchv1.ReplaceConcurrent)
				frozen, next := m.client(1), m.client(2)
				next.lag = 300 * time.Millisecond
				frozen.fault = func(call int, after bool) error {
					if call == at && !after {
						time.Sleep(150 * time.Second)
					}
					return nil
				}
				done := make(chan struct{})
				for _, c := range []*modelClient{frozen, next} {
					go func() {
						run(t, c.scheduler(t), 9*time.Minute+30*time.Second)
						done <- struct{}{}
					}()
				}
				<-done
				<-done
				m.check("allow", "* * * * *", since, map[schedule.Outcome]int{schedule.Ran: 9})
				m.check("forbid", "* * * * *", since, nil)
				m.check("replace", "* * * * *", since, nil)
				for _, job := range m.overlaps {
					if job[:5] != "allow" {
						t.Errorf("OVERLAP: %s", job)
					}
				}
			})
		})
	}
}

// A release that is sent in time and arrives when another leader withdraws the
// run either comes first or comes to nothing.
func TestAReleaseThatMeetsAWithdrawal(t *testing.T) {
	withdrawn := 0
	for i := range 40 {
		synctest.Test(t, func(t *testing.T) {
			m := newModel(t)
			since := time.Now()
			deadline := int64(10)
			m.cronJob("w", "*/5 * * * *", batchv1.AllowConcurrent, func(cj *batchv1.CronJob) { cj.Spec.StartingDeadlineSeconds = &deadline })
			late, other := m.client(1), m.client(uint64(i))
			other.slow = 300 * time.Millisecond
			late.fault = func(call int, after bool) error {
				if !after && late.names[len(late.names)-1] == "release" {
					time.Sleep(9800*time.Millisecond + time.Duration(i)*40*time.Millisecond)
				}
				return nil
			}
			go run(t, late.scheduler(t), 8*time.Minute)
			time.Sleep(time.Until(since.Add(5*time.Minute + 10*time.Second + 20*time.Millisecond)))
			run(t, other.scheduler(t), 3*time.Minute)
			m.check("w", "*/5 * * * *", since, nil)
			if slices.Contains(other.names, "withdraw") {
				withdrawn++
			}
		})
	}
	if withdrawn == 0 {
		t.Error("no run was withdrawn")
	}
}

func TestForbidWaitsForPodsThatOutliveTheirJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		m.duration, m.dying = 10*time.Minute, 50*time.Second
		since := time.Now()
		m.cronJob("f", "* * * * *", batchv1.ForbidConcurrent)
		c := m.client(1)
		go run(t, c.scheduler(t), 5*time.Minute+40*time.Second)
		time.Sleep(2*time.Minute + 5*time.Second)
		first := m.job(schedule.JobName("f", since.Truncate(time.Minute).Add(time.Minute)))
		// A person deletes the run in the background.
		if err := m.client(9).Delete(t.Context(), first, schedule.DeleteFinished); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Minute)
		m.check("f", "* * * * *", since, nil)
		if len(m.overlaps) > 0 || len(m.runs()) != 2 {
			t.Errorf("overlaps %v, begun %v", m.overlaps, m.runs())
		}
	})
}

func TestForbidIsLateNotNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		m.duration = 150 * time.Second
		since := time.Now()
		m.cronJob("slow", "* * * * *", batchv1.ForbidConcurrent)
		run(t, m.client(1).scheduler(t), 10*time.Minute+40*time.Second)
		m.check("slow", "* * * * *", since, nil)
		second := m.runs()[schedule.JobName("slow", since.Truncate(time.Minute).Add(3*time.Minute))]
		if len(second) != 1 || second[0].Sub(since.Truncate(time.Minute)) > 3*time.Minute+31*time.Second {
			t.Errorf("the latest waiting slot began at %v, want when the first run ended", second)
		}
		if !slices.Contains(m.events, "slow JobAlreadyActive") {
			t.Errorf("events %v", m.events)
		}
		if len(m.overlaps) > 0 {
			t.Errorf("overlaps %v", m.overlaps)
		}
	})
}

func TestADeadlineThatIsMissedIsRecordedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		m.duration = 150 * time.Second
		since := time.Now()
		deadline := int64(10)
		m.cronJob("strict", "* * * * *", batchv1.ForbidConcurrent, func(cj *batchv1.CronJob) { cj.Spec.StartingDeadlineSeconds = &deadline })
		run(t, m.client(1).scheduler(t), 10*time.Minute+40*time.Second)
		m.check("strict", "* * * * *", since, map[schedule.Outcome]int{schedule.Ran: 4, schedule.Skipped: 6})
		if !slices.Contains(m.events, "strict MissSchedule") {
			t.Errorf("events %v", m.events)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		since := time.Now()
		m.cronJob("p", "* * * * *", batchv1.AllowConcurrent)
		go run(t, m.client(1).scheduler(t), 12*time.Minute+40*time.Second)
		time.Sleep(2*time.Minute + 30*time.Second)
		until := since.Add(7*time.Minute + 30*time.Second).UTC().Format(time.RFC3339)
		m.edit("p", func(cj *batchv1.CronJob) {
			cj.Annotations[schema.AnnotationPause] = `until=` + until + ` reason="ledger migration"`
		})
		time.Sleep(4 * time.Minute)
		if got := len(m.runs()); got != 2 {
			t.Errorf("%d runs began before the pause ended, want 2", got)
		}
		time.Sleep(6*time.Minute + 20*time.Second)
		m.check("p", "* * * * *", since, map[schedule.Outcome]int{schedule.Ran: 8, schedule.Skipped: 4})
		// The latest slot of the pause starts when it ends.
		late := m.runs()[schedule.JobName("p", since.Add(7*time.Minute))]
		if len(late) != 1 || late[0].Sub(since) < 7*time.Minute+30*time.Second {
			t.Errorf("the latest missed run began at %v", late)
		}
	})
}

func TestAnEditNeverFiresWhatIsPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		since := time.Now()
		m.cronJob("e", "*/7 * * * *", batchv1.AllowConcurrent)
		go run(t, m.client(1).scheduler(t), 30*time.Minute)
		time.Sleep(10*time.Minute + 30*time.Second)
		m.edit("e", func(cj *batchv1.CronJob) { cj.Spec.Schedule = "*/9 * * * *" })
		time.Sleep(19 * time.Minute)
		var began []int
		for slot := since.Truncate(time.Minute); slot.Before(since.Add(29 * time.Minute)); slot = slot.Add(time.Minute) {
			if len(m.runs()[schedule.JobName("e", slot)]) > 0 {
				began = append(began, slot.Minute())
			}
		}
		if want := []int{7, 18, 27}; !slices.Equal(began, want) {
			t.Errorf("runs of the minutes %v began, want %v", began, want)
		}
	})
}

func TestAStrangersJobOfTheRunsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		since := time.Now()
		m.cronJob("n", "* * * * *", batchv1.AllowConcurrent)
		stranger := schedule.JobName("n", since.Truncate(time.Minute).Add(2*time.Minute))
		hold := true
		m.mu.Lock()
		m.put(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "batch", Name: stranger, UID: "stranger"}, Spec: batchv1.JobSpec{Suspend: &hold}})
		m.mu.Unlock()
		run(t, m.client(1).scheduler(t), 5*time.Minute+40*time.Second)
		m.check("n", "* * * * *", since, map[schedule.Outcome]int{schedule.Ran: 4, schedule.Skipped: 1})
		if job := m.job(stranger); job == nil || job.UID != "stranger" {
			t.Error("the stranger's Job was touched")
		}
		if !slices.Contains(m.events, "n UnexpectedJob") {
			t.Errorf("events %v", m.events)
		}
	})
}

func TestABrokenScheduleStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		since := time.Now()
		m.cronJob("good", "* * * * *", batchv1.AllowConcurrent)
		m.cronJob("bad", "* * 30 2 *", batchv1.AllowConcurrent)
		zone := "Europe/Atlantis"
		m.cronJob("lost", "* * * * *", batchv1.AllowConcurrent, func(cj *batchv1.CronJob) { cj.Spec.TimeZone = &zone })
		s := m.client(1).scheduler(t)
		run(t, s, 5*time.Minute+40*time.Second)
		m.check("good", "* * * * *", since, map[schedule.Outcome]int{schedule.Ran: 5})
		for _, want := range []string{"bad UnparseableSchedule", "lost UnknownTimeZone"} {
			if n := countOf(m.events, want); n != 1 {
				t.Errorf("%d events %q, want 1", n, want)
			}
		}
		if got := len(s.Reports()); got != 3 {
			t.Errorf("%d reports, want 3", got)
		}
	})
}

func TestARunThatAPersonSuspendedIsNeitherReleasedNorSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		since := time.Now()
		m.duration = 10 * time.Minute
		m.cronJob("s", "*/5 * * * *", batchv1.ForbidConcurrent)
		go run(t, m.client(1).scheduler(t), 20*time.Minute)
		time.Sleep(5*time.Minute + 10*time.Second)
		name := schedule.JobName("s", since.Truncate(time.Minute).Add(5*time.Minute))
		hold := true
		m.editJob(name, func(j *batchv1.Job) { j.Spec.Suspend = &hold })
		time.Sleep(4 * time.Minute)
		job := m.job(name)
		if job == nil || job.Spec.Suspend == nil || !*job.Spec.Suspend {
			t.Errorf("the Job is %+v", job)
		}
		time.Sleep(11 * time.Minute)
	})
}

func TestTakingOverWhatTheClustersControllerRan(t *testing.T) {
	for _, policy := range []batchv1.ConcurrencyPolicy{batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel(t)
				since := time.Now()
				slot := since.Truncate(time.Minute)
				m.duration = 150 * time.Second
				m.cronJob("o", "* * * * *", policy, func(cj *batchv1.CronJob) {
					cj.CreationTimestamp.Time = since.Add(-time.Hour)
					cj.Status.LastScheduleTime = &metav1.Time{Time: slot.Add(-time.Minute)}
				})
				// The native controller started the run of this minute and has
				// not recorded it yet.
				m.mu.Lock()
				cj := m.cronJobs[keyOf("o")]
				m.put(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{
					Namespace: "batch", Name: schedule.JobName("o", slot), UID: "native",
					Annotations:     map[string]string{schedule.AnnotationScheduled: slot.Format(time.RFC3339)},
					OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cj, batchv1.SchemeGroupVersion.WithKind("CronJob"))},
				}})
				m.mu.Unlock()
				run(t, m.client(1).scheduler(t), 9*time.Minute+40*time.Second)
				m.check("o", "* * * * *", since, nil)
				if n := m.created[schedule.JobName("o", slot)]; n != 0 {
					t.Errorf("the slot that had run was started again")
				}
				if job := m.job(schedule.JobName("o", slot)); job != nil && job.Labels[schema.LabelSchedule] != "o" {
					t.Error("the native run was not labelled")
				}
				if m.job(schedule.JobName("o", slot)) != nil && policy == batchv1.ReplaceConcurrent {
					t.Error("the native run was not replaced")
				}
			})
		})
	}
}

func TestAClockThatJumpsFiresNeitherEarlyNorAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		m.cronJob("j", "*/5 * * * *", batchv1.AllowConcurrent)
		var offset atomic.Int64
		c := m.client(1)
		s := c.scheduler(t)
		s.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		go run(t, s, time.Hour)
		time.Sleep(11 * time.Minute)
		offset.Store(int64(-8 * time.Minute)) // back over two slots
		time.Sleep(7 * time.Minute)
		if n := len(m.runs()); n != 2 {
			t.Errorf("%d runs after the clock went back, want 2", n)
		}
		offset.Store(int64(time.Hour)) // forward over many
		time.Sleep(3 * time.Second)
		if n := len(m.runs()); n != 3 {
			t.Errorf("%d runs after the clock went forward, want 3: the latest missed, at once", n)
		}
		for name, began := range m.runs() {
			if len(began) != 1 {
				t.Errorf("%s began %d times", name, len(began))
			}
		}
		time.Sleep(50 * time.Minute)
	})
}

func keyOf(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "batch", Name: name}
}

func countOf(all []string, one string) int {
	n := 0
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}
