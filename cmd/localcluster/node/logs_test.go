package node

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func writtenLog(t *testing.T, text string) *containerLog {
	t.Helper()
	log, err := createLog(filepath.Join(t.TempDir(), "c", "0.log"))
	if err != nil {
		t.Fatalf("creating log: %v", err)
	}
	log.copyFrom(strings.NewReader(text))
	return log
}

func read(t *testing.T, log *containerLog, query logQuery) string {
	t.Helper()
	var out bytes.Buffer
	if err := readLog(log.path, log, query, &out, nil); err != nil {
		t.Fatalf("reading log: %v", err)
	}
	return out.String()
}

func TestLogGivesBackWhatWasWritten(t *testing.T) {
	long := strings.Repeat("x", 3*maxLogLine+7)
	for name, text := range map[string]string{
		"lines":              "one\ntwo\n\nfour\n",
		"no newline at last": "one\ntwo",
		"a long line":        "before\n" + long + "\nafter\n",
		"a long last line":   long,
		"nothing":            "",
	} {
		t.Run(name, func(t *testing.T) {
			want := text
			if want != "" && !strings.HasSuffix(want, "\n") {
				want += "\n"
			}
			if got := read(t, writtenLog(t, text), logQuery{tail: -1, limit: -1}); got != want {
				t.Errorf("got %d bytes, want %d; first difference near %q", len(got), len(want), firstDifference(got, want))
			}
		})
	}
}

func firstDifference(a, b string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i:min(len(a), i+20)]
		}
	}
	return "the end"
}

func TestLogTailAndLimit(t *testing.T) {
	var text strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	log := writtenLog(t, text.String())
	for name, test := range map[string]struct {
		query logQuery
		want  string
	}{
		"the last two lines":        {logQuery{tail: 2, limit: -1}, "line 1998\nline 1999\n"},
		"no lines":                  {logQuery{tail: 0, limit: -1}, ""},
		"more lines than there are": {logQuery{tail: 5000, limit: -1}, text.String()},
		"across blocks":             {logQuery{tail: 1500, limit: 9}, "line 500\n"},
		"a limit inside a line":     {logQuery{tail: -1, limit: 3}, "lin"},
		"a limit of nothing":        {logQuery{tail: -1, limit: 0}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := read(t, log, test.query); got != test.want {
				t.Errorf("got %d bytes beginning %q, want %d", len(got), got[:min(len(got), 40)], len(test.want))
			}
		})
	}
}

func TestLogTimestampsAndSince(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	content := "2026-01-01T00:00:01.5Z stdout F old\n2026-01-01T00:00:02Z stdout P new \n2026-01-01T00:00:03Z stdout F line\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	since := time.Date(2026, 1, 1, 0, 0, 2, 0, time.UTC)
	if err := readLog(path, nil, logQuery{tail: -1, limit: -1, since: since, timestamps: true}, &out, nil); err != nil {
		t.Fatalf("reading log: %v", err)
	}
	if got, want := out.String(), "2026-01-01T00:00:02Z new line\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLogIsFollowedToItsEnd(t *testing.T) {
	log, err := createLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	output, input := io.Pipe()
	go log.copyFrom(output)
	follower, sink := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := readLog(log.path, log, logQuery{tail: -1, limit: -1, follow: true}, sink, nil)
		sink.Close()
		done <- err
	}()
	for i := range 100 {
		line := fmt.Sprintf("line %d\n", i)
		io.WriteString(input, line)
		got := make([]byte, len(line))
		if _, err := io.ReadFull(follower, got); err != nil || string(got) != line {
			t.Fatalf("line %d: got %q and %v while the container runs", i, got, err)
		}
	}
	input.Close()
	if rest, err := io.ReadAll(follower); err != nil || len(rest) > 0 {
		t.Errorf("after the end: got %q and %v", rest, err)
	}
	if err := <-done; err != nil {
		t.Errorf("following: %v", err)
	}
}

func TestLogFollowerCanLeave(t *testing.T) {
	log, err := createLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.close()
	stop := make(chan struct{})
	close(stop)
	if err := readLog(log.path, log, logQuery{tail: -1, limit: -1, follow: true}, io.Discard, stop); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

func TestParseLogQuery(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		query    string
		want     logQuery
		previous bool
		wantErr  bool
	}{
		"nothing":      {"", logQuery{tail: -1, limit: -1}, false, false},
		"everything":   {"follow=true&timestamps=true&tailLines=5&limitBytes=10&sinceSeconds=60", logQuery{true, true, now.Add(-time.Minute), 5, 10}, false, false},
		"previous":     {"previous=true", logQuery{tail: -1, limit: -1}, true, false},
		"since a time": {"sinceTime=2026-01-01T00:00:00Z", logQuery{tail: -1, limit: -1, since: now.Add(-time.Minute)}, false, false},
		"no number":    {"tailLines=x", logQuery{}, false, true},
		"below zero":   {"tailLines=-1", logQuery{}, false, true},
		"no time":      {"sinceTime=yesterday", logQuery{}, false, true},
		"no boolean":   {"follow=perhaps", logQuery{}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			values, err := url.ParseQuery(test.query)
			if err != nil {
				t.Fatal(err)
			}
			got, previous, err := parseLogQuery(values, now)
			if (err != nil) != test.wantErr || previous != test.previous {
				t.Fatalf("got previous %v and %v", previous, err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(logQuery{})); diff != "" {
				t.Errorf("query (-want +got):\n%s", diff)
			}
		})
	}
}
