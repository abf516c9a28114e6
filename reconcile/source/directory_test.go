package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
)

func newDirectory(t testing.TB, path, sub string) *Directory {
	t.Helper()
	d, err := NewDirectory(DirectoryOptions{Path: path, Sub: sub})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestADirectoryHasTheRevisionOfItsContent(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		writeFile(t, filepath.Join(dir, "jobs/a.yaml"), "a: 1\n")
		writeFile(t, filepath.Join(dir, "b.yaml"), "b: 1\n")
	}
	writeFile(t, filepath.Join(two, ".git/HEAD"), "ref: x\n")
	revision, files := fetched(t, newDirectory(t, one, ""), "")
	if !strings.HasPrefix(revision, "sha256:") || len(revision) != len("sha256:")+64 {
		t.Errorf("revision %s", revision)
	}
	if diff := cmp.Diff(map[string]string{"jobs/a.yaml": "a: 1\n", "b.yaml": "b: 1\n"}, files); diff != "" {
		t.Error(diff)
	}
	if _, err := newDirectory(t, two, "").Fetch(within10s(t), revision); !errors.Is(err, ErrUnchanged) {
		t.Errorf("the same content elsewhere, beside a .git folder: %v, want ErrUnchanged", err)
	}
	seen := map[string]string{revision: "the start"}
	for _, change := range []struct {
		name string
		make func() error
	}{
		{"another content", func() error { return os.WriteFile(filepath.Join(one, "b.yaml"), []byte("b: 2\n"), 0o666) }},
		{"another name", func() error { return os.Rename(filepath.Join(one, "b.yaml"), filepath.Join(one, "c.yaml")) }},
		{"another folder", func() error { return os.Rename(filepath.Join(one, "jobs"), filepath.Join(one, "work")) }},
		{"content that moves from one file to the next", func() error {
			return errors.Join(os.WriteFile(filepath.Join(one, "c.yaml"), []byte("b: "), 0o666), os.WriteFile(filepath.Join(one, "d.yaml"), []byte("2\n"), 0o666))
		}},
		{"a file less", func() error { return os.Remove(filepath.Join(one, "d.yaml")) }},
	} {
		if err := change.make(); err != nil {
			t.Fatal(err)
		}
		revision, _ := fetched(t, newDirectory(t, one, ""), "")
		if before, ok := seen[revision]; ok {
			t.Errorf("%s has the revision of %s", change.name, before)
		}
		seen[revision] = change.name
	}
}

func TestADirectoryThatCannotBeReadSaysWhy(t *testing.T) {
	_, err := newDirectory(t, filepath.Join(t.TempDir(), "gone"), "").Fetch(within10s(t), "")
	refused(t, err, "R119", "gone")

	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "")
	_, err = newDirectory(t, file, "").Fetch(within10s(t), "")
	refused(t, err, "R119", "not a directory")

	_, err = newDirectory(t, t.TempDir(), "overlays/prod").Fetch(within10s(t), "")
	refused(t, err, "R108", "overlays/prod")

	for _, sub := range []string{"/etc", "..", "a/../../b", "a\x00b"} {
		_, err := NewDirectory(DirectoryOptions{Path: "x", Sub: sub})
		refused(t, err, "R108")
	}
	_, err = NewDirectory(DirectoryOptions{})
	refused(t, err, "R119")

	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = newDirectory(t, dir, "").Fetch(within10s(t), "")
	refused(t, err, "R118", "pipe.yaml", "named pipe")

	dir = t.TempDir()
	writeFile(t, filepath.Join(dir, "new\nline.yaml"), "a: 1\n")
	_, err = newDirectory(t, dir, "").Fetch(within10s(t), "")
	refused(t, err, "R115", `new\nline.yaml`, "control character")
}

