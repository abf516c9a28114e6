package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rota.dev/rota/schema"
)

func newRender() *cobra.Command {
	var repo repository
	var output string
	var origin bool
	c := &cobra.Command{
		Use:   "render [PATH]",
		Short: "Print the objects that a repository renders to",
		Long: `Print the objects that a repository renders to: plain manifests, Expansions,
Jinja templates and kustomizations. Nothing is sent anywhere. Secrets are
printed as they are, so that the output can be applied.

Exit status: 0, or 3 if the repository is broken.`,
		RunE: func(c *cobra.Command, args []string) error {
			repo.args(args)
			write, ok := schema.ObjectWriters[output]
			if !ok {
				return exit(2, fmt.Errorf("unknown output %q: use yaml, json or name", output))
			}
			objects, warnings, err := repo.objects(c.Context())
			repo.warn(c, warnings)
			if err != nil {
				return repo.broken(c, err)
			}
			return write(c.OutOrStdout(), objects, origin)
		},
	}
	repo.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "yaml", "yaml, json or name")
	c.Flags().BoolVar(&origin, "origin", false, "say where each object was written (file, line, template, parameters)")
	return c
}
