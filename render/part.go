package render

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"rota.dev/rota/render/overlay"
	"rota.dev/rota/schema"
)

// part is what one file or one kustomization became, with everything that was
// said on the way and everything that it was made of. It may be in a Cache and
// belong to many renders, so nothing in it changes once it is made.
type part struct {
	// objects are finished; hashes are those of their keys, in the same order.
	objects []schema.Object
	hashes  []uint64
	// made is how many objects there were before the finish dropped some.
	made int
	// kustomization is set for the part that is the walk of one.
	kustomization *kustomization
	// claimed are files that are no resources, and who says so.
	claimed map[string]schema.Origin
	// policies are the SchedulePolicies in it.
	policies []policy
	// said was found while reading, checked while finishing.
	said, checked findings
	// files were read, each listed once; bytes counts every time.
	files []string
	bytes int64
	// rendered is how many bytes templates made.
	rendered int64
	// looks are what else of the tree it depends on.
	looks []look
}

// findings are what a part has to say, in order.
type findings struct {
	warnings []*schema.Problem
	problems []error
}

// look is one look at the tree, and what was seen.
type look struct{ name, seen string }

// kustomization is what the walk of one found. The graph itself is not kept,
// for it holds on to the tree.
type kustomization struct {
	file      string
	folders   []string
	files     []overlay.File
	component bool
}

// trace is what the part that is being made depends on.
type trace struct {
	// main is the file whose content the part goes by.
	main  string
	files []string
	bytes int64
	// rendered is how many bytes templates made.
	rendered int64
	looks    map[string]string
	// fleeting is set when the part depends on something that cannot be
	// looked up again.
	fleeting bool
}

func (t *trace) read(file string, size int) {
	t.bytes += int64(size)
	t.files = append(t.files, file)
}

// look notes what was seen of name; its content says more than its kind.
func (t *trace) look(name, seen string) {
	if name == t.main {
		return
	}
	if t.looks == nil {
		t.looks = map[string]string{}
	}
	if t.looks[name] != "" && seen == seenFile {
		return
	}
	t.looks[name] = seen
}

// What a look sees; a content is seenContent and its ID.
const (
	seenNothing = "nothing"
	seenFolder  = "folder"
	seenFile    = "file"
	seenOther   = "other"
	seenContent = "content "
)

// seen returns what a Stat saw, false if that cannot be looked up again.
func seen(info fs.FileInfo, err error) (string, bool) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return seenNothing, true
	case err != nil:
		return "", false
	case info.IsDir():
		return seenFolder, true
	case info.Mode().IsRegular():
		return seenFile, true
	}
	return seenOther, true
}

// tracked is the file system of a tree; it notes in a trace what is looked at.
type tracked struct {
	tree  fs.FS
	trace *trace
	ids   *contentIDs
}

func (t tracked) Stat(name string) (fs.FileInfo, error) {
	info, err := fs.Stat(t.tree, name)
	if what, ok := seen(info, err); ok {
		t.trace.look(name, what)
	} else {
		t.trace.fleeting = true
	}
	return info, err
}

func (t tracked) ReadFile(name string) ([]byte, error) {
	data, err := t.ids.read(name)
	if err != nil {
		t.trace.fleeting = true
		return nil, err
	}
	if name == t.trace.main {
		return data, nil
	}
	if id := t.ids.of(name); id != "" {
		t.trace.look(name, seenContent+id)
	} else {
		t.trace.fleeting = true
	}
	return data, nil
}

// Open is not foreseen in the making of a part, and cannot be traced.
func (t tracked) Open(name string) (fs.File, error) {
	t.trace.fleeting = true
	return t.tree.Open(name)
}

// contentIDs tells the content of a tree's files apart.
type contentIDs struct {
	tree fs.FS
	// most is the size of a file that is read for its ID.
	most int64
	// computed are those of a tree that does not know them.
	computed map[string]string
	// held is the content of the file that was read last for its ID: it is
	// wanted next.
	heldName string
	held     []byte
}

// of returns the ID of a file's content, "" if it has none.
func (c *contentIDs) of(name string) string {
	info, err := fs.Stat(c.tree, name)
	if err != nil {
		return ""
	}
	return c.known(name, info)
}

// known is of for a file that info describes.
func (c *contentIDs) known(name string, info fs.FileInfo) string {
	if info, ok := info.(ContentInfo); ok {
		return info.ContentID()
	}
	if id := c.computed[name]; id != "" {
		return id
	}
	if !info.Mode().IsRegular() || info.Size() > c.most {
		return ""
	}
	data, err := fs.ReadFile(c.tree, name)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	c.computed[name] = string(sum[:])
	c.heldName, c.held = name, data
	return c.computed[name]
}

func (c *contentIDs) read(name string) ([]byte, error) {
	if data := c.held; data != nil && name == c.heldName {
		c.heldName, c.held = "", nil
		return data, nil
	}
	return fs.ReadFile(c.tree, name)
}

// kinds are the cacheKey.kind of the parts, by what is done with a file.
type kinds struct{ manifest, walk, build uint64 }

func kindsOf(o Options, limits Limits) kinds {
	return kinds{kindOf("manifest", limits, o.Namespace), kindOf("walk", limits, o.Namespace), kindOf("build", limits, o.Namespace)}
}

// source is a file that a part goes by, and the ID of its content, which is
// empty if the part is not to be kept.
type source struct{ name, id string }

// part returns what fill makes of the file main and whatever else it reads, or
// what an earlier render made of the same. Fill puts in the part's objects, as
// they are written, or its kustomization.
func (r *renderer) part(kind uint64, main source, fill func(*part) error) *part {
	key := cacheKey{kind, main.name, main.id}
	if main.id != "" && !r.full {
		if p, ok := r.cache.get(key).(*part); ok && r.unchanged(p) && r.charge(p) {
			return r.use(p)
		}
	}
	p := r.fill(main.name, fill)
	if main.id != "" && !r.trace.fleeting {
		r.cache.put(key, p, p.size())
	}
	return r.use(p)
}

