package node

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// The kubelet's crash back-off: the first restart is at once, the second ten seconds after the exit, and so on doubled
// up to five minutes; a run of ten minutes forgets it.
const (
	firstBackOff    = 10 * time.Second
	maxBackOff      = 5 * time.Minute
	backOffForgiven = 10 * time.Minute
)

// backOff is how long a container waits before its next restart.
type backOff struct {
	delay time.Duration
	until time.Time
}

// exited returns the back-off after a run from started to finished.
func (b backOff) exited(started, finished time.Time) backOff {
	if finished.Sub(started) >= backOffForgiven {
		b.delay = 0
	}
	b.until = finished.Add(b.delay)
	return b
}

// restarted returns the back-off after a restart.
func (b backOff) restarted() backOff {
	b.delay = min(max(2*b.delay, firstBackOff), maxBackOff)
	return b
}

// shouldRestart reports whether a container that ended with exitCode is to run again.
func shouldRestart(spec *corev1.PodSpec, container *corev1.Container, exitCode int32) bool {
	return podutil.ContainerShouldRestart(*container, *spec, exitCode)
}
