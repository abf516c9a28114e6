package schedule

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/schema"
)

func minutes(n int) schema.Duration { return schema.Duration{Duration: time.Duration(n) * time.Minute} }

func day(text string) schema.Day {
	d, err := schema.ParseDay(text)
	if err != nil {
		panic(err)
	}
	return d
}

func TestDecideUnderAPolicy(t *testing.T) {
	const F = batchv1.ForbidConcurrent
	christmas := []schema.Days{{First: day("2016-05-19"), Last: day("2016-05-20"), Source: "holidays.ics"}}
	for name, c := range map[string]struct {
		row    row
		rules  schema.Policy
		change func(*Spec, *State)
		want   string
		wake   string
	}{
		"a day that is excluded: held back for it, until the next open slot": {
			row:   row{cron: hourly, created: "05-18 22:30", last: "05-18 23:00", now: "00:00:01"},
			rules: schema.Policy{Exclude: christmas}, want: "HoldBack Excluded", wake: "01:00"},
		"the closure is on record: nothing to do until it ends": {
			row:   row{cron: hourly, created: "05-18 22:30", last: "05-18 23:00", now: "13:00:01"},
			rules: schema.Policy{Exclude: christmas}, change: closedSince("00:00:01", "05-21 00:00", "holidays.ics"), want: "", wake: "05-21 00:00"},
		"the closure has ended: what came meanwhile is skipped for it": {
			row:   row{cron: hourly, created: "05-18 22:30", last: "05-18 23:00", now: "05-21 00:00:01"},
			rules: schema.Policy{Exclude: christmas}, change: closedSince("00:00:01", "05-21 00:00", "holidays.ics"),
			want: "Skip 48 Excluded, Start 05-21 00:00", wake: "05-21 01:00"},
		"the exclusion was removed: nothing of the past fires because of it": {
			row:  row{cron: hourly, created: "05-18 22:30", last: "05-18 23:00", now: "13:20"},
			want: "Skip 14 Excluded, Resume", change: closedSince("00:00:01", "05-21 00:00", "holidays.ics"), wake: "14:00"},
		"an outage across a closure: each slot has its own reason": {
			row:   row{cron: hourly, created: "05-18 20:30", last: "05-18 21:00", now: "05-21 01:30"},
			rules: schema.Policy{Exclude: christmas}, want: "Skip 2 Superseded, Skip 48 Excluded, Skip 1 Superseded, Start 05-21 01:00", wake: "05-21 02:00"},
		"before the window": {
			row:   row{cron: hourly, created: "08:59", now: "10:01"},
			rules: schema.Policy{NotBefore: at("12:30")}, want: "HoldBack OutsideWindow", wake: "11:00"},
		"the window has opened": {
			row:   row{cron: hourly, created: "08:59", now: "13:00:01"},
			rules: schema.Policy{NotBefore: at("12:30")}, change: closedSince("09:00", "12:30", "not before 2016-05-19T12:30:00Z"),
			want: "Skip 4 OutsideWindow, Start 05-19 13:00", wake: "14:00"},
		"the window ends with the slot at its end": {
			row:   row{cron: hourly, created: "08:59", last: "09:00", now: "10:00:01"},
			rules: schema.Policy{NotAfter: at("10:00")}, want: "Start 05-19 10:00", wake: "11:00"},
		"the window is over: no slot is waited for": {
			row:   row{cron: hourly, created: "08:59", last: "10:00", now: "11:00:01"},
			rules: schema.Policy{NotAfter: at("10:00")}, change: closedSince("11:00", "", "not after 2016-05-19T10:00:00Z"), want: ""},
		"jitter: the slot is not due yet": {
			row:   row{cron: hourly, created: "08:59", last: "09:00", now: "10:00:01"},
			rules: schema.Policy{Jitter: minutes(30)}, want: "", wake: "10:25:19"},
		"jitter: the slot is due": {
			row:   row{cron: hourly, created: "08:59", last: "09:00", now: "10:25:19"},
			rules: schema.Policy{Jitter: minutes(30)}, want: "Start 05-19 10:00", wake: "11:25:19"},
		"jitter: the deadline counts from when it was due": {
			row:   row{cron: hourly, created: "08:59", last: "09:00", deadline: 60, now: "10:26:10"},
			rules: schema.Policy{Jitter: minutes(30)}, want: "Start 05-19 10:00", wake: "11:25:19"},
		"jitter: and is missed after that": {
			row:   row{cron: hourly, created: "08:59", last: "09:00", deadline: 60, now: "10:26:20"},
			rules: schema.Policy{Jitter: minutes(30)}, want: "Skip 1 DeadlineMissed", wake: "11:25:19"},
		"jitter is cut before the next slot": {
			row:   row{cron: "* * * * *", created: "08:59", last: "09:00", now: "09:01:59"},
			rules: schema.Policy{Jitter: minutes(300)}, want: "Start 05-19 09:01", wake: "09:02:59"},
		"catch up on nothing: a slot that is late does not start": {
			row:   row{cron: hourly, created: "08:59", last: "09:00", now: "12:01:01"},
			rules: schema.Policy{CatchUp: schema.CatchUp{Policy: schema.CatchUpNone}}, want: "Skip 3 NotCaughtUp", wake: "13:00"},
		"catch up on nothing: a slot that is in time does": {
			row:   row{cron: hourly, created: "08:59", last: "09:00", now: "12:00:59"},
			rules: schema.Policy{CatchUp: schema.CatchUp{Policy: schema.CatchUpNone}}, want: "Skip 2 NotCaughtUp, Start 05-19 12:00", wake: "13:00"},
		"catch up on all: the oldest first": {
			row:   row{cron: hourly, created: "08:59", last: "09:00", now: "12:30"},
			rules: schema.Policy{CatchUp: schema.CatchUp{Policy: schema.CatchUpAll}}, want: "Start 05-19 10:00", wake: "13:00"},
		"catch up on all: no more than the limit": {
			row:   row{cron: hourly, created: "08:59", last: "09:00", now: "20:30"},
			rules: schema.Policy{CatchUp: schema.CatchUp{Policy: schema.CatchUpAll, Limit: 3}}, want: "Skip 8 Superseded, Start 05-19 18:00", wake: "21:00"},
		"queue: the first slot that finds a run waits for it": {
			row:   row{cron: hourly, policy: F, created: "08:59", last: "09:00", job: "active", now: "10:00:01"},
			rules: schema.Policy{Overlap: schema.OverlapQueue}, want: "HoldBack Blocked", wake: "11:00"},
		"queue: later ones change nothing": {
			row:   row{cron: hourly, policy: F, created: "08:59", last: "09:00", job: "active", now: "12:30"},
			rules: schema.Policy{Overlap: schema.OverlapQueue}, change: blockedSince("10:00"), want: "", wake: "13:00"},
		"queue: the oldest starts, those behind it are skipped": {
			row:   row{cron: hourly, policy: F, created: "08:59", last: "09:00", job: "done", now: "12:30"},
			rules: schema.Policy{Overlap: schema.OverlapQueue}, change: blockedSince("10:00"), want: "Forget run, Start 05-19 10:00, Skip 2 QueueFull", wake: "13:00"},
		"no queue: the latest starts": {
			row:    row{cron: hourly, policy: F, created: "08:59", last: "09:00", job: "done", now: "12:30"},
			change: blockedSince("10:00"), want: "Forget run, Skip 2 Superseded, Start 05-19 12:00", wake: "13:00"},
		"queue: the one that waits misses its deadline, the next one waits": {
			row:   row{cron: hourly, policy: F, created: "08:59", last: "09:00", job: "active", deadline: 4000, now: "11:30"},
			rules: schema.Policy{Overlap: schema.OverlapQueue}, change: blockedSince("10:00"), want: "Skip 1 DeadlineMissed, HoldBack Blocked", wake: "12:00"},
		"queue: the one that waits is closed by a new rule": {
			row:   row{cron: hourly, policy: F, created: "08:59", last: "09:00", job: "done", now: "12:30"},
			rules: schema.Policy{Overlap: schema.OverlapQueue, Exclude: christmas}, change: blockedSince("10:00"), want: "Forget run, HoldBack Excluded", wake: "13:00"},
		"queue: the one that waits is not due any more, for the clock was set back": {
			row:   row{cron: hourly, policy: F, created: "08:59", last: "09:00", job: "done", now: "11:30"},
			rules: schema.Policy{Overlap: schema.OverlapQueue}, change: blockedSince("12:00"), want: "Forget run, Skip 1 Superseded, Start 05-19 11:00", wake: "12:00"},
		"expected within: in time": {
			row:   row{cron: hourly, created: "08:59", last: "10:00", now: "10:20"},
			rules: schema.Policy{ExpectWithin: minutes(30)}, change: succeeded("09:10"), want: "", wake: "10:30"},
		"expected within: late": {
			row:   row{cron: hourly, created: "08:59", last: "10:00", now: "10:30"},
			rules: schema.Policy{ExpectWithin: minutes(30)}, change: succeeded("09:10"), want: "R317", wake: "11:00"},
		"expected within: on an excluded day nothing is": {
			row:   row{cron: hourly, created: "05-18 22:30", last: "05-18 23:00", now: "13:00:01"},
			rules: schema.Policy{Exclude: christmas, ExpectWithin: minutes(30)},
			change: func(p *Spec, s *State) {
				closedSince("00:00:01", "05-21 00:00", "holidays.ics")(p, s)
				succeeded("05-18 23:05")(p, s)
			}, want: "", wake: "05-21 00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.row.policy == "" {
				c.row.policy = batchv1.AllowConcurrent
			}
			spec, state := c.row.build()
			spec.Rules = c.rules
			if c.change != nil {
				c.change(&spec, &state)
			}
			d := Decide(spec, state, at(c.row.now))
			if got := describe(d); got != c.want {
				t.Errorf("decided %q, want %q", got, c.want)
			}
			var wake time.Time
			if c.wake != "" {
				wake = at(c.wake)
			}
			if !d.Wake.Equal(wake) {
				t.Errorf("wakes at %s, want %s", d.Wake, wake)
			}
		})
	}
}

