package schema

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestEveryLimitIsDocumentedAndNamed holds the page of the limits and the
// messages of the code to the fields that there are.
func TestEveryLimitIsDocumentedAndNamed(t *testing.T) {
	page, err := os.ReadFile("../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	named := namedLimits(t)
	limits := reflect.ValueOf(DefaultLimits)
	for i := range limits.NumField() {
		name, _, _ := strings.Cut(limits.Type().Field(i).Tag.Get("json"), ",")
		value := fmt.Sprint(limits.Field(i).Interface())
		if d, ok := limits.Field(i).Interface().(Duration); ok {
			value = strings.TrimSuffix(d.String(), "0s")
			if value == "" || strings.HasSuffix(d.String(), "s") && !strings.Contains(d.String(), "m") {
				value = d.String()
			}
		}
		if limits.Field(i).IsZero() {
			t.Errorf("%s has no default", name)
		}
		if row := fmt.Sprintf("| `%s` | %s |", name, value); !strings.Contains(string(page), row) {
			t.Errorf("docs/limits.md lacks the row %s", row)
		}
		if !named[name] {
			t.Errorf("no message says spec.limits.%s", name)
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("a message says spec.limits.%s, which there is not", name)
	}
	for _, id := range regexp.MustCompile(`R\d{3}`).FindAllString(string(page), -1) {
		if _, ok := Explain(id); !ok {
			t.Errorf("docs/limits.md speaks of %s, which there is not", id)
		}
	}
}

var limitName = regexp.MustCompile(`spec\.limits\.([a-zA-Z]+)`)

// namedLimits finds what the messages of the code call a limit.
func namedLimits(t *testing.T) map[string]bool {
	t.Helper()
	named := map[string]bool{}
	for _, dir := range []string{"../schema", "../render", "../reconcile/source"} {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range limitName.FindAllStringSubmatch(string(text), -1) {
				named[m[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return named
}
