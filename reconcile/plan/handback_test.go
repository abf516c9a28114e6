package plan

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

const cronJobText = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: n, annotations: {%}}
spec: {schedule: "0 2 * * *"}
`

func TestACronJobThatWasHandedBackIsNotTakenAgain(t *testing.T) {
	objects := parse(t, strings.ReplaceAll(cronJobText, "%", ""))
	o := testOptions()
	before := intended(t, objects, o)
	live := applied(before[0], nil)
	key := before[0].Key()
	input := Input{Live: map[schema.Key]*unstructured.Unstructured{key: live}, Applied: map[schema.Key]Intended{key: before[0]}, Options: o, Now: testNow}

	// What `rota release` leaves: another owner of the annotation and of suspend.
	live.SetAnnotations(map[string]string{schema.AnnotationScheduler: schedule.ByCluster, schema.AnnotationApplied: before[0].Digest})
	unstructured.RemoveNestedField(live.Object, "spec", "suspend")
	input.Options.HandedBack = HandedBack(input.Live)
	input.Desired = intended(t, objects, input.Options)
	if got := input.Desired[0]; got.GetAnnotations()[schema.AnnotationScheduler] != "" || suspends(got.Unstructured) {
		t.Fatalf("it is wanted as %v", got.Object)
	}
	p := Compute(input)
	if c := p.Changes[0]; c.Op != Update || c.Reason != ReasonChanged || c.Object.GetAnnotations()[schema.AnnotationScheduler] == schedule.ByRota {
		t.Errorf("%s %s: %s", c.Op, c.Reason, c.Effect)
	}
	live = applied(input.Desired[0], nil)
	live.SetAnnotations(map[string]string{schema.AnnotationScheduler: schedule.ByCluster, schema.AnnotationApplied: input.Desired[0].Digest})
	input.Live[key] = live
	if c := Compute(input).Changes[0]; c.Op == Create || c.Op == Replace || HandsBack(c) {
		t.Errorf("then %s %s: %s", c.Op, c.Reason, c.Effect)
	}

	// Without the mark it is borrowed again.
	delete(live.Object["metadata"].(map[string]any), "annotations")
	if back := HandedBack(input.Live); len(back) != 0 {
		t.Errorf("handed back without the mark: %v", back)
	}
}

func TestARepositoryMayLeaveACronJobToTheCluster(t *testing.T) {
	o := testOptions()
	before := intended(t, parse(t, strings.ReplaceAll(cronJobText, "%", "")), o)
	after := intended(t, parse(t, strings.ReplaceAll(cronJobText, "%", "rota.dev/scheduler: Cluster")), o)
	if got := after[0]; got.GetAnnotations()[schema.AnnotationScheduler] != schedule.ByCluster || suspends(got.Unstructured) {
		t.Fatalf("it is wanted as %v", got.Object)
	}
	key := after[0].Key()
	p := Compute(Input{Desired: after, Live: map[schema.Key]*unstructured.Unstructured{key: applied(before[0], nil)}, Options: o, Now: testNow})
	if c := p.Changes[0]; !HandsBack(c) {
		t.Errorf("%s %s is no hand-back", c.Op, c.Reason)
	}
	if p := Compute(Input{Desired: before, Live: map[schema.Key]*unstructured.Unstructured{key: applied(before[0], nil)}, Options: o, Now: testNow}); HandsBack(p.Changes[0]) {
		t.Error("what stays rota's is handed back")
	}
}

func suspends(u *unstructured.Unstructured) bool {
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
	return suspended
}
