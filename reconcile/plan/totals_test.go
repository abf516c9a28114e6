package plan

import (
	"errors"
	"testing"
)

func TestTotalsReadAsASentence(t *testing.T) {
	tests := []struct {
		totals Totals
		want   string
	}{
		{Totals{RunNow: 2, RunAgain: 1, Schedules: 3, Updated: 4, Pruned: 1, Waiting: 1, Refused: 1, Unchanged: 40},
			"Plan: 2 run now, 1 runs again, 3 schedules change, 4 updated, 1 pruned, 1 waits, 1 refused, 40 unchanged."},
		{Totals{Unchanged: 41}, "Plan: nothing to do, 41 unchanged."},
		{Totals{}, "Plan: nothing to do."},
		{Totals{RunNow: 1, Corrected: 2, Drifted: 3, Left: 1, AlreadyRan: 5}, "Plan: 1 runs now, 2 drifts corrected, 3 drifted, 1 left the repository and stays, 5 already ran."},
	}
	for _, tt := range tests {
		if got := tt.totals.String(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

type brokenPipe struct{}

var errBroken = errors.New("broken pipe")

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteTextReturnsTheWritersError(t *testing.T) {
	if err := (Plan{}).WriteText(brokenPipe{}); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
}
