package expand

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// collation orders texts without regard to case, unless cased, and numbers.
func collation(cased bool) func(x, y *exec.Value) int {
	return func(x, y *exec.Value) int {
		switch {
		case !x.IsString():
			n, _ := numberOrder(x, y)
			return n
		case cased:
			return strings.Compare(x.String(), y.String())
		}
		return strings.Compare(strings.ToLower(x.String()), strings.ToLower(y.String()))
	}
}

// keysOf are what items are sorted and grouped by: texts only, or numbers only.
func (r *jinjaRun) keysOf(name string, items []*exec.Value, attribute *exec.Value) ([]*exec.Value, error) {
	keys := make([]*exec.Value, len(items))
	kinds := map[bool]bool{}
	for i, item := range items {
		keys[i] = item
		if attribute != nil && !attribute.IsNil() {
			var err error
			if keys[i], err = r.path(item, attribute); err != nil {
				return nil, err
			}
		}
		kind := kindOf(keys[i])
		kinds[kind == "str"] = true
		if kind != "str" && !isNumber(kind) || len(kinds) > 1 {
			return nil, &templateFault{rule: "R042", message: "the filter " + name + " takes texts only, or numbers only, here", mend: "Make the items alike with map('string'), or name an attribute."}
		}
	}
	return keys, nil
}

func filterSort(r *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	list := slices.Clone(exec.ValuesList(elements(in)))
	attributes := []*exec.Value{nil}
	if a[2] != nil && a[2].IsString() {
		attributes = nil
		for _, name := range strings.Split(a[2].String(), ",") {
			attributes = append(attributes, exec.AsValue(name))
		}
	} else if a[2] != nil {
		attributes[0] = a[2]
	}
	order := collation(a[1] != nil && truth(a[1]))
	if a[0] != nil && truth(a[0]) {
		forward := order
		order = func(x, y *exec.Value) int { return forward(y, x) }
	}
	// The last attribute first: each sort keeps what the one before made of
	// equal items.
	for _, attribute := range slices.Backward(attributes) {
		keys, err := r.keysOf("sort", list, attribute)
		if err != nil {
			return nil, err
		}
		at := make([]int, len(list))
		for i := range at {
			at[i] = i
		}
		slices.SortStableFunc(at, func(x, y int) int { return order(keys[x], keys[y]) })
		sorted := make(exec.ValuesList, len(list))
		for i, from := range at {
			sorted[i] = list[from]
		}
		list = sorted
	}
	return list, nil
}

// extreme is min and max: of equal items it is the first.
func extreme(name string, sign int) func(*jinjaRun, *exec.Value, []*exec.Value) (any, error) {
	return func(r *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
		items := elements(in)
		keys, err := r.keysOf(name, items, a[1])
		if err != nil {
			return nil, err
		}
		order, best := collation(a[0] != nil && truth(a[0])), 0
		for i := range items {
			if order(keys[i], keys[best])*sign > 0 {
				best = i
			}
		}
		return items[best], nil
	}
}

// selecting is select, reject, selectattr and rejectattr.
func selecting(byAttribute, want bool) func(*jinjaRun, *exec.Value, []*exec.Value) (any, error) {
	return func(r *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
		var attribute *exec.Value
		if byAttribute {
			if len(a) == 0 {
				return nil, typeError("the filter wants the name of an attribute")
			}
			attribute, a = a[0], a[1:]
		}
		kept := exec.ValuesList{}
		for _, item := range elements(in) {
			value := item
			if attribute != nil {
				found, err := r.lookupPath(item, attribute)
				if err != nil {
					return nil, err
				}
				value = exec.ToValue(found)
			}
			ok, err := r.holds(value, a)
			if err != nil {
				return nil, err
			}
			if ok == want {
				kept = append(kept, item)
			}
		}
		return kept, nil
	}
}

// holds is what a test with its arguments says of a value; without one, whether
// the value is true.
func (r *jinjaRun) holds(value *exec.Value, a []*exec.Value) (bool, error) {
	if len(a) == 0 {
		v, err := r.given(value)
		return err == nil && truth(v), err
	}
	if !a[0].IsString() {
		return false, typeError("the name of a test is a text")
	}
	return r.tested(a[0].String(), value, &exec.VarArgs{Args: a[1:]})
}

