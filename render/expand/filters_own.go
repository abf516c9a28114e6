package expand

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// ownFilters are done here: gonja's give something else than Jinja2's. Their
// arguments are in the order of the signature, nil where none is given.
var ownFilters = map[string]func(*jinjaRun, *exec.Value, []*exec.Value) (any, error){
	"default":    filterDefault,
	"d":          filterDefault,
	"string":     filterString,
	"upper":      onText(upper),
	"lower":      onText(lower),
	"capitalize": onText(capitalize),
	"title":      onText(titled),
	"trim":       filterTrim,
	"replace":    filterReplace,
	"truncate":   filterTruncate,
	"indent":     filterIndent,
	"int":        filterInt,
	"float":      filterFloat,
	"abs":        filterAbs,
	"center":     filterCenter,
	"dictsort":   filterDictSort,
	"first":      func(_ *jinjaRun, in *exec.Value, _ []*exec.Value) (any, error) { return elements(in)[0], nil },
	"last":       func(_ *jinjaRun, in *exec.Value, _ []*exec.Value) (any, error) { return elements(in)[in.Len()-1], nil },
	"groupby":    filterGroupBy,
	"unique":     filterUnique,
	"sort":       filterSort,
	"min":        extreme("min", -1),
	"max":        extreme("max", 1),
	"select":     selecting(false, true),
	"reject":     selecting(false, false),
	"selectattr": selecting(true, true),
	"rejectattr": selecting(true, false),
	"reverse": func(_ *jinjaRun, in *exec.Value, _ []*exec.Value) (any, error) {
		list := slices.Clone(exec.ValuesList(elements(in)))
		slices.Reverse(list)
		return list, nil
	},
	"round":  filterRound,
	"sum":    filterSum,
	"format": filterFormat,
	"items": func(_ *jinjaRun, in *exec.Value, _ []*exec.Value) (any, error) {
		return pairs(in)
	},
	"join":      filterJoin,
	"tojson":    filterToJSON,
	"urlencode": filterURLEncode,
	"wordcount": func(_ *jinjaRun, in *exec.Value, _ []*exec.Value) (any, error) {
		return len(words.FindAllString(in.String(), -1)), nil
	},
}

// onText makes a filter of what is done with Python's str() of a value.
func onText(f func(string) (string, error)) func(*jinjaRun, *exec.Value, []*exec.Value) (any, error) {
	return func(_ *jinjaRun, in *exec.Value, _ []*exec.Value) (any, error) {
		s, err := text(in)
		if err != nil {
			return nil, err
		}
		return f(s)
	}
}

func filterString(_ *jinjaRun, in *exec.Value, _ []*exec.Value) (any, error) {
	if in.IsString() {
		return in, nil
	}
	return text(in)
}

func filterDefault(_ *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	if a[1] != nil && truth(a[1]) && !truth(in) {
		return cmp.Or(a[0], exec.AsValue("")), nil
	}
	return in, nil
}

func filterFormat(r *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	template, err := text(in)
	if err != nil {
		return nil, err
	}
	return formatAll(template, a, r.job.Bytes)
}

func filterTrim(_ *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	if a[0] == nil || a[0].IsNil() {
		return strings.TrimFunc(in.String(), isSpace), nil
	}
	if !a[0].IsString() {
		return nil, typeError("trim wants a text of characters")
	}
	return strings.Trim(in.String(), a[0].String()), nil
}

func filterReplace(r *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	if a[0] == nil || a[1] == nil {
		return nil, typeError("replace wants what to replace, and by what")
	}
	was, err := text(a[0])
	if err != nil {
		return nil, err
	}
	becomes, err := text(a[1])
	if err != nil {
		return nil, err
	}
	count := -1
	if a[2] != nil && !a[2].IsNil() {
		if !a[2].IsInteger() {
			return nil, typeError("replace wants a number of times")
		}
		count = a[2].Integer()
	}
	s := in.String()
	if len(s)+strings.Count(s, was)*len(becomes) > r.job.Bytes {
		return nil, tooLong(r.job.Bytes)
	}
	return strings.Replace(s, was, becomes, count), nil
}

func filterTruncate(_ *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	number := func(v *exec.Value, otherwise int) (int, error) {
		if v == nil {
			return otherwise, nil
		}
		if !v.IsInteger() || v.Integer() < 0 {
			return 0, typeError("truncate wants numbers that are not negative")
		}
		return v.Integer(), nil
	}
	length, err := number(a[0], 255)
	if err != nil {
		return nil, err
	}
	if a[3] != nil && a[3].IsNil() {
		a[3] = nil
	}
	leeway, err := number(a[3], 5)
	if err != nil {
		return nil, err
	}
	end := "..."
	if a[2] != nil {
		if !a[2].IsString() {
			return nil, typeError("the end that truncate writes is a text")
		}
		end = a[2].String()
	}
	s, mark := []rune(in.String()), []rune(end)
	if length < len(mark) {
		return nil, typeError("truncate wants a length of at least %d, not %d", len(mark), length)
	}
	if len(s) <= length+leeway {
		return in, nil
	}
	kept := string(s[:length-len(mark)])
	if a[1] == nil || !truth(a[1]) {
		if i := strings.LastIndexByte(kept, ' '); i >= 0 {
			kept = kept[:i]
		}
	}
	return kept + end, nil
}

