package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// RunReader reads what the scheduler decides on.
type RunReader interface {
	// Watch calls changed with the name of every CronJob of the set that
	// exists, and again whenever one or a run of it changes. It begins with a
	// quorum read, and goes on until ctx ends; its error says that it could
	// not begin. changed does not block.
	Watch(ctx context.Context, changed func(types.NamespacedName)) error
	// Cached returns what Watch saw last; the CronJob is nil if there is none.
	// What it points at is shared and must not be changed.
	Cached(name types.NamespacedName) schedule.View
	// Live reads a CronJob by quorum; it is nil if there is none.
	Live(ctx context.Context, name types.NamespacedName) (*batchv1.CronJob, error)
	// Job reads one Job by quorum. The error is NotFound if there is none.
	Job(ctx context.Context, name types.NamespacedName) (*batchv1.Job, error)
}

// RunWriter makes the three writes of a run, and the one that undoes the
// second. Each is one API call; errors are those of the API server.
type RunWriter interface {
	// Prepare creates job and returns it as it is stored.
	Prepare(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error)
	// Commit puts the status and annotations of cj, if nothing changed it
	// since the resourceVersion that it carries.
	Commit(ctx context.Context, cj *batchv1.CronJob) (*batchv1.CronJob, error)
	// Release lets a prepared job begin, if it is this very one and still
	// prepared.
	Release(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error)
	// Withdraw marks a prepared job so that nothing can release it any more,
	// under the same conditions.
	Withdraw(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error)
}

// RunKeeper clears away, and takes over what something else started.
type RunKeeper interface {
	// Delete deletes job, if it is this very one.
	Delete(ctx context.Context, job *batchv1.Job, how schedule.Deletion) error
	// Pods returns the names of the Pods of the CronJob's runs that are not
	// finished, except those of the run with the uid.
	Pods(ctx context.Context, name types.NamespacedName, except types.UID) ([]string, error)
	// Owned lists live the Jobs that the CronJob controls.
	Owned(ctx context.Context, cj *batchv1.CronJob) ([]*batchv1.Job, error)
	// Claim labels a Job of the cluster's own controller as a run of cj.
	Claim(ctx context.Context, cj *batchv1.CronJob, job *batchv1.Job) (*batchv1.Job, error)
}

// RunEvents tells people. It never blocks and never fails.
type RunEvents interface {
	// Event records an event on cj, of type Warning or Normal.
	Event(cj *batchv1.CronJob, warning bool, reason, message string)
}

// SchedulerOptions configures a Scheduler.
type SchedulerOptions struct {
	// Reader, Writer, Keeper, Events and Groups are the cluster; cluster.Runs
	// is all five.
	Reader RunReader
	Writer RunWriter
	Keeper RunKeeper
	Events RunEvents
	Groups RunGroups
	// History keeps what became of slots; nil keeps nothing.
	History HistoryStore
	// Sync is the name that runs are labelled with.
	Sync string
	// Log takes what is worth an operator's reading.
	Log *slog.Logger
	// Workers is how many CronJobs are worked on at a time; zero means 64.
	Workers int
	// Now returns the time; nil means time.Now. Only the wall clock counts.
	Now func() time.Time
	// ClockCheck is how often the wall clock is compared with what is due, so
	// that a jump or a machine that slept is noticed; zero means a second.
	ClockCheck time.Duration
}

