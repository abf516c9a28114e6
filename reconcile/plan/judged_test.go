package plan

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

const judgedObjects = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: batch}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: batch}
spec: {template: {spec: {containers: [{name: c, image: a}]}}}
`

// judgedPlan creates two objects and prunes a third.
func judgedPlan(t *testing.T) Plan {
	t.Helper()
	o := testOptions()
	left := applied(intended(t, parse(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: left, namespace: batch}"), o)[0], nil)
	p := Compute(Input{Desired: intended(t, parse(t, judgedObjects), o), Live: map[schema.Key]*unstructured.Unstructured{schema.KeyOf(left): left}, Options: o, Now: testNow})
	if got, want := p.Totals().String(), "Plan: 1 runs now, 1 created, 1 pruned."; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	return p
}

func TestWhatTheServerSaysBecomesPartOfThePlan(t *testing.T) {
	refusal := &schema.Problem{Rule: "R208", Severity: schema.SeverityError, Message: "an admission policy refuses it", Mend: "Change it."}
	quota := &schema.Problem{Rule: "R206", Severity: schema.SeverityWarning, Message: "waits for quota: count/jobs.batch"}
	field := &schema.Problem{Rule: "R201", Severity: schema.SeverityError, Field: "data.k", Message: "fields belong to other managers"}
	tests := map[string]struct {
		problems map[string]*schema.Problem
		want     []string
	}{
		"an answer without a problem changes nothing": {nil, []string{
			"Create ConfigMap batch/settings: will be created",
			"Create Job batch/once: will run now",
			"Delete ConfigMap batch/left: left the repository, will be pruned",
			"Plan: 1 runs now, 1 created, 1 pruned."}},
		"a refusal is an entry, and nothing is pruned": {map[string]*schema.Problem{"once": refusal}, []string{
			"Create ConfigMap batch/settings: will be created",
			"Keep ConfigMap batch/left: left the repository, stays: Job batch/once is refused",
			"Refuse Job batch/once: is refused: an admission policy refuses it R208",
			"Plan: 1 created, 1 refused, 1 left the repository and stays."}},
		"a full quota is waited for, and nothing is pruned": {map[string]*schema.Problem{"once": quota}, []string{
			"Create ConfigMap batch/settings: will be created",
			"Keep ConfigMap batch/left: left the repository, stays: Job batch/once waits",
			"Wait Job batch/once: waits for quota: count/jobs.batch R206",
			"Plan: 1 created, 1 waits, 1 left the repository and stays."}},
		"a refusal names the field": {map[string]*schema.Problem{"settings": field}, []string{
			"Refuse ConfigMap batch/settings: is refused: data.k: fields belong to other managers R201",
			"Keep ConfigMap batch/left: left the repository, stays: ConfigMap batch/settings is refused",
			"Create Job batch/once: will run now",
			"Plan: 1 runs now, 1 refused, 1 left the repository and stays."}},
		"a deletion that is refused keeps nothing else": {map[string]*schema.Problem{"left": refusal}, []string{
			"Create ConfigMap batch/settings: will be created",
			"Create Job batch/once: will run now",
			"Refuse ConfigMap batch/left: left the repository, stays: an admission policy refuses it R208",
			"Plan: 1 runs now, 1 created, 1 refused."}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := judgedPlan(t)
			var outcomes []Outcome
			for _, c := range p.Changes {
				problem := tt.problems[c.Key.Name]
				outcomes = append(outcomes, Outcome{Change: c, Problem: problem, Done: problem == nil})
			}
			judged := p.Judged(outcomes)
			var got []string
			for _, c := range judged.Changes {
				line := string(c.Op) + " " + c.Key.String() + ": " + c.Effect
				if c.Problem != nil {
					line += " " + c.Problem.Rule
				}
				got = append(got, line)
			}
			got = append(got, judged.Totals().String())
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !slices.Equal(summaryOf(p), summaryOf(judgedPlan(t))) {
				t.Error("the plan that was judged was changed")
			}
		})
	}
}

func TestARefusalOfThePlansOwnStaysAndHoldsNothingBack(t *testing.T) {
	own := &schema.Problem{Rule: "R225", Message: "it belongs to another"}
	c := Change{Key: schema.Key{Kind: "ConfigMap", Name: "a"}, Op: Refuse, Reason: ReasonOwned, Effect: "is refused: it belongs to another", Problem: own}
	pruned := Change{Key: schema.Key{Kind: "ConfigMap", Name: "b"}, Op: Delete, Reason: ReasonLeft, Effect: "left the repository, will be pruned"}
	judged := Plan{Changes: []Change{c, pruned}}.Judged([]Outcome{{Change: c, Problem: own}, {Change: pruned, Done: true}})
	if diff := cmp.Diff([]Change{c, pruned}, judged.Changes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
