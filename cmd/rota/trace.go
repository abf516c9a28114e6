package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/source"
	"rota.dev/rota/schema"
)

func newTrace() *cobra.Command {
	var repo repository
	var dir, output string
	c := &cobra.Command{
		Use:   "trace FILE[:LINE] | KIND/NAME [FIELD]",
		Short: "Show what comes of a file, or where an object comes from",
		Long: `Show which objects come of a file, or of a line of it, and as what: their
source, template, parameters, a patch, a kustomization. Or show where an object
comes from, or one field of it:

  rota trace base/items.csv:3
  rota trace job/process-apple
  rota trace job/process-apple 'spec.template.spec.containers[0].image'

No cluster is needed. Exit status: 0, 1 if nothing is found, 3 if the repository
is broken and what was asked for is not in what renders.`,
		RunE: func(c *cobra.Command, args []string) error {
			repo.path = dir
			if output != "text" && output != "json" {
				return exit(2, fmt.Errorf("unknown output %q: use text or json", output))
			}
			objects, _, broken := repo.objects(c.Context())
			answer, err := trace(objects, repo.named(args[0]), args[1:])
			switch {
			case err != nil && broken != nil:
				return repo.broken(c, broken)
			case err != nil:
				return exit(1, err)
			case output == "json":
				return answer.json(c.OutOrStdout())
			}
			return answer.text(c.OutOrStdout())
		},
	}
	repo.flags(c)
	c.Args = cobra.RangeArgs(1, 2)
	c.Flags().StringVar(&dir, "path", ".", "the repository, or a folder of it, to render")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// named returns a file as origins have it: from the root of the checkout.
func (r *repository) named(file string) string {
	root, sub, err := source.Root(r.path)
	if err != nil {
		return path.Clean(filepath.ToSlash(file))
	}
	if abs, err := filepath.Abs(file); err == nil && filepath.IsAbs(file) {
		if rel, err := filepath.Rel(root, abs); err == nil {
			return filepath.ToSlash(rel)
		}
	}
	return path.Join(sub, filepath.ToSlash(file))
}

// answer is what a trace found.
type answer struct {
	file   string
	line   int
	field  string
	origin schema.Origin // of the field
	traced []schema.Traced
}

// trace answers for an object if there is one of the name, else for a file.
func trace(objects []schema.Object, file string, fields []string) (answer, error) {
	// An object's name has one slash; what the working folder put before it
	// is cut off again.
	name := path.Join(path.Base(path.Dir(file)), path.Base(file))
	found, near := schema.FindObjects(objects, name)
	if len(found) > 0 {
		a := answer{}
		for _, o := range found {
			a.traced = append(a.traced, schema.TraceObject(o))
		}
		if len(fields) > 0 {
			a.field, a.origin = fields[0], found[0].At(fields[0])
		}
		return a, nil
	}
	a := answer{file: file}
	if before, after, ok := strings.Cut(file, ":"); ok {
		n, err := strconv.Atoi(after)
		if err != nil || n < 1 {
			return a, fmt.Errorf("%q is no number of a line", after)
		}
		a.file, a.line = before, n
	}
	a.traced = schema.TraceFile(objects, a.file, a.line)
	if len(a.traced) > 0 && len(fields) == 0 {
		return a, nil
	}
	if nearFile := schema.Nearest(a.file, schema.Files(objects)); nearFile != "" && near == "" {
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

func (a answer) text(w io.Writer) error {
	if a.field != "" {
		_, err := fmt.Fprintf(w, "%s: %s\n", a.field, a.origin)
		return err
	}
	var b strings.Builder
	for _, t := range a.traced {
		if a.file != "" {
			fmt.Fprintf(&b, "%s  %s  %s\n", t.Object.Key(), strings.Join(t.As, ", "), t.Object.Origin)
		} else {
			chain(&b, t.Object)
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

// chain prints step by step where an object comes from.
func chain(b *strings.Builder, o schema.Object) {
	origin := o.Origin
	fmt.Fprintf(b, "%s\n  written in %s\n", o.Key(), schema.Origin{File: origin.File, Line: origin.Line, Column: origin.Column})
	if origin.Template != "" {
		fmt.Fprintf(b, "  template %s\n", schema.Origin{File: origin.Template, Line: origin.TemplateLine})
	}
	if origin.ParameterFile != "" {
		fmt.Fprintf(b, "  parameters of %s\n", schema.Origin{File: origin.ParameterFile, Line: origin.ParameterLine})
	}
	for _, p := range origin.Parameters {
		fmt.Fprintf(b, "  with %s=%q\n", p.Name, p.Value)
	}
	if origin.Overlay != "" {
		fmt.Fprintf(b, "  built by the kustomization %s\n", origin.Overlay)
	}
}

// place is an Origin in the JSON of a trace.
type place struct {
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

func placeOf(o schema.Origin) place {
	p := place{File: o.File, Line: o.Line, Column: o.Column, Template: o.Template, TemplateLine: o.TemplateLine, Item: o.Item,
		ParameterFile: o.ParameterFile, ParameterLine: o.ParameterLine, Overlay: o.Overlay}
	for _, q := range o.Parameters {
		if p.Parameters == nil {
			p.Parameters = map[string]string{}
		}
		p.Parameters[q.Name] = q.Value
	}
	return p
}

type tracedField struct {
	Path   string `json:"path"`
	Origin place  `json:"origin"`
}

type tracedObject struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Namespace  string        `json:"namespace,omitempty"`
	Name       string        `json:"name"`
	As         []string      `json:"as,omitempty"`
	Origin     place         `json:"origin"`
	Fields     []tracedField `json:"fields,omitempty"`
}

func (a answer) json(w io.Writer) error {
	objects := []tracedObject{}
	for _, t := range a.traced {
		o := tracedObject{APIVersion: t.Object.GetAPIVersion(), Kind: t.Object.GetKind(), Namespace: t.Object.GetNamespace(), Name: t.Object.GetName(),
			As: t.As, Origin: placeOf(t.Object.Origin)}
		for _, f := range t.Fields {
			o.Fields = append(o.Fields, tracedField{f.Path, placeOf(f.Origin)})
		}
		if a.field != "" {
			o.Fields = []tracedField{{a.field, placeOf(t.Object.At(a.field))}}
		}
		objects = append(objects, o)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"apiVersion": schema.APIVersion, "kind": "Trace", "objects": objects})
}
