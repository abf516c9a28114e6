package plan

import (
	"fmt"
	"io"
	"strings"

	"rota.dev/rota/schema"
)

// WriteText writes p for people: a line for each change but those of objects
// that stay as they are, and the totals last. Changes of the same kind to
// members of one Expansion, and objects that stay for one common reason, are
// one entry with their number. The error is w's.
func (p Plan) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, g := range groups(p.Changes) {
		g.write(&b)
	}
	b.WriteString(p.Totals().String())
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
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

// mostExamples is how many members of a group are shown where their effects
// differ.
const mostExamples = 3

// group is one entry of the text.
type group struct {
	changes []Change
	// from names the Expansion; empty if the group is none of one.
	from string
}

type groupKey struct {
	op          Op
	reason      Reason
	kind, group string
	from        string
}

// groups returns the entries of the text, in the order of their first change.
func groups(changes []Change) []*group {
	var all []*group
	known := map[groupKey]*group{}
	for _, c := range changes {
		if c.Op == Keep && c.Reason == ReasonUnchanged {
			continue
		}
		key, ok := groupOf(c)
		if g := known[key]; ok && g != nil {
			g.changes = append(g.changes, c)
			continue
		}
		g := &group{changes: []Change{c}, from: key.from}
		all = append(all, g)
		if ok {
			known[key] = g
		}
	}
	return all
}

// groupOf returns what a change shares with others that are told together.
func groupOf(c Change) (groupKey, bool) {
	key := groupKey{op: c.Op, reason: c.Reason}
	if c.Reason == ReasonPruneGuard {
		return key, true
	}
	key.kind, key.group, key.from = c.Key.Kind, c.Key.Group, expansionOf(c)
	return key, key.from != ""
}

// expansionOf names the Expansion that made the object, as `file (template)`.
// What left the repository remembers it in its annotation.
func expansionOf(c Change) string {
	if c.Object != nil {
		o := c.Object.Origin
		switch {
		case o.Template == "" && o.Item == 0:
			return ""
		case o.Template == "" || o.Template == o.File:
			return o.File
		}
		return o.File + " (" + o.Template + ")"
	}
	if c.Before == nil {
		return ""
	}
	place, rest, ok := strings.Cut(annotation(c.Before, schema.AnnotationOrigin), " (")
	if !ok {
		return ""
	}
	file, _, _ := strings.Cut(place, ":")
	template := rest[:strings.IndexAny(rest+")", ": )")]
	if template == file {
		return file
	}
	return file + " (" + template + ")"
}

func (g *group) write(b *strings.Builder) {
	first := g.changes[0]
	symbol := symbols[first.Op]
	if len(g.changes) == 1 {
		fmt.Fprintf(b, "%-3s %s: %s\n", symbol, first.Key, first.Effect)
		writeProblem(b, first.Problem)
		return
	}
	what := count(int64(len(g.changes)), first.Key.Kind) + " of " + g.from
	if g.from == "" {
		what = count(int64(len(g.changes)), "object")
	}
	if g.sameEffect() {
		fmt.Fprintf(b, "%-3s %s, %s: %s\n", symbol, what, g.names(), first.Effect)
		writeProblem(b, first.Problem)
		return
	}
	fmt.Fprintf(b, "%-3s %s: %s\n", symbol, what, headlines[first.Op])
	for i, c := range g.changes {
		if i == mostExamples {
			fmt.Fprintf(b, "      and %d more\n", len(g.changes)-i)
			break
		}
		fmt.Fprintf(b, "      %s: %s\n", c.Key, c.Effect)
		writeProblem(b, c.Problem)
	}
}

// headlines say what members of a group have in common whose effects differ.
var headlines = map[Op]string{
	Create: "will be created", Update: "will be updated", Replace: "will run again", Delete: "will be pruned",
	Keep: "stay as they are", Wait: "wait", Refuse: "are refused",
}

func (g *group) sameEffect() bool {
	for _, c := range g.changes[1:] {
		if c.Effect != g.changes[0].Effect {
			return false
		}
	}
	return true
}

// names returns the first names of the group and the last.
func (g *group) names() string {
	var names []string
	for i, c := range g.changes {
		if i == mostExamples && len(g.changes) > mostExamples+1 {
			return strings.Join(names, ", ") + " … " + g.changes[len(g.changes)-1].Key.Name
		}
		names = append(names, c.Key.Name)
	}
	return strings.Join(names, ", ")
}

// writeProblem says where a problem is and how to mend it; what it is stands
// in the effect.
func writeProblem(b *strings.Builder, p *schema.Problem) {
	if p == nil {
		return
	}
	at := p.Origin.String()
	if at != "" {
		at = "at " + at + " "
	}
	fmt.Fprintf(b, "      %s[%s]\n", at, p.Rule)
	if p.Mend != "" {
		fmt.Fprintf(b, "      mend: %s\n", p.Mend)
	}
}
