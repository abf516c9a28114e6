package schedule

import (
	"fmt"
	"math/bits"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // images without a zone database know every zone

	"github.com/robfig/cron/v3"

	"rota.dev/rota/schema"
)

const (
	// maxScheduleLength bounds the text that is parsed. Every list of every
	// value of five fields is shorter.
	maxScheduleLength = 1024
	// horizonYears bounds each search for a slot. The sparsest schedule that
	// fires at all, 29 February, has gaps of eight years.
	horizonYears = 40

	starBit       = 1 << 63 // robfig/cron's mark of a field that is * or ?
	minutesPerDay = 24 * 60
)

// Schedule is a parsed cron schedule in its time zone. The zero Schedule never
// fires. It is a value without pointers to anything but a shared zone, so
// that a process can hold very many.
type Schedule struct {
	minute, hour, dom, month, dow uint64
	every                         time.Duration
	anchor                        time.Time
	location                      *time.Location
	// fixed is whether minute and hour are numbers: see DaylightSaving.
	fixed  bool
	saving savingRule
}

// Parse reads a five-field cron schedule, a descriptor such as @hourly, or
// @every with a duration, as robfig/cron's ParseStandard and so Kubernetes
// does, in the IANA zone named zone; "" is UTC. A leading TZ= or CRON_TZ= in
// the schedule itself, which Kubernetes refuses on create but keeps on old
// objects, goes before zone.
//
// The error is a *schema.Problem: R300 unreadable, R301 unknown zone, R302 a
// misplaced TZ=, R303 a schedule that can never fire.
func Parse(schedule, zone string) (Schedule, error) {
	if len(schedule) > maxScheduleLength {
		return Schedule{}, problem("R300", "spec.schedule", nil, "the schedule has %d characters, more than %d",
			len(schedule), maxScheduleLength)
	}
	text, inline, found, err := cutZone(schedule)
	if err != nil {
		return Schedule{}, err
	}
	field := "spec.timeZone"
	if found {
		zone, field = inline, "spec.schedule"
	}
	location, err := locate(zone)
	if err != nil {
		return Schedule{}, problem("R301", field, err, "unknown time zone %q", clip(zone))
	}
	parsed, err := parseStandard(text)
	if err != nil {
		return Schedule{}, problem("R300", "spec.schedule", err, "cannot read the schedule %q: %v", clip(schedule), err)
	}
	switch p := parsed.(type) {
	case cron.ConstantDelaySchedule:
		return Schedule{every: p.Delay, location: location}, nil
	case *cron.SpecSchedule:
		s := Schedule{minute: p.Minute, hour: p.Hour, dom: p.Dom, month: p.Month, dow: p.Dow, location: location, fixed: isFixed(text)}
		if s.never() {
			return Schedule{}, problem("R303", "spec.schedule", nil, "the schedule %q never fires: no date has these fields", clip(schedule))
		}
		return s, nil
	default:
		return Schedule{}, problem("R300", "spec.schedule", nil, "cannot read the schedule %q", clip(schedule))
	}
}

// cutZone splits a leading TZ= or CRON_TZ= from a schedule. robfig/cron panics
// where such a prefix stands alone, so that it never gets to see one.
func cutZone(schedule string) (text, zone string, found bool, err error) {
	text = schedule
	for _, prefix := range []string{"TZ=", "CRON_TZ="} {
		rest, ok := strings.CutPrefix(schedule, prefix)
		if !ok {
			continue
		}
		zone, text, found = strings.Cut(rest, " ")
		if !found {
			return "", "", false, problem("R302", "spec.schedule", nil, "%q has a time zone and no schedule", clip(schedule))
		}
		break
	}
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=") {
		return "", "", false, problem("R302", "spec.schedule", nil, "%q names a time zone inside the schedule", clip(schedule))
	}
	return text, zone, found, nil
}

// parseStandard is cron.ParseStandard with a panic of the library turned into
// an error: its input comes from git.
func parseStandard(text string) (parsed cron.Schedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("parsing panicked: %v", r)
		}
	}()
	return cron.ParseStandard(text)
}

// locations holds each zone once: a *time.Location of its own would cost every
// schedule 4.5 KB. Only zones that exist get in, so it is bounded.
var locations sync.Map

func locate(zone string) (*time.Location, error) {
	if zone == "" || zone == "UTC" {
		return time.UTC, nil
	}
	if strings.EqualFold(zone, "Local") {
		return nil, fmt.Errorf("%q is the zone of whatever machine runs", zone)
	}
	if known, ok := locations.Load(zone); ok {
		return known.(*time.Location), nil
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, err
	}
	known, _ := locations.LoadOrStore(zone, location)
	return known.(*time.Location), nil
}

// Location returns the zone that s is read in, never nil.
func (s Schedule) Location() *time.Location {
	if s.location == nil {
		return time.UTC
	}
	return s.location
}

// Every returns the interval of an @every schedule, and zero for all others.
func (s Schedule) Every() time.Duration { return s.every }

