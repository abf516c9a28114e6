package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rota.dev/rota/schema"
)

func newExplain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [RULE]",
		Short: "Explain a rule id such as R012, or list them all",
		Args:  cobra.MaximumNArgs(1),

		ValidArgsFunction: first(rules),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, r := range schema.Rules {
					fmt.Fprintf(c.OutOrStdout(), "%s  %s\n", r.ID, r.Title)
				}
				return nil
			}
			r, ok := schema.Explain(args[0])
			if !ok {
				return exit(2, fmt.Errorf("no rule %q: `rota explain` lists them all", args[0]))
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %s\n\n%s\n", r.ID, r.Title, r.Explanation)
			for i, other := range schema.Related(r.ID) {
				if i == 0 {
					fmt.Fprintln(c.OutOrStdout(), "\nThe same fault, found elsewhere:")
				}
				fmt.Fprintf(c.OutOrStdout(), "  %s  %s\n", other.ID, other.Title)
			}
			return nil
		},
	}
}
