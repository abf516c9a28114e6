package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile"
	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/cluster/local"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/review"
	"rota.dev/rota/schema"
)

// admission has the controllers without which an API server does not admit:
// accounts, and the use of quotas. None of them starts a Pod or ends a Job.
var admission = []string{"--node", "none", "--controllers", "namespace,serviceaccount,resourcequota"}

// kindsTime is how long the kinds of a CustomResourceDefinition may take to be
// served.
const kindsTime = 30 * time.Second

// onLocalCluster plans between two revisions on a local cluster that nobody
// else has: the earlier one is applied to it, and the server is asked about
// what the working copy would write.
func (f *planFlags) onLocalCluster(c *cobra.Command, _ *kube, repo *repository, to *target) (review.Input, error) {
	s, err := f.sides(c, repo)
	if err != nil {
		return review.Input{}, err
	}
	ctx := c.Context()
	kube, err := local.Start(ctx, local.Options{Args: admission, Progress: c.ErrOrStderr()})
	if err != nil {
		return review.Input{}, exit(2, err)
	}
	defer kube.Stop()
	log := quiet(c)
	open := func(cfg *rest.Config, to target) (*cluster.Set, error) { return to.open(cfg, "default", log) }
	if err := f.establish(ctx, c, repo, *to, s, func(to target) (*cluster.Set, error) { return open(kube.Config(), to) }); err != nil {
		return review.Input{}, exit(2, err)
	}
	set, err := open(cluster.DryRun(kube.Config()), *to)
	if err != nil {
		return review.Input{}, exit(2, err)
	}
	defer set.Close()
	in := review.Input{Against: s.BeforeRevision, Warnings: s.warnings, Now: time.Now()}
	o := f.between(c, to, s)
	o.SetID = set.ID()
	p, _, err := reconcile.Plan(ctx, ended{set, in.Now}, s.After, o, reconcile.Memory{})
	if err != nil {
		return in, exit(2, err)
	}
	outcomes, err := set.Apply(ctx, p)
	if err != nil {
		return in, exit(2, err)
	}
	in.Plan, in.Diffs = p.Judged(outcomes), f.diffs(outcomes)
	return in, nil
}

// establish makes the cluster what the earlier revision says. What the server
// refuses of it is told, and is not there then.
func (f *planFlags) establish(ctx context.Context, c *cobra.Command, repo *repository, to target, s sides, open func(target) (*cluster.Set, error)) error {
	others := to
	others.sync = to.sync + "-namespaces"
	set, err := open(others)
	if err != nil {
		return err
	}
	defer set.Close()
	options := plan.Options{Sync: others.sync, SetID: set.ID(), Revision: s.BeforeRevision}
	if _, err := reconciled(ctx, set, s.foreignNamespaces(cmp.Or(to.namespace, "default")), options); err != nil {
		return err
	}
	if set, err = open(to); err != nil {
		return err
	}
	defer set.Close()
	options = f.options(to.sync, set.ID(), s.BeforeRevision)
	options.Prune = false
	outcomes, err := reconciled(ctx, set, s.Before, options)
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		if o.Problem != nil {
			fmt.Fprintf(c.ErrOrStderr(), "at %s: %s\n", plan.ShortRevision(s.BeforeRevision), repo.excerpts(c, c.ErrOrStderr()).Text(o.Problem))
		}
	}
	return nil
}

// reconciled applies objects until nothing waits for a kind any more.
func reconciled(ctx context.Context, set *cluster.Set, objects []schema.Object, options plan.Options) ([]plan.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, kindsTime)
	defer cancel()
	for {
		p, _, err := reconcile.Plan(ctx, set, objects, options, reconcile.Memory{})
		if err != nil {
			return nil, err
		}
		outcomes, err := set.Apply(ctx, p)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(p.Changes, func(c plan.Change) bool { return c.Reason == plan.ReasonAwaitsKind }) {
			return outcomes, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the kinds of a CustomResourceDefinition: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// foreignNamespaces returns the namespaces that either side uses, and neither
// makes: on the cluster that the plan is for they are there.
func (s sides) foreignNamespaces(namespace string) []schema.Object {
	own := map[string]bool{"default": true}
	used := []string{namespace}
	for _, o := range slices.Concat(s.Before, s.After) {
		if o.GetKind() == "Namespace" && o.GetAPIVersion() == "v1" {
			own[o.GetName()] = true
		}
		used = append(used, o.GetNamespace())
	}
	slices.Sort(used)
	var objects []schema.Object
	for _, name := range slices.Compact(used) {
		if name != "" && !own[name] {
			objects = append(objects, schema.Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
			}}})
		}
	}
	return objects
}

// ended is a cluster whose Jobs have ended: this one starts no Pods.
type ended struct {
	*cluster.Set
	now time.Time
}

// Observe implements reconcile.Cluster.
func (e ended) Observe(ctx context.Context, desired []schema.Object) (plan.Observation, error) {
	seen, err := e.Set.Observe(ctx, desired)
	seen.Live = plan.Ended(seen.Live, e.now)
	return seen, err
}
