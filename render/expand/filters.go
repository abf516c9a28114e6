package expand

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// filterNames are the filters that templates may use: those of Jinja2 that
// gonja or this package gives as Jinja2 does, and that depend on nothing but
// their arguments.
var filterNames = names("abs batch capitalize center count d default dictsort first float format groupby indent int items join last length list lower map max min reject rejectattr replace reverse round select selectattr slice sort string sum title tojson trim truncate unique upper urlencode wordcount")

// stringMethods are the methods of texts that templates may call.
var stringMethods = names("capitalize center format isalnum isalpha isdigit islower isspace isupper join ljust lower lstrip removeprefix removesuffix replace rjust rsplit rstrip split splitlines strip title upper zfill")

func names(list string) map[string]bool {
	set := map[string]bool{}
	for _, name := range strings.Fields(list) {
		set[name] = true
	}
	return set
}

// strictDefault is default on what is computed: a name in it that is not
// defined is a fault, as in Jinja2.
const strictDefault = ours + "default"

// maxWidth bounds numbers that say how long a text becomes.
const maxWidth = 10_000

// empties are filters that give nothing for an empty list, which a `default`
// may follow.
var empties = names("first last min max")

func filterSet(r *jinjaRun) *exec.FilterSet {
	set := map[string]exec.FilterFunction{}
	for name := range filterNames {
		builtin, _ := builtins.Filters.Get(name)
		if own := ownFilters[name]; own != nil {
			builtin = func(_ *exec.Evaluator, in *exec.Value, a *exec.VarArgs) *exec.Value {
				v, err := own(r, in, a)
				if err != nil {
					return exec.AsValue(r.fail(err))
				}
				return exec.AsValue(v)
			}
		}
		set[name] = r.filter(name, builtin)
	}
	set[strictDefault] = r.filter(strictDefault, set["default"])
	return exec.NewFilterSet(set)
}

func (r *jinjaRun) filter(name string, f exec.FilterFunction) exec.FilterFunction {
	return func(e *exec.Evaluator, in *exec.Value, a *exec.VarArgs) *exec.Value {
		if in.IsError() && (name == "default" || name == "d") {
			return r.defaulted(in, a)
		}
		if in.IsError() {
			return exec.AsValue(r.fail(r.explained(in)))
		}
		if err := namedBy(name, a); err != nil {
			return exec.AsValue(r.fail(err))
		}
		if err := r.bounded(a.Args); err != nil {
			return exec.AsValue(err)
		}
		in, err := takes(name, in)
		if err != nil {
			return exec.AsValue(r.fail(err))
		}
		if empties[name] && in.Len() == 0 {
			return exec.AsValue(typeError("the filter %s found no item, for the list is empty", name))
		}
		if err := attributes(name, in, a); err != nil {
			return exec.AsValue(r.fail(err))
		}
		if name == "indent" || name == "replace" {
			if err := r.grows(name, in, a); err != nil {
				return exec.AsValue(err)
			}
		}
		out := f(e, in, a)
		if out.IsError() && !empties[name] {
			r.fail(&templateFault{rule: "R041", message: fmt.Sprintf("the filter %s failed: %s", name, out.Error())})
		}
		return out
	}
}

// namedBy checks the filter or test whose name a filter is given.
func namedBy(name string, a *exec.VarArgs) error {
	at, known, what, mend := 0, testNames, "test", testMend
	switch name {
	case "map":
		known, what, mend = filterNames, "filter", filterMend
	case "select", "reject":
	case "selectattr", "rejectattr":
		at = 1
	default:
		return nil
	}
	if len(a.Args) <= at || !a.Args[at].IsString() || known[a.Args[at].String()] {
		return nil
	}
	other := a.Args[at].String()
	return &templateFault{rule: "R042", message: fmt.Sprintf("the %s %s is not supported", what, other), mend: mend(other)}
}

// asText are filters that make a text of what they are given, as Python's str;
// ofTexts, ofLists and ofNumbers are those that take nothing else.
var (
	asText    = names("upper lower title capitalize trim replace wordcount center")
	ofTexts   = names("truncate indent")
	ofLists   = names("first last batch slice map select reject selectattr rejectattr unique sort sum max min reverse groupby")
	ofNumbers = names("abs round")
	ofSized   = names("length count")
)

