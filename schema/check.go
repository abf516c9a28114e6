package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// A check is what the API server demands of a value of one type beyond its
// schema. It runs wherever a value of the type stands: a container's checks in
// Pods, Jobs, CronJobs and Deployments alike.
type check func(v *validator, m map[string]any, at *place)

// checks are all of them, by the type's name in the OpenAPI without the prefix
// that all names have.
var checks = merged(batchChecks, podChecks, containerChecks, volumeChecks, appsChecks, coreChecks, networkChecks, clusterChecks)

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
	for _, prefix := range []string{"io.k8s.api.", "io.k8s.apimachinery.pkg.apis.", "io.k8s.apiextensions-apiserver.pkg.apis.", "io.k8s.kube-aggregator.pkg.apis."} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return rest
		}
	}
	return name
}

// filled demands that fields, which the schema requires to be there, are not
// empty: a text or a list.
func filled(names ...string) check {
	return func(v *validator, m map[string]any, at *place) {
		for _, name := range names {
			switch value := m[name].(type) {
			case string:
				if value == "" {
					v.fail("R072", at.field(name), "the field is empty", "Fill it in; the API server refuses the object without it.")
				}
			case []any:
				if len(value) == 0 {
					v.fail("R072", at.field(name), "the list is empty", "Add an item; the API server refuses the object without one.")
				}
			}
		}
	}
}

// needed demands fields that the schema does not require.
func needed(names ...string) check {
	empty := filled(names...)
	return func(v *validator, m map[string]any, at *place) {
		for _, name := range names {
			if !has(m, name) {
				v.fail("R072", at.field(name), "the field is missing", "Add it; the API server refuses the object without it.")
			}
		}
		empty(v, m, at)
	}
}

// least demands integers of at least n.
func least(n int64, names ...string) check {
	return func(v *validator, m map[string]any, at *place) {
		for _, name := range names {
			if got, ok := intOf(m, name); ok && got < n {
				v.fail("R073", at.field(name), fmt.Sprintf("wants at least %d, not %d", n, got), "")
			}
		}
	}
}

// most demands integers of at most n.
func most(n int64, names ...string) check {
	return func(v *validator, m map[string]any, at *place) {
		for _, name := range names {
			if got, ok := intOf(m, name); ok && got > n {
				v.fail("R073", at.field(name), fmt.Sprintf("wants at most %d, not %d", n, got), "")
			}
		}
	}
}

// between demands integers from one bound to the other.
func between(from, to int64, names ...string) check {
	return func(v *validator, m map[string]any, at *place) {
		for _, name := range names {
			if got, ok := intOf(m, name); ok && (got < from || got > to) {
				v.fail("R073", at.field(name), fmt.Sprintf("wants %d to %d, not %d", from, to, got), "")
			}
		}
	}
}

// exactlyOne demands one of the fields and refuses more than one.
func exactlyOne(names ...string) check {
	excluded := mostOne(names...)
	return func(v *validator, m map[string]any, at *place) {
		if !slices.ContainsFunc(names, func(name string) bool { return given(m, name) }) {
			v.fail("R078", at, "none of the fields is set of which one is needed: "+strings.Join(names, ", "), "Set one of them.")
		}
		excluded(v, m, at)
	}
}

// mostOne refuses more than one of the fields.
func mostOne(names ...string) check {
	return func(v *validator, m map[string]any, at *place) {
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
	}
}

// form is how a text must be written, and the rule that it breaks otherwise.
type form struct {
	rule string
	good func(m *memo, text string) bool
	what string
	mend string
}

func formOf(rule string, check func(string) []string, what, mend string) form {
	return form{rule, func(_ *memo, text string) bool { return len(check(text)) == 0 }, what, mend}
}

