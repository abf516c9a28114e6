package expand

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// undefined is the value of what is not there: a key that a mapping has not,
// an item beyond the end of a list. As with Jinja2's StrictUndefined only
// `is defined` and the filter default may look at it; whatever else is done
// with it is a fault.
type undefined struct{ message string }

func (u undefined) fault() error {
	return &templateFault{rule: "R041", message: u.message, mend: "Correct the name, ask with `is defined` first, or use the filter default."}
}

func missing(format string, arguments ...any) undefined {
	return undefined{fmt.Sprintf(format, arguments...)}
}

// undefinedOf returns what is not there, if v is that. A fault on the way to a
// value is something else: `d.nope.x is defined` fails, since d.nope has no
// attributes.
func undefinedOf(v *exec.Value) (undefined, bool) {
	if v.IsNil() {
		return undefined{}, false
	}
	if u, ok := v.Interface().(undefined); ok {
		return u, true
	}
	if message := v.Error(); strings.HasPrefix(message, "Unable to evaluate name ") {
		return missing("%q is not defined", noName.FindStringSubmatch(message)[1]), true
	}
	return undefined{}, false
}

// given returns v, or what is wrong with it if it is a fault or not there.
func (r *jinjaRun) given(v *exec.Value) (*exec.Value, error) {
	if r.fault != nil {
		return nil, r.fault
	}
	if v.IsError() {
		return nil, r.explained(v)
	}
	if u, ok := undefinedOf(v); ok {
		return nil, u.fault()
	}
	return v, nil
}

// boxed takes a value out of the list that brought it here. gonja calls no
// function with a fault for an argument, and goes on with the fault as with any
// value; in a list it arrives.
func boxed(v *exec.Value) *exec.Value { return v.Interface().(exec.ValuesList)[0] }

func (r *jinjaRun) unbox(v *exec.Value) (*exec.Value, error) { return r.given(boxed(v)) }

// group are parentheses and what filters and tests give, defined or not.
func (r *jinjaRun) group(a []*exec.Value) (any, error) {
	v := boxed(a[0])
	if !v.IsNil() {
		switch side := v.Interface().(type) {
		case truthy:
			v = side.value
		case falsy:
			v = side()
		}
	}
	if u, ok := undefinedOf(v); ok {
		return u, nil
	}
	return r.given(v)
}

// listOf is [a, b].
func (r *jinjaRun) listOf(a []*exec.Value) (any, error) {
	items, _ := a[0].Interface().(exec.ValuesList)
	list := make(exec.ValuesList, len(items))
	for i, item := range items {
		v, err := r.given(item)
		if err != nil {
			return nil, err
		}
		list[i] = v
	}
	return list, nil
}

// dictOf is {a: b, …} of a list of keys and values. A key that is there twice
// keeps its first place and takes its last value.
func (r *jinjaRun) dictOf(a []*exec.Value) (any, error) {
	list, err := r.listOf(a)
	if err != nil {
		return nil, err
	}
	items := list.(exec.ValuesList)
	dict := exec.NewDict()
	texts := map[string]*exec.Pair{}
	for i := 0; i+1 < len(items); i += 2 {
		key, value := items[i], items[i+1]
		if !hashable(key) {
			return nil, typeError("a %s cannot be a key", kindOf(key))
		}
		pair := pairOf(dict, key)
		if key.IsString() {
			// Most keys are texts; so that many of them are no square.
			pair = texts[key.String()]
		}
		if pair == nil {
			pair = &exec.Pair{Key: key}
			dict.Pairs = append(dict.Pairs, pair)
		}
		if key.IsString() {
			texts[key.String()] = pair
		}
		pair.Value = value
	}
	return dict, nil
}

func pairOf(dict *exec.Dict, key *exec.Value) *exec.Pair {
	if key.IsString() {
		return nil
	}
	for _, pair := range dict.Pairs {
		if equal(pair.Key, key) {
			return pair
		}
	}
	return nil
}

func hashable(v *exec.Value) bool {
	switch kindOf(v) {
	case "list", "dict", "dict_items", "dict_keys":
		return false
	case "tuple":
		for _, item := range elements(v) {
			if !hashable(item) {
				return false
			}
		}
	}
	return true
}

