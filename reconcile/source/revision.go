package source

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"rota.dev/rota/schema"
)

// Git's own bounds for what is no file of the user's: a link's target and the
// depth of folders, of which a small tree object can claim any number.
const (
	maxTarget = 4096
	maxDepth  = 128
	maxTag    = 8 // a tag of a tag of a tag ...
	maxObject = 1 << 20
)

// peel follows annotated tags from h to the commit.
func peel(from objects, h plumbing.Hash, isTag bool) (plumbing.Hash, error) {
	for range maxTag {
		if !isTag {
			return h, nil
		}
		content, _, err := from.read(h, plumbing.TagObject, maxObject)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		var tag object.Tag
		if err := tag.Decode(encoded(plumbing.TagObject, content)); err != nil {
			return plumbing.ZeroHash, garbage(err)
		}
		h, isTag = tag.Target, tag.TargetType == plumbing.TagObject
		if !isTag && tag.TargetType != plumbing.CommitObject {
			return plumbing.ZeroHash, problem(ruleRef, "", fmt.Sprintf("the tag %s names a %s, not a commit", quiet(tag.Name), tag.TargetType),
				"Tag a commit.", nil)
		}
	}
	return plumbing.ZeroHash, garbage(errors.New("the tag names a tag that names a tag, and so on"))
}

// encoded returns content as go-git's decoders take it.
func encoded(t plumbing.ObjectType, content []byte) *plumbing.MemoryObject {
	o := &plumbing.MemoryObject{}
	o.SetType(t)
	// A MemoryObject grows by what is written and cannot fail.
	_, _ = o.Write(content)
	return o
}

// grower makes a snapshot of a commit's tree. Equal folders and files, which
// git stores once, become one node, but count as often as they are there: who
// reads the snapshot meets them as often.
type grower struct {
	from   objects
	limits Limits
	files  int
	bytes  int64
	blobs  map[plumbing.Hash]*node
}

// grow returns the snapshot of commit.
func grow(from objects, commit plumbing.Hash, limits Limits) (m *memory, err error) {
	defer recovered(&err)
	content, size, err := from.read(commit, plumbing.CommitObject, maxObject)
	if err != nil {
		return nil, err
	}
	if content == nil {
		return nil, garbage(fmt.Errorf("the commit has %d bytes", size))
	}
	var c object.Commit
	if err := c.Decode(encoded(plumbing.CommitObject, content)); err != nil {
		return nil, garbage(err)
	}
	g := &grower{from: from, limits: limits, blobs: map[plumbing.Hash]*node{}}
	root, err := g.folder(c.TreeHash, "", 0)
	if err != nil {
		return nil, err
	}
	return &memory{root: root}, nil
}

func (g *grower) folder(h plumbing.Hash, name string, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, problem(ruleName, "", fmt.Sprintf("a folder is nested more than %d deep", maxDepth), "Flatten the folders.", nil)
	}
	content, size, err := g.from.read(h, plumbing.TreeObject, g.limits.Bytes)
	if err != nil {
		return nil, err
	}
	if size > g.limits.Bytes {
		return nil, tooManyBytes(g.limits.Bytes)
	}
	var tree object.Tree
	if err := tree.Decode(encoded(plumbing.TreeObject, content)); err != nil {
		return nil, garbage(err)
	}
	n := &node{kind: kindFolder, children: make([]child, 0, len(tree.Entries))}
	for _, e := range tree.Entries {
		if g.files++; g.files > g.limits.Files {
			return nil, tooManyFiles(g.limits.Files)
		}
		if err := forged(e.Name); err != nil {
			return nil, err
		}
		c := child{name: e.Name}
		if why := badName(e.Name); why != "" {
			c.name = strconv.QuoteToASCII(e.Name)
			c.node = fault(ruleName, path.Join(name, c.name), "the name of the file "+why, "Rename the file.")
		} else if c.node, err = g.node(e, path.Join(name, e.Name), depth); err != nil {
			return nil, err
		}
		n.children = append(n.children, c)
	}
	n.sort()
	for i := range len(n.children) - 1 {
		if n.children[i].name == n.children[i+1].name {
			return nil, garbage(fmt.Errorf("the folder %q has two entries %q", name, n.children[i].name))
		}
	}
	return n, nil
}

