package plan

import (
	"time"

	"rota.dev/rota/schema"
)

// Ledger is what is known of the runs of the repository's Jobs, whether the
// Jobs still exist or not.
type Ledger struct {
	// Jobs holds the last run of each Job.
	Jobs map[schema.Key]Run
	// Unreadable says why the ledger cannot be believed: no Job is created
	// then, for each might be a second run. Nil if it can.
	Unreadable *schema.Problem
}

// Run is the ledger's entry for the last run of a Job.
type Run struct {
	// Digest is of what ran: `d1:` and 64 hex digits.
	Digest string `json:"digest"`
	// UID is the Job's; empty when assumed.
	UID string `json:"uid,omitempty"`
	// Outcome is how it ended, or RunActive.
	Outcome RunOutcome `json:"outcome"`
	// Revision is what the Job was rendered from.
	Revision string `json:"revision,omitempty"`
	// Started and Ended are from the Job's status; zero if unknown.
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	// Parameters are the Expansion's, for history.
	Parameters map[string]string `json:"parameters,omitempty"`
}

// RunOutcome is how a run ended.
type RunOutcome string

// The outcomes of a Run.
const (
	RunActive   RunOutcome = "Active"   // exists, unfinished
	RunComplete RunOutcome = "Complete" // the Job's own condition
	RunFailed   RunOutcome = "Failed"   // the Job's own condition
	RunDeleted  RunOutcome = "Deleted"  // somebody deleted it unfinished
	RunGone     RunOutcome = "Gone"     // vanished while nobody watched
	RunAssumed  RunOutcome = "Assumed"  // `rota ledger rebuild --assume-done`
)
