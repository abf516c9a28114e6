package plan

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// Lost returns the fields of applied that rota no longer owns on live, in the
// order of their paths. It compares ownership, not values: what the server
// defaulted, canonicalised (1000m → 1) or an admission plugin changed in our
// own request stays ours, and so is no drift; what anybody else changed or
// removed is not ours any more (structured-merge-diff moves or drops the
// ownership with every change). It reads live's metadata.managedFields as a
// watch delivers them, undecoded; an object without them has lost everything.
func Lost(applied, live *unstructured.Unstructured) []LostField {
	w := newWalker(live)
	roots := make([]branch, 0, 2)
	for _, o := range w.ours {
		roots = append(roots, o.fields)
	}
	for name, value := range applied.Object {
		switch name {
		case "apiVersion", "kind", "metadata", "status":
		default:
			w.field(name, value, roots)
		}
	}
	if metadata, ok := applied.Object["metadata"].(map[string]any); ok {
		// Every other field of metadata is identity, or the server's own.
		w.path = append(w.path, step{field: "metadata"})
		under := appendBelow(nil, roots, "metadata")
		for _, name := range []string{"annotations", "finalizers", "labels", "ownerReferences"} {
			if value, ok := metadata[name]; ok {
				w.field(name, value, under)
			}
		}
	}
	slices.SortStableFunc(w.lost, func(a, b LostField) int { return cmp.Compare(a.Path, b.Path) })
	return w.lost
}

// branch is a node of a tree in the FieldsV1 format: `f:<name>` leads to a
// field, `k:<keys>` to an item of a keyed list, `v:<value>` to an item of a
// set, and `.` says that the node itself is owned. A node without children is
// owned too: a scalar, an empty value, a list or map that is atomic, or one
// of whose content nothing is owned any more.
type branch = map[string]any

// owner is one entry of managedFields.
type owner struct {
	manager, operation string
	time               time.Time
	fields             branch
}

// step is one move down an object: to a field, or to an item of a list.
type step struct {
	field string
	index int
	item  any
}

// walker goes down an applied object and rota's own trees side by side. It
// looks at the trees of others only where something is missing.
type walker struct {
	live   map[string]any
	ours   []owner
	others []owner
	path   []step
	lost   []LostField
}

func newWalker(live *unstructured.Unstructured) *walker {
	w := &walker{live: live.Object, path: make([]step, 0, 16)}
	metadata, _ := live.Object["metadata"].(map[string]any)
	entries, _ := metadata["managedFields"].([]any)
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		fields, ok := entry["fieldsV1"].(map[string]any)
		if !ok {
			continue
		}
		o := owner{fields: fields}
		o.manager, _ = entry["manager"].(string)
		o.operation, _ = entry["operation"].(string)
		subresource, _ := entry["subresource"].(string)
		// The release of a prepared Job is an Update of rota's own, so both
		// operations count. What rota writes through a subresource is status.
		if o.manager == schema.FieldManager && subresource == "" {
			w.ours = append(w.ours, o)
			continue
		}
		if at, ok := entry["time"].(string); ok {
			o.time, _ = time.Parse(time.RFC3339, at)
		}
		w.others = append(w.others, o)
	}
	return w
}

func (w *walker) field(name string, value any, ours []branch) {
	w.path = append(w.path, step{field: name})
	var few [2]branch
	w.value(value, appendBelow(few[:0], ours, name))
	w.path = w.path[:len(w.path)-1]
}

func (w *walker) value(value any, mine []branch) {
	if len(mine) == 0 {
		w.missing(value)
		return
	}
	switch v := value.(type) {
	case map[string]any:
		if len(v) == 0 || w.ownedWhole(mine) {
			return
		}
		for name, child := range v {
			w.field(name, child, mine)
		}
	case []any:
		if len(v) == 0 || w.ownedWhole(mine) {
			return
		}
		found := make([][]branch, len(v))
		for _, b := range mine {
			for i, child := range itemsOf(b, v) {
				if child != nil {
					found[i] = append(found[i], child)
				}
			}
		}
		for i, item := range v {
			w.path = append(w.path, step{index: i, item: item})
			w.value(item, found[i])
			w.path = w.path[:len(w.path)-1]
		}
	}
}

