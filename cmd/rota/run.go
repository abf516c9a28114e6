package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/render/child"
	"rota.dev/rota/schema"
)

func newRun(k *kube) *cobra.Command {
	var config, dir, logFormat string
	var short schema.Sync
	rt := controller{kube: k}
	c := &cobra.Command{
		Use:   "run (--config FILE | --dir PATH)",
		Short: "Keep a cluster as a repository says, and run its schedules",
		Long: `Keep a cluster as a repository says, and run its schedules, until stopped.
--config names a file with one Sync or more; it is reloaded when it changes.
--dir is the short way: a folder of this machine, applied as the Sync "default".

What goes wrong is in the log and in rota status; the last good revision stays
in force.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logger(c, logFormat)
			if err != nil {
				return exit(2, err)
			}
			rt.log = log
			rt.engine = child.New(child.Options{})
			defer rt.engine.Close()
			hush(log.WithGroup("kubernetes"))
			switch {
			case (config == "") == (dir == ""):
				return exit(2, errors.New("say either --config FILE or --dir PATH"))
			case dir != "":
				short.Metadata.Name = "default"
				short.Spec.Source.Directory = &schema.DirectorySource{Path: dir}
				short.SetDefaults()
				return rt.runAll(c.Context(), []schema.Sync{short})
			}
			return rt.runConfig(c.Context(), config)
		},
	}
	f := c.Flags()
	f.StringVar(&config, "config", "", "file with the Syncs")
	f.StringVar(&dir, "dir", "", "folder to apply instead of --config")
	f.StringVar(&short.Spec.Target.Namespace, "target-namespace", "", "with --dir: namespace of objects that name none (default default)")
	f.StringVar(&short.Spec.Drift, "drift", "", "with --dir: Correct (default) or Report")
	f.StringVar(&short.Spec.Scheduler, "scheduler", "", "with --dir: Embedded (default) or Cluster")
	f.StringVar(&rt.namespace, "namespace", cluster.DefaultNamespace, "namespace of rota's leases, ledger and inventory; made if missing")
	f.BoolVar(&rt.allowLocal, "allow-local", false, "allow file:// and loopback http:// sources, for demos and tests")
	f.DurationVar(&rt.lease.LeaseDuration, "lease-duration", 15*time.Second, "how long a leader that is silent stays leader")
	f.DurationVar(&rt.lease.RenewDeadline, "renew-deadline", 10*time.Second, "how long a leader tries to renew before it gives up")
	f.DurationVar(&rt.lease.RetryPeriod, "retry-period", 2*time.Second, "how long to wait between two tries at the lease")
	f.StringVar(&logFormat, "log-format", "text", "text or json")
	return c
}

func logger(c *cobra.Command, format string) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.ErrOrStderr(), nil)), nil
	}
	return nil, fmt.Errorf("unknown --log-format=%s: use text or json", format)
}

// runConfig runs the Syncs of a file, and starts over with the new ones when
// it changes to something that can be read; until then what is in force stays.
func (rt controller) runConfig(ctx context.Context, file string) error {
	text, syncs, err := readSyncs(file)
	if err != nil {
		return exit(2, err)
	}
	changes, err := watchFile(ctx, file)
	if err != nil {
		return exit(2, err)
	}
	for ctx.Err() == nil {
		running, stop := context.WithCancel(ctx)
		group, running := errgroup.WithContext(running)
		group.Go(func() error { return rt.runAll(running, syncs) })
		group.Go(func() error {
			defer stop()
			for {
				select {
				case <-running.Done():
					return nil
				case <-changes:
				}
				newText, newSyncs, err := readSyncs(file)
				switch {
				case err != nil:
					rt.log.Error("the configuration cannot be used; the last good one stays in force", "file", file, "err", err)
				case newText != text:
					rt.log.Info("the configuration changed", "file", file)
					text, syncs = newText, newSyncs
					return nil
				}
			}
		})
		err := group.Wait()
		stop()
		if err != nil {
			return err
		}
	}
	return nil
}

func readSyncs(file string) (string, []schema.Sync, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", nil, fmt.Errorf("reading the configuration: %w", err)
	}
	syncs, err := schema.DecodeSyncs(file, text)
	if err != nil {
		return "", nil, err
	}
	for i := range syncs {
		if d := syncs[i].Spec.Source.Directory; d != nil && !filepath.IsAbs(d.Path) {
			d.Path = filepath.Join(filepath.Dir(file), d.Path)
		}
	}
	return string(text), syncs, nil
}

// runAll runs each Sync by itself: what stops one leaves the others running.
func (rt controller) runAll(ctx context.Context, syncs []schema.Sync) error {
	var group errgroup.Group
	for _, s := range syncs {
		group.Go(func() error {
			if err := rt.run(ctx, s); err != nil && ctx.Err() == nil {
				rt.log.Error("the Sync ended", "sync", s.Metadata.Name, "err", err)
				return fmt.Errorf("running Sync %s: %w", s.Metadata.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}
