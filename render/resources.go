package render

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/render/expand"
	"rota.dev/rota/schema"
)

// resources returns the objects that a file stands for, as they are written:
// its documents, what a Jinja template renders to, what an Expansion expands
// to.
func (r *renderer) resources(file string) ([]schema.Object, error) {
	data, err := r.read(file)
	if err != nil {
		return nil, err
	}
	if isJinja(file) {
		origin := schema.Origin{File: file}
		return r.jinja(jinjaTemplate{file: file, text: string(data), origin: origin}, nil)
	}
	documents, err := schema.ReadDocuments(file, data, r.limits.Documents)
	problems := []error{err}
	var objects []schema.Object
	source := schema.NewSource(file, data)
	for _, d := range documents {
		made, err := r.document(d, source.Fields(d.Index, false))
		objects = append(objects, made...)
		problems = append(problems, err)
	}
	return objects, errors.Join(problems...)
}

func (r *renderer) document(d schema.Document, fields *schema.Fields) ([]schema.Object, error) {
	if d.Node.Kind == yaml.MappingNode {
		apiVersion, kind := text(d, "apiVersion"), text(d, "kind")
		if strings.HasPrefix(apiVersion, "rota.dev/") {
			return r.own(d, apiVersion, kind)
		}
	}
	content, err := d.Value()
	if err != nil {
		return nil, err
	}
	return flatten(content, d.Node, d.Origin(), fields)
}

// own carries out a document of rota's own kinds.
func (r *renderer) own(d schema.Document, apiVersion, kind string) ([]schema.Object, error) {
	problem := &schema.Problem{Rule: "R017", Origin: d.Origin()}
	switch {
	case kind == "Expansion":
		e, err := schema.DecodeExpansion(d)
		r.claim(e)
		if err != nil {
			return nil, err
		}
		return r.expand(e)
	case kind == "SchedulePolicy":
		return nil, r.policy(d)
	case kind == "Sync":
		problem.Rule = "R018"
		problem.Message = "a Sync is never read from the repository that it pulls"
		problem.Mend = "Keep it outside of the rendered folder and give it to `rota run --config FILE`."
	case schema.UnsupportedKind(kind):
		problem.Message = fmt.Sprintf("the kind %s is not supported by this version of rota", kind)
		problem.Mend = "Remove the document, or use a version that supports it."
	default:
		problem.Rule = "R021"
		problem.Message = fmt.Sprintf("%s has no kind %q", apiVersion, kind)
		known := []string{"Expansion", "SchedulePolicy", "Run", "Backfill", "Sync"}
		if near := schema.Nearest(kind, known); near != "" {
			problem.Message += fmt.Sprintf(" (did you mean %q?)", near)
		}
		problem.Mend = "Known kinds: " + strings.Join(known, ", ") + "."
	}
	return nil, problem
}

func text(d schema.Document, name string) string {
	for i := 0; i+1 < len(d.Node.Content); i += 2 {
		if key, value := d.Node.Content[i], d.Node.Content[i+1]; key.Value == name && value.Kind == yaml.ScalarNode {
			return value.Value
		}
	}
	return ""
}

// flatten makes objects of a document's content; a List becomes its items.
// Node is nil where positions inside the document are not known.
func flatten(content any, node *yaml.Node, origin schema.Origin, fields *schema.Fields) ([]schema.Object, error) {
	m, ok := content.(map[string]any)
	if !ok {
		return nil, notAnObject(origin, "the document is no mapping")
	}
	apiVersion, _ := m["apiVersion"].(string)
	kind, _ := m["kind"].(string)
	switch {
	case apiVersion == "" && kind == "":
		return nil, notAnObject(origin, "the document has neither apiVersion nor kind")
	case apiVersion == "":
		return nil, notAnObject(origin, "the document has no apiVersion")
	case kind == "":
		return nil, notAnObject(origin, "the document has no kind")
	}
	items, isList := m["items"].([]any)
	if !strings.HasSuffix(kind, "List") || !isList && m["items"] != nil {
		return []schema.Object{{Unstructured: &unstructured.Unstructured{Object: m}, Origin: origin, Fields: fields}}, nil
	}
	var objects []schema.Object
	var problems []error
	for i, item := range items {
		at, itemNode := origin, listItem(node, i)
		if itemNode != nil {
			at.Line, at.Column = itemNode.Line, itemNode.Column
		}
		made, err := flatten(item, itemNode, at, fields.Item(i))
		objects = append(objects, made...)
		problems = append(problems, err)
	}
	return objects, errors.Join(problems...)
}

