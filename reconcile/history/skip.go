package history

import (
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/schema"
)

// promptly is how late a run is that is caught up on.
const promptly = time.Minute

// judgeSkip judges whether the reason of a skip is true.
func (k *check) judgeSkip(s *slot, o outcome) {
	if s.closed != "" {
		return // it rightly did not run, whatever else was in the way
	}
	if !k.excuse(s, o) {
		k.blame(s.at, Missed, "it is recorded as skipped, %s, at %s, and could have started at %s", o.Reason,
			o.commit.At.UTC().Format(time.RFC3339), k.possible(s).UTC().Format(time.RFC3339))
	}
}

// excuse reports whether the recorded reason holds.
func (k *check) excuse(s *slot, o outcome) bool {
	could := k.possible(s).Add(k.tolerance)
	if could.After(o.commit.At) {
		could = o.commit.At
	}
	specs := k.specs(s, o)
	is := func(f func(Spec) bool) bool { return slices.ContainsFunc(specs, f) }
	switch o.Reason {
	case "Suspended", "Paused":
		return k.heldAt(s.due, o.Reason)
	case "DeadlineMissed":
		late := k.clock.shows(could).Sub(s.reading)
		return is(func(p Spec) bool { return p.Deadline != nil && late > *p.Deadline })
	case "NotCaughtUp":
		late := k.clock.shows(could).Sub(s.reading)
		return is(func(p Spec) bool { return p.Rules.CatchUp.Policy == schema.CatchUpNone && late > promptly })
	case "Replaced":
		return k.laterDue(s, could) > 0 && is(func(p Spec) bool { return p.Policy == batchv1.ReplaceConcurrent })
	case "Superseded":
		later := k.laterDue(s, could)
		return is(func(p Spec) bool {
			return later >= 1 && (p.Rules.CatchUp.Policy != schema.CatchUpAll || later >= limitOf(p.Rules))
		})
	case "QueueFull":
		return k.possible(s).After(s.due) && is(func(p Spec) bool { return p.Rules.Overlap == schema.OverlapQueue })
	case "Edited":
		for i := s.revision + 1; i < len(k.Revisions); i++ {
			if !k.sameTimes(i-1, i) {
				return !k.Revisions[i].At.After(could)
			}
		}
	case "NameTaken":
		return slices.Contains(k.Strangers, k.Name+"-"+strconv.FormatInt(s.at.Unix()/60, 10))
	case "SameMinute":
		return k.parsed[s.revision].every > 0 && k.parsed[s.revision].every < time.Minute
	}
	return false
}

// specs returns what was asked for from when s was due to when it was resolved.
func (k *check) specs(s *slot, o outcome) []Spec {
	specs := []Spec{k.Revisions[s.revision].Spec}
	for _, r := range k.Revisions[s.revision+1:] {
		if r.Version < o.commit.Version {
			specs = append(specs, r.Spec)
		}
	}
	return specs
}

// heldAt reports whether nothing could start at a time because the schedule was
// suspended or paused. A suspension that ended while nobody worked counts until
// somebody could see that; a pause says itself when it ends.
func (k *check) heldAt(at time.Time, reason string) bool {
	absent := merged(k.absences(), k.tolerance)
	for _, h := range k.holds {
		until := h.Until
		if reason == "Suspended" || !h.Ends {
			until, _ = free(absent, until, k.tolerance)
		}
		if !at.Before(h.From.Add(-k.tolerance)) && at.Before(until.Add(k.tolerance)) {
			return true
		}
	}
	return false
}

// laterDue counts the open slots after s that were due by a time.
func (k *check) laterDue(s *slot, by time.Time) int {
	from, _ := slices.BinarySearchFunc(k.order, s.at, func(o *slot, at time.Time) int { return o.at.Compare(at) })
	n := 0
	for _, other := range k.order[from+1:] {
		if other.due.After(by) || n > defaultCatchUp*100 {
			break
		}
		if other.closed == "" {
			n++
		}
	}
	return n
}

// defaultCatchUp is how many slots CatchUp All starts where it is not said.
const defaultCatchUp = 10

func limitOf(rules schema.Policy) int {
	if rules.CatchUp.Limit == 0 {
		return defaultCatchUp
	}
	return rules.CatchUp.Limit
}
