package review

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rota.dev/rota/reconcile/forecast"
)

const (
	// mostSchedules is how many changed schedules are shown to people.
	mostSchedules = 20
	// mostSlots is how many lost or gained slots are named one by one.
	mostSlots = 3
	// mostMinutes is how many busy minutes are shown.
	mostMinutes = 3
)

// local writes t in its own zone. The offset is there since an hour comes twice
// when clocks are put back.
func local(t time.Time) string {
	if t.Second() != 0 {
		return t.Format("Mon 2006-01-02 15:04:05 -07:00")
	}
	return t.Format("Mon 2006-01-02 15:04 -07:00")
}

// utc writes the time of day of t in UTC, with the weekday where that is
// another; it is empty where t is in UTC already.
func utc(t time.Time) string {
	if _, offset := t.Zone(); offset == 0 {
		return ""
	}
	u, layout := t.UTC(), "15:04Z"
	if t.Second() != 0 {
		layout = "15:04:05Z"
	}
	if u.Day() != t.Day() {
		layout = "Mon " + layout
	}
	return u.Format(layout)
}

// both writes t in its own zone and in UTC.
func both(t time.Time) string {
	if u := utc(t); u != "" {
		return local(t) + " " + u
	}
	return local(t)
}

// noBreak is a space that no line is broken at. It is written as a plain one.
const noBreak = "\u00a0"

// solid writes t as both does, in one piece.
func solid(t time.Time) string { return strings.ReplaceAll(both(t), " ", noBreak) }

// perDay writes how many runs a day there are.
func perDay(n float64) string {
	switch {
	case n == 0:
		return "none"
	case n < 0.5:
		return fmt.Sprintf("one in %.0f days", 1/n)
	}
	return strconv.FormatFloat(float64(int(n*10+0.5))/10, 'f', -1, 64)
}

// written is the schedule of a side as its author wrote it, with the zone;
// empty for no side.
func written(s *forecast.Side) (cron, zone string) {
	if s == nil {
		return "", ""
	}
	return s.Schedule.Spec.Schedule, cmp.Or(s.Schedule.Zone, "Etc/UTC")
}

// heading says what happens to a schedule; quote marks what is the
// repository's.
func heading(c forecast.Change, quote func(string) string) string {
	show := func(s *forecast.Side) string {
		cron, zone := written(s)
		return quote(cron) + " " + quote(zone)
	}
	switch {
	case c.Before == nil:
		return "new, " + show(c.After)
	case c.After == nil:
		return "gone, " + show(c.Before)
	}
	was, before := written(c.Before)
	is, after := written(c.After)
	switch {
	case was == is && before == after:
		return show(c.After) + ", as before"
	case before == after:
		return quote(was) + " → " + quote(is) + " " + quote(after)
	}
	return show(c.Before) + " → " + show(c.After)
}

// note is one thing that is said of a changed schedule.
type note struct {
	label, text string
	// quoted is set where text has words of the repository: of calendars, of
	// pauses, of errors. The rest is rota's own.
	quoted bool
}

// The labels of notes that quote.
const (
	rulesLabel  = "rules"
	silentLabel = "no run after the change"
)

// notes says what a table of times does not.
func notes(c forecast.Change) []note {
	var all []note
	add := func(label, text string) {
		if text != "" {
			quoted := label == rulesLabel || label == silentLabel
			all = append(all, note{label, text, quoted})
		}
	}
	b, a := c.Before, c.After
	differ := func(label string, of func(*forecast.Side) string) {
		switch {
		case b == nil:
			add(label, of(a))
		case a == nil:
			add(label, of(b))
		case of(b) != of(a):
			add(label, cmp.Or(of(b), "none")+" → "+cmp.Or(of(a), "none"))
		}
	}
	if b != nil && a != nil && b.Words != a.Words {
		add("was", b.Words)
		add("now", a.Words)
	} else {
		differ("that is", func(s *forecast.Side) string { return s.Words })
	}
	differ(rulesLabel, func(s *forecast.Side) string { return strings.Join(s.Rules, ", ") })
	if b != nil && a != nil && perDay(b.PerDay) == perDay(a.PerDay) {
		add("runs per day", perDay(a.PerDay)+", as before")
	} else {
		differ("runs per day", func(s *forecast.Side) string { return perDay(s.PerDay) })
	}
	if !c.First.IsZero() {
		add("first run after the change", solid(c.First))
	}
	if a != nil {
		add(silentLabel, a.Silent)
	}
	if b != nil && a != nil {
		add("lost at the change", slots(c.Lost))
		add("gained at the change", slots(c.Gained))
	}
	for _, s := range c.Surprises {
		add("clocks", s.Text)
	}
	return all
}

// slots names a few times, and of more the first, the last and their number.
func slots(times []time.Time) string {
	if n := len(times); n > mostSlots {
		return fmt.Sprintf("%d slots, from %s to %s", n, solid(times[0]), solid(times[n-1]))
	}
	var named []string
	for _, t := range times {
		named = append(named, solid(t))
	}
	return strings.Join(named, ", ")
}

// next returns the next runs of a side; nil for no side.
func next(s *forecast.Side) []time.Time {
	if s == nil {
		return nil
	}
	var times []time.Time
	for _, f := range s.Next {
		times = append(times, f.At())
	}
	return times
}

// busierSaid reports whether the busiest minutes are worth a reader's time:
// they changed.
func busierSaid(c forecast.Comparison) bool {
	return !slices.EqualFunc(c.Before, c.After, func(b, a forecast.Minute) bool {
		return b.At.Equal(a.At) && b.Runs == a.Runs
	})
}

// minutes writes the busiest minutes for people.
func minutes(all []forecast.Minute) []string {
	var lines []string
	for _, m := range all[:min(len(all), mostMinutes)] {
		lines = append(lines, fmt.Sprintf("%s: %d runs", m.At.UTC().Format("Mon 2006-01-02 15:04Z"), m.Runs))
	}
	return lines
}

// exceeded says that a limit is exceeded; quote marks what is the repository's.
func exceeded(e forecast.Exceeded, quote func(string) string) string {
	if e.Quota != "" {
		return fmt.Sprintf("ResourceQuota %s has room for %d Jobs, those that ended included: %d start at %s", quote(e.Quota), e.Limit, e.Runs, e.At.UTC().Format("Mon 2006-01-02 15:04Z"))
	}
	return fmt.Sprintf("concurrency group %s has %d at a time: %d start at %s", quote(e.Group), e.Limit, e.Runs, e.At.UTC().Format("Mon 2006-01-02 15:04Z"))
}

// rowsOf pairs two lists, with empty texts where one is shorter.
func rowsOf[T any](before, after []T, show func(T) string) [][2]string {
	rows := make([][2]string, max(len(before), len(after)))
	for i, v := range before {
		rows[i][0] = show(v)
	}
	for i, v := range after {
		rows[i][1] = show(v)
	}
	return rows
}
