package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/status"
)

func newStatus(k *kube) *cobra.Command {
	var output, system string
	var fail bool
	c := &cobra.Command{
		Use:   "status [SYNC]",
		Short: "Say how the Syncs of a cluster stand",
		Long: `Say how the Syncs of a cluster stand: the revision in force, what waits, drifted
or failed, and what a person has to mend; and of each schedule when it fires
next, what holds it back, what became of its last slot, and what is wrong with it.

Exit status: 0; with --fail 1 if a Sync is not Ready; above 1 on an error.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: first(k.syncs),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, _, err := k.config()
			if err != nil {
				return exit(2, err)
			}
			conn, err := cluster.Connect(cfg, cluster.Options{Namespace: system, Version: version(), Log: quiet(c)})
			if err != nil {
				return exit(2, err)
			}
			all, err := statuses(c.Context(), conn)
			if err != nil {
				return exit(2, err)
			}
			var shown []syncStatus
			for _, s := range all {
				if len(args) == 0 || s.Name == args[0] {
					shown = append(shown, syncStatus{Status: s})
				}
			}
			if len(args) == 1 && len(shown) == 0 {
				return exit(2, fmt.Errorf("no Sync %q in namespace %s", args[0], system))
			}
			if err := addSchedules(c, cfg, system, shown); err != nil {
				return exit(2, err)
			}
			return writeStatus(c.OutOrStdout(), shown, output, fail)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	c.Flags().StringVar(&system, "system-namespace", cluster.DefaultNamespace, "namespace of rota's own objects")
	c.Flags().BoolVar(&fail, "fail", false, "exit with 1 if a Sync is not Ready")
	return c
}

// statuses reads what every Sync published; one that only `rota apply` knows
// has published nothing, and is named all the same.
func statuses(ctx context.Context, conn *cluster.Cluster) ([]status.Status, error) {
	sets, err := conn.Sets(ctx)
	if err != nil {
		return nil, err
	}
	var all []status.Status
	for _, info := range sets {
		s := status.Status{Name: info.Sync}
		text, err := conn.Set(cluster.SetOptions{Sync: info.Sync}).Status(ctx)
		if err != nil {
			return nil, err
		}
		if len(text) > 0 {
			if err := json.Unmarshal(text, &s); err != nil {
				return nil, fmt.Errorf("reading the status of Sync %s: %w", info.Sync, err)
			}
		}
		all = append(all, s)
	}
	return all, nil
}

func writeStatus(w io.Writer, all []syncStatus, output string, fail bool) error {
	switch output {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		if err := e.Encode(map[string]any{"apiVersion": "rota.dev/v1alpha1", "kind": "SyncStatusList", "items": all}); err != nil {
			return err
		}
	case "text":
		if err := writeStatusText(w, all); err != nil {
			return err
		}
	default:
		return exit(2, fmt.Errorf("unknown output %q: use text or json", output))
	}
	for _, s := range all {
		if fail && !s.Ready() {
			return exit(1, nil)
		}
	}
	return nil
}

func writeStatusText(w io.Writer, all []syncStatus) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no Sync yet: `rota apply` or `rota run` makes one")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "SYNC\tREADY\tREASON\tREVISION\tIN PLACE\tWAITING\tDRIFTED\tFAILED\tMESSAGE")
	for _, s := range all {
		ready := s.Condition(status.Ready)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", s.Name, ready.Status, ready.Reason, plan.ShortRevision(s.Revision),
			s.Counts.InPlace, s.Counts.Waiting, s.Counts.Drifted, s.Counts.Failed+s.Counts.Refused, ready.Message)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range all {
		for _, o := range s.Objects {
			fmt.Fprintf(w, "\n%s: %s %s\n  %s\n", s.Name, o.Object, o.State, o.Message)
		}
		for _, p := range s.Problems {
			fmt.Fprintf(w, "\n%s: %s %s", s.Name, p.Severity, p.Rule)
			if p.Origin != "" {
				fmt.Fprintf(w, " at %s", p.Origin)
			}
			fmt.Fprintf(w, "\n  %s\n", p.Message)
			if p.Mend != "" {
				fmt.Fprintf(w, "  mend: %s\n", p.Mend)
			}
		}
	}
	for _, s := range all {
		if err := writeSchedules(w, s.Schedules); err != nil {
			return err
		}
	}
	return nil
}
