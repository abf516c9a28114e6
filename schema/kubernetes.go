package schema

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// The schema is made of the OpenAPI of the Kubernetes version that the local
// cluster runs; docs/validate.md says how a new version comes in.
//
//go:generate go -C ../cmd/localcluster run ./openapi ../../schema/kubernetes.schema.json

//go:embed kubernetes.schema.json
var kubernetesSchema string

// catalog has the definitions of Kubernetes' kinds. Reading it only finds where
// each definition stands in the text; those that an object needs are compiled
// when the first such object comes.
type catalog struct {
	version string
	// lines are the definitions by name, in JSON.
	lines map[string]string
	// kinds are the names of definitions by apiVersion and kind.
	kinds map[string]string
	// served are the apiVersions by group and kind, sorted.
	served map[groupKind][]string

	mu       sync.Mutex
	compiled map[string]*definition
}

type groupKind struct{ group, kind string }

var kubernetes = sync.OnceValue(func() *catalog { return readCatalog(kubernetesSchema) })

// KubernetesVersion returns the release whose kinds Validate knows, such as
// v1.37.2.
func KubernetesVersion() string { return kubernetes().version }

// readCatalog relies on the layout that the generator writes: one entry a line.
func readCatalog(text string) *catalog {
	c := &catalog{lines: map[string]string{}, kinds: map[string]string{}, served: map[groupKind][]string{}, compiled: map[string]*definition{}}
	section := ""
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimRight(line, ",\n"), ": ")
		if !ok {
			continue
		}
		name = strings.Trim(name, `"`)
		switch {
		case value == "{":
			section = name
		case name == "title":
			c.version = strings.TrimPrefix(strings.Trim(value, `"`), "Kubernetes ")
		case section == "definitions":
			c.lines[name] = value
		case section == "x-kubernetes-kinds":
			c.kinds[name] = strings.Trim(value, `"`)
			apiVersion, kind, _ := strings.Cut(name, " ")
			key := groupKind{groupOf(apiVersion), kind}
			c.served[key] = append(c.served[key], apiVersion)
		}
	}
	return c
}

func groupOf(apiVersion string) string {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return group
}

// kind returns the definition of a kind, nil if there is none.
func (c *catalog) kind(apiVersion, kind string) *definition {
	name, ok := c.kinds[apiVersion+" "+kind]
	if !ok {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.named(name)
}

// objectMeta returns the definition of the metadata of every object.
func (c *catalog) objectMeta() *definition {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
}

// named returns a definition by its name; those that it refers to are compiled
// as well, for they are needed together. The lock is held.
func (c *catalog) named(name string) *definition {
	if d := c.compiled[name]; d != nil {
		return d
	}
	d := &definition{}
	c.compiled[name] = d // before its parts, which may refer to it
	var raw map[string]any
	if err := json.Unmarshal([]byte(c.lines[name]), &raw); err != nil {
		// The text is embedded; a test compiles all of it.
		panic(fmt.Sprintf("the schema of %s cannot be read: %v", name, err))
	}
	c.compile(d, raw)
	short := shortName(name)
	d.gates = gates[short]
	for _, check := range checks[short] {
		d.demand(check)
	}
	d.required = slices.DeleteFunc(d.required, func(field string) bool { return slices.Contains(unchecked[short], field) })
	return d
}

// own reports whether a group is Kubernetes' own, so that a kind of it that is
// not in the catalog is none.
func (c *catalog) own(group string) bool {
	return !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
}

// elsewhere returns the apiVersions that have a kind of this name.
func (c *catalog) elsewhere(kind string) []string {
	var versions []string
	for key, served := range c.served {
		if key.kind == kind {
			versions = append(versions, served...)
		}
	}
	slices.Sort(versions)
	return versions
}

// kindsIn returns the names of the kinds in an apiVersion.
func (c *catalog) kindsIn(apiVersion string) []string {
	var kinds []string
	for name := range c.kinds {
		if version, kind, _ := strings.Cut(name, " "); version == apiVersion {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}
