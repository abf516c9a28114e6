package plan

import (
	"strings"

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

// ofSuspended corrects what a change says of a run where suspend, of the
// repository or of the cluster, decides about it.
func ofSuspended(c Change) Change {
	switch starts := c.Starts(); {
	case c.Op == Create && !starts:
		c.Effect = strings.Replace(c.Effect, "will run now", "will be created suspended, and run when it is resumed", 1)
		c.Effect = strings.Replace(c.Effect, "will run again", "will be created suspended, and run again when it is resumed", 1)
	case c.Op == Replace && !starts:
		c.Effect = strings.Replace(c.Effect, "will run again", "will be replaced suspended, and run again when it is resumed", 1)
		c.Effect = strings.Replace(c.Effect, "will be replaced before its first run", "will be replaced suspended, before its first run", 1)
	case c.Op == Update && c.Reason == ReasonPrepared && !starts:
		c.Effect = "will be released, and run when it is resumed: it was prepared before an interruption"
	case c.Op == Update && c.Reason == ReasonAdopted && starts:
		c.Effect = "will be adopted and run now: it exists suspended, and rota did not apply it"
	case c.Op == Update && c.Reason != ReasonPrepared && starts:
		c.Effect = "will run now, for it is resumed: it " + c.Effect
	}
	return c
}
