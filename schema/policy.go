package schema

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Policy is what SchedulePolicies add to a CronJob: the value of the annotation
// rota.dev/policy. Everything in it is in force; who wrote it is for people.
type Policy struct {
	// Names are the SchedulePolicies, and Origin is where the first stands.
	Names  []string `json:"names,omitempty"`
	Origin string   `json:"origin,omitempty"`
	// Jitter is how long at most a run starts after its slot. How long exactly
	// is a hash of the schedule's name, so that it is the same every time.
	Jitter Duration `json:"jitter,omitzero"`
	// NotBefore and NotAfter bound the slots; zero means unbounded.
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
	// Exclude are days without slots, in the zone of the schedule.
	Exclude []Days `json:"exclude,omitempty"`
	// Overlap is Queue or empty, which leaves it to concurrencyPolicy.
	Overlap string `json:"overlap,omitempty"`
	// CatchUp says what becomes of slots that were missed.
	CatchUp CatchUp `json:"catchUp,omitzero"`
	// DaylightSaving says what becomes of a time of day when clocks change.
	DaylightSaving DaylightSaving `json:"daylightSaving,omitzero"`
	// Pause holds due slots back; the annotation rota.dev/pause goes before it.
	Pause *PolicyPause `json:"pause,omitempty"`
	// CalendarUntil is the first day of which the calendars say nothing any
	// more, for they are read for a year only; empty without calendars.
	CalendarUntil string `json:"calendarUntil,omitempty"`
	// ExpectWithin is how long after a slot, at most, a run has succeeded.
	ExpectWithin Duration `json:"expectWithin,omitzero"`
	// ConcurrencyGroup is the group that the runs count in; nil if in none.
	ConcurrencyGroup *ConcurrencyGroup `json:"concurrencyGroup,omitempty"`
	// Retries says how often a run that failed is tried again.
	Retries Retries `json:"retries,omitzero"`
}

// OverlapQueue lets the oldest slot that came due during a run wait for its
// end, one deep: what comes due after it is skipped.
const OverlapQueue = "Queue"

// CatchUp says what becomes of slots that could not start in time, because
// rota was down, the schedule was held back, or a run was in the way.
type CatchUp struct {
	// Policy is Latest, the default and Kubernetes' way: the latest starts;
	// All: each starts, the oldest first; None: what is late by more than a
	// minute does not start.
	Policy string `json:"policy,omitempty"`
	// Limit is how many start under All; zero means 10.
	Limit int `json:"limit,omitempty"`
}

// What CatchUp.Policy says.
const (
	CatchUpLatest = "Latest"
	CatchUpAll    = "All"
	CatchUpNone   = "None"
)

const (
	// mostCatchUp bounds CatchUp.Limit: each decision looks back over as many
	// slots.
	mostCatchUp = 100
	// mostDays bounds Policy.Exclude.
	mostDays = 2000
)

// DaylightSaving says what becomes of a fixed time of day on the days on which
// clocks are changed. A time is fixed when neither the minute nor the hour of
// its schedule begins with a star, the rule of Debian's cron; other schedules
// go by the clock on the wall whatever it does, and so do changes of three
// hours and more, which are no daylight saving.
type DaylightSaving struct {
	// Gap is Skip, the default and Kubernetes' way: a time that is left out
	// does not fire that day; or Shift: it fires when the gap ends.
	Gap string `json:"gap,omitempty"`
	// Repeat is Both, the default and Kubernetes' way: a time that comes twice
	// fires twice; or First or Last: it fires once.
	Repeat string `json:"repeat,omitempty"`
}

// What DaylightSaving says.
const (
	GapSkip     = "Skip"
	GapShift    = "Shift"
	RepeatBoth  = "Both"
	RepeatFirst = "First"
	RepeatLast  = "Last"
)

// PolicyPause holds due slots back for a while.
type PolicyPause struct {
	// Until is when the pause ends by itself; without it the pause lasts as
	// long as the policy says so.
	Until time.Time `json:"until,omitzero"`
	// Reason is shown wherever the schedule is.
	Reason string `json:"reason,omitempty"`
}

// Days are whole days, the last one included: `2026-12-24/2027-01-02`, or
// `2026-12-24` for one.
type Days struct {
	First, Last Day
	// Source is the calendar that they are from, and may be empty.
	Source string
}

// Day is a date without a zone, such as 2026-12-24.
type Day struct {
	Year  int
	Month time.Month
	Day   int
}

// ParseDay reads 2026-12-24. A day that no month has is an error.
func ParseDay(text string) (Day, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return Day{}, fmt.Errorf("%q is no date; write it as 2026-12-24", clipped(text))
	}
	year, month, day := t.Date()
	return Day{year, month, day}, nil
}

// String returns the date as [ParseDay] reads it.
func (d Day) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day) }

// Start returns when the day begins in a zone: its first minute, which is not
// midnight where clocks skip that.
func (d Day) Start(zone *time.Location) time.Time {
	early := time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Add(-26 * time.Hour)
	minute := sort.Search(52*60, func(i int) bool {
		year, month, day := early.Add(time.Duration(i) * time.Minute).In(zone).Date()
		return Day{year, month, day}.Compare(d) >= 0
	})
	return early.Add(time.Duration(minute) * time.Minute).In(zone)
}

// Next returns the day after d.
func (d Day) Next() Day {
	year, month, day := time.Date(d.Year, d.Month, d.Day+1, 0, 0, 0, 0, time.UTC).Date()
	return Day{year, month, day}
}

