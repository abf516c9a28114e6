// Package expand makes objects of templates: YAML templates with $NAME
// placeholders that are replaced inside parsed scalars, and Jinja templates.
// It reads nothing by itself: text and parameters are arguments, and what a
// Jinja template includes comes from the file system that it is given.
package expand

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"rota.dev/rota/schema"
)

// Template is a YAML template, compiled: the work per item is only to put the
// values in.
type Template struct {
	documents []node
	names     []string
	// fixed is the bytes of the texts that stay, uses how often each parameter
	// is put in.
	fixed int64
	uses  []int64
}

// node is one value of a compiled template. Exactly one of fixed, parts, list
// and entries is in use, as kind says.
type node struct {
	kind    yaml.Kind
	at      *yaml.Node
	fixed   any    // a scalar without placeholder
	parts   []part // a scalar with placeholders
	want    want
	list    []node
	entries []entry
}

type entry struct {
	name  string
	parts []part // a key with placeholders; nil for most
	at    *yaml.Node
	value node
}

// compiler gathers what it finds while it walks a template.
type compiler struct {
	file     string
	index    map[string]int
	used     []bool
	problems []error
	warnings []*schema.Problem
}

// Compile prepares the documents of a YAML template for the parameters names.
// A parameter that no placeholder uses, and a placeholder that nearly names
// one, are warnings; they carry the position in the template.
func Compile(documents []schema.Document, names []string) (*Template, []*schema.Problem, error) {
	c := compiler{index: map[string]int{}, used: make([]bool, len(names))}
	for i, name := range names {
		c.index[name] = i
	}
	t := &Template{names: names, uses: make([]int64, len(names))}
	for _, d := range documents {
		c.file = d.File
		t.documents = append(t.documents, c.compile(d.Node, nil, ""))
	}
	for i := range t.documents {
		t.measure(&t.documents[i])
	}
	for i, name := range names {
		if !c.used[i] {
			c.warn("R032", nil, fmt.Sprintf("no placeholder uses the parameter %s", name), fmt.Sprintf("Write ${%s} where it belongs, or remove the parameter.", name))
		}
	}
	return t, c.warnings, errors.Join(c.problems...)
}

func (c *compiler) warn(rule string, at *yaml.Node, message, mend string) {
	c.warnings = append(c.warnings, &schema.Problem{Rule: rule, Severity: schema.SeverityWarning,
		Origin: schema.NodeOrigin(c.file, at), Message: message, Mend: mend})
}

func (c *compiler) compile(n *yaml.Node, t reflect.Type, field string) node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.SequenceNode:
		out := node{kind: n.Kind, at: n, list: make([]node, len(n.Content))}
		for i, item := range n.Content {
			out.list[i] = c.compile(item, itemType(t), field)
		}
		return out
	case yaml.MappingNode:
		return c.mapping(n, t, field)
	default:
		return c.scalar(n, t)
	}
}

func (c *compiler) mapping(n *yaml.Node, t reflect.Type, field string) node {
	entries, err := schema.Entries(c.file, n)
	if err != nil {
		c.problems = append(c.problems, err)
	}
	if t == nil {
		t = kindType(scalarOf(entries, "apiVersion"), scalarOf(entries, "kind"))
	}
	free := freeKeys(t) || t == nil && (field == "labels" || field == "annotations" || field == "matchLabels")
	out := node{kind: n.Kind, at: n, entries: make([]entry, len(entries))}
	for i, e := range entries {
		out.entries[i] = entry{name: e.Name, at: e.Key, value: c.compile(e.Value, fieldType(t, e.Name), e.Name)}
		parts := c.scan(e.Key, e.Name)
		switch {
		case parts == nil:
		case free:
			out.entries[i].parts = parts
		default:
			c.problems = append(c.problems, &schema.Problem{Rule: "R036", Origin: schema.NodeOrigin(c.file, e.Key),
				Message: fmt.Sprintf("the key %q has a placeholder, which is allowed only where keys are free, such as in labels", e.Name),
				Mend:    "Write the name of the field out."})
		}
	}
	return out
}

func scalarOf(entries []schema.Entry, name string) string {
	for _, e := range entries {
		if e.Name == name && e.Value.Kind == yaml.ScalarNode {
			return e.Value.Value
		}
	}
	return ""
}

func (c *compiler) scalar(n *yaml.Node, t reflect.Type) node {
	out := node{kind: n.Kind, at: n}
	if parts := c.scan(n, n.Value); parts != nil {
		out.parts = parts
		lone := len(parts) == 1 && n.Style&^yaml.FlowStyle == 0
		if lone {
			out.want = wanted(t)
		}
		return out
	}
	v, err := schema.ScalarValue(n)
	if err != nil {
		c.problems = append(c.problems, &schema.Problem{Rule: "R003", Origin: schema.NodeOrigin(c.file, n), Message: err.Error(), Mend: "Quote the value."})
	}
	out.fixed = v
	return out
}

