package render

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"rota.dev/rota/schema"
)

// TestNothingIsFetched builds kustomizations that name a server in every way
// that they can, also with names of fields in another case, which kustomize
// takes too. The server must not be asked.
func TestNothingIsFetched(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked.Add(1) }))
	defer server.Close()
	at := server.URL + "/x"
	for _, text := range []string{
		"resources: [" + at + "]", "bases: [" + at + "]", "components: [" + at + "]", "crds: [" + at + "]", "configurations: [" + at + "]",
		"configMapGenerator: [{name: a, files: [" + at + "]}]", "configMapGenerator: [{name: a, Files: ['k=" + at + "']}]",
		"secretGenerator: [{name: a, ENVS: [" + at + "]}]", "secretGenerator: [{name: a, env: " + at + "}]",
		"patches: [{path: " + at + "}]", "patches: [{PATH: " + at + "}]", "patchesStrategicMerge: [" + at + "]", "patchesJson6902: [{path: " + at + ", target: {kind: A, name: a}}]",
		"replacements: [{path: " + at + "}]", "openapi: {path: " + at + "}", "transformers: [" + at + "]", "generators: [" + at + "]", "validators: [" + at + "]",
		"Resources: [" + at + "]", "<<: {resources: [" + at + "]}", "x: &a [" + at + "]\nresources: *a", "resources: [' " + at + "']",
		"resources: ['git::" + at + "']", "resources: ['HTTP" + strings.TrimPrefix(at, "http") + "']",
		"configMapGenerator: &g [{name: a, files: [" + at + "]}]",
		"<<: {configMapGenerator: [{name: a, files: [" + at + "]}]}",
	} {
		result, err := Render(Tree{FS: fstest.MapFS{"kustomization.yaml": {Data: []byte(text)}}, Path: "."}, Options{})
		if err == nil {
			t.Errorf("%s: gave %d objects and no error", text, len(result.Objects))
		}
		for _, p := range schema.Problems(err) {
			if p.Rule == "" || p.Origin.File == "" {
				t.Errorf("%s: a problem without rule or file: %v", text, p)
			}
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

// TestNoFileOutsideIsRead renders trees on disk that try to show a file beside
// them.
func TestNoFileOutsideIsRead(t *testing.T) {
	dir := t.TempDir()
	canary := "canary-5f1d"
	if err := os.WriteFile(filepath.Join(dir, "secret.yaml"), []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "+canary+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(dir, "secret.yaml")
	for name, files := range map[string]map[string]string{
		"a link":                        {"job.yaml": "link:../secret.yaml"},
		"a link to a folder":            {"jobs": "link:.."},
		"a link in a kustomization":     {"kustomization.yaml": "resources: [a.yaml]", "a.yaml": "link:../secret.yaml"},
		"a folder in a kustomization":   {"kustomization.yaml": "resources: [up]", "up": "link:.."},
		"a generator":                   {"kustomization.yaml": "configMapGenerator: [{name: a, files: [../secret.yaml]}]"},
		"a template":                    {"e.yaml": "apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec: {template: ../secret.yaml}"},
		"an absolute template":          {"e.yaml": "apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec: {template: " + outside + "}"},
		"parameters":                    {"e.yaml": "apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec: {inline: 'a: $A', parameters: {file: ../secret.yaml}}"},
		"an include":                    {"a.yaml.j2": "{% include '../secret.yaml' %}"},
		"an absolute include":           {"a.yaml.j2": "{% include '" + outside + "' %}"},
		"an include that may be absent": {"a.yaml.j2": "{% include '../secret.yaml' ignore missing %}"},
		"an include by a link":          {"a.yaml.j2": "{% include 'b.yaml' %}", "b.yaml": "link:../secret.yaml"},
		"an import":                     {"a.yaml.j2": "{% import '../secret.yaml' as x %}{{ x }}"},
		"an extends":                    {"a.yaml.j2": "{% extends '../secret.yaml' %}"},
	} {
		repository := filepath.Join(dir, "repository")
		write(t, repository, files)
		root, err := os.OpenRoot(repository)
		if err != nil {
			t.Fatal(err)
		}
		result, err := Render(Tree{FS: root.FS(), Path: "."}, Options{})
		objects, problems := show(result, err)
		if strings.Contains(objects+problems, canary) {
			t.Errorf("%s: the file outside was read:\n%s%s", name, objects, problems)
		}
		if problems == "" {
			t.Errorf("%s: it was ignored without a word", name)
		}
		root.Close()
		if err := os.RemoveAll(repository); err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		var err error
		if target, ok := strings.CutPrefix(text, "link:"); ok {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
