package source

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rota.dev/rota/render"
	"rota.dev/rota/schema"
)

// repository is a real git repository, made and changed by the git binary.
type repository struct {
	t   testing.TB
	dir string
}

func newRepository(t testing.TB) *repository {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("the git binary, which makes this test's repository and serves it, is not installed: ", err)
	}
	r := &repository{t: t, dir: t.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

// git runs the git binary without anything of this machine's configuration.
func (r *repository) git(args ...string) string {
	r.t.Helper()
	c := exec.Command("git", args...)
	c.Dir = r.dir
	c.Env = gitEnvironment(r.dir)
	var out, trouble bytes.Buffer
	c.Stdout, c.Stderr = &out, &trouble
	if err := c.Run(); err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, trouble.String())
	}
	return strings.TrimSpace(out.String())
}

func gitEnvironment(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_AUTHOR_NAME=ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=ann", "GIT_COMMITTER_EMAIL=ann@example.com",
	}
}

func (r *repository) write(name, content string) {
	r.t.Helper()
	writeFile(r.t, filepath.Join(r.dir, name), content)
}

func (r *repository) link(name, target string) {
	r.t.Helper()
	makeLink(r.t, filepath.Join(r.dir, name), target)
}

// commit commits everything and returns the commit's name.
func (r *repository) commit(message string) string {
	r.t.Helper()
	r.git("add", "--all")
	r.git("commit", "--quiet", "--allow-empty", "-m", message)
	return r.git("rev-parse", "HEAD")
}

func (r *repository) url() string { return "file://" + filepath.ToSlash(r.dir) }

func writeFile(t testing.TB, name, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(content), 0o666)); err != nil {
		t.Fatal(err)
	}
}

func makeLink(t testing.TB, name, target string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.Symlink(target, name)); err != nil {
		t.Fatal(err)
	}
}

func newGit(t testing.TB, o GitOptions) *Git {
	t.Helper()
	g, err := NewGit(o)
	if err != nil {
		t.Fatalf("NewGit: %v", err)
	}
	return g
}

func within10s(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// fetched fetches and returns the revision and the content of every file.
func fetched(t testing.TB, s interface {
	Fetch(context.Context, string) (render.Tree, error)
}, last string) (string, map[string]string) {
	t.Helper()
	tree, err := s.Fetch(within10s(t), last)
	if err != nil {
		t.Fatalf("Fetch: %v", err)
	}
	return tree.Revision, contents(t, tree.FS)
}

func contents(t testing.TB, fsys fs.FS) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatalf("walking: %v", err)
	}
	return files
}

// refused checks that err is one or more problems and the first has the rule
// and, in its text, all the words.
func refused(t testing.TB, err error, rule string, words ...string) {
	t.Helper()
	var p *schema.Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a problem %s", err, rule)
	}
	if p.Rule != rule {
		t.Fatalf("got rule %s, want %s: %v", p.Rule, rule, err)
	}
	if p.Mend == "" || p.Message == "" {
		t.Errorf("the problem does not say what is wrong and how to mend it: %v", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not mention %q:\n%v", w, err)
		}
	}
}

// refusedAny checks that err is a problem of any kind.
func refusedAny(t testing.TB, err error) {
	t.Helper()
	var p *schema.Problem
	if !errors.As(err, &p) || p.Rule == "" || p.Mend == "" {
		t.Errorf("got %v, want a problem", err)
	}
}

// replace puts the content of the file from in the place of the file to.
func replace(t testing.TB, to, from string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err := errors.Join(err, os.Remove(to), os.WriteFile(to, data, 0o444)); err != nil {
		t.Fatal(err)
	}
}

func pemOf(b *pem.Block) []byte { return pem.EncodeToMemory(b) }
