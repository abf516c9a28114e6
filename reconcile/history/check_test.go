package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

var begin = time.Date(2026, 3, 27, 12, 0, 30, 0, time.UTC)

const tolerance = 5 * time.Second

// life is a correct history that grows: an ideal scheduler, and what disturbs it.
type life struct {
	random *rand.Rand
	j      Journal
	length time.Duration
	serial uint64
}

func newLife(seed uint64, policy batchv1.ConcurrencyPolicy) *life {
	r := rand.New(rand.NewPCG(seed, 3))
	crons := []string{"* * * * *", "*/7 * * * *", "30 2 * * *", "15 */3 * * *", "30 10,11,12 * * 1-5", "0-5 0 * * *", "@every 11m", "@hourly"}
	i := r.IntN(len(crons))
	l := &life{random: r, length: time.Duration(1+r.IntN(3)) * time.Hour}
	if i > 1 {
		l.length *= 24
	}
	spec := Spec{Schedule: crons[i], Zone: []string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}[r.IntN(4)], Policy: policy}
	if r.IntN(3) == 0 {
		spec.Rules.DaylightSaving = schema.DaylightSaving{Gap: schema.GapShift, Repeat: []string{schema.RepeatBoth, schema.RepeatFirst, schema.RepeatLast}[r.IntN(3)]}
	}
	l.j = Journal{Name: "x", Revisions: []Revision{{At: begin, Version: l.version(), Name: "r1", Spec: spec}}, End: begin.Add(l.length)}
	for at := begin.Add(20 * time.Minute); at.Before(l.j.End); at = at.Add(time.Duration(30+r.IntN(400)) * time.Minute) {
		l.j.Faults = append(l.j.Faults, Span{From: at, Until: at.Add(time.Duration(r.IntN(90*60)) * time.Second), What: "outage"})
	}
	return l
}

func (l *life) version() uint64 { l.serial++; return l.serial }

// live goes through the slots as an ideal scheduler does.
func (l *life) live(t *testing.T) *life {
	t.Helper()
	spec := l.j.Revisions[0].Spec
	f, err := read(spec.Schedule)
	if err != nil {
		t.Fatal(err)
	}
	since := begin.Truncate(time.Second)
	l.j.Commits = append(l.j.Commits, Commit{At: begin.Add(time.Second), Version: l.version(), Since: since})
	var slots []time.Time
	if f.every > 0 {
		slots = f.everySlots(since, since, l.j.End)
	} else {
		zone, err := newWalls(spec.Zone, begin, l.j.End)
		if err != nil {
			t.Fatal(err)
		}
		slots = zone.slots(f, spec.Rules.DaylightSaving, since, l.j.End)
	}
	for i := 0; i < len(slots); {
		at := l.startable(slots[i])
		last := i
		for last+1 < len(slots) && !slots[last+1].After(at) {
			last++
		}
		if at.Add(tolerance).After(l.j.End) {
			break
		}
		l.fire(slots[i:last+1], at.Add(time.Duration(l.random.IntN(2000))*time.Millisecond))
		i = last + 1
	}
	return l
}

// startable returns when a slot can start at the earliest.
func (l *life) startable(at time.Time) time.Time {
	for {
		before := at
		for _, f := range l.j.Faults {
			if !at.Before(f.From) && at.Before(f.Until) {
				at = f.Until
			}
		}
		if n := len(l.j.Runs); l.j.Revisions[0].Spec.Policy == batchv1.ForbidConcurrent && n > 0 {
			if gone := l.j.Runs[n-1].until(l.j.End); gone.After(at) {
				at = gone
			}
		}
		if at.Equal(before) {
			return at
		}
	}
}

