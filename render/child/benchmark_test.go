//go:build unix

package child

import (
	"fmt"
	"testing"
	"time"

	"rota.dev/rota/render"
	"rota.dev/rota/render/expand"
	"rota.dev/rota/render/overlay"
)

// BenchmarkChild prints what a job costs in a child, as a ratio to the same one
// in this process, measured in the same run: the first job of a child, with the
// start of the process; one of a thousand jobs of the same child; and a run of
// kustomize.
//
//	go test ./render/child -run xxx -bench Child -benchtime 5x
func BenchmarkChild(b *testing.B) {
	template := expand.Job{File: "job.yaml.j2", Bytes: 1 << 20, Time: patience, Variables: everyValue(b)[:1],
		Text: "apiVersion: batch/v1\nkind: Job\nmetadata: {name: \"p-{{ item0.text }}\"}\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers: [{name: c, image: busybox, command: [sh, -c, \"echo {{ item0.plain|default('x') }}\"]}]\n"}
	kustomization := overlay.Job{Folder: "o", Time: patience, Files: map[string][]byte{
		"o/kustomization.yaml": []byte("namePrefix: p-\nnamespace: batch\nlabels: [{pairs: {team: a}}]\nresources: [jobs.yaml]\n"),
	}}
	for i := range 50 {
		kustomization.Files["o/jobs.yaml"] = fmt.Appendf(kustomization.Files["o/jobs.yaml"],
			"---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job-%d}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}}}\n", i)
	}
	renders := func(engine render.Engine, n int) func() error {
		return func() error {
			for range n {
				if _, err := engine.Template(template, noFiles); err != nil {
					return err
				}
			}
			return nil
		}
	}
	overlays := func(engine render.Engine) func() error {
		return func() error {
			_, err := engine.Overlay(kustomization)
			return err
		}
	}
	here := render.InProcess{}
	kept := newEngine(b, Options{Idle: time.Hour})
	var first, firstHere, many, manyHere, overlaid, overlaidHere time.Duration
	for b.Loop() {
		fresh := newEngine(b, Options{})
		first += duration(b, renders(fresh, 1))
		fresh.Close()
		firstHere += duration(b, renders(here, 1))
		many += duration(b, renders(kept, 1000))
		manyHere += duration(b, renders(here, 1000))
		overlaid += duration(b, overlays(kept))
		overlaidHere += duration(b, overlays(here))
	}
	n := float64(b.N)
	b.ReportMetric(float64(first.Microseconds())/n/1000, "start-ms")
	b.ReportMetric(float64(first)/float64(firstHere), "first-ratio")
	b.ReportMetric(float64(many.Microseconds())/n/1000, "us/template")
	b.ReportMetric(float64(many)/float64(manyHere), "thousand-ratio")
	b.ReportMetric(float64(overlaid)/float64(overlaidHere), "kustomize-ratio")
	b.ReportMetric(0, "ns/op")
}

func duration(b *testing.B, do func() error) time.Duration {
	b.Helper()
	began := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}
