package plan

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// held reports whether a Job is suspended: it exists, and starts no Pod.
func held(job *unstructured.Unstructured) bool {
	spec, _ := job.Object["spec"].(map[string]any)
	suspended, _ := spec["suspend"].(bool)
	return suspended
}

// Starts reports whether c lets a Job start its Pods: it is created, released
// or resumed. One that the repository has suspended does not start.
func (c Change) Starts() bool {
	if !c.Key.IsJob() || c.Object == nil {
		return false
	}
	switch c.Op {
	case Create, Replace:
		return !held(c.Object.Unstructured)
	case Update:
		if restores, prepared := hasAnnotation(c.Before, schema.AnnotationPrepared); prepared {
			return restores != "true"
		}
		return held(c.Before) && RunOf(c.Before).Outcome == RunActive && resumes(c)
	}
	return false
}

// resumes reports whether an update of a suspended Job ends that: by setting
// the field, or by leaving out what rota alone had set.
func resumes(c Change) bool {
	spec, _ := c.Object.Object["spec"].(map[string]any)
	if wanted, set := spec["suspend"].(bool); set {
		return !wanted
	}
	path := []string{"spec", "suspend"}
	if len(ownedAt(c.Before, path)) == 0 {
		return false
	}
	for _, o := range newWalker(c.Before).others {
		if spec, _ := o.fields["f:spec"].(map[string]any); spec["f:suspend"] != nil {
			return false
		}
	}
	return true
}

// runWords say of a Job that is created what becomes of its run.
type runWords struct {
	// now is of a first run, again of one after another; anew is of one whose
	// Job is replaced, and first of one that is replaced before it ran.
	now, again, anew, first string
}

// words returns those for the Job of c: one that the repository suspends is
// there, and does not run.
func (c Change) words() runWords {
	c.Op = Create
	if c.Starts() {
		return runWords{"will run now", "will run again", "will run again", "will be replaced before its first run"}
	}
	return runWords{
		now:   "will be created suspended, and run when it is resumed",
		again: "will be created suspended, and run again when it is resumed",
		anew:  "will be replaced suspended, and run again when it is resumed",
		first: "will be replaced suspended, before its first run",
	}
}

// resumed says of an update of a Job that it lets it run, if it does.
func resumed(c Change) Change {
	if c.Op != Update || !c.Starts() {
		return c
	}
	switch c.Reason {
	case ReasonPrepared:
	case ReasonAdopted:
		c.Effect = "will be adopted and run now: it exists suspended, and rota did not apply it"
	default:
		c.Effect = "will run now, for it is resumed: it " + c.Effect
	}
	return c
}