// Scheduler runs the schedules of one Sync: it watches the CronJobs that are
// borrowed, and starts, releases and clears away their runs. It fires what the
// API server last accepted, and needs nothing else.
//
// # Exactly once
//
// A run takes three writes, four in a concurrency group, in this order:
//
//	prepare  POST the Job: suspended, marked rota.dev/prepared, named after the slot
//	reserve  PUT the group's object with a place for the Job, if it is of a concurrency group
//	commit   PUT the CronJob's status and cursor, on the resourceVersion decided on
//	release  JSON patch of the Job that tests uid and mark, and takes the mark off
//
// The commit is the only fence. The name is none, for it is free again once
// the Job is deleted; nor is the lease. Each step can be repeated by anybody,
// and nothing but the API server remembers how far a run is:
//
//	what happened                          what is left                       who mends it, how
//	-------------------------------------  ---------------------------------  -----------------
//	crash before prepare                   the slot is unresolved             the next Decide starts it
//	prepare's answer lost                  a prepared Job, or none            the next Prepare: AlreadyExists, read live, go on with it
//	crash between prepare and commit       a prepared Job after the cursor    the next Decide starts the slot with the same Job; if the
//	                                                                          slot is skipped instead, that commit moves the cursor past it: sweep
//	edited between the two                 a prepared Job of the old one      the next Decide deletes it, which nobody can commit to any
//	                                                                          more, and prepares one of the new revision
//	commit refused (409)                   another's record is newer          read live: uid in active: released; slot at or before the
//	                                                                          cursor: swept; else decided again with the same Job
//	commit's answer lost                   either                             read live, as for a 409; the late one is refused by its resourceVersion
//	crash between commit and release       a prepared Job in active           any leader: Decide releases it, or withdraws it past the deadline
//	release's answer lost                  either                             patched again: the test fails, read live, nothing to do
//	crash between Stop and release         the old run going, the new one     Decide stops what is left, and releases when all are gone
//	  (Replace)                            prepared and in active
//	crash between withdraw and its commit  a withdrawn Job in active          Decide records it; nobody can release it
//	crash between that commit and sweep    a withdrawn Job before the cursor  sweep
//	crash before an event is sent          the event is missing               nobody: events are best effort, the record is not
//	two leaders                            both prepare the same Job by name  one commit wins, both may release, once
//	prepare lands after the slot was       a prepared Job before the cursor   sweep
//	  resolved otherwise
//	crash between prepare and reserve      as between prepare and commit
//	reserve refused (409), or its answer   another's places, or our own       read live; a place of our uid is ours, else claimed again
//	  lost
//	crash between reserve and commit       a place, and a prepared Job after  the next Decide commits the same Job; if the slot is skipped
//	                                       the cursor                         instead, the Job is swept, and its place with it. A schedule
//	                                                                          that is held back, or waits with a later slot, skips it for that
//	commit refused after reserve           the same                           as for commit, or the same
//	crash between commit and release of a  a place, and a committed Job       released; while the schedule is held back it is withdrawn, so
//	  run with a place                                                        that others need not wait for the end of a pause
//	the group's object is deleted          no places                          those of Jobs that go on are taken from their labels, live;
//	                                                                          a prepared Job takes a new one before it is released
//	crash after a run failed               the run in active                  any leader: Decide forgets it, and the retry is on record in
//	                                                                          the same PUT
//	crash between prepare and commit of a  a prepared Job of the pending      the next Decide starts the retry with the same Job; once the
//	  retry                                retry                              record is past that retry: sweep
//
// A place counts as long as its Job exists unfinished, and is never given back
// by a write; both ends of a Job are for good. So every Job that is committed
// to has a place from before its commit to its end, and as every claim counts
// the places of the object that it writes, there are never more than the limit.
//
// Sweep is safe on an old view: the cursor only grows, and a commit needs a
// slot after it, so a Job that is once past and not in active stays so.
type Scheduler struct {
	SchedulerOptions
	queue   *scheduleQueue
	memory  *runMemory
	groups  *groupMemory
	history *historian

	// news is sent to when a decision fails that did not before, or no longer.
	news chan struct{}

	mu      sync.Mutex
	reports map[types.NamespacedName]ScheduleReport
}

// ScheduleReport is what is known of one CronJob's schedule.
type ScheduleReport struct {
	Name types.NamespacedName
	// Wake is when it is looked at next; zero if only an event can change it.
	Wake time.Time
	// Problems are those of its last decision.
	Problems []*schema.Problem
	// Err is why the last decision could not be carried out; nil if it was.
	Err      error
	failures int
	// waits is set while it waits for a place in its group.
	group string
	waits *schedule.Waiter
}

// NewScheduler returns a Scheduler that does nothing until Run is called.
func NewScheduler(o SchedulerOptions) *Scheduler {
	if o.Workers <= 0 {
		o.Workers = 64
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ClockCheck <= 0 {
		o.ClockCheck = time.Second
	}
	return &Scheduler{SchedulerOptions: o, news: make(chan struct{}, 1), reports: map[types.NamespacedName]ScheduleReport{}}
}

// Run schedules until ctx ends, and returns nil then, when nothing of it runs
// any more. It may be called again, by a leader that leads again: it forgets
// all it knew and reads anew. The error is that of Watch.
func (s *Scheduler) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.queue, s.memory, s.groups = newScheduleQueue(), newRunMemory(), newGroupMemory()
	s.history = newHistorian(s.History, s.Log)
	s.mu.Lock()
	clear(s.reports)
	s.mu.Unlock()

	s.history.load(ctx)
	var wg sync.WaitGroup
	for range s.Workers {
		wg.Go(func() { s.work(ctx) })
	}
	wg.Go(func() { s.queue.tick(ctx, s.Now, s.ClockCheck) })
	// The last flush comes after the last run.
	recording, recorded := context.WithCancel(context.WithoutCancel(ctx))
	var flushed sync.WaitGroup
	flushed.Go(func() { s.history.run(recording) })
	err := s.Reader.Watch(ctx, s.queue.add)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("watching schedules of sync %s: %w", s.Sync, err)
	} else {
		err = nil
		<-ctx.Done()
	}
	cancel()
	wg.Wait()
	recorded()
	flushed.Wait()
	return err
}

// Reports returns one report per CronJob, in order of name.
func (s *Scheduler) Reports() []ScheduleReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]ScheduleReport, 0, len(s.reports))
	for _, r := range s.reports {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b ScheduleReport) int {
		return compareNames(a.Name, b.Name)
	})
	return all
}

func (s *Scheduler) work(ctx context.Context) {
	for {
		name, ok := s.queue.next(ctx)
		if !ok {
			return
		}
		s.queue.done(name, s.schedule(ctx, name))
	}
}

