package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// Apply carries p out and returns one Outcome for each Change, in p's order.
// See ApplyEach.
func (s *Set) Apply(ctx context.Context, p plan.Plan) ([]plan.Outcome, error) {
	return s.ApplyEach(ctx, p, nil)
}

// ApplyEach carries p out. Each, if not nil, is told of every Outcome as it
// comes, one at a time. Keep and Wait are done without a request; Refuse is not
// done and has the plan's Problem. Lower waves (plan.Wave) are written before
// higher ones, several objects of one at a time; an object that fails does not
// stop the others. Deletions come last, and are left out when a write failed.
// When ctx ends, no further object is begun and what is begun is finished; only
// the wait for a replaced object to be gone is given up, which leaves nothing
// half done. The error is for what concerns no single object: the inventory or
// the ledger could not be written.
func (s *Set) ApplyEach(ctx context.Context, p plan.Plan, each func(plan.Outcome)) ([]plan.Outcome, error) {
	if s.asErr != nil {
		return nil, s.asErr
	}
	work, answer := await(context.WithoutCancel(ctx))
	a := &application{
		set: s, plan: p, each: each, ctx: ctx, work: work, answer: answer,
		outcomes: make([]plan.Outcome, len(p.Changes)), settled: make([]bool, len(p.Changes)),
		namespaces: map[string]bool{},
	}
	defer func() {
		// Also after a panic, an error or an end of ctx: what was written by then
		// is to be followed. A dry run wrote nothing.
		if !answer.dry() {
			s.follow()
		}
	}()
	s.await(p)
	a.settleIdle()
	if !p.Writes() {
		return a.outcomes, nil
	}
	if err := s.readState(ctx); err != nil {
		return a.outcomes, err
	}
	if err := s.widen(work, p); err != nil {
		return a.outcomes, err
	}
	err := a.run()
	for i := range p.Changes {
		if !a.settled[i] {
			a.settle(i, plan.Outcome{Change: p.Changes[i]})
		}
	}
	return a.outcomes, err
}

// await notes what p waits for, so that its end is worth a sync.
func (s *Set) await(p plan.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = map[schema.Key]bool{}
	for _, c := range p.Changes {
		if c.Op == plan.Wait || c.Reason == plan.ReasonActive {
			s.waiting[c.Key] = true
		}
	}
}

// application is one plan being carried out.
type application struct {
	set  *Set
	plan plan.Plan
	each func(plan.Outcome)
	// ctx ends when no further object shall be begun; work outlives it.
	ctx, work context.Context
	answer    *answer

	mu       sync.Mutex
	outcomes []plan.Outcome
	settled  []bool
	// failed is set when a write failed: nothing is deleted then. A refusal of
	// the plan is no failure, for what is deleted beside it is the plan's to say.
	failed bool
	// refused keeps the inventory from being narrowed.
	refused bool
	// namespaces were created by this plan in a dry run.
	namespaces map[string]bool
	crds       bool
}

func (a *application) settle(i int, o plan.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outcomes[i], a.settled[i] = o, true
	if o.Problem != nil && o.Change.Op == plan.Refuse {
		a.refused = true
	} else if o.Problem != nil {
		a.failed = true
	}
	if a.each != nil {
		a.each(o)
	}
}

func (a *application) fail(i int, err error) {
	c := a.plan.Changes[i]
	about := subject{key: c.Key, account: a.set.options.ServiceAccount}
	if c.Object != nil {
		about.object = *c.Object
	}
	a.settle(i, plan.Outcome{Change: c, Problem: explain(err, about)})
}

// settleIdle settles what needs no request.
func (a *application) settleIdle() {
	for i, c := range a.plan.Changes {
		switch {
		case c.Retire: // waits or is refused, but is written to
		case c.Op == plan.Keep, c.Op == plan.Wait:
			a.settle(i, plan.Outcome{Change: c, Object: c.Before, Done: true})
		case c.Op == plan.Refuse:
			a.settle(i, plan.Outcome{Change: c, Problem: c.Problem})
		}
	}
}

// run goes through the waves, then prunes and narrows the inventory.
func (a *application) run() error {
	var failures []error
	for _, wave := range a.waves(func(c plan.Change) bool { return c.Op != plan.Delete }) {
		failures = append(failures, a.wave(wave))
	}
	if a.crds {
		a.set.cluster.kinds.forget()
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	if a.failed || a.ctx.Err() != nil {
		return nil
	}
	for _, wave := range a.waves(func(c plan.Change) bool { return c.Op == plan.Delete }) {
		a.inParallel(wave, a.delete)
	}
	if a.failed || a.refused || a.ctx.Err() != nil {
		return nil
	}
	return a.set.narrow(a.work, a.plan)
}

// waves returns the indexes of the unsettled changes that pick chooses,
// grouped by their turn, in the order of the plan.
func (a *application) waves(pick func(plan.Change) bool) [][]int {
	var waves [][]int
	last := -1
	for i, c := range a.plan.Changes {
		if a.settled[i] || !pick(c) {
			continue
		}
		if turn := plan.Wave(c.Key); len(waves) == 0 || turn != last {
			waves, last = append(waves, nil), turn
		}
		waves[len(waves)-1] = append(waves[len(waves)-1], i)
	}
	return waves
}

// inParallel calls do for each index, several at a time, until ctx ends.
func (a *application) inParallel(indexes []int, do func(i int)) {
	var group errgroup.Group
	group.SetLimit(a.set.cluster.options.Workers)
	for _, i := range indexes {
		if a.ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if a.ctx.Err() == nil {
				do(i)
			}
			return nil
		})
	}
	_ = group.Wait()
}

