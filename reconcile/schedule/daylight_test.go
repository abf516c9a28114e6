package schedule

import (
	"math/rand/v2"
	"testing"
	"time"

	"rota.dev/rota/schema"
)

func TestDaylightSavingRules(t *testing.T) {
	for name, c := range map[string]struct {
		cron, zone, after string
		rule              schema.DaylightSaving
		want              []string
	}{
		"a time in the gap is left out":         {"30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", schema.DaylightSaving{}, []string{"2026-03-09T02:30:00-04:00"}},
		"a time in the gap fires at its end":    {"30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
		"a day of the week is not lost":         {"30 2 * * 0", "America/New_York", "2026-03-07T12:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-03-08T03:00:00-04:00", "2026-03-15T02:30:00-04:00"}},
		"a date is not lost":                    {"15 2 8 3 *", "America/New_York", "2026-03-07T12:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-03-08T03:00:00-04:00", "2027-03-08T02:15:00-05:00"}},
		"hours around the gap stay":             {"30 1-3 * * *", "America/New_York", "2026-03-08T05:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-03-08T01:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T03:30:00-04:00"}},
		"two times in the gap are one":          {"0,30 2 * * *", "America/New_York", "2026-03-08T05:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"}},
		"the end of the gap is a slot anyway":   {"0 2,3 * * *", "America/New_York", "2026-03-08T05:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"}},
		"minutes with a star go by the clock":   {"*/15 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-03-09T02:00:00-04:00"}},
		"hours with a star go by the clock":     {"0 */2 * * *", "America/New_York", "2026-03-08T04:30:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-03-08T00:00:00-05:00", "2026-03-08T04:00:00-04:00"}},
		"a day without a midnight":              {"0 0 * * *", "America/Havana", "2026-03-07T12:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"}},
		"a gap of half an hour":                 {"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		"a gap of two hours":                    {"30 1,2 * * *", "Antarctica/Troll", "2026-03-28T12:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-03-29T03:00:00+02:00", "2026-03-30T01:30:00+02:00"}},
		"a day that a zone skipped stays so":    {"0 12 * * *", "Pacific/Apia", "2011-12-29T23:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2011-12-31T12:00:00+14:00"}},
		"a time that repeats fires twice":       {"30 1 * * *", "America/New_York", "2026-11-01T04:00:00Z", schema.DaylightSaving{}, []string{"2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00"}},
		"a time that repeats fires first":       {"30 1 * * *", "America/New_York", "2026-11-01T04:00:00Z", schema.DaylightSaving{Repeat: schema.RepeatFirst}, []string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"}},
		"a time that repeats fires last":        {"30 1 * * *", "America/New_York", "2026-11-01T04:00:00Z", schema.DaylightSaving{Repeat: schema.RepeatLast}, []string{"2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00"}},
		"the start of the repetition, first":    {"0 2 * * *", "Europe/Berlin", "2023-10-28T22:00:00Z", schema.DaylightSaving{Repeat: schema.RepeatFirst}, []string{"2023-10-29T02:00:00+02:00", "2023-10-30T02:00:00+01:00"}},
		"the start of the repetition, last":     {"0 2 * * *", "Europe/Berlin", "2023-10-28T22:00:00Z", schema.DaylightSaving{Repeat: schema.RepeatLast}, []string{"2023-10-29T02:00:00+01:00", "2023-10-30T02:00:00+01:00"}},
		"the end of the repetition is once":     {"0 3 * * *", "Europe/Berlin", "2023-10-28T22:00:00Z", schema.DaylightSaving{Repeat: schema.RepeatLast}, []string{"2023-10-29T03:00:00+01:00", "2023-10-30T03:00:00+01:00"}},
		"every hour fires in each of the two":   {"0 * * * *", "America/New_York", "2026-11-01T04:30:00Z", schema.DaylightSaving{Repeat: schema.RepeatFirst}, []string{"2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"}},
		"hourly, said by its name, is no fixed": {"@hourly", "America/New_York", "2026-11-01T04:30:00Z", schema.DaylightSaving{Repeat: schema.RepeatFirst}, []string{"2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00"}},
		"daily, said by its name, is fixed":     {"@daily", "America/Havana", "2026-03-07T12:00:00Z", schema.DaylightSaving{Gap: schema.GapShift}, []string{"2026-03-08T01:00:00-04:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse(c.cron, c.zone)
			if err != nil {
				t.Fatal(err)
			}
			s = s.With(c.rule)
			after := parseTime(t, c.after)
			slots := s.Upcoming(after, len(c.want))
			if len(slots) != len(c.want) {
				t.Fatalf("%d slots, want %d", len(slots), len(c.want))
			}
			for i, slot := range slots {
				if got := slot.Format(time.RFC3339); got != c.want[i] {
					t.Errorf("slot %d is %s, want %s", i, got, c.want[i])
				}
			}
		})
	}
}

