package schema

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write generated files and golden outputs anew")

// comments returns the doc comment of each field, by type and Go name.
func comments(t *testing.T) map[string]map[string]string {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range []string{"expansion.go", "sync.go"} {
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	pkg, err := doc.NewFromFiles(fset, files, "rota.dev/rota/schema")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]string{}
	for _, typ := range pkg.Types {
		fields := map[string]string{"": typ.Doc}
		for _, spec := range typ.Decl.Specs {
			s, ok := spec.(*ast.TypeSpec).Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					fields[name.Name] = f.Doc.Text()
				}
			}
		}
		found[typ.Name] = fields
	}
	return found
}

// generator makes draft-07 of our types.
type generator struct {
	t        *testing.T
	comments map[string]map[string]string
}

// words are fields that take one of a few texts.
var words = map[string][]string{
	"SyncSpec.Scheduler": {SchedulerEmbedded, SchedulerCluster},
	"SyncSpec.Drift":     {DriftCorrect, DriftReport},
}

var anyScalar = map[string]any{"type": []string{"string", "number", "boolean", "array", "object"}}

func (g *generator) schema(t reflect.Type) map[string]any {
	switch t {
	case reflect.TypeFor[Duration]():
		return map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}
	case reflect.TypeFor[Values]():
		return map[string]any{"type": "object", "propertyNames": map[string]any{"pattern": ParameterName.String()}, "additionalProperties": anyScalar}
	case reflect.TypeFor[Matrix]():
		axis := []any{map[string]any{"type": "array", "minItems": 1, "items": anyScalar},
			map[string]any{"type": "object", "required": []string{"range"}, "additionalProperties": false, "properties": map[string]any{"range": g.schema(reflect.TypeFor[Range]())}}}
		return map[string]any{"type": "object", "minProperties": 1, "propertyNames": map[string]any{"pattern": ParameterName.String()}, "additionalProperties": map[string]any{"oneOf": axis}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.schema(t.Elem())
	case reflect.Slice:
		return map[string]any{"type": "array", "items": g.schema(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Struct:
		return g.object(t)
	}
	g.t.Fatalf("no schema for %s", t)
	return nil
}

func (g *generator) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		comment := strings.Join(strings.Fields(g.comments[t.Name()][f.Name]), " ")
		if comment == "" {
			g.t.Errorf("%s.%s has no comment, which is its description", t.Name(), f.Name)
		}
		s := g.schema(f.Type)
		s["description"] = comment
		if list := words[t.Name()+"."+f.Name]; list != nil {
			s["enum"] = list
		}
		if options == "" {
			required = append(required, name)
		}
		properties[name] = s
	}
	out := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func generate(t *testing.T) []byte {
	g := &generator{t: t, comments: comments(t)}
	kind := func(t reflect.Type) map[string]any {
		s := g.schema(t)
		properties := s["properties"].(map[string]any)
		properties["apiVersion"].(map[string]any)["const"] = APIVersion
		properties["kind"].(map[string]any)["const"] = t.Name()
		s["title"] = t.Name()
		s["description"] = strings.Join(strings.Fields(g.comments[t.Name()][""]), " ")
		return s
	}
	expansion, sync := kind(reflect.TypeFor[Expansion]()), kind(reflect.TypeFor[Sync]())
	isKind := func(name string) map[string]any {
		return map[string]any{"required": []string{"kind"}, "properties": map[string]any{"kind": map[string]any{"const": name}}}
	}
	data, err := json.MarshalIndent(map[string]any{
		"$schema": "http://json-schema.org/draft-07/schema#", "title": "Documents of rota.dev/v1alpha1", "type": "object",
		"required": []string{"apiVersion", "kind"},
		"properties": map[string]any{
			"apiVersion": map[string]any{"const": APIVersion},
			"kind":       map[string]any{"enum": []string{"Expansion", "Sync"}},
		},
		"allOf": []any{
			map[string]any{"if": isKind("Expansion"), "then": expansion},
			map[string]any{"if": isKind("Sync"), "then": sync},
		},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

func TestJSONSchemaIsMadeOfTheTypes(t *testing.T) {
	want := generate(t)
	if *update {
		if err := os.WriteFile("rota.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(JSONSchema(), want) {
		t.Error("rota.schema.json is not what the types say; run `go test ./schema -run JSONSchema -update`")
	}
}

func TestJSONSchemaAgreesWithTheDecoder(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(JSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("rota.schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("rota.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for text, good := range map[string]bool{
		"apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec: {template: a.yaml, parameters: {items: [{ITEM: apple}]}}":                                             true,
		"apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec: {template: a.yaml, parameters: {matrix: {A: [x, 1], B: {range: {to: 9}}}}}":                           true,
		"apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec: {templat: a.yaml}":                                                                                    false,
		"apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec: {template: a.yaml, parameters: {matrix: {A: {range: {from: 1}}}}}":                                    false,
		"apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec: {template: a.yaml, parameters: {items: [{1A: apple}]}}":                                               false,
		"apiVersion: rota.dev/v2\nkind: Expansion\nspec: {template: a.yaml}":                                                                                         false,
		"apiVersion: rota.dev/v1alpha1\nkind: Sync\nmetadata: {name: a}\nspec: {source: {git: {url: 'https://x/y'}}, interval: 30s, drift: Report}":                  true,
		"apiVersion: rota.dev/v1alpha1\nkind: Sync\nmetadata: {name: a}\nspec: {source: {git: {url: 'https://x/y'}}, drift: report}":                                 false,
		"apiVersion: rota.dev/v1alpha1\nkind: Sync\nmetadata: {name: a}\nspec: {source: {git: {url: 'https://x/y'}}, interval: 30}":                                  false,
		"apiVersion: rota.dev/v1alpha1\nkind: Sync\nmetadata: {name: a}\nspec: {source: {directory: {path: jobs}}, prune: {enabled: false}, target: {kinds: [Job]}}": true,
	} {
		var document any
		if err := yaml.Unmarshal([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
		bySchema := compiled.Validate(document) == nil
		byDecoder := decodes(t, text)
		if bySchema != good || byDecoder != good {
			t.Errorf("good=%v, but the schema says %v and the decoder %v:\n%s", good, bySchema, byDecoder, text)
		}
	}
}

func decodes(t *testing.T, text string) bool {
	documents, err := ReadDocuments("a.yaml", []byte(text), DocumentLimits{})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "kind: Sync") {
		_, err := DecodeSyncs("a.yaml", []byte(text))
		return err == nil
	}
	_, err = DecodeExpansion(documents[0])
	return err == nil
}
