package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newLedger(k *kube) *cobra.Command {
	c := &cobra.Command{
		Use:   "ledger",
		Short: "Look after the record of what ran",
	}
	c.AddCommand(newLedgerRebuild(k))
	return c
}

func newLedgerRebuild(k *kube) *cobra.Command {
	var repo repository
	var to target
	var assumeDone, rerun bool
	c := &cobra.Command{
		Use:   "rebuild [PATH]",
		Short: "Replace a ledger that is lost or cannot be read",
		Long: `Replace a ledger that is lost or cannot be read. Without it nobody knows which
Jobs of the repository ran, so you say it:

  --assume-done  every Job of the repository that is absent from the cluster ran
  --rerun        every Job of the repository that is absent runs again

Jobs that exist are recorded as they are in both cases.`,
		RunE: func(c *cobra.Command, args []string) error {
			repo.args(args)
			if assumeDone == rerun {
				return exit(2, errors.New("say either --assume-done or --rerun"))
			}
			objects, _, err := repo.objects(c.Context())
			if err != nil {
				return broken(err)
			}
			cfg, namespace, err := k.config()
			if err != nil {
				return exit(2, err)
			}
			set, err := to.open(cfg, namespace, quiet(c))
			if err != nil {
				return exit(2, err)
			}
			defer set.Close()
			if err := set.RebuildLedger(c.Context(), assumeDone, objects); err != nil {
				return exit(2, err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "ledger of Sync %s rebuilt\n", to.sync)
			return err
		},
	}
	repo.flags(c)
	to.flags(c)
	c.Flags().BoolVar(&assumeDone, "assume-done", false, "absent Jobs ran")
	c.Flags().BoolVar(&rerun, "rerun", false, "absent Jobs run again")
	return c
}
