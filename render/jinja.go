package render

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"rota.dev/rota/render/expand"
	"rota.dev/rota/schema"
)

// jinjaTemplate is the text of a template, YAML or Jinja, and where it is from.
type jinjaTemplate struct {
	file string
	text string
	// origin is the document that names the template.
	origin schema.Origin
}

// jinja renders a template once: as it is, or with the values of an item.
func (r *renderer) jinja(t jinjaTemplate, item *expand.Item) ([]schema.Object, error) {
	job := expand.Job{File: t.file, Text: t.text, Bytes: r.limits.TemplateBytes, Time: r.limits.TemplateTime}
	origin := t.origin
	if item != nil {
		job.Variables = item.Values
		origin = itemOrigin(t, *item, 0)
	}
	out, err := r.engine.Template(job, r.included)
	for _, used := range out.Used {
		r.claimed[used] = schema.Origin{File: t.file}
	}
	if err != nil {
		return nil, inTemplate(err, origin, item)
	}
	if err := r.produce(int64(len(out.Text)), t.origin); err != nil {
		return nil, err
	}
	return r.parse(t, out, origin)
}

// included returns a file that a template includes, imports or extends.
func (r *renderer) included(file string) ([]byte, error) {
	if info, err := fs.Stat(r.fsys, file); err != nil || info.IsDir() {
		return nil, fs.ErrNotExist
	}
	return r.read(file)
}

// inTemplate adds the item to a problem of a template; its position stays in
// the template, where the user mends it.
func inTemplate(err error, origin schema.Origin, item *expand.Item) error {
	if item == nil {
		return err
	}
	for _, p := range schema.Problems(err) {
		line, file := p.Origin.Line, p.Origin.File
		p.Origin = origin
		p.Origin.Template, p.Origin.TemplateLine = file, line
	}
	return err
}

// parse reads what a template wrote. Positions there become those of the
// template; a fault shows the rendered line as well.
func (r *renderer) parse(t jinjaTemplate, out expand.Rendered, origin schema.Origin) ([]schema.Object, error) {
	limits := r.limits.Documents
	limits.FileBytes = max(limits.MaxFileBytes(), r.limits.TemplateBytes)
	lines := linesOf(out)
	documents, err := schema.ReadDocuments(t.file, []byte(out.Text), limits)
	problems := []error{lines.problems(err, origin)}
	source := schema.NewRenderedSource(t.file, []byte(out.Text), lines.places)
	var objects []schema.Object
	for i, d := range documents {
		content, err := d.Value()
		if err != nil {
			problems = append(problems, lines.problems(err, origin))
			continue
		}
		at := origin
		if d.Node.Line >= 1 && d.Node.Line <= len(lines.places) {
			at = origin.WrittenAt(lines.places[d.Node.Line-1])
		}
		made, err := flatten(content, nil, at, source.Fields(i, false))
		for _, p := range schema.Problems(err) {
			p.Origin.Line = d.Node.Line
		}
		problems = append(problems, lines.problems(err, origin))
		for _, o := range made {
			if len(made) > 1 { // the items of a List
				o.Origin = o.Fields.Start(o.Origin)
			}
			if p := templated(o); p != nil {
				problems = append(problems, p)
				continue
			}
			objects = append(objects, o)
		}
	}
	return objects, errors.Join(problems...)
}

// renderedLines are the lines of what a template wrote, as YAML counts them,
// and the place of each.
type renderedLines struct {
	texts  []string
	places []schema.Place
}

// otherBreaks are what ends a line in YAML 1.1 besides \n; the printed values
// of a template may have them.
var otherBreaks = regexp.MustCompile("\r|\u0085|\u2028|\u2029")

func linesOf(out expand.Rendered) renderedLines {
	var lines renderedLines
	for i, text := range strings.Split(strings.ReplaceAll(out.Text, "\r\n", "\n"), "\n") {
		if i >= len(out.Lines) {
			break // what follows the last line break is empty
		}
		for _, part := range otherBreaks.Split(text, -1) {
			lines.texts = append(lines.texts, part)
			lines.places = append(lines.places, out.Lines[i])
		}
	}
	return lines
}

// problems moves problems of the rendered text to the template.
func (l renderedLines) problems(err error, origin schema.Origin) error {
	for _, p := range schema.Problems(err) {
		line := p.Origin.Line
		p.Origin = origin
		if line > 0 && line <= len(l.places) {
			p.Origin = origin.WrittenAt(l.places[line-1])
			p.Message += fmt.Sprintf(" (in line %d of the rendered text: %q)", line, l.texts[line-1])
		}
	}
	return err
}

// expandJinja renders the template once for each item.
func (r *renderer) expandJinja(t jinjaTemplate, items []expand.Item) ([]schema.Object, error) {
	var objects []schema.Object
	var problems []error
	for i := range items {
		made, err := r.jinja(t, &items[i])
		objects = append(objects, made...)
		if err != nil {
			problems = append(problems, err)
		}
		if len(problems) >= 10 {
			break // a fault of the template shows in every item
		}
		if len(objects) > r.limits.Objects {
			problems = append(problems, &schema.Problem{Rule: "R004", Origin: t.origin, Message: fmt.Sprintf("the Expansion makes more than %d objects", r.limits.Objects), Mend: "Use fewer items, or raise spec.limits.objects."})
			break
		}
	}
	problems = append(problems, sameNames(objects))
	return objects, errors.Join(problems...)
}
