package render

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"rota.dev/rota/render/overlay"
	"rota.dev/rota/schema"
)

// renderer carries what one Render has read and found so far.
type renderer struct {
	fsys     fs.FS
	opts     Options
	limits   Limits
	engine   Engine
	bytes    int64
	files    map[string]bool
	claimed  map[string]schema.Origin // files that are no resources, and who says so
	objects  []schema.Object
	warnings []*schema.Problem
	problems []error
	full     bool // a limit on the whole was passed: reading stops
}

func newRenderer(tree Tree, opts Options) *renderer {
	engine := opts.Engine
	if engine == nil {
		engine = InProcess{}
	}
	return &renderer{fsys: tree.FS, opts: opts, limits: opts.Limits.withDefaults(), engine: engine, files: map[string]bool{}, claimed: map[string]schema.Origin{}}
}

func (r *renderer) fail(err error) {
	if err != nil {
		r.problems = append(r.problems, err)
	}
}

func (r *renderer) filesRead() []string { return slices.Sorted(maps.Keys(r.files)) }

// read returns a file's content within the limits.
func (r *renderer) read(file string) ([]byte, error) {
	if r.full {
		return nil, &schema.Problem{Rule: "R004", Origin: schema.Origin{File: file}, Message: "not read, for a limit was passed before"}
	}
	info, err := fs.Stat(r.fsys, file)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("not a regular file (%s)", info.Mode().Type())
	}
	if err == nil && info.Size() > int64(r.limits.Documents.MaxFileBytes()) {
		return nil, schema.FileTooLarge(file, info.Size(), r.limits.Documents)
	}
	var data []byte
	if err == nil {
		data, err = fs.ReadFile(r.fsys, file)
	}
	if err != nil {
		return nil, &schema.Problem{Rule: "R005", Origin: schema.Origin{File: file}, Message: "cannot read the file: " + reason(err),
			Mend: "Correct the path, or remove a symbolic link that leaves the repository.", Cause: err}
	}
	r.bytes += int64(len(data))
	r.files[file] = true
	if r.bytes > r.limits.TotalBytes || len(r.files) > r.limits.Files {
		r.full = true
		return nil, &schema.Problem{Rule: "R004", Origin: schema.Origin{File: file},
			Message: fmt.Sprintf("the files so far pass a limit: at most %d files and %d bytes are read", r.limits.Files, r.limits.TotalBytes),
			Mend:    "Render a smaller folder, or raise the limit."}
	}
	return data, nil
}

// root renders dir: a kustomization by kustomize, anything else as Flux does:
// every manifest below it, where a folder with a kustomization of its own is
// built by kustomize and not looked into. Unlike Flux, a kustomization that
// another one refers to is a base and not built by itself.
func (r *renderer) root(dir string) {
	if overlay.FileIn(r.fsys, dir) != "" {
		if g := r.load(dir); g != nil {
			r.build(g)
		}
		return
	}
	w := &walk{renderer: r}
	w.folder(dir)
	r.kustomizations(w.kustomizations)
	r.manifests(w.manifests)
}

// walk gathers what is below a folder, in the order of paths.
type walk struct {
	*renderer
	manifests, kustomizations []string
}

func (w *walk) folder(dir string) {
	entries, err := fs.ReadDir(w.fsys, dir)
	if err != nil {
		w.fail(&schema.Problem{Rule: "R005", Origin: schema.Origin{File: dir}, Message: "cannot read the folder: " + reason(err), Cause: err})
		return
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		info, err := fs.Stat(w.fsys, name)
		switch {
		case err != nil && (isManifest(name) || entry.Type()&fs.ModeSymlink != 0):
			w.fail(&schema.Problem{Rule: "R005", Origin: schema.Origin{File: name}, Message: "cannot read it: " + reason(err),
				Mend: "Remove a symbolic link that leaves the repository or leads nowhere.", Cause: err})
		case err != nil:
		case info.IsDir() && entry.Type()&fs.ModeSymlink != 0:
			w.warnings = append(w.warnings, &schema.Problem{Rule: "R007", Severity: schema.SeverityWarning, Origin: schema.Origin{File: name},
				Message: "the folder is a symbolic link and is not looked into", Mend: "Refer to it from a kustomization, or move the files."})
		case info.IsDir() && overlay.FileIn(w.fsys, name) != "":
			w.kustomizations = append(w.kustomizations, name)
		case info.IsDir():
			w.folder(name)
		case isManifest(name):
			w.manifests = append(w.manifests, name)
		}
	}
}

// kustomizations builds those folders that no other one refers to, and claims
// the files that they use.
func (r *renderer) kustomizations(dirs []string) {
	var graphs []*overlay.Graph
	used := map[string]bool{}
	for _, dir := range dirs {
		g := r.load(dir)
		if g == nil {
			continue
		}
		graphs = append(graphs, g)
		for _, d := range g.Folders[1:] {
			used[d] = true
		}
		for _, f := range g.Files {
			r.claimed[f.Path] = f.Origin
		}
	}
	for _, g := range graphs {
		switch dir := g.Folders[0]; {
		case used[dir]:
		case g.Component:
			r.warnings = append(r.warnings, &schema.Problem{Rule: "R058", Severity: schema.SeverityWarning, Origin: schema.Origin{File: g.File},
				Message: "no kustomization uses this component", Mend: "Name it under `components` of one, or remove it."})
		default:
			r.build(g)
		}
	}
}

func (r *renderer) load(dir string) *overlay.Graph {
	g, err := overlay.Load(r.fsys, dir, r.read)
	r.fail(err)
	if err != nil {
		return nil
	}
	return g
}

func (r *renderer) build(g *overlay.Graph) {
	objects, warnings, err := g.Build(overlay.Options{Resources: r.resources, Read: r.read, Run: r.engine.Overlay, Time: r.limits.OverlayTime})
	r.fail(err)
	r.warnings = append(r.warnings, warnings...)
	r.objects = append(r.objects, objects...)
}

// manifests reads files that no kustomization uses. Expansions are carried out
// first, for the files that they name are no resources.
func (r *renderer) manifests(files []string) {
	type result struct {
		file    string
		objects []schema.Object
		err     error
	}
	var results []result
	for _, file := range files {
		if _, ok := r.claimed[file]; ok {
			continue
		}
		objects, err := r.resources(file)
		results = append(results, result{file, objects, err})
	}
	for _, res := range results {
		if _, ok := r.claimed[res.file]; ok {
			continue
		}
		r.fail(res.err)
		r.objects = append(r.objects, res.objects...)
		if len(r.objects) > r.limits.Objects {
			r.full = true
		}
	}
}

// isManifest reports whether a file is read as a resource by its name:
// .yaml, .yml, .json, and a Jinja template of one of them.
func isManifest(file string) bool {
	inner := strings.ToLower(file)
	if isJinja(inner) {
		inner = strings.TrimSuffix(inner, path.Ext(inner))
	}
	switch path.Ext(inner) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

func isJinja(file string) bool {
	switch strings.ToLower(path.Ext(file)) {
	case ".jinja2", ".jinja", ".j2":
		return true
	}
	return false
}
