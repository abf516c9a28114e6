package source

import (
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var discardLog = log.New(io.Discard, "", 0)

// each runs a test over every transport that serves the same repository.
func each(t *testing.T, test func(t *testing.T, r *repository, o GitOptions)) {
	t.Run("over http", func(t *testing.T) {
		r := newRepository(t)
		test(t, r, GitOptions{URL: serve(t, r, nil).url(), AllowLocal: true})
	})
	t.Run("over https with a token", func(t *testing.T) {
		r := newRepository(t)
		s := start(t, r, basic("git", "s3cret"), (*httptest.Server).StartTLS)
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
		test(t, r, GitOptions{URL: s.url(), CABundle: ca, Auth: Auth{Token: NewSecret("s3cret")}})
	})
	t.Run("over ssh", func(t *testing.T) {
		r := newRepository(t)
		login, private := newKey(t)
		host, _ := newKey(t)
		s := serveSSH(t, r, login.PublicKey(), host)
		test(t, r, GitOptions{URL: s.url(r), KnownHosts: s.line(host.PublicKey()), Auth: Auth{PrivateKey: private}})
	})
	t.Run("from the disk", func(t *testing.T) {
		r := newRepository(t)
		test(t, r, GitOptions{URL: r.url(), AllowLocal: true})
	})
}

func TestGitFollowsABranch(t *testing.T) {
	each(t, func(t *testing.T, r *repository, o GitOptions) {
		r.write("jobs/hello.yaml", "kind: Job\n")
		r.write("README.md", "read me")
		first := r.commit("one")
		o.Branch, o.Path = "main", "jobs"
		g := newGit(t, o)

		revision, files := fetched(t, g, "")
		if want := "main@sha1:" + first; revision != want {
			t.Errorf("revision %s, want %s", revision, want)
		}
		if diff := cmp.Diff(map[string]string{"jobs/hello.yaml": "kind: Job\n", "README.md": "read me"}, files); diff != "" {
			t.Error(diff)
		}
		if _, err := g.Fetch(within10s(t), revision); !errors.Is(err, ErrUnchanged) {
			t.Errorf("second fetch: %v, want ErrUnchanged", err)
		}
		r.write("jobs/hello.yaml", "kind: CronJob\n")
		r.git("rm", "-q", "README.md")
		second := r.commit("two")
		revision, files = fetched(t, g, revision)
		if want := "main@sha1:" + second; revision != want {
			t.Errorf("revision %s, want %s", revision, want)
		}
		if diff := cmp.Diff(map[string]string{"jobs/hello.yaml": "kind: CronJob\n"}, files); diff != "" {
			t.Error(diff)
		}

		t.Log("force-push to the older commit")
		r.git("reset", "-q", "--hard", first)
		if revision, files = fetched(t, g, revision); revision != "main@sha1:"+first || files["README.md"] == "" {
			t.Errorf("after the force-push: %s %v", revision, files)
		}
		t.Log("force-push to a commit without common history")
		r.git("checkout", "-q", "--orphan", "other")
		r.write("jobs/other.yaml", "x: 1\n")
		other := r.commit("other")
		r.git("branch", "-f", "main", other)
		if revision, _ = fetched(t, g, revision); revision != "main@sha1:"+other {
			t.Errorf("after the second force-push: %s", revision)
		}
		t.Log("deletion of the branch")
		r.git("branch", "-q", "-D", "main")
		_, err := g.Fetch(within10s(t), revision)
		if !errors.Is(err, ErrRefMissing) {
			t.Errorf("after the deletion: %v, want ErrRefMissing", err)
		}
		refused(t, err, "R106", "no branch main")
	})
}

func TestGitFollowsHEADWhenNothingIsNamed(t *testing.T) {
	each(t, func(t *testing.T, r *repository, o GitOptions) {
		r.write("a.yaml", "a: 1\n")
		commit := r.commit("one")
		if revision, _ := fetched(t, newGit(t, o), ""); revision != "HEAD@sha1:"+commit && revision != "main@sha1:"+commit {
			t.Errorf("revision %s", revision)
		}
		r.git("symbolic-ref", "HEAD", "refs/heads/gone")
		_, err := newGit(t, o).Fetch(within10s(t), "")
		refused(t, err, "R106", "HEAD")
	})
}

func TestGitFollowsATag(t *testing.T) {
	for _, kind := range []string{"lightweight", "annotated"} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, r *repository, o GitOptions) {
				tag := func() {
					if kind == "annotated" {
						r.git("tag", "-f", "-a", "-m", "release", "v1")
					} else {
						r.git("tag", "-f", "v1")
					}
				}
				r.write("a.yaml", "a: 1\n")
				first := r.commit("one")
				tag()
				o.Tag = "v1"
				g := newGit(t, o)
				revision, _ := fetched(t, g, "")
				if want := "v1@sha1:" + first; revision != want {
					t.Errorf("revision %s, want %s", revision, want)
				}
				if _, err := g.Fetch(within10s(t), revision); !errors.Is(err, ErrUnchanged) {
					t.Errorf("unmoved: %v, want ErrUnchanged", err)
				}
				r.write("a.yaml", "a: 2\n")
				second := r.commit("two")
				if _, err := g.Fetch(within10s(t), revision); !errors.Is(err, ErrUnchanged) {
					t.Errorf("a commit that the tag does not name: %v, want ErrUnchanged", err)
				}
				tag()
				revision, files := fetched(t, g, revision)
				if revision != "v1@sha1:"+second || files["a.yaml"] != "a: 2\n" {
					t.Errorf("moved: %s %v", revision, files)
				}
				r.git("tag", "-d", "v1")
				_, err := g.Fetch(within10s(t), revision)
				refused(t, err, "R106", "no tag v1")
			})
		})
	}
}

