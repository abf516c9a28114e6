package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

func newHistory(k *kube) *cobra.Command {
	s := schedules{kube: k}
	var output string
	var limit int
	c := &cobra.Command{
		Use:   "history [NAME]",
		Short: "Show what became of the slots of schedules",
		Long: `Show what became of the slots of a CronJob, or of all of a namespace, the newest
last: which ran, as which Job, how late, with what result and from which
revision; which were skipped, and for what reason. Jobs that were triggered by
hand are shown as well, as long as they exist.

It is read from the API server, needs no running rota, and remembers Jobs that
are gone and CronJobs that were deleted. rota why NAME SLOT says more of one.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := cmp.Or(textOrJSON(output), s.connect(c)); err != nil {
				return err
			}
			all, err := s.pasts(c, args)
			if err != nil {
				return exit(2, err)
			}
			rows := historyRows(all)
			if limit > 0 {
				rows = rows[max(len(rows)-limit, 0):]
			}
			if output == "json" {
				return document(c.OutOrStdout(), "HistoryList", map[string]any{"items": rows})
			}
			return historyText(c.OutOrStdout(), rows)
		},
	}
	s.flags(c)
	c.ValidArgsFunction = first(s.complete)
	s.all(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	c.Flags().IntVar(&limit, "limit", 30, "how many of the newest to show; 0 shows all")
	return c
}

// pasts reads the schedule of the arguments, or all.
func (s *schedules) pasts(c *cobra.Command, args []string) ([]cluster.Past, error) {
	if len(args) == 0 {
		return s.open.CronJobs(c.Context(), s.namespace, "", time.Now())
	}
	name := s.named(args[0])
	p, err := s.open.Past(c.Context(), name, time.Now())
	if err == nil && p.CronJob == nil && p.History.CronJob == "" {
		err = s.missing(c.Context(), name)
	}
	return []cluster.Past{p}, err
}

// historyRow is one line of a history.
type historyRow struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Slot      *time.Time `json:"slot,omitempty"`
	Last      *time.Time `json:"last,omitempty"`
	Count     int        `json:"count"`
	Retry     int        `json:"retry,omitempty"`
	Outcome   string     `json:"outcome"`
	Reason    string     `json:"reason,omitempty"`
	By        string     `json:"by,omitempty"`
	Job       string     `json:"job,omitempty"`
	UID       string     `json:"uid,omitempty"`
	Revision  string     `json:"revision,omitempty"`
	Started   *time.Time `json:"started,omitempty"`
	Ended     *time.Time `json:"ended,omitempty"`
	Result    string     `json:"result,omitempty"`
	Late      float64    `json:"lateSeconds,omitempty"`

	at   time.Time
	zone *time.Location
}

func historyRows(all []cluster.Past) []historyRow {
	rows := []historyRow{}
	for _, p := range all {
		zone := zoneOfPast(p)
		for _, e := range p.History.Entries {
			rows = append(rows, rowOf(p, e, zone))
			rows = append(rows, retryRows(p, e, zone)...)
		}
		for _, job := range p.Manual {
			rows = append(rows, manualRow(p, job, zone))
		}
	}
	slices.SortStableFunc(rows, func(a, b historyRow) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return rows
}

// zoneOfPast returns the zone that a schedule thinks in.
func zoneOfPast(p cluster.Past) *time.Location {
	name := p.History.Cursor.Zone
	if p.CronJob != nil && p.CronJob.Spec.TimeZone != nil {
		name = *p.CronJob.Spec.TimeZone
	}
	if zone, err := time.LoadLocation(name); err == nil {
		return zone
	}
	return time.UTC
}

func in(t time.Time, zone *time.Location) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.In(zone)
	return &t
}

func rowOf(p cluster.Past, e schedule.Entry, zone *time.Location) historyRow {
	r := historyRow{Namespace: p.Name.Namespace, Name: p.Name.Name, Slot: in(e.Slot, zone), Last: in(e.Last, zone), Count: e.Slots(),
		Outcome: string(e.Outcome), Reason: string(e.Reason), By: e.By, at: e.Slot, zone: zone}
	if e.Outcome != schedule.Ran {
		return r
	}
	if e.Slots() == 1 {
		r.Job = schedule.JobName(p.Name.Name, e.Slot)
	}
	if run := e.Run; run != nil {
		r.UID, r.Revision, r.Result, r.Late = string(run.UID), run.Revision, string(run.Result), e.Lateness().Seconds()
		r.Started, r.Ended = in(run.Started, zone), in(run.Ended, zone)
	}
	return r
}

// retryRows are the retries of a slot's run, a line each.
func retryRows(p cluster.Past, e schedule.Entry, zone *time.Location) []historyRow {
	if e.Run == nil {
		return nil
	}
	var rows []historyRow
	for _, retry := range e.Run.Retries {
		r := historyRow{Namespace: p.Name.Namespace, Name: p.Name.Name, Slot: in(e.Slot, zone), Count: 1, Retry: retry.Number,
			Outcome: string(retry.Outcome), Reason: string(retry.Reason), By: retry.By, at: e.Slot, zone: zone}
		if retry.Outcome == schedule.Ran {
			r.Job, r.Result = schedule.RetryName(p.Name.Name, e.Slot, retry.Number), string(retry.Result)
			r.Started, r.Ended = in(retry.Started, zone), in(retry.Ended, zone)
		}
		rows = append(rows, r)
	}
	return rows
}

func manualRow(p cluster.Past, job *batchv1.Job, zone *time.Location) historyRow {
	r := historyRow{Namespace: p.Name.Namespace, Name: p.Name.Name, Count: 1, Outcome: "Triggered", Job: job.Name, UID: string(job.UID),
		Revision: job.Annotations[schema.AnnotationRevision], at: job.CreationTimestamp.Time, zone: zone, By: job.Annotations[schema.AnnotationParameters]}
	for _, c := range job.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == "True" {
			r.Result, r.Ended = string(c.Type), in(c.LastTransitionTime.Time, zone)
		}
	}
	if job.Status.StartTime != nil {
		r.Started = in(job.Status.StartTime.Time, zone)
	}
	return r
}

func historyText(w io.Writer, rows []historyRow) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "nothing has happened yet")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSLOT\tOUTCOME\tLATE\tTOOK\tREVISION\tJOB OR REASON")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.slot(), r.outcome(), r.late(), r.took(), plan.ShortRevision(r.Revision), r.why())
	}
	return t.Flush()
}

func (r historyRow) slot() string {
	text := schedule.ShowTime(r.at, r.zone)
	if r.Slot == nil {
		return text + " (by hand)"
	}
	if r.Retry > 0 {
		return fmt.Sprintf("%s retry %d", text, r.Retry)
	}
	if r.Last != nil {
		text += fmt.Sprintf(" to %s, %d slots", r.Last.Format("01-02 15:04"), r.Count)
	}
	return text
}

func (r historyRow) outcome() string {
	if r.Result != "" {
		return r.Result
	}
	if r.Outcome == string(schedule.Skipped) {
		return r.Outcome
	}
	return "Active"
}

func (r historyRow) late() string {
	if r.Started == nil || r.Slot == nil {
		return "-"
	}
	return time.Duration(r.Late * float64(time.Second)).Round(time.Second).String()
}

func (r historyRow) took() string {
	if r.Started == nil || r.Ended == nil || r.Count > 1 {
		return "-"
	}
	return r.Ended.Sub(*r.Started).Round(time.Second).String()
}

func (r historyRow) why() string {
	switch {
	case r.Reason != "" && r.By != "":
		return r.Reason + ": " + r.By
	case r.Reason != "":
		return r.Reason
	case r.Slot == nil && r.By != "":
		return r.Job + " with " + r.By
	}
	return r.Job
}
