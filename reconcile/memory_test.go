package reconcile

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

func jobOf(uid, condition string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{"name": "j", "namespace": "default",
			"labels":      map[string]any{schema.ApplySetPartOf: "set"},
			"annotations": map[string]any{schema.AnnotationDigest: "d1:a"}},
	}}
	u.SetUID(types.UID(uid))
	if condition != "" {
		u.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": condition, "status": "True"}}}
	}
	return u
}

func TestTheStartOfARunIsUrgentToRecordAndItsEndIsNot(t *testing.T) {
	key := schema.Key{Group: "batch", Kind: "Job", Namespace: "default", Name: "j"}
	active := plan.Run{Digest: "d1:a", UID: "1", Outcome: plan.RunActive}
	tests := map[string]struct {
		ledger, noted  map[schema.Key]plan.Run
		live, vanished *unstructured.Unstructured
		outcome        plan.RunOutcome // of the one entry; empty for none
		urgent         bool
	}{
		"a run that the ledger does not know is urgent":        {live: jobOf("1", ""), outcome: plan.RunActive, urgent: true},
		"another run of a known Job is urgent":                 {ledger: map[schema.Key]plan.Run{key: active}, live: jobOf("2", ""), outcome: plan.RunActive, urgent: true},
		"a run that ended before it was known is urgent":       {live: jobOf("1", "Complete"), outcome: plan.RunComplete, urgent: true},
		"the end of a known run can wait":                      {ledger: map[schema.Key]plan.Run{key: active}, live: jobOf("1", "Failed"), outcome: plan.RunFailed},
		"the end of a run that was noted already adds nothing": {ledger: map[schema.Key]plan.Run{key: active}, noted: map[schema.Key]plan.Run{key: {Digest: "d1:a", UID: "1", Outcome: plan.RunFailed}}, live: jobOf("1", "Failed")},
		"what was noted of a Job that is gone now stands":      {ledger: map[schema.Key]plan.Run{key: active}, noted: map[schema.Key]plan.Run{key: {Digest: "d1:a", UID: "1", Outcome: plan.RunComplete}}},
		"a deletion that was seen has the last state":          {ledger: map[schema.Key]plan.Run{key: active}, vanished: jobOf("1", "Complete"), outcome: plan.RunComplete},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			seen := plan.Observation{Live: map[schema.Key]*unstructured.Unstructured{}, Vanished: map[schema.Key]*unstructured.Unstructured{}, Ledger: plan.Ledger{Jobs: tc.ledger}}
			if tc.live != nil {
				seen.Live[key] = tc.live
			}
			if tc.vanished != nil {
				seen.Vanished[key] = tc.vanished
			}
			books := bookkeep(&seen, "set", tc.noted)
			if got := books.Runs[key].Outcome; got != tc.outcome || books.Urgent != tc.urgent {
				t.Errorf("outcome %q, urgent %v; want %q, %v", got, books.Urgent, tc.outcome, tc.urgent)
			}
			if want := max(len(tc.ledger), 1); len(seen.Ledger.Jobs) != want {
				t.Errorf("the plan sees %d entries, want %d", len(seen.Ledger.Jobs), want)
			}
		})
	}
}

func TestEndsOfRunsAreCollectedForTenSeconds(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	m := Memory{pending: map[schema.Key]plan.Run{}}
	if m.flushDue(now) {
		t.Error("nothing is noted, and due")
	}
	m.note(map[schema.Key]plan.Run{{Name: "a"}: {}}, now)
	m.note(map[schema.Key]plan.Run{{Name: "b"}: {}}, now.Add(9*time.Second))
	if m.flushDue(now.Add(9 * time.Second)) {
		t.Error("due too early")
	}
	if !m.flushDue(now.Add(10*time.Second)) || len(m.pending) != 2 {
		t.Errorf("not due after ten seconds, with %d entries", len(m.pending))
	}
}

func TestIntentionsAreMadeOnceForARevisionAndItsKinds(t *testing.T) {
	m := Memory{intended: &intentions{}}
	objects := []schema.Object{configMap("a", "v1")}
	first, err := m.intend(objects, plan.Options{SetID: "set", Revision: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := m.intend([]schema.Object{configMap("a", "v1")}, plan.Options{SetID: "set", Revision: "v1"})
	if err != nil || &again[0] != &first[0] {
		t.Errorf("made again for the same revision (%v)", err)
	}
	elsewhere := configMap("a", "v1")
	elsewhere.SetNamespace("other")
	for name, other := range map[string]struct {
		objects  []schema.Object
		revision string
	}{
		"another revision":                {objects, "v2"},
		"the server now knows more kinds": {[]schema.Object{elsewhere}, "v2"},
	} {
		made, err := m.intend(other.objects, plan.Options{SetID: "set", Revision: other.revision})
		if err != nil || &made[0] == &first[0] || made[0].GetNamespace() != other.objects[0].GetNamespace() {
			t.Errorf("%s: not made anew (%v)", name, err)
		}
	}
	if made, err := (Memory{}).intend(objects, plan.Options{SetID: "set"}); err != nil || len(made) != 1 {
		t.Errorf("without a memory: %v, %v", made, err)
	}
}
