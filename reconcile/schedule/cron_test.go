package schedule

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/robfig/cron/v3"

	"rota.dev/rota/schema"
)

// differs lists the vectors that rota answers otherwise than robfig/cron, and
// what it answers.
var differs = map[string][]string{
	// robfig gives up after five years, or spins on a day that does not exist.
	"0 0 29 2 * UTC 2092-03-01T00:00:00Z":                 {"2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z", "2108-02-29T00:00:00Z"},
	"0 12 30 12 * Pacific/Apia 2011-01-01T00:00:00-10:00": {"2012-12-30T12:00:00+14:00", "2013-12-30T12:00:00+14:00", "2014-12-30T12:00:00+14:00"},
	"0 0 31 12 * Pacific/Apia 2011-01-01T00:00:00-10:00":  {"2011-12-31T00:00:00+14:00", "2012-12-31T00:00:00+14:00", "2013-12-31T00:00:00+14:00"},
	"0 0 30 2 * UTC 2026-01-01T00:00:00Z":                 nil,
	"59 23 31 2 * UTC 2026-01-01T00:00:00Z":               nil,
	"0 0 31 4 * UTC 2026-01-01T00:00:00Z":                 nil,
	", * * * * UTC 2026-01-01T00:00:00Z":                  nil,
}

func TestNextAgreesWithTheVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/cron-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Spec, TZ, Note string
		After          time.Time
		Next           []string
		Error, Hang    bool
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 100 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	for _, v := range vectors {
		name := v.Spec + " " + v.TZ + " " + v.After.Format(time.RFC3339Nano)
		t.Run(name, func(t *testing.T) {
			want, other := differs[name]
			if !other {
				want = v.Next
			}
			s, err := Parse(v.Spec, v.TZ)
			if v.Error != (err != nil) && !(other && want == nil) {
				t.Fatalf("error %v, want one: %t (%s)", err, v.Error, v.Note)
			}
			if err != nil {
				if ps := schema.Problems(err); len(ps) != 1 || !strings.HasPrefix(ps[0].Rule, "R30") {
					t.Fatalf("error %#v has no rule", err)
				}
				if len(want) > 0 {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if v.Hang && !other {
				t.Fatal("a vector on which robfig hangs has no answer of ours")
			}
			var got []string
			for at, i := v.After, 0; i < 3; i++ {
				if at = s.Next(at); at.IsZero() {
					break
				}
				got = append(got, at.Format(time.RFC3339))
			}
			if diff := cmp.Diff(instants(t, want), instants(t, got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", v.Note, diff)
			}
		})
	}
}

func instants(t *testing.T, texts []string) []int64 {
	var all []int64
	for _, text := range texts {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, at.Unix())
	}
	return all
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ schedule, zone, rule string }{
		"a zone alone, at which robfig panics":     {"TZ=UTC", "", "R302"},
		"a cron zone alone":                        {"CRON_TZ=UTC", "", "R302"},
		"two zones":                                {"TZ=UTC TZ=UTC", "", "R302"},
		"a zone that does not exist":               {"* * * * *", "Europe/Atlantis", "R301"},
		"a zone that climbs out of the database":   {"* * * * *", "../../etc/passwd", "R301"},
		"the zone of the machine":                  {"* * * * *", "Local", "R301"},
		"six fields":                               {"0 0 * * * *", "", "R300"},
		"day seven":                                {"0 0 * * 7", "", "R300"},
		"nothing":                                  {"", "", "R300"},
		"an empty list, which robfig searches for": {", * * * *", "", "R303"},
		"the thirtieth of February":                {"0 0 30 2 *", "", "R303"},
		"a text without end":                       {strings.Repeat("0,", 5000) + "0 * * * *", "", "R300"},
		"a step of zero":                           {"*/0 * * * *", "", "R300"},
		"@every without a duration":                {"@every", "", "R300"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(c.schedule, c.zone)
			ps := schema.Problems(err)
			if len(ps) != 1 || ps[0].Rule != c.rule || ps[0].Mend == "" {
				t.Fatalf("Parse(%.40q, %q) = %v, want %s with a way to mend it", c.schedule, c.zone, err, c.rule)
			}
		})
	}
}

