package schedule

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

func at(text string) time.Time {
	for _, layout := range []string{"15:04", "15:04:05", "01-02 15:04", "01-02 15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			if t.Month() == 1 && t.Day() == 1 {
				return time.Date(2016, 5, 19, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
			}
			return time.Date(2016, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
		}
	}
	panic("bad time " + text)
}

// describe says in a few words what a decision does.
func describe(d Decision) string {
	var parts []string
	for _, a := range d.Actions {
		text := strings.TrimPrefix(fmt.Sprintf("%T", a), "schedule.")
		switch a := a.(type) {
		case Start:
			text += " " + a.Slot.UTC().Format("01-02 15:04")
			if a.Retry > 0 {
				text += fmt.Sprintf(" retry %d", a.Retry)
			}
		case DropRetry:
			text += fmt.Sprintf(" %d %s", a.Number, a.Reason)
		case Reserve:
			text += " " + a.Run.Name
		case Skip:
			text += fmt.Sprintf(" %d %s", a.Count, a.Reason)
		case HoldBack:
			text += " " + string(a.Hold.Reason)
			if halts(a.Hold.Reason) && !a.Hold.Until.IsZero() {
				text += " until " + a.Hold.Until.Format("15:04")
			}
		case Forget:
			text += " " + a.Ref.Name
		case Release:
			text += " " + a.Run.Name
		case Stop:
			text += " " + a.Run.Name
		case Withdraw:
			text += " " + a.Run.Name + " " + string(a.Reason)
		case Sweep:
			text += " " + a.Run.Name
		case DeleteHistory:
			text += " " + a.Run.Name
		}
		parts = append(parts, text)
	}
	for _, p := range d.Problems {
		parts = append(parts, p.Rule)
	}
	return strings.Join(parts, ", ")
}

const (
	hourly = "0 * * * ?"
	every  = "@every 1h"
)

// row is a line of research/scheduler.md §1.3: the CronJob controller's own
// test table. last has the slot of a run; job its state: "", done or active.
type row struct {
	name, cron, zone string
	policy           batchv1.ConcurrencyPolicy
	created, last    string
	job              string
	suspended        bool
	deadline         int64
	now, want, wake  string
}

