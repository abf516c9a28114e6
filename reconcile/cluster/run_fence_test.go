package cluster_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

func (w *runWorld) runs(wrap func(http.RoundTripper) http.RoundTripper) *cluster.Runs {
	w.t.Helper()
	config := rest.CopyConfig(w.config)
	if wrap != nil {
		config.Wrap(wrap)
	}
	runs, err := cluster.NewRuns(config, cluster.RunsOptions{SetID: "set-a", Sync: "s", Namespaces: []string{w.namespace}})
	if err != nil {
		w.t.Fatal(err)
	}
	return runs
}

func TestCommitIsRefusedOnAnOldState(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.AllowConcurrent)
	old := w.cronJob("c")
	w.apply("c", "r2", batchv1.AllowConcurrent)
	old.Annotations[schema.AnnotationCursor] = "x"
	if _, err := w.runs(nil).Commit(t.Context(), old); !apierrors.IsConflict(err) {
		t.Errorf("a commit on an old state: %v, want a conflict", err)
	}
	if got := w.cronJob("c"); got.Annotations[schema.AnnotationCursor] != "" || got.Annotations[schema.AnnotationRevision] != "r2" {
		t.Errorf("stored: %v", got.Annotations)
	}
}

// Every write to a Job is for the very Job, in the very state, that was decided on.
func TestAPatchIsForTheVeryJob(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.AllowConcurrent)
	runs := w.runs(nil)
	slot := w.now().Truncate(time.Minute)
	first, err := runs.Prepare(t.Context(), schedule.NewRun(w.cronJob("c"), "s", slot))
	if err != nil {
		t.Fatal(err)
	}
	if err := runs.Delete(t.Context(), first, schedule.DeleteFinished); err != nil {
		t.Fatal(err)
	}
	second, err := runs.Prepare(t.Context(), schedule.NewRun(w.cronJob("c"), "s", slot))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if !apierrors.IsInvalid(err) && !apierrors.IsConflict(err) {
			t.Errorf("%s: %v, want it refused", what, err)
		}
		if job := w.job(second.Name); job == nil || job.UID != second.UID || !*job.Spec.Suspend ||
			job.Annotations[schema.AnnotationPrepared] != second.Annotations[schema.AnnotationPrepared] {
			t.Fatalf("%s: the Job is now %v", what, job)
		}
	}
	_, err = runs.Release(t.Context(), first)
	refused("a release of an earlier Job of the name", err)
	_, err = runs.Withdraw(t.Context(), first)
	refused("a withdrawal of an earlier Job of the name", err)
	for _, how := range []schedule.Deletion{schedule.DeleteUnreleased, schedule.DeleteReplaced, schedule.DeleteFinished} {
		refused("a deletion of an earlier Job of the name", runs.Delete(t.Context(), first, how))
	}

	prepared := second.DeepCopy()
	if second, err = runs.Withdraw(t.Context(), prepared); err != nil {
		t.Fatal(err)
	}
	_, err = runs.Release(t.Context(), prepared)
	refused("a release of a Job that was withdrawn meanwhile", err)
	refused("a sweep of a Job that changed meanwhile", runs.Delete(t.Context(), prepared, schedule.DeleteUnreleased))

	third, err := runs.Prepare(t.Context(), schedule.NewRun(w.cronJob("c"), "s", slot.Add(time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = runs.Release(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	if _, err := runs.Release(t.Context(), third); !apierrors.IsInvalid(err) {
		t.Errorf("a second release: %v, want it refused", err)
	}
	if _, err := runs.Withdraw(t.Context(), third); !apierrors.IsInvalid(err) {
		t.Errorf("a withdrawal of a Job that was let go: %v, want it refused", err)
	}
	if err := runs.Delete(t.Context(), third, schedule.DeleteUnreleased); !apierrors.IsConflict(err) {
		t.Errorf("a sweep of a Job that was let go: %v, want a conflict", err)
	}
}

// requests remembers the reads, and can hold some of them.
type requests struct {
	next http.RoundTripper
	hold func(*http.Request) <-chan struct{}
	// old answers as an API server that cannot stream lists.
	old bool

	mu   sync.Mutex
	seen []*http.Request
}

// RoundTrip implements http.RoundTripper.
func (q *requests) RoundTrip(r *http.Request) (*http.Response, error) {
	q.mu.Lock()
	q.seen = append(q.seen, r)
	q.mu.Unlock()
	if q.hold != nil {
		if gate := q.hold(r); gate != nil {
			select {
			case <-gate:
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
	}
	if q.old && r.URL.Query().Get("sendInitialEvents") != "" {
		body := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`
		return &http.Response{StatusCode: 422, Request: r, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
	return q.next.RoundTrip(r)
}

// watch watches in the background, and returns what ends that.
func (w *runWorld) watch(runs *cluster.Runs, changed func(types.NamespacedName)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := runs.Watch(ctx, changed); err != nil {
			w.t.Error(err)
		}
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	w.t.Cleanup(stop)
	return stop
}

// A resourceVersion in a read lets the API server answer with what it remembers.
func TestRunsBeginWithAQuorumRead(t *testing.T) {
	for name, old := range map[string]bool{"lists are streamed": false, "lists are read": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			beginsWithAQuorumRead(t, old)
		})
	}
}

func beginsWithAQuorumRead(t *testing.T, old bool) {
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.AllowConcurrent)
	q := &requests{old: old}
	runs := w.runs(func(next http.RoundTripper) http.RoundTripper { q.next = next; return q })
	told := make(chan struct{}, 100)
	stop := w.watch(runs, func(types.NamespacedName) { told <- struct{}{} })
	<-told
	name := types.NamespacedName{Namespace: w.namespace, Name: "c"}
	if _, err := runs.Live(t.Context(), name); err != nil {
		t.Error(err)
	}
	if _, err := runs.Job(t.Context(), name); !apierrors.IsNotFound(err) {
		t.Error(err)
	}
	if _, err := runs.Pods(t.Context(), name, "x"); err != nil {
		t.Error(err)
	}
	if _, err := runs.Owned(t.Context(), w.cronJob("c")); err != nil {
		t.Error(err)
	}
	stop()
	begun, reads := map[string]bool{}, 0
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.seen {
		resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		query := r.URL.Query()
		if query.Has("watch") && begun[resource] {
			continue // it goes on from what was read
		}
		if query.Has("watch") && query.Get("sendInitialEvents") != "true" {
			t.Errorf("%s: a watch before a read", r.URL)
		}
		begun[resource] = true
		if r.Method == http.MethodGet {
			reads++
			if query.Get("resourceVersion") != "" {
				t.Errorf("%s: an old answer would do", r.URL)
			}
		}
	}
	if reads < 6 {
		t.Errorf("only %d reads", reads)
	}
}

// What a leader that starts has not read yet might be a run that is active.
func TestRunsDecideNothingBeforeAllIsRead(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.ForbidConcurrent)
	gate := make(chan struct{})
	var cronJobs atomic.Bool
	q := &requests{hold: func(r *http.Request) <-chan struct{} {
		if strings.HasSuffix(r.URL.Path, "/jobs") {
			return gate
		}
		cronJobs.Store(true)
		return nil
	}}
	told := make(chan struct{}, 100)
	w.watch(w.runs(func(next http.RoundTripper) http.RoundTripper { q.next = next; return q }), func(types.NamespacedName) { told <- struct{}{} })
	w.until("the CronJobs are asked for", cronJobs.Load)
	select {
	case <-told:
		t.Error("it was told of a CronJob before its runs were read")
	case <-time.After(2 * time.Second): // the answer is there long before
	}
	close(gate)
	<-told
}

// An apply of the CronJob lets no run that was prepared for it go: only a
// release does.
func TestAnApplyOfTheManifestReleasesNoPreparedRun(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.apply("c", "r1", batchv1.AllowConcurrent)
	run := schedule.NewRun(w.cronJob("c"), "s", w.now().Truncate(time.Minute))
	prepared, err := w.runs(nil).Prepare(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	w.apply("c", "r2", batchv1.AllowConcurrent)
	job := w.job(prepared.Name)
	if job == nil || !*job.Spec.Suspend || !metav1.HasAnnotation(job.ObjectMeta, schema.AnnotationPrepared) {
		t.Errorf("after an apply of the CronJob the run is %v", job)
	}
}
