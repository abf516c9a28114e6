package schedule

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// Question asks what became of a slot, or will.
type Question struct {
	// Namespace and Name are the CronJob's.
	Namespace, Name string
	// CronJob is nil if there is none any more; Jobs are its runs.
	CronJob *batchv1.CronJob
	Jobs    []*batchv1.Job
	// History is what is kept, with what the CronJob and the Jobs say.
	History History
	// Slot is what is asked about: the first slot in it, From included and To
	// excluded.
	Slot Span
	// Now is the time.
	Now time.Time
}

// Span is a stretch of time.
type Span struct{ From, To time.Time }

// Verdict is the kind of an Answer.
type Verdict string

const (
	// VerdictRan: a Job of the slot was started, or is about to be.
	VerdictRan Verdict = "Ran"
	// VerdictSkipped: the slot was resolved without a run.
	VerdictSkipped Verdict = "Skipped"
	// VerdictWaiting: the slot is due and held back.
	VerdictWaiting Verdict = "Waiting"
	// VerdictDue: the slot is due, and nothing has resolved it yet.
	VerdictDue Verdict = "Due"
	// VerdictFuture: the slot is not due yet.
	VerdictFuture Verdict = "Future"
	// VerdictNoSlot: the schedule in force had, or has, no slot then.
	VerdictNoSlot Verdict = "NoSlot"
	// VerdictUnknown: nothing is kept of that time.
	VerdictUnknown Verdict = "Unknown"
)

// Answer says what became of a slot and why, or what will and what could stop
// it. Texts show times in the schedule's zone.
type Answer struct {
	Verdict Verdict
	// Slot is the one found; for a NoSlot what was asked for.
	Slot time.Time
	// Due is when the run of a slot to come starts.
	Due time.Time
	// Entry is what was recorded; nil if nothing was.
	Entry *Entry
	// Job is the name of the run, of a single slot that ran.
	Job string
	// Before and After are the nearest slots; zero if there is none.
	Before, After time.Time
	// Summary is one sentence, Details are more.
	Summary string
	Details []string
	// Zone is the schedule's.
	Zone *time.Location
}

// why is a Question on its way to its Answer.
type why struct {
	Question
	spec  Spec
	ours  bool
	times Times
	state State
	out   Answer
}

// Why answers q.
func Why(q Question) Answer {
	w := &why{Question: q}
	w.out.Zone, w.out.Slot = time.UTC, q.Slot.From
	if q.CronJob != nil {
		w.ours = Scheduled(q.CronJob)
		w.spec = specOf(q.CronJob)
		w.state = StateOf(View{CronJob: q.CronJob, Jobs: q.Jobs, Past: q.History.Cursor})
	} else {
		w.spec = Spec{Namespace: q.Namespace, Name: q.Name, Schedule: q.History.Cursor.Schedule, Zone: q.History.Cursor.Zone}
		w.spec.Cron, w.spec.Err = Parse(w.spec.Schedule, w.spec.Zone)
	}
	w.times = w.timesAt(q.Slot.From)
	w.out.Zone = w.times.Location()
	if !w.recorded() {
		w.unrecorded()
	}
	return w.out
}

// specOf reads a CronJob whoever schedules it.
func specOf(cj *batchv1.CronJob) Spec {
	if spec, err := SpecOf(cj); err == nil {
		return spec
	}
	s := Spec{Namespace: cj.Namespace, Name: cj.Name, Schedule: cj.Spec.Schedule, Zone: zoneOf(cj), Policy: cj.Spec.ConcurrencyPolicy,
		Borrowed: cj.Spec.Suspend != nil && *cj.Spec.Suspend}
	s.Cron, s.Err = Parse(s.Schedule, s.Zone)
	return s
}

// timesAt returns the slots of the schedule that was in force at a time.
func (w *why) timesAt(at time.Time) Times {
	times := w.spec.Times()
	if f, ok := w.inForceAt(at); ok && (f.Schedule != w.spec.Schedule || f.Zone != w.spec.Zone) {
		if cron, err := Parse(f.Schedule, f.Zone); err == nil {
			times.cron = cron.With(w.spec.Rules.DaylightSaving)
		}
	}
	return times.From(w.anchor(at))
}

