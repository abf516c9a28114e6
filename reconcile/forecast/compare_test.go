package forecast

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

func one(t *testing.T, name, cron, zone string, change ...func(*Schedule)) Schedule {
	t.Helper()
	s := Schedule{Spec: schedule.Spec{Namespace: "n", Name: name, Schedule: cron, Zone: zone, Borrowed: true, Policy: batchv1.AllowConcurrent}}
	s.Cron, s.Err = schedule.Parse(cron, zone)
	for _, c := range change {
		c(&s)
	}
	return s
}

func many(n int, make func(i int) Schedule) []Schedule {
	var all []Schedule
	for i := range n {
		all = append(all, make(i))
	}
	return all
}

func inGroup(limit int64) func(*Schedule) {
	return func(s *Schedule) {
		s.Rules.ConcurrencyGroup = &schema.ConcurrencyGroup{Name: "warehouse", Limit: limit}
	}
}

// told is a Comparison in a line for each of its facts.
func told(c Comparison) []string {
	var lines []string
	stamp := func(times []time.Time) string {
		var out []string
		for _, t := range times {
			out = append(out, t.UTC().Format("02T15:04"))
		}
		return strings.Join(out, " ")
	}
	for _, ch := range c.Changes {
		name := ch.Namespace + "/" + ch.Name
		for _, side := range []struct {
			name string
			*Side
		}{{"before", ch.Before}, {"after", ch.After}} {
			if side.Side == nil {
				continue
			}
			var next []time.Time
			for _, f := range side.Next[:min(len(side.Next), 2)] {
				next = append(next, f.Due)
			}
			line := fmt.Sprintf("%s %s: %.3g a day, next %s", name, side.name, side.PerDay, stamp(next))
			if side.Silent != "" {
				line += " " + side.Silent
			}
			lines = append(lines, strings.TrimSpace(strings.Join(append([]string{line}, side.Rules...), "; ")))
		}
		if len(ch.Lost)+len(ch.Gained) > 0 {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: lost %s gained %s", name, stamp(ch.Lost), stamp(ch.Gained))))
		}
		for _, s := range ch.Surprises {
			lines = append(lines, name+": "+s.Text)
		}
	}
	for _, side := range []struct {
		name    string
		minutes []Minute
	}{{"before", c.Before}, {"after", c.After}} {
		for _, m := range side.minutes[:min(len(side.minutes), 1)] {
			lines = append(lines, fmt.Sprintf("busiest %s: %d at %s of %s", side.name, m.Runs, stamp([]time.Time{m.At}), strings.Join(m.CronJobs, " ")))
		}
	}
	for _, l := range c.Limits {
		lines = append(lines, fmt.Sprintf("group %s: %d of %d at %s", l.Group, l.Runs, l.Limit, stamp([]time.Time{l.At})))
	}
	return lines
}

