package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/reconcile/status"
	"rota.dev/rota/schema"
)

// syncStatus is a Sync in the output of status: what it published, and how its
// schedules stand by what the API server has, whether rota runs or not.
type syncStatus struct {
	status.Status
	Schedules []scheduleStatus `json:"schedules,omitempty"`
}

// scheduleStatus is one schedule in the output of status.
type scheduleStatus struct {
	Namespace string           `json:"namespace"`
	Name      string           `json:"name"`
	Schedule  string           `json:"schedule"`
	TimeZone  string           `json:"timeZone,omitempty"`
	Words     string           `json:"words,omitempty"`
	Scheduler string           `json:"scheduler"`
	Next      *time.Time       `json:"next,omitempty"`
	Hold      *scheduleHold    `json:"hold,omitempty"`
	Active    []string         `json:"active,omitempty"`
	Last      *historyRow      `json:"last,omitempty"`
	Problems  []status.Problem `json:"problems,omitempty"`

	zone *time.Location
	hold *schedule.Hold
}

// scheduleHold says what holds a schedule back.
type scheduleHold struct {
	Reason string     `json:"reason"`
	Since  *time.Time `json:"since,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
	By     string     `json:"by,omitempty"`
}

// addSchedules reads how the schedules of every Sync stand.
func addSchedules(c *cobra.Command, cfg *rest.Config, system string, all []syncStatus) error {
	open, err := cluster.NewSchedules(cfg, cluster.Options{Namespace: system, Version: version(), Log: quiet(c)})
	if err != nil {
		return err
	}
	for i := range all {
		pasts, err := open.CronJobs(c.Context(), "", schema.ApplySetPartOf+"="+cluster.SetID(all[i].Name, system), time.Now())
		if err != nil {
			return err
		}
		for _, p := range pasts {
			all[i].Schedules = append(all[i].Schedules, scheduleStatusOf(p, time.Now()))
		}
	}
	return nil
}

func scheduleStatusOf(p cluster.Past, now time.Time) scheduleStatus {
	o := schedule.OutlookOf(p.View(), p.History, now)
	s := scheduleStatus{Namespace: o.Namespace, Name: o.Name, Schedule: o.Schedule, TimeZone: o.Zone, Words: o.Words, Scheduler: schema.SchedulerCluster,
		Next: in(o.Next, o.Location), Active: o.Active, Problems: status.Problems(o.Problems), zone: o.Location, hold: o.Hold}
	if o.Ours {
		s.Scheduler = schema.SchedulerEmbedded
	}
	if h := o.Hold; h != nil {
		s.Hold = &scheduleHold{Reason: string(h.Reason), Since: in(h.Since, o.Location), Until: in(h.Until, o.Location), By: h.By}
	}
	if o.Last != nil {
		row := rowOf(p, *o.Last, o.Location)
		s.Last = &row
	}
	return s
}

// writeSchedules prints the schedules of one Sync.
func writeSchedules(w io.Writer, all []scheduleStatus) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "CRONJOB\tSCHEDULE\tNEXT\tHOLD\tACTIVE\tLAST")
	for _, s := range all {
		fmt.Fprintf(t, "%s/%s\t%s\t%s\t%s\t%d\t%s\n", s.Namespace, s.Name, s.Schedule, s.next(), s.held(), len(s.Active), s.last())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range all {
		for _, p := range s.Problems {
			fmt.Fprintf(w, "\n%s/%s: %s %s\n  %s\n", s.Namespace, s.Name, p.Severity, p.Rule, p.Message)
			if p.Mend != "" {
				fmt.Fprintf(w, "  mend: %s\n", p.Mend)
			}
		}
	}
	return nil
}

func (s scheduleStatus) next() string {
	if s.Next == nil {
		return "-"
	}
	return schedule.ShowTime(*s.Next, s.zone)
}

func (s scheduleStatus) held() string {
	switch {
	case s.hold != nil:
		return s.hold.Describe(s.zone)
	case s.Scheduler == schema.SchedulerCluster:
		return "- (the cluster's own controller)"
	}
	return "-"
}

func (s scheduleStatus) last() string {
	if s.Last == nil {
		return "-"
	}
	at := s.Last.Slot
	if s.Last.Last != nil {
		at = s.Last.Last
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", at.Format("01-02 15:04"), s.Last.outcome(), cmp.Or(s.Last.Reason, "")))
}
