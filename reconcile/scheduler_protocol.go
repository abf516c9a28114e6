package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// protocol carries out one decision on one view. What it learns, it writes
// into the view, for the next decision. See Scheduler for what a crash between
// any two of its calls leaves behind.
type protocol struct {
	*Scheduler
	name types.NamespacedName
	view schedule.View
	spec schedule.Spec
	told []func()
	// from has what the Jobs of this look were prepared from; nil remembers
	// nothing.
	from map[types.UID]*batchv1.JobTemplateSpec
}

// podsPoll is how often Pods that outlive their run are looked for again.
const podsPoll = time.Second

// carryOut does what the actions say. It returns how long to wait before
// deciding again, zero for at once.
func (p *protocol) carryOut(ctx context.Context, actions []schedule.Action) (time.Duration, error) {
	if learned, err := p.verify(ctx, actions); learned || err != nil {
		return 0, err
	}
	actions, started, err := p.beforeRecord(ctx, actions)
	if err != nil {
		return 0, err
	}
	if actions == nil {
		return 0, nil // the view was wrong and is new
	}
	recorded, err := p.record(ctx, actions, started)
	if err != nil || !recorded {
		return 0, err
	}
	for _, tell := range p.told {
		tell()
	}
	p.announce(actions)
	return p.afterRecord(ctx, actions)
}

// verify reads references live, and reports whether there were any.
func (p *protocol) verify(ctx context.Context, actions []schedule.Action) (bool, error) {
	learned := false
	for _, a := range actions {
		v, ok := a.(schedule.Verify)
		if !ok {
			continue
		}
		learned = true
		if err := p.reread(ctx, v.Ref); err != nil {
			return true, err
		}
	}
	return learned, nil
}

// reread puts the live state of a Job into the view.
func (p *protocol) reread(ctx context.Context, ref schedule.Ref) error {
	job, err := p.Reader.Job(ctx, types.NamespacedName{Namespace: p.name.Namespace, Name: ref.Name})
	switch {
	case apierrors.IsNotFound(err) || (err == nil && job.UID != ref.UID):
		p.drop(ref.UID)
		return nil
	case err != nil:
		return fmt.Errorf("reading Job %s: %w", ref.Name, err)
	}
	p.learn(job)
	return nil
}

// learn puts a Job into the view and remembers it.
func (p *protocol) learn(job *batchv1.Job) {
	p.memory.job(p.name, job, p.Now())
	jobs := slices.DeleteFunc(slices.Clone(p.view.Jobs), func(j *batchv1.Job) bool { return j.UID == job.UID })
	p.view.Jobs = append(jobs, job)
}

// drop takes a Job that is gone out of the view.
func (p *protocol) drop(uid types.UID) {
	p.memory.dropJob(p.name, uid)
	p.view.Jobs = slices.DeleteFunc(slices.Clone(p.view.Jobs), func(j *batchv1.Job) bool { return j.UID == uid })
	if p.view.Gone == nil {
		p.view.Gone = map[types.UID]bool{}
	}
	p.view.Gone[uid] = true
}

// relive replaces the view's CronJob by the live one. Jobs may stay as they
// were seen: the record says which of them count, and every write to a Job
// tests what it was decided on.
func (p *protocol) relive(ctx context.Context) error {
	cj, err := p.Reader.Live(ctx, p.name)
	if err != nil {
		return fmt.Errorf("reading CronJob %s: %w", p.name, err)
	}
	if cj != nil {
		p.memory.cronJob(cj)
	}
	p.view.CronJob = cj
	return nil
}

