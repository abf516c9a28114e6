package source

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"rota.dev/rota/render"
)

// sample has links of every harmless kind.
func sample(t testing.TB, r *repository) {
	r.write("jobs/a.yaml", "a: 1\n")
	r.write("jobs/deep/b.yaml", "b: 1\n")
	r.write("base/kustomization.yaml", "resources: []\n")
	r.link("jobs/link.yaml", "deep/b.yaml")
	r.link("jobs/up.yaml", "../base/../jobs/./link.yaml")
	r.link("jobs/base", "../base")
	r.link("jobs/deep/circle", "..")
	r.commit("one")
}

func TestASnapshotIsAFileSystem(t *testing.T) {
	r := newRepository(t)
	sample(t, r)
	d, err := NewDirectory(DirectoryOptions{Path: r.dir, Sub: "jobs"})
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]interface{ fs.FS }{}
	g, err := newGit(t, GitOptions{URL: r.url(), AllowLocal: true}).Fetch(within10s(t), "")
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Fetch(within10s(t), "")
	if err != nil {
		t.Fatal(err)
	}
	of["git"], of["directory"] = g.FS, f.FS
	for name, fsys := range of {
		t.Run(name, func(t *testing.T) {
			if err := fstest.TestFS(fsys, "jobs/a.yaml", "jobs/deep/b.yaml", "jobs/link.yaml", "jobs/up.yaml", "jobs/base", "base/kustomization.yaml"); err != nil {
				t.Error(err)
			}
			want := map[string]string{
				"jobs/a.yaml": "a: 1\n", "jobs/deep/b.yaml": "b: 1\n", "jobs/link.yaml": "b: 1\n",
				"jobs/up.yaml": "b: 1\n", "base/kustomization.yaml": "resources: []\n",
			}
			if diff := cmp.Diff(want, contents(t, fsys)); diff != "" {
				t.Error(diff)
			}
			data, err := fs.ReadFile(fsys, "jobs/deep/circle/deep/circle/base/kustomization.yaml")
			if err != nil || string(data) != "resources: []\n" {
				t.Errorf("through links to folders: %q, %v", data, err)
			}
			data[0] = '!'
			if again, _ := fs.ReadFile(fsys, "base/kustomization.yaml"); again[0] == '!' {
				t.Error("a caller's change of what it read changes the snapshot")
			}
			for _, name := range []string{"gone", "jobs/gone", "jobs/a.yaml/x", "jobs/base/gone"} {
				if _, err := fs.Stat(fsys, name); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("Stat(%s): %v, want ErrNotExist", name, err)
				}
			}
			for _, name := range []string{"../x", "/jobs", "jobs/../jobs", ""} {
				if _, err := fsys.Open(name); !errors.Is(err, fs.ErrInvalid) {
					t.Errorf("Open(%q): %v, want ErrInvalid", name, err)
				}
			}
		})
	}
}

func TestFilesAreKnownByTheirContent(t *testing.T) {
	r := newRepository(t)
	sample(t, r)
	r.write("jobs/twin.yaml", "a: 1\n")
	r.commit("two")
	snapshots := func() map[string]fs.FS {
		t.Helper()
		g, err := newGit(t, GitOptions{URL: r.url(), AllowLocal: true}).Fetch(within10s(t), "")
		if err != nil {
			t.Fatal(err)
		}
		d, err := newDirectory(t, r.dir, "").Fetch(within10s(t), "")
		if err != nil {
			t.Fatal(err)
		}
		return map[string]fs.FS{"git": g.FS, "directory": d.FS}
	}
	before := snapshots()
	r.write("jobs/a.yaml", "a: 2\n")
	r.commit("three")
	for name, now := range snapshots() {
		old := before[name]
		id := func(fsys fs.FS, file string) string {
			t.Helper()
			info, err := fs.Stat(fsys, file)
			if err != nil {
				t.Fatal(err)
			}
			id := info.(render.ContentInfo).ContentID()
			if (id == "") != info.IsDir() {
				t.Errorf("%s: %s has the ID %q", name, file, id)
			}
			return id
		}
		if id(old, "jobs/a.yaml") != id(old, "jobs/twin.yaml") || id(old, "jobs/a.yaml") != id(now, "jobs/twin.yaml") {
			t.Errorf("%s: equal files have different IDs", name)
		}
		if id(old, "jobs/a.yaml") == id(now, "jobs/a.yaml") || id(now, "jobs/a.yaml") == id(now, "jobs/deep/b.yaml") {
			t.Errorf("%s: different files have one ID", name)
		}
		if id(now, "jobs/up.yaml") != id(now, "jobs/deep/b.yaml") || id(now, "jobs/deep/circle/deep/b.yaml") != id(old, "jobs/deep/b.yaml") {
			t.Errorf("%s: through a link a file has another ID", name)
		}
		id(now, "jobs")
		entries, err := fs.ReadDir(now, "jobs")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			about, err := entry.Info()
			if err != nil {
				t.Fatal(err)
			}
			if entry.Type() == 0 && about.(render.ContentInfo).ContentID() != id(now, "jobs/"+entry.Name()) {
				t.Errorf("%s: %s is listed with another ID", name, entry.Name())
			}
		}
	}
}

func TestALinkThatLeadsNowhereIsReported(t *testing.T) {
	for _, c := range []struct{ name, target, word string }{
		{"to an absolute path", "/etc/passwd", "leaves the root by /etc/passwd"},
		{"to the path of the folder itself", "", "leaves the root"},
		{"out of the root", "../../../etc/passwd", "leaves the root"},
		{"out of the root and back in", "../../x/../jobs/a.yaml", "leaves the root"},
		{"to what is not there", "gone.yaml", "jobs/gone.yaml, which is not there"},
		{"to itself", "bad.yaml", "circle"},
		{"in a circle of two", "other.yaml", "circle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRepository(t)
			if c.target == "" {
				c.target = r.dir + "/jobs/a.yaml"
			}
			r.write("jobs/a.yaml", "a: 1\n")
			r.link("jobs/bad.yaml", c.target)
			r.link("jobs/other.yaml", "bad.yaml")
			r.write("elsewhere/a.yaml", "a: 1\n")
			r.commit("one")
			_, err := newGit(t, GitOptions{URL: r.url(), AllowLocal: true, Path: "jobs"}).Fetch(within10s(t), "")
			refused(t, err, "R113", "jobs/bad.yaml: ", c.word)
			_, err = newDirectory(t, r.dir, "jobs").Fetch(within10s(t), "")
			refused(t, err, "R113", "jobs/bad.yaml: ", c.word)

			t.Log("beside the folder that is rendered it matters only to who opens it")
			tree, err := newGit(t, GitOptions{URL: r.url(), AllowLocal: true, Path: "elsewhere"}).Fetch(within10s(t), "")
			if err != nil {
				t.Fatal(err)
			}
			_, err = fs.ReadFile(tree.FS, "jobs/bad.yaml")
			refused(t, err, "R113", c.word)
			if errors.Is(err, fs.ErrNotExist) {
				t.Error("who looks whether the file is there would take the broken link for no file")
			}
		})
	}
}
