package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	kubejson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// asKubectl reads a document the way kubectl does: YAML to JSON, then JSON to
// the values of an unstructured object.
func asKubectl(text string) (any, error) {
	read := yaml.YAMLToJSONStrict
	if strings.Contains(text, "<<") {
		// Strict reading takes a key that overrides a merged one for a
		// duplicate, which the specification does not.
		read = yaml.YAMLToJSON
	}
	data, err := read([]byte(text + "\n")) // kubectl splits files into lines, and ends each
	if err != nil {
		return nil, err
	}
	var v any
	if err := kubejson.UnmarshalCaseSensitivePreserveInts(data, &v); err != nil {
		return nil, err
	}
	return v, nil
}

func read(text string) (any, error) {
	documents, err := ReadDocuments("a.yaml", []byte(text), DocumentLimits{})
	if err != nil {
		return nil, err
	}
	if len(documents) == 0 {
		return nil, nil
	}
	return documents[0].Value()
}

var scalars = strings.Split(`yes|Yes|YES|yEs|no|No|NO|on|On|ON|off|Off|OFF|y|Y|n|N|true|True|TRUE|tRue|false|False|null|Null|NULL|~||0|1|-1|+1|007|0123|089|0x1F|0X1f|0o17|0b101|-0b11|-0x1|1_000|1__0|_1|1e3|1E3|1e+3|1.0|1.5|-1.5|.5|-.5|5.|1.e3|1e-3|1e400|.inf|-.inf|.Inf|+.INF|.nan|.NaN|9223372036854775807|9223372036854775808|-9223372036854775808|-9223372036854775809|18446744073709551615|18446744073709551616|12345678901234567890123|1e18|1e19|1e21|1e22|-1e18|0.1|100.0|-0|-0.0|+0|2001-12-14|2001-12-14t21:59:43.10-05:00|2001-12-14 21:59:43|2001|12:30:45|1:20|0.0.0.0|1.2.3|10.0.0.1/8|v1|1Gi|500m|1e3Mi|<<|=|a b|a#b|-a|--|-|.|..|.a|+|+a|0x|0b|0b2|08|09.5|1.5e|infinity|nan|NaN|Inf|0xG|!!str yes|!!str 1|!!int 3|!!int "3"|!!float 3|!!float "1.5"|!!bool yes|!!bool "on"|!!null ""|!!binary aGVsbG8=|!!timestamp 2001-12-14|!foo bar|!!int x|"yes"|'1'|"\u00e9\n"|苹果|"a: b"`, "|")

func TestScalarsAreReadAsKubectlReadsThem(t *testing.T) {
	for _, s := range scalars {
		for _, text := range []string{"a: " + s, "- " + s, "{a: [" + s + "]}", s + ": 1"} {
			want, wantErr := asKubectl(text)
			got, err := read(text)
			if (err != nil) != (wantErr != nil) {
				// A null key is refused by both; a merge of a scalar, too.
				t.Errorf("%q: kubectl: %v, %v; ours: %v, %v", text, want, wantErr, got, err)
				continue
			}
			if err == nil && !cmp.Equal(got, want) {
				t.Errorf("%q: kubectl reads %#v, we read %#v", text, want, got)
			}
		}
	}
}

func TestDocumentsAreReadAsKubectlReadsThem(t *testing.T) {
	for _, text := range []string{
		"a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}",
		"a: &x {b: 1}\nd: {<<: *x, b: 2}",
		"x: &x {k: 1, l: 1}\ny: &y {k: 2, m: 2}\nz: {<<: [*x, *y]}",
		"s: |\n  a\n  b\n\nf: >-\n  a\n  b\n",
		"a:\n- 1\n- - 2\n  - 3\nb: {}\nc: []",
		"'': 1", "1.5: a", "1e3: a", "? a\n: b", "\"a\\tb\": c", "%YAML 1.1\n---\na: yes",
		`{"a": [1, 2.50, true, null, "x", 1e2, -0.0], "b": {"c": "\u2028"}}`,
	} {
		want, wantErr := asKubectl(text)
		got, err := read(text)
		if (err != nil) != (wantErr != nil) || !cmp.Equal(got, want) {
			t.Errorf("%q: kubectl reads %#v, %v; we read %#v, %v", text, want, wantErr, got, err)
		}
	}
}

func TestFaultsHavePositions(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\nb: 2\na: 3":            "a.yaml:3:1",
		"a:\n  - x\n  - {b: 1, b: 2}": "a.yaml:3:12",
		"a: .inf":                     "a.yaml:1:4",
		"a: [1, 2":                    "a.yaml:1:4",
		"a: *nope":                    "a.yaml:1:4",
		"x: &a [*a]":                  "a.yaml:1:8",
		"a:\n\tb: 1":                  "a.yaml:2:1",
		"[a]: 1":                      "a.yaml:1:1",
		"~: 1":                        "a.yaml:1:1",
		"a: !!int x":                  "a.yaml:1:4",
	} {
		_, err := read(text)
		var p *Problem
		if !errors.As(err, &p) {
			t.Errorf("%q: no problem but %v", text, err)
			continue
		}
		if got := p.Origin.String(); got != want || p.Rule == "" || p.Mend == "" {
			t.Errorf("%q: at %s, want %s (%v)", text, got, want, p)
		}
	}
}

func TestAliasBombsCostNothing(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 60; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 8)+fmt.Sprintf("*a%d", i-1))
	}
	_, err := read(b.String())
	if p := Problems(err); len(p) != 1 || p[0].Rule != "R004" {
		t.Errorf("want one problem of R004, got %v", err)
	}
}

func FuzzReadDocuments(f *testing.F) {
	for _, s := range scalars {
		f.Add("a: " + s)
	}
	f.Add("a: &x {b: 1}\nc: {<<: *x}\n---\n- 1")
	f.Fuzz(func(t *testing.T, text string) {
		start := time.Now()
		defer func() {
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("reading %d bytes took %s", len(text), d)
			}
		}()
		documents, err := ReadDocuments("a.yaml", []byte(text), DocumentLimits{})
		for _, p := range Problems(err) {
			if p.Rule == "" {
				t.Errorf("an error without a rule: %v", p)
			}
			if o := p.Origin; o.Line > 2+strings.Count(text, "\n")+strings.Count(text, "\r") && utf8.ValidString(text) || o.Column > 0 && o.Line == 0 {
				t.Errorf("a position that does not exist: %v", p)
			}
		}
		if len(documents) != 1 || err != nil {
			return
		}
		got, err := documents[0].Value()
		if err != nil {
			return
		}
		if _, err := json.Marshal(got); err != nil {
			t.Fatalf("the value cannot be written as JSON: %v", err)
		}
		if strings.Contains(text, "!") {
			return // the nodes do not tell the tag `!` from none; tags have a table
		}
		// Where kubectl's own reader takes the document, it must see the same.
		if want, wantErr := asKubectl(text); wantErr == nil && !cmp.Equal(got, want) {
			t.Errorf("kubectl reads %#v, we read %#v", want, got)
		}
	})
}
