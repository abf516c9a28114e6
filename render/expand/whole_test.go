package expand

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// wholeOracle renders whole templates with Jinja2, with the files that they
// include.
const wholeOracle = `
import json, sys
from jinja2 import StrictUndefined, DictLoader
from jinja2.sandbox import SandboxedEnvironment
given = json.load(sys.stdin)
out = []
for t in given["templates"]:
    env = SandboxedEnvironment(undefined=StrictUndefined, loader=DictLoader({**given["files"], "main.j2": t}), extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
    try:
        out.append([True, env.get_template("main.j2").render(s="text", n=7, f=1.5, z=0, e="", l=[3, 1, 2], d={"b": 1, "a": [True, None]}, u="it's <é>")])
    except Exception as x:
        out.append([False, type(x).__name__ + ": " + str(x)])
json.dump(out, sys.stdout)
`

var wholeFiles = map[string]string{
	"inc.j2":  "\n  inc {{ s }} {% if x is defined %}{{ x }}{% endif -%}\n\n",
	"lib.j2":  "{% set c = 'C' %}\n{% macro m(a, b='B') %}[{{ a }}|{{ b }}{{ c }}]{% endmacro %}{% macro w() -%} <{{ caller() }}> {%- endmacro %}",
	"base.j2": "top\n{% block one %}base one {{ s }}{% endblock %}\n{%- block two %} two{% endblock %}\nend\n",
}

// writer makes a random template.
type writer struct {
	*rand.Rand
}

func (w *writer) pick(list ...string) string { return list[w.IntN(len(list))] }

func (w *writer) tag(inside string) string {
	return "{%" + w.pick("", "", "-", "+") + " " + inside + " " + w.pick("", "", "-") + "%}"
}

// value is an expression, seldom one of a name that may not be defined.
func (w *writer) value() string {
	if w.IntN(12) == 0 {
		return w.pick("x", "y", "ns.v", "x|default('-')", "x is defined", "m('q')", "m(1, b=2)", "k.m('q')", "k.c", "l.nope", "loop.index")
	}
	return w.pick("s", "n", "x", "y", "l", "l[0]", "d.b", "d", "n + 1", "'a' ~ n", "l|join(',')", "s|upper", "s|replace('t', 'T')", "u", "l|sort|first",
		"'%02d' % n", "l|length", "s[1:]", "d|dictsort|list", "s|indent(2)", "s|center(9)", "l|map('string')|list", "n if z else s", "not z", "d.items()|list", "[1, 2]|batch(1)|list", "range(3)|list", "s|truncate(3, true)", "f|round|int", "'x\\ny'|indent(2, true)", "e|default('D', true)", "d|tojson", "(1, 2)", "l|select('gt', 1)|list", "s|title", "s is string", "n is odd")
}

func (w *writer) loopValue() string {
	return w.pick("loop.index", "loop.index0", "loop.first", "loop.last", "loop.length", "loop.revindex", "loop.revindex0", "loop.depth", "loop.cycle('a', 'b')", "loop.previtem is defined", "loop.nextitem|default('none')", "loop.changed(x)", "x", "x", "x ~ loop.index")
}

func (w *writer) text() string {
	return w.pick("a", " ", "\n", "\n\n", "  b\n", " c ", "\t", "- d: 1\n", "{", "}", "%", "#", "é", "\n    ")
}

func (w *writer) body(depth int) string {
	var b strings.Builder
	for range 1 + w.IntN(4) {
		b.WriteString(w.text())
		b.WriteString(w.statement(depth))
	}
	return b.String() + w.text()
}