// takes checks what a filter is given. gonja's filters take anything, and give
// something for it where Jinja2 fails.
func takes(name string, in *exec.Value) (*exec.Value, error) {
	kind := kindOf(in)
	wrong := &templateFault{rule: "R041", message: fmt.Sprintf("the filter %s does not take a value of the type %s", name, kind), mend: "Use tojson or string to make a text of it, or items() to make a list."}
	switch {
	case asText[name] && !in.IsString():
		s, err := text(in)
		return exec.AsValue(s), err
	case ofTexts[name] && kind != "str", ofNumbers[name] && !isNumber(kind):
		return nil, wrong
	case ofLists[name] && kind != "list" && kind != "tuple" && kind != "range":
		return nil, wrong
	case ofSized[name] && (isNumber(kind) || kind == "None" || kind == ""):
		return nil, wrong
	case (name == "int" || name == "float") && kind == "bool":
		return exec.AsValue(int(integer(in))), nil
	case (name == "sort" || name == "min" || name == "max") && !sortable(elements(in)):
		return nil, &templateFault{rule: "R042", message: "the filter " + name + " takes texts only, or numbers only, here", mend: "Make the items alike with map('string')."}
	case name == "int" && kind == "float" && !(math.Abs(in.Float()) < 1<<62):
		return nil, tooBig()
	case name == "list":
		list, err := iterable(in)
		return exec.ToValue(list), err
	case (name == "int" || name == "float") && !isNumber(kind) && kind != "str":
		return nil, wrong
	}
	return in, nil
}

// sortable reports whether all items are texts, all numbers, or all mappings,
// which are sorted by an attribute.
func sortable(items []*exec.Value) bool {
	kinds := map[string]bool{}
	for _, item := range items {
		kind := kindOf(item)
		if isNumber(kind) {
			kind = "number"
		}
		kinds[kind] = true
	}
	return len(kinds) == 0 || len(kinds) == 1 && (kinds["str"] || kinds["number"] || kinds["dict"])
}

// attributes checks that every item has the attribute that a filter is to look
// at; gonja takes None for a missing one.
func attributes(name string, in *exec.Value, a *exec.VarArgs) error {
	attribute := a.KwArgs["attribute"]
	switch name {
	case "groupby", "selectattr", "rejectattr":
		if attribute == nil && len(a.Args) > 0 {
			attribute = a.Args[0]
		}
	}
	if attribute == nil || attribute.IsNil() || a.KwArgs["default"] != nil {
		return nil
	}
	if name == "selectattr" || name == "rejectattr" {
		if len(a.Args) > 1 && (a.Args[1].String() == "defined" || a.Args[1].String() == "undefined") {
			return nil
		}
	}
	for _, item := range elements(in) {
		for _, step := range strings.Split(attribute.String(), ".") {
			var key any = step
			if i, err := strconv.Atoi(step); err == nil {
				key = i
			}
			next, found := item.GetItem(key)
			if !found {
				return typeError("there is no attribute %q in every item", attribute.String())
			}
			item = next
		}
	}
	return nil
}

// bounded refuses numbers that would make a text or a list of them.
func (r *jinjaRun) bounded(arguments []*exec.Value) error {
	for _, v := range arguments {
		if v.IsInteger() && (v.Integer() > maxWidth || v.Integer() < -maxWidth) {
			return r.fail(tooLong(maxWidth))
		}
	}
	return r.fault
}

func (r *jinjaRun) grows(name string, in *exec.Value, a *exec.VarArgs) error {
	s := in.String()
	per, count := maxWidth, strings.Count(s, "\n")
	if name == "replace" && len(a.Args) > 1 {
		per, count = len(a.Args[1].String()), strings.Count(s, a.Args[0].String())
	}
	if name == "indent" && len(a.Args) > 0 && a.Args[0].IsInteger() {
		per = a.Args[0].Integer()
	} else if name == "indent" {
		per = 4
	}
	if len(s)+per*count > r.job.Bytes {
		return r.fail(tooLong(r.job.Bytes))
	}
	return nil
}

// defaulted is the filter default for a value that is not defined. A fault
// other than that is kept, and ends the template.
func (r *jinjaRun) defaulted(in *exec.Value, a *exec.VarArgs) *exec.Value {
	if r.fault != nil {
		return exec.AsValue(r.fault)
	}
	if v, ok := a.KwArgs["default_value"]; ok {
		return v
	}
	if len(a.Args) == 0 {
		return exec.AsValue("")
	}
	return a.Args[0]
}

