package calendar

import (
	"io"
	"time"

	ics "github.com/arran4/golang-ical"
)

// Event is a moment in a calendar that is written.
type Event struct {
	// UID tells a program that reads the calendar again which event this is.
	UID string
	// At is when it is.
	At time.Time
	// Summary is its one line, Description the rest.
	Summary, Description string
}

// Write writes events as iCalendar (RFC 5545). Stamp is when the calendar was
// made, by which a program tells which of two is newer. The events take no
// time, so that they make nobody busy.
func Write(w io.Writer, events []Event, stamp time.Time) error {
	c := ics.NewCalendar()
	c.SetProductId("-//rota//next//EN")
	c.SetMethod(ics.MethodPublish)
	for _, e := range events {
		event := c.AddEvent(e.UID)
		event.SetDtStampTime(stamp)
		event.SetStartAt(e.At)
		event.SetTimeTransparency(ics.TransparencyTransparent)
		event.SetSummary(e.Summary)
		event.SetDescription(e.Description)
	}
	return c.SerializeTo(w, ics.WithNewLineWindows)
}
