package schema

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Duration is a length of time, written as Go writes it: 90s, 5m, 1h30m.
type Duration struct{ time.Duration }

// UnmarshalText reads text such as 5m.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration; write it as 90s, 5m or 1h30m", text)
	}
	d.Duration = v
	return nil
}

// MarshalText writes d as [time.Duration.String] does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// nodeDecoder is a type that reads itself from a node, where order or
// positions matter.
type nodeDecoder interface {
	decodeNode(s *strict, node *yaml.Node, path string)
}

type textDecoder interface{ UnmarshalText([]byte) error }

// strict decodes nodes into structs by their json tags. Every fault is noted
// with its position and decoding goes on, so that a user sees all of them.
type strict struct {
	file     string
	problems []error
	// at remembers where each field was written, by its path.
	at map[string]*yaml.Node
	// said has the paths whose value is not known, for a problem that is said
	// already: nothing that follows from it is said as well.
	said map[string]bool
}

func newStrict(file string) *strict {
	s := &strict{file: file}
	s.begin()
	return s
}

// begin forgets the fields of the document before.
func (s *strict) begin() { s.at, s.said = map[string]*yaml.Node{}, map[string]bool{} }

func (s *strict) err() error { return errors.Join(s.problems...) }

func (s *strict) fail(rule string, n *yaml.Node, path, message, mend string) {
	s.problems = append(s.problems, &Problem{Rule: rule, Origin: NodeOrigin(s.file, n), Field: path, Message: message, Mend: mend})
}

// refuse is fail for a value that is of no use for any further check.
func (s *strict) refuse(rule string, n *yaml.Node, path, message, mend string) {
	s.said[path] = true
	s.fail(rule, n, path, message, mend)
}

// failAt notes a fault of a field by its path: at the nearest enclosing field
// that was written. If that field or one around it has been refused, the fault
// is but a consequence, and is left out.
func (s *strict) failAt(rule, path, message, mend string) {
	var at *yaml.Node
	for p := path; ; p = p[:max(0, strings.LastIndexAny(p, ".["))] {
		if s.said[p] {
			return
		}
		if at == nil {
			at = s.at[p]
		}
		if p == "" {
			break
		}
	}
	s.fail(rule, at, path, message, mend)
}

// given reports whether a field was written, if only with a mistake.
func (s *strict) given(path string) bool { return s.at[path] != nil || s.said[path] }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (s *strict) decode(n *yaml.Node, path string, into reflect.Value) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	s.at[path] = n
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		s.refuse("R020", n, path, "the field has no value", "Give it one, or remove it.")
		return
	}
	if into.Kind() == reflect.Pointer {
		if into.IsNil() {
			into.Set(reflect.New(into.Type().Elem()))
		}
		into = into.Elem()
	}
	if d, ok := into.Addr().Interface().(nodeDecoder); ok {
		d.decodeNode(s, n, path)
		return
	}
	if d, ok := into.Addr().Interface().(textDecoder); ok {
		if s.wantScalar(n, path, "a text") {
			err := d.UnmarshalText([]byte(n.Value))
			if _, isTime := d.(*time.Time); isTime && err != nil {
				err = fmt.Errorf("%q is no time; write it as 2026-12-01T08:00:00Z", clipped(n.Value))
			}
			if err != nil {
				s.refuse("R020", n, path, err.Error(), "")
			}
		}
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		s.decodeStruct(n, path, into)
	case reflect.Slice:
		s.decodeList(n, path, into)
	case reflect.Map:
		s.decodeMap(n, path, into)
	default:
		s.decodeScalar(n, path, into)
	}
}

func (s *strict) decodeStruct(n *yaml.Node, path string, into reflect.Value) {
	if n.Kind != yaml.MappingNode {
		s.refuse("R019", n, path, "wants a mapping, not "+describe(n), "")
		return
	}
	fields := fieldsByName(into.Type())
	s.eachKey(n, path, func(name string, key, value *yaml.Node) {
		index, ok := fields[name]
		if !ok {
			s.unknown(key, path, name, slices.Sorted(maps.Keys(fields)))
			return
		}
		s.decode(value, join(path, name), into.Field(index))
	})
}

