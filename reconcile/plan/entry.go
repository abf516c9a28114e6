package plan

import (
	"fmt"
	"slices"
	"strings"

	"rota.dev/rota/schema"
)

// Entry is what a plan tells in one place: one change, the changes that stay
// for one common reason, or all of an Expansion.
type Entry struct {
	// Expansion is the file of the Expansion and, in brackets, its template;
	// empty if the entry is of none.
	Expansion string
	// Groups are the changes that are told together, at least one.
	Groups []Group
	// Unchanged is how many members of the Expansion stay as applied.
	Unchanged int
}

// Group is one change or more of the same op, reason and kind.
type Group struct{ Changes []Change }

type groupKey struct {
	op          Op
	reason      Reason
	kind, group string
	from        string
}

// Entries returns what p tells, in the order of the first change of each.
// Objects that stay as they are have no entry of their own.
func (p Plan) Entries() []Entry {
	var all []*Entry
	expansions, groups := map[string]*Entry{}, map[groupKey]int{}
	unchanged := map[string]int{}
	for _, c := range p.Changes {
		key := groupOf(c)
		if c.Op == Keep && c.Reason == ReasonUnchanged {
			unchanged[key.from]++
			continue
		}
		e := expansions[key.from]
		if e == nil || key.from == "" {
			e = &Entry{Expansion: key.from}
			// What the guard keeps is one entry, wherever it is from.
			if n, ok := groups[key]; ok && key.reason == ReasonPruneGuard {
				all[n].Groups[0].Changes = append(all[n].Groups[0].Changes, c)
				continue
			}
			groups[key] = len(all)
			all = append(all, e)
			if key.from != "" {
				expansions[key.from] = e
			}
		}
		e.add(c, key)
	}
	entries := make([]Entry, len(all))
	for i, e := range all {
		if e.Expansion != "" {
			e.Unchanged = unchanged[e.Expansion]
		}
		entries[i] = *e
	}
	return entries
}

func (e *Entry) add(c Change, key groupKey) {
	for i, g := range e.Groups {
		if groupOf(g.Changes[0]) == key {
			e.Groups[i].Changes = append(g.Changes, c)
			return
		}
	}
	e.Groups = append(e.Groups, Group{[]Change{c}})
}

// groupOf returns what a change shares with others that are told together.
func groupOf(c Change) groupKey {
	key := groupKey{op: c.Op, reason: c.Reason}
	if c.Reason == ReasonPruneGuard {
		return key
	}
	key.kind, key.group, key.from = c.Key.Kind, c.Key.Group, expansionOf(c)
	return key
}

// Expansion names the Expansion that c's object is from, as Entry does; empty if
// it is from none.
func (c Change) Expansion() string { return expansionOf(c) }

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

// Summary counts the members of an Expansion by what becomes of them, such as
// `+12 −3, 40 unchanged, 5 differ in image`; it is empty where one group, or
// an entry of no Expansion, says everything.
func (e Entry) Summary() string {
	if e.Expansion == "" || len(e.Groups) == 1 && e.Unchanged == 0 {
		return ""
	}
	var s summary
	for _, g := range e.Groups {
		for _, c := range g.Changes {
			s.count(c)
		}
	}
	return s.text(e.Unchanged)
}

// summary counts members of an Expansion.
type summary struct {
	come, gone, again, drift, wait, refused, ran, stay int
	// differ has how many differ in which fields, in the order of the first.
	differ map[string]int
	fields []string
}

func (s *summary) count(c Change) {
	switch {
	case c.Op == Delete:
		s.gone++
	case c.Op == Wait:
		s.wait++
	case c.Op == Refuse:
		s.refused++
	case c.Reason == ReasonAlreadyRan, c.Reason == ReasonIgnored:
		s.ran++
	case c.Op == Keep:
		s.stay++
	case c.Reason == ReasonDrifted, c.Reason == ReasonDriftedFirst, c.Reason == ReasonDeletedByHand && !c.Key.IsJob():
		s.drift++
	case c.Before != nil:
		names := strings.Join(ChangedFields(c), ", ")
		if s.differ == nil {
			s.differ = map[string]int{}
		}
		if s.differ[names]++; s.differ[names] == 1 {
			s.fields = append(s.fields, names)
		}
	case c.Reason == ReasonNew:
		s.come++
	default:
		s.again++
	}
}

func (s *summary) text(unchanged int) string {
	var parts []string
	switch {
	case s.come > 0 && s.gone > 0:
		parts = append(parts, fmt.Sprintf("+%d −%d", s.come, s.gone))
	case s.come > 0:
		parts = append(parts, fmt.Sprintf("+%d", s.come))
	case s.gone > 0:
		parts = append(parts, fmt.Sprintf("−%d", s.gone))
	}
	say := func(n int, one, many string) { parts = counted(parts, n, one, many) }
	say(unchanged, "unchanged", "unchanged")
	if len(s.fields) > mostNamed {
		n := 0
		for _, m := range s.differ {
			n += m
		}
		s.fields, s.differ = []string{""}, map[string]int{"": n}
	}
	for _, names := range s.fields {
		in := ""
		if names != "" {
			in = " in " + names
		}
		say(s.differ[names], "differs"+in, "differ"+in)
	}
	say(s.again, "runs again", "run again")
	say(s.drift, "drifted", "drifted")
	say(s.wait, "waits", "wait")
	say(s.refused, "refused", "refused")
	say(s.ran, "already ran", "already ran")
	say(s.stay, "stays", "stay")
	return strings.Join(parts, ", ")
}

// ChangedFields returns the last names of the fields that an object has other
// values in than the one before, each once and in order: `image`, `env`.
func ChangedFields(c Change) []string {
	if c.Object == nil || c.Before == nil {
		return nil
	}
	var names []string
	for _, d := range differences(c.Object.Object, c.Before.Object) {
		if name := lastName(shortPath(d.path)); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// lastName returns the last field of a path, without the item of a list; of
// the value of a variable `env`.
func lastName(path string) string {
	var names []string
	start, depth := 0, 0
	for i, r := range path + "." {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == '.' && depth == 0:
			name, _, _ := strings.Cut(path[start:i], "[")
			names, start = append(names, name), i+1
		}
	}
	last := len(names) - 1
	if last > 0 && (names[last] == "value" || names[last] == "valueFrom") {
		last--
	}
	return names[last]
}
