package schedule

import (
	"errors"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/schema"
)

const (
	// promptly is how late a run may start that is not to be caught up on.
	promptly = time.Minute
	// defaultCatchUp is how many slots are caught up on where it is not said.
	defaultCatchUp = 10
)

// slots resolves what is due.
func (d *decider) slots() {
	if d.spec.Err != nil {
		var p *schema.Problem
		if errors.As(d.spec.Err, &p) {
			d.out.Problems = append(d.out.Problems, p)
		}
		d.wake(d.now.Add(retryBroken))
		return
	}
	if !d.spec.Borrowed || d.observe() {
		return
	}
	cursor := d.state.Cursor
	base := latest(d.state.Created, d.resolved, cursor.Since)
	times := d.times.From(anchor(cursor, d.resolved))
	if base.After(d.now.Add(time.Minute)) {
		d.out.Problems = append(d.out.Problems, warning("R309", "metadata.annotations",
			"the last resolved slot %s is later than the clock, %s", base.UTC().Format(time.RFC3339), d.now.UTC().Format(time.RFC3339)))
	}
	if d.held != nil {
		d.yield(times, base, d.now.Add(time.Nanosecond), d.held.Reason)
		d.yieldRetry()
		d.hold(*d.held)
		return
	}
	last := times.LastDue(base, d.now)
	if last.IsZero() {
		if !d.retry(times) && cursor.Hold != nil {
			d.do(Resume{})
		}
		d.wakeNext(times, base)
		return
	}
	d.dropRetry(Superseded, JobName(d.spec.Name, last))
	d.wakeNext(times, last)
	d.due(times, base, last)
}

// wakeNext asks for a decision when the first slot after the given time is
// due. While a closure is on record, the slots that are in it need none.
func (d *decider) wakeNext(times Times, after time.Time) {
	slot := times.Next(after)
	if c := times.At(slot); c != nil && c.recorded(d.state.Cursor.Hold) {
		slot = times.NextOpen(after)
	}
	d.wake(times.Due(slot))
}

// anchor is where @every counts from: the last resolved slot, which is one of
// its own, or else the time since when it is in force.
func anchor(cursor Cursor, resolved time.Time) time.Time {
	if resolved.IsZero() {
		return cursor.Since
	}
	return resolved
}

// observe reports whether the schedule in force has to be recorded before any
// of its slots can be resolved.
func (d *decider) observe() bool {
	cursor := d.state.Cursor
	if !cursor.IsZero() && cursor.Schedule == d.spec.Schedule && cursor.Zone == d.spec.Zone {
		return false
	}
	seen := Observe{Schedule: d.spec.Schedule, Zone: d.spec.Zone, Since: latest(d.state.Created, d.state.Edited)}
	if !cursor.IsZero() {
		seen.Edited = true
		if d.state.Edited.IsZero() || (cursor.Zone != "" && d.spec.Zone == "") {
			// Nobody owns a field that was removed, so its time is not known.
			seen.Since = d.now.Truncate(time.Second)
		}
		d.dropRetry(Edited, "")
		d.dropOld(seen.Since)
	}
	d.do(seen)
	d.wake(d.now)
	return true
}

// dropOld resolves the slots of the schedule that was in force before. None of
// them starts any more, however short the time since the edit is.
func (d *decider) dropOld(edited time.Time) {
	cursor := d.state.Cursor
	old, err := Parse(cursor.Schedule, cursor.Zone)
	if err != nil {
		return
	}
	times := d.times
	times.cron = old
	d.skip(times.From(anchor(cursor, d.resolved)), latest(cursor.Since, d.resolved), edited, Edited)
}

func (d *decider) hold(h Hold) {
	before := d.state.Cursor.Hold
	h.Since = d.now
	if before != nil {
		if before.Reason == h.Reason && before.By == h.By && before.Until.Equal(h.Until) {
			return
		}
		if halts(before.Reason) && halts(h.Reason) {
			h.Since = before.Since
		}
	}
	d.do(HoldBack{Hold: h})
}

// waits reports whether r is that of a slot, or a retry, which starts when
// others have ended.
func waits(r Reason) bool { return r == Blocked || r == GroupFull }

// halts reports whether r stops a schedule as a whole.
func halts(r Reason) bool { return r == Suspended || r == Paused }

// closes reports whether r is that of a closure.
func closes(r Reason) bool { return r == Excluded || r == OutsideWindow }

// recorded reports whether h records c.
func (c *Closure) recorded(h *Hold) bool {
	return h != nil && h.Reason == c.Reason && h.By == c.By
}

