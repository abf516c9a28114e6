package reconcile

import (
	"context"
	"errors"
	"time"

	"rota.dev/rota/schema"
)

// News is sent to when what Troubles returns has changed.
func (s *Scheduler) News() <-chan struct{} { return s.news }

// Troubles returns why decisions could not be carried out, one for each CronJob
// of which the last one was not, in order of name. What can be told from the
// CronJob alone is not among them.
func (s *Scheduler) Troubles() []*schema.Problem {
	var out []*schema.Problem
	for _, r := range s.Reports() {
		if r.Err == nil || errors.Is(r.Err, context.Canceled) {
			continue
		}
		out = append(out, &schema.Problem{Rule: "R343", Severity: schema.SeverityWarning, Cause: r.Err,
			Object:  &schema.Key{Group: "batch", Kind: "CronJob", Namespace: r.Name.Namespace, Name: r.Name.Name},
			Message: "what its schedule asks for could not be carried out, and is tried again: " + r.Err.Error(),
			Mend:    "Read the reason; rota why " + r.Name.Name + " tells which slot waits."})
	}
	return out
}

// troublesDelay is the time in which changes of Troubles are collected before
// they are published.
const troublesDelay = 5 * time.Second
