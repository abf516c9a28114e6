package schedule

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Group is the object of a concurrency group: the runs that have a place in
// it. A run takes its place before it is committed to, and never gives it back
// by a write: it counts as long as its Job exists unfinished. Both ends are
// for good, since a uid never comes back, so that a place that does not count
// for one reader never counts again for another, and the next claim drops it.
type Group struct {
	Places []Place `json:"places"`
	// Version is the resourceVersion that it was read at, which a write of it
	// is conditional on; empty if the object does not exist.
	Version string `json:"-"`
}

// Place is one run in a group.
type Place struct {
	// Schedule is the CronJob, as namespace/name; Job the name of the run.
	Schedule string    `json:"schedule"`
	Job      string    `json:"job"`
	UID      types.UID `json:"uid"`
	Slot     time.Time `json:"slot"`
	// After has the runs that this one replaces. It begins only when they are
	// over, and does not count besides them until then.
	After []types.UID `json:"after,omitempty"`
}

// Waiter is a schedule that waits for a place.
type Waiter struct {
	// Schedule is the CronJob, as namespace/name.
	Schedule string
	// Since is when the first of the slots that it waits with was due.
	Since time.Time
	// LastRan is the last slot that ran; zero if none did.
	LastRan time.Time
	// Limit is the group's, as its policy has it.
	Limit int
	// Replaces is set under Replace: its run takes the place of the one before.
	Replaces bool
}

// compare orders waiters by their turn: the oldest due first, among equals the
// one that ran least recently, so that none of them waits for ever.
func (w Waiter) compare(other Waiter) int {
	return cmp.Or(w.Since.Compare(other.Since), w.LastRan.Compare(other.LastRan), cmp.Compare(w.Schedule, other.Schedule))
}

// Held returns the places that count: ended says of a Job whether it has
// finished or is gone for certain.
func (g Group) Held(ended func(Place) bool) []Place {
	held := slices.DeleteFunc(slices.Clone(g.Places), ended)
	for i, p := range held {
		held[i].After = slices.DeleteFunc(slices.Clone(p.After), func(uid types.UID) bool {
			return !slices.ContainsFunc(held, func(o Place) bool { return o.UID == uid })
		})
	}
	return held
}

// Turn reports whether w may take a place: the places held, and the waiters
// whose turn is before its own, leave one. A run that replaces another of its
// schedule takes no place besides it.
func Turn(held []Place, waiting []Waiter, w Waiter) bool {
	taken := 0
	for _, p := range held {
		if len(p.After) == 0 && !(w.Replaces && p.Schedule == w.Schedule) {
			taken++
		}
	}
	for _, other := range waiting {
		if other.Schedule != w.Schedule && other.compare(w) < 0 {
			taken++
		}
	}
	return taken < w.Limit
}

// Next returns those of the waiters whose turn it is, in order.
func Next(held []Place, waiting []Waiter) []Waiter {
	next := slices.DeleteFunc(slices.Clone(waiting), func(w Waiter) bool { return !Turn(held, waiting, w) })
	slices.SortFunc(next, Waiter.compare)
	return next
}

// Claim returns the group with a place for p, and without those that are not
// among the held ones; false if there is none to be had. A run that has a place
// keeps it, whatever the limit is by now.
func (g Group) Claim(p Place, held []Place, w Waiter) (Group, bool) {
	if slices.ContainsFunc(held, func(o Place) bool { return o.UID == p.UID }) {
		return g, true
	}
	if !Turn(held, nil, w) {
		return g, false
	}
	for _, other := range held {
		if w.Replaces && other.Schedule == w.Schedule {
			p.After = append(p.After, other.UID)
		}
	}
	return Group{Places: append(slices.Clone(held), p), Version: g.Version}, true
}

// ParseGroup reads what [Group.String] wrote. The error's rule is R333.
func ParseGroup(text string) (Group, error) {
	var g Group
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		return Group{}, problem("R333", "data", err, "the places of a concurrency group cannot be read: %v", err)
	}
	return g, nil
}

// String returns g as [ParseGroup] reads it.
func (g Group) String() string {
	text, err := json.Marshal(g)
	if err != nil {
		panic(fmt.Sprintf("encoding a group: %v", err)) // slots end before the year 9999
	}
	return string(text)
}

// PlaceOf returns the place that job, a run, has or wants.
func PlaceOf(job *batchv1.Job, schedule string) Place {
	slot, _ := time.Parse(time.RFC3339, job.Annotations[AnnotationScheduled]) // for people only
	return Place{Schedule: job.Namespace + "/" + schedule, Job: job.Name, UID: job.UID, Slot: slot.UTC()}
}

