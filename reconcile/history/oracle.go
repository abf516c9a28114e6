package history

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"rota.dev/rota/schema"
)

// fields are the five fields of a cron schedule, one flag per value, or the
// interval of an @every.
type fields struct {
	minute, hour, day, month, weekday []bool
	dayStar, weekdayStar              bool
	// fixed says that the schedule names times of the day.
	fixed bool
	every time.Duration
}

var descriptors = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

var (
	months   = strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")
	weekdays = strings.Fields("sun mon tue wed thu fri sat")
)

// read parses a schedule that the API server accepts.
func read(text string) (fields, error) {
	if interval, ok := strings.CutPrefix(text, "@every "); ok {
		every, err := time.ParseDuration(interval)
		if err != nil {
			return fields{}, fmt.Errorf("reading %q: %w", text, err)
		}
		return fields{every: max(every.Truncate(time.Second), time.Second)}, nil
	}
	if long, ok := descriptors[text]; ok {
		text = long
	}
	parts := strings.Fields(text)
	if len(parts) != 5 {
		return fields{}, fmt.Errorf("reading %q: it has %d fields", text, len(parts))
	}
	var f fields
	var err error
	part := func(i, low, high int, names []string) (values []bool, star bool) {
		if err == nil {
			values, star, err = readField(parts[i], low, high, names)
		}
		return values, star
	}
	f.minute, _ = part(0, 0, 59, nil)
	f.hour, _ = part(1, 0, 23, nil)
	f.day, f.dayStar = part(2, 1, 31, nil)
	f.month, _ = part(3, 1, 12, months)
	f.weekday, f.weekdayStar = part(4, 0, 6, weekdays)
	f.fixed = !strings.ContainsAny(parts[0][:1]+parts[1][:1], "*?")
	if err != nil {
		return fields{}, fmt.Errorf("reading %q: %w", text, err)
	}
	return f, nil
}

// readField reads one field: a list of values, ranges and steps. star is
// whether it leaves the choice of days to the other field of days.
func readField(text string, low, high int, names []string) (values []bool, star bool, err error) {
	values = make([]bool, high+1)
	for _, item := range strings.Split(text, ",") {
		body, stepText, stepped := strings.Cut(item, "/")
		step := 1
		if stepped {
			if step, err = strconv.Atoi(stepText); err != nil || step < 1 {
				return nil, false, fmt.Errorf("the step %q is no number", stepText)
			}
		}
		first, last := low, high
		if body == "*" || body == "?" {
			star = star || step == 1
		} else {
			from, to, ranged := strings.Cut(body, "-")
			if first, err = number(from, low, names); err != nil {
				return nil, false, err
			}
			if ranged {
				if last, err = number(to, low, names); err != nil {
					return nil, false, err
				}
			} else if !stepped {
				last = first
			}
		}
		if first < low || last > high {
			return nil, false, fmt.Errorf("%q is not within %d and %d", item, low, high)
		}
		for v := first; v <= last; v += step {
			values[v] = true
		}
	}
	return values, star, nil
}

