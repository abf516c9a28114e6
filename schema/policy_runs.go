package schema

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// ConcurrencyGroup bounds the runs of several schedules of a Sync together.
type ConcurrencyGroup struct {
	// Name is the group's. Groups of two Syncs are two groups.
	Name string `json:"name"`
	// Limit is how many runs of the group there are at a time.
	Limit int64 `json:"limit"`
}

// Retries says how often a run that failed is tried again, each time as a Job
// of its own. It has nothing to do with a Job's backoffLimit, which is about
// the Pods of one Job.
type Retries struct {
	// Limit is how many retries a run has at most.
	Limit int64 `json:"limit"`
	// Backoff is how long after the failure the first retry starts, 10s if it
	// is not said; each further one waits twice as long as the one before.
	Backoff Duration `json:"backoff,omitzero"`
	// MaxBackoff bounds that, 6m if it is not said.
	MaxBackoff Duration `json:"maxBackoff,omitzero"`
}

const (
	// mostInGroup bounds ConcurrencyGroup.Limit: a group is one object, which
	// has an entry per run.
	mostInGroup = 1000
	// mostRetries bounds Retries.Limit to one digit, for it is in the name.
	mostRetries = 9
	// MostNameWithRetries is how many characters the name of a CronJob with
	// retries has at most: a run adds 11, a retry three more, and a Job's name
	// has at most 63.
	MostNameWithRetries = 49

	// defaultBackoff and defaultMaxBackoff are those of a Job for its Pods.
	defaultBackoff    = 10 * time.Second
	defaultMaxBackoff = 6 * time.Minute
)

// After returns how long after a failure the n-th retry, counted from 1, starts.
func (r Retries) After(n int) time.Duration {
	wait, most := r.Backoff.Duration, r.MaxBackoff.Duration
	if wait == 0 {
		wait = defaultBackoff
	}
	if most == 0 {
		most = max(defaultMaxBackoff, wait)
	}
	for range min(n, mostRetries) - 1 {
		if wait >= most/2 {
			return most
		}
		wait *= 2
	}
	return min(wait, most)
}

// String says it in words.
func (r Retries) String() string {
	if r.Limit == 1 {
		return fmt.Sprintf("retried once, after %s", r.After(1))
	}
	return fmt.Sprintf("retried %d times, after %s to %s", r.Limit, r.After(1), r.After(int(r.Limit)))
}

func (g ConcurrencyGroup) check() error {
	switch {
	case len(validation.IsDNS1123Label(g.Name)) > 0:
		return fmt.Errorf("%q is no name of a group", clipped(g.Name))
	case g.Limit < 1 || g.Limit > mostInGroup:
		return fmt.Errorf("limit is %d and not from 1 to %d", g.Limit, mostInGroup)
	}
	return nil
}

func (r Retries) check() error {
	switch {
	case r.Limit < 0 || r.Limit > mostRetries:
		return fmt.Errorf("limit is %d and not from 0 to %d", r.Limit, mostRetries)
	case r.Backoff.Duration < 0 || r.MaxBackoff.Duration < 0:
		return fmt.Errorf("a backoff is negative")
	}
	return nil
}

func (p *SchedulePolicy) checkGroup(s *strict) {
	const at = "spec.concurrencyGroup"
	g := p.Spec.ConcurrencyGroup
	if g == nil || s.said[at] {
		return
	}
	switch {
	case !s.given(at + ".name"):
		s.failAt("R020", at, "the group has no name", "Set name; schedules with the same one are of one group.")
	case len(validation.IsDNS1123Label(g.Name)) > 0:
		s.failAt("R020", at+".name", fmt.Sprintf("%q is no name of a group", clipped(g.Name)), "Use at most 63 lower-case letters, digits and -.")
	}
	switch {
	case !s.given(at + ".limit"):
		s.failAt("R020", at, "the group has no limit", "Set limit to how many runs of the group there are at a time.")
	case g.Limit < 1 || g.Limit > mostInGroup:
		s.failAt("R020", at+".limit", fmt.Sprintf("wants 1 to %d, not %d", mostInGroup, g.Limit), "To start nothing use pause, or spec.suspend of the CronJobs.")
	}
}

func (p *SchedulePolicy) checkRetries(s *strict) {
	const at = "spec.retries"
	r := p.Spec.Retries
	if r == nil || s.said[at] {
		return
	}
	switch {
	case !s.given(at + ".limit"):
		s.failAt("R020", at, "retries has no limit", "Set limit to how often a run that failed is tried again.")
	case r.Limit < 1 || r.Limit > mostRetries:
		s.failAt("R020", at+".limit", fmt.Sprintf("wants 1 to %d, not %d", mostRetries, r.Limit), "Remove retries if a run is not to be tried again.")
	}
	short := false
	for _, b := range []struct {
		field string
		value time.Duration
	}{{at + ".backoff", r.Backoff.Duration}, {at + ".maxBackoff", r.MaxBackoff.Duration}} {
		if s.at[b.field] != nil && b.value < time.Second {
			s.failAt("R020", b.field, fmt.Sprintf("wants at least a second, not %s", b.value), "")
			short = true
		}
	}
	if least := max(r.Backoff.Duration, 0); !short && r.MaxBackoff.Duration > 0 && s.at[at+".backoff"] != nil && r.MaxBackoff.Duration < least {
		s.failAt("R020", at+".maxBackoff", fmt.Sprintf("%s is less than the backoff, %s", r.MaxBackoff, r.Backoff), "Exchange the two.")
	}
}
