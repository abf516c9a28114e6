package review

import (
	_ "embed"
	"encoding/json"
	"io"
	"math"
	"time"

	"rota.dev/rota/reconcile/forecast"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

//go:embed plan.schema.json
var jsonSchema []byte

// JSONSchema returns the draft-07 JSON Schema of what the json output is.
func JSONSchema() []byte { return jsonSchema }

// document is the json output.
type document struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Sync       string            `json:"sync"`
	Revision   string            `json:"revision"`
	Against    string            `json:"against,omitempty"`
	Assumption string            `json:"assumption,omitempty"`
	Time       string            `json:"time"`
	Summary    string            `json:"summary"`
	Totals     totals            `json:"totals"`
	Changes    []change          `json:"changes"`
	Expansions []expansion       `json:"expansions"`
	Schedules  schedulesDocument `json:"schedules"`
	Problems   []schema.Finding  `json:"problems"`
	Warnings   []schema.Finding  `json:"warnings"`
}

// totals are plan.Totals, all of them.
type totals struct {
	RunNow     int `json:"runNow"`
	RunAgain   int `json:"runAgain"`
	Schedules  int `json:"schedules"`
	Created    int `json:"created"`
	Adopted    int `json:"adopted"`
	Updated    int `json:"updated"`
	Corrected  int `json:"corrected"`
	Drifted    int `json:"drifted"`
	Pruned     int `json:"pruned"`
	Left       int `json:"left"`
	Waiting    int `json:"waiting"`
	Refused    int `json:"refused"`
	AlreadyRan int `json:"alreadyRan"`
	Unchanged  int `json:"unchanged"`
}

type change struct {
	Object    object          `json:"object"`
	Op        string          `json:"op"`
	Reason    string          `json:"reason"`
	Effect    string          `json:"effect"`
	Origin    string          `json:"origin,omitempty"`
	Expansion string          `json:"expansion,omitempty"`
	Fields    []string        `json:"fields,omitempty"`
	Lost      []lost          `json:"lost,omitempty"`
	Problem   *schema.Finding `json:"problem,omitempty"`
	Diff      string          `json:"diff,omitempty"`
}

type object struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

type lost struct {
	Field   string `json:"field"`
	Manager string `json:"manager,omitempty"`
	Time    string `json:"time,omitempty"`
}

type expansion struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
}

type schedulesDocument struct {
	Changes []scheduleChange `json:"changes"`
	Busiest busiest          `json:"busiest"`
	Limits  []limit          `json:"limits"`
}

type scheduleChange struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Before    *side      `json:"before,omitempty"`
	After     *side      `json:"after,omitempty"`
	First     string     `json:"first,omitempty"`
	Lost      []string   `json:"lost"`
	Gained    []string   `json:"gained"`
	Surprises []surprise `json:"surprises"`
}

type side struct {
	Schedule  string   `json:"schedule"`
	TimeZone  string   `json:"timeZone"`
	Words     string   `json:"words,omitempty"`
	Suspended bool     `json:"suspended"`
	Rules     []string `json:"rules"`
	Next      []run    `json:"next"`
	PerDay    float64  `json:"runsPerDay"`
	Silent    string   `json:"silent,omitempty"`
}

type run struct {
	Slot   string `json:"slot"`
	Starts string `json:"starts"`
}

type surprise struct {
	At   string `json:"at"`
	Text string `json:"text"`
}

type busiest struct {
	Before []minute `json:"before"`
	After  []minute `json:"after"`
}

type minute struct {
	At       string   `json:"at"`
	Runs     int      `json:"runs"`
	CronJobs []string `json:"cronJobs"`
}

type limit struct {
	Group string `json:"group,omitempty"`
	Quota string `json:"quota,omitempty"`
	Limit int    `json:"limit"`
	At    string `json:"at"`
	Runs  int    `json:"runs"`
}

