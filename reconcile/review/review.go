// Package review makes of a plan what its reviewer reads, in a terminal, in a
// pull request or in a program: the effects, the changes of schedules as times,
// and what of each object differs. It is pure; the time is an argument.
package review

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"rota.dev/rota/reconcile/forecast"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// Input is what a Review is made of.
type Input struct {
	// Plan is what is reviewed.
	Plan plan.Plan
	// Sync is the name of the Sync that the plan is of.
	Sync string
	// Against names the revision that was taken as applied, and its Jobs as
	// ended; empty for a plan on a cluster.
	Against string
	// Namespace is that of CronJobs that name none.
	Namespace string
	// Diffs are unified diffs by object, with the values of Secrets masked, as
	// plan.Diff makes them. They are left out of the text.
	Diffs map[schema.Key]string
	// Warnings are those of the repository.
	Warnings []*schema.Problem
	// Again is the command line that makes this review, for a reader who wants
	// what was left out of it.
	Again string
	// Now is when the plan was made.
	Now time.Time
}

// Review is a plan with what it means for the times of schedules.
type Review struct {
	Input
	// Times are the changes of the schedules.
	Times forecast.Comparison
}

// New returns the review of a plan. The error says that its schedules cannot be
// compared.
func New(in Input) (Review, error) {
	before, after, err := schedules(in.Plan, in.Namespace)
	if err != nil {
		return Review{}, err
	}
	times, err := forecast.Compare(before, after, in.Now)
	if err != nil {
		return Review{}, err
	}
	return Review{Input: in, Times: times}, nil
}

// Writer writes a review. The error is w's.
type Writer func(w io.Writer, r Review) error

// Writers print a review as `text`, `json`, `markdown` (a comment for a pull
// request) or `github` (workflow commands). What they print depends on nothing
// but the review.
var Writers = map[string]Writer{
	"text":     writeText,
	"json":     writeJSON,
	"markdown": writeMarkdown,
	"github":   writeGitHub,
}

// changes are those of the plan that are more than an object as applied.
func (r Review) changes() []plan.Change {
	return slices.DeleteFunc(slices.Clone(r.Plan.Changes), func(c plan.Change) bool {
		return c.Op == plan.Keep && c.Reason == plan.ReasonUnchanged
	})
}

// problems are those of the changes, each once.
func (r Review) problems() []*schema.Problem {
	var all []*schema.Problem
	for _, c := range r.Plan.Changes {
		if c.Problem == nil || slices.Contains(all, c.Problem) {
			continue
		}
		all = append(all, c.Problem)
	}
	return all
}

// assumption says what a plan without a cluster takes for granted; empty for
// one on a cluster.
func (r Review) assumption() string {
	if r.Against == "" {
		return ""
	}
	return fmt.Sprintf("Compared with %s: it is taken as applied, and its Jobs as ended.", plan.ShortRevision(r.Against))
}

// schedules returns the CronJobs that are in force before the plan and after.
func schedules(p plan.Plan, namespace string) (before, after []forecast.Schedule, err error) {
	for _, c := range p.Changes {
		if !c.Key.IsCronJob() {
			continue
		}
		then := result(c)
		var was, is forecast.Schedule
		if c.Before != nil {
			if was, err = scheduleOf(c.Before, namespace, ""); err != nil {
				return nil, nil, err
			}
			before = append(before, was)
		}
		if then == nil {
			continue
		}
		// An apply leaves the emergency brake, and what @every counts from.
		brake := ""
		if c.Before != nil {
			brake = c.Before.GetAnnotations()[schema.AnnotationPause]
		}
		if is, err = scheduleOf(then, namespace, brake); err != nil {
			return nil, nil, err
		}
		is.Anchor = was.Anchor
		if c.Object != nil {
			is.Origin = c.Object.Origin
		}
		after = append(after, is)
	}
	underQuotas(p, namespace, before, after)
	return before, after, nil
}

// underQuotas gives the schedules the quotas of their namespaces, as the plan
// has them before and after.
func underQuotas(p plan.Plan, namespace string, before, after []forecast.Schedule) {
	was, is := map[string][]forecast.Quota{}, map[string][]forecast.Quota{}
	add := func(to map[string][]forecast.Quota, u *unstructured.Unstructured) {
		if u == nil {
			return
		}
		if q, ok := forecast.QuotaOf(u, namespace); ok {
			to[q.Namespace] = append(to[q.Namespace], q)
		}
	}
	for _, c := range p.Changes {
		if c.Key.Kind != "ResourceQuota" {
			continue
		}
		add(was, c.Before)
		add(is, result(c))
	}
	for i, s := range before {
		before[i].Quotas = was[s.Namespace]
	}
	for i, s := range after {
		after[i].Quotas = is[s.Namespace]
	}
}

// result is what c leaves; nil if nothing is there then.
func result(c plan.Change) *unstructured.Unstructured {
	switch c.Op {
	case plan.Create, plan.Update, plan.Replace:
		return c.Object.Unstructured
	case plan.Delete:
		return nil
	}
	return c.Before
}

// scheduleOf reads a CronJob as it is in a cluster, whoever fires it there.
// Brake is an annotation rota.dev/pause that it has besides; may be empty.
func scheduleOf(u *unstructured.Unstructured, namespace, brake string) (forecast.Schedule, error) {
	var cj batchv1.CronJob
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &cj); err != nil {
		return forecast.Schedule{}, fmt.Errorf("reading %s: %w", schema.KeyOf(u), err)
	}
	cj.Namespace = cmp.Or(cj.Namespace, namespace)
	annotations := maps.Clone(cj.Annotations)
	if !schedule.Scheduled(&cj) {
		// The cluster's own controller knows suspend, and none of our rules.
		suspended := cj.Spec.Suspend != nil && *cj.Spec.Suspend
		annotations = map[string]string{schema.AnnotationScheduler: schedule.ByRota, schema.AnnotationSuspended: strconv.FormatBool(suspended)}
		brake = ""
	}
	if brake != "" {
		annotations[schema.AnnotationPause] = brake
	}
	cj.Annotations = annotations
	spec, err := schedule.SpecOf(&cj)
	if err != nil {
		return forecast.Schedule{}, err
	}
	return forecast.Schedule{Spec: spec, Anchor: cj.CreationTimestamp.Time}, nil
}
