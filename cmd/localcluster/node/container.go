package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// container is one container of a Pod and its present and last run. Only its Pod's goroutine touches it.
type container struct {
	spec *corev1.Container
	init bool

	id       string
	state    corev1.ContainerState
	last     corev1.ContainerState
	restarts int32
	started  bool
	ready    bool
	backOff  backOff

	process    *process
	around     surroundings
	stopProbes context.CancelFunc
	stopping   bool
	killAt     time.Time
}

func newContainer(spec *corev1.Container, init, waitsForInit bool) *container {
	c := &container{spec: spec, init: init}
	reason := reasonContainerCreating
	if waitsForInit {
		reason = reasonPodInitializing
	}
	c.wait(reason, "")
	return c
}

func (c *container) sidecar() bool { return c.init && isSidecar(c.spec) }
func (c *container) running() bool { return c.process != nil }

// wait puts the container into the state Waiting; a run that ended becomes the last one.
func (c *container) wait(reason, message string) {
	if c.state.Terminated != nil {
		c.last = corev1.ContainerState{Terminated: c.state.Terminated}
	}
	c.state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	c.started, c.ready = false, false
}

// terminate puts the container into the state Terminated.
func (c *container) terminated(state corev1.ContainerStateTerminated) {
	c.state = corev1.ContainerState{Terminated: &state}
	c.started = false
	// An init container is ready when it has done its work.
	c.ready = c.init && !c.sidecar() && state.ExitCode == 0
	c.process, c.stopping, c.killAt = nil, false, time.Time{}
	if c.stopProbes != nil {
		c.stopProbes()
		c.stopProbes = nil
	}
}

// ended returns the last known end of the container, or nil if it never ended.
func (c *container) ended() *corev1.ContainerStateTerminated {
	if c.state.Terminated != nil {
		return c.state.Terminated
	}
	if c.state.Waiting != nil {
		return c.last.Terminated
	}
	return nil
}

// restore takes over the container's history from a status that an earlier process wrote. What ran then is gone.
func (c *container) restore(status corev1.ContainerStatus, now time.Time) {
	c.id, c.restarts, c.last = trimID(status.ContainerID), status.RestartCount, status.LastTerminationState
	switch {
	case status.State.Terminated != nil:
		c.terminated(*status.State.Terminated)
	case status.State.Running != nil:
		c.terminated(corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: reasonStatusUnknown, Message: "the process ended with the localcluster that ran it",
			StartedAt: status.State.Running.StartedAt, FinishedAt: metav1.NewTime(now), ContainerID: status.ContainerID,
		})
	}
}

// status returns the container's status as the API has it.
func (c *container) status() corev1.ContainerStatus {
	started := c.started
	status := corev1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, RestartCount: c.restarts, Ready: c.ready, Started: &started,
		State: c.state, LastTerminationState: c.last,
	}
	if c.id != "" {
		status.ContainerID = containerID(c.id)
	}
	return status
}

const idScheme = "process://"

func containerID(id string) string { return idScheme + id }

func trimID(id string) string {
	if len(id) < len(idScheme) {
		return ""
	}
	return id[len(idScheme):]
}

// kill ends the container: preStop hook, SIGTERM to the whole group, and SIGKILL once the grace period is over. A later
// call can only shorten the grace period.
func (c *container) kill(ctx context.Context, grace time.Duration, now time.Time) {
	deadline := now.Add(grace)
	if c.stopping {
		if deadline.Before(c.killAt) {
			c.killAt = deadline
		}
		return
	}
	c.stopping, c.killAt, c.ready = true, deadline, false
	if c.stopProbes != nil {
		c.stopProbes()
	}
	process, around, lifecycle := c.process, c.around, c.spec.Lifecycle
	if lifecycle == nil || lifecycle.PreStop == nil {
		process.signal(syscall.SIGTERM)
		return
	}
	go func() {
		hooked, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		// The hook's failure changes nothing: the container ends either way.
		_ = hook(hooked, lifecycle.PreStop, c.spec, around)
		process.signal(syscall.SIGTERM)
	}()
}

// errNoCommand explains what an image would have told a container runtime.
var errNoCommand = errors.New("no command specified: localcluster runs containers as local processes and cannot read their image; " +
	"state the command, or args that begin with a program")

// configError is an error that a change of a ConfigMap, a Secret or the Pod can mend; the container waits for it.
type configError struct{ error }

func (e configError) Unwrap() error { return e.error }

