package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// BenchmarkPod measures the time from a Pod's creation to the news of its success.
func BenchmarkPod(b *testing.B) {
	r, err := launch()
	if err != nil {
		b.Fatalf("starting a cluster: %v", err)
	}
	defer r.end()
	pods := r.client.CoreV1().Pods("default")
	for b.Loop() {
		made, err := pods.Create(b.Context(), podOf(corev1.RestartPolicyNever, corev1.Container{Command: []string{"true"}}), metav1.CreateOptions{})
		if err != nil {
			b.Fatalf("creating pod: %v", err)
		}
		watch, err := pods.Watch(b.Context(), metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", made.Name).String()})
		if err != nil {
			b.Fatalf("watching pod: %v", err)
		}
		for event := range watch.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok && pod.Status.Phase == corev1.PodSucceeded {
				break
			}
		}
		watch.Stop()
	}
}