// ownedWhole reports whether a list or map that is not empty is ours together
// with all that is in it, because it is atomic. A node without children also
// remains when somebody took all that was below it; then somebody owns
// something there, or it is empty in the cluster.
func (w *walker) ownedWhole(mine []branch) bool {
	for _, b := range mine {
		if hasChildren(b) {
			return false
		}
	}
	for _, o := range w.others {
		if b, ok := w.follow(o.fields); ok && hasChildren(b) {
			return false
		}
	}
	switch live := w.liveValue().(type) {
	case map[string]any:
		return len(live) > 0
	case []any:
		return len(live) > 0
	}
	return true
}

// missing records that the current path is not ours. An empty list or map and
// null ask for nothing inside (a keyed list without items has no owner), so
// what others put there is theirs: they are lost only when somebody owns the
// value itself, or when nobody does and the cluster has no such map.
func (w *walker) missing(value any) {
	fields, isMap := value.(map[string]any)
	list, isList := value.([]any)
	empty := value == nil || isMap && len(fields) == 0 || isList && len(list) == 0
	lost := LostField{Path: pathOf(w.path)}
	inside := false
	for _, o := range w.others {
		b, ok := w.follow(o.fields)
		if ok && hasChildren(b) {
			inside = true
			if empty {
				continue
			}
		}
		if ok && (lost.Manager == "" || o.time.After(lost.Time)) {
			lost.Manager, lost.Operation, lost.Time = o.manager, o.operation, o.time
		}
	}
	switch {
	case empty && lost.Manager == "" && (!isMap || inside || w.liveValue() != nil):
		return
	case len(fields) > 0 && len(w.ours) > 0 && (inside || lost.Manager == "") && w.path[len(w.path)-1].field != "":
		// Not an atomic map, nor an item: people want to know which fields.
		for name, child := range fields {
			w.field(name, child, nil)
		}
		return
	}
	w.lost = append(w.lost, lost)
}

// follow goes down another owner's tree to the current path.
func (w *walker) follow(b branch) (branch, bool) {
	for _, s := range w.path {
		if s.field != "" {
			child, ok := b["f:"+s.field]
			if !ok {
				return nil, false
			}
			b, _ = child.(map[string]any)
			continue
		}
		child := itemsOf(b, []any{s.item})[0]
		if child == nil {
			return nil, false
		}
		b = child
	}
	return b, true
}

// liveValue returns what the cluster has at the current path; nil if nothing.
func (w *walker) liveValue() any {
	var v any = w.live
	for _, s := range w.path {
		if s.field != "" {
			fields, _ := v.(map[string]any)
			v = fields[s.field]
			continue
		}
		list, _ := v.([]any)
		v = counterpart(s.item, s.index, list)
	}
	return v
}

// appendBelow appends the children of branches at a field, never nil ones.
func appendBelow(out, branches []branch, field string) []branch {
	for _, b := range branches {
		if child, ok := b["f:"+field]; ok {
			fields, _ := child.(map[string]any)
			if fields == nil {
				fields = branch{}
			}
			out = append(out, fields)
		}
	}
	return out
}

func hasChildren(b branch) bool {
	_, self := b["."]
	return len(b) > 1 || len(b) == 1 && !self
}

func pathOf(steps []step) string {
	var b strings.Builder
	for i, s := range steps {
		switch {
		case s.field == "":
			b.WriteString(itemName(s.index, s.item))
		case i == 0:
			b.WriteString(s.field)
		default:
			b.WriteString(fieldName(s.field))
		}
	}
	return b.String()
}
