package schema

import (
	"slices"
)

// The rules look at fields of a type. What has another type is told by the
// schema, and counts as absent here.

func mapOf(m map[string]any, name string) map[string]any {
	field, _ := m[name].(map[string]any)
	return field
}

func listOf(m map[string]any, name string) []any {
	field, _ := m[name].([]any)
	return field
}

func textOf(m map[string]any, name string) string {
	field, _ := m[name].(string)
	return field
}

func boolOf(m map[string]any, name string) bool {
	field, _ := m[name].(bool)
	return field
}

func intOf(m map[string]any, name string) (int64, bool) {
	n, ok := m[name].(int64)
	return n, ok
}

func has(m map[string]any, name string) bool {
	_, ok := m[name]
	return ok
}

func sortedNames(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// given reports whether a field is there and no empty list, which the API
// server takes for none.
func given(m map[string]any, name string) bool {
	value, ok := m[name]
	list, isList := value.([]any)
	return ok && (!isList || len(list) > 0)
}

// mappings returns the items of a list that are mappings; others are nil, so that
// indexes stay.
func mappings(list []any) []map[string]any {
	all := make([]map[string]any, len(list))
	for i, item := range list {
		all[i], _ = item.(map[string]any)
	}
	return all
}
