package source

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"syscall"

	"rota.dev/rota/render"
	"rota.dev/rota/schema"
)

// DirectoryOptions say which folder on disk to read.
type DirectoryOptions struct {
	// Path is the root: nothing outside of it is read, whatever links say.
	Path string
	// Sub is the folder to render, slash-separated from the root; "." if
	// empty.
	Sub string
	// Limits bound a fetch.
	Limits Limits
}

// Directory follows a folder on disk.
type Directory struct {
	path   string
	sub    string
	limits Limits
	// attempts bounds how often a folder is read anew because it changed
	// meanwhile.
	attempts int
}

// NewDirectory checks o and returns the Directory that it describes. The
// folder may come later.
func NewDirectory(o DirectoryOptions) (*Directory, error) {
	if o.Path == "" || badName(filepath.ToSlash(o.Path)) != "" {
		return nil, problem(ruleDirectory, "", fmt.Sprintf("%q is not the path of a folder", quiet(o.Path)), "Give the path of a folder on this machine.", nil)
	}
	sub, err := folder(o.Sub)
	if err != nil {
		return nil, err
	}
	return &Directory{path: filepath.Clean(o.Path), sub: sub, limits: o.Limits.orDefault(), attempts: 5}, nil
}

// String returns the path.
func (d *Directory) String() string { return d.path }

// Fetch returns what is in the folder, or ErrUnchanged if that is last. It is
// one state of the folder: when something changes while it is read, such as
// the link of a ConfigMap volume, it is read again. Names beginning with ".."
// and .git folders are left out. Every other error is a problem, or several
// joined, or that of ctx.
func (d *Directory) Fetch(ctx context.Context, last string) (render.Tree, error) {
	ctx, cancel := d.limits.within(ctx)
	defer cancel()
	m, err := d.snapshot(ctx)
	if err != nil {
		return render.Tree{}, err
	}
	revision := m.digest()
	if revision == last {
		return render.Tree{}, ErrUnchanged
	}
	return plant(revision, m, d.sub)
}

func (d *Directory) snapshot(ctx context.Context) (*memory, error) {
	for range d.attempts {
		m, steady, err := d.read(ctx)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil && steady {
			return m, nil
		}
		var p *schema.Problem
		if errors.As(err, &p) {
			return nil, p
		}
		// Anything else is a file that went away or changed between two
		// looks, which the next attempt sees as it is then.
	}
	return nil, problem(ruleDirectory, "", fmt.Sprintf("the folder %s changes faster than it can be read", d.path),
		"Let what writes there finish, or write elsewhere and rename; it is tried again.", nil)
}

// read reads the folder once and reports whether it stayed as it was.
func (d *Directory) read(ctx context.Context) (m *memory, steady bool, err error) {
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, false, problem(ruleDirectory, "", fmt.Sprintf("the folder %s cannot be read: %s", d.path, reason(err)),
			"Correct the path, or the permissions of the folder.", err)
	}
	defer root.Close()
	s := &scan{ctx: ctx, root: root, limits: d.limits}
	top, err := s.folder(root, ".", 0)
	if err != nil {
		return nil, false, err
	}
	steady, err = s.steady()
	return &memory{root: top, kubelet: true}, steady, err
}

// scan reads a folder into nodes. It opens each folder once and names what is
// in it from there, for every step of a longer path would cost a system call.
type scan struct {
	ctx    context.Context
	root   *os.Root
	limits Limits
	files  int
	bytes  int64
	seen   []listing
}

// listing is how a folder and what is in it looked before it was read.
type listing struct {
	name  string
	files []looks
}

type looks struct {
	name string
	info fs.FileInfo
}

// steady reports whether everything that was read still looks the same.
func (s *scan) steady() (bool, error) {
	for _, l := range s.seen {
		if s.ctx.Err() != nil {
			return false, context.Cause(s.ctx)
		}
		if !l.steady(s.root) {
			return false, nil
		}
	}
	return true, nil
}

func (l listing) steady(root *os.Root) bool {
	here, err := root.OpenRoot(l.name)
	if err != nil {
		return false
	}
	defer here.Close()
	for _, f := range l.files {
		now, err := here.Lstat(f.name)
		if err != nil || !os.SameFile(now, f.info) || now.Mode() != f.info.Mode() ||
			!now.ModTime().Equal(f.info.ModTime()) || now.Mode().IsRegular() && now.Size() != f.info.Size() {
			return false
		}
	}
	return true
}

