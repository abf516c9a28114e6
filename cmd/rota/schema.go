package main

import (
	"github.com/spf13/cobra"

	"rota.dev/rota/schema"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of rota's own documents",
		Long: `Print the JSON Schema (draft-07) of rota's own documents, for editors:

  rota schema > rota.schema.json
  # yaml-language-server: $schema=./rota.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(schema.JSONSchema())
			return err
		},
	}
}
