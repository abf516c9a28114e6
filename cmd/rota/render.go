package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"rota.dev/rota/schema"
)

func newRender() *cobra.Command {
	var repo repository
	var output, origin string
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
			origins := schema.Origins(origin)
			switch {
			case origins != schema.OriginsNone && origins != schema.OriginsObjects && origins != schema.OriginsFields:
				return exit(2, fmt.Errorf("unknown --origin=%s: use objects or fields", origin))
			case origins == schema.OriginsFields && output != "yaml":
				return exit(2, errors.New("--origin=fields writes comments, for which only -o yaml has a place"))
			}
			objects, warnings, err := repo.objects(c.Context())
			repo.warn(c, warnings)
			if err != nil {
				return repo.broken(c, err)
			}
			return write(c.OutOrStdout(), objects, origins)
		},
	}
	repo.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "yaml", "yaml, json or name")
	c.Flags().StringVar(&origin, "origin", "", "say where each object was written (file, line, template, parameters); with =fields also each field that is from elsewhere, such as a patch")
	c.Flags().Lookup("origin").NoOptDefVal = string(schema.OriginsObjects)
	return c
}
