package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"rota.dev/rota/render"
	"rota.dev/rota/schema"
)

// kind says what a node is.
type kind uint8

const (
	kindFolder kind = iota
	kindFile
	kindLink
	// kindFault stands for what cannot be read, and says why when it is.
	kindFault
)

// node is one thing in a snapshot. It does not change once the snapshot is
// built.
type node struct {
	kind     kind
	children []child // of a folder, sorted by name
	data     []byte  // of a file
	id       string  // of a file: a hash of data
	size     int64   // of a file, also where data was not kept
	target   string  // of a link
	fault    *schema.Problem
	// patient faults matter only when something opens the file.
	patient bool
}

type child struct {
	name string
	node *node
}

func (n *node) child(name string) *node {
	i, found := slices.BinarySearchFunc(n.children, name, func(c child, name string) int {
		return strings.Compare(c.name, name)
	})
	if !found {
		return nil
	}
	return n.children[i].node
}

func (n *node) sort() {
	slices.SortFunc(n.children, func(a, b child) int { return strings.Compare(a.name, b.name) })
}

// memory is a snapshot as a file system. Symbolic links are followed wherever
// they stay inside. In a listing a link to a file looks like the file; a link
// to a folder is listed as a link, which walks do not descend into, so that
// they end and see each file once; it can still be named. Safe for concurrent
// use, for nothing in it changes.
type memory struct {
	root *node
	// kubelet hides the names that begin with "..": a ConfigMap volume keeps
	// its versions in such folders and publishes them by links, so a link
	// into one is the only name of what it points to.
	kubelet bool
}

var (
	_ fs.ReadDirFS  = (*memory)(nil)
	_ fs.ReadFileFS = (*memory)(nil)
	_ fs.StatFS     = (*memory)(nil)
	_ fs.ReadLinkFS = (*memory)(nil)
)

// maxHops bounds the links that one name may pass, as the kernel does.
const maxHops = 40

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// straight finds a name that no link is on the way to, nil if there is none.
// Most names are such, and it costs them no allocation.
func (m *memory) straight(name string) *node {
	n := m.root
	for rest := name; n != nil && rest != "" && rest != "."; {
		var elem string
		elem, rest, _ = strings.Cut(rest, "/")
		if n = n.child(elem); n != nil && n.kind > kindFile {
			return nil
		}
	}
	return n
}

// walk finds name and returns its node and where that really is, without
// links on the way. What is not there is fs.ErrNotExist, unless a link led
// there, which is a fault of the link.
func (m *memory) walk(name string) (*node, string, error) {
	stack, trail := []*node{m.root}, []string{}
	todo := split(name)
	link, rest, hops := "", 0, 0
	for len(todo) > 0 {
		elem := todo[0]
		todo = todo[1:]
		if len(todo) < rest {
			link, rest = "", 0
		}
		if elem == ".." {
			if len(trail) == 0 {
				return nil, "", linkLeaves(link, "..")
			}
			stack, trail = stack[:len(stack)-1], trail[:len(trail)-1]
			continue
		}
		next := stack[len(stack)-1].child(elem)
		switch {
		case next == nil && link != "":
			return nil, "", problem(ruleLink, link, fmt.Sprintf("the symbolic link points to %s, which is not there", path.Join(append(trail, elem)...)),
				"Point the link to a file of the repository, or delete it.", nil)
		case next == nil:
			return nil, "", fs.ErrNotExist
		case next.kind == kindFault:
			return nil, "", next.fault
		case next.kind != kindLink:
			stack, trail = append(stack, next), append(trail, elem)
			continue
		}
		if link == "" {
			link, rest = path.Join(append(trail, elem)...), len(todo)
		}
		if hops++; hops > maxHops {
			return nil, "", problem(ruleLink, link, "the symbolic link leads through more than 40 links, or in a circle",
				"Point the link straight to a file of the repository, or delete it.", nil)
		}
		if path.IsAbs(next.target) {
			return nil, "", linkLeaves(path.Join(append(trail, elem)...), next.target)
		}
		todo = append(split(next.target), todo...)
	}
	return stack[len(stack)-1], path.Join(append([]string{"."}, trail...)...), nil
}

func linkLeaves(link, target string) *schema.Problem {
	return problem(ruleLink, link, fmt.Sprintf("the symbolic link leaves the root by %s", quiet(target)),
		"Make the link relative, to a file inside the root, or put the file itself there.", nil)
}

// split returns the elements of name that lead anywhere.
func split(name string) []string {
	return slices.DeleteFunc(strings.Split(name, "/"), func(e string) bool { return e == "" || e == "." })
}

// open finds name for op and dresses what goes wrong as package fs wants it.
func (m *memory) open(op, name string) (*node, string, error) {
	if !fs.ValidPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if n := m.straight(name); n != nil {
		return n, name, nil
	}
	n, where, err := m.walk(name)
	if err != nil {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: err}
	}
	return n, where, nil
}

// Open opens a file or folder.
func (m *memory) Open(name string) (fs.File, error) {
	n, where, err := m.open("open", name)
	if err != nil {
		return nil, err
	}
	about := info{name: path.Base(name), node: n}
	if n.kind == kindFolder {
		return &openFolder{info: about, entries: m.list(n, where)}, nil
	}
	return &openFile{info: about, Reader: bytes.NewReader(n.data)}, nil
}

