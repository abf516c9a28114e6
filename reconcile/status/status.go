// Package status says how things stand: an object's health after kstatus, and
// a Sync's conditions and counts after what a sync did. It is pure.
package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// Report is everything that one round of the loop learned.
type Report struct {
	// Sync is the Sync's name.
	Sync string
	// Attempted is the newest revision seen, whether it could be used or not;
	// InForce is the one that is applied.
	Attempted, InForce string
	// Source, Build and Cluster are what went wrong in fetching, in rendering
	// or validating, and in reaching the cluster; the revision in force stays.
	Source, Build, Cluster []*schema.Problem
	// Warnings are those of the revision in force.
	Warnings []*schema.Problem
	// Plan is the last plan, Outcomes what became of it.
	Plan     plan.Plan
	Outcomes []plan.Outcome
	// Schedules are what the scheduler could not carry out.
	Schedules []*schema.Problem
	// Now is when the round ended.
	Now time.Time
}

// Status is a Sync's status as it is published and printed.
type Status struct {
	metav1.TypeMeta `json:",inline"`
	// Name is the Sync's.
	Name string `json:"name"`
	// Revision is in force; Attempted is set when a newer one is not.
	Revision  string `json:"revision,omitempty"`
	Attempted string `json:"attempted,omitempty"`
	// Conditions are Ready, Reconciling and Stalled, with kstatus' meaning.
	Conditions []metav1.Condition `json:"conditions"`
	// Counts has the number of objects by state.
	Counts Counts `json:"counts"`
	// Objects lists those that are not simply in place.
	Objects []ObjectStatus `json:"objects,omitempty"`
	// Problems are what a person has to mend, errors before warnings.
	Problems []Problem `json:"problems,omitempty"`
}

// Counts has the number of objects by state; their sum is the inventory and
// what should join it.
type Counts struct {
	InPlace int `json:"inPlace"`
	Waiting int `json:"waiting"`
	Drifted int `json:"drifted"`
	Refused int `json:"refused"`
	Failed  int `json:"failed"`
	Orphans int `json:"orphans"`
}

// ObjectStatus is one object that is not simply in place.
type ObjectStatus struct {
	Object  string `json:"object"`
	State   string `json:"state"`
	Message string `json:"message"`
	Origin  string `json:"origin,omitempty"`
}

// Problem is a schema.Problem as it is published.
type Problem struct {
	Rule     string `json:"rule,omitempty"`
	Severity string `json:"severity"`
	Origin   string `json:"origin,omitempty"`
	Object   string `json:"object,omitempty"`
	Message  string `json:"message"`
	Mend     string `json:"mend,omitempty"`
}

// The condition types and reasons of a Sync, in Flux's and kstatus' words.
const (
	Ready       = "Ready"
	Reconciling = "Reconciling"
	Stalled     = "Stalled"

	ReasonSucceeded      = "ReconciliationSucceeded"
	ReasonFailed         = "ReconciliationFailed"
	ReasonProgressing    = "Progressing"
	ReasonRetrying       = "ProgressingWithRetry"
	ReasonArtifactFailed = "ArtifactFailed"
	ReasonBuildFailed    = "BuildFailed"
	ReasonPruneFailed    = "PruneFailed"
	ReasonNoLedger       = "LedgerUnreadable"
)

// mostListed bounds what a status lists, so that it always fits an object.
const mostListed = 50

// Summarize returns the status that r calls for. A condition keeps the time of
// previous while its status stays the same; previous may be nil.
func Summarize(r Report, previous *Status) Status {
	s := Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "rota.dev/v1alpha1", Kind: "SyncStatus"},
		Name:     r.Sync,
		Revision: r.InForce,
	}
	if r.Attempted != r.InForce {
		s.Attempted = r.Attempted
	}
	s.Objects, s.Counts = objects(r)
	s.Problems = problems(r)
	s.Conditions = conditions(r, s)
	if previous != nil {
		keepTimes(s.Conditions, previous.Conditions)
	}
	return s
}

// Condition returns the condition of the type, or an empty one.
func (s Status) Condition(kind string) metav1.Condition {
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionUnknown}
}

// Ready reports whether the revision that git has is applied in full.
func (s Status) Ready() bool { return s.Condition(Ready).Status == metav1.ConditionTrue }

// Same reports whether other says the same but for times, so that publishing
// it would tell nobody anything.
func (s Status) Same(other Status) bool {
	strip := func(s Status) string {
		conditions := slices.Clone(s.Conditions)
		for i := range conditions {
			conditions[i].LastTransitionTime = metav1.Time{}
		}
		s.Conditions = conditions
		return fmt.Sprintf("%+v", s)
	}
	return strip(s) == strip(other)
}

func objects(r Report) ([]ObjectStatus, Counts) {
	failed := map[schema.Key]plan.Outcome{}
	for _, o := range r.Outcomes {
		failed[o.Change.Key] = o
	}
	var list []ObjectStatus
	var n Counts
	for _, c := range r.Plan.Changes {
		state, message := stateOf(c, failed[c.Key], &n)
		if state == "" {
			continue
		}
		one := ObjectStatus{Object: c.Key.String(), State: state, Message: message}
		if c.Object != nil {
			one.Origin = c.Object.Origin.String()
		}
		list = append(list, one)
	}
	if len(list) > mostListed {
		list = list[:mostListed]
	}
	return list, n
}

