package render_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubeyaml "sigs.k8s.io/yaml"

	"rota.dev/rota/reconcile/source"
	"rota.dev/rota/render"
)

const fileText = `apiVersion: batch/v1
kind: Job
metadata:
  name: report-%[1]d
  namespace: batch
  labels:
    app.kubernetes.io/name: report
    team: billing
    shard: "%[1]d"
  annotations:
    example.com/owner: billing@example.com
spec:
  backoffLimit: 3
  activeDeadlineSeconds: 3600
  ttlSecondsAfterFinished: 86400
  template:
    metadata:
      labels:
        app.kubernetes.io/name: report
    spec:
      restartPolicy: Never
      containers:
      - name: report
        image: registry.example.com/report:%[2]d
        command: ["/bin/report", "--shard", "%[1]d"]
        env:
        - name: DATABASE_URL
          valueFrom:
            secretKeyRef:
              name: database
              key: url
        - name: LOG_LEVEL
          value: info
        resources:
          requests:
            cpu: 250m
            memory: 256Mi
          limits:
            memory: 512Mi
`

// folder is a plain folder of Jobs on disk, in fifty folders.
type folder struct {
	dir    string
	source *source.Directory
	names  []string
}

func newFolder(b *testing.B, n int) folder {
	b.Helper()
	f := folder{dir: b.TempDir()}
	for i := range n {
		f.names = append(f.names, fmt.Sprintf("%02d/report-%04d.yaml", i%50, i))
		f.write(b, i, 0)
	}
	var err error
	if f.source, err = source.NewDirectory(source.DirectoryOptions{Path: f.dir}); err != nil {
		b.Fatal(err)
	}
	return f
}

// write writes the file of that number as of a commit.
func (f folder) write(b *testing.B, number, commit int) {
	b.Helper()
	name := filepath.Join(f.dir, f.names[number])
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(name, fmt.Appendf(nil, fileText, number, commit), 0o666); err != nil {
		b.Fatal(err)
	}
}

func (f folder) tree(b *testing.B) render.Tree {
	b.Helper()
	tree, err := f.source.Fetch(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	return tree
}

// BenchmarkPlainFolder renders 5,000 files beside what anything that reads
// them must do at least: one loop that reads and parses them as kubectl does,
// and one that only makes nodes of them. All are timed in turn, so that what
// the machine does beside concerns all alike, and the ratios are those of the
// medians.
func BenchmarkPlainFolder(b *testing.B) {
	const n = 5000
	f, commit := newFolder(b, n), 0
	times := map[string][]time.Duration{}
	timed := func(name string, do func() error) {
		start := time.Now()
		if err := do(); err != nil {
			b.Fatal(name, ": ", err)
		}
		times[name] = append(times[name], time.Since(start))
	}
	for b.Loop() {
		tree, cache := f.tree(b), render.NewCache(0)
		renders := func(opts render.Options) func() error {
			return func() error {
				result, err := render.Render(tree, opts)
				if err == nil && len(result.Objects) != n {
					err = fmt.Errorf("%d objects", len(result.Objects))
				}
				return err
			}
		}
		timed("kubectl", func() error { return parseAll(tree.FS, f.names) })
		timed("nodes", func() error { return nodesOfAll(tree.FS, f.names) })
		timed("first", renders(render.Options{}))
		timed("first with a cache", renders(render.Options{Cache: cache}))
		for range 5 {
			commit++
			f.write(b, commit*7919%n, commit)
			tree = f.tree(b)
			timed("one-file commit", renders(render.Options{Cache: cache}))
		}
	}
	median := func(name string) float64 {
		slices.Sort(times[name])
		return float64(times[name][len(times[name])/2])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median("first")/1e6, "ms-first")
	b.ReportMetric(median("one-file commit")/1e6, "ms-commit")
	b.ReportMetric(median("first")/median("kubectl"), "first/kubectl")
	b.ReportMetric(median("first")/median("nodes"), "first/nodes")
	b.ReportMetric(median("first with a cache")/median("first"), "with-cache/first")
	b.ReportMetric(median("first")/median("one-file commit"), "first/commit")
}

// parseAll is the loop of kubectl: YAML to an unstructured object.
func parseAll(tree fs.FS, names []string) error {
	objects := make([]unstructured.Unstructured, len(names))
	for i, name := range names {
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if err := kubeyaml.Unmarshal(data, &objects[i].Object); err != nil {
			return err
		}
	}
	return nil
}

func nodesOfAll(tree fs.FS, names []string) error {
	nodes := make([]yaml.Node, len(names))
	for i, name := range names {
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if err := yaml.Unmarshal(data, &nodes[i]); err != nil {
			return err
		}
	}
	return nil
}
