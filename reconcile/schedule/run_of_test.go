package schedule

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"rota.dev/rota/schema"
)

func TestRunOf(t *testing.T) {
	slot := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cj := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "x", UID: "this", Annotations: map[string]string{schema.AnnotationScheduler: "rota"}},
		Spec:       batchv1.CronJobSpec{Schedule: "* * * * *"},
	}
	controls := true
	for name, c := range map[string]struct {
		change func(*batchv1.Job)
		want   bool
	}{
		"ours": {func(*batchv1.Job) {}, true},
		"the cluster's own controller's": {func(j *batchv1.Job) {
			j.Labels, j.OwnerReferences[0].Controller = nil, &controls
		}, true},
		"one of an earlier CronJob of the name": {func(j *batchv1.Job) { j.OwnerReferences[0].UID = "earlier" }, false},
		"one that nobody owns":                  {func(j *batchv1.Job) { j.OwnerReferences = nil }, false},
		"one without our label":                 {func(j *batchv1.Job) { delete(j.Labels, schema.LabelSchedule) }, false},
		"one with another's label":              {func(j *batchv1.Job) { j.Labels[schema.LabelSchedule] = "y" }, false},
		"one of another slot than its name":     {func(j *batchv1.Job) { j.Name = JobName("x", slot.Add(time.Minute)) }, false},
		"one of another name":                   {func(j *batchv1.Job) { j.Name = "x-by-hand" }, false},
		"one without a slot":                    {func(j *batchv1.Job) { delete(j.Annotations, AnnotationScheduled) }, false},
		"one of kubectl create job --from": {func(j *batchv1.Job) {
			j.Name, j.Labels, j.Annotations, j.OwnerReferences[0].Controller = "by-hand", nil, map[string]string{"cronjob.kubernetes.io/instantiate": "manual"}, &controls
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			job := NewRun(cj, "s", slot)
			c.change(job)
			if run, ok := RunOf(cj, job); ok != c.want || ok && !run.Slot.Equal(slot) {
				t.Errorf("got %+v, %t, want %t", run, ok, c.want)
			}
		})
	}
}
