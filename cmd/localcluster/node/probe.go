package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/probe"
	httpprobe "k8s.io/kubernetes/pkg/probe/http"
)

// probeKind is which of a container's three probes gave a result.
type probeKind string

const (
	startupProbe   probeKind = "Startup"
	livenessProbe  probeKind = "Liveness"
	readinessProbe probeKind = "Readiness"
)

// surroundings are what an exec probe or hook runs in: the container's variables, directory and mounts.
type surroundings struct {
	env    []string
	dir    string
	mounts mounts
}

// run runs a command beside the container and returns its error with what it printed.
func (s surroundings) run(ctx context.Context, command []string) error {
	command = s.mounts.rewriteAll(command)
	path, err := lookPath(command[0], s.env, s.dir)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Args, cmd.Env, cmd.Dir = command, s.env, s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return fmt.Errorf("command %q timed out", command)
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, output[:min(len(output), 1<<10)])
	}
	return nil
}

// watchProbe runs one probe until ctx ends and calls report whenever its verdict, by the probe's thresholds, is reached
// or changes.
func watchProbe(ctx context.Context, kind probeKind, spec *corev1.Probe, check func(context.Context) error, report func(healthy bool, reason error)) {
	period := max(time.Second, time.Duration(spec.PeriodSeconds)*time.Second)
	timer := time.NewTimer(time.Duration(spec.InitialDelaySeconds) * time.Second)
	defer timer.Stop()
	successes, failures := int32(0), int32(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		attempt, cancel := context.WithTimeout(ctx, max(time.Second, time.Duration(spec.TimeoutSeconds)*time.Second))
		err := check(attempt)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			successes, failures = successes+1, 0
			if successes == max(1, spec.SuccessThreshold) {
				report(true, nil)
				if kind == startupProbe {
					return
				}
			}
		} else {
			successes, failures = 0, failures+1
			if failures == max(1, spec.FailureThreshold) {
				report(false, err)
			}
		}
		timer.Reset(period)
	}
}

// act carries out the action of a probe or hook against the container.
func act(ctx context.Context, action corev1.ProbeHandler, container *corev1.Container, in surroundings) error {
	switch {
	case action.Exec != nil:
		return in.run(ctx, action.Exec.Command)
	case action.HTTPGet != nil:
		return httpGet(ctx, action.HTTPGet, container)
	case action.TCPSocket != nil:
		port, err := probe.ResolveContainerPort(action.TCPSocket.Port, container)
		if err != nil {
			return err
		}
		host := action.TCPSocket.Host
		if host == "" {
			host = address
		}
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		return connection.Close()
	}
	return fmt.Errorf("localcluster has exec, httpGet and tcpSocket probes only")
}

func httpGet(ctx context.Context, action *corev1.HTTPGetAction, container *corev1.Container) error {
	request, err := httpprobe.NewRequestForHTTPGetAction(action, container, address, "probe")
	if err != nil {
		return err
	}
	timeout := time.Second
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	result, output, err := httpprobe.New(false).Probe(request, timeout)
	if err != nil {
		return err
	}
	if result != probe.Success && result != probe.Warning {
		return fmt.Errorf("%s", output)
	}
	return nil
}

// hook carries out a lifecycle hook, postStart or preStop.
func hook(ctx context.Context, handler *corev1.LifecycleHandler, container *corev1.Container, in surroundings) error {
	if handler.Sleep != nil {
		select {
		case <-time.After(time.Duration(handler.Sleep.Seconds) * time.Second):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return act(ctx, corev1.ProbeHandler{Exec: handler.Exec, HTTPGet: handler.HTTPGet, TCPSocket: handler.TCPSocket}, container, in)
}

// readTerminationMessage returns what the container wrote to its termination log, or, where it asks for that and failed
// without a word, the end of its log. Limits are the kubelet's.
func readTerminationMessage(container *corev1.Container, messageFile string, exitCode int32, logFile string) string {
	if file, err := os.Open(messageFile); err == nil {
		defer file.Close()
		if data, err := io.ReadAll(io.LimitReader(file, 4096)); err == nil && len(data) > 0 {
			return string(data)
		}
	}
	if container.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError || exitCode == 0 {
		return ""
	}
	var tail tailBuffer
	if err := readLog(logFile, nil, logQuery{tail: 80, limit: -1}, &tail, nil); err != nil {
		return ""
	}
	return string(tail)
}

// tailBuffer keeps the last 2048 bytes that are written to it.
type tailBuffer []byte

func (t *tailBuffer) Write(data []byte) (int, error) {
	*t = append(*t, data...)
	*t = (*t)[max(0, len(*t)-2048):]
	return len(data), nil
}

var _ io.Writer = (*tailBuffer)(nil)
