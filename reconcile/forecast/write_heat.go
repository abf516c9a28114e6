package forecast

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// shades are those of a cell without runs, and of few to many.
var shades = []rune("·░▒▓█")

// WriteHeat writes h for a terminal of 80 columns. It uses no colours, so that
// it reads the same in a file, and in black and white.
func WriteHeat(w io.Writer, h Heat) error {
	var b bytes.Buffer
	h.ruler(&b)
	most := 0
	for _, row := range h.Rows {
		for _, n := range row.Cells {
			most = max(most, n)
		}
	}
	for i, row := range h.Rows {
		if day := row.At.Format("Mon 2006-01-02 -07:00"); !h.Hourly && (i == 0 || day != h.Rows[i-1].At.Format("Mon 2006-01-02 -07:00")) {
			fmt.Fprintln(&b, day)
		}
		label, width := row.At.Format("  15:00 "), 1
		if h.Hourly {
			label, width = row.At.Format("Mon 01-02 "), 2
		}
		b.WriteString(label)
		for _, n := range row.Cells {
			b.WriteString(strings.Repeat(string(shadeOf(n, most)), width))
		}
		fmt.Fprintf(&b, " %d\n", row.Runs())
	}
	fmt.Fprintf(&b, "\n%s\n", legend(most))
	if len(h.Rows) > 0 {
		fmt.Fprintf(&b, "times are those of %s\n", h.Rows[0].At.Location())
	}
	if h.Busiest.Runs > 0 {
		fmt.Fprintf(&b, "busiest minute: %s, %s\n", clock(h.Busiest.At), counted(h.Busiest.Runs, "run"))
	}
	for _, g := range h.Groups {
		fmt.Fprintf(&b, "group %s, %d at a time: %s\n", g.Group, g.Limit, g.said())
	}
	_, err := w.Write(b.Bytes())
	return err
}

// ruler writes what the columns are.
func (h Heat) ruler(b *bytes.Buffer) {
	if h.Hourly {
		fmt.Fprint(b, "hour      ")
		for hour := 0; hour < 24; hour += 2 {
			fmt.Fprintf(b, "%-4s", fmt.Sprintf("%02d", hour))
		}
		fmt.Fprintln(b, " runs")
		return
	}
	fmt.Fprint(b, "minute  ")
	for minute := 0; minute < 60; minute += 10 {
		fmt.Fprintf(b, "%-10s", fmt.Sprintf(":%02d", minute))
	}
	fmt.Fprintln(b, " runs")
}

// levels are the most runs that each shade but the first stands for.
func levels(most int) []int {
	var tops []int
	for i := 1; i < len(shades); i++ {
		if top := (most*i + len(shades) - 2) / (len(shades) - 1); top > 0 && (len(tops) == 0 || top > tops[len(tops)-1]) {
			tops = append(tops, top)
		}
	}
	return tops
}

// shadeOf returns a blank for what is not asked for. The most runs always have
// the darkest shade.
func shadeOf(n, most int) rune {
	switch {
	case n < 0:
		return ' '
	case n == 0:
		return shades[0]
	}
	tops := levels(most)
	for i, top := range tops {
		if n <= top {
			return shades[len(shades)-len(tops)+i]
		}
	}
	return shades[len(shades)-1]
}

func legend(most int) string {
	parts := []string{string(shades[0]) + " none"}
	from := 1
	for _, top := range levels(most) {
		text := fmt.Sprintf("%c %d-%d", shadeOf(top, most), from, top)
		if from == top {
			text = fmt.Sprintf("%c %d", shadeOf(top, most), top)
		}
		parts = append(parts, text)
		from = top + 1
	}
	return strings.Join(parts, "   ")
}

func (c Crowding) said() string {
	if c.Minutes == 0 {
		return "never exceeded"
	}
	return fmt.Sprintf("exceeded in %s,\n  first by %s of %s", counted(c.Minutes, "minute"), counted(c.Runs, "run"), clock(c.First))
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