// stateOf counts c in n and returns how it stands; an empty state is an object
// in place.
func stateOf(c plan.Change, o plan.Outcome, n *Counts) (state, message string) {
	switch {
	case c.Op == plan.Refuse && c.Reason == plan.ReasonPruneGuard:
		n.Orphans++
		return "Orphan", c.Effect
	case c.Op == plan.Refuse:
		n.Refused++
		return "Refused", c.Effect
	case o.Problem != nil && o.Problem.Severity == schema.SeverityWarning:
		n.Waiting++
		return "Waiting", o.Problem.Message
	case o.Problem != nil:
		n.Failed++
		return "Failed", o.Problem.Message
	case c.Op == plan.Wait:
		n.Waiting++
		return "Waiting", c.Effect
	case c.Op == plan.Keep && c.Reason == plan.ReasonPruneSkipped:
		n.Orphans++
		return "Orphan", c.Effect
	case c.Op == plan.Keep && (c.Reason == plan.ReasonDrifted || c.Reason == plan.ReasonDeletedByHand):
		n.Drifted++
		return "Drifted", c.Effect
	case c.Op != plan.Keep && c.Op != plan.Delete && !o.Done:
		n.Waiting++
		return "Waiting", c.Effect
	case c.Op == plan.Delete:
		return "", ""
	default:
		n.InPlace++
		return "", ""
	}
}

func problems(r Report) []Problem {
	var all []*schema.Problem
	all = append(append(append(all, r.Source...), r.Build...), r.Cluster...)
	for _, o := range r.Outcomes {
		if o.Problem != nil && o.Change.Op != plan.Refuse {
			all = append(all, o.Problem)
		}
	}
	for _, c := range r.Plan.Changes {
		if c.Problem != nil && c.Problem != r.Plan.PruneProblem {
			all = append(all, c.Problem)
		}
	}
	if r.Plan.PruneProblem != nil {
		all = append(all, r.Plan.PruneProblem)
	}
	all = append(append(all, r.Schedules...), r.Warnings...)
	return Problems(all)
}

// Problems returns problems as they are published, errors before warnings, and
// no more of them than fit.
func Problems(all []*schema.Problem) []Problem {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b *schema.Problem) int {
		return cmp.Compare(boolInt(a.Severity == schema.SeverityWarning), boolInt(b.Severity == schema.SeverityWarning))
	})
	out := make([]Problem, 0, min(len(all), mostListed))
	for _, p := range all[:min(len(all), mostListed)] {
		one := Problem{Rule: p.Rule, Severity: string(cmp.Or(p.Severity, schema.SeverityError)), Origin: p.Origin.String(), Message: p.Message, Mend: p.Mend}
		if p.Object != nil {
			one.Object = p.Object.String()
		}
		out = append(out, one)
	}
	return out
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// conditions decides the three conditions. The first failing stage names the
// reason, since what is behind it could not be tried.
func conditions(r Report, s Status) []metav1.Condition {
	reason, message := verdict(r, s)
	at := metav1.NewTime(r.Now)
	ready := metav1.Condition{Type: Ready, Status: metav1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: at}
	reconciling := metav1.Condition{Type: Reconciling, Status: metav1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: at}
	stalled := metav1.Condition{Type: Stalled, Status: metav1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: at}
	switch reason {
	case ReasonSucceeded:
	case ReasonProgressing:
		ready.Status = metav1.ConditionUnknown
		reconciling.Status = metav1.ConditionTrue
	case ReasonNoLedger, ReasonPruneFailed, ReasonBuildFailed:
		ready.Status = metav1.ConditionFalse
		stalled.Status = metav1.ConditionTrue
	default:
		ready.Status = metav1.ConditionFalse
		reconciling.Status, reconciling.Reason = metav1.ConditionTrue, ReasonRetrying
	}
	return []metav1.Condition{ready, reconciling, stalled}
}

func verdict(r Report, s Status) (reason, message string) {
	at := plan.ShortRevision(r.InForce)
	switch {
	case len(r.Build) > 0:
		return ReasonBuildFailed, fmt.Sprintf("%s cannot be used (%s); %s stays in force", plan.ShortRevision(r.Attempted), firstLine(r.Build), orNothing(at))
	case len(r.Cluster) > 0:
		return ReasonFailed, firstLine(r.Cluster)
	case len(r.Source) > 0:
		return ReasonArtifactFailed, fmt.Sprintf("%s; %s stays in force", firstLine(r.Source), orNothing(at))
	}
	for _, c := range r.Plan.Changes {
		if c.Reason == plan.ReasonNoLedger {
			return ReasonNoLedger, c.Problem.Message
		}
	}
	switch {
	case s.Counts.Failed > 0 || s.Counts.Refused > 0:
		return ReasonFailed, fmt.Sprintf("applied %s but for %d failed and %d refused", at, s.Counts.Failed, s.Counts.Refused)
	case r.Plan.PruneProblem != nil:
		return ReasonPruneFailed, r.Plan.PruneProblem.Message
	case s.Counts.Waiting > 0:
		return ReasonProgressing, fmt.Sprintf("applied %s; %d wait", at, s.Counts.Waiting)
	case s.Counts.Drifted > 0:
		return ReasonSucceeded, fmt.Sprintf("applied %s; %d drifted and left so", at, s.Counts.Drifted)
	}
	return ReasonSucceeded, fmt.Sprintf("applied %s: %d in place", at, s.Counts.InPlace)
}

func orNothing(revision string) string {
	if revision == "" {
		return "nothing"
	}
	return revision
}

func firstLine(problems []*schema.Problem) string {
	line, _, _ := strings.Cut(problems[0].Error(), "\n")
	if n := len(problems) - 1; n > 0 {
		return fmt.Sprintf("%s, and %d more", line, n)
	}
	return line
}

func keepTimes(conditions, previous []metav1.Condition) {
	for i := range conditions {
		for _, p := range previous {
			if p.Type == conditions[i].Type && p.Status == conditions[i].Status {
				conditions[i].LastTransitionTime = p.LastTransitionTime
			}
		}
	}
}
