package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"rota.dev/rota/schema"
)

const (
	// mostEvents is how many events may wait, several for each of some
	// thousand schedules that are due at once; one takes about a kilobyte.
	mostEvents = 20_000
	// yield is how often events look whether the runs are through.
	yield = 50 * time.Millisecond
	// eventPatience is how long an event waits for them at most.
	eventPatience = 30 * time.Second
	// eventTries is how often an event is sent before it is given up.
	eventTries = 3
)

// events sends events one after the other, and while runs wait for the API
// server it lets them go before: of a crowded minute the runs come first.
// The library counts repeated events instead of storing each, and limits what
// one CronJob may cause: a burst, then as many as a run each minute makes.
type events struct {
	sink       record.EventSink
	correlator *record.EventCorrelator
	// busy reports whether runs wait.
	busy func() bool

	mu     sync.Mutex
	queue  []waitingEvent
	closed bool
	// more has room for one signal that the queue is not empty.
	more chan struct{}
}

type waitingEvent struct {
	event *corev1.Event
	since time.Time
}

func newEvents(client typedcorev1.EventsGetter, busy func() bool) *events {
	return &events{
		sink:       &typedcorev1.EventSinkImpl{Interface: client.Events("")},
		correlator: record.NewEventCorrelatorWithOptions(record.CorrelatorOptions{BurstSize: 50, QPS: 0.1}),
		busy:       busy,
		more:       make(chan struct{}, 1),
	}
}

// add queues an event; beyond the most that wait it is lost.
func (e *events) add(event *corev1.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(e.queue) >= mostEvents {
		return
	}
	e.queue = append(e.queue, waitingEvent{event, time.Now()})
	select {
	case e.more <- struct{}{}:
	default:
	}
}

func (e *events) take() (waitingEvent, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 {
		e.queue = nil // what a crowded minute took is given back
		return waitingEvent{}, false
	}
	first := e.queue[0]
	e.queue = e.queue[1:]
	return first, true
}

// run sends what is added until ctx ends; what waits then is lost.
func (e *events) run(ctx context.Context) {
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.closed, e.queue = true, nil
	}()
	for ctx.Err() == nil {
		next, ok := e.take()
		if !ok {
			select {
			case <-ctx.Done():
			case <-e.more:
			}
			continue
		}
		for e.busy() && time.Since(next.since) < eventPatience && pause(ctx, yield) {
		}
		e.send(ctx, next.event)
	}
}

// pause reports whether the time went by before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (e *events) send(ctx context.Context, event *corev1.Event) {
	result, err := e.correlator.EventCorrelate(event)
	if err != nil || result.Skip {
		return
	}
	for range eventTries {
		sent, err := e.write(result)
		if err == nil {
			e.correlator.UpdateState(sent)
			return
		}
		// An answer of the API server, such as that the namespace is going, is
		// final; without one it is tried again.
		if _, answered := err.(apierrors.APIStatus); answered || !pause(ctx, time.Second) {
			return
		}
	}
}

// write adds to the event that is there already, or creates one.
func (e *events) write(result *record.EventCorrelateResult) (*corev1.Event, error) {
	if result.Event.Count > 1 {
		sent, err := e.sink.Patch(result.Event, result.Patch)
		if !apierrors.IsNotFound(err) {
			return sent, err
		}
	}
	result.Event.ResourceVersion = ""
	return e.sink.Create(result.Event)
}

// startEvents begins to send events, until the returned function is called.
func (r *Runs) startEvents() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	sending := newEvents(r.client.CoreV1(), r.pace.crowded)
	r.mu.Lock()
	r.events = sending
	r.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		sending.run(ctx)
	}()
	return func() {
		r.mu.Lock()
		r.events = nil
		r.mu.Unlock()
		cancel()
		<-done
	}
}

// Event records an event on cj, if Watch is running. It is sent in the
// background and may be lost.
func (r *Runs) Event(cj *batchv1.CronJob, warning bool, reason, message string) {
	r.mu.Lock()
	sending := r.events
	r.mu.Unlock()
	if sending == nil {
		return
	}
	kind := corev1.EventTypeNormal
	if warning {
		kind = corev1.EventTypeWarning
	}
	now := metav1.Now()
	source := corev1.EventSource{Component: schema.FieldManager + "-scheduler"}
	sending.add(&corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: cj.Namespace, Name: fmt.Sprintf("%s.%x", cj.Name, now.UnixNano())},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "CronJob",
			Namespace: cj.Namespace, Name: cj.Name, UID: cj.UID, ResourceVersion: cj.ResourceVersion,
		},
		Reason: reason, Message: message, Type: kind,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: source, ReportingController: source.Component,
	})
}
