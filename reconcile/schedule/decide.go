package schedule

import (
	"cmp"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// retryBroken is how soon a schedule that cannot be read is looked at
	// again: a time zone may become known without any event.
	retryBroken = 5 * time.Minute
	// pollUnwatched is how often a run without our labels is read.
	pollUnwatched = 10 * time.Second
	// manyMissed is from when on Kubernetes warns about missed slots.
	manyMissed = 100
	// takeOverAfter and takeOverBefore keep a distance from a slot that the
	// cluster's own controller may be busy with.
	takeOverAfter  = 60 * time.Second
	takeOverBefore = 10 * time.Second
)

// Decide returns what to do for a CronJob with this spec and state. Carrying
// out the actions and deciding again, at once or after a crash, leads to the
// same runs: nothing is remembered but what the state holds.
func Decide(spec Spec, state State, now time.Time) Decision {
	d := decider{spec: spec, times: spec.Times(), state: state, now: now.Round(0)}
	d.out.Problems = append(d.out.Problems, spec.Problems...)
	d.out.Problems = append(d.out.Problems, state.Problems...)
	d.resolved = latest(state.Cursor.Slot, state.LastSchedule, state.Past.Slot)
	d.references()
	if state.Deleting {
		return d.out
	}
	if d.adopt() {
		return d.out
	}
	d.heldBack()
	d.runs()
	d.slots()
	d.exhausted()
	d.expect()
	d.calendars()
	d.history()
	return d.out
}

type decider struct {
	spec     Spec
	times    Times
	state    State
	now      time.Time
	resolved time.Time
	held     *Hold
	// active has the unfinished runs that are committed to or known to run;
	// unknown the references whose Job has to be read first.
	active  []Run
	unknown []Ref
	inUse   map[types.UID]bool
	out     Decision
}

func (d *decider) do(a Action) { d.out.Actions = append(d.out.Actions, a) }

// wake asks for a decision at t, if nothing asks for an earlier one.
func (d *decider) wake(t time.Time) {
	if t.IsZero() {
		return
	}
	if !t.After(d.now) {
		t = d.now.Add(time.Millisecond)
	}
	if d.out.Wake.IsZero() || t.Before(d.out.Wake) {
		d.out.Wake = t
	}
}

func (d *decider) references() {
	known := make(map[types.UID]Run, len(d.state.Jobs))
	for _, run := range d.state.Jobs {
		known[run.UID] = run
	}
	d.inUse = make(map[types.UID]bool, len(d.state.Active))
	for _, ref := range d.state.Active {
		d.inUse[ref.UID] = true
		run, ok := known[ref.UID]
		switch {
		case ok && run.Finished != "":
			d.do(Forget{Ref: ref, Run: run, Retry: d.afterFailure(run)})
		case ok:
			d.active = append(d.active, run)
			if run.Unwatched {
				d.wake(d.now.Add(pollUnwatched))
			}
		case d.state.Gone[ref.UID]:
			d.do(Forget{Ref: ref, Run: Run{Name: ref.Name, UID: ref.UID}})
		default:
			d.do(Verify{Ref: ref})
			d.unknown = append(d.unknown, ref)
		}
	}
	for _, run := range d.state.Jobs {
		if !d.inUse[run.UID] && run.Finished == "" && !run.Prepared {
			d.active = append(d.active, run)
		}
	}
}

// adopt reports whether the CronJob has to be taken over first.
func (d *decider) adopt() bool {
	if !d.state.Cursor.IsZero() || (d.state.LastSchedule.IsZero() && len(d.state.Active) == 0) {
		return false
	}
	if !d.spec.Borrowed {
		return true
	}
	if quiet := d.quietFrom(); quiet.After(d.now) {
		d.wake(quiet)
		return true
	}
	d.do(Adopt{Since: latest(d.state.Created, d.state.Edited)})
	return true
}

// quietFrom returns from when on the cluster's own controller has surely done
// what it does at a slot. Slots that are close together leave no such time;
// then half the distance has to do, and the run's name protects it anyway.
func (d *decider) quietFrom() time.Time {
	if d.spec.Err != nil {
		return d.now
	}
	next := d.spec.Cron.Next(d.now)
	last := d.spec.Cron.Last(d.now.Add(-takeOverAfter), d.now)
	if next.IsZero() {
		return d.now
	}
	if gap := d.spec.Cron.Next(next).Sub(next); next.Sub(d.now) < min(takeOverBefore, gap/4) {
		return next.Add(min(takeOverAfter, gap/2))
	}
	if last.IsZero() {
		return d.now
	}
	return last.Add(min(takeOverAfter, next.Sub(last)/2))
}

