// Package local runs cmd/localcluster, a real Kubernetes API on this machine,
// for the demo, for rota plan --admit and for tests. It finds the program or builds it from source.
// Nothing else of rota may import it: the controller starts no process.
package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// EnvBinary names a program to use instead of a found or built one.
const EnvBinary = "ROTA_LOCALCLUSTER"

const (
	// readyTimeout is how long the API may take to be ready; it takes about
	// three seconds on a quiet machine.
	readyTimeout = 2 * time.Minute
	// stopTimeout is how long the process may take to end before it is killed.
	stopTimeout = 20 * time.Second
)

// Options say how to start a local cluster.
type Options struct {
	// Binary is the program; empty looks in $ROTA_LOCALCLUSTER, beside this
	// executable and in $PATH, and then builds it.
	Binary string
	// Args are passed on, such as --node none.
	Args []string
	// Dir keeps the cluster; empty is a temporary folder.
	Dir string
	// Progress is told of what takes long; may be nil.
	Progress io.Writer
}

// Local is a running local cluster.
type Local struct {
	// Kubeconfig is the file that names the cluster.
	Kubeconfig string

	config *rest.Config
	cmd    *exec.Cmd
	stdin  io.Closer
	ended  chan struct{}
	err    error
	stop   sync.Once
	output *tail
}

// Start finds or builds the program, runs it, and returns when the API is
// ready. The process ends with Stop, with ctx, or with this process, for it
// reads a pipe from it.
func Start(ctx context.Context, o Options) (*Local, error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	binary, err := Find(ctx, o)
	if err != nil {
		return nil, err
	}
	args := o.Args
	if o.Dir != "" {
		args = append([]string{"--dir", o.Dir}, args...)
	}
	l := &Local{ended: make(chan struct{}), output: &tail{}}
	l.cmd = exec.Command(binary, args...)
	l.cmd.Stderr = l.output
	// An interrupt at the terminal is for this process, which then stops the
	// cluster in order.
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	stdout, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	if err := l.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	ready := make(chan string, 1)
	go l.follow(stdout, ready)
	context.AfterFunc(ctx, l.Stop)
	select {
	case l.Kubeconfig = <-ready:
	case <-l.ended:
		return nil, fmt.Errorf("running %s: it ended before it was ready: %w\n%s", binary, l.err, l.output)
	case <-time.After(readyTimeout):
		l.Stop()
		return nil, fmt.Errorf("running %s: not ready after %s\n%s", binary, readyTimeout, l.output)
	}
	if l.config, err = clientcmd.BuildConfigFromFlags("", l.Kubeconfig); err != nil {
		l.Stop()
		return nil, fmt.Errorf("reading %s: %w", l.Kubeconfig, err)
	}
	return l, nil
}

// follow waits for the line that says that the API is ready, then for the end
// of the process.
func (l *Local) follow(stdout io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if file, ok := strings.CutPrefix(lines.Text(), "ready kubeconfig="); ok {
			ready <- file
		}
	}
	l.err = l.cmd.Wait()
	if l.err == nil {
		l.err = errors.New("exit status 0")
	}
	close(l.ended)
}

// Config returns the cluster's configuration, to be copied before it is
// changed.
func (l *Local) Config() *rest.Config { return rest.CopyConfig(l.config) }

// Stop ends the process and waits for it.
func (l *Local) Stop() {
	l.stop.Do(func() {
		_ = l.stdin.Close()
		_ = l.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-l.ended:
		case <-time.After(stopTimeout):
			_ = l.cmd.Process.Kill()
		}
	})
	<-l.ended
}

// Find returns the path of the program that Start would run. It builds it if
// need be, which takes minutes the first time.
func Find(ctx context.Context, o Options) (string, error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Binary != "" {
		return o.Binary, nil
	}
	if named := os.Getenv(EnvBinary); named != "" {
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("finding the local cluster that $%s names: %w", EnvBinary, err)
		}
		return named, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "localcluster")
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	if path, err := exec.LookPath("localcluster"); err == nil {
		return path, nil
	}
	return build(ctx, o.Progress)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if len(t.data) > tailBytes {
		t.data = bytes.Clone(t.data[len(t.data)-tailBytes:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}
