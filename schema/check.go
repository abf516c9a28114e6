package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A check is what the API server demands of a value of one type beyond its
// schema. It runs wherever a value of the type stands: a container's checks in
// Pods, Jobs, CronJobs and Deployments alike.
type check struct {
	// whole is about the object.
	whole func(v *validator, m map[string]any, at *place)
	// value is about each of the fields that is there: the walk comes by them
	// anyway, and need not look for them.
	fields []string
	value  func(v *validator, value any, at *place)
}

// whole returns the check of an object.
func whole(f func(v *validator, m map[string]any, at *place)) check { return check{whole: f} }

// on applies c to an object at once.
func (c check) on(v *validator, m map[string]any, at *place) {
	if c.whole != nil {
		c.whole(v, m, at)
	}
	for _, name := range c.fields {
		if value, ok := m[name]; ok {
			c.value(v, value, at.field(name))
		}
	}
}

// checks are all of them, by the type's name in the OpenAPI without the prefix
// that all names have.
var checks = merged(batchChecks, podChecks, containerChecks, volumeChecks, appsChecks, coreChecks, networkChecks, clusterChecks, definitionChecks)

func merged(tables ...map[string][]check) map[string][]check {
	all := map[string][]check{}
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}

// shortName returns the name of a type as the tables have it, such as
// core.v1.Container.
func shortName(name string) string {
	for _, prefix := range []string{"io.k8s.api.", "io.k8s.apimachinery.pkg.apis.", "io.k8s.apiextensions-apiserver.pkg.apis."} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return rest
		}
	}
	return name
}

// filled demands that fields are not empty if they are there: a text or a list.
func filled(names ...string) check {
	return check{fields: names, value: func(v *validator, value any, at *place) {
		switch value := value.(type) {
		case string:
			if value == "" {
				v.fail("R072", at, "the field is empty", "Fill it in; the API server refuses the object without it.")
			}
		case []any:
			if len(value) == 0 {
				v.fail("R072", at, "the list is empty", "Add an item; the API server refuses the object without one.")
			}
		}
	}}
}

// needed demands fields that the schema does not require.
func needed(names ...string) check {
	c := filled(names...)
	c.whole = func(v *validator, m map[string]any, at *place) {
		for _, name := range names {
			if !has(m, name) {
				v.fail("R072", at.field(name), "the field is missing", "Add it; the API server refuses the object without it.")
			}
		}
	}
	return c
}

// number checks integers.
func number(names []string, f func(v *validator, n int64, at *place)) check {
	return check{fields: names, value: func(v *validator, value any, at *place) {
		if n, ok := value.(int64); ok {
			f(v, n, at)
		}
	}}
}

// least demands integers of at least n.
func least(n int64, names ...string) check {
	return number(names, func(v *validator, got int64, at *place) {
		if got < n {
			v.fail("R073", at, fmt.Sprintf("wants at least %d, not %d", n, got), "")
		}
	})
}

// most demands integers of at most n.
func most(n int64, names ...string) check {
	return number(names, func(v *validator, got int64, at *place) {
		if got > n {
			v.fail("R073", at, fmt.Sprintf("wants at most %d, not %d", n, got), "")
		}
	})
}

// between demands integers from one bound to the other.
func between(from, to int64, names ...string) check {
	return number(names, func(v *validator, got int64, at *place) { v.between(got, from, to, at) })
}

func (v *validator) between(got, from, to int64, at *place) {
	if got < from || got > to {
		v.fail("R073", at, fmt.Sprintf("wants %d to %d, not %d", from, to, got), "")
	}
}

// eachBetween is between for the items of lists.
func eachBetween(from, to int64, names ...string) check {
	return check{fields: names, value: func(v *validator, value any, at *place) {
		for i, item := range asList(value) {
			if got, ok := item.(int64); ok {
				v.between(got, from, to, at.item(i))
			}
		}
	}}
}

// exactlyOne demands one of the fields and refuses more than one.
func exactlyOne(names ...string) check {
	excluded := mostOne(names...)
	return whole(func(v *validator, m map[string]any, at *place) {
		if !slices.ContainsFunc(names, func(name string) bool { return given(m, name) }) {
			v.fail("R078", at, "none of the fields is set of which one is needed: "+strings.Join(names, ", "), "Set one of them.")
		}
		excluded.whole(v, m, at)
	})
}

// mostOne refuses more than one of the fields.
func mostOne(names ...string) check {
	return whole(func(v *validator, m map[string]any, at *place) {
		if len(m) < 2 {
			return
		}
		first := ""
		for _, name := range names {
			switch {
			case !given(m, name):
			case first == "":
				first = name
			default:
				v.fail("R078", at.field(name), fmt.Sprintf("%s excludes %s", first, name), "Remove one of the two.")
			}
		}
	})
}

// mostItems bounds lists.
func mostItems(n int, names ...string) check {
	return check{fields: names, value: func(v *validator, value any, at *place) {
		if got := len(asList(value)); got > n {
			v.fail("R073", at, fmt.Sprintf("the list has %d items; at most %d are allowed", got, n), "Shorten it.")
		}
	}}
}

// worded demands that a text is one of words; unlike what the schema lists, the
// empty text is none of them.
func worded(name string, words ...string) check {
	return check{fields: []string{name}, value: func(v *validator, value any, at *place) {
		if text, ok := value.(string); ok {
			v.word(text, words, at)
		}
	}}
}

// wordedIfAny is worded for a text whose empty value stands for a default.
func wordedIfAny(name string, words ...string) check {
	return check{fields: []string{name}, value: func(v *validator, value any, at *place) {
		if text, _ := value.(string); text != "" {
			v.word(text, words, at)
		}
	}}
}

// gates are the fields that the API server drops without a word unless a
// feature gate is on, which it is not by default; nothing in them is checked.
var gates = map[string]map[string]string{
	"batch.v1.JobSpec":      {"scheduling": "WorkloadWithJob"},
	"core.v1.PodSpec":       {"evictionResponders": "EvictionRequestAPI"},
	"core.v1.Lifecycle":     {"stopSignal": "ContainerStopSignals"},
	"core.v1.HTTPGetAction": {"protocol": "H2CContainerProbe"},
}

// unchecked are fields that the schema calls required and the API server does
// without.
var unchecked = map[string][]string{
	"batch.v1.PodFailurePolicy":         {"rules"},
	"meta.v1.OwnerReference":            {"apiVersion", "kind", "name", "uid"},
	"core.v1.SleepAction":               {"seconds"},
	"core.v1.HTTPHeader":                {"value"},
	"core.v1.Sysctl":                    {"value"},
	"core.v1.PreferredSchedulingTerm":   {"preference"},
	"core.v1.LimitRangeSpec":            {"limits"},
	"core.v1.TypedLocalObjectReference": {"kind", "name"},
}

// missing tells of a reference to something in the same object that is not
// there. Known are the names that are.
func (v *validator) missing(what, name string, known []string, at *place) {
	message := fmt.Sprintf("there is no %s %q in the Pod", what, name)
	if near := Nearest(name, known); near != "" {
		message += fmt.Sprintf(" (did you mean %q?)", near)
	}
	mend := "Add it, or correct the name."
	if len(known) > 0 && len(known) <= 12 {
		mend = "There are: " + strings.Join(known, ", ") + "."
	}
	v.fail("R080", at, message, mend)
}
