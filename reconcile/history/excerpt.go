package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Excerpt returns, in order of time and one line each, what j has between two
// times: what a person needs to follow a finding.
func (j Journal) Excerpt(from, until time.Time) string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	add := func(at time.Time, format string, args ...any) {
		if !at.IsZero() && !at.Before(from) && !at.After(until) {
			lines = append(lines, line{at, fmt.Sprintf(format, args...)})
		}
	}
	for i, r := range j.Revisions {
		text := fmt.Sprintf("revision %s %q %s %s held=%t until %s rules %s", r.Name, r.Spec.Schedule, r.Spec.Zone, r.Spec.Policy, r.Spec.Held, r.Spec.HeldUntil, r.Spec.Rules)
		if d := r.Spec.Deadline; d != nil {
			text += " deadline " + d.String()
		}
		if next := i + 1; r.At.Before(from) && (next == len(j.Revisions) || j.Revisions[next].At.After(from)) {
			lines = append(lines, line{from, "in force: " + text})
		}
		add(r.At, "%s", text)
	}
	for _, c := range j.Commits {
		add(c.At, "record cursor=%s waits=%q active=%v %s", c.Cursor.UTC().Format(time.RFC3339), c.Waits, c.Active, resolutions(c.Resolved))
	}
	for _, r := range j.Runs {
		add(r.Created, "%s %s created, revision %s", r.Name, r.UID, r.Revision)
		for _, at := range r.Released {
			add(at, "%s let go", r.Name)
		}
		add(r.Finished, "%s finished", r.Name)
		add(r.Deleting, "%s is being deleted", r.Name)
		add(r.Deleted, "%s deleted", r.Name)
		add(r.PodsGone, "%s has no Pods left", r.Name)
	}
	for _, c := range j.Clock {
		add(c.At, "the clock is off by %s", c.Offset)
	}
	for _, f := range j.Faults {
		if f.From.Before(until) && f.Until.After(from) {
			lines = append(lines, line{f.From, f.What + " until " + f.Until.UTC().Format(time.RFC3339)})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "  %s %s\n", l.at.UTC().Format("2006-01-02T15:04:05.000Z"), l.text)
	}
	return b.String()
}

func resolutions(list []Resolution) string {
	var parts []string
	for _, r := range list {
		what := "ran"
		if !r.Ran {
			what = "skipped " + r.Reason
		}
		parts = append(parts, fmt.Sprintf("%s..%s %d %s", r.First.UTC().Format(time.RFC3339), r.Last.UTC().Format(time.RFC3339), r.Count, what))
	}
	return strings.Join(parts, ", ")
}
