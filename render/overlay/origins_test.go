package overlay

import (
	"encoding/json"
	"io/fs"
	"path"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/render/expand"
	"rota.dev/rota/schema"
)

// written reads a file of the repository with the positions of its fields.
func written(fsys fs.FS, file string) ([]schema.Object, error) {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, err
	}
	docs, err := schema.ReadDocuments(file, data, schema.DocumentLimits{})
	if err != nil {
		return nil, err
	}
	source := schema.NewSource(file, data)
	var objects []schema.Object
	for _, d := range docs {
		content, err := d.Value()
		if err != nil {
			return nil, err
		}
		if d.Node.Kind != 0 && content.(map[string]any)["kind"] != "Expansion" {
			objects = append(objects, schema.Object{Unstructured: &unstructured.Unstructured{Object: content.(map[string]any)}, Origin: d.Origin(), Fields: source.Fields(d.Index, false)})
			continue
		}
		expanded, err := expandedFrom(fsys, d)
		if err != nil {
			return nil, err
		}
		objects = append(objects, expanded...)
	}
	return objects, nil
}

// expandedFrom returns the objects of an Expansion.
func expandedFrom(fsys fs.FS, d schema.Document) ([]schema.Object, error) {
	e, err := schema.DecodeExpansion(d)
	if err != nil {
		return nil, err
	}
	names, items, err := expand.Items(e, "", nil, 1000, schema.DocumentLimits{})
	if err != nil {
		return nil, err
	}
	file := path.Join(path.Dir(d.File), e.Spec.Template)
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, err
	}
	docs, err := schema.ReadDocuments(file, data, schema.DocumentLimits{})
	if err != nil {
		return nil, err
	}
	template, _, err := expand.Compile(docs, names)
	if err != nil {
		return nil, err
	}
	source := schema.NewSource(file, data)
	var objects []schema.Object
	for _, item := range items {
		made, err := template.Expand(item.Values)
		if err != nil {
			return nil, err
		}
		for i, m := range made {
			origin := schema.Origin{File: d.File, Line: 1, Template: file, TemplateLine: m.Line, Item: item.Number}
			for n, name := range names {
				origin.Parameters = append(origin.Parameters, schema.Parameter{Name: name, Value: item.Values[n].Text})
			}
			objects = append(objects, schema.Object{Unstructured: &unstructured.Unstructured{Object: m.Content.(map[string]any)}, Origin: origin, Fields: source.Fields(i, true)})
		}
	}
	return objects, nil
}

const origins = `-- base/kustomization.yaml --
resources: [job.yaml]
configMapGenerator:
- name: settings
  literals:
  - A=b
  files: [long=text.txt]
-- base/text.txt --
x
-- base/job.yaml --
apiVersion: batch/v1
kind: Job
metadata:
  name: job
  labels: {app: web}
spec:
  parallelism: 1
  template:
    spec:
      containers:
      - name: c
        image: busybox
        args: [a, b]
        envFrom: [{configMapRef: {name: settings}}]
-- top/kustomization.yaml --
resources:
- ../base
`

