package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile"
	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/schedule"
)

func newRelease(k *kube) *cobra.Command {
	s := schedules{kube: k}
	var every, undo bool
	var output string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "release NAME... | --all",
		Short: "Give CronJobs back to the cluster's own controller",
		Long: `Give CronJobs back to the cluster's own controller: runs that were begun are
brought to an end or withdrawn, the CronJob becomes the controller of its Jobs,
its status says which runs are active and which slot was resolved last, rota's
annotations go, and spec.suspend becomes what the repository says. So no slot
runs twice or is lost. It waits until no slot is near, up to two minutes.

What stays is the annotation rota.dev/scheduler: Cluster, by which a running rota
leaves the CronJob alone. To make it last, commit that annotation on the CronJob,
or scheduler: Cluster in the Sync, which hands back by itself. Rules of a
SchedulePolicy do not hold any more: the cluster's controller knows none.

--undo takes the annotation off: the next sync takes the CronJob over again.
A schedule that is paused is not handed back.

Exit status: 0; 1 if one of them could not be handed back; 2 on an error.`,
		RunE: func(c *cobra.Command, args []string) error {
			which := releasable
			if undo {
				which = released
			}
			return s.change(c, args, changing{output, every, which, func(cj *batchv1.CronJob) (change, error) {
				if undo {
					return s.takeBack(c.Context(), cj)
				}
				return s.release(c, cj, timeout)
			}})
		},
	}
	s.flags(c)
	s.all(c)
	c.Flags().BoolVar(&every, "all", false, "every CronJob of the namespace that rota schedules, with --undo that was released")
	c.Flags().BoolVar(&undo, "undo", false, "let the next sync take them over again")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait for each")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// releasable reports whether rota schedules cj, or has not handed it over yet.
func releasable(cj *batchv1.CronJob) bool {
	_, unfinished := schedule.HandedBack(cj)
	return schedule.Scheduled(cj) || unfinished
}

func released(cj *batchv1.CronJob) bool {
	back, _ := schedule.HandedBack(cj)
	return back
}

func (s *schedules) takeBack(ctx context.Context, cj *batchv1.CronJob) (change, error) {
	if !released(cj) {
		return change{"Unchanged", "was not released"}, nil
	}
	if err := s.open.TakeBack(ctx, cj); err != nil {
		return change{}, err
	}
	return change{"TakenBack", "the next sync takes it over again, unless the repository leaves it to the cluster"}, nil
}

func (s *schedules) release(c *cobra.Command, cj *batchv1.CronJob, timeout time.Duration) (change, error) {
	if !releasable(cj) {
		return change{"Unchanged", "is the cluster's own controller's already"}, nil
	}
	rules := schedule.OutlookOf(schedule.View{CronJob: cj}, schedule.History{}, time.Now()).Rules
	runs, err := s.open.Runs(cj)
	if err != nil {
		return change{}, err
	}
	ctx, cancel := context.WithTimeoutCause(c.Context(), timeout, fmt.Errorf("it took longer than %s", timeout))
	defer cancel()
	err = handBack(ctx, runs, types.NamespacedName{Namespace: cj.Namespace, Name: cj.Name}, func(waits string) {
		fmt.Fprintf(c.ErrOrStderr(), "cronjob %s/%s: %s\n", cj.Namespace, cj.Name, waits)
	})
	if err != nil {
		return change{}, err
	}
	says := "the cluster's own controller runs it; to make that last, commit the annotation rota.dev/scheduler: Cluster"
	if len(rules) > 0 {
		says += fmt.Sprintf("; these rules hold no more: %v", rules)
	}
	return change{"Released", says}, nil
}

// handBack hands one CronJob back, whether or not a scheduler runs.
func handBack(ctx context.Context, runs *cluster.Runs, name types.NamespacedName, note func(string)) error {
	scheduler := reconcile.NewScheduler(reconcile.SchedulerOptions{
		Reader: runs, Writer: runs, Keeper: runs, Events: runs, Log: slog.New(slog.DiscardHandler),
	})
	return scheduler.HandBack(ctx, name, runs, note)
}
