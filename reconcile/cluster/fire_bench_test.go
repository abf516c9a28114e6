package cluster_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile"
	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/cluster/local"
	"rota.dev/rota/reconcile/cluster/local/localtest"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// crowd makes n CronJobs of every minute; change may turn them into rota's.
// Their Jobs are suspended, so that no Pod is made and only the scheduling is
// measured.
func (w *runWorld) crowd(prefix string, n int, change func(*batchv1.CronJob)) []*batchv1.CronJob {
	w.t.Helper()
	all := make([]*batchv1.CronJob, n)
	w.parallel(n, func(i int) error {
		cj := &batchv1.CronJob{Spec: batchv1.CronJobSpec{Schedule: "* * * * *"}}
		cj.Name = fmt.Sprintf("%s-%04d", prefix, i)
		suspended := true
		cj.Spec.JobTemplate.Spec.Suspend = &suspended
		cj.Spec.JobTemplate.Spec.Template.Spec = corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "c", Image: "example.com/c"}},
		}
		change(cj)
		made, err := w.client.BatchV1().CronJobs(w.namespace).Create(context.Background(), cj, metav1.CreateOptions{})
		all[i] = made
		return err
	})
	return all
}

// bareWorkers is how many writes a bare loop has in flight, as many as a
// Scheduler has workers.
const bareWorkers = 16

func (w *runWorld) parallel(n int, do func(i int) error) {
	w.t.Helper()
	var group errgroup.Group
	group.SetLimit(bareWorkers)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	if err := group.Wait(); err != nil {
		w.t.Fatal(err)
	}
}

func borrowed(set string) func(*batchv1.CronJob) {
	return func(cj *batchv1.CronJob) {
		suspend := true
		cj.Spec.Suspend = &suspend
		cj.Labels = map[string]string{schema.ApplySetPartOf: set}
		cj.Annotations = map[string]string{schema.AnnotationScheduler: "rota", schema.AnnotationSuspended: "false", schema.AnnotationRevision: "r1"}
	}
}

// bareLoop makes the three writes of a run of each CronJob, and nothing else.
func (w *runWorld) bareLoop(runs *cluster.Runs, cronJobs []*batchv1.CronJob) time.Duration {
	slot := w.now().Truncate(time.Minute)
	started := time.Now()
	w.parallel(len(cronJobs), func(i int) error {
		ctx := context.Background()
		job, err := runs.Prepare(ctx, schedule.NewRun(cronJobs[i], "bare", slot))
		if err != nil {
			return err
		}
		start := schedule.Start{Slot: slot, Name: job.Name}
		committed, err := schedule.Record(schedule.View{CronJob: cronJobs[i]}, []schedule.Action{start}, map[string]*batchv1.Job{job.Name: job})
		if err != nil {
			return err
		}
		if _, err = runs.Commit(ctx, committed); err != nil {
			return err
		}
		_, err = runs.Release(ctx, job)
		return err
	})
	return time.Since(started)
}

// arrivals notes when a watch shows what is waited for.
type arrivals struct {
	mu    sync.Mutex
	seen  map[string]time.Time
	done  chan struct{}
	count int
}

// arrive watches the Jobs until count of them are as is says, of any name.
func (w *runWorld) arrive(ctx context.Context, count int, is func(*batchv1.Job) bool) *arrivals {
	w.t.Helper()
	a := &arrivals{seen: map[string]time.Time{}, done: make(chan struct{}), count: count}
	list, err := w.client.BatchV1().Jobs(w.namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	version := list.ResourceVersion
	go func() {
		for ctx.Err() == nil {
			watching, err := w.client.BatchV1().Jobs(w.namespace).Watch(ctx, metav1.ListOptions{ResourceVersion: version})
			if err != nil {
				continue
			}
			// The server cuts watches under a burst; the next goes on where it was.
			for event := range watching.ResultChan() {
				job, ok := event.Object.(*batchv1.Job)
				if !ok {
					break
				}
				version = job.ResourceVersion
				if event.Type != watch.Deleted && is(job) {
					a.note(job.Name)
				}
			}
			watching.Stop()
		}
	}()
	return a
}

func (a *arrivals) note(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.seen[name]; known {
		return
	}
	a.seen[name] = time.Now()
	if len(a.seen) == a.count {
		close(a.done)
	}
}

// lags returns how long after due each was seen, in order.
func (a *arrivals) lags(due time.Time) []float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []float64
	for _, at := range a.seen {
		all = append(all, at.Sub(due).Seconds())
	}
	slices.Sort(all)
	return all
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func isReleased(slot time.Time) func(*batchv1.Job) bool {
	suffix := schedule.JobName("", slot)
	return func(job *batchv1.Job) bool {
		_, prepared := job.Annotations[schema.AnnotationPrepared]
		return !prepared && strings.HasSuffix(job.Name, suffix)
	}
}

// tally counts what is asked, but for watches.
type tally struct {
	next http.RoundTripper
	mu   sync.Mutex
	n    map[string]int
}

// RoundTrip implements http.RoundTripper.
func (c *tally) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	what := r.Method
	if strings.HasSuffix(r.URL.Path, "/events") {
		what += " events"
	}
	c.n[what]++
	c.mu.Unlock()
	return c.next.RoundTrip(r)
}

