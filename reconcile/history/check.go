package history

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Verdict is what became of a slot.
type Verdict string

// The verdicts, the worst first, and at the end the good one.
const (
	// Duplicate: it ran more than once, or has two outcomes that exclude each other.
	Duplicate Verdict = "DUPLICATE"
	// Overlap: it began beside another run under a policy that forbids it.
	Overlap Verdict = "OVERLAP"
	// Early: it ran, or was resolved, before it was due.
	Early Verdict = "EARLY"
	// Ghost: a run or a record that nothing asked for: there is no such slot, it was
	// skipped, nothing may start then, or no record has it.
	Ghost Verdict = "GHOST"
	// WrongRevision: it ran as another revision than the one in force when it
	// was committed to wanted.
	WrongRevision Verdict = "WRONG_REVISION"
	// Missed: it did not run and should have, whatever is recorded.
	Missed Verdict = "MISSED"
	// UnrecordedSkip: it rightly did not run, and no record says why.
	UnrecordedSkip Verdict = "UNRECORDED_SKIP"
	// Late: it ran later than it could have, or than its deadline allows.
	Late Verdict = "LATE"
	// OK: it ran once, in time, or was skipped for a true reason.
	OK Verdict = "OK"
)

var severity = []Verdict{Duplicate, Overlap, Early, Ghost, WrongRevision, Missed, UnrecordedSkip, Late, OK}

// Finding is the verdict on one slot.
type Finding struct {
	// Schedule is the CronJob's name.
	Schedule string
	Slot     time.Time
	Verdict  Verdict
	// Evidence says what in the journal shows it.
	Evidence string
}

// String returns f in one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s %s %s: %s", f.Verdict, f.Schedule, f.Slot.UTC().Format(time.RFC3339), f.Evidence)
}

// Checker judges journals of one span of time.
type Checker struct {
	tolerance   time.Duration
	from, until time.Time
	zones       map[string]walls
}

// NewChecker returns a Checker of journals between two times. Tolerance is how
// long a scheduler that nothing hinders may take for anything.
func NewChecker(from, until time.Time, tolerance time.Duration) *Checker {
	return &Checker{tolerance: tolerance, from: from, until: until, zones: map[string]walls{}}
}

// Check returns one finding for every slot of j, and for every time that was
// taken for one, in order of time. The error is for a journal that is none: a
// schedule or zone that cannot be read.
func (c *Checker) Check(j Journal) ([]Finding, error) {
	k := &check{Checker: c, Journal: j, clock: clock(j.Clock), slots: map[int64]*slot{}, found: map[int64]map[Verdict][]string{}}
	if len(j.Revisions) == 0 {
		return nil, fmt.Errorf("checking %s: the journal has no revision", j.Name)
	}
	if err := k.expect(); err != nil {
		return nil, fmt.Errorf("checking %s: %w", j.Name, err)
	}
	k.order = slices.SortedFunc(maps.Values(k.slots), func(a, b *slot) int { return a.at.Compare(b.at) })
	k.hindrances()
	k.readCommits()
	k.judgeRuns()
	k.judgeSlots()
	return k.findings(), nil
}

// check is the state of one Check.
type check struct {
	*Checker
	Journal
	clock clock
	// slots are those that came due, by second.
	slots map[int64]*slot
	// order has them in order of time.
	order []*slot
	// halted, forbid and replace are what is in the way of a start, merged: under
	// any policy, under Forbid and under Replace.
	halted, forbid, replace []Span
	// holds are suspensions and pauses.
	holds  []held
	parsed []fields
	found  map[int64]map[Verdict][]string
	// first has the record that first had a run, by uid.
	first map[types.UID]*Commit
}

// held is a suspension or pause; Ends says that it ended by itself.
type held struct {
	Span
	Ends bool
}

// slot is one that came due, and what the journal says of it.
type slot struct {
	at time.Time
	// reading is when it is due, which jitter puts after the slot itself; due is
	// when the clock showed that.
	reading, due time.Time
	// revision is the index of the one that was in force then.
	revision int
	closed   string
	outcomes []outcome
	runs     []*Run
}

type outcome struct {
	Resolution
	commit *Commit
}

