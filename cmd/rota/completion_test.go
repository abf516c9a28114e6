package main

import (
	"slices"
	"strings"
	"testing"
)

// TestWordsOfOutputAreThoseThatTheVerbTakes holds help, completion and verb
// together: what is offered is not refused, and a refusal lists what is offered.
func TestWordsOfOutputAreThoseThatTheVerbTakes(t *testing.T) {
	// No verb may find the cluster of whoever runs the tests.
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	t.Setenv("HOME", t.TempDir())
	t.Chdir(t.TempDir())
	arguments := map[string][]string{"why": {"x"}, "trigger": {"x"}, "pause": {"x"}, "resume": {"x"}, "release": {"x"}, "trace": {"x"}, "man": {t.TempDir()}}
	said := func(verb string, word string) string {
		root := newRoot("rota")
		root.SetArgs(append(append(strings.Fields(verb), arguments[verb]...), "-o", word))
		root.SetOut(new(strings.Builder))
		root.SetErr(new(strings.Builder))
		if err := root.ExecuteContext(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	}
	root, refused := newRoot("rota"), 0
	for _, c := range root.Commands() {
		f := c.Flags().Lookup("output")
		if f == nil {
			continue
		}
		offer, ok := c.GetFlagCompletionFunc("output")
		if !ok {
			t.Errorf("%s: nothing completes -o", c.Name())
			continue
		}
		words, _ := offer(c, nil, "")
		if len(words) < 2 || words[0] == f.Usage {
			t.Errorf("%s: -o is completed with %q", c.Name(), words)
		}
		for _, word := range words {
			if text := said(c.Name(), word); strings.Contains(text, "unknown output") {
				t.Errorf("%s offers -o %s, and says %s", c.Name(), word, text)
			}
		}
		if text := said(c.Name(), "bogus"); strings.Contains(text, "unknown output") {
			refused++
			if !strings.HasSuffix(text, "use "+f.Usage) {
				t.Errorf("%s offers %q, and says %s", c.Name(), words, text)
			}
		}
	}
	if refused < 8 {
		t.Errorf("only %d verbs refused an output that nobody knows", refused)
	}
}

func TestWordsAreReadFromHelp(t *testing.T) {
	root := newRoot("rota")
	for flag, want := range map[string][]string{
		"apply --dry-run": {"none", "client", "server"}, "apply --scheduler": {"Embedded", "Cluster"},
		"run --scheduler": {"Embedded", "Cluster"}, "run --drift": {"Correct", "Report"}, "run --log-format": {"text", "json"},
		"validate --output": {"text", "json", "github", "sarif", "junit"},
	} {
		verb, name, _ := strings.Cut(flag, " --")
		c, _, err := root.Find([]string{verb})
		if err != nil {
			t.Fatal(err)
		}
		if got := words(c.Flags().Lookup(name).Usage); !slices.Equal(got, want) {
			t.Errorf("%s takes %q, help says %q", flag, want, got)
		}
	}
}

func TestEveryCommandSaysWhatItsArgumentsAre(t *testing.T) {
	for _, c := range append(visible(newRoot("rota")), newRoot("rota").Commands()...) {
		if c.Runnable() && c.ValidArgsFunction == nil {
			t.Errorf("the shell offers files for %s", c.CommandPath())
		}
	}
}

func TestTheTreeIsNamedAsItWasCalled(t *testing.T) {
	for executable, want := range map[string]string{
		"rota": "rota why NAME [SLOT] [flags]", "/usr/local/bin/rota-1.2": "rota why NAME [SLOT] [flags]",
		"/home/me/.krew/bin/kubectl-rota": "kubectl rota why NAME [SLOT] [flags]", "kubectl-rota.exe": "kubectl rota why NAME [SLOT] [flags]",
	} {
		c, _, err := newRoot(executable).Find([]string{"why"})
		if err != nil || c.UseLine() != want {
			t.Errorf("%s: %q, %v", executable, c.UseLine(), err)
		}
	}
}
