package expand

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// filterToJSON is json.dumps(sort_keys=True) with <, >, & and ' escaped, as
// Jinja2's htmlsafe_json_dumps does it.
func filterToJSON(_ *jinjaRun, in *exec.Value, a []*exec.Value) (any, error) {
	if a[0] != nil && !a[0].IsNil() {
		return nil, &templateFault{rule: "R042", message: "tojson with an indent is not supported", mend: "Use it without; a flow mapping is YAML."}
	}
	var b strings.Builder
	if err := writeJSON(&b, in); err != nil {
		return nil, err
	}
	return markup(b.String()), nil
}

func writeJSON(b *strings.Builder, v *exec.Value) error {
	switch kind := kindOf(v); kind {
	case "None":
		b.WriteString("null")
	case "bool":
		fmt.Fprint(b, v.Bool())
	case "int", "float":
		s, _ := represent(v)
		b.WriteString(s)
	case "str":
		b.WriteString(jsonText(v.String()))
	case "list", "tuple":
		b.WriteString("[")
		for i, item := range elements(v) {
			if i > 0 {
				b.WriteString(", ")
			}
			if err := writeJSON(b, item); err != nil {
				return err
			}
		}
		b.WriteString("]")
	case "dict":
		return writeJSONObject(b, v)
	default:
		return typeError("the value cannot be written as JSON")
	}
	return nil
}

func writeJSONObject(b *strings.Builder, v *exec.Value) error {
	values := map[string]*exec.Value{}
	var keys []string
	ok := true
	v.Iterate(func(_, _ int, key, value *exec.Value) bool {
		ok = ok && key.IsString()
		keys = append(keys, key.String())
		values[key.String()] = value
		return true
	}, func() {})
	if !ok {
		return &templateFault{rule: "R042", message: "a mapping with keys that are no texts cannot be written as JSON here", mend: "Quote the keys."}
	}
	slices.Sort(keys)
	b.WriteString("{")
	for i, key := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(jsonText(key) + ": ")
		if err := writeJSON(b, values[key]); err != nil {
			return err
		}
	}
	b.WriteString("}")
	return nil
}

func jsonText(s string) string {
	raw, _ := json.Marshal(s) // a string cannot fail
	var b strings.Builder
	for _, r := range strings.ReplaceAll(strings.ReplaceAll(string(raw), `\b`, `\u0008`), `\f`, `\u000c`) {
		switch {
		case r == '\'':
			b.WriteString(`\u0027`)
		case r == 0x7f || r < 0x7f:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.String()
}

// filterURLEncode is urllib.parse.quote with / left as it is.
func filterURLEncode(_ *jinjaRun, in *exec.Value, _ []*exec.Value) (any, error) {
	if k := kindOf(in); k == "dict" || k == "list" || k == "tuple" {
		return nil, &templateFault{rule: "R042", message: "urlencode of a " + k + " is not supported", mend: "Encode each text."}
	}
	s, err := text(in)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.-~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String(), nil
}

// noMethods takes gonja's methods away, which are called with methods of ours
// only.
func noMethods() exec.Methods {
	return exec.Methods{
		Str:   exec.NewMethodSet(map[string]exec.Method[string]{}),
		Dict:  exec.NewMethodSet(map[string]exec.Method[map[string]any]{}),
		List:  exec.NewMethodSet(map[string]exec.Method[[]any]{}),
		Bool:  exec.NewMethodSet(map[string]exec.Method[bool]{}),
		Int:   exec.NewMethodSet(map[string]exec.Method[int]{}),
		Float: exec.NewMethodSet(map[string]exec.Method[float64]{}),
	}
}

func (r *jinjaRun) affix(name string, has func(string, string) bool) textMethod {
	return func(self string, a *exec.VarArgs) (any, error) {
		if len(a.Args) != 1 || !a.Args[0].IsString() {
			return nil, &templateFault{rule: "R042", message: name + " is supported with one text only", mend: "Use `or` for several."}
		}
		return has(self, a.Args[0].String()), nil
	}
}

func (r *jinjaRun) methodGrows(name, self string, a *exec.VarArgs) error {
	if name == "replace" && len(a.Args) == 2 {
		if len(self)+strings.Count(self, a.Args[0].String())*len(a.Args[1].String()) > r.job.Bytes {
			return tooLong(r.job.Bytes)
		}
	}
	if name == "join" && len(a.Args) == 1 && a.Args[0].Len()*max(1, len(self)) > r.job.Bytes {
		return tooLong(r.job.Bytes)
	}
	return nil
}

// dictMethods keep the order of the mapping, which gonja's lose.
var dictMethods = map[string]func(*exec.Value, *exec.VarArgs) (any, error){
	"items":  viewOf("items", "dict_items", func(key, value *exec.Value) *exec.Value { return exec.AsValue(tuple{key, value}) }),
	"keys":   viewOf("keys", "dict_keys", func(key, _ *exec.Value) *exec.Value { return key }),
	"values": viewOf("values", "dict_values", func(_, value *exec.Value) *exec.Value { return value }),
	"get": func(v *exec.Value, a *exec.VarArgs) (any, error) {
		if len(a.Args) < 1 || len(a.Args) > 2 || len(a.KwArgs) > 0 {
			return nil, typeError("get wants one or two arguments")
		}
		if !hashable(a.Args[0]) {
			return nil, typeError("a %s cannot be a key", kindOf(a.Args[0]))
		}
		if found, ok := lookup(v, a.Args[0]); ok {
			return found, nil
		}
		if len(a.Args) == 2 {
			return a.Args[1], nil
		}
		return nil, nil
	},
}

func viewOf(name, kind string, part func(key, value *exec.Value) *exec.Value) func(*exec.Value, *exec.VarArgs) (any, error) {
	return func(v *exec.Value, a *exec.VarArgs) (any, error) {
		if len(a.Args)+len(a.KwArgs) > 0 {
			return nil, typeError("%s takes no arguments", name)
		}
		list := exec.ValuesList{}
		v.Iterate(func(_, _ int, key, value *exec.Value) bool {
			list = append(list, part(key, value))
			return true
		}, func() {})
		return view{kind: kind, items: list}, nil
	}
}