func TestAChangeIsToldByWhatItDoesToTheRuns(t *testing.T) {
	now := time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC)
	paused := func(s *Schedule) { s.Pause = &schedule.Pause{Until: now.Add(6 * time.Hour), Reason: "moving"} }
	for name, test := range map[string]struct {
		before, after []Schedule
		want          []string
	}{
		"a repository that stays as it is": {
			[]Schedule{one(t, "a", "0 3 * * *", "")}, []Schedule{one(t, "a", "0 3 * * *", "")}, nil,
		},
		"a policy that has another name and the same rules": {
			[]Schedule{one(t, "a", "0 3 * * *", "", func(s *Schedule) { s.Rules.Names, s.Rules.Origin = []string{"x"}, "x.yaml:1" })},
			[]Schedule{one(t, "a", "0 3 * * *", "")}, nil,
		},
		"a time that moves to one which has passed today loses a run": {
			[]Schedule{one(t, "a", "0 3 * * *", "")}, []Schedule{one(t, "a", "0 1 * * *", "")},
			[]string{"n/a before: 1 a day, next 26T03:00 27T03:00", "n/a after: 1 a day, next 27T01:00 28T01:00", "n/a: lost 26T03:00 gained 27T01:00"},
		},
		"a time that moves ahead of its slot brings a run more today": {
			[]Schedule{one(t, "a", "0 1 * * *", "")}, []Schedule{one(t, "a", "0 3 * * *", "")},
			[]string{"n/a before: 1 a day, next 27T01:00 28T01:00", "n/a after: 1 a day, next 26T03:00 27T03:00", "n/a: lost 27T01:00 gained 26T03:00"},
		},
		"a denser schedule gains up to the first slot that both have": {
			[]Schedule{one(t, "a", "0 * * * *", "")}, []Schedule{one(t, "a", "*/20 * * * *", "")},
			[]string{"n/a before: 24 a day, next 26T03:00 26T04:00", "n/a after: 72 a day, next 26T02:20 26T02:40", "n/a: lost  gained 26T02:20 26T02:40"},
		},
		"a zone that is given moves all times": {
			[]Schedule{one(t, "a", "30 4 * * *", "")}, []Schedule{one(t, "a", "30 4 * * *", "Europe/Berlin")},
			[]string{"n/a before: 1 a day, next 26T04:30 27T04:30", "n/a after: 1 a day, next 26T03:30 27T03:30", "n/a: lost 26T04:30 gained 26T03:30"},
		},
		"a time that clocks leave out and repeat within a year": {
			[]Schedule{one(t, "a", "30 1 * * *", "")}, []Schedule{one(t, "a", "30 2 * * *", "Europe/Berlin")},
			[]string{"n/a before: 1 a day, next 27T01:30 28T01:30", "n/a after: 1 a day, next 27T01:30 28T01:30",
				"n/a: On 2027-03-28 clocks go from 02:00 to 03:00: 02:30 is left out, and no run starts for it.",
				"n/a: On 2027-10-31 clocks go from 03:00 back to 02:00: 02:30 comes twice, and starts a run each time."},
		},
		"a CronJob that comes, and one that goes": {
			[]Schedule{one(t, "a", "0 3 * * 6,0", "")}, []Schedule{one(t, "b", "0 3 * * *", "")},
			[]string{"n/a before: 0.285 a day, next 28T03:00 29T03:00", "n/b after: 1 a day, next 26T03:00 27T03:00", "n/b: lost  gained 26T03:00"},
		},
		"a schedule that is suspended": {
			[]Schedule{one(t, "a", "0 3 * * *", "")}, []Schedule{one(t, "a", "0 3 * * *", "", func(s *Schedule) { s.Suspended = true })},
			[]string{"n/a before: 1 a day, next 26T03:00 27T03:00", "n/a after: 0 a day, next  is suspended", "n/a: lost 26T03:00 gained"},
		},
		"a pause of some hours delays the latest slot and loses the others": {
			[]Schedule{one(t, "a", "0 */2 * * *", "")}, []Schedule{one(t, "a", "0 */2 * * *", "", paused)},
			[]string{"n/a before: 12 a day, next 26T04:00 26T06:00", "n/a after: 12 a day, next 26T08:00 26T10:00", "n/a: lost 26T04:00 26T06:00 gained"},
		},
		"a pause beyond the week, and no minute that is busy": {
			[]Schedule{one(t, "a", "0 3 * * *", "")}, []Schedule{one(t, "a", "0 3 * * *", "", func(s *Schedule) { s.Pause = &schedule.Pause{Until: now.AddDate(0, 0, 8)} })},
			[]string{"n/a before: 1 a day, next 26T03:00 27T03:00", "n/a after: 0.981 a day, next 04T02:00 04T03:00", "n/a: lost 26T03:00 gained"},
		},
		"a concurrencyPolicy and a deadline": {
			[]Schedule{one(t, "a", "0 3 * * *", "")},
			[]Schedule{one(t, "a", "0 3 * * *", "", func(s *Schedule) { d := time.Minute; s.Policy, s.Deadline = batchv1.ForbidConcurrent, &d })},
			[]string{"n/a before: 1 a day, next 26T03:00 27T03:00", "n/a after: 1 a day, next 26T03:00 27T03:00; concurrencyPolicy Forbid; starts at most 1m0s late"},
		},
		"a window that is over": {
			[]Schedule{one(t, "a", "0 3 * * *", "")}, []Schedule{one(t, "a", "0 3 * * *", "", func(s *Schedule) { s.Rules.NotAfter = now })},
			[]string{"n/a before: 1 a day, next 26T03:00 27T03:00", "n/a after: 0 a day, next  fires no more: 0 3 * * *, not after 2026-11-26T02:00:00Z; not after 2026-11-26T02:00:00Z", "n/a: lost 26T03:00 gained"},
		},
		"a schedule that cannot be read any more": {
			[]Schedule{one(t, "a", "0 3 * * *", "")}, []Schedule{one(t, "a", "0 3 31 2 *", "")},
			[]string{"n/a before: 1 a day, next 26T03:00 27T03:00", `n/a after: 0 a day, next  never fires: the schedule "0 3 31 2 *" never fires: no date has these fields (R303)`, "n/a: lost 26T03:00 gained"},
		},
		"one more at a minute that is busy, and those which stay are counted too": {
			[]Schedule{one(t, "a", "0 3 * * *", ""), one(t, "b", "0 3 * * *", "")}, []Schedule{one(t, "a", "0 3 * * *", ""), one(t, "b", "0 3 * * *", ""), one(t, "c", "0 3 * * 5", "")},
			[]string{"n/c after: 0.142 a day, next 27T03:00 04T03:00", "busiest before: 2 at 26T03:00 of n/a n/b", "busiest after: 3 at 27T03:00 of n/a n/b n/c"},
		},
		"a member too many for its group": {
			[]Schedule{one(t, "a", "0 3 * * *", "", inGroup(1)), one(t, "b", "0 4 * * *", "", inGroup(1))},
			[]Schedule{one(t, "a", "0 3 * * *", "", inGroup(1)), one(t, "b", "0 3 * * 5", "", inGroup(1))},
			[]string{"n/b before: 1 a day, next 26T04:00 27T04:00; at most 1 at a time of the group warehouse", "n/b after: 0.142 a day, next 27T03:00 04T03:00; at most 1 at a time of the group warehouse",
				"n/b: lost 26T04:00 gained", "busiest after: 2 at 27T03:00 of n/a n/b", "group warehouse: 2 of 1 at 27T03:00"},
		},
		"a group that is as crowded as before": {
			many(3, func(i int) Schedule { return one(t, string(rune('a'+i)), "0 3 * * *", "", inGroup(1)) }),
			append(many(3, func(i int) Schedule { return one(t, string(rune('a'+i)), "0 3 * * *", "", inGroup(1)) }), one(t, "d", "0 4 1 1 *", "", inGroup(1))),
			[]string{"n/d after: 0.00274 a day, next 01T04:00 01T04:00; at most 1 at a time of the group warehouse", "busiest before: 3 at 26T03:00 of n/a n/b n/c", "busiest after: 3 at 26T03:00 of n/a n/b n/c"},
		},
		"a limit that is lowered": {
			many(2, func(i int) Schedule { return one(t, string(rune('a'+i)), "0 3 * * *", "", inGroup(2)) }),
			many(2, func(i int) Schedule { return one(t, string(rune('a'+i)), "0 3 * * *", "", inGroup(1)) }),
			[]string{
				"n/a before: 1 a day, next 26T03:00 27T03:00; at most 2 at a time of the group warehouse", "n/a after: 1 a day, next 26T03:00 27T03:00; at most 1 at a time of the group warehouse",
				"n/b before: 1 a day, next 26T03:00 27T03:00; at most 2 at a time of the group warehouse", "n/b after: 1 a day, next 26T03:00 27T03:00; at most 1 at a time of the group warehouse",
				"busiest before: 2 at 26T03:00 of n/a n/b", "busiest after: 2 at 26T03:00 of n/a n/b", "group warehouse: 2 of 1 at 26T03:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Compare(test.before, test.after, now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(test.want, unlessSame(c)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// unlessSame tells c, of which the busiest minutes say nothing new if no
// minute has two runs.
func unlessSame(c Comparison) []string {
	if len(c.Changes) == 0 && reflect.DeepEqual(c.Before, c.After) {
		return nil
	}
	return told(c)
}

func TestTwoCronJobsOfOneNameCannotBeCompared(t *testing.T) {
	twice := []Schedule{one(t, "a", "0 3 * * *", ""), one(t, "a", "0 4 * * *", "")}
	for _, sides := range [][2][]Schedule{{twice, nil}, {nil, twice}} {
		if _, err := Compare(sides[0], sides[1], time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), "n/a") {
			t.Errorf("got %v", err)
		}
	}
}

// someSchedules draws schedules of every kind, with the same names each time.
func someSchedules(t *testing.T, r *rand.Rand, now time.Time) []Schedule {
	crons := []string{"* * * * *", "*/5 * * * *", "0 * * * *", "30 2 * * *", "0 0 29 2 *", "@every 40s", "@every 7m", "0 12 * * 1-5", "30 2 31 2 *"}
	var all []Schedule
	for i := range 1 + r.IntN(20) {
		if r.IntN(6) == 0 {
			continue
		}
		s := one(t, fmt.Sprintf("s%02d", i), crons[r.IntN(len(crons))], []string{"", "Europe/Berlin", "Australia/Lord_Howe"}[r.IntN(3)])
		s.Suspended = r.IntN(10) == 0
		if r.IntN(3) == 0 {
			s.Rules.Jitter = schema.Duration{Duration: time.Duration(r.IntN(4000)) * time.Second}
		}
		if r.IntN(4) > 0 {
			inGroup(int64(1 + r.IntN(4)))(&s)
			s.Rules.ConcurrencyGroup.Name = []string{"g", "h"}[r.IntN(2)]
		}
		if r.IntN(5) == 0 {
			s.Pause = &schedule.Pause{Until: now.Add(time.Duration(r.IntN(3*86400)) * time.Second)}
			s.Rules.CatchUp = []schema.CatchUp{{}, {Policy: schema.CatchUpAll, Limit: 3}}[r.IntN(2)]
		}
		if r.IntN(5) == 0 {
			s.Rules.NotAfter = now.Add(time.Duration(r.IntN(9*86400)) * time.Second)
		}
		all = append(all, s)
	}
	// A group has one limit.
	limits := map[string]int64{}
	for i := range all {
		if g := all[i].Rules.ConcurrencyGroup; g != nil {
			limits[g.Name] = cmp.Or(limits[g.Name], g.Limit)
			all[i].Rules.ConcurrencyGroup = &schema.ConcurrencyGroup{Name: g.Name, Limit: limits[g.Name]}
		}
	}
	return all
}

// runsOf lists every run of the week, the slow way.
func runsOf(all []Schedule, now time.Time) []Fire {
	var fires []Fire
	for i := range all {
		for _, f := range all[i].Coming(schedule.Coming{After: now, Until: now.AddDate(0, 0, 7), Most: Unbounded}) {
			fires = append(fires, Fire{Fire: f, Schedule: &all[i]})
		}
	}
	return fires
}

// crowdOf returns by group and minute how many runs are beyond the limit, and
// how many there are.
func crowdOf(all []Schedule, now time.Time) map[string]map[int64][2]int {
	crowd := map[string]map[int64][2]int{}
	for _, f := range runsOf(all, now) {
		g := f.Schedule.Rules.ConcurrencyGroup
		if g == nil {
			continue
		}
		if crowd[g.Name] == nil {
			crowd[g.Name] = map[int64][2]int{}
		}
		minute := f.Due.Unix() / 60
		runs := crowd[g.Name][minute][1] + 1
		crowd[g.Name][minute] = [2]int{max(runs-int(g.Limit), 0), runs}
	}
	return crowd
}

func exceededSlowly(before, after []Schedule, now time.Time) []Exceeded {
	b, a := crowdOf(before, now), crowdOf(after, now)
	var out []Exceeded
	for _, name := range []string{"g", "h"} {
		first := int64(0)
		for minute, n := range a[name] {
			if n[0] > b[name][minute][0] && (first == 0 || minute < first) {
				first = minute
			}
		}
		if first > 0 {
			n := a[name][first]
			out = append(out, Exceeded{Group: name, Limit: n[1] - n[0], At: time.Unix(first*60, 0).UTC(), Runs: n[1]})
		}
	}
	return out
}

func TestAComparisonIsWhatListingEveryRunShows(t *testing.T) {
	seeds := uint64(24)
	if testing.Short() {
		seeds = 12
	}
	limits, changes := 0, 0
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 41))
		now := time.Date(2026, 10, 22, 0, 0, r.IntN(60), r.IntN(2)*5e8, time.UTC).Add(time.Duration(r.IntN(1440)) * time.Minute)
		before, after := someSchedules(t, r, now), someSchedules(t, r, now)
		if r.IntN(4) == 0 { // a small change
			after = slices.Clone(before)
			if len(after) > 0 {
				after = after[r.IntN(len(after)):]
			}
		}
		c, err := Compare(before, after, now)
		if err != nil {
			t.Fatal(err)
		}
		if want := Busiest(runsOf(before, now), busiestOfWeek); gocmp.Diff(want, c.Before) != "" {
			t.Fatalf("seed %d: busiest before: %s", seed, gocmp.Diff(want, c.Before))
		}
		if want := Busiest(runsOf(after, now), busiestOfWeek); gocmp.Diff(want, c.After) != "" {
			t.Fatalf("seed %d: busiest after: %s", seed, gocmp.Diff(want, c.After))
		}
		if want := exceededSlowly(before, after, now); gocmp.Diff(want, c.Limits) != "" {
			t.Fatalf("seed %d: limits: %s", seed, gocmp.Diff(want, c.Limits))
		}
		for _, ch := range c.Changes {
			checkChange(t, ch, now)
		}
		limits, changes = limits+len(c.Limits), changes+len(c.Changes)
	}
	if limits < int(seeds)/6 || changes < 2*int(seeds) {
		t.Errorf("only %d limits and %d changes were compared", limits, changes)
	}
}