// ReadFile returns a copy of the content of a file.
func (m *memory) ReadFile(name string) ([]byte, error) {
	n, _, err := m.open("read", name)
	if err != nil {
		return nil, err
	}
	if n.kind == kindFolder {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	}
	return bytes.Clone(n.data), nil
}

// ReadDir lists a folder, sorted by name.
func (m *memory) ReadDir(name string) ([]fs.DirEntry, error) {
	n, where, err := m.open("readdir", name)
	if err != nil {
		return nil, err
	}
	if n.kind != kindFolder {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
	}
	return m.list(n, where), nil
}

// Stat describes a file or folder; links are followed.
func (m *memory) Stat(name string) (fs.FileInfo, error) {
	n, _, err := m.open("stat", name)
	if err != nil {
		return nil, err
	}
	return info{name: path.Base(name), node: n}, nil
}

// Lstat describes a file, folder or link as listings show it.
func (m *memory) Lstat(name string) (fs.FileInfo, error) {
	n, err := m.listed("lstat", name)
	if err != nil {
		return nil, err
	}
	return info{name: path.Base(name), node: n}, nil
}

// ReadLink returns where a link that is listed as one points to.
func (m *memory) ReadLink(name string) (string, error) {
	n, err := m.listed("readlink", name)
	if err != nil {
		return "", err
	}
	if n.kind != kindLink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return n.target, nil
}

// listed returns the node as which name is listed in its folder.
func (m *memory) listed(op, name string) (*node, error) {
	if name == "." {
		return m.root, nil
	}
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	above, where, err := m.walk(path.Dir(name))
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	n := above.child(path.Base(name))
	if n == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return m.appearance(child{path.Base(name), n}, where), nil
}

// list returns the entries of the folder n, which really is at where.
func (m *memory) list(n *node, where string) []fs.DirEntry {
	entries := make([]fs.DirEntry, 0, len(n.children))
	for _, c := range n.children {
		if m.kubelet && strings.HasPrefix(c.name, "..") {
			continue
		}
		entries = append(entries, fs.FileInfoToDirEntry(info{name: c.name, node: m.appearance(c, where)}))
	}
	return entries
}

// appearance returns the node as which c, a child of the folder at where, is
// listed. A link that leads nowhere is listed as a file: who reads the folder
// then opens it and is told.
func (m *memory) appearance(c child, where string) *node {
	if c.node.kind != kindLink {
		return c.node
	}
	found, at, err := m.walk(path.Join(where, c.name))
	switch {
	case err != nil:
		var p *schema.Problem
		errors.As(err, &p)
		return &node{kind: kindFault, fault: p}
	case found.kind == kindFolder && !(m.kubelet && hidden(at) && !hidden(where)):
		return c.node
	}
	return found
}

// hidden reports whether name lies in a folder whose name begins with "..".
func hidden(name string) bool {
	return strings.HasPrefix(name, "..") || strings.Contains(name, "/..")
}

// maxFaults bounds what one revision is told about.
const maxFaults = 20

// faults returns what cannot be read of what can be listed under the folder n,
// which really is at where and goes by name. Names that begin with a dot are
// left out, for a renderer that reads whole folders passes them by.
func (m *memory) faults(n *node, where, name string) []error {
	var found []error
	for _, c := range n.children {
		if len(found) >= maxFaults {
			break
		}
		if strings.HasPrefix(c.name, ".") {
			continue
		}
		switch seen := m.appearance(c, where); {
		case seen.kind == kindFault && !seen.patient:
			found = append(found, seen.fault)
		case seen.kind == kindFolder:
			below, at := seen, path.Join(where, c.name)
			if c.node.kind == kindLink {
				_, at, _ = m.walk(at)
			}
			found = append(found, m.faults(below, at, path.Join(name, c.name))...)
		}
	}
	return found[:min(len(found), maxFaults)]
}

// info describes a node. Modes and times are the same for all of a kind:
// neither belongs to the content of a revision.
type info struct {
	name string
	node *node
}

func (i info) Name() string { return i.name }
func (i info) Size() int64 {
	if i.node.kind == kindLink {
		return int64(len(i.node.target))
	}
	return i.node.size
}
func (i info) Mode() fs.FileMode {
	switch i.node.kind {
	case kindFolder:
		return fs.ModeDir | 0o555
	case kindLink:
		return fs.ModeSymlink | 0o777
	}
	return 0o444
}
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.node.kind == kindFolder }
func (i info) Sys() any           { return nil }

// ContentID returns the hash of a file's content: git's own for a revision of
// git, SHA-256 for a folder. git's is SHA-1, computed here over what was
// received by a library that detects the known ways to make collisions and
// gives such files other sums; a server's word is not taken.
func (i info) ContentID() string { return i.node.id }

var _ render.ContentInfo = info{}

type openFile struct {
	info
	*bytes.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Size() int64                { return f.info.Size() }
func (f *openFile) Close() error               { return nil }

type openFolder struct {
	info
	entries []fs.DirEntry
	next    int
}

func (f *openFolder) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFolder) Close() error               { return nil }
func (f *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.name, Err: errors.New("is a directory")}
}

func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := f.entries[f.next:]
	if n > 0 {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		rest = rest[:min(n, len(rest))]
	}
	f.next += len(rest)
	return slices.Clone(rest), nil
}
