package render

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"rota.dev/rota/render/overlay"
	"rota.dev/rota/schema"
)

func problemRules(err error) string {
	var rules []string
	for _, p := range schema.Problems(err) {
		rules = append(rules, p.Rule)
	}
	return strings.Join(rules, " ")
}

// TestAliasesAreCountedBeforeKustomize puts an alias bomb into every file and
// text that kustomize parses.
func TestAliasesAreCountedBeforeKustomize(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 'b'; i < 'j'; i++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", i-1), 10), ", "))
	}
	inline := "|\n    " + strings.ReplaceAll(bomb, "\n", "\n    ") + "\n"
	for _, text := range []string{
		"resources: [bomb.yaml]", "crds: [bomb.yaml]", "configurations: [bomb.yaml]", "replacements: [{path: bomb.yaml}]",
		"patches: [{path: bomb.yaml}]", "patchesStrategicMerge: [bomb.yaml]", "patchesJson6902: [{path: bomb.yaml, target: {version: v1, kind: A, name: a}}]",
		"patches:\n- patch: " + inline, "patchesStrategicMerge:\n- " + inline, "patchesJson6902:\n- target: {version: v1, kind: A, name: a}\n  patch: " + inline,
		"x: &x [y]\n" + bomb, "<<: {x: y}\n" + bomb,
	} {
		tree := Tree{FS: fstest.MapFS{"kustomization.yaml": {Data: []byte(text)}, "bomb.yaml": {Data: []byte(bomb)}}, Path: "."}
		reached := false
		_, err := Render(tree, Options{Engine: watched{see: func(overlay.Job) { reached = true }}})
		if rules := problemRules(err); !strings.Contains(rules, "R004") || reached {
			t.Errorf("%.60q: got rules %q, and kustomize saw it: %v", text, rules, reached)
		}
	}
}

// watched is an Engine that tells what kustomize is given.
type watched struct {
	InProcess
	see func(overlay.Job)
}

func (w watched) Overlay(job overlay.Job) ([]json.RawMessage, error) {
	w.see(job)
	return overlay.Run(job)
}

// TestBasesThatDoubleAreRefused nests bases so that each level is used in two
// ways: kustomize would build 2^levels folders.
func TestBasesThatDoubleAreRefused(t *testing.T) {
	nested := func(levels int) Tree {
		files := fstest.MapFS{"base/kustomization.yaml": {Data: []byte("resources: [a.yaml]")},
			"base/a.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")}}
		below := "base"
		for level := range levels {
			for _, side := range []string{"l", "r"} {
				files[fmt.Sprintf("%s%d/kustomization.yaml", side, level)] = &fstest.MapFile{Data: fmt.Appendf(nil, "resources: [../%s]\nnamePrefix: %s-\n", below, side)}
			}
			below = fmt.Sprintf("top%d", level)
			files[below+"/kustomization.yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, "resources: [../l%d, ../r%d]\n", level, level)}
		}
		return Tree{FS: files, Path: below}
	}
	result, err := Render(nested(3), Options{})
	if err != nil || len(result.Objects) != 8 {
		t.Errorf("3 levels: %d objects and %v", len(result.Objects), err)
	}
	reached := false
	_, err = Render(nested(40), Options{Engine: watched{see: func(overlay.Job) { reached = true }}})
	if rules := problemRules(err); rules != "R004" || reached {
		t.Errorf("40 levels: rules %q, and kustomize saw it: %v", rules, reached)
	}
}

// TestLinkedFoldersEnd lets a folder contain itself by two links.
func TestLinkedFoldersEnd(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"kustomization.yaml": "resources: [one, two]", "one": "link:.", "two": "link:."})
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	reached := false
	_, err = Render(Tree{FS: root.FS(), Path: "."}, Options{Engine: watched{see: func(overlay.Job) { reached = true }}})
	if err == nil || reached {
		t.Errorf("got %v, and kustomize saw it: %v", err, reached)
	}
}

// TestNoProgramIsRun has a git in its PATH that leaves a trace.
func TestNoProgramIsRun(t *testing.T) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	for _, name := range []string{"git", "helm", "sh"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho run >"+trace+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	if err := exec.Command("git").Run(); err != nil {
		t.Skip("a script cannot be run here: ", err)
	}
	if err := os.Remove(trace); err != nil {
		t.Fatal(err)
	}
	for _, entry := range []string{"git::http://127.0.0.1:1/x", "git@127.0.0.1:x/y", "ssh://127.0.0.1/x/y", "file:///x/y.git", "github.com/x/y", "g\u0130thub.com/x/y", "u@h:x/y", "https://127.0.0.1:1/x/y?ref=main"} {
		for _, text := range []string{"resources: ['" + entry + "']", "components: ['" + entry + "']", "bases: ['" + entry + "']"} {
			// The folder is there as well, so that it is not missing.
			files := fstest.MapFS{"kustomization.yaml": {Data: []byte(text)}, filepath.Join(entry, "kustomization.yaml"): {Data: []byte("resources: []")}}
			if _, err := Render(Tree{FS: files, Path: "."}, Options{}); problemRules(err) != "R050" {
				t.Errorf("%s: got %v", text, err)
			}
		}
	}
	for _, text := range []string{"helmCharts: [{name: x, repo: 'http://127.0.0.1:1'}]", "generators: [a.yaml]", "transformers: ['{apiVersion: v1, kind: X, metadata: {name: x, annotations: {config.kubernetes.io/function: \"exec: {path: git}\"}}}']"} {
		files := fstest.MapFS{"kustomization.yaml": {Data: []byte(text)}, "a.yaml": {Data: []byte("apiVersion: v1\nkind: X\nmetadata: {name: x, annotations: {config.kubernetes.io/function: 'exec: {path: git}'}}")}}
		if _, err := Render(Tree{FS: files, Path: "."}, Options{}); problemRules(err) != "R053" {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("a program was run")
	}
}

