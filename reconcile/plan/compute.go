package plan

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// Compute decides what becomes of every desired object and of every member of
// the inventory. It has no side effects and returns the same Plan for the same
// Input.
func Compute(input Input) Plan {
	p := Plan{Revision: input.Options.Revision, Changes: make([]Change, 0, len(input.Desired))}
	desired := make(map[schema.Key]bool, len(input.Desired))
	for _, in := range input.Desired {
		key := in.Key()
		desired[key] = true
		p.Changes = append(p.Changes, decideObject(in, input.Live[key], &input))
	}
	for key := range input.Refused {
		desired[key] = true
	}
	deletions, problem := prune(&input, desired, p.Changes)
	p.Changes = append(p.Changes, deletions...)
	p.PruneProblem = problem
	p.Changes = sortChanges(p.Changes)
	return p
}

func decideObject(in Intended, live *unstructured.Unstructured, input *Input) Change {
	c := Change{Key: in.Key(), Object: &in.Object, Before: live}
	if problem := input.Refused[in.Key()]; problem != nil {
		if definedHere(in.Key(), input) {
			return decide(c, Wait, ReasonAwaitsKind, "waits for its CustomResourceDefinition, which is in the same revision")
		}
		return refuse(c, ReasonInvalid, problem, "is refused: "+problem.Message)
	}
	if live != nil {
		if problem := foreign(in, live, input.Options); problem != nil {
			return refuse(c, ReasonOwned, problem, "is refused: "+problem.Message)
		}
		if terminating(live) {
			return decide(c, Wait, ReasonTerminating, "waits: the object of this name is being deleted")
		}
	}
	if c.Key.IsJob() {
		return decideJob(in, live, input)
	}
	if live == nil {
		return decideAbsent(c, in, input)
	}
	return foretold(decideSame(c, in, live, input, nil), live)
}

// foretold refuses an update that the API server would refuse, since it changes
// what nobody can change.
func foretold(c Change, live *unstructured.Unstructured) Change {
	if c.Op != Update || c.Object == nil {
		return c
	}
	if problems := Frozen(*c.Object, live); len(problems) > 0 {
		p := problems[0]
		return refuse(c, ReasonInvalid, p, "is refused: "+p.Field+": "+p.Message)
	}
	return c
}

func decideAbsent(c Change, in Intended, input *Input) Change {
	applied, ours := input.Applied[c.Key]
	switch {
	case ours && applied.Digest == in.Digest && input.Options.ReportDrift:
		return decide(c, Keep, ReasonDeletedByHand, "was deleted by hand and stays so (drift: Report)")
	case ours && applied.Digest == in.Digest:
		return decide(c, Create, ReasonDeletedByHand, "will be created again: it was deleted by hand")
	default:
		return decide(c, Create, ReasonNew, "will be created"+firstFire(in, input))
	}
}

// decideSame decides on a live object that may be updated in place, but for
// the fields that wait for a Job's next run.
func decideSame(c Change, in Intended, live *unstructured.Unstructured, input *Input, waiting []string) Change {
	o := input.Options
	if !appliedByRota(live) {
		c.Force = o.ForceConflicts
		return decide(c, Update, ReasonAdopted, "will be adopted: it exists, and rota did not apply it")
	}
	if input.Verified[c.Key] != (Verified{live.GetResourceVersion(), in.Digest}) || live.GetResourceVersion() == "" {
		c.Lost = Lost(c.Object.Unstructured, live)
	}
	applied := annotation(live, schema.AnnotationApplied)
	switch {
	case applied != in.Digest && len(c.Lost) > 0 && lostMark(c.Lost) && !o.ReportDrift:
		// Somebody overwrote our own annotation, so that what was applied last
		// is known no more; what this process remembers decides.
		c.Force = o.ForceConflicts || input.Applied[c.Key].Digest == in.Digest
		return correct(c, live, input)
	case applied != in.Digest && o.HandedBack[c.Key]:
		// What rota owned of it as its scheduler was given up, not lost.
		c.Force = true
		return decide(c, Update, ReasonChanged, "will be left to the cluster's own controller, to which it was handed back")
	case applied != in.Digest && !o.ReportDrift && lostOfLast(c.Key, live, applied, input) != nil:
		return correctFirst(c, live, input)
	case applied != in.Digest:
		c.Force = o.ForceConflicts
		return decide(c, Update, ReasonChanged, changeEffect(in, live, input, waiting))
	case len(c.Lost) == 0:
		return decide(c, Keep, ReasonUnchanged, unchanged(c.Key, live))
	case o.ReportDrift:
		return decide(c, Keep, ReasonDrifted, "has drifted and stays so (drift: Report): "+describeLost(c.Lost, live))
	default:
		// The digest says that what we want is what we applied last, so every
		// field that force can take is one that was ours.
		c.Force = true
		return correct(c, live, input)
	}
}

