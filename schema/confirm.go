package schema

import (
	"cmp"
	"slices"
	"strings"
)

// unsureRules are what only the schema inside rota does not know: a cluster
// may be newer, and have the field or the version.
var unsureRules = []string{"R074", "R075"}

// uncheckedRules are those that say what was not checked, and that a server
// would.
var uncheckedRules = []string{"R076", "R088"}

// Unchecked reports whether p says only that something was not checked without a
// server.
func (p *Problem) Unchecked() bool { return slices.Contains(uncheckedRules, p.Rule) }

// LeaveToServer returns problems for a caller that asks a server next: what
// only the schema inside rota does not know is a warning, and what was left
// unchecked is not spoken of, for the server checks it. The problems are
// changed.
func LeaveToServer(problems []*Problem) []*Problem {
	unsure(problems)
	return slices.DeleteFunc(problems, (*Problem).Unchecked)
}

func unsure(problems []*Problem) {
	for _, p := range problems {
		if slices.Contains(unsureRules, p.Rule) {
			p.Severity = SeverityWarning
		}
	}
}

// Confirm joins what was found without a server and what the server refuses.
// What both found at the same field of an object is said once, in the words of
// the first. What the schema inside rota does not know is a warning if the
// object is among those that the server took. The problems of offline may be
// changed.
func Confirm(offline, server []*Problem, taken map[Key]bool) []*Problem {
	known := map[Key][]*Problem{}
	for _, p := range offline {
		if p.Object == nil {
			continue
		}
		if taken[*p.Object] {
			unsure([]*Problem{p})
		}
		known[*p.Object] = append(known[*p.Object], p)
	}
	joined := slices.Clone(offline)
	for _, p := range server {
		if p.Object != nil && slices.ContainsFunc(known[*p.Object], func(k *Problem) bool { return k.covers(p) }) {
			continue
		}
		joined = append(joined, p)
	}
	return onceForItems(joined)
}

// covers reports whether p already tells what a server says in other: something
// is wrong at the same field, above or below it. A refusal that names no field
// since the object could not be read at all is told by whatever is wrong in it.
func (p *Problem) covers(other *Problem) bool {
	switch {
	case cmp.Or(p.Severity, SeverityError) != SeverityError || p.Field == "":
		return false
	case other.Field == "":
		return other.Rule == "R222"
	}
	return within(p.Field, other.Field) || within(other.Field, p.Field)
}

// within reports whether a path is that of a field or of something in it.
func within(path, field string) bool {
	rest, ok := strings.CutPrefix(path, field)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
