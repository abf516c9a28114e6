package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"rota.dev/rota/render"
)

// stored reads from a repository on this machine's disk.
type stored struct {
	storer.EncodedObjectStorer
	ctx context.Context
}

func (s stored) read(h plumbing.Hash, t plumbing.ObjectType, most int64) ([]byte, int64, error) {
	// Reading a disk cannot be cancelled, so the deadline is looked at in
	// between.
	if s.ctx.Err() != nil {
		return nil, 0, context.Cause(s.ctx)
	}
	size, err := s.EncodedObjectSize(h)
	if err != nil {
		return nil, 0, garbage(fmt.Errorf("reading object %s: %w", h, err))
	}
	if size > most {
		return nil, size, nil
	}
	o, err := s.EncodedObject(t, h)
	if err != nil {
		return nil, 0, garbage(fmt.Errorf("reading object %s: %w", h, err))
	}
	r, err := o.Reader()
	if err != nil {
		return nil, 0, garbage(fmt.Errorf("reading object %s: %w", h, err))
	}
	defer r.Close()
	content := make([]byte, size)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, 0, garbage(fmt.Errorf("reading object %s: %w", h, err))
	}
	if plumbing.ComputeHash(t, content) != h {
		return nil, 0, garbage(fmt.Errorf("object %s has other content than its name says", h))
	}
	return content, size, nil
}

// openLocal opens the repository that dir is in, or with exact set, is.
func openLocal(dir string, exact bool) (*git.Repository, error) {
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: !exact, EnableDotGitCommonDir: true})
	switch {
	case errors.Is(err, git.ErrRepositoryNotExists):
		return nil, problem(ruleNotFound, "", fmt.Sprintf("%s is not in a git repository", dir), "Correct the path, or run git init.", nil)
	case err != nil:
		return nil, problem(ruleNotFound, "", fmt.Sprintf("the git repository %s cannot be opened: %s", dir, quiet(err.Error())),
			"Check the repository with git status; SHA-256 repositories and reftables are not supported.", err)
	}
	return repo, nil
}

func (g *Git) fetchLocal(ctx context.Context, last string) (render.Tree, error) {
	repo, err := openLocal(filepath.FromSlash(g.at.path), true)
	if err != nil {
		return render.Tree{}, err
	}
	t, err := g.want.findLocal(repo, g.at.url)
	if err != nil {
		return render.Tree{}, err
	}
	return deliver(ctx, repo, t, last, g.path, g.limits)
}

// deliver reads the commit that t stands for.
func deliver(ctx context.Context, repo *git.Repository, t tip, last, sub string, limits Limits) (render.Tree, error) {
	from := stored{repo.Storer, ctx}
	o, err := repo.Storer.EncodedObject(plumbing.AnyObject, t.object)
	if err != nil {
		return render.Tree{}, problem(ruleRefMissing, "", fmt.Sprintf("the repository has no commit %s", t.object),
			"Fetch the commit, or name another one.", ErrRefMissing)
	}
	if t.commit, err = peel(from, t.object, o.Type() == plumbing.TagObject); err != nil {
		return render.Tree{}, err
	}
	if t.revision() == last {
		return render.Tree{}, ErrUnchanged
	}
	m, err := grow(from, t.commit, limits)
	if err != nil {
		return render.Tree{}, err
	}
	return plant(t.revision(), m, sub)
}

func (w wanted) findLocal(repo *git.Repository, place string) (tip, error) {
	if w.commit != "" {
		return tip{object: plumbing.NewHash(w.commit)}, nil
	}
	name := plumbing.HEAD
	if w.branch+w.tag != "" {
		name = w.ref()
	}
	ref, err := repo.Reference(name, true)
	switch {
	case errors.Is(err, plumbing.ErrReferenceNotFound) && isEmpty(repo):
		return tip{}, problem(ruleEmpty, "", fmt.Sprintf("the repository %s has no commit yet", place), "Make a first commit.", ErrEmpty)
	case err != nil && name == plumbing.HEAD:
		return tip{}, problem(ruleRefMissing, "", "the repository's HEAD names a branch that does not exist", "Name a branch in the source.", ErrRefMissing)
	case err != nil:
		return tip{}, w.missing("")
	}
	return tip{name: name.Short(), object: ref.Hash()}, nil
}

func isEmpty(repo *git.Repository) bool {
	refs, err := repo.Storer.IterReferences()
	if err != nil {
		return false
	}
	defer refs.Close()
	for {
		ref, err := refs.Next()
		if err != nil {
			return true
		}
		if ref.Type() == plumbing.HashReference {
			return false
		}
	}
}

// Revision reads one revision of the repository that the folder dir is in,
// without touching its working tree. rev is anything that git rev-parse takes
// for a commit, as far as go-git knows it: a branch, a tag, a commit in full
// or shortened, HEAD~2. The Tree has the repository's root as its root, and
// its Path is the folder sub of dir. Errors are problems; a rev that is not
// there is ErrRefMissing.
func Revision(ctx context.Context, dir, rev, sub string, limits Limits) (render.Tree, error) {
	limits = limits.orDefault()
	ctx, cancel := limits.within(ctx)
	defer cancel()
	repo, err := openLocal(dir, false)
	if err != nil {
		return render.Tree{}, err
	}
	root, below, err := Root(dir)
	if err != nil {
		return render.Tree{}, err
	}
	if sub, err = folder(path.Join(below, sub)); err != nil {
		return render.Tree{}, err
	}
	var hash *plumbing.Hash
	if rev != "" && !strings.HasPrefix(rev, "-") && badName(rev) == "" {
		hash, err = repo.ResolveRevision(plumbing.Revision(rev))
	}
	if err != nil || hash == nil {
		return render.Tree{}, problem(ruleRefMissing, "", fmt.Sprintf("the repository %s has no revision %q", root, quiet(rev)),
			"Name a branch, a tag or a commit, as git log prints them; fetch it first if it is on a server.", ErrRefMissing)
	}
	return deliver(ctx, repo, tip{name: rev, object: *hash}, "", sub, limits)
}

// Root returns the root of the git repository that the folder dir is in, and
// the slash-separated path of dir from there; for a folder in no repository,
// dir itself and ".". It looks only for .git and reads nothing of it.
func Root(dir string) (root, sub string, err error) {
	// A folder is in the repository that it really is in, so links go first.
	start, err := filepath.EvalSymlinks(dir)
	if err == nil {
		start, err = filepath.Abs(start)
	}
	if err != nil {
		return "", "", problem(ruleDirectory, dir, "the folder cannot be read: "+reason(err), "Correct the path.", err)
	}
	for at := start; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, git.GitDirName)); err == nil {
			below, err := filepath.Rel(at, start)
			if err != nil {
				return "", "", problem(ruleDirectory, dir, "the folder cannot be read: "+reason(err), "Correct the path.", err)
			}
			return at, filepath.ToSlash(below), nil
		}
		if at == filepath.Dir(at) {
			return start, ".", nil
		}
	}
}
