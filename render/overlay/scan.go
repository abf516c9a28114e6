package overlay

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/kustomize/api/types"
	sigsyaml "sigs.k8s.io/yaml"

	"rota.dev/rota/schema"
)

// scan examines the entries of one kustomization.
type scan struct {
	graph     *Graph
	dir, file string
	node      *yaml.Node
	problems  []error
}

func (s *scan) fail(rule string, at schema.Origin, field, message, mend string) {
	s.problems = append(s.problems, &schema.Problem{Rule: rule, Origin: at, Field: field, Message: message, Mend: mend})
}

// at returns the position of a value below a field, of the field if the value
// is not found, of the file otherwise.
func (s *scan) at(field, value string) schema.Origin {
	for i := 0; i+1 < len(s.node.Content); i += 2 {
		if key := s.node.Content[i]; strings.EqualFold(key.Value, field) {
			if n := find(s.node.Content[i+1], value); n != nil && value != "" {
				return schema.NodeOrigin(s.file, n)
			}
			return schema.NodeOrigin(s.file, key)
		}
	}
	return schema.Origin{File: s.file, Line: s.node.Line, Column: s.node.Column}
}

func find(n *yaml.Node, value string) *yaml.Node {
	if n.Kind == yaml.ScalarNode && n.Value == value {
		return n
	}
	for _, child := range n.Content {
		if found := find(child, value); found != nil {
			return found
		}
	}
	return nil
}

func (s *scan) refuse(k *types.Kustomization) {
	const fetches = "it would fetch charts and run helm"
	const runs = "it may run programs"
	for _, r := range []struct {
		field, why string
		present    bool
	}{
		{"openapi", "it would change the schema of every later build in this process", len(k.OpenAPI) > 0},
		{"helmCharts", fetches, len(k.HelmCharts) > 0},
		{"helmGlobals", fetches, k.HelmGlobals != nil},
		{"helmChartInflationGenerator", fetches, len(k.HelmChartInflationGenerator) > 0},
		{"generators", runs, len(k.Generators) > 0},
		{"transformers", runs, len(k.Transformers) > 0},
		{"validators", runs, len(k.Validators) > 0},
	} {
		if r.present {
			s.fail("R053", s.at(r.field, ""), r.field, r.field+" is refused, for "+r.why, "Commit what it makes, and list that under `resources`.")
		}
	}
}

// inline guards the YAML that stands inside the kustomization as text.
func (s *scan) inline(k *types.Kustomization) {
	check := func(field, text string) {
		_, err := schema.ReadDocuments(s.file, []byte(text), s.graph.limits)
		for _, p := range schema.Problems(err) {
			if p.Rule != "R001" { // what does not parse is for kustomize to say: it may be a path
				p.Origin = s.at(field, text)
				s.problems = append(s.problems, p)
			}
		}
	}
	for _, p := range k.Patches {
		check("patches", p.Patch)
	}
	//lint:ignore SA1019 repositories still have the old field, and it is read
	for _, p := range k.PatchesJson6902 {
		check("patchesJson6902", p.Patch)
	}
	//lint:ignore SA1019 as above
	for _, p := range k.PatchesStrategicMerge {
		check("patchesStrategicMerge", string(p))
	}
}

func (s *scan) entries(k *types.Kustomization) {
	for _, entry := range k.Resources {
		s.resource(cmp.Or(fieldOf(s, "resources", entry), "bases"), entry)
	}
	for _, entry := range k.Components {
		s.directory("components", entry)
	}
	for _, entry := range k.Crds {
		s.plain("crds", entry, useDefinitions)
	}
	for _, entry := range k.Configurations {
		s.plain("configurations", entry, useYAML)
	}
	//lint:ignore SA1019 repositories still have the old fields, and they are read
	for field, patches := range map[string][]types.Patch{"patches": k.Patches, "patchesJson6902": k.PatchesJson6902} {
		for _, p := range patches {
			if p.Path != "" {
				s.plain(field, p.Path, useYAML)
			}
		}
	}
	//lint:ignore SA1019 as above
	for _, p := range k.PatchesStrategicMerge {
		// An entry is a path or a patch; kustomize tries the path first.
		if !strings.ContainsAny(string(p), "\n:{") || isRemote(string(p)) {
			s.plain("patchesStrategicMerge", string(p), useYAML)
		}
	}
	for _, r := range k.Replacements {
		if r.Path != "" {
			s.plain("replacements", r.Path, useYAML)
		}
	}
	for _, g := range k.ConfigMapGenerator {
		s.generator("configMapGenerator", g.KvPairSources)
	}
	for _, g := range k.SecretGenerator {
		s.generator("secretGenerator", g.KvPairSources)
	}
	slices.SortStableFunc(s.problems, func(a, b error) int {
		return cmp.Compare(line(a), line(b))
	})
}

func line(err error) int {
	if p, ok := errors.AsType[*schema.Problem](err); ok {
		return p.Origin.Line
	}
	return 0
}

// fieldOf returns field if it has the entry, "" otherwise.
func fieldOf(s *scan, field, entry string) string {
	for i := 0; i+1 < len(s.node.Content); i += 2 {
		if s.node.Content[i].Value == field && find(s.node.Content[i+1], entry) != nil {
			return field
		}
	}
	return ""
}

func (s *scan) generator(field string, sources types.KvPairSources) {
	for _, entry := range sources.FileSources {
		file := entry
		if _, after, ok := strings.Cut(entry, "="); ok {
			file = after
		}
		s.plainAt(s.at(field, entry), field, file, useData)
	}
	for _, entry := range append(slices.Clone(sources.EnvSources), sources.EnvSource) {
		if entry != "" {
			s.plain(field, entry, useData)
		}
	}
}

