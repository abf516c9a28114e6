package source

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"testing"
)

// large has 5,000 files in 100 folders.
func large(b *testing.B) *repository {
	r := newRepository(b)
	for i := range 5000 {
		r.write(fmt.Sprintf("jobs/%02d/%04d.yaml", i%100, i), fmt.Sprintf("apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: job-%d\n", i))
	}
	r.commit("one")
	return r
}

func BenchmarkFetch(b *testing.B) {
	r := large(b)
	s := serve(b, r, nil)
	g := newGit(b, GitOptions{URL: s.url(), AllowLocal: true})
	tree, err := g.Fetch(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	d := newDirectory(b, r.dir, "")
	folder, err := d.Fetch(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("git unchanged, only the tip", func(b *testing.B) {
		for b.Loop() {
			if _, err := g.Fetch(b.Context(), tree.Revision); !errors.Is(err, ErrUnchanged) {
				b.Fatal(err)
			}
		}
	})
	b.Run("git whole", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := g.Fetch(b.Context(), ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("directory unchanged", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.Fetch(b.Context(), folder.Revision); !errors.Is(err, ErrUnchanged) {
				b.Fatal(err)
			}
		}
	})
	b.Run("walk and read 5,000 files", func(b *testing.B) {
		for b.Loop() {
			if n := len(contents(b, tree.FS)); n != 5000 {
				b.Fatal(n)
			}
		}
	})
	b.Run("memory kept", func(b *testing.B) {
		var before, after runtime.MemStats
		for b.Loop() {
			runtime.GC()
			runtime.ReadMemStats(&before)
			tree, err := g.Fetch(b.Context(), "")
			if err != nil {
				b.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc)-float64(before.HeapAlloc), "B-kept")
			if _, err := fs.Stat(tree.FS, "jobs"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