func TestDecideAgreesWithTheNativeTable(t *testing.T) {
	const A, F, R = batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent
	rows := []row{
		// What rota does beyond the native controller, here and below: it
		// looks again at what it cannot read, it records what it skips and
		// that it waits, and it warns about borrowed oddities.
		{name: "1 never ran, schedule unreadable", cron: "obvious error schedule", policy: A, created: "09:59", now: "09:59", want: "R300", wake: "10:04"},
		{name: "2 the same, Forbid", cron: "obvious error schedule", policy: F, created: "09:59", now: "09:59", want: "R300", wake: "10:04"},
		{name: "4 never ran, zone unknown", cron: hourly, zone: "bad timezone", policy: A, created: "09:59", now: "09:59", want: "R301", wake: "10:04"},
		{name: "5 never ran, not time", cron: hourly, policy: A, created: "09:59", now: "09:59", wake: "10:00"},
		{name: "6 the same, Forbid", cron: hourly, policy: F, created: "09:59", now: "09:59", wake: "10:00"},
		{name: "7 the same, Replace", cron: hourly, policy: R, created: "09:59", now: "09:59", wake: "10:00"},
		{name: "8 the same, New York", cron: hourly, zone: "America/New_York", policy: A, created: "09:59", now: "09:59", wake: "10:00"},
		{name: "9 never ran, is time", cron: hourly, policy: A, created: "09:59", now: "10:01", want: "Start 05-19 10:00", wake: "11:00"},
		{name: "10 the same, Forbid", cron: hourly, policy: F, created: "09:59", now: "10:01", want: "Start 05-19 10:00", wake: "11:00"},
		{name: "11 the same, Replace", cron: hourly, policy: R, created: "09:59", now: "10:01", want: "Start 05-19 10:00", wake: "11:00"},
		{name: "12 the same, New York", cron: hourly, zone: "America/New_York", policy: A, created: "09:59", now: "10:01", want: "Start 05-19 10:00", wake: "11:00"},
		{name: "14 zone in the schedule and beside it", cron: "TZ=UTC " + hourly, zone: "America/New_York", policy: A, created: "09:59", now: "10:01", want: "Start 05-19 10:00, R302", wake: "11:00"},
		{name: "15 never ran, is time, suspended", cron: hourly, policy: A, created: "09:59", suspended: true, now: "10:01", want: "HoldBack Suspended"},
		{name: "16 never ran, past the deadline", cron: hourly, policy: A, created: "09:59", deadline: 10, now: "10:12", want: "Skip 1 DeadlineMissed", wake: "11:00"},
		{name: "17 never ran, within the deadline", cron: hourly, policy: A, created: "09:59", deadline: 1_000_000, now: "10:01", want: "Start 05-19 10:00", wake: "11:00"},
		{name: "18 ran, done, not time", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "done", now: "09:59", want: "Forget run", wake: "10:00"},
		{name: "19 the same, Forbid", cron: hourly, policy: F, created: "08:59", last: "09:01", job: "done", now: "09:59", want: "Forget run", wake: "10:00"},
		{name: "20 the same, Replace", cron: hourly, policy: R, created: "08:59", last: "09:01", job: "done", now: "09:59", want: "Forget run", wake: "10:00"},
		{name: "21 ran, done, is time", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "done", now: "10:01", want: "Forget run, Start 05-19 10:00", wake: "11:00"},
		{name: "24 the same, Forbid", cron: hourly, policy: F, created: "08:59", last: "09:01", job: "done", now: "10:01", want: "Forget run, Start 05-19 10:00", wake: "11:00"},
		{name: "25 the same, Replace", cron: hourly, policy: R, created: "08:59", last: "09:01", job: "done", now: "10:01", want: "Forget run, Start 05-19 10:00", wake: "11:00"},
		{name: "26 ran, done, suspended", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "done", suspended: true, now: "10:01", want: "Forget run, HoldBack Suspended"},
		{name: "27 ran, done, past the deadline", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "done", deadline: 10, now: "10:01", want: "Forget run, Skip 1 DeadlineMissed", wake: "11:00"},
		{name: "28 ran, done, within the deadline", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "done", deadline: 1_000_000, now: "10:01", want: "Forget run, Start 05-19 10:00", wake: "11:00"},
		{name: "29 active, not time", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "active", now: "09:59", wake: "10:00"},
		{name: "30 the same, Forbid", cron: hourly, policy: F, created: "08:59", last: "09:01", job: "active", now: "09:59", wake: "10:00"},
		{name: "31 the same, Replace", cron: hourly, policy: R, created: "08:59", last: "09:01", job: "active", now: "09:59", wake: "10:00"},
		{name: "32 active, is time, Allow", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "active", now: "10:01", want: "Start 05-19 10:00", wake: "11:00"},
		{name: "33 active, is time, Forbid", cron: hourly, policy: F, created: "08:59", last: "09:01", job: "active", now: "10:01", want: "HoldBack Blocked", wake: "11:00"},
		{name: "34 active, is time, Replace (the old one is stopped once the new one is committed)", cron: hourly, policy: R, created: "08:59", last: "09:01", job: "active", now: "10:01", want: "Start 05-19 10:00", wake: "11:00"},
		{name: "36 active, suspended", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "active", suspended: true, now: "10:01", want: "HoldBack Suspended"},
		{name: "37 active, past the deadline", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "active", deadline: 10, now: "10:01", want: "Skip 1 DeadlineMissed", wake: "11:00"},
		{name: "38 active, within the deadline", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "active", deadline: 1_000_000, now: "10:01", want: "Start 05-19 10:00", wake: "11:00"},
		{name: "39 a week overdue, no deadline", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "done", now: "05-26 10:00", want: "Forget run, Skip 168 Superseded, Start 05-26 10:00, R306", wake: "05-26 11:00"},
		{name: "42 a week overdue, long deadline, Replace", cron: hourly, policy: R, created: "08:59", last: "09:01", job: "done", deadline: 1_000_000, now: "05-26 10:00", want: "Forget run, Skip 168 Superseded, Start 05-26 10:00, R306", wake: "05-26 11:00"},
		{name: "45 a week overdue, two hours", cron: hourly, policy: A, created: "08:59", last: "09:01", job: "done", deadline: 7200, now: "05-26 10:00", want: "Forget run, Skip 166 DeadlineMissed, Skip 2 Superseded, Start 05-26 10:00", wake: "05-26 11:00"},
		{name: "48 a week overdue, ten seconds", cron: hourly, policy: F, created: "08:59", last: "09:01", job: "done", deadline: 10, now: "05-26 10:00", want: "Forget run, Skip 168 DeadlineMissed, Start 05-26 10:00", wake: "05-26 11:00"},
		{name: "51 the clock went back (rota waits for a slot after the last, and warns)", cron: hourly, policy: F, created: "08:59", last: "10:01", job: "done", now: "09:59", want: "Forget run, R309", wake: "11:00"},
		{name: "58 every, never ran, not time", cron: every, policy: A, created: "09:59", now: "10:00", wake: "10:59"},
		{name: "59 every, never ran, is time", cron: every, policy: A, created: "08:59", now: "09:59", want: "Start 05-19 09:59", wake: "10:59"},
		{name: "60 every, past the deadline", cron: every, policy: A, created: "08:59", deadline: 10, now: "09:59:11", want: "Skip 1 DeadlineMissed", wake: "10:59"},
		{name: "61 every, within the deadline", cron: every, policy: A, created: "08:59", deadline: 1_000_000, now: "09:59:09", want: "Start 05-19 09:59", wake: "10:59"},
		{name: "62 every, ran, not time", cron: every, policy: A, created: "08:59", last: "09:59", job: "done", now: "10:00", want: "Forget run", wake: "10:59"},
		{name: "63 every, ran, is time", cron: every, policy: A, created: "08:59", last: "09:59", job: "done", now: "11:00", want: "Forget run, Start 05-19 10:59", wake: "11:59"},
		{name: "64 every, ran, past the deadline", cron: every, policy: A, created: "08:59", last: "09:59", job: "done", deadline: 10, now: "10:59:11", want: "Forget run, Skip 1 DeadlineMissed", wake: "11:59"},
		{name: "65 every, active, not time", cron: every, policy: A, created: "08:59", last: "09:59", job: "active", now: "10:00", wake: "10:59"},
		{name: "66 every, active, is time", cron: every, policy: A, created: "07:59", last: "08:59", job: "active", now: "10:01", want: "Start 05-19 09:59", wake: "10:59"},
		{name: "67 every, active, past the deadline", cron: every, policy: A, created: "08:59", last: "09:59", job: "active", deadline: 10, now: "10:59:11", want: "Skip 1 DeadlineMissed", wake: "11:59"},
		{name: "68 every, active, within the deadline", cron: every, policy: A, created: "08:59", last: "09:59", job: "active", deadline: 1_000_000, now: "10:59:09", want: "Start 05-19 10:59", wake: "11:59"},
		{name: "69 every, a week overdue", cron: every, policy: A, created: "08:59", last: "10:01", job: "done", now: "05-26 10:00", want: "Forget run, Skip 166 Superseded, Start 05-26 09:01, R306", wake: "05-26 10:01"},
		{name: "70 every, a week overdue, past the deadline", cron: every, policy: A, created: "08:59", last: "10:01", job: "done", deadline: 10, now: "05-26 10:01:11", want: "Forget run, Skip 168 DeadlineMissed", wake: "05-26 11:01"},
		{name: "75 every, within a deadline of 10 s (the native one fails this)", cron: every, policy: A, created: "08:59", last: "09:59", job: "done", deadline: 10, now: "10:59:09", want: "Forget run, Start 05-19 10:59", wake: "11:59"},
		{name: "1.4a a due run of an uneven schedule is not lost", cron: "30 10,11,12 * * 1-5", policy: A, created: "08:59", last: "10:30", job: "done", now: "05-20 16:00", want: "Forget run, Skip 4 Superseded, Start 05-20 12:30", wake: "05-23 10:30"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			spec, state := r.build()
			now := at(r.now)
			d := Decide(spec, state, now)
			if got := describe(d); got != r.want {
				t.Errorf("decided %q, want %q", got, r.want)
			}
			var wake time.Time
			if r.wake != "" {
				wake = at(r.wake)
			}
			if !d.Wake.Equal(wake) {
				t.Errorf("wakes at %s, want %s", d.Wake, wake)
			}
			if diff := cmp.Diff(describe(d), describe(Decide(spec, state, now))); diff != "" {
				t.Errorf("a second decision differs:\n%s", diff)
			}
		})
	}
}

