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
	var left []schema.Key
	members := 0
	for key, live := range input.Live {
		// What has an owner was made by a controller, not applied by us.
		if live.GetLabels()[schema.ApplySetPartOf] != input.Options.SetID || len(live.GetOwnerReferences()) > 0 {
			continue
		}
		members++
		if !desired[key] {
			left = append(left, key)
		}
	}
	slices.SortFunc(left, schema.Key.Compare)
	if len(left) == 0 {
		return nil, nil
	}
	problem := pruneProblem(input.Options, len(input.Desired), len(left), members)
	skipped := skipReason(input.Options, applied)
	changes := make([]Change, 0, len(left))
	for _, key := range left {
		c := Change{Key: key, Before: input.Live[key]}
		switch {
		case problem != nil:
			c = refuse(c, ReasonPruneGuard, problem, "left the repository but is kept: "+problem.Message)
		case skipped != "":
			c = decide(c, Keep, ReasonPruneSkipped, "left the repository; not pruned: "+skipped)
		default:
			c = pruneOne(c)
		}
		changes = append(changes, c)
	}
	return changes, problem
}

func pruneProblem(o Options, desired, left, members int) *schema.Problem {
	if !o.Prune || o.Incomplete != "" {
		return nil
	}
	switch {
	case desired == 0:
		return &schema.Problem{Rule: "R230", Severity: schema.SeverityError,
			Message: fmt.Sprintf("the revision renders to no object at all, which would delete all %d of the inventory", members),
			Mend:    "check the path and the branch; to delete everything on purpose, set prune.maxPercent to 100 and keep one object"}
	case members >= pruneFloor && left*100 > members*o.MaxPrunePercent:
		return &schema.Problem{Rule: "R231", Severity: schema.SeverityError,
			Message: fmt.Sprintf("%d of %d objects would be deleted, more than prune.maxPercent (%d %%) allows", left, members, o.MaxPrunePercent),
			Mend:    "check that the right path is rendered; if it is meant, raise prune.maxPercent for this change"}
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

// pruneOne decides on one member that may go.
func pruneOne(c Change) Change {
	switch {
	case c.Key.Kind == "Namespace" || c.Key.Kind == "CustomResourceDefinition":
		return decide(c, Keep, ReasonPruneSkipped,
			"left the repository; not pruned: deleting it would delete what rota never applied; delete it by hand")
	case c.Before.GetDeletionTimestamp() != nil:
		return decide(c, Wait, ReasonTerminating, "is being deleted")
	}
	c.Reason = ReasonLeft
	owner := schema.Object{Unstructured: c.Before}
	if c.Key.IsJob() {
		if run := RunOf(c.Before); run.Outcome == RunActive && !run.Started.IsZero() {
			return inTheWay(c, owner, "will be pruned", activePods(c.Before), Delete)
		}
	}
	if c.Key.IsCronJob() {
		if active, _, _ := unstructured.NestedSlice(c.Before.Object, "status", "active"); len(active) > 0 {
			c = inTheWay(c, owner, "will be pruned", int64(len(active)), Delete)
			c.Retire = c.Op != Delete && c.Before.GetAnnotations()[schema.AnnotationScheduler] == "rota" &&
				c.Before.GetAnnotations()[schema.AnnotationSuspended] != "true"
			return c
		}
	}
	return decide(c, Delete, ReasonLeft, "will be pruned: it left the repository")
}
