package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// RunGroups keeps the objects of the concurrency groups of a Sync.
type RunGroups interface {
	// Group reads a group by quorum; its Version is empty if there is none.
	Group(ctx context.Context, name string) (schedule.Group, error)
	// PutGroup writes a group if nothing changed it since the Version that it
	// carries, or creates it if that is empty, and returns it as it is stored.
	PutGroup(ctx context.Context, name string, g schedule.Group) (schedule.Group, error)
	// Grouped lists by quorum the Jobs that are labelled with a group.
	Grouped(ctx context.Context, name string) ([]*batchv1.Job, error)
	// Members returns the CronJobs of a group as Watch saw them last.
	Members(name string) []*batchv1.CronJob
}

// groupMemory has what this process knows of groups. Places that it does not
// know of cost a refused write; those that it knows too many of are told by
// their Jobs, as all are. So being behind does not matter here either.
type groupMemory struct {
	mu    sync.Mutex
	names map[string]*knownGroup
	// by has, for a schedule, the groups that it has or had to do with.
	by map[string][]*knownGroup
}

type knownGroup struct {
	name string
	// claim has room for whoever changes the object: two of one process would
	// only make each other's writes fail.
	claim chan struct{}

	memory  *groupMemory
	mu      sync.Mutex
	read    bool
	group   schedule.Group
	waiting map[string]schedule.Waiter
}

func newGroupMemory() *groupMemory {
	return &groupMemory{names: map[string]*knownGroup{}, by: map[string][]*knownGroup{}}
}

func (m *groupMemory) of(name string) *knownGroup {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.names[name]
	if k == nil {
		k = &knownGroup{name: name, memory: m, claim: make(chan struct{}, 1), waiting: map[string]schedule.Waiter{}}
		m.names[name] = k
	}
	return k
}

// note remembers that a schedule has to do with a group.
func (m *groupMemory) note(name string, k *knownGroup) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.by[name], k) {
		m.by[name] = append(m.by[name], k)
	}
}

// with returns the groups that a schedule has to do with, and forgets those
// that it had.
func (m *groupMemory) with(name string) []*knownGroup {
	m.mu.Lock()
	defer m.mu.Unlock()
	groups := slices.Clone(m.by[name])
	m.by[name] = slices.DeleteFunc(m.by[name], func(k *knownGroup) bool { return !k.concerns(name) })
	if len(m.by[name]) == 0 {
		delete(m.by, name)
	}
	return groups
}

// state returns the group as it is known, and who waits, but for one schedule.
func (k *knownGroup) state(but string) (g schedule.Group, waiting []schedule.Waiter, read bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.waiting {
		if w.Schedule != but {
			waiting = append(waiting, w)
		}
	}
	return k.group, waiting, k.read
}

func (k *knownGroup) set(g schedule.Group) {
	k.mu.Lock()
	k.group, k.read = g, true
	k.mu.Unlock()
	for _, p := range g.Places {
		k.memory.note(p.Schedule, k)
	}
}

// wait notes that a schedule waits for the group, or does no more.
func (k *knownGroup) wait(name string, w *schedule.Waiter) {
	if w != nil {
		k.memory.note(name, k)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.waiting, name)
	if w != nil {
		k.waiting[name] = *w
	}
}

// concerns reports whether the schedule has a place in the group, or waits.
func (k *knownGroup) concerns(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, waits := k.waiting[name]; waits {
		return true
	}
	return slices.ContainsFunc(k.group.Places, func(p schedule.Place) bool { return p.Schedule == name })
}

// loadGroup reads the group's object. One that does not exist has the places
// of the Jobs with its label that go on, for it may have been deleted. Those that
// are prepared take theirs before they are released.
func (s *Scheduler) loadGroup(ctx context.Context, k *knownGroup) error {
	g, err := s.Groups.Group(ctx, k.name)
	if err != nil {
		return fmt.Errorf("reading the concurrency group %s: %w", k.name, err)
	}
	if g.Version == "" {
		jobs, err := s.Groups.Grouped(ctx, k.name)
		if err != nil {
			return fmt.Errorf("listing the runs of the concurrency group %s: %w", k.name, err)
		}
		for _, job := range jobs {
			if _, prepared := job.Annotations[schema.AnnotationPrepared]; !prepared && !schedule.Finished(job) {
				g.Places = append(g.Places, schedule.PlaceOf(job, job.Labels[schema.LabelSchedule]))
			}
		}
	}
	_, _, known := k.state("")
	k.set(g)
	if !known {
		s.recallWaiting(k)
	}
	return nil
}

// recallWaiting takes who waits from the records, so that a new leader keeps
// the order.
func (s *Scheduler) recallWaiting(k *knownGroup) {
	for _, cj := range s.Groups.Members(k.name) {
		spec, err := schedule.SpecOf(cj)
		if err != nil || spec.Err != nil {
			continue
		}
		w, waits := schedule.WaiterOf(spec, schedule.StateOf(schedule.View{CronJob: cj}))
		if waits && spec.Rules.ConcurrencyGroup.Name == k.name {
			k.wait(w.Schedule, &w)
		}
	}
}