var (
	dnsLabel      = form{"R060", (*memo).label, "name", "Use at most 63 lower-case letters, digits and -, a letter or digit first and last."}
	dnsSubdomain  = formOf("R060", validation.IsDNS1123Subdomain, "name", "Use lower-case letters, digits, - and ., a letter or digit first and last.")
	portName      = formOf("R060", validation.IsValidPortName, "name of a port", "Use at most 15 lower-case letters, digits and -, with a letter among them.")
	variableName  = form{"R060", (*memo).variable, "name of a variable", "Use printable characters other than =."}
	qualifiedName = form{"R063", (*memo).qualifiedName, "key", "Write name or example.com/name, the name of at most 63 letters, digits, -, _ and . ."}
	labelValue    = form{"R063", (*memo).labelValue, "value of a label", "Use at most 63 letters, digits, -, _ and ., a letter or digit first and last."}
	dataKey       = formOf("R079", validation.IsConfigMapKey, "key of data", "Use letters, digits, -, _ and . only.")
)

// written demands that texts, unless they are empty, have a form.
func written(f form, names ...string) check {
	return func(v *validator, m map[string]any, at *place) {
		for _, name := range names {
			v.form(textOf(m, name), f, at.field(name))
		}
	}
}

// writtenIfSet demands a form of texts that are there, the empty one included.
func writtenIfSet(f form, names ...string) check {
	return func(v *validator, m map[string]any, at *place) {
		for _, name := range names {
			if text, ok := m[name].(string); ok && (text == "" || !f.good(v.memo, text)) {
				v.fail(f.rule, at.field(name), fmt.Sprintf("%q is no %s that Kubernetes takes", text, f.what), f.mend)
			}
		}
	}
}

// form checks one text unless it is empty.
func (v *validator) form(text string, f form, at *place) {
	if text != "" && !f.good(v.memo, text) {
		v.fail(f.rule, at, fmt.Sprintf("%q is no %s that Kubernetes takes", text, f.what), f.mend)
	}
}

// eachWritten demands that the texts of lists have a form.
func eachWritten(f form, names ...string) check {
	return func(v *validator, m map[string]any, at *place) {
		for _, name := range names {
			for i, item := range listOf(m, name) {
				if text, ok := item.(string); ok {
					if text == "" {
						text = " " // a form is of what is there, and an item is
					}
					v.form(text, f, at.field(name).item(i))
				}
			}
		}
	}
}

// mostItems bounds lists.
func mostItems(n int, names ...string) check {
	return func(v *validator, m map[string]any, at *place) {
		for _, name := range names {
			if got := len(listOf(m, name)); got > n {
				v.fail("R073", at.field(name), fmt.Sprintf("the list has %d items; at most %d are allowed", got, n), "Shorten it.")
			}
		}
	}
}

// notAlone refuses a field without another one.
func notAlone(name, other string) check {
	return func(v *validator, m map[string]any, at *place) {
		if given(m, name) && !given(m, other) {
			v.fail("R081", at.field(name), fmt.Sprintf("%s needs %s", name, other), "Add it, or remove "+name+".")
		}
	}
}

// worded demands that texts are one of words; unlike what the schema lists, the
// empty text is none of them.
func worded(name string, words ...string) check {
	return func(v *validator, m map[string]any, at *place) {
		if text, ok := m[name].(string); ok {
			v.word(text, words, at.field(name))
		}
	}
}

// wordedIfAny is worded for texts whose empty value stands for a default.
func wordedIfAny(name string, words ...string) check {
	return func(v *validator, m map[string]any, at *place) {
		if text := textOf(m, name); text != "" {
			v.word(text, words, at.field(name))
		}
	}
}

// gates are the fields that the API server drops without a word unless a
// feature gate is on, which it is not by default; nothing in them is checked.
var gates = map[string]map[string]string{
	"batch.v1.JobSpec":      {"scheduling": "WorkloadWithJob"},
	"core.v1.PodSpec":       {"evictionResponders": "EvictionRequestAPI"},
	"core.v1.Lifecycle":     {"stopSignal": "ContainerStopSignals"},
	"core.v1.HTTPGetAction": {"protocol": "ProbeHTTP2"},
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

// eachBetween demands integers of lists from one bound to the other.
func eachBetween(from, to int64, names ...string) check {
	return func(v *validator, m map[string]any, at *place) {
		for _, name := range names {
			for i, item := range listOf(m, name) {
				if got, ok := item.(int64); ok && (got < from || got > to) {
					v.fail("R073", at.field(name).item(i), fmt.Sprintf("wants %d to %d, not %d", from, to, got), "")
				}
			}
		}
	}
}