// schedule brings one CronJob up to date and returns when to look again.
func (s *Scheduler) schedule(ctx context.Context, name types.NamespacedName) (wake time.Time) {
	var r ScheduleReport
	defer func() { s.queueFor(name, r.group, r.waits) }()
	err := func() (err error) {
		// One schedule that breaks the program must not stop the others.
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("scheduling %s panicked: %v\n%s", name, p, debug.Stack())
			}
		}()
		r, err = s.converge(ctx, name)
		return err
	}()
	if ctx.Err() != nil {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.reports[name]
	if (err == nil) != (before.Err == nil) {
		signal(s.news)
	}
	if err == nil && r.Name == (types.NamespacedName{}) {
		delete(s.reports, name)
		return time.Time{}
	}
	r.Name, r.Err = name, err
	if err != nil {
		r.waits = nil // who cannot start now must not keep the turn of others
		r.failures = before.failures + 1
		retry := s.Now().Add(backoff(r.failures))
		// A slot that comes before the retry is a try of its own, but not at
		// the pace at which a broken decision asks to be woken.
		if r.Wake.IsZero() || retry.Before(r.Wake) || r.Wake.Before(s.Now().Add(time.Second)) {
			r.Wake = retry
		}
		s.Log.Warn("carrying out a schedule failed", "cronjob", name.String(), "error", err, "retry", r.Wake)
	}
	s.reports[name] = r
	return r.Wake
}

const (
	firstRetry = 100 * time.Millisecond
	longRetry  = 30 * time.Second
)

func backoff(failures int) time.Duration {
	return min(firstRetry<<min(failures-1, 16), longRetry)
}

// maxRounds bounds how often one CronJob is decided in a row. A run takes
// three; more are needed only while others write to it.
const maxRounds = 12

var errUnsettled = errors.New("other writers keep changing it")

func (s *Scheduler) converge(ctx context.Context, name types.NamespacedName) (ScheduleReport, error) {
	r := ScheduleReport{Name: name}
	view := s.memory.merge(name, s.Reader.Cached(name), s.Now())
	defer func() { s.history.observe(name, view) }()
	from := map[types.UID]*batchv1.JobTemplateSpec{}
	for range maxRounds {
		if view.CronJob == nil || !schedule.Scheduled(view.CronJob) {
			s.memory.forget(name)
			return ScheduleReport{}, s.sweepLeft(ctx, view)
		}
		spec, err := schedule.SpecOf(view.CronJob)
		if err != nil {
			return r, err
		}
		unknown := s.intoView(ctx, name, &view, spec)
		view.Past = s.history.past(view.CronJob)
		d := schedule.Decide(spec, schedule.StateOf(view), s.Now())
		if p := schema.Problems(unknown); len(p) > 0 {
			d.Problems = append(d.Problems, p...)
		}
		s.tell(view.CronJob, d.Problems)
		r.Wake, r.Problems = d.Wake, d.Problems
		r.group, r.waits = "", d.Waits
		if rule := spec.Rules.ConcurrencyGroup; rule != nil {
			r.group = rule.Name
			s.groups.of(rule.Name).wait(name.String(), d.Waits)
		}
		if len(d.Actions) == 0 {
			r.Wake = sooner(r.Wake, s.memory.expiry(name))
			if d.Waits != nil {
				for _, p := range view.Places {
					r.Wake = sooner(r.Wake, s.memory.expiry(p.Name()))
				}
			}
			return r, unknown
		}
		run := protocol{Scheduler: s, name: name, view: view, spec: spec, from: from}
		settled, err := run.carryOut(ctx, d.Actions)
		if err != nil {
			return r, err
		}
		if settled > 0 {
			r.Wake = sooner(r.Wake, s.Now().Add(settled))
			return r, nil
		}
		view = run.view
	}
	return r, errUnsettled
}

// tell records an event for each kind of problem that the CronJob did not have
// at its last decision.
func (s *Scheduler) tell(cj *batchv1.CronJob, problems []*schema.Problem) {
	s.mu.Lock()
	before := s.reports[types.NamespacedName{Namespace: cj.Namespace, Name: cj.Name}].Problems
	s.mu.Unlock()
	for _, p := range problems {
		known := slices.ContainsFunc(before, func(b *schema.Problem) bool { return b.Rule == p.Rule && b.Message == p.Message })
		if !known {
			s.Events.Event(cj, true, eventReason(p.Rule), p.Error())
			s.Log.Warn("problem of a schedule", "cronjob", cj.Namespace+"/"+cj.Name, "problem", p.Error())
		}
	}
}

// eventReason returns the reason that Kubernetes' own controller gives for the
// same fault, where it has one.
func eventReason(rule string) string {
	switch rule {
	case "R300", "R303", "R313":
		return "UnparseableSchedule"
	case "R301":
		return "UnknownTimeZone"
	case "R302":
		return "UnsupportedSchedule"
	case "R306":
		return "TooManyMissedTimes"
	case "R311":
		return "UnexpectedJob"
	case "R312":
		return "FailedCreate"
	case "R332":
		return "RetriesExhausted"
	}
	return "ScheduleProblem"
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
