package schedule

import (
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/schema"
)

// Retry is how far the retries of the last resolved slot, that of the cursor,
// are. It goes when a later slot is resolved. Like the cursor it only grows:
// by Number, and for one Number from pending to an Outcome.
type Retry struct {
	// Number is which retry it is, from 1.
	Number int `json:"number"`
	// Due is when it starts.
	Due time.Time `json:"due"`
	// Outcome is empty until the retry was committed to, or given up.
	Outcome Outcome `json:"outcome,omitempty"`
	// Failed is set when it ran, failed, and was the last one.
	Failed bool `json:"failed,omitempty"`
}

// pending reports whether a retry is to be started.
func (r *Retry) pending() bool { return r != nil && r.Outcome == "" }

// DropRetry gives up the pending retry of the cursor's slot.
type DropRetry struct {
	Slot   time.Time
	Number int
	Reason Reason
	By     string
}

func (DropRetry) action() {}

// RetryName returns the name of the n-th retry of a slot's run, which no other
// run can have: that of a run ends in the slot's minute. Zero is the run itself.
func RetryName(cronJob string, slot time.Time, n int) string {
	if n == 0 {
		return JobName(cronJob, slot)
	}
	return JobName(cronJob, slot) + "-r" + strconv.Itoa(n)
}

// NewRetry returns the prepared Job of the n-th retry of a slot's run, as
// [NewRun] does for the run.
func NewRetry(cj *batchv1.CronJob, sync string, slot time.Time, n int) *batchv1.Job {
	job := NewRun(cj, sync, slot)
	job.Name = RetryName(cj.Name, slot, n)
	job.Annotations[schema.AnnotationRetry] = strconv.Itoa(n)
	return job
}

