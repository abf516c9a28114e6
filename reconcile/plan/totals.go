package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Totals counts the changes of a plan by what they mean to people. Every
// change is in exactly one count.
type Totals struct {
	// RunNow and RunAgain are Jobs that start with this plan: for the first
	// time, and after an earlier run.
	RunNow, RunAgain int
	// Schedules are CronJobs whose schedule, zone, suspension or policy changes.
	Schedules int
	// Created, Adopted and Updated are objects applied for the first time,
	// taken over, and changed as the repository asks.
	Created, Adopted, Updated int
	// Corrected is drift that goes, Drifted is drift that is only reported.
	Corrected, Drifted int
	// Pruned left the repository and go; Left left it and stay for now.
	Pruned, Left int
	// Waiting come back later by themselves, Refused need somebody.
	Waiting, Refused int
	// AlreadyRan are Jobs that are absent because they are done, or whose
	// change is ignored because they run once.
	AlreadyRan int
	// Unchanged are as applied.
	Unchanged int
}

// Totals returns the counts of p's changes.
func (p Plan) Totals() Totals {
	var t Totals
	for _, c := range p.Changes {
		*t.countOf(c)++
	}
	return t
}

// Idle reports whether nothing is to be done, now or later, nor refused.
func (t Totals) Idle() bool {
	return t == Totals{Drifted: t.Drifted, Left: t.Left, AlreadyRan: t.AlreadyRan, Unchanged: t.Unchanged}
}

func (t *Totals) countOf(c Change) *int {
	switch c.Op {
	case Delete:
		return &t.Pruned
	case Wait:
		return &t.Waiting
	case Refuse:
		return &t.Refused
	case Keep:
		return t.countOfKept(c)
	}
	again := c.Op == Replace || c.Reason == ReasonRunsAgain || c.Reason == ReasonDeletedByHand
	switch {
	case c.Starts() && again && c.Reason != ReasonChanged && c.Op != Update:
		return &t.RunAgain
	case c.Starts():
		return &t.RunNow
	case c.Key.IsJob() && c.Op == Create:
		return &t.Created
	case c.Reason == ReasonAdopted:
		return &t.Adopted
	case c.Reason == ReasonDrifted, c.Reason == ReasonDriftedFirst, c.Reason == ReasonDeletedByHand:
		return &t.Corrected
	case c.Op == Create:
		return &t.Created
	case movesSchedule(c):
		return &t.Schedules
	}
	return &t.Updated
}

func (t *Totals) countOfKept(c Change) *int {
	switch c.Reason {
	case ReasonDrifted, ReasonDeletedByHand:
		return &t.Drifted
	case ReasonPruneSkipped:
		return &t.Left
	case ReasonAlreadyRan, ReasonIgnored:
		return &t.AlreadyRan
	}
	return &t.Unchanged
}

// movesSchedule reports whether c changes when a CronJob fires.
func movesSchedule(c Change) bool {
	if !c.Key.IsCronJob() || c.Object == nil || c.Before == nil {
		return false
	}
	if slices.ContainsFunc(differences(c.Object.Object, c.Before.Object), func(d difference) bool { return timingPath(d.path) }) {
		return true
	}
	was, errWas := rulesOf(c.Before)
	is, errIs := rulesOf(c.Object.Unstructured)
	return errWas == nil && errIs == nil && !slices.Equal(was.Rules(), is.Rules())
}

// counted adds a number and what it counts to words; nothing if it is zero.
func counted(words []string, n int, one, many string) []string {
	switch {
	case n == 1:
		return append(words, "1 "+one)
	case n > 1:
		return append(words, fmt.Sprintf("%d %s", n, many))
	}
	return words
}

// String returns t as the last line of a plan, such as `Plan: 2 run now, 1
// pruned, 40 unchanged.`; counts of zero are left out.
func (t Totals) String() string {
	var words []string
	add := func(n int, one, many string) { words = counted(words, n, one, many) }
	add(t.RunNow, "runs now", "run now")
	add(t.RunAgain, "runs again", "run again")
	add(t.Schedules, "schedule changes", "schedules change")
	add(t.Created, "created", "created")
	add(t.Adopted, "adopted", "adopted")
	add(t.Updated, "updated", "updated")
	add(t.Corrected, "drift corrected", "drifts corrected")
	add(t.Pruned, "pruned", "pruned")
	add(t.Waiting, "waits", "wait")
	add(t.Refused, "refused", "refused")
	if t.Idle() {
		words = append(words, "nothing to do")
	}
	add(t.Drifted, "drifted", "drifted")
	add(t.Left, "left the repository and stays", "left the repository and stay")
	add(t.AlreadyRan, "already ran", "already ran")
	add(t.Unchanged, "unchanged", "unchanged")
	return "Plan: " + strings.Join(words, ", ") + "."
}