// fire runs the last of the slots and skips the others.
func (l *life) fire(slots []time.Time, at time.Time) {
	slot := slots[len(slots)-1]
	n := len(l.j.Runs)
	begun := at.Add(200 * time.Millisecond)
	if n > 0 && l.j.Revisions[0].Spec.Policy == batchv1.ReplaceConcurrent {
		if old := &l.j.Runs[n-1]; old.until(l.j.End).After(at) {
			old.Finished, old.Deleting, old.Deleted = time.Time{}, at.Add(50*time.Millisecond), at.Add(time.Second)
			old.PodsGone = old.Deleted
			begun = at.Add(1500 * time.Millisecond)
		}
	}
	run := Run{
		Name: "x-" + strconv.FormatInt(slot.Unix()/60, 10), UID: types.UID(fmt.Sprint("run-", n)), Slot: slot, Revision: "r1",
		Created: at, Released: []time.Time{begun}, Finished: begun.Add(time.Duration(5+l.random.IntN(400)) * time.Second),
	}
	run.PodsGone = run.Finished
	l.j.Runs = append(l.j.Runs, run)
	c := Commit{At: at.Add(100 * time.Millisecond), Version: l.version(), Cursor: slot, Since: l.j.Commits[0].Since, Active: []types.UID{run.UID}}
	if k := len(slots) - 1; k > 0 {
		c.Resolved = append(c.Resolved, Resolution{First: slots[0], Last: slots[k-1], Count: k, Reason: "Superseded"})
	}
	c.Resolved = append(c.Resolved, Resolution{First: slot, Last: slot, Count: 1, Ran: true})
	l.j.Commits = append(l.j.Commits, c)
}

func verdicts(t *testing.T, j Journal) []Finding {
	t.Helper()
	found, err := NewChecker(begin, j.End, tolerance).Check(j)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func bad(found []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(found), func(f Finding) bool { return f.Verdict == OK })
}

var policies = []batchv1.ConcurrencyPolicy{batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent}

func TestACorrectHistoryIsOKInEverySlot(t *testing.T) {
	slots := 0
	for seed := range uint64(150) {
		l := newLife(seed, policies[seed%3]).live(t)
		found := verdicts(t, l.j)
		slots += len(found)
		for _, f := range bad(found) {
			t.Errorf("seed %d, %+v: %s", seed, l.j.Revisions[0].Spec, f)
		}
	}
	if slots < 3000 {
		t.Errorf("only %d slots were judged", slots)
	}
}

// corruption spoils a correct history at one run, and says where it must show. It
// returns false if there is nothing to spoil in it.
type corruption struct {
	name   string
	want   Verdict
	policy batchv1.ConcurrencyPolicy
	spoil  func(l *life, i int) (time.Time, bool)
}

// recordOf returns the record of the run i, and the place of its resolution.
func (l *life) recordOf(i int) (*Commit, int) {
	for n := range l.j.Commits {
		c := &l.j.Commits[n]
		for k, r := range c.Resolved {
			if r.Ran && r.First.Equal(l.j.Runs[i].Slot) {
				return c, k
			}
		}
	}
	panic("every run has a record")
}

// quiet reports whether nothing was in the way of the run i for some time.
func (l *life) quiet(i int) bool {
	return l.j.Runs[i].Released[0].Sub(l.j.Runs[i].Slot) < tolerance/2 && i+1 < len(l.j.Runs) &&
		!slices.ContainsFunc(l.j.Faults, func(s Span) bool {
			return s.From.Before(l.j.Runs[i].Slot.Add(2*time.Minute)) && s.Until.After(l.j.Runs[i].Slot.Add(-2*time.Minute))
		})
}