func (r row) build() (Spec, State) {
	spec := Spec{Name: "cj", Schedule: r.cron, Zone: r.zone, Borrowed: true, Suspended: r.suspended, Policy: r.policy, KeepSuccessful: 3, KeepFailed: 1}
	spec.Cron, spec.Err = Parse(r.cron, r.zone)
	if r.deadline > 0 {
		d := time.Duration(r.deadline) * time.Second
		spec.Deadline = &d
	}
	if strings.Contains(r.cron, "TZ=") {
		spec.Problems = append(spec.Problems, warning("R302", "spec.schedule", "zone"))
	}
	state := State{Created: at(r.created), Cursor: Cursor{Schedule: r.cron, Zone: r.zone, Since: at(r.created)}}
	if r.last != "" {
		state.LastSchedule = at(r.last)
		state.Cursor.Slot, state.Cursor.Outcome = at(r.last), Ran
	}
	if r.job != "" {
		run := Run{Name: "run", UID: "1", Slot: at(r.last), Started: at(r.last)}
		if r.job == "done" {
			run.Finished, run.FinishedAt = batchv1.JobComplete, at(r.last).Add(time.Minute)
		}
		state.Jobs = []Run{run}
		state.Active = []Ref{run.Ref()}
	}
	return spec, state
}

