package schema

import (
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// Trace is what a trace found: where an object, or one field of it, comes from,
// or what comes of a file or of a line of it.
type Trace struct {
	file   string
	line   int
	field  string
	origin Origin // of the field
	traced []Traced
}

// NewTrace answers for an object if one has the name, such as job/hello, and for
// one of its fields unless field is empty; else for a file, or a line of it such
// as items.csv:3. Folders before an object's name are left out of account. The
// error says what is likely meant.
func NewTrace(objects []Object, file, field string) (Trace, error) {
	name := path.Join(path.Base(path.Dir(file)), path.Base(file))
	found, near := FindObjects(objects, name)
	if len(found) > 0 {
		a := Trace{}
		for _, o := range found {
			a.traced = append(a.traced, TraceObject(o))
		}
		if field != "" {
			a.field, a.origin = field, found[0].At(field)
			a.origin.Base = Place{}
		}
		return a, nil
	}
	a := Trace{file: file}
	if before, after, ok := strings.Cut(file, ":"); ok {
		n, err := strconv.Atoi(after)
		if err != nil || n < 1 {
			return a, fmt.Errorf("%q is no number of a line", after)
		}
		a.file, a.line = before, n
	}
	a.traced = TraceFile(objects, a.file, a.line)
	if len(a.traced) > 0 && field == "" {
		return a, nil
	}
	if nearFile := Nearest(a.file, Files(objects)); nearFile != "" && near == "" {
		near = nearFile
	}
	switch {
	case near == a.file:
		return a, fmt.Errorf("no object comes of line %d of %s", a.line, a.file)
	case near != "":
		return a, fmt.Errorf("neither an object nor a file that objects come of is named %s (did you mean %s?)", file, near)
	}
	return a, fmt.Errorf("neither an object nor a file that objects come of is named %s: `rota render -o name --origin` lists them", file)
}

// WriteText prints it for people.
func (a Trace) WriteText(w io.Writer) error {
	if a.field != "" {
		_, err := fmt.Fprintf(w, "%s: %s\n", a.field, a.origin)
		return err
	}
	var b strings.Builder
	for _, t := range a.traced {
		if a.file != "" {
			fmt.Fprintf(&b, "%s  %s  %s\n", t.Object.Key(), strings.Join(t.As, ", "), t.Object.Origin)
		} else {
			writeChain(&b, t.Object)
		}
		for _, f := range t.Fields {
			if a.file != "" {
				fmt.Fprintf(&b, "  %s\n", f.Path)
			} else {
				fmt.Fprintf(&b, "  %s: %s\n", f.Path, f.Origin)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeChain prints step by step where an object comes from.
func writeChain(b *strings.Builder, o Object) {
	origin := o.Origin
	fmt.Fprintf(b, "%s\n  written in %s\n", o.Key(), Origin{File: origin.File, Line: origin.Line, Column: origin.Column})
	if origin.Template != "" {
		fmt.Fprintf(b, "  template %s\n", Origin{File: origin.Template, Line: origin.TemplateLine})
	}
	if origin.ParameterFile != "" {
		fmt.Fprintf(b, "  parameters of %s\n", Origin{File: origin.ParameterFile, Line: origin.ParameterLine})
	}
	for _, p := range origin.Parameters {
		fmt.Fprintf(b, "  with %s=%q\n", p.Name, p.Value)
	}
	if origin.Overlay != "" {
		fmt.Fprintf(b, "  built by the kustomization %s\n", origin.Overlay)
	}
}

// jsonPlace is an Origin in the JSON of a trace.
type jsonPlace struct {
	File          string            `json:"file"`
	Line          int               `json:"line,omitempty"`
	Column        int               `json:"column,omitempty"`
	Template      string            `json:"template,omitempty"`
	TemplateLine  int               `json:"templateLine,omitempty"`
	Item          int               `json:"item,omitempty"`
	Parameters    map[string]string `json:"parameters,omitempty"`
	ParameterFile string            `json:"parameterFile,omitempty"`
	ParameterLine int               `json:"parameterLine,omitempty"`
	Overlay       string            `json:"overlay,omitempty"`
}

func jsonPlaceOf(o Origin) jsonPlace {
	p := jsonPlace{File: o.File, Line: o.Line, Column: o.Column, Template: o.Template, TemplateLine: o.TemplateLine, Item: o.Item,
		ParameterFile: o.ParameterFile, ParameterLine: o.ParameterLine, Overlay: o.Overlay}
	for _, q := range o.Parameters {
		if p.Parameters == nil {
			p.Parameters = map[string]string{}
		}
		p.Parameters[q.Name] = q.Value
	}
	return p
}

type jsonField struct {
	Path   string    `json:"path"`
	Origin jsonPlace `json:"origin"`
}

type jsonTraced struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Namespace  string      `json:"namespace,omitempty"`
	Name       string      `json:"name"`
	As         []string    `json:"as,omitempty"`
	Origin     jsonPlace   `json:"origin"`
	Fields     []jsonField `json:"fields,omitempty"`
}

// WriteJSON prints it for programs, with apiVersion and kind.
func (a Trace) WriteJSON(w io.Writer) error {
	objects := []jsonTraced{}
	for _, t := range a.traced {
		o := jsonTraced{APIVersion: t.Object.GetAPIVersion(), Kind: t.Object.GetKind(), Namespace: t.Object.GetNamespace(), Name: t.Object.GetName(),
			As: t.As, Origin: jsonPlaceOf(t.Object.Origin)}
		for _, f := range t.Fields {
			o.Fields = append(o.Fields, jsonField{f.Path, jsonPlaceOf(f.Origin)})
		}
		if a.field != "" {
			o.Fields = []jsonField{{a.field, jsonPlaceOf(t.Object.At(a.field))}}
		}
		objects = append(objects, o)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"apiVersion": APIVersion, "kind": "Trace", "objects": objects})
}
