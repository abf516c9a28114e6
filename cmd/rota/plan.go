package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/review"
	"rota.dev/rota/schema"
)

// planFlags are the choices of one plan.
type planFlags struct {
	choices
	against, dryRun, output, out string
	detailed, admit              bool
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

Changes of schedules are shown as times: the next runs before and after, runs
per day, the first run after the change, slots that the change loses or gains,
and the busiest minutes of the coming week.

rota apply with the same flags does what the plan says. With --out the plan is
saved, and rota apply --plan applies exactly that, or nothing if what it was made
on has moved. -o markdown is ready to be posted as one comment of a pull request,
-o github are workflow commands, and -o json is what rota schema Plan says.

With --against another revision of the repository takes the cluster's place, and
no cluster is needed: it is taken as applied, and its Jobs as ended. What left
the repository is then pruned unless --prune=false. --admit starts a local cluster
for it, applies the other revision there and asks its API server about this one.

Exit status: 0, 1 if something is refused, above 1 if there is no plan. With
--detailed-exitcode 0 if there is nothing to do, 2 if there is, 1 if something
is refused or there is no plan.`,
		Example: `  rota plan                                      what applying this folder would do
  rota plan --against origin/main                what merging this checkout would do
  rota plan --against origin/main -o markdown    the same as a comment of a pull request
  rota plan --overlay overlays/prod --prune -n batch
  rota plan --out /tmp/review.plan               for rota apply --plan /tmp/review.plan`,
		RunE: func(c *cobra.Command, args []string) error {
			repo.args(args)
			changes, err := f.run(c, k, &repo, &to)
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
	c.Flags().BoolVar(&f.admit, "admit", false, "with --against: let a real API server, a local cluster of this plan alone, default and admit both sides")
	c.Flags().StringVar(&f.out, "out", "", "save the plan in this file, outside of the repository, for rota apply --plan")
	c.Flags().StringVar(&f.dryRun, "dry-run", "server", "server (ask the API server about every write) or client (only read it)")
	c.Flags().StringVarP(&f.output, "output", "o", "text", "text, json, markdown or github")
	c.Flags().BoolVar(&f.detailed, "detailed-exitcode", false, "exit status 2 if there is something to do")
	return c
}

// run makes the plan, prints it, and reports whether it has something to do.
func (f *planFlags) run(c *cobra.Command, k *kube, repo *repository, to *target) (bool, error) {
	write, ok := review.Writers[f.output]
	switch {
	case !ok:
		return false, exit(2, fmt.Errorf("unknown output %q: use text, json, markdown or github", f.output))
	case f.dryRun != "client" && f.dryRun != "server":
		return false, exit(2, fmt.Errorf("unknown --dry-run=%s: use client or server", f.dryRun))
	}
	if err := f.check(); err != nil {
		return false, err
	}
	made := f.onCluster
	switch {
	case f.admit && f.against == "":
		return false, exit(2, errors.New("--admit is for two revisions: add --against REV; without it the cluster itself is asked"))
	case f.admit:
		made = f.onLocalCluster
	case f.against != "":
		made = f.betweenRevisions
	}
	in, err := made(c, k, repo, to)
	if err != nil {
		return false, f.broken(c, to, err)
	}
	in.Sync, in.Namespace, in.Again = to.sync, cmp.Or(to.namespace, "default"), commandLine(c)
	r, err := review.New(in)
	if err != nil {
		return false, exit(2, err)
	}
	if err := write(c.OutOrStdout(), r); err != nil {
		return false, exit(2, err)
	}
	return verdict(r.Plan)
}

// broken returns err; if it is that the repository is broken, the output tells
// those who wait for a plan.
func (f *planFlags) broken(c *cobra.Command, to *target, err error) error {
	write, ok := review.BrokenWriters[f.output]
	if !ok || codeOf(err) != 3 {
		return err
	}
	if failed := write(c.OutOrStdout(), review.Broken{Sync: to.sync, Problems: problemsIn(err)}); failed != nil {
		return exit(2, failed)
	}
	return err
}

// problemsIn returns the problems of an error, whatever it is wrapped in.
func problemsIn(err error) []*schema.Problem {
	for {
		if _, ok := err.(*schema.Problem); ok {
			return schema.Problems(err)
		}
		next := errors.Unwrap(err)
		if next == nil {
			return schema.Problems(err)
		}
		err = next
	}
}

// diffs returns what the server's answers differ from what is there.
func (f *planFlags) diffs(outcomes []plan.Outcome) map[schema.Key]string {
	diffs := map[schema.Key]string{}
	for _, o := range outcomes {
		if o.Problem == nil && o.Done && f.showsDiffs() {
			diffs[o.Change.Key] = diffOf(o.Change, o.Object)
		}
	}
	return diffs
}

// showsDiffs reports whether the output has diffs: those of ten thousand
// objects take longer than the plan.
func (f *planFlags) showsDiffs() bool { return f.output == "json" || f.output == "markdown" }

// commandLine is how the plan was asked for, without what is made of it.
func commandLine(c *cobra.Command) string {
	words := []string{c.CommandPath()}
	c.Flags().Visit(func(f *pflag.Flag) {
		// Of --limit nobody knows any more how it was written.
		if f.Name != "output" && f.Name != "out" && f.Value.String() != "" {
			words = append(words, "--"+f.Name+"="+f.Value.String())
		}
	})
	return strings.Join(append(words, c.Flags().Args()...), " ")
}

func (f *planFlags) onCluster(c *cobra.Command, k *kube, repo *repository, to *target) (review.Input, error) {
	if f.out != "" {
		if err := repo.outside(f.out); err != nil {
			return review.Input{}, exit(2, err)
		}
		f.asOf = time.Now().UTC()
	}
	s, err := f.open(c, k, repo, to, true)
	if err != nil {
		return review.Input{}, err
	}
	defer s.close()
	in := review.Input{Warnings: s.warnings, Now: time.Now()}
	if f.dryRun == "server" {
		outcomes, err := s.ask(c.Context())
		if err != nil {
			return in, err
		}
		in.Diffs = f.diffs(outcomes)
	}
	in.Plan = s.plan
	if f.out != "" {
		return in, f.save(c.Context(), s, repo, to)
	}
	return in, nil
}

// sides renders both revisions.
func (f *planFlags) sides(c *cobra.Command, repo *repository) (sides, error) {
	if c.Flags().Changed("dry-run") {
		return sides{}, exit(2, errors.New("--dry-run asks a cluster, and --against needs none: leave one of them out"))
	}
	if f.out != "" {
		return sides{}, exit(2, errors.New("--out saves a plan for a cluster, and --against needs none: leave one of them out"))
	}
	s, err := repo.against(c, f.against)
	if err != nil {
		return sides{}, err
	}
	repo.warn(c, s.warnings)
	return s, nil
}

func (f *planFlags) betweenRevisions(c *cobra.Command, _ *kube, repo *repository, to *target) (review.Input, error) {
	s, err := f.sides(c, repo)
	if err != nil {
		return review.Input{}, err
	}
	in := review.Input{Against: s.BeforeRevision, Warnings: s.warnings, Now: time.Now()}
	if in.Plan, err = plan.Between(s.Sides, f.between(c, to, s), in.Now); err != nil {
		return in, exit(2, err)
	}
	if f.showsDiffs() {
		in.Diffs = s.diffs()
	}
	return in, nil
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
