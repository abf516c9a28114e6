package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rota.dev/rota/schema"
)

func newValidate() *cobra.Command {
	repo := repository{strict: true}
	var output string
	c := &cobra.Command{
		Use:   "validate [PATH]",
		Short: "Find what is wrong with a repository, without a cluster",
		Long: `Find what is wrong with a repository, without a cluster: everything at once,
each with file, line, cause and the way to mend it; on a terminal, or with
--excerpt, also with the line itself.

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
			if output == "text" {
				write = repo.excerpts(c, c.OutOrStdout()).Write
			}
			if err := write(c.OutOrStdout(), problems, len(objects)); err != nil {
				return exit(2, err)
			}
			if err != nil {
				return exit(1, nil)
			}
			return nil
		},
	}
	repo.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "text, json, github, sarif or junit")
	return c
}
