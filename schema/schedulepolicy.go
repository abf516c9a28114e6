package schema

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// SchedulePolicy has rules beyond CronJob, for the CronJobs of the repository
// that it selects. It is no object of the cluster: its effect is written on
// each of them. Several may select one CronJob if they say different things.
type SchedulePolicy struct {
	// APIVersion is rota.dev/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind is SchedulePolicy.
	Kind string `json:"kind"`
	// Metadata names the policy, as it is shown beside what it does.
	Metadata Metadata `json:"metadata"`
	// Spec has the rules.
	Spec SchedulePolicySpec `json:"spec"`

	// Origin is where the document stands.
	Origin Origin `json:"-"`
	// at knows where its fields stand.
	at func(field string) Origin
}

// SchedulePolicySpec has the rules of a SchedulePolicy. What it leaves out is as
// batch/v1 has it.
type SchedulePolicySpec struct {
	// Selector says which CronJobs the rules are for.
	Selector PolicySelector `json:"selector"`
	// Jitter is how long at most a run starts after its slot, such as 5m. How
	// long exactly is a hash of the CronJob's name, the same every time.
	Jitter Duration `json:"jitter,omitempty"`
	// Window bounds when the schedule is in use.
	Window *PolicyWindow `json:"window,omitempty"`
	// Calendar has the days on which nothing starts.
	Calendar *PolicyCalendar `json:"calendar,omitempty"`
	// Overlap is what becomes of a slot that comes due during a run: Queue lets
	// the oldest wait for the run's end, one deep; Allow, Forbid and Replace
	// are said by the CronJob's concurrencyPolicy.
	Overlap string `json:"overlap,omitempty"`
	// CatchUp says what becomes of slots that were missed.
	CatchUp *CatchUp `json:"catchUp,omitempty"`
	// DaylightSaving says what becomes of a time of day when clocks change.
	DaylightSaving *DaylightSaving `json:"daylightSaving,omitempty"`
	// Pause holds back what comes due.
	Pause *PolicyPause `json:"pause,omitempty"`
	// ExpectWithin is how long after a slot, at most, a run has succeeded; a
	// schedule that is later is reported.
	ExpectWithin Duration `json:"expectWithin,omitempty"`
	// ConcurrencyGroup bounds the runs of several schedules together.
	ConcurrencyGroup *ConcurrencyGroup `json:"concurrencyGroup,omitempty"`
	// Retries says how often a run that failed is tried again.
	Retries *Retries `json:"retries,omitempty"`
}

