package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/status"
	"rota.dev/rota/schema"
)

// applyFlags are the choices of one apply.
type applyFlags struct {
	choices
	wait      bool
	dryRun    string
	timeout   time.Duration
	plan      string
	announced plan.Saved
}

func newApply(k *kube) *cobra.Command {
	var repo repository
	var to target
	var f applyFlags
	c := &cobra.Command{
		Use:   "apply [PATH]",
		Short: "Make the cluster what a repository says, once",
		Long: `Make the cluster what a repository says, once: what rota run does at every
commit. Jobs that ran already do not run again, whether they still exist or not.
CronJobs that rota schedules and that are to be left to the cluster's own
controller are handed back as by rota release, which waits until no slot is near.
With --dry-run=server it prints what rota plan does, and writes nothing.

With --plan it applies exactly what rota plan --out saved. The plan is made again
first, with the choices that are in it; if the repository or the cluster moved in
a way that changes an effect, nothing is written, and what moved is printed.

Exit status: 0 if everything was applied, 1 if a part failed or was refused,
above 1 if nothing could be done.`,
		RunE: func(c *cobra.Command, args []string) error {
			repo.args(args)
			if f.dryRun != "none" && f.dryRun != "client" && f.dryRun != "server" {
				return exit(2, fmt.Errorf("unknown --dry-run=%s: use none, client or server", f.dryRun))
			}
			if err := f.check(); err != nil {
				return err
			}
			if f.plan != "" {
				var err error
				if f.announced, err = readPlan(f.plan, version()); err != nil {
					return exit(2, err)
				}
				if err := f.adopt(c, f.announced, &repo, &to); err != nil {
					return exit(2, err)
				}
			}
			return apply(c, k, &repo, &to, f)
		},
	}
	repo.flags(c)
	to.flags(c)
	f.choices.flags(c)
	c.Flags().BoolVar(&f.wait, "wait", false, "wait until the Jobs ended and the rest is ready")
	c.Flags().DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long --wait waits")
	c.Flags().StringVar(&f.plan, "plan", "", "apply the plan that rota plan --out saved in this file, or nothing")
	c.Flags().StringVar(&f.dryRun, "dry-run", "none", "none, client (only plan) or server (ask the API server, write nothing)")
	return c
}

func apply(c *cobra.Command, k *kube, repo *repository, to *target, f applyFlags) error {
	ctx := c.Context()
	s, err := f.open(c, k, repo, to, f.dryRun != "none")
	if err != nil {
		return err
	}
	defer s.close()
	if f.plan != "" {
		if err := s.holds(ctx, f.announced, to, c); err != nil {
			return exit(2, err)
		}
	}
	if f.dryRun == "server" {
		if _, err := s.ask(ctx); err != nil {
			return err
		}
	}
	if err := s.plan.WriteText(c.OutOrStdout()); err != nil {
		return exit(2, err)
	}
	if f.dryRun != "none" {
		_, err := verdict(s.plan)
		return err
	}
	left, err := s.handBack(c, k, to)
	if err != nil {
		return err
	}
	outcomes, err := s.apply(ctx)
	if err != nil {
		return err
	}
	report := status.Report{Sync: to.sync, Attempted: s.tree.Revision, InForce: s.tree.Revision, Warnings: s.warnings, Plan: s.plan, Outcomes: outcomes, Now: time.Now()}
	if err := (records{s.set}).PublishStatus(ctx, status.Summarize(report, nil)); err != nil {
		return exit(2, err)
	}
	if failed := reportOutcomes(c.ErrOrStderr(), repo.excerpts(c, c.ErrOrStderr()), outcomes); failed > 0 {
		return exit(1, fmt.Errorf("%d of %d objects failed or were refused; the rest is applied", failed, len(s.plan.Changes)))
	}
	if left > 0 {
		return exit(1, fmt.Errorf("left with rota for now, since it could not be handed back: %d of %d objects; the rest is applied", left, len(s.plan.Changes)))
	}
	if f.wait {
		return waitReady(ctx, c, s.set, s.objects, f.timeout)
	}
	return nil
}

// reportOutcomes prints what failed or was refused and returns how much did.
func reportOutcomes(w io.Writer, show schema.Excerpts, outcomes []plan.Outcome) int {
	failed := 0
	for _, o := range outcomes {
		if o.Problem != nil {
			failed++
			fmt.Fprintln(w, show.Text(o.Problem))
		}
	}
	return failed
}

// waitReady waits until every object is Current after kstatus: Jobs ended,
// workloads rolled out. A Failed one ends the wait with exit status 1.
func waitReady(ctx context.Context, c *cobra.Command, set *cluster.Set, objects []schema.Object, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resolved, _, err := set.Resolve(ctx, objects)
	if err != nil {
		return exit(2, err)
	}
	for {
		seen, err := set.Observe(ctx, resolved)
		if err != nil {
			return exit(2, err)
		}
		waiting := ""
		for _, o := range resolved {
			live := seen.Live[o.Key()]
			if live == nil {
				continue
			}
			health, message := status.HealthOf(live)
			if health == status.Failed {
				return exit(1, fmt.Errorf("%s: %s", o.Key(), message))
			}
			if health != status.Current && waiting == "" {
				waiting = fmt.Sprintf("%s: %s", o.Key(), message)
			}
		}
		if waiting == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return exit(1, fmt.Errorf("not ready after %s: %s", timeout, waiting))
		case <-set.Changed():
		}
	}
}
