package expand

import (
	"strings"
	"testing"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"

	"rota.dev/rota/schema"
)

func TestWhatIsNotKnownHasAnAlternative(t *testing.T) {
	for template, want := range map[string]string{
		"{{ {}|to_yaml }}":                              "2: the filter to_yaml is not supported [R042]\n  mend: Use tojson",
		"{{ 'a'|regex_replace('a', 'b') }}":             "2: the filter regex_replace is not supported [R042]\n  mend: It is another tool's; use replace",
		"{% if false %}{{ 'a'|nosuch }}{% endif %}":     "2: the filter nosuch is not supported [R042]\n  mend: Known filters: abs, ",
		"{{ 'a'|upcase }}":                              "2: the filter upcase is not supported [R042]",
		"{{ 'a'|lenght }}":                              "2: the filter lenght is not supported [R042]\n  mend: Did you mean length?",
		"{% if false and 1 is nosuch %}{% endif %}":     "2: the test nosuch is not supported [R042]\n  mend: Known tests: ",
		"{{ 1 is not match('x') }}":                     "2: the test match is not supported [R042]\n  mend: It is another tool's",
		"{{ 1 is evem }}":                               "2: the test evem is not supported [R042]\n  mend: Did you mean even?",
		"{{ now() }}":                                   "2: \"now\" is not defined [R041]\n  mend: A template knows no time",
		"{{ lookup('env', 'HOME') }}":                   "2: \"lookup\" is not defined [R041]\n  mend: A template reads its parameters only",
		"{{ Values.image }}":                            "2: \"Values\" is not defined [R041]\n  mend: It is Helm's",
		"{{ now() is divisibleby(2) }}":                 "2: \"now\" is not defined [R041]\n  mend: A template knows no time",
		"{{ ['a']|map('regex_replace', 'a')|list }}":    "2: the filter regex_replace is not supported [R042]\n  mend: It is another tool's",
		"{{ ['a']|select('match', 'a')|list }}":         "2: the test match is not supported [R042]\n  mend: It is another tool's",
		"{{ [{'a': 1}]|rejectattr('a', 'x')|list }}":    "2: the test x is not supported [R042]",
		"{{ ''.__class__ }}":                            "2: there is no attribute \"__class__\" [R041]",
		"{{ 'a'.encode() }}":                            "2: ",
		"{% trans %}a{% endtrans %}":                    "2: the statement trans is not supported [R042]",
		"{% debug %}":                                   "2: ",
		"{% for k, (a, b) in {}.items() %}{% endfor %}": "2: more than two names",
		"{{ f(1) }}":                                    "2: there is no function or macro \"f\" [R041]",
	} {
		_, err := renderText("\n"+template, 1000, 5*time.Second)
		if err == nil || !strings.HasPrefix(err.Error(), "main.j2:"+want) {
			t.Errorf("%s: got %v", template, err)
		}
		for _, p := range schema.Problems(err) {
			if p.Rule == "" || p.Message == "" {
				t.Errorf("%s: not an error for users: %#v", template, p)
			}
		}
	}
}

func TestEveryNameOfTheListsIsThere(t *testing.T) {
	for name := range filterNames {
		if !builtins.Filters.Exists(name) && ownFilters[name] == nil {
			t.Errorf("there is no filter %s", name)
		}
		if otherFilters[name] != "" {
			t.Errorf("the filter %s is there, and has an alternative", name)
		}
	}
	for name := range testNames {
		if otherTests[name] != "" {
			t.Errorf("the test %s is there, and has an alternative", name)
		}
	}
}
