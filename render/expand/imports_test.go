package expand

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"rota.dev/rota/schema"
)

// What a want begins with ! is refused as.
func TestAnImportedFileStandsByItself(t *testing.T) {
	files := fstest.MapFS{
		"lib.j2":   {Data: []byte("text {% set a = 'A' %}{% set _b = 'B' %}{% macro f(x) %}{{ a }}{{ x }}{% endmacro %}{% from 'other.j2' import o %}{% macro g() %}{{ o }}{% endmacro %}")},
		"other.j2": {Data: []byte("{% set o = 'O' %}{% for i in [1] %}{% set q = 1 %}{% endfor %}")},
		"uses.j2":  {Data: []byte("{% macro f() %}{{ v }}{% endmacro %}")},
		"self.j2":  {Data: []byte("{% import 'self.j2' as s %}")},
	}
	for template, want := range map[string]string{
		"{% import 'lib.j2' as m %}{{ m.a }}{{ m.f(1) }}{{ m.g() }}":      "AA1O",
		"{% from 'lib.j2' import f as g, a %}{% set a = 2 %}{{ g(a) }}":   "A2",
		"{% import 'lib.j2' as m without context %}{{ m.f('') }}":         "A",
		"{% import 'uses.j2' as m with context %}{{ m.f() }}":             "V",
		"{% import 'uses.j2' as m %}{{ m.f() }}":                          `!"v" is not defined`,
		"{% import 'lib.j2' as m %}{{ m._b }}":                            `!there is no attribute "_b"`,
		"{% import 'lib.j2' as m %}{{ m.o }}":                             `!there is no attribute "o"`,
		"{% import 'lib.j2' as m %}{{ m.range }}":                         `!there is no attribute "range"`,
		"{% import 'uses.j2' as m with context %}{{ m.v }}":               `!there is no attribute "v"`,
		"{% from 'other.j2' import q %}":                                  `!the imported file has no "q"`,
		"{% import 'lib.j2' as m %}{{ m }}":                               "!a function or another object",
		"{% import 'self.j2' as m %}":                                     "!",
		"{% import 'gone.j2' as m %}":                                     "!there is no file gone.j2",
		"{% import 'lib.j2' as m %}{{ m.f(1) if m.a is defined else 2 }}": "A1",
	} {
		job := Job{File: "main.j2", Text: template, Bytes: 1000, Time: 5 * time.Second, Variables: []schema.Value{{Name: "v", Text: "V", Data: "V"}}}
		out, err := Render(job, func(f string) ([]byte, error) { return fs.ReadFile(files, f) })
		message, refused := strings.CutPrefix(want, "!")
		switch {
		case refused && (err == nil || !strings.Contains(err.Error(), message)):
			t.Errorf("%s: got %q, %v", template, out.Text, err)
		case !refused && (err != nil || out.Text != want):
			t.Errorf("%s: got %q, %v, want %q", template, out.Text, err, want)
		}
	}
}