// Compare orders days in time, as [cmp.Compare] does.
func (d Day) Compare(other Day) int { return strings.Compare(d.String(), other.String()) }

// ParseDays reads `2026-12-24` or `2026-12-24/2027-01-02`, with an optional
// source after a space.
func ParseDays(text string) (Days, error) {
	text, source, _ := strings.Cut(text, " ")
	from, to, isRange := strings.Cut(text, "/")
	first, err := ParseDay(from)
	if err != nil {
		return Days{}, err
	}
	days := Days{First: first, Last: first, Source: source}
	if isRange {
		if days.Last, err = ParseDay(to); err != nil {
			return Days{}, err
		}
	}
	if days.Last.Compare(days.First) < 0 {
		return Days{}, fmt.Errorf("%q ends before it begins", clipped(text))
	}
	return days, nil
}

// String returns the days as [ParseDays] reads them.
func (d Days) String() string {
	text := d.First.String()
	if d.Last != d.First {
		text += "/" + d.Last.String()
	}
	if d.Source != "" {
		text += " " + d.Source
	}
	return text
}

// MarshalText returns the days as [ParseDays] reads them.
func (d Days) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is [ParseDays].
func (d *Days) UnmarshalText(text []byte) error {
	days, err := ParseDays(string(text))
	*d = days
	return err
}

// ParsePolicy reads the annotation rota.dev/policy.
func ParsePolicy(text string) (Policy, error) {
	var p Policy
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields() // a rule of a newer rota must not be left out in silence
	err := decoder.Decode(&p)
	if err == nil {
		err = p.check()
	}
	return p, err
}

// Rules returns what p asks for in words, one rule each, in a fixed order.
func (p Policy) Rules() []string {
	var rules []string
	say := func(present bool, format string, args ...any) {
		if present {
			rules = append(rules, fmt.Sprintf(format, args...))
		}
	}
	say(p.Jitter.Duration > 0, "jitter %s", p.Jitter)
	say(!p.NotBefore.IsZero(), "not before %s", p.NotBefore.Format(time.RFC3339))
	say(!p.NotAfter.IsZero(), "not after %s", p.NotAfter.Format(time.RFC3339))
	var sources []string
	for _, days := range p.Exclude {
		if days.Source == "" {
			say(true, "not on %s", days)
		} else if !slices.Contains(sources, days.Source) {
			sources = append(sources, days.Source)
			say(true, "not on the days of %s", days.Source)
		}
	}
	say(p.Overlap != "", "overlap %s", p.Overlap)
	say(p.CatchUp.Policy == CatchUpAll && p.CatchUp.Limit > 0, "catch up on %d", p.CatchUp.Limit)
	say(p.CatchUp.Policy == CatchUpAll && p.CatchUp.Limit == 0, "catch up on all")
	say(p.CatchUp.Policy == CatchUpNone, "catch up on none")
	say(p.DaylightSaving.Gap == GapShift, "a time in the gap fires at its end")
	say(p.DaylightSaving.Repeat == RepeatFirst, "a repeated time fires the first time")
	say(p.DaylightSaving.Repeat == RepeatLast, "a repeated time fires the last time")
	if p.Pause != nil {
		until := "until the policy changes"
		if !p.Pause.Until.IsZero() {
			until = "until " + p.Pause.Until.Format(time.RFC3339)
		}
		say(true, "paused %s", until)
	}
	say(p.ExpectWithin.Duration > 0, "expected within %s", p.ExpectWithin)
	if g := p.ConcurrencyGroup; g != nil {
		say(true, "at most %d at a time of the group %s", g.Limit, g.Name)
	}
	say(p.Retries.Limit > 0, "%s", p.Retries)
	return rules
}

func (p Policy) check() error {
	one := func(field, value string, of ...string) error {
		if value == "" || slices.Contains(of, value) {
			return nil
		}
		return fmt.Errorf("%s is %q and none of %s", field, clipped(value), strings.Join(of, ", "))
	}
	for _, err := range []error{
		one("overlap", p.Overlap, OverlapQueue),
		one("catchUp.policy", p.CatchUp.Policy, CatchUpLatest, CatchUpAll, CatchUpNone),
		one("daylightSaving.gap", p.DaylightSaving.Gap, GapSkip, GapShift),
		one("daylightSaving.repeat", p.DaylightSaving.Repeat, RepeatBoth, RepeatFirst, RepeatLast),
	} {
		if err != nil {
			return err
		}
	}
	if g := p.ConcurrencyGroup; g != nil {
		if err := g.check(); err != nil {
			return fmt.Errorf("concurrencyGroup: %w", err)
		}
	}
	if err := p.Retries.check(); err != nil {
		return fmt.Errorf("retries: %w", err)
	}
	switch {
	case p.Jitter.Duration < 0 || p.ExpectWithin.Duration < 0:
		return fmt.Errorf("a duration is negative")
	case p.CatchUp.Limit < 0 || p.CatchUp.Limit > mostCatchUp:
		return fmt.Errorf("catchUp.limit is %d and not from 1 to %d", p.CatchUp.Limit, mostCatchUp)
	case len(p.Exclude) > mostDays:
		return fmt.Errorf("it excludes %d spans of days, more than %d", len(p.Exclude), mostDays)
	}
	return nil
}

// String returns p as [ParsePolicy] reads it.
func (p Policy) String() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("encoding a policy: %v", err)) // years beyond 9999, which ParseDay and RFC 3339 do not read
	}
	return string(text)
}

// clipped shortens text of a user for a message.
func clipped(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
