package expand

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.yaml.in/yaml/v3"

	"rota.dev/rota/schema"
)

// jinjaCase is one of the studied cases; expected and error are what Jinja2
// 3.1 answered.
type jinjaCase struct {
	Name, Group, Template, Undefined string
	Vars                             yaml.Node
	Files                            map[string]string
	Opts                             map[string]any
	Expected                         *string
	Error                            *string
}

// exactAtLeast only grows.
const exactAtLeast = 80

func readCases(t testing.TB) []jinjaCase {
	data, err := os.ReadFile(filepath.Join("testdata", "jinja-cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []jinjaCase
	if err := yaml.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func renderCase(t testing.TB, c jinjaCase) (string, error) {
	files := fstest.MapFS{"main.j2": {Data: []byte(c.Template)}, "self.j2": {Data: []byte(c.Template)}}
	for name, text := range c.Files {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	var values []schema.Value
	for i := 0; i+1 < len(c.Vars.Content); i += 2 {
		data, err := schema.NodeValue("vars", c.Vars.Content[i+1])
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, schema.Value{Name: c.Vars.Content[i].Value, Data: data, Node: c.Vars.Content[i+1]})
	}
	job := Job{File: "main.j2", Text: c.Template, Variables: values, Bytes: 4 << 20, Time: 2 * time.Second}
	out, err := Render(job, func(f string) ([]byte, error) { return fs.ReadFile(files, f) })
	return out.Text, err
}

// knownDivergences are cases that come out otherwise than in Jinja2 without an
// error. There must be none that is not listed, and none listed that is gone.
var knownDivergences = []string{}

func TestStudiedCasesAreExactOrRefused(t *testing.T) {
	exact, refused := 0, 0
	for _, c := range readCases(t) {
		if c.Opts["trim_blocks"] != nil {
			continue // rota has Jinja2's default options only
		}
		got, err := renderCase(t, c)
		wantError := c.Expected == nil
		same := err == nil && !wantError && got == *c.Expected || err != nil && wantError
		var p *schema.Problem
		switch {
		case err != nil && (!errors.As(err, &p) || p.Rule == "" || p.Message == ""):
			t.Errorf("%s: the error is not one for users: %v", c.Name, err)
		case same:
			exact++
		case err != nil:
			refused++
			t.Logf("%s: refused: %v", c.Name, err)
		case !slices.Contains(knownDivergences, c.Name):
			want := "an error"
			if !wantError {
				want = *c.Expected
			}
			t.Errorf("%s: silently different\n got %q\nwant %q", c.Name, got, want)
		}
		if same && slices.Contains(knownDivergences, c.Name) {
			t.Errorf("%s: no longer differs; remove it from the table", c.Name)
		}
		if err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			t.Logf("%s: %s", c.Name, first)
		}
	}
	t.Logf("%d exact, %d refused, %d known divergences", exact, refused, len(knownDivergences))
	if exact < exactAtLeast {
		t.Errorf("only %d exact; it were %d before", exact, exactAtLeast)
	}
}
