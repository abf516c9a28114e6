package plan

import (
	"cmp"
	"maps"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// Sides are the objects of two revisions, rendered and validated.
type Sides struct {
	Before, After []schema.Object
	// BeforeRevision names what Before was rendered from; the revision of After
	// is in Options.
	BeforeRevision string
}

// Between returns the plan of s.After on a cluster that s.Before was applied to
// and nothing happened to since, but that the Jobs ended: it is Compute's on
// that state. Without a cluster nobody knows more; what a default or an
// admission policy of the server makes of an object is not in it. The error is
// for an object that cannot be digested.
func Between(s Sides, o Options, now time.Time) (Plan, error) {
	if o.SetID == "" {
		o.SetID = assumedSet
	}
	earlier := o
	earlier.Revision = cmp.Or(s.BeforeRevision, o.Revision)
	before, err := Intend(s.Before, earlier)
	if err != nil {
		return Plan{}, err
	}
	after, err := Intend(s.After, o)
	if err != nil {
		return Plan{}, err
	}
	input := Input{Desired: after, Live: make(map[schema.Key]*unstructured.Unstructured, len(before)), Ledger: Ledger{Jobs: map[schema.Key]Run{}}, Options: o, Now: now}
	for _, in := range before {
		live := assumedLive(in, now)
		input.Live[in.Key()] = live
		if run := RunOf(live); in.Key().IsJob() && run.Outcome == RunComplete {
			input.Ledger.Jobs[in.Key()] = run
		}
	}
	return Compute(input), nil
}

// assumedSet is the inventory of a cluster that is only assumed.
const assumedSet = "applyset-assumed-v1"

// assumedLive returns an object as a server has it after its apply, as far as a
// plan asks: rota owns what it applied, and a Job that is not suspended is
// complete.
func assumedLive(in Intended, now time.Time) *unstructured.Unstructured {
	object := maps.Clone(in.Object.Object)
	metadata, _ := object["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	fields := ownedFields(in.Object.Object)
	delete(fields, "f:apiVersion")
	delete(fields, "f:kind")
	metadata["managedFields"] = []any{map[string]any{
		"manager": schema.FieldManager, "operation": "Apply", "apiVersion": in.GetAPIVersion(), "fieldsType": "FieldsV1", "fieldsV1": fields,
	}}
	object["metadata"] = metadata
	return ended(&unstructured.Unstructured{Object: object}, now)
}

// Ended returns the objects of live with every Job complete that is not
// suspended: what Between takes for granted, of a cluster that starts no Pods.
func Ended(live map[schema.Key]*unstructured.Unstructured, now time.Time) map[schema.Key]*unstructured.Unstructured {
	out := make(map[schema.Key]*unstructured.Unstructured, len(live))
	for key, object := range live {
		out[key] = ended(object, now)
	}
	return out
}

// ended is a Job that ended now, and everything else as it is.
func ended(object *unstructured.Unstructured, now time.Time) *unstructured.Unstructured {
	if !schema.KeyOf(object).IsJob() || held(object) {
		return object
	}
	out := maps.Clone(object.Object)
	out["status"] = map[string]any{"conditions": []any{
		map[string]any{"type": string(batchv1.JobComplete), "status": "True", "lastTransitionTime": now.UTC().Format(time.RFC3339)},
	}}
	return &unstructured.Unstructured{Object: out}
}

// ownedFields returns FieldsV1 of everything in fields; a list is owned as a
// whole.
func ownedFields(fields map[string]any) branch {
	owned := make(branch, len(fields))
	for name, value := range fields {
		below, _ := value.(map[string]any)
		owned["f:"+name] = ownedFields(below)
	}
	return owned
}
