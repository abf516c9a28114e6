package schema

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// cronField is one of the five.
type cronField struct {
	name     string
	min, max int
}

var cronFields = []cronField{{"minute", 0, 59}, {"hour", 0, 23}, {"day of month", 1, 31}, {"month", 1, 12}, {"day of week", 0, 6}}

// timetable is a schedule as it was parsed, and its five fields as they are
// written, if there are; the zero value is of what Validate refuses, and of
// @every.
type timetable struct {
	spec   *cron.SpecSchedule
	fields []string
}

// timetable returns that of a CronJob. Few schedules are written in many of
// them.
func (l *linter) timetable(o Object) timetable {
	if !o.Key().IsCronJob() {
		return timetable{}
	}
	text := textOf(mapOf(o.Object, "spec"), "schedule")
	known, ok := l.timetables[text]
	if !ok {
		known = readTimetable(text)
		l.timetables[text] = known
	}
	return known
}

func readTimetable(text string) timetable {
	if rule, _, _ := checkSchedule(text); rule != "" {
		return timetable{}
	}
	parsed, err := parseSchedule(text)
	spec, ok := parsed.(*cron.SpecSchedule)
	if err != nil || !ok {
		return timetable{}
	}
	t := timetable{spec: spec}
	if fields := strings.Fields(text); len(fields) == len(cronFields) {
		t.fields = fields
	}
	return t
}

// misread warns of schedules that most people read otherwise than cron does.
func (l *linter) misread(o Object) {
	spec, fields := l.timetable(o).spec, l.timetable(o).fields
	if fields == nil {
		return
	}
	warn := func(message, mend string) { l.warn("R090", o, "spec.schedule", message, mend) }
	if spec.Dom&starBit == 0 && spec.Dow&starBit == 0 {
		warn(fmt.Sprintf("day of month %s and day of week %s are alternatives: it fires on every day that matches either, not only where both do", fields[2], fields[4]),
			"Leave one of them *, and let the program look at the other.")
	}
	for i, f := range cronFields {
		if message := f.steps(fields[i]); message != "" {
			warn(message, "List the values that are meant, or take a step that divides the field.")
		}
	}
	if fields[0] == "*" && plainNumbers(fields[1]) {
		warn(fmt.Sprintf("it fires in every minute of the hour %s, 60 times", fields[1]), "Write 0 as the minute if one run is meant; write 0-59 if all are.")
	}
	if message := lacking(spec); message != "" {
		warn(message, "Take a day up to 28, or run daily and let the program look for the last day.")
	}
}

// plainNumbers reports whether a field lists single values.
func plainNumbers(field string) bool { return !strings.ContainsAny(field, "*?-/") }

// steps says what is odd about the steps of a field, "" if nothing is.
func (f cronField) steps(text string) string {
	size := f.max - f.min + 1
	for part := range strings.SplitSeq(text, ",") {
		from, after, stepped := strings.Cut(part, "/")
		step, err := strconv.Atoi(after)
		if !stepped || err != nil || from != "*" && from != "?" {
			continue
		}
		if step >= size {
			return fmt.Sprintf("the step of %s is no less than the %ss that there are: it matches %d only", part, f.name, f.min)
		}
		if left := size % step; left != 0 {
			last := f.min + size - left
			return fmt.Sprintf("%s begins anew with every %s: from %s %d to %d it is %d, not %d", part, f.larger(), f.name, last, f.min, left, step)
		}
	}
	return ""
}

// larger is what a field counts through.
func (f cronField) larger() string {
	return map[string]string{"minute": "hour", "hour": "day", "day of month": "month", "month": "year", "day of week": "week"}[f.name]
}

var monthDays = []int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// lacking says in which of its months a schedule finds no day, "" if in none.
func lacking(spec *cron.SpecSchedule) string {
	if spec.Dow&starBit == 0 || spec.Dom&starBit != 0 {
		return ""
	}
	earliest := bits.TrailingZeros64(spec.Dom)
	var without []string
	leap := false
	for i, days := range monthDays {
		if spec.Month&(1<<uint(i+1)) == 0 {
			continue
		}
		switch {
		case earliest > days:
			without = append(without, time.Month(i+1).String())
		case i == 1 && earliest == 29:
			leap = true
		}
	}
	switch {
	case leap && bits.OnesCount64(spec.Month&^starBit) == 1:
		return "29 February comes in leap years only, so that it fires once in four years"
	case leap:
		return "it does not fire in February but in leap years: there is no day 29"
	case len(without) > 0:
		return fmt.Sprintf("it does not fire in %s: there is no day %d", strings.Join(without, ", "), earliest)
	}
	return ""
}

