// Package overlay builds kustomizations in memory. Before kustomize sees
// anything, the graph of kustomizations is walked here: every entry must be a
// file or folder of the repository, for kustomize would take what it does not
// find for an address on the network; and what would run programs, fetch
// charts or change kustomize's process-wide schema is refused.
package overlay

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"

	"rota.dev/rota/schema"
)

// File is a file that a kustomization refers to.
type File struct {
	// Path is from the root of the repository.
	Path string
	// Origin is the entry that refers to it.
	Origin schema.Origin
	use    use
}

// use is what kustomize does with a file, by which it is guarded.
type use int

const (
	useData     use = iota // taken as bytes: files of a generator
	useYAML                // parsed: patches, replacements, configurations
	useResource            // objects
)

// Graph is a kustomization with everything that it refers to, all of it found
// in the repository.
type Graph struct {
	// File is the kustomization file of the folder that is built.
	File string
	// Folders are those with a kustomization; the first is the one that is
	// built, the others are its bases and components.
	Folders []string
	// Files are the files that the kustomizations refer to.
	Files []File
	// Component is whether the folder is a component, which is no whole.
	Component bool

	fsys    fs.FS
	read    func(string) ([]byte, error)
	content map[string][]byte // kustomization files by path
	chain   []string
}

// Cycle is the cause of the problem that kustomizations refer to each other:
// the folders, the first one at the end again.
type Cycle []string

func (c Cycle) Error() string { return strings.Join(c, " → ") }

// FileIn returns the path of the kustomization file of a folder, "" if it has
// none.
func FileIn(fsys fs.FS, dir string) string {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := path.Join(dir, name)
		if info, err := fs.Stat(fsys, file); err == nil && !info.IsDir() {
			return file
		}
	}
	return ""
}

// Load walks the kustomization of a folder and everything that it refers to.
// Read returns the content of a file. The error joins a [*schema.Problem] for
// every entry that cannot be used, with the line that has it.
func Load(fsys fs.FS, dir string, read func(string) ([]byte, error)) (*Graph, error) {
	g := &Graph{File: FileIn(fsys, dir), fsys: fsys, read: read, content: map[string][]byte{}}
	err := g.folder(dir, schema.Origin{File: dir})
	return g, err
}

// folder loads the kustomization of dir, which from refers to.
func (g *Graph) folder(dir string, from schema.Origin) error {
	for i, open := range g.chain {
		// kustomize calls it a cycle, too, when a base contains the folder
		// that refers to it.
		if open == dir || dir == "." || strings.HasPrefix(open, dir+"/") {
			around := append(slices.Clone(g.chain[i:]), dir)
			p := &schema.Problem{Rule: "R052", Origin: from,
				Message: "the kustomizations refer to each other in a cycle: " + strings.Join(around, " → "),
				Mend:    "Remove one of the entries; a base must not contain the folder that uses it."}
			if open == dir {
				p.Cause = Cycle(around)
			}
			return p
		}
	}
	if slices.Contains(g.Folders, dir) {
		return nil
	}
	file := FileIn(g.fsys, dir)
	if file == "" {
		return &schema.Problem{Rule: "R051", Origin: from, Message: fmt.Sprintf("the folder %s has no kustomization.yaml", dir),
			Mend: "Add one, or list the files of the folder."}
	}
	g.Folders = append(g.Folders, dir)
	g.chain = append(g.chain, dir)
	defer func() { g.chain = g.chain[:len(g.chain)-1] }()
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if other := path.Join(dir, name); other != file {
			if _, err := fs.Stat(g.fsys, other); err == nil {
				return &schema.Problem{Rule: "R057", Origin: schema.Origin{File: other}, Message: "the folder has another kustomization file, " + file, Mend: "Keep one of them."}
			}
		}
	}
	data, err := g.read(file)
	if err != nil {
		return err
	}
	g.content[file] = data
	k, node, err := parse(file, data)
	if err != nil {
		return err
	}
	if len(g.Folders) == 1 {
		g.Component = k.Kind == types.ComponentKind
	}
	s := scan{graph: g, dir: dir, file: file, node: node}
	s.refuse(k)
	s.inline(k)
	s.entries(k)
	return errors.Join(s.problems...)
}

// parse reads a kustomization file as kustomize itself does, which takes the
// names of fields in any case, and returns its node for positions as well.
func parse(file string, data []byte) (*types.Kustomization, *yaml.Node, error) {
	documents, err := schema.ReadDocuments(file, data, schema.DocumentLimits{})
	if err != nil {
		return nil, nil, err
	}
	problem := &schema.Problem{Rule: "R057", Origin: schema.Origin{File: file, Line: 1}, Mend: "Write one document with `resources`."}
	if len(documents) != 1 || documents[0].Node.Kind != yaml.MappingNode {
		problem.Message = "a kustomization file has exactly one document, a mapping"
		return nil, nil, problem
	}
	node := documents[0].Node
	if err := unknownFields(file, node); err != nil {
		return nil, nil, err
	}
	if _, err := documents[0].Value(); err != nil {
		return nil, nil, err
	}
	var k types.Kustomization
	if err := k.Unmarshal(data); err != nil {
		problem.Message = strings.TrimPrefix(err.Error(), "invalid Kustomization: ")
		problem.Mend = "See the reference of kustomization.yaml for the fields and their types."
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			field := wrong.Field[strings.LastIndex(wrong.Field, ".")+1:]
			problem.Origin = (&scan{file: file, node: node}).at(field, "")
			problem.Field = wrong.Field
			problem.Message = fmt.Sprintf("wants %s, not a %s", wantedBy(wrong.Type), strings.NewReplacer("string", "text", "object", "mapping", "array", "list", "bool", "boolean").Replace(wrong.Value))
		}
		return nil, nil, problem
	}
	k.FixKustomization()
	return &k, node, nil
}

// wantedBy says in words what a field of that type takes.
func wantedBy(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			return "a list of texts"
		}
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a mapping"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	}
	return "a number"
}

func unknownFields(file string, node *yaml.Node) error {
	known := []string{"apiVersion", "kind"}
	t := reflect.TypeFor[types.Kustomization]()
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			known = append(known, name)
		}
	}
	var problems []error
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if slices.Contains(known, key.Value) || key.Value == "<<" {
			continue
		}
		message := fmt.Sprintf("unknown field %q", key.Value)
		if near := schema.Nearest(key.Value, known); near != "" {
			message += fmt.Sprintf(" (did you mean %q?)", near)
		}
		problems = append(problems, &schema.Problem{Rule: "R057", Origin: schema.NodeOrigin(file, key), Message: message, Mend: "Remove or correct the field."})
	}
	return errors.Join(problems...)
}

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
		_, err := schema.ReadDocuments(s.file, []byte(text), schema.DocumentLimits{})
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
	for field, entries := range map[string][]string{"crds": k.Crds, "configurations": k.Configurations} {
		for _, entry := range entries {
			s.plain(field, entry, useYAML)
		}
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
		if !strings.ContainsAny(string(p), "\n:{") || remote.MatchString(string(p)) {
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
	if remote.MatchString(entry) {
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
