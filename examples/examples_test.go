package examples

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/render"
	"rota.dev/rota/schema"
)

// rendered are the examples, what each consists of, and what rota warns about.
var rendered = []struct {
	repository, path string
	objects          []string
	warnings         []string
}{
	{
		repository: "hello",
		objects:    []string{"CronJob hello"},
	},
	{
		repository: "hello-v1beta1",
		objects:    []string{"CronJob hello"},
		warnings:   []string{"batch/v1beta1"},
	},
	{
		repository: "expansion",
		objects:    []string{"Job process-item-apple", "Job process-item-banana", "Job process-item-cherry"},
	},
	{
		repository: "jinja",
		objects:    []string{"Job jobexample-apple", "Job jobexample-banana", "Job jobexample-raspberry"},
	},
	{
		repository: "overlays", path: "overlays/dev",
		objects: []string{
			"Namespace batch-dev", "CronJob batch-dev/dev-report", "Job batch-dev/dev-import-eu", "Job batch-dev/dev-import-us",
			"ConfigMap batch-dev/dev-settings-HASH",
		},
	},
	{
		repository: "overlays", path: "overlays/prod",
		objects: []string{
			"Namespace batch-prod", "CronJob batch-prod/report", "Job batch-prod/import-eu", "Job batch-prod/import-us",
			"ConfigMap batch-prod/settings-HASH",
		},
	},
	{
		repository: "overlays",
		objects: []string{
			"Namespace batch-dev", "CronJob batch-dev/dev-report", "Job batch-dev/dev-import-eu", "Job batch-dev/dev-import-us",
			"ConfigMap batch-dev/dev-settings-HASH",
			"Namespace batch-prod", "CronJob batch-prod/report", "Job batch-prod/import-eu", "Job batch-prod/import-us",
			"ConfigMap batch-prod/settings-HASH",
		},
	},
	{
		repository: "rabbitmq",
		objects: []string{
			"Deployment rabbitmq", "Service rabbitmq-service", "Job fill-job1", "Job job-wq-1",
			"ConfigMap rabbitmq-config-HASH", "ConfigMap scripts-HASH", "ConfigMap queue-HASH",
		},
	},
	{
		repository: "redis",
		objects: []string{
			"Deployment redis-master", "Service redis", "Job fill-job2", "Job job-wq-2",
			"ConfigMap scripts-HASH", "ConfigMap queue-HASH",
		},
	},
}

// generatedHash is the suffix that kustomize gives to a generated ConfigMap.
var generatedHash = regexp.MustCompile(`-[bcdfghkmt2456789]{10}$`)

func TestEveryExampleRenders(t *testing.T) {
	for _, example := range rendered {
		t.Run(strings.TrimSuffix(example.repository+"/"+example.path, "/"), func(t *testing.T) {
			result := renderExample(t, example.repository, example.path)
			var got []string
			for _, object := range result.Objects {
				name := object.Key().String()
				if object.GetKind() == "ConfigMap" {
					name = generatedHash.ReplaceAllString(name, "-HASH")
				}
				got = append(got, strings.Replace(name, " /", " ", 1))
			}
			if diff := cmp.Diff(sorted(example.objects), sorted(got)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if len(result.Warnings) != len(example.warnings) {
				t.Fatalf("got warnings %v, want %d", result.Warnings, len(example.warnings))
			}
			for i, want := range example.warnings {
				if got := result.Warnings[i].Error(); !strings.Contains(got, want) {
					t.Errorf("warning %q does not speak of %q", got, want)
				}
			}
		})
	}
}

// TestEveryDirectoryIsListed keeps a new example from going untested.
func TestEveryDirectoryIsListed(t *testing.T) {
	listed := map[string]bool{}
	for _, example := range rendered {
		listed[example.repository] = true
	}
	overview, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	embedded, err := FS.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	isEmbedded := map[string]bool{}
	for _, entry := range embedded {
		isEmbedded[entry.Name()] = true
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if !listed[entry.Name()] {
			t.Errorf("%s is in no test", entry.Name())
		}
		if !isEmbedded[entry.Name()] {
			t.Errorf("%s is not embedded in FS", entry.Name())
		}
		if _, err := os.Stat(entry.Name() + "/README.md"); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(overview), "("+entry.Name()+"/)") {
			t.Errorf("README.md has no link to %s", entry.Name())
		}
	}
}

func TestHelloIsTheSameInBothSpellings(t *testing.T) {
	stable := renderExample(t, "hello", "").Objects[0]
	old := renderExample(t, "hello-v1beta1", "").Objects[0]
	for _, object := range []schema.Object{stable, old} {
		if got, want := object.GetAPIVersion(), "batch/v1"; got != want {
			t.Errorf("%s: got apiVersion %s, want %s", object.Origin, got, want)
		}
		if got, want := field(t, object.Unstructured, "spec", "schedule"), "*/1 * * * *"; got != want {
			t.Errorf("%s: got schedule %q, want %q", object.Origin, got, want)
		}
	}
	// The guide gives the words as args; without an entrypoint in the image
	// they are the command.
	command := container(t, stable)["command"]
	if diff := cmp.Diff(command, container(t, old)["args"]); diff != "" {
		t.Errorf("the two run different commands:\n%s", diff)
	}
}