// oracle walks minute by minute, as the clock on the wall shows them.
func oracle(p *cron.SpecSchedule, zone *time.Location, after, until time.Time) []time.Time {
	var slots []time.Time
	for m := after.Unix()/60 + 1; m*60 <= until.Unix(); m++ {
		t := time.Unix(m*60, 0).In(zone)
		dom, dow := p.Dom&(1<<t.Day()) != 0, p.Dow&(1<<t.Weekday()) != 0
		day := dom || dow
		if p.Dom&(1<<63) != 0 || p.Dow&(1<<63) != 0 {
			day = dom && dow
		}
		if p.Minute&(1<<t.Minute()) != 0 && p.Hour&(1<<t.Hour()) != 0 && p.Month&(1<<t.Month()) != 0 && day {
			slots = append(slots, t)
		}
	}
	return slots
}

var sampleZones = []string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham", "Africa/Casablanca", "Antarctica/Troll", "Asia/Kathmandu", "America/Havana"}

func sampleSchedule(r *rand.Rand) string {
	field := func(lo, hi int) string {
		switch r.IntN(5) {
		case 0, 1:
			return "*"
		case 2:
			return itoa(lo + r.IntN(hi-lo+1))
		case 3:
			a := lo + r.IntN(hi-lo+1)
			b := a + r.IntN(hi-a+1)
			return itoa(a) + "-" + itoa(b) + "/" + itoa(1+r.IntN(9))
		default:
			return "*/" + itoa(1+r.IntN(hi))
		}
	}
	return strings.Join([]string{field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)}, " ")
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func TestNextLastAndCountAgreeWithAWalkOverEveryMinute(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		text, zone := sampleSchedule(r), sampleZones[r.IntN(len(sampleZones))]
		s, err := Parse(text, zone)
		if err != nil {
			continue
		}
		parsed, err := cron.ParseStandard(text)
		if err != nil {
			t.Fatal(err)
		}
		after := time.Date(2026, time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(2)*5e8, time.UTC)
		until := after.Add(time.Duration(r.IntN(20*1440)) * time.Minute)
		want := oracle(parsed.(*cron.SpecSchedule), s.Location(), after, until)
		if got := s.Count(after, until); got != len(want) {
			t.Fatalf("%q %s: Count(%s, %s) = %d, want %d", text, zone, after, until, got, len(want))
		}
		var last time.Time
		if len(want) > 0 {
			last = want[len(want)-1]
		}
		if got := s.Last(after, until); !got.Equal(last) {
			t.Fatalf("%q %s: Last(%s, %s) = %s, want %s", text, zone, after, until, got, last)
		}
		at := after
		for i, w := range want[:min(len(want), 500)] {
			if at = s.Next(at); !at.Equal(w) {
				t.Fatalf("%q %s: slot %d after %s is %s, want %s", text, zone, i, after, at, w)
			}
		}
	}
}

func TestNextAgreesWithRobfig(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	zones := []string{"", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Africa/Casablanca", "America/Havana"}
	for range 3000 {
		text, zone := sampleSchedule(r), zones[r.IntN(len(zones))]
		s, err := Parse(text, zone)
		if err != nil {
			continue
		}
		parsed, _ := cron.ParseStandard("TZ=" + zone + " " + text)
		after := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.IntN(800*86400)) * time.Second)
		for range 3 {
			want := parsed.Next(after)
			if got := s.Next(after); !got.Equal(want) {
				t.Fatalf("%q %s after %s: %s, robfig says %s", text, zone, after, got, want)
			}
			if after = want; want.IsZero() {
				break
			}
		}
	}
}

func TestATimeThatExistsIsNotLostWhereClocksMoveOffTheHour(t *testing.T) {
	// Chatham's clocks go from 02:45 to 03:45; robfig leaves out the rest of
	// the hour as well.
	s, err := Parse("50 3 * * *", "Pacific/Chatham")
	if err != nil {
		t.Fatal(err)
	}
	got := s.Next(time.Date(2026, 9, 26, 0, 0, 0, 0, s.Location()).Add(12 * time.Hour))
	if want := "2026-09-27T03:50:00+13:45"; got.Format(time.RFC3339) != want {
		t.Errorf("got %s, want %s", got.Format(time.RFC3339), want)
	}
}