func TestGitFollowsACommitThatIsNoTip(t *testing.T) {
	for _, allowed := range []string{"true", "false"} {
		t.Run("allowReachableSHA1InWant="+allowed, func(t *testing.T) {
			each(t, func(t *testing.T, r *repository, o GitOptions) {
				r.git("config", "uploadpack.allowReachableSHA1InWant", allowed)
				r.write("a.yaml", "a: 1\n")
				first := r.commit("one")
				r.write("a.yaml", "a: 2\n")
				r.commit("two")
				o.Commit = first
				g := newGit(t, o)
				revision, files := fetched(t, g, "")
				if revision != "sha1:"+first || files["a.yaml"] != "a: 1\n" {
					t.Errorf("got %s %v", revision, files)
				}
				if _, err := g.Fetch(within10s(t), revision); !errors.Is(err, ErrUnchanged) {
					t.Errorf("%v, want ErrUnchanged", err)
				}
				o.Commit = strings.Repeat("12", 20)
				if _, err := newGit(t, o).Fetch(within10s(t), ""); err == nil {
					t.Error("a commit that is not there was fetched")
				} else if allowed == "false" && !errors.Is(err, ErrRefMissing) {
					t.Errorf("got %v, want ErrRefMissing", err)
				}
			})
		})
	}
}

func TestGitAsksOnlyForTheTipWhenNothingChanged(t *testing.T) {
	r := newRepository(t)
	r.write("a.yaml", "a: 1\n")
	r.commit("one")
	s := serve(t, r, nil)
	g := newGit(t, GitOptions{URL: s.url(), AllowLocal: true, Branch: "main"})
	revision, _ := fetched(t, g, "")
	s.asked.Store(0)
	s.packs.Store(0)
	if _, err := g.Fetch(within10s(t), revision); !errors.Is(err, ErrUnchanged) {
		t.Fatalf("got %v", err)
	}
	if asked, packs := s.asked.Load(), s.packs.Load(); asked != 1 || packs != 0 {
		t.Errorf("%d requests of which %d for a pack, want 1 and 0", asked, packs)
	}
}

