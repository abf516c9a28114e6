package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// definitionChecks are those of CustomResourceDefinitions, after the API
// server's ValidateStructural and
// ValidateCustomResourceDefinitionOpenAPISchema (Kubernetes 1.37).
var definitionChecks = map[string][]check{
	"apiextensions.v1.CustomResourceDefinition":        {whole((*validator).definitionName)},
	"apiextensions.v1.CustomResourceDefinitionSpec":    {whole((*validator).definitionVersions)},
	"apiextensions.v1.CustomResourceDefinitionVersion": {whole((*validator).definitionVersion)},
}

func (v *validator) definitionName(m map[string]any, at *place) {
	root := mapOf(m, "spec")
	want := textOf(mapOf(root, "names"), "plural") + "." + textOf(root, "group")
	if want != "." && v.key.Name != want {
		v.fail("R087", at.fields("metadata", "name"), fmt.Sprintf("the name must be %s, the plural and the group", want), "Write it so.")
	}
}

func (v *validator) definitionVersions(m map[string]any, at *place) {
	stored := 0
	for _, version := range mappings(listOf(m, "versions")) {
		if boolOf(version, "storage") {
			stored++
		}
	}
	if stored != 1 {
		v.fail("R087", at.field("versions"), fmt.Sprintf("%d versions have storage: true; exactly one must", stored), "Set storage: true in the version that is to be stored, and false in the others.")
	}
}

func (v *validator) definitionVersion(m map[string]any, at *place) {
	at = at.fields("schema", "openAPIV3Schema")
	raw, ok := mapOf(m, "schema")["openAPIV3Schema"].(map[string]any)
	if !ok {
		v.broken(at, "the version has no schema", "Add schema.openAPIV3Schema; `{type: object, x-kubernetes-preserve-unknown-fields: true}` takes any object.")
		return
	}
	v.structural(raw, at, levelRoot)
}

// level is where in a structural schema a part of it stands.
type level int

const (
	levelRoot level = iota
	levelField
	levelNested // in allOf, anyOf, oneOf or not, where no shape can be given
)

func (v *validator) broken(at *place, message, mend string) { v.fail("R087", at, message, mend) }

// unsupportedKeywords are of JSON Schema and not of CustomResourceDefinitions.
var unsupportedKeywords = []string{"$ref", "id", "additionalItems", "patternProperties", "definitions", "dependencies"}

// structural checks one schema of a CustomResourceDefinition and those in it.
func (v *validator) structural(raw map[string]any, at *place, where level) {
	for _, name := range unsupportedKeywords {
		if has(raw, name) {
			v.broken(at.field(name), name+" is not supported in the schema of a CustomResourceDefinition", "Write the schema out without it.")
		}
	}
	if boolOf(raw, "uniqueItems") {
		v.broken(at.field("uniqueItems"), "uniqueItems is refused, for its cost is quadratic", "Write x-kubernetes-list-type: set.")
	}
	if pattern := textOf(raw, "pattern"); pattern != "" {
		if _, err := regexp.Compile(pattern); err != nil {
			v.broken(at.field("pattern"), "the pattern is no regular expression of Go: "+err.Error(), "Correct it; lookahead and backreferences are not known there.")
		}
	}
	if where == levelNested {
		v.nested(raw, at)
	} else {
		v.shaped(raw, at, where)
		v.listed(raw, at)
	}
	v.parts(raw, at, where)
}

// shaped checks what gives a value its shape.
func (v *validator) shaped(raw map[string]any, at *place, where level) {
	kind, free := textOf(raw, "type"), boolOf(raw, "x-kubernetes-preserve-unknown-fields")
	either, embedded := boolOf(raw, "x-kubernetes-int-or-string"), boolOf(raw, "x-kubernetes-embedded-resource")
	properties := mapOf(raw, "properties")
	rest, closed := raw["additionalProperties"].(bool)
	switch {
	case kind == "" && where == levelRoot:
		v.broken(at.field("type"), "the type is missing", "Write type: object.")
	case kind == "" && !either && !free:
		v.broken(at.field("type"), "the type is missing", "Write type: object, array, string, integer, number or boolean.")
	case kind != "" && typeNames[kind] == 0:
		v.broken(at.field("type"), fmt.Sprintf("%q is no type", kind), "Write object, array, string, integer, number or boolean.")
	case kind != "object" && (where == levelRoot || embedded):
		v.broken(at.field("type"), fmt.Sprintf("an object cannot have the type %q", kind), "Write type: object.")
	case kind == "array" && mapOf(raw, "items") == nil:
		v.broken(at.field("items"), "an array needs the schema of its items", "Add items, a mapping.")
	}
	switch {
	case !has(raw, "additionalProperties"):
	case where == levelRoot || embedded:
		v.broken(at.field("additionalProperties"), "an object of the API cannot have additionalProperties", "List its properties, or write x-kubernetes-preserve-unknown-fields: true.")
	case len(properties) > 0 && (!closed || !rest):
		v.broken(at.field("additionalProperties"), "properties and additionalProperties exclude each other", "Keep properties for known fields, or additionalProperties for free keys.")
	}
	if preserve, set := raw["x-kubernetes-preserve-unknown-fields"]; set && preserve != true {
		v.broken(at.field("x-kubernetes-preserve-unknown-fields"), "the field is true or absent", "Remove it.")
	}
	if either && (free || embedded) {
		v.broken(at.field("x-kubernetes-int-or-string"), "x-kubernetes-int-or-string excludes the other kinds of values", "Remove one of them.")
	}
	if embedded && !free && len(properties) == 0 {
		v.broken(at.field("properties"), "an embedded resource needs properties or x-kubernetes-preserve-unknown-fields", "Add one of them.")
	}
	if where == levelRoot {
		v.rootMetadata(mapOf(properties, "metadata"), at.fields("properties", "metadata"))
	}
}