// mostCorrections is how often a minute the same object is corrected. Beyond
// it somebody undoes every correction at once, and a loop without end would
// load the API server for nothing.
const mostCorrections = 10

func correct(c Change, live *unstructured.Unstructured, input *Input) Change {
	lost := describeLost(c.Lost, live)
	if n := input.Corrected[c.Key]; n >= mostCorrections {
		return decide(c, Wait, ReasonFought, fmt.Sprintf("will be corrected later: somebody undid %d corrections within a minute; %s", n, lost))
	}
	return decide(c, Update, ReasonDrifted, "will be corrected: "+lost)
}

// correctFirst decides on an object that drifted and that the repository wants
// changed as well. Force may take back only what was ours, so what was applied
// last is applied again, whole; the change comes in the next round, unforced.
func correctFirst(c Change, live *unstructured.Unstructured, input *Input) Change {
	last := input.Applied[c.Key]
	c.Object, c.Lost, c.Force = &last.Object, Lost(last.Unstructured, live), true
	c = correct(c, live, input)
	if c.Op == Update {
		c.Reason, c.Effect = ReasonDriftedFirst, c.Effect+"; then it will be updated"
	}
	return c
}

// lostOfLast returns the fields that were lost of what this process applied
// last, if that is what live says was applied last.
func lostOfLast(key schema.Key, live *unstructured.Unstructured, applied string, input *Input) []LostField {
	last, known := input.Applied[key]
	if !known || last.Unstructured == nil || last.Digest != applied {
		return nil
	}
	return Lost(last.Unstructured, live)
}

func unchanged(key schema.Key, live *unstructured.Unstructured) string {
	if key.IsJob() {
		return "is unchanged: it " + RunOf(live).describe()
	}
	return "is unchanged"
}

func lostMark(lost []LostField) bool {
	for _, f := range lost {
		if strings.HasPrefix(f.Path, "metadata.annotations") && strings.Contains(f.Path, schema.AnnotationApplied) {
			return true
		}
	}
	return false
}

// foreign returns why live is not ours to apply over; nil if it is.
func foreign(in Intended, live *unstructured.Unstructured, o Options) *schema.Problem {
	if owner := label(live, schema.ApplySetPartOf); owner != "" && owner != o.SetID {
		name := o.Owners[owner]
		if name == "" {
			name = "the ApplySet " + owner
		}
		return problemFor(in.Key(), in.Origin, "R225", "it belongs to "+name,
			"Remove it from one of the two, or rename it in this repository.")
	}
	if !owned(live) {
		return nil
	}
	if ref := metav1.GetControllerOf(live); ref != nil {
		return problemFor(in.Key(), in.Origin, "R227", fmt.Sprintf("it is controlled by %s %s", ref.Kind, ref.Name),
			"Rename the object in the repository: this name is taken by one that a controller made.")
	}
	if schedule := label(live, schema.LabelSchedule); schedule != "" && label(in.Unstructured, schema.LabelSchedule) == "" {
		return problemFor(in.Key(), in.Origin, "R227", "it is a run of CronJob "+schedule,
			"Rename the object in the repository: this name is taken by a scheduled run.")
	}
	return nil
}

func definedHere(key schema.Key, input *Input) bool {
	for _, in := range input.Desired {
		if in.GetKind() != "CustomResourceDefinition" {
			continue
		}
		group, _, _ := unstructured.NestedString(in.Object.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(in.Object.Object, "spec", "names", "kind")
		if group == key.Group && kind == key.Kind {
			return true
		}
	}
	return false
}

func decide(c Change, op Op, reason Reason, effect string) Change {
	c.Op, c.Reason, c.Effect = op, reason, effect
	return c
}

func refuse(c Change, reason Reason, problem *schema.Problem, effect string) Change {
	c.Op, c.Reason, c.Effect, c.Problem = Refuse, reason, effect, problem
	return c
}

func problemFor(key schema.Key, origin schema.Origin, rule, message, mend string) *schema.Problem {
	return &schema.Problem{Rule: rule, Severity: schema.SeverityError, Origin: origin, Object: &key, Message: message, Mend: mend}
}
