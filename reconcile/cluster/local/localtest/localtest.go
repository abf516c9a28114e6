// Package localtest gives tests a real API server.
package localtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"rota.dev/rota/reconcile/cluster/local"
)

var (
	mu     sync.Mutex
	shared = map[string]*local.Local{}
	failed = map[string]error{}
)

// buildMargin is left of a test binary's time limit when a build of the local
// cluster is given up, so that the failure can say what to do.
const buildMargin = 30 * time.Second

// Shared returns the local cluster that all tests of this process which ask
// for the same flags share; give each test its own namespace. It ends with the
// process, whose end closes its standard input. With -short the test is
// skipped.
func Shared(t testing.TB, args ...string) *local.Local {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the local cluster, which -short leaves out")
	}
	mu.Lock()
	defer mu.Unlock()
	key := strings.Join(args, " ")
	if shared[key] == nil && failed[key] == nil {
		shared[key], failed[key] = start(t, args)
	}
	if err := failed[key]; err != nil {
		t.Fatal(err)
	}
	return shared[key]
}

func start(t testing.TB, args []string) (*local.Local, error) {
	t.Helper()
	o := local.Options{Args: args, Progress: os.Stderr}
	ctx := context.Background()
	if limited, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if at, ok := limited.Deadline(); ok {
			// Only until it runs: the cluster outlives the test that started it.
			building, stop := context.WithDeadline(ctx, at.Add(-buildMargin))
			defer stop()
			var err error
			if o.Binary, err = local.Find(building, o); err != nil {
				return nil, fmt.Errorf("%w\nthe local cluster is needed; build it once, without a limit: go run ./cmd/rota demo --once", err)
			}
		}
	}
	return local.Start(ctx, o)
}

// Own returns a local cluster for this test alone, which ends with it. With
// -short the test is skipped.
func Own(t testing.TB, o local.Options) *local.Local {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the local cluster, which -short leaves out")
	}
	l, err := local.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\nthe local cluster is needed; build it once with: go run ./cmd/rota demo --once", err)
	}
	t.Cleanup(l.Stop)
	return l
}