// pythonNames are what values of Python have besides their items. A template
// that names one without calling it would get a method, which prints and
// compares as nothing that is of use here.
var pythonNames = func() map[string]map[string]bool {
	number := "as_integer_ratio conjugate real imag "
	integer := names(number + "bit_count bit_length denominator from_bytes is_integer numerator to_bytes")
	view := names("isdisjoint mapping")
	return map[string]map[string]bool{
		"str":       names("capitalize casefold center count encode endswith expandtabs find format format_map index isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip maketrans partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title translate upper zfill"),
		"list":      names("append clear copy count extend index insert pop remove reverse sort"),
		"tuple":     names("count index"),
		"dict":      names("clear copy fromkeys get items keys pop popitem setdefault update values"),
		"int":       integer,
		"bool":      integer,
		"float":     names(number + "fromhex hex is_integer"),
		"range":     names("count index start step stop"),
		"generator": names("close gi_code gi_frame gi_running gi_suspended gi_yieldfrom send throw"),
		"dict_keys": view, "dict_items": view, "dict_values": names("mapping"),
		"macro": names("arguments caller catch_kwargs catch_varargs explicit_caller name"),
	}
}()

// attribute is base.name: the attributes that Python's value has come first,
// the items of a mapping follow.
func (r *jinjaRun) attribute(a []*exec.Value) (any, error) {
	base, err := r.unbox(a[0])
	if err != nil {
		return nil, err
	}
	return r.named(base, a[1].String())
}

func (r *jinjaRun) named(base *exec.Value, name string) (any, error) {
	kind := kindOf(base)
	if strings.HasPrefix(name, "__") && kind != "dict" {
		return nil, missing("there is no attribute %q", name).fault()
	}
	if pythonNames[kind][name] {
		return nil, methodAlone(kind, name)
	}
	if kind == "dict" {
		if v, ok := lookup(base, exec.AsValue(name)); ok {
			return v, nil
		}
		return missing("there is no attribute %q", name), nil
	}
	switch v := base.Interface().(type) {
	case *controlStructures.LoopInfos:
		return loopAttribute(v, name)
	case namespace:
		if value, ok := v[name]; ok {
			if value == (none{}) {
				return nil, nil
			}
			return value, nil
		}
	case group:
		switch name {
		case "grouper":
			return v[0], nil
		case "list":
			return v[1], nil
		}
	case map[string]func() string: // self: the blocks
		if block, ok := v[name]; ok {
			return block, nil
		}
	case interface {
		GetAttribute(string) (*exec.Value, bool)
	}:
		if value, ok := v.GetAttribute(name); ok {
			return value, nil
		}
	}
	if base.IsCallable() {
		return nil, &templateFault{rule: "R042", message: fmt.Sprintf("the attribute %s of a function, or of a loop that is recursive, is not supported", name), mend: "Call it, or pass what is needed as an argument."}
	}
	return missing("there is no attribute %q", name), nil
}

func methodAlone(kind, name string) error {
	mend := fmt.Sprintf("Call it: value.%s(…).", name)
	if kind == "dict" {
		mend = fmt.Sprintf("Call it, value.%s(); for a key write value['%s'].", name, name)
	}
	return &templateFault{rule: "R042", message: fmt.Sprintf("the attribute %s of a %s is a method of Python, which is not supported without a call", name, kind), mend: mend}
}

// loopNames are what `loop` has.
var loopNames = names("index index0 revindex revindex0 first last length depth depth0 previtem nextitem")

func loopAttribute(loop *controlStructures.LoopInfos, name string) (any, error) {
	flag := func(name string) bool {
		v, _ := loop.GetAttribute(name)
		return v.Bool()
	}
	switch {
	case name == "depth":
		return 1, nil // Jinja2 counts recursive loops only
	case name == "depth0":
		return 0, nil
	case name == "previtem" && flag("first"):
		return missing("there is no previous item"), nil
	case name == "nextitem" && flag("last"):
		return missing("there is no next item"), nil
	case name == "cycle" || name == "changed":
		return nil, methodAlone("loop", name)
	case !loopNames[name]:
		return missing("loop has no attribute %q", name), nil
	}
	v, _ := loop.GetAttribute(name)
	if _, pair := v.Interface().([2]*exec.Value); pair {
		return nil, &templateFault{rule: "R042", message: "loop." + name + " in a loop with two names is not supported", mend: "Loop over one name, and take its items by their index."}
	}
	return v, nil
}

