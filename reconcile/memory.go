package reconcile

import (
	"maps"
	"slices"
	"time"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// Memory is what a process remembers from one plan to the next. Everything
// that must outlive it is in the cluster; this only makes decisions sharper.
// The zero value remembers nothing.
type Memory struct {
	// Applied has what this process saw applied: a deletion by hand then
	// differs from an object that is new, and a drift from a change of git.
	Applied map[schema.Key]plan.Intended

	// Verified has what the last plan found whole.
	Verified map[schema.Key]plan.Verified

	corrections map[schema.Key][]time.Time
	intended    *intentions
	// pending are entries of the ledger that are not durable yet, since then.
	pending map[schema.Key]plan.Run
	since   time.Time
}

// flushEvery is the time in which the ends of runs are collected. A flush
// writes the shards that changed, at most 64 KiB each, so that the ledger costs
// at most 384 KiB a minute a shard, however many Jobs end.
const flushEvery = 10 * time.Second

// intentions are the last revision's objects as they will be applied.
type intentions struct {
	revision   string
	handedBack map[schema.Key]bool
	resolved   []schema.Object
	made       []plan.Intended
}

// intend is plan.Intend, made once for a revision as long as the server knows
// its kinds as before: the content of a revision never changes.
func (m Memory) intend(resolved []schema.Object, o plan.Options) ([]plan.Intended, error) {
	if i := m.intended; i != nil && i.revision == o.Revision && maps.Equal(i.handedBack, o.HandedBack) && slices.EqualFunc(i.resolved, resolved, sameIdentity) {
		return i.made, nil
	}
	made, err := plan.Intend(resolved, o)
	if m.intended != nil && err == nil {
		*m.intended = intentions{o.Revision, o.HandedBack, resolved, made}
	}
	return made, err
}

func sameIdentity(a, b schema.Object) bool {
	return a.GetAPIVersion() == b.GetAPIVersion() && a.GetKind() == b.GetKind() && a.GetNamespace() == b.GetNamespace() && a.GetName() == b.GetName()
}

// note keeps runs for the next flush.
func (m *Memory) note(runs map[schema.Key]plan.Run, now time.Time) {
	if len(runs) == 0 {
		return
	}
	if len(m.pending) == 0 {
		m.since = now
	}
	maps.Copy(m.pending, runs)
}

// flushDue reports whether something has waited long enough.
func (m *Memory) flushDue(now time.Time) bool {
	return len(m.pending) > 0 && now.Sub(m.since) >= flushEvery
}

// fightWindow is the time that corrections are counted in.
const fightWindow = time.Minute

// corrected returns how often each object was corrected lately.
func (m Memory) corrected(now time.Time) map[schema.Key]int {
	counts := map[schema.Key]int{}
	for key, times := range m.corrections {
		for len(times) > 0 && now.Sub(times[0]) > fightWindow {
			times = times[1:]
		}
		if len(times) == 0 {
			delete(m.corrections, key)
			continue
		}
		m.corrections[key], counts[key] = times, len(times)
	}
	return counts
}

// remember takes note of what became of p.
func (m Memory) remember(p plan.Plan, outcomes []plan.Outcome, now time.Time) {
	failed := map[schema.Key]bool{}
	for _, o := range outcomes {
		failed[o.Change.Key] = !o.Done || o.Problem != nil
	}
	clear(m.Verified)
	for _, c := range p.Changes {
		if c.Op == plan.Keep && c.Reason == plan.ReasonUnchanged && c.Before != nil && c.Object != nil {
			m.Verified[c.Key] = plan.Verified{ResourceVersion: c.Before.GetResourceVersion(), Digest: c.Object.GetAnnotations()[schema.AnnotationApplied]}
		}
		switch {
		case failed[c.Key]:
			continue
		case c.Op == plan.Delete:
			delete(m.Applied, c.Key)
			continue
		case c.Object == nil || c.Op == plan.Wait || c.Op == plan.Refuse:
			continue
		case c.Op == plan.Keep && c.Reason == plan.ReasonDeletedByHand:
			continue
		}
		if c.Op == plan.Update && (c.Reason == plan.ReasonDrifted || c.Reason == plan.ReasonDriftedFirst) {
			m.corrections[c.Key] = append(m.corrections[c.Key], now)
		}
		m.Applied[c.Key] = plan.Intended{Object: *c.Object, Digest: c.Object.GetAnnotations()[schema.AnnotationApplied]}
	}
}
