package schema

import (
	"fmt"
	"time"
)

// OverrunRule is of the lint that needs the history of a cluster.
const OverrunRule = "R099"

// Overruns warns of CronJobs with concurrencyPolicy Forbid of which a run took
// longer than the shortest time between two fires after now: the next run then
// starts late, or is left out. Longest is the longest of the runs that a cluster
// knows of, zero if it knows of none.
func Overruns(objects []Object, longest func(key Key) time.Duration, now time.Time) []*Problem {
	l := &linter{}
	for _, o := range objects {
		spec := mapOf(o.Object, "spec")
		if !o.Key().IsCronJob() || textOf(spec, "concurrencyPolicy") != "Forbid" {
			continue
		}
		took := longest(o.Key())
		if took <= 0 {
			continue
		}
		if gap := shortestGap(textOf(spec, "schedule"), textOf(spec, "timeZone"), now); gap > 0 && took > gap {
			l.warn(OverrunRule, o, "spec.schedule", fmt.Sprintf("the longest of the last runs took %s, and %s is the shortest time between two fires: with Forbid the next run starts late, or is left out", took.Round(time.Second), gap),
				"Fire less often, make the runs shorter, or end them by activeDeadlineSeconds.")
		}
	}
	return l.found
}

// comingFires is over how many fires the shortest gap is looked for.
const comingFires = 200

// shortestGap returns the shortest time between two fires of a schedule after
// now, zero if it does not fire.
func shortestGap(schedule, zone string, now time.Time) time.Duration {
	in, err := time.LoadLocation(zone)
	if rule, _, _ := checkSchedule(schedule); err != nil || rule != "" {
		return 0
	}
	parsed, err := parseSchedule(schedule)
	if err != nil {
		return 0
	}
	var shortest time.Duration
	last := parsed.Next(now.In(in))
	for range comingFires {
		next := parsed.Next(last)
		if next.IsZero() {
			break
		}
		if gap := next.Sub(last); shortest == 0 || gap < shortest {
			shortest = gap
		}
		last = next
	}
	return shortest
}
