package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kubernetes/pkg/generated/openapi"
)

const reference = "#/definitions/"

// document returns the schema: a JSON document that has the definition of each
// type on a line of its own, so that a reader can take the few lines that it
// needs, and a review of a new version shows which types changed.
//
// The types come from the generated Go code, since the documents that
// Kubernetes publishes leave the words of enumerations out; which kinds are
// served comes from those documents, since the Go code also has versions that
// no server has served for years.
func document() ([]byte, error) {
	published, err := published()
	if err != nil {
		return nil, err
	}
	g := generator{
		types:       openapi.GetOpenAPIDefinitions(func(name string) spec.Ref { return spec.MustCreateRef(reference + name) }),
		listKeys:    map[string]bool{},
		definitions: map[string]map[string]any{},
		kinds:       map[string]string{},
	}
	if err := g.run(published); err != nil {
		return nil, err
	}
	return g.text(published.version)
}

// generator gathers the definitions that the served kinds need.
type generator struct {
	types map[string]common.OpenAPIDefinition
	// listKeys are the names of fields that tell the items of lists apart.
	listKeys    map[string]bool
	definitions map[string]map[string]any
	// kinds are the names of definitions by apiVersion and kind.
	kinds map[string]string
}

func (g *generator) run(served servedKinds) error {
	raw := map[string]map[string]any{}
	for name, definition := range g.types {
		text, err := json.Marshal(definition.Schema)
		if err != nil {
			return err
		}
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			return err
		}
		raw[name] = m
		g.findListKeys(m)
	}
	var open []string
	for name, kinds := range served.kinds {
		if raw[name] == nil {
			return fmt.Errorf("the published kind %s has no generated definition", name)
		}
		properties, _ := raw[name]["properties"].(map[string]any)
		if properties["metadata"] == nil {
			continue // Status, DeleteOptions and the like are no objects of a cluster
		}
		if properties["status"] != nil {
			// What only the server writes never reaches the validation.
			properties["status"] = map[string]any{}
		}
		for _, k := range kinds {
			g.kinds[strings.TrimPrefix(k["group"]+"/"+k["version"], "/")+" "+k["kind"]] = name
		}
		open = append(open, name)
	}
	for len(open) > 0 {
		name := open[0]
		open = open[1:]
		if g.definitions[name] != nil {
			continue
		}
		d := g.reduce(raw[name]).(map[string]any)
		restrict(name, d)
		g.definitions[name] = d
		open = append(open, references(d)...)
	}
	if len(g.kinds) == 0 {
		return errors.New("no kinds are published")
	}
	return nil
}

// findListKeys notes the keys of the lists in v.
func (g *generator) findListKeys(v any) {
	switch v := v.(type) {
	case map[string]any:
		names, _ := v["x-kubernetes-list-map-keys"].([]any)
		for _, name := range names {
			g.listKeys[name.(string)] = true
		}
		for _, below := range v {
			g.findListKeys(below)
		}
	case []any:
		for _, below := range v {
			g.findListKeys(below)
		}
	}
}

// keep are the keywords that validation needs. Descriptions are four fifths of
// the whole, and `kubectl explain` has them.
var keep = []string{
	"$ref", "type", "format", "enum", "items", "properties", "additionalProperties", "required", "oneOf",
	"x-kubernetes-list-map-keys", "x-kubernetes-preserve-unknown-fields",
}

// reduce returns a schema with what validation needs, and nothing more.
func (g *generator) reduce(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, name := range keep {
			value, ok := v[name]
			if !ok {
				continue
			}
			if properties, ok := value.(map[string]any); ok && name == "properties" {
				out[name] = g.properties(properties)
				continue
			}
			out[name] = g.reduce(value)
		}
		if kind, ok := v["x-kubernetes-list-type"].(string); ok && kind == "set" {
			out["x-kubernetes-list-type"] = kind
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = g.reduce(item)
		}
		return out
	default:
		return v
	}
}

// properties reduces the fields of a type. The default of a field is kept where
// it is the key of a list, as a port's protocol is.
func (g *generator) properties(fields map[string]any) map[string]any {
	out := map[string]any{}
	for name, s := range fields {
		field := g.reduce(s).(map[string]any)
		if word, ok := s.(map[string]any)["default"].(string); ok && g.listKeys[name] {
			field["default"] = word
		}
		out[name] = field
	}
	return out
}

// free are types whose JSON is not what their fields say: they hold any value.
var free = []string{
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
	"io.k8s.apimachinery.pkg.runtime.RawExtension",
}

// restrict makes a type refuse fields that it does not have, as the API server
// does, and gives names to the forms of texts that have none in OpenAPI.
func restrict(name string, s map[string]any) {
	_, hasFree := s["additionalProperties"]
	switch {
	case name == "io.k8s.apimachinery.pkg.api.resource.Quantity":
		s["format"] = "quantity"
	case name == "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime":
		s["format"] = "micro-time"
	case s["type"] != "object" || hasFree || slices.Contains(free, name) || s["x-kubernetes-preserve-unknown-fields"] == true:
	default:
		s["additionalProperties"] = false
	}
}

// references returns the definitions that a schema names.
func references(v any) []string {
	var names []string
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if name, ok := value.(string); ok && key == "$ref" {
				names = append(names, strings.TrimPrefix(name, reference))
				continue
			}
			names = append(names, references(value)...)
		}
	case []any:
		for _, item := range v {
			names = append(names, references(item)...)
		}
	}
	return names
}

// text writes the document: the version, the definition of each kind by its
// apiVersion and name, and the definitions.
func (g *generator) text(version string) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n\"$schema\": \"http://json-schema.org/draft-07/schema#\",\n\"title\": \"Kubernetes %s\",\n\"x-kubernetes-kinds\": {\n", version)
	for i, kind := range slices.Sorted(maps.Keys(g.kinds)) {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, "%q: %q", kind, g.kinds[kind])
	}
	b.WriteString("\n},\n\"definitions\": {\n")
	for i, name := range slices.Sorted(maps.Keys(g.definitions)) {
		if i > 0 {
			b.WriteString(",\n")
		}
		text, err := json.Marshal(g.definitions[name])
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q: %s", name, text)
	}
	b.WriteString("\n}\n}\n")
	return b.Bytes(), nil
}