// clockChange warns of a time of day that comes not at all, or twice, on a day
// on which clocks are changed, unless a SchedulePolicy says what is meant.
func (l *linter) clockChange(o Object) {
	fields, zone := l.timetable(o).fields, textOf(mapOf(o.Object, "spec"), "timeZone")
	if fields == nil || strings.HasPrefix(fields[1], "*") || strings.HasPrefix(fields[1], "?") {
		return
	}
	skipped, doubled := l.clocks(o, zone)
	if len(skipped)+len(doubled) == 0 {
		return
	}
	policy, _ := ParsePolicy(o.GetAnnotations()[AnnotationPolicy])
	if policy.DaylightSaving.Gap != "" {
		skipped = nil
	}
	if policy.DaylightSaving.Repeat != "" {
		doubled = nil
	}
	var parts []string
	if len(skipped) > 0 {
		parts = append(parts, fmt.Sprintf("when the clocks of %s go forward, %s does not exist and its run is left out", zone, times(skipped)))
	}
	if len(doubled) > 0 {
		parts = append(parts, fmt.Sprintf("when the clocks of %s go back, %s comes twice and runs twice", zone, times(doubled)))
	}
	if len(parts) > 0 {
		l.warn("R091", o, "spec.schedule", strings.Join(parts, "; "), "Choose another hour or timeZone: Etc/UTC, or say what is meant as daylightSaving in a SchedulePolicy.")
	}
}

// clocks returns the times of a CronJob that changes of the clocks concern.
func (l *linter) clocks(o Object, zone string) (skipped, doubled []string) {
	text := textOf(mapOf(o.Object, "spec"), "schedule")
	key := [2]string{text, zone}
	known, ok := l.changes[key]
	if !ok {
		if in, err := time.LoadLocation(zone); err == nil {
			known[0], known[1] = clockChanges(l.timetable(o).spec, in, l.now)
		}
		l.changes[key] = known
	}
	return known[0], known[1]
}

// times names the first of some times of the day.
func times(all []string) string {
	if len(all) > 1 {
		return fmt.Sprintf("%s (and %d more)", all[0], len(all)-1)
	}
	return all[0]
}

// mostSaving is from where on a change of the clock is no daylight saving.
const mostSaving = 3 * 3600

// clockChanges returns the times of the day at which a schedule fires that are
// left out, and that come twice, within a year after now.
func clockChanges(spec *cron.SpecSchedule, zone *time.Location, now time.Time) (skipped, doubled []string) {
	for at, until := now, now.AddDate(1, 0, 0); ; {
		_, change := at.In(zone).ZoneBounds()
		if change.IsZero() || change.After(until) {
			return skipped, doubled
		}
		if !change.After(at) {
			// Past what a zone's data lists, every year counts 365 days: see
			// reconcile/schedule.
			at = time.Date(at.UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
			continue
		}
		at = change
		_, before := change.Add(-time.Second).Zone()
		_, after := change.Zone()
		from, to := change.Unix()+int64(min(before, after)), change.Unix()+int64(max(before, after))
		if to-from >= mostSaving {
			continue
		}
		var found []string
		for civil := from; civil < to; civil += 60 {
			if t := time.Unix(civil, 0).UTC(); matchesMinute(spec, t) {
				found = append(found, t.Format("15:04"))
			}
		}
		if after > before && skipped == nil {
			skipped = found
		} else if after < before && doubled == nil {
			doubled = found
		}
	}
}

// matchesMinute reports whether a schedule fires at a civil time, which is given
// as one of UTC.
func matchesMinute(s *cron.SpecSchedule, t time.Time) bool {
	has := func(set uint64, n int) bool { return set&(1<<uint(n)) != 0 }
	day, weekday := has(s.Dom, t.Day()), has(s.Dow, int(t.Weekday()))
	if s.Dom&starBit != 0 || s.Dow&starBit != 0 {
		day = day && weekday
	} else {
		day = day || weekday
	}
	return day && has(s.Minute, t.Minute()) && has(s.Hour, t.Hour()) && has(s.Month, int(t.Month()))
}

// manyAtMidnight is from how many CronJobs on midnight is a crowd.
const manyAtMidnight = 10

// midnight warns of many CronJobs that fire at midnight of one zone.
func (l *linter) midnight() {
	var zones []string
	at := map[string][]Object{}
	for _, o := range l.objects {
		spec := l.timetable(o).spec
		if spec == nil || boolOf(mapOf(o.Object, "spec"), "suspend") || spec.Minute != 1 || spec.Hour != 1 {
			continue
		}
		zone := textOf(mapOf(o.Object, "spec"), "timeZone")
		if at[zone] == nil {
			zones = append(zones, zone)
		}
		at[zone] = append(at[zone], o)
	}
	for _, zone := range zones {
		all := at[zone]
		if len(all) < manyAtMidnight {
			continue
		}
		where := "0:00"
		if zone != "" {
			where += " " + zone
		}
		l.warn("R092", all[0], "spec.schedule", fmt.Sprintf("%d CronJobs fire at %s, in the same minute, among them %s, %s and %s", len(all), where, all[0].GetName(), all[1].GetName(), all[2].GetName()),
			"Spread them: H H(0-3) * * * gives each a minute of its own that stays the same.")
	}
}
