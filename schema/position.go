package schema

import (
	"strings"
	"sync"
	"weak"

	"go.yaml.in/yaml/v3"
)

// Source is the text of a file that objects were read from. It is parsed again
// when a position is asked for, which is seldom, instead of keeping the nodes
// of ten thousand objects. What it is parsed to is held only weakly: a warning
// that is said at every render must not keep the nodes for as long as the
// object.
type Source struct {
	file string
	data []byte
	// lines are where a template wrote each line of data; nil for what people
	// wrote.
	lines []Place
	mu    sync.Mutex
	docs  weak.Pointer[[]Document]
}

// NewSource returns the source of file.
func NewSource(file string, data []byte) *Source {
	return &Source{file: file, data: data}
}

// NewRenderedSource returns the source of what a template wrote; lines has, for
// each line of data as YAML counts them, the place that wrote it.
func NewRenderedSource(file string, data []byte, lines []Place) *Source {
	return &Source{file: file, data: data, lines: lines}
}

func (s *Source) documents() []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	if docs := s.docs.Value(); docs != nil {
		return *docs
	}
	// It was parsed before, and nothing but positions depends on it now.
	docs, _ := ReadDocuments(s.file, s.data, DocumentLimits{FileBytes: len(s.data) + 1})
	s.docs = weak.Make(&docs)
	return docs
}

// Fields knows where the fields of one object were written.
type Fields struct {
	source   *Source
	document int
	items    []int // of Lists inside each other
	template bool
	overlay  Overlay
}

// Overlay knows what kustomizations wrote into one object.
type Overlay interface {
	// Wrote returns where the value at path of the object was written, or with
	// key the last step of path itself. It is not ok if that is not known. A
	// step into a list is a number.
	Wrote(object map[string]any, path []string, key bool) (at Origin, ok bool)
}

// Through returns the Fields of an object that an overlay made of one of f, or
// generated if f is nil.
func (f *Fields) Through(o Overlay) *Fields {
	through := Fields{overlay: o}
	if f != nil {
		through = *f
		through.overlay = o
	}
	return &through
}

// Fields returns what knows the positions in the document of that index. With
// template the positions are those of Origin.TemplateLine.
func (s *Source) Fields(document int, template bool) *Fields {
	return &Fields{source: s, document: document, template: template}
}

// Item returns the Fields of an item of a List.
func (f *Fields) Item(i int) *Fields {
	if f == nil {
		return nil
	}
	item := *f
	item.items = append(append([]int(nil), f.items...), i)
	return &item
}

// Start returns the position where the object itself begins, origin if it is
// not known.
func (f *Fields) Start(origin Origin) Origin {
	if f == nil {
		return origin
	}
	node := f.root()
	if node == nil {
		return origin
	}
	return f.position(origin, node)
}

func (f *Fields) position(origin Origin, node *yaml.Node) Origin {
	switch {
	case f.source.lines != nil:
		if node.Line < 1 || node.Line > len(f.source.lines) {
			return origin
		}
		return origin.WrittenAt(f.source.lines[node.Line-1])
	case f.template:
		origin.TemplateLine = node.Line
		return origin
	}
	origin.Line, origin.Column = node.Line, node.Column
	return origin
}

// Equal reports true: where something was written does not tell objects apart.
func (f *Fields) Equal(*Fields) bool { return true }

// root returns the node of the object, nil if it is not found.
func (f *Fields) root() *yaml.Node {
	if f.source == nil {
		return nil
	}
	docs := f.source.documents()
	if f.document >= len(docs) {
		return nil
	}
	node := docs[f.document].Node
	for _, i := range f.items {
		_, list := Child(node, "items")
		if list == nil || list.Kind != yaml.SequenceNode || i >= len(list.Content) {
			return nil
		}
		node = list.Content[i]
	}
	return node
}

// At returns the position of a field, such as spec.containers[0].image,
// spec.containers[name="a"].image or metadata.labels[app.kubernetes.io/name].
// A field that is not there has the position of what it is missing from. A
// value that an overlay has changed has the position in a patch or a
// kustomization that wrote it. Where the position is not known, it is that of o.
func (o Object) At(field string) Origin { return o.position(field, false) }

// AtKey is At for a field whose name is meant, not its value.
func (o Object) AtKey(field string) Origin { return o.position(field, true) }

func (o Object) position(field string, key bool) Origin {
	origin := o.Origin
	if o.Fields == nil || field == "" {
		return origin
	}
	if o.Fields.overlay != nil && o.Unstructured != nil {
		return o.overlaid(splitPath(field), key)
	}
	node := o.Fields.root()
	if node == nil {
		return origin
	}
	name := node
	for _, step := range splitPath(field) {
		k, next := Child(node, step)
		if next == nil {
			break
		}
		name, node = k, next
	}
	if key {
		node = name
	}
	return o.Fields.position(origin, node)
}

// Written returns a scalar field as it stands in the file, "" if that is not
// known.
func (o Object) Written(field string) string {
	if o.Fields == nil || o.Fields.template {
		return ""
	}
	node := o.Fields.root()
	for _, step := range splitPath(field) {
		if node == nil {
			return ""
		}
		_, node = Child(node, step)
	}
	for node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node == nil || node.Kind != yaml.ScalarNode {
		return ""
	}
	return node.Value
}

// splitPath takes a path apart at dots and brackets; what stands in brackets
// may have dots, and quotes around it.
func splitPath(field string) []string {
	var steps []string
	for field != "" {
		if field[0] == '[' {
			end := strings.IndexByte(field, ']')
			if end < 0 {
				return append(steps, field[1:])
			}
			steps = append(steps, unquoted(field[1:end]))
			field = strings.TrimPrefix(field[end+1:], ".")
			continue
		}
		end := strings.IndexAny(field, ".[")
		if end < 0 {
			return append(steps, field)
		}
		steps = append(steps, field[:end])
		field = strings.TrimPrefix(field[end:], ".")
	}
	return steps
}

// Child returns the node of a field or an item, and that of the field's name;
// an item is its own name. Both are nil if it is not there.
func Child(n *yaml.Node, step string) (name, value *yaml.Node) {
	n = followed(n)
	switch n.Kind {
	case yaml.SequenceNode:
		if i := itemIndex(step, len(n.Content), func(i int) item { return nodeItem{n.Content[i]} }); i >= 0 {
			return n.Content[i], n.Content[i]
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i], n.Content[i+1]
			}
		}
	}
	return nil, nil
}
