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

// View reads a CronJob and its runs by quorum. The CronJob is nil if there is
// none.
func (r *Runs) View(ctx context.Context, name types.NamespacedName) (schedule.View, error) {
	cj, err := r.Live(ctx, name)
	if err != nil || cj == nil {
		return schedule.View{}, err
	}
	v := schedule.View{CronJob: cj}
	o := metav1.ListOptions{LabelSelector: schema.LabelSchedule + "=" + name.Name, Limit: 500}
	for {
		page, next, err := r.jobPage(ctx, name.Namespace, o)
		if err != nil {
			return v, err
		}
		for i := range page {
			v.Jobs = append(v.Jobs, &page[i])
		}
		if o.Continue = next; next == "" {
			return v, nil
		}
	}
}

// Own makes cj the controller of job, if that is still as it was read.
func (r *Runs) Own(ctx context.Context, cj *batchv1.CronJob, job *batchv1.Job) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	owned := job.DeepCopy()
	yes := true
	for i := range owned.OwnerReferences {
		ref := &owned.OwnerReferences[i]
		if ref.UID == cj.UID {
			ref.Controller, ref.BlockOwnerDeletion = &yes, &yes
		}
	}
	_, err := r.client.BatchV1().Jobs(job.Namespace).Update(ctx, owned, metav1.UpdateOptions{FieldManager: schema.FieldManager})
	return err
}

// LetGo sets the suspend of cj to what git says, if cj is still this one and
// handed back. The error is Invalid if it is not.
func (r *Runs) LetGo(ctx context.Context, cj *batchv1.CronJob) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	suspended := cj.Annotations[schema.AnnotationSuspended]
	body, err := json.Marshal([]runPatch{
		{Op: "test", Path: "/metadata/uid", Value: cj.UID},
		{Op: "test", Path: annotationPath(schema.AnnotationScheduler), Value: schedule.ByCluster},
		{Op: "test", Path: annotationPath(schema.AnnotationSuspended), Value: suspended},
		{Op: "remove", Path: annotationPath(schema.AnnotationSuspended)},
		{Op: "replace", Path: "/spec/suspend", Value: suspended == "true"},
	})
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	_, err = r.client.BatchV1().CronJobs(cj.Namespace).Patch(ctx, cj.Name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: schema.FieldManager})
	return err
}

// TakeBack takes the mark of a hand-back off, so that the next sync borrows the
// CronJob again.
func (s *Schedules) TakeBack(ctx context.Context, cj *batchv1.CronJob) error {
	return s.annotate(ctx, cj, map[string]any{schema.AnnotationScheduler: nil})
}

// Runs returns the runs of the set that cj is a member of.
func (s *Schedules) Runs(cj *batchv1.CronJob) (*Runs, error) {
	return NewRuns(s.config, RunsOptions{SetID: cj.Labels[schema.ApplySetPartOf], Timeout: writeTimeout})
}
