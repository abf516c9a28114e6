package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// dishonest is what a plan said that did not come true.
type dishonest struct{ what, context string }

func (d *dishonest) Error() string { return d.what + "\n" + d.context }

func lines(p plan.Plan) string {
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "    %s %s %s: %s\n", c.Op, c.Reason, c.Key, c.Effect)
	}
	return b.String()
}

// round is one sync: what was announced, what went over the wire, and the
// cluster before and after.
type round struct {
	plan, carried plan.Plan
	outcomes      []plan.Outcome
	before, after snapshot
	writes        []write
	booked        map[string]string
}

// on returns the writes of one object.
func (r *round) on(key schema.Key) []write {
	var found []write
	for _, w := range r.writes {
		if w.key == key {
			found = append(found, w)
		}
	}
	return found
}

// failedOn reports whether a write of an object was not accepted at last.
func (r *round) failedOn(c plan.Change) bool {
	on := r.on(c.Key)
	return len(on) > 0 && !on[len(on)-1].ok()
}

// failed reports whether that is so for any object of the plan.
func (r *round) failed() bool { return slices.ContainsFunc(r.plan.Changes, r.failedOn) }

// leavesMore reports whether the plan said that there is more to do later.
func (r *round) leavesMore() bool {
	return r.failed() || slices.ContainsFunc(r.plan.Changes, func(c plan.Change) bool {
		return c.Reason == plan.ReasonDriftedFirst || c.Reason == plan.ReasonPrepared
	})
}

// judge holds syncs to what was announced. It goes by the wire, by the cluster,
// and by what it saw of Jobs before, not by outcomes.
type judge struct {
	world *honestWorld
	// ran is what each Job ran last.
	ran map[schema.Key]string
	// seen counts what was announced.
	seen map[string]int

	round *round
	found []string
}

func newJudge(w *honestWorld, seen map[string]int) *judge {
	return &judge{world: w, ran: map[schema.Key]string{}, seen: seen}
}

func (j *judge) say(c plan.Change, format string, args ...any) {
	j.found = append(j.found, fmt.Sprintf("%s was announced as %s %s, %q, and %s", c.Key, c.Op, c.Reason, c.Effect, fmt.Sprintf(format, args...)))
}

// judge returns what was not as announced. Last is the round before of the same
// revision, nil for the first.
func (j *judge) judge(r, last *round) error {
	j.round, j.found = r, nil
	if diff := cmp.Diff(lines(r.plan), lines(r.carried)); diff != "" {
		j.found = append(j.found, "two plans on the same state differ:\n"+diff)
	}
	if last != nil && !last.leavesMore() {
		j.found = append(j.found, "a second plan is not empty")
	}
	starts := 0
	for _, c := range r.plan.Changes {
		j.seen[fmt.Sprint(c.Op, " ", c.Reason)]++
		j.change(c)
		if j.runs(c) {
			starts++
		}
	}
	if t := r.plan.Totals(); t.RunNow+t.RunAgain != starts && !r.failed() {
		j.found = append(j.found, fmt.Sprintf("%q was announced, and %d started", t, starts))
	}
	j.others()
	if len(j.found) == 0 {
		return nil
	}
	var wrote strings.Builder
	for _, w := range r.writes {
		fmt.Fprintf(&wrote, "    %s\n", w)
	}
	return &dishonest{strings.Join(j.found, "\n"), "  the plan:\n" + lines(r.plan) + "  the writes:\n" + wrote.String()}
}

// change judges what became of one object.
func (j *judge) change(c plan.Change) {
	on, before, after := j.round.on(c.Key), j.round.before[c.Key], j.round.after[c.Key]
	if j.round.failedOn(c) {
		j.refused(c, on[len(on)-1])
		return
	}
	switch {
	case c.Retire:
		j.wrote(c, "PATCH")
		if after != nil && firesStill(after) {
			j.say(c, "it fires still")
		}
	case c.Op == plan.Keep, c.Op == plan.Wait, c.Op == plan.Refuse:
		if len(on) > 0 {
			j.say(c, "was written: %s", on)
		}
		if version(before) != version(after) && (before == nil || before.GetDeletionTimestamp() == nil) {
			j.say(c, "changed from %s to %s", version(before), version(after))
		}
		if c.Op == plan.Keep && c.Reason == plan.ReasonUnchanged && !c.Key.IsJob() {
			j.asWanted(c) // of a Job some fields wait for its next run
		}
	case c.Op == plan.Delete && len(on) == 0 && j.round.failed():
		// Nothing is pruned after an error, which was told.
	case c.Op == plan.Delete:
		j.deleted(c)
	case c.Op == plan.Create:
		j.created(c)
	case c.Op == plan.Update:
		j.updated(c)
	case c.Op == plan.Replace:
		j.replaced(c)
	}
	if c.Key.IsCronJob() && after != nil && before != nil {
		j.schedule(c)
	}
}