func TestADirectoryObeysItsLimits(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), "a: 1\n")
	writeFile(t, filepath.Join(dir, "zeros"), strings.Repeat("0", 3<<20))
	fetch := func(l Limits) (fs.FS, error) {
		d, err := NewDirectory(DirectoryOptions{Path: dir, Limits: l})
		if err != nil {
			t.Fatal(err)
		}
		tree, err := d.Fetch(within10s(t), "")
		return tree.FS, err
	}
	_, err := fetch(Limits{Bytes: 2 << 20})
	refused(t, err, "R111", "2 MiB")
	_, err = fetch(Limits{Files: 1})
	refused(t, err, "R111", "1 files")
	fsys, err := fetch(Limits{FileBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	_, err = fs.ReadFile(fsys, "zeros")
	refused(t, err, "R112", "zeros")
	_, err = fetch(Limits{Time: time.Nanosecond})
	refused(t, err, "R110")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newDirectory(t, dir, "").Fetch(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// configMap publishes files as kubelet does it in a volume: in a folder of its
// own that the link ..data names, which is replaced in one step.
func configMap(t testing.TB, dir string, version int, files map[string]string) {
	t.Helper()
	folder := fmt.Sprintf("..2026_11_01_%d", version)
	for name, content := range files {
		writeFile(t, filepath.Join(dir, folder, name), content)
		top, _, _ := strings.Cut(name, "/")
		if err := os.Symlink("..data/"+top, filepath.Join(dir, top)); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	temporary := filepath.Join(dir, "..data_tmp")
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	if err := errors.Join(os.Symlink(folder, temporary), os.Rename(temporary, filepath.Join(dir, "..data"))); err != nil {
		t.Fatal(err)
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAConfigMapVolumeIsReadOnce(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	files := map[string]string{"a.yaml": "a: 1\n", "jobs/b.yaml": "b: 1\n"}
	configMap(t, one, 1, files)
	configMap(t, two, 2, files)
	revision, got := fetched(t, newDirectory(t, one, ""), "")
	if diff := cmp.Diff(files, got); diff != "" {
		t.Error(diff)
	}
	if _, err := newDirectory(t, two, "").Fetch(within10s(t), revision); !errors.Is(err, ErrUnchanged) {
		t.Errorf("the same files under another time: %v, want ErrUnchanged", err)
	}
}

func TestAFetchNeverMixesTwoStatesOfAConfigMap(t *testing.T) {
	dir := t.TempDir()
	publish := func(version int) {
		files := map[string]string{}
		for i := range 20 {
			files[fmt.Sprintf("%02d.yaml", i)] = fmt.Sprint(version)
		}
		configMap(t, dir, version, files)
	}
	publish(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for version := 1; ; version++ {
			select {
			case <-stop:
				return
			default:
				publish(version)
			}
		}
	}()
	d := newDirectory(t, dir, "")
	d.attempts = 1000
	seen := map[string]bool{}
	for len(seen) < 5 {
		_, files := fetched(t, d, "")
		version := files["00.yaml"]
		for name, content := range files {
			if content != version {
				t.Fatalf("%s is of state %s and 00.yaml of %s", name, content, version)
			}
		}
		seen[version] = true
	}
	close(stop)
	<-done
}

func TestAFolderThatNeverRestsIsReported(t *testing.T) {
	d := newDirectory(t, t.TempDir(), "")
	d.attempts = 0
	_, err := d.Fetch(within10s(t), "")
	refused(t, err, "R119", "changes faster")
}

func TestAWatchReportsEveryKindOfChange(t *testing.T) {
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		before func(dir string)
		change func(dir string)
	}{
		{"a new file", nil, func(dir string) { writeFile(t, filepath.Join(dir, "new.yaml"), "x") }},
		{"another content", nil, func(dir string) { writeFile(t, filepath.Join(dir, "a.yaml"), "x") }},
		{"an editor that writes beside and renames", nil, func(dir string) {
			writeFile(t, filepath.Join(dir, ".a.yaml.swp"), "x")
			must(os.Rename(filepath.Join(dir, ".a.yaml.swp"), filepath.Join(dir, "a.yaml")))
		}},
		{"an editor that moves the old file away first", nil, func(dir string) {
			must(os.Rename(filepath.Join(dir, "a.yaml"), filepath.Join(dir, "a.yaml~")))
			writeFile(t, filepath.Join(dir, "a.yaml"), "x")
		}},
		{"a file less", nil, func(dir string) { must(os.Remove(filepath.Join(dir, "a.yaml"))) }},
		{"a file in a folder deep down", nil, func(dir string) { writeFile(t, filepath.Join(dir, "jobs/deep/b.yaml"), "x") }},
		{"a folder with folders that is moved in", func(dir string) {
			writeFile(t, filepath.Join(filepath.Dir(dir), "outside/x/y/z.yaml"), "x")
		}, func(dir string) {
			must(os.Rename(filepath.Join(filepath.Dir(dir), "outside"), filepath.Join(dir, "inside")))
		}},
		{"the link of a ConfigMap volume", func(dir string) {
			configMap(t, dir, 1, map[string]string{"c.yaml": "x"})
		}, func(dir string) { configMap(t, dir, 2, map[string]string{"c.yaml": "y"}) }},
		{"the whole folder replaced", nil, func(dir string) {
			must(os.Rename(dir, dir+".old"))
			writeFile(t, filepath.Join(dir, "jobs/other.yaml"), "x")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "root")
			writeFile(t, filepath.Join(dir, "a.yaml"), "a: 1\n")
			writeFile(t, filepath.Join(dir, "jobs/deep/b.yaml"), "b: 1\n")
			if c.before != nil {
				c.before(dir)
			}
			d := newDirectory(t, dir, "")
			changed, err := d.Watch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			revision, _ := fetched(t, d, "")
			c.change(dir)
			revision = awaitNext(t, d, changed, revision)

			t.Log("and what comes after it, in what is new too")
			writeFile(t, filepath.Join(dir, "later/on/d.yaml"), "x")
			revision = awaitNext(t, d, changed, revision)
			writeFile(t, filepath.Join(dir, "later/on/d.yaml"), "y")
			revision = awaitNext(t, d, changed, revision)
			if c.name == "a folder with folders that is moved in" {
				writeFile(t, filepath.Join(dir, "inside/x/y/z.yaml"), "y")
				awaitNext(t, d, changed, revision)
			}
		})
	}
}

// awaitNext waits for reports until there is another revision than last.
func awaitNext(t *testing.T, d *Directory, changed <-chan struct{}, last string) string {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case <-changed:
		case <-deadline:
			t.Fatal("no report of the change")
		}
		tree, err := d.Fetch(within10s(t), last)
		if err == nil {
			return tree.Revision
		}
	}
}

func TestAWatchFollowsALinkThatIsTurned(t *testing.T) {
	base := t.TempDir()
	for _, v := range []string{"v1", "v2"} {
		writeFile(t, filepath.Join(base, "trees", v, "a.yaml"), v)
	}
	current := filepath.Join(base, "current")
	makeLink(t, current, "trees/v1")
	d := newDirectory(t, current, "")
	changed, err := d.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	revision, _ := fetched(t, d, "")
	makeLink(t, current+".new", "trees/v2")
	if err := os.Rename(current+".new", current); err != nil {
		t.Fatal(err)
	}
	revision = awaitNext(t, d, changed, revision)
	writeFile(t, filepath.Join(base, "trees/v2/a.yaml"), "v3")
	awaitNext(t, d, changed, revision)
}

func TestAWatchWaitsForAFolderToCome(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	d := newDirectory(t, dir, "")
	changed, err := d.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "a.yaml"), "x")
	revision := awaitNext(t, d, changed, "")
	writeFile(t, filepath.Join(dir, "a.yaml"), "y")
	awaitNext(t, d, changed, revision)

	_, err = newDirectory(t, filepath.Join(dir, "no", "where"), "").Watch(t.Context())
	refused(t, err, "R119", "cannot be watched")
}