// due resolves the slots after base up to last; there is at least one.
func (d *decider) due(times Times, base, last time.Time) {
	hold := d.state.Cursor.Hold
	if hold != nil && closes(hold.Reason) {
		if c := times.At(last); c != nil && c.recorded(hold) && times.LastOpen(base, last).IsZero() {
			return
		}
		base = d.leaveClosure(times, base, last, *hold)
	}
	if late, reason, ok := d.late(); ok {
		if missed := times.LastDue(base, d.now.Add(-late-time.Nanosecond)); !missed.IsZero() {
			d.skip(times, base, missed, reason)
			base = missed
		}
	}
	slot := d.pick(times, base, last)
	switch c := times.At(last); {
	case !slot.IsZero():
		d.begin(times, base, slot, last)
	case last.After(base) && c != nil:
		d.hold(Hold{Reason: c.Reason, By: c.By, Until: c.Until})
	case hold != nil:
		d.do(Resume{})
	}
}

// leaveClosure resolves what came while the closure on record lasted, whatever
// the policy says by now: a rule that was changed opens no slot of the past.
func (d *decider) leaveClosure(times Times, base, last time.Time, h Hold) time.Time {
	end := last
	if !h.Until.IsZero() {
		end = earliest(last, h.Until.Add(-time.Nanosecond))
	}
	d.skip(times, base, end, h.Reason)
	return latest(base, times.cron.Last(base, end))
}

// late returns how long after it was due a slot does not start any more, and
// for what reason; false if it always does.
func (d *decider) late() (time.Duration, Reason, bool) {
	deadline := d.spec.Deadline
	if d.spec.Rules.CatchUp.Policy == schema.CatchUpNone && (deadline == nil || *deadline > promptly) {
		return promptly, NotCaughtUp, true
	}
	if deadline == nil {
		return 0, "", false
	}
	return *deadline, DeadlineMissed, true
}

// pick returns which of the open slots after base starts first: the one that
// waits under Queue, the oldest that is caught up on under All, or the latest.
func (d *decider) pick(times Times, base, last time.Time) time.Time {
	if w := d.waiting(base); !w.IsZero() {
		return w
	}
	slot := times.LastOpen(base, last)
	if d.spec.Rules.CatchUp.Policy != schema.CatchUpAll || slot.IsZero() {
		return slot
	}
	most := d.spec.Rules.CatchUp.Limit
	if most == 0 {
		most = defaultCatchUp
	}
	for range most - 1 {
		earlier := times.LastOpen(base, slot.Add(-time.Nanosecond))
		if earlier.IsZero() {
			break
		}
		slot = earlier
	}
	return slot
}

// waiting returns the slot that waits for its turn under Queue, or zero. It
// waits no more if the clock was set back before it, or the policy closes it.
func (d *decider) waiting(base time.Time) time.Time {
	hold := d.state.Cursor.Hold
	if d.spec.Rules.Overlap == schema.OverlapQueue && hold != nil && waits(hold.Reason) && hold.Retry == 0 && hold.Since.After(base) &&
		!d.times.Due(hold.Since).After(d.now) && d.times.At(hold.Since) == nil {
		return hold.Since
	}
	return time.Time{}
}

// begin starts slot, or records what it waits for. Slots before it are skipped,
// and under Queue those that came due while it waited.
func (d *decider) begin(times Times, base, slot, last time.Time) {
	hold := d.state.Cursor.Hold
	name := JobName(d.spec.Name, slot)
	if by := d.othersThan(name); d.spec.Policy == batchv1.ForbidConcurrent && by != "" {
		d.wait(times, base, slot, Hold{Reason: Blocked, By: by})
		return
	}
	if by := d.crowded(name, times.Due(d.waitsSince(slot))); by != "" {
		if !d.state.GroupUnknown {
			d.wait(times, base, slot, Hold{Reason: GroupFull, By: by})
			d.passOn(name)
		}
		return
	}
	missed := times.CountOpen(base, slot)
	waited := d.waiting(base)
	d.skip(times, base, slot.Add(-time.Nanosecond), Superseded)
	if d.sameMinute(slot) {
		d.do(Skip{First: slot, Last: slot, Count: 1, Reason: SameMinute, By: JobName(d.spec.Name, slot)})
		if hold != nil {
			d.do(Resume{})
		}
		return
	}
	if missed > manyMissed {
		d.out.Problems = append(d.out.Problems, warning("R306", "spec.schedule", "%d slots were missed; the latest runs now", missed))
	}
	d.do(Start{Slot: slot, Name: JobName(d.spec.Name, slot), Missed: missed})
	if !waited.IsZero() {
		d.skipRange(times, slot, last, QueueFull, JobName(d.spec.Name, slot))
	}
}