// mapAttribute is map(attribute=…).
func (r *jinjaRun) mapAttribute(in *exec.Value, a *exec.VarArgs) (any, error) {
	attribute, otherwise := a.KwArgs["attribute"], a.KwArgs["default"]
	if attribute == nil || len(a.KwArgs) > 2 || len(a.KwArgs) == 2 && otherwise == nil {
		return nil, typeError("map wants the name of a filter, or attribute and default")
	}
	list := exec.ValuesList{}
	for _, item := range elements(in) {
		found, err := r.lookupPath(item, attribute)
		if err != nil {
			return nil, err
		}
		if u, ok := found.(undefined); ok {
			if otherwise == nil {
				return nil, u.fault()
			}
			found = otherwise
		}
		list = append(list, exec.ToValue(found))
	}
	return list, nil
}

// path is lookupPath of what must be there.
func (r *jinjaRun) path(v, attribute *exec.Value) (*exec.Value, error) {
	found, err := r.lookupPath(v, attribute)
	if err != nil {
		return nil, err
	}
	return r.given(exec.ToValue(found))
}

// lookupPath looks an attribute such as a.b up as Jinja2's filters do, by
// environment.getitem; a step that is a number is an index.
func (r *jinjaRun) lookupPath(v, attribute *exec.Value) (any, error) {
	steps := []*exec.Value{attribute}
	if attribute.IsString() {
		steps = nil
		for _, step := range strings.Split(attribute.String(), ".") {
			steps = append(steps, exec.AsValue(indexOrName(step)))
		}
	}
	var found any = v
	for _, step := range steps {
		var err error
		found, err = r.item([]*exec.Value{exec.AsValue(exec.ValuesList{exec.ToValue(found)}), exec.AsValue(exec.ValuesList{step})})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// filterGroupBy sorts by an attribute and makes a group of what is alike. The
// case of a text counts only if it is asked for; the first one names the group.
func filterGroupBy(r *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	if a[0] == nil || a[1] != nil {
		return nil, &templateFault{rule: "R042", message: "groupby is supported with an attribute, and without a default", mend: "Give every item the attribute."}
	}
	items := elements(in)
	keys, err := r.keysOf("groupby", items, a[0])
	if err != nil {
		return nil, err
	}
	order := collation(a[2] != nil && truth(a[2]))
	at := make([]int, len(items))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(x, y int) int { return order(keys[x], keys[y]) })
	groups := exec.ValuesList{}
	for i, from := range at {
		if i == 0 || order(keys[at[i-1]], keys[from]) != 0 {
			groups = append(groups, exec.AsValue(group{keys[from], exec.AsValue(exec.ValuesList{})}))
		}
		g := groups[len(groups)-1].Interface().(group)
		g[1] = exec.AsValue(append(g[1].Interface().(exec.ValuesList), items[from]))
	}
	return groups, nil
}

// filterUnique keeps the first of what is equal, without regard to case.
func filterUnique(r *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	cased := a[0] != nil && truth(a[0])
	kept := exec.ValuesList{}
	seen := map[any]bool{}
	for _, item := range elements(in) {
		value := item
		if a[1] != nil && !a[1].IsNil() {
			var err error
			if value, err = r.path(item, a[1]); err != nil {
				return nil, err
			}
		}
		var key any
		switch kind := kindOf(value); {
		case kind == "str" && cased:
			key = value.String()
		case kind == "str":
			key = strings.ToLower(value.String())
		case kind == "int" || kind == "bool":
			key = integer(value)
		case kind == "None":
		default:
			return nil, &templateFault{rule: "R042", message: "unique takes texts and whole numbers only, not " + cmp.Or(kind, "this"), mend: "Use an attribute that is a text."}
		}
		if !seen[key] {
			seen[key] = true
			kept = append(kept, item)
		}
	}
	return kept, nil
}
