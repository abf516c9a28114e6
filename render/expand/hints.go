package expand

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"rota.dev/rota/schema"
)

// testNames are the tests that templates may use.
var testNames = func() map[string]bool {
	set := names("defined undefined")
	for name := range ownTests {
		set[name] = true
	}
	return set
}()

// What to use instead of names that users of Jinja2's other filters, of
// Ansible, Salt and Helm know.
var (
	otherFilters = grouped(map[string]string{
		"to_yaml to_nice_yaml to_json to_nice_json yaml json toyaml toYaml toJson": "Use tojson: JSON is YAML.",
		"from_yaml from_json from_yaml_all load_yaml load_json":                    "Give it as a parameter that is a list or a mapping.",
		"regex_replace regex_search regex_findall regex_match regex_escape":        "It is another tool's; use replace, split() or startswith(), or make the value a parameter.",
		"escape e safe forceescape xmlattr striptags urlize":                       "It is for HTML; in YAML use tojson to quote a text.",
		"random shuffle":                    "What is rendered must be the same each time; make the value a parameter.",
		"bool":                              "Compare with ==, or give a parameter that is true or false.",
		"quote squote dquote":               "Use tojson to quote a text for YAML.",
		"b64encode b64decode b64enc b64dec": "Make the encoded text a parameter; a Secret takes plain text in stringData.",
		"hash md5 sha1 sha256 checksum password_hash":     "Make the digest a parameter.",
		"basename dirname realpath splitext win_basename": "Use split('/') and an index.",
		"combine":    "Write the mapping out, or give the combined one as a parameter.",
		"dict2items": "Use items().",
		"items2dict flatten difference intersect union symmetric_difference zip": "Give the list as a parameter.",
		"ternary":                            "Write `a if condition else b`.",
		"mandatory":                          "Leave it out: a name that is not defined is an error.",
		"strftime to_datetime date datetime": "A template knows no time: what is rendered must be the same each time. Make it a parameter.",
		"filesizeformat":                     "Write the quantity out, such as 512Mi.",
		"pprint":                             "Use string, or tojson.",
		"wordwrap":                           "Break the lines in the template, or use a folded scalar (>) of YAML.",
		"attr":                               "Write value.name or value['name'].",
	})
	otherTests = grouped(map[string]string{
		"match search regex":                   "It is another tool's; use `in`, startswith() or endswith().",
		"contains subset superset any all":     "Use `in`, or the filters select and reject.",
		"changed failed skipped succeeded":     "It is for the tasks of another tool.",
		"escaped":                              "It is for HTML.",
		"callable filter test":                 "Leave it out: which functions, filters and tests there are does not change.",
		"version version_compare":              "Compare numbers, or make the decision a parameter.",
		"null nil":                             "Write `is none`.",
		"empty":                                "Write `not value`.",
		"file directory link exists abs mount": "A template sees no files but those it includes.",
	})
	otherNames = grouped(map[string]string{
		"now ansible_date_time strftime":                                "A template knows no time: what is rendered must be the same each time. Make it a parameter.",
		"lookup query q salt pillar grains hostvars groups env environ": "A template reads its parameters only; give the value as one.",
		"Values Release Chart Files Capabilities":                       "It is Helm's; a template reads its parameters by their names.",
		"lipsum random":     "What is rendered must be the same each time; make the value a parameter.",
		"raise fail assert": "A name that is not defined is an error; there is no other way to fail.",
		"zip enumerate sorted len str int float list sum min max reversed": "It is Python's; use a filter, such as length, sort or list, or loop.index0.",
		"url_for get_flashed_messages request session config":              "It is of a web framework; a template reads its parameters only.",
	})
)

func grouped(hints map[string]string) map[string]string {
	all := map[string]string{}
	for list, hint := range hints {
		for _, name := range strings.Fields(list) {
			all[name] = hint
		}
	}
	return all
}

// filterMend says what to use instead of a filter that there is not.
func filterMend(name string) string { return mend(name, "filters", otherFilters, filterNames) }

// testMend says what to use instead of a test that there is not.
func testMend(name string) string { return mend(name, "tests", otherTests, testNames) }

func mend(name, what string, others map[string]string, known map[string]bool) string {
	if hint := others[name]; hint != "" {
		return hint
	}
	sorted := slices.Sorted(maps.Keys(known))
	if near := schema.Nearest(name, sorted); near != "" {
		return "Did you mean " + near + "?"
	}
	return "Known " + what + ": " + strings.Join(sorted, ", ") + "."
}

// nameMend says what to do about a name that is not defined.
func nameMend(name string) string {
	if hint := otherNames[name]; hint != "" {
		return hint
	}
	return "Give it as a parameter, set it, or use the filter default."
}

// noFunctionCalled says that what is called is no function. The engine does
// not tell whether it has another value.
func noFunctionCalled(name string) (message, mend string) {
	if hint := otherNames[name]; hint != "" {
		return fmt.Sprintf("%q is not defined", name), hint
	}
	return fmt.Sprintf("there is no function or macro %q", name), "Correct the name, or import the macro."
}

var (
	endExpected = regexp.MustCompile(`^Unexpected EOF, expected tag (.+?)\.?$`)
	noStatement = regexp.MustCompile(`(?i)(?:control structure|statement|tag) '?"?(\w+)'?"? (?:not found|is unknown|unknown)`)
	syntaxMend  = "Compare the statement with the documentation of Jinja2."
)

// syntaxWords says what the engine's parser does in the words of a user, and
// what to do about it.
func syntaxWords(message string) (said, mend string) {
	if m := endExpected.FindStringSubmatch(message); m != nil {
		tags := strings.Fields(strings.ReplaceAll(m[1], " or ", " "))
		end := strings.TrimSuffix(tags[len(tags)-1], ".")
		return fmt.Sprintf("the template ends, and {%% %s %%} is still open", strings.TrimPrefix(end, "end")), "Close it with {% " + end + " %}."
	}
	if m := noStatement.FindStringSubmatch(message); m != nil {
		return message, "There is no statement " + m[1] + "; correct the name, or a {% endraw %} is missing."
	}
	return message, syntaxMend
}
