package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/source"
	"rota.dev/rota/render"
	"rota.dev/rota/render/child"
	"rota.dev/rota/schema"
)

// kube says which cluster a verb talks to.
type kube struct {
	kubeconfig, context string
}

// config returns the connection and the namespace of its context.
func (k *kube) config() (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: k.context})
	cfg, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("finding the cluster: %w\n  mend: name a kubeconfig with --kubeconfig, or run `rota demo` for a cluster of your own", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("finding the namespace: %w", err)
	}
	return cfg, namespace, nil
}

// repository is the PATH argument of a verb, its --overlay and its --limit.
type repository struct {
	path, overlay string
	// excerpt is what --excerpt says.
	excerpt bool
	// files are those of the tree that was read.
	files  fs.FS
	limits limitFlag
}

// limitFlag is one or more limits of a Sync on the command line.
type limitFlag struct{ schema.SyncLimits }

// String is what help shows as the default: nothing.
func (*limitFlag) String() string { return "" }

// Type is what help shows as the value.
func (*limitFlag) Type() string { return "name=value" }

func (r *repository) flags(c *cobra.Command) {
	c.Args = cobra.MaximumNArgs(1)
	c.ValidArgsFunction = first(folders)
	c.Flags().BoolVar(&r.excerpt, "excerpt", false, "show with each problem the line of the file (default on a terminal)")
	c.Flags().StringVar(&r.overlay, "overlay", "", "folder below PATH to render, such as overlays/prod")
	c.Flags().Var(&r.limits, "limit", "raise or lower a limit as spec.limits of a Sync does, such as objects=100000; can be repeated")
}

func (r *repository) args(args []string) {
	r.path = "."
	if len(args) == 1 {
		r.path = args[0]
	}
}

// tree reads the working copy. In a checkout the root is the checkout's, so
// that an overlay reaches its bases and places are named as in the repository;
// if all of it cannot be read, PATH has to do.
func (r *repository) tree(ctx context.Context) (render.Tree, error) {
	tree, err := r.fetch(ctx)
	r.files = tree.FS
	return tree, err
}

func (r *repository) fetch(ctx context.Context) (render.Tree, error) {
	alone := source.DirectoryOptions{Path: r.path, Sub: filepath.ToSlash(r.overlay), Limits: sourceLimits(r.limits.SyncLimits)}
	if root, sub, err := source.Root(r.path); err == nil {
		tree, err := fetch(ctx, source.DirectoryOptions{Path: root, Sub: path.Join(sub, alone.Sub), Limits: alone.Limits})
		if err == nil {
			return tree, nil
		}
	}
	return fetch(ctx, alone)
}

func fetch(ctx context.Context, o source.DirectoryOptions) (render.Tree, error) {
	dir, err := source.NewDirectory(o)
	if err != nil {
		return render.Tree{}, err
	}
	return dir.Fetch(ctx, "")
}

// objects renders and validates the working copy.
func (r *repository) objects(ctx context.Context) ([]schema.Object, []*schema.Problem, error) {
	tree, err := r.tree(ctx)
	if err != nil {
		return nil, nil, err
	}
	return r.render(ctx, tree)
}

// render renders one tree of the repository with an engine of its own.
func (r *repository) render(ctx context.Context, tree render.Tree) ([]schema.Object, []*schema.Problem, error) {
	engine := child.New(child.Options{})
	defer engine.Close()
	return renderer{engine: engine, limits: r.limits.SyncLimits}.tree(ctx, tree)
}

// examine renders and validates the working copy, and leaves nothing of what is
// found to anybody else.
func (r *repository) examine(ctx context.Context) examined {
	tree, err := r.tree(ctx)
	if err != nil {
		return examined{problems: schema.Problems(err)}
	}
	engine := child.New(child.Options{})
	defer engine.Close()
	return renderer{engine: engine, limits: r.limits.SyncLimits}.examine(ctx, tree)
}

// renderer is how trees are rendered: in which processes, within which limits.
type renderer struct {
	engine *child.Engine
	limits schema.SyncLimits
	// cache has what unchanged files became; nil for a single render.
	cache *render.Cache
}

// examined is what is known of a tree.
type examined struct {
	objects []schema.Object
	// problems are the errors first, those of rendering before those of
	// validating, then the warnings.
	problems []*schema.Problem
	// files are those that were read.
	files []string
}

