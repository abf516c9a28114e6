package main

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/source"
	"rota.dev/rota/schema"
)

// patience is how long a shell waits for the names of a cluster or of a large
// repository; after that there are none, and nothing is said.
const patience = 5 * time.Second

// kubectlCompletion is what kubectl runs to complete its plugin (KEP-2379).
const kubectlCompletion = `#!/bin/sh
# Completes "kubectl rota". Save it as kubectl_complete-rota, executable, in a
# folder of the PATH, beside kubectl-rota.
exec kubectl-rota __complete "$@"
`

// complete teaches every command below root to complete the values of its
// flags, and adds the script for kubectl to those for shells.
func complete(root *cobra.Command, k *kube) {
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil && c != root {
		c.AddCommand(newKubectlCompletion())
	}
	byName := map[string]cobra.CompletionFunc{
		"against": revisions, "config": cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt),
		"context": k.contexts, "dir": folders, "name": repositoryCronJobs, "namespace": k.namespaces, "overlay": overlays,
		"path": folders, "sync": k.syncs, "system-namespace": k.namespaces,
	}
	register(root, byName)
}

// worded are the flags that take one of the words in their text of help.
var worded = []string{"drift", "dry-run", "host", "log-format", "output", "scheduler", "status"}

// aside is what a text of help adds to a word.
var aside = regexp.MustCompile(`\s*\([^)]*\)|^.*: `)

// words returns the words of a text such as "who fires: Embedded (rota run) or
// Cluster".
func words(usage string) []string {
	return strings.Split(strings.ReplaceAll(aside.ReplaceAllString(usage, ""), " or ", ", "), ", ")
}

// register gives the flags of c and of all below it their completions.
func register(c *cobra.Command, byName map[string]cobra.CompletionFunc) {
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		complete := byName[f.Name]
		if slices.Contains(worded, f.Name) {
			complete = oneOf(words(f.Usage)...)
		}
		if _, has := c.GetFlagCompletionFunc(f.Name); complete == nil || has {
			return
		}
		if err := c.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
			panic(err) // only for a flag that is not there
		}
	})
	if c.ValidArgsFunction == nil && c.Runnable() {
		// Or the shell would offer files where there are no arguments.
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, below := range c.Commands() {
		register(below, byName)
	}
}

func newKubectlCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "kubectl",
		Short: "Generate the script by which kubectl completes its plugin",
		Long: `Generate the script by which kubectl completes its plugin. kubectl finds it by
its name beside the plugin, in any folder of the PATH:

  rota completion kubectl > ~/bin/kubectl_complete-rota
  chmod +x ~/bin/kubectl_complete-rota

The shell must complete kubectl itself: see kubectl completion --help.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write([]byte(kubectlCompletion))
			return err
		},
	}
}

func oneOf(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// folders completes the names of folders.
func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// overlays completes folders below PATH.
func overlays(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return []string{pathOf(args)}, cobra.ShellCompDirectiveFilterDirs
}

// pathOf is the argument PATH of a verb.
func pathOf(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

// revisions completes branches and tags of the repository at PATH.
func revisions(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	names, err := source.Names(pathOf(args))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return append(names, "HEAD"), cobra.ShellCompDirectiveNoFileComp
}

// rules completes the ids of rules, with their titles.
func rules(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var ids []string
	for _, r := range schema.Rules {
		ids = append(ids, cobra.CompletionWithDesc(r.ID, r.Title))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// first completes the first argument, and nothing after it.
func first(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(c, args, begun)
	}
}

// rendered returns what r renders to now, or what of it could be rendered.
func (r *repository) rendered(c *cobra.Command) []schema.Object {
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	objects, _, _ := r.objects(ctx)
	return objects
}

// repositoryCronJobs completes the CronJobs of the repository at PATH.
func repositoryCronJobs(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	repo := repository{path: pathOf(args)}
	for _, o := range repo.rendered(c) {
		if o.GetKind() == "CronJob" {
			names = append(names, o.GetName())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// kindsAndNames completes the objects of the repository at --path as
// KIND/NAME; where none fits the shell goes on with files.
func kindsAndNames(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	dir, err := c.Flags().GetString("path")
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	repo := repository{path: dir}
	var names []string
	for _, o := range repo.rendered(c) {
		names = append(names, path.Join(strings.ToLower(o.GetKind()), o.GetName()))
	}
	return names, cobra.ShellCompDirectiveDefault
}

// contexts completes the contexts of the kubeconfig.
func (k *kube) contexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	loading := clientcmd.NewDefaultClientConfigLoadingRules()
	loading.ExplicitPath = k.kubeconfig
	cfg, err := loading.Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(cfg.Contexts)), cobra.ShellCompDirectiveNoFileComp
}

// ask completes what read finds in the cluster. It gives up soon and says
// nothing: without an answer there is nothing to choose from.
func (k *kube) ask(c *cobra.Command, read func(ctx context.Context, cfg *rest.Config, namespace string) []string) ([]string, cobra.ShellCompDirective) {
	hush(slog.New(slog.DiscardHandler))
	cfg, namespace, err := k.config()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	cfg.Timeout, cfg.WarningHandler = patience, rest.NoWarnings{}
	return read(ctx, cfg, namespace), cobra.ShellCompDirectiveNoFileComp
}

// namespaces completes the namespaces of the cluster.
func (k *kube) namespaces(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return k.ask(c, func(ctx context.Context, cfg *rest.Config, _ string) []string {
		open, err := cluster.NewSchedules(cfg, cluster.Options{Version: version()})
		if err != nil {
			return nil
		}
		names, _ := open.Namespaces(ctx)
		return names
	})
}

// syncs completes the Syncs that the cluster knows.
func (k *kube) syncs(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return k.ask(c, func(ctx context.Context, cfg *rest.Config, _ string) []string {
		system, _ := c.Flags().GetString("system-namespace")
		conn, err := cluster.Connect(cfg, cluster.Options{Namespace: system, Version: version()})
		if err != nil {
			return nil
		}
		var names []string
		sets, _ := conn.Sets(ctx)
		for _, set := range sets {
			names = append(names, set.Sync)
		}
		return names
	})
}

// complete completes the names of CronJobs that are there: those of the
// namespace by name, those of others as NAMESPACE/NAME once that is begun or
// -A is said.
func (s *schedules) complete(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	return s.kube.ask(c, func(ctx context.Context, cfg *rest.Config, own string) []string {
		namespace, _, long := strings.Cut(begun, "/")
		switch {
		case s.everywhere:
			namespace, long = "", true
		case !long:
			namespace = cmp.Or(s.namespace, own)
		}
		open, err := cluster.NewSchedules(cfg, cluster.Options{Version: version()})
		if err != nil {
			return nil
		}
		var names []string
		all, _ := open.Present(ctx, namespace)
		for _, cj := range all {
			name := cj.Name
			if long {
				name = cj.Namespace + "/" + cj.Name
			}
			if !slices.Contains(args, name) {
				names = append(names, cobra.CompletionWithDesc(name, cj.Spec.Schedule))
			}
		}
		return names
	})
}
