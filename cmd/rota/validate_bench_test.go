package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"rota.dev/rota/render"
	"rota.dev/rota/schema"
)

const benchJob = `apiVersion: batch/v1
kind: Job
metadata:
  name: job-%[1]d
  labels: {app.kubernetes.io/name: hello, team: billing}
spec:
  backoffLimit: 3
  ttlSecondsAfterFinished: 3600
  template:
%[2]s`

const benchCronJob = `apiVersion: batch/v1
kind: CronJob
metadata:
  name: cron-%[1]d
  labels: {app.kubernetes.io/name: hello, team: billing}
spec:
  schedule: "%[3]d 2 * * *"
  timeZone: Europe/Berlin
  jobTemplate:
    spec:
      backoffLimit: 3
      template:
%[2]s`

const benchTemplate = `metadata:
  labels: {app.kubernetes.io/name: hello}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: busybox:1.36
    command: [sh, -c, "echo %d; sleep 5"]
    env:
    - {name: MODE, value: fast}
    - name: HOST
      valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
    resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 128Mi}}
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]
`

// plainTree has n manifests, half of them CronJobs, a hundred to a folder.
func plainTree(n int) render.Tree {
	files := fstest.MapFS{}
	for i := range n {
		text := fmt.Sprintf(benchJob, i, indent(fmt.Sprintf(benchTemplate, i), "    "))
		if i%2 == 1 {
			text = fmt.Sprintf(benchCronJob, i, indent(fmt.Sprintf(benchTemplate, i), "        "), i%60)
		}
		files[fmt.Sprintf("team-%03d/job-%05d.yaml", i/100, i)] = &fstest.MapFile{Data: []byte(text)}
	}
	return render.Tree{FS: files}
}

// BenchmarkValidate prints how long the validation of 10,000 plain manifests
// takes beside their rendering, in the same run.
func BenchmarkValidate(b *testing.B) {
	tree := plainTree(10_000)
	schema.Validate(nil)
	var rendering, validating time.Duration
	for b.Loop() {
		start := time.Now()
		result, err := render.Render(tree, render.Options{})
		if err != nil {
			b.Fatal(err)
		}
		rendered := time.Now()
		problems := schema.Validate(result.Objects)
		validating += time.Since(rendered)
		rendering += rendered.Sub(start)
		if len(problems) > 0 {
			b.Fatal(problems[0])
		}
	}
	b.ReportMetric(float64(validating)/float64(rendering), "validate/render")
	b.ReportMetric(float64(validating.Microseconds())/float64(b.N)/10_000, "us/object")
}

func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(by + line)
	}
	return b.String()
}
