package plan

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

func TestBetweenSaysWhatARevisionDoesAfterAnother(t *testing.T) {
	job := func(more, image string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: once, namespace: batch" + more + "}\nspec: {template: {spec: {containers: [{name: c, image: \"" + image + "\"}]}}}\n"
	}
	nightly := func(schedule string) string {
		return "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly, namespace: batch}\nspec: {schedule: " + schedule + ", jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: a}]}}}}}\n"
	}
	tests := []struct {
		name, before, after string
		want                []string
	}{
		{"nothing changed", job("", "a:1") + "---\n" + nightly("0 2 * * *"), job("", "a:1") + "---\n" + nightly("0 2 * * *"), nil},
		{"a new Job runs", nightly("0 2 * * *"), nightly("0 2 * * *") + "---\n" + job("", "a:1"), []string{"Create Job batch/once: will run now"}},
		{"a changed Job runs again, and the field is named", job("", "a:1"), job("", "a:2"),
			[]string{"Replace Job batch/once: will run again (containers[name=c].image at batch.yaml:1: a:1 → a:2)"}},
		{"a Job that runs once has run", job(", annotations: {rota.dev/rerun: Never}", "a:1"), job(", annotations: {rota.dev/rerun: Never}", "a:2"),
			[]string{"Keep Job batch/once: will not run again (rerun: Never), the change is ignored: it completed at 1111111"}},
		{"a suspended Job has not run", suspendedJob("a:1"), suspendedJob("a:2"),
			[]string{"Replace Job batch/once: will be replaced suspended, before its first run (containers[name=c].image at batch.yaml:1: a:1 → a:2)"}},
		{"a schedule moves", nightly("0 2 * * *"), nightly("30 3 * * *"),
			[]string{`Update CronJob batch/nightly: schedule changes from "0 2 * * *" to "30 3 * * *": next fire moves from 2026-11-24 02:00 Etc/UTC to 2026-11-24 03:30 Etc/UTC`}},
		{"what left is pruned", job("", "a:1") + "---\n" + nightly("0 2 * * *"), nightly("0 2 * * *"), []string{"Delete Job batch/once: left the repository, will be pruned"}},
		{"what cannot change is refused", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: batch}\nimmutable: true\ndata: {a: b}\n",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: batch}\nimmutable: true\ndata: {}\n",
			[]string{"Refuse ConfigMap batch/c: is refused: data.a: it cannot be changed on an object that exists"}},
		{"what waits for the next run is said, also where it was removed", indexedJob("backoffLimitPerIndex: 1, "), indexedJob(""),
			[]string{"Update Job batch/once: will be updated; spec.backoffLimitPerIndex (batch.yaml:1) takes effect with the next run (a Job that exists cannot change it)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Between(Sides{Before: parse(t, tt.before), After: parse(t, tt.after), BeforeRevision: "main@sha1:1111111111111111"}, testOptions(), testNow)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range p.Changes {
				if c.Op != Keep || c.Reason != ReasonUnchanged {
					got = append(got, string(c.Op)+" "+c.Key.String()+": "+c.Effect)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func suspendedJob(image string) string {
	return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: once, namespace: batch}\nspec: {suspend: true, template: {spec: {containers: [{name: c, image: \"" + image + "\"}]}}}\n"
}

func indexedJob(more string) string {
	return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: once, namespace: batch}\nspec: {completionMode: Indexed, completions: 1, " + more + "template: {spec: {containers: [{name: c, image: a}]}}}\n"
}

// randomRevision returns objects of a few keys.
func randomRevision(r *rand.Rand) []schema.Object {
	var objects []schema.Object
	for i := range r.IntN(30) {
		if chance(r, 80) {
			objects = append(objects, randomObject(r, i))
		}
	}
	return objects
}

func TestPropertyBetweenIsThePlanAfterAnApply(t *testing.T) {
	writes := 0
	worlds(t, func(t *testing.T, r *rand.Rand, in Input) {
		before, after := randomRevision(r), randomRevision(r)
		earlier := in.Options
		earlier.Revision, earlier.Incomplete = "main@sha1:1111111111111111", ""
		in.Options.Incomplete = ""

		// What an ideal cluster has after an apply whose Jobs ended.
		empty := Input{Live: map[schema.Key]*unstructured.Unstructured{}, Ledger: Ledger{Jobs: map[schema.Key]Run{}}, Desired: intended(t, before, earlier), Options: earlier, Now: testNow}
		real := carryOut(empty, Compute(empty))
		real.Desired, real.Options = intended(t, after, in.Options), in.Options
		for key, live := range real.Live {
			if key.IsJob() {
				live.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-23T12:00:00Z"}}}
				real.Ledger.Jobs[key] = RunOf(live)
			}
		}
		want := Compute(real)
		got, err := Between(Sides{Before: before, After: after, BeforeRevision: earlier.Revision}, in.Options, testNow)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(summaryOf(want), summaryOf(got)); diff != "" {
			t.Errorf("Between differs from the plan after an apply (-applied +between):\n%s", diff)
		}
		if want.Writes() {
			writes++
		}
	})
	if writes == 0 {
		t.Error("no plan wrote anything: the property was not tested")
	}
}

func TestPropertyBetweenARevisionAndItselfIsNothing(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand, in Input) {
		objects := randomRevision(r)
		sides := Sides{Before: objects, After: objects, BeforeRevision: "main@sha1:1111111111111111"}
		p, err := Between(sides, in.Options, testNow)
		if err != nil {
			t.Fatal(err)
		}
		if totals := p.Totals(); !totals.Idle() || totals.Unchanged != len(objects) {
			t.Errorf("a revision differs from itself:\n%s", p)
		}
	})
}

func TestPropertyBetweenLeavesTheRevisionsAlone(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand, in Input) {
		sides := Sides{Before: randomRevision(r), After: randomRevision(r)}
		var copies []schema.Object
		for _, o := range slices.Concat(sides.Before, sides.After) {
			copies = append(copies, o.DeepCopy())
		}
		first, err := Between(sides, in.Options, testNow)
		if err != nil {
			t.Fatal(err)
		}
		second, _ := Between(sides, in.Options, testNow)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("two plans of the same revisions differ:\n%s", diff)
		}
		if diff := cmp.Diff(copies, slices.Concat(sides.Before, sides.After)); diff != "" {
			t.Errorf("the objects were changed:\n%s", diff)
		}
	})
}

func summaryOf(p Plan) []string {
	var lines []string
	for _, c := range p.Changes {
		lines = append(lines, string(c.Op)+" "+string(c.Reason)+" "+c.Key.String()+": "+c.Effect)
	}
	return append(lines, p.Totals().String())
}
