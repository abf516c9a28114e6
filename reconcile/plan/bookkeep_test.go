package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

func TestBookkeepRecordsWhatTheLedgerLacks(t *testing.T) {
	key := schema.Key{Group: "batch", Kind: "Job", Namespace: "batch", Name: "hello"}
	started := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	ended := started.Add(5 * time.Minute)
	in := intended(t, parse(t, plainJob), testOptions())[0]
	job := func(uid, status string, change ...func(u *unstructured.Unstructured)) *unstructured.Unstructured {
		var s any
		switch status {
		case "active":
			s = map[string]any{"startTime": "2026-11-20T00:00:00Z"}
		case "complete", "failed":
			kind := map[string]string{"complete": "Complete", "failed": "Failed"}[status]
			s = map[string]any{"startTime": "2026-11-20T00:00:00Z", "conditions": []any{
				map[string]any{"type": "Suspended", "status": "False", "lastTransitionTime": "2026-11-19T00:00:00Z"},
				map[string]any{"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": "2026-11-20T00:04:00Z"},
				map[string]any{"type": kind, "status": "True", "lastTransitionTime": "2026-11-20T00:05:00Z"}}}
		}
		u := applied(in, s)
		u.Object["metadata"].(map[string]any)["uid"] = uid
		for _, f := range change {
			f(u)
		}
		return u
	}
	run := func(uid string, outcome RunOutcome) Run {
		r := Run{Digest: in.RunDigest, UID: uid, Outcome: outcome, Revision: testOptions().Revision, Started: started}
		if outcome == RunComplete || outcome == RunFailed {
			r.Ended = ended
		}
		return r
	}
	prepared := func(u *unstructured.Unstructured) { annotate(u, schema.AnnotationPrepared, "false") }
	theirs := func(u *unstructured.Unstructured) { setLabel(u, schema.ApplySetPartOf, otherSet) }

	tests := []struct {
		name     string
		live     *unstructured.Unstructured
		vanished *unstructured.Unstructured
		ledger   *Run
		want     *Run
	}{
		{name: "a run that is not in the ledger", live: job("1", "active"), want: ptr(run("1", RunActive))},
		{name: "a run that completed", live: job("1", "complete"), ledger: ptr(run("1", RunActive)), want: ptr(run("1", RunComplete))},
		{name: "a run that failed", live: job("1", "failed"), ledger: ptr(run("1", RunActive)), want: ptr(run("1", RunFailed))},
		{name: "a run that the ledger has is not written again", live: job("1", "complete"), ledger: ptr(run("1", RunComplete))},
		{name: "a prepared Job is no run yet", live: job("1", "", prepared)},
		{name: "a Job of another set is not ours to record", live: job("1", "active", theirs)},
		{name: "a run that vanished unwatched is gone", ledger: ptr(run("1", RunActive)), want: ptr(run("1", RunGone))},
		{name: "a run that was deleted while active", ledger: ptr(run("1", RunActive)), vanished: job("1", "active"), want: ptr(run("1", RunDeleted))},
		{name: "a run that completed and was deleted by its ttl", ledger: ptr(run("1", RunActive)), vanished: job("1", "complete"), want: ptr(run("1", RunComplete))},
		{name: "another Job of that name that vanished says nothing", ledger: ptr(run("1", RunActive)), vanished: job("2", "complete"), want: ptr(run("1", RunGone))},
		{name: "a done run that is absent stays done", ledger: ptr(run("1", RunComplete))},
		{name: "a run whose name a stranger's Job has taken is gone", live: job("9", "active", theirs), ledger: ptr(run("1", RunActive)), want: ptr(run("1", RunGone))},
		{name: "a run whose name a prepared Job has taken is gone", live: job("9", "", prepared), ledger: ptr(run("1", RunActive)), want: ptr(run("1", RunGone))},
		{name: "a new run of the name replaces the old one", live: job("2", "active"), ledger: ptr(run("1", RunActive)), want: ptr(run("2", RunActive))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			live, vanished, ledger := map[schema.Key]*unstructured.Unstructured{}, map[schema.Key]*unstructured.Unstructured{}, Ledger{Jobs: map[schema.Key]Run{}}
			want := map[schema.Key]Run{}
			if tt.live != nil {
				live[key] = tt.live
			}
			if tt.vanished != nil {
				vanished[key] = tt.vanished
			}
			if tt.ledger != nil {
				ledger.Jobs[key] = *tt.ledger
			}
			if tt.want != nil {
				want[key] = *tt.want
			}
			if diff := cmp.Diff(want, Bookkeep(live, vanished, ledger, testSet)); diff != "" {
				t.Errorf("updates (-want +got):\n%s", diff)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }
