package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/reconcile/schedule"
)

// Comparison is what a change of a repository does to the times of its
// CronJobs, all of them together.
type Comparison struct {
	// Changes has an entry for each CronJob that comes, goes, or whose
	// schedule, zone, suspension or rules change, in order of namespace and name.
	Changes []Change
	// Before and After are the busiest minutes of the week that follows,
	// without the change and with it, the busiest first.
	Before, After []Minute
	// Limits are those of concurrency groups that the runs of one minute exceed
	// with the change and did not without it, or by fewer, in order of name;
	// after them those of quotas of the repository.
	Limits []Exceeded
}

// Change is what happens to the times of one CronJob.
type Change struct {
	// Namespace and Name are the CronJob's.
	Namespace, Name string
	// Before and After are the two sides; nil for a CronJob that comes or goes.
	Before, After *Side
	// First is the first run after the change; zero if there is none.
	First time.Time
	// Lost are slots of Before, and Gained slots of After, in the time around
	// the change in which the two do not fire alike: up to the first slot that
	// both have, a day at most.
	Lost, Gained []time.Time
	// Surprises are local times of After that clock changes of the year that
	// follows leave out or bring twice, in order.
	Surprises []Surprise
}

// Side is a CronJob as one of two revisions has it.
type Side struct {
	Schedule *Schedule
	// Words say the cron text in English; `never` if nothing can be made of it.
	Words string
	// Rules are those of its SchedulePolicies, a phrase each, and after them
	// the concurrencyPolicy and the starting deadline, if it has any.
	Rules []string
	// Next are the first five runs after the moment of the comparison, in the
	// schedule's zone.
	Next []Fire
	// PerDay is how many runs start on a day, on average over the 365 days that
	// follow.
	PerDay float64
	// Silent says why no run comes; empty if one does.
	Silent string
}

// Surprise is a local time that a change of the clocks leaves out or repeats.
type Surprise struct {
	// At is the moment of the clock change, in the schedule's zone.
	At time.Time
	// Text says what happens then, and what rota does: a sentence.
	Text string
}

// Exceeded is a limit that too many runs want at once: more than before the
// change, in the same minute.
type Exceeded struct {
	// Group names the concurrency group, and Limit is how many of it run at
	// once; or Quota names the ResourceQuota, as namespace/name, and Limit is how
	// many Jobs there may be, of which some are those that ended before.
	Group, Quota string
	Limit        int
	// At is the first minute in which more start, Runs how many do.
	At   time.Time
	Runs int
}

const (
	// nextOfSide is how many of the next runs a Side has.
	nextOfSide = 5
	// around is how long after a change slots are lost or gained by it.
	around = 24 * time.Hour
	// daysAhead is what PerDay and Surprises look at.
	daysAhead = 365
)

// Compare says what becomes of the times of the CronJobs in before if they are
// those in after from now on. Neither may have two of one namespace and name.
func Compare(before, after []Schedule, now time.Time) (Comparison, error) {
	pairs, err := pairUp(before, after)
	if err != nil {
		return Comparison{}, err
	}
	var c Comparison
	for _, p := range pairs {
		if p.changed() {
			c.Changes = append(c.Changes, p.change(now))
		}
	}
	w := weekOf(now)
	c.Before, c.After = w.busiest(pairs)
	c.Limits = w.exceeded(pairs)
	return c, nil
}

// pair is a CronJob in both revisions; nil where it is missing.
type pair struct{ before, after *Schedule }

// sides returns those that are there.
func (p pair) sides() []*Schedule {
	return slices.DeleteFunc([]*Schedule{p.before, p.after}, func(s *Schedule) bool { return s == nil })
}

