package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(JSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("rota.schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("rota.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func TestJSONSchemaAgreesWithTheDecoder(t *testing.T) {
	compiled := compiledSchema(t)
	for text, good := range map[string]bool{
		"kind: Expansion\nspec: {template: a.yaml, parameters: {items: [{ITEM: apple}]}}":                   true,
		"kind: Expansion\nspec: {template: a.yaml, parameters: {matrix: {A: [x, 1], B: {range: {to: 9}}}}}": true,
		"kind: Expansion\nspec: {inline: \"a: b\", parameters: {file: items.csv}}":                          true,
		"kind: Expansion\nspec: {inline: \"a: b\", parameters: {file: items.txt}}":                          false,
		"kind: Expansion\nspec: {inline: \"a: b\", template: a.yaml}":                                       false,
		"kind: Expansion\nspec: {inline: \"a: b\", parameters: {file: items.csv, items: []}}":               false,
		"kind: Expansion\nspec: {inline: \"a: b\", parameters: {}}":                                         false,
		"kind: Expansion\nspec: {inline: \"a: b\", parameters: }":                                           false,
		"kind: Expansion\nspec: {inline: \"a: b\", admission: {maxActive: 1}}":                              false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, jitter: 5m, overlap: Queue, catchUp: {policy: All, limit: 3}, daylightSaving: {gap: Shift, repeat: Last}, expectWithin: 2h}":                               true,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {matchLabels: {team: billing}}, window: {notBefore: '2026-12-01', notAfter: '2027-03-31T10:00:00+02:00'}, calendar: {exclude: [holidays.ics, '2026-12-24/2027-01-02']}}": true,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, pause: {until: '2026-12-01T08:00:00Z', reason: ledger}}":                                                                                                   true,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {}}":                                                              false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, overlap: Forbid}":                                   false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, catchUp: {policy: Latest, limit: 3}}":               false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, catchUp: {policy: All, limit: 0}}":                  false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, daylightSaving: {gap: Jump}}":                       false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, window: {notBefore: tomorrow}}":                     false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, calendar: {exclude: [holidays.txt]}}":               false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, concurrencyGroup: {name: a, limit: 1}}":             true,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, concurrencyGroup: {name: a}}":                       false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, concurrencyGroup: {limit: 1}}":                      false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, concurrencyGroup: {name: a, limit: 0}}":             false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, concurrencyGroup: {name: a, limit: 1001}}":          false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, concurrencyGroup: {name: A_b, limit: 1}}":           false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, concurrencyGroup: {}}":                              false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, concurrencyGroup: warehouse}":                       false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, retries: {limit: 2, backoff: 1m, maxBackoff: 10m}}": true,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, retries: {limit: 1}}":                               true,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, retries: {backoff: 1m}}":                            false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, retries: {limit: -1}}":                              false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, retries: {limit: 10}}":                              false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, retries: {limit: 2, backoff: soon}}":                false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, retries: {limit: 2, backoff: 60}}":                  false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, retries: 3}":                                        false,
		"kind: SchedulePolicy\nmetadata: {name: a}\nspec: {selector: {names: [a]}, pause: {until: tomorrow}}":                          false,
		"kind: Expansion\nspec: {templat: a.yaml}":                                                                                     false,
		"kind: Expansion\nspec: {template: a.yaml, parameters: {matrix: {A: {range: {from: 1}}}}}":                                     false,
		"kind: Expansion\nspec: {template: a.yaml, parameters: {items: [{1A: apple}]}}":                                                false,
		"kind: SchedulePolicy\nspec: {}": false,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {git: {url: 'https://x/y'}}, interval: 30s, drift: Report}":                                        true,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {git: {url: 'https://x/y'}}, drift: report}":                                                       false,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {git: {url: 'https://x/y'}}, interval: 30}":                                                        false,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {git: {url: 'https://x/y', branch: a, tag: b}}}":                                                   false,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {git: {url: 'https://x/y'}, directory: {path: jobs}}}":                                             false,
		"kind: Sync\nmetadata: {name: A}\nspec: {source: {git: {url: 'https://x/y'}}}":                                                                      false,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {directory: {path: jobs}}, prune: {enabled: false}, target: {kinds: [Job]}}":                       true,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {directory: {path: jobs}}, limits: {fileBytes: 1Mi, totalBytes: 65536, renderTime: 1m, files: 1}}": true,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {directory: {path: jobs}}, limits: {fileBytes: 1MB}}":                                              false,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {directory: {path: jobs}}, limits: {fileBytes: 1.5}}":                                              false,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {directory: {path: jobs}}, limits: {fileBytes: 0}}":                                                false,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {directory: {path: jobs}}, limits: {fileBytes: 0Ki}}":                                              false,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {directory: {path: jobs}}, limits: {files: 0}}":                                                    false,
		"kind: Sync\nmetadata: {name: a}\nspec: {source: {directory: {path: jobs}}, limits: {nesting: 10001}}":                                              false,
	} {
		text = "apiVersion: rota.dev/v1alpha1\n" + text
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
	kind := ""
	if value, err := documents[0].Value(); err == nil {
		kind, _ = value.(map[string]any)["kind"].(string)
	}
	switch kind {
	case "Sync":
		_, err := DecodeSyncs("a.yaml", []byte(text))
		return err == nil
	case "Expansion":
		_, err = DecodeExpansion(documents[0])
		return err == nil
	case "SchedulePolicy":
		_, err = DecodeSchedulePolicy(documents[0])
		return err == nil
	}
	return false
}

