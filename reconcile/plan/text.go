package plan

import (
	"fmt"
	"io"
	"strings"

	"rota.dev/rota/schema"
)

// WriteText writes p for people: an entry for each change but those of objects
// that stay as they are, and the totals last. Nothing in it is what a terminal
// would act on. The error is w's.
func (p Plan) WriteText(w io.Writer) error {
	if err := p.WriteEntries(w); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, p.Totals())
	return err
}

// WriteEntries writes what WriteText does, but for the totals.
func (p Plan) WriteEntries(w io.Writer) error {
	var b strings.Builder
	for _, e := range p.Entries() {
		e.write(&b)
	}
	_, err := io.WriteString(w, schema.Harmless(b.String()))
	return err
}

// String returns what WriteText writes.
func (p Plan) String() string {
	var b strings.Builder
	_ = p.WriteText(&b) // a strings.Builder cannot fail
	return b.String()
}

// symbols stand before a line, in a column of three.
var symbols = map[Op]string{
	Create: "+", Update: "~", Replace: "-/+", Delete: "-", Keep: "=", Wait: "...", Refuse: "!",
}

// Symbol is the sign that stands before what has this op.
func (o Op) Symbol() string { return symbols[o] }

// mostExamples is how many members of a group are shown where their effects
// differ.
const mostExamples = 3

func (e Entry) write(b *strings.Builder) {
	summary := e.Summary()
	if summary == "" {
		for _, g := range e.Groups {
			g.write(b, "", e.Expansion)
		}
		return
	}
	fmt.Fprintf(b, "%-3s %s: %s\n", symbols[Update], e.Expansion, summary)
	for _, g := range e.Groups {
		g.write(b, "    ", "")
	}
}

// write writes g as it is told; from names the Expansion if nothing above does.
func (g Group) write(b *strings.Builder, indent, from string) {
	first := g.Changes[0]
	fmt.Fprintf(b, "%s%-3s %s: %s\n", indent, symbols[first.Op], g.What(from), g.Effect())
	if g.sameEffect() {
		writeProblem(b, indent, first.Problem)
		return
	}
	for i, c := range g.Changes {
		if i == mostExamples {
			fmt.Fprintf(b, "%s      and %d more\n", indent, len(g.Changes)-i)
			break
		}
		fmt.Fprintf(b, "%s      %s: %s\n", indent, c.Key, c.Effect)
		writeProblem(b, indent, c.Problem)
	}
}

// What names the objects of g: one as people write it, more by their number,
// the Expansion that they are from (unless from is empty) and some of their
// names.
func (g Group) What(from string) string {
	first := g.Changes[0]
	if len(g.Changes) == 1 {
		return first.Key.String()
	}
	what := count(int64(len(g.Changes)), first.Key.Kind)
	if first.Reason == ReasonPruneGuard {
		what = count(int64(len(g.Changes)), "object")
	}
	if from != "" {
		what += " of " + from
	}
	if g.sameEffect() {
		what += ", " + g.names()
	}
	return what
}

// Effect is the sentence that all of g have in common.
func (g Group) Effect() string {
	if g.sameEffect() {
		return g.Changes[0].Effect
	}
	return headlines[g.Changes[0].Op]
}

// headlines say what members of a group have in common whose effects differ.
var headlines = map[Op]string{
	Create: "will be created", Update: "will be updated", Replace: "will run again", Delete: "will be pruned",
	Keep: "stay as they are", Wait: "wait", Refuse: "are refused",
}

func (g Group) sameEffect() bool {
	for _, c := range g.Changes[1:] {
		if c.Effect != g.Changes[0].Effect {
			return false
		}
	}
	return true
}

// names returns the first names of the group and the last.
func (g Group) names() string {
	var names []string
	for i, c := range g.Changes {
		if i == mostExamples && len(g.Changes) > mostExamples+1 {
			return strings.Join(names, ", ") + " … " + g.Changes[len(g.Changes)-1].Key.Name
		}
		names = append(names, c.Key.Name)
	}
	return strings.Join(names, ", ")
}

// writeProblem says where a problem is and how to mend it; what it is stands
// in the effect.
func writeProblem(b *strings.Builder, indent string, p *schema.Problem) {
	if p == nil {
		return
	}
	at := p.Origin.String()
	if at != "" {
		at = "at " + at + " "
	}
	fmt.Fprintf(b, "%s      %s[%s]\n", indent, at, p.Rule)
	if p.Mend != "" {
		fmt.Fprintf(b, "%s      mend: %s\n", indent, p.Mend)
	}
}
