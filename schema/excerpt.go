package schema

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Excerpts print problems for a person: each with the line of the file that it
// is about, and a caret below the place, through a template to both its line
// and that of the item. The zero value prints them without.
type Excerpts struct {
	// Read returns the content of a file of the repository; nil shows no lines.
	Read func(file string) ([]byte, error)
	// Color marks the caret for a terminal.
	Color bool
}

// excerptColumns is how many columns of a line are shown; of a longer one
// those around the caret.
const excerptColumns = 100

// Text returns what [Problem.Error] does, with the lines before the mend.
func (e Excerpts) Text(p *Problem) string {
	text := p.Error()
	if e.Read == nil {
		return text
	}
	lines := e.lines(p.Origin.File, p.Origin.Line, p.Origin.Column, p.Severity)
	if p.Origin.Template != "" && p.Origin.TemplateLine > 0 {
		shown := e.lines(p.Origin.Template, p.Origin.TemplateLine, 0, p.Severity)
		if shown != "" && p.Origin.Template != p.Origin.File {
			shown = "  in " + Harmless(path.Clean(p.Origin.Template)) + "\n" + shown
		}
		lines += shown
	}
	if lines == "" {
		return text
	}
	head, mend, found := strings.Cut(text, "\n  mend: ")
	text = head + "\n" + strings.TrimSuffix(lines, "\n")
	if found {
		text += "\n  mend: " + mend
	}
	return text
}

// Write prints problems as the text form of [ProblemWriters] does, with the
// lines.
func (e Excerpts) Write(w io.Writer, problems []*Problem, objects int) error {
	problems = WithoutIgnored(problems)
	errs := 0
	for _, p := range problems {
		if p.Severity != SeverityWarning {
			errs++
		}
		if _, err := fmt.Fprintln(w, e.Text(p)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d objects, %d errors, %d warnings\n", objects, errs, len(problems)-errs)
	return err
}

// lines returns a line of a file and the caret below it; without a column the
// caret is below the first letter. It is empty if there is no such line.
func (e Excerpts) lines(file string, line, column int, severity Severity) string {
	if file == "" || line < 1 {
		return ""
	}
	data, err := e.Read(file)
	if err != nil {
		return ""
	}
	text, ok := lineOf(data, line)
	if !ok {
		return ""
	}
	if column < 1 {
		column = 1 + utf8.RuneCountInString(text) - utf8.RuneCountInString(strings.TrimLeft(text, " \t"))
	}
	shown, at := window(text, column)
	number := strconv.Itoa(line)
	caret := "^"
	if e.Color {
		caret = map[bool]string{false: "\x1b[1;31m^\x1b[0m", true: "\x1b[1;33m^\x1b[0m"}[severity == SeverityWarning]
	}
	return fmt.Sprintf("  %s | %s\n  %s | %s%s\n", number, shown, strings.Repeat(" ", len(number)), strings.Repeat(" ", at), caret)
}

// lineOf returns a line of data, counted from 1, without its end.
func lineOf(data []byte, line int) (string, bool) {
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	for range line - 1 {
		end := lineEnd.FindIndex(data)
		if end == nil {
			return "", false
		}
		data = data[end[1]:]
	}
	if end := lineEnd.FindIndex(data); end != nil {
		data = data[:end[0]]
	}
	return string(data), true
}

// window returns text as it is shown, and the number of terminal columns
// before the code point that column, from 1, names. Tabs become spaces, and a
// long text is cut on both sides of that place.
func window(text string, column int) (string, int) {
	var cells []string
	var widths []int
	before, total, place := 0, 0, 0
	for i, r := 0, []rune(text); i <= len(r); i++ {
		if i == column-1 || i == len(r) && column-1 > i {
			before, place = total, i
		}
		if i == len(r) {
			break
		}
		cell := "    "
		if r[i] != '\t' {
			cell = visible(r[i])
		}
		n := columns(cell)
		cells, widths, total = append(cells, cell), append(widths, n), total+n
	}
	if total <= excerptColumns {
		return strings.TrimRight(strings.Join(cells, ""), " "), before
	}
	first, last := place, place
	for room := excerptColumns - 2; ; {
		grown := false
		if last < len(cells) && widths[last] <= room {
			room, last, grown = room-widths[last], last+1, true
		}
		// Two thirds of the window are left for what follows the place.
		if first > 0 && widths[first-1] <= room && place-first <= (last-place)/2 {
			room, first, grown = room-widths[first-1], first-1, true
		} else if first > 0 && widths[first-1] <= room && last == len(cells) {
			room, first, grown = room-widths[first-1], first-1, true
		}
		if !grown {
			break
		}
	}
	at := 0
	for _, n := range widths[first:place] {
		at += n
	}
	shown := strings.Join(cells[first:last], "")
	if first > 0 {
		shown, at = "…"+shown, at+1
	}
	if last < len(cells) {
		shown += "…"
	}
	return shown, at
}

// columns returns how many columns of a terminal a text takes.
func columns(text string) int {
	n := 0
	for _, r := range text {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// visible returns r, or a sign in its place if a terminal would act on it:
// control characters become their pictures, what turns the direction of
// writing or is no character at all the sign of replacement.
func visible(r rune) string {
	switch {
	case r < ' ':
		return string('\u2400' + r)
	case r == 0x7f:
		return "\u2421"
	case r >= 0x80 && r < 0xa0, unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
		return "\ufffd"
	}
	return string(r)
}

// Harmless returns text with nothing in it that a terminal would act on but
// ends of lines, and no bytes that are no UTF-8. What is safe, which is nearly
// all, is returned as it is.
func Harmless(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	safe := func(r rune) bool { return r == '\n' || visible(r) == string(r) }
	if strings.IndexFunc(text, func(r rune) bool { return !safe(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if safe(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(visible(r))
		}
	}
	return b.String()
}
