package expand

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"rota.dev/rota/schema"
)

// Literal text in these templates says where it stands: m3 is line 3 of
// main.j2, a1 line 1 of a.j2. What is printed says P and the line that prints.
var linesOfTemplates = map[string]string{
	"text goes on from line to line":           "m1\n\nm3\n m4",
	"printed text has the line of its print":   "m1\n{{ 'P2\\nP2\\nP2' }} x\nm3",
	"a print over several lines has its first": "m1\n{{ 'P2' ~\n'\\nP2' }} x\nm4",
	"a loop repeats its lines":                 "m1\n{% for i in [1, 2] %}\nm3 {{ i }}\n{% endfor %}\nm5",
	"a loop without line breaks inside":        "m1\n{% for i in [1, 2] %}m2\n{% endfor %}m3\nm4",
	"dashes join lines":                        "m1\n{%- for i in [1, 2] %}\nm3\n{%- endfor %}\nm5\n  {{- '' -}}\n\n m8\n{#- c\nc -#}\n m11",
	"a dash before odd white space":            "m1 {% if true -%}\n\f\u00a0\n m3 {%- endif %}\n m4",
	"a comment of several lines":               "{# m0\nm0 #}m2\n{#\n#}\nm5",
	"statements of several lines":              "{% if\ntrue\n%}m3\n{% endif\n%}m5\nm6",
	"indentation before a print":               "m1:\n  {{ 'P2' }}\n  {{ 'P3: 1\\n  P3: 2' }}\n",
	"raw text":                                 "m1\n{% raw %}m2\n{{ x }}\n{% endraw %}\nm5",
	"raw text after a dash":                    "m1\n\n{%- raw %}\nm4\n{% endraw %}\nm6",
	"a macro is where it is printed":           "{% macro f(x) %}a: {{ x }}\nb: {{ x }}{% endmacro %}m2\nP3{{ f(1) }}\nm4",
	"a macro at the beginning of a line":       "{% macro f(x) %}\nP4-{{ x }}\nP4-{{ x }}{% endmacro %}m3\n{{ f(1) }}\nm5",
	"a call block is where it stands":          "{% macro f() %}P4\nP4{{ caller() }}{% endmacro %}m2\nm3\n{% call f() %}\nP4{% include 'p.j2' %}{% endcall %}\nm6",
	"a set block is where it is printed":       "{% set x %}P4\nP4\n{% endset %}\n{{ x }}m4\nm5",
	"an include is its own file":               "m1\n{% include 'a.j2' %}\nm3",
	"an include after spaces":                  "m1\n  {% include 'a.j2' %}\nm3",
	"an include in a set block":                "{% set x %}\n{% include 'a.j2' %}{% endset %}m2\nm3",
	"an imported macro is where it is printed": "{% from 'lib.j2' import f %}m1\n{{ f() }}\nm3",
	"a block of a child":                       "{% extends 'base.j2' %}\n{% block x %}m2\nm3{% endblock %}",
	"super":                                    "{% extends 'base.j2' %}\n{% block x %}m2\n{{ 'P3' ~ super() }}\nm4{% endblock %}",
	"a recursive loop":                         "{% for i in [[], []] recursive %}\nm2{{ loop(i) }}\nm3\n{% endfor %}m4",
	"line breaks of other systems":             "m1\r\nm2\rm3\n{{ 'P4' }}\r\nm5",
	"an empty template":                        "",
	"only line breaks":                         "\n\n\n",
}

var selfDescribed = regexp.MustCompile(`^\s*([a-zP])(\d+)`)

func TestEachLineKnowsWhatWroteIt(t *testing.T) {
	files := fstest.MapFS{
		"p.j2":    {Data: []byte("P4\nP4")},
		"a.j2":    {Data: []byte("a1\na2\n{{ '' }}a3\n")},
		"lib.j2":  {Data: []byte("x\n{% macro f() %}\nP2\nP2{% endmacro %}")},
		"base.j2": {Data: []byte("b1\n{% block x %}b2{% endblock %}\nb3")},
	}
	names := map[string]string{"m": "main.j2", "P": "main.j2", "a": "a.j2", "b": "base.j2"}
	for name, template := range linesOfTemplates {
		job := Job{File: "main.j2", Text: template, Bytes: 1 << 20, Time: 5 * time.Second}
		out, err := Render(job, func(f string) ([]byte, error) { return fs.ReadFile(files, f) })
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		lines := strings.Split(out.Text, "\n")
		if n := len(out.Lines); n != len(lines) && !(n == len(lines)-1 && lines[n] == "") {
			t.Errorf("%s: %d places for %d lines of %q", name, n, len(lines), out.Text)
			continue
		}
		for i, place := range out.Lines {
			m := selfDescribed.FindStringSubmatch(lines[i])
			if m == nil {
				continue
			}
			if got, want := fmt.Sprintf("%s:%d", place.File, place.Line), names[m[1]]+":"+m[2]; got != want {
				t.Errorf("%s: line %d, %q, is from %s, and %s is said", name, i+1, lines[i], want, got)
			}
		}
	}
}

func TestABlankLineHasThePlaceOfItsBreak(t *testing.T) {
	out, err := Render(Job{File: "m.j2", Text: "a\n\n{% if true %}\n{% endif %}\n  \nb", Bytes: 100, Time: 5 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []schema.Place{{File: "m.j2", Line: 1}, {File: "m.j2", Line: 2}, {File: "m.j2", Line: 3}, {File: "m.j2", Line: 4}, {File: "m.j2", Line: 5}, {File: "m.j2", Line: 6}}
	if fmt.Sprint(out.Lines) != fmt.Sprint(want) {
		t.Errorf("%q: got %v", out.Text, out.Lines)
	}
}
