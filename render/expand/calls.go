package expand

import (
	"fmt"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// method is base.name for a call.
func (r *jinjaRun) method(a []*exec.Value) (any, error) {
	base, err := r.unbox(a[0])
	if err != nil {
		return nil, err
	}
	kind, name := kindOf(base), a[1].String()
	if call := r.methodOf(kind, base, name); call != nil {
		return r.calls(name, call), nil
	}
	if pythonNames[kind][name] {
		return nil, &templateFault{rule: "R042", message: fmt.Sprintf("the method %s of a %s is not supported", name, kind), mend: methodMend(kind)}
	}
	v, err := r.named(base, name)
	if err != nil {
		return nil, err
	}
	if u, ok := v.(undefined); ok {
		return nil, u.fault()
	}
	value := exec.ToValue(v)
	if !value.IsCallable() {
		return nil, typeError("%s is a %s, which cannot be called", name, kindOf(value))
	}
	return value, nil
}

func (r *jinjaRun) methodOf(kind string, base *exec.Value, name string) func(*exec.VarArgs) (any, error) {
	switch kind {
	case "str":
		if m := r.textMethods[name]; m != nil && isMarkup(base) {
			return func(*exec.VarArgs) (any, error) { return nil, markupRefused("the method " + name) }
		} else if m != nil {
			return func(a *exec.VarArgs) (any, error) { return m(base.String(), a) }
		}
	case "dict":
		if m := dictMethods[name]; m != nil {
			return func(a *exec.VarArgs) (any, error) { return m(base, a) }
		}
	case "list", "tuple", "range":
		if m := listMethods[name]; m != nil {
			return func(a *exec.VarArgs) (any, error) { return m(base, a) }
		}
	}
	if loop, ok := base.Interface().(*controlStructures.LoopInfos); ok && !base.IsNil() {
		switch name {
		case "cycle":
			return func(a *exec.VarArgs) (any, error) { return cycle(loop, a) }
		case "changed":
			return func(a *exec.VarArgs) (any, error) { return r.changed(loop, a) }
		}
	}
	return nil
}

// calls makes a function for gonja of a method.
func (r *jinjaRun) calls(name string, call func(*exec.VarArgs) (any, error)) func(*exec.VarArgs) *exec.Value {
	return func(a *exec.VarArgs) *exec.Value {
		err := r.arguments(name, a)
		if err != nil {
			return exec.AsValue(r.fail(err))
		}
		v, err := call(a)
		if err != nil {
			return exec.AsValue(r.fail(err))
		}
		return exec.ToValue(v)
	}
}

// arguments checks that all that a function is called with is there.
func (r *jinjaRun) arguments(name string, a *exec.VarArgs) error {
	for _, v := range a.Args {
		if _, err := r.given(v); err != nil {
			return err
		}
	}
	for _, v := range a.KwArgs {
		if _, err := r.given(v); err != nil {
			return err
		}
	}
	return nil
}

func cycle(loop *controlStructures.LoopInfos, a *exec.VarArgs) (any, error) {
	if len(a.Args) == 0 || len(a.KwArgs) > 0 {
		return nil, typeError("cycle wants values to go through")
	}
	v, _ := loop.GetAttribute("index0")
	return a.Args[v.Integer()%len(a.Args)], nil
}

// changed compares with the arguments of the last call in the same loop.
func (r *jinjaRun) changed(loop *controlStructures.LoopInfos, a *exec.VarArgs) (any, error) {
	if len(a.KwArgs) > 0 {
		return nil, typeError("changed wants arguments without names")
	}
	now := exec.AsValue(tuple(a.Args))
	before := r.lastValues[loop]
	r.lastValues[loop] = now
	return before == nil || !equal(before, now), nil
}

func methodMend(kind string) string {
	switch kind {
	case "str":
		return "Known methods: " + strings.Join(sortedNames(ownMethods), ", ") + ", endswith, format, startswith."
	case "dict":
		return "Known methods: get, items, keys, values."
	case "list", "tuple", "range":
		return "Known methods: count, index."
	}
	return "Use a filter, or make the value a parameter."
}

// listMethods are those of lists, tuples and ranges that change nothing.
var listMethods = map[string]func(*exec.Value, *exec.VarArgs) (any, error){
	"count": func(v *exec.Value, a *exec.VarArgs) (any, error) {
		if len(a.Args) != 1 || len(a.KwArgs) > 0 {
			return nil, typeError("count wants one argument")
		}
		n := 0
		for _, item := range elements(v) {
			if equal(item, a.Args[0]) {
				n++
			}
		}
		return n, nil
	},
	"index": func(v *exec.Value, a *exec.VarArgs) (any, error) {
		if len(a.Args) != 1 || len(a.KwArgs) > 0 {
			return nil, &templateFault{rule: "R042", message: "index is supported with one argument only", mend: "Take a part of the list first."}
		}
		for i, item := range elements(v) {
			if equal(item, a.Args[0]) {
				return i, nil
			}
		}
		return nil, typeError("the list has no such item")
	},
}
