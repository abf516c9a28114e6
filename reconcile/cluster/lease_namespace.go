package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"rota.dev/rota/schema"
)

// namespacedLock makes the namespace of a Lease when it is missing, which is
// what a first start on a new cluster finds.
type namespacedLock struct {
	resourcelock.Interface
	client    kubernetes.Interface
	namespace string
}

// Create creates the Lease, and its namespace first if need be.
func (l namespacedLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := l.Interface.Create(ctx, record)
	if !apierrors.IsNotFound(err) {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: l.namespace}}
	if _, err := l.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{FieldManager: schema.FieldManager}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating the namespace %s of the lease: %w", l.namespace, err)
	}
	return l.Interface.Create(ctx, record)
}