func listItem(node *yaml.Node, i int) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for j := 0; j+1 < len(node.Content); j += 2 {
		if node.Content[j].Value == "items" && node.Content[j+1].Kind == yaml.SequenceNode && i < len(node.Content[j+1].Content) {
			return node.Content[j+1].Content[i]
		}
	}
	return nil
}

func notAnObject(origin schema.Origin, message string) error {
	return &schema.Problem{Rule: "R010", Origin: origin, Message: message + ", so it is no Kubernetes object",
		Mend: "Complete it; or move a file that is none out of the rendered folder (or into one whose name begins with a dot), or name it in an Expansion."}
}

// claim notes the files that an Expansion names, which are then no resources.
func (r *renderer) claim(e schema.Expansion) {
	names := []string{e.Spec.Template}
	if p := e.Spec.Parameters; p != nil {
		names = append(names, p.File)
	}
	for _, name := range names {
		// One that names its own file is a mistake, which must be said.
		if file := path.Join(path.Dir(e.Origin.File), name); name != "" && file != e.Origin.File {
			r.claimed[file] = e.Origin
		}
	}
}

// beside reads a file that a document names, relative to the document's folder.
func (r *renderer) beside(origin schema.Origin, field, name string) (file string, data []byte, err error) {
	file = path.Join(path.Dir(origin.File), name)
	problem := &schema.Problem{Rule: "R030", Origin: origin, Field: field}
	if file == origin.File {
		problem.Message = fmt.Sprintf("%q is the file that the Expansion stands in", name)
		problem.Mend = "Move what it names into a file of its own, or write the template under spec.inline."
		return file, nil, problem
	}
	if path.IsAbs(name) || !fs.ValidPath(file) {
		problem.Message = fmt.Sprintf("%q leads out of the repository", name)
		problem.Mend = "Name a file inside the repository, relative to this one."
		return file, nil, problem
	}
	data, err = r.read(file)
	if err != nil {
		problem.Message = fmt.Sprintf("cannot use %q", name)
		problem.Cause = err
		if p, ok := errors.AsType[*schema.Problem](err); ok {
			problem.Message += ": " + p.Message
		}
		problem.Mend = "Correct the name; it is relative to the folder of this document."
		return file, nil, problem
	}
	return file, data, nil
}

func (r *renderer) expand(e schema.Expansion) ([]schema.Object, error) {
	var file string
	var data []byte
	if p := e.Spec.Parameters; p != nil && p.File != "" {
		var err error
		if file, data, err = r.beside(e.At("spec.parameters.file"), "spec.parameters.file", p.File); err != nil {
			return nil, err
		}
	}
	if e.Spec.Parameters != nil {
		e.Origin = e.At("spec.parameters")
	}
	names, items, err := expand.Items(e, file, data, r.limits.Items, r.limits.Documents)
	if err != nil {
		return nil, err
	}
	for i := range items {
		// The Origin stays in the document that people review, and names the row.
		if row := items[i].Origin; row.File != e.Origin.File {
			items[i].Origin = e.Origin
			items[i].Origin.ParameterFile, items[i].Origin.ParameterLine = row.File, row.Line
		}
	}
	// It stands in the lines that it has in the document, so that whatever names
	// a line names that of the file.
	template := jinjaTemplate{file: e.Origin.File, text: strings.Repeat("\n", e.InlineLine) + e.Spec.Inline, origin: e.Origin}
	if e.Spec.Template != "" {
		text, data, err := r.beside(e.At("spec.template"), "spec.template", e.Spec.Template)
		if err != nil {
			return nil, err
		}
		template = jinjaTemplate{file: text, text: string(data), origin: e.Origin}
	}
	if isJinja(template.file) {
		return r.expandJinja(template, items)
	}
	return r.expandYAML(template, names, items)
}