// base is a spec and a state in which a run of 10:00 is committed.
func base(policy batchv1.ConcurrencyPolicy) (Spec, State) {
	spec, state := row{cron: hourly, policy: policy, created: "08:59", last: "10:00", job: "active"}.build()
	state.Jobs[0].Name, state.Jobs[0].Prepared, state.Jobs[0].Suspended = "new", true, true
	state.Active = []Ref{state.Jobs[0].Ref()}
	return spec, state
}

func TestDecideOnRunsThatAreNotReleased(t *testing.T) {
	old := Run{Name: "old", UID: "0", Slot: at("09:00"), Started: at("09:00")}
	ten := 10 * time.Second
	for name, c := range map[string]struct {
		policy batchv1.ConcurrencyPolicy
		change func(*Spec, *State)
		now    string
		want   string
	}{
		"committed: released":                             {now: "10:00:01", want: "Release new"},
		"committed, Forbid, nothing in the way: released": {policy: batchv1.ForbidConcurrent, now: "10:00:01", want: "Release new"},
		"committed, Forbid, an old run: waits": {policy: batchv1.ForbidConcurrent, now: "10:00:01", want: "",
			change: func(_ *Spec, s *State) { s.Jobs = append(s.Jobs, old); s.Active = append(s.Active, old.Ref()) }},
		"committed, Replace, an old run: stopped": {policy: batchv1.ReplaceConcurrent, now: "10:00:01", want: "Stop old",
			change: func(_ *Spec, s *State) { s.Jobs = append(s.Jobs, old); s.Active = append(s.Active, old.Ref()) }},
		"committed, Replace, an old run is going: waits": {policy: batchv1.ReplaceConcurrent, now: "10:00:01", want: "",
			change: func(_ *Spec, s *State) {
				going := old
				going.Deleting = true
				s.Jobs, s.Active = append(s.Jobs, going), append(s.Active, going.Ref())
			}},
		"committed, Replace, a stranger in active: waits and does not touch it": {policy: batchv1.ReplaceConcurrent, now: "10:00:01", want: "",
			change: func(_ *Spec, s *State) {
				stranger := old
				stranger.Stranger = true
				s.Jobs, s.Active = append(s.Jobs, stranger), append(s.Active, stranger.Ref())
			}},
		"committed, Forbid, a reference that is not known: read first": {policy: batchv1.ForbidConcurrent, now: "10:00:01", want: "Verify",
			change: func(_ *Spec, s *State) { s.Active = append(s.Active, Ref{UID: "9", Name: "x"}) }},
		"committed, Forbid, a reference that is gone: forgotten, and it is no hindrance": {policy: batchv1.ForbidConcurrent, now: "10:00:01", want: "Forget x, Release new",
			change: func(_ *Spec, s *State) {
				s.Active = append(s.Active, Ref{UID: "9", Name: "x"})
				s.Gone = map[types.UID]bool{"9": true}
			}},
		"committed, past the deadline: withdrawn": {now: "10:00:11", want: "Withdraw new DeadlineMissed",
			change: func(s *Spec, _ *State) { s.Deadline = &ten }},
		"committed, paused: not released": {now: "10:00:01", want: "HoldBack Paused",
			change: func(s *Spec, _ *State) { s.Pause = &Pause{} }},
		"committed, Replace, a later one is committed too: withdrawn": {policy: batchv1.ReplaceConcurrent, now: "10:00:01", want: "Withdraw new Replaced",
			change: func(_ *Spec, s *State) {
				newer := s.Jobs[0]
				newer.Name, newer.UID, newer.Slot = "newer", "2", newer.Slot.Add(time.Second)
				s.Jobs = append(s.Jobs, newer)
				s.Jobs[0].Withdrawn = false
				s.Active = append(s.Active, newer.Ref())
			}},
		"two committed under Forbid: the earlier one goes first": {policy: batchv1.ForbidConcurrent, now: "10:00:01", want: "Release new",
			change: func(_ *Spec, s *State) {
				later := s.Jobs[0]
				later.Name, later.UID, later.Slot = "later", "2", later.Slot.Add(time.Second)
				s.Jobs = append(s.Jobs, later)
				s.Active = append(s.Active, later.Ref())
			}},
		"prepared, at the cursor, not in active: swept": {now: "10:00:01", want: "Sweep new",
			change: func(_ *Spec, s *State) { s.Active = nil }},
		"prepared, after the cursor: left for its slot": {now: "10:00:01", want: "Start 05-19 10:00",
			change: func(_ *Spec, s *State) {
				s.Active = nil
				s.Cursor.Slot, s.LastSchedule = at("09:00"), at("09:00")
			}},
		"suspended by hand, no mark: neither released nor swept": {now: "10:00:01", want: "",
			change: func(_ *Spec, s *State) { s.Jobs[0].Prepared = false }},
		"the CronJob is going: nothing": {now: "11:00:01", want: "",
			change: func(_ *Spec, s *State) { s.Deleting = true }},
	} {
		t.Run(name, func(t *testing.T) {
			policy := c.policy
			if policy == "" {
				policy = batchv1.AllowConcurrent
			}
			spec, state := base(policy)
			if c.change != nil {
				c.change(&spec, &state)
			}
			if got := describe(Decide(spec, state, at(c.now))); !strings.HasPrefix(got, c.want) || (c.want == "" && got != "") {
				t.Errorf("decided %q, want %q", got, c.want)
			}
		})
	}
}

