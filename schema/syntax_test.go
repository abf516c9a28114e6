package schema

import (
	"strings"
	"testing"
)

// The place is where a person has to look, which is often not where a reader
// notices.
func TestBreaksOfSyntaxAreShownWhereTheyAre(t *testing.T) {
	for _, test := range []struct{ name, text, want, mend string }{
		{"a second colon in a value", "a: 1\nurl: see: this\n", "a:2:9: cannot read YAML: a second `: ` stands here, in a value without quotes", "Quote the value: \"see: this\"."},
		{"a second colon with nothing after it", "a: b:\n", "a:1:5: cannot read YAML: a second `: ` stands here, in a value without quotes", "Quote the value: \"b:\"."},
		{"a second colon in a list in brackets", "a: [b, c: d: e]\n", "a:1:12: cannot read YAML: a second `: ` stands here, in a value without quotes", "Quote the value."},
		{"a schedule without quotes", "spec:\n  schedule: */5 * * * *\n", "a:2:13: cannot read YAML: a value cannot begin with *, which is the sign of an alias", "Quote the value: \"*/5 * * * *\"."},
		{"a schedule of stars only", "schedule: * * * * * # always\n", "a:1:11: cannot read YAML: a value cannot begin with *, which is the sign of an alias", "Quote the value: \"* * * * *\"."},
		{"an ampersand without a name", "a: &\n", "a:1:4: cannot read YAML: a value cannot begin with &, which is the sign of an anchor", "Quote the value: \"&\"."},
		{"a value that begins with a reserved sign", "a: @daily\n", "a:1:4: cannot read YAML: a value cannot begin with @", "Quote the value: \"@daily\"."},
		{"a value that begins with a percent sign", "a: 1\nb: %d\n", "a:2:4: cannot read YAML: a value cannot begin with %", "Quote the value: \"%d\"."},
		{"Jinja in a YAML file", "kind: A\n{% for x in y %}\na: 1\n{% endfor %}\n", "a:2:2: cannot read YAML: a value cannot begin with %", "This looks like a Jinja template: name the file *.yaml.jinja2."},
		{"a key below a value", "metadata:\n  name: x\n   labels: {}\n", "a:3:4: cannot read YAML: the line is indented below one that has its value already", "Indent it like the key above, or let nothing follow the colon there."},
		{"a key below the value of a list's entry", "- name: a\n   image: b\n", "a:2:4: cannot read YAML: the line is indented below one that has its value already", "Indent it like the key above, or let nothing follow the colon there."},
		{"a key without a colon", "spec:\n  containers\n  - name: a\n", "a:2:3: cannot read YAML: the line has no colon, so it is no key", "Write `containers:`; or indent the line, if it continues the value above."},
		{"a key without a colon before another", "key\nz: 1\n", "a:1:1: cannot read YAML: the line has no colon, so it is no key", "Write `key:`; or indent the line, if it continues the value above."},
		{"a key without a colon among others", "z: 1\nkey\nb: 1\n", "a:2:1: cannot read YAML: the line has no colon, so it is no key", "Write `key:`; or indent the line, if it continues the value above."},
		{"a last line without a colon", "z: 1\nkey and more\n", "a:2:1: cannot read YAML: the line has no colon, so it is no key", "Write `key:`; or indent the line, if it continues the value above."},
		{"an indentation between two levels", "a:\n  b: 1\n c: 2\n", "a:3:2: cannot read YAML: the line is indented by 1, which fits neither the 2 nor the 0 of the lines above", "Indent it like the line that it belongs to."},
		{"an indentation between the levels of a list", "  - name: a\n   image: b\n", "a:2:4: cannot read YAML: the line is indented by 3, which fits neither the 4 nor the 2 of the lines above", "Indent it like the line that it belongs to."},
		{"a block of text that is left half way", "a: 1\nb: |\n    c\n  d\n", "a:4:3: cannot read YAML: the line is indented by 2, which fits neither the 4 nor the 0 of the lines above", "Indent it like the line that it belongs to."},
		{"a list's entry among keys", "a:\n  b: 1\n  - x\n", "a:3:3: cannot read YAML: an entry of a list stands where a key of the mapping is expected", "Indent it like the entries above it, or remove the dash."},
		{"a list's entry further left than the others", "z:\n  - a\n- b\n", "a:3:1: cannot read YAML: an entry of a list stands where a key of the mapping is expected", "Indent it like the entries above it, or remove the dash."},
		{"a key among the entries of a list", "- a\nz: 1\n", "a:2:1: cannot read YAML: the line stands among the entries of a list and does not begin with a dash", "Begin it with `- `; or indent it less, to end the list, or more, to continue the entry."},
		{"a list on the line of its key", "args: - a\n", "a:1:7: cannot read YAML: a list cannot begin on the line of its key", "Put each `- ` entry on a line of its own, or write the list as [a, b]."},
		{"a tab that indents", "a:\n\tb: 1\n", "a:2:1: cannot read YAML: a tab indents the line", "Indent with spaces; YAML forbids tabs."},
		{"a tab after spaces", "z: 1\n  \ta: 1\n", "a:2:3: cannot read YAML: a tab indents the line", "Indent with spaces; YAML forbids tabs."},
		{"a tab in a block of text", "z: 1\nb: |\n\tx\n", "a:3:1: cannot read YAML: a tab indents the line", "Indent with spaces; YAML forbids tabs."},
		{"a double quote that is never closed", "z: 1\na: \"x\nb: 1\n", "a:2:4: cannot read YAML: the quote \" opened here is never closed", "Add the closing quote."},
		{"a single quote that is never closed", "z: 1\na: 'x\nb: 1\n", "a:2:4: cannot read YAML: the quote ' opened here is never closed", "Add the closing quote."},
		{"a quote that is never closed in a list", "command: [\"sh\", \"-c\", \"echo]\n", "a:1:23: cannot read YAML: the quote \" opened here is never closed", "Add the closing quote."},
		{"a quote that the end of the document finds open", "a: 'b\n---\nc: 'd'\n", "a:1:4: cannot read YAML: the quote ' opened here is never closed", "Add the closing quote."},
		{"a quote that the next one closes", "z: 1\na: \"x\nb: 1\nc: \"2\"\n", "a:2:4: cannot read YAML: the quote \" opened here is closed only by the next one, lines below", "Add the closing quote."},
		{"an apostrophe in single quotes", "a: 'it's'\n", "a:1:8: cannot read YAML: text follows the closing quote", "Write '' for a quote inside single quotes, or quote the whole value."},
		{"double quotes in double quotes", "a: \"say \"hi\"\"\n", "a:1:10: cannot read YAML: text follows the closing quote", "Write \\\" for a quote inside double quotes, or quote the whole value."},
		{"double quotes in double quotes in a list", "command: [\"sh\", \"-c\", \"echo \"hi\"\"]\n", "a:1:30: cannot read YAML: text follows the closing quote", "Write \\\" for a quote inside double quotes, or quote the whole value."},
		{"an unknown escape", "a: \"C:\\temp\\q\"\n", "a:1:12: cannot read YAML: \\q begins no escape of a text in double quotes", "Write \\\\ for a backslash, or put the text in single quotes."},
		{"an escape without its digits", "a: \"\\u12\"\n", "a:1:5: cannot read YAML: \\u begins no escape of a text in double quotes", "Write \\\\ for a backslash, or put the text in single quotes."},
		{"a brace that is never closed", "z: 1\na: {b: 1\nc: 2\nd: 3\n", "a:2:4: cannot read YAML: the { opened here is never closed", "Add the }."},
		{"a bracket that is never closed", "a: [1, 2\n\n# end\n", "a:1:4: cannot read YAML: the [ opened here is never closed", "Add the ]."},
		{"a brace that a bracket closes", "a: {b: 1]\n", "a:1:9: cannot read YAML: ] closes what { opened", "Write }."},
		{"a brace too many", "a: 1\nz: {a: 1}}\nb: 1\n", "a:2:10: cannot read YAML: } closes nothing", "Remove it, or quote the value."},
		{"a brace too many at the end", "{a: 1, b: 2}}\n", "a:1:13: cannot read YAML: } closes nothing", "Remove it, or quote the value."},
		{"a bracket where a value is expected", "a: ]\n", "a:1:4: cannot read YAML: a value is expected before ]", "Add the value, or quote it if this is its text."},
		{"two commas", "[1,,2]\n", "a:1:4: cannot read YAML: a value is expected before ,", "Add the value, or quote it if this is its text."},
		{"JSON without a comma", "{\n  \"a\": 1\n  \"b\": 2\n}\n", "a:3:3: cannot read YAML: a comma is missing before the line", "End the line above with a comma."},
		{"JSON without a colon", "{\"a\": 1,\n\"b\" 2}\n", "a:2:5: cannot read YAML: wants a comma or } here, for a { is open", "Separate the entries with commas, and quote texts that have one of , : { } [ ] in them."},
		{"JSON that is cut off", "{\"a\": {\"b\": 1},\n", "a:1:1: cannot read YAML: the { opened here is never closed", "Add the }."},
		{"text after the bar of a block", "a: |x\n  b\n", "a:1:5: cannot read YAML: text follows the | that begins a block of lines", "Begin the text on the next line."},
		{"an alias without an anchor", "a: 1\nb: *nope\n", "a:2:4: cannot read YAML: the alias *nope names no anchor before it", "Set the anchor &nope further up in the document, or quote the value."},
		{"a control character", "a: x\x01y\n", "a:1:5: cannot read YAML: the control character U+0001 is not allowed", "Remove it, or write it as \\x01 inside double quotes."},
		{"a byte that is not UTF-8", "a: 1\nb: \xb5\xc4\n", "a:2:4: cannot read YAML: the byte 0xB5 here is not UTF-8", "Save the file as UTF-8."},
		{"Chinese text before the spot", "苹果: \"香蕉\n其他: 1\n", "a:1:5: cannot read YAML: the quote \" opened here is never closed", "Add the closing quote."},
		{"a byte order mark before the spot", "\ufeffa: b: c\n", "a:1:5: cannot read YAML: a second `: ` stands here, in a value without quotes", "Quote the value: \"b: c\"."},
		{"lines that end as on Windows", "a: 1\r\n b: 2\r\n", "a:2:2: cannot read YAML: the line is indented below one that has its value already", "Indent it like the key above, or let nothing follow the colon there."},
		{"lines that end as on old Macs", "a: 1\rb: c: d\r", "a:2:5: cannot read YAML: a second `: ` stands here, in a value without quotes", "Quote the value: \"c: d\"."},
		{"UTF-16, which has no lines to look at", "\xff\xfea\x00:\x00 \x00b\x00:\x00 \x00c\x00\n\x00", "a:1:1: the file is UTF-16, which kubectl does not read", "Save it as UTF-8."},
		{"the second document", "a: 1\n---\nb: c: d\n", "a:3:5: cannot read YAML: a second `: ` stands here, in a value without quotes", "Quote the value: \"c: d\"."},
		{"brackets without end", strings.Repeat("[", 20_000), "a:1:10001: values are nested too deep to be read", "Flatten the document."},
		{"what only one of the readers refuses", "z: 1\n...\nx y\n- d\n", "a:2: cannot read YAML: did not find expected <document start>", "Correct the indentation or the quoting near this line."},
	} {
		_, err := ReadDocuments("a", []byte(test.text), DocumentLimits{})
		p := Problems(err)
		if len(p) != 1 {
			t.Errorf("%s: %d problems: %v", test.name, len(p), err)
			continue
		}
		if got := p[0].Origin.String() + ": " + p[0].Message; got != test.want || p[0].Mend != test.mend {
			t.Errorf("%s: got\n\t%q, %q", test.name, got, p[0].Mend)
		}
	}
}
