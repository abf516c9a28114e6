package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/schedule"
)

func newWhy(k *kube) *cobra.Command {
	s := schedules{kube: k}
	var output string
	c := &cobra.Command{
		Use:   "why NAME [SLOT]",
		Short: "Say why a slot of a schedule ran or did not",
		Long: `Say what became of a slot of a CronJob, and why: which Job ran, how late, from
which revision and with what result; or why it was skipped, by which rule, and
which run was in the way; or, of a slot to come, when it is due and what would
stop it. Without SLOT it is the last one, and the next.

SLOT is RFC 3339, a date and time in the zone of the schedule, or a time of
today:

  rota why nightly
  rota why nightly 02:00
  rota why nightly 2026-11-24T02:00
  rota why nightly 2026-11-24T02:00:00+01:00

It is read from the API server, needs no running rota, and knows of Jobs that
are gone. docs/scheduler.md says how far back that goes.

Exit status: 0; 1 if nothing is known of the slot, or there is none then.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if err := cmp.Or(textOrJSON(output), s.connect(c)); err != nil {
				return err
			}
			all, err := s.pasts(c, args[:1])
			if err != nil {
				return exit(2, err)
			}
			answers, err := explainSlot(all[0], args[1:], time.Now())
			if err != nil {
				return exit(2, err)
			}
			if output == "json" {
				err = whyJSON(c.OutOrStdout(), all[0], answers)
			} else {
				err = whyText(c.OutOrStdout(), answers)
			}
			if v := answers[0].Verdict; err == nil && len(args) == 2 && (v == schedule.VerdictNoSlot || v == schedule.VerdictUnknown) {
				return exit(1, nil)
			}
			return err
		},
	}
	s.flags(c)
	c.ValidArgsFunction = first(s.complete)
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// explainSlot answers for the slot that was asked for, or for the last and the
// next one.
func explainSlot(p cluster.Past, slot []string, now time.Time) ([]schedule.Answer, error) {
	q := schedule.Question{Namespace: p.Name.Namespace, Name: p.Name.Name, CronJob: p.CronJob, Jobs: p.Jobs, History: p.History, Now: now}
	if len(slot) == 1 {
		var err error
		if q.Slot, err = schedule.ParseSlot(slot[0], zoneOfPast(p), now); err != nil {
			return nil, err
		}
		return []schedule.Answer{schedule.Why(q)}, nil
	}
	var out []schedule.Answer
	for _, span := range schedule.LastAndNext(q) {
		q.Slot = span
		out = append(out, schedule.Why(q))
	}
	if len(out) == 0 {
		q.Slot = schedule.Span{From: now, To: now.Add(time.Second)}
		out = append(out, schedule.Why(q))
	}
	return out, nil
}

func whyText(w io.Writer, answers []schedule.Answer) error {
	var b strings.Builder
	for _, a := range answers {
		fmt.Fprintln(&b, a.Summary)
		for _, line := range a.Details {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func whyJSON(w io.Writer, p cluster.Past, answers []schedule.Answer) error {
	items := []map[string]any{}
	for _, a := range answers {
		one := map[string]any{"verdict": a.Verdict, "slot": in(a.Slot, a.Zone), "summary": a.Summary}
		if len(a.Details) > 0 {
			one["details"] = a.Details
		}
		if a.Entry != nil {
			one["entry"] = rowOf(p, *a.Entry, a.Zone)
		}
		for name, t := range map[string]time.Time{"due": a.Due, "before": a.Before, "after": a.After} {
			if !t.IsZero() {
				one[name] = in(t, a.Zone)
			}
		}
		items = append(items, one)
	}
	return document(w, "SlotReport", map[string]any{"namespace": p.Name.Namespace, "name": p.Name.Name, "slots": items})
}
