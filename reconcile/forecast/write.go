package forecast

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"rota.dev/rota/render/calendar"
	"rota.dev/rota/schema"
)

// View says how times are shown.
type View struct {
	// Zone is that of all times; nil shows each in the zone of its schedule.
	Zone *time.Location
	// Now is what durations count from.
	Now time.Time
}

func (v View) in(t time.Time) time.Time {
	if v.Zone != nil {
		return t.In(v.Zone)
	}
	return t
}

// Writer writes fires.
type Writer func(io.Writer, []Fire, View) error

// WriteTable writes fires as a table for people, a line each.
func WriteTable(w io.Writer, fires []Fire, v View) error {
	var text bytes.Buffer
	t := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "STARTS\tIN\tCRONJOB\tZONE\tNOTE")
	for _, f := range fires {
		at := v.in(f.At())
		in := "-"
		if f.Reason == "" {
			in = span(at.Sub(v.Now))
		}
		fmt.Fprintf(t, "%s\t%s\t%s/%s\t%s\t%s\n", clock(at), in, f.Namespace, f.Name, at.Location(), f.note(v))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	// A line without a note is padded up to it.
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// note says what is not plain from the time.
func (f Fire) note(v View) string {
	switch {
	case f.Reason != "" && f.By != "":
		return fmt.Sprintf("does not run: %s (%s)", f.Reason, f.By)
	case f.Reason != "":
		return "does not run: " + string(f.Reason)
	}
	var notes []string
	if !f.Due.Equal(f.Slot) {
		notes = append(notes, "of the slot "+clock(v.in(f.Slot)))
	}
	if g := f.Schedule.Rules.ConcurrencyGroup; g != nil && f.Crowd > int(g.Limit) {
		notes = append(notes, fmt.Sprintf("%d of the group %s are due, %d at a time", f.Crowd, g.Name, g.Limit))
	}
	return strings.Join(notes, "; ")
}

// clock shows seconds only where there are any. The offset is there since an
// hour comes twice when clocks are put back.
func clock(t time.Time) string {
	if t.Second() != 0 {
		return t.Format("Mon 2006-01-02 15:04:05 -07:00")
	}
	return t.Format("Mon 2006-01-02 15:04 -07:00")
}

// span shows a duration by its two largest units.
func span(d time.Duration) string {
	d = max(d.Round(time.Second), 0)
	days, hours, minutes, seconds := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}

// mostNames is how many CronJobs a busy minute names.
const mostNames = 5

// WriteBusiest writes the minutes in which most runs start.
func WriteBusiest(w io.Writer, minutes []Minute, v View) error {
	if len(minutes) == 0 {
		_, err := fmt.Fprintln(w, "no two runs start in the same minute")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "MINUTE\tRUNS\tCRONJOBS")
	for _, m := range minutes {
		fmt.Fprintf(t, "%s\t%d\t%s\n", clock(v.in(m.At)), m.Runs, shortened(m.CronJobs))
	}
	return t.Flush()
}

// item is a fire as JSON has it.
type item struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Slot      string `json:"slot"`
	Starts    string `json:"starts,omitempty"`
	Reason    string `json:"reason,omitempty"`
	By        string `json:"by,omitempty"`
	Schedule  string `json:"schedule"`
	TimeZone  string `json:"timeZone"`
	Words     string `json:"words"`
	Origin    string `json:"origin,omitempty"`
	Group     *crowd `json:"concurrencyGroup,omitempty"`
}

// crowd is the concurrency group of a run, and how many of it start then.
type crowd struct {
	Name  string `json:"name"`
	Limit int64  `json:"limit"`
	Runs  int    `json:"runs"`
}

// WriteJSON writes fires as a FireList. Times are RFC 3339 with the offset of
// their zone.
func WriteJSON(w io.Writer, fires []Fire, v View) error {
	items := make([]item, 0, len(fires))
	for _, f := range fires {
		i := item{
			Namespace: f.Namespace, Name: f.Name, Slot: v.in(f.Slot).Format(time.RFC3339), Reason: string(f.Reason), By: f.By,
			Schedule: f.Schedule.Schedule, TimeZone: f.Slot.Location().String(), Words: f.Schedule.Cron.Words(), Origin: f.Schedule.Origin.String(),
		}
		if f.Reason == "" {
			i.Starts = v.in(f.Due).Format(time.RFC3339)
			if g := f.Schedule.Rules.ConcurrencyGroup; g != nil {
				i.Group = &crowd{g.Name, g.Limit, f.Crowd}
			}
		}
		items = append(items, i)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"apiVersion": schema.APIVersion, "kind": "FireList", "items": items})
}

// WriteICS writes the runs that start as iCalendar. The same run has the same
// UID however often it is written, so that a program that subscribes moves an
// event and does not double it.
func WriteICS(w io.Writer, fires []Fire, v View) error {
	var events []calendar.Event
	for _, f := range fires {
		if f.Reason != "" {
			continue
		}
		lines := []string{f.Schedule.Schedule + ": " + f.Schedule.Cron.Words()}
		if note := f.note(v); note != "" {
			lines = append(lines, note)
		}
		if at := f.Schedule.Origin.String(); at != "" {
			lines = append(lines, at)
		}
		events = append(events, calendar.Event{
			UID: fmt.Sprintf("%d.%s.%s@rota.dev", f.Slot.Unix(), f.Name, f.Namespace), At: f.Due,
			Summary: f.Namespace + "/" + f.Name, Description: strings.Join(lines, "\n"),
		})
	}
	return calendar.Write(w, events, v.Now)
}