// rootMetadata allows what the schema of a kind may say of metadata.
func (v *validator) rootMetadata(metadata map[string]any, at *place) {
	for name := range mapOf(metadata, "properties") {
		if name != "name" && name != "generateName" {
			v.broken(at.field("properties").field(name), "of metadata only name and generateName can be restricted", "Remove it; the rest of metadata is known.")
		}
	}
}

// listed checks what tells the items of a list apart.
func (v *validator) listed(raw map[string]any, at *place) {
	how, keys := textOf(raw, "x-kubernetes-list-type"), texts(raw["x-kubernetes-list-map-keys"])
	switch {
	case how == "" && len(keys) > 0, how != "" && how != "map" && len(keys) > 0:
		v.broken(at.field("x-kubernetes-list-map-keys"), "keys need x-kubernetes-list-type: map", "Set it, or remove the keys.")
	case how == "":
		return
	case !slices.Contains([]string{"atomic", "set", "map"}, how):
		v.broken(at.field("x-kubernetes-list-type"), fmt.Sprintf("%q is none of atomic, set, map", how), "Write one of them.")
	case textOf(raw, "type") != "array":
		v.broken(at.field("x-kubernetes-list-type"), "only an array has a list type", "Remove it, or write type: array.")
	case how == "map" && len(keys) == 0:
		v.broken(at.field("x-kubernetes-list-map-keys"), "a list of type map needs keys", "Name the fields that tell its items apart.")
	case how == "map":
		v.listKeys(mapOf(raw, "items"), keys, at)
	}
}

func (v *validator) listKeys(items map[string]any, keys []string, at *place) {
	if kind := textOf(items, "type"); kind != "" && kind != "object" {
		v.broken(at.fields("items", "type"), "the items of a list of type map are objects", "Write type: object.")
	}
	properties := mapOf(items, "properties")
	for i, key := range keys {
		at := at.field("x-kubernetes-list-map-keys").item(i)
		property := mapOf(properties, key)
		switch kind := textOf(property, "type"); {
		case property == nil:
			v.broken(at, fmt.Sprintf("the items have no property %q", key), "Name one of: "+strings.Join(sortedNames(properties), ", ")+".")
		case kind == "object" || kind == "array":
			v.broken(at, fmt.Sprintf("the property %q is no scalar", key), "Name properties with one value.")
		case !slices.Contains(texts(items["required"]), key) && !has(property, "default"):
			v.broken(at, fmt.Sprintf("the property %q is neither required nor has a default", key), "Add it to required of the items, or give it a default.")
		}
	}
}

// shapes are the keywords that give a shape, which alternatives cannot.
var shapes = []string{"type", "additionalProperties", "default", "nullable", "title", "description", "x-kubernetes-preserve-unknown-fields",
	"x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"}

func (v *validator) nested(raw map[string]any, at *place) {
	for _, name := range shapes {
		if has(raw, name) {
			v.broken(at.field(name), name+" cannot stand inside allOf, anyOf, oneOf or not", "Write it outside, beside the allOf, anyOf, oneOf or not.")
		}
	}
}

// parts goes on with the schemas inside raw.
func (v *validator) parts(raw map[string]any, at *place, where level) {
	inner := max(where, levelField)
	for name, field := range mapOf(raw, "properties") {
		if field, ok := field.(map[string]any); ok {
			v.structural(field, at.field("properties").key(name), inner)
		}
	}
	for _, name := range []string{"items", "additionalProperties"} {
		if one, ok := raw[name].(map[string]any); ok {
			v.structural(one, at.field(name), inner)
		}
	}
	if not, ok := raw["not"].(map[string]any); ok {
		v.structural(not, at.field("not"), levelNested)
	}
	for _, name := range []string{"allOf", "anyOf", "oneOf"} {
		for i, one := range mappings(listOf(raw, name)) {
			if one != nil && !intOrString(raw, name, i) {
				v.structural(one, at.field(name).item(i), levelNested)
			}
		}
	}
}

// intOrString reports whether an alternative is part of the pattern that an
// int-or-string may have: anyOf of the two types, or allOf that begins with it.
func intOrString(raw map[string]any, name string, index int) bool {
	if !boolOf(raw, "x-kubernetes-int-or-string") {
		return false
	}
	list := mappings(listOf(raw, name))
	switch name {
	case "anyOf":
		return len(list) == 2 && textOf(list[0], "type") == "integer" && textOf(list[1], "type") == "string"
	case "allOf":
		any := mappings(listOf(list[0], "anyOf"))
		return index == 0 && len(any) == 2 && textOf(any[0], "type") == "integer" && textOf(any[1], "type") == "string"
	}
	return false
}
