package plan

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// The values of rota.dev/rerun and rota.dev/while-active.
const (
	RerunOnChange = "OnChange"
	RerunNever    = "Never"
	RerunEnsure   = "Ensure"

	WhileActiveWait    = "Wait"
	WhileActiveReplace = "Replace"
	WhileActiveRefuse  = "Refuse"
)

// decideJob decides on a Job of the repository (DESIGN §4). Every Job ends in
// one of: runs now, already ran, waits, refused.
func decideJob(in Intended, live *unstructured.Unstructured, input *Input) Change {
	return resumed(decideRun(in, live, input))
}

func decideRun(in Intended, live *unstructured.Unstructured, input *Input) Change {
	c := Change{Key: in.Key(), Object: &in.Object, Before: live, Prepare: canVanish(in)}
	if problem := unknownPolicy(in); problem != nil {
		return refuse(c, ReasonInvalid, problem, "is refused: "+problem.Message)
	}
	if live == nil {
		return decideAbsentJob(c, in, input)
	}
	if annotation(live, schema.AnnotationDigest) == in.RunDigest {
		return decideSameJob(c, in, live, input)
	}
	if !appliedByRota(live) {
		c.Force = input.Options.ForceConflicts
		return decide(c, Update, ReasonAdopted, "will be adopted, not run again: it exists, and rota did not apply it")
	}
	run := RunOf(live)
	started := run.Outcome != RunActive || !run.Started.IsZero()
	if rerunOf(in) == RerunNever && started {
		return decide(c, Keep, ReasonIgnored, "will not run again (rerun: Never), the change is ignored: it "+run.describe())
	}
	if input.Ledger.Unreadable != nil {
		return refuse(c, ReasonNoLedger, input.Ledger.Unreadable, "is not replaced: the ledger cannot be read")
	}
	again := c.words().anew + " (" + digestChange(in, live) + ")"
	switch {
	case !started:
		return decide(c, Replace, ReasonChanged, c.words().first+" ("+digestChange(in, live)+")")
	case run.Outcome != RunActive:
		return decide(c, Replace, ReasonRunsAgain, again)
	default:
		return inTheWay(c, in.Object, again, activeRun(live), Replace)
	}
}

// unknownPolicy refuses a value that this version does not know: to take it
// for the default could run a Job that must not run.
func unknownPolicy(in Intended) *schema.Problem {
	annotations, _ := metadataMap(in.Unstructured, "annotations")
	for name, known := range map[string]string{
		schema.AnnotationRerun:       RerunOnChange + ", " + RerunNever + ", " + RerunEnsure,
		schema.AnnotationWhileActive: WhileActiveWait + ", " + WhileActiveReplace + ", " + WhileActiveRefuse,
	} {
		value, set := annotations[name]
		text, _ := value.(string)
		if !set || text != "" && !strings.Contains(text, ",") && strings.Contains(", "+known+",", ", "+text+",") {
			continue
		}
		problem := problemFor(in.Key(), in.Origin, "R228", fmt.Sprintf("%s: %q is unknown to this version of rota", name, fmt.Sprint(value)), "Use one of "+known+".")
		problem.Field = "metadata.annotations" + fieldName(name)
		return problem
	}
	return nil
}

// activeRun names the run of a Job that is not finished.
func activeRun(job *unstructured.Unstructured) string {
	state := "active"
	if held(job) {
		state = "suspended"
	}
	return "the " + state + " run (" + count(activePods(job), "pod") + ")"
}

// inTheWay decides what the active run of a Job or of a schedule does to a
// change that would end it; run names the run.
func inTheWay(c Change, owner schema.Object, effect, run string, op Op) Change {
	switch annotation(owner.Unstructured, schema.AnnotationWhileActive) {
	case WhileActiveReplace:
		return decide(c, op, c.Reason.or(ReasonRunsAgain), effect+", ending "+run)
	case WhileActiveRefuse:
		problem := problemFor(c.Key, owner.Origin, "R226", schema.AnnotationWhileActive+" is "+WhileActiveRefuse+", and in the way is "+run,
			"Wait for the run to end, or set "+schema.AnnotationWhileActive+" to "+WhileActiveWait+" or "+WhileActiveReplace+".")
		refused := "is refused: "
		if op == Delete {
			refused = "left the repository, stays: "
		}
		return refuse(c, ReasonActive, problem, refused+problem.Message)
	default:
		return decide(c, Wait, ReasonActive, effect+" after the end of "+run)
	}
}

func decideAbsentJob(c Change, in Intended, input *Input) Change {
	ran, known := input.Ledger.Jobs[in.Key()]
	if ran.Outcome == RunActive {
		// Nobody saw it end, and it is absent.
		ran.Outcome = RunGone
	}
	rerun := rerunOf(in)
	switch {
	case input.Ledger.Unreadable != nil:
		return refuse(c, ReasonNoLedger, input.Ledger.Unreadable, "is not created: the ledger cannot be read, so that it may have run already")
	case !known:
		return decide(c, Create, ReasonNew, c.words().now)
	case rerun == RerunEnsure:
		return decide(c, Create, ReasonDeletedByHand, c.words().again+": it is absent (rerun: Ensure)")
	case ran.Digest == in.RunDigest:
		return decide(c, Keep, ReasonAlreadyRan, "will not run: "+ran.describe())
	case rerun == RerunNever:
		return decide(c, Keep, ReasonIgnored, "will not run again (rerun: Never), the change is ignored: it "+ran.describe())
	default:
		return decide(c, Create, ReasonRunsAgain, c.words().again+" (its template changed; the last run "+ran.describe()+")")
	}
}

