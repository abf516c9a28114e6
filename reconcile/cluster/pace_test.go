package cluster

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
)

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func get(t *testing.T, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// flood sends n requests at once, and returns the most that were in flight
// together and how long all took.
func flood(t *testing.T, p *pace, n int, answer func() (int, time.Duration)) (most int32, took time.Duration) {
	t.Helper()
	var now, peak atomic.Int32
	client := p.over(transport(func(*http.Request) (*http.Response, error) {
		peak.Store(max(peak.Load(), now.Add(1)))
		defer now.Add(-1)
		status, wait := answer()
		time.Sleep(wait)
		return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"2"}}}, nil
	}))
	started := time.Now()
	done := make(chan error, n)
	for range n {
		go func() {
			_, err := client.RoundTrip(get(t, "/apis/batch/v1/namespaces/n/jobs"))
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return peak.Load(), time.Since(started)
}

func TestAPlaceThatWasRefusedRestsForAsLongAsTheServerAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		most, took := flood(t, p, 2*firstPace, func() (int, time.Duration) { return http.StatusTooManyRequests, time.Millisecond })
		if most != firstPace || took < 2*time.Second {
			t.Errorf("%d requests were in flight at a time and all took %s; want %d, and the second half after the two seconds of Retry-After", most, took, firstPace)
		}
	})
}

func TestMoreAreSentAtATimeAsLongAsThatMakesThemNoSlower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		most, _ := flood(t, p, 20_000, func() (int, time.Duration) { return http.StatusOK, 5 * time.Millisecond })
		if most <= firstPace || most > mostPace {
			t.Errorf("%d requests were in flight at a time, want more than the first %d and at most %d", most, firstPace, mostPace)
		}
	})
}

func TestFewerAreSentAtATimeWhenTheServerGetsSlower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		flood(t, p, 20_000, func() (int, time.Duration) { return http.StatusOK, 5 * time.Millisecond })
		before := p.limiter.Limit()
		flood(t, p, 2_000, func() (int, time.Duration) { return http.StatusOK, 200 * time.Millisecond })
		if after := p.limiter.Limit(); after >= before || after < leastPace {
			t.Errorf("the bound went from %d to %d, want less, and at least %d", before, after, leastPace)
		}
	})
}

func TestWatchesAndEventsTakeNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		hang := make(chan struct{})
		client := p.over(transport(func(*http.Request) (*http.Response, error) {
			<-hang
			return &http.Response{StatusCode: http.StatusOK}, nil
		}))
		for range 2 * mostPace {
			go func() { _, _ = client.RoundTrip(get(t, "/apis/batch/v1/jobs?watch=true")) }()
			go func() { _, _ = client.RoundTrip(get(t, "/api/v1/namespaces/n/events")) }()
		}
		synctest.Wait()
		if n := p.limiter.Inflight(); n != 0 || p.crowded() {
			t.Errorf("%d places are taken", n)
		}
		close(hang)
	})
}

func TestARequestThatWaitsForItsTurnEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		client := p.over(transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := make(chan error)
		for range 2 * firstPace {
			go func() {
				_, err := client.RoundTrip(get(t, "/x").WithContext(ctx))
				done <- err
			}()
		}
		for range 2 * firstPace {
			if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
		if p.limiter.Inflight() != 0 {
			t.Error("a place was not given back")
		}
	})
}

// sink keeps the events that are sent.
type sink struct {
	record.EventSink
	mu    sync.Mutex
	sent  []*corev1.Event
	at    []time.Time
	fails int
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}

func (s *sink) Create(e *corev1.Event) (*corev1.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		return nil, errors.New("connection reset")
	}
	s.sent, s.at = append(s.sent, e), append(s.at, time.Now())
	return e, nil
}

func (s *sink) Patch(e *corev1.Event, _ []byte) (*corev1.Event, error) { return s.Create(e) }

func TestEventsLetRunsGoBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Bool
		to := &sink{fails: 1}
		e := &events{sink: to, busy: busy.Load, more: make(chan struct{}, 1),
			correlator: record.NewEventCorrelatorWithOptions(record.CorrelatorOptions{BurstSize: 50, QPS: 0.1})}
		r := &Runs{events: e}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go e.run(ctx)
		busy.Store(true)
		started := time.Now()
		for _, name := range []string{"a", "b"} {
			r.Event(&batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}}, false, "SuccessfulCreate", "Created job "+name)
		}
		time.Sleep(5 * time.Second)
		if to.count() != 0 {
			t.Fatal("an event was sent while runs waited")
		}
		busy.Store(false)
		time.Sleep(5 * time.Second)
		if to.count() != 2 {
			t.Fatalf("%d events were sent, want both, the one that failed included", to.count())
		}
		busy.Store(true)
		r.Event(&batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "c"}}, true, "MissSchedule", "late")
		time.Sleep(2 * eventPatience)
		if to.count() != 3 {
			t.Error("an event waited for ever")
		}
		to.mu.Lock()
		defer to.mu.Unlock()
		if at := to.at[0].Sub(started); at > 7*time.Second {
			t.Errorf("the first was sent after %s", at)
		}
	})
}