func number(text string, low int, names []string) (int, error) {
	for i, name := range names {
		if strings.EqualFold(text, name) {
			return i + low, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return n, nil
}

// wall is what a clock on the wall shows in one minute.
type wall struct {
	// civil counts the minutes that the wall shows since the epoch.
	civil                             int64
	minute, hour, day, month, weekday uint8
}

func wallOf(civil int64) wall {
	t := time.Unix(civil*60, 0).UTC()
	return wall{civil: civil, minute: uint8(t.Minute()), hour: uint8(t.Hour()), day: uint8(t.Day()), month: uint8(t.Month()), weekday: uint8(t.Weekday())}
}

func (f fields) matches(w wall) bool {
	if !f.minute[w.minute] || !f.hour[w.hour] || !f.month[w.month] {
		return false
	}
	day, weekday := f.day[w.day], f.weekday[w.weekday]
	if f.dayStar || f.weekdayStar {
		return day && weekday
	}
	return day || weekday
}

// walls has what the wall shows in every minute from first on.
type walls struct {
	first int64
	list  []wall
}

// margin is the largest change of a clock that is daylight saving, in minutes.
const margin = 180

func newWalls(zone string, from, until time.Time) (walls, error) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return walls{}, err
	}
	w := walls{first: from.Unix()/60 - margin}
	last := until.Unix()/60 + margin
	w.list = make([]wall, 0, max(last-w.first+1, 0))
	offset := func(m int64) int64 {
		_, seconds := time.Unix(m*60, 0).In(location).Zone()
		return int64(seconds / 60)
	}
	// No clocks change twice in an hour: one that begins and ends alike has no change.
	for m, same, alike := w.first, int64(0), w.first; m <= last; m++ {
		if m >= alike {
			same, alike = offset(m), m+1
			if same == offset(m+60) {
				alike = m + 60
			}
		}
		w.list = append(w.list, w.next(m+same))
	}
	return w, nil
}

// next returns what the wall shows after the last of the list. Only once an
// hour it takes a calendar.
func (w walls) next(civil int64) wall {
	if n := len(w.list); n > 0 && w.list[n-1].civil+1 == civil && w.list[n-1].minute < 59 {
		last := w.list[n-1]
		last.civil++
		last.minute++
		return last
	}
	return wallOf(civil)
}

// slots walks over every minute after the first and not after the second time,
// and returns those at which the schedule is due.
func (w walls) slots(f fields, saving schema.DaylightSaving, after, until time.Time) []time.Time {
	var out []time.Time
	for m := max(after.Unix()/60, w.first+margin); m*60 <= until.Unix(); m++ {
		i := int(m - w.first)
		if i+margin >= len(w.list) {
			break
		}
		if at := time.Unix(m*60, 0).UTC(); at.After(after) && w.due(f, saving, i) {
			out = append(out, at)
		}
	}
	return out
}

func (w walls) due(f fields, saving schema.DaylightSaving, i int) bool {
	now, before := w.list[i], w.list[i-1]
	if f.matches(now) {
		switch {
		case !f.fixed:
			return true
		case saving.Repeat == schema.RepeatFirst && w.shows(now.civil, i-margin+1, i):
			return false
		case saving.Repeat == schema.RepeatLast && w.shows(now.civil, i+1, i+margin):
			return false
		}
		return true
	}
	if !f.fixed || saving.Gap != schema.GapShift || now.civil-before.civil > margin {
		return false
	}
	for civil := before.civil + 1; civil < now.civil; civil++ {
		if f.matches(wallOf(civil)) {
			return true
		}
	}
	return false
}

// shows reports whether the wall shows civil in one of the minutes of [from, until).
func (w walls) shows(civil int64, from, until int) bool {
	for i := from; i < until; i++ {
		if w.list[i].civil == civil {
			return true
		}
	}
	return false
}

// everySlots returns the slots of @every, counted from anchor, of a span of time.
func (f fields) everySlots(anchor, after, until time.Time) []time.Time {
	var out []time.Time
	for at := anchor.Truncate(time.Second); !at.After(until); at = at.Add(f.every) {
		if at.After(after) {
			out = append(out, at)
		}
	}
	return out
}

// closed returns the reason for which the rules let nothing start at a slot, or
// nothing.
func closed(rules schema.Policy, slot time.Time, zone string) (string, error) {
	if (!rules.NotBefore.IsZero() && slot.Before(rules.NotBefore)) || (!rules.NotAfter.IsZero() && slot.After(rules.NotAfter)) {
		return "OutsideWindow", nil
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return "", err
	}
	day := slot.In(location).Format(time.DateOnly)
	for _, days := range rules.Exclude {
		if days.First.String() <= day && day <= days.Last.String() {
			return "Excluded", nil
		}
	}
	return "", nil
}
