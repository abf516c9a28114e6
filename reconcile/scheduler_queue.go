package reconcile

import (
	"cmp"
	"container/heap"
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// scheduleQueue hands out CronJobs to look at: at once after a change, and at
// the time that was asked for. No CronJob is handed out twice at a time.
type scheduleQueue struct {
	mu      sync.Mutex
	ready   []types.NamespacedName
	waiting wakeHeap
	entries map[types.NamespacedName]*wakeEntry
	// work has room for one signal per entry of ready that nobody took yet.
	work chan struct{}
	// poke tells tick that an earlier time was asked for.
	poke chan struct{}
}

// wakeEntry is what the queue knows of one CronJob.
type wakeEntry struct {
	name types.NamespacedName
	// at is when to look again; index its place in the heap, or -1.
	at    time.Time
	index int
	// queued, busy: in ready, in a worker's hands. Both mean that something
	// changed while a worker had it.
	queued, busy bool
}

func newScheduleQueue() *scheduleQueue {
	return &scheduleQueue{
		entries: map[types.NamespacedName]*wakeEntry{},
		work:    make(chan struct{}, 1),
		poke:    make(chan struct{}, 1),
	}
}

// add asks for name to be looked at now.
func (q *scheduleQueue) add(name types.NamespacedName) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.entries[name]
	if e == nil {
		e = &wakeEntry{name: name, index: -1}
		q.entries[name] = e
	}
	q.enqueue(e)
}

func (q *scheduleQueue) enqueue(e *wakeEntry) {
	if e.index >= 0 {
		heap.Remove(&q.waiting, e.index)
	}
	if e.queued {
		return
	}
	e.queued = true
	if !e.busy {
		q.ready = append(q.ready, e.name)
		signal(q.work)
	}
}

// next returns a name to look at, and false when ctx has ended.
func (q *scheduleQueue) next(ctx context.Context) (types.NamespacedName, bool) {
	for {
		if ctx.Err() != nil {
			return types.NamespacedName{}, false
		}
		q.mu.Lock()
		if len(q.ready) > 0 {
			name := q.ready[0]
			q.ready = q.ready[1:]
			e := q.entries[name]
			e.queued, e.busy = false, true
			if len(q.ready) > 0 {
				signal(q.work) // for the next worker
			}
			q.mu.Unlock()
			return name, true
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-q.work:
		}
	}
}

// done gives name back, to be handed out again at the time wake, or at once if
// it was added meanwhile. A zero wake asks for nothing.
func (q *scheduleQueue) done(name types.NamespacedName, wake time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.entries[name]
	e.busy = false
	switch {
	case e.queued:
		q.ready = append(q.ready, name)
		signal(q.work)
	case wake.IsZero():
		delete(q.entries, name)
	default:
		e.at = wake
		heap.Push(&q.waiting, e)
		if e.index == 0 {
			signal(q.poke)
		}
	}
}

// tick hands out what is due by the wall clock, until ctx ends. It looks at
// the clock at least every check, for timers do not see it jump.
func (q *scheduleQueue) tick(ctx context.Context, now func() time.Time, check time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-q.poke:
		}
		wait := check
		q.mu.Lock()
		for len(q.waiting) > 0 {
			e := q.waiting[0]
			// Round strips the monotonic reading, which would compare instead.
			if left := e.at.Sub(now().Round(0)); left > 0 {
				wait = min(wait, left)
				break
			}
			q.enqueue(e)
		}
		q.mu.Unlock()
		timer.Reset(wait)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wakeHeap has the entry with the earliest time first.
type wakeHeap []*wakeEntry

func (h wakeHeap) Len() int           { return len(h) }
func (h wakeHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h wakeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *wakeHeap) Push(x any) {
	e := x.(*wakeEntry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *wakeHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = -1
	return e
}
