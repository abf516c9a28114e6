package expand

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"
)

var updateTraps = flag.Bool("update-traps", false, "ask Jinja2 again what it answers to testdata/jinja-traps.json")

// trap is a template that an engine for Jinja is likely to render otherwise
// than Jinja2, and what Jinja2 gives for it; Error is its error.
type trap struct {
	Template string
	Want     *string `json:",omitempty"`
	Error    string  `json:",omitempty"`
}

// exactTrapsAtLeast only grows.
const exactTrapsAtLeast = 600

// TestTrapsAreExactOrRefused needs no Jinja2: its answers are recorded. What
// Jinja2 refuses must be refused here, too.
func TestTrapsAreExactOrRefused(t *testing.T) {
	file := filepath.Join("testdata", "jinja-traps.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var traps []trap
	if err := json.Unmarshal(data, &traps); err != nil {
		t.Fatal(err)
	}
	if *updateTraps {
		recordTraps(t, file, traps)
	}
	exact := 0
	for _, trap := range traps {
		got, err := renderWhole(t, trap.Template)
		switch {
		case err == nil && trap.Want != nil && got == *trap.Want, err != nil && trap.Want == nil:
			exact++
		case err != nil:
		case trap.Want == nil:
			t.Errorf("%q\n got %q\nwant the error %s", trap.Template, got, trap.Error)
		default:
			t.Errorf("%q\n got %q\nwant %q", trap.Template, got, *trap.Want)
		}
	}
	t.Logf("%d traps: %d exact, %d refused", len(traps), exact, len(traps)-exact)
	if exact < exactTrapsAtLeast {
		t.Errorf("only %d are exact; it were %d before", exact, exactTrapsAtLeast)
	}
}

func recordTraps(t *testing.T, file string, traps []trap) {
	t.Helper()
	var templates []string
	for _, trap := range traps {
		templates = append(templates, trap.Template)
	}
	for i, answer := range askJinja2(t, templates) {
		traps[i] = trap{Template: templates[i]}
		if answer.ok {
			traps[i].Want = &answer.text
		} else {
			traps[i].Error = answer.text
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(traps); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// answer is what Jinja2 gives for a template, or its error.
type answer struct {
	ok   bool
	text string
}

// askJinja2 renders templates with Jinja2 itself, and wholeFiles.
func askJinja2(t *testing.T, templates []string) []answer {
	t.Helper()
	input, err := json.Marshal(map[string]any{"files": wholeFiles, "templates": templates})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("python3", "-c", wholeOracle)
	command.Stdin = bytes.NewReader(input)
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var given [][2]any
	if err := json.Unmarshal(output, &given); err != nil {
		t.Fatal(err)
	}
	answers := make([]answer, len(given))
	for i, a := range given {
		answers[i] = answer{a[0].(bool), a[1].(string)}
	}
	return answers
}

func renderWhole(t *testing.T, template string) (string, error) {
	t.Helper()
	files := fstest.MapFS{}
	for name, text := range wholeFiles {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	out, err := Render(Job{File: "main.j2", Text: template, Variables: oracleVariables(t), Bytes: 1 << 20, Time: 5 * time.Second},
		func(f string) ([]byte, error) { return fs.ReadFile(files, f) })
	return out.Text, err
}
