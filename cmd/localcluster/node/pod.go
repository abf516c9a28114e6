package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// minGrace is the least time between SIGTERM and SIGKILL, as with the kubelet, even for a forced deletion.
	minGrace = time.Second
	// configRetry is when a container that waits for configuration is tried again if nothing tells that it is there.
	configRetry = 10 * time.Second
	// requestRetry is when a failed request is tried again.
	requestRetry = time.Second
)

// containerEvent is news of a container's run: its process ended, or a probe or hook has a verdict.
type containerEvent struct {
	id        string
	exited    *process
	probe     probeKind
	probing   context.Context
	healthy   bool
	unhealthy error
}

// podWorker brings one Pod from being bound to being gone. Everything below inbox belongs to the goroutine of run.
type podWorker struct {
	node      *Node
	uid       types.UID
	namespace string
	dir       string
	volumes   *volumes
	wake      chan struct{}
	// waitsForConfig says that a change of a ConfigMap or Secret may let the Pod go on.
	waitsForConfig atomic.Bool

	mu    sync.Mutex
	inbox inbox
	logs  map[string]logFiles

	pod        *corev1.Pod
	containers []*container
	// published is the status that the API server is known to have.
	published   corev1.PodStatus
	startTime   metav1.Time
	prepared    bool
	initialized bool
	stopping    bool
	ending      *ending
	finished    bool
	removed     bool
	deleted     bool
	retryAt     time.Time
}

// inbox is what others tell a worker.
type inbox struct {
	pod     *corev1.Pod
	removed bool
	config  bool
	events  []containerEvent
}

// logFiles are the logs of a container's present (or last) run and of the one before.
type logFiles struct {
	live     *containerLog
	path     string
	previous string
}

func newPodWorker(n *Node, pod *corev1.Pod) *podWorker {
	dir := n.podDir(pod.UID)
	w := &podWorker{
		node: n, uid: pod.UID, namespace: pod.Namespace, dir: dir, pod: pod, published: pod.Status,
		volumes: &volumes{dir: filepath.Join(dir, "volumes"), source: liveConfig{n.client}, client: n.client, allocatable: capacity()},
		wake:    make(chan struct{}, 1),
		logs:    map[string]logFiles{},
	}
	for i := range pod.Spec.InitContainers {
		w.containers = append(w.containers, newContainer(&pod.Spec.InitContainers[i], true, i > 0))
	}
	for i := range pod.Spec.Containers {
		w.containers = append(w.containers, newContainer(&pod.Spec.Containers[i], false, len(pod.Spec.InitContainers) > 0))
	}
	w.restore(time.Now())
	return w
}

// restore takes over what an earlier process knew of the Pod.
func (w *podWorker) restore(now time.Time) {
	w.startTime = metav1.NewTime(now)
	if known := w.pod.Status.StartTime; known != nil {
		w.startTime = *known
	}
	all := append(append([]corev1.ContainerStatus{}, w.pod.Status.InitContainerStatuses...), w.pod.Status.ContainerStatuses...)
	for _, status := range all {
		for _, c := range w.containers {
			if c.spec.Name == status.Name {
				c.restore(status, now)
				home := filepath.Join(w.dir, "containers", c.spec.Name)
				w.logs[c.spec.Name] = logFiles{path: filepath.Join(home, logName(c.restarts)), previous: filepath.Join(home, logName(c.restarts-1))}
			}
		}
	}
	if phase := w.pod.Status.Phase; phase == corev1.PodSucceeded || phase == corev1.PodFailed {
		w.stopping, w.finished = true, true
	}
}

// post tells the worker of an event.
func (w *podWorker) post(event containerEvent) {
	w.tell(func(box *inbox) { box.events = append(box.events, event) })
}