// From returns s with the slots of @every counted from anchor: anchor itself,
// anchor and one interval, and so on. It does nothing to other schedules,
// whose slots hang on the calendar.
func (s Schedule) From(anchor time.Time) Schedule {
	if s.every > 0 {
		s.anchor = anchor.Truncate(time.Second)
	}
	return s
}

// Next returns the first slot after the given time, in the schedule's zone, or
// the zero time if there is none within forty years. An @every schedule
// without an anchor counts from after itself, as robfig/cron does.
func (s Schedule) Next(after time.Time) time.Time {
	if s.every > 0 {
		if s.anchor.IsZero() {
			return after.Truncate(time.Second).Add(s.every).In(s.Location())
		}
		return s.anchor.Add((floorDiv(after.Sub(s.anchor), s.every) + 1) * s.every).In(s.Location())
	}
	limit := after.AddDate(horizonYears, 0, 0)
	first := after.Unix() + 1
	for t := after.In(s.Location()); t.Before(limit); {
		sp := s.span(t, limit)
		if sp.shifted >= first {
			return time.Unix(sp.shifted, 0).In(s.Location())
		}
		from := max(ceilDiv(first+sp.offset, 60), sp.from)
		if m, ok := s.firstMinute(from, sp.until); ok {
			return time.Unix(m*60-sp.offset, 0).In(s.Location())
		}
		t, first = sp.end.In(s.Location()), sp.end.Unix()
	}
	return time.Time{}
}

// Last returns the last slot after the first and not after the second time, or
// the zero time if there is none. The work grows with the days between them.
func (s Schedule) Last(after, until time.Time) time.Time {
	if !until.After(after) {
		return time.Time{}
	}
	if s.every > 0 {
		anchored := s
		if s.anchor.IsZero() {
			anchored = s.From(after)
		}
		slot := anchored.anchor.Add(floorDiv(until.Sub(anchored.anchor), s.every) * s.every)
		if !slot.After(after) {
			return time.Time{}
		}
		return slot.In(s.Location())
	}
	for t := until.In(s.Location()); t.After(after); {
		sp := s.span(t, time.Time{})
		start := sp.start
		if !start.After(after) {
			start = after.Add(time.Nanosecond)
		}
		from := max(ceilDiv(ceilUnix(start)+sp.offset, 60), sp.from)
		last := min(floorDiv(t.Unix()+sp.offset, 60), sp.until-1)
		if m, ok := s.lastMinute(from, last); ok {
			return time.Unix(m*60-sp.offset, 0).In(s.Location())
		}
		if sp.shifted > after.Unix() && sp.shifted <= t.Unix() {
			return time.Unix(sp.shifted, 0).In(s.Location())
		}
		t = start.Add(-time.Nanosecond).In(s.Location())
	}
	return time.Time{}
}

// Count returns how many slots lie after the first and not after the second
// time. The work grows with the days between them, not with the slots.
func (s Schedule) Count(after, until time.Time) int {
	if !until.After(after) {
		return 0
	}
	if s.every > 0 {
		anchored := s
		if s.anchor.IsZero() {
			anchored = s.From(after)
		}
		return int(floorDiv(until.Sub(anchored.anchor), s.every) - floorDiv(after.Sub(anchored.anchor), s.every))
	}
	count := 0
	first := after.Unix() + 1
	for t := after.In(s.Location()); !t.After(until); {
		sp := s.span(t, until.Add(time.Second))
		stop := min(sp.end.Unix(), until.Unix()+1)
		from := max(ceilDiv(first+sp.offset, 60), sp.from)
		count += s.countMinutes(from, min(ceilDiv(stop+sp.offset, 60), sp.until))
		if sp.shifted >= first && sp.shifted < stop && s.countMinutes(floorDiv(sp.shifted+sp.offset, 60), floorDiv(sp.shifted+sp.offset, 60)+1) == 0 {
			count++
		}
		t, first = sp.end.In(s.Location()), sp.end.Unix()
	}
	return count
}

// Upcoming returns at most n slots after the given time, in order; fewer if
// the schedule has fewer.
func (s Schedule) Upcoming(after time.Time, n int) []time.Time {
	if s.every > 0 && s.anchor.IsZero() {
		s = s.From(after)
	}
	var slots []time.Time
	for t := s.Next(after); len(slots) < n && !t.IsZero(); t = s.Next(t) {
		slots = append(slots, t)
	}
	return slots
}

