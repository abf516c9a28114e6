package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/source"
	"rota.dev/rota/schema"
)

// outside refuses a file inside of the repository: it would be part of what the
// plan is of, so that the plan were of another revision once it is there.
func (r *repository) outside(file string) error {
	root := r.path
	if checkout, _, err := source.Root(r.path); err == nil {
		root = checkout
	}
	root, err := resolved(root)
	if err != nil {
		return err
	}
	folder, err := resolved(filepath.Dir(file))
	if err != nil {
		return err
	}
	if inside, err := filepath.Rel(root, folder); err == nil && filepath.IsLocal(inside) {
		return fmt.Errorf("--out=%s is inside of the repository, and would be part of the next revision\n  mend: name a file elsewhere", file)
	}
	return nil
}

func resolved(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", path, err)
	}
	return filepath.EvalSymlinks(absolute)
}

// save writes the plan of a session to the file that --out names.
func (f *planFlags) save(ctx context.Context, s *session, repo *repository, to *target) error {
	uid, err := s.set.ClusterUID(ctx)
	if err != nil {
		return exit(2, err)
	}
	data, err := s.plan.Save(plan.Saved{
		Version: version(), Created: f.asOf, Overlay: repo.overlay,
		Cluster: plan.SavedCluster{Server: s.config.Host, UID: uid},
		Sync:    to.sync, Namespace: s.namespace, SystemNamespace: to.system,
		Options: plan.SavedOptions{Scheduler: f.scheduler, Prune: f.prune, MaxPrunePercent: f.maxPrune, ForceConflicts: f.force, Judged: f.dryRun == "server"},
	}).Encode()
	if err != nil {
		return exit(2, err)
	}
	// Renamed into place, so that nobody applies half a plan.
	partial, err := os.CreateTemp(filepath.Dir(f.out), ".rota-plan-*")
	if err != nil {
		return exit(2, fmt.Errorf("saving the plan: %w", err))
	}
	_, err = partial.Write(data)
	err = errors.Join(err, partial.Close())
	if err == nil {
		err = os.Rename(partial.Name(), f.out)
	}
	if err != nil {
		_ = os.Remove(partial.Name())
		return exit(2, fmt.Errorf("saving the plan: %w", err))
	}
	return nil
}

// mostPlanBytes bounds a saved plan: a hundred thousand changes have less.
const mostPlanBytes = 128 << 20

// readPlan reads the file that --plan names, for this version of rota.
func readPlan(file, version string) (plan.Saved, error) {
	info, err := os.Stat(file)
	if err != nil {
		return plan.Saved{}, fmt.Errorf("reading the plan: %w", err)
	}
	if info.Size() > mostPlanBytes {
		return plan.Saved{}, &schema.Problem{Rule: "R250", Message: fmt.Sprintf("%s has more than %d bytes", file, mostPlanBytes), Mend: "Name the file that rota plan --out wrote."}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return plan.Saved{}, fmt.Errorf("reading the plan: %w", err)
	}
	saved, err := plan.ReadSaved(data, version)
	if err != nil {
		return plan.Saved{}, fmt.Errorf("%s: %w", file, err)
	}
	return saved, nil
}

// adopt takes the choices of a saved plan over. What was said otherwise on the
// command line is an error.
func (f *applyFlags) adopt(c *cobra.Command, saved plan.Saved, repo *repository, to *target) error {
	var contradicted []string
	for _, name := range []string{"prune", "max-prune-percent", "force-conflicts", "scheduler"} {
		if c.Flags().Changed(name) {
			contradicted = append(contradicted, "--"+name)
		}
	}
	for _, one := range []struct {
		flag  string
		said  *string
		saved string
	}{
		{"sync", &to.sync, saved.Sync}, {"namespace", &to.namespace, saved.Namespace},
		{"system-namespace", &to.system, saved.SystemNamespace}, {"overlay", &repo.overlay, saved.Overlay},
	} {
		if c.Flags().Changed(one.flag) && *one.said != one.saved {
			contradicted = append(contradicted, fmt.Sprintf("--%s=%s (the plan has %q)", one.flag, *one.said, one.saved))
		}
		*one.said = one.saved
	}
	if len(contradicted) > 0 {
		return &schema.Problem{Rule: "R253", Message: "the plan has these choices, and they cannot be made again: " + strings.Join(contradicted, ", "),
			Mend: "Leave the flags out, or make another plan: rota plan --out FILE."}
	}
	o := saved.Options
	f.prune, f.maxPrune, f.force, f.scheduler, f.asOf = o.Prune, o.MaxPrunePercent, o.ForceConflicts, o.Scheduler, saved.Created
	return f.check()
}

// holds returns why a saved plan is not what the session would do; nil if it
// is. The session's plan is then judged by the server as the saved one was.
func (s *session) holds(ctx context.Context, saved plan.Saved, to *target, c *cobra.Command) error {
	uid, err := s.set.ClusterUID(ctx)
	if err != nil {
		return err
	}
	if err := sameCluster(saved.Cluster, plan.SavedCluster{Server: s.config.Host, UID: uid}); err != nil {
		return err
	}
	if s.tree.Revision != saved.Revision {
		return &schema.Problem{Rule: "R254", Message: fmt.Sprintf("the plan is of the revision %s, and PATH is at %s", saved.Revision, s.tree.Revision),
			Mend: "Check that revision out, without a change, or make the plan again: rota plan --out FILE."}
	}
	if saved.Options.Judged {
		if err := s.judge(ctx, to, c); err != nil {
			return err
		}
	}
	moved := saved.Moved(s.plan)
	if len(moved) == 0 {
		return nil
	}
	var all []error
	for _, p := range moved {
		all = append(all, p)
	}
	return fmt.Errorf("%w\n%d of %d objects moved since the plan was made at %s; nothing was written\n  mend: make the plan again, and review it: rota plan --out FILE",
		errors.Join(all...), len(moved), len(s.plan.Changes), saved.Created.Format("2006-01-02 15:04:05 MST"))
}

func sameCluster(then, now plan.SavedCluster) error {
	same, was, is := then.Server == now.Server, then.Server, now.Server
	if then.UID != "" && now.UID != "" {
		same, was, is = then.UID == now.UID, then.Server+" (uid "+then.UID+")", now.Server+" (uid "+now.UID+")"
	}
	if same {
		return nil
	}
	return &schema.Problem{Rule: "R252", Message: fmt.Sprintf("the plan is of the cluster %s, and this is %s", was, is),
		Mend: "Choose the cluster with --kubeconfig and --context, or make the plan again: rota plan --out FILE."}
}

// judge has the server judge the plan of a session that is to be applied.
func (s *session) judge(ctx context.Context, to *target, c *cobra.Command) error {
	dry, err := to.open(cluster.DryRun(s.config), s.namespace, quiet(c))
	if err != nil {
		return err
	}
	defer dry.Close()
	outcomes, err := dry.Apply(ctx, s.plan)
	if err != nil {
		return err
	}
	s.plan = s.plan.Judged(outcomes)
	return nil
}
