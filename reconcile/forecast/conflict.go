package forecast

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"rota.dev/rota/reconcile/schedule"
)

// Conflict is a set of CronJobs of which runs start in the same minute.
type Conflict struct {
	// Group is their concurrency group, and Limit how many of it run at a
	// time; empty and zero for CronJobs that are not all of one group.
	Group string
	Limit int
	// First is the first of the minutes, and Times how many there are.
	First time.Time
	Times int
	// Runs is how many start in one of them, at most.
	Runs int
	// CronJobs are namespace/name, in order.
	CronJobs []string
}

// Over reports whether some of the runs have to wait for others.
func (c Conflict) Over() bool { return c.Group != "" && c.Runs > c.Limit }

// Conflicts returns the sets of CronJobs of which runs start in the same
// minute: first those that are more than their concurrency group lets run, then
// others of one group, then the rest, each the largest and the earliest first.
func Conflicts(fires []Fire) []Conflict {
	minutes := map[int64][]Fire{}
	for _, f := range fires {
		if !f.Due.IsZero() {
			minutes[f.Due.Unix()/60] = append(minutes[f.Due.Unix()/60], f)
		}
	}
	found := map[string]*Conflict{}
	for minute, starting := range minutes {
		groups := map[string][]Fire{}
		for _, f := range starting {
			if g := f.Schedule.Rules.ConcurrencyGroup; g != nil {
				groups[g.Name] = append(groups[g.Name], f)
			}
		}
		for name, members := range groups {
			note(found, name, minute, members)
		}
		if first := starting[0].Schedule.Rules.ConcurrencyGroup; first == nil || len(groups[first.Name]) < len(starting) {
			note(found, "", minute, starting)
		}
	}
	all := make([]Conflict, 0, len(found))
	for _, c := range found {
		all = append(all, *c)
	}
	slices.SortFunc(all, Conflict.compare)
	return all
}

func (c Conflict) compare(other Conflict) int {
	rank := func(c Conflict) int {
		switch {
		case c.Over():
			return 0
		case c.Group != "":
			return 1
		}
		return 2
	}
	return cmp.Or(rank(c)-rank(other), other.Runs-c.Runs, c.First.Compare(other.First), strings.Compare(c.Group, other.Group), slices.Compare(c.CronJobs, other.CronJobs))
}

// note adds what starts in a minute to what was found, if it is more than one run.
func note(found map[string]*Conflict, group string, minute int64, starting []Fire) {
	if len(starting) < 2 {
		return
	}
	var names []string
	for _, f := range starting {
		names = append(names, f.Namespace+"/"+f.Name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	key := group + " " + strings.Join(names, " ")
	at := time.Unix(minute*60, 0).UTC()
	c := found[key]
	if c == nil {
		c = &Conflict{Group: group, First: at, CronJobs: names}
		if group != "" {
			c.Limit = int(starting[0].Schedule.Rules.ConcurrencyGroup.Limit)
		}
		found[key] = c
	}
	c.Times++
	c.Runs = max(c.Runs, len(starting))
	if at.Before(c.First) {
		c.First = at
	}
}

// Crowd sets of each fire how many runs of its concurrency group start in its
// minute, those of all schedules counted that start after the given time.
func Crowd(fires []Fire, all []Schedule, after time.Time) {
	type minute struct {
		group string
		at    int64
	}
	runs := map[minute]int{}
	var until time.Time
	for _, f := range fires {
		if g := f.Schedule.Rules.ConcurrencyGroup; g != nil && !f.Due.IsZero() {
			runs[minute{g.Name, f.Due.Unix() / 60}] = 0
			if f.Due.After(until) {
				until = f.Due
			}
		}
	}
	if len(runs) == 0 {
		return
	}
	for i := range all {
		g := all[i].Rules.ConcurrencyGroup
		if g == nil {
			continue
		}
		for at := range all[i].Starts(all[i].asked(schedule.Coming{After: after, Until: until.Truncate(time.Minute).Add(time.Minute - 1)})) {
			if n, ok := runs[minute{g.Name, at / 60}]; ok {
				runs[minute{g.Name, at / 60}] = n + 1
			}
		}
	}
	for i, f := range fires {
		if g := f.Schedule.Rules.ConcurrencyGroup; g != nil && !f.Due.IsZero() {
			fires[i].Crowd = runs[minute{g.Name, f.Due.Unix() / 60}]
		}
	}
}
