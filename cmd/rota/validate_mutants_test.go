package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
)

// mutants makes objects that are nearly right of ones that are, guided by the
// schema of their kind: at every place each fault that a person might make
// there, one at a time.
type mutants struct {
	definitions map[string]any
	kinds       map[string]any
	seed        map[string]any
	found       []mutant
}

// mutant is one faulty object, or one that is right in an unusual way.
type mutant struct {
	// what says where the change is and what it is.
	what   string
	object map[string]any
}

// unchanged is what a seed is called.
const unchanged = "unchanged"

func readSchema(t testing.TB) (definitions, kinds map[string]any) {
	t.Helper()
	text, err := os.ReadFile("../../schema/kubernetes.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	return document["definitions"].(map[string]any), document["x-kubernetes-kinds"].(map[string]any)
}

func mutate(t testing.TB, seed map[string]any) []mutant {
	t.Helper()
	m := &mutants{seed: seed}
	m.definitions, m.kinds = readSchema(t)
	kind := seed["apiVersion"].(string) + " " + seed["kind"].(string)
	name, ok := m.kinds[kind].(string)
	if !ok {
		t.Fatalf("no schema for %s", kind)
	}
	return m.of(m.definitions[name].(map[string]any))
}

// of makes the mutants by the schema of the seed's kind.
func (m *mutants) of(root map[string]any) []mutant {
	m.found = []mutant{{unchanged, m.seed}}
	m.value(m.seed, root, nil)
	return m.found
}

func (m *mutants) resolve(d any) map[string]any {
	s, _ := d.(map[string]any)
	if ref, ok := s["$ref"].(string); ok {
		return m.definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
	}
	return s
}

// skipped are the fields that rendering settles before anything is validated.
var skipped = []string{"apiVersion", "kind", "status", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName", "generation", "managedFields",
	"resourceVersion", "selfLink", "uid", "namespace", "ownerReferences", "finalizers"}

func (m *mutants) value(v any, d map[string]any, at []string) {
	switch v := v.(type) {
	case map[string]any:
		m.mapping(v, d, at)
	case []any:
		m.put(at, []any{}, "empty list")
		m.put(at, "text", "text for a list")
		if len(v) > 0 {
			m.put(at, append(slices.Clone(v), runtime.DeepCopyJSONValue(v[0])), "first item twice")
			items := m.resolve(d["items"])
			for i, item := range v {
				m.value(item, items, append(slices.Clone(at), strconv.Itoa(i)))
			}
		}
	case string:
		for _, text := range []string{"", " ", "Bad Name!", "-x", "a.b", "/abs", "../up", "7", "-1", strings.Repeat("a", 64), strings.Repeat("a", 300)} {
			m.put(at, text, fmt.Sprintf("text %.20q", text))
		}
		m.put(at, int64(7), "number for a text")
		m.put(at, true, "boolean for a text")
	case int64:
		for _, n := range []int64{-1, 0, 1, 300, 70_000, 1 << 31} {
			m.put(at, n, fmt.Sprintf("number %d", n))
		}
		m.put(at, "7", "text for a number")
		m.put(at, 1.5, "fraction")
	case bool:
		m.put(at, !v, "the other")
		m.put(at, "true", "text for a boolean")
	}
}

func (m *mutants) mapping(v, d map[string]any, at []string) {
	properties, _ := d["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if len(at) < 2 && slices.Contains(skipped, name) {
			continue
		}
		field := m.resolve(properties[name])
		if properties[name] == nil {
			field = m.resolve(d["additionalProperties"])
		}
		path := append(slices.Clone(at), name)
		if name != "metadata" && name != "name" || len(at) > 1 {
			m.drop(path)
		}
		m.value(v[name], field, path)
	}
	if properties == nil {
		if d["additionalProperties"] != nil {
			m.put(append(slices.Clone(at), "Bad Key!"), "x", "bad key")
		}
		return
	}
	m.put(append(slices.Clone(at), "unknownField"), "x", "unknown field")
	m.put(at, "text", "text for a mapping")
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if _, there := v[name]; there || len(at) < 2 && slices.Contains(skipped, name) {
			continue
		}
		path := append(slices.Clone(at), name)
		field := m.resolve(properties[name])
		for i, sample := range m.samples(field, 0) {
			m.put(path, sample, fmt.Sprintf("added, sample %d", i))
		}
	}
}