// wait records what slot waits for.
func (d *decider) wait(times Times, base, slot time.Time, h Hold) {
	hold := d.state.Cursor.Hold
	if hold != nil && halts(hold.Reason) {
		d.skip(times, base, slot.Add(-time.Nanosecond), Superseded)
	} else if h.Reason == GroupFull {
		d.yield(times, base, slot, Superseded)
	}
	h.Since = d.waitsSince(slot)
	if hold == nil || hold.Reason != h.Reason || hold.Retry > 0 || d.spec.Rules.Overlap == schema.OverlapQueue && !hold.Since.Equal(slot) {
		d.do(HoldBack{Hold: h})
	}
	if late, _, ok := d.late(); ok {
		d.wake(times.Due(slot).Add(late + time.Millisecond))
	}
}

// waitsSince returns the slot that the schedule waits with since it waits: the
// one that is to start under Queue, else the first one. It gives the turn.
func (d *decider) waitsSince(slot time.Time) time.Time {
	hold := d.state.Cursor.Hold
	if d.spec.Rules.Overlap == schema.OverlapQueue || hold == nil || !waits(hold.Reason) || hold.Retry > 0 {
		return slot
	}
	return earliest(hold.Since, slot)
}

// calendarNotice is how long before its calendars run out a schedule says so.
const calendarNotice = 31 * 24 * time.Hour

// calendars reports a schedule whose calendars are known for a short time only.
func (d *decider) calendars() {
	until, err := schema.ParseDay(d.spec.Rules.CalendarUntil)
	if err != nil {
		return // there are none
	}
	if from := until.Start(d.times.Location()).Add(-calendarNotice); from.After(d.now) {
		d.wake(from)
		return
	}
	d.out.Problems = append(d.out.Problems, warning("R318", "metadata.annotations", "the days of its calendars are known until %s only", until))
}

// expect reports a schedule that has not succeeded as soon as its policy asks.
func (d *decider) expect() {
	within := d.spec.Rules.ExpectWithin.Duration
	if within <= 0 || d.spec.Err != nil || d.held != nil {
		return
	}
	times := d.times.From(anchor(d.state.Cursor, d.resolved))
	since := latest(d.state.Created, d.state.Cursor.Since)
	slot := times.LastDue(since, d.now.Add(-within))
	slot = times.LastOpen(since, slot)
	next := times.NextOpen(latest(since, slot))
	d.wake(addTo(times.Due(next), within))
	if !slot.IsZero() && d.state.LastSuccess.Before(slot) {
		d.out.Problems = append(d.out.Problems, warning("R317", "metadata.annotations",
			"no run has succeeded since the slot %s, and the policy expects one within %s", slot.Format(time.RFC3339), within))
	}
}

// addTo returns t later by d; zero stays zero.
func addTo(t time.Time, d time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(d)
}

// sameMinute reports whether a run with the name that slot's would have was
// started for an earlier slot.
func (d *decider) sameMinute(slot time.Time) bool {
	minute := slot.Unix() / 60
	return (d.state.Cursor.Outcome == Ran && d.state.Cursor.Slot.Unix()/60 == minute) ||
		(!d.state.LastSchedule.IsZero() && d.state.LastSchedule.Unix()/60 == minute)
}

// othersThan returns the name of another run, which a strict policy has to
// wait for; empty if there is none.
func (d *decider) othersThan(name string) string {
	for _, run := range d.active {
		if run.Name != name {
			return run.Name
		}
	}
	for _, ref := range d.unknown {
		return ref.Name
	}
	return ""
}

// skip resolves the slots after the first and not after the second time. Those
// that came while the schedule was halted are skipped for that.
func (d *decider) skip(times Times, after, until time.Time, reason Reason) {
	by := ""
	if hold := d.state.Cursor.Hold; hold != nil {
		by = hold.By
		if halts(hold.Reason) && reason != Edited {
			end := until
			if !hold.Until.IsZero() {
				end = earliest(until, hold.Until.Add(-time.Nanosecond))
			}
			d.skipRange(times, after, earliest(until, hold.Since), reason, "")
			d.skipRange(times, latest(after, hold.Since), end, hold.Reason, by)
			d.skipRange(times, latest(after, end), until, reason, "")
			return
		}
	}
	if reason == Edited {
		by = ""
	}
	d.skipRange(times, after, until, reason, by)
}

// skipRange resolves a range for one reason, but for what is closed, which is
// skipped for that. What was edited is no slot any more, closed or not.
func (d *decider) skipRange(times Times, after, until time.Time, reason Reason, by string) {
	for _, part := range times.stretches(after, until) {
		last := times.cron.Last(part.after, part.until)
		if last.IsZero() {
			continue
		}
		skip := Skip{First: times.cron.Next(part.after), Last: last, Count: times.Count(part.after, part.until), Reason: reason, By: by}
		if part.closed != nil && reason != Edited {
			skip.Reason, skip.By = part.closed.Reason, part.closed.By
		}
		d.do(skip)
	}
}