// source returns the file of that name, with its ID if there is a Cache.
func (r *renderer) source(name string) source {
	if r.cache == nil {
		return source{name: name}
	}
	return source{name, r.ids.of(name)}
}

// fill makes a part. Meanwhile r gathers what belongs to it alone.
func (r *renderer) fill(main string, fill func(*part) error) *part {
	warnings, problems, claimed, policies, failures := r.warnings, r.problems, r.claimed, r.policies, r.failures()
	r.warnings, r.problems, r.claimed, r.policies = nil, nil, map[string]schema.Origin{}, nil
	*r.trace = trace{main: main}
	p := &part{}
	faults, known := leavesOf(fill(p))
	if !known || r.failures() != failures {
		r.trace.fleeting = true
	}
	p.files, p.bytes = distinct(r.trace.files), r.trace.bytes
	p.rendered = r.trace.rendered
	if len(r.claimed) > 0 {
		p.claimed = r.claimed
	}
	p.said = findings{r.warnings, append(r.problems, faults...)}
	for name, what := range r.trace.looks {
		p.looks = append(p.looks, look{name, what})
	}
	p.policies = r.policies
	r.warnings, r.problems, r.claimed, r.policies = warnings, problems, claimed, policies
	p.finish(r.opts.Namespace)
	return p
}

// failures counts the faults of the engine. They may be due to the machine.
func (r *renderer) failures() int64 {
	if e, ok := r.engine.(*remembering); ok {
		return e.failures.Load()
	}
	return 0
}

// leavesOf takes joined errors apart. It is false if one of them is no
// Problem, of which nothing is known.
func leavesOf(err error) (leaves []error, known bool) {
	if err == nil {
		return nil, true
	}
	if _, ok := err.(*schema.Problem); ok {
		return []error{err}, true
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}, false
	}
	known = true
	for _, e := range joined.Unwrap() {
		more, ok := leavesOf(e)
		leaves, known = append(leaves, more...), known && ok
	}
	return leaves, known
}

func distinct(names []string) []string {
	if len(names) < 2 {
		return names
	}
	seen := make(map[string]bool, len(names))
	return slices.DeleteFunc(names, func(name string) bool {
		before := seen[name]
		seen[name] = true
		return before
	})
}

// add puts a part into the result. What it says is copied, for it may be said
// again by another render.
func (r *renderer) add(p *part) {
	r.parts = append(r.parts, p)
	r.policies = append(r.policies, p.policies...)
	r.warnings = append(r.warnings, p.said.copies()...)
	for _, err := range p.said.problems {
		r.fail(ownCopy(err))
	}
}

func (f findings) copies() []*schema.Problem {
	var out []*schema.Problem
	for _, w := range f.warnings {
		p := *w
		out = append(out, &p)
	}
	return out
}

func ownCopy(err error) error {
	if p, ok := err.(*schema.Problem); ok {
		own := *p
		return &own
	}
	return err
}

// use counts a part to the render.
func (r *renderer) use(p *part) *part {
	if p.claimed != nil {
		maps.Copy(r.claimed, p.claimed)
	}
	r.made += p.made
	// A file that turns out to be a template no longer counts in the end, so
	// only what no such file explains ends the reading here.
	if r.made > 2*r.limits.Objects {
		r.full = true
	}
	return p
}

// unchanged reports whether everything that p was made of is as it was.
func (r *renderer) unchanged(p *part) bool {
	for _, l := range p.looks {
		if was, ok := strings.CutPrefix(l.seen, seenContent); ok {
			if r.ids.of(l.name) != was {
				return false
			}
			continue
		}
		if now, ok := seen(fs.Stat(r.tree, l.name)); !ok || now != l.seen {
			return false
		}
	}
	return true
}

// charge counts the files of p as if they had been read. It is false if that
// would pass a limit: they are then read, up to where the limit is.
func (r *renderer) charge(p *part) bool {
	if r.bytes+p.bytes > r.limits.TotalBytes || r.rendered+p.rendered > r.limits.RenderedBytes {
		return false
	}
	if len(r.files)+len(p.files) > r.limits.Files {
		fresh := 0
		for _, file := range p.files {
			if !r.files[file] {
				fresh++
			}
		}
		if len(r.files)+fresh > r.limits.Files {
			return false
		}
	}
	r.bytes, r.rendered = r.bytes+p.bytes, r.rendered+p.rendered
	for _, file := range p.files {
		r.note(file)
	}
	return true
}

// size estimates the memory of p in bytes: its objects, the text that they
// were read from, which positions need, and the rest.
func (p *part) size() int64 {
	size := 500 + p.bytes
	for _, o := range p.objects {
		size += sizeOf(o.Object) + 400
		for _, parameter := range o.Origin.Parameters {
			size += 32 + int64(len(parameter.Name)+len(parameter.Value))
		}
	}
	for _, l := range p.looks {
		size += 32 + int64(len(l.name)+len(l.seen))
	}
	for _, f := range []findings{p.said, p.checked} {
		size += 1000 * int64(len(f.warnings)+len(f.problems))
	}
	if p.kustomization != nil {
		size += 300 * int64(len(p.kustomization.files)+len(p.kustomization.folders))
	}
	for _, policy := range p.policies {
		size += 2000
		for _, data := range policy.calendars {
			size += int64(len(data))
		}
	}
	return size + 100*int64(len(p.files)) + 200*int64(len(p.claimed))
}
