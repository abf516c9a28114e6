package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// schedules is how the verbs that are about CronJobs find them.
type schedules struct {
	kube              *kube
	namespace, system string
	everywhere        bool

	open *cluster.Schedules
}

// flags adds what every such verb has, and completes names of CronJobs.
func (s *schedules) flags(c *cobra.Command) {
	c.Flags().StringVarP(&s.namespace, "namespace", "n", "", "namespace of the CronJobs (default that of the context)")
	c.Flags().StringVar(&s.system, "system-namespace", cluster.DefaultNamespace, "namespace of rota's own objects")
	c.ValidArgsFunction = s.complete
}

// all adds -A.
func (s *schedules) all(c *cobra.Command) {
	c.Flags().BoolVarP(&s.everywhere, "all-namespaces", "A", false, "the CronJobs of all namespaces")
}

func (s *schedules) connect(c *cobra.Command) error {
	cfg, namespace, err := s.kube.config()
	if err != nil {
		return exit(2, err)
	}
	switch {
	case s.everywhere:
		s.namespace = ""
	case s.namespace == "":
		s.namespace = namespace
	}
	hush(slog.New(slog.DiscardHandler))
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s.open, err = cluster.NewSchedules(cfg, cluster.Options{Namespace: s.system, Version: version(), Log: log})
	if err != nil {
		return exit(2, err)
	}
	return nil
}

// named reads NAME, cronjob/NAME or NAMESPACE/NAME.
func (s *schedules) named(arg string) types.NamespacedName {
	before, after, ok := strings.Cut(arg, "/")
	switch {
	case !ok:
		return types.NamespacedName{Namespace: s.namespace, Name: arg}
	case before == "cronjob" || before == "cronjobs" || before == "cj" || before == "cronjobs.batch":
		return types.NamespacedName{Namespace: s.namespace, Name: after}
	}
	return types.NamespacedName{Namespace: before, Name: after}
}

// cronJobs reads the CronJobs of the arguments, or, with every, all of the
// namespace that rota schedules.
func (s *schedules) cronJobs(ctx context.Context, args []string, every bool, which func(*batchv1.CronJob) bool) ([]*batchv1.CronJob, error) {
	if every != (len(args) == 0) {
		return nil, errors.New("say either names of CronJobs or --all")
	}
	var out []*batchv1.CronJob
	if every {
		all, err := s.open.CronJobs(ctx, s.namespace, "", time.Now())
		for _, p := range all {
			if p.CronJob != nil && which(p.CronJob) {
				out = append(out, p.CronJob)
			}
		}
		return out, err
	}
	for _, arg := range args {
		cj, err := s.cronJob(ctx, arg)
		if err != nil {
			return nil, err
		}
		out = append(out, cj)
	}
	return out, nil
}

// cronJob reads the CronJob of an argument, which must be there.
func (s *schedules) cronJob(ctx context.Context, arg string) (*batchv1.CronJob, error) {
	name := s.named(arg)
	cj, err := s.open.CronJob(ctx, name)
	if err == nil && cj == nil {
		err = s.missing(ctx, name)
	}
	return cj, err
}

// missing says that there is no CronJob of a name, and which one is near.
func (s *schedules) missing(ctx context.Context, name types.NamespacedName) error {
	all, err := s.open.CronJobs(ctx, name.Namespace, "", time.Now())
	if err != nil {
		return err
	}
	var names []string
	for _, p := range all {
		if p.CronJob != nil {
			names = append(names, p.Name.Name)
		}
	}
	if near := schema.Nearest(name.Name, names); near != "" {
		return fmt.Errorf("there is no CronJob %q in namespace %s (did you mean %s?)", name.Name, name.Namespace, near)
	}
	return fmt.Errorf("there is no CronJob %q in namespace %s: `kubectl get cronjobs -A` lists them", name.Name, name.Namespace)
}

// parseWhen reads a time to come: RFC 3339, a date and time of zone, a time of
// today or tomorrow, or a duration from now.
func parseWhen(text string, zone *time.Location, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		if d <= 0 {
			return time.Time{}, fmt.Errorf("%s is not in the future", text)
		}
		return now.Add(d).Truncate(time.Second), nil
	}
	span, err := schedule.ParseSlot(text, zone, now)
	if err != nil {
		return time.Time{}, err
	}
	at := span.From
	if len(text) <= len("15:04:05") && !at.After(now) {
		at = at.AddDate(0, 0, 1)
	}
	if !at.After(now) {
		return time.Time{}, fmt.Errorf("%s is not in the future", text)
	}
	return at, nil
}

// document writes a machine-readable output of rota.
func document(w io.Writer, kind string, fields map[string]any) error {
	fields["apiVersion"], fields["kind"] = schema.APIVersion, kind
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(fields)
}

// textOrJSON checks -o.
func textOrJSON(output string) error {
	if output != "text" && output != "json" {
		return exit(2, fmt.Errorf("unknown output %q: use text or json", output))
	}
	return nil
}
