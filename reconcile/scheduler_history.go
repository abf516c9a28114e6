package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// HistoryStore keeps what became of slots, beside the CronJobs.
type HistoryStore interface {
	// Load reads everything anew, by quorum.
	Load(ctx context.Context) error
	// Past returns the cursor that is kept of a schedule, or the zero one.
	Past(name types.NamespacedName) schedule.Cursor
	// Merge adds what is given to what is kept. It is durable when the error
	// is nil; bytes is how much was written.
	Merge(ctx context.Context, add map[types.NamespacedName]schedule.History) (bytes int, err error)
}

const (
	// historyDelay is the time in which outcomes are collected.
	historyDelay = 5 * time.Second
	// historyBudget is how many bytes a minute the history may write: after a
	// larger flush the next one waits. What a crash loses meanwhile is filled
	// in again from the cursors, each of which has its last ten resolutions,
	// and from the Jobs that exist.
	historyBudget = 1 << 20
)

// historian writes down what became of slots, off the path of the runs: it is
// told of every view that a decision was carried out on, and flushes what is
// new in batches. While nothing happens it does nothing.
type historian struct {
	store HistoryStore
	log   *slog.Logger

	mu      sync.Mutex
	pending map[types.NamespacedName]*observed
	news    chan struct{}
	// full is sent to when so much is pending that it is better written now.
	full chan struct{}
}

// observed is what waits to be written of one schedule. Views are read when
// they are written, for a run must not wait for that.
type observed struct {
	known schedule.History
	views []schedule.View
}

// mostViews bounds the views that are kept of one schedule.
const mostViews = 16

// history returns what o says.
func (o *observed) history() schedule.History {
	for _, v := range o.views {
		seen := schedule.HistoryOf(v)
		if o.known.CronJob == "" {
			o.known = seen
		} else {
			o.known = o.known.Add(seen)
		}
	}
	o.views = nil
	return o.known
}

// historyBatch is how many schedules are pending at most for long.
const historyBatch = 2000

func newHistorian(store HistoryStore, log *slog.Logger) *historian {
	return &historian{store: store, log: log, pending: map[types.NamespacedName]*observed{}, news: make(chan struct{}, 1), full: make(chan struct{}, 1)}
}

// load reads what is kept. A CronJob that was made anew must not be decided on
// before that, so it is tried until ctx ends; without the right to read there
// is no history, and that must not stop the schedules.
func (h *historian) load(ctx context.Context) {
	if h.store == nil {
		return
	}
	for failures := 1; ctx.Err() == nil; failures++ {
		err := h.store.Load(ctx)
		if err == nil {
			return
		}
		if apierrors.IsForbidden(err) {
			h.log.Error("the history of schedules may not be read, and is not kept", "error", err)
			h.store = nil
			return
		}
		if ctx.Err() == nil {
			h.log.Warn("reading the history of schedules failed", "error", err)
		}
		wait(ctx, backoff(failures))
	}
}

// observe takes note of what v says of the past.
func (h *historian) observe(name types.NamespacedName, v schedule.View) {
	if h.store == nil || v.CronJob == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.pending[name]
	if o == nil {
		o = &observed{}
		h.pending[name] = o
	}
	if o.views = append(o.views, v); len(o.views) > mostViews {
		o.history()
	}
	signal(h.news)
	if len(h.pending) == historyBatch {
		signal(h.full)
	}
}

// past returns how far the slots of a CronJob without a cursor of its own were
// resolved under its name.
func (h *historian) past(cj *batchv1.CronJob) schedule.Cursor {
	if h.store == nil || cj == nil {
		return schedule.Cursor{}
	}
	if _, err := schedule.ParseCursor(cj.Annotations[schema.AnnotationCursor]); err == nil {
		return schedule.Cursor{}
	}
	name := types.NamespacedName{Namespace: cj.Namespace, Name: cj.Name}
	kept := h.store.Past(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.pending[name]; o != nil {
		if pending := o.history().Cursor; pending.Slot.After(kept.Slot) {
			return pending
		}
	}
	return kept
}

// run flushes until ctx ends, and once more then.
func (h *historian) run(ctx context.Context) {
	failures := 0
	for pause := historyDelay; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-h.news:
			timer := time.NewTimer(pause)
			select {
			case <-ctx.Done():
			case <-timer.C:
			case <-h.full:
			}
			timer.Stop()
		}
		if ctx.Err() != nil {
			break
		}
		written, err := h.flush(ctx)
		switch {
		case err == nil:
			failures = 0
			pause = max(historyDelay, time.Duration(written)*time.Minute/historyBudget)
		case ctx.Err() == nil:
			failures++
			pause = max(historyDelay, backoff(failures))
			h.log.Warn("writing the history of schedules failed", "error", err, "retry", pause)
			signal(h.news)
		}
	}
	// An orderly end loses nothing. What is written is merged by
	// compare-and-swap, so that it harms no leader that came meanwhile.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), historyDelay)
	defer cancel()
	if _, err := h.flush(last); err != nil {
		h.log.Warn("writing the history of schedules at the end failed", "error", err)
	}
}

func (h *historian) flush(ctx context.Context) (int, error) {
	h.mu.Lock()
	taken := h.pending
	h.pending = map[types.NamespacedName]*observed{}
	h.mu.Unlock()
	if len(taken) == 0 || h.store == nil {
		return 0, nil
	}
	batch := make(map[types.NamespacedName]schedule.History, len(taken))
	for name, o := range taken {
		if seen := o.history(); seen.CronJob != "" {
			batch[name] = seen
		}
	}
	written, err := h.store.Merge(ctx, batch)
	if err == nil {
		return written, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, seen := range batch {
		later := h.pending[name]
		if later == nil {
			later = &observed{}
			h.pending[name] = later
		}
		later.known = seen.Add(later.known)
	}
	return written, err
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
