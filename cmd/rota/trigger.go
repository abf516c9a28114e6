package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
)

func newTrigger(k *kube) *cobra.Command {
	s := schedules{kube: k}
	var params []string
	var overlap, wait bool
	var timeout time.Duration
	var output string
	c := &cobra.Command{
		Use:   "trigger NAME",
		Short: "Start a Job of a CronJob by hand",
		Long: `Start a Job of a CronJob's template now. It is marked as manual and is no slot of
the schedule: the history limits do not count it, no scheduled run waits for it
or replaces it, and it also starts while the schedule is suspended or paused.
It is there until its TTL, or somebody, deletes it, or the CronJob goes.

Under Forbid, Replace and Queue, which allow one run at a time, it is refused
while another is active, unless --overlap says that this is meant.

--param NAME=value sets a variable in the environment of every container.

Exit status: 0; with --wait 1 if the Job fails or is deleted; 2 on an error.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := cmp.Or(textOrJSON(output), s.connect(c)); err != nil {
				return err
			}
			job, err := s.trigger(c.Context(), args[0], params, overlap)
			if err != nil {
				return exit(2, err)
			}
			if output == "text" {
				fmt.Fprintf(c.OutOrStdout(), "job %s/%s: created\n", job.Namespace, job.Name)
			}
			how := batchv1.JobConditionType("")
			if wait {
				if how, err = s.follow(c, job, timeout); err != nil {
					return exit(2, err)
				}
			}
			if output == "json" {
				fields := map[string]any{"namespace": job.Namespace, "name": job.Name, "uid": job.UID, "cronJob": s.named(args[0]).Name}
				if wait {
					fields["result"] = cmp.Or(string(how), "Deleted")
				}
				if err := document(c.OutOrStdout(), "TriggeredJob", fields); err != nil {
					return err
				}
			}
			if wait && how != batchv1.JobComplete {
				return exit(1, nil)
			}
			return nil
		},
	}
	s.flags(c)
	c.ValidArgsFunction = first(s.complete)
	c.Flags().StringArrayVar(&params, "param", nil, "NAME=value for the environment of every container; can be repeated")
	c.Flags().BoolVar(&overlap, "overlap", false, "start it although another run is active under a policy of one at a time")
	c.Flags().BoolVar(&wait, "wait", false, "show its progress and end with its result")
	c.Flags().DurationVar(&timeout, "timeout", 0, "with --wait: how long to wait (default without end)")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func (s *schedules) trigger(ctx context.Context, arg string, params []string, overlap bool) (*batchv1.Job, error) {
	var parameters []schedule.Parameter
	for _, text := range params {
		p, err := schedule.ParseParameter(text)
		if err != nil {
			return nil, err
		}
		parameters = append(parameters, p)
	}
	cj, err := s.cronJob(ctx, arg)
	if err != nil {
		return nil, err
	}
	if !overlap {
		p, err := s.open.Past(ctx, types.NamespacedName{Namespace: cj.Namespace, Name: cj.Name}, time.Now())
		if err != nil {
			return nil, err
		}
		if p.CronJob != nil {
			if problem := schedule.InTheWay(p.View(), p.Manual); problem != nil {
				return nil, problem
			}
		}
	}
	return s.open.Trigger(ctx, cj, parameters)
}

// follow shows how a Job goes on until it has ended.
func (s *schedules) follow(c *cobra.Command, job *batchv1.Job, timeout time.Duration) (batchv1.JobConditionType, error) {
	ctx := c.Context()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the Job %s has not ended within %s; it goes on", job.Name, timeout))
		defer cancel()
	}
	last := ""
	how, err := s.open.Follow(ctx, job, func(now *batchv1.Job) {
		if text := progressOf(now); text != last {
			last = text
			fmt.Fprintf(c.ErrOrStderr(), "job %s/%s: %s\n", now.Namespace, now.Name, text)
		}
	})
	if err == nil && how == "" {
		fmt.Fprintf(c.ErrOrStderr(), "job %s/%s: was deleted before it ended\n", job.Namespace, job.Name)
	}
	return how, err
}

func progressOf(job *batchv1.Job) string {
	for _, c := range job.Status.Conditions {
		if c.Status != "True" {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			return "completed"
		case batchv1.JobFailed:
			return "failed: " + cmp.Or(c.Message, c.Reason)
		}
	}
	if job.Spec.Suspend != nil && *job.Spec.Suspend {
		return "suspended by its template, a person or a queue"
	}
	if job.Status.StartTime == nil {
		return "waiting to start"
	}
	return fmt.Sprintf("%d active, %d succeeded, %d failed", job.Status.Active, job.Status.Succeeded, job.Status.Failed)
}
