package cluster_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// rules applies an hourly CronJob with the rules of a policy.
func (w *runWorld) rules(name string, policy batchv1.ConcurrencyPolicy, rules schema.Policy, change ...string) {
	w.t.Helper()
	w.apply(name, "r1", policy)
	hourly := `{"spec":{"schedule":"0 * * * *"}}`
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{schema.AnnotationPolicy: rules.String()}}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, patch := range append([]string{hourly, string(body)}, change...) {
		if _, err := w.client.BatchV1().CronJobs(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: schema.FieldManager}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// nextHour moves the clock to just after the next full hour, and returns it.
func (w *runWorld) nextHour() time.Time {
	now := w.now()
	slot := now.Truncate(time.Hour).Add(time.Hour)
	w.offset.Add(int64(slot.Sub(now) + 20*time.Millisecond))
	return slot
}

func group(limit int64) schema.Policy {
	return schema.Policy{ConcurrencyGroup: &schema.ConcurrencyGroup{Name: "warehouse", Limit: limit}}
}

// places reads the object of the group.
func (w *runWorld) places() []schedule.Place {
	w.t.Helper()
	object, err := w.client.CoreV1().ConfigMaps(w.namespace).Get(w.t.Context(), cluster.GroupName("s", "warehouse"), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	g, err := schedule.ParseGroup(object.Data["places"])
	if err != nil {
		w.t.Fatal(err)
	}
	return g.Places
}

// going counts the runs that are released and not finished.
func (w *runWorld) going() (names []string) {
	jobs := w.jobs()
	for i := range jobs {
		if _, prepared := jobs[i].Annotations[schema.AnnotationPrepared]; !prepared && !schedule.Finished(&jobs[i]) {
			names = append(names, jobs[i].Name)
		}
	}
	return names
}

func TestRunsOfAGroupGoOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	for _, name := range []string{"a", "b"} {
		w.rules(name, batchv1.ForbidConcurrent, group(1))
	}
	w.start()
	w.observed("a")
	w.observed("b")
	slot := w.nextHour()
	w.until("one of them runs", func() bool { return w.released("a", slot) || w.released("b", slot) })
	first, second := "a", "b"
	if w.released("b", slot) {
		first, second = "b", "a"
	}
	w.until("the other waits, and says for what", func() bool {
		h := w.cursor(second).Hold
		return h != nil && h.Reason == schedule.GroupFull && h.By == schedule.JobName(first, slot)
	})
	if p := w.places(); len(p) != 1 || p[0].Schedule != w.namespace+"/"+first || p[0].UID != w.job(schedule.JobName(first, slot)).UID {
		t.Errorf("the group has the places %+v", p)
	}
	if label := w.job(schedule.JobName(first, slot)).Labels[schema.LabelGroup]; label != "warehouse" {
		t.Errorf("the run has the label %q", label)
	}
	if w.released(second, slot) {
		t.Error("both run")
	}
	w.finish(first, slot, corev1.PodSucceeded)
	w.until("the other runs when the place is free", func() bool { return w.released(second, slot) })
	w.until("the wait is over", func() bool { return w.cursor(second).Hold == nil })
	w.finish(second, slot, corev1.PodSucceeded)

	// The object is deleted by somebody while a run goes on.
	slot = w.nextHour()
	w.until("one of them runs again", func() bool { return len(w.going()) == 1 })
	if err := w.client.CoreV1().ConfigMaps(w.namespace).Delete(t.Context(), cluster.GroupName("s", "warehouse"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	late := w.start() // which knows nothing, and reads no object
	for range 20 {
		if n := w.going(); len(n) > 1 {
			t.Fatalf("CROWDED: %v", n)
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.finishJob(w.going()[0], corev1.PodSucceeded)
	w.until("the other one runs", func() bool { return w.released("a", slot) && w.released("b", slot) })
	late.stop()
}

// A scheduler is killed when a run has its place and is not committed to, or
// just was: before the commit is sent, and after the server has done it.
func TestRunsOfAGroupSurviveACrashAfterTheirPlaceIsTaken(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("the commit is done: %t", after), func(t *testing.T) {
			t.Parallel()
			w := newRunWorld(t)
			w.rules("a", batchv1.AllowConcurrent, group(1))
			reserved := false
			killed := w.start(func(f *flaky) {
				f.after = after
				f.when = func(name string) bool {
					reserved = reserved || strings.HasSuffix(name, "/configmaps") && strings.HasPrefix(name, "POST")
					return reserved && name == "PUT /status"
				}
			})
			w.observed("a")
			slot := w.nextHour()
			w.until("the scheduler is killed", func() bool {
				killed.mu.Lock()
				defer killed.mu.Unlock()
				return reserved && killed.names[len(killed.names)-1] == "PUT /status"
			})
			killed.stop()
			name := schedule.JobName("a", slot)
			left := w.job(name)
			if left == nil || w.released("a", slot) || len(w.places()) != 1 || w.places()[0].UID != left.UID {
				t.Fatalf("left: places %+v\n%s", w.places(), w.dump())
			}
			if got := w.cursor("a").Slot.Equal(slot); got != after {
				t.Fatalf("committed is %t", got)
			}
			w.rules("b", batchv1.AllowConcurrent, group(1))
			w.start()
			w.until("the run is released", func() bool { return w.released("a", slot) })
			if job := w.job(name); job.UID != left.UID {
				t.Error("it is another Job")
			}
			w.observed("b")
			next := w.nextHour()
			w.until("b waits", func() bool { h := w.cursor("b").Hold; return h != nil && h.Reason == schedule.GroupFull })
			w.finish("a", slot, corev1.PodSucceeded)
			w.until("the next has its turn", func() bool { return w.released("a", next) || w.released("b", next) })
		})
	}
}

func TestRunsOfAGroupOfThreeLeaders(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	names := []string{"a", "b", "c"}
	for _, name := range names {
		w.rules(name, batchv1.AllowConcurrent, group(2))
	}
	for range 3 {
		w.start()
	}
	for _, name := range names {
		w.observed(name)
	}
	ran := map[string]bool{}
	for range 4 {
		w.nextHour()
		for range names {
			var going []string
			w.until("a run is going", func() bool { going = w.going(); return len(going) > 0 })
			if len(going) > 2 {
				t.Fatalf("CROWDED: %v", going)
			}
			ran[going[0][:1]] = true
			w.finishJob(going[0], corev1.PodSucceeded)
			w.until("the queue moves", func() bool { going = w.going(); return len(going) > 0 || w.idle(names) })
			if len(going) == 0 {
				break
			}
		}
	}
	if len(ran) != 3 {
		t.Errorf("of the schedules only %v ran", ran)
	}
}

// idle reports whether no schedule waits.
func (w *runWorld) idle(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return w.cursor(name).Hold != nil })
}

func TestRunsThatFailAreRetriedAndThenReported(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	rules := schema.Policy{Retries: schema.Retries{Limit: 2, Backoff: schema.Duration{Duration: time.Second}}}
	w.rules("f", batchv1.ForbidConcurrent, rules, `{"spec":{"failedJobsHistoryLimit":2}}`)
	w.start()
	w.observed("f")
	slot := w.nextHour()
	var uids []types.UID
	for n := range 3 {
		name := schedule.RetryName("f", slot, n)
		w.until(name+" is released", func() bool { return w.releasedJob(name) })
		job := w.job(name)
		if slices.Contains(uids, job.UID) || job.Annotations[schedule.AnnotationScheduled] != slot.UTC().Format(time.RFC3339) {
			t.Errorf("%s: %+v", name, job.ObjectMeta)
		}
		if got := job.Annotations[schema.AnnotationRetry]; n > 0 && got != fmt.Sprint(n) {
			t.Errorf("%s is retry %q", name, got)
		}
		uids = append(uids, job.UID)
		w.finishJob(name, corev1.PodFailed)
	}
	w.until("it is recorded that all failed", func() bool { r := w.cursor("f").Retry; return r != nil && r.Number == 2 && r.Failed })
	w.until("the history has the last two", func() bool { return len(w.jobs()) == 2 && w.job(schedule.JobName("f", slot)) == nil })
	w.until("it is reported", func() bool {
		events, err := w.client.CoreV1().Events(w.namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=CronJob"})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.Reason == "RetriesExhausted" && strings.Contains(e.Message, "R332")
		})
	})
	if cj := w.cronJob("f"); len(cj.Status.Active) != 0 || !cj.Status.LastScheduleTime.Time.Equal(slot) {
		t.Errorf("status %+v", cj.Status)
	}
	if c := w.cursor("f"); !c.Slot.Equal(slot) || len(c.Recent) != 3 {
		t.Errorf("cursor %+v", c)
	}
}

// A group whose object is spoilt starts nothing, says so, and is mended by
// deleting the object.
func TestRunsOfAGroupThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	name := cluster.GroupName("s", "warehouse")
	if _, err := w.client.CoreV1().ConfigMaps(w.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name},
		Data: map[string]string{"places": "none"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.rules("a", batchv1.AllowConcurrent, group(1))
	w.start()
	w.observed("a")
	slot := w.nextHour()
	w.until("it is reported", func() bool {
		events, err := w.client.CoreV1().Events(w.namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=CronJob"})
		return err == nil && slices.ContainsFunc(events.Items, func(e corev1.Event) bool { return strings.Contains(e.Message, "R333") })
	})
	if len(w.jobs()) != 0 {
		t.Errorf("a run was started: %s", w.dump())
	}
	if err := w.client.CoreV1().ConfigMaps(w.namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("the run starts", func() bool { return w.released("a", slot) })
}
