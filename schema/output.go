package schema

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Origins is how much a writer of objects says of where they were written.
type Origins string

const (
	// OriginsNone says nothing.
	OriginsNone Origins = ""
	// OriginsObjects says it of each object.
	OriginsObjects Origins = "objects"
	// OriginsFields says it also of each field that is from elsewhere than its
	// object: from a patch or a kustomization. Only YAML has a place for that.
	OriginsFields Origins = "fields"
)

// ObjectWriters print objects as `yaml`, `json` or `name`, with their origins
// if wanted.
var ObjectWriters = map[string]func(w io.Writer, objects []Object, origins Origins) error{
	"yaml": writeYAML,
	"json": writeJSON,
	"name": writeNames,
}

// ProblemWriters print what is wrong with a repository of so many objects as
// `text`, `json`, `github` (workflow commands), `sarif` (2.1.0) or `junit`. What
// comments in the files ignore is in JSON, apart, and in SARIF, as suppressed.
// Their output depends on nothing but their arguments.
var ProblemWriters = map[string]func(w io.Writer, problems []*Problem, objects int) error{
	"text":   Excerpts{}.Write,
	"json":   writeProblemsJSON,
	"github": writeGitHub,
	"sarif":  writeSARIF,
	"junit":  writeJUnit,
}

func writeYAML(w io.Writer, objects []Object, origins Origins) error {
	for i, o := range objects {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("printing %s: %w", o.Key(), err)
		}
		if i > 0 {
			fmt.Fprintln(w, "---")
		}
		if origins != OriginsNone {
			fmt.Fprintf(w, "# %s\n", o.place())
		}
		if origins == OriginsFields {
			text = annotated(text, o.elsewhere())
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(w io.Writer, objects []Object, origins Origins) error {
	items := make([]any, len(objects))
	for i, o := range objects {
		u := o.Unstructured
		if origins != OriginsNone {
			u = u.DeepCopy()
			annotations := u.GetAnnotations()
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[AnnotationOrigin] = o.place()
			u.SetAnnotations(annotations)
		}
		items[i] = u.Object
	}
	return encode(w, (&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "List", "items": items,
	}}).Object)
}

func writeNames(w io.Writer, objects []Object, origins Origins) error {
	for _, o := range objects {
		k := o.Key()
		line := resourceName(k, true)
		if k.Namespace != "" {
			line = k.Namespace + " " + line
		}
		if origins != OriginsNone {
			line += "  " + o.place()
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Finding is a Problem in the shape of the machine-readable outputs.
type Finding struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Origin   string `json:"origin,omitempty"`
	Object   string `json:"object,omitempty"`
	Field    string `json:"field,omitempty"`
	Message  string `json:"message"`
	Mend     string `json:"mend,omitempty"`
	// Ignored is the reason of the comment that asks not to be told of it.
	Ignored string `json:"ignored,omitempty"`
}

// Findings returns problems as the machine-readable outputs have them, but for
// those that comments in the files ignore; an empty list for none.
func Findings(problems []*Problem) []Finding { return findings(problems, false) }

// findings returns problems in that shape: those that are to be said, or those
// that comments in the files ignore.
func findings(problems []*Problem, ignored bool) []Finding {
	out := make([]Finding, 0, len(problems))
	for _, p := range problems {
		if ignored != (p.Ignored != "") {
			continue
		}
		f := Finding{Rule: p.Rule, Severity: string(cmp.Or(p.Severity, SeverityError)), File: p.Origin.File, Line: p.Origin.Line,
			Column: p.Origin.Column, Origin: p.Origin.String(), Field: p.Field, Message: p.Message, Mend: p.Mend, Ignored: p.Ignored}
		if p.Object != nil {
			f.Object = p.Object.String()
		}
		out = append(out, f)
	}
	return out
}

func (f Finding) text() string {
	parts := []string{f.Message}
	if f.Field != "" {
		parts = append([]string{f.Field}, parts...)
	}
	if f.Object != "" {
		parts = append([]string{f.Object}, parts...)
	}
	text := strings.Join(parts, ": ")
	if f.Mend != "" {
		text += "; mend: " + f.Mend
	}
	return text
}

func writeProblemsJSON(w io.Writer, problems []*Problem, objects int) error {
	report := map[string]any{
		"apiVersion": "rota.dev/v1alpha1", "kind": "ValidationReport",
		"objects": objects, "problems": findings(problems, false),
	}
	if ignored := findings(problems, true); len(ignored) > 0 {
		report["ignored"] = ignored
	}
	return encode(w, report)
}

// writeGitHub escapes as actions/toolkit does, so that text of the repository
// can never be a workflow command. GitHub shows ten of each severity a step, so
// the worst come first.
func writeGitHub(w io.Writer, problems []*Problem, _ int) error {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	list := Findings(problems)
	rank := []string{string(SeverityError), string(SeverityWarning), string(SeverityNotice)}
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Compare(slices.Index(rank, a.Severity), slices.Index(rank, b.Severity))
	})
	for _, f := range list {
		props := "title=" + property.Replace("rota "+f.Rule)
		if f.File != "" {
			props += ",file=" + property.Replace(f.File)
		}
		if f.Line > 0 {
			props += fmt.Sprintf(",line=%d", f.Line)
		}
		if f.Column > 0 {
			props += fmt.Sprintf(",col=%d", f.Column)
		}
		if _, err := fmt.Fprintf(w, "::%s %s::%s\n", f.Severity, props, data.Replace(f.text())); err != nil {
			return err
		}
	}
	return nil
}

