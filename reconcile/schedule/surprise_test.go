package schedule

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"rota.dev/rota/schema"
)

func TestSurprisesOfAYear(t *testing.T) {
	shift, first, last := schema.DaylightSaving{Gap: schema.GapShift}, schema.DaylightSaving{Repeat: schema.RepeatFirst}, schema.DaylightSaving{Repeat: schema.RepeatLast}
	for name, test := range map[string]struct {
		cron, zone, after string
		policy            schema.Policy
		want              []string
	}{
		"a time in the gap": {"30 2 * * *", "America/New_York", "2026-02-01", schema.Policy{},
			[]string{"On 2026-03-08 clocks go from 02:00 to 03:00: 02:30 is left out, and no run starts for it."}},
		"a time in the gap that is shifted": {"30 2 * * *", "America/New_York", "2026-02-01", schema.Policy{DaylightSaving: shift},
			[]string{"On 2026-03-08 clocks go from 02:00 to 03:00: 02:30 is left out, and a run starts at 03:00 instead."}},
		"times with a star are not shifted": {"*/10 2 * * *", "America/New_York", "2026-02-01", schema.Policy{DaylightSaving: shift},
			[]string{"On 2026-03-08 clocks go from 02:00 to 03:00: 02:00, 02:10, 02:20 and 3 more times are left out, and no run starts for them."}},
		"a time that comes twice": {"30 1 * * *", "America/New_York", "2026-10-01", schema.Policy{},
			[]string{"On 2026-11-01 clocks go from 02:00 back to 01:00: 01:30 comes twice, and starts a run each time."}},
		"a time that comes twice and fires first": {"30 1 * * *", "America/New_York", "2026-10-01", schema.Policy{DaylightSaving: first},
			[]string{"On 2026-11-01 clocks go from 02:00 back to 01:00: 01:30 comes twice, and starts a run the first time only."}},
		"a time that comes twice and fires last": {"0,30 2 * * *", "Europe/Berlin", "2026-10-01", schema.Policy{DaylightSaving: last},
			[]string{"On 2026-10-25 clocks go from 03:00 back to 02:00: 02:00 and 02:30 come twice, and start runs the second time only."}},
		"a zone without a midnight": {"0 0 * * *", "America/Havana", "2026-02-01", schema.Policy{},
			[]string{"On 2026-03-08 clocks go from 00:00 to 01:00: 00:00 is left out, and no run starts for it."}},
		"a zone whose midnight comes twice": {"30 23 * * *", "America/Santiago", "2026-02-01", schema.Policy{},
			[]string{"On 2026-04-05 clocks go from 00:00 back to 2026-04-04 23:00: 23:30 comes twice, and starts a run each time."}},
		"half an hour on Lord Howe": {"15 2 * * *", "Australia/Lord_Howe", "2026-08-01", schema.Policy{},
			[]string{"On 2026-10-04 clocks go from 02:00 to 02:30: 02:15 is left out, and no run starts for it."}},
		"every hour, where half an hour is left out": {"15 * * * *", "Australia/Lord_Howe", "2026-08-01", schema.Policy{},
			[]string{"On 2026-10-04 clocks go from 02:00 to 02:30: 02:15 is left out, and no run starts for it."}},
		"every ten minutes, where half an hour is left out": {"*/10 * * * *", "Australia/Lord_Howe", "2026-08-01", schema.Policy{}, nil},
		"Ramadan in Casablanca": {"30 2 * * *", "Africa/Casablanca", "2026-02-01", schema.Policy{}, []string{
			"On 2026-02-15 clocks go from 03:00 back to 02:00: 02:30 comes twice, and starts a run each time.",
			"On 2026-03-22 clocks go from 02:00 to 03:00: 02:30 is left out, and no run starts for it."}},
		"two hours in Troll": {"30 1,2 * * *", "Antarctica/Troll", "2026-03-01", schema.Policy{DaylightSaving: shift},
			[]string{"On 2026-03-29 clocks go from 01:00 to 03:00: 01:30 and 02:30 are left out, and a run starts at 03:00 instead."}},
		"a day that Apia skipped": {"0 12 * * *", "Pacific/Apia", "2011-11-01", schema.Policy{DaylightSaving: shift},
			[]string{"On 2011-12-30 clocks go from 00:00 to 2011-12-31 00:00: 12:00 is left out, and no run starts for it."}},
		"every hour of a day that Apia skipped":    {"0 * * * *", "Pacific/Apia", "2011-11-01", schema.Policy{}, nil},
		"every hour":                               {"0 * * * *", "America/New_York", "2026-02-01", schema.Policy{}, nil},
		"every second hour":                        {"0 */2 * * *", "America/New_York", "2026-02-01", schema.Policy{}, []string{"On 2026-03-08 clocks go from 02:00 to 03:00: 02:00 is left out, and no run starts for it."}},
		"a time that clocks leave alone":           {"30 4 * * *", "America/New_York", "2026-02-01", schema.Policy{}, nil},
		"a day of the week that has no change":     {"30 2 * * 1", "America/New_York", "2026-02-01", schema.Policy{}, nil},
		"a zone without changes":                   {"30 2 * * *", "Asia/Tokyo", "2026-02-01", schema.Policy{}, nil},
		"an interval":                              {"@every 1h", "America/New_York", "2026-02-01", schema.Policy{}, nil},
		"a day on which a calendar closes":         {"30 2 * * *", "America/New_York", "2026-02-01", schema.Policy{Exclude: []schema.Days{{First: schema.Day{Year: 2026, Month: 3, Day: 8}, Last: schema.Day{Year: 2026, Month: 3, Day: 8}}}}, nil},
		"a change beyond the time that is asked":   {"30 2 * * *", "America/New_York", "2026-03-09", schema.Policy{}, nil},
		"the last day of a leap year, far to come": {"30 2 * * *", "America/New_York", "2044-12-30", schema.Policy{}, []string{"On 2045-03-12 clocks go from 02:00 to 03:00: 02:30 is left out, and no run starts for it."}},
	} {
		t.Run(name, func(t *testing.T) {
			cron, err := Parse(test.cron, test.zone)
			if err != nil {
				t.Fatal(err)
			}
			after := parseTime(t, test.after+"T00:00:00Z")
			var got []string
			for _, s := range (Spec{Cron: cron, Rules: test.policy}).Surprises(after, after.AddDate(0, 3, 0)) {
				got = append(got, s.Text)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// TestASurpriseIsSoAndNoneIsMissing walks the minutes of the days of change,
// and holds what is said of them to the slots.
func TestASurpriseIsSoAndNoneIsMissing(t *testing.T) {
	zones := []string{"America/New_York", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Antarctica/Troll", "Pacific/Chatham", "Africa/Casablanca", "America/Santiago"}
	crons := []string{"30 2 * * *", "0,30 1-3 * * *", "15 0 * * 0", "0 2 * * *", "*/20 2 * * *", "0 */3 * * *", "45 23 * * *", "20 * * * *", "*/10 * * * *", "* 1-5 * * *"}
	r := rand.New(rand.NewPCG(8, 3))
	seen := 0
	for range 300 {
		zone, text := zones[r.IntN(len(zones))], crons[r.IntN(len(crons))]
		cron, err := Parse(text, zone)
		if err != nil {
			t.Fatal(err)
		}
		rule := schema.DaylightSaving{Gap: []string{schema.GapSkip, schema.GapShift}[r.IntN(2)], Repeat: []string{schema.RepeatBoth, schema.RepeatFirst, schema.RepeatLast}[r.IntN(3)]}
		after := time.Date(2024+r.IntN(10), time.Month(1+r.IntN(12)), 1, r.IntN(24), 0, 0, 0, time.UTC)
		until := after.AddDate(1, 0, 0)
		said := map[int64]string{}
		for _, s := range (Spec{Cron: cron, Rules: schema.Policy{DaylightSaving: rule}}).Surprises(after, until) {
			said[s.At.Unix()] = s.Text
		}
		seen += len(said)
		for _, at := range changesOf(cron.Location(), after, until) {
			checkSurprise(t, cron, cron.With(rule), at, said[at.Unix()])
			delete(said, at.Unix())
		}
		if len(said) > 0 {
			t.Fatalf("%s in %s: no clocks change at %v", text, zone, said)
		}
	}
	if seen < 100 {
		t.Errorf("only %d surprises were seen", seen)
	}
}

// changesOf finds the minutes at which clocks change, by looking at each.
func changesOf(zone *time.Location, after, until time.Time) []time.Time {
	var changes []time.Time
	_, offset := after.In(zone).Zone()
	for at := after.Truncate(15 * time.Minute); at.Before(until); at = at.Add(15 * time.Minute) {
		_, o := at.In(zone).Zone()
		if o != offset {
			changes = append(changes, at)
		}
		offset = o
	}
	return changes
}

func checkSurprise(t *testing.T, plain, ruled Schedule, at time.Time, text string) {
	t.Helper()
	_, before := at.Add(-time.Minute).In(plain.Location()).Zone()
	_, after := at.In(plain.Location()).Zone()
	from, to := at.UTC().Add(time.Duration(before)*time.Second), at.UTC().Add(time.Duration(after)*time.Second)
	var touched int
	for civil := min(from.Unix(), to.Unix()); civil < max(from.Unix(), to.Unix()); civil += 60 {
		c := time.Unix(civil, 0).UTC()
		if plain.minute&(1<<c.Minute()) != 0 && plain.hour&(1<<c.Hour()) != 0 && plain.dayMatches(c.Day(), int(c.Weekday())) {
			touched++
		}
	}
	slots := func(from, to time.Time) int { return ruled.Count(from.Add(-time.Second), to.Add(-time.Second)) }
	size := to.Sub(from).Abs()
	switch {
	case text == "":
		if touched > 0 && plain.hour&(1<<24-1) != 1<<24-1 {
			t.Fatalf("%s in %s: nothing is said of %d times at %s", plain.Words(), plain.Location(), touched, at)
		}
	case touched == 0:
		t.Fatalf("%s in %s at %s: %q, and there is no such time", plain.Words(), plain.Location(), at, text)
	case strings.Contains(text, "instead"):
		if slots(at, at.Add(time.Minute)) != 1 {
			t.Fatalf("%s in %s at %s: %q, and no run starts", plain.Words(), plain.Location(), at, text)
		}
	case strings.Contains(text, "no run starts"):
		if slots(at, at.Add(time.Minute)) != plain.Count(at.Add(-time.Second), at) {
			t.Fatalf("%s in %s at %s: %q, and a run starts", plain.Words(), plain.Location(), at, text)
		}
	default:
		first, second := slots(at.Add(-size), at), slots(at, at.Add(size))
		want := map[string][2]int{"each time": {touched, touched}, "first time only": {touched, 0}, "second time only": {0, touched}}
		for words, n := range want {
			if strings.Contains(text, words) && n != [2]int{first, second} {
				t.Fatalf("%s in %s at %s: %q, and %d runs start before it, %d after", plain.Words(), plain.Location(), at, text, first, second)
			}
		}
	}
}