// Every example that the repository shows is one that an editor accepts.
func TestJSONSchemaAcceptsTheExamples(t *testing.T) {
	compiled := compiledSchema(t)
	seen := 0
	for _, root := range []string{"../examples", "../README.md"} {
		for file, text := range documentsOf(t, root) {
			var document any
			if err := yaml.Unmarshal([]byte(text), &document); err != nil {
				continue // a template
			}
			m, _ := document.(map[string]any)
			if m["apiVersion"] != APIVersion {
				continue
			}
			seen++
			if err := compiled.Validate(document); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d documents of rota's own were found", seen)
	}
}

// documentsOf returns the YAML documents below a folder, or in the fenced
// blocks of a Markdown file, by where they stand.
func documentsOf(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	if strings.HasSuffix(root, ".md") {
		data, err := os.ReadFile(root)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(data), "```yaml\n")[1:] {
			found[fmt.Sprintf("%s, block %d", root, i+1)], _, _ = strings.Cut(block, "```")
		}
		return found
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := root + "/" + e.Name()
		if e.IsDir() {
			maps.Copy(found, documentsOf(t, name))
			continue
		}
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range strings.Split(string(data), "\n---\n") {
			found[fmt.Sprintf("%s, document %d", name, i+1)] = text
		}
	}
	return found
}

// draw makes documents of our kinds that are mostly right.
type draw struct{ *rand.Rand }

func (d draw) one(of ...any) any { return of[d.IntN(len(of))] }

