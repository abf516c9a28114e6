package render

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"rota.dev/rota/schema"
)

// TestEachLimitNamesTheFieldThatRaisesIt passes every limit of a render by a
// little, and then raises it.
func TestEachLimitNamesTheFieldThatRaisesIt(t *testing.T) {
	const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
	expansion := func(inline, parameters string) string {
		return "apiVersion: rota.dev/v1alpha1\nkind: Expansion\nmetadata: {name: e}\nspec:\n  inline: |\n    " +
			strings.ReplaceAll(strings.TrimSpace(inline), "\n", "\n    ") + "\n  parameters: " + parameters + "\n"
	}
	ten := expansion(fmt.Sprintf(configMap, "a-$N"), "{matrix: {N: {range: {from: 1, to: 10}}}}")
	large := expansion(fmt.Sprintf(configMap, "a")+"data: {a: $T, b: $T, c: $T, d: $T}", "{items: [{T: "+strings.Repeat("x", 200)+"}]}")
	overlaid := func(patches, patch string) map[string]string {
		return map[string]string{"kustomization.yaml": "resources: [a.yaml]\n" + patches, "a.yaml": fmt.Sprintf(configMap, "a"), "patch.yaml": patch}
	}
	deep := fmt.Sprintf(configMap, "a") + "data: {a: {b: {c: {d: {e: f}}}}}\n"
	two := map[string]string{"a.yaml": fmt.Sprintf(configMap, "a"), "b.yaml": fmt.Sprintf(configMap, "b")}
	for _, test := range []struct {
		field string
		files map[string]string
		low   Limits
		high  Limits
	}{
		{"fileBytes", two, Limits{Documents: schema.DocumentLimits{FileBytes: 40}}, Limits{Documents: schema.DocumentLimits{FileBytes: 100}}},
		{"totalBytes", two, Limits{TotalBytes: 60}, Limits{TotalBytes: 200}},
		{"files", two, Limits{Files: 1}, Limits{Files: 2}},
		{"nesting", map[string]string{"a.yaml": fmt.Sprintf(configMap, "a") + "data: {a: {b: {c: d}}}\n"}, Limits{Documents: schema.DocumentLimits{Nesting: 4}}, Limits{Documents: schema.DocumentLimits{Nesting: 5}}},
		{"aliasNodes", map[string]string{"a.yaml": fmt.Sprintf(configMap, "a") + "data: {a: &a [1, 2], b: *a, c: *a}\n"}, Limits{Documents: schema.DocumentLimits{AliasNodes: 5}}, Limits{Documents: schema.DocumentLimits{AliasNodes: 6}}},
		{"fileBytes", overlaid("patches: [{path: patch.yaml}]\n", deep+"#"+strings.Repeat(" ", 200)), Limits{Documents: schema.DocumentLimits{FileBytes: 150}}, Limits{Documents: schema.DocumentLimits{FileBytes: 350}}},
		{"nesting", overlaid("patches: [{path: patch.yaml}]\n", deep), Limits{Documents: schema.DocumentLimits{Nesting: 5}}, Limits{Documents: schema.DocumentLimits{Nesting: 7}}},
		{"nesting", overlaid("patches: [{patch: \""+strings.ReplaceAll(deep, "\n", "\\n")+"\"}]\n", ""), Limits{Documents: schema.DocumentLimits{Nesting: 5}}, Limits{Documents: schema.DocumentLimits{Nesting: 7}}},
		{"nesting", overlaid("labels: [{pairs: {a: b}, fields: [{path: data, create: true}]}]\n", ""), Limits{Documents: schema.DocumentLimits{Nesting: 4}}, Limits{Documents: schema.DocumentLimits{Nesting: 6}}},
		{"objects", two, Limits{Objects: 1}, Limits{Objects: 2}},
		{"objects", map[string]string{"a.yaml": ten}, Limits{Objects: 9}, Limits{Objects: 10}},
		{"items", map[string]string{"a.yaml": ten}, Limits{Items: 9}, Limits{Items: 10}},
		{"renderedBytes", map[string]string{"a.yaml": ten}, Limits{RenderedBytes: 100}, Limits{RenderedBytes: 1000}},
		{"renderedBytes", map[string]string{"a.yaml": large}, Limits{RenderedBytes: 700}, Limits{RenderedBytes: 1200}},
		{"renderedBytes", map[string]string{"a.yaml.j2": fmt.Sprintf(configMap, "a") + "data: {a: \"{{ 'x' * 500 }}\"}\n"}, Limits{RenderedBytes: 500}, Limits{RenderedBytes: 600}},
		{"templateBytes", map[string]string{"a.yaml.j2": fmt.Sprintf(configMap, "a") + "data: {a: \"{{ 'x' * 50 }}\"}\n"}, Limits{TemplateBytes: 60}, Limits{TemplateBytes: 150}},
		{"templateTime", map[string]string{"a.yaml.j2": "{% for a in range(300) %}{% for b in range(100) %}{% endfor %}{% endfor %}" + fmt.Sprintf(configMap, "a")}, Limits{TemplateTime: time.Millisecond}, Limits{TemplateTime: time.Hour}},
		{"overlayTime", map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": fmt.Sprintf(configMap, "a")}, Limits{OverlayTime: 1}, Limits{OverlayTime: time.Hour}},
	} {
		fsys := fstest.MapFS{}
		for name, text := range test.files {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
		_, err := Render(Tree{FS: fsys, Path: "."}, Options{Limits: test.low})
		problems := schema.Problems(err)
		if len(problems) == 0 {
			t.Errorf("%s: no error", test.field)
			continue
		}
		if p := problems[0]; p.Rule != "R004" && p.Rule != "R043" || p.Origin.File == "" || !strings.Contains(p.Mend, "spec.limits."+test.field) {
			t.Errorf("%s: the error does not say how to raise it: %v", test.field, p)
		}
		if _, err := Render(Tree{FS: fsys, Path: "."}, Options{Limits: test.high}); err != nil {
			t.Errorf("%s: still an error when it is raised: %v", test.field, err)
		}
	}
}

// TestLimitsBeyondTheDefaultHoldForOverlays has a kustomization, a patch and a
// text in a kustomization that only raised limits allow.
func TestLimitsBeyondTheDefaultHoldForOverlays(t *testing.T) {
	deep := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\nmore: " + strings.Repeat("[", 250) + strings.Repeat("]", 250) + "\n"
	files := fstest.MapFS{
		"kustomization.yaml": {Data: []byte("resources: [a.yaml]\npatches:\n- path: patch.yaml\n- patch: \"" + strings.ReplaceAll(deep, "\n", "\\n") + "\"\n#" + strings.Repeat(" ", 5<<20))},
		"a.yaml":             {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")},
		"patch.yaml":         {Data: []byte(deep)},
	}
	if _, err := Render(Tree{FS: files, Path: "."}, Options{}); err == nil {
		t.Error("the default limits allow it")
	}
	limits := Limits{Documents: schema.DocumentLimits{FileBytes: 8 << 20, Nesting: 300}}
	if _, err := Render(Tree{FS: files, Path: "."}, Options{Limits: limits}); err != nil {
		t.Error(err)
	}
}

// refusing is a tree in which a file cannot be read, for the reason of a
// source.
type refusing struct {
	fstest.MapFS
	problem error
}

func (f refusing) ReadFile(name string) ([]byte, error) {
	if name == "a.yaml" {
		return nil, &fs.PathError{Op: "read", Path: name, Err: f.problem}
	}
	return f.MapFS.ReadFile(name)
}

func TestWhatASourceSaysOfAFileIsSaidAsItIs(t *testing.T) {
	said := &schema.Problem{Rule: "R112", Origin: schema.Origin{File: "a.yaml"}, Message: "the file is too large", Mend: "Make it smaller."}
	tree := refusing{fstest.MapFS{"a.yaml": {Data: []byte("x")}}, said}
	_, err := Render(Tree{FS: tree, Path: "."}, Options{})
	if err == nil || err.Error() != said.Error() {
		t.Errorf("got %v", err)
	}
}
