package overlay

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"sigs.k8s.io/yaml"
)

// placed is an object in a run: one of the repository, or one of a stand-in.
type placed struct {
	content map[string]any
	file    string
	// source is the number of the object; of the first member for a stand-in.
	source int
	times  int
	// standIn is nil for an object of the repository; position is which one of
	// the stand-in's objects it is.
	standIn  *standIn
	position int
	shared   bool
}

// batch is one Job in the making.
type batch struct {
	objects []placed
	present map[int]bool // objects of the repository that are in it, shared ones included
}

// plan puts groups and stand-ins into runs of about size objects, each with
// everything that is shared.
func (r *relations) plan(standIns []*standIn, groups [][]int, size int) []*batch {
	var units [][]placed
	for _, s := range standIns {
		var unit []placed
		for position, i := range s.family.groups[0] {
			unit = append(unit, placed{content: s.content[position], file: r.objects[i].file, source: i, times: r.objects[i].times, standIn: s, position: position})
		}
		units = append(units, unit)
	}
	for _, group := range groups {
		var unit []placed
		for _, i := range group {
			unit = append(unit, r.placed(i))
		}
		units = append(units, unit)
	}
	slices.SortFunc(units, func(a, b []placed) int { return cmp.Compare(a[0].source, b[0].source) })
	var shared []placed
	for i, is := range r.shared {
		if is {
			shared = append(shared, r.placed(i))
		}
	}
	runs := []*batch{{}}
	for _, unit := range units {
		last := runs[len(runs)-1]
		if n := weight(last.objects); n > 0 && n+weight(unit) > size {
			last = &batch{}
			runs = append(runs, last)
		}
		last.objects = append(last.objects, unit...)
	}
	for _, one := range runs {
		one.objects = append(one.objects, shared...)
		slices.SortFunc(one.objects, func(a, b placed) int { return cmp.Compare(a.source, b.source) })
		one.present = map[int]bool{}
		for _, o := range one.objects {
			if o.standIn == nil {
				one.present[o.source] = true
			}
		}
	}
	return runs
}

// weight is how many objects kustomize makes of those.
func weight(objects []placed) int {
	total := 0
	for _, o := range objects {
		total += o.times
	}
	return total
}

func (r *relations) placed(i int) placed {
	o := r.objects[i]
	return placed{content: o.Object.Object, file: o.file, source: i, times: o.times, shared: r.shared[i]}
}

// job writes a run for kustomize: the files of resources with the run's
// objects only, and the kustomizations without the patches whose objects are
// in other runs.
func (b *builder) job(one *batch, r *relations) (Job, error) {
	files := maps.Clone(b.files)
	for _, file := range b.resources {
		files[file] = nil
	}
	written := map[string]*bytes.Buffer{}
	for i, o := range one.objects {
		if written[o.file] == nil {
			written[o.file] = &bytes.Buffer{}
		}
		if err := encode(written[o.file], b.marked(o.content, i)); err != nil {
			return Job{}, err
		}
	}
	for file, text := range written {
		files[file] = escapeControls(text.Bytes())
	}
	if r != nil {
		if err := r.prune(files, one.present); err != nil {
			return Job{}, err
		}
	}
	return Job{Files: files, Folder: b.graph.Folders[0], Time: b.options.Time}, nil
}

// prune removes the patches that are for none of the objects from the
// kustomizations in files.
func (r *relations) prune(files map[string][]byte, present map[int]bool) error {
	gone := map[string]map[string][]int{}
	for n, e := range r.survey.entries {
		if r.always[n] || slices.ContainsFunc(r.entryOf[n], func(i int) bool { return present[i] }) {
			continue
		}
		if gone[e.file] == nil {
			gone[e.file] = map[string][]int{}
		}
		gone[e.file][e.field] = append(gone[e.file][e.field], e.index)
	}
	for file, fields := range gone {
		// kustomize itself reads the file in this way.
		text, err := yaml.YAMLToJSON(files[file])
		if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		var content map[string]json.RawMessage
		if err := json.Unmarshal(text, &content); err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		for field, indexes := range fields {
			var list, kept []json.RawMessage
			if err := json.Unmarshal(content[field], &list); err != nil {
				return fmt.Errorf("reading %s of %s: %w", field, file, err)
			}
			for i, item := range list {
				if _, drop := slices.BinarySearch(indexes, i); !drop {
					kept = append(kept, item)
				}
			}
			if content[field], err = json.Marshal(kept); err != nil {
				return fmt.Errorf("writing %s of %s: %w", field, file, err)
			}
		}
		if files[file], err = json.Marshal(content); err != nil {
			return fmt.Errorf("writing %s: %w", file, err)
		}
	}
	return nil
}

// encode writes an object as JSON, which kustomize reads as YAML. So it sees
// the values as kubectl reads them, whatever its own reader makes of `yes`.
func encode(out *bytes.Buffer, content map[string]any) error {
	out.WriteString("---\n")
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(content); err != nil {
		return fmt.Errorf("writing the %v %v for kustomize: %w", content["kind"], nested(content, "metadata")["name"], err)
	}
	return nil
}

// escapeControls escapes what JSON may leave as it is in a text and YAML
// refuses, or takes for the end of a line.
func escapeControls(text []byte) []byte {
	for _, c := range []rune{0x7f, 0x85, 0xfeff, 0xfffe, 0xffff} {
		text = bytes.ReplaceAll(text, []byte(string(c)), fmt.Appendf(nil, `\u%04x`, c))
	}
	return text
}

// marked returns the object with a marker that says which one of the run it
// is. Only what changes is copied.
func (b *builder) marked(content map[string]any, index int) map[string]any {
	metadata := nested(content, "metadata")
	annotations := nested(metadata, "annotations")
	if _, present := metadata["annotations"]; b.marker == "" || present && annotations == nil && metadata["annotations"] != nil {
		return content // not to be marked, or of a wrong type: left for the check to report
	}
	annotations = with(annotations, b.marker, strconv.Itoa(index))
	return with(content, "metadata", with(metadata, "annotations", annotations))
}

func with(m map[string]any, name string, value any) map[string]any {
	out := make(map[string]any, len(m)+1)
	for k, v := range m {
		out[k] = v
	}
	out[name] = value
	return out
}