var corruptions = []corruption{
	{"a run and its record vanish", Missed, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		c, k := l.recordOf(i)
		c.Resolved, c.Active = slices.Delete(slices.Clone(c.Resolved), k, k+1), nil
		slot := l.j.Runs[i].Slot
		ok := l.quiet(i)
		l.j.Runs = slices.Delete(slices.Clone(l.j.Runs), i, i+1)
		return slot, ok
	}},
	{"a slot is skipped as superseded, and nothing was in its way", Missed, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		return l.skipInstead(i, "Superseded")
	}},
	{"a slot is skipped for a deadline that there is not", Missed, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		return l.skipInstead(i, "DeadlineMissed")
	}},
	{"a slot is skipped as suspended, and it was not", Missed, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		return l.skipInstead(i, "Suspended")
	}},
	{"a slot is skipped for a name that nobody had", Missed, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		return l.skipInstead(i, "NameTaken")
	}},
	{"the last slot of all never ran", Missed, batchv1.AllowConcurrent, func(l *life, _ int) (time.Time, bool) {
		i := len(l.j.Runs) - 1
		slot := l.j.Runs[i].Slot
		l.j.Runs, l.j.Commits = l.j.Runs[:i], l.j.Commits[:len(l.j.Commits)-1]
		l.j.Faults, l.j.End = nil, slot.Add(time.Minute)
		return slot, true
	}},
	{"a committed run is never let go", Missed, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		quiet := l.quiet(i)
		l.j.Runs[i].Released, l.j.Runs[i].Finished, l.j.Runs[i].Deleted = nil, time.Time{}, l.j.Runs[i].Finished
		return l.j.Runs[i].Slot, quiet
	}},
	{"a skip that was right is not recorded", UnrecordedSkip, batchv1.AllowConcurrent, func(l *life, _ int) (time.Time, bool) {
		for n := range l.j.Commits {
			if c := &l.j.Commits[n]; len(c.Resolved) == 2 {
				first := c.Resolved[0].First
				c.Resolved = c.Resolved[1:]
				return first, true
			}
		}
		return time.Time{}, false
	}},
	{"a second Job of the slot is let go", Duplicate, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		again := l.j.Runs[i]
		again.UID, again.Released = "again", []time.Time{again.Finished.Add(time.Second)}
		again.Finished = again.Finished.Add(time.Minute)
		l.j.Runs = append(l.j.Runs, again)
		return again.Slot, true
	}},
	{"a Job is let go twice", Duplicate, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		l.j.Runs[i].Released = append(l.j.Runs[i].Released, l.j.Runs[i].Released[0].Add(time.Second))
		return l.j.Runs[i].Slot, true
	}},
	{"two records resolve a slot", Duplicate, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		c, k := l.recordOf(i)
		c.Resolved = append(slices.Clone(c.Resolved), c.Resolved[k])
		return l.j.Runs[i].Slot, true
	}},
	{"a run begins before its slot", Early, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		l.j.Runs[i].Released[0] = l.j.Runs[i].Slot.Add(-3 * time.Second)
		c, _ := l.recordOf(i)
		c.At = l.j.Runs[i].Slot.Add(-4 * time.Second)
		return l.j.Runs[i].Slot, true
	}},
	{"a slot is resolved before it comes", Early, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		c, _ := l.recordOf(i)
		c.At = l.j.Runs[i].Slot.Add(-time.Second)
		return l.j.Runs[i].Slot, true
	}},
	{"a run is late for no reason", Late, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		quiet := l.quiet(i)
		l.j.Runs[i].Released[0] = l.j.Runs[i].Slot.Add(tolerance + 3*time.Second)
		l.j.Runs[i].Finished = l.j.Runs[i].Released[0].Add(time.Minute)
		return l.j.Runs[i].Slot, quiet
	}},
	{"a run begins after its deadline", Late, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		deadline := time.Second
		l.j.Revisions[0].Spec.Deadline = &deadline
		if late := l.j.Runs[i].Slot.Add(tolerance + 2*time.Second); late.After(l.j.Runs[i].Released[0]) {
			l.j.Runs[i].Released[0] = late
		}
		return l.j.Runs[i].Slot, true
	}},
	{"a run of Forbid begins beside another", Overlap, batchv1.ForbidConcurrent, func(l *life, i int) (time.Time, bool) {
		if i == 0 {
			return time.Time{}, false
		}
		l.j.Runs[i-1].Finished = l.j.Runs[i].Released[0].Add(time.Second)
		return l.j.Runs[i].Slot, true
	}},
	{"a run of Forbid begins beside Pods that outlive their Job", Overlap, batchv1.ForbidConcurrent, func(l *life, i int) (time.Time, bool) {
		if i == 0 {
			return time.Time{}, false
		}
		l.j.Runs[i-1].PodsGone = l.j.Runs[i].Released[0].Add(time.Second)
		return l.j.Runs[i].Slot, true
	}},
	{"a run of Replace begins before the old one is gone", Overlap, batchv1.ReplaceConcurrent, func(l *life, i int) (time.Time, bool) {
		if i == 0 || l.j.Runs[i-1].Deleted.IsZero() {
			return time.Time{}, false
		}
		l.j.Runs[i-1].PodsGone = l.j.Runs[i].Released[0].Add(time.Second)
		return l.j.Runs[i].Slot, true
	}},
	{"a run of no slot", Ghost, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		ghost := l.j.Runs[i]
		ghost.UID, ghost.Slot = "ghost", ghost.Slot.Add(17*time.Second)
		l.j.Runs = append(l.j.Runs, ghost)
		return ghost.Slot, true
	}},
	{"a run that no record has", Ghost, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		c, _ := l.recordOf(i)
		c.Active = nil
		return l.j.Runs[i].Slot, true
	}},
	{"a run that is recorded as skipped", Ghost, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		c, k := l.recordOf(i)
		c.Resolved[k].Ran, c.Resolved[k].Reason = false, "Superseded"
		return l.j.Runs[i].Slot, true
	}},
	{"a run while the policy is closed", Ghost, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		l.j.Revisions[0].Spec.Rules.NotAfter = l.j.Runs[i].Slot.Add(-time.Second)
		return l.j.Runs[i].Slot, true
	}},
	{"a record of more slots than there are", Ghost, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		c, k := l.recordOf(i)
		c.Resolved[k].Count = 3
		return l.j.Runs[i].Slot, true
	}},
	{"a run of the revision before", WrongRevision, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		l.j.Runs[i].Revision = "r0"
		return l.j.Runs[i].Slot, true
	}},
	{"a run of the schedule before", WrongRevision, batchv1.AllowConcurrent, func(l *life, i int) (time.Time, bool) {
		if l.j.Revisions[0].Spec.Schedule[0] == '@' || !l.quiet(i) {
			return time.Time{}, false
		}
		c, _ := l.recordOf(i)
		edit := l.j.Revisions[0]
		edit.At, edit.Version, edit.Spec.Schedule = l.j.Runs[i].Slot.Add(-time.Minute), c.Version-1, "3 3 3 3 *"
		l.j.Revisions = append(l.j.Revisions, edit)
		return l.j.Runs[i].Slot, true
	}},
}

