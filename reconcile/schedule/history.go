package schedule

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

// History is what is kept of a schedule beside its CronJob: a copy of how far
// its slots are resolved, and the outcomes of the last days. What is known
// already can be merged again without effect.
type History struct {
	// CronJob is the uid of the CronJob that was looked at last.
	CronJob types.UID `json:"uid,omitempty"`
	// Cursor is that CronJob's, without Recent: a CronJob of the same name that
	// has none goes on from it.
	Cursor Cursor `json:"cursor"`
	// InForce are the schedules that were in force, the oldest first.
	InForce []InForce `json:"inForce,omitempty"`
	// Entries are in order of time and do not overlap.
	Entries []Entry `json:"entries,omitempty"`
	// Dropped is the last slot of what was left out to stay within bounds;
	// zero if nothing was.
	Dropped time.Time `json:"dropped,omitzero"`

	// active has the names of runs that may still end. Nil means that nothing
	// is known of it.
	active map[string]bool
}

// InForce is a schedule and from when on it was in force.
type InForce struct {
	Schedule string    `json:"schedule"`
	Zone     string    `json:"zone,omitempty"`
	Since    time.Time `json:"since"`
}

// Entry is the outcome of one slot, or of several in a row that ended alike:
// skipped for the same reason, or older runs of one revision that completed.
type Entry struct {
	Resolution
	// Run is set if Outcome is Ran and anything is known of the Job.
	Run *RunRecord `json:"run,omitempty"`
	// Gap means that what came just before this entry was not written down.
	Gap bool `json:"gap,omitempty"`

	// alone is set on what only the Job tells of: what came before is not known.
	alone bool
}

// RunResult is how a run ended; empty while it has not.
type RunResult string

const (
	// RunComplete and RunFailed are the Job's conditions.
	RunComplete RunResult = "Complete"
	RunFailed   RunResult = "Failed"
	// RunGone means that the Job went away before its end was seen: it was
	// deleted, or replaced by a later run.
	RunGone RunResult = "Gone"
)

// RunRecord is what is known of the Job of a slot, whose name is JobName.
type RunRecord struct {
	UID      types.UID `json:"uid,omitempty"`
	Revision string    `json:"revision,omitempty"`
	// Started and Ended are the Job's own times; of several runs, the first
	// start and the last end.
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Result  RunResult `json:"result,omitempty"`
	// Retries are those of the run, in order.
	Retries []RetryRecord `json:"retries,omitempty"`
	// Late is, of several runs, how long after its slot the latest one
	// started, in nanoseconds.
	Late time.Duration `json:"late,omitempty"`
}

// Final returns the last slot of e.
func (e Entry) Final() time.Time {
	if e.Last.IsZero() {
		return e.Slot
	}
	return e.Last
}

// Slots returns how many slots e stands for.
func (e Entry) Slots() int { return max(e.Count, 1) }

// Bounds limit what is kept of one schedule.
type Bounds struct {
	// Detail is how many of the newest entries keep all they say. Older runs
	// that completed in a row become one entry.
	Detail int
	// Entries is how many are kept at most, after that.
	Entries int
	// Age is how long; the newest ten entries are kept whatever their age.
	Age time.Duration
}

// BoundsFor returns the bounds of each of a number of schedules that share one
// Sync: 14 days, 100 entries in full and 100 more, and less of each where there
// are very many schedules, but never fewer than ten.
func BoundsFor(schedules int) Bounds {
	const together = 200_000 // entries in full: about 8 MiB, compressed
	detail := min(100, max(maxRecent, together/max(schedules, 1)))
	return Bounds{Detail: detail, Entries: 2 * detail, Age: 14 * 24 * time.Hour}
}

const (
	// maxKept is how long a text of somebody else's may be in a history.
	maxKept = 200
	// maxInForce is how many edits of a schedule are remembered.
	maxInForce = 10
)