// PolicySelector selects CronJobs by name or by label: those with one of the
// names, or with all of the labels.
type PolicySelector struct {
	// Names are names of CronJobs.
	Names []string `json:"names,omitempty"`
	// MatchLabels are labels that a CronJob has, all of them.
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

// Matches reports whether s selects a CronJob with that name and those labels.
func (s PolicySelector) Matches(name string, labels map[string]string) bool {
	if slices.Contains(s.Names, name) {
		return true
	}
	for key, value := range s.MatchLabels {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return len(s.MatchLabels) > 0
}

// PolicyWindow bounds when a schedule is in use. Both ends are part of it.
type PolicyWindow struct {
	// NotBefore is a date in the schedule's zone, or a time with an offset.
	NotBefore Moment `json:"notBefore,omitempty"`
	// NotAfter is the same; a date is meant with all of its day.
	NotAfter Moment `json:"notAfter,omitempty"`
}

// PolicyCalendar has days on which nothing starts.
type PolicyCalendar struct {
	// Exclude lists days (2026-12-24), spans of days, the last one included
	// (2026-12-24/2027-01-02), and .ics files of the repository, relative to
	// the folder of this one.
	Exclude []string `json:"exclude,omitempty"`
}

// Moment is a date such as 2026-12-01, or a time such as 2026-12-01T08:00:00Z.
type Moment struct {
	// Day is set for a date, Time for a time.
	Day  *Day
	Time time.Time
}

// UnmarshalText reads a date or an RFC 3339 time.
func (m *Moment) UnmarshalText(text []byte) error {
	if day, err := ParseDay(string(text)); err == nil {
		m.Day = &day
		return nil
	}
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("%q is neither a date such as 2026-12-01 nor a time such as 2026-12-01T08:00:00Z", text)
	}
	m.Time = t
	return nil
}

// IsZero reports whether nothing was said.
func (m Moment) IsZero() bool { return m.Day == nil && m.Time.IsZero() }

// Start returns the first instant of m in a zone, and End the last one, to the
// second.
func (m Moment) Start(zone *time.Location) time.Time {
	if m.Day == nil {
		return m.Time
	}
	return m.Day.Start(zone)
}

// End is the last instant of m in a zone, to the second.
func (m Moment) End(zone *time.Location) time.Time {
	if m.Day == nil {
		return m.Time
	}
	return m.Day.Next().Start(zone).Add(-time.Second)
}

// DecodeSchedulePolicy reads a SchedulePolicy strictly: unknown fields, wrong
// types and contradictions are problems with their position, all joined.
func DecodeSchedulePolicy(d Document) (SchedulePolicy, error) {
	s := newStrict(d.File)
	p := SchedulePolicy{Origin: d.Origin()}
	s.decode(d.Node, "", reflect.ValueOf(&p).Elem())
	p.at = func(field string) Origin {
		if n := s.at[field]; n != nil {
			return NodeOrigin(s.file, n)
		}
		return p.Origin
	}
	p.check(s)
	return p, s.err()
}

// At returns where a field stands, such as spec.jitter, or where the document
// does if the field is not there.
func (p SchedulePolicy) At(field string) Origin { return p.at(field) }

func (p *SchedulePolicy) check(s *strict) {
	if p.APIVersion != APIVersion {
		s.failAt("R021", "apiVersion", fmt.Sprintf("this version of rota knows %s only", APIVersion), "Write apiVersion: "+APIVersion+".")
	}
	if p.Metadata.Name == "" {
		s.failAt("R020", "metadata.name", "the SchedulePolicy has no name", "Add metadata.name; it is shown beside what the policy does.")
	}
	if len(p.Spec.Selector.Names) == 0 && len(p.Spec.Selector.MatchLabels) == 0 {
		s.failAt("R020", "spec.selector", "the policy selects nothing", "Set spec.selector.names or spec.selector.matchLabels.")
	}
	for key, value := range p.Spec.Selector.MatchLabels {
		if len(validation.IsQualifiedName(key)) > 0 || len(validation.IsValidLabelValue(value)) > 0 {
			s.failAt("R020", "spec.selector.matchLabels."+key, fmt.Sprintf("no object can have the label %s=%s", key, value), "")
		}
	}
	p.checkRules(s)
	p.checkGroup(s)
	p.checkRetries(s)
	p.checkTimes(s)
}

func (p *SchedulePolicy) checkRules(s *strict) {
	spec := &p.Spec
	word := func(field, value string, of ...string) {
		if s.at[field] == nil || slices.Contains(of, value) {
			return
		}
		message := fmt.Sprintf("%q is none of %s", value, strings.Join(of, ", "))
		if near := Nearest(value, of); near != "" {
			message += fmt.Sprintf(" (did you mean %q?)", near)
		}
		mend := ""
		if field == "spec.overlap" && slices.Contains([]string{"Allow", "Forbid", "Replace"}, value) {
			mend = "Set spec.concurrencyPolicy of the CronJob instead."
		}
		s.failAt("R020", field, message, mend)
	}
	word("spec.overlap", spec.Overlap, OverlapQueue)
	if c := spec.CatchUp; c != nil {
		word("spec.catchUp.policy", c.Policy, CatchUpLatest, CatchUpAll, CatchUpNone)
		if s.at["spec.catchUp.limit"] != nil {
			switch {
			case c.Policy != CatchUpAll:
				s.failAt("R020", "spec.catchUp.limit", "a limit has a meaning under the policy All only", "Remove it, or set spec.catchUp.policy to All.")
			case c.Limit < 1 || c.Limit > mostCatchUp:
				s.failAt("R020", "spec.catchUp.limit", fmt.Sprintf("wants 1 to %d, not %d", mostCatchUp, c.Limit), "")
			}
		}
	}
	if d := spec.DaylightSaving; d != nil {
		word("spec.daylightSaving.gap", d.Gap, GapSkip, GapShift)
		word("spec.daylightSaving.repeat", d.Repeat, RepeatBoth, RepeatFirst, RepeatLast)
	}
}

func (p *SchedulePolicy) checkTimes(s *strict) {
	spec := &p.Spec
	for field, d := range map[string]time.Duration{"spec.jitter": spec.Jitter.Duration, "spec.expectWithin": spec.ExpectWithin.Duration} {
		if s.at[field] != nil && d < time.Second {
			s.failAt("R020", field, fmt.Sprintf("wants at least a second, not %s", d), "")
		}
	}
	if w := spec.Window; w != nil {
		switch {
		case w.NotBefore.IsZero() && w.NotAfter.IsZero():
			s.failAt("R020", "spec.window", "the window has no end", "Set notBefore, notAfter or both.")
		case !w.NotBefore.IsZero() && !w.NotAfter.IsZero() && w.NotAfter.End(time.UTC).Before(w.NotBefore.Start(time.UTC)):
			s.failAt("R020", "spec.window.notAfter", "the window ends before it begins", "Exchange notBefore and notAfter.")
		}
	}
	if c := spec.Calendar; c != nil {
		for i, entry := range c.Exclude {
			if path.Ext(entry) == ".ics" {
				continue
			}
			if _, err := ParseDays(entry); err != nil {
				s.failAt("R020", fmt.Sprintf("spec.calendar.exclude[%d]", i), err.Error(), "Write a date, two dates with a slash between, or the name of an .ics file.")
			}
		}
	}
}