func (w *writer) statement(depth int) string {
	if depth == 0 || w.IntN(3) == 0 {
		return "{{" + w.pick("", "", "-") + " " + w.value() + " " + w.pick("", "", "-") + "}}"
	}
	in := func() string { return w.body(depth - 1) }
	switch w.IntN(17) {
	case 0, 1:
		return w.tag("if "+w.value()) + in() + w.pick("", w.tag("elif "+w.value())+in()) + w.pick("", w.tag("else")+in()) + w.tag("endif")
	case 2, 3, 4:
		loop := w.pick("l", "range(3)", "[]", "d", "s", "d.items()", "[[1, 2], [3]]", "l|sort", "none", "[1, 1, 2]")
		inside := in() + "{{ " + w.loopValue() + " }}"
		return w.tag("for x in "+loop+w.pick("", "", "", " if x != 1")) + inside + w.pick("", "", w.tag("if x == 1")+w.tag(w.pick("break", "continue"))+w.tag("endif")+w.text()) + w.pick("", w.tag("else")+in()) + w.tag("endfor")
	case 5:
		return w.tag("for x, y in "+w.pick("d.items()", "[[1, 2], [3, 4]]", "d|dictsort", "l", "[(1, 2)]")) + in() + "{{ x }}={{ y }}" + w.tag("endfor")
	case 6:
		return w.tag("set " + w.pick("s") + " = " + w.value())
	case 7:
		return w.tag("set "+w.pick("x", "y")) + in() + w.tag("endset")
	case 8:
		return w.tag("set ns = namespace(v="+w.value()+")") + in() + w.tag("set ns.v = "+w.value()) + "{{ ns.v }}"
	case 9:
		return w.tag("macro m(a, b='d')") + in() + "{{ a }}{{ b }}" + w.tag("endmacro") + "{{ m(" + w.value() + ") }}"
	case 10:
		return w.tag("macro c()") + in() + "{{ caller() }}" + w.tag("endmacro") + w.tag("call c()") + in() + w.tag("endcall")
	case 11:
		return w.tag("filter "+w.pick("upper", "indent(2)", "trim", "replace('a', 'b')")) + in() + w.tag("endfilter")
	case 12:
		return w.tag("include 'inc.j2'" + w.pick("", " ignore missing", " without context"))
	case 13:
		return w.tag("raw") + w.pick("", " {{ x }} \n", "{% if %}", "\n a \n") + w.tag("endraw")
	case 14:
		return "{#" + w.pick("", "-") + w.pick("", " c\n", " {{ x }} ") + w.pick("", "-") + "#}"
	case 15:
		return w.tag("with x = "+w.value()) + in() + w.tag("endwith")
	default:
		return w.pick(w.tag("import 'lib.j2' as k"), w.tag("from 'lib.j2' import m"), w.tag("from 'lib.j2' import m, w")+w.tag("call w()")+in()+w.tag("endcall"), w.tag("do n"))
	}
}

func (w *writer) template() string {
	if w.IntN(12) == 0 {
		return "{% extends 'base.j2' %}" + w.text() + w.tag("block one") + w.body(2) + w.pick("", "{{ super() }}") + w.tag("endblock") + w.pick("", w.tag("block two")+w.body(1)+w.tag("endblock"))
	}
	return w.body(3)
}

// TestWholeTemplatesAreThoseOfJinja2 compares random templates with Jinja2
// where python3-jinja2 is installed: each gives the same or is refused.
func TestWholeTemplatesAreThoseOfJinja2(t *testing.T) {
	if exec.Command("python3", "-c", "import jinja2").Run() != nil {
		t.Skip("python3-jinja2, the oracle, is not installed")
	}
	count := 400
	if *allExpressions {
		count = 30_000
	}
	w := &writer{Rand: rand.New(rand.NewPCG(7, 8))}
	list := make([]string, count)
	for i := range list {
		list[i] = w.template()
	}
	input, err := json.Marshal(map[string]any{"files": wholeFiles, "templates": list})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("python3", "-c", wholeOracle)
	command.Stdin = bytes.NewReader(input)
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers [][2]any
	if err := json.Unmarshal(output, &answers); err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for name, text := range wholeFiles {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	values := oracleVariables(t)
	exact, bothRefuse, refused, different := 0, 0, 0, 0
	reasons := map[string]int{}
	for i, template := range list {
		ok, want := answers[i][0].(bool), answers[i][1].(string)
		out, err := Render(Job{File: "main.j2", Text: template, Variables: values, Bytes: 1 << 20, Time: 5 * time.Second},
			func(f string) ([]byte, error) { return fs.ReadFile(files, f) })
		switch {
		case err == nil && ok && out.Text == want:
			exact++
		case err != nil && !ok:
			bothRefuse++
		case err != nil:
			refused++
			_, reason, _ := strings.Cut(strings.SplitN(err.Error(), "\n", 2)[0], ": ")
			reasons[reason]++
		default:
			if different++; different <= 10 {
				t.Errorf("%q\n got %q\nwant %v %q", template, out.Text, ok, want)
			}
		}
	}
	t.Logf("%d templates: %d the same, %d refused by both, %d refused here only, %d silently different", len(list), exact, bothRefuse, refused, different)
	if testing.Verbose() {
		t.Log(fmt.Sprint(reasons))
	}
	if exact < count/5 {
		t.Errorf("only %d of %d come out at all", exact, count)
	}
}
