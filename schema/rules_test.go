package schema

import (
	"cmp"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestRulesAreOrderedUniqueAndExplained(t *testing.T) {
	if !slices.IsSortedFunc(Rules, func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) }) {
		t.Error("the rules are not in the order of their ids, by which Explain searches")
	}
	for i, r := range Rules {
		if i > 0 && Rules[i-1].ID == r.ID {
			t.Errorf("%s is there twice", r.ID)
		}
		if !regexp.MustCompile(`^R\d{3}$`).MatchString(r.ID) || r.Title == "" || len(r.Explanation) < 60 {
			t.Errorf("%s does not say enough: %q", r.ID, r.Explanation)
		}
		if got, ok := Explain(r.ID); !ok || got != r {
			t.Errorf("%s is not explained", r.ID)
		}
	}
	if _, ok := Explain("R999"); ok {
		t.Error("R999 is explained")
	}
}

// TestEveryRuleInTheCodeIsExplained also finds rules that nothing gives.
func TestEveryRuleInTheCodeIsExplained(t *testing.T) {
	root := os.DirFS("..")
	id := regexp.MustCompile(`"(R\d{3})"`)
	used := map[string]string{}
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "schema/rules") {
			return nil
		}
		data, err := fs.ReadFile(root, path)
		for _, m := range id.FindAllStringSubmatch(string(data), -1) {
			used[m[1]] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for rule, path := range used {
		if _, ok := Explain(rule); !ok {
			t.Errorf("%s uses %s, which is not in the table", path, rule)
		}
	}
	for _, r := range Rules {
		if used[r.ID] == "" {
			t.Errorf("nothing gives %s", r.ID)
		}
	}
}
