package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// Schedules are the CronJobs of a cluster as a person sees and changes them by
// hand. It needs no running rota.
type Schedules struct {
	config *rest.Config
	client kubernetes.Interface
	// system is rota's own namespace.
	system string
	log    *slog.Logger
}

// NewSchedules returns the schedules of the cluster of cfg. Options say where
// rota's own objects are.
func NewSchedules(cfg *rest.Config, o Options) (*Schedules, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.UserAgent = -1, "rota/"+o.Version
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing the client: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Schedules{config: cfg, client: client, system: cmp.Or(o.Namespace, DefaultNamespace), log: o.Log}, nil
}

// Past is what the API server has of one schedule.
type Past struct {
	Name types.NamespacedName
	// CronJob is nil if there is none any more.
	CronJob *batchv1.CronJob
	// Jobs are its runs; Manual those that were triggered by hand.
	Jobs, Manual []*batchv1.Job
	// History is what is kept, with what the CronJob and its runs say.
	History schedule.History
}

// View returns what decisions are made on. The CronJob must be there.
func (p Past) View() schedule.View {
	return schedule.View{CronJob: p.CronJob, Jobs: p.Jobs, Past: p.History.Cursor}
}

// CronJob reads a CronJob live; it is nil if there is none.
func (s *Schedules) CronJob(ctx context.Context, name types.NamespacedName) (*batchv1.CronJob, error) {
	cj, err := s.client.BatchV1().CronJobs(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, explain(err, subject{what: "CronJob " + name.String()})
	}
	return cj, nil
}

// CronJobs reads the CronJobs of a namespace, or of all if it is empty, with
// their runs and histories, by name. Those that are gone are there as long as
// their history is kept. A selector of labels leaves those out.
func (s *Schedules) CronJobs(ctx context.Context, namespace, selector string, now time.Time) ([]Past, error) {
	list, err := s.client.BatchV1().CronJobs(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, explain(err, subject{what: "the CronJobs of " + cmp.Or(namespace, "all namespaces")})
	}
	all := map[types.NamespacedName]*Past{}
	for i := range list.Items {
		cj := &list.Items[i]
		name := types.NamespacedName{Namespace: cj.Namespace, Name: cj.Name}
		all[name] = &Past{Name: name, CronJob: cj}
	}
	kept, err := s.histories(ctx)
	if err != nil {
		return nil, err
	}
	for name, h := range kept {
		if all[name] == nil && selector == "" && (namespace == "" || namespace == name.Namespace) {
			all[name] = &Past{Name: name}
		}
		if all[name] != nil {
			all[name].History = h
		}
	}
	if err := s.addRuns(ctx, namespace, all); err != nil {
		return nil, err
	}
	out := make([]Past, 0, len(all))
	for _, p := range all {
		p.complete(now)
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Past) int {
		return cmp.Or(cmp.Compare(a.Name.Namespace, b.Name.Namespace), cmp.Compare(a.Name.Name, b.Name.Name))
	})
	return out, nil
}

// Past reads all that there is of one schedule.
func (s *Schedules) Past(ctx context.Context, name types.NamespacedName, now time.Time) (Past, error) {
	p := Past{Name: name}
	var err error
	if p.CronJob, err = s.CronJob(ctx, name); err != nil {
		return p, err
	}
	kept, err := s.histories(ctx)
	if err != nil {
		return p, err
	}
	p.History = kept[name]
	if err := s.addRuns(ctx, name.Namespace, map[types.NamespacedName]*Past{name: &p}); err != nil {
		return p, err
	}
	p.complete(now)
	return p, nil
}

// complete adds to the history what is newer than its last flush.
func (p *Past) complete(now time.Time) {
	if p.CronJob != nil {
		p.History = p.History.Merge(schedule.HistoryOf(schedule.View{CronJob: p.CronJob, Jobs: p.Jobs}), now, schedule.BoundsFor(1))
	}
}

// addRuns reads the Jobs of schedules.
func (s *Schedules) addRuns(ctx context.Context, namespace string, of map[types.NamespacedName]*Past) error {
	only := ""
	if len(of) == 1 {
		for name := range of {
			only = "=" + name.Name
		}
	}
	for _, label := range []string{schema.LabelSchedule, schema.LabelManual} {
		o := metav1.ListOptions{LabelSelector: label + only, Limit: 500}
		for {
			list, err := s.client.BatchV1().Jobs(namespace).List(ctx, o)
			if err != nil {
				return explain(err, subject{what: "the Jobs of schedules in " + cmp.Or(namespace, "all namespaces")})
			}
			for i := range list.Items {
				job := &list.Items[i]
				p := of[types.NamespacedName{Namespace: job.Namespace, Name: job.Labels[label]}]
				switch {
				case p == nil:
				case label == schema.LabelManual:
					p.Manual = append(p.Manual, job)
				default:
					p.Jobs = append(p.Jobs, job)
				}
			}
			if o.Continue = list.Continue; o.Continue == "" {
				break
			}
		}
	}
	return nil
}

// histories reads what is kept of every schedule, whatever Sync it is of.
func (s *Schedules) histories(ctx context.Context) (map[types.NamespacedName]schedule.History, error) {
	objects, err := listHistories(ctx, s.client, s.system, schema.LabelHistory)
	if apierrors.IsForbidden(err) {
		s.log.Warn("what is kept of the past may not be read: only the last resolutions are known", "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, explain(err, subject{what: "the history of schedules"})
	}
	all := map[types.NamespacedName]schedule.History{}
	for i := range objects {
		texts, err := decodeHistories(&objects[i])
		if err != nil {
			s.log.Warn("a part of the history is damaged", "configmap", objects[i].Name, "error", err)
		}
		for name, text := range texts {
			var h schedule.History
			if json.Unmarshal(text, &h) == nil && !h.Touched().Before(all[name].Touched()) {
				all[name] = h
			}
		}
	}
	return all, nil
}

// annotate changes annotations of a CronJob; nil removes one.
func (s *Schedules) annotate(ctx context.Context, cj *batchv1.CronJob, annotations map[string]any) error {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": cj.UID, "annotations": annotations}})
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	_, err = s.client.BatchV1().CronJobs(cj.Namespace).Patch(ctx, cj.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: byHand})
	if err != nil {
		return explain(err, subject{key: cronJobKey(cj)})
	}
	return nil
}

func cronJobKey(cj *batchv1.CronJob) schema.Key {
	return schema.Key{Group: "batch", Kind: "CronJob", Namespace: cj.Namespace, Name: cj.Name}
}

// byHand is the field manager of what a person changes with rota: it is none of
// a Sync's.
const byHand = schema.FieldManager + "-by-hand"

// Pause pulls the emergency brake of a CronJob; a nil pause lets it go.
func (s *Schedules) Pause(ctx context.Context, cj *batchv1.CronJob, pause *schedule.Pause) error {
	if pause == nil {
		return s.annotate(ctx, cj, map[string]any{schema.AnnotationPause: nil})
	}
	return s.annotate(ctx, cj, map[string]any{schema.AnnotationPause: pause.String()})
}
