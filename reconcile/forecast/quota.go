package forecast

import (
	"cmp"
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Quota is a ResourceQuota that bounds the Jobs of its namespace.
type Quota struct {
	// Namespace and Name are the ResourceQuota's.
	Namespace, Name string
	// Jobs is how many Jobs may exist at once, those that ended included.
	Jobs int64
}

// QuotaOf reads an object; false if it is no ResourceQuota that counts Jobs. A
// quota with scopes does not, since those are of Pods
// (https://kubernetes.io/docs/concepts/policy/resource-quotas/). One that names
// no namespace is in the one given.
func QuotaOf(u *unstructured.Unstructured, namespace string) (Quota, bool) {
	if u.GetKind() != "ResourceQuota" || u.GetAPIVersion() != "v1" {
		return Quota{}, false
	}
	var q corev1.ResourceQuota
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &q); err != nil {
		return Quota{}, false // the plan has refused it
	}
	jobs, ok := q.Spec.Hard["count/jobs.batch"]
	if !ok || len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil {
		return Quota{}, false
	}
	return Quota{Namespace: cmp.Or(q.Namespace, namespace), Name: q.Name, Jobs: jobs.Value()}, true
}

// bound names what limits the runs of several schedules: a concurrency group,
// or a quota by its namespace and name.
type bound struct{ group, quota string }

func inBounds(a, b bound) int {
	return cmp.Or(cmp.Compare(a.quota, b.quota), cmp.Compare(a.group, b.group))
}

// bounds returns what limits the runs of s, and to how many.
func (s *Schedule) bounds() map[bound]int32 {
	if s == nil || s.Rules.ConcurrencyGroup == nil && len(s.Quotas) == 0 {
		return nil
	}
	all := map[bound]int32{}
	if g := s.Rules.ConcurrencyGroup; g != nil {
		all[bound{group: g.Name}] = limitOf([]*Schedule{s})
	}
	for _, q := range s.Quotas {
		all[bound{quota: q.Namespace + "/" + q.Name}] = int32(min(q.Jobs, math.MaxInt32))
	}
	return all
}