func parseTime(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestDaylightSavingAgreesWithAWalk holds Next, Last and Count to each other,
// and the days of a change to what the rule says, minute by minute.
func TestDaylightSavingAgreesWithAWalk(t *testing.T) {
	zones := []string{"America/New_York", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Antarctica/Troll", "Pacific/Chatham", "Africa/Casablanca", "Asia/Tehran"}
	crons := []string{"30 2 * * *", "0,30 1-3 * * *", "15 0 * * 0", "0 2 * * *", "*/20 2 * * *", "45 1 29 * 1", "59 23 * * *", "0 3 * * *"}
	gaps, repeats := []string{schema.GapSkip, schema.GapShift}, []string{schema.RepeatBoth, schema.RepeatFirst, schema.RepeatLast}
	r := rand.New(rand.NewPCG(3, 14))
	for range 120 {
		zone, cron := zones[r.IntN(len(zones))], crons[r.IntN(len(crons))]
		rule := schema.DaylightSaving{Gap: gaps[r.IntN(2)], Repeat: repeats[r.IntN(3)]}
		plain, err := Parse(cron, zone)
		if err != nil {
			t.Fatal(err)
		}
		s := plain.With(rule)
		from := time.Date(2022+r.IntN(5), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)
		until := from.AddDate(0, 4, 0)
		want := walkSaving(plain, rule, from, until)
		var got []time.Time
		for slot := s.Next(from); !slot.IsZero() && !slot.After(until); slot = s.Next(slot) {
			got = append(got, slot)
		}
		if len(got) != len(want) {
			t.Fatalf("%s in %s with %+v from %s: %d slots, the walk has %d", cron, zone, rule, from, len(got), len(want))
		}
		for i := range got {
			if !got[i].Equal(want[i]) {
				t.Fatalf("%s in %s with %+v from %s: slot %d is %s, the walk has %s", cron, zone, rule, from, i, got[i], want[i])
			}
		}
		if n := s.Count(from, until); n != len(want) {
			t.Fatalf("%s in %s with %+v from %s: counts %d, the walk has %d", cron, zone, rule, from, n, len(want))
		}
		back := until
		for i := len(want) - 1; i >= 0; i-- {
			slot := s.Last(from, back)
			if !slot.Equal(want[i]) {
				t.Fatalf("%s in %s with %+v from %s: before %s comes %s, the walk has %s", cron, zone, rule, from, back, slot, want[i])
			}
			back = slot.Add(-time.Nanosecond)
		}
		if slot := s.Last(from, back); !slot.IsZero() {
			t.Fatalf("%s in %s with %+v from %s: %s is before the first", cron, zone, rule, from, slot)
		}
	}
}

// walkSaving looks at every minute, and at every civil minute that is missing.
func walkSaving(s Schedule, rule schema.DaylightSaving, from, until time.Time) []time.Time {
	matches := func(civil time.Time) bool {
		return s.minute&(1<<civil.Minute()) != 0 && s.hour&(1<<civil.Hour()) != 0 && s.month&(1<<civil.Month()) != 0 &&
			s.dayMatches(civil.Day(), int(civil.Weekday()))
	}
	civil := func(t time.Time) time.Time {
		_, offset := t.In(s.Location()).Zone()
		return t.UTC().Add(time.Duration(offset) * time.Second)
	}
	var slots []time.Time
	for m := from.Unix()/60 + 1; m*60 <= until.Unix(); m++ {
		t := time.Unix(m*60, 0)
		now, before := civil(t), civil(t.Add(-time.Minute)).Add(time.Minute)
		fires := matches(now)
		if s.fixed && rule.Gap == schema.GapShift {
			for gone := before; gone.Before(now) && now.Sub(before) < 3*time.Hour; gone = gone.Add(time.Minute) {
				fires = fires || matches(gone)
			}
		}
		if fires && s.fixed && rule.Repeat != schema.RepeatBoth {
			for back := 1; back < 180; back++ {
				d := time.Duration(back) * time.Minute
				if rule.Repeat == schema.RepeatFirst && civil(t.Add(-d)).Equal(now) || rule.Repeat == schema.RepeatLast && civil(t.Add(d)).Equal(now) {
					fires = false
				}
			}
		}
		if fires {
			slots = append(slots, t.In(s.Location()))
		}
	}
	return slots
}

func TestCountBeginsInATimeThatIsRepeated(t *testing.T) {
	cron, err := Parse("0,30 1-3 * * *", "America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for rule, want := range map[string]int{schema.RepeatBoth: 3, schema.RepeatFirst: 1, schema.RepeatLast: 2} {
		s := cron.With(schema.DaylightSaving{Repeat: rule})
		// From 01:15, before clocks go back at 02:00, to 01:45 after it.
		if got := s.Count(parseTime(t, "2026-11-01T01:15:00-04:00"), parseTime(t, "2026-11-01T01:45:00-05:00")); got != want {
			t.Errorf("%s: %d slots, want %d", rule, got, want)
		}
	}
}