// examine renders a tree and validates what comes of it.
func (r renderer) examine(ctx context.Context, tree render.Tree) examined {
	limits := r.limits
	limits.SetDefaults()
	result, err := render.Render(tree, render.Options{
		Now: time.Now(), Cache: r.cache,
		Limits: renderLimits(limits),
		Engine: r.engine.Session(ctx, child.Limits{
			Memory: int64(limits.RendererMemory), Objects: int(limits.Objects), OverlayBytes: int(limits.OverlayBytes), Time: limits.RenderTime.Duration,
		}),
	})
	errs, warnings := schema.Problems(err), result.Warnings
	for _, p := range schema.Validate(result.Objects) {
		if p.Severity == schema.SeverityWarning {
			warnings = append(warnings, p)
			continue
		}
		errs = append(errs, p)
	}
	return examined{result.Objects, append(errs, warnings...), result.Files}
}

// tree renders a tree and validates what comes of it, for a verb that asks a
// server next, or none. The warnings that no comment in the files ignores are
// returned with the objects; every error is a *schema.Problem.
func (r renderer) tree(ctx context.Context, tree render.Tree) ([]schema.Object, []*schema.Problem, error) {
	found := r.examine(ctx, tree)
	problems := schema.LeaveToServer(found.problems)
	ignores, _ := ignoresIn(tree.FS, filesOf(problems))
	problems, _ = schema.Suppress(problems, ignores, nil)
	var faults []error
	var warnings []*schema.Problem
	for _, p := range schema.WithoutIgnored(problems) {
		if p.Severity == schema.SeverityWarning {
			warnings = append(warnings, p)
			continue
		}
		faults = append(faults, p)
	}
	return found.objects, warnings, errors.Join(faults...)
}

// filesOf returns the files that problems are in.
func filesOf(problems []*schema.Problem) []string {
	named := map[string]bool{}
	for _, p := range problems {
		named[p.Origin.File], named[p.Origin.Template] = true, true
	}
	delete(named, "")
	return slices.Sorted(maps.Keys(named))
}

// ignoresIn reads the comments of files that ignore warnings, and what is wrong
// with them.
func ignoresIn(files fs.FS, names []string) (ignores []schema.Ignore, faults []*schema.Problem) {
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			continue // it is told of already, or is no file
		}
		more, wrong := schema.Ignores(name, data)
		ignores, faults = append(ignores, more...), append(faults, wrong...)
	}
	return ignores, faults
}

// renderLimits are limits as the renderer takes them.
func renderLimits(l schema.SyncLimits) render.Limits {
	return render.Limits{
		Documents:  schema.DocumentLimits{FileBytes: int(l.FileBytes), Nesting: int(l.Nesting), AliasNodes: int(l.AliasNodes), Documents: int(l.Objects)},
		TotalBytes: int64(l.TotalBytes), Files: int(l.Files), Objects: int(l.Objects), Items: int(l.Items), RenderedBytes: int64(l.RenderedBytes),
		TemplateBytes: int(l.TemplateBytes), TemplateTime: l.TemplateTime.Duration, OverlayTime: l.OverlayTime.Duration,
	}
}

// sourceLimits are the same limits as a source takes them, so that what can be
// fetched can be rendered.
func sourceLimits(l schema.SyncLimits) source.Limits {
	return source.Limits{Bytes: int64(l.TotalBytes), Files: int(l.Files), FileBytes: int64(l.FileBytes)}
}

// broken is the error of a verb that needs a repository which renders.
func broken(err error) error {
	problems := schema.Problems(err)
	if len(problems) == 1 {
		return exit(3, err)
	}
	return exit(3, fmt.Errorf("%w\n%d problems", err, len(problems)))
}

// target says where a repository is applied.
type target struct {
	sync, namespace, system string
}

func (t *target) flags(c *cobra.Command) {
	c.Flags().StringVar(&t.sync, "sync", "default", "name of the Sync, which the inventory and the ledger belong to")
	c.Flags().StringVarP(&t.namespace, "namespace", "n", "", "namespace of objects that name none (default that of the context)")
	c.Flags().StringVar(&t.system, "system-namespace", cluster.DefaultNamespace, "namespace of rota's own inventory, ledger and leases")
}

// open connects to the cluster as the Sync that t names.
func (t *target) open(cfg *rest.Config, contextNamespace string, log *slog.Logger) (*cluster.Set, error) {
	namespace := t.namespace
	if namespace == "" {
		namespace = contextNamespace
	}
	c, err := cluster.Connect(cfg, cluster.Options{Namespace: t.system, Version: version(), Log: log})
	if err != nil {
		return nil, err
	}
	return c.Set(cluster.SetOptions{Sync: t.sync, Namespace: namespace}), nil
}

// hush sends what the Kubernetes libraries log to log: they would write to
// stderr in a format of their own, in the middle of ours.
func hush(log *slog.Logger) {
	klog.SetSlogLogger(log)
}

// quiet is the logger of verbs that say everything on stdout.
func quiet(c *cobra.Command) *slog.Logger {
	hush(slog.New(slog.DiscardHandler))
	return slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))
}