func TestEveryCountsFromItsAnchor(t *testing.T) {
	s, err := Parse("@every 90m", "")
	if err != nil {
		t.Fatal(err)
	}
	anchor := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	now := anchor.Add(5 * time.Hour)
	a := s.From(anchor)
	if got, want := a.Next(now), anchor.Add(6*time.Hour); !got.Equal(want) {
		t.Errorf("Next = %s, want %s", got, want)
	}
	if got, want := a.Last(anchor, now), anchor.Add(270*time.Minute); !got.Equal(want) {
		t.Errorf("Last = %s, want %s", got, want)
	}
	if got := a.Count(anchor, now); got != 3 {
		t.Errorf("Count = %d, want 3", got)
	}
	if got := a.Last(anchor, anchor.Add(time.Hour)); !got.IsZero() {
		t.Errorf("Last before the first slot = %s, want none", got)
	}
	if got := len(s.Upcoming(now, 4)); got != 4 {
		t.Errorf("%d upcoming, want 4", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"* * * * *", ", * * * *", "TZ=UTC", "@every 1ns", "0 0 29 2 *", "1-5/2,7 */3 ? JAN mon-fri", "@every -5m"} {
		f.Add(s, "Europe/Berlin")
	}
	f.Fuzz(func(t *testing.T, text, zone string) {
		s, err := Parse(text, zone)
		if err != nil {
			return
		}
		now := time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC)
		next := s.Next(now)
		if !next.IsZero() && !next.After(now) {
			t.Errorf("%q: next slot %s is not after %s", text, next, now)
		}
		if s.Every() == 0 && next.IsZero() {
			t.Errorf("%q is taken and never fires", text)
		}
		_ = s.Last(now.AddDate(-1, 0, 0), now)
	})
}

func BenchmarkNext(b *testing.B) {
	for _, text := range []string{"* * * * *", "0 9 * * 1-5", "0 0 29 2 *"} {
		s, err := Parse(text, "Europe/Berlin")
		if err != nil {
			b.Fatal(err)
		}
		now := time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC)
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				s.Next(now)
			}
		})
	}
}

func TestLastLeavesOutTheSlotAtWhichTheClocksChange(t *testing.T) {
	s, err := Parse("0 * * * *", "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// 02:00 comes for the second time at 01:00 UTC.
	change := time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC)
	if got := s.Last(change, change.Add(59*time.Minute)); !got.IsZero() {
		t.Errorf("the last slot after %s is %s, which is not after it", change, got.UTC())
	}
	if got := s.Last(change.Add(-time.Nanosecond), change.Add(59*time.Minute)); !got.Equal(change) {
		t.Errorf("got %s, want %s", got.UTC(), change)
	}
}

// TestTheLastDayOfALeapYearIsPassed holds for years whose changes of the clock
// follow from the rule at the end of a zone's data: Time.ZoneBounds then ends
// a leap year a day early, and for its last day at its beginning.
func TestTheLastDayOfALeapYearIsPassed(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Sydney", "America/Santiago", "Pacific/Auckland"} {
		for year := 2028; year < 2100; year += 4 {
			done := make(chan string, 1)
			go func() { done <- acrossNewYear(zone, year) }()
			select {
			case fault := <-done:
				if fault != "" {
					t.Errorf("%s, %d: %s", zone, year, fault)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("%s, %d: the search does not end", zone, year)
			}
		}
	}
}

func acrossNewYear(zone string, year int) string {
	s, err := Parse("30 * * * *", zone)
	if err != nil {
		return err.Error()
	}
	from := time.Date(year, 12, 29, 0, 0, 0, 0, time.UTC)
	until := from.AddDate(0, 0, 5)
	slots := s.Upcoming(from, 5*24)
	for i, slot := range slots {
		if want := from.Add(time.Duration(i)*time.Hour + 30*time.Minute); !slot.Equal(want) {
			return fmt.Sprintf("slot %d is %s, want %s", i, slot.UTC(), want)
		}
	}
	if n := s.Count(from, until); n != len(slots) {
		return fmt.Sprintf("%d slots are counted, want %d", n, len(slots))
	}
	for i := len(slots) - 1; i > 0; i-- {
		if last := s.Last(from, slots[i].Add(-time.Nanosecond)); !last.Equal(slots[i-1]) {
			return fmt.Sprintf("the last slot before %s is %s, want %s", slots[i], last, slots[i-1])
		}
	}
	return ""
}
