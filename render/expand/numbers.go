package expand

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/exec"
)

func filterAbs(_ *jinjaRun, in *exec.Value, _ []*exec.Value) (any, error) {
	if in.IsFloat() {
		return math.Abs(in.Float()), nil
	}
	if i := integer(in); i < 0 {
		return integers("-", 0, i)
	}
	return int(integer(in)), nil
}

// filterRound is Python's round, which rounds halves to even digits.
func filterRound(_ *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	digits := 0
	if a[0] != nil && a[0].IsInteger() {
		digits = a[0].Integer()
	}
	if a[0] != nil && !a[0].IsInteger() || a[1] != nil || digits < 0 || digits > 100 {
		return nil, &templateFault{rule: "R042", message: "round takes a number of digits only", mend: "Use // to round down."}
	}
	if !in.IsFloat() {
		return int(integer(in)), nil
	}
	return strconv.ParseFloat(strconv.FormatFloat(in.Float(), 'f', digits, 64), 64)
}

func filterSum(r *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	total := exec.AsValue(0)
	if a[1] != nil {
		total = a[1]
	}
	if total.IsString() {
		return nil, typeError("sum does not add texts; use join")
	}
	for _, item := range elements(in) {
		if a[0] != nil && !a[0].IsNil() {
			var err error
			if item, err = r.path(item, a[0]); err != nil {
				return nil, err
			}
		}
		sum, err := arithmetic("+", total, item, maxWidth)
		if err != nil {
			return nil, err
		}
		total = exec.AsValue(sum)
	}
	return total.Interface(), nil
}

// filterCenter is str.center, which puts the odd space where CPython does.
func filterCenter(_ *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	width := 80
	if a[0] != nil {
		if !a[0].IsInteger() {
			return nil, typeError("center wants a width")
		}
		width = a[0].Integer()
	}
	s := in.String()
	space := width - utf8.RuneCountInString(s)
	if space <= 0 {
		return s, nil
	}
	left := space/2 + space&width&1
	return strings.Repeat(" ", left) + s + strings.Repeat(" ", space-left), nil
}

// wholeNumber and fraction are the texts that Python's int and float read; more
// digits than those of ASCII are not supported.
var (
	wholeNumber = regexp.MustCompile(`^[-+]?\d(_?\d)*$`)
	fraction    = regexp.MustCompile(`^[-+]?(\d(_?\d)*\.?|(\d(_?\d)*)?\.\d(_?\d)*)([eE][-+]?\d(_?\d)*)?$|(?i)^[-+]?(inf|infinity|nan)$`)
)

// filterInt is Python's int() of a value, and a default where that fails.
func filterInt(_ *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	otherwise := cmp.Or(a[0], exec.AsValue(0))
	if a[1] != nil && (!a[1].IsInteger() || a[1].Integer() != 10) {
		return intOfBase(in, otherwise, a[1])
	}
	switch kind := kindOf(in); {
	case kind == "int" || kind == "bool":
		return int(integer(in)), nil
	case kind == "float":
		return truncated(in.Float(), otherwise)
	case kind != "str":
		return otherwise, nil
	}
	s := strings.TrimFunc(in.String(), isSpace)
	if err := asciiDigits(s); err != nil {
		return nil, err
	}
	if wholeNumber.MatchString(s) {
		n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
		if err != nil {
			return nil, tooBig()
		}
		return int(n), nil
	}
	if fraction.MatchString(s) {
		f, _ := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
		return truncated(f, otherwise)
	}
	return otherwise, nil
}

func intOfBase(in, otherwise, base *exec.Value) (any, error) {
	if !in.IsString() || !base.IsInteger() || base.Integer() != 16 && base.Integer() != 8 && base.Integer() != 2 {
		return nil, &templateFault{rule: "R042", message: "int is supported of a text, and with the bases 10, 16, 8 and 2", mend: "Make the number a parameter."}
	}
	s := strings.ToLower(strings.TrimFunc(in.String(), isSpace))
	if err := asciiDigits(s); err != nil {
		return nil, err
	}
	sign := ""
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, s = s[:1], s[1:]
	}
	s = strings.TrimPrefix(s, map[int]string{16: "0x", 8: "0o", 2: "0b"}[base.Integer()])
	n, err := strconv.ParseInt(sign+s, base.Integer(), 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return nil, tooBig()
	case strings.Contains(s, "_") || strings.ContainsAny(s, ".") || err != nil && fraction.MatchString(s):
		return nil, &templateFault{rule: "R042", message: "int of this text with a base is not supported", mend: "Make the number a parameter."}
	case err != nil || s == "" || s[0] == '-' || s[0] == '+':
		return otherwise, nil
	}
	return int(n), nil
}

func asciiDigits(s string) error {
	for _, r := range s {
		if r >= utf8.RuneSelf && unicode.IsDigit(r) {
			return &templateFault{rule: "R042", message: fmt.Sprintf("the digit %c is not supported", r), mend: "Write the number with the digits 0 to 9."}
		}
	}
	return nil
}

// truncated is int() of a float, which fails for what is no number.
func truncated(f float64, otherwise *exec.Value) (any, error) {
	switch {
	case math.IsInf(f, 0) || math.IsNaN(f):
		return otherwise, nil
	case math.Abs(f) >= 1<<62:
		return nil, tooBig()
	}
	return int(f), nil
}

// filterFloat is Python's float() of a value, and a default where that fails.
func filterFloat(_ *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	otherwise := cmp.Or(a[0], exec.AsValue(0.0))
	switch kind := kindOf(in); {
	case isNumber(kind):
		return float(in), nil
	case kind != "str":
		return otherwise, nil
	}
	s := strings.TrimFunc(in.String(), isSpace)
	if err := asciiDigits(s); err != nil {
		return nil, err
	}
	if !fraction.MatchString(s) {
		return otherwise, nil
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return otherwise, nil
	}
	return f, nil
}
