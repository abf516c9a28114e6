package expand

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// tuple is Python's: it prints with parentheses, and is a list otherwise.
type tuple []*exec.Value

// String returns the tuple as Python prints it.
func (t tuple) String() string {
	s, err := represent(exec.AsValue(t))
	if err != nil {
		return "()"
	}
	return s
}

// numbers are what range gives: a list that is not one.
type numbers []int

func typeError(format string, args ...any) error {
	return &templateFault{rule: "R041", message: fmt.Sprintf(format, args...)}
}

// kindOf names the Python type of a value; "" for what no value of a template
// should be.
func kindOf(v *exec.Value) string {
	switch {
	case v.IsNil():
		return "None"
	case v.IsBool():
		return "bool"
	case v.IsInteger():
		return "int"
	case v.IsFloat():
		return "float"
	case v.IsString():
		return "str"
	}
	switch value := v.Interface().(type) {
	case tuple, group:
		return "tuple"
	case numbers:
		return "range"
	case *generator:
		return "generator"
	case view:
		return value.kind
	case namespace, undefined, map[string]func() string:
		return ""
	case exec.Macro:
		return "macro"
	}
	if v.IsDict() {
		return "dict"
	}
	if v.IsList() {
		return "list"
	}
	return ""
}

func isNumber(kind string) bool { return kind == "int" || kind == "float" || kind == "bool" }

func integer(v *exec.Value) int64 {
	if v.IsBool() {
		if v.Bool() {
			return 1
		}
		return 0
	}
	return int64(v.Integer())
}

func float(v *exec.Value) float64 {
	if v.IsFloat() {
		return v.Float()
	}
	return float64(integer(v))
}

func elements(v *exec.Value) []*exec.Value {
	if !v.IsNil() {
		if seen, ok := v.Interface().(view); ok {
			return seen.items
		}
	}
	var out []*exec.Value
	if v.IsString() {
		for _, r := range v.String() {
			out = append(out, exec.AsValue(string(r)))
		}
		return out
	}
	v.Iterate(func(_, _ int, key, value *exec.Value) bool {
		out = append(out, key)
		return true
	}, func() {})
	return out
}

// truth is Python's bool().
func truth(v *exec.Value) bool {
	switch kindOf(v) {
	case "None":
		return false
	case "bool":
		return v.Bool()
	case "int", "float":
		return float(v) != 0
	case "", "generator", "macro":
		return true
	case "dict_items", "dict_keys", "dict_values":
		return len(v.Interface().(view).items) > 0
	default:
		return v.Len() > 0
	}
}

// text is Python's str().
func text(v *exec.Value) (string, error) {
	if v.IsString() {
		return v.String(), nil
	}
	return represent(v)
}

// represent is Python's repr().
func represent(v *exec.Value) (string, error) {
	switch kind := kindOf(v); kind {
	case "None":
		return "None", nil
	case "bool":
		if v.Bool() {
			return "True", nil
		}
		return "False", nil
	case "int":
		return strconv.Itoa(v.Integer()), nil
	case "float":
		return floatText(v.Float()), nil
	case "str":
		if isMarkup(v) {
			return "Markup(" + quote(v.String()) + ")", nil
		}
		return quote(v.String()), nil
	case "list", "tuple":
		return sequenceText(elements(v), kind == "tuple")
	case "dict":
		return dictText(v)
	case "range", "generator":
		return "", &templateFault{rule: "R042", message: "a " + kind + " cannot be printed; filters such as map and select give one", mend: "Make a list of it with the filter list."}
	case "dict_items", "dict_keys", "dict_values":
		s, err := represent(exec.AsValue(v.Interface().(view).items))
		return kind + "(" + s + ")", err
	default:
		return "", &templateFault{rule: "R042", message: "a function or another object of the engine cannot be printed", mend: "Call it, or print its attributes."}
	}
}

func sequenceText(list []*exec.Value, isTuple bool) (string, error) {
	parts := make([]string, len(list))
	for i, item := range list {
		s, err := represent(item)
		if err != nil {
			return "", err
		}
		parts[i] = s
	}
	inside := strings.Join(parts, ", ")
	switch {
	case !isTuple:
		return "[" + inside + "]", nil
	case len(list) == 1:
		return "(" + inside + ",)", nil
	}
	return "(" + inside + ")", nil
}

func dictText(v *exec.Value) (string, error) {
	var parts []string
	var failed error
	v.Iterate(func(_, _ int, key, value *exec.Value) bool {
		k, err := represent(key)
		if err == nil {
			var s string
			s, err = represent(value)
			parts = append(parts, k+": "+s)
		}
		failed = err
		return err == nil
	}, func() {})
	return "{" + strings.Join(parts, ", ") + "}", failed
}

func floatText(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	scientific := strconv.FormatFloat(f, 'e', -1, 64)
	_, exponent, _ := strings.Cut(scientific, "e")
	if e, _ := strconv.Atoi(exponent); e < -4 || e >= 16 {
		return scientific
	}
	plain := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(plain, ".") {
		plain += ".0"
	}
	return plain
}

