package cluster

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"rota.dev/rota/schema"
)

// startEvents begins to send events, until the returned function is called.
// The library counts repeated events instead of storing each, and limits what
// one CronJob may cause: a burst, then as many as a run each minute makes.
func (r *Runs) startEvents() (stop func()) {
	broadcaster := record.NewBroadcaster(record.WithCorrelatorOptions(record.CorrelatorOptions{BurstSize: 50, QPS: 0.1}))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: r.client.CoreV1().Events("")})
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: schema.FieldManager + "-scheduler"})
	r.mu.Lock()
	r.recorder = recorder
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		r.recorder = nil
		r.mu.Unlock()
		broadcaster.Shutdown()
	}
}

// Event records an event on cj, if Watch is running. It is sent in the
// background and may be lost.
func (r *Runs) Event(cj *batchv1.CronJob, warning bool, reason, message string) {
	r.mu.Lock()
	recorder := r.recorder
	r.mu.Unlock()
	if recorder == nil {
		return
	}
	kind := corev1.EventTypeNormal
	if warning {
		kind = corev1.EventTypeWarning
	}
	recorder.Event(cj, kind, reason, message)
}
