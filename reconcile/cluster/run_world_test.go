package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile"
	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/cluster/local"
	"rota.dev/rota/reconcile/cluster/local/localtest"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// runWorld is one test's namespace on the real API server, with the real Job
// controller and garbage collector. There is no node: the test says when Pods
// end. Its clock can be moved on to the next minute, so that slots come when
// the test wants them.
type runWorld struct {
	t         testing.TB
	config    *rest.Config
	client    kubernetes.Interface
	namespace string
	// kubeconfig is the file that config is from.
	kubeconfig string
	offset     atomic.Int64
}

const waitFor = 60 * time.Second

var runSerial atomic.Int64

func newRunWorld(t testing.TB) *runWorld {
	t.Helper()
	return newRunWorldIn(t, localtest.Shared(t, "--node", "none"))
}

func newRunWorldIn(t testing.TB, where *local.Local) *runWorld {
	t.Helper()
	w := &runWorld{t: t, config: where.Config(), kubeconfig: where.Kubeconfig, namespace: fmt.Sprintf("runs-%d", runSerial.Add(1))}
	w.beginMinute()
	w.config.QPS = -1
	client, err := kubernetes.NewForConfig(w.config)
	if err != nil {
		t.Fatal(err)
	}
	w.client = client
	if _, err := client.CoreV1().Namespaces().Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.CoreV1().Namespaces().Delete(context.Background(), w.namespace, metav1.DeleteOptions{})
	})
	return w
}

// beginMinute sets the clock so far back that no full minute comes by itself
// before the test asks for one: it would be a slot more.
func (w *runWorld) beginMinute() {
	w.offset.Store(0)
	if now := w.now(); now.Sub(now.Truncate(time.Minute)) > 40*time.Second {
		w.offset.Store(-int64(20 * time.Second))
	}
}

func (w *runWorld) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

// nextSlot moves the clock to just after the next full minute, and returns it.
func (w *runWorld) nextSlot() time.Time {
	now := w.now()
	slot := now.Truncate(time.Minute).Add(time.Minute)
	w.offset.Add(int64(slot.Sub(now)) + int64(20*time.Millisecond))
	return slot
}

const manifest = `{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":%q,"namespace":%q,
 "labels":{"applyset.kubernetes.io/part-of":"set-a"},
 "annotations":{"rota.dev/scheduler":"rota","rota.dev/suspended":"false","rota.dev/revision":%q}},
 "spec":{"schedule":"* * * * *","suspend":true,"concurrencyPolicy":%q,"successfulJobsHistoryLimit":%d,"failedJobsHistoryLimit":1,
 "jobTemplate":{"metadata":{"labels":{"applyset.kubernetes.io/part-of":"set-a","app":"x"}},"spec":{"backoffLimit":0,"template":{"spec":{"restartPolicy":"Never","terminationGracePeriodSeconds":1,
 "containers":[{"name":"c","image":"example.com/c","command":["true"]}]}}}}}}`

// apply applies a CronJob as rota does.
func (w *runWorld) apply(name, revision string, policy batchv1.ConcurrencyPolicy) {
	w.t.Helper()
	force := true
	body := fmt.Sprintf(manifest, name, w.namespace, revision, policy, 2)
	if _, err := w.client.BatchV1().CronJobs(w.namespace).Patch(w.t.Context(), name, types.ApplyPatchType, []byte(body),
		metav1.PatchOptions{FieldManager: schema.FieldManager, Force: &force}); err != nil {
		w.t.Fatal(err)
	}
}

// flaky numbers the requests of one scheduler and fails one of them.
type flaky struct {
	next  http.RoundTripper
	mu    sync.Mutex
	calls int
	names []string
	// at is the call to fail, or when says it by its name; after, whether the
	// server has already done it.
	at    int
	when  func(name string) bool
	after bool
	// crash is called then.
	crash func()
}

// RoundTrip implements http.RoundTripper.
func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.RawQuery, "watch=") || strings.Contains(r.URL.Path, "/events") || (r.Method == "GET" && strings.Count(r.URL.Path, "/") == 4) {
		return f.next.RoundTrip(r) // watches, events, and the lists that watches begin with
	}
	f.mu.Lock()
	f.calls++
	name := r.Method + " " + r.URL.Path[strings.LastIndex(r.URL.Path, "/"):]
	fail := f.calls == f.at || f.when != nil && f.when(name)
	f.names = append(f.names, name)
	f.mu.Unlock()
	if !fail {
		return f.next.RoundTrip(r)
	}
	if f.after {
		if response, err := f.next.RoundTrip(r.Clone(context.WithoutCancel(r.Context()))); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	}
	if f.crash != nil {
		f.crash()
	}
	return nil, errors.New("connection reset by the test")
}