// TestObjectsBuiltApartKnowTheirOrigin has an Expansion, a patch for one of
// its items and more objects than are built in one run.
func TestObjectsBuiltApartKnowTheirOrigin(t *testing.T) {
	const n = 120
	files := fstest.MapFS{
		"base/kustomization.yaml": {Data: []byte("resources: [all.yaml, plain.yaml]\nconfigMapGenerator: [{name: settings, literals: [A=b]}]\n")},
		"base/t.txt":              {Data: []byte(expansionTemplate)},
		"base/all.yaml":           {Data: fmt.Appendf(nil, "apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec:\n  template: t.txt\n  parameters: {matrix: {ITEM: {range: {from: 1, to: %d}}}}\n", n)},
		"base/plain.yaml":         {Data: []byte("\n\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: runner}\n")},
		"dev/kustomization.yaml":  {Data: []byte("resources: [../base]\nnamePrefix: dev-\npatches:\n- patch: |\n    {apiVersion: batch/v1, kind: Job, metadata: {name: process-item-7}, spec: {suspend: true}}\n")},
	}
	runs := 0
	start := time.Now()
	result, err := Render(Tree{FS: files, Path: "dev"}, Options{Engine: watched{see: func(overlay.Job) { runs++ }}})
	if err != nil || len(result.Warnings) > 0 || len(result.Objects) != n+2 {
		t.Fatal(len(result.Objects), result.Warnings, err)
	}
	t.Logf("%d runs of kustomize in %v", runs, time.Since(start))
	items := map[int]bool{}
	for _, o := range result.Objects {
		want := schema.Origin{File: "base/plain.yaml", Line: 3, Column: 1, Overlay: "dev"}
		switch o.GetKind() {
		case "ConfigMap":
			want = schema.Origin{File: "base/kustomization.yaml", Line: 2, Column: 22, Overlay: "dev"}
		case "Job":
			item := o.Origin.Item
			items[item] = true
			if name := fmt.Sprintf("dev-process-item-%d", item); o.GetName() != name {
				t.Errorf("%s has the origin of item %d", o.GetName(), item)
			}
			want = schema.Origin{File: "base/all.yaml", Line: 5, Column: 15, Template: "base/t.txt", TemplateLine: 1, Item: item, Overlay: "dev",
				Parameters: []schema.Parameter{{Name: "ITEM", Value: fmt.Sprint(item)}}}
			if _, suspended := o.Object["spec"].(map[string]any)["suspend"]; suspended != (item == 7) {
				t.Errorf("%s: suspended is %v", o.GetName(), suspended)
			}
			if at := o.At("spec.template.spec.containers[0].command"); at.TemplateLine != 15 {
				t.Errorf("%s: the command is said to be in line %d of the template", o.GetName(), at.TemplateLine)
			}
		}
		if diff := cmp.Diff(want, o.Origin); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", o.GetKind(), o.GetName(), diff)
		}
	}
	if len(items) != n {
		t.Errorf("%d items are there", len(items))
	}
}

// TestManyObjectsTogether has a patch that may change names, so that objects
// cannot be built apart.
func TestManyObjectsTogether(t *testing.T) {
	renaming := func(n int) Tree {
		return Tree{Path: ".", FS: fstest.MapFS{
			"kustomization.yaml": {Data: []byte("resources: [all.yaml]\npatches:\n- target: {kind: Secret}\n  options: {allowNameChange: true}\n  patch: |\n    {apiVersion: v1, kind: Secret, metadata: {name: x}}\n")},
			"t.txt":              {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: $ITEM}\n")},
			"all.yaml":           {Data: fmt.Appendf(nil, "apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec:\n  template: t.txt\n  parameters: {matrix: {ITEM: {range: {from: 1, to: %d}}}}\n", n)},
		}}
	}
	runs := 0
	engine := watched{see: func(overlay.Job) { runs++ }}
	result, err := Render(renaming(210), Options{Engine: engine})
	if err != nil || len(result.Objects) != 210 || runs != 1 {
		t.Errorf("%d objects in %d runs, %v", len(result.Objects), runs, err)
	}
	want := "kustomization.yaml: warning: the 210 objects of the kustomization are built together, for item 1 of patches in kustomization.yaml may change the name or the kind of objects, and the time that kustomize needs grows with their square [R056]\n" +
		"  mend: Mend that, or split the kustomization, or keep objects that no overlay changes out of it."
	if len(result.Warnings) != 1 || fmt.Sprint(result.Warnings[0]) != want {
		t.Errorf("warnings: %v", result.Warnings)
	}
	_, err = Render(renaming(2_001), Options{Engine: engine})
	if problemRules(err) != "R056" || !strings.Contains(fmt.Sprint(err), "at most 2000 are") || runs != 1 {
		t.Errorf("got %v after %d runs", err, runs)
	}
}
