package render

import (
	"rota.dev/rota/render/expand"
	"rota.dev/rota/schema"
)

// jinjaTemplate is the text of a template, YAML or Jinja, and where it is from.
type jinjaTemplate struct {
	file string
	text string
	// origin is the document that names the template.
	origin schema.Origin
	// line is the line before the text's first one, for a text inside file.
	line int
}

func (r *renderer) jinja(t jinjaTemplate, item *expand.Item) ([]schema.Object, error) {
	return nil, &schema.Problem{Rule: "R040", Origin: t.origin, Message: "Jinja comes in the next commit"}
}

func (r *renderer) expandJinja(t jinjaTemplate, items []expand.Item) ([]schema.Object, error) {
	return r.jinja(t, nil)
}
