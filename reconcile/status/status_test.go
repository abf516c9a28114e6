package status

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func change(name string, op plan.Op, reason plan.Reason, effect string) plan.Change {
	return plan.Change{Key: schema.Key{Kind: "ConfigMap", Namespace: "default", Name: name}, Op: op, Reason: reason, Effect: effect}
}

func done(c plan.Change) plan.Outcome { return plan.Outcome{Change: c, Done: true} }

func failed(c plan.Change, severity schema.Severity, message string) plan.Outcome {
	return plan.Outcome{Change: c, Problem: &schema.Problem{Rule: "R200", Severity: severity, Object: &c.Key, Message: message, Mend: "Mend it."}}
}

func TestConditionsFollowTheFirstStageThatFailed(t *testing.T) {
	const revision, newer = "main@sha1:3f2c1abddddddddddddddddddddddddddddddddd", "main@sha1:4444444ddddddddddddddddddddddddddddddddd"
	keep := change("a", plan.Keep, plan.ReasonUnchanged, "is unchanged")
	create := change("b", plan.Create, plan.ReasonNew, "will be created")
	wait := change("c", plan.Wait, plan.ReasonActive, "waits for the active run")
	refused := change("d", plan.Refuse, plan.ReasonOwned, "is refused: it belongs to another")
	refused.Problem = &schema.Problem{Rule: "R225", Message: "it belongs to another"}
	noLedger := change("e", plan.Refuse, plan.ReasonNoLedger, "is not created")
	noLedger.Problem = &schema.Problem{Rule: "R220", Message: "a shard of the ledger is missing"}
	drifted := change("f", plan.Keep, plan.ReasonDrifted, "has drifted")
	fault := []*schema.Problem{{Rule: "R001", Message: "cannot read YAML", Origin: schema.Origin{File: "a.yaml", Line: 3}}}

	tests := map[string]struct {
		report                Report
		ready, reconciling    metav1.ConditionStatus
		stalled               metav1.ConditionStatus
		reason, messageHolds  string
		counts                Counts
		problemHolds, objects string
	}{
		"everything in place is Ready": {
			report: Report{InForce: revision, Attempted: revision, Plan: plan.Plan{Changes: []plan.Change{keep, create}}, Outcomes: []plan.Outcome{done(keep), done(create)}},
			ready:  "True", reconciling: "False", stalled: "False", reason: ReasonSucceeded, messageHolds: "applied 3f2c1ab: 2 in place", counts: Counts{InPlace: 2},
		},
		"a plan that was superseded before an object's turn is not Ready": {
			report: Report{InForce: revision, Attempted: revision, Plan: plan.Plan{Changes: []plan.Change{keep, create}}, Outcomes: []plan.Outcome{done(keep), {Change: create}}},
			ready:  "Unknown", reconciling: "True", stalled: "False", reason: ReasonProgressing, counts: Counts{InPlace: 1, Waiting: 1},
		},
		"what waits is Reconciling": {
			report: Report{InForce: revision, Attempted: revision, Plan: plan.Plan{Changes: []plan.Change{wait}}},
			ready:  "Unknown", reconciling: "True", stalled: "False", reason: ReasonProgressing, counts: Counts{Waiting: 1}, objects: "waits for the active run",
		},
		"a quota is waiting, not failure": {
			report: Report{InForce: revision, Attempted: revision, Plan: plan.Plan{Changes: []plan.Change{create}}, Outcomes: []plan.Outcome{failed(create, schema.SeverityWarning, "exceeded quota")}},
			ready:  "Unknown", reconciling: "True", stalled: "False", reason: ReasonProgressing, counts: Counts{Waiting: 1}, objects: "exceeded quota",
		},
		"one that failed is retried": {
			report: Report{InForce: revision, Attempted: revision, Plan: plan.Plan{Changes: []plan.Change{keep, create}}, Outcomes: []plan.Outcome{failed(create, "", "denied by policy")}},
			ready:  "False", reconciling: "True", stalled: "False", reason: ReasonFailed, messageHolds: "1 failed", counts: Counts{InPlace: 1, Failed: 1}, problemHolds: "denied by policy",
		},
		"one that is refused is named once": {
			report: Report{InForce: revision, Attempted: revision, Plan: plan.Plan{Changes: []plan.Change{refused}}, Outcomes: []plan.Outcome{{Change: refused, Problem: refused.Problem}}},
			ready:  "False", reconciling: "True", stalled: "False", reason: ReasonFailed, counts: Counts{Refused: 1}, problemHolds: "it belongs to another",
		},
		"a broken revision stalls, and the last good one is named": {
			report: Report{InForce: revision, Attempted: newer, Build: fault, Plan: plan.Plan{Changes: []plan.Change{keep}}},
			ready:  "False", reconciling: "False", stalled: "True", reason: ReasonBuildFailed, messageHolds: "4444444 cannot be used (a.yaml:3: cannot read YAML [R001]); 3f2c1ab stays in force",
			counts: Counts{InPlace: 1}, problemHolds: "cannot read YAML",
		},
		"git that is down is retried, and the last good one is named": {
			report: Report{InForce: revision, Attempted: revision, Source: schema.Problems(errors.New("connection refused")), Plan: plan.Plan{Changes: []plan.Change{keep}}},
			ready:  "False", reconciling: "True", stalled: "False", reason: ReasonArtifactFailed, messageHolds: "connection refused; 3f2c1ab stays in force", counts: Counts{InPlace: 1},
		},
		"git that never answered leaves nothing in force": {
			report: Report{Source: schema.Problems(errors.New("connection refused"))},
			ready:  "False", reconciling: "True", stalled: "False", reason: ReasonArtifactFailed, messageHolds: "nothing stays in force",
		},
		"a ledger that cannot be read stalls": {
			report: Report{InForce: revision, Attempted: revision, Plan: plan.Plan{Changes: []plan.Change{noLedger}}},
			ready:  "False", reconciling: "False", stalled: "True", reason: ReasonNoLedger, counts: Counts{Refused: 1}, problemHolds: "shard",
		},
		"the prune guard stalls": {
			report: Report{InForce: revision, Attempted: revision, Plan: plan.Plan{
				Changes: []plan.Change{keep, change("g", plan.Refuse, plan.ReasonPruneGuard, "is kept")}, PruneProblem: &schema.Problem{Rule: "R231", Message: "9 of 10 would go"}}},
			ready: "False", reconciling: "False", stalled: "True", reason: ReasonPruneFailed, messageHolds: "9 of 10", counts: Counts{InPlace: 1, Orphans: 1}, problemHolds: "9 of 10",
		},
		"drift that is only reported is Ready, and said": {
			report: Report{InForce: revision, Attempted: revision, Plan: plan.Plan{Changes: []plan.Change{keep, drifted}}},
			ready:  "True", reconciling: "False", stalled: "False", reason: ReasonSucceeded, messageHolds: "1 drifted", counts: Counts{InPlace: 1, Drifted: 1}, objects: "has drifted",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.report.Sync, tc.report.Now = "batch", noon
			s := Summarize(tc.report, nil)
			if got := s.Condition(Ready); got.Status != tc.ready || got.Reason != tc.reason || !strings.Contains(got.Message, tc.messageHolds) {
				t.Errorf("Ready: %+v", got)
			}
			if got := s.Condition(Reconciling).Status; got != tc.reconciling {
				t.Errorf("Reconciling: %s, want %s", got, tc.reconciling)
			}
			if got := s.Condition(Stalled).Status; got != tc.stalled {
				t.Errorf("Stalled: %s, want %s", got, tc.stalled)
			}
			if s.Counts != tc.counts {
				t.Errorf("counts: %+v, want %+v", s.Counts, tc.counts)
			}
			if tc.problemHolds != "" && (len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Message, tc.problemHolds)) {
				t.Errorf("problems: %+v", s.Problems)
			}
			if tc.objects != "" && (len(s.Objects) != 1 || !strings.Contains(s.Objects[0].Message, tc.objects)) {
				t.Errorf("objects: %+v", s.Objects)
			}
		})
	}
}