// scheduler is a running scheduler.
type scheduler struct {
	*flaky
	stop func()
}

// start runs a scheduler of the set until stop or the end of the test.
func (w *runWorld) start(change ...func(*flaky)) *scheduler {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &flaky{}
	config := rest.CopyConfig(w.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { f.next = next; return f })
	for _, c := range change {
		c(f)
	}
	if (f.at != 0 || f.when != nil) && f.crash == nil {
		f.crash = cancel
	}
	runs, err := cluster.NewRuns(config, cluster.RunsOptions{SetID: "set-a", Sync: "s", Namespaces: []string{w.namespace}, System: w.namespace})
	if err != nil {
		w.t.Fatal(err)
	}
	s := reconcile.NewScheduler(reconcile.SchedulerOptions{
		Reader: runs, Writer: runs, Keeper: runs, Events: runs, Groups: runs, Sync: "s", Now: w.now, ClockCheck: 20 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	var once sync.Once
	stop := func() { once.Do(func() { cancel(); <-done }) }
	w.t.Cleanup(stop)
	return &scheduler{flaky: f, stop: stop}
}

// until waits until the condition holds.
func (w *runWorld) until(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(waitFor)
	for !holds() {
		if time.Now().After(deadline) {
			w.t.Fatalf("not in %s: %s\n%s", waitFor, what, w.dump())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *runWorld) dump() string {
	var b strings.Builder
	cronJobs, _ := w.client.BatchV1().CronJobs(w.namespace).List(w.t.Context(), metav1.ListOptions{})
	for _, cj := range cronJobs.Items {
		fmt.Fprintf(&b, "%s active=%d cursor=%s\n", cj.Name, len(cj.Status.Active), cj.Annotations[schema.AnnotationCursor])
	}
	for _, job := range w.jobs() {
		fmt.Fprintf(&b, "%s suspend=%t annotations=%v deleting=%v status=%+v\n", job.Name, *job.Spec.Suspend, job.Annotations, job.DeletionTimestamp, job.Status)
	}
	return b.String()
}

func (w *runWorld) cronJob(name string) *batchv1.CronJob {
	w.t.Helper()
	cj, err := w.client.BatchV1().CronJobs(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return cj
}

func (w *runWorld) cursor(name string) schedule.Cursor {
	c, _ := schedule.ParseCursor(w.cronJob(name).Annotations[schema.AnnotationCursor])
	return c
}

func (w *runWorld) jobs() []batchv1.Job {
	list, err := w.client.BatchV1().Jobs(w.namespace).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// job returns nil if there is none.
func (w *runWorld) job(name string) *batchv1.Job {
	job, err := w.client.BatchV1().Jobs(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return job
}

// released reports whether the run of the slot was let go.
func (w *runWorld) released(name string, slot time.Time) bool {
	return w.releasedJob(schedule.JobName(name, slot))
}

func (w *runWorld) releasedJob(name string) bool {
	job := w.job(name)
	if job == nil {
		return false
	}
	_, prepared := job.Annotations[schema.AnnotationPrepared]
	return !prepared && !*job.Spec.Suspend
}

// observed waits until the scheduler has recorded the schedule.
func (w *runWorld) observed(name string) {
	w.t.Helper()
	w.until("the schedule of "+name+" is recorded", func() bool { return !w.cursor(name).IsZero() })
}

// finish ends the Pods of the run of a slot, and waits until the Job ended.
func (w *runWorld) finish(name string, slot time.Time, phase corev1.PodPhase) {
	w.t.Helper()
	w.finishJob(schedule.JobName(name, slot), phase)
}

func (w *runWorld) finishJob(job string, phase corev1.PodPhase) {
	w.t.Helper()
	w.until(job+" ends", func() bool {
		pods, err := w.client.CoreV1().Pods(w.namespace).List(w.t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, pod := range pods.Items {
			if pod.Status.Phase != phase {
				body, _ := json.Marshal(map[string]any{"status": map[string]any{"phase": phase}})
				_, _ = w.client.CoreV1().Pods(w.namespace).Patch(w.t.Context(), pod.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
			}
		}
		j := w.job(job)
		if j == nil {
			return true // the history limit may have taken it
		}
		for _, c := range j.Status.Conditions {
			if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
				return true
			}
		}
		return false
	})
}
