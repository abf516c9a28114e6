package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/plan"
)

// planFlags are the choices of one plan.
type planFlags struct {
	choices
	against, dryRun string
	detailed        bool
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

With --against another revision of the repository takes the cluster's place, and
no cluster is needed: it is taken as applied, and its Jobs as ended. What left
the repository is then pruned unless --prune=false.

Exit status: 0, 1 if something is refused, above 1 if there is no plan. With
--detailed-exitcode 0 if there is nothing to do, 2 if there is, 1 if something
is refused or there is no plan.`,
		Example: `  rota plan                                      what applying this folder would do
  rota plan --against origin/main                what merging this checkout would do
  rota plan --overlay overlays/prod --prune -n batch`,
		RunE: func(c *cobra.Command, args []string) error {
			repo.args(args)
			p, err := f.plan(c, k, &repo, &to)
			changes := false
			if err == nil {
				changes, err = verdict(p)
			}
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
	c.Flags().StringVar(&f.against, "against", "", "compare with this revision of the repository instead of the cluster")
	c.Flags().StringVar(&f.dryRun, "dry-run", "server", "server (ask the API server about every write) or client (only read it)")
	c.Flags().BoolVar(&f.detailed, "detailed-exitcode", false, "exit status 2 if there is something to do")
	return c
}

// plan makes the plan and prints it.
func (f *planFlags) plan(c *cobra.Command, k *kube, repo *repository, to *target) (plan.Plan, error) {
	if f.dryRun != "client" && f.dryRun != "server" {
		return plan.Plan{}, exit(2, fmt.Errorf("unknown --dry-run=%s: use client or server", f.dryRun))
	}
	if err := f.check(); err != nil {
		return plan.Plan{}, err
	}
	var p plan.Plan
	var err error
	if f.against != "" {
		p, err = f.betweenRevisions(c, repo, to)
	} else {
		p, err = f.onCluster(c, k, repo, to)
	}
	if err != nil {
		return p, err
	}
	if err := p.WriteText(c.OutOrStdout()); err != nil {
		return p, exit(2, err)
	}
	return p, nil
}

func (f *planFlags) onCluster(c *cobra.Command, k *kube, repo *repository, to *target) (plan.Plan, error) {
	s, err := f.open(c, k, repo, to, true)
	if err != nil {
		return plan.Plan{}, err
	}
	defer s.close()
	if f.dryRun == "server" {
		if _, err := s.ask(c.Context()); err != nil {
			return plan.Plan{}, err
		}
	}
	return s.plan, nil
}

func (f *planFlags) betweenRevisions(c *cobra.Command, repo *repository, to *target) (plan.Plan, error) {
	if c.Flags().Changed("dry-run") {
		return plan.Plan{}, exit(2, errors.New("--dry-run asks a cluster, and --against needs none: leave one of them out"))
	}
	s, err := repo.against(c, f.against)
	if err != nil {
		return plan.Plan{}, err
	}
	repo.warn(c, s.warnings)
	fmt.Fprintf(c.OutOrStdout(), "Compared with %s: it is taken as applied, and its Jobs as ended.\n", plan.ShortRevision(s.BeforeRevision))
	p, err := plan.Between(s.Sides, f.between(c, to, s), time.Now())
	if err != nil {
		return p, exit(2, err)
	}
	return p, nil
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
