package expand

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// stripped makes the methods that take characters off a text: those of the
// argument, or what Python takes for white space.
func stripping(left, right bool) func(string, []*exec.Value) (any, error) {
	return func(s string, a []*exec.Value) (any, error) {
		off := isSpace
		switch {
		case len(a) > 1 || len(a) == 1 && !a[0].IsNil() && !a[0].IsString():
			return nil, typeError("the method wants a text of characters, or nothing")
		case len(a) == 1 && !a[0].IsNil():
			off = func(r rune) bool { return strings.ContainsRune(a[0].String(), r) }
		}
		if left {
			s = strings.TrimLeftFunc(s, off)
		}
		if right {
			s = strings.TrimRightFunc(s, off)
		}
		return s, nil
	}
}

// splitting makes split and rsplit, which differ if there are more parts than
// are wanted.
func splitting(fromRight bool) func(string, []*exec.Value) (any, error) {
	return func(s string, a []*exec.Value) (any, error) {
		most := -1
		if len(a) == 2 && a[1].IsInteger() {
			most = a[1].Integer()
		}
		bySpace := len(a) == 0 || a[0].IsNil()
		switch {
		case len(a) > 2 || len(a) == 2 && !a[1].IsInteger() || !bySpace && !a[0].IsString():
			return nil, typeError("the method wants a separator and a number of times")
		case bySpace && most >= 0:
			return nil, &templateFault{rule: "R042", message: "a split at white space that ends after some times is not supported", mend: "Name the separator: split(' ', 1)."}
		case bySpace:
			return strings.FieldsFunc(s, isSpace), nil
		case a[0].String() == "":
			return nil, typeError("the separator is empty")
		}
		parts := strings.Split(s, a[0].String())
		if most < 0 || len(parts)-1 <= most {
			return parts, nil
		}
		if fromRight {
			cut := len(parts) - most
			return slices.Concat([]string{strings.Join(parts[:cut], a[0].String())}, parts[cut:]), nil
		}
		return strings.SplitN(s, a[0].String(), most+1), nil
	}
}

// asking makes the methods that ask something of every character, and are
// false for an empty text. Of some characters Go knows less than Python.
func asking(of func(rune) bool) func(string, []*exec.Value) (any, error) {
	return func(s string, a []*exec.Value) (any, error) {
		if len(a) > 0 {
			return nil, typeError("the method takes no arguments")
		}
		for _, r := range s {
			if r >= utf8.RuneSelf && !unicode.IsLetter(r) {
				return nil, &templateFault{rule: "R042", message: "the method is supported for letters, digits and signs of ASCII, and letters of other scripts", mend: "Compare the text, or make the answer a parameter."}
			}
		}
		return s != "" && strings.IndexFunc(s, func(r rune) bool { return !of(r) }) < 0, nil
	}
}

func caseAsking(to, from func(string) (string, error)) func(string, []*exec.Value) (any, error) {
	return func(s string, a []*exec.Value) (any, error) {
		if len(a) > 0 {
			return nil, typeError("the method takes no arguments")
		}
		return cased(exec.AsValue(s), to, from)
	}
}

func affixed(cut func(string, string) string) func(string, []*exec.Value) (any, error) {
	return func(s string, a []*exec.Value) (any, error) {
		if len(a) != 1 || !a[0].IsString() {
			return nil, typeError("the method wants one text")
		}
		return cut(s, a[0].String()), nil
	}
}

func replaceMethod(s string, a []*exec.Value) (any, error) {
	count := -1
	if len(a) == 3 && a[2].IsInteger() {
		count = a[2].Integer()
	}
	if len(a) < 2 || len(a) > 3 || len(a) == 3 && !a[2].IsInteger() || !a[0].IsString() || !a[1].IsString() {
		return nil, typeError("replace wants what to replace, by what, and how often")
	}
	return strings.Replace(s, a[0].String(), a[1].String(), count), nil
}

func joinMethod(s string, a []*exec.Value) (any, error) {
	if len(a) != 1 {
		return nil, typeError("join wants one list")
	}
	list, err := iterable(a[0])
	if err != nil {
		return nil, err
	}
	var parts []string
	for _, item := range elements(exec.ToValue(list)) {
		if !item.IsString() {
			return nil, typeError("join wants texts, not %s; the filter join takes everything", kindOf(item))
		}
		parts = append(parts, item.String())
	}
	return strings.Join(parts, s), nil
}

