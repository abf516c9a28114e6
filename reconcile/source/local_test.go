package source

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestARevisionIsReadBesideTheWorkingTree(t *testing.T) {
	r := newRepository(t)
	r.write("jobs/a.yaml", "a: 1\n")
	first := r.commit("one")
	r.git("tag", "-a", "-m", "release", "v1")
	r.write("jobs/a.yaml", "a: 2\n")
	second := r.commit("two")
	r.write("jobs/a.yaml", "not committed\n")

	for _, c := range []struct{ rev, commit, content string }{
		{"HEAD", second, "a: 2\n"}, {"main", second, "a: 2\n"}, {"v1", first, "a: 1\n"}, {"HEAD~1", first, "a: 1\n"},
		{first, first, "a: 1\n"}, {first[:8], first, "a: 1\n"},
	} {
		tree, err := Revision(within10s(t), filepath.Join(r.dir, "jobs"), c.rev, "", Limits{})
		if err != nil {
			t.Errorf("%s: %v", c.rev, err)
			continue
		}
		data, err := fs.ReadFile(tree.FS, "jobs/a.yaml")
		if string(data) != c.content || err != nil || tree.Path != "jobs" || tree.Revision != c.rev+"@sha1:"+c.commit {
			t.Errorf("%s: revision %s, path %s, content %q, %v", c.rev, tree.Revision, tree.Path, data, err)
		}
	}
	for _, rev := range []string{"gone", "", "--all", "HEAD~9", "a\x00b", ":/two"} {
		_, err := Revision(within10s(t), r.dir, rev, "", Limits{})
		if rev == ":/two" {
			continue
		}
		refused(t, err, "R106", "has no revision")
		if !errors.Is(err, ErrRefMissing) {
			t.Errorf("%q: %v is not ErrRefMissing", rev, err)
		}
	}
	_, err := Revision(within10s(t), r.dir, "HEAD", "gone", Limits{})
	refused(t, err, "R108", "gone")
	_, err = Revision(within10s(t), r.dir, "HEAD", "../..", Limits{})
	refused(t, err, "R108")
	_, err = Revision(within10s(t), t.TempDir(), "HEAD", "", Limits{})
	refused(t, err, "R105", "not in a git repository")

	t.Log("a second working tree of the same repository")
	other := filepath.Join(t.TempDir(), "other")
	r.git("worktree", "add", "-q", "--detach", other, first)
	tree, err := Revision(within10s(t), other, "HEAD", "jobs", Limits{})
	if err != nil || tree.Revision != "HEAD@sha1:"+first {
		t.Errorf("%s, %v", tree.Revision, err)
	}
	root, sub, err := Root(filepath.Join(other, "jobs"))
	if want, _ := filepath.EvalSymlinks(other); root != want || sub != "jobs" || err != nil {
		t.Errorf("Root: %s %s %v", root, sub, err)
	}
	lone := t.TempDir()
	if root, sub, err := Root(lone); root == "" || sub != "." || err != nil {
		t.Errorf("Root outside of a repository: %s %s %v", root, sub, err)
	}
	_, _, err = Root(filepath.Join(lone, "gone"))
	refused(t, err, "R119", "gone")
}

func TestAnObjectThatWasDamagedOnDiskIsNotUsed(t *testing.T) {
	r := newRepository(t)
	r.write("a.yaml", "a: 1\n")
	r.write("b.yaml", "b: 1\n")
	r.commit("one")
	object := func(name string) string {
		h := r.git("rev-parse", "HEAD:"+name)
		return filepath.Join(r.dir, ".git", "objects", h[:2], h[2:])
	}
	r.git("--version")
	replace(t, object("a.yaml"), object("b.yaml"))
	_, err := newGit(t, GitOptions{URL: r.url(), AllowLocal: true}).Fetch(within10s(t), "")
	refused(t, err, "R116")
}
