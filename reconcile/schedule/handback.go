package schedule

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

// Who schedules a CronJob, as the annotation rota.dev/scheduler says.
const (
	// ByRota is written on what rota schedules.
	ByRota = "rota"
	// ByCluster leaves a CronJob to the cluster's own controller: it is written
	// by a hand-back, or by a repository.
	ByCluster = "Cluster"
)

// HandedBack reports whether cj was given back to the cluster's own controller
// and not yet let go: the hand-back has to be finished.
func HandedBack(cj *batchv1.CronJob) (back, unfinished bool) {
	_, left := cj.Annotations[schema.AnnotationSuspended]
	back = cj.Annotations[schema.AnnotationScheduler] == ByCluster
	return back, back && left
}

// Settling returns those of a decision's actions that bring what was begun to
// an end: nothing is started, and no slot is resolved. A run that is committed
// and held back for good is withdrawn.
func Settling(spec Spec, state State, now time.Time) []Action {
	var out []Action
	for _, a := range Decide(spec, state, now).Actions {
		switch a.(type) {
		case Verify, Forget, Release, Withdraw, Stop, Sweep:
			out = append(out, a)
		}
	}
	if !spec.Suspended {
		return out
	}
	for _, run := range Committed(state) {
		if !run.Withdrawn {
			out = append(out, Withdraw{Run: run, Reason: Suspended})
		}
	}
	return out
}

// Committed returns the runs that are committed and not released.
func Committed(state State) []Run {
	active := map[types.UID]bool{}
	for _, ref := range state.Active {
		active[ref.UID] = true
	}
	var out []Run
	for _, run := range state.Jobs {
		if run.Prepared && active[run.UID] && !run.Deleting && run.Finished == "" {
			out = append(out, run)
		}
	}
	return out
}

// QuietFrom returns from when on no slot of cj is being worked on, by whoever
// schedules it; that is now, or later.
func QuietFrom(spec Spec, now time.Time) time.Time {
	d := decider{spec: spec, now: now}
	return d.quietFrom()
}

// HandBack returns a copy of v's CronJob as the cluster's own controller needs
// it, to be put with the resourceVersion that it has: its active runs are those
// that are unfinished, and its last schedule time is the last resolved slot,
// skipped ones included, so that no slot starts that rota has decided on. What
// rota alone knows goes, but for what git says of suspend, which the last step
// needs.
func HandBack(v View, now time.Time) *batchv1.CronJob {
	cj := v.CronJob.DeepCopy()
	spec, state := specOf(cj), StateOf(v)
	unfinished := map[types.UID]bool{}
	for _, run := range state.Jobs {
		unfinished[run.UID] = run.Finished == ""
	}
	var active []corev1.ObjectReference
	for _, ref := range cj.Status.Active {
		if unfinished[ref.UID] {
			active = append(active, ref)
		}
	}
	cj.Status.Active = active
	resolved := latest(state.LastSchedule, state.Cursor.Slot)
	if spec.Err == nil {
		times := spec.Times().From(anchor(state.Cursor, resolved))
		// What came while the policy was closed is not started by anybody.
		if last := times.LastDue(latest(state.Created, resolved, state.Cursor.Since), now); !last.IsZero() && times.At(last) != nil {
			resolved = last
		}
	}
	if !resolved.IsZero() {
		cj.Status.LastScheduleTime = &metav1.Time{Time: resolved.UTC()}
	}
	cj.Annotations[schema.AnnotationScheduler] = ByCluster
	delete(cj.Annotations, schema.AnnotationCursor)
	delete(cj.Annotations, schema.AnnotationPolicy)
	delete(cj.Annotations, schema.AnnotationPause)
	return cj
}

// Leftovers returns the prepared Jobs that were never committed to, of a
// CronJob that was handed back: they would be in the way of the cluster's own
// controller.
func Leftovers(v View) []*batchv1.Job {
	back, _ := HandedBack(v.CronJob)
	if !back {
		return nil
	}
	var out []*batchv1.Job
	for _, job := range v.Jobs {
		if run, ok := RunOf(v.CronJob, job); ok && run.Prepared && !run.Deleting {
			out = append(out, job)
		}
	}
	return out
}
