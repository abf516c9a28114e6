package plan

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// pruneFloor is the size of inventory from which maxPercent counts: below it
// a single rename would trip the guard.
const pruneFloor = 10

// prune decides on the members that the repository no longer asks for. It
// returns their changes and, when something that should go must stay, why.
func prune(input *Input, desired map[schema.Key]bool, applied []Change) ([]Change, *schema.Problem) {
	if input.Options.SetID == "" {
		// Without an id everything that has no label would be a member.
		return nil, nil
	}
	var left []schema.Key
	members, going := 0, 0
	for key, live := range input.Live {
		// What has an owner was made by a controller, not applied by us.
		if live == nil || label(live, schema.ApplySetPartOf) != input.Options.SetID || owned(live) {
			continue
		}
		members++
		if desired[key] {
			continue
		}
		left = append(left, key)
		if !keptForever(key) && !terminating(live) {
			going++
		}
	}
	slices.SortFunc(left, schema.Key.Compare)
	if len(left) == 0 {
		return nil, nil
	}
	problem := pruneProblem(input.Options, len(input.Desired), going, members)
	skipped := skipReason(input.Options, applied)
	changes := make([]Change, 0, len(left))
	for _, key := range left {
		c := Change{Key: key, Before: input.Live[key]}
		switch {
		case problem != nil:
			c = refuse(c, ReasonPruneGuard, problem, "left the repository, stays: "+problem.Message)
		case skipped != "":
			c = decide(c, Keep, ReasonPruneSkipped, "left the repository, stays: "+skipped)
		default:
			c = pruneOne(c)
		}
		changes = append(changes, c)
	}
	return changes, problem
}

func pruneProblem(o Options, desired, going, members int) *schema.Problem {
	if !o.Prune || o.Incomplete != "" {
		return nil
	}
	switch {
	case going == 0:
		return nil
	case desired == 0:
		return &schema.Problem{Rule: "R230", Severity: schema.SeverityError,
			Message: fmt.Sprintf("the revision renders to no object at all, which would delete all %d of the inventory", members),
			Mend:    "Check the path and the branch. To delete everything on purpose, set prune.maxPercent to 100 and keep one object."}
	case members >= pruneFloor && going*100 > members*o.MaxPrunePercent:
		return &schema.Problem{Rule: "R231", Severity: schema.SeverityError,
			Message: fmt.Sprintf("%d of %d objects would be deleted, more than prune.maxPercent (%d %%) allows", going, members, o.MaxPrunePercent),
			Mend:    "Check that the right path is rendered. If it is meant, raise prune.maxPercent for this change."}
	}
	return nil
}

func skipReason(o Options, applied []Change) string {
	switch {
	case !o.Prune:
		return "prune is off"
	case o.Incomplete != "":
		return o.Incomplete
	}
	for _, c := range applied {
		if c.Op == Refuse {
			return fmt.Sprintf("%s is refused", c.Key)
		}
	}
	return ""
}

// fires reports whether rota or the cluster's own controller goes on starting
// runs of a CronJob.
func fires(cronJob *unstructured.Unstructured) bool {
	if annotation(cronJob, schema.AnnotationScheduler) == "rota" {
		return annotation(cronJob, schema.AnnotationSuspended) != "true"
	}
	spec, _ := cronJob.Object["spec"].(map[string]any)
	suspended, _ := spec["suspend"].(bool)
	return !suspended
}

// keptForever reports whether deleting the object would delete others that
// rota may know nothing of.
func keptForever(k schema.Key) bool {
	return k.Group == "" && k.Kind == "Namespace" || k.Group == "apiextensions.k8s.io" && k.Kind == "CustomResourceDefinition"
}

// pruneOne decides on one member that may go.
func pruneOne(c Change) Change {
	switch {
	case keptForever(c.Key):
		return decide(c, Keep, ReasonPruneSkipped,
			"left the repository, stays: to delete it would delete what rota never applied; delete it by hand")
	case terminating(c.Before):
		return decide(c, Wait, ReasonTerminating, "is being deleted")
	}
	c.Reason = ReasonLeft
	owner := schema.Object{Unstructured: c.Before}
	if c.Key.IsJob() {
		if run := RunOf(c.Before); run.Outcome == RunActive && !run.Started.IsZero() {
			return inTheWay(c, owner, "left the repository, will be pruned", activeRun(c.Before), Delete)
		}
	}
	if c.Key.IsCronJob() {
		status, _ := c.Before.Object["status"].(map[string]any)
		if active, _ := status["active"].([]any); len(active) > 0 {
			c = inTheWay(c, owner, "left the repository, will be pruned", "its "+count(int64(len(active)), "active run"), Delete)
			c.Retire = c.Op != Delete && fires(c.Before)
			return c
		}
	}
	return decide(c, Delete, ReasonLeft, "left the repository, will be pruned")
}
