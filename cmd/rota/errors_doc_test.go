package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// errorsDoc has the likeliest errors. Each has a name in a comment, and below it
// what rota prints; the scripts make it anew and compare.
const errorsDoc = "../../docs/errors.md"

// leastDocumented is how many errors the page has at least.
const leastDocumented = 20

var (
	errorBlock  = regexp.MustCompile("(?s)<!-- error: (\\S+) -->\n```text\n(.*?)```\n")
	docMu       sync.Mutex
	firstOfRule = regexp.MustCompile(`\[R\d{3}\]`)
)

// shownInErrors is a command of the scripts: what the last command printed of
// problems is what the page shows under the name. -update writes it anew.
func shownInErrors(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: documented NAME")
	}
	got := problemText(ts.ReadFile("stderr") + ts.ReadFile("stdout"))
	if got == "" {
		ts.Fatalf("nothing was printed of a problem:\n%s", ts.ReadFile("stderr")+ts.ReadFile("stdout"))
	}
	if ns := ts.Getenv("NS"); ns != "" {
		got = strings.ReplaceAll(got, ns, "batch")
	}
	docMu.Lock()
	defer docMu.Unlock()
	page, err := os.ReadFile(errorsDoc)
	ts.Check(err)
	for _, m := range errorBlock.FindAllSubmatchIndex(page, -1) {
		if string(page[m[2]:m[3]]) != args[0] {
			continue
		}
		if *update {
			page = slices.Concat(page[:m[4]], []byte(got), page[m[5]:])
			ts.Check(os.WriteFile(errorsDoc, page, 0o644))
		} else if diff := cmp.Diff(string(page[m[4]:m[5]]), got); diff != "" {
			ts.Fatalf("docs/errors.md does not show of %s what is printed (-docs +printed):\n%s", args[0], diff)
		}
		return
	}
	ts.Fatalf("docs/errors.md has no <!-- error: %s -->", args[0])
}

// problemText returns the first problem of an output: its line, the lines of the
// file and the mend.
func problemText(output string) string {
	var text []string
	for line := range strings.Lines(output) {
		switch {
		case firstOfRule.MatchString(line) && len(text) == 0:
			text = append(text, strings.TrimPrefix(line, "rota: "))
		case len(text) > 0 && strings.HasPrefix(line, "  "):
			text = append(text, line)
		case len(text) > 0:
			return strings.Join(text, "")
		}
	}
	return strings.Join(text, "")
}

// TestEveryDocumentedErrorIsPrinted holds the page and the scripts together.
func TestEveryDocumentedErrorIsPrinted(t *testing.T) {
	page, err := os.ReadFile(errorsDoc)
	if err != nil {
		t.Fatal(err)
	}
	var shown, printed []string
	for _, m := range errorBlock.FindAllSubmatch(page, -1) {
		shown = append(shown, string(m[1]))
		if !firstOfRule.Match(m[2]) {
			t.Errorf("%s shows no problem: %s", m[1], m[2])
		}
	}
	for _, script := range []string{"script", "cluster"} {
		data, err := os.ReadFile(filepath.Join("testdata", script, "errors.txtar"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^documented (\S+)$`).FindAllSubmatch(data, -1) {
			printed = append(printed, string(m[1]))
		}
	}
	slices.Sort(shown)
	slices.Sort(printed)
	if diff := cmp.Diff(printed, shown); diff != "" {
		t.Errorf("docs/errors.md and the scripts differ (-printed +shown):\n%s", diff)
	}
	if headings := fmt.Sprint(strings.Count(string(page), "\n## ")); len(shown) < leastDocumented || headings != fmt.Sprint(len(shown)) {
		t.Errorf("%d errors under %s headings, want %d each", len(shown), headings, leastDocumented)
	}
}
