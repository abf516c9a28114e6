package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile"
	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/source"
	"rota.dev/rota/reconcile/status"
	"rota.dev/rota/render"
	"rota.dev/rota/render/child"
	"rota.dev/rota/schema"
)

// controller runs Syncs: it wires the edges to the loops.
type controller struct {
	kube       *kube
	namespace  string
	allowLocal bool
	lease      cluster.LeaseOptions
	log        *slog.Logger
	// engine carries out the templates and kustomizations of all Syncs, so that
	// its processes are few however many Syncs there are.
	engine *child.Engine
	// onSync, if set, is told of every round of every Sync.
	onSync func(status.Report, status.Status)
}

// run leads one Sync until ctx ends: under its lease, the loop and, unless the
// cluster fires the schedules, the scheduler.
func (rt controller) run(ctx context.Context, s schema.Sync) error {
	src, err := newSource(s.Spec, rt.allowLocal)
	if err != nil {
		return err
	}
	k := *rt.kube
	if s.Spec.Target.Context != "" {
		k.context = s.Spec.Target.Context
	}
	cfg, _, err := k.config()
	if err != nil {
		return err
	}
	log := rt.log.With("sync", s.Metadata.Name)
	c, err := cluster.Connect(cfg, cluster.Options{Namespace: rt.namespace, Version: version(), Log: log})
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("preparing the lease: %w", err)
	}
	lease := rt.lease
	lease.Namespace, lease.Name, lease.Log = rt.namespace, cluster.LeaseName(s.Metadata.Name), log
	if lease.Identity, err = identity(); err != nil {
		return err
	}
	return cluster.Lead(ctx, client, lease, func(ctx context.Context) error {
		return rt.lead(ctx, s, led{cfg: cfg, cluster: c, source: src, log: log})
	})
}

// led is what leading one Sync takes.
type led struct {
	cfg     *rest.Config
	cluster *cluster.Cluster
	source  reconcile.Source
	log     *slog.Logger
}

func (rt controller) lead(ctx context.Context, s schema.Sync, l led) error {
	t := s.Spec.Target
	set := l.cluster.Set(cluster.SetOptions{
		Sync: s.Metadata.Name, Namespace: t.Namespace, Kinds: kinds(t.Kinds), Namespaces: t.Namespaces,
		ServiceAccount: qualified(t.ServiceAccount, t.Namespace),
	})
	defer set.Close()
	embedded := s.Spec.Scheduler == schema.SchedulerEmbedded
	runs, err := cluster.NewRuns(l.cfg, cluster.RunsOptions{Sync: s.Metadata.Name, SetID: set.ID(), Namespaces: s.Spec.Target.Namespaces, System: rt.namespace})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	// A commit touches few files; what the others became is kept.
	renders := renderer{engine: rt.engine, limits: s.Spec.Limits, cache: render.NewCache(0)}
	rendered := func(tree render.Tree) ([]schema.Object, []*schema.Problem, error) { return renders.tree(ctx, tree) }
	options := reconcile.Options{
		Plan: plan.Options{
			Sync: s.Metadata.Name, SetID: set.ID(), EmbeddedScheduler: embedded,
			ReportDrift: s.Spec.Drift == schema.DriftReport, ForceConflicts: s.Spec.Apply.ForceConflicts,
			Prune: s.Spec.PruneEnabled(), MaxPrunePercent: s.Spec.MaxPrunePercent(),
		},
		Interval: s.Spec.Interval.Duration, Timeout: s.Spec.Timeout.Duration, OnSync: rt.onSync,
		HandBack: func(ctx context.Context, name types.NamespacedName) error {
			return handBack(ctx, runs, name, func(waits string) { l.log.Info("handing back", "cronjob", name.String(), "waits", waits) })
		},
	}
	if embedded {
		scheduler := reconcile.NewScheduler(reconcile.SchedulerOptions{
			Reader: runs, Writer: runs, Keeper: runs, Events: runs, Groups: runs, History: runs.HistoryLedger(rt.namespace, l.log),
			Sync: s.Metadata.Name, Log: l.log,
		})
		options.Troubles, options.News = scheduler.Troubles, scheduler.News()
		group.Go(func() error { return scheduler.Run(ctx) })
	}
	loop := reconcile.NewLoop(l.source, rendered, set, records{set}, options, l.log)
	group.Go(func() error { return loop.Run(ctx) })
	return group.Wait()
}

// kinds reads the allow-list of a Sync; a kind without group is of the core.
func kinds(names []string) []k8sschema.GroupKind {
	var out []k8sschema.GroupKind
	for _, name := range names {
		out = append(out, k8sschema.ParseGroupKind(name))
	}
	return out
}

// records is a Set as the loop keeps its records in it.
type records struct{ *cluster.Set }

// PublishStatus makes s what `rota status` shows.
func (r records) PublishStatus(ctx context.Context, s status.Status) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the status: %w", err)
	}
	return r.Set.PublishStatus(ctx, text)
}

func qualified(account, namespace string) string {
	if account == "" || strings.Contains(account, "/") {
		return account
	}
	return namespace + "/" + account
}

// identity tells this process from every other that may want the lease.
func identity() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("naming this process: %w", err)
	}
	return fmt.Sprintf("%s_%d", host, os.Getpid()), nil
}

// newSource returns the source that spec names.
func newSource(spec schema.SyncSpec, allowLocal bool) (reconcile.Source, error) {
	if d := spec.Source.Directory; d != nil {
		return source.NewDirectory(source.DirectoryOptions{Path: d.Path, Sub: d.Sub, Limits: sourceLimits(spec.Limits)})
	}
	g := gitSource{spec: *spec.Source.Git, limits: sourceLimits(spec.Limits), allowLocal: allowLocal}
	// Built once for its checks: a bad address must not wait for a fetch.
	_, err := g.open()
	return g, err
}

// gitSource reads its credentials anew for each fetch, since they rotate.
type gitSource struct {
	spec       schema.GitSource
	limits     source.Limits
	allowLocal bool
}

// Fetch returns the newest revision, or render.ErrUnchanged.
func (g gitSource) Fetch(ctx context.Context, last string) (render.Tree, error) {
	git, err := g.open()
	if err != nil {
		return render.Tree{}, err
	}
	return git.Fetch(ctx, last)
}

func (g gitSource) open() (*source.Git, error) {
	o := source.GitOptions{
		URL: g.spec.URL, Branch: g.spec.Branch, Tag: g.spec.Tag, Commit: g.spec.Commit, Path: g.spec.Path,
		AllowLocal: g.allowLocal, Limits: g.limits,
	}
	var err error
	read := func(file string) []byte {
		if file == "" || err != nil {
			return nil
		}
		var text []byte
		if text, err = os.ReadFile(filepath.Clean(file)); err != nil {
			err = fmt.Errorf("reading the source's credentials: %w", err)
		}
		return text
	}
	secret := func(file string) source.Secret {
		return source.NewSecret(strings.TrimRight(string(read(file)), "\r\n"))
	}
	o.KnownHosts, o.CABundle = read(g.spec.KnownHostsFile), read(g.spec.CAFile)
	if c := g.spec.Credentials; c != nil {
		o.Auth = source.Auth{
			Username: strings.TrimSpace(string(read(c.UsernameFile))), Password: secret(c.PasswordFile),
			Token: secret(c.TokenFile), PrivateKey: source.NewSecret(string(read(c.SSHKeyFile))),
		}
	}
	if err != nil {
		return nil, err
	}
	return source.NewGit(o)
}
