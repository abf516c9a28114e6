package expand

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

var conversion = regexp.MustCompile(`^([-+ 0#]*)(\d*)(?:\.(\d*))?([a-zA-Z%])`)

// format is Python's `template % argument`. Conversions that it does not do
// exactly are refused.
func format(template string, argument *exec.Value, most int) (any, error) {
	arguments := []*exec.Value{argument}
	if kindOf(argument) == "tuple" {
		arguments = elements(argument)
	} else if kindOf(argument) == "dict" && strings.Contains(template, "%(") {
		return nil, &templateFault{rule: "R042", message: "%(name)s is not supported", mend: "Write %s and give a tuple."}
	}
	return formatAll(template, arguments, most)
}

func formatAll(template string, arguments []*exec.Value, most int) (any, error) {
	var b strings.Builder
	next := 0
	for {
		before, after, found := strings.Cut(template, "%")
		b.WriteString(before)
		if !found {
			break
		}
		m := conversion.FindStringSubmatch(after)
		if m == nil {
			return nil, typeError("unsupported format character after %%")
		}
		template = after[len(m[0]):]
		if m[4] == "%" {
			b.WriteByte('%')
			continue
		}
		if next >= len(arguments) {
			return nil, typeError("not enough arguments for the format")
		}
		s, err := conversionOf(m).format(arguments[next], most)
		if err != nil {
			return nil, err
		}
		next++
		b.WriteString(s)
		if b.Len() > most {
			return nil, tooLong(most)
		}
	}
	if next < len(arguments) {
		return nil, typeError("not all arguments were used by the format")
	}
	return b.String(), nil
}

// directive is one conversion of a format, such as %-5.2f.
type directive struct {
	flags, width, precision, verb string
	hasPrecision                  bool
}

func conversionOf(m []string) directive {
	return directive{flags: m[1], width: m[2], precision: m[3], verb: m[4], hasPrecision: strings.Contains(m[0], ".")}
}

// format returns v as Python's % operator would, at most most characters long.
func (d directive) format(v *exec.Value, most int) (string, error) {
	flags, width, precision, verb, hasPrecision := d.flags, d.width, d.precision, d.verb, d.hasPrecision
	w, _ := strconv.Atoi("0" + width)
	p, _ := strconv.Atoi("0" + precision)
	if len(width) > 9 || len(precision) > 9 || w > most || p > most {
		return "", tooLong(most)
	}
	refused := &templateFault{rule: "R042", message: fmt.Sprintf("the format %%%s%s is not supported here", flags, verb), mend: "Use %d, %s or %f with a width."}
	if strings.ContainsAny(flags, "#") {
		return "", refused
	}
	spec := "%" + flags + width
	switch verb {
	case "s", "r":
		s, err := text(v)
		if verb == "r" {
			s, err = represent(v)
		}
		if err != nil {
			return "", err
		}
		if hasPrecision {
			s = string([]rune(s)[:min(p, len([]rune(s)))])
		}
		// Python pads texts with spaces even where the flag says 0.
		return fmt.Sprintf("%"+strings.Trim(flags, "0+ ")+width+"s", s), nil
	case "d", "i", "u", "x", "X", "o":
		kind := kindOf(v)
		if kind == "float" && strings.Contains("diu", verb) {
			if math.Abs(v.Float()) >= 1<<62 {
				return "", tooBig()
			}
			return fmt.Sprintf(spec+"d", int64(v.Float())), nil
		}
		if kind != "int" && kind != "bool" {
			return "", typeError("%%%s wants a number, not %s", verb, kind)
		}
		if hasPrecision {
			return "", refused
		}
		if strings.Contains("iu", verb) {
			verb = "d"
		}
		return fmt.Sprintf(spec+verb, integer(v)), nil
	case "f", "F", "e", "E":
		if !isNumber(kindOf(v)) {
			return "", typeError("%%%s wants a number, not %s", verb, kindOf(v))
		}
		if !hasPrecision {
			p = 6
		}
		return fmt.Sprintf(spec+"."+strconv.Itoa(p)+verb, float(v)), nil
	}
	return "", refused
}
