package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const name = "localcluster"

// find returns the executable: the one that is named, the one beside ours, the
// one on the PATH, or else one that is built from source.
func find(ctx context.Context, o Options) (string, error) {
	if o.Binary != "" {
		return o.Binary, nil
	}
	if binary := os.Getenv(EnvBinary); binary != "" {
		return binary, nil
	}
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	if binary, err := exec.LookPath(name); err == nil {
		return binary, nil
	}
	source, err := sourceDir()
	if err != nil {
		return "", fmt.Errorf("finding %s: it is neither named (--localcluster, $%s), nor beside rota, nor on the PATH, and %w\n"+
			"  mend: run this from a checkout of rota, or build it there with `cd cmd/localcluster && go build`", name, EnvBinary, err)
	}
	return build(ctx, source, o.Progress)
}

// sourceDir returns cmd/localcluster of the checkout that the working folder
// is in.
func sourceDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module rota.dev/rota\n") {
			return filepath.Join(dir, "cmd", name), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errNoSource
		}
		dir = parent
	}
}

// build returns the executable of just this source, which is built once and
// kept in the user's cache folder.
func build(ctx context.Context, source string, progress io.Writer) (string, error) {
	digest, err := digestOf(source)
	if err != nil {
		return "", fmt.Errorf("reading the source of %s: %w", name, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "rota")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	binary := filepath.Join(cache, name+"-"+digest)
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	// Several test packages start at the same time; one builds for all.
	unlock, err := lock(filepath.Join(cache, name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := goBuild(ctx, source, binary, progress); err != nil {
		return "", err
	}
	dropOthers(cache, binary)
	return binary, nil
}

func goBuild(ctx context.Context, source, binary string, progress io.Writer) error {
	started := time.Now()
	fmt.Fprintf(progress, "  building %s from source: about five minutes the first time on two cores, seconds later\n", name)
	ticking, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		for {
			select {
			case <-ticking.Done():
				return
			case <-time.After(15 * time.Second):
				fmt.Fprintf(progress, "  still building, %s so far\n", time.Since(started).Round(time.Second))
			}
		}
	}()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary+".new", ".")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	fmt.Fprintf(progress, "  built in %s\n", time.Since(started).Round(time.Second))
	return os.Rename(binary+".new", binary)
}

// digestOf names the source: its files, the Go version and the platform.
func digestOf(source string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	err := filepath.WalkDir(source, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		base := e.Name()
		if filepath.Ext(base) != ".go" && base != "go.mod" && base != "go.sum" || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(source, path)
		fmt.Fprintln(sum, relative, len(text))
		sum.Write(text)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", errNoSource
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], err
}

func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}

// dropOthers deletes executables of older sources: each is 100 MB or more.
// One that runs goes on doing so.
func dropOthers(cache, keep string) {
	old, err := filepath.Glob(filepath.Join(cache, name+"-*"))
	if err != nil {
		return
	}
	for _, path := range old {
		info, err := os.Stat(path)
		if err == nil && path != keep && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(path)
		}
	}
}
