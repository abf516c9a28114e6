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
