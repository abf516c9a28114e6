package review

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/tools/txtar"

	"rota.dev/rota/reconcile/forecast"
	"rota.dev/rota/reconcile/plan"
)

// holdToSchema holds an output to the schema that documents it.
func holdToSchema(t *testing.T, text string) {
	t.Helper()
	schemaDoc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(JSONSchema())))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("plan.schema.json", schemaDoc); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("plan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(doc); err != nil {
		t.Errorf("the output is not what its schema says: %v", err)
	}
}

// Every property that the schema documents is met in a golden file, so that
// none documents what no output has.
func TestTheSchemaDocumentsNothingThatNoOutputHas(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(JSONSchema(), &root); err != nil {
		t.Fatal(err)
	}
	met := map[string]bool{}
	paths, _ := filepath.Glob("testdata/*.txtar")
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			var doc any
			if f.Name == "json" && json.Unmarshal(f.Data, &doc) == nil {
				meet(met, doc)
			}
		}
	}
	names := map[string]bool{}
	documented(names, root)
	if len(names) < 50 {
		t.Fatalf("found only %d properties in the schema", len(names))
	}
	// Drift is only on a cluster, and clocks change where they are told to.
	var rest any
	if err := json.Unmarshal([]byte(outputOf(t, "json", fullReview())), &rest); err != nil {
		t.Fatal(err)
	}
	meet(met, rest)
	for name := range names {
		if !met[name] {
			t.Errorf("no golden file has %s", name)
		}
	}
}

// fullReview has what the golden files cannot.
func fullReview() Review {
	at := time.Date(2027, 3, 28, 2, 0, 0, 0, time.FixedZone("CET", 3600))
	o := cronJob("nightly", "30 2 * * *", "Europe/Berlin")
	c := plan.Change{Key: o.Key(), Op: plan.Update, Reason: plan.ReasonDrifted, Effect: "will be corrected", Object: &o,
		Lost: []plan.LostField{{Path: "spec.suspend", Manager: "kubectl-patch", Operation: "Update", Time: at}, {Path: "spec.schedule"}}}
	times := forecast.Comparison{Changes: []forecast.Change{{Namespace: "batch", Name: "nightly",
		Surprises: []forecast.Surprise{{At: at, Text: "02:30 does not exist: the run is left out"}}}}}
	return Review{Input: Input{Plan: plan.Plan{Changes: []plan.Change{c}}, Now: testNow}, Times: times}
}

func TestDriftAndChangesOfTheClocksAreWhatTheSchemaSays(t *testing.T) {
	text := outputOf(t, "json", fullReview())
	holdToSchema(t, text)
	for _, want := range []string{`"manager": "kubectl-patch"`, `"time": "2027-03-28T01:00:00Z"`, `"at": "2027-03-28T02:00:00+01:00"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

func meet(met map[string]bool, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, below := range v {
			met[name] = true
			meet(met, below)
		}
	case []any:
		for _, below := range v {
			meet(met, below)
		}
	}
}

func documented(names map[string]bool, v any) {
	switch v := v.(type) {
	case map[string]any:
		if properties, ok := v["properties"].(map[string]any); ok {
			for name := range properties {
				names[name] = true
			}
		}
		for _, below := range v {
			documented(names, below)
		}
	case []any:
		for _, below := range v {
			documented(names, below)
		}
	}
}
