package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"rota.dev/rota/reconcile"
	"rota.dev/rota/reconcile/cluster"
)

// processVariable holds the settings of a scheduler that the test binary runs
// as a process of its own, so that it can be killed and frozen for real.
const processVariable = "ROTA_TEST_SCHEDULER"

// processSettings say how a scheduler process behaves.
type processSettings struct {
	Kubeconfig, Namespace, Clock, Identity string
	Seed                                   uint64
	// Lease makes it lead by a Lease; without one it always believes to lead.
	Lease bool
	// Faults is the share of its requests that go wrong.
	Faults float64
}

// requestTimeout is short, so that answers that hang are given up soon, and
// their writes arrive afterwards.
const requestTimeout = 800 * time.Millisecond

// TestSchedulerProcess is no test: it is what the processes run.
func TestSchedulerProcess(t *testing.T) {
	text := os.Getenv(processVariable)
	if text == "" {
		t.Skip("runs as a process of other tests")
	}
	var s processSettings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	clock, err := os.Open(s.Clock)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := s.schedule(t.Context(), config, clock, log); err != nil {
		t.Fatal(err)
	}
}

func (s processSettings) schedule(ctx context.Context, config *rest.Config, clock io.ReaderAt, log *slog.Logger) error {
	faulty := rest.CopyConfig(config)
	faulty.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &faults{next: next, share: s.Faults, random: rand.New(rand.NewPCG(s.Seed, 11))}
	})
	runs, err := cluster.NewRuns(faulty, cluster.RunsOptions{SetID: "set-a", Sync: "s", Namespaces: []string{s.Namespace}, Timeout: requestTimeout})
	if err != nil {
		return err
	}
	now := func() time.Time { return time.Now().Add(offsetIn(clock)) }
	scheduler := reconcile.NewScheduler(reconcile.SchedulerOptions{
		Reader: runs, Writer: runs, Keeper: runs, Events: runs, Sync: "s", Now: now, ClockCheck: 20 * time.Millisecond, Log: log,
	})
	if !s.Lease {
		return scheduler.Run(ctx)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	return cluster.Lead(ctx, client, cluster.LeaseOptions{
		Namespace: s.Namespace, Name: cluster.LeaseName("s"), Identity: s.Identity, Log: log,
		LeaseDuration: 1500 * time.Millisecond, RenewDeadline: time.Second, RetryPeriod: 150 * time.Millisecond,
	}, scheduler.Run)
}

// The clock of all processes is the machine's plus what is in a file.
const clockDigits = 20

func offsetIn(clock io.ReaderAt) time.Duration {
	var text [clockDigits]byte
	if _, err := clock.ReadAt(text[:], 0); err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text[:])), 10, 64)
	return time.Duration(n)
}

func writeOffset(clock io.WriterAt, offset time.Duration) error {
	_, err := fmt.Fprintf(io.NewOffsetWriter(clock, 0), "%*d", clockDigits, int64(offset))
	return err
}

// process is a scheduler that runs in a process of its own.
type process struct {
	cmd     *exec.Cmd
	stopped bool
}

func startProcess(t testing.TB, s processSettings, log io.Writer) *process {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSchedulerProcess$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), processVariable+"="+string(text))
	cmd.Stderr, cmd.Stdout = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd}
	t.Cleanup(p.kill)
	return p
}

// kill ends p as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// freeze stops or continues p.
func (p *process) freeze(t testing.TB, stop bool) {
	signal := map[bool]syscall.Signal{true: syscall.SIGSTOP, false: syscall.SIGCONT}[stop]
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Errorf("sending %s: %v", signal, err)
	}
	p.stopped = stop
}

// faults breaks a share of the requests, in every way that a network has.
type faults struct {
	next   http.RoundTripper
	share  float64
	mu     sync.Mutex
	random *rand.Rand
}

var errBroken = errors.New("connection reset by the test")

// RoundTrip implements http.RoundTripper.
func (f *faults) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	how, pause := -1, time.Duration(f.random.IntN(300))*time.Millisecond
	if f.random.Float64() < f.share && !strings.Contains(r.URL.RawQuery, "watch=") {
		how = f.random.IntN(5)
	}
	f.mu.Unlock()
	switch how {
	case 0: // never sent
		return nil, errBroken
	case 1: // sent, and the answer is lost
		f.send(r)
		return nil, errBroken
	case 2: // it hangs, and is never sent
		<-r.Context().Done()
		return nil, r.Context().Err()
	case 3: // it hangs, and arrives when the sender has given up
		body := keepBody(r)
		<-r.Context().Done()
		go func() {
			time.Sleep(pause)
			late := r.Clone(context.WithoutCancel(r.Context()))
			late.Body = body()
			f.send(late)
		}()
		return nil, r.Context().Err()
	case 4: // slow
		time.Sleep(pause)
	}
	return f.next.RoundTrip(r)
}

func (f *faults) send(r *http.Request) {
	if response, err := f.next.RoundTrip(r.WithContext(context.WithoutCancel(r.Context()))); err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

// keepBody reads the body of r, which its sender may close, and returns what makes it anew.
func keepBody(r *http.Request) func() io.ReadCloser {
	if r.Body == nil {
		return func() io.ReadCloser { return nil }
	}
	text, _ := io.ReadAll(r.Body)
	_ = r.Body.Close()
	return func() io.ReadCloser { return io.NopCloser(strings.NewReader(string(text))) }
}
