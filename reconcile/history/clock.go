package history

import (
	"slices"
	"time"
)

// clock is what the scheduler's clock shows: a list of changes in order of time.
type clock []Reading

// offset returns how far the clock is ahead at a time.
func (c clock) offset(at time.Time) time.Duration {
	var offset time.Duration
	for _, r := range c {
		if r.At.After(at) {
			break
		}
		offset = r.Offset
	}
	return offset
}

func (c clock) shows(at time.Time) time.Time { return at.Add(c.offset(at)) }

// most returns the latest time that the clock shows until a time.
func (c clock) most(until time.Time) time.Time {
	most := c.shows(until)
	for i, r := range c {
		if r.At.After(until) {
			break
		}
		end := until
		if i+1 < len(c) && c[i+1].At.Before(until) {
			end = c[i+1].At.Add(-time.Nanosecond)
		}
		if shown := end.Add(r.Offset); shown.After(most) {
			most = shown
		}
	}
	return most
}

// when returns the first moment, not before from, at which the clock shows
// reading or later.
func (c clock) when(reading, from time.Time) time.Time {
	at := from
	for i := 0; ; i++ {
		for i < len(c) && !c[i].At.After(at) {
			i++
		}
		if shown := c.shows(at); !shown.Before(reading) {
			return at
		}
		reached := reading.Add(-c.offset(at))
		if i >= len(c) || reached.Before(c[i].At) {
			return reached
		}
		at = c[i].At
	}
}

// before returns the spans after from in which the clock shows less than
// reading although it had shown it already.
func (c clock) before(reading, from, until time.Time) []Span {
	var out []Span
	for _, r := range c {
		if !r.At.After(from) || r.At.After(until) {
			continue
		}
		if c.shows(r.At).Before(reading) {
			out = append(out, Span{From: r.At, Until: c.when(reading, r.At), What: "the clock was set back"})
		}
	}
	return out
}

// merged sorts spans and joins those between which less than gap is free.
func merged(spans []Span, gap time.Duration) []Span {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b Span) int { return a.From.Compare(b.From) })
	var out []Span
	for _, s := range spans {
		if !s.Until.After(s.From) {
			continue
		}
		if n := len(out); n > 0 && s.From.Sub(out[n-1].Until) < gap {
			if s.Until.After(out[n-1].Until) {
				out[n-1].Until = s.Until
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// free returns the first moment, not before due, from which nothing of spans,
// which are merged, is in the way for the length of gap; and what was last.
func free(spans []Span, due time.Time, gap time.Duration) (time.Time, string) {
	i, _ := slices.BinarySearchFunc(spans, due, func(s Span, at time.Time) int {
		if s.Until.After(at) {
			return 1
		}
		return -1
	})
	if i < len(spans) && spans[i].From.Sub(due) < gap {
		return spans[i].Until, spans[i].What
	}
	return due, ""
}
