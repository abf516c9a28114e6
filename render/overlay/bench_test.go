//go:build unix

package overlay

import (
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"rota.dev/rota/schema"
)

// jobs is a repository with an Expansion of n Jobs under an overlay with a
// prefix, a namespace, labels and images.
func jobs(n int, image string) fstest.MapFS {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"base/kustomization.yaml": "resources: [items.yaml]\nconfigMapGenerator: [{name: settings, literals: [A=b]}]\n",
		"base/items.yaml":         fmt.Sprintf("apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec:\n  template: t.txt\n  parameters: {matrix: {ITEM: {range: {from: 1, to: %d}}}}\n", n),
		"base/t.txt": `apiVersion: batch/v1
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
        image: ` + image + `
        command: ["sh", "-c", "echo Processing item $ITEM && sleep 5"]
        env: [{name: ITEM, value: $ITEM}, {name: HOME, value: $HOME}]
        envFrom: [{configMapRef: {name: settings}}]
      restartPolicy: Never
`,
		"dev/kustomization.yaml": `resources: [../base]
namePrefix: dev-
namespace: batch
labels: [{pairs: {env: dev}, includeTemplates: true}]
images: [{name: busybox, newTag: "1.36"}, {name: repo/app, newName: mirror/app}]
`,
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

// cpu begins to measure the time that this process computes. Other work on the
// machine does not count, as it would by the clock.
func cpu(b *testing.B) func() time.Duration {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	runtime.GC() // what others left is not counted
	start := used()
	return func() time.Duration { return used() - start }
}

// ours builds n Jobs, which are expanded before.
func ours(b *testing.B, n int, image string) time.Duration {
	b.Helper()
	fsys := jobs(n, image)
	expanded, err := resources(fsys, "base/items.yaml")
	if err != nil {
		b.Fatal(err)
	}
	read := func(file string) ([]byte, error) { return fs.ReadFile(fsys, file) }
	took := cpu(b)
	g, err := Load(fsys, "dev", schema.DocumentLimits{}, read)
	if err != nil {
		b.Fatal(err)
	}
	objects, warnings, err := g.Build(Options{Resources: func(string) ([]schema.Object, error) { return expanded, nil }, Read: read, Run: Run, Time: time.Hour})
	spent := took()
	if err != nil || len(objects) != n+1 || len(warnings) > 0 {
		b.Fatal(len(objects), warnings, err)
	}
	return spent
}

// often is the median of five builds by ours: the first of a size lets the
// heap grow, which the run that is compared has no part in.
func often(b *testing.B, n int, image string) time.Duration {
	b.Helper()
	var all []time.Duration
	for range 5 {
		all = append(all, ours(b, n, image))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// alone is one run of kustomize on n Jobs, which are expanded before.
func alone(b *testing.B, n int) time.Duration {
	b.Helper()
	fsys := jobs(n, "busybox")
	g, err := Load(fsys, "dev", schema.DocumentLimits{}, func(file string) ([]byte, error) { return fs.ReadFile(fsys, file) })
	if err != nil {
		b.Fatal(err)
	}
	job, err := expandedJob(fsys, g)
	if err != nil {
		b.Fatal(err)
	}
	took := cpu(b)
	built, err := Run(job)
	spent := took()
	if err != nil || len(built) != n+1 {
		b.Fatal(len(built), err)
	}
	return spent
}

// BenchmarkOverlay overlays the same 10,000 Jobs as rota does and, as far as
// that is bearable, in one run of kustomize.
func BenchmarkOverlay(b *testing.B) {
	for b.Loop() {
		ours(b, 100, "busybox") // what is done once in a process
		few, many := often(b, 100, "busybox"), often(b, 10_000, "busybox")
		half, full, twice := alone(b, 500), alone(b, 1_000), alone(b, 2_000)
		exponent := math.Log2(float64(twice) / float64(full))
		all := time.Duration(float64(full) * math.Pow(10, exponent))
		small := ours(b, 2_000, "repo/app:$ITEM")
		b.Log(strings.Join([]string{"time of the processor:",
			fmt.Sprintf("apart, one for all (median of five): 100 Jobs %v each, 10,000 Jobs %v each: ratio %.2f", few/100, many/10_000, float64(many/10_000)/float64(few/100)),
			fmt.Sprintf("together: 500 Jobs in %v, 1,000 in %v, 2,000 in %v: exponent %.2f at the end", half, full, twice, exponent),
			fmt.Sprintf("10,000 Jobs: apart %v, together %v (from 1,000 with that exponent, not measured): ratio %.0f", many, all.Round(time.Second), float64(all)/float64(many)),
			fmt.Sprintf("apart in small runs, for every image differs and is changed: 2,000 Jobs %v each, in all %.1f times less than together", small/2_000, float64(twice)/float64(small)),
		}, "\n"))
		b.ReportMetric(float64(many.Nanoseconds())/10_000, "ns/job")
		b.ReportMetric(float64(many/10_000)/float64(few/100), "per-job-10000/100")
		b.ReportMetric(float64(all)/float64(many), "together/apart")
	}
}
