package cluster

import (
	"context"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// groupData is the key of the places in a group's ConfigMap.
const groupData = "places"

// byGroupIndex finds the CronJobs of a concurrency group.
const byGroupIndex = "group"

// GroupName returns the name of the ConfigMap that has the places of a
// concurrency group. It is in rota's own namespace, for a group spans the
// namespaces of its Sync, and whoever may write in one of those must not be able
// to hold up the others. It is no member of the set and has no owner, so that
// it is neither pruned nor ever drift; nor has it the Sync's label, by which
// the inventory and the ledger are watched. Names of Syncs have no dot.
func GroupName(sync, group string) string {
	return schema.FieldManager + "-group-" + sync + "." + group
}

// Group reads the places of a group by quorum; there are none, and no Version,
// if its ConfigMap does not exist.
func (r *Runs) Group(ctx context.Context, name string) (schedule.Group, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	object, err := r.client.CoreV1().ConfigMaps(r.options.System).Get(ctx, GroupName(r.options.Sync, name), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return schedule.Group{}, nil
	}
	if err != nil {
		return schedule.Group{}, err
	}
	return readGroup(object)
}

// PutGroup writes a group if nothing changed it since its Version, or creates
// it if that is empty.
func (r *Runs) PutGroup(ctx context.Context, name string, g schedule.Group) (schedule.Group, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name: GroupName(r.options.Sync, name), Namespace: r.options.System, ResourceVersion: g.Version,
			Labels: map[string]string{schema.LabelGroup: name},
		},
		Data: map[string]string{groupData: g.String()},
	}
	client := r.client.CoreV1().ConfigMaps(r.options.System)
	var err error
	if g.Version == "" {
		object, err = client.Create(ctx, object, metav1.CreateOptions{FieldManager: schema.FieldManager})
	} else {
		object, err = client.Update(ctx, object, metav1.UpdateOptions{FieldManager: schema.FieldManager})
	}
	if err != nil {
		return schedule.Group{}, err
	}
	return readGroup(object)
}

func readGroup(object *corev1.ConfigMap) (schedule.Group, error) {
	g, err := schedule.ParseGroup(object.Data[groupData])
	g.Version = object.ResourceVersion
	return g, err
}

// Grouped lists by quorum the Jobs of the Sync that are labelled with a group.
func (r *Runs) Grouped(ctx context.Context, name string) ([]*batchv1.Job, error) {
	namespaces := r.options.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	var jobs []*batchv1.Job
	for _, namespace := range namespaces {
		options := metav1.ListOptions{Limit: 500, LabelSelector: r.selector() + "," + schema.LabelGroup + "=" + name}
		for {
			page, next, err := r.jobPage(ctx, namespace, options)
			if err != nil {
				return nil, err
			}
			for i := range page {
				jobs = append(jobs, &page[i])
			}
			if next == "" {
				break
			}
			options.Continue = next
		}
	}
	return jobs, nil
}

// Members returns the CronJobs of a group as Watch saw them last. What they
// point at is shared and must not be changed.
func (r *Runs) Members(name string) []*batchv1.CronJob {
	r.mu.Lock()
	informers := r.cronJobs
	r.mu.Unlock()
	var members []*batchv1.CronJob
	for _, informer := range informers {
		objects, err := informer.GetIndexer().ByIndex(byGroupIndex, name)
		if err != nil {
			continue // the index exists
		}
		for _, object := range objects {
			if cj, ok := object.(*batchv1.CronJob); ok {
				members = append(members, cj)
			}
		}
	}
	return members
}

var groupIndexers = cache.Indexers{
	cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
	byGroupIndex: func(object any) ([]string, error) {
		cj, ok := object.(*batchv1.CronJob)
		if !ok || !strings.Contains(cj.Annotations[schema.AnnotationPolicy], `"concurrencyGroup"`) {
			return nil, nil
		}
		rules, err := schema.ParsePolicy(cj.Annotations[schema.AnnotationPolicy])
		if err != nil || rules.ConcurrencyGroup == nil {
			return nil, nil // the scheduler says what is wrong with it
		}
		return []string{rules.ConcurrencyGroup.Name}, nil
	},
}