// refused judges a write that the server did not accept, or that was lost: it
// must be told, and the object be as it was, but for what was done before.
func (j *judge) refused(c plan.Change, last write) {
	told := slices.ContainsFunc(j.round.outcomes, func(o plan.Outcome) bool { return o.Change.Key == c.Key && o.Problem != nil })
	if !told {
		j.say(c, "%s was not told", last)
	}
	before, after := j.round.before[c.Key], j.round.after[c.Key]
	if version(before) != version(after) && c.Op != plan.Replace && !(c.Op == plan.Create && last.status == 0) {
		j.say(c, "%s left it changed", last)
	}
}

// ends sees that an active run is ended only by who is asked to: the repository
// or, of what left it, the object.
func (j *judge) ends(c plan.Change, asked map[string]any) {
	before := j.round.before[c.Key]
	if c.Key.IsJob() && begun(before) && !ended(before) && asked["rota.dev/while-active"] != "Replace" {
		j.say(c, "an active run ended with it")
	}
}

// wrote holds the writes of an object to their verbs: those of them that were
// accepted. An apply may be refused once, over what rota wrote otherwise.
func (j *judge) wrote(c plan.Change, verbs ...string) {
	var got []string
	for _, w := range j.round.on(c.Key) {
		if w.ok() {
			got = append(got, w.verb)
		}
		if w.verb == "DELETE" && w.ok() {
			only, _ := w.body["preconditions"].(map[string]any)
			if c.Before == nil || only["uid"] != string(c.Before.GetUID()) {
				j.say(c, "was deleted whatever it is by then: %v", w.body)
			}
		}
		if w.force && w.verb == "APPLY" && !j.mayForce(c) {
			j.say(c, "took fields by force")
		}
	}
	if !slices.Equal(got, verbs) {
		j.say(c, "the writes are %v, want %v", j.round.on(c.Key), verbs)
	}
}

func (j *judge) mayForce(c plan.Change) bool {
	switch c.Reason {
	case plan.ReasonDrifted, plan.ReasonDriftedFirst:
		return true
	}
	// A conflict with what rota itself wrote is no conflict.
	return j.world.options.Force || len(j.round.on(c.Key)) > 1 || strings.Contains(c.Effect, "handed back")
}

func (j *judge) created(c plan.Change) {
	before, after := j.round.before[c.Key], j.round.after[c.Key]
	if before != nil || after == nil {
		j.say(c, "it was there before: %v, after: %v", before != nil, after != nil)
		return
	}
	verbs := []string{"APPLY"}
	if c.Key.IsJob() && j.wanted(c, "spec", "ttlSecondsAfterFinished") != nil {
		verbs = append(verbs, "PATCH") // its release
	}
	j.wrote(c, verbs...)
	j.asWanted(c)
}

func (j *judge) updated(c plan.Change) {
	before, after := j.round.before[c.Key], j.round.after[c.Key]
	if before == nil || after == nil || before.GetUID() != after.GetUID() {
		j.say(c, "it is another object than before")
		return
	}
	if version(before) == version(after) {
		j.say(c, "nothing changed")
	}
	if c.Reason == plan.ReasonPrepared {
		j.wrote(c, "PATCH")
		return
	}
	j.wrote(c, "APPLY")
	if c.Reason != plan.ReasonDriftedFirst && !strings.Contains(c.Effect, "takes effect with the next run") {
		j.asWanted(c)
	}
}

func (j *judge) replaced(c plan.Change) {
	before, after := j.round.before[c.Key], j.round.after[c.Key]
	if before == nil || after == nil || before.GetUID() == after.GetUID() {
		j.say(c, "it is not another object than before")
		return
	}
	asked, _ := j.wanted(c, "metadata", "annotations").(map[string]any)
	j.ends(c, asked)
	verbs := []string{"DELETE", "APPLY"}
	if j.wanted(c, "spec", "ttlSecondsAfterFinished") != nil {
		verbs = append(verbs, "PATCH")
	}
	j.wrote(c, verbs...)
	j.asWanted(c)
}

func (j *judge) deleted(c plan.Change) {
	before, after := j.round.before[c.Key], j.round.after[c.Key]
	if before == nil {
		j.say(c, "it was not there")
		return
	}
	j.wrote(c, "DELETE")
	asked, _, _ := unstructured.NestedMap(before.Object, "metadata", "annotations")
	j.ends(c, asked)
	switch {
	case before.GetLabels()[schema.ApplySetPartOf] != j.world.set.ID() || len(before.GetOwnerReferences()) > 0:
		j.say(c, "it was not the Sync's to delete")
	case !j.world.options.Prune || j.world.repository[j.target(c.Key)] != nil:
		j.say(c, "nobody wants it deleted")
	case after != nil && after.GetDeletionTimestamp() == nil:
		j.say(c, "it is there still")
	}
}

