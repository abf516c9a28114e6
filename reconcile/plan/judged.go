package plan

import "rota.dev/rota/schema"

// Judged returns p as the API server would carry it out, given what a dry run
// of p answered, one Outcome for each Change in p's order. What the server
// refuses is refused in the plan, with the server's Problem; what it would take
// later (a quota is full: the Problem is a warning) waits. As in an apply,
// nothing is pruned when a write fails. p is not changed.
func (p Plan) Judged(outcomes []Outcome) Plan {
	judged := p
	judged.Changes = make([]Change, len(p.Changes))
	held := ""
	for i, c := range p.Changes {
		j := judgedChange(c, outcomes[i].Problem)
		if held == "" && outcomes[i].Problem != nil && c.Op != Delete && c.Op != Refuse {
			held = c.Key.String() + " is refused"
			if j.Op == Wait {
				held = c.Key.String() + " waits"
			}
		}
		judged.Changes[i] = j
	}
	if held == "" {
		return judged
	}
	for i, c := range judged.Changes {
		if c.Op == Delete {
			judged.Changes[i] = decide(c, Keep, ReasonPruneSkipped, "left the repository, stays: "+held)
		}
	}
	judged.Changes = sortChanges(judged.Changes)
	return judged
}

func judgedChange(c Change, problem *schema.Problem) Change {
	if problem == nil || c.Op == Refuse {
		return c
	}
	why := problem.Message
	if problem.Field != "" {
		why = problem.Field + ": " + why
	}
	switch {
	case problem.Severity == schema.SeverityWarning:
		c.Problem = problem
		return decide(c, Wait, ReasonServerRefuses, why)
	case c.Op == Delete:
		return refuse(c, ReasonServerRefuses, problem, "left the repository, stays: "+why)
	}
	return refuse(c, ReasonServerRefuses, problem, "is refused: "+why)
}