func TestAWatchMakesOneReportOfManyChanges(t *testing.T) {
	dir := t.TempDir()
	d := newDirectory(t, dir, "")
	changed, err := d.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		writeFile(t, filepath.Join(dir, fmt.Sprintf("%03d.yaml", i)), "x")
	}
	reports := 0
	for complete := false; !complete; reports++ {
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatal("no report")
		}
		_, files := fetched(t, d, "")
		complete = len(files) == 200
	}
	if reports > 20 {
		t.Errorf("%d reports of 200 changes made at once", reports)
	}
}

func TestAWatchIgnoresItsNeighbours(t *testing.T) {
	w := &watch{directory: &Directory{path: "/data/root"}, root: "/data/root"}
	for _, c := range []struct {
		event fsnotify.Event
		want  bool
	}{
		{fsnotify.Event{Name: "/data/root", Op: fsnotify.Create}, true},
		{fsnotify.Event{Name: "/data/root/a.yaml", Op: fsnotify.Write}, true},
		{fsnotify.Event{Name: "/data/root/..data", Op: fsnotify.Create}, true},
		{fsnotify.Event{Name: "/data/root/a.yaml", Op: fsnotify.Chmod}, false},
		{fsnotify.Event{Name: "/data/rooted/a.yaml", Op: fsnotify.Write}, false},
		{fsnotify.Event{Name: "/data/other", Op: fsnotify.Create}, false},
		{fsnotify.Event{Name: "/data", Op: fsnotify.Write}, false},
	} {
		if got := w.concerns(c.event); got != c.want {
			t.Errorf("%v: %v, want %v", c.event, got, c.want)
		}
	}
}

func TestAWatchForgetsARootThatWasTurnedAway(t *testing.T) {
	base := t.TempDir()
	for i := range 4 {
		writeFile(t, filepath.Join(base, "trees", fmt.Sprint(i), "jobs/a.yaml"), "x")
	}
	current := filepath.Join(base, "current")
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	w := &watch{directory: newDirectory(t, current, ""), notify: notify}
	for i := range 4 {
		_ = os.Remove(current)
		makeLink(t, current, fmt.Sprintf("trees/%d", i))
		if err := w.begin(); err != nil {
			t.Fatal(err)
		}
	}
	// The root with its folder, and the two folders above it.
	if got := notify.WatchList(); len(got) != 4 {
		t.Errorf("watched: %v", got)
	}
}
