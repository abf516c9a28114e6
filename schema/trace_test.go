package schema

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// written returns the object of a text, as a file of that name has it.
func asWritten(t *testing.T, file, text string) Object {
	t.Helper()
	documents, err := ReadDocuments(file, []byte(text), DocumentLimits{})
	if err != nil {
		t.Fatal(err)
	}
	value, err := documents[0].Value()
	if err != nil {
		t.Fatal(err)
	}
	return Object{Unstructured: newUnstructured(value.(map[string]any)), Origin: documents[0].Origin(), Fields: NewSource(file, []byte(text)).Fields(0, false)}
}

func TestTraceOfAFileTellsWhatItIsToEachObject(t *testing.T) {
	plain := asWritten(t, "cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\ndata:\n  a.b/c: x\n")
	expanded := asWritten(t, "e.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: made}\n")
	expanded.Fields = nil
	expanded.Origin = Origin{File: "e.yaml", Line: 6, Template: "t.yaml", TemplateLine: 1, Item: 2, ParameterFile: "items.csv", ParameterLine: 3}
	for _, test := range []struct {
		file string
		line int
		want []string
	}{
		{"cm.yaml", 0, []string{"ConfigMap plain as source"}},
		{"cm.yaml", 5, []string{"ConfigMap plain as source: data[a.b/c]"}},
		{"cm.yaml", 4, nil},
		{"e.yaml", 0, []string{"Job made as expansion"}},
		{"e.yaml", 6, []string{"Job made as expansion"}},
		{"t.yaml", 0, []string{"Job made as template"}},
		{"items.csv", 0, []string{"Job made as parameters"}},
		{"items.csv", 3, []string{"Job made as parameters"}},
		{"items.csv", 4, nil},
		{"gone.yaml", 0, nil},
	} {
		var got []string
		for _, traced := range TraceFile([]Object{plain, expanded}, test.file, test.line) {
			line := traced.Object.Key().String() + " as " + strings.Join(traced.As, ", ")
			for _, f := range traced.Fields {
				line += ": " + f.Path
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s:%d (-want +got):\n%s", test.file, test.line, diff)
		}
	}
}

func TestObjectsAreFoundByTheirNames(t *testing.T) {
	objects := []Object{asWritten(t, "a.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: hello}\n")}
	for name, want := range map[string]string{"job/hello": "found", "Job/hello": "found", "job.batch/hello": "found", "job/helo": "job/hello", "cronjob/x": ""} {
		found, near := FindObjects(objects, name)
		if len(found) == 1 {
			near = "found"
		}
		if near != want {
			t.Errorf("%s: got %q, want %q", name, near, want)
		}
	}
}

func TestOriginsOfFieldsStandAboveTheirLines(t *testing.T) {
	text := "apiVersion: v1\ndata:\n  a.b: |\n    x\n    y\nitems:\n- image: i\n  name: n\n- z\n"
	got := string(annotated([]byte(text), []TracedField{
		{"data[a.b]", Origin{File: "p.yaml", Line: 3}}, {"items[0].image", Origin{File: "k.yaml", Line: 2}}, {"items[1]", Origin{File: "k.yaml", Line: 4}}, {"gone", Origin{File: "x"}},
	}))
	want := "apiVersion: v1\ndata:\n  # from p.yaml:3\n  a.b: |\n    x\n    y\nitems:\n# from k.yaml:2\n- image: i\n  name: n\n# from k.yaml:4\n- z\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := string(annotated([]byte(text), nil)); got != text {
		t.Errorf("without fields the text changes: %s", got)
	}
}

func TestTraceAnswersForObjectsAndFiles(t *testing.T) {
	objects := []Object{asWritten(t, "jobs/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: x\n")}
	for _, test := range []struct{ what, name, field, want string }{
		{"an object", "configmap/a", "", "ConfigMap a\n  written in jobs/a.yaml:1:1\n"},
		{"an object, seen from a folder", "jobs/ConfigMap/a", "", "ConfigMap a\n  written in jobs/a.yaml:1:1\n"},
		{"a field", "configmap/a", "data.k", "data.k: jobs/a.yaml:5:6\n"},
		{"a field that is not there", "configmap/a", "data.z", "data.z: jobs/a.yaml:5:3\n"},
		{"a file", "jobs/a.yaml", "", "ConfigMap a  source  jobs/a.yaml:1:1\n"},
		{"a line", "jobs/a.yaml:5", "", "ConfigMap a  source  jobs/a.yaml:1:1\n  data.k\n"},
		{"a line of nothing", "jobs/a.yaml:9", "", "no object comes of line 9 of jobs/a.yaml"},
		{"what is no line", "jobs/a.yaml:x", "", `"x" is no number of a line`},
		{"a name that is misspelt", "configmap/b", "", "neither an object nor a file that objects come of is named configmap/b (did you mean configmap/a?)"},
		{"what nobody knows", "elsewhere.txt", "", "neither an object nor a file that objects come of is named elsewhere.txt: `rota render -o name --origin` lists them"},
	} {
		var got strings.Builder
		trace, err := NewTrace(objects, test.name, test.field)
		if err == nil {
			err = trace.WriteText(&got)
		}
		if err != nil {
			got.WriteString(err.Error())
		}
		if diff := cmp.Diff(test.want, got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.what, diff)
		}
	}
}
