package status

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// Health is an object's state in kstatus' words.
type Health string

// The states of Health.
const (
	Current     Health = Health(kstatus.CurrentStatus)
	InProgress  Health = Health(kstatus.InProgressStatus)
	Failed      Health = Health(kstatus.FailedStatus)
	Terminating Health = Health(kstatus.TerminatingStatus)
	Unknown     Health = Health(kstatus.UnknownStatus)
)

// HealthOf returns the health of a live object and a sentence about it.
// It is kstatus' but for Jobs: kstatus calls a Job Current as soon as it has
// started, while for batch work only its end counts (Flux does the same).
func HealthOf(live *unstructured.Unstructured) (Health, string) {
	if schema.KeyOf(live).IsJob() && live.GetDeletionTimestamp() == nil {
		return jobHealth(live)
	}
	result, err := kstatus.Compute(live)
	if err != nil {
		return Unknown, err.Error()
	}
	return Health(result.Status), result.Message
}

func jobHealth(live *unstructured.Unstructured) (Health, string) {
	run := plan.RunOf(live)
	switch run.Outcome {
	case plan.RunComplete:
		return Current, "completed"
	case plan.RunFailed:
		return Failed, "failed"
	}
	if suspended, _, _ := unstructured.NestedBool(live.Object, "spec", "suspend"); suspended {
		return InProgress, "suspended"
	}
	count := func(field string) int64 {
		n, _, _ := unstructured.NestedInt64(live.Object, "status", field)
		return n
	}
	return InProgress, fmt.Sprintf("%d active, %d succeeded, %d failed", count("active"), count("succeeded"), count("failed"))
}
