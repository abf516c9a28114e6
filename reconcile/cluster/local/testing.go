package local

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// buildMargin is left of a test binary's time limit when the build of the local
// cluster is given up, so that the failure can say what to do.
const buildMargin = 30 * time.Second

var shared struct {
	once  sync.Once
	local *Local
	err   error
}

// ForTest returns the local cluster that the tests of one package share; it
// runs no Pods. It is started on first use and stopped by Main. With -short the
// test is skipped.
func ForTest(t testing.TB) *Local {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the local cluster; left out by -short")
	}
	shared.once.Do(func() {
		ctx := context.Background()
		if deadline, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
			if at, limited := deadline.Deadline(); limited {
				var cancel context.CancelFunc
				ctx, cancel = context.WithDeadline(ctx, at.Add(-buildMargin))
				defer cancel()
			}
		}
		binary, err := find(ctx, Options{Progress: os.Stderr})
		if err != nil {
			shared.err = fmt.Errorf("%w\nbuild it first: cd cmd/localcluster && go build -o /tmp/localcluster . && export ROTA_LOCALCLUSTER=/tmp/localcluster", err)
			return
		}
		shared.local, shared.err = Start(context.Background(), Options{Binary: binary, Args: []string{"--node", "none"}, Progress: os.Stderr})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.local
}

// Main runs the tests of a package and stops the cluster that they shared; it
// returns the exit code for TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.local != nil {
		shared.local.Stop()
	}
	return code
}
