package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/history"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// model is the part of an API server that schedules need: one sequence of
// resource versions, compare-and-swap, unique names, tested patches,
// preconditions, and a Job controller that runs what is not suspended. It
// keeps a journal of what happened, which no deletion erases.
type model struct {
	t  testing.TB
	mu sync.Mutex

	version  int
	cronJobs map[types.NamespacedName]*batchv1.CronJob
	groups   map[string]schedule.Group
	jobs     map[types.NamespacedName]*batchv1.Job
	// runsOf has the Jobs by the schedule that they are labelled with.
	runsOf  map[types.NamespacedName]map[types.NamespacedName]*batchv1.Job
	clients []*modelClient
	// recorder, if set, is shown everything that is stored.
	recorder *history.Recorder

	// duration is how long a Job runs, takes that of the runs of a schedule if it
	// differs, and dying how long its Pods outlive it.
	duration, dying time.Duration
	takes           map[string]time.Duration
	// pods has the uids of Jobs with Pods left, by the CronJob's name.
	pods map[types.UID]string

	begun    map[string][]time.Time // by Job name: when its Pods were started
	running  map[types.UID]string
	overlaps []string
	resolved map[string]map[int64][]schedule.Outcome
	retried  map[string][]schedule.Resolution
	// fate says which Jobs fail; most has the most Jobs of a group at a time.
	fate    func(job string) bool
	most    map[string]int
	events  []string
	created map[string]int
}

func newModel(t testing.TB) *model {
	return &model{
		t:        t,
		version:  100,
		cronJobs: map[types.NamespacedName]*batchv1.CronJob{},
		groups:   map[string]schedule.Group{},
		jobs:     map[types.NamespacedName]*batchv1.Job{},
		runsOf:   map[types.NamespacedName]map[types.NamespacedName]*batchv1.Job{},
		duration: 20 * time.Second,
		pods:     map[types.UID]string{},
		begun:    map[string][]time.Time{},
		running:  map[types.UID]string{},
		resolved: map[string]map[int64][]schedule.Outcome{},
		created:  map[string]int{},
		retried:  map[string][]schedule.Resolution{},
		fate:     func(string) bool { return false },
		most:     map[string]int{},
	}
}

func (m *model) next() string {
	m.version++
	return strconv.Itoa(m.version)
}

func key(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// cronJob makes a borrowed CronJob, as an apply would.
func (m *model) cronJob(name, cron string, policy batchv1.ConcurrencyPolicy, change ...func(*batchv1.CronJob)) {
	suspend := true
	cj := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "batch", Name: name, UID: types.UID("uid-" + name),
			CreationTimestamp: metav1.Time{Time: time.Now()},
			Annotations: map[string]string{
				schema.AnnotationScheduler: "rota", schema.AnnotationSuspended: "false", schema.AnnotationRevision: "r1",
			},
			Labels: map[string]string{schema.ApplySetPartOf: "set"},
		},
		Spec: batchv1.CronJobSpec{Schedule: cron, Suspend: &suspend, ConcurrencyPolicy: policy},
	}
	cj.Spec.JobTemplate.Labels = map[string]string{schema.ApplySetPartOf: "set"}
	for _, c := range change {
		c(cj)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	cj.ResourceVersion = m.next()
	m.keep(cj)
	m.resolved[name] = map[int64][]schedule.Outcome{}
	m.notify(key(cj))
}

// runs returns when each Job's Pods were started, by name.
func (m *model) runs() map[string][]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.begun)
}

// job returns a Job, or nil if there is none.
func (m *model) job(name string) *batchv1.Job {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.jobs[keyOf(name)]
}

// edit changes the CronJob as another client would.
func (m *model) edit(name string, change func(*batchv1.CronJob)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := types.NamespacedName{Namespace: "batch", Name: name}
	cj := m.cronJobs[k].DeepCopy()
	change(cj)
	cj.ResourceVersion = m.next()
	m.keep(cj)
	m.notify(k)
}

// keep stores a CronJob.
func (m *model) keep(cj *batchv1.CronJob) {
	m.cronJobs[key(cj)] = cj
	if m.recorder != nil {
		m.recorder.CronJob(time.Now(), cj)
	}
}