func TestDecideKeepsHistory(t *testing.T) {
	done := func(name, started string, how batchv1.JobConditionType) Run {
		r := Run{Name: name, UID: types.UID(name), Slot: at("09:00"), Finished: how}
		if started != "" {
			r.Started = at(started)
		}
		return r
	}
	jobs := []Run{
		done("c", "09:03", batchv1.JobComplete), done("a", "09:01", batchv1.JobComplete), done("b", "09:02", batchv1.JobComplete),
		done("d", "", batchv1.JobComplete), done("f", "09:01", batchv1.JobFailed), done("e", "09:02", batchv1.JobFailed),
	}
	for name, c := range map[string]struct {
		good, bad int
		want      string
	}{
		"the defaults, 3 and 1": {3, 1, "DeleteHistory a, DeleteHistory f"},
		"none":                  {0, 0, "DeleteHistory a, DeleteHistory b, DeleteHistory c, DeleteHistory d, DeleteHistory f, DeleteHistory e"},
		"one that never started counts as the youngest": {1, 2, "DeleteHistory a, DeleteHistory b, DeleteHistory c"},
		"more than there are":                           {10, 10, ""},
	} {
		t.Run(name, func(t *testing.T) {
			spec, state := row{cron: hourly, policy: batchv1.AllowConcurrent, created: "08:59", last: "09:00"}.build()
			spec.KeepSuccessful, spec.KeepFailed = c.good, c.bad
			state.Jobs = append([]Run(nil), jobs...)
			if got := describe(Decide(spec, state, at("09:30"))); got != c.want {
				t.Errorf("decided %q, want %q", got, c.want)
			}
		})
	}
}

