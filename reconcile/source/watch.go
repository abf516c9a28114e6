package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quietTime is how long a folder must be left alone before a change is
	// reported: editors and kubelet make several changes for one.
	quietTime = 50 * time.Millisecond
	// longestWait bounds the waiting where something writes all the time.
	longestWait = time.Second
)

// Watch reports changes in the folder and everything below it until ctx ends.
// The channel holds one report: changes that come before it is received are
// one with it, and it is never closed. A report says that a Fetch is worth
// while, not that its result differs. What cannot be watched, because it is
// missing or the system's watches are used up, is left to the interval of the
// caller; only a folder that cannot be watched at all is an error.
func (d *Directory) Watch(ctx context.Context) (<-chan struct{}, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, unwatchable(d.path, err)
	}
	w := &watch{directory: d, notify: notify, changed: make(chan struct{}, 1)}
	if err := w.begin(); err != nil {
		return nil, errors.Join(err, notify.Close())
	}
	go w.run(ctx)
	return w.changed, nil
}

type watch struct {
	directory *Directory
	notify    *fsnotify.Watcher
	changed   chan struct{}
	root      string // what path leads to
	folders   int    // that are watched, at least
}

// begin watches the tree, and the folders that path and its links are in, so
// that a root that is replaced or turned is seen too.
func (w *watch) begin() error {
	path, err := filepath.Abs(w.directory.path)
	if err != nil {
		return unwatchable(w.directory.path, err)
	}
	w.forget()
	above := w.notify.Add(filepath.Dir(path))
	w.root, err = filepath.EvalSymlinks(path)
	if err != nil {
		if above != nil {
			return unwatchable(w.directory.path, err)
		}
		// It is expected to come into the folder that is watched.
		w.root = path
		return nil
	}
	if w.root != path {
		// Where it cannot be watched, a change of it waits for the interval.
		_ = w.notify.Add(filepath.Dir(w.root))
	}
	return w.tree(w.root)
}

// forget ends all watches. Those of a root that was turned away from would
// otherwise gather.
func (w *watch) forget() {
	w.folders = 0
	for _, name := range w.notify.WatchList() {
		// One that is gone by itself is no loss.
		_ = w.notify.Remove(name)
	}
}

// tree watches dir and all folders below. The watch comes before the listing,
// so a folder that is made meanwhile is either listed or reported.
func (w *watch) tree(dir string) error {
	if w.folders++; w.folders > w.directory.limits.Files {
		return nil
	}
	if err := w.notify.Add(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return unwatchable(dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		// Fetch says so with more to go by.
		return nil
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name() == ".git" {
			continue
		}
		if err := w.tree(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func unwatchable(dir string, err error) error {
	mend := "Correct the path, or the permissions of the folder."
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		mend = "Raise the system's limits fs.inotify.max_user_watches and fs.inotify.max_user_instances, or watch a smaller folder."
	}
	return problem(ruleDirectory, "", fmt.Sprintf("the folder %s cannot be watched: %s", dir, reason(err)), mend, err)
}

func (w *watch) run(ctx context.Context) {
	defer w.notify.Close()
	var settled, overdue <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case event, ok := <-w.notify.Events:
			if !ok {
				return
			}
			if !w.concerns(event) {
				continue
			}
			w.follow(event)
		case _, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			// Events were lost, so anything may have changed.
			_ = w.begin()
		case <-settled:
			w.report()
			settled, overdue = nil, nil
			continue
		case <-overdue:
			w.report()
			settled, overdue = nil, nil
			continue
		}
		settled = time.After(quietTime)
		if overdue == nil {
			overdue = time.After(longestWait)
		}
	}
}

func (w *watch) report() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// concerns reports whether an event can change what Fetch returns. The folders
// above the root have neighbours that do not matter.
func (w *watch) concerns(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	return w.isRoot(e.Name) || within(w.root, e.Name)
}

func (w *watch) isRoot(name string) bool {
	path, err := filepath.Abs(w.directory.path)
	return name == w.root || err == nil && name == path
}

func within(root, name string) bool {
	rel, err := filepath.Rel(root, name)
	return err == nil && filepath.IsLocal(rel)
}

// follow begins to watch what an event brought. Trouble with that is for Fetch
// to report, or for the interval to make good.
func (w *watch) follow(e fsnotify.Event) {
	switch {
	case w.isRoot(e.Name):
		_ = w.begin()
	case e.Has(fsnotify.Create) && filepath.Base(e.Name) != ".git":
		if about, err := os.Lstat(e.Name); err == nil && about.IsDir() {
			_ = w.tree(e.Name)
		}
	}
}
