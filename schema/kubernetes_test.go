package schema

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestEveryKindCompiles(t *testing.T) {
	c := readCatalog(kubernetesSchema)
	if !strings.HasPrefix(c.version, "v1.") || len(c.kinds) < 90 || len(c.lines) < 500 {
		t.Fatalf("the schema is of %q and has %d kinds and %d definitions", c.version, len(c.kinds), len(c.lines))
	}
	for name := range c.kinds {
		apiVersion, kind, _ := strings.Cut(name, " ")
		if d := c.kind(apiVersion, kind); d == nil || d.fields["metadata"] == nil || !d.closed {
			t.Errorf("%s has no usable schema", name)
		}
	}
	for name := range c.lines {
		c.named(name)
	}
}

// TestTablesNameTypesAndFieldsThatExist finds what a new version of Kubernetes
// has renamed; a check of a field that is gone fails as its type compiles.
func TestTablesNameTypesAndFieldsThatExist(t *testing.T) {
	c := readCatalog(kubernetesSchema)
	types := map[string]*definition{}
	for name := range c.lines {
		types[shortName(name)] = c.named(name)
	}
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		if types[name] == nil {
			t.Errorf("there are checks of %s, and no such type", name)
		}
	}
	for name, fields := range gates {
		for field := range fields {
			if types[name] == nil || types[name].fields[field] == nil {
				t.Errorf("%s.%s is gated, and does not exist", name, field)
			}
		}
	}
	for name, fields := range unchecked {
		for _, field := range fields {
			if types[name] == nil || types[name].fields[field] == nil {
				t.Errorf("%s.%s is unchecked, and does not exist", name, field)
			}
		}
	}
}

// library returns the schema of a kind as a JSON Schema library reads it.
func library(t testing.TB, kind string) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(kubernetesSchema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.RegisterFormat(&jsonschema.Format{Name: "quantity", Validate: func(v any) error {
		if text, ok := v.(string); ok {
			_, err := resource.ParseQuantity(text)
			return err
		}
		return nil
	}})
	compiler.AssertFormat()
	if err := compiler.AddResource("kubernetes.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("kubernetes.json#/definitions/" + kubernetes().kinds[kind])
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTheWalkAgreesWithALibrary holds our reading of the schema to the drafts':
// what a library that knows all of JSON Schema finds, the walk finds too, and
// the other way round for what draft-07 can say.
func TestTheWalkAgreesWithALibrary(t *testing.T) {
	s := library(t, "batch/v1 CronJob")
	seed := object(t, goodCronJob).Object
	judge := func(what string, m map[string]any) {
		v := validator{memo: newMemo(), root: &newArena().root}
		v.value(m, kubernetes().kind("batch/v1", "CronJob"), v.root)
		ours := slices.ContainsFunc(v.faults, func(f fault) bool {
			// Empty words, ranges of numbers and identities are Kubernetes' own.
			return f.schema && f.rule != "R077" && !strings.Contains(f.message, "32 bits")
		})
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if theirs := s.Validate(instance) != nil; theirs != ours {
			t.Errorf("%s: the library finds a fault: %v, the walk: %v (%v)", what, theirs, ours, v.faults)
		}
	}
	judge("the seed", seed)
	values := []any{"text", int64(7), true, 1.5, map[string]any{}, map[string]any{"unknown": "x"}, []any{}, []any{map[string]any{}}, []any{"a"}, []any{nil}}
	mutateAll(seed, "", func(where string, set func(any)) {
		for _, value := range values {
			set(value)
			judge(where, seed)
		}
	})
}

// mutateAll calls f for every place below v with a way to put a value there; v
// is as before afterwards.
func mutateAll(v any, where string, f func(where string, set func(any))) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range sortedNames(v) {
			before := v[name]
			f(where+"."+name, func(value any) { v[name] = value })
			v[name] = before
			mutateAll(before, where+"."+name, f)
		}
	case []any:
		for i, before := range v {
			f(where+"[]", func(value any) { v[i] = value })
			v[i] = before
			mutateAll(before, where+"[]", f)
		}
	}
}

// BenchmarkWalkBesideALibrary prints what decided for a walk of our own: the
// same Job, the same schema.
func BenchmarkWalkBesideALibrary(b *testing.B) {
	m := object(b, goodJob).Object
	b.Run("walk", func(b *testing.B) {
		d, memo, places := kubernetes().kind("batch/v1", "Job"), newMemo(), newArena()
		b.ReportAllocs()
		for b.Loop() {
			v := validator{memo: memo, root: &places.root}
			v.value(m, d, v.root)
			places.reset(false)
		}
	})
	b.Run("library", func(b *testing.B) {
		s := library(b, "batch/v1 Job")
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Validate(m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