func TestDecideOnEditsAndHolds(t *testing.T) {
	for name, c := range map[string]struct {
		row    row
		change func(*Spec, *State)
		want   string
	}{
		"first seen: recorded from when it was made": {row: row{cron: hourly, created: "08:59", now: "10:01"}, want: "Observe",
			change: func(_ *Spec, s *State) { s.Cursor = Cursor{} }},
		"edited: the old schedule's due slots are skipped, the new one's are not fired": {
			row:  row{cron: "0 23 * * *", created: "08:59", last: "09:00", now: "12:00"},
			want: "Skip 3 Edited, Observe",
			change: func(_ *Spec, s *State) {
				s.Cursor.Schedule = hourly
				s.Edited = at("12:00")
			}},
		"edited a while ago, with rota down: slots of the new one since then are due": {
			row:  row{cron: "30 * * * *", created: "08:59", last: "09:00", now: "12:00"},
			want: "Skip 1 Edited, Observe",
			change: func(_ *Spec, s *State) {
				s.Cursor.Schedule = hourly
				s.Edited = at("10:15")
			}},
		"resumed: what came while suspended is skipped for that, the latest starts": {
			row:  row{cron: hourly, created: "08:59", last: "09:00", now: "14:01"},
			want: "Skip 1 Superseded, Skip 3 Suspended, Start 05-19 14:00",
			change: func(_ *Spec, s *State) {
				s.Cursor.Hold = &Hold{Reason: Suspended, Since: at("10:30")}
			}},
		"a pause that ended by itself while rota was down: what came after it was not paused": {
			row:  row{cron: hourly, created: "08:59", last: "09:00", now: "14:01"},
			want: "Skip 1 Superseded, Skip 2 Paused, Skip 1 Superseded, Start 05-19 14:00",
			change: func(_ *Spec, s *State) {
				s.Cursor.Hold = &Hold{Reason: Paused, Since: at("10:30"), Until: at("12:30")}
			}},
		"a pause is recorded with its end": {
			row:    row{cron: hourly, created: "08:59", last: "09:00", now: "09:30"},
			want:   "HoldBack Paused until 12:30",
			change: func(p *Spec, _ *State) { p.Pause = &Pause{Until: at("12:30")} }},
		"a pause that is prolonged is recorded anew": {
			row:  row{cron: hourly, created: "08:59", last: "09:00", now: "11:30"},
			want: "HoldBack Paused until 12:30",
			change: func(p *Spec, s *State) {
				p.Pause = &Pause{Until: at("12:30")}
				s.Cursor.Hold = &Hold{Reason: Paused, Since: at("10:30"), Until: at("12:00")}
			}},
		"resumed with nothing due": {
			row:    row{cron: hourly, created: "08:59", last: "14:00", now: "14:01"},
			want:   "Resume",
			change: func(_ *Spec, s *State) { s.Cursor.Hold = &Hold{Reason: Suspended, Since: at("14:00")} }},
		"resumed with a deadline that all have missed": {
			row:    row{cron: hourly, created: "08:59", last: "09:00", deadline: 10, now: "14:01"},
			want:   "Skip 1 DeadlineMissed, Skip 4 Suspended, Resume",
			change: func(_ *Spec, s *State) { s.Cursor.Hold = &Hold{Reason: Suspended, Since: at("10:30")} }},
		"a pause that is over": {
			row:    row{cron: hourly, created: "08:59", last: "14:00", now: "14:01"},
			want:   "",
			change: func(p *Spec, _ *State) { p.Pause = &Pause{Until: at("14:01")} }},
		"two slots in one minute: one run": {
			row:  row{cron: "@every 30s", created: "08:59", last: "09:00", now: "09:00:30"},
			want: "Skip 1 SameMinute"},
		"not borrowed: stands back": {row: row{cron: hourly, created: "08:59", now: "10:01"}, want: "",
			change: func(p *Spec, _ *State) { p.Borrowed = false }},
		"status but no cursor: taken over": {row: row{cron: hourly, created: "08:59", last: "09:00", now: "10:30"}, want: "Adopt",
			change: func(_ *Spec, s *State) { s.Cursor = Cursor{} }},
		"status but no cursor, just after a slot: not yet": {row: row{cron: hourly, created: "08:59", last: "09:00", now: "10:00:30"}, want: "",
			change: func(_ *Spec, s *State) { s.Cursor = Cursor{} }},
		"status but no cursor, just before a slot: not yet": {row: row{cron: hourly, created: "08:59", last: "09:00", now: "10:59:55"}, want: "",
			change: func(_ *Spec, s *State) { s.Cursor = Cursor{} }},
	} {
		t.Run(name, func(t *testing.T) {
			c.row.policy = batchv1.AllowConcurrent
			spec, state := c.row.build()
			if c.change != nil {
				c.change(&spec, &state)
			}
			d := Decide(spec, state, at(c.row.now))
			if got := describe(d); got != c.want {
				t.Errorf("decided %q, want %q", got, c.want)
			}
			if !d.Wake.IsZero() && !d.Wake.After(at(c.row.now)) {
				t.Errorf("wakes at %s", d.Wake)
			}
		})
	}
}