// HistoryOf returns what v says of the past: the cursor with its last
// resolutions, and the Jobs that exist.
func HistoryOf(v View) History {
	cj := v.CronJob
	cursor, err := ParseCursor(cj.Annotations[schema.AnnotationCursor])
	if err != nil {
		return History{}
	}
	h := History{CronJob: cj.UID, active: map[string]bool{}}
	for _, r := range cursor.Recent {
		h.put(resolutionEntry(r))
	}
	if len(cursor.Recent) == maxRecent {
		h.Entries[0].Gap = true // until it is found to join what is known
	}
	h.InForce = []InForce{{Schedule: cursor.Schedule, Zone: cursor.Zone, Since: cursor.Since}}
	// A CronJob that is made anew does not go on with retries of the old one.
	cursor.Recent, cursor.Retry = nil, nil
	if cursor.Hold != nil {
		hold := *cursor.Hold
		hold.By = keep(hold.By)
		cursor.Hold = &hold
	}
	h.Cursor = cursor
	inUse := map[types.UID]bool{}
	for _, ref := range cj.Status.Active {
		h.active[ref.Name], inUse[ref.UID] = true, true
	}
	for _, job := range v.Jobs {
		run, ok := RunOf(cj, job)
		switch {
		case !ok || run.Withdrawn || run.Slot.After(cursor.Slot) || run.Prepared && !inUse[run.UID]:
			continue
		case run.Finished == "" && !run.Deleting:
			h.active[run.Name] = true
		}
		h.put(jobEntry(run, job))
	}
	return h
}

func keep(text string) string {
	if len(text) <= maxKept {
		return text
	}
	return clip(text)
}

func recordOf(run Run, job *batchv1.Job) *RunRecord {
	r := &RunRecord{UID: run.UID, Revision: keep(job.Annotations[schema.AnnotationRevision]), Started: run.Started.UTC(), Ended: run.FinishedAt.UTC()}
	switch run.Finished {
	case batchv1.JobComplete:
		r.Result = RunComplete
	case batchv1.JobFailed:
		r.Result = RunFailed
	}
	return r
}

// find returns where the entry is that has the slot, or where it would be.
func (h *History) find(slot time.Time) (int, bool) {
	i, _ := slices.BinarySearchFunc(h.Entries, slot, func(e Entry, t time.Time) int {
		if e.Final().Before(t) {
			return -1
		}
		return 1
	})
	return i, i < len(h.Entries) && !h.Entries[i].Slot.After(slot)
}

// put adds an entry, or what it knows of a slot that is there already.
func (h *History) put(e Entry) {
	i, there := h.find(e.Slot)
	if !there {
		if !e.Slot.After(h.Dropped) {
			return
		}
		h.Entries = slices.Insert(h.Entries, i, e)
		return
	}
	old := &h.Entries[i]
	if old.Slots() > 1 && e.Slots() == 1 {
		return // it is in there
	}
	switch {
	case e.Outcome == Skipped && old.Outcome == Ran:
		// It was withdrawn, and that stands.
		e.Gap = old.Gap
		*old = e
	case e.Outcome == Ran && old.Outcome == Ran:
		old.Run = old.Run.with(e.Run)
	}
}

// with returns what both records of one run know.
func (r *RunRecord) with(o *RunRecord) *RunRecord {
	if r == nil || o == nil {
		return cmp.Or(r, o)
	}
	both := *r
	both.UID, both.Revision = cmp.Or(r.UID, o.UID), cmp.Or(r.Revision, o.Revision)
	if both.Started.IsZero() {
		both.Started = o.Started
	}
	if both.Ended.IsZero() {
		both.Ended = o.Ended
	}
	if both.Result == "" || both.Result == RunGone && o.Result != "" {
		both.Result = o.Result
	}
	both.Retries = mergeRetries(r.Retries, o.Retries)
	return &both
}

// Merge returns h with what newer, which was added to none, knows. Now and b
// say what is left out.
func (h History) Merge(newer History, now time.Time, b Bounds) History {
	h = h.Add(newer)
	h.shorten(now, b)
	return h
}

// Add is Merge without a bound, for what is kept for a short time only.
func (h History) Add(newer History) History {
	if newer.CronJob == "" {
		return h
	}
	h.Entries = slices.Clone(h.Entries)
	h.join(newer.Entries)
	if later := newer.Cursor; !later.Slot.Before(h.Cursor.Slot) {
		h.Cursor, h.CronJob = later, newer.CronJob
	}
	h.InForce = inForce(h.InForce, newer.InForce)
	if newer.active != nil {
		h.active = newer.active
		h.ends(newer)
	}
	return h
}

