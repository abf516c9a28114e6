package source

import (
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// Names returns the branches, tags and remote branches of the repository that
// the folder dir is in, each as Revision takes it, in order. The error is a
// problem.
func Names(dir string) ([]string, error) {
	repo, err := openLocal(dir, false)
	if err != nil {
		return nil, err
	}
	refs, err := repo.References()
	if err != nil {
		return nil, garbage(err)
	}
	defer refs.Close()
	var names []string
	err = refs.ForEach(func(ref *plumbing.Reference) error {
		// A name that points to another, as origin/HEAD does, is no revision of
		// its own; other programs keep their own kinds of names here.
		name := ref.Name()
		if ref.Type() == plumbing.HashReference && (name.IsBranch() || name.IsTag() || name.IsRemote()) && badName(name.Short()) == "" {
			names = append(names, name.Short())
		}
		return nil
	})
	if err != nil {
		return nil, garbage(err)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