func TestParsePause(t *testing.T) {
	until := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]Pause{
		"": {}, `until=2026-12-01T08:00:00Z reason="ledger migration"`: {until, "ledger migration"},
		`reason="a \"b\"" until=2026-12-01T08:00:00Z`: {until, `a "b"`}, "reason=no quotes at all": {Reason: "no quotes at all"},
	} {
		got, err := ParsePause(text)
		if err != nil || !got.Until.Equal(want.Until) || got.Reason != want.Reason {
			t.Errorf("ParsePause(%q) = %+v, %v", text, got, err)
		}
		if again, err := ParsePause(got.String()); err != nil || again != got {
			t.Errorf("%q is read as %+v, %v", got, again, err)
		}
	}
	for _, text := range []string{"tomorrow", "until=tomorrow", "who=me"} {
		if _, err := ParsePause(text); err == nil {
			t.Errorf("ParsePause(%q) has no error", text)
		}
	}
}

func TestAPauseThatCannotBeReadPauses(t *testing.T) {
	cj := &batchv1.CronJob{}
	cj.Name = "x"
	cj.Annotations = map[string]string{schema.AnnotationScheduler: "rota", schema.AnnotationPause: "until=tomorrow"}
	cj.Spec.Schedule = hourly
	spec, err := SpecOf(cj)
	if err != nil || spec.Pause == nil || len(spec.Problems) == 0 || spec.Problems[0].Rule != "R307" {
		t.Errorf("%+v, %v", spec, err)
	}
}

func TestEveryRuleIsExplained(t *testing.T) {
	for _, r := range Rules() {
		if r.ID < "R300" || r.ID > "R339" || r.Title == "" || r.Explanation == "" || r.Mend == "" {
			t.Errorf("rule %+v", r)
		}
	}
}

func TestRecordRefusesASlotThatIsResolved(t *testing.T) {
	cj := &batchv1.CronJob{}
	cj.Name = "x"
	cj.Annotations = map[string]string{schema.AnnotationCursor: Cursor{Slot: at("10:00"), Outcome: Ran, Schedule: hourly, Since: at("08:59")}.String()}
	for slot, fails := range map[string]bool{"09:00": true, "10:00": true, "11:00": false} {
		name := JobName("x", at(slot))
		updated, err := Record(View{CronJob: cj}, []Action{Start{Slot: at(slot), Name: name}}, map[string]*batchv1.Job{name: {}})
		if fails != (err != nil) {
			t.Errorf("recording %s: %v", slot, err)
		}
		if err == nil && (len(updated.Status.Active) != 1 || !updated.Status.LastScheduleTime.Time.Equal(at(slot))) {
			t.Errorf("recorded %+v", updated.Status)
		}
	}
	if updated, err := Record(View{CronJob: cj}, []Action{Release{}}, nil); updated != nil || err != nil {
		t.Errorf("a release alone is recorded: %v, %v", updated, err)
	}
}

func TestEditedAt(t *testing.T) {
	entry := func(when, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Time: &metav1.Time{Time: at(when)}, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	zone := "UTC"
	both := `{"f:spec":{"f:schedule":{},"f:timeZone":{}}}`
	for name, c := range map[string]struct {
		entries []metav1.ManagedFieldsEntry
		want    string
	}{
		"one manager":                       {[]metav1.ManagedFieldsEntry{entry("10:00", both)}, "10:00"},
		"two that agree: since the earlier": {[]metav1.ManagedFieldsEntry{entry("10:00", both), entry("09:00", both)}, "09:00"},
		"one that owns other fields":        {[]metav1.ManagedFieldsEntry{entry("10:00", both), entry("09:00", `{"f:spec":{"f:suspend":{}}}`)}, "10:00"},
		"the zone came later":               {[]metav1.ManagedFieldsEntry{entry("09:00", `{"f:spec":{"f:schedule":{}}}`), entry("10:00", `{"f:spec":{"f:timeZone":{}}}`)}, "10:00"},
		"fields that cannot be read":        {[]metav1.ManagedFieldsEntry{entry("10:00", `{`)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cj := &batchv1.CronJob{}
			cj.ManagedFields, cj.Spec.TimeZone = c.entries, &zone
			var want time.Time
			if c.want != "" {
				want = at(c.want)
			}
			if got := editedAt(cj); !got.Equal(want) {
				t.Errorf("edited at %s, want %s", got, want)
			}
		})
	}
}