// join puts entries in. Those of a cursor leave no gap if the first of them, or
// one that follows it, is known already.
func (h *History) join(entries []Entry) {
	joined := make([]bool, len(entries)+1)
	for i, e := range slices.Backward(entries) {
		_, there := h.find(e.Slot)
		joined[i] = joined[i+1] || there && !e.alone
	}
	begins := len(h.Entries) == 0
	for i, e := range entries {
		if !e.alone && (joined[i] || begins && i == 0) {
			e.Gap = false
		}
		h.put(e)
	}
}

// ends notes which runs went away without an end that was seen. A run that is
// newer than the view is none of them.
func (h *History) ends(view History) {
	for i := range h.Entries {
		e := &h.Entries[i]
		e.retriesEnd(&view)
		if e.Outcome != Ran || e.Slot.After(view.Cursor.Slot) || e.Run != nil && e.Run.Result != "" || view.names(e.Slot) {
			continue
		}
		gone := RunRecord{}
		if e.Run != nil {
			gone = *e.Run
		}
		gone.Result = RunGone
		e.Run = &gone
	}
}

// names reports whether a run of the slot may still end. All runs of a CronJob
// have its name and the slot's minute.
func (h *History) names(slot time.Time) bool {
	return h.namesEnding(JobName("", slot))
}

func inForce(old, newer []InForce) []InForce {
	out := slices.Clone(old)
	for _, n := range newer {
		if !slices.Contains(out, n) && !n.Since.IsZero() {
			out = append(out, n)
		}
	}
	slices.SortStableFunc(out, func(a, b InForce) int { return a.Since.Compare(b.Since) })
	return out[max(len(out)-maxInForce, 0):]
}

// shorten keeps h within b.
func (h *History) shorten(now time.Time, b Bounds) {
	detail := len(h.Entries) - b.Detail
	out := h.Entries[:0:0]
	for i, e := range h.Entries {
		if n := len(out); n > 0 && alike(out[n-1], e, i < detail) {
			out[n-1] = together(out[n-1], e)
			continue
		}
		out = append(out, e)
	}
	drop := max(len(out)-b.Entries, 0)
	for len(out)-drop > maxRecent && now.Sub(out[drop].Final()) > b.Age {
		drop++
	}
	if drop > 0 {
		h.Dropped = latest(h.Dropped, out[drop-1].Final())
	}
	h.Entries = out[drop:]
}

// alike reports whether b, which follows a, can become one entry with it.
func alike(a, b Entry, runs bool) bool {
	if b.Gap || a.Outcome != b.Outcome || a.Reason != b.Reason || a.By != b.By {
		return false
	}
	if a.Outcome == Skipped {
		return true
	}
	return runs && a.Run != nil && b.Run != nil && a.Run.Result == RunComplete && b.Run.Result == RunComplete && a.Run.Revision == b.Run.Revision
}

func together(a, b Entry) Entry {
	e := a
	e.Last, e.Count = b.Final(), a.Slots()+b.Slots()
	if a.Run != nil {
		e.Run = &RunRecord{Revision: a.Run.Revision, Result: a.Run.Result, Started: a.Run.Started, Ended: b.Run.Ended, Late: max(a.Lateness(), b.Lateness())}
	}
	return e
}

// Lateness returns how long after its slot a run started, of several runs the
// longest; zero if it is not known.
func (e Entry) Lateness() time.Duration {
	switch {
	case e.Run == nil || e.Run.Started.IsZero():
		return 0
	case e.Slots() > 1:
		return e.Run.Late
	}
	return max(e.Run.Started.Sub(e.Slot), 0)
}

// Touched returns when anything of h happened last.
func (h History) Touched() time.Time {
	at := latest(h.Cursor.Slot, h.Cursor.Since)
	if n := len(h.Entries); n > 0 && h.Entries[n-1].Run != nil {
		at = latest(at, h.Entries[n-1].Run.Ended)
	}
	return at
}

// Equal reports whether storing o instead of h would change anything.
func (h History) Equal(o History) bool {
	h.active, o.active = nil, nil
	a, errA := json.Marshal(h)
	b, errB := json.Marshal(o)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}
