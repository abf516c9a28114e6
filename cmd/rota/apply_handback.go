package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile"
	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/plan"
)

// handBack gives the CronJobs that the plan leaves to the cluster's own
// controller back to it, as rota run and rota release do: a mere update would
// let that controller start a slot again that rota has run. It makes the plan
// anew for what is there then, and returns how many could not be handed back.
func (s *session) handBack(c *cobra.Command, k *kube, to *target) (int, error) {
	if !slices.ContainsFunc(s.plan.Changes, plan.HandsBack) {
		return 0, nil
	}
	cfg, _, err := k.config()
	if err != nil {
		return 0, exit(2, err)
	}
	runs, err := cluster.NewRuns(cfg, cluster.RunsOptions{Sync: s.options.Sync, SetID: s.set.ID(), System: to.system})
	if err != nil {
		return 0, exit(2, err)
	}
	back := func(ctx context.Context, name types.NamespacedName) error {
		return handBack(ctx, runs, name, func(waits string) { fmt.Fprintf(c.ErrOrStderr(), "cronjob %s: %s\n", name, waits) })
	}
	again := func(ctx context.Context) (plan.Plan, error) {
		p, books, err := reconcile.Plan(ctx, s.set, s.objects, s.options, reconcile.Memory{})
		s.books = books
		return p, err
	}
	if s.plan, err = reconcile.HandBackFirst(c.Context(), s.plan, back, again); err != nil {
		return 0, exit(2, err)
	}
	left := 0
	for _, change := range s.plan.Changes {
		if change.Reason == plan.ReasonHandBack {
			left++
			fmt.Fprintf(c.ErrOrStderr(), "%s %s\n", change.Key, change.Effect)
		}
	}
	return left, nil
}