// item is base[key]. As in Jinja2 a text that is no key is tried as the name of
// an attribute, and what is not found is not defined, whatever the reason.
func (r *jinjaRun) item(a []*exec.Value) (any, error) {
	base, err := r.unbox(a[0])
	if err != nil {
		return nil, err
	}
	key, err := r.unbox(a[1])
	if err != nil {
		return nil, err
	}
	switch kind := kindOf(base); {
	case kind == "dict":
		if v, ok := lookup(base, key); ok {
			return v, nil
		}
	case indexed[kind] && (key.IsInteger() || key.IsBool()):
		list := elements(base)
		i := integer(key)
		if i < 0 {
			i += int64(len(list))
		}
		if i >= 0 && i < int64(len(list)) {
			if isMarkup(base) {
				return markup(list[i].String()), nil
			}
			return list[i], nil
		}
	}
	if key.IsString() {
		return r.named(base, key.String())
	}
	shown, err := represent(key)
	if err != nil {
		shown = kindOf(key)
	}
	return missing("there is no item %s", shown), nil
}

// indexed are the kinds that have items by their number.
var indexed = names("str list tuple range")

// slice is base[start:stop:step].
func (r *jinjaRun) slice(a []*exec.Value) (any, error) {
	base, err := r.unbox(a[0])
	if err != nil {
		return nil, err
	}
	bounds := [3]*int64{}
	for i, v := range a[1:] {
		bound, err := r.unbox(v)
		if err != nil {
			return nil, err
		}
		if bound.IsNil() {
			continue
		}
		if !bound.IsInteger() && !bound.IsBool() {
			return missing("there is no part of a %s by a %s", kindOf(base), kindOf(bound)), nil
		}
		n := integer(bound)
		bounds[i] = &n
	}
	kind := kindOf(base)
	if !indexed[kind] {
		return missing("a %s has no parts", kind), nil
	}
	if kind == "range" {
		return nil, &templateFault{rule: "R042", message: "a part of a range is not supported", mend: "Give range other ends, or use range(…)|list."}
	}
	step := int64(1)
	if bounds[2] != nil {
		step = *bounds[2]
	}
	if step == 0 {
		return nil, typeError("the step of a slice must not be zero")
	}
	part := exec.ValuesList{}
	list := elements(base)
	for _, i := range sliced(int64(len(list)), bounds[0], bounds[1], step) {
		part = append(part, list[i])
	}
	if kind == "str" {
		var b strings.Builder
		for _, c := range part {
			b.WriteString(c.String())
		}
		if isMarkup(base) {
			return markup(b.String()), nil
		}
		return b.String(), nil
	}
	return sequence(kind, part), nil
}

// sliced are the indices of Python's slice(start, stop, step) of n items.
func sliced(n int64, start, stop *int64, step int64) (list []int64) {
	lowest, highest := int64(0), n
	if step < 0 {
		lowest, highest = -1, n-1
	}
	bound := func(p *int64, otherwise int64) int64 {
		if p == nil {
			return otherwise
		}
		i := *p
		if i < 0 {
			i += n
		}
		return max(lowest, min(i, highest))
	}
	first, end := bound(start, lowest), bound(stop, highest)
	if step < 0 {
		first, end = bound(start, highest), bound(stop, lowest)
	}
	for i := first; step > 0 && i < end || step < 0 && i > end; {
		list = append(list, i)
		next := i + step
		if step > 0 && next < i || step < 0 && next > i {
			break // beyond 64 bits
		}
		i = next
	}
	return list
}

// subscripted returns the rewritten form of base[…], from its bounds as they
// are written; a part of three is a slice.
func subscripted(base string, bounds []string) string {
	if len(bounds) == 1 {
		return fmt.Sprintf("%s([%s],[%s])", fnItem, base, bounds[0])
	}
	for len(bounds) < 3 {
		bounds = append(bounds, "")
	}
	for i, b := range bounds {
		if strings.TrimSpace(b) == "" {
			bounds[i] = "None" + b
		}
	}
	return fmt.Sprintf("%s([%s],[%s],[%s],[%s])", fnSlice, base, bounds[0], bounds[1], bounds[2])
}

// attributed returns the rewritten form of base.name, and of base.0, which is
// base[0].
func attributed(base, name string, called bool) string {
	trimmed := strings.TrimSpace(name)
	after := name[len(trimmed)+strings.Index(name, trimmed):]
	if _, err := strconv.Atoi(trimmed); err == nil {
		return fmt.Sprintf("%s([%s],[%s])%s", fnItem, base, trimmed, after)
	}
	function := fnAttribute
	if called {
		function = fnMethod
	}
	return fmt.Sprintf("%s([%s],'%s')%s", function, base, trimmed, after)
}