func (c *tally) take() (counts map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts, c.n = c.n, map[string]int{}
	return counts
}

// crew is a scheduler that is measured.
func (w *runWorld) crew(ctx context.Context, set string) (*tally, <-chan struct{}) {
	w.t.Helper()
	counted := &tally{n: map[string]int{}}
	config := rest.CopyConfig(w.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { counted.next = next; return counted })
	runs, err := cluster.NewRuns(config, cluster.RunsOptions{SetID: set, Sync: "s", Namespaces: []string{w.namespace}})
	if err != nil {
		w.t.Fatal(err)
	}
	s := reconcile.NewScheduler(reconcile.SchedulerOptions{
		Reader: runs, Writer: runs, Keeper: runs, Events: runs, Sync: "s", Now: w.now,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	return counted, done
}

// allObserved waits until every CronJob of the crowd has a cursor.
func (w *runWorld) allObserved(prefix string, n int) {
	w.t.Helper()
	w.until("every schedule is recorded", func() bool {
		list, err := w.client.BatchV1().CronJobs(w.namespace).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		known := 0
		for _, cj := range list.Items {
			if strings.HasPrefix(cj.Name, prefix) && cj.Annotations[schema.AnnotationCursor] != "" {
				known++
			}
		}
		return known == n
	})
}

// toBefore moves the clock to the given time before the next full minute. It
// returns that minute, and when it comes by the real clock.
func (w *runWorld) toBefore(lead time.Duration) (slot, due time.Time) {
	now := w.now()
	slot = now.Truncate(time.Minute).Add(time.Minute)
	w.offset.Add(int64(slot.Sub(now) - lead))
	return slot, time.Now().Add(lead)
}

// fire lets a minute of n schedules come and returns how late each run began,
// as a watch saw it, in order.
func (w *runWorld) fire(n int) []float64 {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// Far enough ahead for the watch to be there.
	slot, due := w.toBefore(2 * time.Second)
	seen := w.arrive(ctx, n, isReleased(slot))
	select {
	case <-seen.done:
	case <-time.After(2 * time.Minute):
		w.t.Fatalf("%d of %d runs began within two minutes", len(seen.lags(due)), n)
	}
	return seen.lags(due)
}

// BenchmarkFire compares the runs of one minute with a bare loop that makes
// the same three writes for as many Jobs, one after the other in each round.
func BenchmarkFire(b *testing.B) {
	for _, n := range []int{500, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			quiet := localtest.Own(b, local.Options{Args: []string{"--node", "none", "--controllers", "namespace"}})
			w := newRunWorldIn(b, quiet)
			mine := w.crowd("mine", n, borrowed("mine"))
			ctx, cancel := context.WithCancel(context.Background())
			counted, done := w.crew(ctx, "mine")
			defer func() { cancel(); <-done }()
			w.allObserved("mine", len(mine))
			var ratios, lags []float64
			per := 0.0
			for round := 0; b.Loop(); round++ {
				bare := newRunWorldIn(b, quiet)
				runs, err := cluster.NewRuns(bare.config, cluster.RunsOptions{SetID: "bare", Sync: "bare"})
				if err != nil {
					b.Fatal(err)
				}
				crowd := bare.crowd("bare", n, borrowed("bare"))
				limit := bare.bareLoop(runs, crowd)
				counted.take()
				lag := w.fire(n)
				got := counted.take()
				b.Logf("round %d: bare %s, rota %.2fs (p50 %.3fs, p99 %.3fs): %v", round, limit, lag[len(lag)-1], quantile(lag, .5), quantile(lag, .99), got)
				per = float64(got["POST"]+got["PUT"]+got["PATCH"]) / float64(n)
				ratios = append(ratios, lag[len(lag)-1]/limit.Seconds())
				lags = append(lags, quantile(lag, .99))
			}
			slices.Sort(ratios)
			slices.Sort(lags)
			b.ReportMetric(ratios[len(ratios)/2], "median-x-of-bare")
			b.ReportMetric(lags[len(lags)/2], "p99-lag-s")
			b.ReportMetric(per, "writes/run")
		})
	}
}

