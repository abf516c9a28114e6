package reconcile

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// outdated reports whether a prepared job is of another revision than the one
// that its CronJob has by now.
func outdated(cj *batchv1.CronJob, job *batchv1.Job, sync string) bool {
	if _, prepared := job.Annotations[schema.AnnotationPrepared]; !prepared {
		return false
	}
	run, _ := schedule.RunOf(cj, job)
	want := schedule.NewRun(cj, sync, run.Slot)
	return job.Annotations[schema.AnnotationRevision] != want.Annotations[schema.AnnotationRevision]
}

// renew takes a prepared Job of an earlier revision out of the way, so that the
// next decision prepares one of the present revision. The view is new after it.
//
// The Job is after the cursor, where a leader may be about to commit to it. It
// cannot: a commit on the earlier revision is refused by its resourceVersion,
// and on the present one, which is read live first, nobody goes on with this
// Job.
func (p *protocol) renew(ctx context.Context, job *batchv1.Job) error {
	decided := p.view.CronJob.ResourceVersion
	if err := p.relive(ctx); err != nil {
		return err
	}
	if p.view.CronJob == nil || p.view.CronJob.ResourceVersion != decided {
		return nil
	}
	p.Log.Info("a run was prepared before its schedule was edited; preparing it anew", "cronjob", p.name.String(), "job", job.Name)
	err := p.Keeper.Delete(ctx, job, schedule.DeleteUnreleased)
	if err != nil {
		run, _ := schedule.RunOf(p.view.CronJob, job)
		return p.stale(ctx, run, fmt.Errorf("deleting Job %s, which is of an earlier revision: %w", job.Name, err))
	}
	p.drop(job.UID)
	return nil
}
