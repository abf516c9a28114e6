package cluster

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LongestRuns returns, by the name of the CronJob, how long the longest of its
// runs took that completed and are still there, in a namespace: of those that
// rota, the cluster's own controller or a person started from it.
func (s *Schedules) LongestRuns(ctx context.Context, namespace string) (map[string]time.Duration, error) {
	longest := map[string]time.Duration{}
	for o := (metav1.ListOptions{Limit: 500}); ; {
		list, err := s.client.BatchV1().Jobs(namespace).List(ctx, o)
		if err != nil {
			return nil, explain(err, subject{what: "the Jobs of " + namespace})
		}
		for _, job := range list.Items {
			if job.Status.StartTime == nil || job.Status.CompletionTime == nil {
				continue
			}
			for _, owner := range job.OwnerReferences {
				if owner.Kind == "CronJob" {
					longest[owner.Name] = max(longest[owner.Name], job.Status.CompletionTime.Sub(job.Status.StartTime.Time))
				}
			}
		}
		if o.Continue = list.Continue; o.Continue == "" {
			return longest, nil
		}
	}
}
