package history

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

// Recorder makes journals out of objects as the API server stored them, one
// after another: give it every state of every CronJob, Job and Pod of a
// namespace, in order.
type Recorder struct {
	schedules map[string]*recorded
	// Problems are objects that could not be understood.
	Problems []error
}

// recorded is one CronJob's journal as it grows.
type recorded struct {
	journal Journal
	uid     types.UID
	last    *batchv1.CronJob
	recent  []resolution
	runs    map[types.UID]*Run
	pods    map[types.UID]types.UID // Pod → Job, of those that may work
}

// cursor is the annotation rota.dev/cursor as docs/scheduler.md describes it.
type cursor struct {
	Slot   time.Time    `json:"slot"`
	Since  time.Time    `json:"since"`
	Hold   *hold        `json:"hold"`
	Recent []resolution `json:"recent"`
}

type hold struct {
	Reason string `json:"reason"`
}

type resolution struct {
	Slot    time.Time `json:"slot"`
	Last    time.Time `json:"last"`
	Count   int       `json:"count"`
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason"`
	By      string    `json:"by"`
}

// NewRecorder returns a Recorder of nothing yet.
func NewRecorder() *Recorder { return &Recorder{schedules: map[string]*recorded{}} }

// CronJob notes a state of a CronJob, first seen at a time.
func (r *Recorder) CronJob(at time.Time, cj *batchv1.CronJob) {
	version, err := strconv.ParseUint(cj.ResourceVersion, 10, 64)
	if err != nil {
		r.Problems = append(r.Problems, err)
	}
	s := r.schedules[cj.Name]
	if s == nil {
		s = &recorded{uid: cj.UID, journal: Journal{Namespace: cj.Namespace, Name: cj.Name}, runs: map[types.UID]*Run{}, pods: map[types.UID]types.UID{}}
		r.schedules[cj.Name] = s
	}
	spec, err := specOf(cj)
	if err != nil {
		r.Problems = append(r.Problems, err)
	}
	if s.last == nil || changed(s.last, cj) {
		s.journal.Revisions = append(s.journal.Revisions, Revision{At: at, Version: version, Name: cj.Annotations[schema.AnnotationRevision], Spec: spec})
	}
	if text := cj.Annotations[schema.AnnotationCursor]; s.last == nil && text != "" || s.last != nil && (text != s.last.Annotations[schema.AnnotationCursor] || !sameActive(s.last, cj)) {
		r.commit(s, at, version, cj)
	}
	s.last = cj
}

// changed reports whether anything but the record differs.
func changed(a, b *batchv1.CronJob) bool {
	for _, key := range []string{schema.AnnotationRevision, schema.AnnotationScheduler, schema.AnnotationSuspended, schema.AnnotationPolicy, schema.AnnotationPause} {
		if a.Annotations[key] != b.Annotations[key] {
			return true
		}
	}
	return a.Generation != b.Generation || a.Spec.Schedule != b.Spec.Schedule || text(a.Spec.TimeZone) != text(b.Spec.TimeZone) ||
		a.Spec.ConcurrencyPolicy != b.Spec.ConcurrencyPolicy || number64(a.Spec.StartingDeadlineSeconds) != number64(b.Spec.StartingDeadlineSeconds) ||
		isTrue(a.Spec.Suspend) != isTrue(b.Spec.Suspend)
}