// ownFilters are done here: gonja's give something else than Jinja2's.
var ownFilters = map[string]func(*jinjaRun, *exec.Value, *exec.VarArgs) (any, error){
	"default":   filterDefault,
	"d":         filterDefault,
	"string":    func(_ *jinjaRun, in *exec.Value, _ *exec.VarArgs) (any, error) { return text(in) },
	"abs":       filterAbs,
	"center":    filterCenter,
	"dictsort":  filterDictSort,
	"reverse":   filterReverse,
	"round":     filterRound,
	"sum":       filterSum,
	"title":     func(_ *jinjaRun, in *exec.Value, _ *exec.VarArgs) (any, error) { return title(in.String()), nil },
	"format":    filterFormat,
	"items":     func(_ *jinjaRun, in *exec.Value, _ *exec.VarArgs) (any, error) { return pairs(in) },
	"join":      filterJoin,
	"tojson":    filterToJSON,
	"urlencode": filterURLEncode,
	"wordcount": func(_ *jinjaRun, in *exec.Value, _ *exec.VarArgs) (any, error) {
		return len(words.FindAllString(in.String(), -1)), nil
	},
}

// words are what Python's \w+ finds.
var words = regexp.MustCompile(`[\pL\pN_]+`)

// title makes the first letter of each word large, as Jinja2's filter does it:
// words begin after spaces, -, (, {, [ and <.
func title(s string) string {
	var b strings.Builder
	first := true
	for _, r := range s {
		switch {
		case unicode.IsSpace(r) || strings.ContainsRune("-({[<", r):
			first = true
			b.WriteRune(r)
		case first:
			first = false
			b.WriteString(strings.ToUpper(string(r)))
		default:
			b.WriteString(strings.ToLower(string(r)))
		}
	}
	return b.String()
}

func filterReverse(_ *jinjaRun, in *exec.Value, _ *exec.VarArgs) (any, error) {
	list := exec.ValuesList(elements(in))
	slices.Reverse(list)
	return list, nil
}

func filterDefault(_ *jinjaRun, in *exec.Value, a *exec.VarArgs) (any, error) {
	boolean := a.KwArgs["boolean"]
	if len(a.Args) > 1 {
		boolean = a.Args[1]
	}
	if boolean != nil && truth(boolean) && !truth(in) {
		if len(a.Args) == 0 {
			return "", nil
		}
		return a.Args[0].Interface(), nil
	}
	return in.Interface(), nil
}

func filterFormat(r *jinjaRun, in *exec.Value, a *exec.VarArgs) (any, error) {
	template, err := text(in)
	if err != nil || len(a.KwArgs) > 0 {
		return nil, typeError("format wants a text, and arguments without names")
	}
	return formatAll(template, a.Args, r.job.Bytes)
}

// filterDictSort sorts by keys that are texts, without regard to case.
func filterDictSort(_ *jinjaRun, in *exec.Value, a *exec.VarArgs) (any, error) {
	if len(a.Args) > 0 || len(a.KwArgs) > 0 {
		return nil, &templateFault{rule: "R042", message: "dictsort with arguments is not supported", mend: "Use it without, or the filter sort on items()."}
	}
	list, err := pairs(in)
	if err != nil {
		return nil, err
	}
	sorted := list.(exec.ValuesList)
	for _, pair := range sorted {
		if k := pair.Interface().(tuple)[0]; !k.IsString() {
			return nil, &templateFault{rule: "R042", message: "dictsort of keys that are no texts is not supported", mend: "Quote the keys."}
		}
	}
	slices.SortStableFunc(sorted, func(a, b *exec.Value) int {
		return strings.Compare(strings.ToLower(a.Interface().(tuple)[0].String()), strings.ToLower(b.Interface().(tuple)[0].String()))
	})
	return sorted, nil
}

// pairs are the items of a mapping, in its order.
func pairs(in *exec.Value) (any, error) {
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

func filterJoin(r *jinjaRun, in *exec.Value, a *exec.VarArgs) (any, error) {
	attribute := a.KwArgs["attribute"]
	if len(a.Args) > 1 {
		attribute = a.Args[1]
	}
	separator := ""
	var err error
	if d := a.KwArgs["d"]; d != nil {
		separator, err = text(d)
	} else if len(a.Args) > 0 {
		separator, err = text(a.Args[0])
	}
	if err != nil {
		return nil, err
	}
	seen, err := iterable(in)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for i, item := range elements(exec.ToValue(seen)) {
		if attribute != nil && !attribute.IsNil() {
			var found bool
			if item, found = item.GetItem(attribute.Interface()); !found {
				return nil, typeError("there is no attribute %q", attribute.String())
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