func (k *check) blame(at time.Time, v Verdict, format string, args ...any) {
	if k.found[at.Unix()] == nil {
		k.found[at.Unix()] = map[Verdict][]string{}
	}
	k.found[at.Unix()][v] = append(k.found[at.Unix()][v], fmt.Sprintf(format, args...))
}

func (k *check) findings() []Finding {
	for second, s := range k.slots {
		if k.found[second] == nil {
			k.blame(s.at, OK, "%s", s.story())
		}
	}
	var out []Finding
	for second, by := range k.found {
		f := Finding{Schedule: k.Name, Slot: time.Unix(second, 0).UTC()}
		var evidence []string
		for _, v := range severity {
			if len(by[v]) > 0 && f.Verdict == "" {
				f.Verdict = v
			}
			evidence = append(evidence, by[v]...)
		}
		f.Evidence = strings.Join(evidence, "; ")
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Finding) int { return a.Slot.Compare(b.Slot) })
	return out
}

func (s *slot) story() string {
	for _, run := range s.runs {
		if !run.begun().IsZero() {
			return "ran, " + run.begun().Sub(s.due).String() + " after it was due"
		}
	}
	if n := len(s.outcomes); n > 0 && !s.outcomes[n-1].Ran {
		return "skipped, " + s.outcomes[n-1].Reason
	}
	return "waits"
}

// expect finds the slots of every revision.
func (k *check) expect() error {
	var epoch time.Time // since when the schedule in force counts
	for i, r := range k.Revisions {
		f, err := read(r.Spec.Schedule)
		if err != nil {
			return err
		}
		k.parsed = append(k.parsed, f)
		until := k.End
		if i+1 < len(k.Revisions) {
			until = k.Revisions[i+1].At
		}
		if i == 0 || k.Revisions[i-1].Spec.Schedule != r.Spec.Schedule || k.Revisions[i-1].Spec.Zone != r.Spec.Zone {
			epoch = k.epoch(r)
		}
		last := k.clock.most(until)
		slots, err := k.slotsOf(r.Spec, f, epoch, last)
		if err != nil {
			return err
		}
		for _, at := range slots {
			if err := k.comesDue(i, at, until); err != nil {
				return err
			}
		}
	}
	return nil
}

// comesDue notes a slot of a revision that was in force until a time, if it
// came due in that time.
func (k *check) comesDue(i int, at, until time.Time) error {
	r := k.Revisions[i]
	reading, err := k.jittered(i, at)
	if err != nil {
		return err
	}
	due := k.clock.when(reading, k.Revisions[0].At)
	if due.Before(r.At) {
		if k.slots[at.Unix()] != nil || i > 0 && k.sameTimes(i-1, i) {
			return nil // it was the earlier revision's
		}
		due = r.At // the clock was ahead when the revision came
	}
	if due.After(until) || (i+1 < len(k.Revisions) && !due.Before(until)) {
		return nil
	}
	why, err := closed(r.Spec.Rules, at, r.Spec.Zone)
	if err != nil {
		return err
	}
	k.slots[at.Unix()] = &slot{at: at, reading: reading, due: due, revision: i, closed: why}
	return nil
}

// jittered returns when a slot of a revision is due. The offset is pinned here,
// for a change of it would move every run that there is.
func (k *check) jittered(i int, at time.Time) (time.Time, error) {
	spec := k.Revisions[i].Spec
	seconds := uint64(spec.Rules.Jitter.Duration / time.Second)
	if seconds == 0 {
		return at, nil
	}
	h := fnv.New64a()
	h.Write([]byte(k.Namespace + "/" + k.Name))
	offset := time.Duration(h.Sum64()%seconds) * time.Second
	next := []time.Time{at.Add(k.parsed[i].every)}
	if k.parsed[i].every == 0 {
		var err error
		if next, err = k.slotsOf(spec, k.parsed[i], at, at.Add(offset+time.Second)); err != nil {
			return at, err
		}
	}
	if len(next) > 0 { // always before the next slot
		offset = max(min(offset, next[0].Sub(at)-time.Second), 0)
	}
	return at.Add(offset), nil
}

// sameTimes reports whether two revisions have the same slots.
func (k *check) sameTimes(a, b int) bool {
	return k.Revisions[a].Spec.Schedule == k.Revisions[b].Spec.Schedule && k.Revisions[a].Spec.Zone == k.Revisions[b].Spec.Zone
}