func quote(s string) string {
	q := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		q = '"'
	}
	var b strings.Builder
	b.WriteRune(q)
	for _, r := range s {
		switch {
		case r == q || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(q)
	return b.String()
}

// equal is Python's ==.
func equal(a, b *exec.Value) bool {
	ka, kb := kindOf(a), kindOf(b)
	switch {
	case isNumber(ka) && isNumber(kb):
		if ka != "float" && kb != "float" {
			return integer(a) == integer(b)
		}
		order, ordered := numberOrder(a, b)
		return ordered && order == 0
	case ka != kb:
		return false
	case ka == "None":
		return true
	case ka == "str":
		return a.String() == b.String()
	case ka == "list" || ka == "tuple" || ka == "range":
		la, lb := elements(a), elements(b)
		if len(la) != len(lb) {
			return false
		}
		for i := range la {
			if !equal(la[i], lb[i]) {
				return false
			}
		}
		return true
	case ka == "dict":
		return equalDicts(a, b)
	case ka == "dict_keys" || ka == "dict_items":
		return equalSets(a, b)
	}
	if ka == "generator" {
		return a.Interface() == b.Interface()
	}
	return false
}

// equalSets compares views of mappings, whose order does not count.
func equalSets(a, b *exec.Value) bool {
	la, lb := a.Interface().(view).items, b.Interface().(view).items
	for _, item := range la {
		if !slices.ContainsFunc(lb, func(other *exec.Value) bool { return equal(item, other) }) {
			return false
		}
	}
	return len(la) == len(lb)
}

func equalDicts(a, b *exec.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	same := true
	a.Iterate(func(_, _ int, key, value *exec.Value) bool {
		other, ok := lookup(b, key)
		same = ok && equal(value, other)
		return same
	}, func() {})
	return same
}

func lookup(dict, key *exec.Value) (*exec.Value, bool) {
	var found *exec.Value
	dict.Iterate(func(_, _ int, k, value *exec.Value) bool {
		if equal(k, key) {
			found = value
		}
		return found == nil
	}, func() {})
	return found, found != nil
}

// compare is one of Python's comparisons.
func compare(operator string, a, b *exec.Value) (bool, error) {
	switch operator {
	case "==":
		return equal(a, b), nil
	case "!=":
		return !equal(a, b), nil
	case "in":
		return contains(b, a)
	case "not in":
		found, err := contains(b, a)
		return !found, err
	}
	ka, kb := kindOf(a), kindOf(b)
	var order int
	switch {
	case isNumber(ka) && isNumber(kb):
		var ordered bool
		if order, ordered = numberOrder(a, b); !ordered {
			return false, nil
		}
	case ka == "str" && kb == "str":
		order = strings.Compare(a.String(), b.String())
	case ka == kb && (ka == "list" || ka == "tuple"):
		return false, &templateFault{rule: "R042", message: "an order of lists is not supported", mend: "Compare their items."}
	default:
		return false, typeError("'%s' is not supported between %s and %s", operator, ka, kb)
	}
	switch operator {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	default:
		return order >= 0, nil
	}
}

// chain is a < b < c.
func chain(a []*exec.Value) (any, error) {
	for i := 0; i+2 < len(a); i += 2 {
		ok, err := compare(a[i+1].String(), a[i], a[i+2])
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// numberOrder compares without rounding, as Python does; NaN has no order.
func numberOrder(a, b *exec.Value) (order int, ordered bool) {
	if !a.IsFloat() && !b.IsFloat() {
		return cmp.Compare(integer(a), integer(b)), true
	}
	exact := func(v *exec.Value) *big.Float {
		if v.IsFloat() {
			return big.NewFloat(v.Float())
		}
		return new(big.Float).SetPrec(64).SetInt64(integer(v))
	}
	if a.IsFloat() && math.IsNaN(a.Float()) || b.IsFloat() && math.IsNaN(b.Float()) {
		return 0, false
	}
	return exact(a).Cmp(exact(b)), true
}

func contains(in, item *exec.Value) (bool, error) {
	switch kindOf(in) {
	case "str":
		if !item.IsString() {
			return false, typeError("'in <string>' wants a text on its left, not %s", kindOf(item))
		}
		return strings.Contains(in.String(), item.String()), nil
	case "list", "tuple", "range":
		for _, e := range elements(in) {
			if equal(e, item) {
				return true, nil
			}
		}
		return false, nil
	case "generator", "dict_keys", "dict_items", "dict_values":
		list, err := iterable(in)
		if err != nil {
			return false, err
		}
		return contains(exec.ToValue(list), item)
	case "dict":
		if !hashable(item) {
			return false, typeError("a %s cannot be a key", kindOf(item))
		}
		_, ok := lookup(in, item)
		return ok, nil
	}
	return false, typeError("%s has no items to look in", kindOf(in))
}
