package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

func TestDecideInAGroup(t *testing.T) {
	const F, R = batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent
	group := schema.Policy{ConcurrencyGroup: &schema.ConcurrencyGroup{Name: "g", Limit: 1}}
	taken := func(_ *Spec, s *State) { s.Places = []Place{{Schedule: "n/b", Job: "b-1", UID: "b1"}} }
	mine := Run{Name: "x-24393780", UID: "m", Slot: at("03:00"), Prepared: true, Group: "g"}
	myPlace := Place{Schedule: "n/x", Job: mine.Name, UID: "m"}
	both := func(all ...func(*Spec, *State)) func(*Spec, *State) {
		return func(p *Spec, s *State) {
			for _, f := range all {
				f(p, s)
			}
		}
	}
	pause := func(p *Spec, _ *State) { p.Pause = &Pause{Reason: "stop"} }
	committed := func(_ *Spec, s *State) { s.Active, s.Jobs = []Ref{mine.Ref()}, []Run{mine} }
	for name, c := range map[string]struct {
		row    row
		rules  schema.Policy
		change func(*Spec, *State)
		want   string
		waits  bool
	}{
		"a free place": {row: row{last: "02:00", now: "03:00:01"}, rules: group, want: "Start 05-19 03:00"},
		"no place":     {row: row{last: "02:00", now: "03:00:01"}, rules: group, change: taken, want: "HoldBack GroupFull", waits: true},
		"it waits already: nothing to record": {row: row{last: "02:00", now: "04:00:01"}, rules: group,
			change: both(taken, fullSince("03:00")), want: "", waits: true},
		"its turn comes: the latest slot starts": {row: row{last: "02:00", now: "04:00:01"}, rules: group,
			change: fullSince("03:00"), want: "Skip 1 Superseded, Start 05-19 04:00"},
		"under Queue the oldest": {row: row{policy: F, last: "02:00", now: "04:00:01"}, rules: with(group, func(p *schema.Policy) { p.Overlap = schema.OverlapQueue }),
			change: fullSince("03:00"), want: "Start 05-19 03:00, Skip 1 QueueFull"},
		"another waits for longer": {row: row{last: "02:00", now: "03:00:01"}, rules: group, waits: true,
			change: func(_ *Spec, s *State) { s.Waiting = []Waiter{{Schedule: "n/b", Since: at("02:59"), Limit: 1}} }, want: "HoldBack GroupFull"},
		"another waits for less": {row: row{last: "02:00", now: "03:00:01"}, rules: group,
			change: func(_ *Spec, s *State) { s.Waiting = []Waiter{{Schedule: "n/b", Since: at("03:00:01"), Limit: 1}} }, want: "Start 05-19 03:00"},
		"the deadline passes while it waits": {row: row{last: "02:00", deadline: 10, now: "03:00:11"}, rules: group,
			change: both(taken, fullSince("03:00")), want: "Skip 1 DeadlineMissed, Resume"},
		"its own place, taken before a crash": {row: row{last: "02:00", now: "03:00:01"}, rules: group,
			change: func(_ *Spec, s *State) { s.Jobs, s.Places = []Run{mine}, []Place{myPlace} }, want: "Start 05-19 03:00"},
		"the place of an earlier slot, taken before a crash, is given up": {row: row{last: "02:00", now: "04:00:01"}, rules: group, waits: true,
			change: func(_ *Spec, s *State) { s.Jobs, s.Places = []Run{mine}, []Place{myPlace} }, want: "Skip 1 Superseded, HoldBack GroupFull"},
		"and so it is when the schedule is paused": {row: row{last: "02:00", now: "03:00:01"}, rules: group,
			change: both(pause, func(_ *Spec, s *State) { s.Jobs, s.Places = []Run{mine}, []Place{myPlace} }), want: "Skip 1 Paused, HoldBack Paused"},
		"a committed run of a paused schedule gives its place up": {row: row{last: "03:00", now: "03:00:01"}, rules: group,
			change: both(pause, committed, func(_ *Spec, s *State) { s.Places = []Place{myPlace} }), want: "Withdraw x-24393780 Paused, HoldBack Paused"},
		"a committed run is released": {row: row{last: "03:00", now: "03:00:01"}, rules: group,
			change: both(committed, func(_ *Spec, s *State) { s.Places = []Place{myPlace} }), want: "Release x-24393780"},
		"one that took the place of another waits for its end, under Allow by now": {row: row{last: "03:00", now: "03:00:01"}, rules: group,
			change: both(committed, func(_ *Spec, s *State) {
				s.Places = []Place{{Schedule: "n/x", Job: "old", UID: "old"}, {Schedule: "n/x", Job: mine.Name, UID: "m", After: []types.UID{"old"}}}
			}), want: ""},
		"a committed run that has lost its place takes another": {row: row{last: "03:00", now: "03:00:01"}, rules: group, change: committed, want: "Reserve x-24393780"},
		"or waits for one":                                      {row: row{last: "03:00", now: "03:00:01"}, rules: group, change: both(committed, taken), want: "", waits: true},
		"a group that cannot be read":                           {row: row{last: "02:00", now: "03:00:01"}, rules: group, change: func(_ *Spec, s *State) { s.GroupUnknown = true }, want: "", waits: true},
		"of a group that is not its any more it needs no place": {row: row{last: "03:00", now: "03:00:01"}, change: committed, want: "Release x-24393780"},
		"Replace takes the place of the run that it replaces": {row: row{policy: R, last: "02:00", job: "active", now: "03:00:01"}, rules: group,
			change: func(_ *Spec, s *State) { s.Places = []Place{{Schedule: "n/x", Job: "run", UID: "job"}} }, want: "Start 05-19 03:00"},
		"Replace passes it on to who has waited longer": {row: row{policy: R, last: "02:00", job: "active", now: "03:00:01"}, rules: group, waits: true,
			change: func(_ *Spec, s *State) {
				s.Places = []Place{{Schedule: "n/x", Job: "run", UID: s.Jobs[0].UID}}
				s.Waiting = []Waiter{{Schedule: "n/b", Since: at("02:30"), Limit: 1}}
			}, want: "HoldBack GroupFull, Stop run"},
		"a retry waits for a place": {row: row{last: "02:00", now: "02:40"}, rules: with(group, twice), waits: true,
			change: both(taken, pendingRetry("02:30")), want: "HoldBack GroupFull"},
		"a retry that has its place is given up under a pause": {row: row{last: "02:00", now: "02:40"}, rules: with(group, twice),
			change: both(pause, pendingRetry("02:30"), func(_ *Spec, s *State) {
				s.Jobs = []Run{{Name: "x-24393720-r1", UID: "r", Slot: at("02:00"), Retry: 1, Prepared: true, Group: "g"}}
				s.Places = []Place{{Schedule: "n/x", Job: "x-24393720-r1", UID: "r"}}
			}), want: "DropRetry 1 Paused, HoldBack Paused"},
		"a retry starts": {row: row{last: "02:00", now: "02:40"}, rules: with(group, twice), change: pendingRetry("02:30"), want: "Start 05-19 02:00 retry 1"},
		"a retry that is prepared is not swept": {row: row{last: "02:00", now: "02:20"}, rules: with(group, twice),
			change: both(pendingRetry("02:30"), func(_ *Spec, s *State) {
				s.Jobs = []Run{{Name: "x-24393720-r1", UID: "r", Slot: at("02:00"), Retry: 1, Prepared: true}}
			}), want: ""},
		"a retry that the record does not know of yet is not swept": {row: row{last: "02:00", now: "02:20"}, rules: with(group, twice),
			change: func(_ *Spec, s *State) {
				s.Jobs = []Run{{Name: "x-24393720-r1", UID: "r", Slot: at("02:00"), Retry: 1, Prepared: true}}
			}, want: ""},
		"a retry that the record is past is": {row: row{last: "02:00", now: "02:20"}, rules: with(group, twice),
			change: both(pendingRetry("02:30"), func(_ *Spec, s *State) {
				s.Cursor.Retry.Number = 2
				s.Jobs = []Run{{Name: "x-24393720-r1", UID: "r", Slot: at("02:00"), Retry: 1, Prepared: true}}
			}), want: "Sweep x-24393720-r1"},
		"the next slot supersedes a retry": {row: row{last: "02:00", now: "03:00"}, rules: with(group, twice),
			change: pendingRetry("02:59"), want: "DropRetry 1 Superseded, Start 05-19 03:00"},
		"fewer retries by now": {row: row{last: "02:00", now: "02:40"}, rules: with(group, twice),
			change: both(pendingRetry("02:30"), func(_ *Spec, s *State) { s.Cursor.Retry.Number = 3 }), want: "DropRetry 3 Edited"},
	} {
		t.Run(name, func(t *testing.T) {
			c.row.cron, c.row.created = hourly, "01:59"
			if c.row.policy == "" {
				c.row.policy = batchv1.AllowConcurrent
			}
			spec, state := c.row.build()
			spec.Namespace, spec.Name, spec.Rules = "n", "x", c.rules
			if c.change != nil {
				c.change(&spec, &state)
			}
			d := Decide(spec, state, at(c.row.now))
			if got := describe(d); got != c.want {
				t.Errorf("decided %q, want %q", got, c.want)
			}
			if (d.Waits != nil) != c.waits {
				t.Errorf("waits: %+v", d.Waits)
			}
		})
	}
}

