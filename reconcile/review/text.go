package review

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"rota.dev/rota/reconcile/forecast"
	"rota.dev/rota/schema"
)

// textColumns is the width that the changes of schedules fit in.
const textColumns = 80

// writeText writes the entries of the plan, the changes of schedules, and the
// totals on the last line. Warnings are for stderr.
func writeText(w io.Writer, r Review) error {
	if text := r.assumption(); text != "" {
		if _, err := fmt.Fprintln(w, schema.Harmless(text)); err != nil {
			return err
		}
	}
	if err := r.Plan.WriteEntries(w); err != nil {
		return err
	}
	_, err := io.WriteString(w, schema.Harmless(timesText(r.Times))+r.Plan.Totals().String()+"\n")
	return err
}

// timesText is the part of the text that shows schedules as times; empty if
// none changes.
func timesText(c forecast.Comparison) string {
	if len(c.Changes) == 0 && len(c.Limits) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteByte('\n')
	for i, change := range c.Changes {
		if i == mostSchedules {
			fmt.Fprintf(&b, "and %d schedules more, which -o json lists\n\n", len(c.Changes)-i)
			break
		}
		changeText(&b, change)
		b.WriteByte('\n')
	}
	if busierSaid(c) {
		b.WriteString("Busiest minutes of the coming week\n")
		columnsText(&b, "before", "after", rowsOf(minutes(c.Before), minutes(c.After), func(s string) string { return s }))
		b.WriteByte('\n')
	}
	for i, e := range c.Limits {
		wrapText(&b, "! ", exceeded(e, func(s string) string { return s }))
		if i == len(c.Limits)-1 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func changeText(b *strings.Builder, c forecast.Change) {
	quoted := func(s string) string {
		if strings.Contains(s, " ") || strings.HasPrefix(s, "@") {
			return fmt.Sprintf("%q", s)
		}
		return s
	}
	wrapText(b, "", fmt.Sprintf("CronJob %s/%s: %s", c.Namespace, c.Name, heading(c, quoted)))
	for _, n := range notes(c) {
		wrapText(b, "  ", n.label+": "+n.text)
	}
	columnsText(b, "next runs before", "next runs after", rowsOf(next(c.Before), next(c.After), func(t time.Time) string { return both(t) }))
}

// columnsText writes rows of two columns under their titles. A column that is
// empty is left out, with its title.
func columnsText(b *strings.Builder, before, after string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	wide := utf8.RuneCountInString(before)
	has := [2]bool{}
	for _, row := range rows {
		wide = max(wide, utf8.RuneCountInString(row[0]))
		has[0], has[1] = has[0] || row[0] != "", has[1] || row[1] != ""
	}
	for _, row := range append([][2]string{{before, after}}, rows...) {
		line := row[0]
		switch {
		case !has[0]:
			line = row[1]
		case has[1]:
			line = fmt.Sprintf("%-*s  %s", wide, row[0], row[1])
		}
		fmt.Fprintf(b, "  %s\n", strings.TrimRight(line, " "))
	}
}

// wrapText writes text in lines of textColumns, the second and further ones
// further in.
func wrapText(b *strings.Builder, indent, text string) {
	line := indent
	for i, word := range strings.Split(text, " ") {
		word = strings.ReplaceAll(word, noBreak, " ")
		switch {
		case i == 0:
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > textColumns:
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", len(indent)) + "    " + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line + "\n")
}
