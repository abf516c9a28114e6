package schema

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// APIVersion is the version of rota's own documents.
const APIVersion = "rota.dev/v1alpha1"

// Expansion makes many objects from one template.
type Expansion struct {
	// APIVersion is rota.dev/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind is Expansion.
	Kind string `json:"kind"`
	// Metadata names the Expansion; the name is used in messages only.
	Metadata Metadata `json:"metadata,omitempty"`
	// Spec says which template is expanded with which parameters.
	Spec ExpansionSpec `json:"spec"`

	// Origin is where the document stands.
	Origin Origin `json:"-"`
	// InlineLine is the line before the first one of spec.inline.
	InlineLine int `json:"-"`

	at map[string]*yaml.Node
}

// At returns where a field of the document was written, or the one around it.
func (e Expansion) At(field string) Origin {
	for field != "" && e.at[field] == nil {
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	if n := e.at[field]; n != nil {
		return NodeOrigin(e.Origin.File, n)
	}
	return e.Origin
}

// Metadata names a document of rota's own.
type Metadata struct {
	// Name is unique among the documents of this kind.
	Name string `json:"name,omitempty"`
}

// ExpansionSpec is one template and the parameters that it is expanded with.
type ExpansionSpec struct {
	// Template is a file, relative to the folder of this one. A .yaml, .yml or
	// .json template takes $NAME and ${NAME}; a .jinja2, .jinja or .j2
	// template is Jinja.
	Template string `json:"template,omitempty"`
	// Inline is the text of a YAML template, instead of a file.
	Inline string `json:"inline,omitempty"`
	// Parameters are the items that the template is expanded with: exactly one
	// of items, matrix and file. Without parameters it is expanded once.
	Parameters *Parameters `json:"parameters,omitempty"`
	// Admission bounds how many of the Jobs may exist unfinished. This version
	// of rota refuses it.
	Admission *Admission `json:"admission,omitempty"`
}

// Admission bounds the Jobs of an Expansion that exist unfinished.
type Admission struct {
	// MaxActive is how many Jobs may exist unfinished at a time.
	MaxActive int64 `json:"maxActive,omitempty"`
	// StopAfterFailures is after how many failed Jobs no further one starts.
	StopAfterFailures int64 `json:"stopAfterFailures,omitempty"`
}

// Parameters are the values that a template is expanded with.
type Parameters struct {
	// Items lists the parameters of each expansion, such as {ITEM: apple}.
	Items []Values `json:"items,omitempty"`
	// Matrix gives each parameter a list of values or a range; the template is
	// expanded with every combination, the last parameter changing fastest.
	Matrix Matrix `json:"matrix,omitempty"`
	// File is a .csv file with a header line, or a .json or .yaml file with a
	// list of mappings, relative to the folder of this one.
	File string `json:"file,omitempty"`
}

// Values are the parameters of one expansion, in the order they were written.
type Values struct {
	// List has a name and a value for each parameter.
	List []Value
	// Origin is where the item stands.
	Origin Origin
}

// Value is one parameter of one expansion.
type Value struct {
	Name string
	// Text is the scalar as it was written: 007 stays 007. For a list or a
	// mapping it is empty.
	Text string
	// Data is what kubectl's reader makes of the value: what Jinja sees.
	Data any
	// Node is where the value was written, nil for one of a range or a CSV
	// file. A mapping has its order here only.
	Node *yaml.Node
}

// Matrix has an axis for each parameter, in the order they were written.
type Matrix []Axis

// Axis is one parameter of a matrix and its values.
type Axis struct {
	Name string
	// Values are those of a list; nil for a range.
	Values []Value
	// Range is set instead of Values.
	Range *Range
}

// Range is a run of integers, both ends included.
type Range struct {
	// From is the first number; 0 by default.
	From int64 `json:"from,omitempty"`
	// To is the last number, included.
	To int64 `json:"to"`
	// Step is the distance of two numbers; 1 by default.
	Step int64 `json:"step,omitempty"`
}

// Len returns how many numbers the range has; the most that is answered is
// 1<<40, so that a caller can compare it with a limit without overflow.
func (r Range) Len() int {
	if r.To < r.From {
		return 0
	}
	step := uint64(max(r.Step, 1))
	return int(min((uint64(r.To)-uint64(r.From))/step, 1<<40-1)) + 1
}

// ParameterName is the form of a parameter's name: that of a shell variable.
var ParameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parameterFile is the form of a file that parameters are read from.
var parameterFile = regexp.MustCompile(`\.(csv|json|ya?ml|CSV|JSON|YA?ML)$`)

// DecodeExpansion reads an Expansion strictly: unknown fields, wrong types and
// contradictions are problems with their position, all joined.
func DecodeExpansion(d Document) (Expansion, error) {
	s := newStrict(d.File)
	e := Expansion{Origin: d.Origin()}
	s.decode(d.Node, "", reflect.ValueOf(&e).Elem())
	e.check(s)
	e.at = s.at
	if n := s.at["spec.inline"]; n != nil {
		e.InlineLine = n.Line
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			e.InlineLine--
		}
	}
	return e, s.err()
}

