package schedule

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/schema"
)

// Explain says in words why slots were skipped; by is what the record names.
func (r Reason) Explain(by string) string {
	named := func(with, without string) string {
		if by == "" {
			return without
		}
		return fmt.Sprintf(with, by)
	}
	switch r {
	case Suspended:
		return "the repository had suspended the schedule, and a later slot was due when that ended"
	case Paused:
		return named("the schedule was paused (%s), and a later slot was due when that ended", "the schedule was paused, and a later slot was due when that ended")
	case Blocked:
		return named("the run %s is active, and the policy allows one at a time", "another run is active, and the policy allows one at a time")
	case GroupFull:
		return named("its concurrency group had no place for it (%s)", "its concurrency group had no place for it")
	case DeadlineMissed:
		return named("startingDeadlineSeconds went by before it could start; %s was in the way", "startingDeadlineSeconds went by before it could start")
	case Superseded:
		return named("a later slot was due as well, and only the latest starts; %s was in the way until then", "a later slot was due as well, and only the latest starts")
	case Replaced:
		return "concurrencyPolicy Replace: a later run took its place before this one had begun"
	case Edited:
		return "the schedule or its time zone was changed before the slot was resolved, and nothing of the old one starts after that"
	case NameTaken:
		return named("a Job named %s exists that is no run of this schedule", "a Job of that name exists that is no run of this schedule")
	case OutsideWindow:
		return named("it is outside of the policy's window (%s)", "it is outside of the policy's window")
	case Excluded:
		return named("a calendar of the policy excludes the day (%s)", "a calendar of the policy excludes the day")
	case QueueFull:
		return named("overlap Queue: another slot waited for its turn already, and became %s", "overlap Queue: another slot waited for its turn already")
	case NotCaughtUp:
		return "it was late by more than a minute, and the policy catches up on nothing"
	case SameMinute:
		return "a run of the same minute exists, and would have the same name"
	}
	return named(string(r)+" (%s)", string(r))
}

func firstLineOf(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// at shows a time in the schedule's zone.
func (w *why) at(t time.Time) string { return ShowTime(t, w.out.Zone) }

// ShowTime writes a time for people, with its zone and its seconds only if it
// has any.
func ShowTime(t time.Time, zone *time.Location) string {
	layout := "2006-01-02 15:04"
	if t.Second() != 0 {
		layout = "2006-01-02 15:04:05"
	}
	name := zone.String()
	if name == "" || name == "Etc/UTC" {
		name = "UTC"
	}
	return t.In(zone).Format(layout) + " " + name
}

func (w *why) skipped(e Entry) {
	w.out.Summary = fmt.Sprintf("%s was skipped: %s", w.at(w.out.Slot), e.Reason.Explain(e.By))
	if e.Slots() > 1 {
		w.out.Details = append(w.out.Details, fmt.Sprintf("one of %d slots in a row, from %s to %s", e.Slots(), w.at(e.Slot), w.at(e.Last)))
	}
}

func (w *why) ran(e Entry) {
	if e.Slots() > 1 {
		w.out.Summary = fmt.Sprintf("%s ran and completed", w.at(w.out.Slot))
		w.out.Details = append(w.out.Details, fmt.Sprintf("one of %d runs in a row that did, from %s to %s, of which the latest began %s after its slot; more is not kept of each",
			e.Slots(), w.at(e.Slot), w.at(e.Last), rounded(e.Lateness())))
		w.revision(e)
		return
	}
	w.out.Job = JobName(w.Name, e.Slot)
	w.out.Summary = fmt.Sprintf("%s ran as Job %s: %s", w.at(e.Slot), w.out.Job, w.progress(e))
	if e.Run != nil && !e.Run.Started.IsZero() {
		w.out.Details = append(w.out.Details, fmt.Sprintf("it began at %s, %s after its slot", w.at(e.Run.Started), rounded(e.Lateness())))
	}
	w.revision(e)
	w.retries(e)
	if job := w.job(w.out.Job); job == nil {
		w.out.Details = append(w.out.Details, "the Job is not there any more")
	}
}

func (w *why) revision(e Entry) {
	if e.Run != nil && e.Run.Revision != "" {
		w.out.Details = append(w.out.Details, "revision "+e.Run.Revision)
	}
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Second) }

func (w *why) job(name string) *batchv1.Job {
	for _, job := range w.Jobs {
		if job.Name == name {
			return job
		}
	}
	return nil
}

