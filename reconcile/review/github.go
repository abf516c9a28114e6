package review

import (
	"cmp"
	"io"
	"slices"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// writeGitHub writes workflow commands, which GitHub shows as annotations at
// the lines of the files: what is refused, warnings, and the effects as
// notices. GitHub shows ten of each a step, so the weightiest come first.
func writeGitHub(w io.Writer, r Review) error {
	var all []*schema.Problem
	all = append(append(all, r.problems()...), r.Warnings...)
	changes := slices.DeleteFunc(r.changes(), func(c plan.Change) bool { return c.Problem != nil })
	slices.SortStableFunc(changes, func(a, b plan.Change) int { return cmp.Compare(weight(a), weight(b)) })
	for _, c := range changes {
		p := &schema.Problem{Rule: "plan", Severity: schema.SeverityNotice, Object: &c.Key, Message: c.Effect}
		if c.Object != nil {
			p.Origin = c.Object.Origin
		}
		all = append(all, p)
	}
	return schema.ProblemWriters["github"](w, all, len(r.Plan.Changes))
}

// weight orders changes by how much a reviewer wants to see them.
func weight(c plan.Change) int {
	switch {
	case c.Op == plan.Replace:
		return 0
	case c.Op == plan.Delete:
		return 1
	case c.Key.IsJob() && c.Op != plan.Keep:
		return 2
	case c.Key.IsCronJob() && c.Op != plan.Keep:
		return 3
	case c.Op == plan.Keep:
		return 5
	}
	return 4
}
