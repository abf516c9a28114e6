package schema

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

// Validate finds, without a cluster, what the API server would refuse or what
// would never run: all of it at once, in the order of objects and, in each, of
// places. Kubernetes' own kinds are held to the schema that its OpenAPI is, and
// to what the API server checks beyond it; names, labels and quantities by
// apimachinery's own functions. Kinds that CustomResourceDefinitions among the
// objects define are held to their schemas. Kinds that there is no schema for are
// named in one warning, and so are those with rules that only a server can
// evaluate. The result depends on nothing but its argument and the time
// zones of this program.
func Validate(objects []Object) []*Problem {
	found := make([]finds, len(objects))
	customs := customKindsOf(objects)
	inParts(len(objects), func(from, to int) {
		memo, places := newMemo(), newArena()
		for i := from; i < to; i++ {
			v := validator{object: objects[i], key: objects[i].Key(), memo: memo, root: &places.root, customs: &customs}
			v.run()
			found[i] = v.finds
			places.reset(len(v.faults) > 0)
		}
	})
	var problems []*Problem
	for i, o := range objects {
		problems = append(problems, report(o, found[i].faults)...)
	}
	problems = onceForItems(problems)
	return append(problems, limits(objects, found)...)
}

// onceForItems says a fault of a template once, not for each item of the
// Expansion.
func onceForItems(problems []*Problem) []*Problem {
	type fault struct {
		template             string
		line                 int
		rule, field, message string
	}
	first, count := map[fault]*Problem{}, map[*Problem]int{}
	kept := problems[:0]
	for _, p := range problems {
		o := p.Origin
		if o.Item == 0 || o.TemplateLine == 0 {
			kept = append(kept, p)
			continue
		}
		key := fault{o.Template, o.TemplateLine, p.Rule, p.Field, p.Message}
		if first[key] == nil {
			first[key] = p
			kept = append(kept, p)
		}
		count[first[key]]++
	}
	for p, n := range count {
		if n > 1 {
			p.Message += fmt.Sprintf(" (so in %d items)", n)
		}
	}
	return kept
}

// finds are what is found out about one object.
type finds struct {
	faults []fault
	// unknown is set for an object that there is no schema for.
	unknown bool
	// ruled is set for one that has rules which only a server can evaluate.
	ruled bool
}

// fewObjects are not worth a goroutine.
const fewObjects = 256

// inParts calls check for parts of n, at the same time, and waits for all.
func inParts(n int, check func(from, to int)) {
	parts := min(runtime.GOMAXPROCS(0), n/fewObjects+1)
	var group sync.WaitGroup
	for i := range parts {
		group.Go(func() { check(n*i/parts, n*(i+1)/parts) })
	}
	group.Wait()
}

// fault is a Problem to be: its place is looked up and its words are completed
// only for what is reported.
type fault struct {
	severity      Severity
	rule          string
	at            *place
	message, mend string
	// meant is the field that an unknown one is likely to stand for.
	meant string
	// key is set where the name of the field is wrong, not its value.
	key bool
	// schema is set for what the schema says; a rule of ours about the same
	// field is more to the point.
	schema bool
	// value and wants are of a value that has the wrong type.
	value any
	wants typeSet
}

// report makes the problems of o of its faults.
func report(o Object, faults []fault) []*Problem {
	if len(faults) == 0 {
		return nil
	}
	key := o.Key()
	problems := make([]*Problem, 0, len(faults))
	ruled, said := map[string]bool{}, map[string]bool{}
	misspelt := map[string]bool{}
	for _, f := range faults {
		if !f.schema {
			ruled[f.at.String()] = true
		}
		if f.meant != "" {
			misspelt[f.at.parent.field(f.meant).String()] = true
		}
	}
	for _, f := range faults {
		p := &Problem{Rule: f.rule, Severity: cmp.Or(f.severity, SeverityError), Object: &key, Field: f.at.String(), Message: f.message, Mend: f.mend}
		if misspelt[p.Field] {
			continue // it is there, under another name
		}
		if f.schema && ruled[p.Field] || said[p.Rule+p.Field+p.Message] || f.schema && said[p.Rule+p.Field] {
			continue
		}
		said[p.Rule+p.Field], said[p.Rule+p.Field+p.Message] = true, true
		if f.key {
			p.Origin = o.AtKey(p.Field)
		} else {
			p.Origin = o.At(p.Field)
		}
		if f.wants != 0 {
			p.Message, p.Mend = mistyped(f.value, f.wants, o.Written(p.Field))
		}
		if p.Mend == "" {
			p.Mend = "Correct the value; `kubectl explain` says what the field takes."
		}
		problems = append(problems, p)
	}
	slices.SortStableFunc(problems, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Origin.File, b.Origin.File), cmp.Compare(a.Origin.Line, b.Origin.Line), cmp.Compare(a.Origin.TemplateLine, b.Origin.TemplateLine),
			cmp.Compare(a.Origin.Column, b.Origin.Column), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	return problems
}

// validator checks one object.
type validator struct {
	object Object
	key    Key
	memo   *memo
	// root is the place of the object itself.
	root *place
	// customs are the kinds that the repository defines.
	customs *customKinds
	finds
	// claimed are the volumes that a StatefulSet adds to those of its Pods.
	claimed []volume
}

func (v *validator) note(f fault) { v.faults = append(v.faults, f) }

func (v *validator) fail(rule string, at *place, message, mend string) {
	v.note(fault{rule: rule, at: at, message: message, mend: mend})
}

func (v *validator) say(severity Severity, rule string, at *place, message, mend string) {
	v.note(fault{severity: severity, rule: rule, at: at, message: message, mend: mend})
}

// ofPod returns severity for an object that is a Pod itself, and that of a
// warning for one that has a template of Pods.
func (v *validator) ofPod(severity Severity) Severity {
	if v.key.Kind == "Pod" && v.key.Group == "" {
		return severity
	}
	return SeverityWarning
}

func (v *validator) warn(rule string, at *place, message, mend string) {
	v.note(fault{severity: SeverityWarning, rule: rule, at: at, message: message, mend: mend})
}

func (v *validator) run() {
	v.names()
	v.metadata(v.object.Object, v.root)
	apiVersion := v.object.GetAPIVersion()
	if d := kubernetes().kind(apiVersion, v.key.Kind); d != nil {
		v.claimed = claimedVolumes(v.key, v.object.Object)
		v.value(v.object.Object, d, v.root)
		return
	}
	if !v.custom(apiVersion) {
		v.unserved(apiVersion)
	}
}