// beforeRecord makes the writes that must come before the record: the Jobs to
// commit to, and the marks on those to withdraw. It returns the actions that
// are still right, or nil if the view turned out to be wrong.
func (p *protocol) beforeRecord(ctx context.Context, actions []schedule.Action) ([]schedule.Action, map[string]*batchv1.Job, error) {
	started := map[string]*batchv1.Job{}
	var out []schedule.Action
	for _, a := range actions {
		switch a := a.(type) {
		case schedule.Adopt:
			if err := p.takeOver(ctx); err != nil {
				return nil, nil, err
			}
		case schedule.Withdraw:
			if ok, err := p.mark(ctx, a.Run); err != nil || !ok {
				return nil, nil, err
			}
		case schedule.Start:
			job, stranger, err := p.prepare(ctx, a)
			if err != nil || (job == nil && !stranger) {
				return nil, nil, err
			}
			if stranger {
				out = append(out, taken(a), schedule.Resume{})
				continue
			}
			if ok, err := p.claim(ctx, job); err != nil || !ok {
				return nil, nil, err
			}
			started[a.Name] = job
		}
		out = append(out, a)
	}
	return out, started, nil
}

// taken is what becomes of a start whose name a stranger's Job has.
func taken(a schedule.Start) schedule.Action {
	if a.Retry > 0 {
		return schedule.DropRetry{Slot: a.Slot, Number: a.Retry, Reason: schedule.NameTaken, By: a.Name}
	}
	return schedule.Skip{First: a.Slot, Last: a.Slot, Count: 1, Reason: schedule.NameTaken, By: a.Name}
}

// prepare creates the Job of a start, or finds the one that an earlier try
// created. stranger means that the name belongs to something else; neither, that
// the view was wrong and is new.
func (p *protocol) prepare(ctx context.Context, a schedule.Start) (job *batchv1.Job, stranger bool, err error) {
	cj := p.view.CronJob
	wanted := schedule.NewRun(cj, p.Sync, a.Slot)
	if a.Retry > 0 {
		wanted = schedule.NewRetry(cj, p.Sync, a.Slot, a.Retry)
	}
	job, err = p.Writer.Prepare(ctx, wanted)
	if err == nil {
		p.made(job, cj)
		p.learn(job)
		p.told = append(p.told, func() {
			p.Events.Event(cj, false, "SuccessfulCreate", "Created job "+job.Name)
		})
		return job, false, nil
	}
	if !apierrors.IsAlreadyExists(err) {
		if refused(err) && !apierrors.HasStatusCause(err, "NamespaceTerminating") {
			p.tell(cj, []*schema.Problem{{Rule: "R312", Severity: schema.SeverityWarning,
				Message: fmt.Sprintf("the run %s was refused: %v", a.Name, err), Cause: err}})
		}
		return nil, false, fmt.Errorf("preparing Job %s: %w", a.Name, err)
	}
	job, err = p.Reader.Job(ctx, types.NamespacedName{Namespace: cj.Namespace, Name: a.Name})
	if err != nil {
		return nil, false, fmt.Errorf("reading Job %s, which exists: %w", a.Name, err)
	}
	run, ours := schedule.RunOf(cj, job)
	switch {
	case ours && !run.Deleting && p.outdated(cj, job):
		return nil, false, p.renew(ctx, job)
	case ours && run.Slot.Equal(a.Slot) && !run.Deleting && !run.Withdrawn:
		// Ours from an earlier try; or the run of this slot that the cluster's
		// own controller made while the CronJob was not borrowed: then it ran,
		// and is recorded like any other.
		p.learn(job)
		return job, false, nil
	case ours || job.Labels[schema.LabelSchedule] == cj.Name:
		return nil, false, fmt.Errorf("preparing Job %s: one of that name, of an earlier try or an earlier CronJob, is not gone yet", a.Name)
	}
	p.told = append(p.told, func() {
		p.tell(cj, []*schema.Problem{{Rule: "R311", Severity: schema.SeverityWarning,
			Message: fmt.Sprintf("Job %s exists and is not a run of this CronJob; the slot %s is skipped", a.Name, a.Slot.Format(time.RFC3339))}})
	})
	return nil, true, nil
}

// refused reports whether the API server said no, so that nothing was written.
func refused(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
}

// mark makes sure that nothing can release the run, and reports whether the
// view still stands.
func (p *protocol) mark(ctx context.Context, run schedule.Run) (bool, error) {
	job := p.find(run.UID)
	if run.Withdrawn || job == nil {
		return job != nil, nil
	}
	marked, err := p.Writer.Withdraw(ctx, job)
	if err != nil {
		return false, p.stale(ctx, run, fmt.Errorf("withdrawing Job %s: %w", run.Name, err))
	}
	p.learn(marked)
	return true, nil
}

