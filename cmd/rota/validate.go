package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

func newValidate(k *kube) *cobra.Command {
	repo := repository{strict: true}
	var to target
	var output string
	var server bool
	c := &cobra.Command{
		Use:   "validate [PATH]",
		Short: "Find what is wrong with a repository, with or without a cluster",
		Long: `Find what is wrong with a repository, without a cluster: everything at once,
each with file, line, cause and the way to mend it; on a terminal, or with
--excerpt, also with the line itself.

With --server the API server is asked about every object as well, in a dry run
that keeps nothing: it knows its own kinds, admission policies and what exists.
What it refuses has the place in the file, too.

Exit status: 0 if there is nothing but warnings, 1 if there are errors, above 1
if the check itself failed.`,
		RunE: func(c *cobra.Command, args []string) error {
			repo.args(args)
			write, ok := schema.ProblemWriters[output]
			if !ok {
				return exit(2, fmt.Errorf("unknown output %q: use text, json, github, sarif or junit", output))
			}
			objects, warnings, err := repo.objects(c.Context())
			problems := append(schema.Problems(err), warnings...)
			var unanswered error
			if server {
				problems, unanswered = askServer(c, k, &to, objects, problems)
			}
			if output == "text" {
				write = repo.excerpts(c, c.OutOrStdout()).Write
			}
			if err := write(c.OutOrStdout(), problems, len(objects)); err != nil {
				return exit(2, err)
			}
			switch {
			case unanswered != nil:
				return exit(2, fmt.Errorf("the server was not asked about everything: %w", unanswered))
			case schema.HasErrors(problems):
				return exit(1, nil)
			}
			return nil
		},
	}
	repo.flags(c)
	to.flags(c)
	c.Flags().BoolVar(&server, "server", false, "ask the API server, too, in a dry run")
	c.Flags().StringVarP(&output, "output", "o", "text", "text, json, github, sarif or junit")
	return c
}

// askServer returns problems with what the server adds to them. The error is
// for what the server could not be asked about.
func askServer(c *cobra.Command, k *kube, to *target, objects []schema.Object, problems []*schema.Problem) ([]*schema.Problem, error) {
	cfg, namespace, err := k.config()
	if err != nil {
		return problems, err
	}
	set, err := to.open(cfg, namespace, quiet(c))
	if err != nil {
		return problems, err
	}
	defer set.Close()
	checked, err := set.Check(c.Context(), objects, plan.Options{Sync: to.sync, SetID: set.ID(), EmbeddedScheduler: true})
	if err == nil {
		problems = slices.DeleteFunc(problems, (*schema.Problem).Unchecked)
	}
	return schema.Confirm(problems, checked.Problems, checked.Taken), err
}
