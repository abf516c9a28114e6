package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// RunsOptions configures Runs.
type RunsOptions struct {
	// SetID is the value of the label applyset.kubernetes.io/part-of of the
	// CronJobs to watch.
	SetID string
	// Sync is the value of the label rota.dev/sync of their runs.
	Sync string
	// Namespaces are those to watch; empty means all.
	Namespaces []string
	// System is rota's own namespace, where the objects of concurrency groups
	// are; empty means DefaultNamespace.
	System string
	// Timeout bounds each request but the watches; zero means 15 seconds. The
	// answer of a request that takes longer counts as lost.
	Timeout time.Duration
}

// Runs reads and writes the runs of schedules for reconcile.Scheduler, whose
// comment has the protocol. Every method that writes makes one request and
// returns the API server's own error; none retries.
type Runs struct {
	options RunsOptions
	client  kubernetes.Interface
	pace    *pace

	mu       sync.Mutex
	cronJobs []cache.SharedIndexInformer
	jobs     []cache.SharedIndexInformer
	events   *events
}

// NewRuns returns Runs that talk to the cluster of cfg. The client's own limit
// of requests is off, for a fixed one is either too low and makes schedules
// late, or too high and keeps others waiting; see pace for what bounds them.
func NewRuns(cfg *rest.Config, o RunsOptions) (*Runs, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	cfg.UserAgent = schema.FieldManager + "-scheduler"
	pace := newPace()
	cfg.Wrap(pace.over)
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a client for the runs of sync %s: %w", o.Sync, err)
	}
	if o.System == "" {
		o.System = DefaultNamespace
	}
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	return &Runs{options: o, client: client, pace: pace}, nil
}

func (r *Runs) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.options.Timeout)
}

// Live reads a CronJob by quorum. It is nil if there is none, or if it is no
// member of the set.
func (r *Runs) Live(ctx context.Context, name types.NamespacedName) (*batchv1.CronJob, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	cj, err := r.client.BatchV1().CronJobs(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if cj.Labels[schema.ApplySetPartOf] != r.options.SetID {
		return nil, nil
	}
	return cj, nil
}

// Job reads one Job by quorum.
func (r *Runs) Job(ctx context.Context, name types.NamespacedName) (*batchv1.Job, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return r.client.BatchV1().Jobs(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
}

// Prepare creates job.
func (r *Runs) Prepare(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return r.client.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: schema.FieldManager})
}

// Commit puts the status of cj and, with it, its annotations: the status
// subresource of a CronJob stores everything but the spec.
func (r *Runs) Commit(ctx context.Context, cj *batchv1.CronJob) (*batchv1.CronJob, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return r.client.BatchV1().CronJobs(cj.Namespace).UpdateStatus(ctx, cj, metav1.UpdateOptions{FieldManager: schema.FieldManager})
}

// runPatch is one operation of a JSON patch (RFC 6902).
type runPatch struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"` // of an interface type only nil is left out, so that false stays
}

var preparedPath = "/metadata/annotations/" + strings.ReplaceAll(schema.AnnotationPrepared, "/", "~1")

// Release takes the mark off a prepared job and restores the suspend of its
// template. The error is Invalid if it is another Job or has another mark.
func (r *Runs) Release(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	suspend := job.Annotations[schema.AnnotationPrepared] == "true"
	return r.patch(ctx, job,
		runPatch{Op: "remove", Path: preparedPath},
		runPatch{Op: "replace", Path: "/spec/suspend", Value: suspend})
}

// Withdraw changes the mark of a prepared job, so that nothing releases it.
// The error is Invalid if it is another Job or has another mark.
func (r *Runs) Withdraw(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	return r.patch(ctx, job, runPatch{Op: "replace", Path: preparedPath, Value: schedule.PreparedWithdrawn})
}

// patch changes job if it is this one and has the mark that it had.
func (r *Runs) patch(ctx context.Context, job *batchv1.Job, change ...runPatch) (*batchv1.Job, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	body, err := json.Marshal(append([]runPatch{
		{Op: "test", Path: "/metadata/uid", Value: job.UID},
		{Op: "test", Path: preparedPath, Value: job.Annotations[schema.AnnotationPrepared]},
	}, change...))
	if err != nil {
		return nil, fmt.Errorf("encoding a patch: %w", err)
	}
	return r.client.BatchV1().Jobs(job.Namespace).Patch(ctx, job.Name, types.JSONPatchType, body,
		metav1.PatchOptions{FieldManager: schema.FieldManager})
}
