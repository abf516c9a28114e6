package schema

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/robfig/cron/v3"
)

func TestSpreadReplacesH(t *testing.T) {
	for schedule, want := range map[string]string{
		"0 2 * * *":           "0 2 * * *",
		"H 2 * * THU":         "42 2 * * THU",
		"@hourly":             "@hourly",
		"H H * * *":           "42 21 * * *",
		"H(0-29) 3 * * *":     "12 3 * * *",
		"H/15 * * * *":        "12-59/15 * * * *",
		"H(10-50)/10 * * * *": "12-50/10 * * * *",
		"0 H(9-17)/2 * * H":   "0 10-17/2 * * 3",
		"H,H * * * *":         "42,50 * * * *",
		"0 0 H * *":           "0 0 4 * *",
	} {
		got, err := Spread(schedule, "batch/nightly")
		if err != nil {
			t.Errorf("%s: %v", schedule, err)
			continue
		}
		if got != want {
			t.Errorf("%s becomes %s, want %s", schedule, got, want)
		}
		if _, err := cron.ParseStandard(got); err != nil {
			t.Errorf("%s becomes %s: %v", schedule, got, err)
		}
	}
}

func TestSpreadRefuses(t *testing.T) {
	for _, schedule := range []string{"HH * * * *", "H(40-20) * * * *", "H(0-60) * * * *", "H/0 * * * *", "H/61 * * * *", "H(0-9)/11 * * * *", "0 0 H(0-9) * *", "H( * * * *"} {
		if got, err := Spread(schedule, "x"); err == nil {
			t.Errorf("%s became %s", schedule, got)
		}
	}
}

// TestSpreadIsEven draws names that are much alike, as people's are: no minute
// may have more than twice its share.
func TestSpreadIsEven(t *testing.T) {
	var minutes [60]int
	for i := range 6000 {
		got, err := Spread("H * * * *", fmt.Sprintf("team-%d/report-%d", i%7, i))
		if err != nil {
			t.Fatal(err)
		}
		minute, err := strconv.Atoi(strings.Fields(got)[0])
		if err != nil {
			t.Fatal(err)
		}
		minutes[minute]++
	}
	for minute, n := range minutes {
		if n < 50 || n > 200 {
			t.Errorf("minute %d has %d of 6000", minute, n)
		}
	}
}
