package schema

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestClockChangesAreThoseOfTheZone: which times of the day a change of the
// clocks skips and doubles, in zones that change them in their own ways.
func TestClockChangesAreThoseOfTheZone(t *testing.T) {
	for _, c := range []struct{ schedule, zone, now, want string }{
		{"30 2 * * *", "Europe/Berlin", "2026-01-01", "[02:30] [02:30]"},
		{"30 1 * * *", "Europe/London", "2026-01-01", "[01:30] [01:30]"},
		{"59 1 * * *", "America/New_York", "2026-01-01", "[] [01:59]"},
		{"0 2 * * *", "America/New_York", "2026-01-01", "[02:00] []"},
		{"0 3 * * *", "America/New_York", "2026-01-01", "[] []"},
		{"15 2 * * *", "Australia/Lord_Howe", "2026-01-01", "[02:15] []"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-01-01", "[] [01:45]"},
		{"0 0 * * *", "America/Santiago", "2026-01-01", "[00:00] []"},
		{"30 2 * * *", "Asia/Tokyo", "2026-01-01", "[] []"},
		{"30 2 * * *", "Etc/UTC", "2026-01-01", "[] []"},
		{"0,30 2 * * *", "Europe/Berlin", "2026-01-01", "[02:00 02:30] [02:00 02:30]"},
		{"30 2 * * MON", "Europe/Berlin", "2026-01-01", "[] []"},
		{"30 2 * * SUN", "Europe/Berlin", "2026-01-01", "[02:30] [02:30]"},
		{"30 2 * 3 *", "Europe/Berlin", "2026-01-01", "[02:30] []"},
		{"30 2 1 * SUN", "Europe/Berlin", "2026-01-01", "[02:30] [02:30]"},
		{"30 2 * * *", "Europe/Berlin", "2026-11-01", "[02:30] [02:30]"},
		{"30 2 * * *", "Europe/Berlin", "2044-12-31", "[02:30] [02:30]"}, // beyond what the zone lists, in a leap year
		{"0 12 29 12 *", "Pacific/Apia", "2011-06-01", "[] []"},          // a whole day is no daylight saving
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.DateOnly, c.now)
		if err != nil {
			t.Fatal(err)
		}
		skipped, doubled := clockChanges(readTimetable(c.schedule).spec, zone, now)
		if diff := cmp.Diff(c.want, fmt.Sprint(skipped, doubled)); diff != "" {
			t.Errorf("%s in %s from %s on (-want +got):\n%s", c.schedule, c.zone, c.now, diff)
		}
	}
}

func TestQuotesOfAShellAreFollowed(t *testing.T) {
	for script, want := range map[string]byte{
		"echo ": 0, `echo "`: '"', `echo 'a`: '\'', `echo "a" `: 0, `echo "a'`: '"', `echo 'a"`: '\'', `echo \"`: 0,
		`echo "\"`: '"', `echo '\'`: 0, `echo "a" 'b' "`: '"', `echo '"' "'`: '"', "": 0, `\`: 0,
	} {
		if got := quoteAfter(script); got != want {
			t.Errorf("after %s the quote is %q, not %q", script, got, want)
		}
	}
}

func TestRunsThatTakeLongerThanTheShortestGap(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		schedule, zone, policy string
		took                   time.Duration
		want                   bool
	}{
		{"*/10 * * * *", "Etc/UTC", "Forbid", 11 * time.Minute, true},
		{"*/10 * * * *", "Etc/UTC", "Forbid", 10 * time.Minute, false},
		{"*/10 * * * *", "Etc/UTC", "Allow", 11 * time.Minute, false},
		{"*/10 * * * *", "Etc/UTC", "Forbid", 0, false},
		{"0,50 * * * *", "Etc/UTC", "Forbid", 11 * time.Minute, true},
		{"0 8,9 * * *", "Europe/Berlin", "Forbid", 2 * time.Hour, true},
		{"0 8 * * 1-5", "Europe/Berlin", "Forbid", 23 * time.Hour, false},
		{"@every 30s", "", "Forbid", time.Minute, true},
		{"0 0 31 2 *", "Etc/UTC", "Forbid", time.Hour, false},
	} {
		object := Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": map[string]any{"name": "a"},
			"spec": map[string]any{"schedule": c.schedule, "timeZone": c.zone, "concurrencyPolicy": c.policy}}}}
		found := Overruns([]Object{object}, func(Key) time.Duration { return c.took }, now)
		if (len(found) > 0) != c.want {
			t.Errorf("%s under %s with a run of %s: %v", c.schedule, c.policy, c.took, found)
		}
	}
}
