package cluster_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile/cluster"
)

func leaseOptions(w *runWorld, identity string) cluster.LeaseOptions {
	return cluster.LeaseOptions{
		Namespace: w.namespace, Name: cluster.LeaseName("s"), Identity: identity,
		LeaseDuration: 4 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)),
	}
}

func (w *runWorld) holder() string {
	lease, err := w.client.CoordinationV1().Leases(w.namespace).Get(w.t.Context(), cluster.LeaseName("s"), metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func TestLeadHandsOverOnlyAfterItsWorkHasEnded(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	var working atomic.Int32
	lead := func(ctx context.Context, identity string) chan error {
		done := make(chan error, 1)
		go func() {
			done <- cluster.Lead(ctx, w.client, leaseOptions(w, identity), func(ctx context.Context) error {
				if n := working.Add(1); n != 1 {
					t.Errorf("%d work at a time", n)
				}
				<-ctx.Done()
				time.Sleep(500 * time.Millisecond) // a write in flight
				working.Add(-1)
				return nil
			})
		}()
		return done
	}
	first, stopFirst := context.WithCancel(t.Context())
	a := lead(first, "a")
	w.until("a leads", func() bool { return w.holder() == "a" && working.Load() == 1 })
	second, stopSecond := context.WithCancel(t.Context())
	b := lead(second, "b")
	stopFirst()
	if err := <-a; err != nil {
		t.Errorf("a ended with %v", err)
	}
	released := time.Now()
	w.until("b leads", func() bool { return w.holder() == "b" && working.Load() == 1 })
	if waited := time.Since(released); waited > 3*time.Second {
		t.Errorf("b waited %s for a lease that was released", waited)
	}
	stopSecond()
	if err := <-b; err != nil {
		t.Errorf("b ended with %v", err)
	}
}

func TestLeadReturnsWhatItsWorkReturns(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	want := errors.New("no such set")
	if err := cluster.Lead(t.Context(), w.client, leaseOptions(w, "a"), func(context.Context) error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	w.until("the lease is released", func() bool { return w.holder() == "" })
}

// cut stops all requests while it is on.
type cut struct {
	next http.RoundTripper
	on   atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (c *cut) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.on.Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return c.next.RoundTrip(r)
}

func TestLeadEndsItsWorkBeforeAnotherMayLead(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	wire := &cut{}
	config := rest.CopyConfig(w.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { wire.next = next; return wire })
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var terms atomic.Int32
	ended := make(chan time.Time, 4)
	done := make(chan error, 1)
	go func() {
		done <- cluster.Lead(ctx, client, leaseOptions(w, "a"), func(ctx context.Context) error {
			terms.Add(1)
			<-ctx.Done()
			ended <- time.Now()
			return nil
		})
	}()
	w.until("a leads", func() bool { return terms.Load() == 1 })
	wire.on.Store(true)
	lost := time.Now()
	if took := (<-ended).Sub(lost); took > 4*time.Second {
		t.Errorf("work went on for %s without the API server, longer than the lease", took)
	}
	wire.on.Store(false)
	w.until("a leads again", func() bool { return terms.Load() == 2 })
	// Somebody else takes the lease.
	if _, err := w.client.CoordinationV1().Leases(w.namespace).Patch(t.Context(), cluster.LeaseName("s"), types.MergePatchType,
		[]byte(`{"spec":{"holderIdentity":"thief","leaseDurationSeconds":3600}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(waitFor):
		t.Error("work goes on with a lease that is another's")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A renewal fails, and the connection is back while the work that it ended is
// still busy: the lease stays until that has returned.
func TestALeaseIsNotReleasedBeforeItsWorkHasEnded(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	wire := &cut{}
	config := rest.CopyConfig(w.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { wire.next = next; return wire })
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	options := leaseOptions(w, "a")
	options.LeaseDuration = time.Minute // it is not to run out meanwhile
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	leads, busy, finish, done := make(chan struct{}, 9), make(chan struct{}, 9), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- cluster.Lead(ctx, client, options, func(ctx context.Context) error {
			leads <- struct{}{}
			<-ctx.Done()
			wire.on.Store(false)
			busy <- struct{}{}
			<-finish
			return nil
		})
	}()
	<-leads
	wire.on.Store(true)
	<-busy
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
		if got := w.holder(); got != "a" {
			t.Fatalf("the lease is %q's while the work of a goes on", got)
		}
	}
	cancel()
	close(finish)
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.until("the lease is given back", func() bool { return w.holder() == "" })
}
