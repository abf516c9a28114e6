package source

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNamesAreThoseThatRevisionTakes(t *testing.T) {
	r := newRepository(t)
	r.write("jobs/a.yaml", "a: 1\n")
	commit := r.commit("one")
	r.git("tag", "-a", "-m", "release", "v1")
	r.git("branch", "feature/next")
	r.git("update-ref", "refs/remotes/origin/main", commit)
	r.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
	r.git("update-ref", "refs/notes/commits", commit)
	r.git("pack-refs", "--all")
	r.git("tag", "later")

	names, err := Names(filepath.Join(r.dir, "jobs"))
	if diff := cmp.Diff([]string{"feature/next", "later", "main", "origin/main", "v1"}, names); diff != "" || err != nil {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	for _, name := range names {
		if _, err := Revision(within10s(t), r.dir, name, "", Limits{}); err != nil {
			t.Errorf("%s is offered and refused: %v", name, err)
		}
	}
	_, err = Names(t.TempDir())
	refused(t, err, "R105", "not in a git repository")
}