func TestTemplatesPutTheirParametersIntoTheCommand(t *testing.T) {
	for repository, want := range map[string][]string{
		"expansion": {
			"echo Processing item apple && sleep 5",
			"echo Processing item banana && sleep 5",
			"echo Processing item cherry && sleep 5",
		},
		"jinja": {
			"echo Processing URL http://www.orangepippin.com/apples && sleep 5",
			"echo Processing URL https://en.wikipedia.org/wiki/Banana && sleep 5",
			"echo Processing URL https://www.raspberrypi.org/ && sleep 5",
		},
	} {
		var got []string
		for _, object := range renderExample(t, repository, "").Objects {
			command := container(t, object)["command"].([]any)
			got = append(got, command[len(command)-1].(string))
			if group := object.GetLabels()["jobgroup"]; group != "jobexample" {
				t.Errorf("%s: %s has jobgroup=%q", repository, object.Key(), group)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", repository, diff)
		}
	}
}

func TestOverlaysDifferWhereTheySay(t *testing.T) {
	got := map[string][]string{}
	for _, overlay := range []string{"overlays/dev", "overlays/prod"} {
		for _, object := range renderExample(t, "overlays", overlay).Objects {
			switch object.GetKind() {
			case "CronJob":
				got[overlay] = append(got[overlay], field(t, object.Unstructured, "spec", "schedule"),
					field(t, object.Unstructured, "spec", "timeZone"))
				fallthrough
			case "Job":
				got[overlay] = append(got[overlay], container(t, object)["image"].(string))
			case "ConfigMap":
				got[overlay] = append(got[overlay], field(t, object.Unstructured, "data", "WAREHOUSE")+" "+field(t, object.Unstructured, "data", "ROWS"))
			}
		}
		got[overlay] = sorted(got[overlay])
	}
	want := map[string][]string{
		"overlays/dev":  {"*/10 * * * *", "Etc/UTC", "busybox:1.37", "busybox:1.37", "busybox:1.37", "scratch 10"},
		"overlays/prod": {"30 4 * * *", "Europe/Berlin", "busybox:1.36", "busybox:1.36", "busybox:1.36", "ledger 100000"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("overlays (-want +got):\n%s", diff)
	}
}

// TestJobsReadTheirOwnOverlaysSettings: the hash in the generated name is what
// makes a change of the settings a change of the Job.
func TestJobsReadTheirOwnOverlaysSettings(t *testing.T) {
	for _, overlay := range []string{"overlays/dev", "overlays/prod"} {
		objects := renderExample(t, "overlays", overlay).Objects
		generated := ""
		for _, object := range objects {
			if object.GetKind() == "ConfigMap" {
				generated = object.GetName()
			}
		}
		for _, object := range objects {
			if object.GetKind() != "Job" && object.GetKind() != "CronJob" {
				continue
			}
			from := container(t, object)["envFrom"].([]any)[0].(map[string]any)
			if got := from["configMapRef"].(map[string]any)["name"]; got != generated {
				t.Errorf("%s reads %v, want %s", object.Key(), got, generated)
			}
		}
	}
}

func renderExample(t *testing.T, repository, path string) render.Result {
	t.Helper()
	result, err := render.Render(render.Tree{FS: os.DirFS(repository), Path: path}, render.Options{})
	if err != nil {
		t.Fatalf("rendering %s/%s: %v", repository, path, err)
	}
	if len(result.Objects) == 0 {
		t.Fatalf("rendering %s/%s: no objects", repository, path)
	}
	return result
}

// container returns the first container of a Job or CronJob, not a copy.
func container(t *testing.T, object schema.Object) map[string]any {
	t.Helper()
	path := []string{"spec", "template", "spec", "containers"}
	if object.GetKind() == "CronJob" {
		path = append([]string{"spec", "jobTemplate"}, path...)
	}
	found, _, err := unstructured.NestedFieldNoCopy(object.Object, path...)
	list, ok := found.([]any)
	if !ok || len(list) == 0 {
		t.Fatalf("%s has no containers: %v", object.Key(), err)
	}
	return list[0].(map[string]any)
}

func sorted(texts []string) []string { return slices.Sorted(slices.Values(texts)) }

func field(t *testing.T, object *unstructured.Unstructured, path ...string) string {
	t.Helper()
	value, ok, err := unstructured.NestedString(object.Object, path...)
	if err != nil || !ok {
		t.Fatalf("%s has no text at %s: %v", object.GetName(), strings.Join(path, "."), err)
	}
	return value
}