func writeSARIF(w io.Writer, problems []*Problem, _ int) error {
	results := []any{}
	used := map[string]bool{}
	for _, f := range append(findings(problems, false), findings(problems, true)...) {
		used[f.Rule] = true
		result := map[string]any{"ruleId": f.Rule, "level": f.Severity, "message": map[string]any{"text": f.text()}}
		if f.File != "" {
			place := map[string]any{"artifactLocation": map[string]any{"uri": f.File}}
			if f.Line > 0 {
				region := map[string]any{"startLine": f.Line}
				if f.Column > 0 {
					region["startColumn"] = f.Column
				}
				place["region"] = region
			}
			result["locations"] = []any{map[string]any{"physicalLocation": place}}
		}
		if f.Ignored != "" {
			result["suppressions"] = []any{map[string]any{"kind": "inSource", "justification": f.Ignored}}
		}
		results = append(results, result)
	}
	rules := []any{}
	for _, r := range Rules {
		if used[r.ID] {
			rules = append(rules, map[string]any{"id": r.ID, "shortDescription": map[string]any{"text": r.Title}, "fullDescription": map[string]any{"text": r.Explanation}})
		}
	}
	return encode(w, map[string]any{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []any{map[string]any{
			"tool":    map[string]any{"driver": map[string]any{"name": "rota", "rules": rules}},
			"results": results,
		}},
	})
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// writeJUnit makes a suite of each file, as kubeconform does, and a case of
// each problem; a repository without problems is one case that passed.
func writeJUnit(w io.Writer, problems []*Problem, objects int) error {
	all := junitSuites{Name: "rota validate"}
	index := map[string]int{}
	for _, f := range findings(problems, false) {
		i, ok := index[f.File]
		if !ok {
			i = len(all.Suites)
			index[f.File] = i
			all.Suites = append(all.Suites, junitSuite{Name: cmp.Or(f.File, "repository")})
		}
		one := junitCase{Name: cmp.Or(f.Object, f.Rule), Class: cmp.Or(f.File, "repository")}
		if f.Severity == string(SeverityError) {
			one.Failure = &junitFailure{Type: f.Rule, Message: f.Message, Text: f.Origin + ": " + f.text()}
			all.Suites[i].Failures++
			all.Failures++
		}
		all.Suites[i].Cases = append(all.Suites[i].Cases, one)
		all.Suites[i].Tests++
		all.Tests++
	}
	if all.Tests == 0 {
		all.Tests = 1
		all.Suites = []junitSuite{{Name: "repository", Tests: 1, Cases: []junitCase{{Name: fmt.Sprintf("%d objects", objects), Class: "repository"}}}}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