func (e *Expansion) check(s *strict) {
	if e.APIVersion != APIVersion {
		s.failAt("R021", "apiVersion", fmt.Sprintf("this version of rota knows %s only", APIVersion), "Write apiVersion: "+APIVersion+".")
	}
	switch template, inline := s.given("spec.template"), s.given("spec.inline"); {
	case !s.given("spec"):
		s.failAt("R020", "spec", "the Expansion has no spec", "Add spec.template and spec.parameters.")
	case !template && !inline:
		s.failAt("R020", "spec", "the Expansion names no template", "Set spec.template to a file, or write it under spec.inline.")
	case template && inline:
		s.failAt("R020", "spec.inline", "template and inline exclude each other", "Remove one of them.")
	}
	if s.at["spec.admission"] != nil {
		s.failAt("R017", "spec.admission", "admission is not supported by this version of rota", "Remove it; every Job of the Expansion is then created at once.")
	}
	if e.Spec.Parameters != nil {
		e.Spec.Parameters.check(s)
	}
}

func (p *Parameters) check(s *strict) {
	const path = "spec.parameters"
	var given []string
	for _, name := range []string{"items", "matrix", "file"} {
		if s.given(path + "." + name) {
			given = append(given, name)
		}
	}
	if p.File != "" && !parameterFile.MatchString(p.File) {
		s.failAt("R031", path+".file", "parameters are read from .csv, .json and .yaml files only", "Rename or convert the file.")
	}
	if len(given) != 1 {
		s.failAt("R020", path, fmt.Sprintf("wants exactly one of items, matrix and file, and has %s", orNone(given)), "Keep one of them.")
	}
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, " and ")
}

func (v *Values) decodeNode(s *strict, n *yaml.Node, path string) {
	v.Origin = NodeOrigin(s.file, n)
	if n.Kind != yaml.MappingNode {
		s.fail("R019", n, path, "wants a mapping of parameter names to values, not "+describe(n), "Write it as {ITEM: apple}.")
		return
	}
	s.eachKey(n, path, func(name string, key, value *yaml.Node) {
		if !ParameterName.MatchString(name) {
			s.fail("R020", key, path, fmt.Sprintf("%q is no name of a parameter", name), "Use letters, digits and _, not a digit first.")
			return
		}
		v.List = append(v.List, parameterValue(s, name, value, join(path, name)))
	})
}

func parameterValue(s *strict, name string, n *yaml.Node, path string) Value {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	v := Value{Name: name, Node: n}
	data, err := NodeValue(s.file, n)
	if err != nil {
		s.problems = append(s.problems, err)
	}
	v.Data = data
	if n.Kind == yaml.ScalarNode && data != nil {
		v.Text = n.Value
	}
	if n.Kind == yaml.ScalarNode && data == nil {
		s.fail("R020", n, path, "the parameter has no value", `Write "" for an empty text.`)
	}
	return v
}

func (m *Matrix) decodeNode(s *strict, n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		s.fail("R019", n, path, "wants a mapping of parameter names to lists or ranges, not "+describe(n), "Write it as {region: [eu, us]}.")
		return
	}
	s.eachKey(n, path, func(name string, key, value *yaml.Node) {
		if !ParameterName.MatchString(name) {
			s.fail("R020", key, path, fmt.Sprintf("%q is no name of a parameter", name), "Use letters, digits and _, not a digit first.")
			return
		}
		*m = append(*m, decodeAxis(s, name, value, join(path, name)))
	})
}

func decodeAxis(s *strict, name string, n *yaml.Node, path string) Axis {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	axis := Axis{Name: name}
	switch {
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		for i, item := range n.Content {
			axis.Values = append(axis.Values, parameterValue(s, name, item, fmt.Sprintf("%s[%d]", path, i)))
		}
	case n.Kind == yaml.MappingNode:
		var r struct {
			Range *Range `json:"range"`
		}
		s.decode(n, path, reflect.ValueOf(&r).Elem())
		if r.Range == nil {
			if !s.given(path + ".range") {
				s.fail("R020", n, path, "wants a list of values or a range", "Write {range: {from: 0, to: 9}}.")
			}
			return axis
		}
		r.Range.check(s, path+".range")
		axis.Range = r.Range
	case n.Kind == yaml.SequenceNode:
		s.fail("R020", n, path, "the list of values is empty, so there is no combination", "Give it a value, or remove the parameter.")
	default:
		s.fail("R019", n, path, "wants a list of values or a range, not "+describe(n), "Write [eu, us] or {range: {from: 0, to: 9}}.")
	}
	return axis
}

func (r *Range) check(s *strict, path string) {
	if !s.given(path + ".to") {
		s.failAt("R020", path, "the range has no end", "Set `to` to the last number, included.")
	} else if r.To < r.From {
		s.failAt("R020", path+".to", fmt.Sprintf("the range from %d to %d is empty", r.From, r.To), "Let `to` be at least `from`; it is included.")
	}
	if s.given(path+".step") && r.Step < 1 {
		s.failAt("R020", path+".step", "the step must be at least 1", "")
	}
}

// UnsupportedKind reports whether kind is one of rota.dev that this version
// knows and does not carry out yet.
func UnsupportedKind(kind string) bool {
	return slices.Contains([]string{"Run", "Backfill"}, kind)
}

// DecodeItems reads a list of parameters, as the file of an Expansion has it.
// Problems have their position, name the item by its number from 1, as messages
// about items do, and are all joined.
func DecodeItems(d Document) ([]Values, error) {
	s := newStrict(d.File)
	items := make([]Values, len(d.Node.Content))
	for i, n := range d.Node.Content {
		s.decode(n, fmt.Sprintf("item %d", i+1), reflect.ValueOf(&items[i]).Elem())
	}
	return items, s.err()
}