// checkChange holds a change to the runs of its two sides, listed.
func checkChange(t *testing.T, c Change, now time.Time) {
	t.Helper()
	slots := [2]map[int64]bool{{}, {}}
	for i, side := range []*Side{c.Before, c.After} {
		if side == nil {
			continue
		}
		days := 365
		if side.PerDay > 50 {
			days = 5 // CountStarts has a test of its own
		}
		fires := side.Schedule.Coming(schedule.Coming{After: now, Until: now.AddDate(0, 0, days), Most: Unbounded})
		if got, want := side.PerDay, float64(len(fires))/365; got != want && days == 365 {
			t.Fatalf("%s: %v runs a day, want %v", c.Name, got, want)
		}
		if (side.Silent == "") != (len(side.Next) > 0) {
			t.Fatalf("%s: %d runs come, and %q", c.Name, len(side.Next), side.Silent)
		}
		if side.Words != side.Schedule.Cron.Words() {
			t.Fatalf("%s: %q", c.Name, side.Words)
		}
		for j, f := range side.Next {
			if j < len(fires) && f.Fire != fires[j] {
				t.Fatalf("%s: run %d is %v, want %v", c.Name, j, f.Fire, fires[j])
			}
		}
		for _, f := range fires {
			if !f.Slot.After(now.Add(24 * time.Hour)) {
				slots[i][f.Slot.Unix()] = true
			}
		}
	}
	common := now.Unix() + 86401
	for slot := range slots[0] {
		if slots[1][slot] {
			common = min(common, slot)
		}
	}
	for i, got := range [][]time.Time{c.Lost, c.Gained} {
		var want []int64
		for slot := range slots[i] {
			if slot < common {
				want = append(want, slot)
			}
		}
		slices.Sort(want)
		if !slices.EqualFunc(got, want, func(a time.Time, b int64) bool { return a.Unix() == b }) {
			t.Fatalf("%s: %d slots of side %d that the other has not, want %d", c.Name, len(got), i, len(want))
		}
	}
}

// BenchmarkComparingTenThousand prints how many times as long it takes to list
// the runs of a hundredth of the same schedules.
func BenchmarkComparingTenThousand(b *testing.B) {
	now := time.Date(2026, 10, 22, 0, 0, 0, 0, time.UTC)
	cron, err := schedule.Parse("* * * * *", "Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	all := many(10_000, func(i int) Schedule {
		return Schedule{Spec: schedule.Spec{Namespace: "n", Name: fmt.Sprintf("s%05d", i), Schedule: "* * * * *", Cron: cron}}
	})
	changed := slices.Clone(all)
	changed[0].Suspended = true
	var comparing, listing time.Duration
	for b.Loop() {
		begin := time.Now()
		if c, err := Compare(all, changed, now); err != nil || len(c.Changes) != 1 || c.After[0].Runs != 9999 {
			b.Fatal(err, len(c.Changes))
		}
		comparing += time.Since(begin)
		begin = time.Now()
		runsOf(all[:100], now)
		listing += time.Since(begin)
	}
	b.ReportMetric(comparing.Seconds()/float64(b.N), "s/comparison")
	b.ReportMetric(100*float64(listing)/float64(comparing), "listing/comparing")
}