// textsOf are values of the fields that take a certain form: good ones, and
// some that only look good.
var textsOf = map[string][2][]any{
	"APIVersion":                {{APIVersion}, {"rota.dev/v2", "v1"}},
	"Template":                  {{"job.yaml", "job.yaml.jinja2"}, nil},
	"Parameters.File":           {{"items.csv", "a/b.json", "x.yml", "X.CSV"}, {"items.txt", "csv", "a.csv.bak"}},
	"Sync.Metadata.Name":        {{"batch", "a", "a-1"}, {"Batch", "-a", "a_b", strings.Repeat("a", 41), "a.b"}},
	"SyncSpec.Interval":         {{"30s", "1m", "1h30m", "1.5m", "1500ms", "+5m"}, {"5", "5 m", "m", "1d", "-5m", "1m30"}},
	"SyncSpec.Timeout":          {{"30s", "1m"}, {"x"}},
	"SyncSpec.Scheduler":        {{SchedulerEmbedded, SchedulerCluster}, {"embedded", "None"}},
	"SyncSpec.Drift":            {{DriftCorrect, DriftReport}, {"correct"}},
	"GitSource.Branch":          {{"main", "release/1.0", "a-b"}, {"-x", "a b", "a..b", "a:b", "a*", "a~1", "a[", `a\b`}},
	"GitSource.Tag":             {{"v1", "1.0"}, {"-x", "a^", "a?b"}},
	"GitSource.Commit":          {{strings.Repeat("0f", 20)}, {"0f", strings.Repeat("0F", 20), strings.Repeat("0", 41)}},
	"GitSource.Path":            {{"a", "a/b", ".", "./a", "..a", "a..b/c"}, {"..", "../a", "/a", "a/../..", "a/.."}},
	"DirectorySource.Sub":       {{"a", "."}, {"..", "/a"}},
	"SyncTarget.Namespace":      {{"batch", "a-1"}, {"Batch", "a.b", "-", strings.Repeat("a", 64)}},
	"SyncTarget.Namespaces":     {{"batch", "a-1"}, {"Batch", "a/b"}},
	"SyncTarget.Kinds":          {{"Job", "Role.rbac.authorization.k8s.io"}, {"job", ".x", "1"}},
	"SyncLimits.FileBytes":      {{"1Mi", "65536", 65536, "0.5Gi", "3M"}, {"1MB", "", 0, "0", "0Ki", -1, 1.5, "1.5", "1e6", "x"}},
	"SyncLimits.TotalBytes":     {{"1Mi", "65536", 65536, "0.5Gi", "3M"}, {"1MB", "", 0, "0", "0Ki", -1, 1.5, "1.5", "1e6", "x"}},
	"SyncLimits.RenderedBytes":  {{"1Mi", "65536", 65536, "0.5Gi", "3M"}, {"1MB", "", 0, "0", "0Ki", -1, 1.5, "1.5", "1e6", "x"}},
	"SyncLimits.TemplateBytes":  {{"1Mi", "65536", 65536, "0.5Gi", "3M"}, {"1MB", "", 0, "0", "0Ki", -1, 1.5, "1.5", "1e6", "x"}},
	"SyncLimits.OverlayBytes":   {{"1Mi", "65536", 65536, "0.5Gi", "3M"}, {"1MB", "", 0, "0", "0Ki", -1, 1.5, "1.5", "1e6", "x"}},
	"SyncLimits.RendererMemory": {{"64Mi", "1Gi", 67108864}, {1048576, "x"}},
	"SyncLimits.Nesting":        {{1, 7, 10000}, {0, -1, "7", 1.5, 10001}},
	"SyncLimits.Files":          {{1, 7, 100000}, {0, -1, "7", 1.5}},
	"SyncLimits.AliasNodes":     {{1, 7, 100000}, {0, -1, "7", 1.5}},
	"SyncLimits.Objects":        {{1, 7, 100000}, {0, -1, "7", 1.5}},
	"SyncLimits.Items":          {{1, 7, 100000}, {0, -1, "7", 1.5}},
	"SyncLimits.TemplateTime":   {{"5s", "1m"}, {"x", "5"}},
	"SyncLimits.OverlayTime":    {{"5s", "1m"}, {"x", "5"}},
	"SyncLimits.RenderTime":     {{"5s", "1m"}, {"x", "5"}},
	"SyncTarget.ServiceAccount": {{"a", "a/b"}, {"/", "a/", "/b", "a/b/c"}},
}

func (d draw) text(field string) any {
	pool, ok := textsOf[field]
	if !ok {
		return d.one("a", "x/y", "https://x/y", "a b")
	}
	if len(pool[1]) > 0 && d.IntN(40) == 0 {
		return pool[1][d.IntN(len(pool[1]))]
	}
	return pool[0][d.IntN(len(pool[0]))]
}