// progress says how a run ended, or how far it is.
func (w *why) progress(e Entry) string {
	var r RunRecord
	if e.Run != nil {
		r = *e.Run
	}
	took := ""
	if !r.Started.IsZero() && !r.Ended.IsZero() {
		took = fmt.Sprintf(", after %s", rounded(r.Ended.Sub(r.Started)))
	}
	job := w.job(JobName(w.Name, e.Slot))
	switch r.Result {
	case RunComplete:
		return "completed at " + w.at(r.Ended) + took
	case RunFailed:
		return "failed at " + w.at(r.Ended) + took
	case RunGone:
		return "its Job was deleted before its end was seen"
	}
	switch {
	case job == nil:
		return "its end was not seen yet"
	case job.Annotations[schema.AnnotationPrepared] == PreparedWithdrawn:
		return "it is being withdrawn, and was never released"
	case job.Annotations[schema.AnnotationPrepared] != "":
		return "it is committed and not released yet: " + w.unreleased()
	case job.Spec.Suspend != nil && *job.Spec.Suspend:
		return "it is suspended, by its template, a person or a queue"
	}
	return "it is active"
}

// unreleased says what a committed run waits for.
func (w *why) unreleased() string {
	if stop, hold := w.held(w.Now); hold {
		return stop
	}
	if w.spec.Policy == batchv1.AllowConcurrent {
		return "a rota releases it at once"
	}
	return "it waits until no Pod of another run is left"
}

// held says what keeps a slot from starting as things are; hold is set if that
// ends by itself or by a person, and the slot may start then.
func (w *why) held(slot time.Time) (stop string, hold bool) {
	due := w.times.Due(slot)
	c := w.times.At(slot)
	switch p := w.spec.Pause; {
	case w.CronJob == nil:
		return "the CronJob is gone", false
	case w.CronJob.DeletionTimestamp != nil:
		return "the CronJob is being deleted", false
	case !w.ours && w.spec.Borrowed:
		return "the CronJob is suspended, and rota does not schedule it", true
	case !w.ours:
		return "", false
	case !w.spec.Borrowed:
		return "spec.suspend is false, so that the cluster's own controller runs this CronJob and rota stands back", false
	case w.spec.Suspended:
		return "the repository suspends the schedule", true
	case c != nil:
		return c.Reason.Explain(c.By), false
	case p != nil && (p.Until.IsZero() || p.Until.After(due) && p.Until.After(w.Now)):
		return "the schedule is paused " + p.Describe(w.out.Zone), true
	case !due.After(w.Now) && w.waiting():
		return w.History.Cursor.Hold.Reason.Explain(w.History.Cursor.Hold.By), true
	}
	return "", false
}

// waiting reports whether slots are held back for other runs to end.
func (w *why) waiting() bool {
	return w.History.Cursor.Hold != nil && waits(w.History.Cursor.Hold.Reason)
}

// Describe says until when and why.
func (p Pause) Describe(zone *time.Location) string {
	text := "until it is resumed"
	if !p.Until.IsZero() {
		text = "until " + ShowTime(p.Until, zone)
	}
	if p.Reason != "" {
		text += " (" + p.Reason + ")"
	}
	return text
}

// afterHold says what becomes of a slot that is held back.
func (w *why) afterHold() []string {
	if w.CronJob == nil || !w.ours || w.spec.Suspended && w.CronJob.Spec.StartingDeadlineSeconds == nil {
		return nil
	}
	var out []string
	if w.spec.Pause != nil || w.waiting() {
		out = append(out, "when that ends, "+w.catchUp())
	}
	return append(out, w.deadline()...)
}

func (w *why) catchUp() string {
	switch {
	case w.spec.Rules.Overlap == schema.OverlapQueue:
		return "the slot that waits starts at once, and others that came due are skipped"
	case w.spec.Rules.CatchUp.Policy == schema.CatchUpAll:
		return "the slots that came due start one by one, the oldest first"
	case w.spec.Rules.CatchUp.Policy == schema.CatchUpNone:
		return "nothing that is late by more than a minute starts"
	}
	return "the latest slot that came due starts at once, and the others are skipped"
}

func (w *why) deadline() []string {
	if w.spec.Deadline == nil {
		return nil
	}
	return []string{fmt.Sprintf("it is skipped if it cannot start within %s (startingDeadlineSeconds)", *w.spec.Deadline)}
}

// couldStop says what might keep a slot to come from starting.
func (w *why) couldStop() []string {
	var out []string
	if !w.ours {
		return []string{"the cluster's own controller starts it"}
	}
	active := ""
	for _, ref := range w.CronJob.Status.Active {
		active = ref.Name
	}
	switch w.spec.Policy {
	case batchv1.ForbidConcurrent:
		out = append(out, "it waits if another run is active then")
	case batchv1.ReplaceConcurrent:
		out = append(out, "it replaces a run that is active then")
	}
	if active != "" && w.spec.Policy != batchv1.AllowConcurrent {
		out = append(out, active+" is active now")
	}
	if p := w.spec.Pause; p != nil && p.Until.After(w.Now) {
		out = append(out, "the schedule is paused "+p.Describe(w.out.Zone)+", which ends before")
	}
	return append(out, w.deadline()...)
}
