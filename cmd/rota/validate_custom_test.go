package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"rota.dev/rota/schema"
)

var definitionsResource = k8sschema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// customCase returns the CustomResourceDefinition of the tests and an object of
// its kind.
func customCase(t testing.TB) (definition, object map[string]any) {
	t.Helper()
	text, err := os.ReadFile("testdata/validate/custom.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documents, err := schema.ReadDocuments("custom.yaml", text, schema.DocumentLimits{})
	if err != nil {
		t.Fatal(err)
	}
	var values []map[string]any
	for _, d := range documents {
		value, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value.(map[string]any))
	}
	return values[0], values[1]
}

// define has the server serve a kind until the test ends.
func (s *server) define(t *testing.T, definition map[string]any) {
	t.Helper()
	u := &unstructured.Unstructured{Object: definition}
	client := s.client.Resource(definitionsResource)
	if _, err := client.Apply(t.Context(), u.GetName(), u, metav1.ApplyOptions{FieldManager: "test"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Delete(context.Background(), u.GetName(), metav1.DeleteOptions{}) })
	names, _, _ := unstructured.NestedString(definition, "spec", "names", "kind")
	group, _, _ := unstructured.NestedString(definition, "spec", "group")
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		s.mapper.Reset()
		_, err := s.mapper.RESTMapping(k8sschema.GroupKind{Group: group, Kind: names}, "v1")
		if meta.IsNoMatchError(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCustomKindsAreJudgedAsByTheServer holds the check by the schema of a
// CustomResourceDefinition to what the server makes of it.
func TestCustomKindsAreJudgedAsByTheServer(t *testing.T) {
	s := newServer(t)
	definition, object := customCase(t)
	s.define(t, definition)
	s.beside = []schema.Object{{Unstructured: &unstructured.Unstructured{Object: definition}}}
	root, _, err := unstructured.NestedSlice(definition, "spec", "versions")
	if err != nil {
		t.Fatal(err)
	}
	shape := root[0].(map[string]any)["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
	shape["properties"].(map[string]any)["metadata"] = map[string]any{"type": "object", "properties": map[string]any{
		"labels": map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}}}}
	m := &mutants{seed: object}
	compare(t, s.judge(t.Context(), m.of(shape)))
}

// TestBrokenDefinitionsAreFound holds what is said of broken schemas to what
// the server says. Each case changes the schema of one property, or where it
// begins with a slash the place named.
func TestBrokenDefinitionsAreFound(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct{ what, at, value string }{
		{"a good one", "spec.properties.size", `{"type": "integer"}`},
		{"a good int-or-string", "spec.properties.size", `{"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "x"}]}`},
		{"no type", "spec.properties.size", `{"minimum": 1}`},
		{"an unknown type", "spec.properties.size", `{"type": "int"}`},
		{"a list without items", "spec.properties.size", `{"type": "array"}`},
		{"items without a type", "spec.properties.size", `{"type": "array", "items": {}}`},
		{"a list of schemas for items", "spec.properties.size", `{"type": "array", "items": [{"type": "string"}]}`},
		{"a bad pattern", "spec.properties.size", `{"type": "string", "pattern": "("}`},
		{"a pattern with lookahead", "spec.properties.size", `{"type": "string", "pattern": "(?!a)"}`},
		{"unique items", "spec.properties.size", `{"type": "array", "uniqueItems": true, "items": {"type": "string"}}`},
		{"a reference", "spec.properties.size", `{"$ref": "#/definitions/x"}`},
		{"pattern properties", "spec.properties.size", `{"type": "object", "patternProperties": {"a": {"type": "string"}}}`},
		{"both kinds of properties", "spec.properties.size", `{"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}`},
		{"a type in an alternative", "spec.properties.size", `{"type": "object", "anyOf": [{"type": "object"}]}`},
		{"a description in an alternative", "spec.properties.size", `{"type": "object", "anyOf": [{"description": "x"}]}`},
		{"a good type beside int-or-string", "spec.properties.size", `{"type": "string", "x-kubernetes-int-or-string": true}`},
		{"false for preserve", "spec.properties.size", `{"type": "object", "x-kubernetes-preserve-unknown-fields": false}`},
		{"keys without a list type", "spec.properties.size", `{"type": "array", "x-kubernetes-list-map-keys": ["a"], "items": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}`},
		{"a map without keys", "spec.properties.size", `{"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}`},
		{"a key that is no property", "spec.properties.size", `{"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["b"], "items": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}`},
		{"a key that is optional", "spec.properties.size", `{"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"], "items": {"type": "object", "properties": {"a": {"type": "string"}}}}`},
		{"a key that is a list", "spec.properties.size", `{"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"], "items": {"type": "object", "required": ["a"], "properties": {"a": {"type": "array", "items": {"type": "string"}}}}}`},
		{"an unknown list type", "spec.properties.size", `{"type": "array", "x-kubernetes-list-type": "bag", "items": {"type": "string"}}`},
		{"a list type of no list", "spec.properties.size", `{"type": "string", "x-kubernetes-list-type": "set"}`},
		{"an embedded text", "spec.properties.size", `{"type": "string", "x-kubernetes-embedded-resource": true}`},
		{"an embedded resource without fields", "spec.properties.size", `{"type": "object", "x-kubernetes-embedded-resource": true}`},
		{"a keyword that nobody knows", "spec.properties.size", `{"type": "string", "const": "x"}`},
		{"a good alternative with a property of its own", "spec.properties.size", `{"type": "object", "anyOf": [{"properties": {"a": {"pattern": "x"}}}]}`},
		{"a bad pattern deep in an alternative", "spec.properties.size", `{"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"properties": {"a": {"pattern": "("}}}]}`},
		{"labels in metadata", "metadata", `{"type": "object", "properties": {"labels": {"type": "object"}}}`},
		{"names in metadata", "metadata", `{"type": "object", "properties": {"name": {"type": "string", "pattern": "a"}}}`},
	} {
		definition, _ := customCase(t)
		definition = runtime.DeepCopyJSON(definition)
		u := &unstructured.Unstructured{Object: definition}
		u.SetName("others.factory.example.com")
		_ = unstructured.SetNestedStringMap(definition, map[string]string{"plural": "others", "singular": "other", "kind": "Other", "listKind": "OtherList"}, "spec", "names")
		documents, err := schema.ReadDocuments("", []byte(c.value), schema.DocumentLimits{})
		if err != nil {
			t.Fatal(err)
		}
		value, err := documents[0].Value()
		if err != nil {
			t.Fatal(err)
		}
		set(definition, append(strings.Split("spec.versions.0.schema.openAPIV3Schema.properties", "."), strings.Split(c.at, ".")...), value)
		j := s.judge(t.Context(), []mutant{{c.what, definition}})[0]
		if (j.refused != nil) != (len(j.errors) > 0) {
			t.Errorf("%s: the server says %v, and offline: %v", c.what, j.refused, j.errors)
		}
		if good := strings.HasPrefix(c.what, "a good") || c.at == "metadata" && strings.HasPrefix(c.what, "names"); good == (j.refused != nil) {
			t.Errorf("%s: the server says %v", c.what, fmt.Sprint(j.refused))
		}
	}
}