// forged refuses the names that git itself refuses to add, so that only a
// crafted repository has them.
func forged(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || strings.EqualFold(name, ".git") {
		return problem(ruleName, "", fmt.Sprintf("the repository has an entry named %s, which git never makes", strconv.QuoteToASCII(name)),
			"Do not use this repository before you know who made the commit and why.", nil)
	}
	return nil
}

func (g *grower) node(e object.TreeEntry, name string, depth int) (*node, error) {
	switch e.Mode {
	case filemode.Dir:
		return g.folder(e.Hash, name, depth+1)
	case filemode.Regular, filemode.Executable, filemode.Deprecated:
		return g.file(e.Hash, name)
	case filemode.Symlink:
		content, size, err := g.from.read(e.Hash, plumbing.BlobObject, maxTarget)
		if err != nil {
			return nil, err
		}
		if size > maxTarget || size == 0 || strings.ContainsRune(string(content), 0) {
			return fault(ruleLink, name, "the symbolic link has no usable target", "Make the link anew, or delete it."), nil
		}
		return &node{kind: kindLink, target: string(content)}, nil
	case filemode.Submodule:
		return fault(ruleSubmodule, name, "the folder is a submodule, and another repository is never fetched",
			"Put the files into this repository, or give the submodule a source of its own; git rm takes it out."), nil
	}
	return nil, garbage(fmt.Errorf("the file %q has the mode %s", name, e.Mode))
}

func (g *grower) file(h plumbing.Hash, name string) (*node, error) {
	if n := g.blobs[h]; n != nil {
		if err := g.spend(n.size); err != nil {
			return nil, err
		}
		return n, nil
	}
	content, size, err := g.from.read(h, plumbing.BlobObject, g.limits.FileBytes)
	if err != nil {
		return nil, err
	}
	if size > g.limits.FileBytes {
		return tooLarge(name, size, g.limits.FileBytes), nil
	}
	if isPointer(content) {
		n := fault(ruleContent, name, "the file is in Git LFS, and only a pointer to it is in the repository",
			"Store the file in git itself: git lfs untrack, then add it again.")
		n.patient = true
		return n, nil
	}
	if err := g.spend(size); err != nil {
		return nil, err
	}
	n := &node{kind: kindFile, data: content, id: string(h[:]), size: size}
	g.blobs[h] = n
	return n, nil
}

func (g *grower) spend(n int64) error {
	if g.bytes += n; g.bytes > g.limits.Bytes {
		return tooManyBytes(g.limits.Bytes)
	}
	return nil
}

// isPointer reports whether content is a pointer file of Git LFS, see
// https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
func isPointer(content []byte) bool {
	return len(content) < 1024 && strings.HasPrefix(string(content), "version https://git-lfs.github.com/spec/v1\n")
}

func fault(rule, name, message, mend string) *node {
	return &node{kind: kindFault, fault: problem(rule, name, message, mend, nil)}
}

func tooLarge(name string, size, most int64) *node {
	n := fault(ruleFileBytes, name, fmt.Sprintf("the file has %d bytes, and at most %d are read", size, most),
		"Split the file, keep data of this size outside of the repository, or raise spec.limits.fileBytes.")
	n.patient = true
	return n
}

func tooManyFiles(most int) *schema.Problem {
	return problem(ruleBytes, "", fmt.Sprintf("the revision has more than %d files, links and folders", most),
		"Give job definitions a repository of their own, or raise spec.limits.files.", nil)
}

func tooManyBytes(most int64) *schema.Problem {
	return problem(ruleBytes, "", fmt.Sprintf("the revision has more than %d MiB", most>>20),
		"Give job definitions a repository of their own, or raise spec.limits.totalBytes.", nil)
}

// recovered makes an error of what go-git's decoders panic at, which crafted
// answers have made them do more than once (CVE-2023-49568, CVE-2026-33762).
// The function that defers it must return nothing else with an error.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = garbage(fmt.Errorf("decoding failed: %v", v))
	}
}

// garbage says that a repository or a server answered what git does not. A
// problem that has a rule of its own passes unchanged.
func garbage(err error) error {
	var p *schema.Problem
	if errors.As(err, &p) {
		return p
	}
	return problem(ruleGarbage, "", "the answer is not what git sends: "+quiet(err.Error()),
		"Check that the url is that of a git repository and that no proxy answers in its place; if so, run git fsck on the server.", err)
}
