package schedule

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Words says in English when s fires, such as `at 02:30 on Mondays to Fridays
// (Europe/Berlin)`. It speaks of what the parsed fields hold and not of how
// they are written: */90 is once an hour, and day 13 and Fridays are
// alternatives. What surprises, such as a step that does not divide the hour,
// follows after a semicolon. A schedule that never fires is `never`.
func (s Schedule) Words() string {
	if s.every > 0 {
		return "every " + shortly(s.every) + ", counted from the slot before and not by the clock"
	}
	if s.never() {
		return "never"
	}
	w := wording{
		minutes: series{bitsOf(s.minute, 0, 59), 0, 59},
		hours:   series{bitsOf(s.hour, 0, 23), 0, 23},
		doms:    series{bitsOf(s.dom, 1, 31), 1, 31},
		months:  series{bitsOf(s.month, 1, 12), 1, 12},
		dows:    weekdays(s.dow),
		either:  s.dom&starBit == 0 && s.dow&starBit == 0,
	}
	text := w.time() + w.day()
	for _, clause := range []string{w.unevenMinutes(), w.unevenHours(), w.anew(), w.alternatives(), w.short()} {
		if clause != "" {
			text += "; " + clause
		}
	}
	return text + " (" + s.Location().String() + ")"
}

// shortly leaves the units out that are zero: 1h30m0s is 1h30m.
func shortly(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// series is the values of a field, in order, and the bounds of the field.
type series struct {
	values   []int
	low, top int
}

func bitsOf(set uint64, low, top int) []int {
	var values []int
	for set = set & (1<<(top+1) - 1) >> low << low; set != 0; set &= set - 1 {
		values = append(values, bits.TrailingZeros64(set))
	}
	return values
}

// weekdays counts Sunday as 7, so that a weekend is in a row.
func weekdays(set uint64) series {
	values := bitsOf(set, 1, 6)
	if set&1 != 0 {
		values = append(values, 7)
	}
	return series{values, 1, 7}
}

func (s series) first() int { return s.values[0] }
func (s series) last() int  { return s.values[len(s.values)-1] }
func (s series) full() bool { return len(s.values) == s.top-s.low+1 }

// step returns the distance of the values if it is the same between all of
// them, and they are as many at least; else 0.
func (s series) step(atLeast int) int {
	if len(s.values) < max(atLeast, 2) {
		return 0
	}
	step := s.values[1] - s.values[0]
	for i := 2; i < len(s.values); i++ {
		if s.values[i]-s.values[i-1] != step {
			return 0
		}
	}
	return step
}

// wraps returns the distance from the last value to the first of the next
// round.
func (s series) wraps() int { return s.first() + s.top - s.low + 1 - s.last() }

// even returns the step of values that come at the same distance for ever.
func (s series) even() int {
	if step := s.step(2); step == s.wraps() {
		return step
	}
	return 0
}

// stepped reports whether the values are all that a step can reach.
func (s series) stepped(step int) bool {
	return step > 0 && s.first()-step < s.low && s.last()+step > s.top
}

// wording puts the fields of a schedule into words.
type wording struct {
	minutes, hours, doms, months, dows series
	// either is whether one of the two days is enough.
	either bool
}

const (
	// mostTimes is how many times of a day are listed.
	mostTimes = 4
	// fewest is how many values of the same distance are a step.
	fewest = 4
)

func (w wording) time() string {
	if w.hours.full() {
		return w.ofEveryHour()
	}
	m, h := w.minutes, w.hours
	inRow := h.step(2) == 1 || len(h.values) == 1
	times := len(m.values) * len(h.values)
	step := m.step(3)
	switch {
	case len(m.values) == 1 && h.step(fewest) > 0:
		return fmt.Sprintf("every %s from %s to %s", count(h.step(fewest), "hour"), clock(h.first(), m.first()), clock(h.last(), m.first()))
	case inRow && m.even() > 0 && (step > 0 || times > mostTimes):
		step = m.even()
		fallthrough
	case len(h.values) == 1 && step > 0:
		return fmt.Sprintf("every %s from %s to %s", count(step, "minute"), clock(h.first(), m.first()), clock(h.last(), m.last()))
	case times <= mostTimes:
		var list []string
		for _, hour := range h.values {
			for _, minute := range m.values {
				list = append(list, clock(hour, minute))
			}
		}
		return "at " + and(list)
	}
	return w.minutesOf() + " of " + w.hoursOf()
}

func (w wording) ofEveryHour() string {
	m := w.minutes
	switch step := m.even(); {
	case step > 0 && m.first() == 0:
		return "every " + count(step, "minute")
	case step > 0:
		return fmt.Sprintf("every %s, from :%02d", count(step, "minute"), m.first())
	case m.step(3) > 0:
		return w.minutesOf() + " of every hour"
	}
	return "every hour " + w.minutesOf()
}

// minutesOf says which minutes of an hour.
func (w wording) minutesOf() string {
	m := w.minutes
	if m.full() {
		return "every minute"
	}
	if step := m.step(3); step > 0 {
		return fmt.Sprintf("every %s from :%02d to :%02d", count(step, "minute"), m.first(), m.last())
	}
	var list []string
	for _, v := range m.values {
		list = append(list, fmt.Sprintf(":%02d", v))
	}
	return "at " + and(list)
}

func (w wording) hoursOf() string {
	h := w.hours
	two := func(v int) string { return fmt.Sprintf("%02d", v) }
	if step := h.step(fewest); step > 1 {
		return fmt.Sprintf("every %s hour from %02d to %02d", ordinal(step), h.first(), h.last())
	}
	return plural("hour", len(h.values)) + " " + h.list(two)
}

// day says on which days and in which months; it is empty if that is every
// minute's or hour's business anyway.
func (w wording) day() string {
	of := " of the month"
	in := ""
	if !w.months.full() {
		months := w.months.list(func(v int) string { return time.Month(v).String() })
		of, in = " of "+months, " in "+months
	}
	dom := " on " + plural("day", len(w.doms.values)) + " " + w.doms.list(strconv.Itoa)
	if step := w.doms.step(fewest); step > 1 {
		dom = fmt.Sprintf(" on every %s day from day %d to day %d", ordinal(step), w.doms.first(), w.doms.last())
	}
	dow := " on " + w.dows.list(func(v int) string { return time.Weekday(v%7).String() + "s" })
	switch {
	case w.either && (w.doms.full() || w.dows.full()), w.doms.full() && w.dows.full():
		if w.hours.full() {
			return in
		}
		return " every day" + in
	case w.either:
		return dom + of + ", or" + dow + in
	case w.doms.full():
		return dow + in
	}
	return dom + of
}

// byDay and byWeekday report whether that field is what days depend on.
func (w wording) byDay() bool {
	return !w.doms.full() && !(w.either && w.dows.full())
}

func (w wording) byWeekday() bool {
	return !w.dows.full() && !(w.either && w.doms.full())
}

func (w wording) unevenMinutes() string {
	m := w.minutes
	if step := m.step(3); m.stepped(step) && m.even() == 0 && w.hours.inRow() {
		return fmt.Sprintf("from :%02d to :%02d it is %d %s", m.last(), m.first(), m.wraps(), plural("minute", m.wraps()))
	}
	return ""
}

func (w wording) unevenHours() string {
	h := w.hours
	if step := h.step(fewest); h.stepped(step) && h.even() == 0 && !w.byDay() && !w.byWeekday() {
		return fmt.Sprintf("from %02d to %02d hours it is %d %s", h.last(), h.first(), h.wraps(), plural("hour", h.wraps()))
	}
	return ""
}

// anew warns of days that look as if they were at a distance for ever.
func (w wording) anew() string {
	if step := w.doms.step(fewest); w.byDay() && step > 1 && w.doms.stepped(step) {
		return "days are counted anew each month"
	}
	return ""
}

// alternatives warns of what most readers of cron take for an "and".
func (w wording) alternatives() string {
	if w.either && w.byDay() && w.byWeekday() {
		return "one of the two is enough"
	}
	return ""
}

// short names the months that have none of the days.
func (w wording) short() string {
	if !w.byDay() || w.byWeekday() {
		return ""
	}
	var none []string
	for _, month := range w.months.values {
		if w.doms.first() > longest[month] {
			none = append(none, time.Month(month).String())
		}
	}
	february := w.doms.first() == 29 && slices.Contains(w.months.values, int(time.February))
	switch {
	case len(none) > 0:
		return "not in " + and(none)
	case february && len(w.months.values) == 1:
		return "in leap years only"
	case february:
		return "in February in leap years only"
	}
	return ""
}

// inRow reports whether any two of the values follow each other.
func (s series) inRow() bool {
	for i := 1; i < len(s.values); i++ {
		if s.values[i] == s.values[i-1]+1 {
			return true
		}
	}
	return false
}

// list returns the values by name, those in a row by the first and the last.
func (s series) list(name func(int) string) string {
	if len(s.values) > 2 && s.step(3) == 1 {
		return name(s.first()) + " to " + name(s.last())
	}
	var names []string
	for _, v := range s.values {
		names = append(names, name(v))
	}
	return and(names)
}

func and(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

func clock(hour, minute int) string { return fmt.Sprintf("%02d:%02d", hour, minute) }

// count returns `5 minutes`, and of one `minute`.
func count(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func plural(noun string, n int) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

func ordinal(n int) string {
	switch {
	case n%10 == 2 && n != 12:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3 && n != 13:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n) // there is no first
}