func closedSince(since, until, by string) func(*Spec, *State) {
	return func(_ *Spec, s *State) {
		reason := Excluded
		if by != "holidays.ics" {
			reason = OutsideWindow
		}
		s.Cursor.Hold = &Hold{Reason: reason, Since: at(since), By: by}
		if until != "" {
			s.Cursor.Hold.Until = at(until)
		}
	}
}

func blockedSince(slot string) func(*Spec, *State) {
	return func(_ *Spec, s *State) { s.Cursor.Hold = &Hold{Reason: Blocked, Since: at(slot), By: "run"} }
}

func succeeded(when string) func(*Spec, *State) {
	return func(_ *Spec, s *State) { s.LastSuccess = at(when) }
}

func TestPolicyIsReadAsItIsWritten(t *testing.T) {
	p := schema.Policy{
		Names: []string{"billing"}, Origin: "policy.yaml:3", Jitter: minutes(5), NotAfter: at("12:00"),
		Exclude:        []schema.Days{{First: day("2026-12-24"), Last: day("2027-01-02")}, {First: day("2026-05-01"), Last: day("2026-05-01"), Source: "holidays.ics"}},
		Overlap:        schema.OverlapQueue,
		CatchUp:        schema.CatchUp{Policy: schema.CatchUpAll, Limit: 3},
		DaylightSaving: schema.DaylightSaving{Gap: schema.GapShift, Repeat: schema.RepeatLast},
		Pause:          &schema.PolicyPause{Until: at("13:00"), Reason: "ledger migration"},
		ExpectWithin:   minutes(90),

		ConcurrencyGroup: &schema.ConcurrencyGroup{Name: "warehouse", Limit: 2},
		Retries:          schema.Retries{Limit: 2, Backoff: minutes(1), MaxBackoff: minutes(10)},
	}
	got, err := schema.ParsePolicy(p.String())
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != p.String() {
		t.Errorf("read %s, written %s", got, p)
	}
}

func TestPolicyRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":                 `jitter: 5m`,
		"a rule of a newer rota":  `{"moonPhase": "full"}`,
		"an unknown overlap":      `{"overlap": "Wait"}`,
		"an unknown policy":       `{"catchUp": {"policy": "Some"}}`,
		"too many to catch up on": `{"catchUp": {"policy": "All", "limit": 101}}`,
		"an unknown gap":          `{"daylightSaving": {"gap": "Jump"}}`,
		"a negative jitter":       `{"jitter": "-5m"}`,
		"a day that is none":      `{"exclude": ["2026-02-30"]}`,
		"days back to front":      `{"exclude": ["2026-02-03/2026-02-01"]}`,
		"a pause that is none":    `{"pause": "till noon"}`,
		"a group without a name":  `{"concurrencyGroup": {"limit": 1}}`,
		"a group without a limit": `{"concurrencyGroup": {"name": "g"}}`,
		"negative retries":        `{"retries": {"limit": -1}}`,
		"too many retries":        `{"retries": {"limit": 10}}`,
		"a negative backoff":      `{"retries": {"limit": 1, "backoff": "-5m"}}`,
	} {
		if _, err := schema.ParsePolicy(text); err == nil {
			t.Errorf("%s: %s was read", name, text)
		}
	}
}

