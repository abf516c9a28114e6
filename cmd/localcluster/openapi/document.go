package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kubernetes/pkg/generated/openapi"
)

const reference = "#/definitions/"

// document returns the schema: a JSON document that has the definition of each
// type on a line of its own, so that a reader can take the few lines that it
// needs, and a review of a new version shows which types changed.
func document() ([]byte, error) {
	kinds, version, err := served()
	if err != nil {
		return nil, err
	}
	generated := openapi.GetOpenAPIDefinitions(func(name string) spec.Ref { return spec.MustCreateRef(reference + name) })
	definitions := map[string]map[string]any{}
	index := map[string]string{}
	for name := range kinds {
		definition, ok := generated[name]
		if !ok {
			return nil, fmt.Errorf("the published kind %s has no generated definition", name)
		}
		raw, err := plain(definition.Schema)
		if err != nil {
			return nil, err
		}
		if properties, _ := raw["properties"].(map[string]any); properties["metadata"] == nil {
			continue // Status, DeleteOptions and the like are no objects of a cluster
		}
		for _, k := range kinds[name] {
			index[strings.TrimPrefix(k["group"]+"/"+k["version"], "/")+" "+k["kind"]] = name
		}
		definitions[name] = raw
	}
	for name := range generated {
		raw, err := plain(generated[name].Schema)
		if err != nil {
			return nil, err
		}
		findListKeys(raw)
	}
	open := slices.Sorted(maps.Keys(definitions))
	for _, kind := range open {
		// What only the server writes never reaches the validation.
		if properties := definitions[kind]["properties"].(map[string]any); properties["status"] != nil {
			properties["status"] = map[string]any{}
		}
	}
	for len(open) > 0 {
		name := open[0]
		open = open[1:]
		definitions[name] = reduce(definitions[name]).(map[string]any)
		close(name, definitions[name])
		for _, next := range references(definitions[name]) {
			if definitions[next] != nil {
				continue
			}
			if definitions[next], err = plain(generated[next].Schema); err != nil {
				return nil, err
			}
			open = append(open, next)
		}
	}
	return print(definitions, index, version)
}

// served returns the kinds of the API that Kubernetes publishes, by the name of
// their definition, and the version of the module. The generated definitions
// also have versions that no server has served for years.
func served() (map[string][]map[string]string, string, error) {
	out, err := exec.Command("go", "list", "-m", "-json", "k8s.io/kubernetes").Output()
	if err != nil {
		return nil, "", fmt.Errorf("finding the module k8s.io/kubernetes: %w", err)
	}
	var module struct{ Dir, Version string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, "", fmt.Errorf("finding the module k8s.io/kubernetes: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(module.Dir, "api", "openapi-spec", "v3", "*.json"))
	if err != nil || len(files) == 0 {
		return nil, "", fmt.Errorf("no OpenAPI below %s: %w", module.Dir, err)
	}
	kinds := map[string][]map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, "", err
		}
		var published struct {
			Components struct {
				Schemas map[string]struct {
					Kinds []map[string]string `json:"x-kubernetes-group-version-kind"`
				}
			}
		}
		if err := json.Unmarshal(text, &published); err != nil {
			return nil, "", fmt.Errorf("reading %s: %w", file, err)
		}
		for name, s := range published.Components.Schemas {
			if len(s.Kinds) > 0 && !strings.HasSuffix(name, "List") {
				kinds[name] = s.Kinds
			}
		}
	}
	return kinds, module.Version, nil
}

// plain returns a generated schema as the JSON that it stands for.
func plain(s spec.Schema) (map[string]any, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	return m, json.Unmarshal(text, &m)
}

// keep are the keywords that validation needs. Descriptions are four fifths of
// the whole, and `kubectl explain` has them.
var keep = []string{
	"$ref", "type", "format", "enum", "items", "properties", "additionalProperties", "required", "oneOf",
	"minimum", "maximum", "pattern", "minLength", "maxLength", "minItems", "maxItems",
	"x-kubernetes-list-map-keys",
	"x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string",
}

// listKeys are the names of fields that tell the items of lists apart.
var listKeys = map[string]bool{}

// findListKeys notes the keys of the lists in v.
func findListKeys(v any) {
	switch v := v.(type) {
	case map[string]any:
		names, _ := v["x-kubernetes-list-map-keys"].([]any)
		for _, name := range names {
			listKeys[name.(string)] = true
		}
		for _, below := range v {
			findListKeys(below)
		}
	case []any:
		for _, below := range v {
			findListKeys(below)
		}
	}
}

// reduce returns a schema with what validation needs, and nothing more.
func reduce(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, name := range keep {
			value, ok := v[name]
			if !ok {
				continue
			}
			if properties, ok := value.(map[string]any); ok && name == "properties" {
				reduced := map[string]any{}
				for field, s := range properties {
					reduced[field] = reduce(s)
					// The default of a field counts where it is the key of a list,
					// as a port's protocol is.
					if word, ok := s.(map[string]any)["default"].(string); ok && listKeys[field] {
						reduced[field].(map[string]any)["default"] = word
					}
				}
				out[name] = reduced
				continue
			}
			out[name] = reduce(value)
		}
		if kind, ok := v["x-kubernetes-list-type"].(string); ok && kind == "set" {
			out["x-kubernetes-list-type"] = kind
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = reduce(item)
		}
		return out
	default:
		return v
	}
}

// free are types whose JSON is not what their fields say: they hold any value.
var free = []string{
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
	"io.k8s.apimachinery.pkg.runtime.RawExtension",
}

// close makes a type refuse fields that it does not have, as the API server
// does, and says of a quantity that it is one.
func close(name string, s map[string]any) {
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

// references returns the definitions that a schema names, in a stable order.
func references(v any) []string {
	switch v := v.(type) {
	case map[string]any:
		var names []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if name, ok := v[key].(string); ok && key == "$ref" {
				names = append(names, strings.TrimPrefix(name, reference))
				continue
			}
			names = append(names, references(v[key])...)
		}
		return names
	case []any:
		var names []string
		for _, item := range v {
			names = append(names, references(item)...)
		}
		return names
	}
	return nil
}

// print writes the document: the version, the definition of each kind by its
// apiVersion and name, and the definitions.
func print(definitions map[string]map[string]any, kinds map[string]string, version string) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n\"$schema\": \"http://json-schema.org/draft-07/schema#\",\n\"title\": \"Kubernetes %s\",\n\"x-kubernetes-kinds\": {\n", version)
	for i, kind := range slices.Sorted(maps.Keys(kinds)) {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, "%q: %q", kind, kinds[kind])
	}
	b.WriteString("\n},\n\"definitions\": {\n")
	for i, name := range slices.Sorted(maps.Keys(definitions)) {
		if i > 0 {
			b.WriteString(",\n")
		}
		text, err := json.Marshal(definitions[name])
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q: %s", name, text)
	}
	b.WriteString("\n}\n}\n")
	return b.Bytes(), nil
}
