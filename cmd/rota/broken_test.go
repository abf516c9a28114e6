package main

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"rota.dev/rota/schema"
)

// leastBroken is how many broken repositories the project promises to have
// exact messages for.
const leastBroken = 80

// wantFile is the file of an archive that has what `rota validate` prints.
const wantFile = "want"

// notHere are rules of documents that no case gives, with the reason.
var notHere = map[string]string{
	"R004": "limits are far beyond a small repository; render/testdata has a case for each",
	"R005": "needs a symbolic link or a file without permission; render has a test on disk",
	"R006": "the path to render is an argument; render/testdata has it",
	"R007": "needs a symbolic link; render has a test on disk",
	"R043": "takes as long as its limit; render/expand has it",
	"R056": "needs hundreds of objects; render/overlay has it",
	"R023": "render/testdata/policy-faults has it",
	"R024": "render/testdata/policy-faults has it",
	"R025": "render/testdata/policy-faults has it",
	"R026": "render/testdata/policy-faults has it",
	"R089": "needs two revisions; testdata/script has it",
	"R086": "needs a server; testdata/cluster has it",
	"R099": "needs the history of a cluster; testdata/cluster has it",
	"R045": "needs a machine without memory; render/child has it",
}

// wholeFile are rules whose place may be a file without a line.
var wholeFile = []string{"R031", "R054", "R057", "R058"}

// inTemplate are rules whose place in a Jinja template is a line, for that is
// what its engine knows.
var inTemplate = []string{"R001", "R040", "R041", "R042", "R044"}

// TestBrokenRepositories holds what `rota validate` says of small broken
// repositories to the letter. -update writes it anew; then read it as a user.
func TestBrokenRepositories(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{}
	broken := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := validated(t, archive)
			i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == wantFile })
			if *update {
				if i >= 0 {
					archive.Files = slices.Delete(archive.Files, i, i+1)
				}
				archive.Files = append(archive.Files, txtar.File{Name: wantFile, Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if i < 0 {
				t.Errorf("there is no %s; it is\n%s", wantFile, got)
			} else if diff := cmp.Diff(string(archive.Files[i].Data), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if rules := judge(t, got); len(rules) > 0 {
				broken++
				for _, rule := range rules {
					given[rule] = true
				}
			}
		})
	}
	t.Logf("%d broken repositories, %d rules", broken, len(given))
	if broken < leastBroken {
		t.Errorf("%d broken repositories are fewer than %d", broken, leastBroken)
	}
	for _, r := range schema.Rules {
		switch reason := notHere[r.ID]; {
		case r.ID >= "R100":
			return // of sources, clusters and schedules that run
		case !given[r.ID] && reason == "":
			t.Errorf("no case gives %s (%s)", r.ID, r.Title)
		case given[r.ID] && reason != "":
			t.Errorf("%s is given, so it has no place among the exceptions", r.ID)
		}
	}
}

// validated returns what `rota validate` prints of an archive. Its comment
// may have a line that changes a file on its way to the disk: `crlf: FILE`,
// `bom: FILE` or `base64: FILE`, and one of flags: `flags: --lint=all`.
func validated(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range archive.Files {
		if f.Name == wantFile {
			continue
		}
		data := f.Data
		for line := range strings.Lines(string(archive.Comment)) {
			switch how, name, _ := strings.Cut(strings.TrimSpace(line), ": "); {
			case name != f.Name:
			case how == "crlf":
				data = bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
			case how == "bom":
				data = append([]byte("\ufeff"), data...)
			case how == "base64":
				var err error
				if data, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(data))); err != nil {
					t.Fatal(err)
				}
			}
		}
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out, notes bytes.Buffer
	root := newRoot("rota")
	arguments := []string{"validate", dir}
	for line := range strings.Lines(string(archive.Comment)) {
		if flags, ok := strings.CutPrefix(line, "flags: "); ok {
			arguments = append(arguments, strings.Fields(flags)...)
		}
	}
	root.SetArgs(arguments)
	root.SetOut(&out)
	root.SetErr(&notes)
	if err := root.ExecuteContext(t.Context()); err != nil && (codeOf(err) != 1 || err.Error() != "") {
		t.Fatal(err)
	}
	return out.String() + notes.String()
}

var (
	ruleAtEnd = regexp.MustCompile(`\[(R\d{3})\]$`)
	placed    = regexp.MustCompile(`^\S+:\d+:\d+[: ]`)
)

// judge holds what is said to the rules of every message: it has a place, a
// rule and a way to mend it, is not endless, and is said once. It returns the
// rules.
func judge(t *testing.T, said string) []string {
	t.Helper()
	var rules []string
	lines := strings.Split(strings.TrimSpace(said), "\n")
	seen := map[string]bool{}
	for i, line := range lines[:len(lines)-1] {
		if strings.HasPrefix(line, "  mend: ") {
			continue
		}
		m := ruleAtEnd.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no rule: %s", line)
			continue
		}
		rules = append(rules, m[1])
		if seen[line] {
			t.Errorf("said twice: %s", line)
		}
		seen[line] = true
		jinja := strings.Contains(line, ".jinja2") && slices.Contains(inTemplate, m[1])
		if !placed.MatchString(line) && !slices.Contains(wholeFile, m[1]) && !jinja {
			t.Errorf("no line and column: %s", line)
		}
		if !strings.HasPrefix(lines[i+1], "  mend: ") {
			t.Errorf("no way to mend it: %s", line)
		}
		if len(line) > 400 {
			t.Errorf("%d bytes are no message but a page: %s", len(line), line)
		}
	}
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, "warnings") {
		t.Errorf("no summary: %s", last)
	}
	return rules
}
