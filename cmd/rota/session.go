package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile"
	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/render"
	"rota.dev/rota/schema"
)

// choices are the flags that change what a plan decides. The verbs that have
// them decide alike.
type choices struct {
	prune, force bool
	maxPrune     int
	scheduler    string
	// asOf is set where a saved plan is made again.
	asOf time.Time
}

func (f *choices) flags(c *cobra.Command) {
	c.Flags().BoolVar(&f.prune, "prune", false, "delete what was applied before and left the repository")
	c.Flags().IntVar(&f.maxPrune, "max-prune-percent", schema.DefaultMaxPrunePercent, "refuse to prune more than this share of ten objects or more")
	c.Flags().BoolVar(&f.force, "force-conflicts", false, "take fields that other managers own")
	c.Flags().StringVar(&f.scheduler, "scheduler", schema.SchedulerEmbedded, "who fires the CronJobs: Embedded (rota run) or Cluster")
}

func (f *choices) check() error {
	if f.scheduler != schema.SchedulerEmbedded && f.scheduler != schema.SchedulerCluster {
		return exit(2, fmt.Errorf("unknown --scheduler=%s: use %s or %s", f.scheduler, schema.SchedulerEmbedded, schema.SchedulerCluster))
	}
	return nil
}

// options are the choices as a plan takes them.
func (f *choices) options(sync, setID, revision string) plan.Options {
	return plan.Options{
		Sync: sync, SetID: setID, Revision: revision, EmbeddedScheduler: f.scheduler == schema.SchedulerEmbedded,
		ForceConflicts: f.force, Prune: f.prune, MaxPrunePercent: f.maxPrune, AsOf: f.asOf,
	}
}

// session is a repository that is planned against a cluster.
type session struct {
	tree     render.Tree
	objects  []schema.Object
	warnings []*schema.Problem
	set      *cluster.Set
	// config and namespace are of the connection.
	config    *rest.Config
	namespace string
	options   plan.Options
	plan      plan.Plan
	books     reconcile.Books
}

// open renders the repository, reads the cluster and plans. Warnings are
// printed. In a dry session the server keeps nothing of what is written.
func (f *choices) open(c *cobra.Command, k *kube, repo *repository, to *target, dry bool) (*session, error) {
	ctx := c.Context()
	tree, err := repo.tree(ctx)
	if err != nil {
		return nil, repo.broken(c, err)
	}
	objects, warnings, err := repo.render(ctx, tree)
	repo.warn(c, warnings)
	if err != nil {
		return nil, repo.broken(c, err)
	}
	cfg, namespace, err := k.config()
	if err != nil {
		return nil, exit(2, err)
	}
	if dry {
		cfg = cluster.DryRun(cfg)
	}
	set, err := to.open(cfg, namespace, quiet(c))
	if err != nil {
		return nil, exit(2, err)
	}
	s := &session{tree: tree, objects: objects, warnings: warnings, set: set, config: cfg, namespace: cmp.Or(to.namespace, namespace), options: f.options(to.sync, set.ID(), tree.Revision)}
	if s.plan, s.books, err = reconcile.Plan(ctx, set, objects, s.options, reconcile.Memory{}); err != nil {
		set.Close()
		return nil, exit(2, err)
	}
	return s, nil
}

// apply carries the plan out. What was learned of runs is recorded first, since
// the plan believed it.
func (s *session) apply(ctx context.Context) ([]plan.Outcome, error) {
	if len(s.books.Runs) > 0 {
		if err := s.set.Record(ctx, s.books.Runs); err != nil {
			return nil, exit(2, err)
		}
	}
	outcomes, err := s.set.Apply(ctx, s.plan)
	if err != nil {
		return nil, exit(2, err)
	}
	return outcomes, nil
}

// ask has the server judge the plan of a dry session: what it refuses becomes
// part of the plan.
func (s *session) ask(ctx context.Context) ([]plan.Outcome, error) {
	outcomes, err := s.apply(ctx)
	if err == nil {
		s.plan = s.plan.Judged(outcomes)
	}
	return outcomes, err
}

func (s *session) close() { s.set.Close() }
