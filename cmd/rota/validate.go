package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

func newValidate(k *kube) *cobra.Command {
	var repo repository
	var to target
	var g grades
	var output string
	var server bool
	c := &cobra.Command{
		Use:   "validate [PATH]",
		Short: "Find what is wrong with a repository, with or without a cluster",
		Long: `Find what is wrong with a repository, without a cluster: everything at once,
each with file, line, cause and the way to mend it; on a terminal, or with
--excerpt, also with the line itself.

With --server the API server is asked about every object as well, in a dry run
that keeps nothing: it knows its own kinds, admission policies and what exists.
What it refuses has the place in the file, too.

Warnings can be ignored in the file, with a reason: # rota:ignore R092 why, on
the line of the warning, on the line before, or at the top of the document. With
--severity a warning becomes an error, or is left out; an error stays one.

Exit status: 0 if there is nothing but warnings, 1 if there are errors, above 1
if the check itself failed.`,
		RunE: func(c *cobra.Command, args []string) error {
			repo.args(args)
			write, ok := schema.ProblemWriters[output]
			if !ok {
				return exit(2, fmt.Errorf("unknown output %q: use text, json, github, sarif or junit", output))
			}
			if err := g.parse(); err != nil {
				return exit(2, err)
			}
			found := repo.examine(c.Context())
			found.problems = append(found.problems, schema.Lint(found.objects, g.lints, time.Now())...)
			var unanswered error
			if server {
				found.problems, unanswered = askServer(c, k, &to, found.objects, found.problems)
				if unanswered == nil && g.lints.On(schema.OverrunRule) {
					var overruns []*schema.Problem
					overruns, unanswered = askHistory(c, k, &to, found.objects)
					found.problems = append(found.problems, overruns...)
				}
			}
			problems := g.apply(c, &repo, found)
			if output == "text" {
				write = repo.excerpts(c, c.OutOrStdout()).Write
			}
			if err := write(c.OutOrStdout(), problems, len(found.objects)); err != nil {
				return exit(2, err)
			}
			switch {
			case unanswered != nil:
				return exit(2, fmt.Errorf("the server was not asked about everything: %w", unanswered))
			case schema.HasErrors(problems):
				return exit(1, nil)
			}
			return nil
		},
	}
	repo.flags(c)
	to.flags(c)
	g.flags(c)
	c.Flags().BoolVar(&server, "server", false, "ask the API server, too, in a dry run")
	c.Flags().StringVarP(&output, "output", "o", "text", "text, json, github, sarif or junit")
	return c
}

// grades are how grave findings are taken: --lint and --severity.
type grades struct {
	which      string
	settings   map[string]string
	lints      schema.Lints
	severities schema.Severities
}

func (g *grades) flags(c *cobra.Command) {
	c.Flags().StringVar(&g.which, "lint", "default", "which lints are given: default, all (opinions, too) or none")
	c.Flags().StringToStringVar(&g.settings, "severity", nil, "take the warnings of a rule as error, warning or off, such as R092=error; can be repeated")
}

func (g *grades) parse() (err error) {
	if g.severities, err = schema.ParseSeverities(g.settings); err != nil {
		return fmt.Errorf("--severity %w", err)
	}
	g.lints, err = schema.ChooseLints(g.which, g.severities)
	return err
}

// apply returns the problems with those marked that comments in the files
// ignore, and as grave as the flags want them. What has no place in the problems
// is said on stderr.
func (g *grades) apply(c *cobra.Command, repo *repository, found examined) []*schema.Problem {
	names := slices.Concat(found.files, filesOf(found.problems))
	slices.Sort(names)
	given := g.given
	if schema.HasErrors(found.problems) {
		given = nil // what is not rendered gives no warnings, either
	}
	var ignores []schema.Ignore
	var faults []*schema.Problem
	if repo.files != nil {
		ignores, faults = ignoresIn(repo.files, slices.Compact(names))
	}
	problems, unused := schema.Suppress(found.problems, ignores, given)
	problems, kept := g.severities.Regrade(slices.Concat(problems, faults, unused))
	if len(kept) > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "note: --severity takes only warnings for something else; errors stay errors: %s\n", strings.Join(kept, ", "))
	}
	if n := len(problems) - len(schema.WithoutIgnored(problems)); n > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "note: warnings that comments in the files ignore: %d\n", n)
	}
	return problems
}

// given reports whether the rule of an id was looked for.
func (g *grades) given(id string) bool {
	return g.lints.Given(id) && g.settings[id] != "off"
}

// askServer returns problems with what the server adds to them. The error is
// for what the server could not be asked about.
func askServer(c *cobra.Command, k *kube, to *target, objects []schema.Object, problems []*schema.Problem) ([]*schema.Problem, error) {
	cfg, namespace, err := k.config()
	if err != nil {
		return problems, err
	}
	set, err := to.open(cfg, namespace, quiet(c))
	if err != nil {
		return problems, err
	}
	defer set.Close()
	checked, err := set.Check(c.Context(), objects, plan.Options{Sync: to.sync, SetID: set.ID(), EmbeddedScheduler: true})
	if err == nil {
		problems = slices.DeleteFunc(problems, (*schema.Problem).Unchecked)
	}
	return schema.Confirm(problems, checked.Problems, checked.Taken), err
}

// askHistory returns the lints that compare schedules with how long the runs
// took that the cluster still has.
func askHistory(c *cobra.Command, k *kube, to *target, objects []schema.Object) ([]*schema.Problem, error) {
	cfg, namespace, err := k.config()
	if err != nil {
		return nil, err
	}
	past, err := cluster.NewSchedules(cfg, cluster.Options{Namespace: to.system, Version: version(), Log: quiet(c)})
	if err != nil {
		return nil, err
	}
	byNamespace := map[string]map[string]time.Duration{}
	longest := func(key schema.Key) time.Duration {
		in := cmp.Or(key.Namespace, to.namespace, namespace)
		if byNamespace[in] == nil && err == nil {
			byNamespace[in], err = past.LongestRuns(c.Context(), in)
		}
		return byNamespace[in][key.Name]
	}
	found := schema.Overruns(objects, longest, time.Now())
	return found, err
}