func TestGitSaysWhatIsWrongWithARepository(t *testing.T) {
	t.Run("one without a commit", func(t *testing.T) {
		each(t, func(t *testing.T, r *repository, o GitOptions) {
			_, err := newGit(t, o).Fetch(within10s(t), "")
			refused(t, err, "R107", "no commit yet")
			if !errors.Is(err, ErrEmpty) {
				t.Errorf("%v is not ErrEmpty", err)
			}
		})
	})
	t.Run("one without the path", func(t *testing.T) {
		each(t, func(t *testing.T, r *repository, o GitOptions) {
			r.write("a.yaml", "a: 1\n")
			r.commit("one")
			o.Path = "overlays/prod"
			_, err := newGit(t, o).Fetch(within10s(t), "")
			refused(t, err, "R108", "overlays/prod")
			if !errors.Is(err, ErrPathMissing) {
				t.Errorf("%v is not ErrPathMissing", err)
			}
			o.Path = "a.yaml"
			_, err = newGit(t, o).Fetch(within10s(t), "")
			refused(t, err, "R108", "a file, not a folder")
		})
	})
	t.Run("one that is not there", func(t *testing.T) {
		each(t, func(t *testing.T, r *repository, o GitOptions) {
			r.commit("one")
			o.URL = strings.TrimSuffix(o.URL, "/.git") + "-gone"
			_, err := newGit(t, o).Fetch(within10s(t), "")
			refused(t, err, "R105")
		})
	})
	t.Run("one with a submodule", func(t *testing.T) {
		each(t, func(t *testing.T, r *repository, o GitOptions) {
			r.write("jobs/a.yaml", "a: 1\n")
			commit := r.commit("one")
			r.git("update-index", "--add", "--cacheinfo", "160000,"+commit+",jobs/lib")
			r.git("commit", "-q", "-m", "submodule")
			o.Path = "jobs"
			_, err := newGit(t, o).Fetch(within10s(t), "")
			refused(t, err, "R114", "jobs/lib", "submodule")
			r.git("checkout", "-q", "-b", "elsewhere", commit)
			r.git("update-index", "--add", "--cacheinfo", "160000,"+commit+",lib")
			r.git("commit", "-q", "-m", "submodule elsewhere")
			o.Branch = "elsewhere"
			tree, err := newGit(t, o).Fetch(within10s(t), "")
			if err != nil {
				t.Fatalf("a submodule beside the path: %v", err)
			}
			_, err = fs.ReadDir(tree.FS, "lib")
			refused(t, err, "R114", "lib")
		})
	})
	t.Run("one with a file in Git LFS", func(t *testing.T) {
		r := newRepository(t)
		r.write("big.yaml", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
		r.commit("one")
		tree, err := newGit(t, GitOptions{URL: r.url(), AllowLocal: true}).Fetch(within10s(t), "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = fs.ReadFile(tree.FS, "big.yaml")
		refused(t, err, "R118", "big.yaml", "LFS")
	})
}

func TestGitObeysItsLimits(t *testing.T) {
	each(t, func(t *testing.T, r *repository, o GitOptions) {
		r.write("a.yaml", "a: 1\n")
		r.write("data/zeros", strings.Repeat("0", 600<<10))
		r.write("data/ones", strings.Repeat("1", 600<<10))
		r.commit("one")
		o.Limits = Limits{Bytes: 1 << 20}
		_, err := newGit(t, o).Fetch(within10s(t), "")
		refused(t, err, "R111", "1 MiB")
		o.Limits = Limits{Files: 3}
		_, err = newGit(t, o).Fetch(within10s(t), "")
		refused(t, err, "R111", "3 files")
		o.Limits = Limits{FileBytes: 512 << 10}
		tree, err := newGit(t, o).Fetch(within10s(t), "")
		if err != nil {
			t.Fatalf("a large file that nobody reads: %v", err)
		}
		if _, err := fs.ReadFile(tree.FS, "a.yaml"); err != nil {
			t.Error(err)
		}
		_, err = fs.ReadFile(tree.FS, "data/zeros")
		refused(t, err, "R112", "data/zeros", "614400")
	})
}

func TestGitUnpacksDeltasAndLongHistories(t *testing.T) {
	each(t, func(t *testing.T, r *repository, o GitOptions) {
		text := strings.Repeat("a line that is much like the others\n", 2000)
		for i := range 20 {
			r.write("a.txt", text+strings.Repeat("x", i))
			r.write("b.txt", strings.Repeat("y", i)+text)
			r.commit("more")
		}
		r.git("repack", "-q", "-a", "-d", "-f", "--depth=50")
		_, files := fetched(t, newGit(t, o), "")
		want := map[string]string{"a.txt": text + strings.Repeat("x", 19), "b.txt": strings.Repeat("y", 19) + text}
		if diff := cmp.Diff(want, files); diff != "" {
			t.Error(diff)
		}
		o.Commit = r.git("rev-parse", "HEAD~10")
		if revision, files := fetched(t, newGit(t, o), ""); !strings.HasSuffix(files["a.txt"], "\n"+strings.Repeat("x", 9)) {
			t.Errorf("%s has other content than its commit", revision)
		}
	})
}

func TestGitLeavesTheHistoryWhereItIs(t *testing.T) {
	r := newRepository(t)
	noise := make([]byte, 100<<10)
	for range 10 {
		if _, err := rand.Read(noise); err != nil {
			t.Fatal(err)
		}
		r.write("a.bin", string(noise))
		r.commit("more")
	}
	var sent atomic.Int64
	s := serve(t, r, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			next.ServeHTTP(counted{w, &sent}, q)
		})
	})
	fetched(t, newGit(t, GitOptions{URL: s.url(), AllowLocal: true}), "")
	if got := sent.Load(); got > 200<<10 {
		t.Errorf("%d bytes were sent for a revision of 100 KiB", got)
	}
}

type counted struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}
