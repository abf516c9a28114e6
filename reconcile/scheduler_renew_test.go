package reconcile

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// An edit that comes between the prepare and the commit of a run belongs
// before the commit, and so the run has to be of the new revision.
func TestARunThatWasPreparedBeforeAnEditIsPreparedAnew(t *testing.T) {
	commit := func(revision string) func(*batchv1.CronJob) {
		return func(cj *batchv1.CronJob) { cj.Annotations[schema.AnnotationRevision] = revision }
	}
	for name, disturb := range map[string]func(m *model, c *modelClient, crash func()) error{
		"the edit makes the commit fail": func(m *model, _ *modelClient, _ func()) error { m.edit("e", commit("r2")); return nil },
		"the leader crashes, and the edit comes before the next": func(m *model, _ *modelClient, crash func()) error {
			crash()
			m.edit("e", commit("r2"))
			return errors.New("crashed")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel(t)
				since := time.Now()
				m.cronJob("e", "*/5 * * * *", batchv1.AllowConcurrent)
				ctx, crash := context.WithTimeout(t.Context(), 12*time.Minute)
				defer crash()
				c, done := m.client(1), false
				c.lag = time.Second
				c.fault = func(_ int, after bool) error {
					if n := len(c.names); done || after || n < 2 || c.names[n-1] != "commit" || c.names[n-2] != "prepare" {
						return nil
					}
					done = true
					return disturb(m, c, crash)
				}
				if err := c.scheduler(t).Run(ctx); err != nil {
					t.Error(err)
				}
				run(t, m.client(2).scheduler(t), 12*time.Minute-time.Since(since)+time.Minute)
				m.check("e", "*/5 * * * *", since, map[schedule.Outcome]int{schedule.Ran: 2})
				slot := schedule.JobName("e", since.Add(5*time.Minute))
				if job := m.job(slot); job == nil || job.Annotations[schema.AnnotationRevision] != "r2" {
					t.Errorf("the run is %+v, want one of revision r2", job)
				}
				if !done || !slices.Contains(c.names, "prepare") {
					t.Error("nothing was disturbed")
				}
			})
		})
	}
}
