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
	"time"
)

var update = flag.Bool("update", false, "write generated files and golden outputs anew")

// comments returns the doc comment of each field, by type and Go name.
func comments(t *testing.T) map[string]map[string]string {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range []string{"expansion.go", "limits.go", "policy.go", "policy_runs.go", "schedulepolicy.go", "sync.go"} {
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
	met      map[string]bool
}

// keywords of JSON Schema.
type keywords = map[string]any

var (
	label     = keywords{"pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
	reference = keywords{"pattern": `^[^- \t\n~^:?*\[\\][^ \t\n~^:?*\[\\]*$`, "not": keywords{"pattern": `\.\.`}}
	inside    = keywords{"not": keywords{"pattern": `^/|(^|/)\.\.(/|$)`}}
)

// constraints are what the checks of the decoder say beyond the Go types, by
// type and, after a dot, field.
var constraints = map[string]keywords{
	"ExpansionSpec":              {"oneOf": []keywords{{"required": []string{"template"}}, {"required": []string{"inline"}}}},
	"Parameters":                 {"oneOf": []keywords{{"required": []string{"items"}}, {"required": []string{"matrix"}}, {"required": []string{"file"}}}},
	"Parameters.File":            {"pattern": parameterFile.String()},
	"Range.Step":                 {"minimum": 1},
	"SchedulePolicy.Metadata":    {"required": []string{"name"}},
	"SchedulePolicySpec.Overlap": {"enum": []string{OverlapQueue}},
	"PolicySelector":             {"anyOf": []keywords{{"required": []string{"names"}}, {"required": []string{"matchLabels"}}}},
	"PolicySelector.Names":       {"minItems": 1},
	"PolicySelector.MatchLabels": {"minProperties": 1},
	"PolicyWindow":               {"minProperties": 1},
	"PolicyCalendar.Exclude":     {"items": keywords{"pattern": `\.ics$|^[0-9]{4}-[0-9]{2}-[0-9]{2}(/[0-9]{4}-[0-9]{2}-[0-9]{2})?$`}},
	"CatchUp":                    {"dependencies": keywords{"limit": keywords{"required": []string{"policy"}, "properties": keywords{"policy": keywords{"const": CatchUpAll}}}}},
	"CatchUp.Policy":             {"enum": []string{CatchUpLatest, CatchUpAll, CatchUpNone}},
	"CatchUp.Limit":              {"minimum": 1, "maximum": mostCatchUp},
	"ConcurrencyGroup.Name":      label,
	"ConcurrencyGroup.Limit":     {"minimum": 1, "maximum": mostInGroup},
	"Retries.Limit":              {"minimum": 1, "maximum": mostRetries},
	"DaylightSaving.Gap":         {"enum": []string{GapSkip, GapShift}},
	"DaylightSaving.Repeat":      {"enum": []string{RepeatBoth, RepeatFirst, RepeatLast}},
	"Sync.Metadata":              {"required": []string{"name"}, "properties": keywords{"name": keywords{"pattern": label["pattern"], "maxLength": 40}}},
	"SyncSpec.Scheduler":         {"enum": []string{SchedulerEmbedded, SchedulerCluster}},
	"SyncSpec.Drift":             {"enum": []string{DriftCorrect, DriftReport}},
	"SyncSource":                 {"oneOf": []keywords{{"required": []string{"git"}}, {"required": []string{"directory"}}}},
	"GitSource":                  {"oneOf": atMostOne("branch", "tag", "commit")},
	"GitSource.Branch":           reference,
	"GitSource.Tag":              reference,
	"GitSource.Commit":           {"pattern": "^[0-9a-f]{40}$"},
	"GitSource.Path":             inside,
	"GitCredentials":             {"dependencies": keywords{"passwordFile": []string{"usernameFile"}, "usernameFile": keywords{"oneOf": []keywords{{"required": []string{"passwordFile"}}, {"required": []string{"tokenFile"}}}}, "tokenFile": without("passwordFile")}},
	"DirectorySource.Sub":        inside,
	"SyncTarget.Namespace":       label,
	"SyncTarget.Namespaces":      {"items": label},
	"SyncTarget.Kinds":           {"items": keywords{"pattern": "^[A-Z]"}},
	"SyncTarget.ServiceAccount":  {"pattern": "^[^/]+(/[^/]+)?$"},
	"SyncLimits.Files":           {"minimum": 1},
	"SyncLimits.Nesting":         {"minimum": 1, "maximum": deepest},
	"SyncLimits.AliasNodes":      {"minimum": 1},
	"SyncLimits.Objects":         {"minimum": 1},
	"SyncLimits.Items":           {"minimum": 1},
	"SyncLimits.RendererMemory":  {"minimum": leastMemory},
	"SyncPrune.MaxPercent":       {"minimum": 0, "maximum": 100},
}

// refused are fields that the decoder knows only to refuse them: an editor
// must not offer them.
var refused = map[string]string{
	"ExpansionSpec.Admission": "not carried out by this version",
}

func without(field string) keywords {
	return keywords{"not": keywords{"required": []string{field}}}
}

// atMostOne lets an object have one of the fields or none.
func atMostOne(fields ...string) []keywords {
	var none []keywords
	var all []keywords
	for _, f := range fields {
		all = append(all, keywords{"required": []string{f}})
		none = append(none, keywords{"required": []string{f}})
	}
	return append(all, keywords{"not": keywords{"anyOf": none}})
}

// merge adds keywords to a schema; those that are objects themselves are
// merged in their turn.
func merge(into, more keywords) {
	for name, value := range more {
		old, isObject := into[name].(keywords)
		if add, ok := value.(keywords); ok && isObject {
			merge(old, add)
			continue
		}
		into[name] = value
	}
}

const (
	datePattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
	timePattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})$`
)

var anyScalar = map[string]any{"type": []string{"string", "number", "boolean", "array", "object"}}

func (g *generator) schema(t reflect.Type) map[string]any {
	switch t {
	case reflect.TypeFor[Duration]():
		return map[string]any{"type": "string", "pattern": `^\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`}
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "pattern": timePattern}
	case reflect.TypeFor[Moment]():
		return map[string]any{"type": "string", "pattern": datePattern + "|" + timePattern}
	case reflect.TypeFor[Bytes]():
		return map[string]any{"type": []string{"string", "integer"}, "pattern": bytesForm.String(), "minimum": 1, "not": keywords{"type": "string", "pattern": `^[0.]+[A-Za-z]*$`}}
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
		return map[string]any{"type": "string", "minLength": 1}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": g.schema(t.Elem())}
	case reflect.Int, reflect.Int64:
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
		if name == "" || name == "-" || refused[t.Name()+"."+f.Name] != "" {
			continue
		}
		comment := strings.Join(strings.Fields(g.comments[t.Name()][f.Name]), " ")
		if comment == "" {
			g.t.Errorf("%s.%s has no comment, which is its description", t.Name(), f.Name)
		}
		s := g.schema(f.Type)
		s["description"] = comment
		merge(s, g.constraint(t.Name()+"."+f.Name))
		if options == "" {
			required = append(required, name)
		}
		properties[name] = s
	}
	out := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	merge(out, g.constraint(t.Name()))
	return out
}

func (g *generator) constraint(name string) keywords {
	g.met[name] = true
	return constraints[name]
}

func generate(t *testing.T) []byte {
	g := &generator{t: t, comments: comments(t), met: map[string]bool{}}
	kind := func(t reflect.Type) map[string]any {
		s := g.schema(t)
		properties := s["properties"].(map[string]any)
		properties["apiVersion"].(map[string]any)["const"] = APIVersion
		properties["kind"].(map[string]any)["const"] = t.Name()
		s["title"] = t.Name()
		s["description"] = strings.Join(strings.Fields(g.comments[t.Name()][""]), " ")
		return s
	}
	expansion, policy, sync := kind(reflect.TypeFor[Expansion]()), kind(reflect.TypeFor[SchedulePolicy]()), kind(reflect.TypeFor[Sync]())
	isKind := func(name string) map[string]any {
		return map[string]any{"required": []string{"kind"}, "properties": map[string]any{"kind": map[string]any{"const": name}}}
	}
	for name := range constraints {
		if !g.met[name] {
			t.Errorf("there is no %s, so its constraint holds nothing", name)
		}
	}
	data, err := json.MarshalIndent(map[string]any{
		"$schema": "http://json-schema.org/draft-07/schema#", "title": "Documents of rota.dev/v1alpha1", "type": "object",
		"required": []string{"apiVersion", "kind"},
		"properties": map[string]any{
			"apiVersion": map[string]any{"const": APIVersion},
			"kind":       map[string]any{"enum": []string{"Expansion", "SchedulePolicy", "Sync"}},
		},
		"allOf": []any{
			map[string]any{"if": isKind("Expansion"), "then": expansion},
			map[string]any{"if": isKind("SchedulePolicy"), "then": policy},
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
