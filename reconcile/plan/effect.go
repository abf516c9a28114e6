package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// describeLost names the fields that were lost and who has them now.
func describeLost(lost []LostField) string {
	var b strings.Builder
	for i, f := range lost {
		if i == 3 {
			fmt.Fprintf(&b, " and %d more", len(lost)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		switch {
		case f.Manager == "":
			fmt.Fprintf(&b, "%s was removed", f.Path)
		case f.Time.IsZero():
			fmt.Fprintf(&b, "%s was changed by %s", f.Path, f.Manager)
		default:
			fmt.Fprintf(&b, "%s was changed by %s at %s", f.Path, f.Manager, stamp(f.Time))
		}
	}
	return b.String()
}

// changeEffect says what an update changes.
func changeEffect(in Intended, live *unstructured.Unstructured, input *Input) string {
	if in.Key().IsCronJob() {
		if moved := scheduleEffect(in, live, input); moved != "" {
			return moved
		}
	}
	return "will be updated (" + fieldList(Differences(in.Object.Object, live.Object)) + ")"
}

// digestChange names what makes a Job run again.
func digestChange(desired, live *unstructured.Unstructured) string {
	var relevant []string
	for _, path := range Differences(desired.Object, live.Object) {
		for _, prefix := range []string{"spec.template", "spec.completions", "spec.completionMode"} {
			if strings.HasPrefix(path, prefix) {
				relevant = append(relevant, path)
			}
		}
	}
	if len(relevant) == 0 {
		return "template changed: a field was removed"
	}
	return fieldList(relevant) + " changed"
}

func fieldList(paths []string) string {
	const most = 3
	if len(paths) == 0 {
		return "a field was removed"
	}
	if len(paths) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(paths[:most], ", "), len(paths)-most)
	}
	return strings.Join(paths, ", ")
}

// Differences returns the paths of desired's leaves whose value in live is
// another or missing, without rota's own annotations. It is for people: a
// value that the server canonicalised counts as a difference.
func Differences(desired, live map[string]any) []string {
	var out []string
	var walk func(path string, want, have any)
	walk = func(path string, want, have any) {
		switch w := want.(type) {
		case map[string]any:
			h, _ := have.(map[string]any)
			for _, k := range sortedKeys(w) {
				if path == "metadata.annotations" && strings.HasPrefix(k, "rota.dev/") || path == "" && k == "status" {
					continue
				}
				if path == "" {
					walk(k, w[k], h[k])
				} else {
					walk(join(path, k), w[k], h[k])
				}
			}
		case []any:
			h, _ := have.([]any)
			for i, item := range w {
				walk(itemPath(path, i, item), item, counterpart(item, i, h))
			}
			if len(h) > len(w) {
				out = append(out, path)
			}
		default:
			if !sameJSON(want, have) {
				out = append(out, path)
			}
		}
	}
	walk("", desired, live)
	return slices.Compact(out)
}

// counterpart finds the item of have that item is compared with: the one of
// the same name where items have names, else the one in the same place.
func counterpart(item any, i int, have []any) any {
	if fields, ok := item.(map[string]any); ok {
		if name, ok := fields["name"]; ok {
			for _, h := range have {
				if other, ok := h.(map[string]any); ok && other["name"] == name {
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
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
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
