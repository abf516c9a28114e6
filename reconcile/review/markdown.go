package review

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"rota.dev/rota/reconcile/forecast"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

const (
	// mostComment is how many characters, which are Unicode code points, GitHub
	// takes in the body of a comment.
	mostComment = 65536
	// mostTail is kept free for what says what was left out.
	mostTail = 1000
	// mostWarnings is how many warnings of the repository are shown.
	mostWarnings = 10
)

// Marker is the first line of the markdown output, which a comment is found by
// again to be updated in place. It is not shown.
func Marker(sync string) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, sync)
	return "<!-- rota:plan " + cmp.Or(strings.ReplaceAll(safe, "--", "-_"), "_") + " -->"
}

// writeMarkdown writes a review as one comment of a pull request: the marker,
// the counts, the effects, the schedules as times, and folded diffs. What is
// the repository's is in code spans and fences only, where nothing is markup, a
// mention or a reference.
func writeMarkdown(w io.Writer, r Review) error {
	_, err := io.WriteString(w, r.comment(mostComment))
	return err
}

// comment returns the comment of at most so many characters.
func (r Review) comment(limit int) string {
	s := sheet{room: limit - mostTail}
	s.add(Marker(r.Sync) + "\n**" + r.Plan.Totals().String() + "**\n\n")
	if r.Against != "" {
		s.add("Compared with " + code(plan.ShortRevision(r.Against)) + ": it is taken as applied, and its Jobs as ended.\n\n")
	}
	var left []string
	note := func(n int, one, many string) {
		switch {
		case n == 1:
			left = append(left, "1 "+one)
		case n > 1:
			left = append(left, fmt.Sprintf("%d %s", n, many))
		}
	}
	// Effects and schedules leave room for each other and for some diffs.
	note(s.list("", r.effects(), s.room*2/5), "effect", "effects")
	note(s.list("\n### Schedules\n\n", timesBlocks(r.Times), s.room*4/5), "change of a schedule", "changes of schedules")
	note(s.list("\n### Warnings\n\n", r.warnings(), s.room*9/10), "warning", "warnings")
	diffs, lines := s.details(r.details())
	note(diffs, "diff", "diffs")
	note(lines, "line of a diff", "lines of a diff")
	if len(left) > 0 {
		again := r.Again
		if utf8.RuneCountInString(again) > mostCode {
			again = "rota plan"
		}
		s.room = limit
		s.add("\nLeft out, for a comment has " + fmt.Sprint(limit) + " characters at most: " + strings.Join(left, ", ") + ". All of it has " + code(again+" -o json") + ".\n")
	}
	return s.text.String()
}

// sheet is a text with room for so many characters.
type sheet struct {
	text       strings.Builder
	size, room int
}

// add adds a block if there is room for it.
func (s *sheet) add(block string) bool { return s.addWithin(block, s.room) }

func (s *sheet) addWithin(block string, room int) bool {
	n := utf8.RuneCountInString(block)
	if s.size+n > room {
		return false
	}
	s.size += n
	s.text.WriteString(block)
	return true
}

// list adds blocks under a title up to so many characters of the whole, and
// returns how many it left out.
func (s *sheet) list(title string, blocks []string, room int) int {
	for i, b := range blocks {
		if i == 0 {
			b = title + b
		}
		if !s.addWithin(b, room) {
			return len(blocks) - i
		}
	}
	return 0
}

// detail is a diff that is folded, and how many more like it are not shown.
type detail struct {
	title, diff string
	more        int
}

// details adds folded diffs. The first that there is no room for is cut at an
// end of a line; it returns how many diffs it left out, and how many lines of
// the one that it cut.
func (s *sheet) details(all []detail) (diffs, lines int) {
	for i, d := range all {
		if i == 0 {
			s.add("\n")
		}
		if s.add(d.block(len(d.diff))) {
			continue
		}
		end, free := 0, s.room-s.size-utf8.RuneCountInString(d.block(0))
		for line := range strings.Lines(d.diff) {
			if free -= utf8.RuneCountInString(line); free < 0 {
				break
			}
			end += len(line)
		}
		if strings.Count(d.diff[:end], "\n") < 4 {
			// Its first lines only name it.
			return len(all) - i, 0
		}
		s.add(d.block(end))
		return len(all) - i - 1, strings.Count(d.diff[end:], "\n")
	}
	return 0, 0
}

