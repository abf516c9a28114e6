package forecast

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

func drawn(t *testing.T, r *rand.Rand, n int) []Schedule {
	t.Helper()
	crons := []string{"* * * * *", "*/5 * * * *", "0 * * * *", "30 2 * * *", "0 0 29 2 *"}
	var all []Schedule
	for i := range n {
		cron, err := schedule.Parse(crons[r.IntN(len(crons))], "Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		s := schedule.Spec{Namespace: "n", Name: fmt.Sprintf("s%03d", i), Cron: cron}
		if r.IntN(2) == 0 {
			s.Rules.Jitter = schema.Duration{Duration: time.Duration(r.IntN(3600)) * time.Second}
		}
		all = append(all, Schedule{Spec: s})
	}
	return all
}

func TestTheFirstOfManySchedulesAreThoseOfAllTogether(t *testing.T) {
	from := time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		all := drawn(t, r, 1+r.IntN(300))
		c := schedule.Coming{After: from, Until: from.Add(6 * time.Hour), Most: 1 + r.IntN(50)}
		got, err := Coming(all, c)
		if err != nil {
			t.Fatal(err)
		}
		var want []Fire
		each := c
		each.Most = Unbounded
		for i := range all {
			for _, f := range all[i].Coming(each) {
				want = append(want, Fire{Fire: f, Schedule: &all[i]})
			}
		}
		slices.SortFunc(want, inTime)
		want = want[:min(len(want), c.Most)]
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %d fires, want %d:\n%v\n%v", seed, len(got), len(want), got, want)
		}
	}
}

func TestBusyMinutesAreThoseOfMostRuns(t *testing.T) {
	from := time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC)
	all := drawn(t, rand.New(rand.NewPCG(1, 1)), 100)
	fires, err := Coming(all, schedule.Coming{After: from, Until: from.Add(3 * time.Hour), Most: Unbounded})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, f := range fires {
		counts[f.Due.UTC().Format("15:04")]++
	}
	most := 0
	for _, n := range counts {
		most = max(most, n)
	}
	busiest := Busiest(fires, 5)
	if len(busiest) != 5 || busiest[0].Runs != most {
		t.Fatalf("got %v, want 5 minutes, the first with %d runs", busiest, most)
	}
	for i, m := range busiest {
		if m.Runs != counts[m.At.Format("15:04")] || len(m.CronJobs) > m.Runs || i > 0 && m.Runs > busiest[i-1].Runs {
			t.Errorf("minute %d: %v, and %d runs start then", i, m, counts[m.At.Format("15:04")])
		}
	}
}

func TestASpanWithTooManyFiresIsRefused(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cron, err := schedule.Parse("* * * * *", "")
	if err != nil {
		t.Fatal(err)
	}
	all := []Schedule{{Spec: schedule.Spec{Namespace: "n", Name: "a", Cron: cron}}}
	_, err = Coming(all, schedule.Coming{After: from, Until: from.AddDate(3, 0, 0), Most: Unbounded})
	if problems := schema.Problems(err); len(problems) != 1 || problems[0].Rule != "R350" {
		t.Errorf("got %v", err)
	}
}
