package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kubejson "sigs.k8s.io/json"
)

// same is the reason of a row where rota must read what kubectl reads.
const same = ""

// readings are what readers of YAML disagree on: what it is about, the bytes of
// a file, and why rota reads them otherwise than kubectl. docs/yaml.md is made
// of them.
var readings = []struct{ what, text, why string }{
	{"Words of YAML 1.1", "a: [yes, No, on, OFF, y, N, true]", same},
	{"Words that only look so", "a: [yEs, tRue, none, nil]", same},
	{"A word as a key", "on: 1", same},
	{"Quoted words", `a: ["yes", 'off', "0123"]`, same},
	{"Octal numbers", "a: [0123, 0o17, 089]", same},
	{"Other bases", "a: [0x1F, 0b101, 1_000]", same},
	{"Sexagesimal numbers", "a: [1:20, 12:30:45]", same},
	{"Floats without a fraction", "a: [1e3, 1.0, 1.5, .5]", same},
	{"Numbers beyond 64 bits", "a: [9223372036854775807, 9223372036854775808]", same},
	{"Dates", "a: [2001-12-14, 2001-12-14 21:59:43]", same},
	{"Infinity and not-a-number", "a: .inf", same},
	{"Null in its forms", "a: [null, ~, Null, ]\nb:\nc: \"\"", same},
	{"A key that is null", "~: 1", same},
	{"A key that is a list", "[a]: 1", same},
	{"A key that is a number", "1.5: a", same},
	{"A tag for text", "a: [!!str yes, !!str 1, !!int \"3\", !!bool \"on\"]", same},
	{"A tag that does not fit", "a: !!int x", same},
	{"A tag of somebody's own", "a: !secret x", same},
	{"Base64 by tag", "a: !!binary aGVsbG8=", same},
	{"Aliases", "a: &x {b: 1}\nc: *x", same},
	{"An alias without an anchor", "a: *x", same},
	{"An alias inside its own anchor", "a: &x [*x]", same},
	{"A merge", "a: &x {b: 1}\nc: {<<: *x, d: 2}", same},
	{"A key after the merge that brings it", "a: &x {b: 1}\nc: {<<: *x, b: 2}", same},
	{"A key before the merge that brings it", "a: &x {b: 1}\nc: {b: 2, <<: *x}", "kubectl lets the merge win, YAML's specification the key"},
	{"A key that is there twice", "a: 1\na: 2", "kubectl takes the last one without a word"},
	{"Several documents", "a: 1\n---\nb: 2", same},
	{"Empty documents", "---\n---\n# nothing\n---\na: 1\n---\n", same},
	{"A document of null", "null\n---\na: 1", same},
	{"The end of a document", "a: 1\n...\n---\nb: 2", same},
	{"A version of YAML", "%YAML 1.1\n---\na: yes", "kubectl splits the file at --- before it reads, so that the directive stands alone"},
	{"Three dashes inside a text", "a: |\n  x\n  ---\n  y", same},
	{"Three dashes with a comment", "a: 1\n--- # b\nb: 2", same},
	{"A text that the file ends in", "a: |\n  x", same},
	{"A text that ends without a line end", "a: |-\n  x", same},
	{"A byte order mark", "\ufeffa: 1", same},
	{"A byte order mark inside", "a: 1\n---\n\ufeffb: 2", same},
	{"Line ends of Windows", "a: 1\r\nb: |\r\n  x\r\n  y\r\n---\r\nc: 1\r\n", same},
	{"Line ends of old Macs", "a: 1\rb: 2", same},
	{"A tab before a key", "a:\n\tb: 1", same},
	{"A tab after a colon", "a:\t1", same},
	{"Bytes that are no UTF-8", "a: \xff", same},
	{"Latin-1", "a: caf\xe9", same},
	{"UTF-16", "\xff\xfea\x00:\x00 \x001\x00", same},
	{"A control character", "a: \x07", same},
	{"JSON", `{"a": [1, 2.50, true, null, 1e2]}`, same},
	{"JSON with a key twice", `{"a": 1, "a": 2}`, "kubectl takes the last one without a word"},
	{"JSON after JSON", "{\"a\": 1}\n{\"b\": 2}", "kubectl reads a stream of JSON; rota reads YAML, of which two values are no document"},
	{"JSON with a comma too many", `{"a": [1,],}`, same},
}

// asKubectlReadsFiles returns the documents of a file as `kubectl apply -f` reads
// them (StreamVisitor of cli-runtime): a stream that is split, each part to JSON,
// empty ones left out.
func asKubectlReadsFiles(text string) ([]any, error) {
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	var all []any
	for {
		var ext runtime.RawExtension
		if err := decoder.Decode(&ext); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		ext.Raw = bytes.TrimSpace(ext.Raw)
		if len(ext.Raw) == 0 || bytes.Equal(ext.Raw, []byte("null")) {
			continue
		}
		var v any
		if err := kubejson.UnmarshalCaseSensitivePreserveInts(ext.Raw, &v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
}

func asRotaReadsFiles(text string) ([]any, error) {
	documents, err := ReadDocuments("a.yaml", []byte(text), DocumentLimits{})
	if err != nil {
		return nil, err
	}
	var all []any
	for _, d := range documents {
		v, err := d.Value()
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// TestFilesAreReadAsTheTableSays holds the table of docs/yaml.md to both
// readers: where it gives no reason they must agree, where it gives one they
// must not, and then one of them refuses: no file means two things.
func TestFilesAreReadAsTheTableSays(t *testing.T) {
	var table strings.Builder
	table.WriteString("| | written | kubectl | rota | why |\n|---|---|---|---|---|\n")
	for _, r := range readings {
		want, wantErr := asKubectlReadsFiles(r.text)
		got, err := asRotaReadsFiles(r.text)
		// What is sent to the server counts: JSON, where 1e2 and 100 are the same.
		alike := err == nil && wantErr == nil && inTable(got, nil) == inTable(want, nil)
		agree := alike || err != nil && wantErr != nil
		if err == nil && wantErr == nil && !alike {
			t.Errorf("%s: both readers take it, and it means two things: %v, %v", r.what, want, got)
		}
		if agree != (r.why == same) {
			t.Errorf("%s: kubectl reads %v, %v; we read %v, %v; the reason is %q", r.what, want, wantErr, got, err, r.why)
		}
		mine := inTable(got, err)
		if alike {
			mine = "the same"
		} else if err != nil && wantErr != nil {
			mine = "refused, " + Problems(err)[0].Rule
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", r.what, code(quoted(r.text)), inTable(want, wantErr), mine, r.why)
	}
	const file, mark = "../docs/yaml.md", "<!-- the table is made by go test ./schema -run TableSays -update -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(text), mark)
	if !ok {
		t.Fatalf("%s has no line %q", file, mark)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+mark+table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(after, table.String()); diff != "" {
		t.Errorf("%s (-docs +read):\n%s", file, diff)
	}
}

func inTable(documents []any, err error) string {
	if err != nil {
		var p *Problem
		if errors.As(err, &p) {
			return "refused, " + p.Rule
		}
		return "refused"
	}
	var parts []string
	for _, d := range documents {
		text, err := json.Marshal(d)
		if err != nil {
			return err.Error()
		}
		parts = append(parts, code(string(text)))
	}
	return strings.Join(parts, " and ")
}

func quoted(text string) string {
	text = strconv.QuoteToASCII(text)
	return strings.ReplaceAll(text[1:len(text)-1], `\"`, `"`)
}

func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }
