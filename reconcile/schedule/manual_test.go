package schedule

import (
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"rota.dev/rota/schema"
)

func TestAManualJobIsNoRunOfItsSchedule(t *testing.T) {
	cj := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: strings.Repeat("x", 52), Namespace: "n", UID: "u"}}
	cj.Spec.JobTemplate.Labels = map[string]string{schema.ApplySetPartOf: "set", schema.LabelSchedule: "x", "app": "a"}
	job := NewManual(cj, "mabcde", nil)
	if len(job.Name) > 63 || !strings.HasSuffix(job.Name, "-manual-mabcde") {
		t.Errorf("it is named %q", job.Name)
	}
	job.UID = "j"
	if _, ok := RunOf(cj, job); ok || job.Labels[schema.LabelSchedule] != "" || job.Labels[schema.ApplySetPartOf] != "" || job.Labels["app"] != "a" {
		t.Errorf("it is a run, or has its labels: %v", job.Labels)
	}
	if job.Spec.Template.Labels[schema.LabelSchedule] != "" {
		t.Error("its Pods are in the way of the schedule's runs")
	}
	cj.Spec.ConcurrencyPolicy = batchv1.ForbidConcurrent
	if p := InTheWay(View{CronJob: cj}, []*batchv1.Job{job}); p == nil || p.Rule != "R340" {
		t.Errorf("under Forbid a second one meets %v", p)
	}
	cj.Spec.ConcurrencyPolicy = batchv1.AllowConcurrent
	if p := InTheWay(View{CronJob: cj}, []*batchv1.Job{job}); p != nil {
		t.Errorf("under Allow a second one meets %v", p)
	}
}