func with(p schema.Policy, change func(*schema.Policy)) schema.Policy {
	change(&p)
	return p
}

func twice(p *schema.Policy) {
	p.Retries = schema.Retries{Limit: 2, Backoff: minutes(10)}
}

func fullSince(slot string) func(*Spec, *State) {
	return func(_ *Spec, s *State) { s.Cursor.Hold = &Hold{Reason: GroupFull, Since: at(slot), By: "b-1"} }
}

func pendingRetry(due string) func(*Spec, *State) {
	return func(_ *Spec, s *State) {
		s.Cursor.Slot, s.Cursor.Outcome = at("02:00"), Ran
		s.Cursor.Retry = &Retry{Number: 1, Due: at(due)}
	}
}

// crowd is a life of one group: writers with old copies of its object claim
// places, compare-and-swap, and runs begin and end at any time between.
type crowd struct {
	t      *testing.T
	random *rand.Rand
	stored Group
	// copies are what each writer read last.
	copies  []Group
	jobs    map[types.UID]*crowdJob
	waiting map[string]Waiter
	limit   int
	clock   time.Time
	serial  int
}

type crowdJob struct {
	place          Place
	begun, ended   bool
	reserved, gone bool
}

func (c *crowd) ended(p Place) bool { return c.jobs[p.UID].ended || c.jobs[p.UID].gone }

