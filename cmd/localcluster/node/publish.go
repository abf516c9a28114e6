package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes"
)

// publish tells the API server the Pod's status, and that a deleted Pod has ended. It returns when to try again after a
// failure.
func (w *podWorker) publish(ctx context.Context) time.Time {
	if w.removed || w.deleted {
		return time.Time{}
	}
	basis := *w.pod
	basis.Status = *w.published.DeepCopy()
	basis.Status.StartTime = &w.startTime
	updated, err := patchStatus(ctx, w.node.client, &basis, w.published, podStatus(&basis, w.facts(), metav1.Now()))
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err), err != nil && ctx.Err() != nil:
		// Gone, or replaced by another Pod of its name: the watch will tell.
		return time.Time{}
	case err != nil:
		w.node.log.Warn("publishing pod status", "pod", w.pod.Name, "namespace", w.pod.Namespace, "error", err)
		return time.Now().Add(requestRetry)
	}
	w.published = updated
	if w.finished && w.pod.DeletionTimestamp != nil {
		return w.confirmDeletion(ctx)
	}
	return time.Time{}
}

// patchStatus changes the Pod's status on the API server from old to status, by a patch as the kubelet's, so that
// conditions of others stay. It returns the status that the server has then.
func patchStatus(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, old, status corev1.PodStatus) (corev1.PodStatus, error) {
	before, err := json.Marshal(corev1.Pod{Status: old})
	if err != nil {
		return old, fmt.Errorf("encoding pod status: %w", err)
	}
	after, err := json.Marshal(corev1.Pod{Status: status})
	if err != nil {
		return old, fmt.Errorf("encoding pod status: %w", err)
	}
	if bytes.Equal(before, after) {
		return old, nil
	}
	// A patch that names another uid than the object's is refused.
	after, err = json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: pod.UID}, Status: status})
	if err != nil {
		return old, fmt.Errorf("encoding pod status: %w", err)
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Pod{})
	if err != nil {
		return old, fmt.Errorf("making pod status patch: %w", err)
	}
	updated, err := client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return old, err
	}
	return updated.Status, nil
}

// confirmDeletion tells the API server that nothing of the Pod runs, so that it removes the object.
func (w *podWorker) confirmDeletion(ctx context.Context) time.Time {
	now := int64(0)
	options := metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: metav1.NewUIDPreconditions(string(w.uid))}
	err := w.node.client.CoreV1().Pods(w.pod.Namespace).Delete(ctx, w.pod.Name, options)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
		w.node.log.Warn("confirming pod deletion", "pod", w.pod.Name, "namespace", w.pod.Namespace, "error", err)
		return time.Now().Add(requestRetry)
	}
	w.deleted = true
	return time.Time{}
}

func (w *podWorker) facts() podFacts {
	facts := podFacts{
		containers: map[string]corev1.ContainerStatus{}, prepared: w.prepared, finished: w.finished, ending: w.ending,
		initialized: w.initialized,
	}
	for _, c := range w.containers {
		facts.containers[c.spec.Name] = c.status()
	}
	return facts
}
