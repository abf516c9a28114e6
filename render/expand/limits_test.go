package expand

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"rota.dev/rota/schema"
)

func renderText(text string, bytes int, limit time.Duration) (Rendered, error) {
	job := Job{File: "main.j2", Text: text, Bytes: bytes, Time: limit}
	return Render(job, func(string) ([]byte, error) { return nil, fs.ErrNotExist })
}

func TestTheWorkIsBoundedByTheSource(t *testing.T) {
	for name, c := range map[string]struct{ template, message string }{
		"filters in a row":    {"{{ 'a'" + strings.Repeat("|upper", 100_000/2-10) + " }}", "operators, filters and items"},
		"a sum":               {"{{ 1" + strings.Repeat(" + 1", 20_000) + " }}", "operators, filters and items"},
		"texts side by side":  {"{{ 'a'" + strings.Repeat(" 'a'", 20_000) + " }}", "operators, filters and items"},
		"attributes":          {"{{ a" + strings.Repeat(".a", 20_000) + " }}", "operators, filters and items"},
		"conditions":          {"{{ 1" + strings.Repeat(" if 1", 20_000) + " }}", "operators, filters and items"},
		"a list":              {"{% set x = [" + strings.Repeat("1,", 40_000) + "] %}", "operators, filters and items"},
		"statements":          {strings.Repeat("{% if 1 %}", 9_000) + strings.Repeat("{% endif %}", 9_000), "nested more than 100 deep"},
		"set blocks":          {strings.Repeat("{% set x %}", 20_000), "nested more than 100 deep"},
		"parentheses":         {"{{ " + strings.Repeat("(", 20_000), "nested more than 200 deep"},
		"many statements":     {strings.Repeat("{% set x = 1 %}\n", 50_000), "words and signs"},
		"text in a set block": {"{% set x %}{% for i in range(1000) %}0123456789{% endfor %}{% endset %}", "macros and blocks make more than 4000 bytes"},
		"prints in a macro":   {"{% macro m() %}{% for i in range(1000) %}{{ '0123456789' }}{% endfor %}{% endmacro %}{{ m()|length }}", "macros and blocks make more than 4000 bytes"},
		"output":              {"{% for i in range(1000) %}0123456789{% endfor %}", "the output has more than 1000 bytes"},
		"small loops":         {"{% for i in range(9) %}{% for i in range(9) %}{% endfor %}{% endfor %}", ""},
	} {
		_, err := renderText(c.template, 1000, 10*time.Second)
		problems := schema.Problems(err)
		switch {
		case c.message == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.message == "":
		case len(problems) != 1 || problems[0].Rule != "R043" || !strings.Contains(problems[0].Message, c.message) || problems[0].Origin.Line == 0:
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A template that is asked to stop is at a line, and one that could not be
// asked and was abandoned is at none.
func TestLoopsEndAtTheLimitOfTime(t *testing.T) {
	for name, template := range map[string]string{
		"without output":         "\n{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
		"with a dear condition":  "\n{% for a in range(99999) if range(99999)|sum < 0 %}{% endfor %}",
		"that hide their faults": "\n{% for a in range(99999) %}{{ (range(99999)|sum)|default(1) is defined }}{% endfor %}",
	} {
		_, err := renderText(template, 1<<20, 100*time.Millisecond)
		problems := schema.Problems(err)
		if len(problems) != 1 || problems[0].Rule != "R043" || problems[0].Origin.Line != 2 {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
