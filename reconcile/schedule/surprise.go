package schedule

import (
	"fmt"
	"math/bits"
	"time"
)

// Surprise is a change of the clocks that leaves local times of a schedule out
// or repeats them.
type Surprise struct {
	// At is the moment of the change, in the schedule's zone.
	At time.Time
	// Text says which times they are and what becomes of their runs, by the
	// daylightSaving rule of the policy: a sentence.
	Text string
}

// Surprises returns those after the first and before the second time, in order.
// A schedule that goes on at the same distance, such as one of every hour when
// an hour is left out, has none, and neither has one that lets nothing start then.
func (s Spec) Surprises(after, until time.Time) []Surprise {
	if s.Err != nil || s.Suspended || s.Cron.every > 0 {
		return nil
	}
	times := s.Times()
	cron := times.cron
	var out []Surprise
	for t := after.In(cron.Location()); t.Before(until); {
		sp := cron.span(t, until)
		if !sp.end.Before(until) {
			break
		}
		t = sp.end.In(cron.Location())
		_, offset := t.Zone()
		change := clockChange{at: t, before: sp.offset, after: int64(offset)}
		if text := cron.surprise(change); text != "" && times.At(t) == nil {
			out = append(out, Surprise{At: t, Text: text})
		}
	}
	return out
}

// clockChange is a change of a zone's offset, in seconds east of UTC.
type clockChange struct {
	at            time.Time
	before, after int64
}

// surprise says what becomes of the times of s that c leaves out or repeats;
// empty if there are none.
func (s Schedule) surprise(c clockChange) string {
	from, to := ceilDiv(c.at.Unix()+c.before, 60), ceilDiv(c.at.Unix()+c.after, 60)
	if from == to || s.keepsDistance(to-from) {
		return ""
	}
	saving := s.saving
	if size := max(c.after-c.before, c.before-c.after); !s.fixed || size >= mostSaving {
		saving = savingRule{}
	}
	if to < from {
		local, one := s.localTimes(to, from)
		if local == "" {
			return ""
		}
		verb := "comes twice, and starts a run"
		if !one {
			verb = "come twice, and start runs"
		}
		how := "each time"
		switch {
		case saving.first:
			how = "the first time only"
		case saving.last:
			how = "the second time only"
		}
		return fmt.Sprintf("%s back to %s: %s %s %s.", c.opening(), c.reading(c.after), local, verb, how)
	}
	local, one := s.localTimes(from, to)
	if local == "" {
		return ""
	}
	verb, how := "is left out", "and no run starts for it"
	if !one {
		verb, how = "are left out", "and no run starts for them"
	}
	if saving.shift {
		how = "and a run starts at " + c.reading(c.after) + " instead"
	}
	return fmt.Sprintf("%s to %s: %s %s, %s.", c.opening(), c.reading(c.after), local, verb, how)
}

// keepsDistance reports whether clocks that move by so many minutes change
// nothing in how far apart the slots of a day are.
func (s Schedule) keepsDistance(minutes int64) bool {
	const hour, day = 1<<60 - 1, 1<<24 - 1
	by := int(minutes-floorDiv(minutes, 60)*60) % 60
	set := s.minute & hour
	return s.hour&day == day && bits.OnesCount64(set) > 0 && (set<<by|set>>(60-by))&hour == set
}

// localTimes returns the times of the civil minutes of [from, to) that match,
// and whether it is one; empty if it is none.
func (s Schedule) localTimes(from, to int64) (string, bool) {
	const most = 3
	var list []string
	more := 0
	for m := range s.minutes(from, to) {
		if len(list) == most {
			more++
			continue
		}
		list = append(list, clock(int(m-floorDiv(m, minutesPerDay)*minutesPerDay)/60, int(m-floorDiv(m, 60)*60)))
	}
	if more > 0 {
		list = append(list, fmt.Sprintf("%d more %s", more, plural("time", more)))
	}
	return and(list), len(list) == 1
}

// opening is the beginning of a sentence about c, up to what the clocks showed.
func (c clockChange) opening() string {
	return fmt.Sprintf("On %s clocks go from %s", c.civil(c.before).Format(time.DateOnly), c.civil(c.before).Format("15:04"))
}

// reading is what clocks show at c by an offset, with the date if the other
// offset has another one.
func (c clockChange) reading(offset int64) string {
	if c.civil(c.before).Format(time.DateOnly) == c.civil(c.after).Format(time.DateOnly) {
		return c.civil(offset).Format("15:04")
	}
	return c.civil(offset).Format("2006-01-02 15:04")
}

func (c clockChange) civil(offset int64) time.Time {
	return c.at.UTC().Add(time.Duration(offset) * time.Second)
}
