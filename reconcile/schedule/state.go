package schedule

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

// PreparedWithdrawn is the value of rota.dev/prepared on a run that will never
// be released. "true" and "false" remember the template's own suspend.
const PreparedWithdrawn = "withdrawn"

// View is what is known of one CronJob at a time.
type View struct {
	// CronJob is the object whose resourceVersion a decision is committed on.
	CronJob *batchv1.CronJob
	// Jobs are those with the labels of its runs, and any that were read for
	// another reason. Which are its runs is for StateOf to say.
	Jobs []*batchv1.Job
	// Gone has the uids of references that a live read did not find.
	Gone map[types.UID]bool
	// Places are those that count in its concurrency group, and Waiting the
	// other schedules that wait for one. GroupUnknown means that they could
	// not be read, and nothing of the group starts.
	Places       []Place
	Waiting      []Waiter
	GroupUnknown bool
	// Past is the cursor that the history has of a CronJob of this name. It
	// counts only if this one has no cursor of its own.
	Past Cursor
}

// State is what there is, in the words of [Decide].
type State struct {
	// Created is when the CronJob was made.
	Created time.Time
	// LastSchedule and LastSuccess are those of its status; zero if unset.
	LastSchedule, LastSuccess time.Time
	// Cursor is how far slots are resolved; zero if there is none.
	Cursor Cursor
	// Past is what Cursor was when a CronJob of this name had one last; zero if
	// this one has one.
	Past Cursor
	// Edited is when schedule and zone got their present values, at the
	// latest; zero if it cannot be told, or if Cursor knows them already.
	Edited time.Time
	// Deleting means that the CronJob is going.
	Deleting bool
	// Active is status.active.
	Active []Ref
	// Jobs are the runs that are known, of any age.
	Jobs []Run
	// Gone has the uids in Active that a live read did not find.
	Gone map[types.UID]bool
	// Problems are what is wrong with the record itself.
	Problems []*schema.Problem
	// Places, Waiting and GroupUnknown are those of the View.
	Places       []Place
	Waiting      []Waiter
	GroupUnknown bool
}

// Ref is a reference in status.active.
type Ref struct {
	UID  types.UID
	Name string
}

// Run is one Job of a CronJob.
type Run struct {
	Name string
	UID  types.UID
	// Version is the resourceVersion that this was read at.
	Version string
	// Slot is what the run is for.
	Slot time.Time
	// Retry is which retry of the slot's run it is; zero for the run itself.
	Retry int
	// Group is the concurrency group that it was prepared for, if any.
	Group string
	// Prepared is set until the run is released; Withdrawn when it never will be.
	Prepared, Withdrawn bool
	// Suspended is spec.suspend, which a person or a queue may set.
	Suspended bool
	// Finished is Complete or Failed, or empty; FinishedAt is its time.
	Finished   batchv1.JobConditionType
	FinishedAt time.Time
	// Started is status.startTime; zero if it never did.
	Started time.Time
	// Deleting means that the Job is going.
	Deleting bool
	// Native is a run that the cluster's own controller made.
	Native bool
	// Unwatched is a run without our labels, whose changes are not seen.
	Unwatched bool
	// Stranger is a Job that status.active names and that is no run. It is in
	// the way like one, and never touched.
	Stranger bool
}

// Ref returns the reference to r.
func (r Run) Ref() Ref { return Ref{UID: r.UID, Name: r.Name} }