// native leaves a CronJob to the cluster's own controller.
func native(*batchv1.CronJob) {}

// nativeMinute waits for the next full minute of the real clock and returns
// how late the n native runs of it were made, as far as they were within the
// minute, in order.
func (w *runWorld) nativeMinute(n int) []float64 {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	slot := time.Now().Truncate(time.Minute).Add(time.Minute)
	suffix := schedule.JobName("", slot)
	seen := w.arrive(ctx, n, func(job *batchv1.Job) bool { return strings.HasSuffix(job.Name, suffix) })
	select {
	case <-seen.done:
	case <-time.After(time.Until(slot.Add(time.Minute))):
	}
	return seen.lags(slot)
}

// awaitMinute waits for the first seconds of a minute, so that there is time
// to make CronJobs before the next one. Nothing but the clock tells of it.
func awaitMinute() {
	now := time.Now()
	if into := now.Sub(now.Truncate(time.Minute)); into > 10*time.Second {
		time.Sleep(time.Minute - into)
	}
}

// besideNative is how many schedules are compared with the cluster's own
// controller: as many as that one can start within a minute.
const besideNative = 500

// defaults make the controllers of a local cluster as slow as those of
// kube-controller-manager are by their default flags.
var defaults = []string{"--node", "none", "--kube-api-qps", "20", "--kube-api-burst", "30"}

// BenchmarkFireBesideNative compares how late the runs of a minute begin with
// the cluster's own controller at its default flags, each on a cluster of its
// own; and how late the native runs of a few CronJobs are with rota's load on
// the same cluster and without. It takes six minutes.
func BenchmarkFireBesideNative(b *testing.B) {
	const few = 50
	for b.Loop() {
		theirs := newRunWorldIn(b, localtest.Own(b, local.Options{Args: defaults}))
		awaitMinute()
		theirs.crowd("native", besideNative, native)
		lagNative := theirs.nativeMinute(besideNative)

		cluster := localtest.Own(b, local.Options{Args: defaults})
		ours := newRunWorldIn(b, cluster)
		ours.crowd("mine", besideNative, borrowed("mine"))
		ctx, cancel := context.WithCancel(context.Background())
		_, done := ours.crew(ctx, "mine")
		ours.allObserved("mine", besideNative)
		lagOurs := ours.fire(besideNative)

		beside := newRunWorldIn(b, cluster)
		awaitMinute()
		beside.crowd("native", few, native)
		before := beside.nativeMinute(few)
		// Whole minutes ahead, so that both are due in the same moment.
		ours.offset.Store(int64(time.Duration(ours.offset.Load()).Truncate(time.Minute) + time.Minute))
		awaitMinute()
		during := beside.nativeMinute(few)
		cancel()
		<-done

		b.Logf("%d at once: native %d in time, p50 %.2fs, p99 %.2fs; rota p50 %.3fs, p99 %.3fs", besideNative,
			len(lagNative), quantile(lagNative, .5), quantile(lagNative, .99), quantile(lagOurs, .5), quantile(lagOurs, .99))
		b.Logf("%d native ones beside it: alone p50 %.2fs, p99 %.2fs; with rota's load p50 %.2fs, p99 %.2fs", few,
			quantile(before, .5), quantile(before, .99), quantile(during, .5), quantile(during, .99))
		b.ReportMetric(quantile(lagNative, .99)/quantile(lagOurs, .99), "native-p99-x-of-rota")
		b.ReportMetric(quantile(during, .99)/quantile(before, .99), "native-beside-rota-x-of-alone")
	}
}