func (d *decider) heldBack() {
	switch pause := d.spec.Pause; {
	case d.spec.Suspended:
		d.held = &Hold{Reason: Suspended}
	case pause != nil && (pause.Until.IsZero() || pause.Until.After(d.now)):
		d.held = &Hold{Reason: Paused, By: pause.Reason, Until: pause.Until}
		d.wake(pause.Until)
	}
}

// runs decides on Jobs that exist and are not released.
func (d *decider) runs() {
	for _, run := range d.state.Jobs {
		if !run.Prepared || run.Finished != "" || run.Deleting {
			continue
		}
		if !d.inUse[run.UID] {
			// The cursor is past it and it is not in active: it never can be.
			if d.past(run) {
				d.do(Sweep{Run: run})
			}
			continue
		}
		d.committed(run)
	}
}

func (d *decider) committed(run Run) {
	switch {
	case run.Withdrawn:
		reason := Replaced
		switch {
		case d.expired(run):
			reason = DeadlineMissed
		case d.yields(run):
			reason = d.held.Reason
		}
		d.do(Withdraw{Run: run, Reason: reason})
		return
	case d.expired(run):
		d.do(Withdraw{Run: run, Reason: DeadlineMissed})
		return
	case d.yields(run):
		d.do(Withdraw{Run: run, Reason: d.held.Reason})
		return
	case d.spec.Policy == batchv1.ReplaceConcurrent && d.newerCommitted(run):
		d.do(Withdraw{Run: run, Reason: Replaced})
		return
	}
	d.wakeLate(run)
	if d.held != nil {
		return
	}
	free := d.mayBegin(run)
	if d.spec.Policy == batchv1.AllowConcurrent {
		if free {
			d.do(Release{Run: run})
		}
		return
	}
	free = free && len(d.unknown) == 0
	for _, other := range d.active {
		if other.UID == run.UID || (other.Prepared && !other.Slot.Before(run.Slot)) {
			continue
		}
		free = false
		if d.spec.Policy == batchv1.ReplaceConcurrent {
			d.stop(other, run.Name)
		}
	}
	if free {
		d.do(Release{Run: run, Strict: true})
	}
}

// stop deletes a run that is replaced, unless it is going, never began, or is
// none of ours.
func (d *decider) stop(run Run, by string) {
	if !run.Deleting && !run.Prepared && !run.Stranger {
		d.do(Stop{Run: run, For: by})
	}
}

// expired reports whether a run must not start any more. The starting deadline
// counts from when it was due.
func (d *decider) expired(run Run) bool {
	due, known := d.dueOf(run)
	return known && d.spec.Deadline != nil && d.now.Sub(due) > *d.spec.Deadline
}

// wakeLate asks for a decision when a run is too late.
func (d *decider) wakeLate(run Run) {
	if due, known := d.dueOf(run); known && d.spec.Deadline != nil {
		d.wake(due.Add(*d.spec.Deadline + time.Millisecond))
	}
}

func (d *decider) newerCommitted(run Run) bool {
	return slices.ContainsFunc(d.active, func(other Run) bool {
		return other.Prepared && !other.Withdrawn && other.Slot.After(run.Slot)
	})
}

// history deletes finished runs beyond the limits, the oldest first.
func (d *decider) history() {
	var done = map[batchv1.JobConditionType][]Run{}
	for _, run := range d.state.Jobs {
		// A run must be recorded before its Job, and with it its name, goes.
		if run.Finished != "" && !run.Deleting && !run.Stranger && !d.inUse[run.UID] && !run.Slot.After(d.resolved) {
			done[run.Finished] = append(done[run.Finished], run)
		}
	}
	d.deleteOver(done[batchv1.JobComplete], d.spec.KeepSuccessful)
	d.deleteOver(done[batchv1.JobFailed], d.spec.KeepFailed)
}

func (d *decider) deleteOver(runs []Run, keep int) {
	slices.SortFunc(runs, func(a, b Run) int {
		if a.Started.IsZero() != b.Started.IsZero() {
			if a.Started.IsZero() {
				return 1
			}
			return -1
		}
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Name, b.Name))
	})
	for i := range max(len(runs)-keep, 0) {
		d.do(DeleteHistory{Run: runs[i]})
	}
}

func latest(times ...time.Time) time.Time {
	var t time.Time
	for _, other := range times {
		if other.After(t) {
			t = other
		}
	}
	return t
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