// skipInstead makes the run i a skip, and reports whether nothing was in its way.
func (l *life) skipInstead(i int, reason string) (time.Time, bool) {
	c, k := l.recordOf(i)
	c.Resolved[k].Ran, c.Resolved[k].Reason, c.Active = false, reason, nil
	slot, quiet := l.j.Runs[i].Slot, l.quiet(i)
	l.j.Runs = slices.Delete(slices.Clone(l.j.Runs), i, i+1)
	return slot, quiet
}

func TestEveryCorruptionOfAHistoryHasItsVerdict(t *testing.T) {
	seen := map[Verdict]bool{}
	for _, c := range corruptions {
		t.Run(c.name, func(t *testing.T) {
			tried := 0
			for seed := range uint64(60) {
				l := newLife(seed, c.policy).live(t)
				if len(l.j.Runs) < 3 {
					continue
				}
				i := l.random.IntN(len(l.j.Runs))
				at, ok := c.spoil(l, i)
				if !ok {
					continue
				}
				tried++
				found := verdicts(t, l.j)
				n := slices.IndexFunc(found, func(f Finding) bool { return f.Slot.Equal(at.Truncate(time.Second)) })
				if n < 0 || found[n].Verdict != c.want {
					got := "no finding"
					if n >= 0 {
						got = found[n].String()
					}
					t.Errorf("seed %d, %+v: slot %s has %s, want %s", seed, l.j.Revisions[0].Spec, at, got, c.want)
				}
			}
			if tried < 5 {
				t.Errorf("tried only %d times", tried)
			}
		})
		seen[c.want] = true
	}
	for _, v := range severity {
		if v != OK && !seen[v] {
			t.Errorf("no corruption is for %s", v)
		}
	}
}