// others sees that nothing was written or changed that the plan does not have.
func (j *judge) others() {
	planned := map[schema.Key]bool{}
	for _, c := range j.round.plan.Changes {
		planned[c.Key] = true
	}
	for _, w := range j.round.writes {
		own := w.key.Namespace == j.world.system && w.key.Kind == "ConfigMap" || w.key.Kind == "Namespace" && w.key.Name == j.world.system
		if !own && !planned[w.key] {
			j.found = append(j.found, fmt.Sprintf("%s was not announced", w))
		}
	}
	for key, before := range j.round.before {
		if !planned[key] && version(before) != version(j.round.after[key]) && before.GetDeletionTimestamp() == nil {
			j.found = append(j.found, fmt.Sprintf("%s changed and is not in the plan", key))
		}
	}
	for key := range j.round.after {
		if j.round.before[key] == nil && !planned[key] {
			j.found = append(j.found, fmt.Sprintf("%s was created and is not in the plan", key))
		}
	}
}

func version(u *unstructured.Unstructured) string {
	if u == nil {
		return "absent"
	}
	return string(u.GetUID()) + "@" + u.GetResourceVersion()
}

// target returns what a story calls an object.
func (j *judge) target(key schema.Key) string {
	for name, known := range resources {
		if known.kind == key.Kind && key.Kind == "Namespace" {
			return "namespaces/second"
		} else if known.kind == key.Kind {
			return name + "/" + key.Name
		}
	}
	return ""
}

// wanted returns a field as the repository has it.
func (j *judge) wanted(c plan.Change, path ...string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(j.world.repository[j.target(c.Key)], path...)
	return v
}

// asWanted sees that every value of the repository is in the cluster.
func (j *judge) asWanted(c plan.Change) {
	want := (&unstructured.Unstructured{Object: j.world.repository[j.target(c.Key)]}).DeepCopy().Object
	after := j.round.after[c.Key]
	if c.Key.IsCronJob() {
		if suspended(after) != (&unstructured.Unstructured{Object: want}).Object["spec"].(map[string]any)["suspend"] {
			j.say(c, "it is suspended: %v", suspended(after))
		}
		unstructured.RemoveNestedField(want, "spec", "suspend")
	}
	if c.Key.Kind == "Secret" {
		delete(want, "stringData") // never stored
	}
	if path := lacks(want, after.Object, ""); path != "" {
		j.say(c, "%s is not as the repository has it", path)
	}
}

// lacks returns the path of a value of want that have does not have.
func lacks(want, have any, path string) string {
	switch w := want.(type) {
	case map[string]any:
		h, _ := have.(map[string]any)
		for k, v := range w {
			if at := lacks(v, h[k], path+"."+k); at != "" {
				return at
			}
		}
		return ""
	case []any:
		h, _ := have.([]any)
		if len(h) != len(w) {
			return path
		}
		for i := range w {
			if at := lacks(w[i], h[i], fmt.Sprintf("%s[%d]", path, i)); at != "" {
				return at
			}
		}
		return ""
	}
	if fmt.Sprint(want) != fmt.Sprint(have) {
		return path
	}
	return ""
}

// suspended reports whether a CronJob fires nothing, by whoever schedules it.
func suspended(cronJob *unstructured.Unstructured) bool {
	if cronJob.GetAnnotations()["rota.dev/scheduler"] == "rota" {
		return cronJob.GetAnnotations()["rota.dev/suspended"] == "true"
	}
	yes, _, _ := unstructured.NestedBool(cronJob.Object, "spec", "suspend")
	return yes
}

func firesStill(cronJob *unstructured.Unstructured) bool { return !suspended(cronJob) }

// schedule judges what was said of a CronJob that exists.
func (j *judge) schedule(c plan.Change) {
	was, is := suspended(j.round.before[c.Key]), suspended(j.round.after[c.Key])
	said := strings.Contains(c.Effect, "will be suspended") || strings.Contains(c.Effect, "will be resumed")
	switch {
	case c.Reason != plan.ReasonChanged:
		// A correction names the field, an adoption nothing.
	case said != (was != is):
		j.say(c, "it was suspended: %v, and is: %v", was, is)
	case strings.Contains(c.Effect, "will be suspended") && !is:
		j.say(c, "it is not suspended")
	}
}
