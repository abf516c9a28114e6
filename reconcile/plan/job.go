package plan

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

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
	c := Change{Key: in.Key(), Object: &in.Object, Before: live, Prepare: canVanish(in)}
	if live == nil {
		return decideAbsentJob(c, in, input)
	}
	if live.GetAnnotations()[schema.AnnotationDigest] == in.RunDigest {
		return decideSameJob(c, in, live, input)
	}
	run := RunOf(live)
	if live.GetLabels()[schema.ApplySetPartOf] == "" {
		return decide(c, Update, ReasonAdopted, "will be adopted: it exists, and rota did not apply it")
	}
	again := "will run again (" + digestChange(in.Object.Unstructured, live) + ")"
	if rerunOf(in) == RerunNever {
		return decide(c, Keep, ReasonIgnored, "will not run again (rerun: Never); the change is ignored")
	}
	if input.Ledger.Unreadable != nil {
		return refuse(c, ReasonNoLedger, input.Ledger.Unreadable, "waits for the ledger")
	}
	if run.Outcome != RunActive || run.Started.IsZero() {
		return decide(c, Replace, ReasonRunsAgain, again)
	}
	return inTheWay(c, in.Object, again, activePods(live), Replace)
}

// inTheWay decides what the active run of a Job or of a schedule does to a
// change that would end it.
func inTheWay(c Change, owner schema.Object, effect string, pods int64, op Op) Change {
	switch owner.GetAnnotations()[schema.AnnotationWhileActive] {
	case WhileActiveReplace:
		return decide(c, op, c.Reason.or(ReasonRunsAgain), fmt.Sprintf("%s, ending the active run (%s)", effect, count(pods, "pod")))
	case WhileActiveRefuse:
		problem := problemFor(c.Key, owner.Origin, "R226", fmt.Sprintf("a run is active (%s) and rota.dev/while-active is Refuse", count(pods, "pod")),
			"wait for the run to end, or set rota.dev/while-active to Wait or Replace")
		return refuse(c, ReasonActive, problem, "is refused: a run is active")
	default:
		return decide(c, Wait, ReasonActive, fmt.Sprintf("%s, after the active run (%s) ends", effect, count(pods, "pod")))
	}
}

func decideAbsentJob(c Change, in Intended, input *Input) Change {
	ran, known := input.Ledger.Jobs[in.Key()]
	rerun := rerunOf(in)
	switch {
	case input.Ledger.Unreadable != nil:
		return refuse(c, ReasonNoLedger, input.Ledger.Unreadable, "is not created: the ledger cannot be read")
	case !known:
		return decide(c, Create, ReasonNew, "will run now")
	case rerun == RerunEnsure:
		return decide(c, Create, ReasonDeletedByHand, "will run again: it is absent (rerun: Ensure)")
	case ran.Digest == in.RunDigest:
		return decide(c, Keep, ReasonAlreadyRan, "will not run: "+ran.describe())
	case rerun == RerunNever:
		return decide(c, Keep, ReasonIgnored, "will not run again (rerun: Never); the change is ignored: "+ran.describe())
	default:
		return decide(c, Create, ReasonRunsAgain, "will run again (what it runs changed since it "+ran.describe()+")")
	}
}

// decideSameJob decides on a live Job that runs, or ran, what is desired.
func decideSameJob(c Change, in Intended, live *unstructured.Unstructured, input *Input) Change {
	if _, prepared := live.GetAnnotations()[schema.AnnotationPrepared]; prepared {
		if input.Ledger.Unreadable != nil {
			return refuse(c, ReasonNoLedger, input.Ledger.Unreadable, "waits for the ledger")
		}
		return decide(c, Update, ReasonPrepared, "will run now: it was prepared before an interruption")
	}
	c.Object = adaptImmutable(c.Object, live)
	return decideSame(c, in, live, input, "is unchanged: "+RunOf(live).describe())
}

// adaptImmutable returns desired with the fields that a Job cannot change and
// that its digest leaves out taken from live: they wait for the next run.
func adaptImmutable(desired *schema.Object, live *unstructured.Unstructured) *schema.Object {
	adapted := desired.DeepCopy()
	for _, field := range []string{"selector", "manualSelector", "podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "managedBy", "podReplacementPolicy"} {
		_, wanted, _ := unstructured.NestedFieldNoCopy(adapted.Object, "spec", field)
		if !wanted {
			continue
		}
		v, found, _ := unstructured.NestedFieldCopy(live.Object, "spec", field)
		if !found {
			unstructured.RemoveNestedField(adapted.Object, "spec", field)
			continue
		}
		spec := adapted.Object["spec"].(map[string]any)
		spec[field] = v
	}
	return &adapted
}

// canVanish reports whether the Job may be deleted by the cluster itself
// before the ledger has it.
func canVanish(in Intended) bool {
	_, found, _ := unstructured.NestedFieldNoCopy(in.Object.Object, "spec", "ttlSecondsAfterFinished")
	return found
}

// RunOf returns the ledger's entry for a live Job that rota applied.
func RunOf(live *unstructured.Unstructured) Run {
	annotations := live.GetAnnotations()
	run := Run{
		Digest:   annotations[schema.AnnotationDigest],
		UID:      string(live.GetUID()),
		Outcome:  RunActive,
		Revision: annotations[schema.AnnotationRevision],
	}
	var status batchv1.JobStatus
	if fields, ok := live.Object["status"].(map[string]any); ok {
		if runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &status) != nil {
			return run
		}
	}
	if status.StartTime != nil {
		run.Started = status.StartTime.UTC()
	}
	for _, cond := range status.Conditions {
		if cond.Status != "True" {
			continue
		}
		switch cond.Type {
		case batchv1.JobComplete:
			run.Outcome, run.Ended = RunComplete, cond.LastTransitionTime.UTC()
		case batchv1.JobFailed:
			run.Outcome, run.Ended = RunFailed, cond.LastTransitionTime.UTC()
		}
	}
	return run
}

// Bookkeep returns the ledger entries that live Jobs and absent ones call for
// beyond what ledger has: new runs, outcomes, and runs that vanished. The last
// known state of objects deleted since the last sync is in vanished.
func Bookkeep(live, vanished map[schema.Key]*unstructured.Unstructured, ledger Ledger, setID string) map[schema.Key]Run {
	updates := map[schema.Key]Run{}
	for key, u := range live {
		_, prepared := u.GetAnnotations()[schema.AnnotationPrepared]
		if !key.IsJob() || prepared || u.GetLabels()[schema.ApplySetPartOf] != setID || u.GetAnnotations()[schema.AnnotationDigest] == "" {
			continue
		}
		run := RunOf(u)
		if have, known := ledger.Jobs[key]; !known || !have.same(run) {
			run.Parameters = have.Parameters
			updates[key] = run
		}
	}
	for key, run := range ledger.Jobs {
		if run.Outcome != RunActive || live[key] != nil {
			continue
		}
		run.Outcome = RunGone
		if last := vanished[key]; last != nil && string(last.GetUID()) == run.UID {
			if seen := RunOf(last); seen.Outcome == RunActive {
				run.Outcome = RunDeleted
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
		return "was deleted unfinished, started" + at
	case RunGone:
		return "ran" + at + ", then vanished unwatched"
	case RunAssumed:
		return "is assumed to have run"
	default:
		return "is running" + at
	}
}

func rerunOf(in Intended) string { return in.GetAnnotations()[schema.AnnotationRerun] }

func activePods(job *unstructured.Unstructured) int64 {
	n, _, _ := unstructured.NestedInt64(job.Object, "status", "active")
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