// stale reads a Job live after a conditional write failed. It returns err if
// that tells nothing.
func (p *protocol) stale(ctx context.Context, run schedule.Run, err error) error {
	if apierrors.IsInvalid(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return p.reread(ctx, run.Ref())
	}
	return err
}

func (p *protocol) find(uid types.UID) *batchv1.Job {
	for _, job := range p.view.Jobs {
		if job.UID == uid {
			return job
		}
	}
	return nil
}

// takeOver labels what the cluster's own controller started.
func (p *protocol) takeOver(ctx context.Context) error {
	owned, err := p.Keeper.Owned(ctx, p.view.CronJob)
	if err != nil {
		return fmt.Errorf("listing the Jobs of CronJob %s: %w", p.name, err)
	}
	for _, job := range owned {
		run, ok := schedule.RunOf(p.view.CronJob, job)
		if !ok {
			continue
		}
		if run.Unwatched && !run.Deleting {
			claimed, err := p.Keeper.Claim(ctx, p.view.CronJob, job)
			if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("taking over Job %s: %w", job.Name, err)
			}
			job = claimed
		}
		p.learn(job)
	}
	return nil
}

// record commits. It reports false if another's record came first, or might
// have: then the view is a live one.
func (p *protocol) record(ctx context.Context, actions []schedule.Action, started map[string]*batchv1.Job) (bool, error) {
	updated, err := schedule.Record(p.view, actions, started)
	if err != nil {
		return false, err
	}
	if updated == nil {
		return true, nil
	}
	stored, err := p.Writer.Commit(ctx, updated)
	if err == nil {
		p.memory.cronJob(stored)
		p.view.CronJob = stored
		return true, nil
	}
	if ctx.Err() != nil || refused(err) {
		return false, fmt.Errorf("committing CronJob %s: %w", p.name, err)
	}
	p.Log.Debug("a commit was refused or its answer lost; reading live", "cronjob", p.name.String(), "error", err)
	if err := p.relive(ctx); err != nil {
		return false, err
	}
	if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && p.view.CronJob != nil &&
		p.view.CronJob.ResourceVersion == updated.ResourceVersion {
		// Not written, or not yet: pause, so that a struggling server is not pressed.
		return false, fmt.Errorf("committing CronJob %s: %w", p.name, err)
	}
	return false, nil
}

// afterRecord clears away and releases; each on its own, so that one that
// fails does not hold up the others.
func (p *protocol) afterRecord(ctx context.Context, actions []schedule.Action) (time.Duration, error) {
	var errs []error
	var wait time.Duration
	acted := slices.ContainsFunc(actions, schedule.Recorded)
	for _, a := range actions {
		var err error
		var did bool
		switch a := a.(type) {
		case schedule.Stop:
			did, err = p.delete(ctx, a.Run, schedule.DeleteReplaced)
		case schedule.Sweep:
			did, err = p.delete(ctx, a.Run, schedule.DeleteUnreleased)
		case schedule.DeleteHistory:
			did, err = p.delete(ctx, a.Run, schedule.DeleteFinished)
		case schedule.Reserve:
			if job := p.find(a.Run.UID); job != nil {
				_, err = p.claim(ctx, job)
				did = err == nil
			}
		case schedule.Release:
			if did, err = p.release(ctx, a); !did && err == nil {
				wait = podsPoll
			}
		}
		acted = acted || did
		if err != nil {
			errs = append(errs, err)
		}
	}
	if acted {
		wait = 0
	}
	return wait, errors.Join(errs...)
}

