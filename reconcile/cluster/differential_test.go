package cluster_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

var (
	beside              = flag.Bool("beside", false, "run the tests that last minutes, beside the cluster's own CronJob controller")
	differentialMinutes = flag.Int("differential", 2, "how many minutes rota runs beside the cluster's own controller; other than 2 it implies -beside")
)

// besideTheNativeController skips a test that lasts as long as the controller
// that it looks at: minutes of the real clock. All together they would outlast
// go test's limit for a package.
func besideTheNativeController(t *testing.T) {
	t.Helper()
	if !*beside && *differentialMinutes == 2 {
		t.Skip("lasts minutes of the real clock; .ci/run runs it with -beside")
	}
}

// twin is a CronJob that rota and the cluster's own controller both run, each
// in a namespace of its own.
type twin struct {
	policy batchv1.ConcurrencyPolicy
	// works is how long a run takes; fails whether it fails.
	works time.Duration
	fails bool
	// change is made to the spec of both.
	change func(*batchv1.CronJobSpec)
	// suspend and resume are after how many minutes that happens; zero for never.
	suspend, resume int
}

var twins = map[string]twin{
	"allow-short":   {policy: batchv1.AllowConcurrent, works: 5 * time.Second},
	"allow-long":    {policy: batchv1.AllowConcurrent, works: 80 * time.Second},
	"forbid-short":  {policy: batchv1.ForbidConcurrent, works: 5 * time.Second},
	"forbid-long":   {policy: batchv1.ForbidConcurrent, works: 80 * time.Second},
	"replace-long":  {policy: batchv1.ReplaceConcurrent, works: 80 * time.Second},
	"forbid-strict": {policy: batchv1.ForbidConcurrent, works: 80 * time.Second, change: func(s *batchv1.CronJobSpec) { s.StartingDeadlineSeconds = new(int64(15)) }},
	"failing":       {policy: batchv1.AllowConcurrent, works: 3 * time.Second, fails: true},
	"keeps-none": {policy: batchv1.AllowConcurrent, works: 3 * time.Second, change: func(s *batchv1.CronJobSpec) {
		s.SuccessfulJobsHistoryLimit, s.FailedJobsHistoryLimit = new(int32(0)), new(int32(0))
	}},
	"keeps-one": {policy: batchv1.AllowConcurrent, works: 3 * time.Second, change: func(s *batchv1.CronJobSpec) {
		s.SuccessfulJobsHistoryLimit = new(int32(1))
	}},
	"zoned":     {policy: batchv1.AllowConcurrent, works: 3 * time.Second, change: func(s *batchv1.CronJobSpec) { s.TimeZone = new("Asia/Kolkata") }},
	"suspended": {policy: batchv1.AllowConcurrent, works: 3 * time.Second, suspend: 1, resume: 3},
}

// twinState is what can be seen of a CronJob in the end.
type twinState struct {
	// Runs has the scheduled timestamp of every Job that ever was, by name.
	Runs map[string]string
	// Left are the Jobs that are there.
	Left []string
	// Active, LastSchedule and Succeeded are of the status; Succeeded is
	// whether lastSuccessfulTime is set.
	Active       []string
	LastSchedule string
	Succeeded    bool
}

