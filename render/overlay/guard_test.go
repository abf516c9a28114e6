package overlay

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// TestTheSchemaOfOneRunIsNotThatOfTheNext gives kustomize a schema, past the
// guard that refuses it. It is kept in a global, and without it being reset
// the containers of the next run would be replaced and not merged.
func TestTheSchemaOfOneRunIsNotThatOfTheNext(t *testing.T) {
	job := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nspec: {template: {spec: {containers: [{name: c, image: kept}]}}}\n"
	patched := Job{Folder: ".", Time: time.Minute, Files: map[string][]byte{
		"a.yaml":             []byte(job),
		"kustomization.yaml": []byte("resources: [a.yaml]\npatches:\n- patch: |\n    {apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: {containers: [{name: c, env: [{name: A}]}]}}}}\n"),
	}}
	poison := Job{Folder: ".", Time: time.Minute, Files: map[string][]byte{
		"a.yaml": []byte(job), "schema.json": []byte(`{"definitions": {}}`), "kustomization.yaml": []byte("resources: [a.yaml]\nopenapi: {path: schema.json}\n"),
	}}
	if _, err := Run(poison); err != nil {
		t.Fatal(err)
	}
	built, err := Run(patched)
	if err != nil || !strings.Contains(string(built[0]), `"image":"kept"`) {
		t.Errorf("got %s, %v", built, err)
	}
}

func TestAPanicOfKustomizeIsAnError(t *testing.T) {
	// An empty file of definitions is read beyond its end.
	_, err := Run(Job{Folder: ".", Time: time.Minute, Files: map[string][]byte{"kustomization.yaml": []byte("crds: [empty]\nnamePrefix: x\n"), "empty": nil}})
	if err == nil || !strings.Contains(err.Error(), "kustomize failed on this input") {
		t.Errorf("got %v", err)
	}
	if _, err := Run(Job{Folder: ".", Time: time.Minute, Files: map[string][]byte{"kustomization.yaml": []byte("namePrefix: x\n")}}); err != nil {
		t.Errorf("the next run fails: %v", err)
	}
}

// trap notices what reaches for the network or runs a program.
type trap struct{ asked []string }

func (n *trap) RoundTrip(r *http.Request) (*http.Response, error) {
	n.asked = append(n.asked, r.URL.String())
	return nil, errors.New("there is no network")
}

// setTrap replaces what kustomize reaches the world with until the test ends.
func setTrap(t testing.TB) *trap {
	t.Helper()
	n := &trap{}
	before := http.DefaultTransport
	http.DefaultTransport = n
	t.Cleanup(func() { http.DefaultTransport = before })
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte("#!/bin/sh\necho $@ >>"+trace+"\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := os.Getenv("PATH")
	if err := os.Setenv("PATH", dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Setenv("PATH", path); err != nil {
			t.Error(err)
		}
		if ran, err := os.ReadFile(trace); err == nil {
			t.Errorf("git was run: %s", ran)
		}
	})
	return n
}

// TestTheTrapWorks lets kustomize reach for the network without the guard.
func TestTheTrapWorks(t *testing.T) {
	n := setTrap(t)
	if _, err := Run(Job{Folder: ".", Time: time.Minute, Files: map[string][]byte{"kustomization.yaml": []byte("resources: ['http://127.0.0.1:1/x']\n")}}); err == nil || len(n.asked) == 0 {
		t.Errorf("asked %q, %v", n.asked, err)
	}
}

// notProblems returns the errors in err that are none of ours.
func notProblems(err error) []error {
	if _, ok := err.(*schema.Problem); ok || err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, notProblems(e)...)
	}
	return out
}

// FuzzKustomization builds any two kustomizations and any resource. Nothing
// may reach the world, panic or be an error without a rule.
func FuzzKustomization(f *testing.F) {
	for seed := range uint64(40) {
		d := draw(seed)
		top := string(d.files["ROOT"].Data)
		f.Add(string(d.files[top+"/kustomization.yaml"].Data), string(d.files["base/kustomization.yaml"].Data), string(d.files["base/plain0.yaml"].Data))
	}
	const remote = "http://127.0.0.1:1/x"
	for _, text := range []string{
		"resources: [" + remote + "]", "Resources: [a]", "components: [git@host:x/y]", "configMapGenerator: [{name: a, FILES: ['k=" + remote + "']}]",
		"patches: [{path: " + remote + "}]", "patchesStrategicMerge: ['" + remote + "', 'a: b']", "replacements: [{path: HTTP://x}]", "crds: ['//x']",
		"resources: [file.yaml, file.yaml, ../top]", "resources: [github.com/a/b, 'g\u0130thub.com/a/b', a..b, ./x?ref=y]", "openapi: {path: x}", "vars: [{}]\nsortOptions: {order: no}",
		"labels: [{pairs: {a: b}, fields: [{path: metadata/name, create: true}]}]", "images: [{name: '['}]\nreplicas: [{name: x, count: 1}]", "<<: &a {resources: [base]}\nnamePrefix: ','",
	} {
		f.Add(text, "resources: [job.yaml]", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
	}
	n := setTrap(f)
	f.Fuzz(func(t *testing.T, top, base, file string) {
		files := fstest.MapFS{"top/kustomization.yaml": {Data: []byte(top)}, "top/file.yaml": {Data: []byte(file)}, "top/extra.yaml": {Data: []byte(file)},
			"base/kustomization.yaml": {Data: []byte(base)}, "base/plain0.yaml": {Data: []byte(file)}, "base/items0.yaml": {Data: []byte(file)},
			"base/job.yaml": {Data: []byte("apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: b}\n")}}
		problems := notProblems(buildAny(files))
		for _, err := range problems {
			t.Errorf("an error without a rule: %v", err)
		}
		if len(n.asked) > 0 {
			t.Fatalf("the network was asked for %q", n.asked)
		}
	})
}

func buildAny(files fs.FS) error {
	read := func(file string) ([]byte, error) {
		data, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, &schema.Problem{Rule: "R005", Message: err.Error()}
		}
		return data, nil
	}
	g, err := Load(files, "top", schema.DocumentLimits{}, read)
	if err != nil {
		return err
	}
	_, _, err = g.Build(Options{Read: read, Time: 20 * time.Second, sizes: sizes{whole: 1, run: 2, family: 2},
		Run: func(job Job) ([]json.RawMessage, error) { return Run(job) },
		Resources: func(file string) ([]schema.Object, error) {
			data, err := read(file)
			if err != nil {
				return nil, err
			}
			return anyObjects(file, data)
		}})
	return err
}

func anyObjects(file string, data []byte) ([]schema.Object, error) {
	documents, err := schema.ReadDocuments(file, data, schema.DocumentLimits{})
	if err != nil {
		return nil, err
	}
	var objects []schema.Object
	for _, d := range documents {
		content, err := d.Value()
		m, ok := content.(map[string]any)
		if err != nil {
			return nil, err
		}
		version, isText := m["apiVersion"].(string)
		kind, alsoText := m["kind"].(string)
		if !ok || !isText || !alsoText || kind == "" || version == "" {
			return nil, &schema.Problem{Rule: "R010", Message: "no object in " + path.Base(file)}
		}
		objects = append(objects, schema.Object{Unstructured: &unstructured.Unstructured{Object: m}, Origin: schema.Origin{File: file}})
	}
	return objects, nil
}
