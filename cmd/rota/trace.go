package main

import (
	"fmt"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/source"
	"rota.dev/rota/schema"
)

func newTrace() *cobra.Command {
	var repo repository
	var dir, output string
	c := &cobra.Command{
		Use:   "trace FILE[:LINE] | KIND/NAME [FIELD]",
		Short: "Show what comes of a file, or where an object comes from",
		Long: `Show which objects come of a file, or of a line of it, and as what: their
source, template, parameters, a patch, a kustomization. Or show where an object
comes from, or one field of it:

  rota trace base/items.csv:3
  rota trace job/process-apple
  rota trace job/process-apple 'spec.template.spec.containers[0].image'

No cluster is needed. Exit status: 0, 1 if nothing is found, 3 if the repository
is broken and what was asked for is not in what renders.`,
		RunE: func(c *cobra.Command, args []string) error {
			repo.path = dir
			if output != "text" && output != "json" {
				return exit(2, fmt.Errorf("unknown output %q: use text or json", output))
			}
			objects, _, broken := repo.objects(c.Context())
			field := ""
			if len(args) > 1 {
				field = args[1]
			}
			answer, err := schema.NewTrace(objects, repo.named(args[0]), field)
			switch {
			case err != nil && broken != nil:
				return repo.broken(c, broken)
			case err != nil:
				return exit(1, err)
			case output == "json":
				return answer.WriteJSON(c.OutOrStdout())
			}
			return answer.WriteText(c.OutOrStdout())
		},
	}
	repo.flags(c)
	c.Args = cobra.RangeArgs(1, 2)
	c.ValidArgsFunction = first(kindsAndNames)
	c.Flags().StringVar(&dir, "path", ".", "the repository, or a folder of it, to render")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// named returns a file as origins have it: from the root of the checkout.
func (r *repository) named(file string) string {
	root, sub, err := source.Root(r.path)
	if err != nil {
		return path.Clean(filepath.ToSlash(file))
	}
	if abs, err := filepath.Abs(file); err == nil && filepath.IsAbs(file) {
		if rel, err := filepath.Rel(root, abs); err == nil {
			return filepath.ToSlash(rel)
		}
	}
	return path.Join(sub, filepath.ToSlash(file))
}
