package expand

import (
	"fmt"
	"math"
	"math/bits"
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

// maxItems bounds lists; Jinja2's own sandbox bounds ranges by the same number.
const maxItems = 100_000

func tooBig() error {
	return &templateFault{rule: "R042", message: "the result has more than 64 bits", mend: "Use smaller numbers; Python's unbounded integers are not supported."}
}

// arithmetic is one of Python's operators. Most is how long a text or a list
// may become.
func arithmetic(operator string, a, b *exec.Value, most int) (any, error) {
	ka, kb := kindOf(a), kindOf(b)
	switch {
	case operator == "~":
		return concatenate(a, b, most)
	case operator == "%" && ka == "str":
		return format(a.String(), b, most)
	case operator == "+" && ka == "str" && kb == "str":
		return concatenate(a, b, most)
	case operator == "+" && ka == kb && (ka == "list" || ka == "tuple"):
		joined := append(elements(a), elements(b)...)
		if len(joined) > maxItems {
			return nil, tooLong(maxItems)
		}
		return sequence(ka, joined), nil
	case operator == "*" && kb == "int" && (ka == "str" || ka == "list" || ka == "tuple"):
		return repeat(a, ka, b.Integer(), most)
	case operator == "*" && ka == "int" && (kb == "str" || kb == "list" || kb == "tuple"):
		return repeat(b, kb, a.Integer(), most)
	case !isNumber(ka) || !isNumber(kb):
		return nil, typeError("%s is not supported between %s and %s", operator, ka, kb)
	case operator == "/" || ka == "float" || kb == "float":
		return floats(operator, float(a), float(b))
	}
	return integers(operator, integer(a), integer(b))
}

func tooLong(most int) error {
	return &templateFault{rule: "R043", message: fmt.Sprintf("a text or list grows beyond %d", most), mend: "Make less of it, or use an Expansion with items."}
}

func sequence(kind string, items []*exec.Value) any {
	if kind == "tuple" {
		return tuple(items)
	}
	return exec.ValuesList(items)
}

func concatenate(a, b *exec.Value, most int) (any, error) {
	x, err := text(a)
	if err != nil {
		return nil, err
	}
	y, err := text(b)
	if err != nil {
		return nil, err
	}
	if len(x)+len(y) > most {
		return nil, tooLong(most)
	}
	return x + y, nil
}

func repeat(v *exec.Value, kind string, n, most int) (any, error) {
	n = max(n, 0)
	if kind != "str" {
		most = maxItems
	}
	if high, low := bits.Mul64(uint64(v.Len()), uint64(n)); high > 0 || low > uint64(most) {
		return nil, tooLong(most)
	}
	if kind == "str" {
		if len(v.String())*n > most {
			return nil, tooLong(most)
		}
		return strings.Repeat(v.String(), n), nil
	}
	items := elements(v)
	out := make([]*exec.Value, 0, len(items)*n)
	for range n {
		out = append(out, items...)
	}
	return sequence(kind, out), nil
}

func floats(operator string, a, b float64) (any, error) {
	if b == 0 && (operator == "/" || operator == "//" || operator == "%") {
		return nil, typeError("division by zero")
	}
	switch operator {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "/":
		return a / b, nil
	case "//":
		quotient, _ := divideFloats(a, b)
		return quotient, nil
	case "%":
		_, rest := divideFloats(a, b)
		return rest, nil
	}
	return floatPower(a, b)
}

// floatPower gives only the powers that are sure to have the same last digit
// in C, which Python uses.
func floatPower(a, b float64) (any, error) {
	switch {
	case b == 0:
		return 1.0, nil
	case b == 1:
		return a, nil
	case b == 2 && !math.IsInf(a*a, 0):
		return a * a, nil
	case b == 0.5 && a >= 0:
		return math.Sqrt(a), nil
	}
	return nil, &templateFault{rule: "R042", message: "this power of numbers with a fraction is not supported", mend: "Multiply, or give the result as a parameter."}
}

// divideFloats is Python's divmod of floats; see float_divmod in CPython.
func divideFloats(a, b float64) (quotient, rest float64) {
	rest = math.Mod(a, b)
	quotient = (a - rest) / b
	if rest == 0 {
		rest = math.Copysign(0, b)
	} else if (rest < 0) != (b < 0) {
		rest += b
		quotient--
	}
	if quotient == 0 {
		return math.Copysign(0, a/b), rest
	}
	floor := math.Floor(quotient)
	if quotient-floor > 0.5 {
		floor++
	}
	return floor, rest
}

func integers(operator string, a, b int64) (any, error) {
	if b == 0 && (operator == "//" || operator == "%") {
		return nil, typeError("division by zero")
	}
	switch operator {
	case "+":
		if c := a + b; (c > a) == (b > 0) {
			return int(c), nil
		}
		return nil, tooBig()
	case "-":
		if c := a - b; (c < a) == (b > 0) {
			return int(c), nil
		}
		return nil, tooBig()
	case "*":
		return multiply(a, b)
	case "//", "%":
		if b == -1 {
			if operator == "%" {
				return 0, nil
			}
			return multiply(a, -1)
		}
		q, m := a/b, a%b
		if m != 0 && (m < 0) != (b < 0) {
			q, m = q-1, m+b
		}
		if operator == "%" {
			return int(m), nil
		}
		return int(q), nil
	}
	return power(a, b)
}

func multiply(a, b int64) (any, error) {
	if a == 0 || b == 0 {
		return 0, nil
	}
	c := a * b
	if c/b != a || a == -1 && b == math.MinInt64 || b == -1 && a == math.MinInt64 {
		return nil, tooBig()
	}
	return int(c), nil
}

func power(base, exponent int64) (any, error) {
	if exponent < 0 {
		if base == 0 {
			return nil, typeError("division by zero")
		}
		return floatPower(float64(base), float64(exponent))
	}
	if base == 0 || base == 1 || base == -1 {
		switch {
		case exponent == 0:
			return 1, nil
		case base == -1 && exponent%2 == 0:
			return 1, nil
		}
		return int(base), nil
	}
	result := int64(1)
	for range exponent {
		next, err := multiply(result, base)
		if err != nil {
			return nil, err
		}
		result = int64(next.(int))
	}
	return int(result), nil
}
