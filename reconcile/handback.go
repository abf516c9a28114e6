package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// RunOwner does what only a hand-back needs.
type RunOwner interface {
	// View reads a CronJob and its runs by quorum. The CronJob is nil if there
	// is none.
	View(ctx context.Context, name types.NamespacedName) (schedule.View, error)
	// Own makes cj the controller of one of its runs, as the cluster's own
	// controller has it.
	Own(ctx context.Context, cj *batchv1.CronJob, job *batchv1.Job) error
	// LetGo restores the suspend of git on a CronJob that was handed back.
	LetGo(ctx context.Context, cj *batchv1.CronJob) error
}

// handBackPoll is how often a hand-back that waits looks again.
const handBackPoll = time.Second

// HandBack gives a CronJob to the cluster's own controller, so that it neither
// waits for a run that has finished, nor leaves out a slot, nor starts one
// again. It may run beside a Scheduler of the same CronJob, for it goes by the
// same compare-and-swap, and can be repeated after a crash at any point:
//
//	settle   what was begun is brought to an end as a Scheduler does it
//	own      the CronJob becomes the controller of its runs
//	hand     PUT of status and annotations, on the resourceVersion that was
//	         settled: from here on no Scheduler touches it
//	let go   spec.suspend becomes what git says; before, nobody starts a run
//	sweep    Jobs that a Scheduler prepared and could not commit to are deleted,
//	         here and by that Scheduler
//
// It waits until no slot is near, and while a run that is committed has to;
// note is told what for. The error says why it could not be done by the end of
// ctx.
func (s *Scheduler) HandBack(ctx context.Context, name types.NamespacedName, owner RunOwner, note func(string)) error {
	if s.memory == nil {
		s.memory, s.groups = newRunMemory(), newGroupMemory()
	}
	told := ""
	for {
		waits, err := s.handBackOnce(ctx, name, owner)
		switch {
		case err != nil && ctx.Err() != nil && told != "":
			return fmt.Errorf("handing back CronJob %s: %s: %w", name, told, context.Cause(ctx))
		case err != nil:
			return fmt.Errorf("handing back CronJob %s: %w", name, err)
		case waits == "":
			return nil
		case waits != told && waits != again:
			told = waits
			note(waits)
		}
		if waits == again {
			wait(ctx, 20*time.Millisecond)
		} else {
			wait(ctx, handBackPoll)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("handing back CronJob %s: it was not done in time: %s", name, told)
		}
	}
}

// again asks for another look at once.
const again = "again"

// handBackOnce takes one step. It returns what it waits for, again, or nothing
// when all is done.
func (s *Scheduler) handBackOnce(ctx context.Context, name types.NamespacedName, owner RunOwner) (string, error) {
	view, err := owner.View(ctx, name)
	if err != nil {
		return "", err
	}
	cj := view.CronJob
	if cj == nil {
		return "", errors.New("there is no such CronJob")
	}
	if back, unfinished := schedule.HandedBack(cj); unfinished {
		return again, stepped(owner.LetGo(ctx, cj))
	} else if back {
		return "", s.sweepLeft(ctx, view)
	}
	spec, err := schedule.SpecOf(cj)
	if err != nil {
		return "", err
	}
	now := s.Now()
	if p := spec.Pause; p != nil && (p.Until.IsZero() || p.Until.After(now)) {
		return "", &schema.Problem{Rule: "R341", Severity: schema.SeverityError, Message: "it is paused " + p.Describe(time.UTC) + ", and the cluster's own controller knows no pause",
			Mend: "Resume it first: rota resume " + name.Name + "."}
	}
	if quiet := schedule.QuietFrom(spec, now); quiet.After(now) {
		return "a slot is near; it goes on at " + schedule.ShowTime(quiet.Truncate(time.Second).Add(time.Second), time.UTC), nil
	}
	// Places in a concurrency group are given by the Scheduler that knows all
	// of the group; a run that waits for one is waited for here.
	view.GroupUnknown = spec.Rules.ConcurrencyGroup != nil
	state := schedule.StateOf(view)
	if actions := schedule.Settling(spec, state, now); len(actions) > 0 {
		run := protocol{Scheduler: s, name: name, view: view, spec: spec}
		settled, err := run.carryOut(ctx, actions)
		if settled > 0 {
			return "Pods of another run are still there", err
		}
		return again, err
	}
	if left := schedule.Committed(state); len(left) > 0 {
		return "the run " + left[0].Name + " is committed and waits for another to end", nil
	}
	for _, job := range view.Jobs {
		if run, ok := schedule.RunOf(cj, job); !ok || run.Native || run.Prepared || run.Deleting {
			continue
		}
		if err := stepped(owner.Own(ctx, cj, job)); err != nil {
			return "", err
		}
	}
	_, err = s.Writer.Commit(ctx, schedule.HandBack(view, now))
	return again, stepped(err)
}

// stepped hides errors that another look mends.
func stepped(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsInvalid(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// sweepLeft deletes what was prepared and not committed to before a CronJob was
// handed back. v may be old, and the CronJob borrowed again since: then what is
// prepared is somebody's work, so the CronJob is read live after the Jobs.
func (s *Scheduler) sweepLeft(ctx context.Context, v schedule.View) error {
	if v.CronJob == nil || len(schedule.Leftovers(v)) == 0 {
		return nil
	}
	name := types.NamespacedName{Namespace: v.CronJob.Namespace, Name: v.CronJob.Name}
	live, err := s.Reader.Live(ctx, name)
	if err != nil || live == nil {
		return err
	}
	for _, job := range schedule.Leftovers(schedule.View{CronJob: live, Jobs: v.Jobs}) {
		if err := stepped(s.Keeper.Delete(ctx, job, schedule.DeleteUnreleased)); err != nil {
			return fmt.Errorf("deleting Job %s, which was not committed to: %w", job.Name, err)
		}
	}
	return nil
}

// handBackTime is how long a sync waits for CronJobs that it hands back: longer
// than the distance that is kept from a slot.
const handBackTime = 2 * time.Minute

// HandBackFirst hands back, by back, what p would take from rota's scheduler, and
// returns the plan for what is there then, which again makes. What cannot be
// handed back waits; it is not applied, for that would let the cluster's own
// controller start what rota has begun. The error is again's.
func HandBackFirst(ctx context.Context, p plan.Plan, back func(context.Context, types.NamespacedName) error,
	again func(context.Context) (plan.Plan, error)) (plan.Plan, error) {
	if back == nil || !slices.ContainsFunc(p.Changes, plan.HandsBack) {
		return p, nil
	}
	within, cancel := context.WithTimeout(ctx, handBackTime)
	defer cancel()
	var mu sync.Mutex
	failed := map[schema.Key]error{}
	var group errgroup.Group
	group.SetLimit(16)
	for _, c := range p.Changes {
		if !plan.HandsBack(c) {
			continue
		}
		group.Go(func() error {
			err := back(within, types.NamespacedName{Namespace: c.Key.Namespace, Name: c.Key.Name})
			mu.Lock()
			defer mu.Unlock()
			failed[c.Key] = err
			return nil
		})
	}
	_ = group.Wait() // each reports its own
	p, err := again(ctx)
	if err != nil {
		return p, err
	}
	for i, c := range p.Changes {
		if !plan.HandsBack(c) {
			continue
		}
		p.Changes[i].Op, p.Changes[i].Reason = plan.Wait, plan.ReasonHandBack
		p.Changes[i].Effect = "waits to be handed back to the cluster's own controller"
		if err := failed[c.Key]; err != nil {
			p.Changes[i].Effect += ": " + err.Error()
		}
	}
	return p, nil
}