// titleMethod is str.title, where every letter after what is no letter is
// large.
func titleMethod(s string) (string, error) {
	var b strings.Builder
	inside := false
	for _, r := range s {
		change := unicode.ToTitle
		if inside {
			change = unicode.ToLower
		}
		b.WriteRune(change(r))
		inside = unicode.IsLetter(r)
	}
	return b.String(), plainCase(s)
}

// formatSpec is what of Python's format specifications is done here.
var formatSpec = regexp.MustCompile(`^(?:(.)?([<>^]))?(0)?(\d{1,4})?(?:\.(\d{1,3}))?([dsf])?$`)

// formatFields are the fields of a text for str.format.
var formatFields = regexp.MustCompile(`\{\{|\}\}|\{([A-Za-z_]\w*|\d{1,3})?(![rs])?(?::([^{}]*))?\}|[{}]`)

// formatMethod is str.format, without attributes, items and nested fields.
func formatMethod(s string, a *exec.VarArgs) (any, error) {
	var b strings.Builder
	done, next := 0, 0
	for _, m := range formatFields.FindAllStringSubmatchIndex(s, -1) {
		b.WriteString(s[done:m[0]])
		done = m[1]
		field := s[m[0]:m[1]]
		part := func(i int) string {
			if m[2*i] < 0 {
				return ""
			}
			return s[m[2*i]:m[2*i+1]]
		}
		switch field {
		case "{{", "}}":
			b.WriteString(field[:1])
			continue
		case "{", "}":
			return nil, formatRefused(field)
		}
		name := part(1)
		if name == "" && next >= 0 {
			name = strconv.Itoa(next)
			next++
		} else if _, err := strconv.Atoi(name); err == nil && next <= 0 {
			next = -1 // Python does not mix the two kinds
		} else if err == nil || name == "" {
			return nil, typeError("format mixes {} and {0}")
		}
		v := a.KwArgs[name]
		if i, err := strconv.Atoi(name); err == nil && i < len(a.Args) {
			v = a.Args[i]
		}
		if v == nil {
			return nil, typeError("format has no argument %s", name)
		}
		shown, err := formatField(v, part(2), part(3))
		if err != nil {
			return nil, err
		}
		b.WriteString(shown)
	}
	return b.String() + s[done:], nil
}

func formatRefused(what string) error {
	return &templateFault{rule: "R042", message: "this field of format is not supported: " + what, mend: "Use {}, {0}, {name} with a width, or the operator %."}
}

func formatField(v *exec.Value, conversion, spec string) (string, error) {
	if conversion != "" {
		s, err := text(v)
		if conversion == "!r" {
			s, err = represent(v)
		}
		if err != nil {
			return "", err
		}
		v = exec.AsValue(s)
	}
	if spec == "" {
		return text(v)
	}
	m := formatSpec.FindStringSubmatch(spec)
	kind := kindOf(v)
	if m == nil || m[3] != "" && m[2] != "" {
		return "", formatRefused(spec)
	}
	fill, align, zero, precision, verb := m[1], m[2], m[3] != "", m[5], m[6]
	width, _ := strconv.Atoi(m[4])
	var s string
	switch {
	case kind == "str" && !zero && (verb == "" || verb == "s"):
		s = v.String()
		if n, err := strconv.Atoi(precision); err == nil {
			s = string([]rune(s)[:min(n, v.Len())])
		}
	case kind == "int" && precision == "" && (verb == "" || verb == "d"):
		s = strconv.FormatInt(integer(v), 10)
	case (kind == "int" || kind == "float") && verb == "f":
		n := 6
		if precision != "" {
			n, _ = strconv.Atoi(precision)
		}
		s = strconv.FormatFloat(float(v), 'f', n, 64)
		if strings.ContainsAny(s, "aI") {
			return "", formatRefused(spec)
		}
	default:
		return "", formatRefused(spec)
	}
	space := max(0, width-utf8.RuneCountInString(s))
	if zero {
		padded, err := zfill(s, []*exec.Value{exec.AsValue(width)})
		return padded.(string), err
	}
	if fill == "" {
		fill = " "
	}
	left := 0
	switch {
	case align == ">" || align == "" && kind != "str":
		left = space
	case align == "^":
		left = space / 2
	}
	return strings.Repeat(fill, left) + s + strings.Repeat(fill, space-left), nil
}
