package schedule

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

// JobName returns the name of the run of a slot, which is Kubernetes' own: the
// CronJob's name and the slot's minute since the epoch.
func JobName(cronJob string, slot time.Time) string {
	return cronJob + "-" + strconv.FormatInt(slot.Unix()/60, 10)
}

// NewRun returns the prepared Job of a slot, ready to be created for the named
// Sync: suspended, marked, and owned by cj without being controlled by it, so
// that the cluster's own controller neither counts nor deletes it.
func NewRun(cj *batchv1.CronJob, sync string, slot time.Time) *batchv1.Job {
	template := cj.Spec.JobTemplate.DeepCopy()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name:        JobName(cj.Name, slot),
			Namespace:   cj.Namespace,
			Labels:      copied(template.Labels),
			Annotations: copied(template.Annotations),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: batchv1.SchemeGroupVersion.String(),
				Kind:       "CronJob",
				Name:       cj.Name,
				UID:        cj.UID,
			}},
		},
		Spec: template.Spec,
	}
	// A run is no member of the set that its CronJob is a member of, or a
	// prune would take it.
	delete(job.Labels, schema.ApplySetPartOf)
	job.Labels[schema.LabelSchedule] = cj.Name
	job.Labels[schema.LabelSync] = sync
	// So that the places of a group can be told if its object is lost.
	if rules, err := schema.ParsePolicy(cj.Annotations[schema.AnnotationPolicy]); err == nil && rules.ConcurrencyGroup != nil {
		job.Labels[schema.LabelGroup] = rules.ConcurrencyGroup.Name
	}
	zone := time.UTC
	if s, err := Parse(cj.Spec.Schedule, zoneOf(cj)); err == nil {
		zone = s.Location()
	}
	job.Annotations[AnnotationScheduled] = slot.In(zone).Format(time.RFC3339)
	suspended := job.Spec.Suspend != nil && *job.Spec.Suspend
	job.Annotations[schema.AnnotationPrepared] = strconv.FormatBool(suspended)
	for _, key := range []string{schema.AnnotationRevision, schema.AnnotationOrigin} {
		if value, ok := cj.Annotations[key]; ok {
			job.Annotations[key] = value
		}
	}
	hold := true
	job.Spec.Suspend = &hold
	job.Spec.Template.Labels = copied(job.Spec.Template.Labels)
	job.Spec.Template.Labels[schema.LabelSchedule] = cj.Name
	return job
}

func copied(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}

func zoneOf(cj *batchv1.CronJob) string {
	if cj.Spec.TimeZone == nil {
		return ""
	}
	return *cj.Spec.TimeZone
}

