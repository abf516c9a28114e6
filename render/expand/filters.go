package expand

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// filterNames are the filters that templates may use: those of Jinja2 that
// gonja or this package gives as Jinja2 does, and that depend on nothing but
// their arguments.
var filterNames = names("abs batch capitalize center count d default dictsort first float format groupby indent int items join last length list lower map max min reject rejectattr replace reverse round select selectattr slice sort string sum title tojson trim truncate unique upper urlencode wordcount")

func names(list string) map[string]bool {
	set := map[string]bool{}
	for _, name := range strings.Fields(list) {
		set[name] = true
	}
	return set
}

// maxWidth bounds numbers that say how long a text becomes.
const maxWidth = 10_000

// empties are filters that give nothing for an empty list, which a `default`
// may follow.
var empties = names("first last min max")

// lazy are filters that give a generator.
var lazy = names("batch items map reject rejectattr reverse select selectattr slice unique")

// signatures are the names of the arguments that filters take, in order. Those
// that are not here pass theirs on.
var signatures = map[string]string{
	"abs": "", "batch": "linecount fill_with", "capitalize": "", "center": "width", "count": "", "d": "default_value boolean",
	"default": "default_value boolean", "dictsort": "case_sensitive by reverse", "first": "", "float": "default",
	"groupby": "attribute default case_sensitive", "indent": "width first blank", "int": "default base", "items": "",
	"join": "d attribute", "last": "", "length": "", "list": "", "lower": "", "max": "case_sensitive attribute",
	"min": "case_sensitive attribute", "replace": "old new count", "reverse": "", "round": "precision method",
	"slice": "slices fill_with", "sort": "reverse case_sensitive attribute", "string": "", "sum": "attribute start", "title": "",
	"tojson": "indent", "trim": "chars", "truncate": "length killwords end leeway", "unique": "case_sensitive attribute",
	"upper": "", "urlencode": "", "wordcount": "",
}

// inOrder returns a filter's arguments in the order of its signature, nil for
// those that are not given.
func inOrder(name string, a *exec.VarArgs) ([]*exec.Value, error) {
	signature, ok := signatures[name]
	if !ok {
		if len(a.KwArgs) > 0 && name != "map" {
			return nil, typeError("the filter %s takes no names", name)
		}
		return a.Args, nil
	}
	known := strings.Fields(signature)
	if len(a.Args) > len(known) {
		return nil, typeError("the filter %s takes %d arguments at most, not %d", name, len(known), len(a.Args))
	}
	out := make([]*exec.Value, len(known))
	copy(out, a.Args)
	for key, v := range a.KwArgs {
		i := slices.Index(known, key)
		if i < 0 || out[i] != nil {
			return nil, typeError("the filter %s takes no argument %s, or has it twice", name, key)
		}
		out[i] = v
	}
	return out, nil
}

func filterSet(r *jinjaRun) *exec.FilterSet {
	set := map[string]exec.FilterFunction{}
	for name := range filterNames {
		builtin, _ := builtins.Filters.Get(name)
		set[name] = r.filter(name, builtin)
	}
	return exec.NewFilterSet(set)
}

func (r *jinjaRun) filter(name string, builtin exec.FilterFunction) exec.FilterFunction {
	return func(e *exec.Evaluator, in *exec.Value, a *exec.VarArgs) *exec.Value {
		v, err := r.filtered(name, in, a, func(in *exec.Value) *exec.Value { return builtin(e, in, a) })
		if err != nil {
			return exec.AsValue(r.fail(err))
		}
		return exec.ToValue(v)
	}
}

// filtered is what the filter name gives for a value; builtin is gonja's.
func (r *jinjaRun) filtered(name string, in *exec.Value, a *exec.VarArgs, builtin func(*exec.Value) *exec.Value) (any, error) {
	if r.fault != nil {
		return nil, r.fault
	}
	if err := r.arguments(name, a); err != nil {
		return nil, err
	}
	arguments, err := inOrder(name, a)
	if err != nil {
		return nil, err
	}
	_, missing := undefinedOf(in)
	if missing && (name == "default" || name == "d") {
		return cmp.Or(arguments[0], exec.AsValue("")), nil
	}
	if in, err = r.given(in); err != nil {
		return nil, err
	}
	if err := namedBy(name, a); err != nil {
		return nil, err
	}
	if err := bounded(a); grows[name] && err != nil {
		return nil, err
	}
	isText := in.IsString()
	if isMarkup(in) && ofMarkup[name] {
		return nil, markupRefused("the filter " + name)
	}
	if in, err = takes(name, in); err != nil {
		return nil, err
	}
	if empties[name] && in.Len() == 0 {
		return undefined{fmt.Sprintf("the filter %s found no item, for the list is empty", name)}, nil
	}
	var out any
	if name == "map" && len(a.Args) == 0 {
		out, err = r.mapAttribute(in, a)
	} else if own := ownFilters[name]; own != nil {
		out, err = own(r, in, arguments)
	} else if v := builtin(in); v.IsError() {
		err = cmp.Or(r.fault, error(&templateFault{rule: "R041", message: fmt.Sprintf("the filter %s failed: %s", name, v.Error())}))
	} else {
		out = v
	}
	if err != nil || !lazy[name] {
		return out, err
	}
	if name == "reverse" && isText {
		return reversed(in), nil
	}
	return &generator{items: elements(exec.ToValue(out))}, nil
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
	// unsized are the kinds that have no length.
	unsized = names("int float bool None generator macro")
)

// takes checks what a filter is given, and makes a list of it for those that
// take what can be looped over. gonja's filters take anything, and give
// something for it where Jinja2 fails.
func takes(name string, in *exec.Value) (*exec.Value, error) {
	kind := kindOf(in)
	wrong := &templateFault{rule: "R041", message: fmt.Sprintf("the filter %s does not take a value of the type %s", name, kind), mend: "Use tojson or string to make a text of it, or list to make a list."}
	switch {
	case asText[name] && !in.IsString():
		s, err := text(in)
		return exec.AsValue(s), err
	case ofTexts[name] && kind != "str", ofNumbers[name] && !isNumber(kind):
		return nil, wrong
	case ofSized[name]:
		if unsized[kind] || kind == "" {
			return nil, wrong
		}
		return exec.ToValue(exec.ValuesList(elements(in))), nil
	case name == "last" && kind == "generator":
		return nil, wrong
	case name == "reverse" && kind == "generator":
		return nil, wrong
	case ofLists[name] || name == "list":
		list, err := iterable(in)
		if err != nil {
			return nil, err
		}
		in = exec.ToValue(list)
	}
	return in, nil
}

// ofMarkup are filters whose result is markup, too, if they are given markup.
var ofMarkup = names("capitalize center format indent lower replace reverse title trim truncate upper")

// grows are the filters that make a text or a list of the size of a number.
var grows = names("batch center indent replace round slice tojson truncate")

// bounded refuses numbers that would make a text or a list of them.
func bounded(a *exec.VarArgs) error {
	check := func(v *exec.Value) error {
		if v.IsInteger() && (v.Integer() > maxWidth || v.Integer() < -maxWidth) {
			return tooLong(maxWidth)
		}
		return nil
	}
	for _, v := range a.Args {
		if err := check(v); err != nil {
			return err
		}
	}
	for _, v := range a.KwArgs {
		if err := check(v); err != nil {
			return err
		}
	}
	return nil
}
