package expand

import (
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

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
	case isMarkup(a) || isMarkup(b) && operator != "%":
		return nil, markupRefused("the operator " + operator)
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