// Record returns a copy of v's CronJob with the actions written into
// its status and cursor, to be put with the resourceVersion that it has.
// started has the Job of each Start by name. It returns nil if no action
// changes the record. The error says that a decision contradicts the record,
// which is a fault of the program.
func Record(v View, actions []Action, started map[string]*batchv1.Job) (*batchv1.CronJob, error) {
	if !slices.ContainsFunc(actions, Recorded) {
		return nil, nil
	}
	cj := v.CronJob.DeepCopy()
	cursor, err := ParseCursor(cj.Annotations[schema.AnnotationCursor])
	if err != nil {
		// Absent, or spoilt: begun anew, after what was resolved under this name.
		cursor = Cursor{Schedule: cj.Spec.Schedule, Zone: zoneOf(cj), Slot: v.Past.Slot, Outcome: v.Past.Outcome}
	}
	for _, a := range actions {
		switch a := a.(type) {
		case Observe:
			cursor.Schedule, cursor.Zone, cursor.Since = a.Schedule, a.Zone, a.Since
			cursor.Hold = nil
		case Adopt:
			cursor.adopt(v, cj, a)
		case HoldBack:
			hold := a.Hold
			cursor.Hold = &hold
		case Resume:
			cursor.Hold = nil
		case Skip:
			r := Resolution{Slot: a.First.UTC(), Outcome: Skipped, Reason: a.Reason, By: a.By}
			if a.Count > 1 {
				r.Last, r.Count = a.Last.UTC(), a.Count
			}
			cursor.resolve(r)
		case Start:
			if err := cursor.start(cj, a, started[a.Name]); err != nil {
				return nil, err
			}
		case Forget:
			deactivate(cj, a.Ref.UID)
			if a.Retry != nil {
				cursor.Retry = a.Retry
			}
			if a.Run.Finished == batchv1.JobComplete && a.Run.FinishedAt.After(timeOf(cj.Status.LastSuccessfulTime)) {
				cj.Status.LastSuccessfulTime = &metav1.Time{Time: a.Run.FinishedAt}
			}
		case DropRetry:
			cursor.skipRetry(a.Slot, a.Number, a.Reason, a.By)
		case Withdraw:
			deactivate(cj, a.Run.UID)
			if a.Run.Retry > 0 {
				cursor.skipRetry(a.Run.Slot, a.Run.Retry, a.Reason, "")
				continue
			}
			cursor.resolve(Resolution{Slot: a.Run.Slot.UTC(), Outcome: Skipped, Reason: a.Reason})
			if cursor.Slot.Equal(a.Run.Slot) {
				cursor.Outcome = Skipped
			}
		}
	}
	if cj.Annotations == nil {
		cj.Annotations = map[string]string{}
	}
	cj.Annotations[schema.AnnotationCursor] = cursor.String()
	return cj, nil
}

// start records that job was committed to.
func (c *Cursor) start(cj *batchv1.CronJob, a Start, job *batchv1.Job) error {
	switch {
	case a.Retry > 0 && (job == nil || !c.recordRetry(a)):
		return fmt.Errorf("recording the start of %s: there is no Job, or another retry is on record", a.Name)
	case a.Retry == 0 && (job == nil || !a.Slot.After(c.Slot)):
		return fmt.Errorf("recording the start of %s: there is no Job, or slot %s is resolved already", a.Name, a.Slot)
	}
	activate(cj, job)
	if a.Retry > 0 {
		return nil
	}
	c.Hold = nil
	c.resolve(Resolution{Slot: a.Slot.UTC(), Outcome: Ran})
	cj.Status.LastScheduleTime = &metav1.Time{Time: latest(a.Slot, timeOf(cj.Status.LastScheduleTime)).UTC()}
	return nil
}

// adopt records what the cluster's own controller, or a rota whose cursor was
// lost, left behind: its unfinished runs are active, its latest slot is the
// last one resolved.
func (c *Cursor) adopt(v View, cj *batchv1.CronJob, a Adopt) {
	*c = Cursor{Schedule: cj.Spec.Schedule, Zone: zoneOf(cj), Since: a.Since, Slot: v.Past.Slot, Outcome: v.Past.Outcome}
	last := timeOf(cj.Status.LastScheduleTime)
	for _, job := range v.Jobs {
		run, ok := RunOf(cj, job)
		if !ok || run.Prepared {
			continue
		}
		last = latest(last, run.Slot)
		if run.Finished == "" {
			activate(cj, job)
		}
	}
	if last.IsZero() {
		return
	}
	c.resolve(Resolution{Slot: last.UTC(), Outcome: Ran})
	cj.Status.LastScheduleTime = &metav1.Time{Time: last.UTC()}
}

func activate(cj *batchv1.CronJob, job *batchv1.Job) {
	for _, ref := range cj.Status.Active {
		if ref.UID == job.UID {
			return
		}
	}
	cj.Status.Active = append(cj.Status.Active, corev1.ObjectReference{
		APIVersion:      batchv1.SchemeGroupVersion.String(),
		Kind:            "Job",
		Namespace:       job.Namespace,
		Name:            job.Name,
		UID:             job.UID,
		ResourceVersion: job.ResourceVersion,
	})
}

func deactivate(cj *batchv1.CronJob, uid types.UID) {
	cj.Status.Active = slices.DeleteFunc(cj.Status.Active, func(ref corev1.ObjectReference) bool { return ref.UID == uid })
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}