// epoch returns since when the schedule of r counts: from the second of its
// arrival, or from what was resolved by then, if the clock was ahead; or from
// when its scheduler says, if it could not see it before.
func (k *check) epoch(r Revision) time.Time {
	since := r.At.Truncate(time.Second)
	for i := range k.Commits {
		c := &k.Commits[i]
		if c.Version < r.Version {
			if c.Cursor.After(since) {
				since = c.Cursor
			}
			continue
		}
		if c.Since.After(since) && k.covered(r.At, c.At) {
			since = c.Since
		}
		break
	}
	return since
}

// covered reports whether nobody could work from one time to another.
func (k *check) covered(from, until time.Time) bool {
	at, _ := free(merged(k.absences(), k.tolerance), from, k.tolerance)
	return at.Add(k.tolerance).After(until)
}

func (k *check) slotsOf(spec Spec, f fields, after, until time.Time) ([]time.Time, error) {
	if f.every > 0 {
		return f.everySlots(k.anchor(after), after, until), nil
	}
	zone, ok := k.zones[spec.Zone]
	if !ok {
		var err error
		if zone, err = newWalls(spec.Zone, k.from, k.Checker.until); err != nil {
			return nil, err
		}
		k.zones[spec.Zone] = zone
	}
	return zone.slots(f, spec.Rules.DaylightSaving, after, until), nil
}

// anchor returns where @every counts from: the last slot that was resolved, or
// the time since when the schedule counts.
func (k *check) anchor(since time.Time) time.Time {
	anchor := since
	for i := range k.Commits {
		c := &k.Commits[i]
		if c.Since.Before(since.Truncate(time.Second)) {
			continue
		}
		if i > 0 && !k.Commits[i-1].Cursor.IsZero() {
			anchor = k.Commits[i-1].Cursor
		}
		break
	}
	return anchor
}

// absences are the times in which nobody could be expected to work.
func (k *check) absences() []Span {
	spans := slices.Clone(k.Faults)
	last := k.Revisions[0].At
	for i, l := range k.Leases {
		if l.From.After(last) {
			spans = append(spans, Span{From: last, Until: l.From, What: "nobody led"})
		}
		if i == 0 || l.Until.After(last) {
			last = l.Until
		}
	}
	if len(k.Leases) > 0 && k.End.After(last) {
		spans = append(spans, Span{From: last, Until: k.End, What: "nobody led"})
	}
	return spans
}

// hindrances collects what is in the way of a start.
func (k *check) hindrances() {
	spans := k.absences()
	for i, r := range k.Revisions {
		until := k.End.Add(k.tolerance)
		if i+1 < len(k.Revisions) {
			until = k.Revisions[i+1].At
		}
		if !r.Spec.Held {
			continue
		}
		h := held{Span: Span{From: r.At, Until: until, What: "held back"}}
		if !r.Spec.HeldUntil.IsZero() {
			if ends := k.clock.when(r.Spec.HeldUntil, r.At); ends.Before(until) {
				h.Until, h.Ends = ends, true
				// A clock that is set back is in the pause again.
				for _, back := range k.clock.before(r.Spec.HeldUntil, ends, until) {
					k.holds = append(k.holds, held{Span: back, Ends: true})
					spans = append(spans, back)
				}
			}
		}
		k.holds = append(k.holds, h)
		spans = append(spans, h.Span)
	}
	forbid, replace := slices.Clone(spans), slices.Clone(spans)
	for _, run := range k.Runs {
		from := run.begun()
		if committed := k.committed(run.UID); from.IsZero() || (!committed.IsZero() && committed.Before(from)) {
			from = committed
		}
		if from.IsZero() {
			continue
		}
		gone := run.until(k.End.Add(k.tolerance))
		what := run.Name + " was in the way"
		forbid = append(forbid, Span{From: from, Until: gone, What: what})
		if !run.Deleting.IsZero() {
			replace = append(replace, Span{From: run.Deleting, Until: gone, What: what})
		}
	}
	k.halted = merged(spans, k.tolerance)
	k.forbid, k.replace = merged(forbid, k.tolerance), merged(replace, k.tolerance)
}

// committed returns when a record first had the run; zero if none did.
func (k *check) committed(uid types.UID) time.Time {
	if c := k.commitOf(uid); c != nil {
		return c.At
	}
	return time.Time{}
}
