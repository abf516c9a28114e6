package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// RetryRecord is what is known of one retry of a slot's run.
type RetryRecord struct {
	// Number is which retry it is, from 1.
	Number int `json:"number"`
	// Outcome is Ran, or Skipped for Reason, which By may tell more of.
	Outcome Outcome `json:"outcome"`
	Reason  Reason  `json:"reason,omitempty"`
	By      string  `json:"by,omitempty"`
	// Started, Ended and Result are those of its Job.
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Result  RunResult `json:"result,omitempty"`
}

// resolutionEntry returns what a resolution of a cursor tells of its slot. One
// of a retry tells that the slot's run was there, and nothing of what came
// before it.
func resolutionEntry(r Resolution) Entry {
	r.By = keep(r.By)
	if r.Retry == 0 {
		return Entry{Resolution: r}
	}
	retry := RetryRecord{Number: r.Retry, Outcome: r.Outcome, Reason: r.Reason, By: r.By}
	return retriedEntry(r.Slot, retry)
}

func retriedEntry(slot time.Time, r RetryRecord) Entry {
	return Entry{Resolution: Resolution{Slot: slot.UTC(), Outcome: Ran}, Run: &RunRecord{Retries: []RetryRecord{r}}, Gap: true, alone: true}
}

// jobEntry returns what a Job tells of its slot.
func jobEntry(run Run, job *batchv1.Job) Entry {
	record := recordOf(run, job)
	if run.Retry > 0 {
		return retriedEntry(run.Slot, RetryRecord{Number: run.Retry, Outcome: Ran, Started: record.Started, Ended: record.Ended, Result: record.Result})
	}
	return Entry{Resolution: Resolution{Slot: run.Slot.UTC(), Outcome: Ran}, Run: record, Gap: true, alone: true}
}

// mergeRetries returns what both lists know, in order of number. A retry that
// was withdrawn stays so.
func mergeRetries(a, b []RetryRecord) []RetryRecord {
	if len(b) == 0 {
		return a
	}
	out := slices.Clone(a)
	for _, r := range b {
		i := slices.IndexFunc(out, func(o RetryRecord) bool { return o.Number == r.Number })
		switch {
		case i < 0:
			out = append(out, r)
		case r.Outcome == Skipped:
			out[i] = r
		case out[i].Outcome == Ran:
			o := &out[i]
			if o.Started.IsZero() {
				o.Started = r.Started
			}
			if o.Ended.IsZero() {
				o.Ended = r.Ended
			}
			if o.Result == "" || o.Result == RunGone && r.Result != "" {
				o.Result = r.Result
			}
		}
	}
	slices.SortFunc(out, func(a, b RetryRecord) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

// retriesEnd notes which retries went away without an end that was seen.
func (e *Entry) retriesEnd(view *History) {
	if e.Run == nil || len(e.Run.Retries) == 0 {
		return
	}
	run := *e.Run
	run.Retries = slices.Clone(run.Retries)
	for i := range run.Retries {
		r := &run.Retries[i]
		if r.Outcome == Ran && r.Result == "" && !view.namesEnding(RetryName("", e.Slot, r.Number)) {
			r.Result = RunGone
		}
	}
	e.Run = &run
}

// namesEnding reports whether a run may still end whose name ends so.
func (h *History) namesEnding(suffix string) bool {
	for name := range h.active {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// retries says what became of each retry.
func (w *why) retries(e Entry) {
	if e.Run == nil {
		return
	}
	for _, r := range e.Run.Retries {
		text := fmt.Sprintf("retry %d, %s, ", r.Number, RetryName(w.Name, e.Slot, r.Number))
		switch {
		case r.Outcome == Skipped:
			text += "did not start: " + r.Reason.Explain(r.By)
		case r.Result == RunComplete:
			text += "completed at " + w.at(r.Ended)
		case r.Result == RunFailed:
			text += "failed at " + w.at(r.Ended)
		case r.Result == RunGone:
			text += "was deleted before its end was seen"
		default:
			text += "is active"
		}
		w.out.Details = append(w.out.Details, text)
	}
	if w.CronJob == nil || !e.Slot.Equal(w.state.Cursor.Slot) {
		return
	}
	if r := w.state.Cursor.Retry; r.pending() {
		w.out.Details = append(w.out.Details, fmt.Sprintf("retry %d is due at %s", r.Number, w.at(r.Due)))
	}
}
