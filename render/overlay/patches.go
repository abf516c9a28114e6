package overlay

import (
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
)

// patch is an item of one of the three fields of patches.
type patch struct {
	kustomization
	field string
	index int
	types.Patch
}

func (p patch) String() string { return itemOf(p.field, p.index, p.file) }

func itemOf(field string, index int, file string) string {
	return fmt.Sprintf("item %d of %s in %s", index+1, field, file)
}

func (s *survey) patches(k kustomization) {
	//lint:ignore SA1019 repositories still have the old fields, and they are read
	strategic, json := k.PatchesStrategicMerge, k.PatchesJson6902
	for i, text := range strategic {
		p := patch{k, "patchesStrategicMerge", i, types.Patch{Path: string(text)}}
		data, isFile := s.files[path.Join(k.dir, string(text))]
		if !isFile {
			data = []byte(text)
		}
		s.patch(p, data)
	}
	for i, one := range k.Patches {
		s.patch(patch{k, "patches", i, one}, s.text(k.dir, one))
	}
	for i, one := range json {
		s.patch(patch{k, "patchesJson6902", i, one}, s.text(k.dir, one))
	}
}

func (s *survey) text(dir string, p types.Patch) []byte {
	if p.Path != "" {
		return s.files[path.Join(dir, p.Path)]
	}
	return []byte(p.Patch)
}

func (s *survey) patch(p patch, text []byte) {
	s.item = p.String()
	docs, ok := s.documents(text)
	if !ok {
		s.apart(p.String() + " cannot be read")
		return
	}
	c := choice{}
	operations, isJSON := docs[0].([]any)
	if isJSON {
		c.reads = s.operations(p, operations)
	} else if c.merges = true; !s.merges(p, docs) {
		return
	}
	if p.Target == nil {
		if isJSON {
			s.apart(p.String() + " has no target")
		}
		return
	}
	if !s.selector(p.Target, c) {
		s.apart(p.String() + " has a target that cannot be read")
		return
	}
	if last := s.choices[len(s.choices)-1]; last.literal != "" && p.field != "patchesJson6902" {
		s.entries = append(s.entries, &entry{file: p.file, field: p.field, index: p.index, refs: []reference{{name: last.literal}}})
	}
}

// operations looks at a JSON patch, and reports whether it reads values of the
// object.
func (s *survey) operations(p patch, operations []any) (reads bool) {
	for _, o := range operations {
		operation, ok := o.(map[string]any)
		if !ok {
			s.apart(p.String() + " is no JSON patch")
			return true
		}
		name, _ := operation["op"].(string)
		looks := name != "add" && name != "replace" && name != "remove"
		reads = reads || looks
		s.write(operation["value"])
		for _, field := range []string{"path", "from"} {
			pointer, _ := operation[field].(string)
			// What stands before the first slash is of no importance to
			// the library that kustomize uses.
			if i := strings.IndexByte(pointer, '/'); i > 0 {
				pointer = pointer[i:]
			}
			_, given := operation[field]
			if !given {
				continue
			}
			switch pointer {
			case "", "/", "/metadata", "/metadata/name", "/metadata/namespace", "/kind", "/apiVersion":
				if name != "test" && (field == "path" || name == "move") {
					s.apart(p.String() + " changes the name, the namespace or the kind of objects")
				}
				s.leaveBare(looks && pointer != "/metadata/name" && pointer != "/metadata/namespace")
			}
			// `patches` gives an object annotations before it applies a patch.
			inside := strings.HasPrefix(pointer+"/", "/metadata/annotations/")
			s.leaveBare(inside && (looks || p.field == "patchesJson6902"))
		}
	}
	return reads
}

// merges looks at the documents of a strategic merge. It is false if it says
// nothing about the objects that it is for.
func (s *survey) merges(p patch, docs []any) bool {
	if o := p.Options; o != nil && (o.AllowNameChange || o.AllowKindChange) {
		s.apart(p.String() + " may change the name or the kind of objects")
	}
	found := &entry{file: p.file, field: p.field, index: p.index, must: true}
	for _, d := range docs {
		doc, _ := d.(map[string]any)
		metadata := nested(doc, "metadata")
		kind, _ := doc["kind"].(string)
		name, _ := metadata["name"].(string)
		if name == "" || kind == "" || strings.HasSuffix(kind, "List") {
			s.apart(p.String() + " does not name its object")
			return false
		}
		annotations, present := metadata["annotations"]
		directives, isMap := annotations.(map[string]any)
		s.leaveBare(present && (!isMap || directives["$patch"] != nil) || metadata["$patch"] != nil)
		for field, value := range doc {
			if field == "metadata" {
				rest := with(metadata, "name", nil)
				value = rest
			}
			s.write(value)
		}
		found.refs = append(found.refs, reference{kind, name})
	}
	if p.Target == nil {
		s.entries = append(s.entries, found)
	}
	return true
}