func TestWhereAFieldWasWritten(t *testing.T) {
	const image, second = "spec.template.spec.containers[0].image", "spec.template.spec.containers[1].image"
	for name, test := range map[string]struct {
		rest string
		want map[string]string // by object and field
	}{
		"nothing is changed": {"", map[string]string{
			"job " + image: "base/job.yaml:12:16", "job spec.suspend": "base/job.yaml:7:3", "job spec": "base/job.yaml:7:3",
			"settings": "base/kustomization.yaml:3:3", "settings data.A": "base/kustomization.yaml:5:5", "settings data.long": "base/kustomization.yaml:6:11",
			"job spec.template.spec.containers[0].envFrom[0].configMapRef.name": "base/kustomization.yaml:3:9",
		}},
		"a strategic merge in a file": {"patches:\n- path: p.yaml\n-- top/p.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\nspec:\n  paralelism: 2\n  suspend: true\n  template:\n    spec:\n      containers:\n      - name: side\n        image: alpine\n      - {name: c, args: [x]}\n",
			map[string]string{"job spec.paralelism": "top/p.yaml:5:15", "job spec.paralelism KEY": "top/p.yaml:5:3", "job spec.suspend": "top/p.yaml:6:12", "job spec.parallelism": "base/job.yaml:7:16",
				"job " + image: "top/p.yaml:11:16", "job " + second: "base/job.yaml:12:16", "job spec.template.spec.containers[1].args[0]": "top/p.yaml:12:26",
				"job spec.template.spec.containers[0].command": "top/p.yaml:10:9"}},
		"a strategic merge in a block": {"patches:\n- target: {kind: Job}\n  patch: |\n    apiVersion: batch/v1\n    kind: Job\n    metadata: {name: any}\n    spec:\n      suspend: true\n",
			map[string]string{"job spec.suspend": "top/kustomization.yaml:10:16"}},
		"a strategic merge on one line": {"patches:\n- patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: job}, spec: {suspend: true}}'\n",
			map[string]string{"job spec.suspend": "top/kustomization.yaml:4:84"}},
		"a strategic merge in a folded text": {"patches:\n- patch: >\n    {apiVersion: batch/v1, kind: Job,\n    metadata: {name: job}, spec: {suspend: true}}\n",
			map[string]string{"job spec.suspend": "top/kustomization.yaml:4:10"}},
		"a JSON patch": {"patches:\n- target: {kind: Job}\n  path: p.yaml\n-- top/p.yaml --\n- op: replace\n  path: /spec/parallelism\n  value: 3\n- {op: add, path: /spec/template/spec/containers/-, value: {name: side, image: alpine}}\n- op: add\n  path: /metadata/annotations\n  value:\n    a.b/c: d\n- {op: copy, from: /spec/parallelism, path: /spec/completions}\n",
			map[string]string{"job spec.parallelism": "top/p.yaml:3:10", "job " + second: "top/p.yaml:4:80", "job metadata.annotations[a.b/c]": "top/p.yaml:8:12", "job spec.completions": "top/p.yaml:9:45", "job " + image: "base/job.yaml:12:16"}},
		"a JSON patch in a block": {"patches:\n- target: {kind: Job}\n  patch: |-\n    - op: replace\n      path: /spec/parallelism\n      value: 3\n",
			map[string]string{"job spec.parallelism": "top/kustomization.yaml:8:14"}},
		"the old fields": {"patchesStrategicMerge:\n- p.yaml\n- |\n  apiVersion: batch/v1\n  kind: Job\n  metadata: {name: job}\n  spec: {completions: 4}\npatchesJson6902:\n- target: {kind: Job, name: job, version: v1, group: batch}\n  patch: '[{\"op\": \"add\", \"path\": \"/spec/backoffLimit\", \"value\": 9}]'\ncommonLabels: {team: red}\n-- top/p.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\nspec: {suspend: true}\n",
			map[string]string{"job spec.suspend": "top/p.yaml:4:17", "job spec.completions": "top/kustomization.yaml:9:23", "job spec.backoffLimit": "top/kustomization.yaml:12:65", "job metadata.labels.team": "top/kustomization.yaml:13:22"}},
		"transformers": {"namePrefix: p-\nnameSuffix: -s\nnamespace: batch\nlabels:\n- pairs: {env: dev}\n  includeTemplates: true\ncommonAnnotations: {note: x}\nimages:\n- name: busybox\n  newTag: '3'\n",
			map[string]string{"p-job-s metadata.name": "top/kustomization.yaml:4:13", "p-job-s metadata.namespace": "top/kustomization.yaml:5:12", "p-job-s metadata.labels.env": "top/kustomization.yaml:7:16",
				"p-job-s spec.template.metadata.labels.env": "top/kustomization.yaml:7:16", "p-job-s metadata.annotations.note": "top/kustomization.yaml:9:27", "p-job-s " + image: "top/kustomization.yaml:12:11",
				"p-job-s metadata.labels.app": "base/job.yaml:5:17", "p-settings-s metadata.namespace": "top/kustomization.yaml:5:12"}},
		"a replacement": {"replacements:\n- sourceValue: other\n  targets:\n  - select: {kind: Job}\n    fieldPaths:\n    - spec.template.spec.containers.[name=c].image\n",
			map[string]string{"job " + image: "top/kustomization.yaml:8:7"}},
		"replacements in a file": {"replacements: [{path: r.yaml}]\n-- top/r.yaml --\n- source: {kind: Job, fieldPath: metadata.labels.app}\n  targets:\n  - select: {kind: Job}\n    fieldPaths: [spec.template.spec.containers.*.image]\n",
			map[string]string{"job " + image: "top/r.yaml:4:18"}},
		"two layers": {"images: [{name: busybox, newTag: '3'}]\npatches: [{path: p.yaml}]\n-- top/p.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\nspec: {suspend: true, completions: 5}\n" +
			"-- last/kustomization.yaml --\nresources: [../top]\nnamePrefix: l-\npatches:\n- target: {kind: Job}\n  patch: |\n    - {op: replace, path: /spec/suspend, value: false}\n",
			map[string]string{"l-job spec.suspend": "last/kustomization.yaml:6:49", "l-job spec.completions": "top/p.yaml:4:36", "l-job " + image: "top/kustomization.yaml:3:34", "l-job spec.parallelism": "base/job.yaml:7:16"}},
		"a generator that merges": {"configMapGenerator:\n- {name: settings, behavior: merge, literals: [A=c, N=1]}\n",
			map[string]string{"settings data.N": "top/kustomization.yaml:4:53", "settings data.A": "top/kustomization.yaml:4:48", "settings data.long": "base/kustomization.yaml:6:11", "settings": "base/kustomization.yaml:3:3"}},
		"a component": {"components: [../c]\n-- c/kustomization.yaml --\napiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches: [{path: p.yaml, target: {labelSelector: app=web}}]\n-- c/p.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {suspend: true}\n",
			map[string]string{"job spec.suspend": "c/p.yaml:4:17"}},
		"replicas": {"resources: [d.yaml]\nreplicas:\n- name: d\n  count: 4\n-- top/d.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: 1}\n",
			map[string]string{"d spec.replicas": "top/kustomization.yaml:4:10"}},
		"a base by two ways": {"-- l/kustomization.yaml --\nresources: [../top]\nnamePrefix: l-\npatches: [{target: {kind: Job}, patch: '[{\"op\": \"add\", \"path\": \"/spec/suspend\", \"value\": true}]'}]\n-- r/kustomization.yaml --\nresources: [../top]\nnamePrefix: r-\npatches: [{target: {kind: Job}, patch: '[{\"op\": \"add\", \"path\": \"/spec/suspend\", \"value\": true}]'}]\n-- last/kustomization.yaml --\nresources: [../l, ../r]\n",
			map[string]string{"l-job spec.suspend": "l/kustomization.yaml:3:90", "r-job spec.suspend": "r/kustomization.yaml:3:90"}},
		"an Expansion": {"resources: [e.yaml]\nimages: [{name: busybox, newTag: '3'}]\npatches:\n- target: {kind: Job, name: 'job-.*'}\n  patch: |\n    - {op: add, path: /spec/suspend, value: true}\n- path: p.yaml\n-- top/p.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job-b}\nspec: {completions: 7}\n-- top/e.yaml --\n" +
			"apiVersion: rota.dev/v1alpha1\nkind: Expansion\nmetadata: {name: e}\nspec: {template: t.txt, parameters: {items: [{A: a}, {A: b}, {A: c}, {A: d}]}}\n-- top/t.txt --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job-$A}\nspec:\n  template:\n    spec:\n      containers:\n      - name: c\n        image: busybox\n        args: [\"${A} $HOME\"]\n",
			map[string]string{"job-a spec.suspend": "top/kustomization.yaml:6:45", "job-d " + image: "top/kustomization.yaml:2:34", "job-b spec.completions": "top/p.yaml:4:21", "job-c metadata.name": "top/e.yaml:1 (top/t.txt:3 A=\"c\")",
				"job-c spec.template.spec.containers[0].args[0]": "top/e.yaml:1 (top/t.txt:10 A=\"c\")"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := origins + test.rest
			if strings.HasPrefix(test.rest, "resources") {
				text = strings.Replace(text, "resources:\n- ../base\n", "", 1)
			}
			archive := txtar.Parse([]byte(text))
			fsys, err := txtar.FS(archive)
			if err != nil {
				t.Fatal(err)
			}
			folder := "top"
			if strings.Contains(test.rest, "-- last/") {
				folder = "last"
			}
			for way, s := range map[string]sizes{"together": {}, "apart": {whole: 1, run: 1, family: 2}} {
				checkOrigins(t, fsys, folder, way, s, test.want)
			}
		})
	}
}

