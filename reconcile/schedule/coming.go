package schedule

import (
	"cmp"
	"time"

	"rota.dev/rota/schema"
)

// Fire is a slot that comes, and what becomes of it if nothing changes and no
// other run is in its way.
type Fire struct {
	// Namespace and Name are the CronJob's.
	Namespace, Name string
	// Slot is in the zone of the schedule.
	Slot time.Time
	// Due is when the run starts, in the same zone; zero if none does.
	Due time.Time
	// Reason is why no run starts; empty if one does. By says which rule or
	// whose pause it is.
	Reason Reason
	By     string
}

// Coming says which slots to foresee.
type Coming struct {
	// After and Until bound the time at which runs start, and, of slots that
	// have no run, the slots: later than After, not later than Until. A zero
	// Until means without end.
	After, Until time.Time
	// Resolved is the last slot that is resolved: what came after it during a
	// pause starts when that ends. Zero means that all up to After are.
	Resolved time.Time
	// Anchor is where @every counts from; zero means from After.
	Anchor time.Time
	// Ran is the slot of the last run; zero if there was none. Of the slots of
	// one minute, which @every can have, only the first one runs.
	Ran time.Time
	// Most is how many are returned at most; it must be positive.
	Most int
	// Skipped asks for the slots that have no run as well.
	Skipped bool
}

// Coming returns the slots that c asks for, in order of time. It is empty for a
// schedule that cannot be read (s.Err) and for one that never fires.
func (s Spec) Coming(c Coming) []Fire {
	if c.Most <= 0 {
		return nil
	}
	f, from, ok := s.foresee(c)
	if ok {
		f.open(from)
	}
	return f.fires
}

// foresee returns what a suspension and a pause make of c, and the time after
// which the policy alone says what runs; false if nothing runs after it.
func (s Spec) foresee(c Coming) (*foresight, time.Time, bool) {
	if c.Anchor.IsZero() {
		c.Anchor = c.After
	}
	f := &foresight{Spec: s, Coming: c, ran: noMinute}
	if s.Err != nil {
		return f, time.Time{}, false
	}
	f.times = s.Times().From(c.Anchor)
	if !c.Ran.IsZero() {
		f.ran = minuteOf(c.Ran)
	}
	if s.Suspended {
		f.halted(time.Time{}, Suspended, "")
		return f, time.Time{}, false
	}
	p := s.Pause
	if p == nil || !p.Until.IsZero() && !p.Until.After(c.After) {
		return f, c.After, true
	}
	f.halted(p.Until, Paused, p.Reason)
	if p.Until.IsZero() {
		return f, time.Time{}, false
	}
	if missed := c.Resolved; missed.IsZero() || missed.After(c.After) {
		f.caughtUp(f.undue(c.After), p.Until)
	} else {
		f.caughtUp(missed, p.Until)
	}
	return f, p.Until, true
}

type foresight struct {
	Spec
	Coming
	times Times
	fires []Fire
	// ran is the minute of the slot of the last run.
	ran int64
}

// noMinute is the minute of no slot.
const noMinute = -farMinutes

// minuteOf returns the minute since the epoch that gives a run its name.
func minuteOf(slot time.Time) int64 { return floorDiv(slot.Unix(), 60) }

// undue returns the time after which slots are not due yet at the given time:
// by jitter the last one may have come and not be due.
func (f *foresight) undue(at time.Time) time.Time {
	last := f.times.cron.Last(at.Add(-f.times.offset-time.Second), at)
	if f.times.offset == 0 || last.IsZero() || !f.times.Due(last).After(at) {
		return at
	}
	return last.Add(-time.Nanosecond)
}

// add reports whether there is room for more.
func (f *foresight) add(slot, due time.Time, reason Reason, by string) bool {
	at := due
	if reason != "" {
		at = slot
	}
	if !f.Until.IsZero() && at.After(f.Until) {
		return false
	}
	fire := Fire{Namespace: f.Namespace, Name: f.Name, Slot: slot.In(f.times.Location()), Reason: reason, By: by}
	if reason == "" {
		fire.Due = due.In(f.times.Location())
	}
	f.fires = append(f.fires, fire)
	return len(f.fires) < f.Most
}

// halted adds the slots up to the given time, if they are asked for: none of
// them has a run then.
func (f *foresight) halted(until time.Time, reason Reason, by string) {
	if !f.Skipped {
		return
	}
	for slot := f.times.Next(f.After); !slot.IsZero() && (until.IsZero() || !slot.After(until)); slot = f.times.Next(slot) {
		why, rule := reason, by
		if c := f.times.At(slot); c != nil {
			why, rule = c.Reason, c.By
		}
		if !f.add(slot, time.Time{}, why, rule) {
			return
		}
	}
}

// caughtUp adds the runs that start when a pause ends: of what came due
// meanwhile the latest, or as the policy says. Those were added as skipped
// before, and are not any more.
func (f *foresight) caughtUp(after, until time.Time) {
	most := 1
	if f.Rules.CatchUp.Policy == schema.CatchUpAll {
		most = cmp.Or(f.Rules.CatchUp.Limit, defaultCatchUp)
	}
	late, limited := f.lateness()
	var slots []time.Time
	end := f.times.LastDue(after, until)
	for !end.IsZero() && len(slots) < most {
		slot := f.times.LastOpen(after, end)
		if slot.IsZero() || limited && until.Sub(f.times.Due(slot)) > late {
			break
		}
		slots = append(slots, slot)
		end = slot.Add(-time.Nanosecond)
	}
	for i := len(slots) - 1; i >= 0; i-- {
		f.drop(slots[i])
		if len(f.fires) >= f.Most || !f.run(slots[i], until) {
			return
		}
	}
}

// run adds a slot that starts at the given time, unless its minute has a run
// already. It reports whether there is room for more.
func (f *foresight) run(slot, at time.Time) bool {
	if minuteOf(slot) != f.ran {
		f.ran = minuteOf(slot)
		return f.add(slot, at, "", "")
	}
	if f.Skipped {
		return f.add(slot, time.Time{}, SameMinute, JobName(f.Name, slot))
	}
	return f.Until.IsZero() || !at.After(f.Until)
}

// lateness returns how late a run may start, and false if it always may.
func (f *foresight) lateness() (time.Duration, bool) {
	d := decider{spec: f.Spec}
	late, _, ok := d.late()
	return late, ok
}

func (f *foresight) drop(slot time.Time) {
	for i, fire := range f.fires {
		if fire.Slot.Equal(slot) {
			f.fires = append(f.fires[:i], f.fires[i+1:]...)
			return
		}
	}
}

// open adds the slots that are due after the given time, under the policy alone.
func (f *foresight) open(after time.Time) {
	next := f.times.NextOpen
	if f.Skipped {
		next = f.times.Next
	}
	for slot := next(f.undue(after)); !slot.IsZero() && len(f.fires) < f.Most; slot = next(slot) {
		if c := f.times.At(slot); c != nil {
			if !f.add(slot, time.Time{}, c.Reason, c.By) {
				return
			}
			continue
		}
		if !f.run(slot, f.times.Due(slot)) {
			return
		}
	}
}
