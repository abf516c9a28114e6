package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// Lost returns the fields of applied that rota no longer owns on live, in the
// order of their paths. It compares ownership, never values: what the server
// defaulted, canonicalised (1000m → 1) or an admission plugin changed in our
// own request stays ours, and so is no drift; what anybody else changed or
// removed is not ours any more (structured-merge-diff moves or drops the
// ownership with every change).
func Lost(applied, live *unstructured.Unstructured) []LostField {
	var ours, others []owner
	for _, e := range live.GetManagedFields() {
		if e.Subresource != "" || e.FieldsV1 == nil {
			continue
		}
		var fields map[string]any
		if json.Unmarshal(e.FieldsV1.Raw, &fields) != nil {
			continue
		}
		o := owner{manager: e.Manager, operation: string(e.Operation), fields: fields}
		if e.Time != nil {
			o.time = e.Time.Time
		}
		if e.Manager == schema.FieldManager {
			ours = append(ours, o)
		} else {
			others = append(others, o)
		}
	}
	w := walker{}
	for _, field := range sortedKeys(applied.Object) {
		switch field {
		case "apiVersion", "kind", "status":
			continue
		case "metadata":
			metadata, _ := applied.Object[field].(map[string]any)
			for _, m := range []string{"annotations", "finalizers", "labels", "ownerReferences"} {
				if v, ok := metadata[m]; ok {
					w.field("metadata."+m, m, v, descend(ours, "f:metadata"), descend(others, "f:metadata"))
				}
			}
			continue
		}
		w.field(field, field, applied.Object[field], ours, others)
	}
	return w.lost
}

// owner is one entry of managedFields, or a branch of it.
type owner struct {
	manager, operation string
	time               time.Time
	fields             map[string]any
}

// walker goes down an applied object and the owners' trees side by side.
// The trees are in the FieldsV1 format: `f:<name>` for a field, `k:<keys>` for
// an item of a keyed list, `v:<value>` for an item of a set, `.` for the node
// itself; a node without children is owned whole.
type walker struct{ lost []LostField }

func (w *walker) field(path, name string, value any, ours, others []owner) {
	mine := descend(ours, "f:"+name)
	theirs := descend(others, "f:"+name)
	w.value(path, value, mine, theirs)
}

func (w *walker) value(path string, value any, mine, theirs []owner) {
	if len(mine) == 0 {
		w.lose(path, theirs)
		return
	}
	if ownedWhole(mine) {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for _, name := range sortedKeys(v) {
			w.field(join(path, name), name, v[name], mine, theirs)
		}
	case []any:
		for i, item := range v {
			match := func(key string) bool { return matches(key, item) }
			w.value(itemPath(path, i, item), item, descendBy(mine, match), descendBy(theirs, match))
		}
	}
}

func (w *walker) lose(path string, theirs []owner) {
	lost := LostField{Path: path}
	for _, o := range theirs {
		if lost.Manager == "" || o.time.After(lost.Time) {
			lost.Manager, lost.Operation, lost.Time = o.manager, o.operation, o.time
		}
	}
	w.lost = append(w.lost, lost)
}

func descend(owners []owner, key string) []owner {
	return descendBy(owners, func(k string) bool { return k == key })
}

func descendBy(owners []owner, match func(string) bool) []owner {
	var out []owner
	for _, o := range owners {
		for key, child := range o.fields {
			if !match(key) {
				continue
			}
			fields, _ := child.(map[string]any)
			o.fields = fields
			out = append(out, o)
			break
		}
	}
	return out
}

// ownedWhole reports whether one of owners has the node without naming what is
// below it: a scalar, an empty or an atomic value.
func ownedWhole(owners []owner) bool {
	return slices.ContainsFunc(owners, func(o owner) bool { return len(o.fields) == 0 })
}

// matches reports whether a `k:` or `v:` key names item. A key field that item
// leaves out was defaulted by the server (a port's protocol), so it matches.
func matches(key string, item any) bool {
	if text, ok := strings.CutPrefix(key, "v:"); ok {
		var v any
		return json.Unmarshal([]byte(text), &v) == nil && equalScalar(v, item)
	}
	text, ok := strings.CutPrefix(key, "k:")
	if !ok {
		return false
	}
	var keys map[string]any
	fields, isMap := item.(map[string]any)
	if !isMap || json.Unmarshal([]byte(text), &keys) != nil {
		return false
	}
	matched := false
	for k, v := range keys {
		mine, ok := fields[k]
		if !ok {
			continue
		}
		if !equalScalar(v, mine) {
			return false
		}
		matched = true
	}
	return matched
}

func equalScalar(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func join(path, name string) string {
	if strings.ContainsAny(name, "./") {
		return fmt.Sprintf("%s[%q]", path, name)
	}
	return path + "." + name
}

// itemPath names an item by the field that people know it by.
func itemPath(path string, i int, item any) string {
	if fields, ok := item.(map[string]any); ok {
		for _, k := range []string{"name", "containerPort", "port", "mountPath", "key", "type", "ip", "uid"} {
			if v, ok := fields[k]; ok {
				return fmt.Sprintf("%s[%s=%v]", path, k, v)
			}
		}
		return fmt.Sprintf("%s[%d]", path, i)
	}
	return fmt.Sprintf("%s[%v]", path, item)
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