// block returns the folded diff up to a byte, which is behind an end of a line.
func (d detail) block(end int) string {
	fence := strings.Repeat("`", max(3, longestRun(d.diff)+1))
	more := ""
	if d.more > 0 {
		more = fmt.Sprintf(" and %d more that fare alike", d.more)
	}
	return "<details><summary><code>" + html.EscapeString(d.title) + "</code>" + more + "</summary>\n\n" +
		fence + "diff\n" + d.diff[:end] + fence + "\n\n</details>\n"
}

// details returns the diffs of all that changes; of many objects that fare
// alike, those of the first few.
func (r Review) details() []detail {
	var all []detail
	for _, e := range r.Plan.Entries() {
		for _, g := range e.Groups {
			var some []detail
			for _, c := range g.Changes {
				diff := schema.Harmless(r.Diffs[c.Key])
				if diff != "" && !strings.HasSuffix(diff, "\n") {
					diff += "\n"
				}
				if diff != "" {
					some = append(some, detail{title: oneLine(c.Key.String()), diff: diff})
				}
			}
			if n := len(some); n > mostExamples {
				some = some[:mostExamples]
				some[mostExamples-1].more = n - mostExamples
			}
			all = append(all, some...)
		}
	}
	return all
}

// effects returns a list item for each entry of the plan, what is refused first.
func (r Review) effects() []string {
	entries := r.Plan.Entries()
	refused := func(e plan.Entry) int {
		if slices.ContainsFunc(e.Groups, func(g plan.Group) bool { return g.Changes[0].Op == plan.Refuse }) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(entries, func(a, b plan.Entry) int { return cmp.Compare(refused(a), refused(b)) })
	var blocks []string
	for _, e := range entries {
		summary := e.Summary()
		if summary == "" {
			blocks = append(blocks, groupItem("", e.Groups[0], e.Expansion))
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "- %s %s\n", code(e.Expansion), code(summary))
		for _, g := range e.Groups {
			b.WriteString(groupItem("  ", g, ""))
		}
		blocks = append(blocks, b.String())
	}
	return blocks
}

// mostExamples is how many members of a group are shown where their effects
// differ.
const mostExamples = 3

func groupItem(indent string, g plan.Group, from string) string {
	var b strings.Builder
	first := g.Changes[0]
	fmt.Fprintf(&b, "%s- %s %s\n", indent, code(g.What(from)), sentence(g.Effect()))
	if g.Effect() == first.Effect {
		problemItem(&b, indent+"  ", first.Problem)
		return b.String()
	}
	for i, c := range g.Changes {
		if i == mostExamples {
			fmt.Fprintf(&b, "%s  - and %d more\n", indent, len(g.Changes)-i)
			break
		}
		fmt.Fprintf(&b, "%s  - %s %s\n", indent, code(c.Key.String()), sentence(c.Effect))
		problemItem(&b, indent+"    ", c.Problem)
	}
	return b.String()
}

func problemItem(b *strings.Builder, indent string, p *schema.Problem) {
	if p == nil {
		return
	}
	at := ""
	if p.Origin.File != "" {
		at = "at " + code(p.Origin.String()) + " "
	}
	where := strings.TrimSpace(at + rule(p))
	if where != "" {
		fmt.Fprintf(b, "%s- %s\n", indent, where)
	}
	if p.Mend != "" {
		fmt.Fprintf(b, "%s- mend: %s\n", indent, code(p.Mend))
	}
}

// rule names the rule of a problem, if it has one.
func rule(p *schema.Problem) string {
	if p.Rule == "" {
		return ""
	}
	return "[" + p.Rule + "]"
}

// plainWords are words that nothing can be made of.
var plainWords = regexp.MustCompile(`^[a-z]+(,? [a-z]+)*$`)

// sentence shows an effect: what happens in bold, and what may be the
// repository's words as code.
func sentence(effect string) string {
	end := strings.IndexAny(effect, `:(;"`)
	if end < 0 {
		end = len(effect)
	}
	head := strings.TrimRight(effect[:end], " ,")
	if !plainWords.MatchString(head) {
		return code(effect)
	}
	rest := strings.TrimSpace(strings.TrimLeft(effect[end:], ":;, "))
	if verb, ok := strings.CutSuffix(head, " from"); ok {
		head, rest = verb, "from "+rest
	}
	if rest == "" {
		return "**" + head + "**"
	}
	return "**" + head + "** " + code(rest)
}

func (r Review) warnings() []string {
	var blocks []string
	for i, p := range r.Warnings {
		if i == mostWarnings {
			blocks = append(blocks, fmt.Sprintf("- and %d more\n", len(r.Warnings)-i))
			break
		}
		at := ""
		if p.Origin.File != "" {
			at = code(p.Origin.String()) + " "
		}
		blocks = append(blocks, fmt.Sprintf("- %s%s %s\n", at, code(p.Message), rule(p)))
	}
	return blocks
}

// timesBlocks shows each changed schedule, then what concerns all of them.
func timesBlocks(c forecast.Comparison) []string {
	if len(c.Changes) == 0 && len(c.Limits) == 0 {
		return nil
	}
	var blocks []string
	for i, change := range c.Changes {
		if i == mostSchedules {
			blocks = append(blocks, fmt.Sprintf("and %d schedules more\n\n", len(c.Changes)-i))
			break
		}
		blocks = append(blocks, timesBlock(change))
	}
	if busierSaid(c) {
		blocks = append(blocks, "Busiest minutes of the coming week:\n\n"+table(column{"before", minutes(c.Before)}, column{"after", minutes(c.After)})+"\n")
	}
	for _, e := range c.Limits {
		blocks = append(blocks, "- "+exceeded(e, code)+"\n")
	}
	return blocks
}

func timesBlock(c forecast.Change) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", code("CronJob "+c.Namespace+"/"+c.Name), heading(c, code))
	for _, n := range notes(c) {
		text := strings.ReplaceAll(n.text, noBreak, " ")
		if n.quoted {
			text = code(text)
		}
		fmt.Fprintf(&b, "- %s: %s\n", n.label, text)
	}
	before, after := next(c.Before), next(c.After)
	if len(before)+len(after) > 0 {
		b.WriteByte('\n')
		b.WriteString(table(column{"next runs before", each(before, local)}, column{"in UTC", each(before, utc)},
			column{"next runs after", each(after, local)}, column{"in UTC", each(after, utc)}))
	}
	return b.String() + "\n"
}