// claim lets a writer try, on its own copy, which it reads anew when refused.
func (c *crowd) claim(writer int, w Waiter, job *crowdJob) {
	held := c.copies[writer].Held(c.ended)
	var waiting []Waiter
	for _, other := range c.waiting {
		waiting = append(waiting, other)
	}
	if !Turn(held, waiting, w) {
		c.waiting[w.Schedule] = w
		return
	}
	next, ok := c.copies[writer].Claim(job.place, held, w)
	switch {
	case !ok:
		c.t.Fatalf("it is the turn of %+v, and the claim is refused\n%v", w, c.stored)
	case c.stored.Version != next.Version:
		c.copies[writer] = c.stored
		c.waiting[w.Schedule] = w
		return
	}
	c.serial++
	next.Version = fmt.Sprint(c.serial)
	c.stored, c.copies[writer] = next, next
	job.reserved = true
	delete(c.waiting, w.Schedule)
}

func (c *crowd) step() {
	c.clock = c.clock.Add(time.Second)
	schedule := fmt.Sprintf("n/%d", c.random.IntN(6))
	w := Waiter{Schedule: schedule, Since: c.clock, Limit: c.limit, Replaces: schedule < "n/3"}
	if old, ok := c.waiting[schedule]; ok {
		w.Since = old.Since
	}
	switch c.random.IntN(6) {
	case 0, 1:
		c.serial++
		uid := types.UID(fmt.Sprint(c.serial))
		job := &crowdJob{place: Place{Schedule: schedule, Job: "j" + string(uid), UID: uid}}
		c.jobs[uid] = job
		c.claim(c.random.IntN(len(c.copies)), w, job)
	case 2: // whoever can begin begins
		for _, p := range c.stored.Held(c.ended) {
			if len(p.After) == 0 && c.random.IntN(2) == 0 {
				c.jobs[p.UID].begun = true
			}
		}
	case 3:
		for _, p := range c.stored.Places {
			if job := c.jobs[p.UID]; c.random.IntN(4) == 0 {
				job.ended, job.gone = job.ended || job.begun, job.gone || !job.begun
			}
		}
	case 4:
		c.limit = 1 + c.random.IntN(4)
	case 5:
		c.copies[c.random.IntN(len(c.copies))] = c.stored
	}
}