// writeJSON writes a review as a Plan. Times are RFC 3339 with the offset of
// their zone; the same review has the same bytes.
func writeJSON(w io.Writer, r Review) error {
	d := document{
		APIVersion: schema.APIVersion, Kind: "Plan", Sync: r.Sync, Revision: r.Plan.Revision, Against: r.Against, Assumption: r.assumption(),
		Time: stamp(r.Now.UTC()), Summary: r.Plan.Totals().String(), Totals: totalsOf(r.Plan.Totals()),
		Changes: []change{}, Expansions: []expansion{}, Schedules: schedulesOf(r.Times),
		Problems: schema.Findings(r.problems()), Warnings: schema.Findings(r.Warnings),
	}
	for _, c := range r.changes() {
		d.Changes = append(d.Changes, r.changeOf(c))
	}
	for _, e := range r.Plan.Entries() {
		if summary := e.Summary(); summary != "" {
			d.Expansions = append(d.Expansions, expansion{Name: e.Expansion, Summary: summary})
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(d)
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }

func totalsOf(t plan.Totals) totals {
	return totals{
		RunNow: t.RunNow, RunAgain: t.RunAgain, Schedules: t.Schedules, Created: t.Created, Adopted: t.Adopted, Updated: t.Updated, Corrected: t.Corrected,
		Drifted: t.Drifted, Pruned: t.Pruned, Left: t.Left, Waiting: t.Waiting, Refused: t.Refused, AlreadyRan: t.AlreadyRan, Unchanged: t.Unchanged,
	}
}

func (r Review) changeOf(c plan.Change) change {
	out := change{
		Object: object{c.Key.Group, c.Key.Kind, c.Key.Namespace, c.Key.Name}, Op: string(c.Op), Reason: string(c.Reason), Effect: c.Effect,
		Expansion: c.Expansion(), Fields: plan.ChangedFields(c), Diff: r.Diffs[c.Key],
	}
	if c.Object != nil {
		out.Origin = c.Object.Origin.String()
	}
	for _, f := range c.Lost {
		l := lost{Field: f.Path, Manager: f.Manager}
		if !f.Time.IsZero() {
			l.Time = stamp(f.Time.UTC())
		}
		out.Lost = append(out.Lost, l)
	}
	if c.Problem != nil {
		for _, f := range schema.Findings([]*schema.Problem{c.Problem}) {
			out.Problem = &f
		}
	}
	return out
}

func schedulesOf(c forecast.Comparison) schedulesDocument {
	d := schedulesDocument{Changes: []scheduleChange{}, Busiest: busiest{minutesOf(c.Before), minutesOf(c.After)}, Limits: []limit{}}
	for _, e := range c.Limits {
		d.Limits = append(d.Limits, limit{Group: e.Group, Quota: e.Quota, Limit: e.Limit, At: stamp(e.At.UTC()), Runs: e.Runs})
	}
	for _, one := range c.Changes {
		s := scheduleChange{Namespace: one.Namespace, Name: one.Name, Before: sideOf(one.Before), After: sideOf(one.After),
			Lost: stamps(one.Lost), Gained: stamps(one.Gained), Surprises: []surprise{}}
		if !one.First.IsZero() {
			s.First = stamp(one.First)
		}
		for _, x := range one.Surprises {
			s.Surprises = append(s.Surprises, surprise{At: stamp(x.At), Text: x.Text})
		}
		d.Changes = append(d.Changes, s)
	}
	return d
}

func sideOf(s *forecast.Side) *side {
	if s == nil {
		return nil
	}
	cron, zone := written(s)
	out := &side{Schedule: cron, TimeZone: zone, Words: s.Words, Suspended: s.Schedule.Suspended, Rules: append([]string{}, s.Rules...),
		Next: []run{}, PerDay: math.Round(s.PerDay*1e4) / 1e4, Silent: s.Silent}
	for _, f := range s.Next {
		out.Next = append(out.Next, run{Slot: stamp(f.Slot), Starts: stamp(f.At())})
	}
	return out
}

func minutesOf(all []forecast.Minute) []minute {
	out := []minute{}
	for _, m := range all {
		out = append(out, minute{At: stamp(m.At.UTC()), Runs: m.Runs, CronJobs: append([]string{}, m.CronJobs...)})
	}
	return out
}

func stamps(times []time.Time) []string {
	out := []string{}
	for _, t := range times {
		out = append(out, stamp(t))
	}
	return out
}