func each(times []time.Time, show func(time.Time) string) []string {
	var cells []string
	for _, t := range times {
		cells = append(cells, show(t))
	}
	return cells
}

// column is one of a table, from the top.
type column struct {
	title string
	cells []string
}

func (c column) empty() bool {
	return !slices.ContainsFunc(c.cells, func(cell string) bool { return cell != "" })
}

// table writes columns; those without anything in them are left out.
func table(columns ...column) string {
	columns = slices.DeleteFunc(columns, column.empty)
	rows := make([]string, 2)
	for _, c := range columns {
		rows[0] += "| " + c.title + " "
		rows[1] += "|---"
		for len(rows) < 2+len(c.cells) {
			rows = append(rows, "")
		}
	}
	for i := range rows[2:] {
		for _, c := range columns {
			cell := ""
			if i < len(c.cells) {
				cell = c.cells[i]
			}
			rows[i+2] += "| " + cell + " "
		}
	}
	return strings.Join(rows, "|\n") + "|\n"
}

// mostCode is how many characters of one text of the repository are shown in a
// line.
const mostCode = 300

// code returns text as a code span, in which nothing is markup: delimited by
// more backticks than it has in a row, on one line, and cut if it is long.
func code(text string) string {
	text = oneLine(text)
	if utf8.RuneCountInString(text) > mostCode {
		text = string([]rune(text)[:mostCode]) + "…"
	}
	if strings.TrimSpace(text) == "" {
		return "(empty)"
	}
	ticks := strings.Repeat("`", longestRun(text)+1)
	if ticks != "`" || text[0] == ' ' && text[len(text)-1] == ' ' {
		// One space at each end belongs to the delimiters.
		text = " " + text + " "
	}
	return ticks + text + ticks
}

func oneLine(text string) string {
	return strings.ReplaceAll(schema.Harmless(text), "\n", " ")
}

// longestRun returns how many backticks text has in a row at most.
func longestRun(text string) int {
	longest, run := 0, 0
	for _, r := range text {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}
