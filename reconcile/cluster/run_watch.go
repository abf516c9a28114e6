package cluster

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

const byScheduleIndex = "schedule"

func (r *Runs) selector() string { return schema.LabelSync + "=" + r.options.Sync }

// Watch calls changed with the name of every CronJob of the set, and again
// whenever it or a run of it changes, until ctx ends. It calls nothing before
// all CronJobs and runs were read by quorum, so that no decision is made on a
// part. Each call of Watch reads anew; one at a time.
func (r *Runs) Watch(ctx context.Context, changed func(types.NamespacedName)) error {
	namespaces := r.options.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	var cronJobs, jobs []cache.SharedIndexInformer
	for _, namespace := range namespaces {
		cronJobs = append(cronJobs, r.watchCronJobs(namespace))
		jobs = append(jobs, r.watchJobs(namespace))
	}
	informers := append(append([]cache.SharedIndexInformer(nil), cronJobs...), jobs...)
	var synced []cache.InformerSynced
	ended := make(chan struct{}, len(informers))
	for _, informer := range informers {
		if err := informer.SetTransform(lean); err != nil {
			return fmt.Errorf("preparing a watch: %w", err)
		}
		synced = append(synced, informer.HasSynced)
		go func() {
			informer.RunWithContext(ctx)
			ended <- struct{}{}
		}()
	}
	stopEvents := r.startEvents()
	defer stopEvents()
	defer func() {
		for range informers {
			<-ended
		}
	}()
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return nil
	}
	r.mu.Lock()
	r.cronJobs, r.jobs = cronJobs, jobs
	r.mu.Unlock()
	for _, informer := range informers {
		if _, err := informer.AddEventHandler(notice(changed)); err != nil {
			return fmt.Errorf("starting a watch: %w", err)
		}
	}
	<-ctx.Done()
	return nil
}

// notice turns events of CronJobs and of runs into names of CronJobs.
func notice(changed func(types.NamespacedName)) cache.ResourceEventHandler {
	tell := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		switch o := object.(type) {
		case *batchv1.CronJob:
			changed(types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
		case *batchv1.Job:
			if name := o.Labels[schema.LabelSchedule]; name != "" {
				changed(types.NamespacedName{Namespace: o.Namespace, Name: name})
			}
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    tell,
		UpdateFunc: func(_, now any) { tell(now) },
		DeleteFunc: tell,
	}
}

// lean drops what no decision reads from what is kept in memory. A CronJob's
// managed fields stay, for they say when its schedule was edited.
func lean(object any) (any, error) {
	if job, ok := object.(*batchv1.Job); ok {
		job.ManagedFields = nil
		job.Spec.Template = *emptyTemplate.DeepCopy()
	}
	return object, nil
}

var emptyTemplate = batchv1.Job{}.Spec.Template

func (r *Runs) watchCronJobs(namespace string) cache.SharedIndexInformer {
	client := r.client.BatchV1().CronJobs(namespace)
	selector := schema.ApplySetPartOf + "=" + r.options.SetID
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, quorum(o, selector))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return client.Watch(ctx, o)
		},
	}
	return cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, r.client), &batchv1.CronJob{}, 0, groupIndexers)
}

func (r *Runs) watchJobs(namespace string) cache.SharedIndexInformer {
	client := r.client.BatchV1().Jobs(namespace)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, quorum(o, r.selector()))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = r.selector()
			return client.Watch(ctx, o)
		},
	}
	return cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, r.client), &batchv1.Job{}, 0,
		cache.Indexers{byScheduleIndex: func(object any) ([]string, error) {
			job, ok := object.(*batchv1.Job)
			if !ok {
				return nil, nil
			}
			return []string{job.Namespace + "/" + job.Labels[schema.LabelSchedule]}, nil
		}})
}

// quorum makes a list read what is stored, not what the API server remembers:
// a scheduler that starts must not see the past.
func quorum(o metav1.ListOptions, selector string) metav1.ListOptions {
	o.LabelSelector = selector
	o.ResourceVersion, o.ResourceVersionMatch = "", ""
	return o
}

// Cached returns what Watch saw last of a CronJob and its runs.
func (r *Runs) Cached(name types.NamespacedName) schedule.View {
	r.mu.Lock()
	cronJobs, jobs := r.cronJobs, r.jobs
	r.mu.Unlock()
	var view schedule.View
	for _, informer := range cronJobs {
		if object, ok, err := informer.GetStore().GetByKey(name.String()); ok && err == nil {
			view.CronJob, _ = object.(*batchv1.CronJob)
		}
	}
	for _, informer := range jobs {
		objects, err := informer.GetIndexer().ByIndex(byScheduleIndex, name.String())
		if err != nil {
			continue // the index exists
		}
		for _, object := range objects {
			if job, ok := object.(*batchv1.Job); ok {
				view.Jobs = append(view.Jobs, job)
			}
		}
	}
	return view
}
