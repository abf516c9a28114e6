package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"rota.dev/rota/render/child"
)

var update = flag.Bool("update", false, "rewrite the expected output of the scripts")

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == child.Verb {
		// The tests render in this program, too.
		os.Exit(execute(context.Background(), append([]string{"rota"}, os.Args[1:]...)))
	}
	testscript.Main(m, map[string]func(){
		"rota":         func() { os.Exit(execute(context.Background(), append([]string{"rota"}, os.Args[1:]...))) },
		"kubectl-rota": func() { os.Exit(execute(context.Background(), os.Args)) },
	})
}

// The scripts are what a user does offline: a repository, commands, output.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Condition: func(cond string) (bool, error) {
			name, ok := strings.CutPrefix(cond, "file:")
			if !ok {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			_, err := os.Stat(name)
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"documented": shownInErrors},
		Setup: func(env *testscript.Env) error {
			// No script may find the cluster of whoever runs the tests.
			env.Setenv("KUBECONFIG", env.Getenv("WORK")+"/none")
			env.Setenv("HOME", env.Getenv("WORK"))
			return nil
		},
	})
}
