package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// demoRepository is a bare git repository that anybody can clone and push to,
// with a folder beside it that the demo commits from.
type demoRepository struct {
	bare, work string
	git        *git.Repository
}

// newDemoRepository makes the repository in dir and commits the folders of
// files to it.
func newDemoRepository(dir string, files fs.FS, folders ...string) (*demoRepository, error) {
	r := &demoRepository{bare: filepath.Join(dir, "repository.git"), work: filepath.Join(dir, "work")}
	storage := filesystem.NewStorage(osfs.New(r.bare), cache.NewObjectLRUDefault())
	var err error
	r.git, err = git.InitWithOptions(storage, osfs.New(r.work), git.InitOptions{DefaultBranch: plumbing.NewBranchReferenceName("main")})
	if err != nil {
		return nil, fmt.Errorf("making the demo's repository: %w", err)
	}
	// A repository with a work tree refuses a push to the branch in it.
	cfg, err := r.git.Config()
	if err != nil {
		return nil, err
	}
	cfg.Core.IsBare, cfg.Core.Worktree = true, ""
	if err := r.git.SetConfig(cfg); err != nil {
		return nil, err
	}
	for _, folder := range folders {
		part, err := fs.Sub(files, folder)
		if err != nil {
			return nil, err
		}
		if err := os.CopyFS(filepath.Join(r.work, folder), part); err != nil {
			return nil, fmt.Errorf("copying the example %s: %w", folder, err)
		}
	}
	_, err = r.commit("Start with the examples")
	return r, err
}

// edit replaces text in a file; that it is not there is an error.
func (r *demoRepository) edit(name, old, replacement string) error {
	path := filepath.Join(r.work, filepath.FromSlash(name))
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed := bytes.Replace(text, []byte(old), []byte(replacement), 1)
	if bytes.Equal(changed, text) {
		return fmt.Errorf("editing %s: %q is not in it", name, old)
	}
	return os.WriteFile(path, changed, 0o644)
}

// commit commits everything in the work tree and returns the hash.
func (r *demoRepository) commit(message string) (string, error) {
	tree, err := r.git.Worktree()
	if err != nil {
		return "", err
	}
	if err := tree.AddWithOptions(&git.AddOptions{All: true}); err != nil {
		return "", fmt.Errorf("adding to the demo's repository: %w", err)
	}
	hash, err := tree.Commit(message, &git.CommitOptions{Author: &object.Signature{Name: "rota demo", Email: "demo@localhost", When: time.Now()}})
	if err != nil {
		return "", fmt.Errorf("committing to the demo's repository: %w", err)
	}
	return hash.String(), nil
}
