package expand

import (
	"github.com/nikolalohinski/gonja/v2/exec"
)

// testSet has Jinja2's tests. What the engine cannot evaluate, such as a name
// that is not set, reaches them as an error.
func testSet(r *jinjaRun) *exec.TestSet {
	set := map[string]exec.TestFunction{}
	for name := range testNames {
		set[name] = func(_ *exec.Evaluator, in *exec.Value, a *exec.VarArgs) (bool, error) {
			ok, err := r.tested(name, in, a)
			if err != nil {
				return false, r.fail(err)
			}
			return ok, nil
		}
	}
	return exec.NewTestSet(set)
}

// withArgument are the tests that take one.
var withArgument = names("divisibleby sameas eq equalto == ne != lt lessthan < le <= gt greaterthan > ge >= in")

func (r *jinjaRun) tested(name string, in *exec.Value, a *exec.VarArgs) (bool, error) {
	if err := r.arguments(name, a); err != nil {
		return false, err
	}
	wanted := 0
	if withArgument[name] {
		wanted = 1
	}
	if len(a.Args) != wanted || len(a.KwArgs) > 0 {
		return false, typeError("the test %s wants %d arguments without a name, not %d", name, wanted, len(a.Args)+len(a.KwArgs))
	}
	if name == "defined" || name == "undefined" {
		if _, ok := undefinedOf(in); ok {
			return name == "undefined", nil
		}
		_, err := r.given(in)
		return name == "defined", err
	}
	in, err := r.given(in)
	if err != nil {
		return false, err
	}
	return ownTests[name](in, a.Args)
}

// explained keeps what the engine says of a value that is an error.
func (r *jinjaRun) explained(v *exec.Value) error {
	message := v.Error()
	if m := noName.FindStringSubmatch(message); m != nil {
		return &templateFault{rule: "R041", message: `"` + m[1] + `" is not defined`, mend: nameMend(m[1])}
	}
	if m := noFunction.FindStringSubmatch(message); m != nil {
		message, mend := noFunctionCalled(m[1])
		return &templateFault{rule: "R041", message: message, mend: mend}
	}
	if m := noAttribute.FindStringSubmatch(message); m != nil {
		message = `there is no attribute "` + m[1] + `"`
	}
	return &templateFault{rule: "R041", message: message, mend: "Ask with `is defined` first, or use the filter default."}
}

var ownTests = map[string]func(*exec.Value, []*exec.Value) (bool, error){
	"none":        func(v *exec.Value, _ []*exec.Value) (bool, error) { return v.IsNil(), nil },
	"string":      ofKind("str"),
	"number":      ofKind("int", "float", "bool"),
	"integer":     ofKind("int"),
	"float":       ofKind("float"),
	"boolean":     ofKind("bool"),
	"mapping":     ofKind("dict"),
	"sequence":    ofKind("str", "list", "tuple", "dict", "range"),
	"iterable":    ofKind("str", "list", "tuple", "dict", "range", "generator", "dict_keys", "dict_items", "dict_values"),
	"true":        func(v *exec.Value, _ []*exec.Value) (bool, error) { return v.IsBool() && v.Bool(), nil },
	"false":       func(v *exec.Value, _ []*exec.Value) (bool, error) { return v.IsBool() && !v.Bool(), nil },
	"odd":         func(v *exec.Value, _ []*exec.Value) (bool, error) { return remainder(v, exec.AsValue(2), 1) },
	"even":        func(v *exec.Value, _ []*exec.Value) (bool, error) { return remainder(v, exec.AsValue(2), 0) },
	"divisibleby": divisible,
	"lower":       func(v *exec.Value, _ []*exec.Value) (bool, error) { return cased(v, lower, upper) },
	"upper":       func(v *exec.Value, _ []*exec.Value) (bool, error) { return cased(v, upper, lower) },
	"sameas":      same,
	"eq":          compared("=="), "equalto": compared("=="), "==": compared("=="),
	"ne": compared("!="), "!=": compared("!="),
	"lt": compared("<"), "lessthan": compared("<"), "<": compared("<"),
	"le": compared("<="), "<=": compared("<="),
	"gt": compared(">"), "greaterthan": compared(">"), ">": compared(">"),
	"ge": compared(">="), ">=": compared(">="),
	"in": compared("in"),
}

func ofKind(kinds ...string) func(*exec.Value, []*exec.Value) (bool, error) {
	return func(v *exec.Value, _ []*exec.Value) (bool, error) {
		kind := kindOf(v)
		for _, k := range kinds {
			if k == kind {
				return true, nil
			}
		}
		return false, nil
	}
}

func compared(operator string) func(*exec.Value, []*exec.Value) (bool, error) {
	return func(v *exec.Value, a []*exec.Value) (bool, error) {
		if len(a) != 1 {
			return false, typeError("the test wants one argument")
		}
		return compare(operator, v, a[0])
	}
}

func divisible(v *exec.Value, a []*exec.Value) (bool, error) {
	if len(a) != 1 {
		return false, typeError("divisibleby wants one number")
	}
	return remainder(v, a[0], 0)
}

func remainder(v, by *exec.Value, want float64) (bool, error) {
	if v.IsString() {
		return false, typeError("a text has no remainder")
	}
	rest, err := arithmetic("%", v, by, maxWidth)
	if err != nil {
		return false, err
	}
	return float(exec.AsValue(rest)) == want, nil
}

// same is Python's `is`, as far as it means something: for None, True, False.
func same(v *exec.Value, a []*exec.Value) (bool, error) {
	if len(a) != 1 || !a[0].IsNil() && !a[0].IsBool() {
		return false, &templateFault{rule: "R042", message: "sameas is supported for none, true and false only", mend: "Use ==."}
	}
	return kindOf(v) == kindOf(a[0]) && equal(v, a[0]), nil
}

// cased is str(value).islower() or isupper(): some letter has a case, and all
// that have one have this.
func cased(v *exec.Value, to, from func(string) (string, error)) (bool, error) {
	s, err := text(v)
	if err != nil {
		return false, err
	}
	same, err := to(s)
	if err != nil {
		return false, err
	}
	other, err := from(s)
	return same == s && other != s, err
}
