package schedule

import (
	"strings"
	"time"

	"rota.dev/rota/schema"
)

// savingRule is a schema.DaylightSaving in two bytes, for there are many schedules.
type savingRule struct {
	shift       bool
	first, last bool
}

// mostSaving is the largest change of the clock that counts as daylight saving.
const mostSaving = 3 * 3600

// With returns s with the rule d.
func (s Schedule) With(d schema.DaylightSaving) Schedule {
	s.saving = savingRule{shift: d.Gap == schema.GapShift, first: d.Repeat == schema.RepeatFirst, last: d.Repeat == schema.RepeatLast}
	return s
}

// isFixed reads whether a schedule that parses names times of the day.
func isFixed(text string) bool {
	if strings.HasPrefix(text, "@") {
		return text != "@hourly"
	}
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return false
	}
	return !strings.ContainsAny(fields[0][:1]+fields[1][:1], "*?")
}

// span is a stretch of constant offset, and what of it can be slots.
type span struct {
	start, end time.Time // start is zero before the first change
	offset     int64     // seconds east of UTC
	// from and until bound the civil minutes.
	from, until int64
	// shifted is the instant at which slots of a gap before start fire, in
	// seconds since the epoch; zero if there is none.
	shifted int64
}

// farMinutes is beyond every civil minute that is asked for.
const farMinutes = 1 << 50

// span returns the stretch that t is in. If limit is not zero, an end beyond
// it, or none, is replaced by it.
func (s Schedule) span(t, limit time.Time) span {
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	if !end.IsZero() && !end.After(t) {
		// Past the last change that a zone's data lists, ZoneBounds takes every
		// year for 365 days, so that the last day of a leap year ends at its
		// own beginning, and a search would never leave it.
		end = time.Date(t.UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	sp := span{start: start, end: end, offset: int64(offset), from: -farMinutes, until: farMinutes}
	if s.fixed && s.saving != (savingRule{}) {
		sp.save(s)
	}
	if !limit.IsZero() && (end.IsZero() || end.After(limit)) {
		sp.end = limit
	}
	if !sp.end.IsZero() {
		sp.until = min(sp.until, ceilDiv(sp.end.Unix()+sp.offset, 60))
	}
	return sp
}

// save applies the rule of s at the ends of the stretch.
func (sp *span) save(s Schedule) {
	if !sp.start.IsZero() {
		_, o := sp.start.Add(-time.Second).Zone()
		before, at := int64(o), sp.start.Unix()
		switch change := sp.offset - before; {
		case s.saving.shift && change > 0 && change < mostSaving:
			if _, ok := s.firstMinute(ceilDiv(at+before, 60), ceilDiv(at+sp.offset, 60)); ok {
				sp.shifted = ceilDiv(at, 60) * 60
			}
		case s.saving.first && change < 0 && change > -mostSaving:
			sp.from = ceilDiv(at+before, 60)
		}
	}
	if s.saving.last && !sp.end.IsZero() {
		_, o := sp.end.Zone()
		if change := int64(o) - sp.offset; change < 0 && change > -mostSaving {
			sp.until = ceilDiv(sp.end.Unix()+int64(o), 60)
		}
	}
}
