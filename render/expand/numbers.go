package expand

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/exec"
)

func filterAbs(_ *jinjaRun, in *exec.Value, _ *exec.VarArgs) (any, error) {
	if in.IsFloat() {
		return math.Abs(in.Float()), nil
	}
	if i := integer(in); i < 0 {
		return integers("-", 0, i)
	}
	return int(integer(in)), nil
}

// filterRound is Python's round, which rounds halves to even digits.
func filterRound(_ *jinjaRun, in *exec.Value, a *exec.VarArgs) (any, error) {
	digits := 0
	if len(a.Args) > 0 && a.Args[0].IsInteger() {
		digits = a.Args[0].Integer()
	}
	if len(a.Args) > 1 || len(a.KwArgs) > 0 || digits < 0 || digits > 100 {
		return nil, &templateFault{rule: "R042", message: "round takes a number of digits only", mend: "Use // to round down."}
	}
	if !in.IsFloat() {
		return int(integer(in)), nil
	}
	return strconv.ParseFloat(strconv.FormatFloat(in.Float(), 'f', digits, 64), 64)
}

func filterSum(_ *jinjaRun, in *exec.Value, a *exec.VarArgs) (any, error) {
	attribute := a.KwArgs["attribute"]
	if len(a.Args) > 0 {
		attribute = a.Args[0]
	}
	total := exec.AsValue(0)
	for _, item := range elements(in) {
		if attribute != nil && !attribute.IsNil() {
			var found bool
			if item, found = item.GetItem(attribute.Interface()); !found {
				return nil, typeError("there is no attribute %q", attribute.String())
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
func filterCenter(_ *jinjaRun, in *exec.Value, a *exec.VarArgs) (any, error) {
	width := 80
	if len(a.Args) > 0 {
		if !a.Args[0].IsInteger() {
			return nil, typeError("center wants a width")
		}
		width = a.Args[0].Integer()
	}
	s := in.String()
	space := width - utf8.RuneCountInString(s)
	if space <= 0 {
		return s, nil
	}
	left := space/2 + space&width&1
	return strings.Repeat(" ", left) + s + strings.Repeat(" ", space-left), nil
}
