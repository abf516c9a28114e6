// Package reconcile has rota's loops: one Loop a Sync, which makes the cluster
// what the repository says and keeps it so, and one Scheduler, which fires
// what the API server last accepted. They decide nothing themselves: what to
// do is in the pure packages render, plan and schedule, how to do it in the
// edges that they are given.
package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/status"
	"rota.dev/rota/render"
	"rota.dev/rota/schema"
)

// Source delivers the revisions of a repository.
type Source interface {
	// Fetch returns the newest revision, or render.ErrUnchanged if that is
	// last. An error leaves what was fetched before in force.
	Fetch(ctx context.Context, last string) (render.Tree, error)
}

// Watcher is a Source that can tell when a fetch is worth while. The channel
// is never closed before ctx ends.
type Watcher interface {
	Watch(ctx context.Context) (<-chan struct{}, error)
}

// Cluster is the API server, seen as one Sync may see it.
type Cluster interface {
	// Resolve completes objects as the server knows their kinds (namespaces,
	// preferred versions) and says which of them can not be applied, and why.
	Resolve(ctx context.Context, objects []schema.Object) ([]schema.Object, map[schema.Key]*schema.Problem, error)
	// Observe returns the live state that a plan for desired is made on,
	// including every write that Apply has been answered.
	Observe(ctx context.Context, desired []schema.Object) (plan.Observation, error)
	// Apply carries p out and returns an Outcome a Change that is no Keep.
	// When ctx ends it stops between two objects, never in the middle of one.
	Apply(ctx context.Context, p plan.Plan) ([]plan.Outcome, error)
	// Changed is sent to after something of the inventory changed.
	Changed() <-chan struct{}
}

// Records is where the Loop keeps what outlives the objects.
type Records interface {
	// Record writes entries to the ledger; they are durable on return.
	Record(ctx context.Context, runs map[schema.Key]plan.Run) error
	// PublishStatus makes s what `rota status` shows.
	PublishStatus(ctx context.Context, s status.Status) error
}

// Render turns a tree into objects; errors are joined *schema.Problems, and
// warnings are returned beside the objects.
type Render func(tree render.Tree) (objects []schema.Object, warnings []*schema.Problem, err error)

// Options are what a Loop needs to know of its Sync.
type Options struct {
	// Plan has the Sync's choices; its Revision, Owners and Incomplete are set
	// for each plan.
	Plan plan.Options
	// Interval is the time between two fetches; a tenth of it is added or
	// taken off at random, so that many Syncs do not fetch in step.
	Interval time.Duration
	// Timeout bounds a fetch and, apart from that, a sync; zero is five minutes.
	Timeout time.Duration
	// HandBack, if set, gives a CronJob to the cluster's own controller before it
	// is applied as one of that controller's.
	HandBack func(ctx context.Context, name types.NamespacedName) error
	// Troubles, if set, are what the Scheduler of the Sync could not carry out;
	// News is sent to when they have changed.
	Troubles func() []*schema.Problem
	News     <-chan struct{}
	// OnSync, if set, is told of every round of the loop, after the fact.
	OnSync func(status.Report, status.Status)
}

// Loop keeps a cluster as a repository says. Its zero value is not usable, see
// NewLoop.
type Loop struct {
	source  Source
	render  Render
	cluster Cluster
	records Records
	options Options
	log     *slog.Logger

	inbox     *inbox
	current   *revision
	report    status.Report
	published *status.Status
	memory    Memory
	retry     pace
}

// NewLoop returns a Loop for one Sync.
func NewLoop(source Source, render Render, cluster Cluster, records Records, options Options, log *slog.Logger) *Loop {
	if options.Timeout == 0 {
		options.Timeout = 5 * time.Minute
	}
	return &Loop{
		source: source, render: render, cluster: cluster, records: records, options: options,
		log:    log,
		inbox:  newInbox(),
		report: status.Report{Sync: options.Plan.Sync},
		memory: Memory{
			Applied: map[schema.Key]plan.Intended{}, Verified: map[schema.Key]plan.Verified{},
			corrections: map[schema.Key][]time.Time{}, pending: map[schema.Key]plan.Run{}, intended: &intentions{},
		},
	}
}

