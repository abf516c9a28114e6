package schema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommentsHoldForTheirLineTheNextOrTheDocument(t *testing.T) {
	for what, c := range map[string]struct{ text, want string }{
		"at the end of a line":                      {"a: 1\nb: 2 # rota:ignore R090 why not\nc: 3", "R090 2-2"},
		"alone above a line":                        {"a: 1\n# rota:ignore R090 why not\nb: 2\nc: 3", "R090 2-3"},
		"alone above comments and empty lines":      {"a: 1\n# rota:ignore R090 why\n\n# more\n\nb: 2\nc: 3", "R090 2-6"},
		"two above one line":                        {"a: 1\n# rota:ignore R090 why\n# rota:ignore R091 why\nb: 2\nc: 3", "R090 2-4, R091 3-4"},
		"at the top of a file":                      {"# rota:ignore R090 why\na: 1\nb: 2", "R090 1-3 head"},
		"below other comments at the top":           {"# a\n\n# rota:ignore R090 why\na: 1\nb: 2", "R090 3-5 head"},
		"at the top of the second document":         {"a: 1\n---\n# rota:ignore R090 why\nb: 2\nc: 3\n---\nd: 4", "R090 3-5"},
		"after the divider":                         {"a: 1\n--- # rota:ignore R090 why\nb: 2\n---\nd: 4", "R090 2-3"},
		"at the end of a document":                  {"a: 1\n# rota:ignore R090 why\n---\nb: 2", "R090 2-2"},
		"at the end of the first line":              {"a: 1 # rota:ignore R090 why\nb: 2", "R090 1-1"},
		"behind a divider with content":             {"--- {a: 1} # rota:ignore R090 why\n", "R090 1-1"},
		"several rules":                             {"a: 1 # rota:ignore R090,R091 why", "R090,R091 1-1"},
		"a comment of Jinja":                        {"a: 1\n{# rota:ignore R090 why #}\nb: 2", "R090 2-3"},
		"a comment of Jinja that trims":             {"a: 1 {#- rota:ignore R090 why -#}\nb: 2", "R090 1-1"},
		"line ends of Windows":                      {"a: 1\r\n# rota:ignore R090 why\r\nb: 2\r\n", "R090 2-3"},
		"no reason":                                 {"a: 1 # rota:ignore R090", "!1:6"},
		"a reason of blanks":                        {"a: 1 # rota:ignore R090  ", "!1:6"},
		"no rule":                                   {"a: 1 # rota:ignore because", "!1:6"},
		"nothing":                                   {"a: 1 # rota:ignore", "!1:6"},
		"a rule that does not exist":                {"a: 1 # rota:ignore R999 why", "!1:6"},
		"a fault behind a divider":                  {"a: 1\n--- # rota:ignore R090", "!2:5"},
		"a fault behind letters of several bytes":   {"ä: 1 # rota:ignore R090", "!1:6"},
		"another word":                              {"a: 1 # rota:ignored R090 why", ""},
		"in the middle of a word":                   {"a: 1# rota:ignore R090 why", ""},
		"three dashes that divide nothing":          {"# rota:ignore R090 why\n---a: 1\nb: 2", "R090 1-3 head"},
		"a file without a line":                     {"# rota:ignore R090 why", "R090 1-1 head"},
		"after an empty document":                   {"---\n# rota:ignore R090 why\na: 1", "R090 2-3 head"},
		"a comment that ends a value with a number": {"a: '#' # rota:ignore R090 why", "R090 1-1"},
	} {
		ignores, faults := Ignores("a.yaml", []byte(c.text))
		var got []string
		for _, ig := range ignores {
			one := fmt.Sprintf("%s %d-%d", strings.Join(ig.Rules, ","), ig.first, ig.last)
			if ig.head {
				one += " head"
			}
			got = append(got, one)
			if !strings.HasPrefix(ig.Reason, "why") {
				t.Errorf("%s: the reason is %q", what, ig.Reason)
			}
		}
		for _, p := range faults {
			got = append(got, fmt.Sprintf("!%d:%d", p.Origin.Line, p.Origin.Column))
		}
		if diff := cmp.Diff(c.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func TestOnlyWarningsAreIgnored(t *testing.T) {
	ignores, _ := Ignores("t.yaml", []byte("a: 1\nb: 2 # rota:ignore R090 why\nc: 3 # rota:ignore R066 why\nd: 4 # rota:ignore R091 why"))
	problems := []*Problem{
		{Rule: "R090", Severity: SeverityWarning, Message: "m", Origin: Origin{File: "t.yaml", Line: 2}},
		{Rule: "R090", Severity: SeverityWarning, Message: "m", Origin: Origin{File: "e.yaml", Line: 9, Template: "t.yaml", TemplateLine: 2}},
		{Rule: "R090", Severity: SeverityWarning, Message: "m", Origin: Origin{File: "other.yaml", Line: 2}},
		{Rule: "R090", Severity: SeverityWarning, Message: "m", Origin: Origin{File: "t.yaml"}},
		{Rule: "R066", Message: "m", Origin: Origin{File: "t.yaml", Line: 3}},
		{Rule: "R092", Severity: SeverityWarning, Message: "m", Origin: Origin{File: "t.yaml", Line: 2}},
	}
	marked, unused := Suppress(problems, ignores, func(string) bool { return true })
	var got []string
	for _, p := range append(marked, unused...) {
		got = append(got, p.Rule+" "+p.Ignored+" "+p.Message)
	}
	want := []string{"R090 why m", "R090 why m", "R090  m", "R090  m", "R066  m (it is an error, which the comment in line 3 cannot ignore)", "R092  m", "R009  the comment ignores R091, of which there is nothing here"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if problems[0].Ignored != "" || problems[4].Message != "m" {
		t.Error("the given problems were changed")
	}
	for _, given := range []func(string) bool{nil, func(id string) bool { return id != "R091" }} {
		if _, unused := Suppress(problems, ignores, given); len(unused) > 0 {
			t.Errorf("unused although it was not looked for: %v", unused)
		}
	}
}
