package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// servedKinds are what a release of Kubernetes serves.
type servedKinds struct {
	version string
	// kinds are group, version and kind by the name of their definition.
	kinds map[string][]map[string]string
}

// published reads the OpenAPI documents inside the k8s.io/kubernetes module
// that this module requires.
func published() (servedKinds, error) {
	out, err := exec.Command("go", "list", "-m", "-json", "k8s.io/kubernetes").Output()
	if err != nil {
		return servedKinds{}, fmt.Errorf("finding the module k8s.io/kubernetes: %w", err)
	}
	var module struct{ Dir, Version string }
	if err := json.Unmarshal(out, &module); err != nil {
		return servedKinds{}, fmt.Errorf("finding the module k8s.io/kubernetes: %w", err)
	}
	dir := filepath.Join(module.Dir, "api", "openapi-spec", "v3")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return servedKinds{}, err
	}
	served := servedKinds{module.Version, map[string][]map[string]string{}}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return servedKinds{}, err
		}
		var document struct {
			Components struct {
				Schemas map[string]struct {
					Kinds []map[string]string `json:"x-kubernetes-group-version-kind"`
				}
			}
		}
		if err := json.Unmarshal(text, &document); err != nil {
			return servedKinds{}, fmt.Errorf("reading %s: %w", file, err)
		}
		for name, s := range document.Components.Schemas {
			// Lists are taken apart before anything is validated.
			if len(s.Kinds) > 0 && !strings.HasSuffix(name, "List") {
				served.kinds[name] = s.Kinds
			}
		}
	}
	return served, nil
}
