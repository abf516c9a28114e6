package schedule

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"rota.dev/rota/schema"
)

func TestAHandBackReleasesNothingOfAConcurrencyGroup(t *testing.T) {
	hold := true
	slot := time.Date(2026, 11, 25, 6, 0, 0, 0, time.UTC)
	rules := schema.Policy{ConcurrencyGroup: &schema.ConcurrencyGroup{Name: "db", Limit: 1}}
	cj := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "n", UID: "cj", CreationTimestamp: metav1.Time{Time: slot.Add(-time.Hour)}, Annotations: map[string]string{
			schema.AnnotationScheduler: ByRota, schema.AnnotationSuspended: "false", schema.AnnotationPolicy: rules.String(),
			schema.AnnotationCursor: Cursor{Schedule: "0 6 * * *", Since: slot.Add(-time.Hour), Slot: slot, Outcome: Ran}.String(),
		}},
		Spec: batchv1.CronJobSpec{Schedule: "0 6 * * *", Suspend: &hold},
	}
	job := NewRun(cj, "s", slot)
	job.UID = "run"
	activate(cj, job)
	spec, err := SpecOf(cj)
	if err != nil || spec.Err != nil {
		t.Fatal(err, spec.Err)
	}
	state := StateOf(View{CronJob: cj, Jobs: []*batchv1.Job{job}, GroupUnknown: true})
	if actions := Settling(spec, state, slot.Add(time.Second)); len(actions) != 0 {
		t.Errorf("it does %+v without knowing who else is in the group", actions)
	}
	if left := Committed(state); len(left) != 1 {
		t.Errorf("%d runs are waited for, want the one", len(left))
	}
}
