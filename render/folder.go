package render

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"rota.dev/rota/render/overlay"
	"rota.dev/rota/schema"
)

// renderer carries what one Render has read and found so far.
type renderer struct {
	tree     fs.FS // as it was given
	fsys     fs.FS // the same, and what is looked at is traced
	opts     Options
	limits   Limits
	engine   Engine
	bytes    int64
	rendered int64 // bytes that templates made
	files    map[string]bool
	order    []string                 // of files, as they were read first
	claimed  map[string]schema.Origin // files that are no resources, and who says so
	parts    []*part
	made     int             // objects so far, those included that are dropped
	objects  []schema.Object // of all parts, once they are finished
	policies []policy        // of all parts
	warnings []*schema.Problem
	problems []error
	full     bool // a limit on the whole was passed: reading stops
	graphs   map[string]*overlay.Graph

	cache *Cache // may be nil
	kinds kinds  // of its keys
	trace *trace
	ids   *contentIDs
}

func newRenderer(tree Tree, opts Options) *renderer {
	engine := opts.Engine
	if engine == nil {
		engine = InProcess{}
	}
	r := &renderer{tree: tree.FS, fsys: tree.FS, opts: opts, limits: opts.Limits.withDefaults(), engine: engine, cache: opts.Cache, trace: &trace{},
		files: map[string]bool{}, claimed: map[string]schema.Origin{}, graphs: map[string]*overlay.Graph{}}
	if r.cache != nil {
		r.cache.begin()
		r.engine, r.kinds = &remembering{engine: engine, cache: r.cache}, kindsOf(opts, r.limits)
		r.ids = &contentIDs{tree: tree.FS, most: int64(r.limits.Documents.MaxFileBytes()), computed: map[string]string{}}
		r.fsys = tracked{tree.FS, r.trace, r.ids}
	}
	return r
}

func (r *renderer) fail(err error) {
	if err != nil {
		r.problems = append(r.problems, err)
	}
}

func (r *renderer) note(file string) {
	if !r.files[file] {
		r.files[file] = true
		r.order = append(r.order, file)
	}
}

// filesRead sorts the files, which are nearly in order already.
func (r *renderer) filesRead() []string {
	slices.Sort(r.order)
	return r.order
}

// read returns a file's content within the limits.
func (r *renderer) read(file string) ([]byte, error) {
	data, err := r.readNew(file)
	if err != nil {
		r.trace.fleeting = true
		return nil, err
	}
	r.trace.read(file, len(data))
	return data, nil
}

func (r *renderer) readNew(file string) ([]byte, error) {
	if r.full {
		return nil, &schema.Problem{Rule: "R004", Origin: schema.Origin{File: file}, Message: "not read, for a limit was passed before"}
	}
	info, err := fs.Stat(r.tree, file)
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
	if p, ok := errors.AsType[*schema.Problem](err); ok {
		return nil, p // of what the tree is read from
	}
	if err != nil {
		return nil, &schema.Problem{Rule: "R005", Origin: schema.Origin{File: file}, Message: "cannot read the file: " + reason(err),
			Mend: "Correct the path, or remove a symbolic link that leaves the repository.", Cause: err}
	}
	r.bytes += int64(len(data))
	r.note(file)
	if r.bytes > r.limits.TotalBytes || len(r.files) > r.limits.Files {
		r.full = true
		return nil, &schema.Problem{Rule: "R004", Origin: schema.Origin{File: file},
			Message: fmt.Sprintf("the files so far pass a limit: at most %d files and %d bytes are read", r.limits.Files, r.limits.TotalBytes),
			Mend:    "Render a smaller folder, or raise spec.limits.files or spec.limits.totalBytes."}
	}
	return data, nil
}

// root renders dir: a kustomization by kustomize, anything else as Flux does:
// every manifest below it, where a folder with a kustomization of its own is
// built by kustomize and not looked into. Unlike Flux, a kustomization that
// another one refers to is a base and not built by itself.
func (r *renderer) root(dir string) {
	if overlay.FileIn(r.tree, dir) != "" {
		if p := r.load(dir); p.kustomization != nil {
			r.build(p)
		}
		return
	}
	w := &walk{renderer: r}
	w.folder(dir)
	if len(w.manifests) <= r.limits.Files {
		r.files, r.order = make(map[string]bool, len(w.manifests)), make([]string, 0, len(w.manifests))
	}
	r.kustomizations(w.kustomizations)
	r.manifests(w.manifests)
}

// walk gathers what is below a folder, in the order of paths.
type walk struct {
	*renderer
	manifests      []source
	kustomizations []string
}

func (w *walk) folder(dir string) {
	entries, err := fs.ReadDir(w.tree, dir)
	if err != nil {
		w.fail(&schema.Problem{Rule: "R005", Origin: schema.Origin{File: dir}, Message: "cannot read the folder: " + reason(err), Cause: err})
		return
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			w.entry(path.Join(dir, entry.Name()), entry)
		}
	}
}