// Run fetches, syncs and corrects until ctx ends; it returns an error only if
// it could not start. What goes wrong on the way is in the status.
func (l *Loop) Run(ctx context.Context) error {
	fetching := make(chan error, 1)
	go func() { fetching <- l.fetchLoop(ctx) }()
	var retry, publish <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			<-fetching
			l.lastFlush(ctx)
			return nil
		case err := <-fetching:
			return err
		case <-l.inbox.ready:
			if r, ok := l.inbox.take(); ok {
				l.accept(r)
			}
		case <-l.cluster.Changed():
		case <-retry:
		case <-l.options.News:
			if publish == nil {
				publish = time.After(troublesDelay)
			}
			continue
		case <-publish:
			publish = nil
			l.publish(ctx)
			continue
		}
		if l.current == nil {
			l.publish(ctx)
			continue
		}
		retry = nil
		again := l.sync(ctx)
		switch {
		case again:
			retry = time.After(l.retry.next())
		case len(l.memory.pending) > 0:
			l.retry.reset()
			retry = time.After(flushEvery)
		default:
			l.retry.reset()
		}
	}
}

// accept takes a fetched revision over. A broken one changes only what is
// reported: the last good revision stays in force.
func (l *Loop) accept(r revision) {
	l.report.Source = r.source
	if r.name == "" {
		return
	}
	l.report.Attempted, l.report.Build = r.name, r.build
	if !r.usable() {
		return
	}
	l.retry.reset()
	l.current = &r
	l.report.InForce, l.report.Warnings = r.name, r.warnings
}

// fetchLoop hands over a revision whenever there is a new one or the trouble
// in getting it changed. It runs beside the syncs, so that a new commit can
// supersede one in progress.
func (l *Loop) fetchLoop(ctx context.Context) error {
	var changes <-chan struct{}
	if w, ok := l.source.(Watcher); ok {
		var err error
		if changes, err = w.Watch(ctx); err != nil {
			return err
		}
	}
	last, trouble := "", ""
	for {
		r := l.fetch(ctx, last)
		if ctx.Err() != nil {
			return nil
		}
		if now := troubleOf(r.source); r.name != "" || now != trouble {
			trouble = now
			l.inbox.put(r)
		}
		if r.name != "" {
			last = r.name
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(jitter(l.options.Interval)):
		case <-changes:
		}
	}
}

func (l *Loop) fetch(ctx context.Context, last string) revision {
	ctx, cancel := context.WithTimeout(ctx, l.options.Timeout)
	defer cancel()
	tree, err := l.source.Fetch(ctx, last)
	switch {
	case errors.Is(err, render.ErrUnchanged):
		return revision{}
	case err != nil:
		l.log.Warn("fetching failed", "err", err)
		return revision{source: schema.Problems(err)}
	}
	r := revision{name: tree.Revision}
	r.objects, r.warnings, err = l.render(tree)
	if errors.Is(err, render.ErrEngine) {
		// No fault of the revision: it is fetched and rendered again.
		l.log.Warn("rendering was not possible", "revision", tree.Revision, "err", err)
		return revision{source: schema.Problems(err)}
	}
	if err != nil {
		l.log.Warn("rendering failed", "revision", tree.Revision, "err", err)
		r.objects, r.build = nil, schema.Problems(err)
	}
	return r
}

func troubleOf(problems []*schema.Problem) string {
	text := ""
	for _, p := range problems {
		text += p.Error() + "\n"
	}
	return text
}

func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}

// pace spaces retries from a second to five minutes.
type pace struct{ last time.Duration }

func (b *pace) next() time.Duration {
	b.last = min(max(time.Second, 2*b.last), 5*time.Minute)
	return b.last
}

func (b *pace) reset() { b.last = 0 }
