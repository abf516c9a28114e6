package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// severityOff, as a setting, leaves a rule out.
const severityOff Severity = "off"

// Severities are how grave the findings of rules are taken, by their ids.
type Severities map[string]Severity

// ParseSeverities reads settings such as R092=error; each is error, warning or
// off.
func ParseSeverities(settings map[string]string) (Severities, error) {
	s := Severities{}
	for _, id := range slices.Sorted(maps.Keys(settings)) {
		if _, known := Explain(id); !known {
			return nil, fmt.Errorf("no rule %q: `rota explain` lists them all", id)
		}
		severity := Severity(settings[id])
		if severity != SeverityError && severity != SeverityWarning && severity != severityOff {
			return nil, fmt.Errorf("%s=%s: use error, warning or off", id, severity)
		}
		s[id] = severity
	}
	return s, nil
}

// Regrade returns problems as s wants them. Only warnings change: what is an
// error is one because the API server refuses it or a run would be lost, and
// stays so; the ids for which that was asked otherwise are returned as kept.
// What changes of problems is copied.
func (s Severities) Regrade(problems []*Problem) (regraded []*Problem, kept []string) {
	for _, p := range problems {
		wanted, set := s[p.Rule]
		switch {
		case !set || wanted == p.Severity:
		case p.Severity != SeverityWarning:
			if wanted != SeverityError {
				kept = append(kept, p.Rule)
			}
		case p.Ignored != "":
		case wanted == severityOff:
			continue
		default:
			q := *p
			q.Severity = wanted
			p = &q
		}
		regraded = append(regraded, p)
	}
	slices.Sort(kept)
	return regraded, slices.Compact(kept)
}

// Lints says which rules of [Lint] are on.
type Lints map[string]bool

// ChooseLints returns the rules of [Lint] that are on: those that are no matter
// of opinion by default, all of them, or none, and in any case what severities
// say. Which is default, all or none.
func ChooseLints(which string, severities Severities) (Lints, error) {
	choices := []string{"default", "all", "none"}
	if !slices.Contains(choices, which) {
		return nil, fmt.Errorf("unknown --lint=%s: use %s", which, strings.Join(choices, ", "))
	}
	on := Lints{}
	for _, l := range lints {
		on[l.rule] = which == "all" || which == "default" && !l.opinion
		if s, set := severities[l.rule]; set {
			on[l.rule] = s != severityOff
		}
	}
	return on, nil
}

// On reports whether the lint of an id is on.
func (l Lints) On(id string) bool { return l[id] }

// serverRules are rules of repositories that only a server, or another revision,
// finds.
var serverRules = []string{"R086", "R089", OverrunRule}

// Given reports whether the rule of an id was looked for by a validation without
// a server, with these lints.
func (l Lints) Given(id string) bool {
	if on, lint := l[id]; lint && !on {
		return false
	}
	return id < "R100" && !slices.Contains(serverRules, id)
}
