package forecast

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

func TestConflictsAreSetsOfCronJobsThatStartTogether(t *testing.T) {
	now := time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC)
	other := func(s *Schedule) { s.Rules.ConcurrencyGroup = &schema.ConcurrencyGroup{Name: "other", Limit: 2} }
	for name, test := range map[string]struct {
		all  []Schedule
		want []string
	}{
		"none":                         {[]Schedule{one(t, "a", "0 3 * * *", ""), one(t, "b", "1 3 * * *", "")}, nil},
		"two of no group":              {[]Schedule{one(t, "a", "0 3 * * *", ""), one(t, "b", "0 */3 * * *", "")}, []string{"same minute, once from 03:00, 2 runs: a b"}},
		"a group beyond its limit":     {[]Schedule{one(t, "a", "0 3,4 * * *", "", inGroup(1)), one(t, "b", "0 3,4 * * *", "", inGroup(1))}, []string{"more than the 1 of group warehouse, 2 times from 03:00, 2 runs: a b"}},
		"a group that has room":        {[]Schedule{one(t, "a", "0 3 * * *", "", inGroup(2)), one(t, "b", "0 3 * * *", "", inGroup(2))}, []string{"same group warehouse, once from 03:00, 2 runs: a b"}},
		"one of a group beside others": {[]Schedule{one(t, "a", "0 3 * * *", "", inGroup(1)), one(t, "b", "0 3 * * *", "", other)}, []string{"same minute, once from 03:00, 2 runs: a b"}},
		"the group that waits goes first, then the larger set": {
			[]Schedule{one(t, "a", "0 3,5 * * *", "", inGroup(1)), one(t, "b", "0 5 * * *", "", inGroup(1)), one(t, "c", "0 3,4 * * *", ""), one(t, "d", "0 3,4 * * *", "")},
			[]string{"more than the 1 of group warehouse, once from 05:00, 2 runs: a b", "same minute, once from 03:00, 3 runs: a c d", "same minute, once from 04:00, 2 runs: c d"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			fires, err := Coming(test.all, schedule.Coming{After: now, Until: now.Add(4 * time.Hour), Most: Unbounded})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range Conflicts(fires) {
				times := "once"
				if c.Times > 1 {
					times = fmt.Sprintf("%d times", c.Times)
				}
				got = append(got, fmt.Sprintf("%s, %s from %s, %d runs: %s", c.kind(), times, c.First.Format("15:04"), c.Runs, strings.ReplaceAll(strings.Join(c.CronJobs, " "), "n/", "")))
			}
			if diff := gocmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestACrowdHasThoseThatAreNotShown(t *testing.T) {
	now := time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC)
	all := many(4, func(i int) Schedule { return one(t, string(rune('a'+i)), "0 3 * * *", "", inGroup(2)) })
	all = append(all, one(t, "e", "0 3 * * *", ""), one(t, "f", "30 3 * * *", "", inGroup(2)))
	fires, err := Coming([]Schedule{all[0], all[4], all[5]}, schedule.Coming{After: now, Most: 3})
	if err != nil {
		t.Fatal(err)
	}
	Crowd(fires, all, now)
	var got []int
	for _, f := range fires {
		got = append(got, f.Crowd)
	}
	if diff := gocmp.Diff([]int{4, 0, 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
