package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// Delete deletes job, if it is still this very one.
func (r *Runs) Delete(ctx context.Context, job *batchv1.Job, how schedule.Deletion) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	only := metav1.Preconditions{UID: &job.UID}
	if how == schedule.DeleteUnreleased {
		only.ResourceVersion = &job.ResourceVersion
	}
	policy := metav1.DeletePropagationBackground
	if how == schedule.DeleteReplaced {
		policy = metav1.DeletePropagationForeground
	}
	return r.client.BatchV1().Jobs(job.Namespace).Delete(ctx, job.Name, metav1.DeleteOptions{
		Preconditions:     &only,
		PropagationPolicy: &policy,
	})
}

// Pods returns the names of the Pods of a CronJob's runs that may still run,
// except those of the run with the uid. It reads by quorum.
func (r *Runs) Pods(ctx context.Context, name types.NamespacedName, except types.UID) ([]string, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	pods, err := r.client.CoreV1().Pods(name.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: schema.LabelSchedule + "=" + name.Name + "," + batchv1.ControllerUidLabel + "!=" + string(except),
		FieldSelector: "status.phase!=Succeeded,status.phase!=Failed",
	})
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range pods.Items {
		names = append(names, pods.Items[i].Name)
	}
	return names, nil
}

// Owned lists by quorum the Jobs of the cluster's own controller for cj. The
// API server cannot select by owner, so that this reads a namespace; it is
// needed once per CronJob that is taken over.
func (r *Runs) Owned(ctx context.Context, cj *batchv1.CronJob) ([]*batchv1.Job, error) {
	var owned []*batchv1.Job
	options := metav1.ListOptions{Limit: 500}
	for {
		page, next, err := r.jobPage(ctx, cj.Namespace, options)
		if err != nil {
			return nil, err
		}
		for i := range page {
			if _, ok := schedule.RunOf(cj, &page[i]); ok {
				owned = append(owned, &page[i])
			}
		}
		if next == "" {
			return owned, nil
		}
		options.Continue = next
	}
}

func (r *Runs) jobPage(ctx context.Context, namespace string, o metav1.ListOptions) ([]batchv1.Job, string, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	list, err := r.client.BatchV1().Jobs(namespace).List(ctx, o)
	if err != nil {
		return nil, "", err
	}
	return list.Items, list.Continue, nil
}

// Claim labels a Job of the cluster's own controller as a run of cj, so that
// it is watched. Its owner stays what it is.
func (r *Runs) Claim(ctx context.Context, cj *batchv1.CronJob, job *batchv1.Job) (*batchv1.Job, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":             job.UID,
		"resourceVersion": job.ResourceVersion,
		"labels":          map[string]string{schema.LabelSchedule: cj.Name, schema.LabelSync: r.options.Sync},
	}})
	if err != nil {
		return nil, fmt.Errorf("encoding a patch: %w", err)
	}
	return r.client.BatchV1().Jobs(job.Namespace).Patch(ctx, job.Name, types.MergePatchType, body,
		metav1.PatchOptions{FieldManager: schema.FieldManager})
}
