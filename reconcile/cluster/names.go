package cluster

import (
	"cmp"
	"context"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mostNames bounds what a listing of names asks of the server: one page, so
// that it costs the same however large the cluster is.
const mostNames = 500

// Present reads the CronJobs that are there now in a namespace, or in all if
// it is empty, by namespace and name: one request and no histories, for those
// who only choose one. Of more than 500 it is the first ones.
func (s *Schedules) Present(ctx context.Context, namespace string) ([]batchv1.CronJob, error) {
	list, err := s.client.BatchV1().CronJobs(namespace).List(ctx, metav1.ListOptions{Limit: mostNames})
	if err != nil {
		return nil, explain(err, subject{what: "the CronJobs of " + cmp.Or(namespace, "all namespaces")})
	}
	return list.Items, nil
}

// Namespaces reads the names of the cluster's namespaces; of more than 500 the
// first ones.
func (s *Schedules) Namespaces(ctx context.Context) ([]string, error) {
	list, err := s.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: mostNames})
	if err != nil {
		return nil, explain(err, subject{what: "the namespaces"})
	}
	names := make([]string, 0, len(list.Items))
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names, nil
}
