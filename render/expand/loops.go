package expand

import (
	"fmt"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// iterable is what a loop goes through.
func iterable(v *exec.Value) (any, error) {
	switch kind := kindOf(v); kind {
	case "None", "bool", "int", "float":
		return nil, typeError("%s cannot be looped over", kind)
	case "str":
		list := exec.ValuesList{}
		for _, r := range v.String() {
			list = append(list, exec.AsValue(string(r)))
		}
		return list, nil
	case "generator":
		return v.Interface().(*generator).take()
	case "dict_items", "dict_keys", "dict_values":
		return v.Interface().(view).items, nil
	case "":
		return nil, typeError("a function or another object of the engine cannot be looped over")
	case "dict":
		// A loop goes through the keys; gonja would give the value to a second
		// name as well, where Python fails.
		list := exec.ValuesList{}
		v.Iterate(func(_, _ int, key, _ *exec.Value) bool {
			list = append(list, key)
			return true
		}, func() {})
		return list, nil
	}
	return v, nil
}

// iterablePairs is what a loop with two names goes through. gonja would leave
// the second one as it is where Python fails.
func iterablePairs(v *exec.Value) (any, error) {
	list, err := iterable(v)
	if err != nil {
		return nil, err
	}
	pairs := exec.ValuesList{}
	for _, item := range elements(exec.ToValue(list)) {
		parts, err := iterable(item)
		if err != nil {
			return nil, err
		}
		pair := elements(exec.ToValue(parts))
		if len(pair) != 2 {
			return nil, typeError("a loop with two names wants pairs, and got a %s of %d", kindOf(item), len(pair))
		}
		pairs = append(pairs, exec.AsValue(tuple(pair)))
	}
	return pairs, nil
}

func rangeOf(arguments *exec.VarArgs) (any, error) {
	start, stop, step := 0, 0, 1
	a := arguments.Args
	if len(arguments.KwArgs) > 0 {
		return nil, typeError("range takes no names")
	}
	for _, v := range a {
		if !v.IsInteger() && !v.IsBool() {
			return nil, typeError("range wants integers, not %s", kindOf(v))
		}
	}
	switch len(a) {
	case 1:
		stop = int(integer(a[0]))
	case 2:
		start, stop = int(integer(a[0])), int(integer(a[1]))
	case 3:
		start, stop, step = int(integer(a[0])), int(integer(a[1])), int(integer(a[2]))
	default:
		return nil, typeError("range wants one to three integers")
	}
	if step == 0 {
		return nil, typeError("the step of range must not be zero")
	}
	list := numbers{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(list) == maxItems {
			return nil, &templateFault{rule: "R043", message: fmt.Sprintf("a range of more than %d numbers", maxItems), mend: "Use an Expansion with a matrix."}
		}
		list = append(list, i)
		if step > 0 && i > stop-step || step < 0 && i < stop-step {
			break // the next one would overflow or end the range
		}
	}
	return list, nil
}