func (w *walk) entry(name string, entry fs.DirEntry) {
	switch entry.Type() {
	case 0:
		w.file(name, entry.Info)
	case fs.ModeDir:
		if overlay.FileIn(w.tree, name) != "" {
			w.kustomizations = append(w.kustomizations, name)
			return
		}
		w.folder(name)
	default:
		w.link(name, entry)
	}
}

// file takes a file if it is a manifest by its name.
func (w *walk) file(name string, about func() (fs.FileInfo, error)) {
	if !isManifest(name) {
		return
	}
	s := source{name: name}
	if w.cache != nil {
		if info, err := about(); err == nil {
			s.id = w.ids.known(name, info)
		}
	}
	w.manifests = append(w.manifests, s)
}

// link looks at what is neither a file nor a folder by itself.
func (w *walk) link(name string, entry fs.DirEntry) {
	info, err := fs.Stat(w.tree, name)
	switch {
	case err != nil && (isManifest(name) || entry.Type()&fs.ModeSymlink != 0):
		w.fail(&schema.Problem{Rule: "R005", Origin: schema.Origin{File: name}, Message: "cannot read it: " + reason(err),
			Mend: "Remove a symbolic link that leaves the repository or leads nowhere.", Cause: err})
	case err != nil:
	case info.IsDir():
		w.warnings = append(w.warnings, &schema.Problem{Rule: "R007", Severity: schema.SeverityWarning, Origin: schema.Origin{File: name},
			Message: "the folder is a symbolic link and is not looked into", Mend: "Refer to it from a kustomization, or move the files."})
	default:
		w.file(name, func() (fs.FileInfo, error) { return info, nil })
	}
}

// kustomizations builds those folders that no other one refers to, and claims
// the files that they use.
func (r *renderer) kustomizations(dirs []string) {
	var walked []*part
	used, cyclic := map[string]bool{}, map[string]bool{}
	for _, dir := range dirs {
		if cyclic[dir] {
			continue // said where the cycle was found first
		}
		p := r.load(dir)
		for _, err := range p.said.problems {
			if c, ok := errors.AsType[overlay.Cycle](err); ok {
				for _, d := range c {
					cyclic[d] = true
				}
			}
		}
		k := p.kustomization
		if k == nil {
			continue
		}
		walked = append(walked, p)
		for _, d := range k.folders[1:] {
			used[d] = true
		}
		for _, f := range k.files {
			r.claimed[f.Path] = f.Origin
		}
	}
	for _, p := range walked {
		switch k := p.kustomization; {
		case used[k.folders[0]]:
		case k.component:
			r.warnings = append(r.warnings, &schema.Problem{Rule: "R058", Severity: schema.SeverityWarning, Origin: schema.Origin{File: k.file},
				Message: "no kustomization uses this component", Mend: "Name it under `components` of one, or remove it."})
		default:
			r.build(p)
		}
	}
}

// load walks the kustomization of a folder; the part has none if it cannot be
// used.
func (r *renderer) load(dir string) *part {
	p := r.part(r.kinds.walk, r.source(overlay.FileIn(r.tree, dir)), func(p *part) error {
		g, err := overlay.Load(r.fsys, dir, r.limits.Documents, r.read)
		if err != nil {
			return err
		}
		r.graphs[dir] = g
		p.kustomization = &kustomization{file: g.File, folders: g.Folders, files: g.Files, component: g.Component}
		return nil
	})
	r.add(p)
	return p
}

// build builds the kustomization that was walked.
func (r *renderer) build(walked *part) {
	k := walked.kustomization
	r.add(r.part(r.kinds.build, r.source(k.file), func(p *part) error {
		for _, l := range walked.looks {
			r.trace.look(l.name, l.seen)
		}
		g := r.graphs[k.folders[0]]
		if g == nil {
			// The walk was remembered. Its files are counted already.
			var err error
			if g, err = overlay.Load(r.fsys, k.folders[0], r.limits.Documents, func(file string) ([]byte, error) { return fs.ReadFile(r.fsys, file) }); err != nil {
				return err
			}
		}
		objects, warnings, err := g.Build(overlay.Options{Resources: r.resources, Read: r.read, Run: r.engine.Overlay, Time: r.limits.OverlayTime})
		r.warnings = append(r.warnings, warnings...)
		p.objects = objects
		return err
	}))
}

// manifests reads files that no kustomization uses. Expansions are carried out
// first, for the files that they name are no resources.
func (r *renderer) manifests(files []source) {
	parts := make([]*part, len(files))
	for i, file := range files {
		if _, ok := r.claimed[file.name]; !ok {
			parts[i] = r.part(r.kinds.manifest, file, func(p *part) (err error) {
				p.objects, err = r.resources(file.name)
				return err
			})
		}
	}
	for i, p := range parts {
		if _, ok := r.claimed[files[i].name]; !ok {
			r.add(p)
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
