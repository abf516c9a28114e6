package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/forecast"
	"rota.dev/rota/reconcile/schedule"
)

// next is what the flags of `rota next` say.
type next struct {
	repo repository
	live schedules

	from, until, zone, output, namespace string
	names                                []string
	count, busiest                       int
	skipped, conflicts, cluster          bool
}

func newNext(k *kube) *cobra.Command {
	n := next{live: schedules{kube: k}}
	c := &cobra.Command{
		Use:   "next [PATH]",
		Short: "Say when the schedules of a repository or a cluster fire next",
		Long: `Say when the schedules of a repository fire next, under its SchedulePolicies:
jitter, windows, calendars, pauses and what they do when clocks are changed.
A run that is in the way, and a deadline that passes meanwhile, are not
foreseen. Times are in the zone of each schedule, or in --tz.

With --live they are the schedules of the cluster, as it has them: paused by
hand, counted from their last runs, and of whatever origin.

--busiest prints, instead of the fires, the minutes in which most runs start,
and --conflicts which CronJobs start in the same minutes: first those that are
more than their concurrency group lets run, so that some have to wait.

-o heatmap draws how many runs start in each minute of a day or, with --until,
in each hour of up to 31 days, in the zone --tz or UTC.

Exit status: 0, or 3 if the repository is broken.`,
		Example: `  rota next                             the next 20 fires
  rota next --live -A                   those of the cluster
  rota next --until 168h -o ics         a week, for a calendar program
  rota next --name report --skipped     with the slots that a calendar leaves out
  rota next --until 168h --busiest 5    where a week's runs pile up
  rota next --until 168h --conflicts    and which of them are in each other's way
  rota next --until 168h -o heatmap     the same week, to look at`,
		RunE: func(c *cobra.Command, args []string) error {
			n.repo.args(args)
			if n.cluster && len(args) > 0 {
				return exit(2, fmt.Errorf("--live is about the cluster: leave %s out", args[0]))
			}
			if n.live.everywhere && !n.cluster {
				return exit(2, errors.New("--all-namespaces is about the cluster: add --live"))
			}
			return n.run(c)
		},
	}
	n.repo.flags(c)
	n.flags(c)
	return c
}

func (n *next) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&n.from, "from", "", "begin at this time: RFC 3339, or 2026-12-01T08:00, 2026-12-01 or 08:00 in --tz (default now)")
	f.StringVar(&n.until, "until", "", "end at this time, or so long after --from, such as 24h")
	f.IntVar(&n.count, "count", 0, "as many at most (default 20, or without bound with --until)")
	f.StringVar(&n.zone, "tz", "", "show all times in this zone, such as Europe/Berlin, UTC or Local")
	f.StringSliceVar(&n.names, "name", nil, "only CronJobs of this name, or namespace/name; can be repeated")
	f.StringVarP(&n.namespace, "namespace", "n", "", "namespace of CronJobs that name none, which jitter hangs on (default \"default\"); with --live that of the CronJobs (default that of the context)")
	f.BoolVar(&n.cluster, "live", false, "the CronJobs of the cluster instead of a repository's")
	n.live.all(c)
	f.StringVar(&n.live.system, "system-namespace", cluster.DefaultNamespace, "with --live, namespace of rota's own objects")
	f.BoolVar(&n.skipped, "skipped", false, "show the slots that have no run as well, and why")
	f.IntVar(&n.busiest, "busiest", 0, "print as many of the minutes in which most runs start (with --until, or of the next day)")
	f.BoolVar(&n.conflicts, "conflicts", false, "print which CronJobs start in the same minutes (with --until, or of the next day)")
	f.StringVarP(&n.output, "output", "o", "table", "table, json, ics or heatmap")
	c.MarkFlagsMutuallyExclusive("busiest", "conflicts")
}

func (n *next) run(c *cobra.Command) error {
	write, ok := forecastWriters[n.output]
	if !ok && n.output != "heatmap" {
		return exit(2, fmt.Errorf("unknown output %q: use table, json, ics or heatmap", n.output))
	}
	now := time.Now()
	coming, view, err := n.times(now)
	if err != nil {
		return exit(2, err)
	}
	every, err := n.schedules(c, now)
	if err != nil {
		return err
	}
	all, err := n.named(every)
	if err != nil {
		return exit(2, err)
	}
	if n.output == "heatmap" {
		return n.heat(c, all, coming, view)
	}
	most := coming.Most
	if n.conflicts {
		coming.Most = forecast.Unbounded
	}
	fires, err := forecast.Coming(all, coming)
	if err != nil {
		return exit(2, err)
	}
	switch {
	case n.busiest > 0:
		return forecast.WriteBusiest(c.OutOrStdout(), forecast.Busiest(fires, n.busiest), view)
	case n.conflicts && n.output == "table":
		return forecast.WriteConflicts(c.OutOrStdout(), forecast.Conflicts(fires), most, view)
	case n.conflicts && n.output == "json":
		return forecast.WriteConflictsJSON(c.OutOrStdout(), forecast.Conflicts(fires), most, view)
	case n.conflicts:
		return exit(2, fmt.Errorf("conflicts have no output %q: use table or json", n.output))
	}
	for _, line := range slices.Concat(forecast.Silent(all, coming.After), forecast.Retried(fires)) {
		fmt.Fprintln(c.ErrOrStderr(), line)
	}
	forecast.Crowd(fires, every, coming.After)
	return write(c.OutOrStdout(), fires, view)
}

