// Package render turns one revision of a repository into Kubernetes objects:
// plain manifests, Expansions and kustomizations. It is pure: everything that
// it reads comes from Tree, everything that it finds goes into Result.
package render

import (
	"errors"
	"io/fs"
)

// ErrUnchanged is what a source answers when the revision is the one that the
// caller has already.
var ErrUnchanged = errors.New("revision unchanged")

// Tree is one revision of a repository.
type Tree struct {
	// Revision names it: `main@sha1:<40 hex>` for git, `sha256:<64 hex>` for a
	// directory. Equal revisions have equal content.
	Revision string
	// FS is rooted at the repository's root. It is read-only and safe for
	// concurrent use; symbolic links that leave the root are errors there.
	FS fs.FS
	// Path is the folder to render, slash-separated from the root; "." for all.
	Path string
}

// ContentInfo is an [fs.FileInfo] that knows the content of its file. A Tree
// whose FS gives them, by Stat and in listings, spares a [Cache] from reading
// what has not changed.
type ContentInfo interface {
	fs.FileInfo
	// ContentID returns a name for the content of a regular file, such as its
	// hash: files of one ID have the same bytes, in whatever tree. It is empty
	// if that is not known.
	ContentID() string
}
