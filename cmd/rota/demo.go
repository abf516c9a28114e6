package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newDemo() *cobra.Command {
	var d demo
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show all of rota on a Kubernetes of its own",
		Long: `Show all of rota on a Kubernetes of its own: start the local cluster (building
it first if need be), make a git repository from the examples, run the loop on
it, commit a change, and show the plan, the apply, a Job's log and a drift being
corrected. Then everything is left running for you to play with; --once ends
instead, and cleans up.

Containers run as processes of this user, without any isolation.

Exit status: 0, or 1 if a step did not happen.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d.out, d.notes = c.OutOrStdout(), c.ErrOrStderr()
			if err := d.run(c.Context()); err != nil {
				return exit(1, fmt.Errorf("the demo failed: %w", err))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&d.once, "once", false, "end when all was shown, and clean up")
	c.Flags().StringVar(&d.binary, "localcluster", "", "the local cluster's executable (default: found, or built from source)")
	c.Flags().DurationVar(&d.patience, "timeout", 3*time.Minute, "how long to wait for each step")
	return c
}
