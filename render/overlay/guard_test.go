package overlay

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
