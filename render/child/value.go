package child

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"rota.dev/rota/schema"
)

// variable is a [schema.Value] on the pipe. What its node says already is not
// sent beside it: aliases share their value in memory, and a text that is sent
// for each of them would make gigabytes of a small file.
type variable struct {
	Name string
	// Text is set unless it is that of the node.
	Text     string
	NodeText bool
	// Data is set without a node only; otherwise it is read from the node, as
	// it was the first time.
	Data any
	// Node counts from 1; 0 is none.
	Node int
}

// node is a [yaml.Node] on the pipe. Others are named by their place in the
// list, so that what was one node is one node again.
type node struct {
	Kind, Style                           uint32
	Tag, Value, Anchor                    string
	Alias                                 int
	Content                               []int
	HeadComment, LineComment, FootComment string
	Line, Column                          int
}

// flatten makes values fit for the pipe.
func flatten(values []schema.Value) ([]variable, []node) {
	var t table
	variables := make([]variable, len(values))
	for i, v := range values {
		variables[i] = variable{Name: v.Name, Text: v.Text, Node: t.add(v.Node)}
		if v.Node == nil {
			variables[i].Data = pack(v.Data)
		} else if v.Node.Kind == yaml.ScalarNode && v.Node.Value == v.Text {
			variables[i].Text, variables[i].NodeText = "", true
		}
	}
	return variables, t.nodes
}

// table gathers nodes, each once.
type table struct {
	nodes  []node
	places map[*yaml.Node]int
}

// add returns the place of n, counted from 1; 0 of nil.
func (t *table) add(n *yaml.Node) int {
	if n == nil {
		return 0
	}
	if place, ok := t.places[n]; ok {
		return place
	}
	if t.places == nil {
		t.places = map[*yaml.Node]int{}
	}
	t.nodes = append(t.nodes, node{
		Kind: uint32(n.Kind), Style: uint32(n.Style), Tag: n.Tag, Value: n.Value, Anchor: n.Anchor,
		HeadComment: n.HeadComment, LineComment: n.LineComment, FootComment: n.FootComment, Line: n.Line, Column: n.Column,
	})
	place := len(t.nodes)
	t.places[n] = place
	alias := t.add(n.Alias)
	var content []int
	for _, child := range n.Content {
		content = append(content, t.add(child))
	}
	t.nodes[place-1].Alias, t.nodes[place-1].Content = alias, content
	return place
}

// unflatten is the reverse of flatten. The file is used for positions only.
func unflatten(file string, variables []variable, list []node) ([]schema.Value, error) {
	nodes := make([]yaml.Node, len(list))
	at := func(place int) (*yaml.Node, error) {
		if place < 0 || place > len(nodes) {
			return nil, fmt.Errorf("%w: node %d of %d", errNonsense, place, len(nodes))
		}
		if place == 0 {
			return nil, nil
		}
		return &nodes[place-1], nil
	}
	for i, n := range list {
		nodes[i] = yaml.Node{
			Kind: yaml.Kind(n.Kind), Style: yaml.Style(n.Style), Tag: n.Tag, Value: n.Value, Anchor: n.Anchor,
			HeadComment: n.HeadComment, LineComment: n.LineComment, FootComment: n.FootComment, Line: n.Line, Column: n.Column,
		}
		var err error
		if nodes[i].Alias, err = at(n.Alias); err != nil {
			return nil, err
		}
		for _, place := range n.Content {
			child, err := at(place)
			if err != nil {
				return nil, err
			}
			nodes[i].Content = append(nodes[i].Content, child)
		}
	}
	values := make([]schema.Value, len(variables))
	for i, v := range variables {
		n, err := at(v.Node)
		if err != nil {
			return nil, err
		}
		values[i] = schema.Value{Name: v.Name, Text: v.Text, Data: v.Data, Node: n}
		if n == nil {
			values[i].Data = unpack(v.Data)
			continue
		}
		if v.NodeText {
			values[i].Text = n.Value
		}
		if values[i].Data, err = schema.NodeValue(file, n); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// list is a []any on the pipe, where gob makes an empty one nil.
type list struct{ Items []any }

// pack makes a value without a node fit for the pipe.
func pack(data any) any {
	switch data := data.(type) {
	case map[string]any:
		m := make(map[string]any, len(data))
		for name, v := range data {
			m[name] = pack(v)
		}
		return m
	case []any:
		l := list{make([]any, len(data))}
		for i, v := range data {
			l.Items[i] = pack(v)
		}
		return l
	}
	return data
}

// unpack is the reverse of pack.
func unpack(data any) any {
	switch data := data.(type) {
	case map[string]any:
		for name, v := range data {
			data[name] = unpack(v)
		}
	case list:
		items := make([]any, len(data.Items))
		for i, v := range data.Items {
			items[i] = unpack(v)
		}
		return items
	}
	return data
}
