package plan

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"rota.dev/rota/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	testSet  = "applyset-mine-v1"
	otherSet = "applyset-theirs-v1"
)

var testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func testOptions() Options {
	return Options{Sync: "batch", SetID: testSet, Owners: map[string]string{otherSet: "the Sync billing"}, Revision: "main@sha1:2222222222222222",
		EmbeddedScheduler: true, Prune: true, MaxPrunePercent: 50}
}

// parse returns the objects of a YAML text with an Origin each; comments
// `# origin: file (template)` before a document set that.
func parse(t testing.TB, text string) []schema.Object {
	t.Helper()
	var out []schema.Object
	for i, doc := range strings.Split("\n"+text, "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		var fields map[string]any
		raw, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatalf("document %d: %v\n%s", i, err, doc)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw); err != nil {
			t.Fatalf("document %d: %v\n%s", i, err, doc)
		}
		if err := json.Unmarshal(raw, &fields); err != nil {
			t.Fatal(err)
		}
		origin := schema.Origin{File: "batch.yaml", Line: 1 + i}
		for _, line := range strings.Split(doc, "\n") {
			if text, ok := strings.CutPrefix(line, "# expansion: "); ok {
				origin.File, origin.Template, _ = strings.Cut(text, " ")
				origin.Item = i + 1
				origin.Parameters = []schema.Parameter{{Name: "ITEM", Value: u.GetName()}}
			}
		}
		out = append(out, schema.Object{Unstructured: u, Origin: origin})
	}
	return out
}

func intended(t testing.TB, objects []schema.Object, o Options) []Intended {
	t.Helper()
	in, err := Intend(objects, o)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// applied returns in as an ideal server would have it after an apply: with a
// uid, rota's managedFields entry, and the status that the object was written
// with.
func applied(in Intended, status any) *unstructured.Unstructured {
	u := in.Unstructured.DeepCopy()
	u.SetUID("uid-" + "of-" + "new")
	if status != nil {
		u.Object["status"] = status
	}
	own(u, in.Unstructured)
	return u
}

func own(u, by *unstructured.Unstructured) {
	metadata := map[string]any{}
	for _, k := range []string{"labels", "annotations", "finalizers"} {
		if v, ok := by.Object["metadata"].(map[string]any)[k]; ok {
			metadata["f:"+k] = fieldsOf(v)
		}
	}
	fields := map[string]any{"f:metadata": metadata}
	for k, v := range by.Object {
		switch k {
		case "apiVersion", "kind", "metadata", "status":
		default:
			fields["f:"+k] = fieldsOf(v)
		}
	}
	u.Object["metadata"].(map[string]any)["managedFields"] = []any{map[string]any{
		"manager": "rota", "operation": "Apply", "apiVersion": by.GetAPIVersion(), "fieldsType": "FieldsV1",
		"time": "2026-11-20T00:00:00Z", "fieldsV1": fields,
	}}
}

func fieldsOf(v any) map[string]any {
	out := map[string]any{}
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			out["f:"+k] = fieldsOf(child)
		}
	case []any:
		for _, item := range v {
			m, ok := item.(map[string]any)
			if !ok || m["name"] == nil {
				return map[string]any{}
			}
			child := fieldsOf(m)
			child["."] = map[string]any{}
			out[fmt.Sprintf(`k:{"name":%q}`, m["name"])] = child
		}
	}
	return out
}

func golden(t *testing.T, path, name, got string) {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range archive.Files {
		if f.Name != name {
			continue
		}
		if string(f.Data) == got {
			return
		}
		if !*update {
			t.Errorf("%s: %s is\n%s\nwant\n%s", path, name, got, f.Data)
			return
		}
		archive.Files[i].Data = []byte(got)
		write(t, path, archive)
		return
	}
	if !*update {
		t.Fatalf("%s has no %s; run with -update", path, name)
	}
	archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got)})
	write(t, path, archive)
}

func write(t *testing.T, path string, archive *txtar.Archive) {
	t.Helper()
	if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

func section(t testing.TB, path, name string) string {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func archives(t *testing.T, dir string, least int) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(paths) < least {
		t.Fatalf("found %d archives in testdata/%s, want at least %d (%v)", len(paths), dir, least, err)
	}
	return paths
}