func (s *strict) decodeList(n *yaml.Node, path string, into reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		s.refuse("R019", n, path, "wants a list, not "+describe(n), "")
		return
	}
	list := reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		s.decode(item, fmt.Sprintf("%s[%d]", path, i), list.Index(i))
	}
	into.Set(list)
}

func (s *strict) decodeMap(n *yaml.Node, path string, into reflect.Value) {
	if n.Kind != yaml.MappingNode {
		s.refuse("R019", n, path, "wants a mapping, not "+describe(n), "")
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	s.eachKey(n, path, func(name string, _, value *yaml.Node) {
		v := reflect.New(into.Type().Elem()).Elem()
		s.decode(value, join(path, name), v)
		into.SetMapIndex(reflect.ValueOf(name), v)
	})
}

func (s *strict) decodeScalar(n *yaml.Node, path string, into reflect.Value) {
	want := map[reflect.Kind]string{reflect.String: "a text", reflect.Bool: "true or false"}[into.Kind()]
	want = cmp.Or(want, "an integer")
	if !s.wantScalar(n, path, want) {
		return
	}
	v, err := ScalarValue(n)
	if err != nil {
		s.refuse("R019", n, path, err.Error(), "")
		return
	}
	switch got := v.(type) {
	case string:
		if into.Kind() == reflect.String && got == "" {
			s.refuse("R020", n, path, "the text is empty", "Give the field a value, or remove it.")
			return
		}
		if into.Kind() == reflect.String {
			into.SetString(got)
			return
		}
	case bool:
		if into.Kind() == reflect.Bool {
			into.SetBool(got)
			return
		}
	case int64:
		if into.CanInt() && !into.OverflowInt(got) {
			into.SetInt(got)
			return
		}
	}
	mend := ""
	if into.Kind() == reflect.String {
		mend = fmt.Sprintf("Quote it: %q.", n.Value)
	}
	s.refuse("R019", n, path, fmt.Sprintf("wants %s, not %s", want, n.Value), mend)
}

func (s *strict) wantScalar(n *yaml.Node, path, want string) bool {
	if n.Kind == yaml.ScalarNode {
		return true
	}
	s.refuse("R019", n, path, fmt.Sprintf("wants %s, not %s", want, describe(n)), "")
	return false
}

// eachKey calls f for every key of a mapping and refuses what a strict reader
// must not take: keys that are there twice, are no text, or merge.
func (s *strict) eachKey(n *yaml.Node, path string, f func(name string, key, value *yaml.Node)) {
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || isMerge(key) {
			s.fail("R019", key, path, "a key must be a plain text here", "")
			continue
		}
		// A parameter named N or Y keeps its name: here keys are ours, and no
		// other reader ever turns them into booleans.
		name := key.Value
		if first, ok := seen[name]; ok {
			s.fail("R002", key, path, fmt.Sprintf("the key %q is there twice, first in line %d", name, first.Line), "Remove one of them.")
			continue
		}
		seen[name] = key
		f(name, key, value)
	}
}

func (s *strict) unknown(key *yaml.Node, path, name string, known []string) {
	message := fmt.Sprintf("unknown field %q", name)
	if near := Nearest(name, known); near != "" {
		message += fmt.Sprintf(" (did you mean %q?)", near)
		s.said[join(path, near)] = true
	}
	s.fail("R019", key, path, message, "Known fields here: "+strings.Join(known, ", ")+".")
}

func fieldsByName(t reflect.Type) map[string]int {
	fields := map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			fields[name] = i
		}
	}
	return fields
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "nothing"
		}
		return fmt.Sprintf("the text %q", n.Value)
	}
	return "an alias"
}

// Nearest returns the word of known that is likeliest meant by name, or "" if
// none is near: at most a third of its letters, and at least one, may differ.
func Nearest(name string, known []string) string {
	best, bestDistance := "", max(1, len(name)/3)+1
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the edit distance with swaps of neighbours (optimal string
// alignment), the usual measure for typing errors.
func distance(a, b string) int {
	previous, current := []int(nil), make([]int, len(b)+1)
	for j := range current {
		current[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			next[j] = min(current[j]+1, next[j-1]+1, current[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], previous[j-2]+1)
			}
		}
		previous, current = current, next
	}
	return current[len(b)]
}