// heat writes a heat map, of a day if it is not said.
func (n *next) heat(c *cobra.Command, all []forecast.Schedule, coming schedule.Coming, view forecast.View) error {
	if n.busiest > 0 || n.conflicts || n.skipped || n.count > 0 {
		return exit(2, errors.New("a heat map has all runs: leave --busiest, --conflicts, --skipped and --count out"))
	}
	zone := view.Zone
	if zone == nil {
		zone = time.UTC // each schedule may have its own
	}
	heat, err := forecast.HeatOf(all, coming.After, coming.Until, zone)
	if err != nil {
		return exit(2, err)
	}
	return forecast.WriteHeat(c.OutOrStdout(), heat)
}

// schedules returns all of the repository, or of the cluster.
func (n *next) schedules(c *cobra.Command, now time.Time) ([]forecast.Schedule, error) {
	if n.cluster {
		n.live.namespace = n.namespace
		if err := n.live.connect(c); err != nil {
			return nil, err
		}
		pasts, err := n.live.open.CronJobs(c.Context(), n.live.namespace, "", now)
		if err != nil {
			return nil, exit(2, err)
		}
		var views []schedule.View
		for _, p := range pasts {
			if p.CronJob != nil {
				views = append(views, p.View())
			}
		}
		return forecast.OfCluster(views, now), nil
	}
	objects, warnings, err := n.repo.objects(c.Context())
	n.repo.warn(c, warnings)
	if err != nil {
		return nil, n.repo.broken(c, err)
	}
	all, err := forecast.OfRepository(objects, cmp.Or(n.namespace, "default"))
	if err != nil {
		return nil, exit(2, err)
	}
	return all, nil
}

var forecastWriters = map[string]forecast.Writer{"table": forecast.WriteTable, "json": forecast.WriteJSON, "ics": forecast.WriteICS}

const (
	// nextFires is how many fires are shown where nobody says.
	nextFires = 20
	// busiestSpan is how far ahead busy minutes are looked for then.
	busiestSpan = 24 * time.Hour
)

// times reads the flags that say which times, and how they are shown.
func (n *next) times(now time.Time) (schedule.Coming, forecast.View, error) {
	view, zone := forecast.View{Now: now}, time.Local
	if n.zone != "" {
		var err error
		if zone, err = time.LoadLocation(n.zone); err != nil {
			return schedule.Coming{}, view, fmt.Errorf("reading --tz: %w; name a zone of the IANA database, such as Europe/Berlin", err)
		}
		view.Zone = zone
	}
	c := schedule.Coming{After: now, Most: n.count, Skipped: n.skipped}
	if n.from != "" {
		from, err := moment(n.from, zone, now)
		if err != nil {
			return c, view, fmt.Errorf("reading --from: %w", err)
		}
		// A slot at --from itself is meant too.
		c.After, view.Now = from.Add(-time.Nanosecond), from
	}
	if n.until == "" && (n.busiest > 0 || n.conflicts || n.output == "heatmap") {
		c.Until = c.After.Add(busiestSpan)
	}
	if n.until != "" {
		if d, err := time.ParseDuration(n.until); err == nil {
			c.Until = view.Now.Add(d)
		} else if c.Until, err = moment(n.until, zone, now); err != nil {
			return c, view, fmt.Errorf("reading --until: %w, or as a duration such as 24h", err)
		}
		if !c.Until.After(c.After) {
			return c, view, fmt.Errorf("--until %s is not after %s", n.until, view.Now.Format(time.RFC3339))
		}
	}
	switch {
	case n.count < 0 || n.busiest < 0:
		return c, view, fmt.Errorf("--count and --busiest must not be negative")
	case n.count == 0 && (c.Until.IsZero() || n.conflicts):
		c.Most = nextFires
	case n.count == 0:
		c.Most = forecast.Unbounded
	}
	return c, view, nil
}

// moment reads a time as `rota why` does, or the beginning of a day.
func moment(text string, zone *time.Location, now time.Time) (time.Time, error) {
	if t, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return t, nil
	}
	span, err := schedule.ParseSlot(text, zone, now)
	return span.From, err
}

// named returns the schedules that --name asks for.
func (n *next) named(all []forecast.Schedule) ([]forecast.Schedule, error) {
	if len(n.names) == 0 {
		return all, nil
	}
	var known []string
	chosen := slices.DeleteFunc(slices.Clone(all), func(s forecast.Schedule) bool {
		known = append(known, s.Name)
		return !slices.Contains(n.names, s.Name) && !slices.Contains(n.names, s.Namespace+"/"+s.Name)
	})
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no CronJob is named %s; there are: %s", strings.Join(n.names, " or "), strings.Join(known, ", "))
	}
	return chosen, nil
}
