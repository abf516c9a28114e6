package reconcile

import (
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// Two leaders prepare the same Job, and one is slower with its commit: when
// that is refused, the Job is the other's.
func TestTheLoserOfAConflictLeavesTheJobToTheWinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		since := time.Now()
		m.cronJob("c", "*/5 * * * *", batchv1.ForbidConcurrent)
		loser, winner := m.client(1), m.client(2)
		lost := false
		loser.fault = func(_ int, after bool) error {
			if !after && loser.names[len(loser.names)-1] == "commit" && time.Since(since) >= 5*time.Minute {
				lost = true
				time.Sleep(2 * time.Second) // the winner commits and releases meanwhile
			}
			return nil
		}
		winner.slow = 20 * time.Millisecond
		go run(t, loser.scheduler(t), 7*time.Minute)
		run(t, winner.scheduler(t), 7*time.Minute)
		m.check("c", "*/5 * * * *", since, map[schedule.Outcome]int{schedule.Ran: 1})
		name := schedule.JobName("c", since.Add(5*time.Minute))
		if job := m.job(name); !lost || job == nil || m.created[name] != 1 {
			t.Errorf("lost %t, the Job is %v and was created %d times", lost, job, m.created[name])
		}
	})
}

// A CronJob that was deleted and made again has the names of the earlier one's
// runs; what is left of those is not its own.
func TestTheRunOfAnEarlierCronJobIsNotTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		since := time.Now()
		m.cronJob("c", "*/5 * * * *", batchv1.AllowConcurrent)
		slot := since.Add(5 * time.Minute).Truncate(time.Minute)
		earlier := m.cronJobs[keyOf("c")].DeepCopy()
		earlier.UID = "earlier"
		left := schedule.NewRun(earlier, "s", slot)
		left.UID = "left"
		m.mu.Lock()
		m.put(left)
		m.mu.Unlock()
		go run(t, m.client(1).scheduler(t), 9*time.Minute)
		time.Sleep(5*time.Minute + 30*time.Second)
		if began := m.runs()[left.Name]; len(began) != 0 || m.job(left.Name).UID != "left" {
			t.Errorf("the earlier CronJob's run began at %v", began)
		}
		// The garbage collector takes it, and the slot's own run follows.
		m.mu.Lock()
		m.remove(left)
		m.mu.Unlock()
		time.Sleep(3 * time.Minute)
		m.check("c", "*/5 * * * *", since, map[schedule.Outcome]int{schedule.Ran: 1})
		if job := m.job(left.Name); job == nil || !ownedBy(job, "uid-c") {
			t.Errorf("the run is %v", job)
		}
		time.Sleep(time.Minute)
	})
}

func ownedBy(job *batchv1.Job, uid types.UID) bool {
	for _, owner := range job.OwnerReferences {
		if owner.UID == uid {
			return true
		}
	}
	return false
}

// A queue such as Kueue takes a run whose template asks for suspend, and decides
// itself when it begins.
func TestARunThatItsTemplateSuspendsIsReleasedSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		since := time.Now()
		m.cronJob("q", "*/5 * * * *", batchv1.ForbidConcurrent, func(cj *batchv1.CronJob) {
			hold := true
			cj.Spec.JobTemplate.Spec.Suspend = &hold
		})
		go run(t, m.client(1).scheduler(t), 22*time.Minute)
		time.Sleep(12 * time.Minute)
		name := schedule.JobName("q", since.Add(5*time.Minute))
		job := m.job(name)
		if job == nil || !*job.Spec.Suspend || metav1.HasAnnotation(job.ObjectMeta, schema.AnnotationPrepared) || len(m.runs()) != 0 {
			t.Fatalf("the run is %v, and %v began", job, m.runs())
		}
		m.editJob(name, func(j *batchv1.Job) { *j.Spec.Suspend = false })
		time.Sleep(time.Minute)
		if began := m.runs(); len(began[name]) != 1 {
			t.Errorf("the queue let it go, and %v began", began)
		}
		time.Sleep(8 * time.Minute)
	})
}