// keepJob stores a Job.
func (m *model) keepJob(job *batchv1.Job) {
	of := types.NamespacedName{Namespace: job.Namespace, Name: job.Labels[schema.LabelSchedule]}
	if before := m.jobs[key(job)]; before != nil {
		delete(m.runsOf[types.NamespacedName{Namespace: before.Namespace, Name: before.Labels[schema.LabelSchedule]}], key(job))
	}
	if m.runsOf[of] == nil {
		m.runsOf[of] = map[types.NamespacedName]*batchv1.Job{}
	}
	m.jobs[key(job)], m.runsOf[of][key(job)] = job, job
	if m.recorder != nil {
		m.recorder.Job(time.Now(), job, false)
	}
}

// dropPods notes that the Pods of a run are gone.
func (m *model) dropPods(uid types.UID) {
	if _, there := m.pods[uid]; there && m.recorder != nil {
		m.recorder.Pod(time.Now(), podOf(uid, m.pods[uid]), true)
	}
	delete(m.pods, uid)
}

// podOf is the Pod of a run.
func podOf(job types.UID, schedule string) *corev1.Pod {
	controls := true
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		UID: job + "-pod", Labels: map[string]string{schema.LabelSchedule: schedule},
		OwnerReferences: []metav1.OwnerReference{{UID: job, Controller: &controls}},
	}}
}

func (m *model) editJob(name string, change func(*batchv1.Job)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := types.NamespacedName{Namespace: "batch", Name: name}
	if job := m.jobs[k]; job != nil {
		job = job.DeepCopy()
		change(job)
		m.put(job)
	}
}

// put stores a Job and lets the Job controller have its say.
func (m *model) put(job *batchv1.Job) {
	job.ResourceVersion = m.next()
	m.keepJob(job)
	m.notifyJob(job)
	suspended := job.Spec.Suspend != nil && *job.Spec.Suspend
	if _, on := m.running[job.UID]; !suspended && !on && len(job.Status.Conditions) == 0 {
		m.begin(job)
	}
}

func (m *model) begin(job *batchv1.Job) {
	name := job.Labels[schema.LabelSchedule]
	for uid, other := range m.pods {
		if other == name && uid != job.UID {
			m.overlaps = append(m.overlaps, job.Name)
		}
	}
	m.running[job.UID] = job.Name
	m.pods[job.UID] = name
	if m.recorder != nil {
		m.recorder.Pod(time.Now(), podOf(job.UID, name), false)
	}
	m.begun[job.Name] = append(m.begun[job.Name], time.Now())
	m.crowd(job.Labels[schema.LabelGroup])
	uid, k := job.UID, key(job)
	duration := m.duration
	if takes, ok := m.takes[name]; ok {
		duration = takes
	}
	time.AfterFunc(duration, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if now := m.jobs[k]; now != nil && now.UID == uid && now.DeletionTimestamp == nil {
			m.dropPods(uid)
			now = now.DeepCopy()
			end := metav1.Time{Time: time.Now()}
			now.Status.CompletionTime = &end
			how := batchv1.JobComplete
			if m.fate(job.Name) {
				how, now.Status.CompletionTime = batchv1.JobFailed, nil
			}
			now.Status.Conditions = []batchv1.JobCondition{{Type: how, Status: corev1.ConditionTrue, LastTransitionTime: end}}
			now.ResourceVersion = m.next()
			m.keepJob(now)
			m.notifyJob(now)
		}
	})
}

// crowd notes how many Jobs of a group exist released and unfinished.
func (m *model) crowd(group string) {
	n := 0
	for _, job := range m.jobs {
		if _, prepared := job.Annotations[schema.AnnotationPrepared]; !prepared && job.Labels[schema.LabelGroup] == group && !schedule.Finished(job) {
			n++
		}
	}
	if group != "" {
		m.most[group] = max(m.most[group], n)
	}
}

func (m *model) notifyJob(job *batchv1.Job) {
	m.notify(types.NamespacedName{Namespace: job.Namespace, Name: job.Labels[schema.LabelSchedule]})
}

