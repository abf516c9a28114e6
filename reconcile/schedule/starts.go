package schedule

import (
	"iter"
	"math"
	"math/bits"
	"time"
)

// Starts returns when the runs start that c asks for, in seconds since the
// epoch and in order. They are those of [Spec.Coming], of which it lists none:
// a run costs nanoseconds. c.Until must be set; c.Most and c.Skipped say nothing.
func (s Spec) Starts(c Coming) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		f, from, ok := s.foresee(c.all())
		for _, fire := range f.fires {
			if !yield(fire.Due.Unix()) {
				return
			}
		}
		if !ok {
			return
		}
		after := f.undue(from)
		stretches := f.times.stretches(after, c.Until)
		for slot, due := range f.times.slots(after, c.Until) {
			for len(stretches) > 0 && slot > stretches[0].until.Unix() {
				stretches = stretches[1:]
			}
			if due > c.Until.Unix() || len(stretches) == 0 {
				return
			}
			if minute := floorDiv(slot, 60); stretches[0].closed == nil && minute != f.ran {
				f.ran = minute
				if !yield(due) {
					return
				}
			}
		}
	}
}

// CountStarts returns how many runs [Spec.Starts] has. The work grows with the
// days until c.Until, not with the runs.
func (s Spec) CountStarts(c Coming) int {
	f, from, ok := s.foresee(c.all())
	count := len(f.fires)
	if !ok {
		return count
	}
	after := f.undue(from)
	until := f.times.LastDue(after, c.Until)
	if until.IsZero() {
		return count
	}
	for _, part := range f.times.stretches(after, until) {
		last := f.times.cron.Last(part.after, part.until)
		if part.closed != nil || last.IsZero() {
			continue
		}
		first := minuteOf(f.times.cron.Next(part.after))
		if every := f.times.cron.every; every > 0 && every < time.Minute {
			count += int(minuteOf(last) - first + 1) // none of them is without a slot
		} else {
			count += f.times.Count(part.after, part.until)
		}
		if first == f.ran {
			count--
		}
		f.ran = minuteOf(last)
	}
	return count
}

// all returns c without a bound on the number.
func (c Coming) all() Coming {
	c.Most, c.Skipped = math.MaxInt, false
	return c
}

// slots returns the slots after the first and not after the second time, open
// or closed, each with when it is due, in seconds since the epoch.
func (t Times) slots(after, until time.Time) iter.Seq2[int64, int64] {
	if t.offset == 0 {
		return func(yield func(int64, int64) bool) {
			for slot := range t.cron.slots(after, until) {
				if !yield(slot, slot) {
					return
				}
			}
		}
	}
	offset := int64(t.offset / time.Second)
	return func(yield func(int64, int64) bool) {
		var slot int64
		seen := false
		for next := range t.cron.slots(after, until) {
			if seen && !yield(slot, slot+max(min(offset, next-slot-1), 0)) {
				return
			}
			slot, seen = next, true
		}
		if seen {
			yield(slot, t.Due(time.Unix(slot, 0)).Unix())
		}
	}
}

// slots returns what [Schedule.Next] finds after the first and not after the
// second time, in seconds since the epoch.
func (s Schedule) slots(after, until time.Time) iter.Seq[int64] {
	if s.every > 0 {
		return s.steps(after, until)
	}
	return func(yield func(int64) bool) {
		first, last := after.Unix()+1, until.Unix()
		for t := after.In(s.Location()); !t.After(until); {
			sp := s.span(t, until.Add(time.Second))
			if sp.shifted >= first && sp.shifted <= last {
				if !yield(sp.shifted) {
					return
				}
				first = sp.shifted + 1
			}
			stop := min(sp.end.Unix(), last+1)
			from := max(ceilDiv(first+sp.offset, 60), sp.from)
			for m := range s.minutes(from, min(ceilDiv(stop+sp.offset, 60), sp.until)) {
				if !yield(m*60 - sp.offset) {
					return
				}
			}
			t, first = sp.end.In(s.Location()), sp.end.Unix()
		}
	}
}

// steps is slots of an @every schedule.
func (s Schedule) steps(after, until time.Time) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		if s.anchor.IsZero() {
			s = s.From(after)
		}
		step := int64(s.every / time.Second)
		for slot := s.Next(after).Unix(); slot <= until.Unix(); slot += step {
			if !yield(slot) {
				return
			}
		}
	}
}

// minutes returns the civil minutes of [from, until) that match.
func (s Schedule) minutes(from, until int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for day := floorDiv(from, minutesPerDay); day*minutesPerDay < until; {
			matches, next := s.day(day, 1)
			for hours := s.hour & (1<<24 - 1); matches && hours != 0; hours &= hours - 1 {
				hour := day*minutesPerDay + 60*int64(bits.TrailingZeros64(hours))
				if hour+60 <= from {
					continue
				}
				for minutes := s.minute & (1<<60 - 1); minutes != 0; minutes &= minutes - 1 {
					m := hour + int64(bits.TrailingZeros64(minutes))
					if m >= until {
						return
					}
					if m >= from && !yield(m) {
						return
					}
				}
			}
			day = next
		}
	}
}
