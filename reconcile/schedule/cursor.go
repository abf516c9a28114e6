package schedule

import (
	"encoding/json"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// Outcome is how a slot ended.
type Outcome string

const (
	// Ran means that a Job of the slot was committed to.
	Ran Outcome = "Ran"
	// Skipped means that no Job of the slot starts, for a Reason.
	Skipped Outcome = "Skipped"
)

// Reason says why slots are skipped, or why a schedule holds its slots back.
type Reason string

const (
	// Suspended: git asks for suspend.
	Suspended Reason = "Suspended"
	// Paused: the annotation rota.dev/pause is on.
	Paused Reason = "Paused"
	// Blocked: Forbid, and another run is active. Only ever a Hold.
	Blocked Reason = "Blocked"
	// GroupFull: the concurrency group has no place, or it is the turn of
	// others. Only ever a Hold.
	GroupFull Reason = "GroupFull"
	// DeadlineMissed: startingDeadlineSeconds went by.
	DeadlineMissed Reason = "DeadlineMissed"
	// Superseded: a later slot was due too, and only the latest runs.
	Superseded Reason = "Superseded"
	// Replaced: committed to, and then a later slot took its place before it
	// was released.
	Replaced Reason = "Replaced"
	// Edited: the schedule or its zone changed before the slot was resolved.
	Edited Reason = "Edited"
	// NameTaken: a stranger's Job has the run's name.
	NameTaken Reason = "NameTaken"
	// OutsideWindow: the policy's window is not open.
	OutsideWindow Reason = "OutsideWindow"
	// Excluded: a calendar of the policy excludes the day.
	Excluded Reason = "Excluded"
	// QueueFull: under Queue another slot waited already.
	QueueFull Reason = "QueueFull"
	// NotCaughtUp: it was late, and the policy catches up on nothing.
	NotCaughtUp Reason = "NotCaughtUp"
	// SameMinute: a run of this minute exists already (@every under a minute).
	SameMinute Reason = "SameMinute"
)

// Cursor is the value of the annotation rota.dev/cursor: how far the slots of
// a CronJob are resolved. It only ever grows.
type Cursor struct {
	// Slot is the last resolved slot; zero before the first.
	Slot time.Time `json:"slot,omitzero"`
	// Outcome is that of Slot.
	Outcome Outcome `json:"outcome,omitempty"`
	// Schedule and Zone are those that the slots since Since belong to.
	Schedule string `json:"schedule"`
	Zone     string `json:"zone,omitempty"`
	// Since is when Schedule and Zone came into force, at the latest. No slot
	// at or before it is theirs.
	Since time.Time `json:"since"`
	// Retry is how far the retries of Slot are; nil if there are none.
	Retry *Retry `json:"retry,omitempty"`
	// Hold is set while due slots are held back.
	Hold *Hold `json:"hold,omitempty"`
	// Recent has the last resolutions, oldest first, at most ten. A run that
	// was withdrawn has a second entry, which stands.
	Recent []Resolution `json:"recent,omitempty"`
}

// Hold says why, and since when, a schedule's due slots are held back.
type Hold struct {
	Reason Reason    `json:"reason"`
	Since  time.Time `json:"since"`
	// Until is when a closure or a pause ends by itself; zero if it does not,
	// and for other holds.
	Until time.Time `json:"until,omitzero"`
	// By is the run in the way, for Blocked, the runs in the way, for
	// GroupFull, the reason of a pause, or the rule of the policy.
	By string `json:"by,omitempty"`
	// Retry is set if what waits is a retry, from 1, and not a slot.
	Retry int `json:"retry,omitempty"`
}

// Resolution is the outcome of one slot, or of several in a row that were
// skipped for the same reason.
type Resolution struct {
	// Slot is the first slot, Last the last if there are several.
	Slot time.Time `json:"slot"`
	Last time.Time `json:"last,omitzero"`
	// Count is how many there are; zero means one.
	Count int `json:"count,omitempty"`
	// Retry is set if this is of a retry of the slot's run, which resolves
	// nothing.
	Retry   int     `json:"retry,omitempty"`
	Outcome Outcome `json:"outcome"`
	Reason  Reason  `json:"reason,omitempty"`
	// By is the run in the way, the stranger's Job or a pause's reason.
	By string `json:"by,omitempty"`
}

const maxRecent = 10

// ParseCursor reads the annotation rota.dev/cursor. The error's rule is R308.
func ParseCursor(text string) (Cursor, error) {
	var c Cursor
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return Cursor{}, problem("R308", "metadata.annotations", err, "the cursor %q cannot be read", clip(text))
	}
	if c.Since.IsZero() {
		return Cursor{}, problem("R308", "metadata.annotations", nil, "the cursor %q cannot be read: it has no since", clip(text))
	}
	return c, nil
}

// String returns c as [ParseCursor] reads it.
func (c Cursor) String() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("encoding a cursor: %v", err)) // times beyond the year 9999 are the only way, and slots end before
	}
	return string(text)
}

// IsZero reports whether nothing was recorded yet.
func (c Cursor) IsZero() bool { return c.Since.IsZero() }

// inForce reports whether the schedule and zone of c are still those of cj.
func (c Cursor) inForce(cj *batchv1.CronJob) bool {
	zone := ""
	if cj.Spec.TimeZone != nil {
		zone = *cj.Spec.TimeZone
	}
	return c.Schedule == cj.Spec.Schedule && c.Zone == zone
}

func (c *Cursor) remember(r Resolution) {
	c.Recent = append(c.Recent, r)
	if over := len(c.Recent) - maxRecent; over > 0 {
		c.Recent = append([]Resolution(nil), c.Recent[over:]...)
	}
}

func (c *Cursor) resolve(r Resolution) {
	last := r.Slot
	if !r.Last.IsZero() {
		last = r.Last
	}
	if last.After(c.Slot) && c.Retry.pending() {
		c.skipRetry(c.Slot, c.Retry.Number, Superseded, "")
	}
	c.remember(r)
	if last.After(c.Slot) {
		c.Slot, c.Outcome, c.Retry = last, r.Outcome, nil
	}
}