// scan returns the parts of text, nil if it has no placeholder.
func (c *compiler) scan(at *yaml.Node, text string) []part {
	parts, misses := scan(text, c.index)
	for _, m := range misses {
		c.warn("R033", at, fmt.Sprintf("%s is no parameter and stays as it is", m.written),
			fmt.Sprintf("If the parameter %s is meant, write ${%s}.", m.parameter, m.parameter))
	}
	found := false
	for _, p := range parts {
		if p.parameter >= 0 {
			c.used[p.parameter] = true
			found = true
		}
	}
	if !found {
		return nil
	}
	return parts
}

// Expanded is one document of a template with the values of one item.
type Expanded struct {
	// Content is the document as kubectl would read it.
	Content any
	// Line is where the document begins in the template.
	Line int
	// Index counts the documents of the template from 0.
	Index int
}

// Expand puts one item's values, in the order of the names that the template
// was compiled for, into each document. Problems carry the line in the
// template as Origin.Line; the caller adds the item.
func (t *Template) Expand(values []schema.Value) ([]Expanded, error) {
	e := expander{values: values}
	for i, v := range values {
		switch v.Data.(type) {
		case map[string]any, []any:
			return nil, &schema.Problem{Rule: "R031",
				Message: fmt.Sprintf("the parameter %s is a list or a mapping; a YAML template takes texts, numbers and booleans only", t.names[i]),
				Mend:    "Give it a single value, or use a Jinja template."}
		}
	}
	out := make([]Expanded, len(t.documents))
	for i := range t.documents {
		d := &t.documents[i]
		out[i] = Expanded{Content: e.value(d), Line: d.at.Line, Index: i}
	}
	return out, errors.Join(e.problems...)
}

// Size returns how many bytes of text the documents have with the values of one
// item in them, without making them.
func (t *Template) Size(values []schema.Value) int64 {
	size := t.fixed
	for i, v := range values {
		size += t.uses[i] * int64(len(v.Text))
	}
	return size
}

// measure adds what n has for certain, and what parameters it takes, to t.
func (t *Template) measure(n *node) {
	t.parts(n.parts)
	if text, ok := n.fixed.(string); ok {
		t.fixed += int64(len(text))
	}
	for i := range n.list {
		t.measure(&n.list[i])
	}
	for i := range n.entries {
		e := &n.entries[i]
		t.fixed += int64(len(e.name))
		t.parts(e.parts)
		t.measure(&e.value)
	}
}

func (t *Template) parts(parts []part) {
	for _, p := range parts {
		if p.parameter < 0 {
			t.fixed += int64(len(p.text))
		} else {
			t.uses[p.parameter]++
		}
	}
}

type expander struct {
	values   []schema.Value
	problems []error
}

func (e *expander) fail(at *yaml.Node, rule, message, mend string) {
	e.problems = append(e.problems, &schema.Problem{Rule: rule, Origin: schema.Origin{Line: at.Line, Column: at.Column}, Message: message, Mend: mend})
}

func (e *expander) value(n *node) any {
	switch {
	case n.kind == yaml.SequenceNode:
		list := make([]any, len(n.list))
		for i := range n.list {
			list[i] = e.value(&n.list[i])
		}
		return list
	case n.kind == yaml.MappingNode:
		return e.mapping(n)
	case n.parts != nil:
		return e.filled(n)
	default:
		return n.fixed
	}
}

func (e *expander) mapping(n *node) any {
	m := make(map[string]any, len(n.entries))
	for i := range n.entries {
		name := n.entries[i].name
		if parts := n.entries[i].parts; parts != nil {
			name = fill(parts, e.values)
		}
		if _, twice := m[name]; twice {
			e.fail(n.entries[i].at, "R002", fmt.Sprintf("the key %q is there twice after its placeholder was filled in", name), "Let the keys differ.")
			continue
		}
		m[name] = e.value(&n.entries[i].value)
	}
	return m
}

func (e *expander) filled(n *node) any {
	text := fill(n.parts, e.values)
	if n.want == wantText {
		return text
	}
	switch n.want {
	case wantInteger, wantEither:
		// Decimal only: 010 would be 8 to a YAML reader and 10 to its writer.
		if i, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(i, 10) == text {
			return i
		}
		if n.want == wantEither {
			return text
		}
	case wantBoolean:
		if b, ok := schema.PlainValue(text).(bool); ok {
			return b
		}
	case wantNumber:
		switch schema.PlainValue(text).(type) {
		case int64, float64:
			return schema.PlainValue(text)
		}
	}
	names := map[want]string{wantInteger: "an integer", wantBoolean: "true or false", wantNumber: "a number"}
	e.fail(n.at, "R035", fmt.Sprintf("the field wants %s, and %s is %q", names[n.want], n.parts[0].text, text), "Correct the parameter's value.")
	return text
}

// order returns values in the order of names; a missing one is an error.
func order(names []string, values []schema.Value) ([]schema.Value, error) {
	sorted := make([]schema.Value, len(names))
	for i, name := range names {
		at := slices.IndexFunc(values, func(v schema.Value) bool { return v.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("the parameter %s is missing", name)
		}
		sorted[i] = values[at]
	}
	if extra := slices.IndexFunc(values, func(v schema.Value) bool { return !slices.Contains(names, v.Name) }); extra >= 0 {
		return nil, fmt.Errorf("the parameter %s is not one of the first item's", cmp.Or(values[extra].Name, `""`))
	}
	return sorted, nil
}
