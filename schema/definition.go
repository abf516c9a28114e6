package schema

import (
	"slices"
	"strings"
)

// definition is a JSON Schema compiled for the walk: the keywords that the
// OpenAPI of Kubernetes' own kinds has, and no more.
type definition struct {
	// types are the allowed ones; none means any value.
	types typeSet
	// nullable allows null as well.
	nullable bool
	// format narrows a type: int32, int64, byte, date-time, quantity, ...
	format string
	// words are the allowed texts.
	words []string
	// fields are those of an object by name; nil where keys are free.
	fields   map[string]*definition
	required []string
	// rest is what other keys have; nil if there are none.
	rest *definition
	// closed refuses keys that are in neither fields nor rest.
	closed bool
	items  *definition
	// keys tell the items of a list apart.
	keys []listKey
	// set is a list of scalars without duplicates.
	set bool
	// word is the default of a text, nil if it has none.
	word *string
	// whole and values are what Kubernetes demands beyond the schema: of an
	// object, and of a value because of the field that it stands in.
	whole  []func(v *validator, m map[string]any, at *place)
	values []func(v *validator, value any, at *place)
	// gates are the fields that a feature gate hides, with its name.
	gates map[string]string
}

// listKey is a field that, with others, identifies an item of a list.
type listKey struct {
	name string
	// word is what an item without the field has, nil if it must have it.
	word *string
}

// typeSet is a set of JSON's types.
type typeSet uint8

const (
	typeObject typeSet = 1 << iota
	typeArray
	typeString
	typeInteger
	typeNumber
	typeBoolean
)

var typeNames = map[string]typeSet{
	"object": typeObject, "array": typeArray, "string": typeString,
	"integer": typeInteger, "number": typeNumber | typeInteger, "boolean": typeBoolean,
}

// words of the types as a user is told of them.
var typeWords = []struct {
	types typeSet
	words string
}{
	{typeObject, "a mapping"}, {typeArray, "a list"}, {typeNumber, "a number"}, {typeInteger, "an integer"},
	{typeString, "a text"}, {typeBoolean, "true or false"},
}

func (s typeSet) String() string {
	var words []string
	for _, t := range typeWords {
		if s&t.types != 0 && (t.types != typeInteger || s&typeNumber == 0) {
			words = append(words, t.words)
		}
	}
	return strings.Join(words, " or ")
}

// typeOf returns the type of a value as [Document.Value] returns it, zero for
// null.
func typeOf(v any) typeSet {
	switch v.(type) {
	case map[string]any:
		return typeObject
	case []any:
		return typeArray
	case string:
		return typeString
	case int64:
		return typeInteger
	case float64:
		return typeNumber
	case bool:
		return typeBoolean
	}
	return 0
}

const definitionsPrefix = "#/definitions/"

// compile fills d in from a schema as JSON has it.
func (c *catalog) compile(d *definition, raw map[string]any) {
	name, _ := raw["type"].(string)
	d.types = typeNames[name]
	for _, one := range asList(raw["oneOf"]) {
		name, _ := one.(map[string]any)["type"].(string)
		d.types |= typeNames[name]
	}
	d.format, _ = raw["format"].(string)
	if word, ok := raw["default"].(string); ok {
		d.word = &word
	}
	d.words = texts(raw["enum"])
	d.required = texts(raw["required"])
	d.set = raw["x-kubernetes-list-type"] == "set"
	if fields, ok := raw["properties"].(map[string]any); ok {
		d.fields = make(map[string]*definition, len(fields))
		for name, field := range fields {
			d.fields[name] = c.sub(field)
		}
	}
	switch rest := raw["additionalProperties"].(type) {
	case bool:
		d.closed = !rest
	case map[string]any:
		d.rest, d.closed = c.sub(rest), true
	}
	if items, ok := raw["items"]; ok {
		d.items = c.sub(items)
	}
	for _, name := range texts(raw["x-kubernetes-list-map-keys"]) {
		key := listKey{name: name}
		if field := d.items.fields[name]; field != nil {
			key.word = field.word
		}
		d.keys = append(d.keys, key)
	}
}

// sub compiles a schema inside another one. References share what they name.
func (c *catalog) sub(raw any) *definition {
	m, _ := raw.(map[string]any)
	if name, ok := m["$ref"].(string); ok {
		return c.named(strings.TrimPrefix(name, definitionsPrefix))
	}
	d := &definition{}
	c.compile(d, m)
	return d
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

func texts(v any) []string {
	var all []string
	for _, item := range asList(v) {
		if s, ok := item.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// names returns the names of d's fields, sorted.
func (d *definition) names() []string {
	names := make([]string, 0, len(d.fields))
	for name := range d.fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// demand adds a check to d and its fields. A field's definition may be that of
// others, too, so it is copied first.
func (d *definition) demand(c check) {
	if c.whole != nil {
		d.whole = append(d.whole, c.whole)
	}
	for _, name := range c.fields {
		field := *d.fields[name]
		field.values = append(slices.Clip(field.values), c.value)
		d.fields[name] = &field
	}
}