// pairUp returns the CronJobs of both revisions in order of namespace and name.
func pairUp(before, after []Schedule) ([]pair, error) {
	b, err := byName(before)
	if err != nil {
		return nil, err
	}
	a, err := byName(after)
	if err != nil {
		return nil, err
	}
	var pairs []pair
	for len(b) > 0 || len(a) > 0 {
		var p pair
		order := -1
		switch {
		case len(b) == 0:
			order = 1
		case len(a) > 0:
			order = inName(b[0], a[0])
		}
		if order <= 0 {
			p.before, b = b[0], b[1:]
		}
		if order >= 0 {
			p.after, a = a[0], a[1:]
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

func byName(all []Schedule) ([]*Schedule, error) {
	sorted := make([]*Schedule, len(all))
	for i := range all {
		sorted[i] = &all[i]
	}
	slices.SortFunc(sorted, inName)
	for i := 1; i < len(sorted); i++ {
		if inName(sorted[i-1], sorted[i]) == 0 {
			return nil, fmt.Errorf("comparing schedules: there are two CronJobs %s/%s", sorted[i].Namespace, sorted[i].Name)
		}
	}
	return sorted, nil
}

func inName(a, b *Schedule) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// changed reports whether anything changes that says when runs start.
func (p pair) changed() bool {
	if p.before == nil || p.after == nil {
		return true
	}
	b, a := p.before, p.after
	return b.Schedule != a.Schedule || b.Zone != a.Zone || b.Suspended != a.Suspended || b.Policy != a.Policy ||
		!equal(b.Deadline, a.Deadline, func(b, a time.Duration) bool { return b == a }) ||
		!equal(b.Pause, a.Pause, func(b, a schedule.Pause) bool { return b.Until.Equal(a.Until) && b.Reason == a.Reason }) ||
		(b.Err == nil) != (a.Err == nil) || inForce(b) != inForce(a)
}

func equal[T any](b, a *T, same func(b, a T) bool) bool {
	if b == nil || a == nil {
		return b == a
	}
	return same(*b, *a)
}

// inForce returns the rules of s, without who wrote them and where.
func inForce(s *Schedule) string {
	rules := s.Rules
	rules.Names, rules.Origin = nil, ""
	return rules.String()
}

func (p pair) change(now time.Time) Change {
	c := Change{Before: p.before.side(now), After: p.after.side(now)}
	for _, s := range p.sides() {
		c.Namespace, c.Name = s.Namespace, s.Name
	}
	if c.After != nil && len(c.After.Next) > 0 {
		c.First = c.After.Next[0].Due
	}
	if p.after != nil {
		for _, s := range p.after.Surprises(now, now.AddDate(0, 0, daysAhead)) {
			c.Surprises = append(c.Surprises, Surprise(s))
		}
	}
	c.Lost, c.Gained = apart(p.before.slots(now, now.Add(around)), p.after.slots(now, now.Add(around)))
	return c
}

// side returns s as one side of a change; nil of nil.
func (s *Schedule) side(now time.Time) *Side {
	if s == nil {
		return nil
	}
	side := Side{Schedule: s, Words: s.Cron.Words(), Rules: s.Rules.Rules(), Silent: s.silent(now)}
	if s.Policy != "" && s.Policy != batchv1.AllowConcurrent && s.Rules.Overlap == "" {
		side.Rules = append(side.Rules, "concurrencyPolicy "+string(s.Policy))
	}
	if s.Deadline != nil {
		side.Rules = append(side.Rules, fmt.Sprintf("starts at most %s late", *s.Deadline))
	}
	for _, f := range s.Coming(s.asked(schedule.Coming{After: now, Most: nextOfSide})) {
		side.Next = append(side.Next, Fire{Fire: f, Schedule: s})
	}
	side.PerDay = float64(s.CountStarts(s.asked(schedule.Coming{After: now, Until: now.AddDate(0, 0, daysAhead)}))) / daysAhead
	return &side
}

// slots returns the slots of s after now and not after until that have a run.
func (s *Schedule) slots(now, until time.Time) []time.Time {
	if s == nil {
		return nil
	}
	end := until.Add(s.Rules.Jitter.Duration)
	if s.Pause != nil && s.Pause.Until.After(end) {
		end = s.Pause.Until // what is held back until then starts for a slot before
	}
	var slots []time.Time
	for _, f := range s.Coming(s.asked(schedule.Coming{After: now, Until: end, Most: Unbounded})) {
		if !f.Slot.After(until) {
			slots = append(slots, f.Slot)
		}
	}
	return slots
}

// apart returns what comes in one of two ordered lists of times before the
// first that is in both.
func apart(before, after []time.Time) (lost, gained []time.Time) {
	b, a := 0, 0
	for b < len(before) && a < len(after) && !before[b].Equal(after[a]) {
		if before[b].Before(after[a]) {
			b++
		} else {
			a++
		}
	}
	if b < len(before) && a < len(after) {
		return before[:b], after[:a]
	}
	return before, after
}
