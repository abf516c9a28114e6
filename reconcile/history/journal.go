package history

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

// Journal is what happened to one CronJob. Times are those of the API server's
// clock; what the scheduler's clock showed is in Clock.
type Journal struct {
	// Namespace and Name are the CronJob's.
	Namespace, Name string
	// Revisions are in order; the first is the CronJob as it was created.
	Revisions []Revision
	// Commits are the records that the server accepted, in order.
	Commits []Commit
	// Runs has every Job that was a run of the CronJob, one per uid.
	Runs []Run
	// Strangers has the names of Jobs that were none.
	Strangers []string
	// Clock says how the scheduler's clock differed; empty means not at all.
	Clock []Reading
	// Faults are times in which no scheduler could be expected to work.
	Faults []Span
	// Leases are the terms of leaders. If there are any, nobody could be
	// expected to work between them.
	Leases []Lease
	// End is when the journal ends.
	End time.Time
}

// Revision is the CronJob as somebody other than its scheduler left it.
type Revision struct {
	At time.Time
	// Version is the resourceVersion, which orders revisions and commits.
	Version uint64
	// Name is the annotation rota.dev/revision.
	Name string
	Spec Spec
}

// Spec is what a revision asks for.
type Spec struct {
	Schedule, Zone string
	Policy         batchv1.ConcurrencyPolicy
	// Deadline is startingDeadlineSeconds; nil if there is none.
	Deadline *time.Duration
	// Held is set if nothing may start: suspended in git, paused, or not
	// borrowed. A pause ends by itself at HeldUntil, if that is not zero.
	Held      bool
	HeldUntil time.Time
	Rules     schema.Policy
}

// Commit is one record of the scheduler.
type Commit struct {
	At      time.Time
	Version uint64
	// Cursor is the last resolved slot, Since from when on the schedule counts.
	Cursor, Since time.Time
	// Waits is the reason for which due slots are held back, or empty.
	Waits string
	// Resolved are the outcomes that this record added.
	Resolved []Resolution
	// Active has the uids of the runs that are committed to.
	Active []types.UID
}

// Resolution is the outcome of the slots from First to Last.
type Resolution struct {
	First, Last time.Time
	Count       int
	// Ran says that a run was committed to; if not, Reason says why not.
	Ran    bool
	Reason string
}

// Run is one Job. Times are zero for what did not happen.
type Run struct {
	Name string
	UID  types.UID
	Slot time.Time
	// Revision is the annotation rota.dev/revision.
	Revision string
	// Native is a run of the cluster's own controller, ByHand one that a person
	// deleted.
	Native, ByHand bool
	// Created is when the Job was; Released has each time at which it was let go.
	Created  time.Time
	Released []time.Time
	// Finished, Deleting and Deleted are of the Job, PodsGone of its last Pod.
	Finished, Deleting, Deleted, PodsGone time.Time
}

// Reading is a change of the scheduler's clock: from At on it shows the time
// plus Offset. Where several schedule, it is that of the clock that is ahead.
type Reading struct {
	At     time.Time
	Offset time.Duration
}

// Span is a time with a reason.
type Span struct {
	From, Until time.Time
	What        string
}

// Lease is the term of one leader.
type Lease struct {
	From, Until time.Time
	Holder      string
}

// begun is when the run was first let go; zero if it never was.
func (r Run) begun() time.Time {
	if len(r.Released) == 0 {
		return time.Time{}
	}
	return r.Released[0]
}

// until is when nothing of the run is left that could work, which is end if
// that never came.
func (r Run) until(end time.Time) time.Time {
	last := r.Finished
	if last.IsZero() || (!r.Deleted.IsZero() && r.Deleted.Before(last)) {
		last = r.Deleted
	}
	if last.IsZero() {
		return end
	}
	if r.PodsGone.After(last) {
		return r.PodsGone
	}
	return last
}
