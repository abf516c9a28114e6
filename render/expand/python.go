package expand

import (
	"fmt"
	"math"
	"reflect"
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
	switch v.Interface().(type) {
	case tuple:
		return "tuple"
	case numbers:
		return "range"
	}
	if v.Val.Type().Name() == "tupleValue" { // gonja's own, of groupby
		return "tuple"
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
	var out []*exec.Value
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
	case "":
		return true
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
		return quote(v.String()), nil
	case "list", "tuple":
		return sequenceText(elements(v), kind == "tuple")
	case "dict":
		return dictText(v)
	case "range":
		return "", &templateFault{rule: "R042", message: "a range cannot be printed", mend: "Use range(…)|list."}
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
		return float(a) == float(b)
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
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
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
		x, y := float(a), float(b)
		if math.IsNaN(x) || math.IsNaN(y) {
			return false, nil
		}
		order = sign(x - y)
		if ka != "float" && kb != "float" {
			order = sign64(integer(a), integer(b))
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

func sign(f float64) int {
	switch {
	case f < 0:
		return -1
	case f > 0:
		return 1
	}
	return 0
}

func sign64(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
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
	case "dict":
		if k := kindOf(item); k == "list" || k == "dict" {
			return false, typeError("a %s cannot be a key", k)
		}
		_, ok := lookup(in, item)
		return ok, nil
	}
	return false, typeError("%s has no items to look in", kindOf(in))
}