func (m *model) notify(name types.NamespacedName) {
	for _, c := range m.clients {
		c.see(name)
	}
}

func (m *model) view(name types.NamespacedName) schedule.View {
	view := schedule.View{CronJob: m.cronJobs[name]}
	for _, k := range slices.SortedFunc(maps.Keys(m.runsOf[name]), compareNames) {
		view.Jobs = append(view.Jobs, m.jobs[k])
	}
	return view
}

func (m *model) remove(job *batchv1.Job) {
	m.version++
	delete(m.jobs, key(job))
	delete(m.runsOf[types.NamespacedName{Namespace: job.Namespace, Name: job.Labels[schema.LabelSchedule]}], key(job))
	if m.recorder != nil {
		m.recorder.Job(time.Now(), job, true)
	}
	m.notifyJob(job)
}

// journal reads what a commit resolved.
func (m *model) journal(before, after *batchv1.CronJob) {
	old, _ := schedule.ParseCursor(before.Annotations[schema.AnnotationCursor])
	now, err := schedule.ParseCursor(after.Annotations[schema.AnnotationCursor])
	if err != nil {
		m.t.Errorf("a commit left a cursor that cannot be read: %v", err)
		return
	}
	if now.Slot.Before(old.Slot) {
		m.t.Errorf("%s: the cursor went back from %s to %s", after.Name, old.Slot, now.Slot)
	}
	if m.recorder != nil {
		return // the history checker judges the rest, edits included
	}
	fresh := now.Recent
	for len(old.Recent) > 0 && len(fresh) > 0 {
		i := slices.IndexFunc(fresh, func(r schedule.Resolution) bool { return r == old.Recent[len(old.Recent)-1] })
		if i < 0 {
			break
		}
		fresh = fresh[i+1:]
	}
	cron, err := schedule.Parse(now.Schedule, now.Zone)
	if err != nil {
		m.t.Errorf("the cursor has a schedule that cannot be read: %v", err)
		return
	}
	for _, r := range fresh {
		if r.Retry > 0 {
			m.retried[after.Name] = append(m.retried[after.Name], r)
			continue // resolves no slot
		}
		slots := []time.Time{r.Slot}
		if r.Count > 1 {
			slots = append(slots, cron.From(r.Slot).Upcoming(r.Slot, r.Count-1)...)
			if last := slots[len(slots)-1]; !last.Equal(r.Last) {
				m.t.Errorf("%s: skipped %d slots from %s to %s, which end at %s", after.Name, r.Count, r.Slot, r.Last, last)
			}
		}
		for _, slot := range slots {
			m.resolved[after.Name][slot.Unix()] = append(m.resolved[after.Name][slot.Unix()], r.Outcome)
		}
	}
}

// modelClient is one client of a model: its watch lags, its calls take time,
// and one of them may fail.
type modelClient struct {
	m      *model
	random *rand.Rand
	// lag is the most that the watch is behind; slow the most a call takes.
	lag, slow time.Duration

	mu      sync.Mutex
	cached  map[types.NamespacedName]schedule.View
	seen    map[types.NamespacedName]int
	changed func(types.NamespacedName)

	// calls counts; fault is asked before and after each.
	calls int
	names []string
	fault func(call int, after bool) error
}

func (m *model) client(seed uint64) *modelClient {
	return &modelClient{m: m, random: rand.New(rand.NewPCG(seed, 9)), cached: map[types.NamespacedName]schedule.View{}, seen: map[types.NamespacedName]int{}}
}

// see takes a change to the cache, some time later.
func (c *modelClient) see(name types.NamespacedName) {
	view := c.m.view(name)
	version := c.m.version
	show := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if version < c.seen[name] {
			return
		}
		c.seen[name], c.cached[name] = version, view
		if c.changed != nil {
			c.changed(name)
		}
	}
	if c.lag == 0 {
		go show()
		return
	}
	time.AfterFunc(c.lag, show) // constant, so that changes come in order
}