func TestAConditionKeepsItsTimeWhileItsStatusStays(t *testing.T) {
	first := Summarize(Report{Sync: "s", InForce: "r", Attempted: "r", Now: noon}, nil)
	second := Summarize(Report{Sync: "s", InForce: "r", Attempted: "r", Now: noon.Add(time.Hour)}, &first)
	if !second.Same(first) {
		t.Error("nothing changed, and the statuses differ")
	}
	if at := second.Condition(Ready).LastTransitionTime; !at.Time.Equal(noon) {
		t.Errorf("Ready has moved to %s", at)
	}
	third := Summarize(Report{Sync: "s", InForce: "r", Attempted: "r", Source: schema.Problems(errors.New("down")), Now: noon.Add(2 * time.Hour)}, &second)
	if third.Same(second) {
		t.Error("the source failed, and the statuses are the same")
	}
	if at := third.Condition(Ready).LastTransitionTime; !at.Time.Equal(noon.Add(2 * time.Hour)) {
		t.Errorf("Ready has not moved: %s", at)
	}
}

func TestAStatusAlwaysFitsAnObject(t *testing.T) {
	var r Report
	for range 10_000 {
		c := change(strings.Repeat("n", 200), plan.Create, plan.ReasonNew, "will be created")
		r.Plan.Changes = append(r.Plan.Changes, c)
		r.Outcomes = append(r.Outcomes, failed(c, "", strings.Repeat("m", 300)))
	}
	s := Summarize(r, nil)
	if len(s.Objects) > mostListed || len(s.Problems) > mostListed {
		t.Errorf("%d objects and %d problems are listed", len(s.Objects), len(s.Problems))
	}
}

func TestHealthIsKstatusButAJobIsCurrentOnlyWhenItEnded(t *testing.T) {
	tests := map[string]struct {
		object string
		want   Health
		holds  string
	}{
		"a ConfigMap is Current":               {"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", Current, ""},
		"a Job that started is InProgress":     {"{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {active: 2, succeeded: 1, startTime: '2026-11-23T12:00:00Z'}}", InProgress, "2 active, 1 succeeded"},
		"a Job that is suspended says so":      {"{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {suspend: true}}", InProgress, "suspended"},
		"a Job that completed is Current":      {"{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {conditions: [{type: Complete, status: 'True'}]}}", Current, "completed"},
		"a Job that failed is Failed":          {"{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {conditions: [{type: Failed, status: 'True'}]}}", Failed, "failed"},
		"a condition that is False is no end":  {"{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {conditions: [{type: Complete, status: 'False'}]}}", InProgress, ""},
		"a Deployment without replicas is not": {"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, generation: 1}, spec: {replicas: 1}, status: {observedGeneration: 1}}", InProgress, ""},
		"what is being deleted is Terminating": {"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, deletionTimestamp: '2026-11-23T12:00:00Z'}}", Terminating, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			text, err := yaml.YAMLToJSON([]byte(tc.object))
			if err != nil {
				t.Fatal(err)
			}
			if err := u.UnmarshalJSON(text); err != nil {
				t.Fatal(err)
			}
			got, message := HealthOf(u)
			if got != tc.want || !strings.Contains(message, tc.holds) {
				t.Errorf("%s: %q", got, message)
			}
		})
	}
}
