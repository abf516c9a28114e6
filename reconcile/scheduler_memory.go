package reconcile

import (
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"rota.dev/rota/reconcile/schedule"
)

// runMemory has what this process wrote, or read live, and the watch has not
// shown it yet, so that it need not decide on what it knows to be old.
// Being wrong here costs a request and never a run.
type runMemory struct {
	mu    sync.Mutex
	names map[types.NamespacedName]*remembered
}

type remembered struct {
	cronJob *batchv1.CronJob
	jobs    map[types.UID]rememberedJob
}

type rememberedJob struct {
	job   *batchv1.Job
	until time.Time
}

// memorySpan is how long a Job that the watch does not show is believed in.
const memorySpan = 30 * time.Second

func newRunMemory() *runMemory {
	return &runMemory{names: map[types.NamespacedName]*remembered{}}
}

func (m *runMemory) of(name types.NamespacedName) *remembered {
	r := m.names[name]
	if r == nil {
		r = &remembered{jobs: map[types.UID]rememberedJob{}}
		m.names[name] = r
	}
	return r
}

func (m *runMemory) cronJob(cj *batchv1.CronJob) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(types.NamespacedName{Namespace: cj.Namespace, Name: cj.Name}).cronJob = cj
}

func (m *runMemory) job(name types.NamespacedName, job *batchv1.Job, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(name).jobs[job.UID] = rememberedJob{job: job, until: now.Add(memorySpan)}
}

// dropJob forgets a Job that a live read did not find.
func (m *runMemory) dropJob(name types.NamespacedName, uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.names[name]; r != nil {
		delete(r.jobs, uid)
	}
}

func (m *runMemory) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.names, name)
}

// expiry returns when a remembered Job stops being believed in, or zero.
func (m *runMemory) expiry(name types.NamespacedName) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	var first time.Time
	if r := m.names[name]; r != nil {
		for _, j := range r.jobs {
			first = sooner(first, j.until)
		}
	}
	return first
}

// merge returns the newer of what the watch shows and what is remembered, and
// forgets what the watch has shown.
func (m *runMemory) merge(name types.NamespacedName, cached schedule.View, now time.Time) schedule.View {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.names[name]
	if r == nil || cached.CronJob == nil {
		delete(m.names, name)
		return cached
	}
	view := schedule.View{CronJob: cached.CronJob}
	if r.cronJob != nil && newer(r.cronJob, cached.CronJob) {
		view.CronJob = r.cronJob
	} else {
		r.cronJob = nil
	}
	for _, job := range cached.Jobs {
		if mine, ok := r.jobs[job.UID]; ok && newer(mine.job, job) {
			job = mine.job
		} else {
			delete(r.jobs, job.UID)
		}
		view.Jobs = append(view.Jobs, job)
	}
	for uid, mine := range r.jobs {
		if holds(view.Jobs, uid) {
			continue
		}
		if mine.job.DeletionTimestamp != nil || !mine.until.After(now) {
			delete(r.jobs, uid)
			continue
		}
		view.Jobs = append(view.Jobs, mine.job)
	}
	if r.cronJob == nil && len(r.jobs) == 0 {
		delete(m.names, name)
	}
	return view
}

func holds(jobs []*batchv1.Job, uid types.UID) bool {
	for _, job := range jobs {
		if job.UID == uid {
			return true
		}
	}
	return false
}

// newer reports whether mine is a later state of the same object than theirs.
// A deletion that only this process knows of is later than what it was read at.
func newer(mine, theirs metav1.Object) bool {
	if mine.GetUID() != theirs.GetUID() {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(mine.GetResourceVersion(), theirs.GetResourceVersion())
	if err != nil {
		return false
	}
	return order > 0 || (order == 0 && mine.GetDeletionTimestamp() != nil)
}