func (c *modelClient) Watch(ctx context.Context, changed func(types.NamespacedName)) error {
	c.m.mu.Lock()
	c.mu.Lock()
	c.changed = changed
	for name := range c.m.cronJobs {
		c.seen[name], c.cached[name] = c.m.version, c.m.view(name)
		changed(name)
	}
	c.mu.Unlock()
	c.m.clients = append(c.m.clients, c)
	c.m.mu.Unlock()
	<-ctx.Done()
	c.m.mu.Lock()
	c.m.clients = slices.DeleteFunc(c.m.clients, func(o *modelClient) bool { return o == c })
	c.m.mu.Unlock()
	return nil
}

func (c *modelClient) Cached(name types.NamespacedName) schedule.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cached[name]
}

// do is one call: do1's effect happens between the two halves of the call.
func call[T any](ctx context.Context, c *modelClient, name string, effect func() (T, error)) (T, error) {
	var none T
	c.mu.Lock()
	c.calls++
	n := c.calls
	c.names = append(c.names, name)
	half := time.Duration(0)
	if c.slow > 0 {
		half = time.Duration(c.random.Int64N(int64(c.slow)))
	}
	c.mu.Unlock()
	if half > 0 {
		time.Sleep(half)
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if c.fault != nil {
		if err := c.fault(n, false); err != nil {
			return none, err
		}
	}
	c.m.mu.Lock()
	result, err := effect()
	c.m.mu.Unlock()
	if c.fault != nil {
		if lost := c.fault(n, true); lost != nil {
			return none, lost
		}
	}
	if half > 0 {
		time.Sleep(half)
	}
	return result, err
}

var (
	jobsResource     = runtimeschema.GroupResource{Group: "batch", Resource: "jobs"}
	cronJobsResource = runtimeschema.GroupResource{Group: "batch", Resource: "cronjobs"}
	errTest          = apierrors.NewInvalid(runtimeschema.GroupKind{Group: "batch", Kind: "Job"}, "", nil)
)

func (c *modelClient) Live(ctx context.Context, name types.NamespacedName) (*batchv1.CronJob, error) {
	return call(ctx, c, "live", func() (*batchv1.CronJob, error) { return c.m.cronJobs[name], nil })
}

func (c *modelClient) Job(ctx context.Context, name types.NamespacedName) (*batchv1.Job, error) {
	return call(ctx, c, "get job", func() (*batchv1.Job, error) {
		if job := c.m.jobs[name]; job != nil {
			return job, nil
		}
		return nil, apierrors.NewNotFound(jobsResource, name.Name)
	})
}

func (c *modelClient) Prepare(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	return call(ctx, c, "prepare", func() (*batchv1.Job, error) {
		if c.m.jobs[key(job)] != nil {
			return nil, apierrors.NewAlreadyExists(jobsResource, job.Name)
		}
		if job.Labels[schema.ApplySetPartOf] != "" {
			c.m.t.Errorf("run %s is a member of the ApplySet", job.Name)
		}
		job = job.DeepCopy()
		c.m.created[job.Name]++
		job.UID = types.UID(fmt.Sprintf("%s/%d", job.Name, c.m.version))
		job.CreationTimestamp = metav1.Time{Time: time.Now()}
		c.m.put(job)
		return job, nil
	})
}

func (c *modelClient) Commit(ctx context.Context, cj *batchv1.CronJob) (*batchv1.CronJob, error) {
	return call(ctx, c, "commit", func() (*batchv1.CronJob, error) {
		stored := c.m.cronJobs[key(cj)]
		if stored == nil {
			return nil, apierrors.NewNotFound(cronJobsResource, cj.Name)
		}
		if stored.ResourceVersion != cj.ResourceVersion {
			return nil, apierrors.NewConflict(cronJobsResource, cj.Name, errors.New("changed"))
		}
		cj = cj.DeepCopy()
		cj.Spec = *stored.Spec.DeepCopy()
		cj.ResourceVersion = c.m.next()
		c.m.journal(stored, cj)
		c.m.keep(cj)
		c.m.notify(key(cj))
		return cj, nil
	})
}

func (c *modelClient) patch(ctx context.Context, what string, job *batchv1.Job, change func(*batchv1.Job)) (*batchv1.Job, error) {
	return call(ctx, c, what, func() (*batchv1.Job, error) {
		stored := c.m.jobs[key(job)]
		if stored == nil {
			return nil, apierrors.NewNotFound(jobsResource, job.Name)
		}
		mark, ok := stored.Annotations[schema.AnnotationPrepared]
		if stored.UID != job.UID || !ok || mark != job.Annotations[schema.AnnotationPrepared] {
			return nil, errTest
		}
		stored = stored.DeepCopy()
		change(stored)
		c.m.put(stored)
		return stored, nil
	})
}

func (c *modelClient) Release(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	return c.patch(ctx, "release", job, func(j *batchv1.Job) {
		suspend := j.Annotations[schema.AnnotationPrepared] == "true"
		delete(j.Annotations, schema.AnnotationPrepared)
		j.Spec.Suspend = &suspend
		j.Status.StartTime = &metav1.Time{Time: time.Now()}
	})
}

func (c *modelClient) Withdraw(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	return c.patch(ctx, "withdraw", job, func(j *batchv1.Job) {
		j.Annotations[schema.AnnotationPrepared] = schedule.PreparedWithdrawn
	})
}

func (c *modelClient) Delete(ctx context.Context, job *batchv1.Job, how schedule.Deletion) error {
	_, err := call(ctx, c, "delete", func() (bool, error) {
		stored := c.m.jobs[key(job)]
		if stored == nil {
			return false, apierrors.NewNotFound(jobsResource, job.Name)
		}
		if stored.UID != job.UID || (how == schedule.DeleteUnreleased && stored.ResourceVersion != job.ResourceVersion) {
			return false, apierrors.NewConflict(jobsResource, job.Name, errors.New("precondition"))
		}
		if how == schedule.DeleteReplaced {
			stored = stored.DeepCopy()
			stored.DeletionTimestamp = &metav1.Time{Time: time.Now()}
			stored.ResourceVersion = c.m.next()
			c.m.keepJob(stored)
			c.m.notifyJob(stored)
			time.AfterFunc(c.m.dying, func() {
				c.m.mu.Lock()
				defer c.m.mu.Unlock()
				c.m.dropPods(stored.UID)
				c.m.remove(stored)
			})
			return true, nil
		}
		time.AfterFunc(c.m.dying, func() {
			c.m.mu.Lock()
			defer c.m.mu.Unlock()
			c.m.dropPods(stored.UID)
		})
		c.m.remove(stored)
		return true, nil
	})
	return err
}

func (c *modelClient) Pods(ctx context.Context, name types.NamespacedName, except types.UID) ([]string, error) {
	return call(ctx, c, "pods", func() ([]string, error) {
		var left []string
		for uid, schedule := range c.m.pods {
			if schedule == name.Name && uid != except {
				left = append(left, string(uid))
			}
		}
		return left, nil
	})
}

func (c *modelClient) Owned(ctx context.Context, cj *batchv1.CronJob) ([]*batchv1.Job, error) {
	return call(ctx, c, "owned", func() ([]*batchv1.Job, error) {
		var owned []*batchv1.Job
		for _, job := range c.m.jobs {
			if metav1.IsControlledBy(job, cj) {
				owned = append(owned, job)
			}
		}
		return owned, nil
	})
}

func (c *modelClient) Claim(ctx context.Context, cj *batchv1.CronJob, job *batchv1.Job) (*batchv1.Job, error) {
	return call(ctx, c, "claim", func() (*batchv1.Job, error) {
		stored := c.m.jobs[key(job)].DeepCopy()
		if stored.Labels == nil {
			stored.Labels = map[string]string{}
		}
		stored.Labels[schema.LabelSchedule] = cj.Name
		c.m.put(stored)
		return stored, nil
	})
}

func (c *modelClient) Group(ctx context.Context, name string) (schedule.Group, error) {
	return call(ctx, c, "get group", func() (schedule.Group, error) { return c.m.groups[name], nil })
}

func (c *modelClient) PutGroup(ctx context.Context, name string, g schedule.Group) (schedule.Group, error) {
	return call(ctx, c, "reserve", func() (schedule.Group, error) {
		if c.m.groups[name].Version != g.Version {
			return schedule.Group{}, apierrors.NewConflict(runtimeschema.GroupResource{Resource: "configmaps"}, name, errors.New("changed"))
		}
		stored, err := schedule.ParseGroup(g.String())
		if err != nil {
			return schedule.Group{}, err
		}
		stored.Version = c.m.next()
		c.m.groups[name] = stored
		return stored, nil
	})
}

func (c *modelClient) Grouped(ctx context.Context, name string) ([]*batchv1.Job, error) {
	return call(ctx, c, "grouped", func() ([]*batchv1.Job, error) {
		var jobs []*batchv1.Job
		for _, job := range c.m.jobs {
			if job.Labels[schema.LabelGroup] == name {
				jobs = append(jobs, job)
			}
		}
		return jobs, nil
	})
}

func (c *modelClient) Members(name string) []*batchv1.CronJob {
	c.mu.Lock()
	defer c.mu.Unlock()
	var members []*batchv1.CronJob
	for _, view := range c.cached {
		if view.CronJob == nil {
			continue
		}
		if spec, err := schedule.SpecOf(view.CronJob); err == nil && spec.Rules.ConcurrencyGroup != nil && spec.Rules.ConcurrencyGroup.Name == name {
			members = append(members, view.CronJob)
		}
	}
	return members
}

func (c *modelClient) Event(cj *batchv1.CronJob, warning bool, reason, message string) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.m.events = append(c.m.events, cj.Name+" "+reason)
}

