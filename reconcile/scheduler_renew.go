package reconcile

import (
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// made remembers what a Job was prepared from, until the decisions of this look
// have come to an end.
func (p *protocol) made(job *batchv1.Job, cj *batchv1.CronJob) {
	if p.from != nil {
		p.from[job.UID] = &cj.Spec.JobTemplate
	}
}

// mostAnew is how many Jobs of a slot one look prepares before it goes on with
// one of an earlier revision: under edits without end each would be thrown away
// for the next.
const mostAnew = 2

// outdated reports whether a prepared job is of an earlier revision than its
// CronJob by now. After too many tries one is good that has the same template.
func (p *protocol) outdated(cj *batchv1.CronJob, job *batchv1.Job) bool {
	if _, prepared := job.Annotations[schema.AnnotationPrepared]; !prepared {
		return false
	}
	if from := p.from[job.UID]; from != nil && len(p.from) >= mostAnew {
		return !equality.Semantic.DeepEqual(*from, cj.Spec.JobTemplate)
	}
	run, _ := schedule.RunOf(cj, job)
	want := schedule.NewRun(cj, p.Sync, run.Slot)
	return job.Annotations[schema.AnnotationRevision] != want.Annotations[schema.AnnotationRevision]
}

// renew takes a prepared Job of an earlier revision out of the way, so that the
// next decision prepares one of the present revision. The view is new after it.
//
// The Job is after the cursor, where a leader may be about to commit to it. It
// cannot: a commit on an earlier state than the one that is read here first is
// refused by its resourceVersion, and on this one nobody goes on with the Job.
func (p *protocol) renew(ctx context.Context, job *batchv1.Job) error {
	if err := p.relive(ctx); err != nil {
		return err
	}
	cj := p.view.CronJob
	if cj == nil || !p.outdated(cj, job) {
		return nil
	}
	run, _ := schedule.RunOf(cj, job)
	state := schedule.StateOf(schedule.View{CronJob: cj})
	if slices.Contains(state.Active, run.Ref()) || !run.Slot.After(state.Cursor.Slot) {
		return nil // committed to meanwhile, or resolved otherwise
	}
	p.Log.Info("a run was prepared before its schedule was edited; preparing it anew", "cronjob", p.name.String(), "job", job.Name)
	err := p.Keeper.Delete(ctx, job, schedule.DeleteUnreleased)
	if err != nil {
		return p.stale(ctx, run, fmt.Errorf("deleting Job %s, which is of an earlier revision: %w", job.Name, err))
	}
	p.drop(job.UID)
	return nil
}
