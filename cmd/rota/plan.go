package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/plan"
)

// planFlags are the choices of one plan.
type planFlags struct {
	choices
	dryRun   string
	detailed bool
}

func newPlan(k *kube) *cobra.Command {
	var repo repository
	var to target
	var f planFlags
	c := &cobra.Command{
		Use:   "plan [PATH]",
		Short: "Say what a repository would do to the cluster",
		Long: `Say what a repository would do to the cluster, as effects: which Jobs run now,
run again (and what changed), wait for an active run or have run already, when
changed schedules fire, what drifted and who changed it, what is pruned. The
totals are on the last line. Nothing is written.

The API server is asked about everything that would be written (server-side
dry-run), creations and updates alike: what it refuses is an entry with its
place in the file and the way to mend it. With --dry-run=client it is only read.

rota apply with the same flags does what the plan says.

Exit status: 0, 1 if something is refused, above 1 if there is no plan. With
--detailed-exitcode 0 if there is nothing to do, 2 if there is, 1 if something
is refused or there is no plan.`,
		RunE: func(c *cobra.Command, args []string) error {
			repo.args(args)
			changes, err := planCluster(c, k, &repo, &to, f)
			switch {
			case err != nil && f.detailed:
				return exit(1, err)
			case err == nil && changes && f.detailed:
				return exit(2, nil)
			}
			return err
		},
	}
	repo.flags(c)
	to.flags(c)
	f.choices.flags(c)
	c.Flags().StringVar(&f.dryRun, "dry-run", "server", "server (ask the API server about every write) or client (only read it)")
	c.Flags().BoolVar(&f.detailed, "detailed-exitcode", false, "exit status 2 if there is something to do")
	return c
}

// planCluster prints the plan and reports whether it has something to do.
func planCluster(c *cobra.Command, k *kube, repo *repository, to *target, f planFlags) (bool, error) {
	if f.dryRun != "client" && f.dryRun != "server" {
		return false, exit(2, fmt.Errorf("unknown --dry-run=%s: use client or server", f.dryRun))
	}
	if err := f.check(); err != nil {
		return false, err
	}
	s, err := f.open(c, k, repo, to, true)
	if err != nil {
		return false, err
	}
	defer s.close()
	if f.dryRun == "server" {
		if _, err := s.ask(c.Context()); err != nil {
			return false, err
		}
	}
	if err := s.plan.WriteText(c.OutOrStdout()); err != nil {
		return false, exit(2, err)
	}
	return verdict(s.plan)
}

// verdict reports whether a plan has something to do; it is an error if
// something is refused.
func verdict(p plan.Plan) (bool, error) {
	totals := p.Totals()
	if totals.Refused > 0 {
		return true, exit(1, errors.New(refusedText(totals.Refused)))
	}
	return !totals.Idle(), nil
}

func refusedText(n int) string {
	if n == 1 {
		return "1 object is refused"
	}
	return fmt.Sprintf("%d objects are refused", n)
}