// wave writes the objects of one wave. What the ledger must have before a run
// can vanish is durable before that: the old run before its deletion, the new
// one before its release.
func (a *application) wave(indexes []int) error {
	indexes, err := a.recordReplaced(indexes)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	runs := map[schema.Key]plan.Run{}
	prepared := map[int]*unstructured.Unstructured{}
	a.inParallel(indexes, func(i int) {
		object, release, ok := a.begin(i)
		if !ok {
			return
		}
		c := a.plan.Changes[i]
		mu.Lock()
		defer mu.Unlock()
		if c.Key.IsJob() && (c.Op == plan.Create || c.Op == plan.Replace || release) {
			runs[c.Key] = newRun(c, object)
		}
		if release {
			prepared[i] = object
		} else {
			defer a.settle(i, plan.Outcome{Change: c, Object: object, Problem: c.Problem, Done: c.Op != plan.Refuse})
		}
	})
	if err := a.set.record(a.work, runs, nil); err != nil {
		for _, i := range slices.Sorted(maps.Keys(prepared)) {
			a.fail(i, fmt.Errorf("recording the run before its release: %w", err))
		}
		return err
	}
	a.releaseAll(prepared)
	return nil
}

// releaseAll lets prepared Jobs go. They are begun, so ctx does not stop it.
func (a *application) releaseAll(prepared map[int]*unstructured.Unstructured) {
	a.followRuns(prepared)
	var group errgroup.Group
	group.SetLimit(a.set.cluster.options.Workers)
	for _, i := range slices.Sorted(maps.Keys(prepared)) {
		group.Go(func() error {
			a.release(i, prepared[i])
			return nil
		})
	}
	_ = group.Wait()
}

// followRuns returns when prepared Jobs are watched: one that is released can
// end and vanish before all are, and how it ended is then known by the watch
// alone. Without one they are released too, for that they ran is recorded.
func (a *application) followRuns(prepared map[int]*unstructured.Unstructured) {
	if a.answer.dry() {
		return
	}
	watched := map[scope]bool{}
	for i := range prepared {
		key := a.plan.Changes[i].Key
		if m := a.set.member(key); m != nil && !watched[scopeOf(key)] {
			watched[scopeOf(key)] = true
			m.start()
			_ = m.wait(a.ctx)
		}
	}
}

// begin writes one object. Release is set for a prepared Job, which is to be
// recorded and released; ok is false if the change is settled already.
func (a *application) begin(i int) (object *unstructured.Unstructured, release, ok bool) {
	c := a.plan.Changes[i]
	var err error
	switch {
	case c.Op == plan.Update && c.Key.IsJob() && neverRan(c.Before):
		// Apply never touches a prepared Job: it is released first, and what
		// else differs is for the next plan.
		return c.Before, true, true
	case c.Op == plan.Create:
		object, err = a.create(c)
	case c.Op == plan.Update:
		object, err = a.update(c)
	case c.Op == plan.Replace:
		object, err = a.replace(c)
	case c.Retire:
		object, err = a.retire(c)
	default:
		err = fmt.Errorf("carrying out %s: unknown op %q", c.Key, c.Op)
	}
	switch {
	case errors.Is(err, errMeanwhile):
		// Somebody was there first; the next plan sees what they did.
		a.settle(i, plan.Outcome{Change: c})
		return nil, false, false
	case err != nil:
		a.fail(i, err)
		return nil, false, false
	}
	a.note(c, object)
	return object, c.Prepare && (c.Op == plan.Create || c.Op == plan.Replace), true
}

// errMeanwhile says that the object is not what the plan was made on.
var errMeanwhile = errors.New("the object changed since the plan was made")

// note remembers what later objects of the plan depend on.
func (a *application) note(c plan.Change, object *unstructured.Unstructured) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch c.Key.Kind {
	case "CustomResourceDefinition":
		a.crds = true
	case "Namespace":
		if a.answer.dry() && c.Op == plan.Create {
			a.namespaces[c.Key.Name] = true
		}
	}
}

// newRun is the ledger's entry for the Job that a change created.
func newRun(c plan.Change, object *unstructured.Unstructured) plan.Run {
	run := plan.RunOf(object)
	if c.Object != nil && len(c.Object.Origin.Parameters) > 0 {
		run.Parameters = map[string]string{}
		for _, p := range c.Object.Origin.Parameters {
			run.Parameters[p.Name] = p.Value
		}
	}
	return run
}

// recordReplaced makes the old runs of replaced Jobs durable and forgets those
// that never started, which must not count as having run. It returns the
// indexes that may go on.
func (a *application) recordReplaced(indexes []int) ([]int, error) {
	put := map[schema.Key]plan.Run{}
	var drop []schema.Key
	for _, i := range indexes {
		c := a.plan.Changes[i]
		if c.Op != plan.Replace || !c.Key.IsJob() || c.Before == nil {
			continue
		}
		known, recorded := a.set.recorded(c.Key)
		run := plan.RunOf(c.Before)
		run.Parameters = known.Parameters
		switch {
		case neverRan(c.Before):
			if recorded && known.UID == run.UID {
				drop = append(drop, c.Key)
			}
		case !recorded || known.UID != run.UID || known.Outcome != run.Outcome:
			put[c.Key] = run
		}
	}
	if err := a.set.record(a.work, put, drop); err != nil {
		return nil, err
	}
	return indexes, nil
}

func neverRan(job *unstructured.Unstructured) bool {
	_, prepared := job.GetAnnotations()[schema.AnnotationPrepared]
	return prepared
}

// recorded returns the ledger's entry for key.
func (s *Set) recorded(key schema.Key) (plan.Run, bool) {
	if s.ledger == nil {
		return plan.Run{}, false
	}
	n, ok := s.ledger.where[key]
	if !ok {
		return plan.Run{}, false
	}
	return s.ledger.shards[n].entries[key].Run, true
}