func TestNoLifeOfAGroupHasTooManyRuns(t *testing.T) {
	for seed := range uint64(400) {
		c := &crowd{t: t, random: rand.New(rand.NewPCG(seed, 11)), copies: make([]Group, 3), jobs: map[types.UID]*crowdJob{},
			waiting: map[string]Waiter{}, limit: 2, clock: at("00:00")}
		most := c.limit
		for range 300 {
			before := c.running()
			c.step()
			// A limit that is lowered stops nothing that has a place already.
			if now := c.running(); now > max(most, before) {
				t.Fatalf("seed %d: %d runs at a time, more than %d", seed, now, most)
			}
			most = max(c.limit, len(counted(c.stored.Held(c.ended))))
		}
		c.drain()
	}
}

// counted are the places that count besides each other.
func counted(held []Place) []Place {
	return slices.DeleteFunc(held, func(p Place) bool { return len(p.After) > 0 })
}

func (c *crowd) running() int {
	n := 0
	for _, job := range c.jobs {
		if job.begun && !job.ended && !job.gone {
			n++
			if !job.reserved {
				c.t.Fatalf("%+v runs without a place", job)
			}
		}
	}
	return n
}

// drain ends one run after the other: whoever waits gets a place, in order.
func (c *crowd) drain() {
	c.t.Helper()
	var order []Waiter
	for _, w := range c.waiting {
		order = append(order, w)
	}
	for i := range order {
		order[i].Limit = c.limit
		c.waiting[order[i].Schedule] = order[i]
	}
	slices.SortFunc(order, Waiter.compare)
	for len(order) > 0 {
		held := c.stored.Held(c.ended)
		next := Next(held, order)
		if len(next) == 0 {
			if len(held) == 0 {
				c.t.Fatalf("DEADLOCK: nothing runs, and %+v wait", order)
			}
			c.jobs[held[0].UID].ended = true
			continue
		}
		if !next[0].Replaces && next[0] != order[0] && !order[0].Replaces {
			c.t.Fatalf("UNFAIR: it is the turn of %+v before %+v", next[0], order[0])
		}
		c.serial++
		uid := types.UID(fmt.Sprint(c.serial))
		job := &crowdJob{place: Place{Schedule: next[0].Schedule, UID: uid}, reserved: true}
		c.jobs[uid] = job
		group, ok := c.stored.Claim(job.place, held, next[0])
		if !ok {
			c.t.Fatalf("REFUSED: %+v in %v", next[0], c.stored)
		}
		c.stored = group
		order = slices.DeleteFunc(order, func(w Waiter) bool { return w.Schedule == next[0].Schedule })
	}
}

func TestGroupIsReadAsItIsWritten(t *testing.T) {
	g := Group{Places: []Place{{Schedule: "n/x", Job: "x-1", UID: "u", Slot: at("10:00"), After: []types.UID{"a", "b"}}}}
	got, err := ParseGroup(g.String())
	if err != nil || got.String() != g.String() {
		t.Errorf("%v is read as %v, %v", g, got, err)
	}
	if _, err := ParseGroup("places: none"); err == nil {
		t.Error("nonsense is read")
	}
}

func TestBackoffDoublesUpToItsBound(t *testing.T) {
	r := schema.Retries{Limit: 5, Backoff: minutes(1), MaxBackoff: minutes(5)}
	var got []int
	for n := 1; n <= 5; n++ {
		got = append(got, int(r.After(n).Minutes()))
	}
	if want := []int{1, 2, 4, 5, 5}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	plain := schema.Retries{Limit: 9}
	if plain.After(1) != 10*time.Second || plain.After(9) != 6*time.Minute {
		t.Errorf("without a backoff: %s to %s", plain.After(1), plain.After(9))
	}
	if long := (schema.Retries{Limit: 9, Backoff: schema.Duration{Duration: 1 << 62}}); long.After(9) != 1<<62 {
		t.Errorf("a long backoff overflows: %s", long.After(9))
	}
}