func sameActive(a, b *batchv1.CronJob) bool {
	return slices.EqualFunc(a.Status.Active, b.Status.Active, func(x, y corev1.ObjectReference) bool { return x.UID == y.UID })
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func number64(n *int64) int64 {
	if n == nil {
		return -1
	}
	return *n
}

func isTrue(b *bool) bool { return b != nil && *b }

func specOf(cj *batchv1.CronJob) (Spec, error) {
	s := Spec{Schedule: cj.Spec.Schedule, Zone: text(cj.Spec.TimeZone), Policy: cj.Spec.ConcurrencyPolicy}
	if d := cj.Spec.StartingDeadlineSeconds; d != nil {
		deadline := time.Duration(*d) * time.Second
		s.Deadline = &deadline
	}
	var errs []error
	if text := cj.Annotations[schema.AnnotationPolicy]; text != "" {
		errs = append(errs, json.Unmarshal([]byte(text), &s.Rules))
	}
	s.Held = cj.Annotations[schema.AnnotationSuspended] == "true" || !isTrue(cj.Spec.Suspend)
	if pause, ok := cj.Annotations[schema.AnnotationPause]; ok && !s.Held {
		s.Held = true
		for _, part := range strings.Fields(pause) {
			if until, ok := strings.CutPrefix(part, "until="); ok {
				at, err := time.Parse(time.RFC3339, until)
				s.HeldUntil = at
				errs = append(errs, err)
			}
		}
	} else if p := s.Rules.Pause; p != nil && !s.Held {
		s.Held, s.HeldUntil = true, p.Until
	}
	return s, errors.Join(errs...)
}

func (r *Recorder) commit(s *recorded, at time.Time, version uint64, cj *batchv1.CronJob) {
	c := Commit{At: at, Version: version}
	if text := cj.Annotations[schema.AnnotationCursor]; text != "" {
		var now cursor
		if err := json.Unmarshal([]byte(text), &now); err != nil {
			r.Problems = append(r.Problems, err)
		}
		c.Cursor, c.Since = now.Slot, now.Since
		if now.Hold != nil {
			c.Waits = now.Hold.Reason
		}
		for _, n := range added(s.recent, now.Recent) {
			one := Resolution{First: n.Slot, Last: n.Slot, Count: max(n.Count, 1), Ran: n.Outcome == "Ran", Reason: n.Reason}
			if !n.Last.IsZero() {
				one.Last = n.Last
			}
			c.Resolved = append(c.Resolved, one)
		}
		s.recent = now.Recent
	}
	for _, ref := range cj.Status.Active {
		c.Active = append(c.Active, ref.UID)
	}
	s.journal.Commits = append(s.journal.Commits, c)
}

// added returns what now has at its end that before did not have: before, less
// some of its beginning, is the beginning of now.
func added(before, now []resolution) []resolution {
	for cut := range len(before) + 1 {
		if kept := before[cut:]; len(kept) <= len(now) && slices.Equal(kept, now[:len(kept)]) {
			return now[len(kept):]
		}
	}
	return now
}

// Job notes a state of a Job, or that it is gone.
func (r *Recorder) Job(at time.Time, job *batchv1.Job, deleted bool) {
	for _, s := range r.schedules {
		if minute, ok := strings.CutPrefix(job.Name, s.journal.Name+"-"); !ok || strings.ContainsFunc(minute, func(c rune) bool { return c < '0' || c > '9' }) {
			continue
		}
		r.run(s, at, job, deleted)
		return
	}
}

func (r *Recorder) run(s *recorded, at time.Time, job *batchv1.Job, deleted bool) {
	slot, err := time.Parse(time.RFC3339, job.Annotations[batchv1.CronJobScheduledTimestampAnnotation])
	owned := slices.ContainsFunc(job.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == s.uid })
	controller := metav1.GetControllerOf(job)
	native := controller != nil && controller.UID == s.uid
	if err != nil || !owned || (!native && job.Labels[schema.LabelSchedule] != s.journal.Name) {
		s.journal.Strangers = append(s.journal.Strangers, job.Name)
		return
	}
	run := s.runs[job.UID]
	if run == nil {
		run = &Run{Name: job.Name, UID: job.UID, Slot: slot, Revision: job.Annotations[schema.AnnotationRevision], Native: native, Created: at}
		s.runs[job.UID] = run
	}
	_, prepared := job.Annotations[schema.AnnotationPrepared]
	if prepared = prepared && !native; !prepared && len(run.Released) == 0 {
		run.Released = append(run.Released, at)
	}
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			note(&run.Finished, at)
		}
	}
	if job.DeletionTimestamp != nil {
		note(&run.Deleting, at)
	}
	if deleted {
		note(&run.Deleting, at)
		note(&run.Deleted, at)
	}
}

func note(t *time.Time, at time.Time) {
	if t.IsZero() {
		*t = at
	}
}

// Pod notes a state of a Pod of a run, or that it is gone.
func (r *Recorder) Pod(at time.Time, pod *corev1.Pod, deleted bool) {
	s := r.schedules[pod.Labels[schema.LabelSchedule]]
	owner := metav1.GetControllerOf(pod)
	if s == nil || owner == nil {
		return
	}
	ended := deleted || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	job, known := s.pods[pod.UID]
	switch {
	case !ended:
		s.pods[pod.UID] = owner.UID
	case known:
		delete(s.pods, pod.UID)
		if run := s.runs[job]; run != nil && !slices.Contains(values(s.pods), job) {
			run.PodsGone = at
		}
	}
}

func values(m map[types.UID]types.UID) []types.UID {
	out := make([]types.UID, 0, len(m))
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// DeletedByHand notes that a person deleted a run.
func (r *Recorder) DeletedByHand(uid types.UID) {
	for _, s := range r.schedules {
		if run := s.runs[uid]; run != nil {
			run.ByHand = true
		}
	}
}

// Journals returns a journal for each CronJob, in order of name, with the
// clock, faults and leases that hold for all of them.
func (r *Recorder) Journals(clock []Reading, faults []Span, leases []Lease, end time.Time) []Journal {
	var out []Journal
	for _, s := range r.schedules {
		j := s.journal
		j.Clock, j.Faults, j.Leases, j.End = clock, faults, leases, end
		for _, run := range s.runs {
			j.Runs = append(j.Runs, *run)
		}
		slices.SortFunc(j.Runs, func(a, b Run) int {
			if c := a.Slot.Compare(b.Slot); c != 0 {
				return c
			}
			return a.Created.Compare(b.Created)
		})
		for _, left := range s.pods { // they work on
			for i := range j.Runs {
				if j.Runs[i].UID == left {
					j.Runs[i].PodsGone = end.Add(time.Hour)
				}
			}
		}
		out = append(out, j)
	}
	slices.SortFunc(out, func(a, b Journal) int { return strings.Compare(a.Name, b.Name) })
	return out
}
