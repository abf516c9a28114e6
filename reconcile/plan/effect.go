package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// describeLost names the fields that were lost and who has them now.
func describeLost(lost []LostField, live *unstructured.Unstructured) string {
	if len(newWalker(live).ours) == 0 {
		if lost[0].Manager == "" {
			return "its managedFields were reset, so that its owners are unknown"
		}
		return "it was made anew by " + by(lost[0])
	}
	var b strings.Builder
	for i, f := range lost {
		if i == mostNamed {
			fmt.Fprintf(&b, " and %d more", len(lost)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		path := shortPath(f.Path)
		if f.Manager == "" {
			fmt.Fprintf(&b, "%s was removed", path)
		} else {
			fmt.Fprintf(&b, "%s was changed by %s", path, by(f))
		}
	}
	return b.String()
}

func by(f LostField) string {
	if f.Time.IsZero() {
		return f.Manager
	}
	return f.Manager + " at " + stamp(f.Time)
}

// changeEffect says what an update changes. What waits for a Job's next run is
// not part of it.
func changeEffect(in Intended, live *unstructured.Unstructured, input *Input, waiting []string) string {
	changes := differences(in.Object.Object, live.Object)
	if in.Key().IsCronJob() {
		moved := []string{schedulerEffect(in, live), scheduleEffect(in, live, input)}
		if moved := strings.Join(slices.DeleteFunc(moved, func(s string) bool { return s == "" }), "; "); moved != "" {
			changes = slices.DeleteFunc(changes, func(d difference) bool { return timingPath(d.path) })
			if rest := fieldList(changes, false, nil); rest != "" {
				moved += "; also changes " + rest
			}
			return moved
		}
	}
	changes = slices.DeleteFunc(changes, func(d difference) bool {
		return slices.ContainsFunc(waiting, func(path string) bool { return underPath(d.path, path) })
	})
	effect := "will be updated"
	if list := fieldList(changes, in.GetKind() == "Secret", nil); list != "" {
		effect += " (" + list + ")"
	} else if len(waiting) == 0 {
		effect += " (a field is no longer set, or is set to what it already is)"
	}
	if len(waiting) > 0 {
		var written []string
		for _, field := range waiting {
			if at := in.At(field); at.Line > 0 {
				field += " (" + at.String() + ")"
			}
			written = append(written, field)
		}
		effect += "; " + strings.Join(written, ", ") + " takes effect with the next run (a Job that exists cannot change it)"
	}
	return effect
}

func underPath(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// digestChange names what makes a Job run again, and where it was written.
func digestChange(in Intended, live *unstructured.Unstructured) string {
	relevant := slices.DeleteFunc(differences(in.Object.Object, live.Object), func(d difference) bool {
		return !underPath(d.path, "spec.template") && !underPath(d.path, "spec.completions") && !underPath(d.path, "spec.completionMode")
	})
	if len(relevant) == 0 {
		return "a field was removed from its template"
	}
	return fieldList(relevant, false, func(field string) string { return placeOf(in.At(field)) })
}

// placeOf is where something was written, without the item of an Expansion: the
// members of one say the same of the same line. It is empty if it is not known.
func placeOf(o schema.Origin) string {
	if o.TemplateLine > 0 {
		return fmt.Sprintf("%s:%d", o.Template, o.TemplateLine)
	}
	if o.Line == 0 || o.Item > 0 {
		return ""
	}
	o.Base = schema.Place{}
	return o.String()
}

// mostNamed is how many fields a sentence names before it counts the rest.
const mostNamed = 3

// fieldList names what differs, with both values where they are short and
// cannot be secret, and with its place if that is asked for and known; empty if
// nothing differs.
func fieldList(changes []difference, secret bool, place func(field string) string) string {
	var names []string
	for i, d := range changes {
		if i == mostNamed {
			return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), len(changes)-i)
		}
		name := shortPath(d.path)
		if place != nil {
			if at := place(d.path); at != "" {
				name += " at " + at
			}
		}
		if before, after, ok := d.values(); ok && !secret {
			name += ": " + before + " → " + after
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// shortPath leaves out the part of a path that all fields of a pod share.
func shortPath(path string) string {
	if path == suspendedPath {
		return "suspend"
	}
	for _, prefix := range []string{"spec.jobTemplate.spec.template.spec.", "spec.template.spec."} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			return rest
		}
	}
	return path
}

// suspendedPath is where a CronJob that rota schedules keeps the suspend that
// git asks for.
const suspendedPath = `metadata.annotations["` + schema.AnnotationSuspended + `"]`

// difference is a leaf of a desired object that a live one has otherwise.
type difference struct {
	path string
	// want and have are the two values; a list of scalars is one value.
	want, have any
}

// values returns both values as text: numbers, booleans and images, and no
// other texts, for those may be long, and may be somebody's password.
func (d difference) values() (before, after string, ok bool) {
	before, ok = shown(d.path, d.have)
	if !ok {
		return "", "", false
	}
	after, ok = shown(d.path, d.want)
	return before, after, ok
}

func shown(path string, v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "unset", true
	case bool, int64, float64:
		return fmt.Sprint(v), true
	case string:
		if path == suspendedPath {
			return v, true
		}
		name := path[strings.LastIndexByte(path, '.')+1:]
		switch name {
		case "image", "schedule", "timeZone", "concurrencyPolicy", "completionMode", "restartPolicy", "cpu", "memory":
			return v, true
		}
	}
	return "", false
}

// differences returns desired's leaves whose value in live is another or
// missing, without what only rota writes. It is for people: a value that the
// server canonicalised counts as a difference.
func differences(desired, live map[string]any) []difference {
	var c comparison
	for _, k := range sortedKeys(desired) {
		if k != "status" {
			c.compare(k, desired[k], live[k])
		}
	}
	return c.found
}

type comparison struct{ found []difference }

func (c *comparison) compare(path string, want, have any) {
	switch w := want.(type) {
	case map[string]any:
		h, isMap := have.(map[string]any)
		if len(w) == 0 && !isMap {
			c.found = append(c.found, difference{path, want, have})
		}
		for _, k := range sortedKeys(w) {
			if path == "metadata.annotations" && writtenByRota(k) {
				continue
			}
			c.compare(path+fieldName(k), w[k], h[k])
		}
	case []any:
		c.compareList(path, w, have)
	default:
		if !sameJSON(want, have) {
			c.found = append(c.found, difference{path, want, have})
		}
	}
}

func (c *comparison) compareList(path string, want []any, have any) {
	h, _ := have.([]any)
	scalars := !slices.ContainsFunc(want, func(v any) bool { _, isMap := v.(map[string]any); return isMap })
	if scalars {
		if !sameJSON(want, have) {
			c.found = append(c.found, difference{path, want, have})
		}
		return
	}
	before := len(c.found)
	for i, item := range want {
		c.compare(path+itemName(i, item), item, counterpart(item, i, h))
	}
	if len(h) > len(want) && len(c.found) == before {
		c.found = append(c.found, difference{path, want, have})
	}
}

// writtenByRota reports whether the annotation says nothing that people asked
// for: rerun and while-active are theirs, and suspended repeats theirs.
func writtenByRota(annotation string) bool {
	switch annotation {
	case schema.AnnotationRerun, schema.AnnotationWhileActive, schema.AnnotationSuspended:
		return false
	}
	return strings.HasPrefix(annotation, ownPrefix)
}

// counterpart finds the item of have that item is compared with: the one of
// the same name where items have names, else the one in the same place.
func counterpart(item any, i int, have []any) any {
	if fields, ok := item.(map[string]any); ok {
		if name, ok := fields["name"]; ok {
			for _, h := range have {
				if other, ok := h.(map[string]any); ok && sameJSON(other["name"], name) {
					return h
				}
			}
			return nil
		}
	}
	if i < len(have) {
		return have[i]
	}
	return nil
}

func sameJSON(a, b any) bool {
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return ok && x == y
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case int64:
		if y, ok := b.(int64); ok {
			return x == y
		}
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// ShortRevision returns the first seven digits of the hash of a revision,
// which is what people know a commit by.
func ShortRevision(revision string) string {
	hash := revision
	if i := strings.LastIndexAny(revision, ":@"); i >= 0 {
		hash = revision[i+1:]
	}
	if len(hash) > 7 {
		return hash[:7]
	}
	return hash
}
