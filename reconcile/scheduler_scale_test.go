package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// fleet is a cluster with very many schedules: it takes every write at once and
// counts what it is asked, which is all that counts where the scheduler's own
// work is measured.
type fleet struct {
	mu       sync.Mutex
	cronJobs map[types.NamespacedName]*batchv1.CronJob
	jobs     map[types.NamespacedName][]*batchv1.Job // by schedule; none of them ends
	changed  func(types.NamespacedName)

	looks, writes, reads atomic.Int64
}

// dueEvery is how many schedules share a minute: of 100,000 about 1,000.
const dueEvery = 100

// newFleet makes n daily schedules, in use since yesterday. A hundredth of
// them is due at 00:01.
func newFleet(n int, now time.Time) *fleet {
	f := &fleet{cronJobs: make(map[types.NamespacedName]*batchv1.CronJob, n), jobs: map[types.NamespacedName][]*batchv1.Job{}}
	created := now.Add(-24 * time.Hour)
	for i := range n {
		at := 1 + i%dueEvery*13 // 13 minutes apart, all within a day
		cj := &batchv1.CronJob{}
		cj.Namespace, cj.Name = "batch", fmt.Sprintf("schedule-%06d", i)
		cj.UID, cj.ResourceVersion = types.UID(cj.Name), "1"
		cj.CreationTimestamp = metav1.Time{Time: created}
		suspend := true
		cj.Spec = batchv1.CronJobSpec{Schedule: fmt.Sprintf("%d %d * * *", at%60, at/60), Suspend: &suspend}
		cursor := schedule.Cursor{Schedule: cj.Spec.Schedule, Since: created, Slot: now, Outcome: schedule.Ran}
		cj.Labels = map[string]string{schema.ApplySetPartOf: "set"}
		cj.Annotations = map[string]string{
			schema.AnnotationScheduler: "rota", schema.AnnotationSuspended: "false", schema.AnnotationCursor: cursor.String(),
		}
		f.cronJobs[key(cj)] = cj
	}
	return f
}

func (f *fleet) Watch(ctx context.Context, changed func(types.NamespacedName)) error {
	f.changed = changed
	for name := range f.cronJobs {
		changed(name)
	}
	<-ctx.Done()
	return nil
}

func (f *fleet) Cached(name types.NamespacedName) schedule.View {
	f.looks.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	return schedule.View{CronJob: f.cronJobs[name], Jobs: f.jobs[name]}
}

func (f *fleet) Live(context.Context, types.NamespacedName) (*batchv1.CronJob, error) {
	f.reads.Add(1)
	return nil, nil
}

func (f *fleet) Job(context.Context, types.NamespacedName) (*batchv1.Job, error) {
	f.reads.Add(1)
	return nil, fmt.Errorf("nothing is to be read")
}

func (f *fleet) Prepare(_ context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	n := f.writes.Add(1)
	job.UID, job.ResourceVersion = types.UID(job.Name), strconv.FormatInt(n+1, 10)
	return job, nil
}

func (f *fleet) Commit(_ context.Context, cj *batchv1.CronJob) (*batchv1.CronJob, error) {
	cj.ResourceVersion = strconv.FormatInt(f.writes.Add(1)+1, 10)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cronJobs[key(cj)] = cj
	return cj, nil
}

func (f *fleet) Release(_ context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	released := job.DeepCopy()
	delete(released.Annotations, schema.AnnotationPrepared)
	released.ResourceVersion = strconv.FormatInt(f.writes.Add(1)+1, 10)
	f.mu.Lock()
	defer f.mu.Unlock()
	name := types.NamespacedName{Namespace: job.Namespace, Name: job.Labels[schema.LabelSchedule]}
	f.jobs[name] = append(f.jobs[name], released)
	return released, nil
}

func (f *fleet) Withdraw(_ context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	f.writes.Add(1)
	return job, nil
}

func (f *fleet) Delete(context.Context, *batchv1.Job, schedule.Deletion) error {
	f.writes.Add(1)
	return nil
}

func (f *fleet) Pods(context.Context, types.NamespacedName, types.UID) ([]string, error) {
	f.reads.Add(1)
	return nil, nil
}

func (f *fleet) Owned(context.Context, *batchv1.CronJob) ([]*batchv1.Job, error) {
	f.reads.Add(1)
	return nil, nil
}

func (f *fleet) Claim(context.Context, *batchv1.CronJob, *batchv1.Job) (*batchv1.Job, error) {
	f.writes.Add(1)
	return nil, fmt.Errorf("nothing is to be claimed")
}

func (f *fleet) Event(*batchv1.CronJob, bool, string, string) {}