func filterIndent(r *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	indent := strings.Repeat(" ", 4)
	switch {
	case a[0] == nil:
	case a[0].IsString():
		indent = a[0].String()
	case a[0].IsInteger():
		indent = strings.Repeat(" ", max(0, a[0].Integer()))
	default:
		return nil, typeError("indent wants a number of spaces, or a text")
	}
	lines := splitLines(in.String() + "\n")
	if len(in.String())+len(lines)*len(indent) > r.job.Bytes {
		return nil, tooLong(r.job.Bytes)
	}
	for i, line := range lines {
		if i == 0 && (a[1] == nil || !truth(a[1])) || i > 0 && line == "" && (a[2] == nil || !truth(a[2])) {
			continue
		}
		lines[i] = indent + line
	}
	return strings.Join(lines, "\n"), nil
}

// splitLines is str.splitlines: more than \n ends a line.
func splitLines(s string) []string {
	lines := []string{}
	for s != "" {
		i := strings.IndexFunc(s, func(r rune) bool { return strings.ContainsRune("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029", r) })
		if i < 0 {
			return append(lines, s)
		}
		lines = append(lines, s[:i])
		_, rest, _ := strings.Cut(s[i:], string([]rune(s[i:])[0]))
		if s[i] == '\r' {
			rest = strings.TrimPrefix(rest, "\n")
		}
		s = rest
	}
	return lines
}

// filterDictSort sorts by keys that are texts, without regard to case.
func filterDictSort(_ *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	if slices.ContainsFunc(a, func(v *exec.Value) bool { return v != nil }) {
		return nil, &templateFault{rule: "R042", message: "dictsort with arguments is not supported", mend: "Use it without, or the filter sort on items()."}
	}
	sorted, err := pairs(in)
	if err != nil {
		return nil, err
	}
	key := func(pair *exec.Value) string { return strings.ToLower(pair.Interface().(tuple)[0].String()) }
	for _, pair := range sorted {
		if k := pair.Interface().(tuple)[0]; !k.IsString() {
			return nil, &templateFault{rule: "R042", message: "dictsort of keys that are no texts is not supported", mend: "Quote the keys."}
		}
	}
	slices.SortStableFunc(sorted, func(a, b *exec.Value) int { return strings.Compare(key(a), key(b)) })
	return sorted, nil
}

// pairs are the items of a mapping, in its order.
func pairs(in *exec.Value) (exec.ValuesList, error) {
	if kindOf(in) != "dict" {
		return nil, typeError("%s has no items", kindOf(in))
	}
	list := exec.ValuesList{}
	in.Iterate(func(_, _ int, key, value *exec.Value) bool {
		list = append(list, exec.AsValue(tuple{key, value}))
		return true
	}, func() {})
	return list, nil
}

func filterJoin(r *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	separator := ""
	var err error
	if a[0] != nil {
		if separator, err = text(a[0]); err != nil {
			return nil, err
		}
	}
	list, err := iterable(in)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for i, item := range elements(exec.ToValue(list)) {
		if a[1] != nil && !a[1].IsNil() {
			if item, err = r.path(item, a[1]); err != nil {
				return nil, err
			}
		}
		s, err := text(item)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(s)
		if b.Len() > r.job.Bytes {
			return nil, tooLong(r.job.Bytes)
		}
	}
	return b.String(), nil
}

// indexOrName is a step of an attribute's path.
func indexOrName(step string) any {
	if n, err := strconv.Atoi(step); err == nil && strconv.Itoa(n) == step {
		return n
	}
	return step
}

// reversed is a text from its end.
func reversed(in *exec.Value) string {
	var b strings.Builder
	for _, c := range slices.Backward(elements(in)) {
		b.WriteString(c.String())
	}
	return b.String()
}

// titled is the filter title, which begins words after other characters than
// the method does.
func titled(s string) (string, error) {
	var b strings.Builder
	first := true
	for _, r := range s {
		if unicode.IsSpace(r) || strings.ContainsRune("-({[<", r) {
			first = true
			b.WriteRune(r)
			continue
		}
		change := lower
		if first {
			change = upper
		}
		first = false
		c, err := change(string(r))
		if err != nil {
			return "", err
		}
		b.WriteString(c)
	}
	return b.String(), nil
}