func TestDaysBeginWhereTheZoneSaysSo(t *testing.T) {
	for _, c := range []struct{ zone, day, want string }{
		{"Etc/UTC", "2026-12-24", "2026-12-24T00:00:00Z"},
		{"Europe/Berlin", "2026-12-24", "2026-12-24T00:00:00+01:00"},
		{"America/Havana", "2026-03-08", "2026-03-08T01:00:00-04:00"}, // no midnight
		{"Pacific/Apia", "2011-12-30", "2011-12-31T00:00:00+14:00"},   // no such day
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := day(c.day).Start(zone).Format(time.RFC3339); got != c.want {
			t.Errorf("%s begins in %s at %s, want %s", c.day, c.zone, got, c.want)
		}
	}
}

func TestClosuresThatOverlapAreCut(t *testing.T) {
	p := schema.Policy{NotBefore: at("05-10 12:00"), NotAfter: at("05-20 12:00"), Exclude: []schema.Days{
		{First: day("2016-05-20"), Last: day("2016-05-22")}, {First: day("2016-05-09"), Last: day("2016-05-10")},
		{First: day("2016-05-14"), Last: day("2016-05-16")}, {First: day("2016-05-15"), Last: day("2016-05-15")},
	}}
	cron, err := Parse(hourly, "")
	if err != nil {
		t.Fatal(err)
	}
	times := NewTimes(cron, p, "n/x")
	var end time.Time
	for i, c := range times.closed {
		if i > 0 && c.From.Before(end) {
			t.Errorf("%+v begins before %s", c, end)
		}
		end = c.Until
	}
	open := 0
	for slot := at("05-01 00:00"); slot.Before(at("05-30 00:00")); slot = slot.Add(time.Hour) {
		date := slot.Day()
		want := slot.Before(p.NotBefore) || slot.After(p.NotAfter) || date == 9 || date == 10 || date >= 14 && date <= 16 || date >= 20 && date <= 22
		if closed := times.At(slot) != nil; closed != want {
			t.Errorf("%s: closed is %t", slot, closed)
		}
		if !want {
			open++
		}
	}
	if n := times.CountOpen(at("05-01 00:00").Add(-1), at("05-30 00:00").Add(-1)); n != open {
		t.Errorf("counts %d open slots, the walk %d", n, open)
	}
}
