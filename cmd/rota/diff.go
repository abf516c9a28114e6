package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

func newDiff(k *kube) *cobra.Command {
	var repo repository
	var to target
	var against string
	c := &cobra.Command{
		Use:   "diff [PATH]",
		Short: "Show how the cluster, or another revision, differs from a repository",
		Long: `Show how the cluster differs from a repository. What the objects would become
is asked of the API server itself (server-side dry-run), so defaults and
admission are in it. With --against the repository is compared with another of
its own revisions, and no cluster is needed. Secret values are masked.

Exit status: 0 if there is no difference, 1 if there is, above 1 on an error.`,
		RunE: func(c *cobra.Command, args []string) error {
			repo.args(args)
			var found bool
			var err error
			if against == "" {
				found, err = diffCluster(c, k, &repo, &to)
			} else {
				found, err = diffRevision(c, &repo, against)
			}
			switch {
			case err != nil:
				return exit(max(2, codeOf(err)), err)
			case found:
				return exit(1, nil)
			}
			return nil
		},
	}
	repo.flags(c)
	to.flags(c)
	c.Flags().StringVar(&against, "against", "", "compare with this revision of the repository instead of the cluster")
	return c
}

func diffCluster(c *cobra.Command, k *kube, repo *repository, to *target) (bool, error) {
	f := choices{prune: true, maxPrune: schema.DefaultMaxPrunePercent, scheduler: schema.SchedulerEmbedded}
	s, err := f.open(c, k, repo, to, true)
	if err != nil {
		return false, err
	}
	defer s.close()
	outcomes, err := s.apply(c.Context())
	if err != nil {
		return false, err
	}
	return writeDiff(c.OutOrStdout(), c.ErrOrStderr(), repo.excerpts(c, c.ErrOrStderr()), s.plan, outcomes)
}

// writeDiff prints a unified diff of every object that would change. Problems
// go to notes, as show says, and make the error.
func writeDiff(w, notes io.Writer, show schema.Excerpts, p plan.Plan, outcomes []plan.Outcome) (bool, error) {
	after := map[schema.Key]plan.Outcome{}
	for _, o := range outcomes {
		after[o.Change.Key] = o
	}
	found, failed := false, 0
	for _, change := range p.Changes {
		o := after[change.Key]
		if o.Problem != nil {
			failed++
			fmt.Fprintln(notes, show.Text(o.Problem))
			continue
		}
		switch change.Op {
		case plan.Refuse:
			failed++
			fmt.Fprintln(notes, show.Text(change.Problem))
		case plan.Wait:
			fmt.Fprintf(notes, "%s %s\n", change.Key, change.Effect)
		}
		if text := diffOf(change, o.Object); text != "" {
			found = true
			fmt.Fprint(w, text)
		}
	}
	if failed > 0 {
		return found, fmt.Errorf("%d objects could not be compared", failed)
	}
	return found, nil
}

// diffOf returns what a change does to its object, given the object as the
// server would have it; empty if it does nothing, or is refused.
func diffOf(c plan.Change, answered *unstructured.Unstructured) string {
	switch {
	case c.Op == plan.Keep, c.Op == plan.Refuse:
		return ""
	case c.Op == plan.Delete:
		return plan.Diff(c.Before, nil)
	case c.Op == plan.Wait && c.Object == nil:
		return ""
	case c.Op == plan.Wait:
		return plan.Diff(c.Before, c.Object.Unstructured)
	}
	return plan.Diff(c.Before, answered)
}

// diffRevision compares what two revisions of a repository render to.
func diffRevision(c *cobra.Command, repo *repository, against string) (bool, error) {
	s, err := repo.against(c, against)
	if err != nil {
		return false, err
	}
	repo.warn(c, s.warnings)
	diffs := s.diffs()
	before := map[schema.Key]schema.Object{}
	for _, o := range s.Before {
		before[o.Key()] = o
	}
	var foretold []*schema.Problem
	for _, o := range s.After {
		fmt.Fprint(c.OutOrStdout(), diffs[o.Key()])
		if old := before[o.Key()].Unstructured; old != nil {
			foretold = append(foretold, plan.Foretell(o, old)...)
		}
		delete(before, o.Key())
	}
	for _, o := range s.Before {
		if _, gone := before[o.Key()]; gone {
			fmt.Fprint(c.OutOrStdout(), diffs[o.Key()])
		}
	}
	repo.warn(c, foretold)
	return len(diffs) > 0, nil
}
