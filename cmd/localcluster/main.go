// Command localcluster runs a real Kubernetes API on loopback in one process, and a node that runs Pods as local
// processes. It is for demonstrations, tests and dry runs; it isolates nothing. README.md says what it can and cannot do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"k8s.io/klog/v2"

	"rota.dev/rota/cmd/localcluster/controlplane"
	"rota.dev/rota/cmd/localcluster/node"
)

const usage = `usage: localcluster [--dir DIR] [--port N] [--node process|none] [--controllers LIST]
                    [--kube-api-qps N --kube-api-burst N] [-v]

Runs etcd, kube-apiserver, the controllers of kube-controller-manager and a node that runs Pods as local processes,
all on loopback. Prints "ready kubeconfig=FILE" and runs until SIGTERM, SIGINT or the end of standard input.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	// Reading the terminal would stop a background job for good; ignored, the read fails instead.
	signal.Ignore(syscall.SIGTTIN)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "localcluster:", err)
		os.Exit(1)
	}
}

// settings are the command line.
type settings struct {
	dir         string
	port        int
	node        string
	controllers []string
	qps         float64
	burst       int
	verbose     bool
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	var selection string
	flags := flag.NewFlagSet("localcluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&s.dir, "dir", "", "keep the cluster in `DIR`; without it a temporary directory that is removed at the end")
	flags.IntVar(&s.port, "port", 0, "listen on 127.0.0.1:`N`; 0 takes a free port")
	flags.StringVar(&s.node, "node", "process", "what runs Pods: process or none")
	flags.StringVar(&selection, "controllers", "*", "controllers to run, as kube-controller-manager's `LIST`: * all, NAME, -NAME")
	flags.Float64Var(&s.qps, "kube-api-qps", 0, "let each controller ask `N` times a second; 0 is without limit, kube-controller-manager's own default is 20")
	flags.IntVar(&s.burst, "kube-api-burst", 30, "let each controller ask `N` times at once where --kube-api-qps limits it")
	flags.BoolVar(&s.verbose, "v", false, "write Kubernetes' log to standard error instead of DIR/log")
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	if flags.NArg() > 0 {
		return settings{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if s.node != "process" && s.node != "none" {
		return settings{}, fmt.Errorf("--node %q: must be process or none", s.node)
	}
	for item := range strings.SplitSeq(selection, ",") {
		if item = strings.TrimSpace(item); item != "" {
			s.controllers = append(s.controllers, item)
		}
	}
	return s, nil
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	options := controlplane.Options{Port: s.port, Controllers: s.controllers, QPS: float32(s.qps), Burst: s.burst}
	if err := options.Validate(); err != nil {
		return err
	}
	ctx, ended := context.WithCancelCause(ctx)
	go func() {
		// A background job may not read its terminal; that is no end of it.
		if _, err := io.Copy(io.Discard, stdin); err == nil {
			ended(errors.New("standard input ended"))
		}
	}()
	dir, release, err := openDir(s.dir)
	if err != nil {
		return err
	}
	defer release()
	logFile, err := openLog(dir, s.verbose, stderr)
	if err != nil {
		return err
	}
	defer klog.Flush()
	options.Dir, options.Log = dir, logFile
	plane, err := controlplane.Start(ctx, options)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		if !s.verbose {
			showLogEnd(dir, stderr)
		}
		return err
	}
	stopNode := func() {}
	if s.node == "process" {
		if stopNode, err = startNode(ctx, plane, dir, stderr); err != nil {
			return errors.Join(err, plane.Stop())
		}
	}
	fmt.Fprintf(stdout, "ready kubeconfig=%s\n", plane.Kubeconfig)
	select {
	case <-ctx.Done():
	case err = <-plane.Failed():
	}
	stopNode()
	return errors.Join(err, plane.Stop())
}

// startNode starts the node that runs Pods as processes and returns what stops it.
func startNode(ctx context.Context, plane *controlplane.ControlPlane, dir string, stderr io.Writer) (func(), error) {
	n, err := node.Start(ctx, node.Options{
		Config: plane.Config, Dir: filepath.Join(dir, "pods"), Version: plane.Version(),
		Certificate: plane.NodeCertificate, Key: plane.NodeKey, ClientCA: plane.ClientCA,
		Log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, fmt.Errorf("starting node: %w", err)
	}
	fmt.Fprintln(stderr, "localcluster: containers run as local processes of this user: nothing is isolated, images are not used")
	return n.Stop, nil
}

// openDir makes and locks the cluster's directory. The function that it returns unlocks it, and removes it if it is
// temporary.
func openDir(name string) (string, func(), error) {
	temporary := name == ""
	if temporary {
		made, err := os.MkdirTemp("", "localcluster-")
		if err != nil {
			return "", nil, fmt.Errorf("making temporary directory: %w", err)
		}
		name = made
	}
	dir, err := filepath.Abs(name)
	if err != nil {
		return "", nil, fmt.Errorf("finding --dir: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("making --dir: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("locking --dir: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return "", nil, fmt.Errorf("locking --dir: another localcluster uses %s; end it or choose another directory", dir)
	}
	return dir, func() {
		lock.Close()
		if temporary {
			os.RemoveAll(dir)
		}
	}, nil
}

// showLogEnd writes the last lines of the log, which may go with its directory.
func showLogEnd(dir string, stderr io.Writer) {
	const most = 4 << 10
	klog.Flush()
	content, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		return
	}
	fmt.Fprintf(stderr, "the end of the log:\n%s\n", content[max(0, len(content)-most):])
}

// openLog sends Kubernetes' log to a file in dir, or to stderr.
func openLog(dir string, verbose bool, stderr io.Writer) (io.Writer, error) {
	out := stderr
	if !verbose {
		file, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, fmt.Errorf("opening log: %w", err)
		}
		out = file
	}
	// klog copies errors to standard error, and each line to the outputs of all lower severities, unless told otherwise.
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL", "one_output": "true"} {
		if err := flags.Set(name, value); err != nil {
			return nil, fmt.Errorf("setting up log: %w", err)
		}
	}
	klog.SetOutput(out)
	return out, nil
}
