package expand

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"rota.dev/rota/schema"
)

// oracle renders templates with Jinja2 itself: StrictUndefined, sandboxed.
const oracle = `
import json, sys
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
out = []
for t in json.load(sys.stdin):
    try:
        out.append([True, SandboxedEnvironment(undefined=StrictUndefined).from_string(t).render(s="text", n=7, f=1.5, z=0, e="", l=[3, 1, 2], d={"b": 1, "a": [True, None]}, u="it's <é>")])
    except Exception as x:
        out.append([False, type(x).__name__ + ": " + str(x)])
json.dump(out, sys.stdout)
`

var allExpressions = flag.Bool("all-expressions", false, "compare every expression with Jinja2, not a sample")

const oracleValues = `{s: text, n: 7, f: 1.5, z: 0, e: "", l: [3, 1, 2], d: {b: 1, a: [true, null]}, u: "it's <é>"}`

var (
	atoms  = []string{"s", "n", "f", "z", "e", "l", "d", "u", "0", "1", "-3", "2.0", "1e20", "0.1", "'a'", "'b c'", `"it's"`, "'%03d'", "'%s-%s'", "[]", "[1, 2]", "['x', 'y']", "(1, 2)", "(1,)", "()", "{}", "{'k': 1}", "none", "true", "false", "nope", "range(3)", "d.b", "l[0]", "l[-1]", "s[1:3]", "d['a']", "d.nope"}
	binary = []string{"+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"}
	pipes  = []string{"upper", "lower", "title", "capitalize", "length", "list", "first", "last", "join(',')", "join", "string", "int", "float", "abs", "default('x')", "default('x', true)", "tojson", "sort", "sort|join", "unique|list", "reverse|list", "sum", "max", "min", "trim", "replace('a','b')", "indent(2)", "round", "round(1)", "batch(2)|list", "slice(2)|list", "map('string')|list", "select|list", "reject|list", "select('odd')|list", "dictsort", "items|list", "urlencode", "wordcount", "truncate(3)", "center(8)", "format(1)", "count", "d", "attr('x')", "groupby('x')", "map('upper')|join(' ')"}
	tests  = []string{"defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable", "odd", "even", "divisibleby(3)", "true", "false", "lower", "upper", "eq(1)", "in([1, 2])", "sameas(none)", "not none", "not defined", "callable"}
	calls  = []string{".upper()", ".lower()", ".strip()", ".split()", ".split('t')", ".startswith('t')", ".endswith('t')", ".replace('t', 'T')", ".zfill(6)", ".title()", ".capitalize()", ".join(['a', 'b'])", ".isdigit()", ".isalpha()", ".ljust(6)", ".rjust(6)", ".center(7)", ".find('x')", ".format(1)", ".items()|list", ".keys()|list", ".values()|list", ".get('b')", ".get('q', 2)", ".splitlines()", ".rsplit('t')", ".islower()", ".removeprefix('t')", ".lstrip('t')"}
)

func expressions() []string {
	var list []string
	for _, a := range atoms {
		list = append(list, "{{ "+a+" }}", "{{ -"+a+" }}", "{{ not "+a+" }}", "{% if "+a+" %}yes{% else %}no{% endif %}", "{% for x in "+a+" %}{{ x }},{% endfor %}", "{{ "+a+" if n > 3 else 0 }}", "{{ 1 if "+a+" else 2 }}")
		for _, b := range atoms {
			for _, o := range binary {
				list = append(list, "{{ "+a+" "+o+" "+b+" }}")
			}
		}
		for _, p := range pipes {
			list = append(list, "{{ "+a+"|"+p+" }}")
		}
		for _, p := range tests {
			list = append(list, "{{ "+a+" is "+p+" }}")
		}
		for _, c := range calls {
			list = append(list, "{{ "+a+c+" }}", "{{ ("+a+")"+c+" }}")
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		list = append(list, "{{ "+randomExpression(random, 3)+" }}")
	}
	return list
}

func randomExpression(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(5) == 0 {
		return atoms[r.IntN(len(atoms))]
	}
	sub := func() string { return randomExpression(r, depth-1) }
	switch r.IntN(7) {
	case 0:
		return "(" + sub() + ")"
	case 1:
		return "not " + sub()
	case 2:
		return sub() + "|" + pipes[r.IntN(len(pipes))]
	case 3:
		return sub() + " if " + sub() + " else " + sub()
	case 4:
		return "-" + sub()
	default:
		return sub() + " " + binary[r.IntN(len(binary))] + " " + sub()
	}
}

// TestExpressionsAreThoseOfJinja2 compares with Jinja2 where python3-jinja2 is
// installed: every expression must give the same or be refused. What Jinja2
// refuses must be refused, too.
func TestExpressionsAreThoseOfJinja2(t *testing.T) {
	if exec.Command("python3", "-c", "import jinja2").Run() != nil {
		t.Skip("python3-jinja2, the oracle, is not installed")
	}
	list := expressions()
	if !*allExpressions {
		random := rand.New(rand.NewPCG(5, 6))
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		list = list[:4000]
	}
	input, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("python3", "-c", oracle)
	command.Stdin = bytes.NewReader(input)
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers [][2]any
	if err := json.Unmarshal(output, &answers); err != nil {
		t.Fatal(err)
	}
	same, refused, shown := 0, 0, 0
	for i, template := range list {
		ok, want := answers[i][0].(bool), answers[i][1].(string)
		got, err := renderOracle(t, template)
		switch {
		case err != nil && !ok, err == nil && ok && got == want:
			same++
		case err != nil:
			refused++
		default:
			if shown++; shown <= 60 {
				t.Errorf("%s\n got %q\nwant %v %q", template, got, ok, want)
			}
		}
	}
	t.Logf("%d expressions: %d the same, %d refused, %d silently different", len(list), same, refused, shown)
}

func renderOracle(t *testing.T, template string) (string, error) {
	t.Helper()
	values := oracleVariables(t)
	job := Job{File: "main.j2", Text: template, Variables: values, Bytes: 1 << 20, Time: 5 * time.Second}
	out, err := Render(job, func(string) ([]byte, error) { return nil, fs.ErrNotExist })
	if err != nil {
		return "", fmt.Errorf("%s", strings.SplitN(err.Error(), "\n", 2)[0])
	}
	return out.Text, nil
}

func oracleVariables(t *testing.T) []schema.Value {
	t.Helper()
	documents, err := schema.ReadDocuments("vars", []byte("- "+oracleValues), schema.DocumentLimits{})
	if err != nil {
		t.Fatal(err)
	}
	items, err := schema.DecodeItems(documents[0])
	if err != nil {
		t.Fatal(err)
	}
	return items[0].List
}
