package forecast

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"rota.dev/rota/reconcile/schedule"
)

// busiestOfWeek is how many minutes a Comparison has of each revision.
const busiestOfWeek = 5

// week counts the runs of seven days, or of another span, a number for each
// minute: of very many schedules there may be very many runs, and none of them
// is kept.
type week struct {
	now, until time.Time
	// first is the minute of now, since the epoch.
	first int64
}

// tally has the number of runs that start in each minute of a week.
type tally []int32

func weekOf(now time.Time) week {
	return week{now: now, until: now.AddDate(0, 0, 7), first: now.Unix() / 60}
}

func (w week) tally() tally { return make(tally, w.until.Unix()/60-w.first+1) }

// add counts the runs of s into each of the tallies.
func (w week) add(s *Schedule, into ...tally) {
	for at := range w.starts(s) {
		for _, t := range into {
			t[at/60-w.first]++
		}
	}
}

// starts returns when the runs of s start, in seconds since the epoch; of nil
// there are none.
func (w week) starts(s *Schedule) iter.Seq[int64] {
	if s == nil {
		return func(func(int64) bool) {}
	}
	return s.Starts(s.asked(schedule.Coming{After: w.now, Until: w.until}))
}

// busiest returns the busiest minutes without the changes of pairs and with
// them, as [Busiest] does.
func (w week) busiest(pairs []pair) (before, after []Minute) {
	without, with := w.tally(), w.tally()
	for _, p := range pairs {
		if p.changed() {
			w.add(p.before, without)
			w.add(p.after, with)
		} else {
			w.add(p.after, without, with)
		}
	}
	b, a := w.peaks(without), w.peaks(with)
	for _, p := range pairs {
		if p.changed() {
			w.name(p.before, b)
			w.name(p.after, a)
		} else {
			w.name(p.after, b, a)
		}
	}
	return b.list(), a.list()
}

// peaks are the busiest minutes, and for each minute of the week which of them
// it is, from 1 on; 0 if it is none.
type peaks struct {
	minutes []Minute
	of      []uint8
}

func (w week) peaks(t tally) *peaks {
	var busy []int
	for i, runs := range t {
		if runs > 1 {
			busy = append(busy, i)
		}
	}
	slices.SortFunc(busy, func(a, b int) int { return cmp.Or(cmp.Compare(t[b], t[a]), cmp.Compare(a, b)) })
	p := &peaks{of: make([]uint8, len(t))}
	for n, i := range busy[:min(len(busy), busiestOfWeek)] {
		p.minutes = append(p.minutes, Minute{At: w.minute(i), Runs: int(t[i])})
		p.of[i] = uint8(n + 1)
	}
	return p
}

// minute returns when the i-th minute begins.
func (w week) minute(i int) time.Time { return time.Unix((w.first+int64(i))*60, 0).UTC() }

// last returns when the last of the peaks is over.
func (p *peaks) last() time.Time {
	var last time.Time
	for _, m := range p.minutes {
		if end := m.At.Add(time.Minute - time.Nanosecond); end.After(last) {
			last = end
		}
	}
	return last
}

// name adds s to the CronJobs of the peaks in which it starts a run. It looks
// no further than they are: of equal minutes the first ones are the busiest.
func (w week) name(s *Schedule, all ...*peaks) {
	last := time.Time{}
	for _, p := range all {
		if end := p.last(); end.After(last) {
			last = end
		}
	}
	if last.IsZero() {
		return
	}
	if last.Before(w.until) {
		w.until = last
	}
	for at := range w.starts(s) {
		for _, p := range all {
			n := p.of[at/60-w.first]
			if n == 0 {
				continue
			}
			m := &p.minutes[n-1]
			if name := s.Namespace + "/" + s.Name; len(m.CronJobs) == 0 || m.CronJobs[len(m.CronJobs)-1] != name {
				m.CronJobs = append(m.CronJobs, name)
			}
		}
	}
}

func (p *peaks) list() []Minute {
	for _, m := range p.minutes {
		slices.Sort(m.CronJobs)
	}
	return p.minutes
}

// contention has the schedules that a bound limits in both revisions, and to how
// many runs.
type contention struct {
	before, after         []*Schedule
	mostBefore, mostAfter int32
	changed               bool
}

// contentionsOf returns what limits the schedules of pairs.
func contentionsOf(pairs []pair) map[bound]*contention {
	all := map[bound]*contention{}
	of := func(b bound) *contention {
		if all[b] == nil {
			all[b] = &contention{}
		}
		return all[b]
	}
	for _, p := range pairs {
		for b, most := range p.before.bounds() {
			c := of(b)
			c.before, c.mostBefore, c.changed = append(c.before, p.before), most, c.changed || p.changed()
		}
		for b, most := range p.after.bounds() {
			c := of(b)
			c.after, c.mostAfter, c.changed = append(c.after, p.after), most, c.changed || p.changed()
		}
	}
	return all
}

// exceeded returns the limits that are exceeded by more with the changes of
// pairs than without them, each with the first minute in which it is.
func (w week) exceeded(pairs []pair) []Exceeded {
	all := contentionsOf(pairs)
	without, with := w.tally(), w.tally()
	var out []Exceeded
	for _, b := range slices.SortedFunc(maps.Keys(all), inBounds) {
		c := all[b]
		if len(c.after) == 0 || !c.changed && c.mostBefore == c.mostAfter {
			continue
		}
		clear(without)
		clear(with)
		for _, s := range c.before {
			w.add(s, without)
		}
		for _, s := range c.after {
			w.add(s, with)
		}
		for i := range with {
			if over := with[i] - c.mostAfter; over > 0 && over > without[i]-c.mostBefore {
				out = append(out, Exceeded{Group: b.group, Quota: b.quota, Limit: int(c.mostAfter), At: w.minute(i), Runs: int(with[i])})
				break
			}
		}
	}
	return out
}

// limitOf returns the limit of the group that all members are in; policies
// that give a group two are an error of the repository.
func limitOf(members []*Schedule) int32 {
	if len(members) == 0 {
		return 0
	}
	return int32(min(members[0].Rules.ConcurrencyGroup.Limit, math.MaxInt32))
}