// folder reads the folder that here is; name is its path from the root.
func (s *scan) folder(here *os.Root, name string, depth int) (*node, error) {
	if s.ctx.Err() != nil {
		return nil, context.Cause(s.ctx)
	}
	if depth > maxDepth {
		return nil, problem(ruleName, name, fmt.Sprintf("the folder is nested more than %d deep", maxDepth), "Flatten the folders.", nil)
	}
	about, err := here.Lstat(".")
	if err != nil {
		return s.unreadable(name, err)
	}
	// A folder's own time changes with every name that comes or goes.
	l := listing{name: name, files: []looks{{".", about}}}
	entries, err := s.names(here)
	if err != nil {
		return s.unreadable(name, err)
	}
	n := &node{kind: kindFolder, children: make([]child, 0, len(entries))}
	for _, base := range entries {
		if base == ".git" {
			continue
		}
		if s.files++; s.files > s.limits.Files {
			return nil, tooManyFiles(s.limits.Files)
		}
		c, full := child{name: base}, path.Join(name, base)
		if why := badName(base); why != "" {
			c.name = strconv.QuoteToASCII(base)
			c.node = fault(ruleName, path.Join(name, c.name), "the name of the file "+why, "Rename the file.")
		} else if about, err := here.Lstat(base); err != nil {
			if c.node, err = s.unreadable(full, err); err != nil {
				return nil, err
			}
		} else {
			l.files = append(l.files, looks{base, about})
			if c.node, err = s.node(here, about, full, depth); err != nil {
				return nil, err
			}
		}
		n.children = append(n.children, c)
	}
	n.sort()
	s.seen = append(s.seen, l)
	return n, nil
}

// names lists here, one name more than there may be at most.
func (s *scan) names(here *os.Root) ([]string, error) {
	f, err := here.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(s.limits.Files - s.files + 2)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err
}

// unreadable makes a fault of what is there and cannot be read; what is gone
// is an error that leads to another attempt.
func (s *scan) unreadable(name string, err error) (*node, error) {
	if name == "." {
		return nil, problem(ruleDirectory, "", fmt.Sprintf("the folder %s cannot be read: %s", s.root.Name(), reason(err)),
			"Correct the permissions of the folder.", err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fault(ruleContent, name, "it cannot be read: permission denied", "Correct the permissions, or move it away."), nil
	}
	return nil, fmt.Errorf("reading %s: %w", name, err)
}

// node reads what about describes in the folder here; name is its path from
// the root.
func (s *scan) node(here *os.Root, about fs.FileInfo, name string, depth int) (*node, error) {
	switch about.Mode().Type() {
	case fs.ModeDir:
		below, err := here.OpenRoot(about.Name())
		if err != nil {
			return s.unreadable(name, err)
		}
		defer below.Close()
		return s.folder(below, name, depth+1)
	case fs.ModeSymlink:
		target, err := here.Readlink(about.Name())
		if err != nil {
			return s.unreadable(name, err)
		}
		return &node{kind: kindLink, target: filepath.ToSlash(target)}, nil
	case 0:
		if about.Size() > s.limits.FileBytes {
			return tooLarge(name, about.Size(), s.limits.FileBytes), nil
		}
		return s.file(here, about, name)
	}
	return fault(ruleContent, name, fmt.Sprintf("it is no file but a %s, which is not read", special(about.Mode())), "Move it out of the folder."), nil
}

func special(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

func (s *scan) file(here *os.Root, about fs.FileInfo, name string) (*node, error) {
	// Without O_NONBLOCK a pipe put in the place of the file between two
	// looks would hold the fetch for ever.
	f, err := here.OpenFile(about.Name(), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return s.unreadable(name, err)
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !os.SameFile(now, about) {
		return nil, fmt.Errorf("reading %s: it was replaced meanwhile", name)
	}
	size := about.Size()
	if s.bytes += size; s.bytes > s.limits.Bytes {
		return nil, tooManyBytes(s.limits.Bytes)
	}
	content := make([]byte, size)
	if _, err := io.ReadFull(f, content); err != nil {
		// A file that has become shorter fails here; one that has become
		// longer does not look the same afterwards.
		return s.unreadable(name, err)
	}
	id := sha256.Sum256(content)
	return &node{kind: kindFile, data: content, id: string(id[:]), size: size}, nil
}

// digest returns the revision of a folder: a hash over what can be listed, so
// that the same files are the same revision wherever a ConfigMap volume keeps
// them.
func (m *memory) digest() string {
	h := sha256.New()
	m.hash(h, m.root, ".", ".")
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// hash writes the folder n, which really is at where and goes by name. Every
// part has its length before it, so that no two snapshots are written alike.
func (m *memory) hash(h hash.Hash, n *node, where, name string) {
	for _, c := range n.children {
		if m.kubelet && hidden(c.name) {
			continue
		}
		seen, full := m.appearance(c, where), path.Join(name, c.name)
		switch seen.kind {
		case kindFolder:
			record(h, "folder", full, nil)
			at := path.Join(where, c.name)
			if c.node.kind == kindLink {
				_, at, _ = m.walk(at)
			}
			m.hash(h, seen, at, full)
		case kindFile:
			record(h, "file", full, []byte(seen.id))
		case kindLink:
			record(h, "link", full, []byte(seen.target))
		case kindFault:
			record(h, "fault", full, []byte(seen.fault.Error()))
		}
	}
}

func record(h hash.Hash, what, name string, content []byte) {
	for _, part := range [][]byte{[]byte(what), []byte(name), content} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
}

// reason returns err without the operation and path that it repeats.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return quiet(err.Error())
}