// startContainer starts the next run of a container. An error of type configError means that it may be tried again; any
// other that this run failed.
func (w *podWorker) startContainer(ctx context.Context, c *container) error {
	services := w.node.servicesFor(w.pod)
	declared, err := declaredEnv(ctx, w.volumes.source, w.pod, c.spec, services, w.volumes.allocatable)
	if err != nil {
		return configError{err}
	}
	home := filepath.Join(w.dir, "containers", c.spec.Name)
	work := filepath.Join(home, "work")
	if err := os.MkdirAll(work, 0o777); err != nil {
		return fmt.Errorf("making working directory: %w", err)
	}
	found, err := w.volumes.mounts(w.pod, c.spec, declared, services)
	if err != nil {
		return configError{err}
	}
	all := newMounts(append(found, mount{path: c.spec.TerminationMessagePath, real: filepath.Join(home, "termination-log")}))
	command := all.rewriteAll(expandAll(append(append([]string{}, c.spec.Command...), c.spec.Args...), declared, services))
	if len(command) == 0 {
		return errNoCommand
	}
	if c.spec.WorkingDir != "" {
		work = all.rewrite(c.spec.WorkingDir)
		if _, err := os.Stat(work); err != nil {
			return fmt.Errorf("workingDir %s: it must exist on this machine, for containers are local processes: %w", c.spec.WorkingDir, err)
		}
	}
	hostname := map[string]string{"HOSTNAME": w.pod.Name}
	if w.pod.Spec.Hostname != "" {
		hostname["HOSTNAME"] = w.pod.Spec.Hostname
	}
	// PWD is what a program that asks for its directory by name expects; the inherited one would be another.
	c.around = surroundings{dir: work, mounts: all,
		env: environ(inheritedEnv(), hostname, map[string]string{"PWD": work}, services, all.rewriteValues(declared))}
	return w.launch(ctx, c, command, home)
}

// launch starts the command as the container's next run, with its log and its probes.
func (w *podWorker) launch(ctx context.Context, c *container, command []string, home string) error {
	os.Remove(filepath.Join(home, "termination-log"))
	output, err := createLog(filepath.Join(home, logName(c.restarts)))
	if err != nil {
		return err
	}
	os.Remove(filepath.Join(home, logName(c.restarts-2)))
	id := string(uuid.NewUUID())
	c.around.env = append(c.around.env, w.node.guard.marks(id)...)
	process, err := w.node.start(processSpec{id: id, command: command, env: c.around.env, dir: c.around.dir, output: output})
	if err != nil {
		output.close()
		return err
	}
	w.setLog(c.spec.Name, output)
	c.id, c.process = id, process
	c.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(process.started)}}
	w.startProbes(ctx, c)
	go func() {
		<-process.done
		w.post(containerEvent{id: id, exited: process})
	}()
	if hooks := c.spec.Lifecycle; hooks != nil && hooks.PostStart != nil {
		around := c.around
		go func() {
			if err := hook(ctx, hooks.PostStart, c.spec, around); err != nil {
				w.post(containerEvent{id: id, unhealthy: fmt.Errorf("postStart hook failed: %w", err)})
			}
		}()
	}
	return nil
}

// startProbes begins with the startup probe, and with the others when there is none.
func (w *podWorker) startProbes(ctx context.Context, c *container) {
	probing, cancel := context.WithCancel(ctx)
	c.stopProbes = cancel
	if c.spec.StartupProbe != nil {
		w.watch(probing, c, startupProbe, c.spec.StartupProbe)
		return
	}
	w.startedUp(probing, c)
}

// startedUp marks the container started and begins its liveness and readiness probes.
func (w *podWorker) startedUp(probing context.Context, c *container) {
	c.started = true
	// A sidecar is ready by its probe; an init container when it has ended.
	c.ready = c.spec.ReadinessProbe == nil && (!c.init || c.sidecar())
	if c.spec.LivenessProbe != nil {
		w.watch(probing, c, livenessProbe, c.spec.LivenessProbe)
	}
	if c.spec.ReadinessProbe != nil {
		w.watch(probing, c, readinessProbe, c.spec.ReadinessProbe)
	}
}

func (w *podWorker) watch(probing context.Context, c *container, kind probeKind, spec *corev1.Probe) {
	id, around, container := c.id, c.around, c.spec
	check := func(ctx context.Context) error { return act(ctx, spec.ProbeHandler, container, around) }
	go watchProbe(probing, kind, spec, check, func(healthy bool, reason error) {
		event := containerEvent{id: id, probe: kind, healthy: healthy, probing: probing}
		if !healthy {
			event.unhealthy = fmt.Errorf("%s probe failed: %w", kind, reason)
		}
		w.post(event)
	})
}