// inForceAt returns which schedule was in force at a time of the past, as far
// back as is known.
func (w *why) inForceAt(at time.Time) (InForce, bool) {
	if !at.Before(w.Now) || len(w.History.InForce) == 0 {
		return InForce{}, false
	}
	found := w.History.InForce[0]
	for _, f := range w.History.InForce {
		if f.Since.Before(at) {
			found = f
		}
	}
	return found, true
}

// anchor is the slot that @every is counted from.
func (w *why) anchor(at time.Time) time.Time {
	last := w.History.Cursor.Since
	for _, e := range w.History.Entries {
		if e.Slot.Before(at) {
			last = latest(last, e.Final())
		}
	}
	if last.After(at) {
		return at
	}
	return last
}

// find returns the slot of times that is asked for, or zero.
func (w *why) find(times Times) time.Time {
	if w.spec.Err != nil {
		return time.Time{}
	}
	slot := times.Next(w.Slot.From.Add(-time.Nanosecond))
	if slot.IsZero() || !slot.Before(w.Slot.To) {
		return time.Time{}
	}
	return slot
}

// recorded answers from the history, if it has the slot.
func (w *why) recorded() bool {
	i, _ := w.History.find(w.Slot.From)
	if i == len(w.History.Entries) || !w.History.Entries[i].Slot.Before(w.Slot.To) {
		return false
	}
	e := w.History.Entries[i]
	slot := e.Slot
	if e.Slots() > 1 {
		if slot = w.find(w.times.From(e.Slot)); slot.IsZero() && e.Slot.Before(w.Slot.From) {
			return false
		}
		slot = latest(slot, e.Slot)
	}
	w.out.Slot, w.out.Entry = slot, &e
	if e.Outcome == Skipped {
		w.out.Verdict = VerdictSkipped
		w.skipped(e)
		return true
	}
	w.out.Verdict = VerdictRan
	w.ran(e)
	return true
}

// unrecorded answers for a time of which the history has nothing.
func (w *why) unrecorded() {
	slot := w.find(w.times)
	if slot.IsZero() && w.spec.Err == nil {
		w.noSlot()
		return
	}
	resolved := latest(w.History.Cursor.Slot, w.state.LastSchedule)
	switch {
	case w.spec.Err != nil:
		w.answer(VerdictNoSlot, "nothing fires until this is mended: "+firstLineOf(w.spec.Err))
		return
	case w.CronJob == nil && w.History.CronJob == "":
		w.answer(VerdictUnknown, "nothing is known of this schedule")
		return
	case w.CronJob == nil && slot.After(resolved):
		w.out.Slot = slot
		w.answer(VerdictNoSlot, fmt.Sprintf("%s was no slot: the CronJob is gone; the last slot on record is %s", w.at(slot), w.at(resolved)))
		return
	}
	w.out.Slot = slot
	switch begins := w.begins(slot); {
	case w.times.Due(slot).After(w.Now):
		w.future(slot)
	case !begins.IsZero():
		w.answer(VerdictNoSlot, fmt.Sprintf("%s was no slot yet: the schedule is in force since %s, when it was made or edited", w.at(slot), w.at(begins)))
	case slot.After(resolved):
		w.open(slot)
	default:
		w.lost(slot)
	}
}

// begins returns when the schedule came into force, if that is after slot.
func (w *why) begins(slot time.Time) time.Time {
	since := w.state.Created
	if f, ok := w.inForceAt(slot); ok {
		since = f.Since
	}
	// A CronJob that was made anew has no slot of the time before, but for
	// those that are on record.
	if w.CronJob != nil && slot.After(w.History.Cursor.Slot) {
		since = latest(since, w.state.Created)
	}
	if since.Before(slot) || len(w.History.Entries) > 0 && w.History.Entries[0].Slot.Before(slot) && !slot.After(w.History.Cursor.Slot) {
		return time.Time{}
	}
	return since
}

func (w *why) answer(v Verdict, summary string, details ...string) {
	w.out.Verdict, w.out.Summary, w.out.Details = v, summary, append(w.out.Details, details...)
}

