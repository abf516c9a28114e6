package schema

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// item is one of a list, as a node of a file or as a value.
type item interface {
	// is reports whether the item is a scalar of that text.
	is(text string) bool
	// has reports whether the item has a field, and whether that is a scalar of
	// that text.
	has(field, text string) (there, same bool)
}

type nodeItem struct{ node *yaml.Node }

func (n nodeItem) is(text string) bool {
	node := followed(n.node)
	return node.Kind == yaml.ScalarNode && node.Value == text
}

func (n nodeItem) has(field, text string) (there, same bool) {
	_, value := Child(n.node, field)
	return value != nil, value != nil && nodeItem{value}.is(text)
}

type valueItem struct{ value any }

func (v valueItem) is(text string) bool {
	t := typeOf(v.value)
	return t&(typeObject|typeArray) == 0 && fmt.Sprint(v.value) == text
}

func (v valueItem) has(field, text string) (there, same bool) {
	m, _ := v.value.(map[string]any)
	value, there := m[field]
	return there, there && valueItem{value}.is(text)
}

func followed(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// itemIndex returns the index of the item that a step of a path means, -1 if
// none is meant: 0 by its place, name="a" or port=80,protocol="TCP" by the
// fields that tell items apart, as the API server and a plan write it, and
// anything else by the item itself. A field that an item leaves out has a
// default, and counts as the same.
func itemIndex(step string, n int, at func(i int) item) int {
	if i, err := strconv.Atoi(step); err == nil {
		if i >= 0 && i < n {
			return i
		}
		return -1
	}
	fields := selected(step)
	if len(fields) == 1 && fields[0].Name == "" {
		step, fields = fields[0].Value, nil // an item of a set, as the API server writes it
	}
	alike := -1
	for i := range n {
		whole, part := matches(at(i), fields)
		switch {
		case len(fields) == 0 && at(i).is(step), whole:
			return i
		case part && alike < 0:
			alike = i
		}
	}
	return alike
}

// matches reports whether an item has all of the fields, and whether it has
// some of them and none otherwise.
func matches(one item, fields []Parameter) (whole, part bool) {
	found := 0
	for _, f := range fields {
		there, same := one.has(f.Name, f.Value)
		if there && !same {
			return false, false
		}
		if there {
			found++
		}
	}
	return found > 0 && found == len(fields), found > 0
}

// selected returns the fields and values of a selector, none if step is no
// selector.
func selected(step string) []Parameter {
	var fields []Parameter
	for _, part := range strings.FieldsFunc(step, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil
		}
		fields = append(fields, Parameter{name, unquoted(value)})
	}
	return fields
}

func unquoted(text string) string {
	if plain, err := strconv.Unquote(text); err == nil && text[0] == '"' {
		return plain
	}
	return text
}

// Path returns a field of o as its problems name it: items of lists by their
// index, whatever the form that field has them in. What is not there is left
// as it is.
func (o Object) Path(field string) string {
	if o.Unstructured == nil {
		return field
	}
	var value any = o.Object
	var b strings.Builder
	for _, step := range splitPath(strings.TrimPrefix(field, ".")) {
		switch v := value.(type) {
		case []any:
			if i := itemIndex(step, len(v), func(i int) item { return valueItem{v[i]} }); i >= 0 {
				step, value = strconv.Itoa(i), v[i]
			} else {
				value = nil
			}
			b.WriteString("[" + step + "]")
		case map[string]any:
			path := fieldPath(b.String(), step)
			b.Reset()
			b.WriteString(path)
			value = v[step]
		default:
			path := fieldPath(b.String(), step)
			if _, err := strconv.Atoi(step); err == nil || len(selected(step)) > 0 {
				path = b.String() + "[" + step + "]"
			}
			b.Reset()
			b.WriteString(path)
		}
	}
	return b.String()
}
