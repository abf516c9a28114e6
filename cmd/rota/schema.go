package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/review"
	"rota.dev/rota/schema"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [Plan]",
		Short: "Print the JSON Schema of rota's own documents, or of its output",
		Long: `Print the JSON Schema (draft-07) of rota's own documents, for editors:

  rota schema > rota.schema.json
  # yaml-language-server: $schema=./rota.schema.json

With Plan, that of the output of rota plan -o json.`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"Plan"},
		RunE: func(c *cobra.Command, args []string) error {
			text := schema.JSONSchema()
			if len(args) == 1 {
				text = review.JSONSchema()
			}
			if _, err := c.OutOrStdout().Write(text); err != nil {
				return exit(2, fmt.Errorf("printing the schema: %w", err))
			}
			return nil
		},
	}
}