func (f *fleet) scheduler(now func() time.Time) *Scheduler {
	return NewScheduler(SchedulerOptions{Reader: f, Writer: f, Keeper: f, Events: f, Sync: "s", Now: now,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
}

func TestAnIdleMinuteOfManySchedulesAsksForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A bubble begins at midnight UTC.
		const n = 5_000
		f := newFleet(n, time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.scheduler(nil).Run(ctx) }()
		synctest.Wait()
		if looks := f.looks.Load(); looks != n {
			t.Errorf("to start took %d looks at schedules, want one for each of %d", looks, n)
		}
		time.Sleep(time.Minute + time.Second) // 00:01 has come
		synctest.Wait()
		if writes := f.writes.Load(); writes != 3*n/dueEvery {
			t.Errorf("%d writes, want three for each of the %d that are due", writes, n/dueEvery)
		}
		looks := f.looks.Load()
		time.Sleep(5 * time.Minute) // past what is remembered of the Jobs, until nothing is left to do
		before := [3]int64{f.looks.Load(), f.writes.Load(), f.reads.Load()}
		time.Sleep(5 * time.Minute)
		if after := [3]int64{f.looks.Load(), f.writes.Load(), f.reads.Load()}; after != before {
			t.Errorf("five minutes in which nothing was due took looks, writes and reads from %v to %v", before, after)
		}
		if most := int64(n + 4*n/dueEvery); looks > most {
			t.Errorf("a minute in which %d were due took %d looks, want %d at most", n/dueEvery, looks-n, most-n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAnIdleScheduleTakesLittleMemory(t *testing.T) {
	const n, most = 20_000, 2 << 10
	midnight := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	f := newFleet(n, midnight)
	before := heapInUse()
	s, stop := settled(t, f, func() time.Time { return midnight })
	each := (heapInUse() - before) / n
	t.Logf("%d bytes of heap for each idle schedule", each)
	if each > most {
		t.Errorf("an idle schedule takes %d bytes, more than %d", each, most)
	}
	stop()
	runtime.KeepAlive(s)
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// settled runs a scheduler, and returns when it has looked at all of its schedules.
func settled(t testing.TB, f *fleet, now func() time.Time) (s *Scheduler, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	s = f.scheduler(now)
	go func() { done <- s.Run(ctx) }()
	for f.looks.Load() < int64(len(f.cronJobs)) {
		time.Sleep(time.Millisecond)
	}
	for len(s.Reports()) < len(f.cronJobs) { // the last few are in a worker's hands
		time.Sleep(time.Millisecond)
	}
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkScale measures 100,000 schedules in one process: to start, against
// the time of decoding their list and computing the next time of each once;
// and a minute in which 1,000 of them are due, against the same minute of
// 1,000 that are alone.
func BenchmarkScale(b *testing.B) {
	const n = 100_000
	midnight := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	all := newFleet(n, midnight)
	list := &batchv1.CronJobList{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJobList"}}
	for _, cj := range all.cronJobs {
		list.Items = append(list.Items, *cj)
	}
	text, err := json.Marshal(list)
	if err != nil {
		b.Fatal(err)
	}
	list = nil
	var starts, limits, crowd, alone time.Duration
	for b.Loop() {
		began := time.Now()
		if err := listed(text, midnight); err != nil {
			b.Fatal(err)
		}
		limits += time.Since(began)

		var clock atomic.Int64
		now := func() time.Time { return midnight.Add(time.Duration(clock.Load())) }
		runtime.GC()
		began = time.Now()
		_, stop := settled(b, all, now)
		starts += time.Since(began)
		crowd += minute(b, all, &clock, n/dueEvery)
		stop()
		all = newFleet(n, midnight) // as it was

		few := newFleet(n, midnight)
		for name, cj := range few.cronJobs {
			if cj.Spec.Schedule != "1 0 * * *" {
				delete(few.cronJobs, name)
			}
		}
		clock.Store(0)
		_, stop = settled(b, few, now)
		alone += minute(b, few, &clock, n/dueEvery)
		stop()
		b.Logf("so far: listing %s, starting %s, minute of the crowd %s, alone %s", limits, starts, crowd, alone)
	}
	b.ReportMetric(starts.Seconds()/limits.Seconds(), "start-x-of-listing")
	b.ReportMetric(crowd.Seconds()/alone.Seconds(), "tick-x-of-1000-alone")
}

// listed decodes a list as the client does, and computes each next time once.
func listed(text []byte, now time.Time) error {
	object, err := k8sruntime.Decode(scheme.Codecs.UniversalDeserializer(), text)
	if err != nil {
		return err
	}
	for _, cj := range object.(*batchv1.CronJobList).Items {
		parsed, err := schedule.Parse(cj.Spec.Schedule, "")
		if err != nil {
			return err
		}
		if parsed.Next(now).IsZero() {
			return fmt.Errorf("%s never fires", cj.Name)
		}
	}
	return nil
}

// minute lets the minute of the due schedules come and returns how long their
// writes took.
func minute(b *testing.B, f *fleet, clock *atomic.Int64, due int) time.Duration {
	b.Helper()
	before := f.writes.Load()
	clock.Store(int64(time.Minute))
	f.changed(types.NamespacedName{Namespace: "batch", Name: "nobody"}) // the clock is not looked at more often than each second
	began := time.Now()
	for f.writes.Load()-before < int64(3*due) {
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}
