package schema

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Traced says what of an object comes from a place, or where the object comes
// from.
type Traced struct {
	Object Object
	// As says what the place is to the object: source, expansion, template,
	// parameters, patch or kustomization; empty for a trace of the object.
	As []string
	// Fields are those that come from the place, or for a trace of an object
	// those that come from elsewhere than the object itself.
	Fields []TracedField
}

// TracedField is a field and where it was written.
type TracedField struct {
	Path   string
	Origin Origin
}

// TraceObject returns where o comes from, and its fields that come from
// elsewhere.
func TraceObject(o Object) Traced { return Traced{Object: o, Fields: o.elsewhere()} }

// TraceFile returns the objects that a file has a part in, or a line of it if
// line is positive, in the order of objects.
func TraceFile(objects []Object, file string, line int) []Traced {
	var traced []Traced
	for _, o := range objects {
		t := Traced{Object: o, As: roles(o.Origin, file, line)}
		for _, f := range o.fields() {
			from := f.Origin
			elsewhere := from.File == file && o.Origin.File != file
			switch {
			case elsewhere && (line == 0 || from.Line == line):
				t.Fields = append(t.Fields, f)
				t.As = append(t.As, part(file))
			case from.Template == file && from.TemplateLine == line, from.Template == "" && from.File == file && from.Line == line:
				t.Fields = append(t.Fields, f)
			}
		}
		if line > 0 && len(t.Fields) > 0 && len(t.As) == 0 {
			t.As = roles(o.Origin, file, 0)
		}
		slices.Sort(t.As)
		if t.As = slices.Compact(t.As); len(t.As) > 0 {
			traced = append(traced, t)
		}
	}
	return traced
}

// part says what a file of an overlay is.
func part(file string) string {
	if strings.HasPrefix(strings.ToLower(path.Base(file)), "kustomization") {
		return "kustomization"
	}
	return "patch"
}

// roles says what a file, or a line of it, is to an object of that origin.
func roles(o Origin, file string, line int) []string {
	var as []string
	for _, r := range []struct {
		name, file string
		line       int
	}{
		{map[bool]string{true: "source", false: "expansion"}[o.Template == ""], o.File, o.Line},
		{"template", o.Template, o.TemplateLine},
		{"parameters", o.ParameterFile, o.ParameterLine},
	} {
		if r.file == file && (line <= 0 || r.line == line) {
			as = append(as, r.name)
		}
	}
	return as
}

// place is the origin of an object with the overlay that was built last.
func (o Object) place() string {
	if o.Origin.Overlay == "" {
		return o.Origin.String()
	}
	return o.Origin.String() + " by " + o.Origin.Overlay
}

// elsewhere returns the fields of o that were written in another file than o,
// or than its template.
func (o Object) elsewhere() []TracedField {
	return slices.DeleteFunc(o.fields(), func(f TracedField) bool {
		return f.Origin.File == o.Origin.File && f.Origin.Template == o.Origin.Template
	})
}

// fields returns every scalar of o and where it was written, in the order of
// names.
func (o Object) fields() []TracedField {
	var found []TracedField
	var walk func(v any, at string)
	walk = func(v any, at string) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(v[name], fieldPath(at, name))
			}
		case []any:
			for i, item := range v {
				walk(item, fmt.Sprintf("%s[%d]", at, i))
			}
		default:
			from := o.At(at)
			from.Base = Place{} // the object is named beside it
			found = append(found, TracedField{at, from})
		}
	}
	walk(o.Object, "")
	return found
}

// fieldPath is the path of a field in the form that [Object.At] takes.
func fieldPath(at, name string) string {
	if strings.ContainsAny(name, ".[]/") {
		return at + "[" + name + "]"
	}
	return join(at, name)
}

// annotated puts a comment above each line of text, one document of YAML, that
// has one of the fields.
func annotated(text []byte, fields []TracedField) []byte {
	documents, err := ReadDocuments("", text, DocumentLimits{FileBytes: len(text) + 1})
	if err != nil || len(documents) != 1 {
		return text
	}
	above := map[int][]string{}
	for _, f := range fields {
		if line := lineOfField(documents[0].Node, f.Path); line > 0 {
			above[line] = append(above[line], f.Origin.String())
		}
	}
	var out bytes.Buffer
	for i, line := range bytes.SplitAfter(text, []byte("\n")) {
		for _, origin := range slices.Compact(above[i+1]) {
			fmt.Fprintf(&out, "%s# from %s\n", strings.Repeat(" ", indentation(string(line))), Harmless(origin))
		}
		out.Write(line)
	}
	return out.Bytes()
}

// lineOfField returns the line that a field begins in, its name included; 0 if
// it is not there.
func lineOfField(node *yaml.Node, field string) int {
	line := 0
	for _, step := range splitPath(field) {
		_, next := Child(node, step)
		if next == nil {
			return 0
		}
		line = next.Line
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i+1] == next {
				line = node.Content[i].Line
			}
		}
		node = next
	}
	return line
}

// FindObjects returns the objects that a name such as job/hello,
// cronjob.batch/hello or Job/hello means. If there is none, near is the name
// of one that is likely meant, "" if none is like it.
func FindObjects(objects []Object, name string) (found []Object, near string) {
	var names []string
	for _, o := range objects {
		long, short := resourceName(o.Key(), true), resourceName(o.Key(), false)
		if strings.EqualFold(name, long) || strings.EqualFold(name, short) {
			found = append(found, o)
		}
		names = append(names, short)
	}
	if len(found) > 0 {
		return found, ""
	}
	return nil, Nearest(name, names)
}

// resourceName returns kind/name, or kind.group/name, as kubectl prints it.
func resourceName(k Key, group bool) string {
	kind := strings.ToLower(k.Kind)
	if group && k.Group != "" {
		kind += "." + k.Group
	}
	return kind + "/" + k.Name
}

// Files returns every file that an origin of the objects names, sorted.
func Files(objects []Object) []string {
	seen := map[string]bool{}
	for _, o := range objects {
		for _, file := range []string{o.Origin.File, o.Origin.Template, o.Origin.ParameterFile} {
			seen[file] = true
		}
		for _, f := range o.elsewhere() {
			seen[f.Origin.File] = true
		}
	}
	delete(seen, "")
	return slices.Sorted(maps.Keys(seen))
}