// retryOf returns which retry job is, zero for the run itself; false if it
// cannot be told.
func retryOf(job *batchv1.Job) (int, bool) {
	text, ok := job.Annotations[schema.AnnotationRetry]
	if !ok {
		return 0, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n > 0
}

// afterFailure returns what becomes of the retries when run has ended; nil if
// nothing does. Runs of earlier slots, or of a schedule that was edited since,
// are not retried.
func (d *decider) afterFailure(run Run) *Retry {
	cursor, rules := d.state.Cursor, d.spec.Rules.Retries
	before := cursor.Retry
	switch {
	case run.Finished != batchv1.JobFailed || run.Stranger || rules.Limit == 0,
		!run.Slot.Equal(cursor.Slot) || !run.Slot.After(cursor.Since),
		run.Retry == 0 && (before != nil || cursor.Outcome != Ran),
		run.Retry > 0 && (before == nil || before.Number != run.Retry || before.Outcome != Ran):
		return nil
	case run.Retry >= int(rules.Limit):
		if before == nil {
			return nil // the limit is not zero, so that the run was a retry
		}
		last := *before
		last.Failed = true
		return &last
	}
	return &Retry{Number: run.Retry + 1, Due: run.FinishedAt.UTC().Add(rules.After(run.Retry + 1))}
}

// dropRetry gives up the pending retry, if there is one.
func (d *decider) dropRetry(reason Reason, by string) {
	if r := d.state.Cursor.Retry; r.pending() {
		d.do(DropRetry{Slot: d.state.Cursor.Slot, Number: r.Number, Reason: reason, By: by})
	}
}

// retry decides on the pending retry, when no later slot is due. It reports
// whether a hold is decided on too, or a start, which ends it.
func (d *decider) retry(times Times) bool {
	cursor := d.state.Cursor
	r := cursor.Retry
	if !r.pending() {
		return false
	}
	if r.Number > int(d.spec.Rules.Retries.Limit) {
		d.dropRetry(Edited, "")
		return false
	}
	if r.Due.After(d.now) {
		d.wake(r.Due)
		return false
	}
	late, reason, bounded := d.late()
	if bounded && d.now.Sub(r.Due) > late {
		d.dropRetry(reason, "")
		return false
	}
	if bounded {
		d.wake(r.Due.Add(late + time.Millisecond))
	}
	if c := times.At(d.now); c != nil {
		d.wake(c.Until)
		return false
	}
	name := RetryName(d.spec.Name, cursor.Slot, r.Number)
	if by := d.othersThan(name); d.spec.Policy != batchv1.AllowConcurrent && by != "" {
		d.holdRetry(Blocked, by)
		return true
	}
	if by := d.crowded(name, r.Due); by != "" {
		d.holdRetry(GroupFull, by)
		return true
	}
	d.do(Start{Slot: cursor.Slot, Name: name, Retry: r.Number})
	return true
}

func (d *decider) holdRetry(reason Reason, by string) {
	cursor := d.state.Cursor
	if h := cursor.Hold; d.state.GroupUnknown || h != nil && h.Reason == reason && h.Retry == cursor.Retry.Number {
		return
	}
	d.do(HoldBack{Hold: Hold{Reason: reason, Since: cursor.Retry.Due, By: by, Retry: cursor.Retry.Number}})
}

// yieldRetry gives up a pending retry whose Job has a place in its group,
// which a crash can leave, while the schedule is held back.
func (d *decider) yieldRetry() {
	for _, run := range d.state.Jobs {
		if run.Prepared && run.Retry > 0 && !d.inUse[run.UID] && d.isPending(run) && d.place(run.UID) != nil {
			d.dropRetry(d.held.Reason, d.held.By)
			return
		}
	}
}

// isPending reports whether run is of the retry that is to be started.
func (d *decider) isPending(run Run) bool {
	r := d.state.Cursor.Retry
	return r.pending() && run.Slot.Equal(d.state.Cursor.Slot) && run.Retry == r.Number
}

// past reports whether run, which is prepared and not in active, never can be
// committed to: the record is past it. Records only grow, so that this stays
// true, whoever writes.
func (d *decider) past(run Run) bool {
	if run.Retry == 0 || run.Slot.Before(d.resolved) {
		return !run.Slot.After(d.resolved)
	}
	r := d.state.Cursor.Retry
	return run.Slot.Equal(d.state.Cursor.Slot) && r != nil &&
		(r.Number > run.Retry || r.Number == run.Retry && r.Outcome != "")
}

// due returns when a committed run was to start; false if that is not known,
// as for a retry that a later slot has overtaken.
func (d *decider) dueOf(run Run) (time.Time, bool) {
	if run.Retry == 0 {
		return d.times.Due(run.Slot), true
	}
	r := d.state.Cursor.Retry
	if r == nil || r.Number != run.Retry || !run.Slot.Equal(d.state.Cursor.Slot) {
		return time.Time{}, false
	}
	return r.Due, true
}

// exhausted reports a run whose retries failed too, until a later slot.
func (d *decider) exhausted() {
	if r := d.state.Cursor.Retry; r != nil && r.Failed {
		d.out.Problems = append(d.out.Problems, warning("R332", "spec.jobTemplate",
			"the run of the slot %s failed, and so did its retries, %d in number", d.state.Cursor.Slot.UTC().Format(time.RFC3339), r.Number))
	}
}

// recordRetry writes the start of a retry.
func (c *Cursor) recordRetry(a Start) bool {
	if !c.Retry.pending() || c.Retry.Number != a.Retry || !c.Slot.Equal(a.Slot) {
		return false
	}
	begun := *c.Retry
	begun.Outcome = Ran
	c.Retry, c.Hold = &begun, nil
	c.remember(Resolution{Slot: a.Slot.UTC(), Retry: a.Retry, Outcome: Ran})
	return true
}

// skipRetry writes that a retry does not start.
func (c *Cursor) skipRetry(slot time.Time, number int, reason Reason, by string) {
	c.remember(Resolution{Slot: slot.UTC(), Retry: number, Outcome: Skipped, Reason: reason, By: by})
	if c.Retry != nil && c.Retry.Number == number && c.Slot.Equal(slot) {
		over := *c.Retry
		over.Outcome = Skipped
		c.Retry = &over
	}
}