// remote matches what kustomize takes for an address: see
// NewRepoSpecFromURL and IsRemoteFile in its sources.
var remote = regexp.MustCompile(`(?i)^\s*(git::|(ssh|https?|file|git|s3|hg|oci)://|https?:|[a-z][a-z0-9-]*@|github\.com[/:])`)

func isRemote(entry string) bool {
	// kustomize lowers some letters that are no ASCII to ASCII ones.
	return remote.MatchString(entry) || remote.MatchString(strings.ToLower(entry))
}

func (s *scan) resource(field, entry string) {
	at := s.at(field, entry)
	target, ok := s.inside(at, field, entry)
	if !ok {
		return
	}
	info, err := fs.Stat(s.graph.fsys, target)
	if err == nil && info.IsDir() {
		s.descend(target, at)
		return
	}
	s.plainAt(at, field, entry, useResource)
}

func (s *scan) directory(field, entry string) {
	at := s.at(field, entry)
	if target, ok := s.inside(at, field, entry); ok {
		if info, err := fs.Stat(s.graph.fsys, target); err != nil || !info.IsDir() {
			s.fail("R051", at, field, fmt.Sprintf("there is no folder %s", target), "Correct the entry; it is relative to this folder.")
			return
		}
		s.descend(target, at)
	}
}

func (s *scan) descend(target string, at schema.Origin) {
	if err := s.graph.folder(target, at); err != nil {
		s.problems = append(s.problems, err)
	}
}

// inside resolves an entry to a path of the repository.
func (s *scan) inside(at schema.Origin, field, entry string) (string, bool) {
	if isRemote(entry) {
		s.fail("R050", at, field, fmt.Sprintf("%q is an address; nothing is fetched while rendering", entry), "Copy the files into the repository and name the folder.")
		return "", false
	}
	target := path.Join(s.dir, entry)
	if entry == "" || path.IsAbs(entry) || !fs.ValidPath(target) {
		s.fail("R055", at, field, fmt.Sprintf("%q leads out of the repository", entry), "Name a path inside the repository, relative to this folder.")
		return "", false
	}
	return target, true
}

func (s *scan) plain(field, entry string, u use) { s.plainAt(s.at(field, entry), field, entry, u) }

func (s *scan) plainAt(at schema.Origin, field, entry string, u use) {
	target, ok := s.inside(at, field, entry)
	if !ok {
		return
	}
	info, err := fs.Stat(s.graph.fsys, target)
	if err != nil || info.IsDir() {
		s.fail("R051", at, field, fmt.Sprintf("there is no file %s", target), "Correct the entry; it is relative to this folder.")
		return
	}
	if s.dir != "." && !strings.HasPrefix(target, s.dir+"/") {
		s.fail("R055", at, field, fmt.Sprintf("%q is outside of the kustomization's folder; kustomize takes files from there or below only", entry),
			"Move the file, or make its folder a kustomization and name the folder.")
		return
	}
	s.graph.Files = append(s.graph.Files, File{Path: target, Origin: at, use: u})
}

// mostSteps is how many steps a path to a field may have. kustomize takes them
// one inside the other, and creates what is missing.
const mostSteps = 200

// shallow refuses paths to fields that are longer than any object is deep.
func shallow(file string, n *yaml.Node) error {
	for i, child := range n.Content {
		if err := shallow(file, child); err != nil {
			return err
		}
		if child.Kind != yaml.ScalarNode || len(child.Value) < mostSteps {
			continue
		}
		if n.Kind == yaml.MappingNode && (i%2 == 0 || !strings.EqualFold(n.Content[i-1].Value, "path") && !strings.EqualFold(n.Content[i-1].Value, "fieldPath")) {
			continue
		}
		if steps := max(strings.Count(child.Value, "."), strings.Count(child.Value, "/")); steps > mostSteps && !strings.ContainsAny(child.Value, " \n") {
			return &schema.Problem{Rule: "R004", Origin: schema.NodeOrigin(file, child),
				Message: fmt.Sprintf("the path has %d steps; at most %d are taken", steps, mostSteps), Mend: "Shorten the path."}
		}
	}
	return nil
}

// mostReferences is how many references between definitions are followed.
const mostReferences = 10_000

// definitions refuses a file of `crds` whose definitions refer to each other
// in a circle, which kustomize follows until its stack is full, or in too many
// ways.
func definitions(file string, data []byte) error {
	var known map[string]struct{ Schema spec.Schema }
	read := func(data []byte, v any) error { return sigsyaml.Unmarshal(data, v) }
	if len(data) > 0 && data[0] == '{' {
		read = json.Unmarshal
	}
	if err := read(data, &known); err != nil {
		return &schema.Problem{Rule: "R057", Origin: schema.Origin{File: file, Line: 1}, Message: "these are no definitions as `crds` takes them: " + err.Error(), Mend: "Write a mapping from names of types to schemas.", Cause: err}
	}
	followed := 0
	var follow func(name string, depth int) bool
	follow = func(name string, depth int) bool {
		if followed++; followed > mostReferences || depth > mostSteps {
			return false
		}
		for _, property := range known[name].Schema.Properties {
			if property.Ref.GetURL() != nil && !follow(property.Ref.String(), depth+1) {
				return false
			}
		}
		return true
	}
	for name := range known {
		if !follow(name, 0) {
			return &schema.Problem{Rule: "R052", Origin: schema.Origin{File: file, Line: 1}, Message: "the definitions refer to each other in a cycle, or in too many ways", Mend: "Leave the references out; they serve to find names in custom resources only."}
		}
	}
	return nil
}
