package render

import (
	"testing"

	"golang.org/x/tools/txtar"
)

func TestFieldsOfAJinjaTemplateAreWhereItWroteThem(t *testing.T) {
	fsys, err := txtar.FS(txtar.Parse([]byte(`
-- a.yaml.j2 --
{% for n in range(2) -%}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: c-{{ n }}}
spec:
  {% include 'schedule.j2' %}
  suspend: {{ n == 1 }}
{% endfor %}
-- schedule.j2 --
{# Every job
   has it. #}schedule: "@daily"
  timeZone: Etc/UTC
-- e.yaml --
apiVersion: rota.dev/v1alpha1
kind: Expansion
metadata: {name: e}
spec:
  template: t.yaml.j2
  parameters: {items: [{N: x}]}
-- t.yaml.j2 --
apiVersion: v1
kind: ConfigMap
{% if true %}
metadata: {name: e-{{ N }}}
{% endif %}
`)))
	if err != nil {
		t.Fatal(err)
	}
	result, err := Render(Tree{FS: fsys, Path: "."}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		name, field, at string
	}{
		{"c-0", "spec.suspend", "a.yaml.j2:8"},
		{"c-1", "spec.suspend", "a.yaml.j2:8"},
		{"c-1", "spec.schedule", "a.yaml.j2:3 (schedule.j2:2)"},
		{"c-1", "spec.timeZone", "a.yaml.j2:3 (schedule.j2:3)"},
		{"c-1", "spec.jobTemplate", "a.yaml.j2:3 (schedule.j2:2)"},
		{"c-1", "", "a.yaml.j2:3"},
		{"e-x", "metadata.name", `e.yaml:6:24 (t.yaml.j2:4 N="x")`},
	} {
		found := false
		for _, o := range result.Objects {
			if o.GetName() == want.name {
				found = true
				if got := o.At(want.field).String(); got != want.at {
					t.Errorf("%s of %s: got %s, want %s", want.field, want.name, got, want.at)
				}
			}
		}
		if !found {
			t.Errorf("there is no %s", want.name)
		}
	}
}