// StateOf reads v. Jobs that are not runs of the CronJob are left out: only
// those that rota made for this very CronJob (label, owner by uid, slot) and
// those that the cluster's own controller made for it are runs. A Job of
// `kubectl create job --from` is neither.
func StateOf(v View) State {
	cj := v.CronJob
	s := State{
		Created:  cj.CreationTimestamp.Time,
		Deleting: cj.DeletionTimestamp != nil,
		Gone:     v.Gone,
		Places:   v.Places, Waiting: v.Waiting, GroupUnknown: v.GroupUnknown,
	}
	if t := cj.Status.LastScheduleTime; t != nil {
		s.LastSchedule = t.Time
	}
	if t := cj.Status.LastSuccessfulTime; t != nil {
		s.LastSuccess = t.Time
	}
	if text, ok := cj.Annotations[schema.AnnotationCursor]; ok {
		cursor, err := ParseCursor(text)
		var p *schema.Problem
		if errors.As(err, &p) {
			p.Severity = schema.SeverityWarning
			s.Problems = append(s.Problems, p)
		}
		s.Cursor = cursor
	}
	if s.Cursor.IsZero() {
		s.Past = v.Past
	}
	if s.Cursor.IsZero() || !s.Cursor.inForce(cj) {
		s.Edited = editedAt(cj) // costs a parse of managedFields, and is asked for then only
	}
	for _, ref := range cj.Status.Active {
		s.Active = append(s.Active, Ref{UID: ref.UID, Name: ref.Name})
	}
	for _, job := range v.Jobs {
		run, ok := RunOf(cj, job)
		if !ok {
			if !slices.Contains(s.Active, run.Ref()) {
				continue
			}
			run.Stranger, run.Prepared = true, false
		}
		s.Jobs = append(s.Jobs, run)
	}
	return s
}

// RunOf reads job as a run of cj, and reports whether it is one.
func RunOf(cj *batchv1.CronJob, job *batchv1.Job) (Run, bool) {
	controller := metav1.GetControllerOf(job)
	native := controller != nil && controller.UID == cj.UID
	watched := job.Labels[schema.LabelSchedule] == cj.Name
	prepared, marked := job.Annotations[schema.AnnotationPrepared]
	run := Run{
		Name:      job.Name,
		UID:       job.UID,
		Version:   job.ResourceVersion,
		Group:     job.Labels[schema.LabelGroup],
		Prepared:  marked && !native,
		Withdrawn: prepared == PreparedWithdrawn,
		Suspended: job.Spec.Suspend != nil && *job.Spec.Suspend,
		Deleting:  job.DeletionTimestamp != nil,
		Native:    native,
		Unwatched: !watched,
	}
	if job.Status.StartTime != nil {
		run.Started = job.Status.StartTime.Time
	}
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			run.Finished, run.FinishedAt = c.Type, c.LastTransitionTime.Time
		}
	}
	if run.Finished == batchv1.JobComplete && job.Status.CompletionTime != nil {
		run.FinishedAt = job.Status.CompletionTime.Time
	}
	slot, err := time.Parse(time.RFC3339, job.Annotations[AnnotationScheduled])
	retry, known := retryOf(job)
	if err != nil || !known || job.Namespace != cj.Namespace || job.Name != RetryName(cj.Name, slot, retry) {
		return run, false
	}
	run.Slot, run.Retry = slot, retry
	return run, native || (watched && owned(job, cj.UID))
}

func owned(job *batchv1.Job, uid types.UID) bool {
	for _, ref := range job.OwnerReferences {
		if ref.UID == uid {
			return true
		}
	}
	return false
}

// editedAt returns the earliest time of the field managers that own both
// spec.schedule and, if it is set, spec.timeZone. A manager owns a field only
// if it gave it the present value, at or before the time of its entry, so that
// the schedule in force is no younger than that.
func editedAt(cj *batchv1.CronJob) time.Time {
	schedule := ownedSince(cj.ManagedFields, "f:schedule")
	if schedule.IsZero() || cj.Spec.TimeZone == nil {
		return schedule
	}
	zone := ownedSince(cj.ManagedFields, "f:timeZone")
	if zone.IsZero() || zone.After(schedule) {
		return zone
	}
	return schedule
}

func ownedSince(entries []metav1.ManagedFieldsEntry, name string) time.Time {
	var earliest time.Time
	for _, entry := range entries {
		if entry.Time == nil || entry.FieldsV1 == nil || entry.Subresource != "" {
			continue
		}
		var fields struct {
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		if _, ok := fields.Spec[name]; !ok {
			continue
		}
		if earliest.IsZero() || entry.Time.Time.Before(earliest) {
			earliest = entry.Time.Time
		}
	}
	return earliest
}
