package calendar

import (
	"strings"
	"testing"

	"rota.dev/rota/schema"
)

func event(lines ...string) string {
	return "BEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:Holiday\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\n"
}

func calendar(events ...string) []byte {
	return []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//EN\r\n" + strings.Join(events, "") + "END:VCALENDAR\r\n")
}

func parse(t *testing.T, text string) schema.Day {
	t.Helper()
	d, err := schema.ParseDay(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestReadFindsTheDaysOfEvents(t *testing.T) {
	from, until := parse(t, "2026-11-01"), parse(t, "2027-12-01")
	for name, c := range map[string]struct {
		data    []byte
		want    string
		ignored int
	}{
		"a day":                                 {calendar(event("DTSTART;VALUE=DATE:20261225")), "2026-12-25", 0},
		"a span, whose end is not part of it":   {calendar(event("DTSTART;VALUE=DATE:20261224", "DTEND;VALUE=DATE:20270102")), "2026-12-24/2027-01-01", 0},
		"a duration":                            {calendar(event("DTSTART;VALUE=DATE:20261224", "DURATION:P1W")), "2026-12-24/2026-12-30", 0},
		"neighbours are joined":                 {calendar(event("DTSTART;VALUE=DATE:20261226"), event("DTSTART;VALUE=DATE:20261225")), "2026-12-25/2026-12-26", 0},
		"a day of every year, from long ago":    {calendar(event("DTSTART;VALUE=DATE:19000501", "RRULE:FREQ=YEARLY")), "2027-05-01", 0},
		"the fourth Thursday of November":       {calendar(event("DTSTART;VALUE=DATE:20201126", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH")), "2026-11-26 2027-11-25", 0},
		"a rule with an end":                    {calendar(event("DTSTART;VALUE=DATE:20261102", "RRULE:FREQ=WEEKLY;UNTIL=20261116")), "2026-11-02 2026-11-09 2026-11-16", 0},
		"a rule with a count, from before":      {calendar(event("DTSTART;VALUE=DATE:20261026", "RRULE:FREQ=WEEKLY;COUNT=3")), "2026-11-02 2026-11-09", 0},
		"a day left out, and one more":          {calendar(event("DTSTART;VALUE=DATE:20261102", "RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE;VALUE=DATE:20261109", "RDATE;VALUE=DATE:20261120")), "2026-11-02 2026-11-16 2026-11-20", 0},
		"a span that began before":              {calendar(event("DTSTART;VALUE=DATE:20261029", "DTEND;VALUE=DATE:20261103")), "2026-11-01/2026-11-02", 0},
		"one that was cancelled":                {calendar(event("DTSTART;VALUE=DATE:20261225", "STATUS:CANCELLED")), "", 0},
		"a repetition that was moved":           {calendar(event("DTSTART;VALUE=DATE:20261102", "RRULE:FREQ=WEEKLY;COUNT=2"), event("DTSTART;VALUE=DATE:20261111", "RECURRENCE-ID;VALUE=DATE:20261109")), "2026-11-02 2026-11-11", 0},
		"a time of day is no day":               {calendar(event("DTSTART:20261225T100000Z", "DTEND:20261225T110000Z")), "", 1},
		"a rule that matches nothing":           {calendar(event("DTSTART;VALUE=DATE:20260101", "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")), "", 0},
		"an event beyond what is asked for":     {calendar(event("DTSTART;VALUE=DATE:20271201")), "", 0},
		"no event":                              {calendar(), "", 0},
		"a line that is folded, as by programs": {[]byte(strings.Replace(string(calendar(event("DTSTART;VALUE=DATE:20261225"))), "SUMMARY:Holi", "SUMMARY:Ho\r\n li", 1)), "2026-12-25", 0},
	} {
		t.Run(name, func(t *testing.T) {
			days, ignored, err := Read(c.data, from, until)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range days {
				got = append(got, d.String())
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("read %q, want %q", text, c.want)
			}
			if len(ignored) != c.ignored {
				t.Errorf("ignored %q", ignored)
			}
		})
	}
}

func TestReadRefusesWhatItCannotRead(t *testing.T) {
	from, until := parse(t, "2026-11-01"), parse(t, "2027-12-01")
	for name, data := range map[string][]byte{
		"no calendar":            []byte("a: b\n"),
		"nothing":                nil,
		"an event without a day": calendar(event("DESCRIPTION:x")),
		"a day that is none":     calendar(event("DTSTART;VALUE=DATE:20260230")),
		"a rule that is none":    calendar(event("DTSTART;VALUE=DATE:20260201", "RRULE:FREQ=SOMETIMES")),
		"a rule of seconds":      calendar(event("DTSTART;VALUE=DATE:20260201", "RRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30")),
		"a duration of hours":    calendar(event("DTSTART;VALUE=DATE:20260201", "DURATION:PT1H")),
		"days without number":    calendar(strings.Repeat(event("DTSTART;VALUE=DATE:20260201", "RRULE:FREQ=DAILY"), 100)),
	} {
		if days, _, err := Read(data, from, until); err == nil {
			t.Errorf("%s: it was read as %v", name, days)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(calendar(event("DTSTART;VALUE=DATE:20261102", "RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE;VALUE=DATE:20261109")))
	f.Add(calendar(event("DTSTART;VALUE=DATE:00010101", "RRULE:FREQ=DAILY;INTERVAL=0;BYYEARDAY=366")))
	f.Fuzz(func(t *testing.T, data []byte) {
		from, until := schema.Day{Year: 2026, Month: 11, Day: 1}, schema.Day{Year: 2027, Month: 12, Day: 1}
		days, _, err := Read(data, from, until)
		if err != nil {
			return
		}
		for i, d := range days {
			if d.First.Compare(from) < 0 || d.Last.Compare(until) >= 0 || i > 0 && d.First.Compare(days[i-1].Last) <= 0 {
				t.Fatalf("days out of bounds or order: %v", days)
			}
		}
	})
}