// decideSameJob decides on a live Job that runs, or ran, what is desired.
func decideSameJob(c Change, in Intended, live *unstructured.Unstructured, input *Input) Change {
	if _, prepared := hasAnnotation(live, schema.AnnotationPrepared); prepared {
		if input.Ledger.Unreadable != nil {
			return refuse(c, ReasonNoLedger, input.Ledger.Unreadable, "is not released: the ledger cannot be read")
		}
		c = decide(c, Update, ReasonPrepared, "will run now: it was prepared before an interruption")
		if !c.Starts() {
			c.Effect = "will be released, and run when it is resumed: it was prepared before an interruption"
		}
		return c
	}
	adapted, waiting := adaptImmutable(c.Object, live)
	c.Object = adapted
	return decideSame(c, in, live, input, waiting)
}

// canVanish reports whether the Job may be deleted by the cluster itself
// before the ledger has it.
func canVanish(in Intended) bool {
	spec, _ := in.Object.Object["spec"].(map[string]any)
	return spec["ttlSecondsAfterFinished"] != nil
}

// RunOf returns the ledger's entry for a live Job that rota applied.
func RunOf(live *unstructured.Unstructured) Run {
	run := Run{
		Digest:   annotation(live, schema.AnnotationDigest),
		UID:      string(live.GetUID()),
		Outcome:  RunActive,
		Revision: annotation(live, schema.AnnotationRevision),
	}
	status, _ := live.Object["status"].(map[string]any)
	run.Started = timeOf(status, "startTime")
	conditions, _ := status["conditions"].([]any)
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		if condition["status"] != "True" {
			continue
		}
		switch condition["type"] {
		case string(batchv1.JobComplete):
			run.Outcome, run.Ended = RunComplete, timeOf(condition, "lastTransitionTime")
		case string(batchv1.JobFailed):
			run.Outcome, run.Ended = RunFailed, timeOf(condition, "lastTransitionTime")
		}
	}
	return run
}

// timeOf returns a time as the API writes it; zero if there is none.
func timeOf(fields map[string]any, name string) time.Time {
	text, _ := fields[name].(string)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// Bookkeep returns the ledger entries that live Jobs and absent ones call for
// beyond what ledger has: new runs, outcomes, and runs that vanished. The last
// known state of objects deleted since the last sync is in vanished.
func Bookkeep(live, vanished map[schema.Key]*unstructured.Unstructured, ledger Ledger, setID string) map[schema.Key]Run {
	updates := map[schema.Key]Run{}
	for key, u := range live {
		if !key.IsJob() || label(u, schema.ApplySetPartOf) != setID || annotation(u, schema.AnnotationDigest) == "" {
			continue
		}
		if _, prepared := hasAnnotation(u, schema.AnnotationPrepared); prepared {
			continue
		}
		run := RunOf(u)
		if have, known := ledger.Jobs[key]; !known || !have.same(run) {
			run.Parameters = have.Parameters
			updates[key] = run
		}
	}
	for key, run := range ledger.Jobs {
		if run.Outcome != RunActive {
			continue
		}
		if u := live[key]; u != nil && (string(u.GetUID()) == run.UID || updates[key].UID != "") {
			continue
		}
		run.Outcome = RunGone
		if last := vanished[key]; last != nil && string(last.GetUID()) == run.UID {
			if seen := RunOf(last); seen.Outcome == RunActive {
				run.Outcome, run.Started = RunDeleted, seen.Started
			} else {
				run.Outcome, run.Started, run.Ended = seen.Outcome, seen.Started, seen.Ended
			}
		}
		updates[key] = run
	}
	return updates
}

func (r Run) same(other Run) bool {
	return r.Digest == other.Digest && r.UID == other.UID && r.Outcome == other.Outcome && r.Started.Equal(other.Started) && r.Ended.Equal(other.Ended)
}

// describe says how the run ended, as the end of a sentence about a Job.
func (r Run) describe() string {
	at := ""
	if r.Revision != "" {
		at = " at " + ShortRevision(r.Revision)
	}
	switch r.Outcome {
	case RunComplete:
		return "completed" + at
	case RunFailed:
		return "failed" + at
	case RunDeleted:
		if r.Started.IsZero() {
			return "was created" + at + " and deleted before it started"
		}
		return "was started" + at + " and deleted before it finished"
	case RunGone:
		return "was started" + at + " and is gone, its end was not seen"
	case RunAssumed:
		return "is assumed to have run"
	default:
		if r.Started.IsZero() {
			return "has not started yet"
		}
		return "is running" + at
	}
}

func rerunOf(in Intended) string { return annotation(in.Unstructured, schema.AnnotationRerun) }

func activePods(job *unstructured.Unstructured) int64 {
	status, _ := job.Object["status"].(map[string]any)
	n, _ := status["active"].(int64)
	return n
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (r Reason) or(other Reason) Reason {
	if r != "" {
		return r
	}
	return other
}

// zone-free times in effects are UTC, to the minute.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
