// Package localtest gives tests a real API server.
package localtest

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"

	"rota.dev/rota/reconcile/cluster/local"
)

var (
	mu     sync.Mutex
	shared = map[string]*local.Local{}
)

// Shared returns the local cluster that all tests of this process which ask
// for the same flags share; give each test its own namespace. It ends with the
// process. With -short the test is skipped.
func Shared(t testing.TB, args ...string) *local.Local {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the local cluster, which -short leaves out")
	}
	mu.Lock()
	defer mu.Unlock()
	key := strings.Join(args, " ")
	if l := shared[key]; l != nil {
		return l
	}
	l, err := local.Start(context.Background(), local.Options{Args: args, Progress: os.Stderr})
	if err != nil {
		t.Fatalf("%v\nthe local cluster is needed; build it once with: go run ./cmd/rota demo --once", err)
	}
	shared[key] = l
	return l
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
