// Package local starts the local cluster (cmd/localcluster): a real Kubernetes
// API on loopback, for the demo and for tests. It finds the executable or
// builds it from source. It runs programs, so the controller never imports it.
package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// EnvBinary names an executable that is used instead of a found or built one.
const EnvBinary = "ROTA_LOCALCLUSTER"

// readyWithin is how long an API server may take on a busy machine.
const readyWithin = 2 * time.Minute

// Options say which local cluster to start; the zero value is one of its own
// in a temporary folder.
type Options struct {
	// Binary is the executable; it is looked for, or built, if empty.
	Binary string
	// Dir keeps the cluster's state from one start to the next; a temporary
	// folder if empty.
	Dir string
	// Args are further flags, such as --controllers.
	Args []string
	// Progress is told of what takes time; nil for nobody.
	Progress io.Writer
}

// Local is a running local cluster. It ends with Stop, and with this process,
// however that ends: its standard input is ours.
type Local struct {
	// Kubeconfig is the path of a file with its address, certificate and token.
	Kubeconfig string

	config *rest.Config
	cmd    *exec.Cmd
	stdin  io.Closer
	ended  chan struct{}
	stop   sync.Once
}

// Start starts a local cluster and returns once its API is ready. It ends when
// Stop is called or ctx ends.
func Start(ctx context.Context, o Options) (*Local, error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	binary, err := find(ctx, o)
	if err != nil {
		return nil, err
	}
	args := o.Args
	if o.Dir != "" {
		args = append([]string{"--dir", o.Dir}, args...)
	}
	// Not CommandContext: it would kill, and leave the processes of Pods.
	cmd := exec.Command(binary, args...)
	var stderr tail
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the local cluster: %w", err)
	}
	l := &Local{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	ready := make(chan string, 1)
	go func() {
		defer close(l.ended)
		defer close(ready)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if file, ok := strings.CutPrefix(lines.Text(), "ready kubeconfig="); ok {
				ready <- file
			}
		}
		_ = cmd.Wait()
	}()
	if err := l.await(ctx, ready, &stderr); err != nil {
		l.Stop()
		return nil, err
	}
	context.AfterFunc(ctx, l.Stop)
	return l, nil
}

func (l *Local) await(ctx context.Context, ready <-chan string, stderr *tail) error {
	late := time.NewTimer(readyWithin)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return fmt.Errorf("the local cluster is not ready after %s: %s", readyWithin, stderr)
	case file, ok := <-ready:
		if !ok {
			return fmt.Errorf("the local cluster ended before it was ready: %s", stderr)
		}
		config, err := clientcmd.BuildConfigFromFlags("", file)
		if err != nil {
			return fmt.Errorf("reading the local cluster's kubeconfig: %w", err)
		}
		l.Kubeconfig, l.config = file, config
		return nil
	}
}

// Config returns a copy of the connection to the cluster, as its
// administrator.
func (l *Local) Config() *rest.Config { return rest.CopyConfig(l.config) }

// Stop ends the cluster and everything that runs on it, and waits until it is
// gone. It may be called more than once.
func (l *Local) Stop() {
	l.stop.Do(func() {
		_ = l.stdin.Close()
		select {
		case <-l.ended:
		case <-time.After(30 * time.Second):
			_ = l.cmd.Process.Kill()
			<-l.ended
		}
	})
	<-l.ended
}

// tail keeps the end of what was written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write takes everything.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if most := 4 << 10; len(t.text) > most {
		t.text = t.text[len(t.text)-most:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}

var errNoSource = errors.New("its source is not here")
