package reconcile

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/plan"
)

// runs judges a Job by its uids: whether it started, whether that was said, and
// whether it may have (DESIGN §4). It reports whether it started.
func (j *judge) runs(c plan.Change) bool {
	if !c.Key.IsJob() {
		return false
	}
	before, after := j.round.before[c.Key], j.round.after[c.Key]
	fresh := after != nil && (before == nil || before.GetUID() != after.GetUID())
	started := canRun(after) && (fresh || !canRun(before)) && len(j.round.on(c.Key)) > 0
	said := strings.Contains(c.Effect, "will run now") || strings.Contains(c.Effect, "will run again") || strings.Contains(c.Effect, "will be replaced before its first run")
	said = said && (c.Op == plan.Create || c.Op == plan.Replace || c.Op == plan.Update)
	if !j.round.failedOn(c) && started != said && len(j.round.on(c.Key)) > 0 {
		j.say(c, "it started: %v", started)
	}
	if (c.Reason == plan.ReasonAlreadyRan || c.Reason == plan.ReasonIgnored) && j.ran[c.Key] == "" {
		j.say(c, "it never ran")
	}
	if fresh {
		j.mayRun(c, before)
	}
	j.remember(c, after, fresh)
	return started
}

// canRun reports whether nothing holds a Job back.
func canRun(job *unstructured.Unstructured) bool {
	if job == nil {
		return false
	}
	held, _, _ := unstructured.NestedBool(job.Object, "spec", "suspend")
	_, prepared := job.GetAnnotations()["rota.dev/prepared"]
	return !held && !prepared
}

// mayRun judges a new run of a Job against its last one.
func (j *judge) mayRun(c plan.Change, before *unstructured.Unstructured) {
	last, ran := j.ran[c.Key]
	rerun := j.rerun(c)
	switch {
	case !ran:
	case before != nil && !begun(before) && last != j.work(c):
		// Replaced before its first run.
	case rerun == "Ensure" && before == nil:
	case rerun == "Never":
		j.say(c, "it ran before, and may run once")
	case last == j.work(c):
		j.say(c, "it ran this before")
	}
	if uid := j.round.booked[c.Key.Namespace+"/"+c.Key.Name]; uid != string(j.round.after[c.Key].GetUID()) && !j.round.failedOn(c) {
		j.say(c, "the ledger has the run %q", uid)
	}
	if last == j.work(c) && rerun != "Ensure" && strings.Contains(c.Effect, "template changed") {
		j.say(c, "its template did not change")
	}
	if !ran && strings.Contains(c.Effect, "will run again") {
		j.say(c, "it never ran before")
	}
}

// begun reports whether a Job has started or ended.
func begun(job *unstructured.Unstructured) bool {
	start, _, _ := unstructured.NestedString(job.Object, "status", "startTime")
	return start != ""
}

func ended(job *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(job.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition, _ := c.(map[string]any)
		return condition["status"] == "True" && (condition["type"] == "Complete" || condition["type"] == "Failed")
	})
}

// remember takes note of what a Job of rota's runs.
func (j *judge) remember(c plan.Change, after *unstructured.Unstructured, fresh bool) {
	if after == nil || len(j.round.on(c.Key)) == 0 || c.Op == plan.Delete {
		return
	}
	if _, prepared := after.GetAnnotations()["rota.dev/prepared"]; prepared {
		return
	}
	if fresh || c.Reason == plan.ReasonAdopted || c.Reason == plan.ReasonPrepared || j.ran[c.Key] == "" {
		j.ran[c.Key] = j.work(c)
	}
}

func (j *judge) rerun(c plan.Change) string {
	rerun, _ := j.wanted(c, "metadata", "annotations").(map[string]any)
	text, _ := rerun["rota.dev/rerun"].(string)
	return text
}

// work is what a Job of the repository runs.
func (j *judge) work(c plan.Change) string {
	return compact([]any{j.wanted(c, "spec", "template"), j.wanted(c, "spec", "completions"), j.wanted(c, "spec", "completionMode")})
}