// longest is how many days a month has at most.
var longest = [...]int{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// never reports whether no date has all the fields of s.
func (s Schedule) never() bool {
	if s.minute&(1<<60-1) == 0 || s.hour&(1<<24-1) == 0 {
		return true
	}
	for month := 1; month <= 12; month++ {
		if s.month&(1<<month) == 0 {
			continue
		}
		for day := 1; day <= longest[month]; day++ {
			for weekday := range 7 {
				if s.dayMatches(day, weekday) {
					return false
				}
			}
		}
	}
	return true
}

// dayMatches is cron's odd rule: the two day fields are alternatives, unless
// one of them is a star.
func (s Schedule) dayMatches(day, weekday int) bool {
	dom := s.dom&(1<<day) != 0
	dow := s.dow&(1<<weekday) != 0
	if s.dom&starBit != 0 || s.dow&starBit != 0 {
		return dom && dow
	}
	return dom || dow
}

// A civil minute counts minutes since the epoch as a clock on the wall shows
// them: within a span of constant offset the search is plain arithmetic, and
// no gap or repetition of the zone can confuse it.

// firstMinute returns the first matching civil minute of [from, until).
func (s Schedule) firstMinute(from, until int64) (int64, bool) {
	for day := floorDiv(from, minutesPerDay); day*minutesPerDay < until; {
		matches, next := s.day(day, 1)
		if matches {
			start := max(from-day*minutesPerDay, 0)
			if m, ok := s.minuteFrom(start); ok {
				found := day*minutesPerDay + m
				return found, found < until
			}
		}
		day = next
	}
	return 0, false
}

// lastMinute returns the last matching civil minute of [from, last].
func (s Schedule) lastMinute(from, last int64) (int64, bool) {
	for day := floorDiv(last, minutesPerDay); (day+1)*minutesPerDay > from; {
		matches, next := s.day(day, -1)
		if matches {
			end := min(last-day*minutesPerDay, minutesPerDay-1)
			if m, ok := s.minuteTo(end); ok {
				found := day*minutesPerDay + m
				return found, found >= from
			}
		}
		day = next
	}
	return 0, false
}

// countMinutes returns how many civil minutes of [from, until) match.
func (s Schedule) countMinutes(from, until int64) int {
	if from >= until {
		return 0 // of a repeated hour that a policy leaves out, all may be past
	}
	count := 0
	for day := floorDiv(from, minutesPerDay); day*minutesPerDay < until; {
		matches, next := s.day(day, 1)
		if matches {
			start := max(from-day*minutesPerDay, 0)
			end := min(until-day*minutesPerDay, minutesPerDay)
			count += s.minutesBefore(end) - s.minutesBefore(start)
		}
		day = next
	}
	return count
}

// day reports whether the civil day matches, and which day to look at next in
// the direction step, 1 or -1: months that do not match are left out whole.
func (s Schedule) day(day int64, step int) (bool, int64) {
	year, month, date := time.Unix(day*86400, 0).UTC().Date()
	if s.month&(1<<month) == 0 {
		if step > 0 {
			return false, time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC).Unix() / 86400
		}
		return false, floorDiv(time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Unix(), 86400) - 1
	}
	weekday := int(((day+4)%7 + 7) % 7) // the epoch was a Thursday
	return s.dayMatches(date, weekday), day + int64(step)
}

func (s Schedule) minuteFrom(start int64) (int64, bool) {
	hour, minute := start/60, start%60
	if s.hour&(1<<hour) != 0 {
		if m := s.minute & (1<<60 - 1) >> minute << minute; m != 0 {
			return hour*60 + int64(bits.TrailingZeros64(m)), true
		}
	}
	h := s.hour & (1<<24 - 1) >> (hour + 1) << (hour + 1)
	if h == 0 {
		return 0, false
	}
	return int64(bits.TrailingZeros64(h))*60 + int64(bits.TrailingZeros64(s.minute)), true
}

func (s Schedule) minuteTo(end int64) (int64, bool) {
	hour, minute := end/60, end%60
	if s.hour&(1<<hour) != 0 {
		if m := s.minute & (1<<(minute+1) - 1); m != 0 {
			return hour*60 + int64(bits.Len64(m)) - 1, true
		}
	}
	h := s.hour & (1<<hour - 1)
	if h == 0 {
		return 0, false
	}
	return int64(bits.Len64(h)-1)*60 + int64(bits.Len64(s.minute&(1<<60-1))) - 1, true
}

// minutesBefore returns how many minutes of a matching day before the given
// one (0 to 1440) match.
func (s Schedule) minutesBefore(end int64) int {
	hour, minute := end/60, end%60
	perHour := bits.OnesCount64(s.minute & (1<<60 - 1))
	count := bits.OnesCount64(s.hour&(1<<min(hour, 24)-1)) * perHour
	if hour < 24 && s.hour&(1<<hour) != 0 {
		count += bits.OnesCount64(s.minute & (1<<minute - 1))
	}
	return count
}

func floorDiv[T ~int64](a, b T) T {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func ceilDiv(a, b int64) int64 { return -floorDiv(-a, b) }

func ceilUnix(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

// clip shortens text from a repository for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func problem(rule, field string, cause error, format string, args ...any) *schema.Problem {
	return &schema.Problem{
		Rule:     rule,
		Severity: schema.SeverityError,
		Field:    field,
		Message:  fmt.Sprintf(format, args...),
		Mend:     rules[rule].Mend,
		Cause:    cause,
	}
}