// exclusive are the fields of a type of which a document has one.
var exclusive = map[string][]string{
	"ExpansionSpec":  {"Template", "Inline"},
	"Parameters":     {"Items", "Matrix", "File"},
	"SyncSource":     {"Git", "Directory"},
	"GitSource":      {"Branch", "Tag", "Commit"},
	"GitCredentials": {"TokenFile", "SSHKeyFile"},
}

func (d draw) value(t reflect.Type, field string) any {
	switch t {
	case reflect.TypeFor[Duration](), reflect.TypeFor[Bytes]():
		return d.text(field)
	case reflect.TypeFor[Values]():
		return d.parameters()
	case reflect.TypeFor[Matrix]():
		matrix := map[string]any{}
		for range 1 + d.IntN(2) {
			matrix[d.one("A", "B_1", "region").(string)] = d.axis()
		}
		return matrix
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.value(t.Elem(), field)
	case reflect.Slice:
		list := make([]any, d.IntN(3))
		for i := range list {
			list[i] = d.value(t.Elem(), field)
		}
		return list
	case reflect.Bool:
		return d.one(true, false)
	case reflect.Int64:
		if _, ok := textsOf[field]; ok {
			return d.text(field)
		}
		if d.IntN(15) == 0 {
			return d.one(-1, 101, 1e30, 1e30)
		}
		return d.one(0, 1, 7, 100)
	case reflect.Struct:
		return d.object(t, field)
	}
	return d.text(field)
}

func (d draw) parameters() any {
	values := map[string]any{}
	for range d.IntN(3) {
		values[d.one("ITEM", "n", "_x1").(string)] = d.one("apple", 1, true, 1.5, []any{1, "a"}, map[string]any{"k": nil})
	}
	return values
}

func (d draw) axis() any {
	if d.IntN(2) == 0 {
		return []any{d.one("eu", 1, true), "us"}
	}
	return map[string]any{"range": d.value(reflect.TypeFor[Range](), "")}
}

func (d draw) object(t reflect.Type, field string) any {
	group := exclusive[t.Name()]
	kept := ""
	if len(group) > 0 {
		kept = group[d.IntN(len(group))]
	}
	object := map[string]any{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		path := t.Name() + "." + f.Name
		switch {
		case name == "" || name == "-" || refused[path] != "":
			continue
		case slices.Contains(group, f.Name):
			if f.Name != kept && d.IntN(60) > 0 {
				continue
			}
		case options != "" && d.IntN(2) == 0:
			continue
		}
		if t == reflect.TypeFor[Metadata]() {
			path = field + "." + f.Name
		}
		if f.Name == "APIVersion" || f.Name == "Template" {
			path = f.Name
		}
		object[name] = d.value(f.Type, path)
	}
	return object
}

func (d draw) document() map[string]any {
	t := d.one(reflect.TypeFor[Expansion](), reflect.TypeFor[Sync]()).(reflect.Type)
	document := d.object(t, "").(map[string]any)
	document["kind"] = t.Name()
	if meta, ok := document["metadata"].(map[string]any); ok && t.Name() == "Sync" {
		meta["name"] = d.text("Sync.Metadata.Name")
	}
	return document
}

// mutate changes one thing somewhere in a document.
func (d draw) mutate(v any) any {
	switch v := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		if len(keys) > 0 && d.IntN(4) > 0 {
			key := keys[d.IntN(len(keys))]
			v[key] = d.mutate(v[key])
			return v
		}
		if len(keys) > 0 && d.IntN(2) == 0 {
			delete(v, keys[d.IntN(len(keys))])
			return v
		}
		v[d.one("name", "spec", "template", "inline", "file", "items", "git", "tag", "range", "unknown", "A-B", "1A", "passwordFile", "usernameFile").(string)] = d.other()
		return v
	case []any:
		if len(v) > 0 && d.IntN(3) > 0 {
			i := d.IntN(len(v))
			v[i] = d.mutate(v[i])
			return v
		}
		return append(v, d.other())
	}
	return d.other()
}

