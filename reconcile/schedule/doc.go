// Package schedule decides when a CronJob's runs start, stop and are cleaned
// up. It is pure: a [Spec], a [State] and the time go in, a [Decision] with
// reasons and the next time to look comes out. It parses cron, and it makes
// the objects that a decision is carried out with ([NewRun], [Record]).
//
// It reads no clock, talks to no cluster and keeps nothing between calls, but
// for time zones, which are read once.
//
// # Slots
//
// A slot is an instant at which a schedule is due. Every slot is resolved
// once: it ran, or it was skipped for a [Reason]. The [Cursor], an annotation
// on the CronJob, holds the last resolved slot; every slot at or before it is
// resolved, every slot after it is not. The cursor only grows, and it is
// written together with status.active in one compare-and-swap, which is what
// makes a run happen once (see package reconcile, Scheduler).
//
// # Retries and groups
//
// A run that failed may be tried again: [Retry] is the part of the cursor that
// says how far that is, and it grows with the cursor. Runs of several schedules
// may have to share the places of a [Group], which is an object of its own.
// Who has a place, who may take one and whose turn it is follows from it and
// from the Jobs that exist ([Group.Held], [Turn], [Group.Claim]).
package schedule
