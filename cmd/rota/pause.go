package main

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

func newPause(k *kube) *cobra.Command {
	s := schedules{kube: k}
	var every bool
	var until, reason, output string
	c := &cobra.Command{
		Use:   "pause NAME... | --all",
		Short: "Hold back the slots of schedules, as the emergency brake",
		Long: `Hold back the slots of CronJobs until --until, or until rota resume. It writes
the annotation rota.dev/pause, which is no drift and which kubectl can write as
well. Runs that are active go on. When the pause ends, the latest slot that came
due starts at once, unless the schedule's deadline or policy says otherwise.

--until is a duration (2h), a time of the schedule's zone (18:00,
2026-12-01T08:00), or RFC 3339.`,
		RunE: func(c *cobra.Command, args []string) error {
			return s.change(c, args, changing{output, every, schedule.Scheduled, func(cj *batchv1.CronJob) (change, error) {
				if p := schedule.NotOurs(cj); p != nil {
					return change{}, p
				}
				pause := schedule.Pause{Reason: reason}
				if until != "" {
					at, err := parseWhen(until, zoneOfCronJob(cj), time.Now())
					if err != nil {
						return change{}, fmt.Errorf("reading --until: %w", err)
					}
					pause.Until = at
				}
				if err := s.open.Pause(c.Context(), cj, &pause); err != nil {
					return change{}, err
				}
				return change{"Paused", "paused " + pause.Describe(zoneOfCronJob(cj))}, nil
			}})
		},
	}
	s.flags(c)
	s.all(c)
	c.Flags().BoolVar(&every, "all", false, "every CronJob of the namespace that rota schedules")
	c.Flags().StringVar(&until, "until", "", "when the pause ends by itself (default: not before rota resume)")
	c.Flags().StringVar(&reason, "reason", "", "why, for those who look")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func newResume(k *kube) *cobra.Command {
	s := schedules{kube: k}
	var every bool
	var output string
	c := &cobra.Command{
		Use:   "resume NAME... | --all",
		Short: "End a pause",
		Long: `End the pause of CronJobs: the annotation rota.dev/pause is removed. The latest
slot that came due meanwhile starts at once, unless the schedule's deadline or
policy says otherwise. What the repository says of suspend and pause stays.`,
		RunE: func(c *cobra.Command, args []string) error {
			return s.change(c, args, changing{output, every, paused, func(cj *batchv1.CronJob) (change, error) {
				if !paused(cj) {
					return change{"Unchanged", "was not paused" + stillHeld(cj)}, nil
				}
				if err := s.open.Pause(c.Context(), cj, nil); err != nil {
					return change{}, err
				}
				return change{"Resumed", "resumed" + stillHeld(cj)}, nil
			}})
		},
	}
	s.flags(c)
	s.all(c)
	c.Flags().BoolVar(&every, "all", false, "every CronJob of the namespace that is paused")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// stillHeld says what holds a schedule back that has no pause of its own.
func stillHeld(cj *batchv1.CronJob) string {
	cj = cj.DeepCopy()
	delete(cj.Annotations, schema.AnnotationPause)
	o := schedule.OutlookOf(schedule.View{CronJob: cj}, schedule.History{}, time.Now())
	if o.Hold == nil || o.Hold.Reason != schedule.Suspended && o.Hold.Reason != schedule.Paused {
		return ""
	}
	return ", and stays as the repository has it: " + o.Hold.Describe(o.Location)
}

func zoneOfCronJob(cj *batchv1.CronJob) *time.Location {
	return schedule.OutlookOf(schedule.View{CronJob: cj}, schedule.History{}, time.Now()).Location
}

// change is what was done to a CronJob: a word for machines, a sentence for
// people.
type change struct{ done, says string }

// changed is a change in the output of a verb.
type changed struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Done      string `json:"done,omitempty"`
	Message   string `json:"message"`
	Error     bool   `json:"error,omitempty"`
}

// changing is what a verb does to CronJobs.
type changing struct {
	output string
	// every takes those of the namespace that which holds for.
	every bool
	which func(*batchv1.CronJob) bool
	do    func(*batchv1.CronJob) (change, error)
}

func paused(cj *batchv1.CronJob) bool {
	_, paused := cj.Annotations[schema.AnnotationPause]
	return paused
}

// change does something to every CronJob that is named, and says what; one that
// fails leaves the others to go on, and the exit status is 1.
func (s *schedules) change(c *cobra.Command, args []string, w changing) error {
	if err := cmp.Or(textOrJSON(w.output), s.connect(c)); err != nil {
		return err
	}
	cronJobs, err := s.cronJobs(c.Context(), args, w.every, w.which)
	if err != nil {
		return exit(2, err)
	}
	rows, failed := []changed{}, false
	for _, cj := range cronJobs {
		row := changed{Namespace: cj.Namespace, Name: cj.Name}
		done, err := w.do(cj)
		row.Done, row.Message = done.done, done.says
		if err != nil {
			failed, row.Error, row.Message = true, true, err.Error()
		}
		rows = append(rows, row)
		if w.output == "text" {
			writeChange(c, row)
		}
	}
	if w.output == "json" {
		if err := document(c.OutOrStdout(), "ScheduleChangeList", map[string]any{"items": rows}); err != nil {
			return err
		}
	} else if len(rows) == 0 {
		fmt.Fprintln(c.ErrOrStderr(), "there is no such CronJob in", cmp.Or(s.namespace, "any namespace"))
	}
	if failed {
		return exit(1, nil)
	}
	return nil
}

func writeChange(c *cobra.Command, row changed) {
	var w io.Writer = c.OutOrStdout()
	if row.Error {
		w = c.ErrOrStderr()
	}
	fmt.Fprintf(w, "cronjob %s/%s: %s\n", row.Namespace, row.Name, row.Message)
}
