// Package overlay builds kustomizations in memory. Before kustomize sees
// anything, the graph of kustomizations is walked here: every entry must be a
// file or folder of the repository, for kustomize would take what it does not
// find for an address on the network; and what would run programs, fetch
// charts or change kustomize's process-wide schema is refused.
package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
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
	useData        use = iota // taken as bytes: files of a generator
	useYAML                   // parsed: patches, replacements, configurations
	useDefinitions            // parsed: definitions of custom resources
	useResource               // objects
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

	fsys           fs.FS
	limits         schema.DocumentLimits
	read           func(string) ([]byte, error)
	content        map[string][]byte // kustomization files by path
	kustomizations []kustomization   // those of Folders, in their order
	chain          []string
	times          map[string]int // how often kustomize reads a folder or a file of resources
}

// kustomization is the kustomization file of a folder as kustomize reads it.
type kustomization struct {
	dir, file string
	*types.Kustomization
}

// Cycle is the cause of the problem that kustomizations refer to each other:
// the folders, the first one at the end again.
type Cycle []string

// Error implements error: the folders in order.
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
// Read returns the content of a file, and limits bound each of them. The error joins a [*schema.Problem] for
// every entry that cannot be used, with the line that has it.
func Load(fsys fs.FS, dir string, limits schema.DocumentLimits, read func(string) ([]byte, error)) (*Graph, error) {
	g := &Graph{File: FileIn(fsys, dir), fsys: fsys, limits: limits, read: read, content: map[string][]byte{}}
	err := g.folder(dir, schema.Origin{File: dir})
	if err == nil {
		err = g.count()
	}
	return g, err
}

// mostFolders is how many folders kustomize may build, one that is used in two
// ways counted twice. Each costs it some milliseconds.
const mostFolders = 1_000

// count finds out how often each folder and file is read: kustomize builds a
// base again for each way that leads to it, so that the number may double with
// every level.
func (g *Graph) count() error {
	users := map[string][]string{}
	for _, k := range g.kustomizations {
		for _, entry := range append(slices.Clone(k.Resources), k.Components...) {
			target := path.Join(k.dir, entry)
			users[target] = append(users[target], k.dir)
		}
	}
	g.times = map[string]int{g.Folders[0]: 1}
	var count func(target string) int
	count = func(target string) int {
		if n, ok := g.times[target]; ok {
			return n
		}
		total := 0
		for _, user := range users[target] {
			total = min(total+count(user), 1<<40)
		}
		g.times[target] = total
		return total
	}
	for target := range users {
		count(target)
	}
	folders := 0
	for _, dir := range g.Folders {
		folders += g.times[dir]
	}
	if folders > mostFolders {
		return &schema.Problem{Rule: "R004", Origin: schema.Origin{File: g.File},
			Message: fmt.Sprintf("the kustomizations lead to each other in so many ways that more than %d folders would be built", mostFolders),
			Mend:    "Let each base be used once, or a few times."}
	}
	return nil
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
	k, node, err := parse(file, data, g.limits)
	if err != nil {
		return err
	}
	if len(g.Folders) == 1 {
		g.Component = k.Kind == types.ComponentKind
	}
	g.kustomizations = append(g.kustomizations, kustomization{dir, file, k})
	if err := shallow(file, node); err != nil {
		return err
	}
	s := scan{graph: g, dir: dir, file: file, node: node}
	s.refuse(k)
	s.inline(k)
	s.entries(k)
	return errors.Join(s.problems...)
}

// parse reads a kustomization file as kustomize itself does, which takes the
// names of fields in any case, and returns its node for positions as well.
func parse(file string, data []byte, limits schema.DocumentLimits) (*types.Kustomization, *yaml.Node, error) {
	documents, err := schema.ReadDocuments(file, data, limits)
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