// unsupported are fields that no cluster does anything with any more.
var unsupported = []string{"status", "quobyte", "azureDisk", "photonPersistentDisk", "portworxVolume", "vsphereVolume"}

// samples are values that the schema takes.
func (m *mutants) samples(d map[string]any, depth int) []any {
	if words, ok := d["enum"].([]any); ok {
		return append(slices.Clone(words), "", "bogus")
	}
	switch d["format"] {
	case "quantity":
		return []any{"1", "-1", "1.5", "1Gi"}
	case "int-or-string":
		return []any{int64(80), "http"}
	}
	switch d["type"] {
	case "string":
		switch d["format"] {
		case "byte":
			return []any{"aGVsbG8=", "no base64"}
		case "date-time":
			return []any{"2026-12-01T08:00:00Z", "tomorrow"}
		}
		return []any{"x", "", "Bad Name!"}
	case "integer":
		return []any{int64(1), int64(0), int64(-1)}
	case "number":
		return []any{1.5}
	case "boolean":
		return []any{true, false}
	case "array":
		list := []any{[]any{}}
		for _, item := range m.samples(m.resolve(d["items"]), depth+1) {
			list = append(list, []any{item})
		}
		return list
	case "object":
		properties, _ := d["properties"].(map[string]any)
		if properties == nil {
			if rest := m.resolve(d["additionalProperties"]); rest != nil {
				var all []any
				for _, sample := range m.samples(rest, depth+1) {
					all = append(all, map[string]any{"key": sample})
				}
				return all
			}
			return []any{map[string]any{}}
		}
		all := []any{map[string]any{}}
		minimal := map[string]any{}
		for _, name := range stringsOf(d["required"]) {
			if s := m.samples(m.resolve(properties[name]), depth+1); len(s) > 0 {
				minimal[name] = s[0]
			}
		}
		if len(minimal) > 0 {
			all = append(all, minimal)
		}
		if depth > 2 {
			return all
		}
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			if _, there := minimal[name]; there || slices.Contains(unsupported, name) {
				continue
			}
			for i, sample := range m.samples(m.resolve(properties[name]), depth+2) {
				if i > 1 {
					break
				}
				with := maps.Clone(minimal)
				with[name] = sample
				all = append(all, with)
			}
		}
		return all
	}
	return nil
}

func stringsOf(v any) []string {
	var all []string
	list, _ := v.([]any)
	for _, item := range list {
		all = append(all, item.(string))
	}
	return all
}

// put notes the seed with another value at a place.
func (m *mutants) put(at []string, value any, what string) {
	if len(at) == 0 || len(at) == 1 && at[0] == "metadata" || value == "" && strings.Join(at, ".") == "metadata.name" {
		return // rendering has refused it
	}
	object := runtime.DeepCopyJSON(m.seed)
	set(object, at, value)
	m.found = append(m.found, mutant{strings.Join(at, ".") + ": " + what, object})
}

func (m *mutants) drop(at []string) {
	object := runtime.DeepCopyJSON(m.seed)
	set(object, at, nil)
	m.found = append(m.found, mutant{strings.Join(at, ".") + ": removed", object})
}

// set puts value at a place below v, or removes what is there if it is nil.
func set(v any, at []string, value any) {
	switch v := v.(type) {
	case map[string]any:
		switch {
		case len(at) > 1:
			set(v[at[0]], at[1:], value)
		case value == nil:
			delete(v, at[0])
		default:
			v[at[0]] = runtime.DeepCopyJSONValue(value)
		}
	case []any:
		i, _ := strconv.Atoi(at[0])
		if len(at) > 1 {
			set(v[i], at[1:], value)
		} else {
			v[i] = runtime.DeepCopyJSONValue(value)
		}
	}
}
