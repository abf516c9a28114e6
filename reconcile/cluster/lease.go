package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"rota.dev/rota/schema"
)

// LeaseOptions configures Lead.
type LeaseOptions struct {
	// Namespace and Name are those of the Lease, see LeaseName.
	Namespace, Name string
	// Identity names this process; no other may have the same.
	Identity string
	// LeaseDuration is how long others wait for a leader that is silent;
	// zero means 15 seconds.
	LeaseDuration time.Duration
	// RenewDeadline is after how long without a renewal the leader gives up;
	// zero means 10 seconds. It must be shorter than LeaseDuration.
	RenewDeadline time.Duration
	// RetryPeriod is the time between tries; zero means 2 seconds.
	RetryPeriod time.Duration
	// Log takes changes of leadership.
	Log *slog.Logger
}

// LeaseName returns the name of the Lease of a Sync.
func LeaseName(sync string) string { return schema.FieldManager + "-" + sync }

// Lead calls work whenever this process holds the Lease, with a context that
// ends when it is lost, and waits for the Lease again after that. It returns
// when ctx ends, with nil, or when work returns while it leads, with its error.
//
// The Lease saves work and protects nothing: a leader that was frozen wakes up
// believing in it. It is given up when the monotonic or the wall clock says
// that it was not renewed in time, and it is released for others only after
// work has returned.
func Lead(ctx context.Context, client kubernetes.Interface, o LeaseOptions, work func(context.Context) error) error {
	o.LeaseDuration = orDefault(o.LeaseDuration, 15*time.Second)
	o.RenewDeadline = orDefault(o.RenewDeadline, 10*time.Second)
	o.RetryPeriod = orDefault(o.RetryPeriod, 2*time.Second)
	for ctx.Err() == nil {
		t := &term{options: o, work: work, ended: make(chan struct{})}
		done, err := t.run(ctx, client)
		if err != nil || done {
			return err
		}
	}
	return nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// term is one candidacy, and the leadership that may come of it.
type term struct {
	options LeaseOptions
	work    func(context.Context) error

	// ended is closed when work has returned, or will not be called.
	ended chan struct{}
	mu    sync.Mutex
	// led is whether work was called; returned, whether it came back by itself.
	led, returned bool
	err           error
	// over is set when the elector has ended: work is not called any more.
	over bool
	// cancel ends work's context; nil before it is called.
	cancel context.CancelFunc
	// renewed is the wall clock at the last renewal.
	renewed time.Time
}

// run reports whether Lead is done.
func (t *term) run(ctx context.Context, client kubernetes.Interface) (bool, error) {
	// The elector goes on after ctx has ended, until work has returned, so
	// that the Lease is held while anything is still being written.
	elect, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	lease := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: t.options.Namespace, Name: t.options.Name},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: t.options.Identity},
	}
	lock := &lateRelease{term: t, Interface: namespacedLock{Interface: lease, client: client, namespace: t.options.Namespace}}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock,
		LeaseDuration:   t.options.LeaseDuration,
		RenewDeadline:   t.options.RenewDeadline,
		RetryPeriod:     t.options.RetryPeriod,
		ReleaseOnCancel: true,
		Name:            t.options.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(lead context.Context) { t.lead(ctx, lead, stop) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return true, fmt.Errorf("preparing the lease %s/%s: %w", t.options.Namespace, t.options.Name, err)
	}
	unwatch := context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.led {
			stop()
		}
	})
	defer unwatch()
	elector.Run(elect)
	t.mu.Lock()
	t.over = true
	led := t.led
	t.mu.Unlock()
	if led {
		<-t.ended
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.returned, t.err
}

// lead runs work until the Lease is lost or ctx ends.
func (t *term) lead(ctx, lead context.Context, stop func()) {
	defer stop()
	defer close(t.ended)
	working, cancel := context.WithCancel(lead)
	defer cancel()
	t.mu.Lock()
	if ctx.Err() != nil || lead.Err() != nil || t.over {
		t.mu.Unlock()
		return
	}
	t.led, t.cancel = true, cancel
	t.mu.Unlock()
	t.options.Log.Info("leading", "lease", t.options.Name, "identity", t.options.Identity)
	defer context.AfterFunc(ctx, cancel)()
	go t.watchWall(working, cancel)
	err := t.work(working)
	t.mu.Lock()
	defer t.mu.Unlock()
	if working.Err() == nil {
		t.returned, t.err = true, err
	} else if err != nil && !errors.Is(err, context.Canceled) {
		t.options.Log.Warn("work ended with its leadership", "lease", t.options.Name, "error", err)
	}
	t.options.Log.Info("no longer leading", "lease", t.options.Name, "identity", t.options.Identity)
}

// watchWall gives the Lease up when the wall clock says that it was not
// renewed in time. The monotonic clock, which the elector goes by, stands
// still while a machine sleeps; the others' clocks do not.
func (t *term) watchWall(ctx context.Context, cancel func()) {
	ticker := time.NewTicker(min(t.options.RetryPeriod, time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		t.mu.Lock()
		silent := time.Now().Round(0).Sub(t.renewed)
		t.mu.Unlock()
		if silent > t.options.RenewDeadline {
			t.options.Log.Warn("lease given up: the wall clock has passed its renewal", "lease", t.options.Name, "silent", silent)
			cancel()
			return
		}
	}
}

// lateRelease is a lock that is released only after the work has ended, and
// that notes the wall clock at each renewal.
type lateRelease struct {
	resourcelock.Interface
	term *term
}

// Create makes the Lease.
func (l *lateRelease) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	asked := time.Now().Round(0)
	err := l.Interface.Create(ctx, r)
	l.noteRenewal(asked, err)
	return err
}

// Update renews the Lease, or releases it if r has no holder.
func (l *lateRelease) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	if r.HolderIdentity == "" {
		l.term.mu.Lock()
		led, end := l.term.led, l.term.cancel
		l.term.mu.Unlock()
		if led {
			end() // the elector ends work's context only after the release
			<-l.term.ended
		}
		// The elector's context for this may have passed while work ended.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), l.term.options.RetryPeriod)
		defer cancel()
	}
	asked := time.Now().Round(0)
	err := l.Interface.Update(ctx, r)
	l.noteRenewal(asked, err)
	return err
}

func (l *lateRelease) noteRenewal(asked time.Time, err error) {
	if err != nil {
		return
	}
	l.term.mu.Lock()
	l.term.renewed = asked
	l.term.mu.Unlock()
}
