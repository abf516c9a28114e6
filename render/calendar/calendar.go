// Package calendar reads the days of an iCalendar file (RFC 5545): what a
// repository commits to say when nothing is to run. It is pure, and isolates
// the two libraries that know the format.
package calendar

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"
	"github.com/teambition/rrule-go"

	"rota.dev/rota/schema"
)

// mostDays bounds what one calendar may say of the span that is asked for.
const mostDays = 10_000

// Read returns the days from the first to before the second one on which an
// event of the calendar takes place, in order, neighbours joined. Repetitions
// (RRULE, RDATE, EXDATE) are carried out; cancelled events are left out. Only
// whole days count: the summaries of events with a time of day are returned as
// ignored. The error says why the calendar cannot be read.
func Read(data []byte, from, until schema.Day) (days []schema.Days, ignored []string, err error) {
	// The library takes a file that was cut off for a whole one.
	if upper := bytes.ToUpper(data); !bytes.Contains(upper, []byte("BEGIN:VCALENDAR")) || !bytes.Contains(upper, []byte("END:VCALENDAR")) {
		return nil, nil, errors.New("the file is no iCalendar: it has no BEGIN:VCALENDAR, or no END")
	}
	parsed, err := ics.ParseCalendar(bytes.NewReader(data))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the calendar: %w", err)
	}
	r := reader{from: date(from), until: date(until), moved: map[string]bool{}}
	events := parsed.Events()
	for _, e := range events {
		if id := value(e, ics.ComponentPropertyRecurrenceId); id != "" {
			r.moved[value(e, ics.ComponentPropertyUniqueId)+" "+id[:min(8, len(id))]] = true
		}
	}
	for _, e := range events {
		if err := r.event(e); err != nil {
			return nil, nil, fmt.Errorf("reading the event %q: %w", name(e), err)
		}
		if len(r.days) > mostDays {
			return nil, nil, fmt.Errorf("the calendar has more than %d days within a year", mostDays)
		}
	}
	return join(r.days), r.ignored, nil
}

func date(d schema.Day) time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

func value(e *ics.VEvent, property ics.ComponentProperty) string {
	if p := e.GetProperty(property); p != nil {
		return strings.TrimSpace(p.Value)
	}
	return ""
}

func name(e *ics.VEvent) string {
	return cmp.Or(value(e, ics.ComponentPropertySummary), value(e, ics.ComponentPropertyUniqueId), "without a name")
}

// reader gathers days.
type reader struct {
	from, until time.Time
	// moved are repetitions that an event of their own replaces, by its uid
	// and day.
	moved   map[string]bool
	days    []time.Time
	ignored []string
}

func (r *reader) event(e *ics.VEvent) error {
	start := value(e, ics.ComponentPropertyDtStart)
	switch {
	case strings.EqualFold(value(e, ics.ComponentPropertyStatus), "CANCELLED"):
		return nil
	case start == "":
		return errors.New("it has no DTSTART")
	case len(start) != len("20261224"):
		r.ignored = append(r.ignored, name(e))
		return nil
	}
	first, err := day(start)
	if err != nil {
		return err
	}
	length, err := duration(e, first)
	if err != nil {
		return err
	}
	begins, err := r.repetitions(e, first, length)
	if err != nil {
		return err
	}
	uid := value(e, ics.ComponentPropertyUniqueId)
	for _, begin := range begins {
		if value(e, ics.ComponentPropertyRecurrenceId) == "" && r.moved[uid+" "+begin.Format("20060102")] {
			continue
		}
		for d := begin; d.Before(begin.AddDate(0, 0, length)) && d.Before(r.until); d = d.AddDate(0, 0, 1) {
			if !d.Before(r.from) {
				r.days = append(r.days, d)
			}
		}
	}
	return nil
}

func day(text string) (time.Time, error) {
	t, err := time.Parse("20060102", text[:min(8, len(text))])
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no date", text)
	}
	return t, nil
}

// duration returns how many days an event takes, at least one.
func duration(e *ics.VEvent, first time.Time) (int, error) {
	end := value(e, ics.ComponentPropertyDtEnd)
	if end == "" {
		text := strings.ToUpper(value(e, ics.ComponentPropertyDuration))
		if text == "" {
			return 1, nil
		}
		var n int
		var unit byte
		if _, err := fmt.Sscanf(text, "P%d%c", &n, &unit); err != nil || n < 1 || n > 4000 || unit != 'D' && unit != 'W' {
			return 0, fmt.Errorf("the duration %q is not one of days or weeks", text)
		}
		if unit == 'W' {
			n *= 7
		}
		return n, nil
	}
	last, err := day(end)
	if err != nil {
		return 0, err
	}
	return max(1, int(last.Sub(first)/(24*time.Hour))), nil
}

// repetitions returns the days on which an event begins that reach into what is
// asked for.
func (r *reader) repetitions(e *ics.VEvent, first time.Time, length int) ([]time.Time, error) {
	var set rrule.Set
	set.DTStart(first)
	rule := value(e, ics.ComponentPropertyRrule)
	if rule != "" {
		option, err := rrule.StrToROptionInLocation(rule, time.UTC)
		if err != nil {
			return nil, fmt.Errorf("its rule %q: %w", rule, err)
		}
		if option.Freq > rrule.DAILY || len(option.Byhour)+len(option.Byminute)+len(option.Bysecond) > 0 {
			return nil, fmt.Errorf("its rule %q repeats within a day", rule)
		}
		option.Dtstart = first
		// What is asked for ends the search, also of a rule that matches nothing.
		if option.Until.IsZero() || option.Until.After(r.until) {
			option.Until = r.until
		}
		made, err := rrule.NewRRule(*option)
		if err != nil {
			return nil, fmt.Errorf("its rule %q: %w", rule, err)
		}
		set.RRule(made)
	} else {
		set.RDate(first)
	}
	for property, add := range map[ics.ComponentProperty]func(time.Time){ics.ComponentPropertyRdate: set.RDate, ics.ComponentPropertyExdate: set.ExDate} {
		for _, p := range e.GetProperties(property) {
			for text := range strings.SplitSeq(p.Value, ",") {
				d, err := day(strings.TrimSpace(text))
				if err != nil {
					return nil, err
				}
				add(d)
			}
		}
	}
	return set.Between(r.from.AddDate(0, 0, -length), r.until, true), nil
}

// join makes spans of days.
func join(days []time.Time) []schema.Days {
	slices.SortFunc(days, time.Time.Compare)
	var out []schema.Days
	for _, t := range days {
		year, month, date := t.Date()
		d := schema.Day{Year: year, Month: month, Day: date}
		if n := len(out); n > 0 && d.Compare(out[n-1].Last.Next()) <= 0 {
			out[n-1].Last = d
			continue
		}
		out = append(out, schema.Days{First: d, Last: d})
	}
	return out
}