func (r *renderer) expandYAML(template jinjaTemplate, names []string, items []expand.Item) ([]schema.Object, error) {
	documents, err := schema.ReadDocuments(template.file, []byte(template.text), r.limits.Documents)
	if err != nil {
		return nil, err
	}
	compiled, warnings, err := expand.Compile(documents, names)
	for _, w := range warnings {
		if w.Origin.File == "" || w.Origin.Line == 0 {
			w.Origin = template.origin
		}
	}
	r.warnings = append(r.warnings, warnings...)
	if err != nil {
		return nil, err
	}
	if total := len(items) * len(documents); total > r.limits.Objects {
		return nil, &schema.Problem{Rule: "R004", Origin: template.origin, Message: fmt.Sprintf("the Expansion makes %d objects; at most %d are made", total, r.limits.Objects),
			Mend: "Use fewer items, or raise spec.limits.objects."}
	}
	if err := r.fits(compiled, items, template); err != nil {
		return nil, err
	}
	source := schema.NewSource(template.file, []byte(template.text))
	objects := make([]schema.Object, 0, len(items)*len(documents))
	var problems []error
	for _, item := range items {
		made, err := compiled.Expand(item.Values)
		for _, p := range schema.Problems(err) {
			line := p.Origin.Line
			p.Origin = itemOrigin(template, item, line)
			problems = append(problems, p)
		}
		if err != nil {
			continue
		}
		for _, d := range made {
			flat, err := flatten(d.Content, nil, itemOrigin(template, item, d.Line), source.Fields(d.Index, true))
			for _, o := range flat {
				if p := templated(o); p != nil {
					problems = append(problems, p)
					continue
				}
				objects = append(objects, o)
			}
			problems = append(problems, err)
		}
	}
	problems = append(problems, sameNames(objects))
	return objects, errors.Join(problems...)
}

// templated is the problem of an object that a template made and that is one
// of rota's own documents.
func templated(o schema.Object) error {
	version := o.GetAPIVersion()
	if !strings.HasPrefix(version, "rota.dev/") {
		return nil
	}
	return &schema.Problem{Rule: "R017", Origin: o.Origin,
		Message: fmt.Sprintf("the template renders to a %s of %s; rota's own documents are not templated", o.GetKind(), version), Mend: "Write the document out."}
}

// fits charges what the items will make of a template, before any of it is
// made.
func (r *renderer) fits(compiled *expand.Template, items []expand.Item, template jinjaTemplate) error {
	for _, item := range items {
		if err := r.produce(compiled.Size(item.Values), template.origin); err != nil {
			return err
		}
	}
	return nil
}

// produce counts bytes that a template makes.
func (r *renderer) produce(bytes int64, origin schema.Origin) error {
	r.rendered += bytes
	r.trace.rendered += bytes
	if r.rendered <= r.limits.RenderedBytes {
		return nil
	}
	r.trace.fleeting = true
	return &schema.Problem{Rule: "R004", Origin: origin, Message: fmt.Sprintf("templates make more than %d bytes in all", r.limits.RenderedBytes),
		Mend: "Use fewer items or shorter parameters, or raise spec.limits.renderedBytes."}
}

func itemOrigin(template jinjaTemplate, item expand.Item, line int) schema.Origin {
	origin := item.Origin
	origin.Template, origin.Item, origin.Parameters = template.file, item.Number, item.Parameters()
	if line > 0 {
		origin.TemplateLine = line
	}
	return origin
}

// sameNames reports items of one Expansion that make the same object, each
// name once.
func sameNames(objects []schema.Object) error {
	var problems []error
	seen := map[schema.Key]schema.Origin{}
	said := map[schema.Key]bool{}
	for _, o := range objects {
		key := o.Key()
		first, twice := seen[key]
		if !twice || key.Name == "" {
			seen[key] = o.Origin
			continue
		}
		if said[key] || first.Item == o.Origin.Item {
			continue
		}
		said[key] = true
		problems = append(problems, &schema.Problem{Rule: "R034", Origin: o.Origin, Object: &key,
			Message: fmt.Sprintf("items %d and %d make an object of the same name", first.Item, o.Origin.Item),
			Mend:    "Put a parameter that differs into metadata.name."})
	}
	return errors.Join(problems...)
}
