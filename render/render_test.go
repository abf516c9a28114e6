package render

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"rota.dev/rota/schema"
)

var update = flag.Bool("update", false, "write the golden outputs anew")

// golden are the files of an archive that hold what is expected.
const (
	goldenObjects  = "want.objects"
	goldenProblems = "want.problems"
)

// TestRepositories renders each archive of testdata as a repository. Its
// comment may have a line `path: DIR`, and limits such as `objects: 3`.
func TestRepositories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no repositories to render:", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tree, opts := repository(t, archive)
			objects, problems := show(Render(tree, opts))
			got := map[string]string{goldenObjects: objects, goldenProblems: problems}
			if *update {
				rewrite(t, file, archive, got)
				return
			}
			for _, f := range archive.Files {
				if want, ok := got[f.Name]; ok {
					if diff := cmp.Diff(string(f.Data), want); diff != "" {
						t.Errorf("%s (-want +got):\n%s", f.Name, diff)
					}
					delete(got, f.Name)
				}
			}
			for name, text := range got {
				if text != "" {
					t.Errorf("unexpected %s:\n%s", name, text)
				}
			}
		})
	}
}

func repository(t *testing.T, archive *txtar.Archive) (Tree, Options) {
	t.Helper()
	input := &txtar.Archive{}
	for _, f := range archive.Files {
		if f.Name != goldenObjects && f.Name != goldenProblems {
			input.Files = append(input.Files, f)
		}
	}
	fsys, err := txtar.FS(input)
	if err != nil {
		t.Fatal(err)
	}
	tree, opts := Tree{FS: fsys, Path: "."}, Options{Now: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)}
	for _, line := range strings.Split(string(archive.Comment), "\n") {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "path":
			tree.Path = value
		case "namespace":
			opts.Namespace = value
		case "objects":
			fmt.Sscan(value, &opts.Limits.Objects)
		case "items":
			fmt.Sscan(value, &opts.Limits.Items)
		case "files":
			fmt.Sscan(value, &opts.Limits.Files)
		case "bytes":
			fmt.Sscan(value, &opts.Limits.Documents.FileBytes)
		case "nesting":
			fmt.Sscan(value, &opts.Limits.Documents.Nesting)
		case "documents":
			fmt.Sscan(value, &opts.Limits.Documents.Documents)
		case "rendered":
			fmt.Sscan(value, &opts.Limits.RenderedBytes)
		case "template":
			fmt.Sscan(value, &opts.Limits.TemplateBytes)
		}
	}
	return tree, opts
}

func show(result Result, err error) (objects, problems string) {
	var b strings.Builder
	for _, o := range result.Objects {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			return err.Error(), ""
		}
		fmt.Fprintf(&b, "# %s", o.Origin)
		if o.Origin.Overlay != "" {
			fmt.Fprintf(&b, " by %s", o.Origin.Overlay)
		}
		fmt.Fprintf(&b, "\n%s---\n", text)
	}
	var p strings.Builder
	for _, problem := range append(schema.Problems(err), result.Warnings...) {
		fmt.Fprintln(&p, problem)
	}
	return b.String(), p.String()
}

func rewrite(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	out := &txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		if _, golden := got[f.Name]; !golden {
			out.Files = append(out.Files, f)
		}
	}
	for _, name := range []string{goldenObjects, goldenProblems} {
		if got[name] != "" {
			out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(got[name])})
		}
	}
	if err := os.WriteFile(file, txtar.Format(out), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEqualTreesRenderEqually(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tree, opts := repository(t, archive)
		firstObjects, firstProblems := show(Render(tree, opts))
		for range 3 {
			objects, problems := show(Render(tree, opts))
			if objects != firstObjects || problems != firstProblems {
				t.Errorf("%s: two renders differ", file)
			}
		}
	}
}

func BenchmarkExpand(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tree := expansionOf(n)
			for b.Loop() {
				result, err := Render(tree, Options{})
				if err != nil || len(result.Objects) != n {
					b.Fatal(len(result.Objects), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/job")
		})
	}
}

const expansionTemplate = `apiVersion: batch/v1
kind: Job
metadata:
  name: process-item-$ITEM
  labels: {jobgroup: jobexample, shard: $ITEM}
spec:
  parallelism: $ITEM
  template:
    metadata:
      labels: {jobgroup: jobexample}
    spec:
      containers:
      - name: c
        image: busybox
        command: ["sh", "-c", "echo Processing item $ITEM && sleep 5"]
        env: [{name: ITEM, value: $ITEM}, {name: HOME, value: $HOME}]
      restartPolicy: Never
`

func expansionOf(n int) Tree {
	archive := &txtar.Archive{Files: []txtar.File{
		{Name: "tmpl.yaml", Data: []byte(expansionTemplate)},
		{Name: "all.yaml", Data: fmt.Appendf(nil, "apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec:\n  template: tmpl.yaml\n  parameters: {matrix: {ITEM: {range: {from: 1, to: %d}}}}\n", n)},
	}}
	fsys, err := txtar.FS(archive)
	if err != nil {
		panic(err)
	}
	return Tree{FS: fsys, Path: "."}
}

// Allocations are counted, not time: they do not depend on the machine. The
// benchmarks have the time.
func TestExpansionIsLinear(t *testing.T) {
	small, large := allocationsOf(t, 500), allocationsOf(t, 5_000)
	if large > 12*small {
		t.Errorf("500 Jobs take %.0f allocations, 5,000 take %.0f", small, large)
	}
}

func allocationsOf(t *testing.T, n int) float64 {
	t.Helper()
	tree := expansionOf(n)
	return testing.AllocsPerRun(1, func() {
		if _, err := Render(tree, Options{}); err != nil {
			t.Fatal(err)
		}
	})
}
