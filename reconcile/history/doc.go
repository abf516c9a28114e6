// Package history judges what a scheduler did. A [Journal] says what happened to
// one CronJob and its runs, as the API server saw it: revisions with their time
// and spec, Jobs created, released, finished and deleted, records of
// outcomes, and what went wrong meanwhile with clocks, leases and the network.
// A [Checker] gives every slot one [Verdict], with the evidence.
//
// It is written after the analysis of Chronos in Jepsen, and is stricter: a run
// that is missing has to be missing for a recorded reason, and the reason has
// to be true. It shares no code with what it judges (reconcile/schedule): its slots
// come from a walk over every minute of the zone's clock, and it reads the
// records with types of its own, so that a fault there cannot hide itself here.
//
// # What may be late
//
// A slot can start from the first moment on, at or after it was due, from which for
// the length of the tolerance nothing was in its way: no fault, no
// pause, no other run under a strict policy, no clock that was set back. A run
// that begins later than that by more than the tolerance is LATE, and a skip is
// true only if that moment came too late for the reason that was recorded.
package history
