package schedule

import (
	"hash/fnv"
	"slices"
	"time"

	"rota.dev/rota/schema"
)

// Times are the slots of a schedule under a policy. Some of them are closed,
// for the policy lets nothing start then; the open ones start when they are
// due, which jitter puts after the slot itself.
type Times struct {
	cron Schedule
	// offset is the jitter of this very schedule.
	offset time.Duration
	// closed does not overlap and is in order of time.
	closed []Closure
}

// Closure is a span of time in which no slot is open.
type Closure struct {
	// From is the first moment, and Until the first one after it; the zero
	// time means that it is open at that end.
	From, Until time.Time
	Reason      Reason
	// By says which rule of the policy it is.
	By string
}

// NewTimes returns the slots of cron under p. Name is the schedule's, as
// namespace/name: it gives the jitter.
func NewTimes(cron Schedule, p schema.Policy, name string) Times {
	t := Times{cron: cron.With(p.DaylightSaving), closed: closures(p, cron.Location())}
	if jitter := p.Jitter.Truncate(time.Second); jitter > 0 {
		h := fnv.New64a()
		h.Write([]byte(name))
		t.offset = time.Duration(h.Sum64()%uint64(jitter/time.Second)) * time.Second
	}
	return t
}

func closures(p schema.Policy, zone *time.Location) []Closure {
	var list []Closure
	for _, days := range p.Exclude {
		by := days.Source
		if by == "" {
			by = days.String()
		}
		list = append(list, Closure{From: days.First.Start(zone), Until: days.Last.Next().Start(zone), Reason: Excluded, By: by})
	}
	slices.SortStableFunc(list, func(a, b Closure) int { return a.From.Compare(b.From) })
	if !p.NotBefore.IsZero() {
		list = slices.Insert(list, 0, Closure{Until: p.NotBefore, Reason: OutsideWindow, By: "not before " + p.NotBefore.Format(time.RFC3339)})
	}
	if !p.NotAfter.IsZero() {
		list = append(list, Closure{From: p.NotAfter.Add(time.Nanosecond), Reason: OutsideWindow, By: "not after " + p.NotAfter.Format(time.RFC3339)})
	}
	return disjoint(list)
}

// disjoint cuts what overlaps: the window goes first, then what begins first.
func disjoint(list []Closure) []Closure {
	var out []Closure
	for i, c := range list {
		if last := len(list) - 1; i < last && list[last].Until.IsZero() && !list[last].From.IsZero() && (c.Until.IsZero() || c.Until.After(list[last].From)) {
			c.Until = list[last].From
		}
		if n := len(out); n > 0 {
			if out[n-1].Until.IsZero() {
				break
			}
			if c.From.Before(out[n-1].Until) {
				c.From = out[n-1].Until
			}
		}
		if c.Until.IsZero() || c.From.Before(c.Until) {
			out = append(out, c)
		}
	}
	return out
}

// From returns t with the slots of @every counted from anchor.
func (t Times) From(anchor time.Time) Times {
	t.cron = t.cron.From(anchor)
	return t
}

// Location returns the zone of the schedule.
func (t Times) Location() *time.Location { return t.cron.Location() }

// At returns the closure that a slot is in, nil if it is open.
func (t Times) At(slot time.Time) *Closure {
	i, _ := slices.BinarySearchFunc(t.closed, slot, func(c Closure, at time.Time) int {
		if !c.Until.IsZero() && !c.Until.After(at) {
			return -1
		}
		return 1
	})
	if i < len(t.closed) && !t.closed[i].From.After(slot) {
		return &t.closed[i]
	}
	return nil
}

// Due returns when the run of a slot is to start: at the slot, or after it by
// the schedule's jitter, but before the next slot.
func (t Times) Due(slot time.Time) time.Time {
	if t.offset == 0 || slot.IsZero() {
		return slot
	}
	offset := t.offset
	if next := t.cron.Next(slot); !next.IsZero() {
		offset = max(min(offset, next.Sub(slot)-time.Second), 0)
	}
	return slot.Add(offset)
}

// Next returns the first slot after the given time, open or closed.
func (t Times) Next(after time.Time) time.Time { return t.cron.Next(after) }

// NextOpen returns the first open slot after the given time, or the zero time
// if there is none.
func (t Times) NextOpen(after time.Time) time.Time {
	for range len(t.closed) + 1 {
		slot := t.cron.Next(after)
		c := t.At(slot)
		if slot.IsZero() || c == nil {
			return slot
		}
		if c.Until.IsZero() {
			break
		}
		after = c.Until.Add(-time.Nanosecond)
	}
	return time.Time{}
}

// NextDue returns when the first open slot is due that is due after now, or the
// zero time if there is none.
func (t Times) NextDue(now time.Time) time.Time {
	after := now
	if t.offset > 0 {
		// A slot that has come may not be due yet.
		if last := t.cron.Last(now.Add(-t.offset-time.Second), now); !last.IsZero() && t.Due(last).After(now) {
			after = last.Add(-time.Nanosecond)
		}
	}
	return t.Due(t.NextOpen(after))
}

// LastOpen returns the last open slot after the first and not after the second
// time, or the zero time if there is none.
func (t Times) LastOpen(after, until time.Time) time.Time {
	for range len(t.closed) + 1 {
		slot := t.cron.Last(after, until)
		c := t.At(slot)
		if slot.IsZero() || c == nil {
			return slot
		}
		if c.From.IsZero() {
			break
		}
		until = c.From.Add(-time.Nanosecond)
	}
	return time.Time{}
}

// LastDue returns the last slot after the given time that is due at now, open
// or closed, or the zero time if there is none.
func (t Times) LastDue(after, now time.Time) time.Time {
	slot := t.cron.Last(after, now)
	if slot.IsZero() || !t.Due(slot).After(now) {
		return slot
	}
	return t.cron.Last(after, slot.Add(-time.Nanosecond))
}

// Count returns how many slots lie after the first and not after the second
// time, open or closed.
func (t Times) Count(after, until time.Time) int { return t.cron.Count(after, until) }

// CountOpen is Count of the open slots.
func (t Times) CountOpen(after, until time.Time) int {
	count := 0
	for _, part := range t.stretches(after, until) {
		if part.closed == nil {
			count += t.cron.Count(part.after, part.until)
		}
	}
	return count
}

// stretch is a part of time that is closed as a whole or open as a whole.
type stretch struct {
	after, until time.Time // after excluded, until included
	closed       *Closure
}

// stretches cuts the time after the first and not after the second moment into
// what is open and what is closed, in order.
func (t Times) stretches(after, until time.Time) []stretch {
	var out []stretch
	for i := range t.closed {
		c := &t.closed[i]
		if !c.Until.IsZero() && !c.Until.After(after) {
			continue
		}
		if c.From.After(until) {
			break
		}
		if begin := c.From.Add(-time.Nanosecond); !c.From.IsZero() && begin.After(after) {
			out = append(out, stretch{after: after, until: begin})
			after = begin
		}
		end := until
		if !c.Until.IsZero() {
			end = earliest(until, c.Until.Add(-time.Nanosecond))
		}
		out = append(out, stretch{after: after, until: end, closed: c})
		after = end
	}
	if until.After(after) {
		out = append(out, stretch{after: after, until: until})
	}
	return out
}