// Name returns the name of the CronJob.
func (p Place) Name() types.NamespacedName { return nameOf(p.Schedule) }

// Name returns the name of the CronJob.
func (w Waiter) Name() types.NamespacedName { return nameOf(w.Schedule) }

func nameOf(schedule string) types.NamespacedName {
	namespace, name, _ := strings.Cut(schedule, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// Finished reports whether job has ended, well or not.
func Finished(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed)
	})
}

// WaiterOf returns what the record of a CronJob says of its waiting for its
// group; false if it does not wait.
func WaiterOf(spec Spec, state State) (Waiter, bool) {
	hold := state.Cursor.Hold
	if spec.Rules.ConcurrencyGroup == nil || hold == nil || hold.Reason != GroupFull {
		return Waiter{}, false
	}
	since := hold.Since
	if hold.Retry == 0 {
		since = spec.Times().Due(since)
	}
	return spec.waiter(since, state.LastSchedule), true
}

func (s Spec) waiter(since, lastRan time.Time) Waiter {
	return Waiter{Schedule: s.Namespace + "/" + s.Name, Since: since, LastRan: lastRan,
		Limit: int(s.Rules.ConcurrencyGroup.Limit), Replaces: s.Policy == batchv1.ReplaceConcurrent}
}

// crowded returns what is in the way of a run in its group; empty if it may
// take a place, or has one. A run that may not is noted as waiting.
func (d *decider) crowded(name string, since time.Time) string {
	if d.spec.Rules.ConcurrencyGroup == nil {
		return ""
	}
	w := d.spec.waiter(since, d.state.LastSchedule)
	for _, p := range d.state.Places {
		if p.Schedule == w.Schedule && p.Job == name {
			return ""
		}
	}
	if !d.state.GroupUnknown && Turn(d.state.Places, d.state.Waiting, w) {
		return ""
	}
	d.out.Waits = &w
	return d.crowd(w)
}

// crowd names the runs in the way, or the schedules whose turn is before.
func (d *decider) crowd(w Waiter) string {
	const most = 3
	var names []string
	for _, p := range d.state.Places {
		names = append(names, p.Job)
	}
	if len(names) == 0 {
		for _, other := range d.state.Waiting {
			if other.compare(w) < 0 {
				names = append(names, other.Schedule)
			}
		}
	}
	slices.Sort(names)
	switch n := len(names); {
	case n == 0:
		return "group " + d.spec.Rules.ConcurrencyGroup.Name
	case n > most:
		names = append(names[:most], fmt.Sprintf("%d more", n-most))
	}
	return strings.Join(names, ", ")
}

// mayBegin reports whether the group lets a committed run begin: it has a
// place, and those that it took it from, under whatever policy, have ended.
func (d *decider) mayBegin(run Run) bool {
	g := d.spec.Rules.ConcurrencyGroup
	if g == nil || run.Group != g.Name {
		return true
	}
	if place := d.place(run.UID); place != nil {
		return len(place.After) == 0
	}
	due, known := d.dueOf(run)
	if !known {
		due = run.Slot
	}
	if d.crowded(run.Name, due) == "" {
		d.do(Reserve{Run: run})
	}
	return false
}

// passOn stops the runs that a slot replaces and that have places, when others
// have waited longer for one: it is their turn, and a run that hangs must not
// keep them from it.
func (d *decider) passOn(name string) {
	if d.spec.Policy != batchv1.ReplaceConcurrent {
		return
	}
	for _, run := range d.active {
		if run.Name != name && d.place(run.UID) != nil {
			d.stop(run, name)
		}
	}
}

// place returns the place of a run; nil if it has none that is known.
func (d *decider) place(uid types.UID) *Place {
	for i, p := range d.state.Places {
		if p.UID == uid {
			return &d.state.Places[i]
		}
	}
	return nil
}

// yields reports whether a run that is not released gives its place up: a
// schedule that is held back, for weeks perhaps, must not hold up the others.
func (d *decider) yields(run Run) bool { return d.held != nil && d.place(run.UID) != nil }

// yield resolves the slots whose Jobs have a place and were never committed
// to, so that they are swept: a crash can leave one, and the schedule that is
// held back now, or waits with another slot, will not start it.
func (d *decider) yield(times Times, base, before time.Time, reason Reason) time.Time {
	var last time.Time
	for _, run := range d.state.Jobs {
		if run.Prepared && run.Retry == 0 && !d.inUse[run.UID] && run.Slot.After(base) && run.Slot.Before(before) && d.place(run.UID) != nil {
			last = latest(last, run.Slot)
		}
	}
	if last.IsZero() {
		return base
	}
	d.skipRange(times, base, last, reason, "")
	return last
}
