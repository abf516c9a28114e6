package expand

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"rota.dev/rota/schema"
)

func substitute(text string, names []string, values ...string) string {
	index := map[string]int{}
	list := make([]schema.Value, len(names))
	for i, name := range names {
		index[name] = i
		list[i] = schema.Value{Name: name, Text: values[i]}
	}
	parts, _ := scan(text, index)
	return fill(parts, list)
}

func TestOnlyDeclaredParametersAreReplaced(t *testing.T) {
	for text, want := range map[string]string{
		"$ITEM": "apple", "${ITEM}": "apple", "a$ITEM-b": "aapple-b", "$ITEM$ITEM": "appleapple", "${ITEM}_x": "apple_x",
		"$ITEM.$N": "apple.3", "x${N}${ITEM}y": "x3appley", "$ITEM_x": "$ITEM_x", "$ITEMS": "$ITEMS", "$item": "$item",
		"$HOME ${HOME} $1 $@ $? $$ $5":        "$HOME ${HOME} $1 $@ $? $$ $5",
		"$(cmd) $((1+2)) $(BROKER_URL) $$(X)": "$(cmd) $((1+2)) $(BROKER_URL) $$(X)",
		"${FOO:-d} ${ITEM%%e} ${ITEM:-x}":     "${FOO:-d} ${ITEM%%e} ${ITEM:-x}", "awk '{print $1}' | grep 'x$'": "awk '{print $1}' | grep 'x$'",
		"${ITEM": "${ITEM", "$": "$", "$$": "$$", "$$ITEM": "$$ITEM", "$$$ITEM": "$$apple", "$$$$": "$$$$", "${}": "${}", "${ ITEM}": "${ ITEM}", "": "", "苹$ITEM果": "苹apple果", `\$ITEM`: `\apple`, "$N3": "$N3", "${N}3": "33",
	} {
		if got := substitute(text, []string{"ITEM", "N"}, "apple", "3"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestAValueIsNotScannedAgain(t *testing.T) {
	if got := substitute("$A $B", []string{"A", "B"}, "$B", "${A}"); got != "$B ${A}" {
		t.Errorf("got %q", got)
	}
}

func TestNearMissesAreTold(t *testing.T) {
	_, misses := scan("$ITEM_x ${ITEM_TOO_y} $ITEMS $OTHER", map[string]int{"ITEM": 0, "ITEM_TOO": 1})
	if len(misses) != 2 || misses[0] != (nearMiss{"$ITEM_x", "ITEM"}) || misses[1] != (nearMiss{"${ITEM_TOO_y}", "ITEM_TOO"}) {
		t.Errorf("got %v", misses)
	}
}

// checkScan holds for every text: the parts, put together with the
// placeholders as they were, are the text; and with no parameter declared
// nothing changes.
func checkScan(t *testing.T, text string) {
	t.Helper()
	parts, _ := scan(text, map[string]int{"ITEM": 0, "N": 1, "_": 2})
	var whole strings.Builder
	for _, p := range parts {
		whole.WriteString(p.text)
		if p.parameter >= 0 && p.text != "$ITEM" && p.text != "${ITEM}" && p.text != "$N" && p.text != "${N}" && p.text != "$_" && p.text != "${_}" {
			t.Errorf("%q: %q is no placeholder", text, p.text)
		}
	}
	if whole.String() != text {
		t.Errorf("bytes were lost: %q became %q", text, whole.String())
	}
	if got := substitute(text, nil); got != text {
		t.Errorf("nothing is declared, and %q became %q", text, got)
	}
	// A value that is the placeholder itself changes nothing, but for braces.
	got := substitute(text, []string{"ITEM", "N", "_"}, "${ITEM}", "${N}", "${_}")
	if strings.ReplaceAll(strings.ReplaceAll(got, "{", ""), "}", "") != strings.ReplaceAll(strings.ReplaceAll(text, "{", ""), "}", "") {
		t.Errorf("%q became %q", text, got)
	}
}

func TestEveryOtherByteSurvives(t *testing.T) {
	alphabet := []string{"$", "$$", "{", "}", "(", ")", "ITEM", "N", "_", "x", "1", " ", ":-", "%", "\n", "é", "\xff", "\\", "'", `"`}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		var b strings.Builder
		for range random.IntN(12) {
			b.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		checkScan(t, b.String())
	}
}

func FuzzPlaceholder(f *testing.F) {
	for _, s := range []string{"$ITEM", "${ITEM}", "$$ITEM", "${ITEM", "$ITEM_x", "${N:-1}"} {
		f.Add(s)
	}
	f.Fuzz(checkScan)
}

func FuzzJinja(f *testing.F) {
	for _, c := range readCases(f) {
		if c.Group != "dos" {
			f.Add(c.Template)
		}
	}
	for _, template := range linesOfTemplates {
		f.Add(template)
	}
	const most = 10_000
	f.Fuzz(func(t *testing.T, template string) {
		out, err := renderText(template, most, time.Second)
		if len(out.Text) > most || strings.Count(out.Text, "\n") > len(out.Lines) {
			t.Errorf("%d bytes, %d places", len(out.Text), len(out.Lines))
		}
		for _, p := range schema.Problems(err) {
			if p.Rule == "" || p.Message == "" || p.Origin.File != "main.j2" || strings.HasPrefix(p.Message, "the template failed") {
				t.Errorf("no error for users: %#v", p)
			}
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("A,B\n1,2\n"))
	f.Add([]byte("\ufeffA\n\"x\ny\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, err := readCSV("a.csv", data)
		for _, p := range schema.Problems(err) {
			if p.Rule == "" || p.Origin.File != "a.csv" {
				t.Errorf("an error without rule or file: %v", p)
			}
		}
		for _, l := range lists {
			if len(l.List) != len(lists[0].List) {
				t.Errorf("a line has %d values, the first has %d", len(l.List), len(lists[0].List))
			}
		}
	})
}
