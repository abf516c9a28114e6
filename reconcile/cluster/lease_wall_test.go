package cluster

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// A machine that slept wakes up with a monotonic clock that stood still: only
// the wall clock says that the lease is another's by now.
func TestTheWallClockEndsALease(t *testing.T) {
	for name, c := range map[string]struct {
		silent time.Duration
		ends   bool
	}{
		"renewed a moment ago":              {time.Second, false},
		"renewed longer ago than its limit": {11 * time.Second, true},
		"renewed an hour ago":               {time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				lease := &term{
					options: LeaseOptions{RenewDeadline: 10 * time.Second, RetryPeriod: time.Second, Log: slog.New(slog.DiscardHandler)},
					renewed: time.Now().Round(0).Add(-c.silent),
				}
				go lease.watchWall(ctx, cancel)
				time.Sleep(1500 * time.Millisecond)
				if ended := ctx.Err() != nil; ended != c.ends {
					t.Errorf("it ended: %t, want %t", ended, c.ends)
				}
			})
		})
	}
}