// scheduler returns a Scheduler that works through c.
func (c *modelClient) scheduler(t testing.TB) *Scheduler {
	var out io.Writer = io.Discard
	if testing.Verbose() {
		out = t.Output()
	}
	return NewScheduler(SchedulerOptions{
		Reader: c, Writer: c, Keeper: c, Events: c, Groups: c, Sync: "s", Workers: 3,
		Log: slog.New(slog.NewTextHandler(out, nil)),
	})
}

// run lets s schedule for d.
func run(t testing.TB, s *Scheduler, d time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("running: %v", err)
	}
}

// check says what is wrong with the history of a schedule from since to now:
// every slot has one outcome, those that ran began once, and nothing else did.
func (m *model) check(name, cron string, since time.Time, skipped map[schedule.Outcome]int) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := schedule.Parse(cron, "")
	if err != nil {
		m.t.Fatal(err)
	}
	cursor, _ := schedule.ParseCursor(m.cronJobs[types.NamespacedName{Namespace: "batch", Name: name}].Annotations[schema.AnnotationCursor])
	counts := map[schedule.Outcome]int{}
	for slot := s.Next(since); !slot.After(time.Now().Add(-30 * time.Second)); slot = s.Next(slot) {
		outcomes := m.resolved[name][slot.Unix()]
		job := schedule.JobName(name, slot)
		if len(outcomes) == 0 && cursor.Hold != nil && slot.After(cursor.Slot) {
			continue // it waits, and the record says so
		}
		if len(outcomes) == 0 {
			m.t.Errorf("MISSED: slot %s of %s has no outcome", slot, name)
			continue
		}
		last := outcomes[len(outcomes)-1]
		counts[last]++
		if len(outcomes) > 2 || (len(outcomes) == 2 && last != schedule.Skipped) {
			m.t.Errorf("slot %s of %s has the outcomes %v", slot, name, outcomes)
		}
		begun := m.begun[job]
		if waits := m.jobs[types.NamespacedName{Namespace: "batch", Name: job}]; waits != nil && waits.Labels[schema.LabelGroup] != "" && last == schedule.Ran && len(begun) == 0 {
			if _, prepared := waits.Annotations[schema.AnnotationPrepared]; prepared {
				continue // its turn came a moment ago
			}
		}
		if want := map[schedule.Outcome]int{schedule.Ran: 1}[last]; len(begun) != want {
			m.t.Errorf("slot %s of %s: %s, and it began %d times", slot, name, last, len(begun))
		}
		if len(begun) > 0 && begun[0].Before(slot) {
			m.t.Errorf("EARLY: slot %s of %s began at %s", slot, name, begun[0])
		}
	}
	for want, n := range skipped {
		if counts[want] != n {
			m.t.Errorf("%s: %d slots are %s, want %d", name, counts[want], want, n)
		}
	}
}
