package cluster

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fieldselector "k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/rand"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// Trigger creates a Job of cj's template by hand and returns it.
func (s *Schedules) Trigger(ctx context.Context, cj *batchv1.CronJob, parameters []schedule.Parameter) (*batchv1.Job, error) {
	for range casAttempts {
		// The letters leave no doubt that this is no minute of a slot.
		job := schedule.NewManual(cj, "m"+rand.String(5), parameters)
		created, err := s.client.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: byHand})
		switch {
		case apierrors.IsAlreadyExists(err):
			continue
		case err != nil:
			return nil, explain(err, subject{key: keyOfJob(job)})
		}
		return created, nil
	}
	return nil, fmt.Errorf("no free name for a Job of CronJob %s/%s was found", cj.Namespace, cj.Name)
}

func keyOfJob(job *batchv1.Job) schema.Key {
	return schema.Key{Group: "batch", Kind: "Job", Namespace: job.Namespace, Name: job.Name}
}

// Follow calls progress with a Job whenever it changes, until it has ended, and
// returns how: Complete, Failed, or empty if it was deleted. A watch that
// breaks is begun again.
func (s *Schedules) Follow(ctx context.Context, job *batchv1.Job, progress func(*batchv1.Job)) (batchv1.JobConditionType, error) {
	jobs := s.client.BatchV1().Jobs(job.Namespace)
	for failures := 0; ; {
		now, err := jobs.Get(ctx, job.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err) || err == nil && now.UID != job.UID:
			return "", nil
		case err != nil && (ctx.Err() != nil || failures >= casAttempts):
			return "", explain(err, subject{key: keyOfJob(job)})
		case err == nil:
			failures = 0
			progress(now)
			if how := ended(now); how != "" {
				return how, nil
			}
			how, gone := s.follow(ctx, now, progress)
			if gone || how != "" {
				return how, nil
			}
		}
		failures++
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(time.Duration(failures) * 200 * time.Millisecond):
		}
	}
}

// follow is one watch of Follow.
func (s *Schedules) follow(ctx context.Context, job *batchv1.Job, progress func(*batchv1.Job)) (how batchv1.JobConditionType, gone bool) {
	w, err := s.client.BatchV1().Jobs(job.Namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: fieldselector.OneTermEqualSelector("metadata.name", job.Name).String(), ResourceVersion: job.ResourceVersion,
	})
	if err != nil {
		return "", false
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		now, ok := event.Object.(*batchv1.Job)
		switch {
		case !ok:
			return "", false // an error, such as a resourceVersion that is too old
		case now.UID != job.UID || event.Type == "DELETED":
			return ended(now), true
		}
		progress(now)
		if how := ended(now); how != "" {
			return how, false
		}
	}
	return "", false
}

func ended(job *batchv1.Job) batchv1.JobConditionType {
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return c.Type
		}
	}
	return ""
}