// intoView puts the places of the CronJob's group into the view. The error
// leaves the view with a group that is unknown.
func (s *Scheduler) intoView(ctx context.Context, name types.NamespacedName, view *schedule.View, spec schedule.Spec) error {
	view.Places, view.Waiting, view.GroupUnknown = nil, nil, false
	rule := spec.Rules.ConcurrencyGroup
	if rule == nil {
		return nil
	}
	k := s.groups.of(rule.Name)
	g, _, read := k.state("")
	if !read || unplaced(*view, rule.Name, g) {
		if err := s.loadGroup(ctx, k); err != nil {
			view.GroupUnknown = true
			return err
		}
	}
	g, view.Waiting, _ = k.state(name.String())
	held, err := s.held(ctx, g)
	if err != nil {
		view.GroupUnknown = true
		return err
	}
	view.Places = held
	return nil
}

// unplaced reports whether a run that was committed to, and not released, has
// no place in what is known: then another leader wrote it.
func unplaced(view schedule.View, group string, g schedule.Group) bool {
	for _, job := range view.Jobs {
		if _, prepared := job.Annotations[schema.AnnotationPrepared]; !prepared || job.Labels[schema.LabelGroup] != group {
			continue
		}
		placed := hasPlace(g, job.UID)
		for _, ref := range view.CronJob.Status.Active {
			if ref.UID == job.UID && !placed {
				return true
			}
		}
	}
	return false
}

// held returns the places of g that count. A Job that is not in sight is read
// live.
func (s *Scheduler) held(ctx context.Context, g schedule.Group) ([]schedule.Place, error) {
	over := map[types.UID]bool{}
	for _, p := range g.Places {
		ended, known := s.ended(p)
		if !known {
			job, err := s.Reader.Job(ctx, types.NamespacedName{Namespace: p.Name().Namespace, Name: p.Job})
			if err != nil && !apierrors.IsNotFound(err) {
				return nil, fmt.Errorf("reading Job %s, which has a place in a concurrency group: %w", p.Job, err)
			}
			ended = err != nil || job.UID != p.UID || schedule.Finished(job)
			if !ended {
				s.memory.job(p.Name(), job, s.Now())
			}
		}
		over[p.UID] = ended
	}
	return g.Held(func(p schedule.Place) bool { return over[p.UID] }), nil
}

// ended reports whether the Job of a place has ended, by what is in sight;
// known is false if it is not.
func (s *Scheduler) ended(p schedule.Place) (ended, known bool) {
	for _, job := range s.memory.merge(p.Name(), s.Reader.Cached(p.Name()), s.Now()).Jobs {
		if job.UID == p.UID {
			return schedule.Finished(job), true
		}
	}
	return false, false
}

// queueFor notes whether the schedule waits for its group, and looks at those
// who may have a turn now: because a run of this schedule has ended, or because
// it waits no more, whatever the reason.
func (s *Scheduler) queueFor(name types.NamespacedName, group string, waits *schedule.Waiter) {
	for _, k := range s.groups.with(name.String()) {
		var w *schedule.Waiter
		if k.name == group {
			w = waits
		}
		k.wait(name.String(), w)
		s.wakeGroup(k)
	}
}

func (s *Scheduler) wakeGroup(k *knownGroup) {
	g, waiting, _ := k.state("")
	if len(waiting) == 0 {
		return
	}
	held := g.Held(func(p schedule.Place) bool {
		ended, known := s.ended(p)
		return ended || !known // who is woken reads it live
	})
	for _, w := range schedule.Next(held, waiting) {
		s.queue.add(w.Name())
	}
}

// claims bounds how often a claim is tried against others' writes.
const claims = 8

var errCrowd = errors.New("others keep writing to the concurrency group")

// claim takes a place for the run, and reports false if there is none: then
// the places in the view are new.
func (p *protocol) claim(ctx context.Context, job *batchv1.Job) (bool, error) {
	rule := p.spec.Rules.ConcurrencyGroup
	if rule == nil {
		return true, nil
	}
	k := p.groups.of(rule.Name)
	select {
	case k.claim <- struct{}{}:
		defer func() { <-k.claim }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	w := schedule.Waiter{Schedule: p.name.String(), Limit: int(rule.Limit), Replaces: p.spec.Policy == batchv1.ReplaceConcurrent}
	place := schedule.PlaceOf(job, p.name.Name)
	for range claims {
		// What counts is told of the very state that the write is conditional
		// on: another worker may read a newer one meanwhile.
		before, _, _ := k.state("")
		held, err := p.held(ctx, before)
		if err != nil {
			return false, err
		}
		after, ok := before.Claim(place, held, w)
		if !ok {
			p.Log.Debug("the concurrency group is full", "group", rule.Name, "job", job.Name, "places", len(held))
			return false, nil
		}
		if before.Version != "" && hasPlace(before, place.UID) {
			return true, nil
		}
		stored, err := p.Groups.PutGroup(ctx, rule.Name, after)
		if err == nil {
			k.set(stored)
			return true, nil
		}
		if ctx.Err() != nil {
			return false, fmt.Errorf("taking a place in the concurrency group %s: %w", rule.Name, err)
		}
		// Another's write came first, or the answer was lost: look.
		if lost := p.loadGroup(ctx, k); lost != nil {
			return false, errors.Join(lost, err)
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			if now, _, _ := k.state(""); hasPlace(now, place.UID) {
				continue
			}
			return false, fmt.Errorf("taking a place in the concurrency group %s: %w", rule.Name, err)
		}
	}
	return false, fmt.Errorf("taking a place in the concurrency group %s for Job %s: %w", rule.Name, job.Name, errCrowd)
}

func hasPlace(g schedule.Group, uid types.UID) bool {
	return slices.ContainsFunc(g.Places, func(p schedule.Place) bool { return p.UID == uid })
}
