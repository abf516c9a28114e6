package examples

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/render"
)

// TestAChangeRunsTheJobsThatTheReadmesName holds the READMEs to what they say
// about a change: which Jobs run again for it, and which do not.
func TestAChangeRunsTheJobsThatTheReadmesName(t *testing.T) {
	for name, test := range map[string]struct {
		repository, path, file, before, after string
		runs                                  []string
	}{
		"an item more in the list runs that item only": {
			repository: "expansion", path: ".", file: "process-items.yaml",
			before: "- {ITEM: cherry}", after: "- {ITEM: cherry}\n      - {ITEM: date}",
			runs: []string{"process-item-date"},
		},
		"another command in the template runs all items": {
			repository: "expansion", path: ".", file: "job-tmpl.yaml",
			before: "sleep 5", after: "sleep 6",
			runs: []string{"process-item-apple", "process-item-banana", "process-item-cherry"},
		},
		"another URL runs its own Job only": {
			repository: "jinja", path: ".", file: "job.yaml.jinja2",
			before: "wiki/Banana", after: "wiki/Musa",
			runs: []string{"jobexample-banana"},
		},
		"another setting runs the Jobs that read it": {
			repository: "overlays", path: "overlays/dev", file: "overlays/dev/kustomization.yaml",
			before: "WAREHOUSE=scratch", after: "WAREHOUSE=attic",
			runs: []string{"dev-import-eu", "dev-import-us"},
		},
		"a setting of prod runs nothing in dev": {
			repository: "overlays", path: "overlays/dev", file: "overlays/prod/kustomization.yaml",
			before: "WAREHOUSE=ledger", after: "WAREHOUSE=attic",
		},
		"another schedule runs nothing at once": {
			repository: "overlays", path: "overlays/prod", file: "overlays/prod/report-schedule.yaml",
			before: "30 4", after: "45 4",
		},
		"another queue of RabbitMQ runs the filling and the workers": {
			repository: "rabbitmq", path: ".", file: "kustomization.yaml",
			before: "QUEUE=job1", after: "QUEUE=job3",
			runs: []string{"fill-job1", "job-wq-1"},
		},
		"another queue of Redis runs the filling and the workers": {
			repository: "redis", path: ".", file: "kustomization.yaml",
			before: "QUEUE=job2", after: "QUEUE=job4",
			runs: []string{"fill-job2", "job-wq-2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := copyOf(t, test.repository)
			before := jobDigests(t, files, test.path)
			file := files[test.file]
			if file == nil || !strings.Contains(string(file.Data), test.before) {
				t.Fatalf("%s has no %q", test.file, test.before)
			}
			file.Data = []byte(strings.Replace(string(file.Data), test.before, test.after, 1))
			var runs []string
			for job, digest := range jobDigests(t, files, test.path) {
				if before[job] != digest {
					runs = append(runs, job)
				}
			}
			if diff := cmp.Diff(sorted(test.runs), sorted(runs)); diff != "" {
				t.Errorf("Jobs that run (-want +got):\n%s", diff)
			}
		})
	}
}

// copyOf is an example as the demo embeds it, to be changed.
func copyOf(t *testing.T, repository string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(FS, repository, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := FS.ReadFile(path)
		files[strings.TrimPrefix(path, repository+"/")] = &fstest.MapFile{Data: data, Mode: 0o644}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// jobDigests are what decides whether a Job runs again, by name.
func jobDigests(t *testing.T, files fs.FS, path string) map[string]string {
	t.Helper()
	result, err := render.Render(render.Tree{FS: files, Path: path}, render.Options{})
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{}
	for _, object := range result.Objects {
		if !object.Key().IsJob() {
			continue
		}
		digest, err := plan.RunDigest(object.Unstructured)
		if err != nil {
			t.Fatal(err)
		}
		digests[object.GetName()] = digest
	}
	return digests
}
