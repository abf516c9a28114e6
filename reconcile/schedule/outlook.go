package schedule

import (
	"fmt"
	"strings"
	"time"

	"rota.dev/rota/schema"
)

// Outlook is how one schedule stands.
type Outlook struct {
	Namespace, Name string
	Schedule, Zone  string
	// Words say the schedule in English; empty if it cannot be read.
	Words string
	// Location is the zone's, never nil.
	Location *time.Location
	// Next is when a run starts next, as things are; zero if none does.
	Next time.Time
	// Hold is what holds slots back now; nil if nothing does.
	Hold *Hold
	// Active are the names of the runs in status.active.
	Active []string
	// Last is the last resolution; nil if there is none.
	Last *Entry
	// Problems are those of the decision that is due now.
	Problems []*schema.Problem
	// Rules are those of SchedulePolicies, in words.
	Rules []string
	// Ours is false if the cluster's own controller is the scheduler.
	Ours bool
}

// OutlookOf says how the schedule of v stands; what is kept of it is h.
func OutlookOf(v View, h History, now time.Time) Outlook {
	cj := v.CronJob
	spec, state := specOf(cj), StateOf(v)
	o := Outlook{Namespace: cj.Namespace, Name: cj.Name, Schedule: cj.Spec.Schedule, Zone: zoneOf(cj), Location: time.UTC, Rules: spec.Rules.Rules(), Ours: Scheduled(cj)}
	for _, ref := range cj.Status.Active {
		o.Active = append(o.Active, ref.Name)
	}
	if n := len(h.Entries); n > 0 {
		last := h.Entries[n-1]
		o.Last = &last
	}
	if o.Ours {
		o.Problems = Decide(spec, state, now).Problems
	}
	if spec.Err != nil {
		return o
	}
	o.Location, o.Words = spec.Cron.Location(), spec.Cron.Words()
	ask := comingOf(state, now)
	ask.Most = 1
	if coming := spec.Coming(ask); len(coming) > 0 {
		o.Next = coming[0].Due
	}
	if !o.Ours {
		if spec.Borrowed {
			o.Hold, o.Next = &Hold{Reason: Suspended}, time.Time{}
		}
		return o
	}
	d := decider{spec: spec, now: now}
	d.heldBack()
	switch held := state.Cursor.Hold; {
	case !spec.Borrowed:
	case d.held != nil:
		hold := *d.held
		if held != nil && held.Reason == hold.Reason {
			hold.Since = held.Since
		}
		o.Hold = &hold
	case held != nil && !halts(held.Reason):
		hold := *held
		o.Hold = &hold
	}
	return o
}

// ComingOf returns what the CronJob of v asks for, whoever schedules it, and
// what of its record its coming fires depend on.
func ComingOf(v View, after time.Time) (Spec, Coming) {
	spec := specOf(v.CronJob)
	if !Scheduled(v.CronJob) {
		spec.Suspended = spec.Borrowed
	}
	return spec, comingOf(StateOf(v), after)
}

func comingOf(state State, after time.Time) Coming {
	return Coming{
		After:    after,
		Resolved: latest(state.Created, state.Cursor.Since, state.Cursor.Slot, state.LastSchedule),
		Anchor:   anchor(state.Cursor, latest(state.Cursor.Slot, state.LastSchedule)),
		Ran:      state.LastSchedule,
	}
}

// Describe says in a few words what holds a schedule back.
func (h Hold) Describe(zone *time.Location) string {
	text := string(h.Reason)
	if !h.Until.IsZero() {
		text += " until " + ShowTime(h.Until, zone)
	}
	if h.By != "" {
		text += " (" + h.By + ")"
	}
	return text
}

// ParseSlot reads a slot as people write it: RFC 3339, a date and time in zone,
// or a time of the day that now is in. Without seconds, and at a full minute,
// all of the minute is meant.
func ParseSlot(text string, zone *time.Location, now time.Time) (Span, error) {
	text = strings.TrimSpace(text)
	span := func(t time.Time) Span {
		if t.Second() == 0 && t.Nanosecond() == 0 {
			return Span{t, t.Add(time.Minute)}
		}
		return Span{t.Truncate(time.Second), t.Truncate(time.Second).Add(time.Second)}
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return span(t), nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			if t.Format(layout) != text {
				return Span{}, fmt.Errorf("%s does not exist in %s: the clocks are put forward then", text, zone)
			}
			return span(t), nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			y, m, d := now.In(zone).Date()
			return span(time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, zone)), nil
		}
	}
	return Span{}, fmt.Errorf("the time %q cannot be read: write it as 2026-12-01T08:00:00+01:00, as 2026-12-01T08:00 in %s, or as 08:00 of today", clip(text), zone)
}
