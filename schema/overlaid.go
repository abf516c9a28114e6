package schema

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// overlaid is position for an object that went through an overlay. What the
// base still says is in the base; of everything else the overlay is asked.
func (o Object) overlaid(steps []string, key bool) Origin {
	node := o.Fields.root()
	name, inBase := node, node != nil
	var value any = o.Object
	there := 0 // how many steps the object has
	steps = slices.Clone(steps)
	for i, step := range steps {
		step = itemStep(value, step)
		steps[i] = step
		next, ok := valueAt(value, step)
		if !ok {
			break
		}
		there++
		if inBase {
			k, n := Counterpart(node, value, step)
			if inBase = n != nil; inBase {
				name, node = k, n
			}
		}
		value = next
	}
	if inBase && o.Fields.says(node, value, o.Origin) {
		if key {
			node = name
		}
		return o.Fields.position(o.Origin, node)
	}
	if at, ok := o.Fields.overlay.Wrote(o.Object, steps[:there], key && there == len(steps)); ok {
		at.Overlay, at.Base = o.Origin.Overlay, Place{o.Origin.File, o.Origin.Line}
		return at
	}
	if inBase || node == nil {
		return o.Origin
	}
	return o.Fields.position(o.Origin, node)
}

// itemStep returns the index of the item of a list that a step means, which may
// choose it by its fields; other steps stay as they are.
func itemStep(v any, step string) string {
	list, isList := v.([]any)
	if !isList {
		return step
	}
	if i := itemIndex(step, len(list), func(i int) item { return valueItem{list[i]} }); i >= 0 {
		return strconv.Itoa(i)
	}
	return step
}

func valueAt(v any, step string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		next, ok := v[step]
		return next, ok
	case []any:
		if i, ok := index(step); ok && i < len(v) {
			return v[i], true
		}
	}
	return nil, false
}

func index(step string) (int, bool) {
	i, err := strconv.Atoi(step)
	return i, err == nil && i >= 0
}

// Counterpart is [Child] for a node that an overlay made v of, which may have
// put other items before those of a list: an item with a name is that of the
// same name.
func Counterpart(n *yaml.Node, v any, step string) (name, value *yaml.Node) {
	n = followed(n)
	list, isList := v.([]any)
	i, isIndex := index(step)
	if n.Kind != yaml.SequenceNode || !isList || !isIndex || i >= len(list) {
		return Child(n, step)
	}
	if item := listItem(n, list[i], i); item != nil {
		return item, item
	}
	if len(n.Content) != len(list) {
		return nil, nil
	}
	return Child(n, step)
}

// says reports whether a node, with the parameters of an item in it, is still
// what v says. Mappings and lists are, whatever is in them.
func (f *Fields) says(n *yaml.Node, v any, origin Origin) bool {
	n = followed(n)
	switch v.(type) {
	case map[string]any:
		return n.Kind == yaml.MappingNode
	case []any:
		return n.Kind == yaml.SequenceNode
	}
	if n.Kind != yaml.ScalarNode {
		return false
	}
	if SameScalar(n, v) {
		return true
	}
	if !f.template {
		return false
	}
	text := placeholder.ReplaceAllStringFunc(n.Value, func(found string) string {
		name := strings.Trim(found, "${}")
		for _, p := range origin.Parameters {
			if p.Name == name {
				return p.Value
			}
		}
		return found
	})
	return text == fmt.Sprint(v)
}

// placeholder matches what a template of YAML may have for a parameter.
var placeholder = regexp.MustCompile(`\$(\w+|\{\w+\})`)

// SameScalar reports whether a scalar node is read as v.
func SameScalar(n *yaml.Node, v any) bool {
	got, err := ScalarValue(n)
	return err == nil && n.Kind == yaml.ScalarNode && reflect.DeepEqual(got, v)
}

// itemKeys are by which a strategic merge finds the item of a list, in the
// order in which they are looked for here.
var itemKeys = []string{"name", "mountPath", "devicePath", "containerPort", "port", "ip", "topologyKey", "key", "uid", "type"}

// listItem returns the item of a list that a strategic merge takes for v, the
// item i: one of the same name, or of the same value of what else items are
// found by; for a scalar one that is equal. It is nil if there is none, or v
// has nothing of that.
func listItem(list *yaml.Node, v any, i int) *yaml.Node {
	m, isMap := v.(map[string]any)
	if _, isList := v.([]any); !isMap && !isList {
		if i < len(list.Content) && SameScalar(list.Content[i], v) {
			return list.Content[i]
		}
		for _, item := range list.Content {
			if SameScalar(item, v) {
				return item
			}
		}
	}
	for _, key := range itemKeys {
		want, ok := m[key]
		if !ok {
			continue
		}
		for _, item := range list.Content {
			if _, found := Child(item, key); found != nil && SameScalar(found, want) {
				return item
			}
		}
		return nil
	}
	return nil
}