func (w *why) noSlot() {
	at := w.Slot.From
	w.out.Before = w.times.cron.Last(at.AddDate(-10, 0, 0), at)
	w.out.After = w.times.Next(at)
	near := ""
	switch {
	case !w.out.Before.IsZero() && !w.out.After.IsZero():
		near = fmt.Sprintf("; the nearest are %s and %s", w.at(w.out.Before), w.at(w.out.After))
	case !w.out.After.IsZero():
		near = "; the next one is " + w.at(w.out.After)
	}
	text := w.spec.Schedule
	if f, ok := w.inForceAt(at); ok {
		text = f.Schedule
	}
	w.answer(VerdictNoSlot, fmt.Sprintf("%s is no slot of %q%s", w.at(at), text, near), "it fires "+w.times.cron.Words())
}

// lost answers for a slot that was resolved and of which nothing is kept.
func (w *why) lost(slot time.Time) {
	if n := len(w.History.Entries); n > 0 && w.History.Entries[0].Slot.After(slot) || n == 0 {
		from := "nothing"
		if n > 0 {
			from = "what came after " + w.at(w.History.Entries[0].Slot)
		}
		w.answer(VerdictUnknown, fmt.Sprintf("%s is longer ago than what is kept: of this schedule that is %s", w.at(slot), from))
		return
	}
	w.answer(VerdictUnknown, fmt.Sprintf("%s was resolved, and no rota wrote down what came of it: it ended before it could, or the cluster's own controller ran the CronJob then", w.at(slot)))
}

// open answers for a slot that is due and not resolved.
func (w *why) open(slot time.Time) {
	if !w.ours {
		w.answer(VerdictUnknown, fmt.Sprintf("%s is not rota's to know: the cluster's own controller runs this CronJob", w.at(slot)))
		return
	}
	if stop, hold := w.held(slot); stop != "" {
		if hold && w.History.Cursor.Hold != nil {
			stop += ", since " + w.at(w.History.Cursor.Hold.Since)
		}
		w.answer(VerdictWaiting, fmt.Sprintf("%s is due and waits: %s", w.at(slot), stop), w.afterHold()...)
		return
	}
	w.answer(VerdictDue, fmt.Sprintf("%s is due, and nothing has resolved it yet", w.at(slot)),
		"if that lasts, no rota runs or it cannot write: see rota status")
}

// future answers for a slot that is not due yet.
func (w *why) future(slot time.Time) {
	w.out.Due = w.times.Due(slot)
	due := w.at(w.out.Due)
	if w.out.Due.After(slot) {
		due += fmt.Sprintf(" (%s after its slot, by jitter)", w.out.Due.Sub(slot))
	}
	if stop, _ := w.held(slot); stop != "" {
		w.answer(VerdictFuture, fmt.Sprintf("%s would start at %s, and will not as things are: %s", w.at(slot), due, stop), w.afterHold()...)
		return
	}
	w.answer(VerdictFuture, fmt.Sprintf("%s is to come: it starts at %s, in %s", w.at(slot), due, w.out.Due.Sub(w.Now).Round(time.Second)), w.couldStop()...)
}

// LastAndNext returns the last slot of q's schedule that is on record or due,
// and the next one; either may be missing.
func LastAndNext(q Question) []Span {
	one := func(t time.Time) Span { return Span{t, t.Add(time.Second)} }
	var out []Span
	resolved := q.History.Cursor.Slot
	if n := len(q.History.Entries); n > 0 {
		resolved = latest(resolved, q.History.Entries[n-1].Final())
	}
	if q.CronJob == nil {
		if !resolved.IsZero() {
			out = append(out, one(resolved))
		}
		return out
	}
	spec := specOf(q.CronJob)
	if spec.Err != nil {
		return out
	}
	times := spec.Times().From(anchor(q.History.Cursor, resolved))
	base := latest(q.CronJob.CreationTimestamp.Time, resolved, q.History.Cursor.Since)
	if due := times.LastDue(base, q.Now); !due.IsZero() {
		out = append(out, one(due))
	} else if !resolved.IsZero() {
		out = append(out, one(resolved))
	}
	if next := times.Next(q.Now); !next.IsZero() {
		out = append(out, one(next))
	}
	return out
}
