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
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// moduleLine is what the go.mod of rota's root module has, and those of the
// nested modules, which may require it, have not.
var moduleLine = regexp.MustCompile(`(?m)^module rota\.dev/rota$`)

// goFile is what the program's bytes depend on.
var goFile = regexp.MustCompile(`\.go$|^go\.(mod|sum)$`)

// build compiles cmd/localcluster of the checkout around the working directory
// into the user's cache and returns the program. Of several processes that ask
// at a time one builds and the others wait. The name has a hash of the sources,
// so that a build is used until they change.
func build(ctx context.Context, progress io.Writer) (string, error) {
	source, err := sourceDir()
	if err != nil {
		return "", err
	}
	sum, err := hashSources(source)
	if err != nil {
		return "", fmt.Errorf("reading the sources of the local cluster: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a place for the local cluster: %w", err)
	}
	cache = filepath.Join(cache, "rota")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making a place for the local cluster: %w", err)
	}
	binary := filepath.Join(cache, "localcluster-"+sum)
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	unlock, err := lock(ctx, binary+".lock", progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := compile(ctx, source, binary, progress); err != nil {
		return "", err
	}
	dropOld(cache, binary)
	return binary, nil
}

// dropOld deletes the builds of older sources, each of which takes more than
// 100 MB; one that runs goes on doing so.
func dropOld(cache, keep string) {
	old, err := filepath.Glob(filepath.Join(cache, "localcluster-*"))
	if err != nil {
		return
	}
	for _, path := range old {
		if info, err := os.Stat(path); err == nil && !strings.HasPrefix(path, keep) && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(path)
		}
	}
}

func compile(ctx context.Context, source, binary string, progress io.Writer) error {
	fmt.Fprintln(progress, "building the local cluster: about five minutes the first time, seconds afterwards")
	started := time.Now()
	done := make(chan struct{})
	go tick(done, started, progress)
	defer close(done)
	partial := binary + ".partial"
	cmd := exec.CommandContext(ctx, "go", "build", "-o", partial, ".")
	cmd.Dir = source
	// A go.work above, or flags for the root module, are not for this one.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the local cluster in %s: %w\n%s", source, err, out)
	}
	if err := os.Rename(partial, binary); err != nil {
		return fmt.Errorf("keeping the local cluster: %w", err)
	}
	fmt.Fprintf(progress, "built the local cluster in %s\n", time.Since(started).Round(time.Second))
	return nil
}

func tick(done <-chan struct{}, started time.Time, progress io.Writer) {
	ticker := time.NewTicker(15 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			fmt.Fprintf(progress, "still building the local cluster (%s)\n", time.Since(started).Round(time.Second))
		}
	}
}

// sourceDir returns cmd/localcluster of the checkout of rota that the working
// directory is in.
func sourceDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the sources of the local cluster: %w", err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && moduleLine.Match(mod) {
			return filepath.Join(dir, "cmd", "localcluster"), nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("finding the local cluster: it is not in $ROTA_LOCALCLUSTER, not beside this program, not in $PATH, and this is no checkout of rota to build it from; " +
				"in a checkout run `go build -o ../../localcluster .` in cmd/localcluster")
		}
		dir = up
	}
}

func hashSources(dir string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !goFile.MatchString(d.Name()) || strings.HasSuffix(d.Name(), "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n", rel, len(data))
		_, err = h.Write(data)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:16], err
}

// lock takes the lock of path, waiting for it until ctx ends.
func lock(ctx context.Context, path string, progress io.Writer) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the build of the local cluster: %w", err)
	}
	told := false
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = file.Close()
			return nil, fmt.Errorf("locking the build of the local cluster: %w", err)
		}
		if !told {
			fmt.Fprintln(progress, "waiting for another process that builds the local cluster")
			told = true
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("waiting for another build of the local cluster: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
