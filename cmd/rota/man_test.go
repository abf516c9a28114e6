package main

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// visible returns c and every command below it that --help lists.
func visible(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() {
			all = append(all, visible(below)...)
		}
	}
	return all
}

// pages writes the pages of a command tree and returns the folder.
func pages(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	root := newRoot("rota")
	root.SetArgs(append([]string{"man", dir}, args...))
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func pageOf(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func TestEveryCommandHasAPageAndNothingElseHas(t *testing.T) {
	for output, name := range map[string]func(*cobra.Command) string{
		"man":      func(c *cobra.Command) string { return pageOf(c) + ".1" },
		"markdown": func(c *cobra.Command) string { return strings.ReplaceAll(pageOf(c), "-", "_") + ".md" },
	} {
		dir := pages(t, "-o", output)
		want := map[string]bool{}
		for _, c := range visible(newRoot("rota")) {
			want[name(c)] = true
			if _, err := os.Stat(filepath.Join(dir, name(c))); err != nil {
				t.Errorf("%s: %v", c.CommandPath(), err)
			}
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !want[f.Name()] {
				t.Errorf("%s is the page of no command", f.Name())
			}
		}
	}
}

func TestPagesAreTheSameForTheSameDate(t *testing.T) {
	// The last second of a month, which is another month in most zones.
	t.Setenv("SOURCE_DATE_EPOCH", "1764547199")
	t.Setenv("TZ", "Asia/Tokyo")
	one, two := pages(t), pages(t)
	for _, c := range visible(newRoot("rota")) {
		a, err := os.ReadFile(filepath.Join(one, pageOf(c)+".1"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(two, pageOf(c)+".1"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("the page of %s differs from itself", c.CommandPath())
		}
		if !bytes.Contains(a, []byte(`"2025-11-30"`)) {
			t.Errorf("the page of %s has not the date of SOURCE_DATE_EPOCH", c.CommandPath())
		}
	}
}

func TestPagesRefuseWhatTheyCannotBe(t *testing.T) {
	for _, test := range []struct{ epoch, output, want string }{
		{"yesterday", "man", "SOURCE_DATE_EPOCH is no number of seconds"},
		{"0", "info", `unknown output "info": use man or markdown`},
	} {
		t.Setenv("SOURCE_DATE_EPOCH", test.epoch)
		root := newRoot("rota")
		root.SetArgs([]string{"man", t.TempDir(), "-o", test.output})
		if err := root.ExecuteContext(t.Context()); err == nil || err.Error() != test.want {
			t.Errorf("SOURCE_DATE_EPOCH=%s rota man -o %s says %v", test.epoch, test.output, err)
		}
	}
}

// formatters render a page in lines as long as its paragraphs, without hyphens,
// and say what is wrong with it.
var formatters = []struct {
	name       string
	lint, text []string
}{
	{"mandoc", []string{"-Tlint", "-Wwarning"}, []string{"-Tutf8", "-Owidth=900"}},
	{"groff", []string{"-man", "-ww", "-z"}, []string{"-man", "-Tutf8", "-rLL=900n", "-rHY=0", "-P-cbou"}},
}

// TestPagesSayWhatHelpSays reads the pages as people do: what a formatter makes
// of a page has each word of --help, and it finds no fault with it.
func TestPagesSayWhatHelpSays(t *testing.T) {
	dir := pages(t)
	overstruck := regexp.MustCompile(".\x08")
	for _, f := range formatters {
		t.Run(f.name, func(t *testing.T) {
			if _, err := exec.LookPath(f.name); err != nil {
				t.Skipf("%s is not installed", f.name)
			}
			for _, c := range visible(newRoot("rota")) {
				file := filepath.Join(dir, pageOf(c)+".1")
				if out, err := exec.Command(f.name, append(f.lint, file)...).CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%s: %v\n%s", c.CommandPath(), err, out)
				}
				out, err := exec.Command(f.name, append(f.text, file)...).Output()
				if err != nil {
					t.Fatal(err)
				}
				shown := flat(overstruck.ReplaceAllString(string(out), ""))
				wants := append([]string{c.Short, c.UseLine(), c.Example}, strings.Split(cmp.Or(c.Long, c.Short), "\n\n")...)
				c.LocalFlags().VisitAll(func(flag *pflag.Flag) { wants = append(wants, "--"+flag.Name, flag.Usage) })
				for _, want := range wants {
					if !strings.Contains(shown, flat(want)) {
						t.Errorf("the page of %s lacks %q", c.CommandPath(), want)
					}
				}
			}
		})
	}
}

// typographic are the signs that a formatter has its own for.
var typographic = strings.NewReplacer("‐", "-", "−", "-", "‘", "'", "’", "'", "“", `"`, "”", `"`, "`", "", "…", "...")

// flat returns the words of a text, whatever is between them.
func flat(text string) string { return strings.Join(strings.Fields(typographic.Replace(text)), " ") }
