package schema

import (
	"slices"
	"time"
)

// lint is a rule about what the API server takes and what often is not meant.
type lint struct {
	rule string
	// opinion is set for what good repositories may do otherwise; it is said
	// only if asked for.
	opinion bool
	// one looks at an object, all at the repository as a whole.
	one func(l *linter, o Object)
	all func(l *linter)
}

// lints are all of them, in the order of their rules.
var lints = []lint{
	{rule: "R090", one: (*linter).misread},
	{rule: "R091", one: (*linter).clockChange},
	{rule: "R092", all: (*linter).midnight},
	{rule: "R093", opinion: true, one: (*linter).deadlines},
	{rule: "R094", opinion: true, one: (*linter).bounds},
	{rule: "R095", one: (*linter).shell},
	{rule: "R096", all: (*linter).prunedNames},
	{rule: "R097", all: (*linter).accounts},
	{rule: "R098", opinion: true, all: (*linter).rerunsByHash},
	{rule: OverrunRule}, // by Overruns
}

// Lint returns warnings of what works and often is not meant: of the rules that
// are on, in the order of objects. Now is the time from which on changes of
// clocks are looked at, for a year. What Validate refuses is left to it.
func Lint(objects []Object, on Lints, now time.Time) []*Problem {
	l := &linter{objects: objects, now: now, timetables: map[string]timetable{}, changes: map[[2]string][2][]string{}}
	active := slices.DeleteFunc(slices.Clone(lints), func(one lint) bool { return !on[one.rule] })
	for _, o := range objects {
		for _, one := range active {
			if one.one != nil {
				one.one(l, o)
			}
		}
	}
	for _, one := range active {
		if one.all != nil {
			one.all(l)
		}
	}
	return onceForItems(l.found)
}

// linter has what the lints share.
type linter struct {
	objects []Object
	now     time.Time
	found   []*Problem
	// timetables are by the text of the schedule, and changes, what changes of
	// the clocks skip and double, by it and the zone.
	timetables map[string]timetable
	changes    map[[2]string][2][]string
}

// warn notes a warning at a field of o.
func (l *linter) warn(rule string, o Object, field, message, mend string) {
	key := o.Key()
	l.found = append(l.found, &Problem{Rule: rule, Severity: SeverityWarning, Origin: o.At(field), Object: &key, Field: field, Message: message, Mend: mend})
}

// podOf returns the Pod that an object is or makes, and its path.
func podOf(o Object) (pod map[string]any, at string) {
	spec := mapOf(o.Object, "spec")
	switch {
	case o.Key().IsCronJob():
		return mapOf(mapOf(mapOf(mapOf(spec, "jobTemplate"), "spec"), "template"), "spec"), "spec.jobTemplate.spec.template.spec"
	case o.GetKind() == "Pod" && o.GetAPIVersion() == "v1":
		return spec, "spec"
	case o.Key().IsJob(), o.Key().Group == "apps":
		return mapOf(mapOf(spec, "template"), "spec"), "spec.template.spec"
	}
	return nil, ""
}

// jobOf returns the spec of the Job that an object is or makes, and its path; nil
// if it does neither.
func jobOf(o Object) (spec map[string]any, at string) {
	switch {
	case o.Key().IsJob():
		return mapOf(o.Object, "spec"), "spec"
	case o.Key().IsCronJob():
		return mapOf(mapOf(mapOf(o.Object, "spec"), "jobTemplate"), "spec"), "spec.jobTemplate.spec"
	}
	return nil, ""
}