func (p *protocol) delete(ctx context.Context, run schedule.Run, how schedule.Deletion) (bool, error) {
	job := p.find(run.UID)
	if job == nil {
		return false, nil
	}
	if err := p.Keeper.Delete(ctx, job, how); err != nil {
		err = fmt.Errorf("deleting Job %s: %w", run.Name, err)
		if how != schedule.DeleteUnreleased {
			p.Events.Event(p.view.CronJob, true, "FailedDelete", err.Error())
		}
		return true, p.stale(ctx, run, err)
	}
	going := job.DeepCopy()
	if going.DeletionTimestamp == nil {
		going.DeletionTimestamp = &metav1.Time{Time: p.Now()}
	}
	p.learn(going)
	if how != schedule.DeleteUnreleased {
		p.Events.Event(p.view.CronJob, false, "SuccessfulDelete", "Deleted job "+run.Name)
	}
	return true, nil
}

// release reports false if Pods of another run are in the way.
func (p *protocol) release(ctx context.Context, a schedule.Release) (bool, error) {
	job := p.find(a.Run.UID)
	if job == nil {
		return true, nil
	}
	if a.Strict {
		left, err := p.Keeper.Pods(ctx, p.name, a.Run.UID)
		if err != nil {
			return false, fmt.Errorf("listing the Pods of CronJob %s: %w", p.name, err)
		}
		if len(left) > 0 {
			p.Log.Info("a run waits for Pods of another", "cronjob", p.name.String(), "job", a.Run.Name, "pods", left)
			return false, nil
		}
	}
	released, err := p.Writer.Release(ctx, job)
	if err != nil {
		return true, p.stale(ctx, a.Run, fmt.Errorf("releasing Job %s: %w", a.Run.Name, err))
	}
	p.learn(released)
	return true, nil
}

// announce tells people what was recorded, with Kubernetes' own reasons.
func (p *protocol) announce(actions []schedule.Action) {
	cj := p.view.CronJob
	for _, a := range actions {
		switch a := a.(type) {
		case schedule.Forget:
			if a.Run.Finished != "" {
				p.Events.Event(cj, false, "SawCompletedJob", fmt.Sprintf("Saw completed job: %s, condition: %s", a.Ref.Name, a.Run.Finished))
			} else {
				p.Events.Event(cj, false, "MissingJob", "Active job went missing: "+a.Ref.Name)
			}
			if a.Retry != nil && a.Retry.Outcome == "" {
				p.Events.Event(cj, false, "RetryScheduled", fmt.Sprintf("Job %s failed; retry %d starts at %s", a.Ref.Name, a.Retry.Number, a.Retry.Due.Format(time.RFC1123Z)))
			}
		case schedule.Skip:
			if a.Reason == schedule.DeadlineMissed {
				p.Events.Event(cj, true, "MissSchedule", fmt.Sprintf("Missed scheduled time to start %d job(s), the last: %s",
					a.Count, a.Last.Format(time.RFC1123Z)))
			}
		case schedule.Withdraw:
			if a.Reason == schedule.DeadlineMissed {
				p.Events.Event(cj, true, "MissSchedule", "Missed scheduled time to start a job: "+a.Run.Slot.Format(time.RFC1123Z))
			}
		case schedule.DropRetry:
			p.Events.Event(cj, true, "RetryDropped", fmt.Sprintf("Retry %d of the slot %s does not start: %s", a.Number, a.Slot.Format(time.RFC1123Z), a.Reason))
		case schedule.HoldBack:
			if a.Hold.Reason == schedule.GroupFull {
				p.Events.Event(cj, false, "ConcurrencyGroupFull", "Not starting job because its concurrency group has no place: "+a.Hold.By)
			}
			if a.Hold.Reason == schedule.Blocked {
				p.Events.Event(cj, false, "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid: "+a.Hold.By)
			}
		}
	}
	for _, a := range actions {
		if s, ok := a.(schedule.Skip); ok {
			p.Log.Info("slots skipped", "cronjob", p.name.String(), "first", s.First, "last", s.Last, "count", s.Count, "reason", s.Reason, "by", s.By)
		}
		if s, ok := a.(schedule.Start); ok {
			p.Log.Info("run committed", "cronjob", p.name.String(), "job", s.Name, "slot", s.Slot, "late", p.Now().Sub(s.Slot))
		}
	}
}
