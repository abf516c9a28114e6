package history

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"rota.dev/rota/schema"
)

// The vectors are robfig/cron's answers, so that the walk over minutes is held to
// what Kubernetes does, and not to what rota does.
func TestTheWalkOverMinutesAgreesWithTheVectors(t *testing.T) {
	text, err := os.ReadFile("../schedule/testdata/cron-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Spec, TZ, After string
		Next            []string
		Error           bool
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	const horizon = 20 * 24 * time.Hour
	held := 0
	for _, v := range vectors {
		if v.Error || strings.Contains(v.Spec, "TZ=") || strings.HasPrefix(v.Spec, "@every") {
			continue
		}
		f, err := read(v.Spec)
		if err != nil {
			continue // robfig takes some that Kubernetes' users never write
		}
		after, err := time.Parse(time.RFC3339, v.After)
		if err != nil {
			t.Fatal(err)
		}
		zone, err := newWalls(v.TZ, after, after.Add(horizon))
		if err != nil {
			t.Fatal(err)
		}
		slots := zone.slots(f, schema.DaylightSaving{}, after, after.Add(horizon))
		for i, text := range v.Next {
			want, err := time.Parse(time.RFC3339, text)
			if err != nil {
				t.Fatal(err)
			}
			if want.After(after.Add(horizon)) {
				break
			}
			held++
			if i >= len(slots) || !slots[i].Equal(want) {
				t.Errorf("%q in %s after %s: got %v, want %v", v.Spec, v.TZ, v.After, slots[:min(len(slots), 4)], v.Next)
				break
			}
		}
	}
	if held < 100 {
		t.Errorf("only %d times were held to the vectors", held)
	}
}

func TestDaylightSavingInTheWalkOverMinutes(t *testing.T) {
	spring := time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)
	autumn := time.Date(2026, 10, 31, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, spec string
		from       time.Time
		saving     schema.DaylightSaving
		want       string
	}{
		{"a time in the gap is left out", "30 2 * * *", spring, schema.DaylightSaving{}, ""},
		{"a time in the gap is moved to its end", "30 2 * * *", spring, schema.DaylightSaving{Gap: schema.GapShift}, "2026-03-08T07:00:00Z"},
		{"a schedule with a star is not moved", "*/15 2 * * *", spring, schema.DaylightSaving{Gap: schema.GapShift}, ""},
		{"a repeated time comes twice", "30 1 * * *", autumn, schema.DaylightSaving{}, "2026-11-01T05:30:00Z 2026-11-01T06:30:00Z"},
		{"a repeated time comes first", "30 1 * * *", autumn, schema.DaylightSaving{Repeat: schema.RepeatFirst}, "2026-11-01T05:30:00Z"},
		{"a repeated time comes last", "30 1 * * *", autumn, schema.DaylightSaving{Repeat: schema.RepeatLast}, "2026-11-01T06:30:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := read(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			until := c.from.Add(24 * time.Hour)
			zone, err := newWalls("America/New_York", c.from, until)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, slot := range zone.slots(f, c.saving, c.from, until) {
				got = append(got, slot.Format(time.RFC3339))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

func TestTheClockOfAScheduler(t *testing.T) {
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	c := clock{{At: at(10), Offset: time.Hour}, {At: at(20), Offset: -5 * time.Minute}}
	for _, when := range []struct{ reading, want int }{{5, 5}, {10, 10}, {60, 10}, {70, 10}, {75, 15}, {80, 85}} {
		if got := c.when(at(when.reading), at(0)); !got.Equal(at(when.want)) {
			t.Errorf("the clock shows minute %d first at %s, want minute %d", when.reading, got.Sub(begin), when.want)
		}
	}
	if got := c.most(at(30)); got.Before(at(79)) || got.After(at(80)) {
		t.Errorf("the latest reading is %s", got.Sub(begin))
	}
	back := c.before(at(18), at(0), at(60))
	if len(back) != 1 || !back[0].From.Equal(at(20)) || !back[0].Until.Equal(at(23)) {
		t.Errorf("the clock is back before minute 18 in %v", back)
	}
}
