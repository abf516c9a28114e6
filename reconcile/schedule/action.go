package schedule

import (
	"time"

	"rota.dev/rota/schema"
)

// Decision is what to do for one CronJob now, and when to look again.
type Decision struct {
	// Actions are to be carried out in order; those that change the record
	// ([Recorded]) together, in one write.
	Actions []Action
	// Wake is the next time at which something is due. It is later than the
	// now of the decision; zero means that only an event can change anything.
	Wake time.Time
	// Problems are faults to show; they stop nothing but what they name.
	Problems []*schema.Problem
	// Waits is set if the schedule waits for a place in its concurrency group.
	Waits *Waiter
}

// Action is one of the structs below.
type Action interface{ action() }

// Start begins the run of a slot: prepare a Job, commit to it. Its release is
// a decision of its own, so that a crash between them is no special case.
type Start struct {
	Slot time.Time
	Name string
	// Retry is which retry of the slot's run it is; zero for the run itself.
	Retry int
	// Missed counts the slots since the last resolved one, Slot included.
	Missed int
}

// Skip resolves slots that will not run.
type Skip struct {
	// First and Last may be the same; Count is how many there are.
	First, Last time.Time
	Count       int
	Reason      Reason
	// By is the run in the way, or what else people should know.
	By string
}

// HoldBack records that due slots wait, and why.
type HoldBack struct{ Hold Hold }

// Resume records that slots wait no longer.
type Resume struct{}

// Observe records the schedule and zone in force: the first time, and whenever
// they changed. Slots at or before Since are not theirs.
type Observe struct {
	Schedule, Zone string
	Since          time.Time
	// Edited is set if others were in force before.
	Edited bool
}

// Adopt takes over a CronJob that something else scheduled before: list its
// Jobs live, label its runs, and record what the status lacks.
type Adopt struct{ Since time.Time }

// Verify asks for a live read of a reference whose Job is not known. Until it
// is made, the reference counts as an active run.
type Verify struct{ Ref Ref }

// Forget drops a reference from status.active.
type Forget struct {
	Ref Ref
	// Run is the finished run; its Finished is empty if the Job is gone.
	Run Run
	// Retry is what the record says of its retries from now on; nil if nothing
	// changes.
	Retry *Retry
}

// Release lets a committed run begin.
type Release struct {
	Run Run
	// Strict asks that no Pod of another run of the schedule is left running.
	Strict bool
}

// Reserve takes a place in the concurrency group for a committed run that has
// none, for somebody deleted the group's object.
type Reserve struct{ Run Run }

// Withdraw ends a committed run that was never released: mark it, record it,
// and leave its Job to the sweep.
type Withdraw struct {
	Run    Run
	Reason Reason
}

// Stop deletes an active run, for the next one replaces it; it is deleted in
// the foreground, and the next is released when it is gone.
type Stop struct {
	Run Run
	For string
}

// Sweep deletes a prepared Job that was not committed to and never will be.
type Sweep struct{ Run Run }

// DeleteHistory deletes a finished run beyond the history limits.
type DeleteHistory struct{ Run Run }

func (Start) action()         {}
func (Skip) action()          {}
func (HoldBack) action()      {}
func (Resume) action()        {}
func (Observe) action()       {}
func (Adopt) action()         {}
func (Verify) action()        {}
func (Forget) action()        {}
func (Release) action()       {}
func (Reserve) action()       {}
func (Withdraw) action()      {}
func (Stop) action()          {}
func (Sweep) action()         {}
func (DeleteHistory) action() {}

// Recorded reports whether a changes the record on the CronJob (see Record).
func Recorded(a Action) bool {
	switch a.(type) {
	case Start, Skip, HoldBack, Resume, Observe, Adopt, Forget, Withdraw, DropRetry:
		return true
	}
	return false
}

// Deletion says how a Job is deleted.
type Deletion int

const (
	// DeleteUnreleased deletes a Job only if nothing changed it since it was
	// read: it may have been released meanwhile.
	DeleteUnreleased Deletion = iota
	// DeleteReplaced deletes a Job after its Pods.
	DeleteReplaced
	// DeleteFinished deletes a Job and lets its Pods follow.
	DeleteFinished
)
