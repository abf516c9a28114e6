package render

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"rota.dev/rota/schema"
)

// Limits bound what one render may read and make. A zero field means that of
// [schema.DefaultLimits], which its comment repeats; what goes beyond one is a
// [schema.Problem] of rule R004 that names it.
type Limits struct {
	// Documents bound each file: bytes, nesting and aliases.
	Documents schema.DocumentLimits
	// TotalBytes is the size of all files that are read; 128 MiB by default.
	TotalBytes int64
	// Files is how many files are read; 20,000 by default.
	Files int
	// Objects is how many objects are made; 50,000 by default.
	Objects int
	// Items is how many items one Expansion has; 50,000 by default.
	Items int
	// RenderedBytes is the size of all that Expansions and Jinja templates
	// make; 256 MiB by default.
	RenderedBytes int64
	// TemplateBytes is the output of one Jinja template; 16 MiB by default.
	TemplateBytes int
	// TemplateTime is how long one Jinja template may run; 5 s by default.
	TemplateTime time.Duration
	// OverlayTime is how long one kustomization may build; 2 min by default.
	OverlayTime time.Duration
}

func (l Limits) withDefaults() Limits {
	d := schema.DefaultLimits
	l.TotalBytes = cmp.Or(l.TotalBytes, int64(d.TotalBytes))
	l.Files = cmp.Or(l.Files, int(d.Files))
	l.Objects = cmp.Or(l.Objects, int(d.Objects))
	l.Items = cmp.Or(l.Items, int(d.Items))
	l.RenderedBytes = cmp.Or(l.RenderedBytes, int64(d.RenderedBytes))
	l.TemplateBytes = cmp.Or(l.TemplateBytes, int(d.TemplateBytes))
	l.TemplateTime = cmp.Or(l.TemplateTime, d.TemplateTime.Duration)
	l.OverlayTime = cmp.Or(l.OverlayTime, d.OverlayTime.Duration)
	return l
}

// Options say how a tree is rendered. The zero value is good.
type Options struct {
	// Namespace is where objects without a namespace will be applied. It is
	// not written on them, for only the cluster knows which kinds have one; it
	// serves to find two documents that name the same object.
	Namespace string
	// Now is the time for which calendars are carried out, to the month: the
	// present one and twelve more.
	Now time.Time
	// Limits bound the work.
	Limits Limits
	// Engine runs templates and kustomize; [InProcess] by default.
	Engine Engine
	// Cache, if set, has what earlier renders of the same repository made, and
	// is given what this one makes. It changes no result, only its cost.
	// Objects that came out of a render with a Cache come out of later ones,
	// too: whoever wants to change one works on a DeepCopy.
	Cache *Cache
}

// Result is what a tree asks for.
type Result struct {
	// Objects are in the order of kustomize for a kustomization, of paths and
	// documents otherwise. Their namespaces are as written.
	Objects []schema.Object
	// Warnings are worth saying and change nothing.
	Warnings []*schema.Problem
	// Files are the paths that were read, sorted.
	Files []string
}

// Render returns the objects of tree.Path: what kustomize builds of it if it
// is a kustomization, every manifest below it otherwise. It is pure. The error
// joins every [*schema.Problem] that was found; the Result then has what could
// be rendered all the same.
func Render(tree Tree, opts Options) (Result, error) {
	r := newRenderer(tree, opts)
	dir := tree.Path
	if dir == "" {
		dir = "."
	}
	if !fs.ValidPath(dir) {
		return Result{}, &schema.Problem{Rule: "R006", Message: fmt.Sprintf("%q is no path inside the repository", dir),
			Mend: "Write it relative to the repository's root, with slashes and without `..`."}
	}
	info, err := fs.Stat(tree.FS, dir)
	if err != nil {
		return Result{}, &schema.Problem{Rule: "R006", Origin: schema.Origin{File: dir}, Message: "the path to render is not there: " + reason(err),
			Mend: "Correct the path, or add the folder.", Cause: err}
	}
	if !info.IsDir() {
		return Result{}, &schema.Problem{Rule: "R006", Origin: schema.Origin{File: dir}, Message: "the path to render is a file", Mend: "Name the folder that it is in."}
	}
	r.root(dir)
	r.finish()
	return Result{Objects: r.objects, Warnings: r.warnings, Files: r.filesRead()}, errors.Join(r.problems...)
}

// reason is the cause of a failed file operation without the operation's name
// and path, which the Problem says already.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file or folder"
	case errors.Is(err, fs.ErrPermission):
		return "not permitted"
	}
	return err.Error()
}
