package schema

import (
	"errors"
	"strings"
	"testing"
)

func TestExcerptsShowTheLineAndACaret(t *testing.T) {
	files := map[string]string{
		"a.yaml":     "kind: Job\nspec:\n  schedule: \"0 0 31 2 *\"\n",
		"tab.yaml":   "\tx: y\n",
		"cn.yaml":    "名称: 苹果 # 作业\n",
		"esc.yaml":   "a: \x1b[31mred\x1b]0;title\x07\u202eabc\n",
		"crlf.yaml":  "a: 1\r\nb: 2\r\n",
		"bom.yaml":   "\ufeffa: 1",
		"marks.yaml": "e\u0301: x\n",
		"long.yaml":  "a: " + strings.Repeat("0123456789", 30) + "\n",
		"bytes.yaml": "a: \xff\xfe b\n",
		"items.yaml": "items: [{N: x}]\n",
		"tmpl.yaml":  "kind: Job\nspec:\n  parallelism: $N\n",
	}
	read := func(file string) ([]byte, error) {
		text, ok := files[file]
		if !ok {
			return nil, errors.New("gone")
		}
		return []byte(text), nil
	}
	for _, test := range []struct {
		name   string
		origin Origin
		want   string
	}{
		{"a place", Origin{File: "a.yaml", Line: 3, Column: 13}, "  3 |   schedule: \"0 0 31 2 *\"\n    |             ^"},
		{"a line without a column", Origin{File: "a.yaml", Line: 3}, "  3 |   schedule: \"0 0 31 2 *\"\n    |   ^"},
		{"behind the end of a line", Origin{File: "a.yaml", Line: 2, Column: 6}, "  2 | spec:\n    |      ^"},
		{"a column beyond the line", Origin{File: "a.yaml", Line: 2, Column: 99}, "  2 | spec:\n    |      ^"},
		{"a tab is four columns", Origin{File: "tab.yaml", Line: 1, Column: 2}, "  1 |     x: y\n    |     ^"},
		{"a Chinese character is two columns", Origin{File: "cn.yaml", Line: 1, Column: 5}, "  1 | 名称: 苹果 # 作业\n    |       ^"},
		{"an accent of its own is none", Origin{File: "marks.yaml", Line: 1, Column: 5}, "  1 | e\u0301: x\n    |    ^"},
		{"what a terminal would act on is shown", Origin{File: "esc.yaml", Line: 1, Column: 1}, "  1 | a: ␛[31mred␛]0;title␇\ufffdabc\n    | ^"},
		{"bytes that are no text", Origin{File: "bytes.yaml", Line: 1, Column: 7}, "  1 | a: \ufffd\ufffd b\n    |       ^"},
		{"an end of line of Windows", Origin{File: "crlf.yaml", Line: 2, Column: 4}, "  2 | b: 2\n    |    ^"},
		{"a byte order mark", Origin{File: "bom.yaml", Line: 1, Column: 4}, "  1 | a: 1\n    |    ^"},
		{"the beginning of a long line", Origin{File: "long.yaml", Line: 1, Column: 1}, "  1 | a: " + strings.Repeat("0123456789", 9) + "01234…\n    | ^"},
		{"a template and its item", Origin{File: "items.yaml", Line: 1, Column: 9, Template: "tmpl.yaml", TemplateLine: 3}, "  1 | items: [{N: x}]\n    |         ^\n  in tmpl.yaml\n  3 |   parallelism: $N\n    |   ^"},
		{"a line that is not there", Origin{File: "a.yaml", Line: 9}, ""},
		{"a file that is not there", Origin{File: "b.yaml", Line: 1}, ""},
		{"no place at all", Origin{File: "a.yaml"}, ""},
	} {
		p := &Problem{Rule: "R001", Origin: test.origin, Message: "wrong", Mend: "Mend it."}
		want := strings.Replace(p.Error(), "\n  mend: ", "\n"+test.want+"\n  mend: ", 1)
		if test.want == "" {
			want = p.Error()
		}
		if got := (Excerpts{Read: read}).Text(p); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, got, want)
		}
	}
	p := &Problem{Origin: Origin{File: "a.yaml", Line: 1, Column: 7}, Severity: SeverityWarning, Message: "x"}
	if got := (Excerpts{Read: read, Color: true}).Text(p); !strings.Contains(got, "\x1b[1;33m^\x1b[0m") {
		t.Errorf("the caret has no colour: %q", got)
	}
}

// Wherever the place is, the window has it, and the caret points at it.
func TestWindowsOfLongLinesHaveTheirPlace(t *testing.T) {
	for _, line := range []string{strings.Repeat("0123456789", 30), strings.Repeat("苹果", 200), strings.Repeat("\t", 200), strings.Repeat("a\u0301苹\t", 80)} {
		runes := []rune(line)
		for column := 1; column <= len(runes)+1; column++ {
			shown, at := window(line, column)
			if n := columns(shown); n > excerptColumns || at > n {
				t.Fatalf("column %d: %d columns are shown, the caret at %d", column, n, at)
			}
			if column <= len(runes) && runes[column-1] != '\t' && runes[column-1] != '\u0301' {
				left := 0
				found := false
				for _, r := range shown {
					if left == at && string(r) == visible(runes[column-1]) {
						found = true
					}
					left += columns(string(r))
				}
				if !found {
					t.Fatalf("column %d: the caret at %d of %q is not below %q", column, at, shown, runes[column-1])
				}
			}
		}
	}
}

func TestNoProblemCanControlATerminal(t *testing.T) {
	p := &Problem{Origin: Origin{File: "a\x1b[2J.yaml"}, Message: "wants an integer, not \x1b]0;x\x07", Mend: "a\u009b1m"}
	if got, want := p.Error(), "a␛[2J.yaml: wants an integer, not ␛]0;x␇\n  mend: a\ufffd1m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHarmlessLeavesNothingThatATerminalActsOn(t *testing.T) {
	for text, want := range map[string]string{
		"plain 語 𝒳\nnext": "plain 語 𝒳\nnext", "\x1b[31m": "␛[31m", "a\x9b31mb": "a\ufffd31mb", "a\u009bb": "a\ufffdb", "\r\x00\x7f": "␍␀␡", "\u202e": "\ufffd",
	} {
		if got := Harmless(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
