package forecast

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rota.dev/rota/reconcile/schedule"
)

func TestAHeatMapHasEveryRunOnceAndFitsATerminal(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 80))
		now := time.Date(2026, []time.Month{3, 10}[r.IntN(2)], 24, r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)
		all := someSchedules(t, r, now)
		zone, err := time.LoadLocation([]string{"Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Asia/Kathmandu"}[r.IntN(4)])
		if err != nil {
			t.Fatal(err)
		}
		until := now.Add(time.Duration(1+r.IntN(9*86400)) * time.Second)
		h, err := HeatOf(all, now, until, zone)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for i := range all {
			want += all[i].CountStarts(schedule.Coming{After: now, Until: until.Add(-time.Nanosecond)})
		}
		got := 0
		for i, row := range h.Rows {
			got += row.Runs()
			if i > 0 && !row.At.After(h.Rows[i-1].At) {
				t.Fatalf("seed %d: row %d begins at %s, and the one before at %s", seed, i, row.At, h.Rows[i-1].At)
			}
		}
		if got != want {
			t.Fatalf("seed %d: %d runs, want %d", seed, got, want)
		}
		var b bytes.Buffer
		if err := WriteHeat(&b, h); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Fatalf("seed %d: a line has %d columns: %s", seed, n, line)
			}
		}
	}
}

func TestAHeatMapShowsWhatClockChangesDo(t *testing.T) {
	for name, test := range map[string]struct {
		zone, from string
		hours      int
		want       string
	}{
		"an hour is left out":      {"Europe/Berlin", "2027-03-28T00:00:00+01:00", 4, "00 01 03 04"},
		"an hour comes twice":      {"Europe/Berlin", "2026-10-25T00:00:00+02:00", 5, "00 01 02 02 03"},
		"half an hour comes twice": {"Australia/Lord_Howe", "2026-04-05T00:00:00+11:00", 4, "00 01 01 02 03"},
	} {
		t.Run(name, func(t *testing.T) {
			from, err := time.Parse(time.RFC3339, test.from)
			if err != nil {
				t.Fatal(err)
			}
			zone, err := time.LoadLocation(test.zone)
			if err != nil {
				t.Fatal(err)
			}
			all := []Schedule{one(t, "a", "45 * * * *", test.zone)}
			h, err := HeatOf(all, from.Add(-time.Nanosecond), from.Add(time.Duration(test.hours)*time.Hour), zone)
			if err != nil {
				t.Fatal(err)
			}
			var rows []string
			for _, row := range h.Rows {
				rows = append(rows, row.At.Format("15"))
				if row.Cells[45] > 1 || row.Cells[45] < 1 && row.At.Format("15") != "03" {
					t.Errorf("at %s: %d runs", row.At, row.Cells[45])
				}
			}
			if got := strings.Join(rows, " "); got != test.want {
				t.Errorf("got rows %s, want %s", got, test.want)
			}
		})
	}
}

func TestTheMostRunsHaveTheDarkestShade(t *testing.T) {
	for most := 1; most < 300; most++ {
		if shadeOf(most, most) != '█' || shadeOf(0, most) != '·' || shadeOf(-1, most) != ' ' || shadeOf(1, most) == '·' {
			t.Errorf("of %d runs: %c %c %c", most, shadeOf(most, most), shadeOf(0, most), shadeOf(1, most))
		}
	}
}