func (d draw) other() any {
	return d.one(nil, "", "a", "A", "../x", 0, -1, 101, 1.5, 1e3, 1e30, true, []any{}, []any{"a"}, map[string]any{}, map[string]any{"a": "b"}, "5m", "1ms", "Sync", "Expansion", "SchedulePolicy")
}

// exceptions are what the schema cannot say or does not need to: where one
// applies the schema may accept what the decoder refuses, never the reverse.
var exceptions = []struct {
	why     string
	applies func(document map[string]any) bool
}{
	{"a schema cannot compare two fields: the ends of a range", func(d map[string]any) bool {
		return anywhere(d, func(m map[string]any) bool {
			from, _ := m["from"].(float64)
			to, isNumber := m["to"].(float64)
			return isNumber && to < from
		})
	}},
	{"a schema cannot count: an interval or a timeout is at least a second, and its sum has 64 bits", func(d map[string]any) bool {
		return anywhere(d, func(m map[string]any) bool {
			for _, name := range []string{"interval", "timeout"} {
				text, _ := m[name].(string)
				if v, err := time.ParseDuration(text); err == nil && v < time.Second {
					return true
				}
			}
			return false
		})
	}},
	{"an integer of JSON Schema has no end: 1e30 is one", func(d map[string]any) bool {
		return anywhere(d, func(m map[string]any) bool {
			return slices.ContainsFunc(slices.Collect(maps.Values(m)), func(v any) bool { return v == 1e30 })
		})
	}},
}

// anywhere reports whether test holds for a mapping inside v.
func anywhere(v any, test func(map[string]any) bool) bool {
	switch v := v.(type) {
	case map[string]any:
		return test(v) || slices.ContainsFunc(slices.Collect(maps.Values(v)), func(child any) bool { return anywhere(child, test) })
	case []any:
		return slices.ContainsFunc(v, func(child any) bool { return anywhere(child, test) })
	}
	return false
}

// TestJSONSchemaAndDecoderNeverDisagree draws documents, some of them changed
// in a few places, and holds both verdicts together. They are JSON, which is
// YAML too, and leaves out what only YAML has: merges, keys that are there
// twice, and the words that YAML 1.1 and 1.2 read differently.
func TestJSONSchemaAndDecoderNeverDisagree(t *testing.T) {
	compiled := compiledSchema(t)
	d := draw{rand.New(rand.NewPCG(1, 2))}
	good, bad, excused := 0, 0, make([]int, len(exceptions))
	for range 10_000 {
		document := d.document()
		for range d.IntN(3) {
			document, _ = d.mutate(document).(map[string]any)
		}
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		var parsed any
		if err := json.Unmarshal(text, &parsed); err != nil {
			t.Fatal(err)
		}
		schemaSays, decoderSays := compiled.Validate(parsed), decodes(t, string(text))
		if decoderSays {
			good++
		} else {
			bad++
		}
		if (schemaSays == nil) == decoderSays {
			continue
		}
		i := slices.IndexFunc(exceptions, func(e struct {
			why     string
			applies func(map[string]any) bool
		}) bool {
			return e.applies(parsed.(map[string]any))
		})
		if decoderSays || i < 0 {
			t.Fatalf("the decoder says %v, the schema: %v\n%s", decoderSays, schemaSays, text)
		}
		excused[i]++
	}
	if good < 2_000 || bad < 2_000 {
		t.Errorf("%d good and %d bad documents were drawn; both must be many", good, bad)
	}
	for i, n := range excused {
		if n == 0 {
			t.Errorf("no document needed the exception %q", exceptions[i].why)
		}
	}
}
