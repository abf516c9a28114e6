package cluster

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClusterUID returns what tells this cluster from every other: the uid of the
// namespace kube-system, which is made with a cluster and cannot be deleted. It
// is empty if rota's account may not read that.
func (s *Set) ClusterUID(ctx context.Context) (string, error) {
	object, err := s.cluster.own.metadata.Resource(namespaces).Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err) || apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", explain(err, subject{what: "the identity of the cluster"})
	}
	return string(object.UID), nil
}
