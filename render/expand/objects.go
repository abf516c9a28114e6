package expand

import (
	"github.com/nikolalohinski/gonja/v2/exec"
)

// generator is what filters such as map and select give: Python can go through
// it once, and what comes later finds nothing left. That is seldom meant, and
// never noticed; so a second time is refused.
type generator struct {
	items exec.ValuesList
	used  bool
}

// take returns what is in the generator.
func (g *generator) take() (exec.ValuesList, error) {
	if g.used {
		return nil, &templateFault{rule: "R042", message: "the result of a filter such as map or select is used twice, and Jinja2 finds it empty the second time", mend: "Make a list of it where it is set: {% set x = …|list %}."}
	}
	g.used = true
	return g.items, nil
}

// view is what items(), keys() and values() of a mapping give: it can be gone
// through many times, and has no items by number.
type view struct {
	kind  string // of Python
	items exec.ValuesList
}

// markup is what tojson gives: a text that Python takes for safe HTML. Whatever
// is added to it would be escaped, and in a list it prints with its name.
type markup string

func isMarkup(v *exec.Value) bool {
	if v.IsNil() {
		return false
	}
	_, ok := v.Interface().(markup)
	return ok
}

func markupRefused(what string) error {
	return &templateFault{rule: "R042", message: what + " of what tojson gives is not supported, for Jinja2 would escape HTML in it", mend: "Join texts with ~, or do it before tojson."}
}

// namespace is what namespace() gives; it is no mapping to a template.
type namespace map[string]any

// group is an item of groupby: a pair whose parts have names, too.
type group []*exec.Value

// cycler gives its values in turn.
type cycler struct {
	values []*exec.Value
	next   int
}

// GetAttribute returns the methods next and reset, and the value current.
func (c *cycler) GetAttribute(name string) (*exec.Value, bool) {
	switch name {
	case "next":
		return exec.AsValue(func(*exec.VarArgs) *exec.Value {
			v := c.values[c.next]
			c.next = (c.next + 1) % len(c.values)
			return v
		}), true
	case "reset":
		return exec.AsValue(func(*exec.VarArgs) *exec.Value {
			c.next = 0
			return exec.AsValue(nil)
		}), true
	case "current":
		return c.values[c.next], true
	}
	return nil, false
}

// globals are Jinja2's own functions that templates may call.
func (r *jinjaRun) globals() map[string]func(*exec.VarArgs) (any, error) {
	return map[string]func(*exec.VarArgs) (any, error){
		"range":     func(a *exec.VarArgs) (any, error) { return rangeOf(a) },
		"dict":      dictFunction,
		"namespace": namespaceFunction,
		"cycler": func(a *exec.VarArgs) (any, error) {
			if len(a.Args) == 0 || len(a.KwArgs) > 0 {
				return nil, typeError("cycler wants values to go through")
			}
			return &cycler{values: a.Args}, nil
		},
		"joiner": func(a *exec.VarArgs) (any, error) {
			separator := exec.AsValue(", ")
			if v := a.KwArgs["sep"]; v != nil {
				separator = v
			} else if len(a.Args) == 1 {
				separator = a.Args[0]
			}
			if len(a.Args)+len(a.KwArgs) > 1 || a.KwArgs["sep"] == nil && len(a.KwArgs) > 0 {
				return nil, typeError("joiner wants one separator")
			}
			used := false
			return func(*exec.VarArgs) *exec.Value {
				if !used {
					used = true
					return exec.AsValue("")
				}
				return separator
			}, nil
		},
	}
}

// dictFunction is dict() of nothing or of one mapping; with names it is
// rewritten as {…}, which keeps their order.
func dictFunction(a *exec.VarArgs) (any, error) {
	switch {
	case len(a.KwArgs) > 0 || len(a.Args) > 1 || len(a.Args) == 1 && kindOf(a.Args[0]) != "dict":
		return nil, &templateFault{rule: "R042", message: "dict is supported with names and values, or with one mapping", mend: "Write {'name': value}."}
	case len(a.Args) == 1:
		return a.Args[0], nil
	}
	return exec.NewDict(), nil
}

func namespaceFunction(a *exec.VarArgs) (any, error) {
	ns := namespace{}
	if len(a.Args) > 1 || len(a.Args) == 1 && kindOf(a.Args[0]) != "dict" {
		return nil, typeError("namespace wants names with values, or one mapping")
	}
	for _, v := range a.Args {
		var wrong error
		v.Iterate(func(_, _ int, key, value *exec.Value) bool {
			if !key.IsString() {
				wrong = typeError("the names of a namespace are texts")
				return false
			}
			ns[key.String()] = value
			return true
		}, func() {})
		if wrong != nil {
			return nil, wrong
		}
	}
	for name, v := range a.KwArgs {
		ns[name] = v
	}
	return ns, nil
}