func (w *podWorker) tell(change func(*inbox)) {
	w.mu.Lock()
	change(&w.inbox)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run works until the Pod is gone from the API server or ctx ends. On the end of ctx it leaves processes to the node.
func (w *podWorker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		w.takeNews(ctx)
		next := w.advance(ctx, time.Now())
		if ctx.Err() != nil {
			return
		}
		if w.removed && w.finished {
			os.RemoveAll(w.dir)
			return
		}
		next = earliest(next, w.publish(ctx))
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// earliest returns the first of the times that are not zero.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// takeNews empties the inbox.
func (w *podWorker) takeNews(ctx context.Context) {
	w.mu.Lock()
	news := w.inbox
	w.inbox = inbox{}
	w.mu.Unlock()
	if news.pod != nil {
		w.adopt(news.pod)
	}
	w.removed = w.removed || news.removed
	if news.config {
		w.retryAt = time.Time{}
	}
	for _, event := range news.events {
		w.handle(ctx, event)
	}
}

// adopt takes a newer version of the Pod. Of its status only conditions that are not the node's are news: the rest is
// the worker's own, perhaps older than what it published since.
func (w *podWorker) adopt(pod *corev1.Pod) {
	for _, condition := range pod.Status.Conditions {
		switch condition.Type {
		case corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled, corev1.PodReadyToStartContainers:
		default:
			setCondition(&w.published, condition, condition.ObservedGeneration, condition.LastTransitionTime)
		}
	}
	w.pod = pod
}

func (w *podWorker) handle(ctx context.Context, event containerEvent) {
	for _, c := range w.containers {
		if c.id != event.id || !c.running() {
			continue
		}
		switch {
		case event.exited != nil:
			w.exited(c, event.exited)
		case event.probe == startupProbe && event.healthy && !c.stopping:
			w.startedUp(event.probing, c)
		case event.probe == readinessProbe:
			c.ready = event.healthy && !c.stopping
		case event.unhealthy != nil:
			w.node.event(w.pod, corev1.EventTypeWarning, "Unhealthy", fmt.Sprintf("Container %s: %v", c.spec.Name, event.unhealthy))
			w.node.event(w.pod, corev1.EventTypeNormal, "Killing", fmt.Sprintf("Stopping container %s, which is not healthy", c.spec.Name))
			c.kill(ctx, w.grace(), time.Now())
		}
	}
}

func (w *podWorker) exited(c *container, p *process) {
	reason := reasonCompleted
	if p.exitCode != 0 {
		reason = reasonError
	}
	home := filepath.Join(w.dir, "containers", c.spec.Name)
	c.terminated(corev1.ContainerStateTerminated{
		ExitCode: p.exitCode, Reason: reason, ContainerID: containerID(c.id),
		StartedAt: metav1.NewTime(p.started), FinishedAt: metav1.NewTime(p.finished),
		Message: readTerminationMessage(c.spec, filepath.Join(home, "termination-log"), p.exitCode, filepath.Join(home, logName(c.restarts))),
	})
	c.backOff = c.backOff.exited(p.started, p.finished)
}

// grace returns the Pod's grace period, or the one that its deletion asks for; a Pod that is already gone from the API
// server has none.
func (w *podWorker) grace() time.Duration {
	if w.removed {
		return minGrace
	}
	seconds := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if w.pod.Spec.TerminationGracePeriodSeconds != nil {
		seconds = *w.pod.Spec.TerminationGracePeriodSeconds
	}
	if w.pod.DeletionGracePeriodSeconds != nil {
		seconds = *w.pod.DeletionGracePeriodSeconds
	}
	return max(minGrace, time.Duration(seconds)*time.Second)
}

// advance does what is to be done now, and returns when there is more to do without news; zero means never.
func (w *podWorker) advance(ctx context.Context, now time.Time) time.Time {
	deadline := w.deadline()
	switch {
	case w.removed, w.pod.DeletionTimestamp != nil:
		w.stopping = true
	case !deadline.IsZero() && !now.Before(deadline) && !w.stopping:
		w.stopping = true
		w.ending = &ending{reasonDeadlineExceeded, "Pod was active on the node longer than the specified deadline"}
		w.node.event(w.pod, corev1.EventTypeNormal, reasonDeadlineExceeded, w.ending.message)
	}
	if w.finished {
		return time.Time{}
	}
	if w.stopping {
		return earliest(w.advanceStop(ctx, now), w.killOverdue(now))
	}
	next := w.advanceRun(ctx, now)
	if w.stopping {
		next = w.advanceStop(ctx, now)
	}
	return earliest(earliest(next, deadline), w.killOverdue(now))
}

// deadline returns when activeDeadlineSeconds is over, or zero.
func (w *podWorker) deadline() time.Time {
	if w.pod.Spec.ActiveDeadlineSeconds == nil {
		return time.Time{}
	}
	return w.startTime.Add(time.Duration(*w.pod.Spec.ActiveDeadlineSeconds) * time.Second)
}

// killOverdue kills what did not end within its grace period.
func (w *podWorker) killOverdue(now time.Time) time.Time {
	var next time.Time
	for _, c := range w.containers {
		if !c.running() || !c.stopping || c.killAt.IsZero() {
			continue
		}
		if now.Before(c.killAt) {
			next = earliest(next, c.killAt)
			continue
		}
		c.process.signal(syscall.SIGKILL)
		c.killAt = time.Time{}
	}
	return next
}

// advanceStop ends containers, sidecars after the others and in the reverse order of their start, and finishes the Pod
// when none runs.
func (w *podWorker) advanceStop(ctx context.Context, now time.Time) time.Time {
	running := false
	for _, c := range w.containers {
		if c.running() && !c.sidecar() {
			running = true
			c.kill(ctx, w.grace(), now)
		}
	}
	for i := len(w.containers) - 1; i >= 0 && !running; i-- {
		if c := w.containers[i]; c.running() {
			running = true
			c.kill(ctx, w.grace(), now)
		}
	}
	if running {
		return time.Time{}
	}
	for _, c := range w.containers {
		if last := c.ended(); c.state.Waiting != nil && last != nil {
			c.terminated(*last)
			c.last = corev1.ContainerState{}
		}
	}
	w.finished = true
	return time.Time{}
}

// advanceRun starts what may start now, in the order of Kubernetes: init containers one after the other, sidecars among
// them when they have started, then all others.
func (w *podWorker) advanceRun(ctx context.Context, now time.Time) time.Time {
	if now.Before(w.retryAt) {
		return w.retryAt
	}
	w.waitsForConfig.Store(false)
	if !w.prepared {
		if err := w.volumes.prepare(ctx, w.pod); err != nil {
			w.node.event(w.pod, corev1.EventTypeWarning, "FailedMount", err.Error())
			return w.waitForConfig(now)
		}
		w.prepared = true
	}
	var next time.Time
	for _, c := range w.containers {
		if c.init {
			at, done := w.advanceInit(ctx, c, now)
			next = earliest(next, at)
			if !done {
				return next
			}
			continue
		}
		next = earliest(next, w.advanceContainer(ctx, c, now))
	}
	w.initialized = true
	w.stopping = w.complete()
	return next
}

// waitForConfig lets the Pod rest until configuration changes, or for configRetry.
func (w *podWorker) waitForConfig(now time.Time) time.Time {
	w.waitsForConfig.Store(true)
	w.retryAt = now.Add(configRetry)
	return w.retryAt
}

// configChanged wakes a worker that waits for configuration in the namespace.
func (w *podWorker) configChanged(namespace string) {
	if namespace == w.namespace && w.waitsForConfig.Load() {
		w.tell(func(box *inbox) { box.config = true })
	}
}

// advanceInit reports whether the containers after c may start.
func (w *podWorker) advanceInit(ctx context.Context, c *container, now time.Time) (time.Time, bool) {
	if c.sidecar() {
		next := w.advanceContainer(ctx, c, now)
		return next, w.initialized || c.started
	}
	if w.initialized {
		return time.Time{}, true
	}
	next := w.advanceContainer(ctx, c, now)
	end := c.state.Terminated
	if end == nil {
		return next, false
	}
	if end.ExitCode != 0 {
		// It failed for good: a container that is to run again is never left terminated.
		w.stopping = true
		return next, false
	}
	return next, true
}

// complete reports whether every ordinary container has ended for good.
func (w *podWorker) complete() bool {
	for _, c := range w.containers {
		if !c.init && c.state.Terminated == nil {
			return false
		}
	}
	return true
}

// advanceContainer starts the container if it is its turn: it never ran, or its restart policy and back-off say so.
func (w *podWorker) advanceContainer(ctx context.Context, c *container, now time.Time) time.Time {
	if c.running() {
		return time.Time{}
	}
	end := c.ended()
	if end != nil {
		if c.state.Terminated != nil && (c.init && !c.sidecar() && end.ExitCode == 0 || !shouldRestart(&w.pod.Spec, c.spec, end.ExitCode)) {
			return time.Time{}
		}
		if now.Before(c.backOff.until) {
			w.backOff(c)
			return c.backOff.until
		}
	}
	return w.startNext(ctx, c, now)
}

func (w *podWorker) backOff(c *container) {
	if waiting := c.state.Waiting; waiting != nil && waiting.Reason == reasonCrashLoopBackOff {
		return
	}
	message := fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", c.backOff.delay, c.spec.Name, w.pod.Name, w.pod.Namespace, w.uid)
	c.wait(reasonCrashLoopBackOff, message)
	w.node.event(w.pod, corev1.EventTypeWarning, "BackOff", message)
}

// startNext starts the container's first or next run.
func (w *podWorker) startNext(ctx context.Context, c *container, now time.Time) time.Time {
	again := c.ended() != nil
	if again && c.id != "" {
		// What the last run left behind may hold the port that the next one wants.
		select {
		case <-w.node.guard.sweep(c.id, 0):
		case <-ctx.Done():
			return time.Time{}
		}
	}
	if again {
		c.restarts++
		c.backOff = c.backOff.restarted()
		c.last = corev1.ContainerState{Terminated: c.ended()}
	}
	err := w.startContainer(ctx, c)
	if err == nil || ctx.Err() != nil {
		return time.Time{}
	}
	w.node.event(w.pod, corev1.EventTypeWarning, "Failed", fmt.Sprintf("Error: %v", err))
	var config configError
	if errors.As(err, &config) {
		if again {
			c.restarts--
		}
		c.wait(reasonConfigError, err.Error())
		return w.waitForConfig(now)
	}
	at := metav1.NewTime(now)
	c.id = ""
	c.terminated(corev1.ContainerStateTerminated{ExitCode: exitStartError, Reason: reasonStartError, Message: err.Error(), StartedAt: at, FinishedAt: at})
	c.backOff = c.backOff.exited(now, now)
	if shouldRestart(&w.pod.Spec, c.spec, exitStartError) {
		return w.advanceContainer(ctx, c, now)
	}
	return time.Time{}
}

func (w *podWorker) setLog(container string, live *containerLog) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs[container] = logFiles{live: live, path: live.path, previous: w.logs[container].path}
}

// log returns the log of a container's present or last run, or of the one before.
func (w *podWorker) log(container string, previous bool) (string, *containerLog, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	files, ok := w.logs[container]
	if previous {
		return files.previous, nil, ok && files.previous != ""
	}
	return files.path, files.live, ok
}
