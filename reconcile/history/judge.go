package history

import (
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

// commitOf returns the first record that has the run in active.
func (k *check) commitOf(uid types.UID) *Commit {
	if k.first == nil {
		k.first = map[types.UID]*Commit{}
		for i := range k.Commits {
			for _, active := range k.Commits[i].Active {
				if k.first[active] == nil {
					k.first[active] = &k.Commits[i]
				}
			}
		}
	}
	return k.first[uid]
}

// inForce returns the index of the revision that a record was made on.
func (k *check) inForce(version uint64) int {
	n := 0
	for i, r := range k.Revisions {
		if r.Version < version {
			n = i
		}
	}
	return n
}

// inForceAt is inForce by time.
func (k *check) inForceAt(at time.Time) int {
	n := 0
	for i, r := range k.Revisions {
		if !r.At.After(at) {
			n = i
		}
	}
	return n
}

// readCommits gives the slots their outcomes.
func (k *check) readCommits() {
	for i := range k.Commits {
		c := &k.Commits[i]
		for _, r := range c.Resolved {
			k.resolve(c, r)
		}
		if i > 0 && c.Cursor.Before(k.Commits[i-1].Cursor) {
			k.blame(k.Commits[i-1].Cursor, Ghost, "the record went back to %s", c.Cursor.UTC().Format(time.RFC3339))
		}
	}
}

func (k *check) resolve(c *Commit, r Resolution) {
	n := 0
	from, _ := slices.BinarySearchFunc(k.order, r.First, func(s *slot, at time.Time) int { return s.at.Compare(at) })
	for _, s := range k.order[from:] {
		if s.at.After(r.Last) {
			break
		}
		n++
		s.outcomes = append(s.outcomes, outcome{Resolution: r, commit: c})
	}
	if shown := k.clock.shows(c.At); r.Last.After(shown) {
		k.blame(r.Last, Early, "resolved when the clock showed %s", shown.UTC().Format(time.RFC3339))
	}
	switch {
	case n == 0 && r.Ran && k.otherRevisionHas(r.First, k.inForce(c.Version)):
		k.blame(r.First, WrongRevision, "committed to on revision %s, which has no such slot", k.Revisions[k.inForce(c.Version)].Name)
	case n == 0 && r.Reason == "Edited":
		// The old schedule's, between the edit and when it was seen.
	case n == 0:
		k.blame(r.First, Ghost, "a record has %d slots from here, and there is none", r.Count)
	case n != r.Count && r.Reason != "Edited":
		k.blame(r.First, Ghost, "a record has %d slots until %s, and there are %d", r.Count, r.Last.UTC().Format(time.RFC3339), n)
	}
}

// otherRevisionHas reports whether a slot is one of another revision than i.
func (k *check) otherRevisionHas(at time.Time, i int) bool {
	for n, r := range k.Revisions {
		if n == i || k.parsed[n].every > 0 {
			continue
		}
		if slots, err := k.slotsOf(r.Spec, k.parsed[n], at.Add(-time.Second), at); err == nil && len(slots) > 0 {
			return true
		}
	}
	return false
}

func (k *check) judgeRuns() {
	for i := range k.Runs {
		run := &k.Runs[i]
		s := k.slots[run.Slot.Unix()]
		commit := k.commitOf(run.UID)
		if s != nil {
			s.runs = append(s.runs, run)
		}
		began := run.begun()
		if began.IsZero() && commit == nil {
			if run.Deleted.IsZero() && s != nil && k.lastCursor().After(s.at) && k.possible(s).Add(k.tolerance).Before(k.End) {
				k.blame(run.Slot, Ghost, "%s was never committed to and is left", run.Name)
			}
			continue
		}
		if len(run.Released) > 1 {
			k.blame(run.Slot, Duplicate, "%s was let go %d times", run.Name, len(run.Released))
		}
		if s == nil {
			k.stray(run, commit)
			continue
		}
		k.judgeRun(s, run, commit)
		if !began.IsZero() {
			k.alone(run, commit)
		}
	}
}

// stray judges a run for which there is no slot.
func (k *check) stray(run *Run, commit *Commit) {
	i := k.inForceAt(run.Created)
	if commit != nil {
		i = k.inForce(commit.Version)
	}
	if shown := k.clock.shows(k.End); run.Slot.After(shown) {
		k.blame(run.Slot, Early, "%s began before its time ever came", run.Name)
	} else if k.otherRevisionHas(run.Slot, i) {
		k.blame(run.Slot, WrongRevision, "%s is of a slot of another revision than %s, which was in force", run.Name, k.Revisions[i].Name)
	} else {
		k.blame(run.Slot, Ghost, "%s ran, and there is no such slot", run.Name)
	}
}

func (k *check) judgeRun(s *slot, run *Run, commit *Commit) {
	began := run.begun()
	if !began.IsZero() && k.clock.shows(began).Before(s.reading) {
		k.blame(s.at, Early, "%s was let go when the clock showed %s", run.Name, k.clock.shows(began).UTC().Format(time.RFC3339))
	}
	if run.Native {
		return
	}
	if !began.IsZero() && (commit == nil || commit.At.After(began)) {
		k.blame(s.at, Ghost, "%s was let go and no record had it", run.Name)
	}
	if commit != nil {
		r := k.Revisions[k.inForce(commit.Version)]
		if run.Revision != r.Name {
			k.blame(s.at, WrongRevision, "%s is of revision %s and was committed to on %s", run.Name, run.Revision, r.Name)
		}
	}
	if began.IsZero() {
		return
	}
	spec := k.Revisions[k.inForceAt(began)].Spec
	if d := spec.Deadline; d != nil {
		if late := k.clock.shows(began).Sub(s.reading) - *d; late > k.tolerance {
			k.blame(s.at, Late, "%s was let go %s after its deadline", run.Name, late)
		}
	}
	if s.closed != "" {
		k.blame(s.at, Ghost, "%s ran, and the policy lets nothing start: %s", run.Name, s.closed)
	}
	if could := k.possible(s).Add(k.tolerance); began.After(could) && spec.Rules.CatchUp.Policy != schema.CatchUpAll {
		k.blame(s.at, Late, "%s was let go %s after it could have been", run.Name, began.Sub(could)+k.tolerance)
	}
}

// alone judges whether a run of a strict policy began beside another.
func (k *check) alone(run *Run, commit *Commit) {
	began := run.begun()
	if commit == nil || !strict(k.Revisions[k.inForce(commit.Version)].Spec) || !strict(k.Revisions[k.inForceAt(began)].Spec) {
		return
	}
	for i := range k.Runs {
		other := &k.Runs[i]
		if other.UID == run.UID || other.begun().IsZero() || !other.begun().Before(began) {
			continue
		}
		if gone := other.until(k.End.Add(k.tolerance)); gone.After(began) {
			k.blame(run.Slot, Overlap, "%s was let go while %s, which began at %s, was there until %s", run.Name, other.Name,
				other.begun().UTC().Format(time.RFC3339), gone.UTC().Format(time.RFC3339))
		}
	}
}

func strict(s Spec) bool {
	return s.Policy == batchv1.ForbidConcurrent || s.Policy == batchv1.ReplaceConcurrent || s.Rules.Overlap == schema.OverlapQueue
}

// possible returns the first moment at which s could have started.
func (k *check) possible(s *slot) time.Time {
	spans := k.halted
	for i := s.revision; i < len(k.Revisions); i++ {
		if n := len(s.outcomes); n > 0 && k.Revisions[i].At.After(s.outcomes[n-1].commit.At) {
			break
		}
		spec := k.Revisions[i].Spec
		if spec.Policy == batchv1.ForbidConcurrent || spec.Rules.Overlap == schema.OverlapQueue {
			spans = k.forbid
			break
		}
		if spec.Policy == batchv1.ReplaceConcurrent {
			spans = k.replace
		}
	}
	at, _ := free(spans, s.due, k.tolerance)
	end := k.End
	if n := len(s.outcomes); n > 0 {
		end = s.outcomes[n-1].commit.At // what the clock does later changes nothing
	}
	for _, back := range k.clock.before(s.reading, s.due, end) {
		if !back.From.After(at.Add(k.tolerance)) && back.Until.After(at) {
			at, _ = free(spans, back.Until, k.tolerance)
		}
	}
	return at
}

func (k *check) lastCursor() time.Time {
	if n := len(k.Commits); n > 0 {
		return k.Commits[n-1].Cursor
	}
	return time.Time{}
}

func (k *check) judgeSlots() {
	cursor := k.lastCursor()
	for _, s := range k.slots {
		ran, began := 0, 0
		for _, o := range s.outcomes {
			if o.Ran {
				ran++
			}
		}
		native := false
		for _, run := range s.runs {
			if !run.begun().IsZero() {
				began++
			}
			native = native || run.Native
		}
		switch n := len(s.outcomes); {
		case began > 1:
			k.blame(s.at, Duplicate, "%d Jobs of it were let go", began)
		case ran > 1 || n > 2 || (n == 2 && s.outcomes[1].Ran):
			k.blame(s.at, Duplicate, "%d records resolve it", n)
		case n == 0 && native:
		case n == 0:
			k.unresolved(s, cursor)
		case !s.outcomes[n-1].Ran && began > 0:
			k.blame(s.at, Ghost, "it ran, and is recorded as skipped: %s", s.outcomes[n-1].Reason)
		case !s.outcomes[n-1].Ran:
			k.judgeSkip(s, s.outcomes[n-1])
		case began == 0 && !native && k.possible(s).Add(k.tolerance).Before(k.End) && !k.gone(s):
			k.blame(s.at, Missed, "it is recorded as run, and its Job was never let go")
		}
	}
}

// gone reports whether somebody deleted the run before it could begin.
func (k *check) gone(s *slot) bool {
	return slices.ContainsFunc(s.runs, func(r *Run) bool { return r.ByHand })
}

func (k *check) unresolved(s *slot, cursor time.Time) {
	could := k.possible(s)
	free := could.Add(k.tolerance)
	switch {
	case !s.at.After(cursor) && (s.closed != "" || could.After(s.due.Add(k.tolerance))):
		k.blame(s.at, UnrecordedSkip, "the record is at %s and does not say what became of it", cursor.UTC().Format(time.RFC3339))
	case !s.at.After(cursor):
		k.blame(s.at, Missed, "the record is at %s, and it has neither a run nor an outcome", cursor.UTC().Format(time.RFC3339))
	case s.closed != "" && free.Before(k.End) && k.Commits[len(k.Commits)-1].Waits == "":
		k.blame(s.at, UnrecordedSkip, "the policy lets nothing start (%s), and no record says that it waits", s.closed)
	case s.closed == "" && free.Before(k.End):
		k.blame(s.at, Missed, "nothing was in its way from %s on, and it has no outcome", could.UTC().Format(time.RFC3339))
	}
}