func checkOrigins(t *testing.T, fsys fs.FS, folder, way string, s sizes, want map[string]string) {
	t.Helper()
	read := func(file string) ([]byte, error) { return fs.ReadFile(fsys, file) }
	g, err := Load(fsys, folder, schema.DocumentLimits{}, read)
	if err != nil {
		t.Fatal(err)
	}
	objects, _, err := g.Build(Options{Resources: func(file string) ([]schema.Object, error) { return written(fsys, file) }, Read: read, Time: time.Minute, sizes: s,
		Run: func(job Job) ([]json.RawMessage, error) { return Run(job) }})
	if err != nil {
		t.Fatal(err)
	}
	for asked, position := range want {
		name, field, _ := strings.Cut(asked, " ")
		field, key := strings.CutSuffix(field, " KEY")
		found := false
		for _, o := range objects {
			if is := o.GetName(); is != name && (o.GetKind() != "ConfigMap" || !strings.HasPrefix(is, name+"-")) {
				continue
			}
			found = true
			at := o.At(field)
			if key {
				at = o.AtKey(field)
			}
			// What an overlay wrote has the object that it changes beside it.
			if base := (schema.Place{File: o.Origin.File, Line: o.Origin.Line}); at.Base != base && at.Base != (schema.Place{}) || at.Base.File == "" && at.File != o.Origin.File {
				t.Errorf("%s: %s is of the object at %v, not at %v", way, asked, at.Base, base)
			}
			at.Base = schema.Place{}
			if got := at.String(); got != position {
				t.Errorf("%s: %s is at %s, not at %s", way, asked, got, position)
			}
		}
		if !found {
			t.Errorf("%s: there is no object %s", way, name)
		}
	}
}
