// Package forecast says what many schedules will do: which of them fire when,
// and in which minutes they pile up. It is pure; the time is an argument.
package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// mostFires bounds what one forecast looks at: two years of a schedule that
// fires every minute.
const mostFires = 1_000_000

// Unbounded as schedule.Coming.Most asks for all fires until a time.
const Unbounded = mostFires + 1

// Schedule is a CronJob whose times are asked for.
type Schedule struct {
	schedule.Spec
	// Anchor is where @every counts from; zero if it has not begun yet.
	Anchor time.Time
	// Ran is the slot of the last run; zero if there was none, or it is not known.
	Ran time.Time
	// Resolved is the last slot that is resolved; zero means that all are.
	Resolved time.Time
	// Origin is where it is written; zero for one of a cluster.
	Origin schema.Origin
	// Quotas bound the Jobs of its namespace, as far as they are known.
	Quotas []Quota
}

// OfRepository returns the CronJobs among objects as rota's own scheduler
// would run them, in order. Those that name no namespace are in the one given:
// a schedule's jitter hangs on it.
func OfRepository(objects []schema.Object, namespace string) ([]Schedule, error) {
	cronJobs := slices.DeleteFunc(slices.Clone(objects), func(o schema.Object) bool { return !o.Key().IsCronJob() })
	intended, err := plan.Intend(cronJobs, plan.Options{EmbeddedScheduler: true})
	if err != nil {
		return nil, err
	}
	var all []Schedule
	for _, in := range intended {
		var cj batchv1.CronJob
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(in.Object.Object, &cj); err != nil {
			return nil, fmt.Errorf("reading %s of %s: %w", in.Key(), in.Origin, err)
		}
		cj.Namespace = cmp.Or(cj.Namespace, namespace)
		spec, err := schedule.SpecOf(&cj)
		if err != nil {
			return nil, err
		}
		all = append(all, Schedule{Spec: spec, Origin: in.Origin})
	}
	return all, nil
}

// OfCluster returns the CronJobs of views, whoever schedules them, as they
// stand now.
func OfCluster(views []schedule.View, now time.Time) []Schedule {
	var all []Schedule
	for _, v := range views {
		spec, c := schedule.ComingOf(v, now)
		all = append(all, Schedule{Spec: spec, Anchor: c.Anchor, Ran: c.Ran, Resolved: c.Resolved})
	}
	return all
}

// asked returns c with what it says of no schedule but of s.
func (s *Schedule) asked(c schedule.Coming) schedule.Coming {
	c.Anchor, c.Ran, c.Resolved = s.Anchor, s.Ran, s.Resolved
	return c
}

// Fire is a slot of one of the schedules.
type Fire struct {
	schedule.Fire
	Schedule *Schedule
	// Crowd is how many runs of its concurrency group start in its minute, if
	// that was asked for ([Crowd]); zero for a schedule without a group.
	Crowd int
}

// At is when the run starts, or, if none does, the slot.
func (f Fire) At() time.Time {
	if f.Due.IsZero() {
		return f.Slot
	}
	return f.Due
}

// Coming returns the slots of all schedules that c asks for, in order of time
// and then of name; c.Most bounds them together. The error says that they are
// too many to look at.
func Coming(all []Schedule, c schedule.Coming) ([]Fire, error) {
	var fires []Fire
	for i := range all {
		c := all[i].asked(c)
		c.Most = min(c.Most, Unbounded)
		for _, f := range all[i].Coming(c) {
			fires = append(fires, Fire{Fire: f, Schedule: &all[i]})
		}
		if len(fires) > 2*c.Most+1000 {
			// What is beyond the most so far can only be pushed further back.
			slices.SortFunc(fires, inTime)
			fires = fires[:c.Most]
		}
		if len(fires) > mostFires {
			return nil, &schema.Problem{Rule: "R350", Message: fmt.Sprintf("the schedules fire more than %d times until %s", mostFires, c.Until.Format(time.RFC3339)),
				Mend: "Ask for an earlier --until, or for fewer schedules by --name."}
		}
	}
	slices.SortFunc(fires, inTime)
	return fires[:min(len(fires), c.Most)], nil
}

func inTime(a, b Fire) int {
	return cmp.Or(a.At().Compare(b.At()), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name), a.Slot.Compare(b.Slot))
}

// Minute is a minute in which runs start.
type Minute struct {
	At time.Time
	// Runs is how many start, and CronJobs whose they are, each once, by name.
	Runs     int
	CronJobs []string
}

// Busiest returns the minutes in which most runs start, at most n, the busiest
// first and of equal ones the earliest. Minutes with a single run are none.
func Busiest(fires []Fire, n int) []Minute {
	by := map[int64]*Minute{}
	for _, f := range fires {
		if f.Due.IsZero() {
			continue
		}
		at := f.Due.Truncate(time.Minute)
		m := by[at.Unix()]
		if m == nil {
			m = &Minute{At: at.UTC()}
			by[at.Unix()] = m
		}
		m.Runs++
		m.CronJobs = append(m.CronJobs, f.Namespace+"/"+f.Name)
	}
	var all []Minute
	for _, m := range by {
		if m.Runs < 2 {
			continue
		}
		slices.Sort(m.CronJobs)
		m.CronJobs = slices.Compact(m.CronJobs)
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b Minute) int { return cmp.Or(b.Runs-a.Runs, a.At.Compare(b.At)) })
	return all[:min(len(all), n)]
}

// Silent returns one line for each schedule that fires no more as things are,
// and says why.
func Silent(all []Schedule, after time.Time) []string {
	var lines []string
	for i := range all {
		if why := all[i].silent(after); why != "" {
			lines = append(lines, all[i].Namespace+"/"+all[i].Name+" "+why)
		}
	}
	return lines
}

// Retried returns one line for each schedule of fires whose runs are tried
// again when they fail, which starts more of them than are foreseen.
func Retried(fires []Fire) []string {
	var lines []string
	seen := map[*Schedule]bool{}
	for _, f := range fires {
		if s := f.Schedule; s.Rules.Retries.Limit > 0 && !seen[s] {
			seen[s] = true
			lines = append(lines, fmt.Sprintf("%s/%s: a run that fails is %s", s.Namespace, s.Name, s.Rules.Retries))
		}
	}
	slices.Sort(lines)
	return lines
}

// silent says why s fires no more after the given time; empty if it does.
func (s *Schedule) silent(after time.Time) string {
	switch {
	case s.Err != nil:
		if problems := schema.Problems(s.Err); len(problems) > 0 {
			return fmt.Sprintf("never fires: %s (%s)", problems[0].Message, problems[0].Rule)
		}
		return fmt.Sprintf("never fires: %v", s.Err)
	case s.Suspended:
		return "is suspended"
	case s.Pause != nil && s.Pause.Until.IsZero():
		return strings.TrimSpace("is paused, without an end: " + s.Pause.Reason)
	case len(s.Coming(s.asked(schedule.Coming{After: after, Most: 1}))) == 0:
		return "fires no more: " + strings.Join(append([]string{s.Spec.Schedule}, s.Rules.Rules()...), ", ")
	}
	return ""
}