// TestDifferential runs the same CronJobs by rota and by the cluster's own
// controller, side by side over some minutes of real time, and compares what
// they left. docs/scheduler.md lists where they may differ; none of it is in
// these cases.
func TestDifferential(t *testing.T) {
	besideTheNativeController(t)
	t.Parallel()
	rota, native := newRunWorld(t), newRunWorld(t)
	rota.offset.Store(0) // the native controller goes by the real clock
	journals := map[*runWorld]*journal{rota: rota.follow(), native: native.follow()}
	// Both begin well after one slot and before the next.
	time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute + 15*time.Second)))
	for name, c := range twins {
		rota.twin(name, c, true)
		native.twin(name, c, false)
	}
	rota.start()
	begun := map[types.UID]time.Time{}
	first := time.Now().Truncate(time.Minute)
	end := first.Add(time.Duration(*differentialMinutes)*time.Minute + 45*time.Second)
	switched := map[string]bool{}
	for time.Now().Before(end) {
		for _, w := range []*runWorld{rota, native} {
			w.playTwins(begun)
			for name, c := range twins {
				w.switchTwin(name, c, time.Since(first), w == rota, switched)
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	for _, name := range slices.Sorted(maps.Keys(twins)) {
		t.Run(name, func(t *testing.T) {
			got, want := rota.twinState(name, journals[rota]), native.twinState(name, journals[native])
			if len(want.Runs) == 0 {
				t.Error("the cluster's own controller ran nothing")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("- native, + rota:\n%s", diff)
			}
		})
	}
}

// twin makes a CronJob, for rota or for the cluster's own controller.
func (w *runWorld) twin(name string, c twin, borrowed bool) {
	w.t.Helper()
	var cj batchv1.CronJob
	if err := json.Unmarshal(fmt.Appendf(nil, manifest, name, w.namespace, "r1", c.policy, 3), &cj); err != nil {
		w.t.Fatal(err)
	}
	cj.Spec.Suspend = &borrowed
	if !borrowed {
		cj.Labels, cj.Annotations = nil, nil
	}
	cj.Spec.JobTemplate.Labels = nil
	cj.Spec.JobTemplate.Spec.Template.Labels = map[string]string{"twin": name}
	if c.change != nil {
		c.change(&cj.Spec)
	}
	if _, err := w.client.BatchV1().CronJobs(w.namespace).Create(w.t.Context(), &cj, metav1.CreateOptions{FieldManager: schema.FieldManager}); err != nil {
		w.t.Fatal(err)
	}
}

// switchTwin suspends and resumes a CronJob half a minute after a slot.
func (w *runWorld) switchTwin(name string, c twin, since time.Duration, borrowed bool, done map[string]bool) {
	for minute, suspend := range map[int]bool{c.suspend: true, c.resume: false} {
		key := fmt.Sprint(w.namespace, name, suspend)
		if minute == 0 || done[key] || since < time.Duration(minute)*time.Minute+30*time.Second {
			continue
		}
		done[key] = true
		patch := fmt.Sprintf(`{"spec":{"suspend":%t}}`, suspend)
		if borrowed {
			patch = fmt.Sprintf(`{"metadata":{"annotations":{%q:"%t"}}}`, schema.AnnotationSuspended, suspend)
		}
		if _, err := w.client.BatchV1().CronJobs(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// playTwins ends the Pods that have worked long enough.
func (w *runWorld) playTwins(begun map[types.UID]time.Time) {
	pods, err := w.client.CoreV1().Pods(w.namespace).List(w.t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Pending"})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, pod := range pods.Items {
		c := twins[pod.Labels["twin"]]
		if begun[pod.UID].IsZero() {
			begun[pod.UID] = time.Now()
		}
		// The moment is that of the slot, so that both are treated alike.
		if time.Since(pod.CreationTimestamp.Truncate(time.Minute)) < c.works {
			continue
		}
		phase := corev1.PodSucceeded
		if c.fails {
			phase = corev1.PodFailed
		}
		body, _ := json.Marshal(map[string]any{"status": map[string]any{"phase": phase}})
		_, _ = w.client.CoreV1().Pods(w.namespace).Patch(w.t.Context(), pod.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
	}
}

// twinState reads what became of a CronJob.
func (w *runWorld) twinState(name string, j *journal) twinState {
	s := twinState{Runs: map[string]string{}}
	j.mu.Lock()
	for _, seen := range j.states {
		job, ok := seen.object.(*batchv1.Job)
		if _, prepared := seen.object.GetAnnotations()[schema.AnnotationPrepared]; ok && !prepared && strings.HasPrefix(job.Name, name+"-") {
			s.Runs[job.Name] = job.Annotations[schedule.AnnotationScheduled]
		}
	}
	j.mu.Unlock()
	for _, job := range w.jobs() {
		if strings.HasPrefix(job.Name, name+"-") {
			s.Left = append(s.Left, job.Name)
		}
	}
	cj := w.cronJob(name)
	for _, ref := range cj.Status.Active {
		s.Active = append(s.Active, ref.Name)
	}
	slices.Sort(s.Left)
	slices.Sort(s.Active)
	if cj.Status.LastScheduleTime != nil {
		s.LastSchedule = cj.Status.LastScheduleTime.UTC().Format(time.RFC3339)
	}
	s.Succeeded = cj.Status.LastSuccessfulTime != nil
	return s
}
