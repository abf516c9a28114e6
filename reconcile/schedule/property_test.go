package schedule

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

// history drives Decide through a random life of one CronJob: the clock moves
// by seconds or days, or back, runs end, people edit, suspend, pause and delete, and
// any sequence of actions is cut short. It keeps what happened.
type history struct {
	t      *testing.T
	random *rand.Rand
	now    time.Time
	view   View
	serial int

	released map[int64]int
	// retried has how often a retry was released, by name, and tried the
	// retries that each slot has on record.
	retried map[string]int
	tried   map[int64][]Resolution
	// group is what others and this schedule hold of its concurrency group.
	group    Group
	seen     map[string]int
	outcomes map[int64][]Outcome
	// due has every slot that was ever due, from an own walk over minutes.
	due    map[int64]bool
	walked time.Time
	trace  []string
}

func newHistory(t *testing.T, seed uint64) *history {
	r := rand.New(rand.NewPCG(seed, 7))
	now := time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC).Add(time.Duration(r.IntN(40*1440)) * time.Minute)
	policies := []batchv1.ConcurrencyPolicy{batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent}
	hold := true
	zone := []string{"UTC", "Europe/Berlin", "America/New_York"}[r.IntN(3)]
	cj := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{
			Name: "x", Namespace: "n", UID: "cj", CreationTimestamp: metav1.Time{Time: now},
			Annotations: map[string]string{schema.AnnotationScheduler: "rota", schema.AnnotationSuspended: "false"},
		},
		Spec: batchv1.CronJobSpec{Schedule: someCron(r), TimeZone: &zone, Suspend: &hold, ConcurrencyPolicy: policies[r.IntN(3)]},
	}
	if r.IntN(3) == 0 {
		d := int64(5 + r.IntN(4000))
		cj.Spec.StartingDeadlineSeconds = &d
	}
	if r.IntN(2) == 0 {
		cj.Annotations[schema.AnnotationPolicy] = someRules(r, now).String()
	}
	return &history{t: t, random: r, now: now, walked: now, view: View{CronJob: cj, Gone: map[types.UID]bool{}},
		released: map[int64]int{}, retried: map[string]int{}, tried: map[int64][]Resolution{}, outcomes: map[int64][]Outcome{}, due: map[int64]bool{}}
}

func someCron(r *rand.Rand) string {
	all := []string{"* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0 9 * * 1-5", "30 10,11,12 * * 1-5", "0-5 0 * * *", "15 */3 * * *"}
	return all[r.IntN(len(all))]
}

// someRules is any policy that leaves the slots themselves as they are.
func someRules(r *rand.Rand, now time.Time) schema.Policy {
	var p schema.Policy
	day := func(n int) schema.Day {
		year, month, date := now.AddDate(0, 0, n).Date()
		return schema.Day{Year: year, Month: month, Day: date}
	}
	for range r.IntN(4) {
		n := r.IntN(12)
		p.Exclude = append(p.Exclude, schema.Days{First: day(n), Last: day(n + r.IntN(3))})
	}
	if r.IntN(4) == 0 {
		p.NotBefore = now.Add(time.Duration(r.IntN(5*1440)) * time.Minute)
	}
	if r.IntN(4) == 0 {
		p.NotAfter = now.Add(time.Duration(r.IntN(15*1440)) * time.Minute)
	}
	if r.IntN(3) == 0 {
		p.Jitter = schema.Duration{Duration: time.Duration(r.IntN(4000)) * time.Second}
	}
	if r.IntN(3) == 0 {
		p.Overlap = schema.OverlapQueue
	}
	p.CatchUp = []schema.CatchUp{{}, {Policy: schema.CatchUpAll, Limit: 1 + r.IntN(5)}, {Policy: schema.CatchUpNone}}[r.IntN(3)]
	if r.IntN(2) == 0 {
		p.Retries = schema.Retries{Limit: int64(1 + r.IntN(3)), Backoff: schema.Duration{Duration: time.Duration(1+r.IntN(600)) * time.Second}}
	}
	if r.IntN(2) == 0 {
		p.ConcurrencyGroup = &schema.ConcurrencyGroup{Name: "g", Limit: int64(1 + r.IntN(3))}
	}
	return p
}

func (h *history) fail(format string, args ...any) {
	h.t.Helper()
	for _, line := range h.trace[max(len(h.trace)-25, 0):] {
		h.t.Log(line)
	}
	h.t.Fatalf(format, args...)
}

func (h *history) note(format string, args ...any) {
	h.trace = append(h.trace, h.now.Format("01-02 15:04:05 ")+fmt.Sprintf(format, args...))
}

// walk notes the slots that came due since the last walk.
func (h *history) walk() {
	location, err := time.LoadLocation(*h.view.CronJob.Spec.TimeZone)
	if err != nil {
		h.fail("%v", err)
	}
	s, err := Parse(h.view.CronJob.Spec.Schedule, "UTC")
	if err != nil {
		h.fail("%v", err)
	}
	for m := h.walked.Unix()/60 + 1; m*60 <= h.now.Unix(); m++ {
		t := time.Unix(m*60, 0).In(location)
		if s.minute&(1<<t.Minute()) != 0 && s.hour&(1<<t.Hour()) != 0 && s.dayMatches(t.Day(), int(t.Weekday())) {
			h.due[t.Unix()] = true
		}
	}
	if h.now.After(h.walked) {
		h.walked = h.now
	}
}

// step lets something happen.
func (h *history) step() {
	switch h.random.IntN(16) {
	case 14, 15:
		// Retries come minutes after a failure, which the other steps leap over.
		h.now = h.now.Add(time.Duration(h.random.IntN(20)) * time.Second)
		h.walk()
		h.end()
		h.decide(h.random.IntN(3) == 0)
		cursor, err := ParseCursor(h.view.CronJob.Annotations[schema.AnnotationCursor])
		if err == nil && cursor.Retry.pending() && cursor.Retry.Due.After(h.now) {
			h.now = cursor.Retry.Due.Add(time.Second)
		}
	case 12, 13:
		h.others()
	case 0, 1, 2, 3:
		h.now = h.now.Add(time.Duration(h.random.IntN(240)) * time.Second)
	case 4, 5:
		h.now = h.now.Add(time.Duration(h.random.IntN(90*60)) * time.Second)
	case 6:
		h.now = h.now.Add(time.Duration(h.random.IntN(5*1440)) * time.Minute)
	case 7, 8:
		h.end()
	case 9:
		h.edit()
	case 10:
		if n := len(h.view.Jobs); n > 0 && h.random.IntN(4) == 0 { // a person deletes a run
			h.drop(h.view.Jobs[h.random.IntN(n)].UID)
		}
	case 11:
		back := time.Duration(h.random.IntN(600)) * time.Second
		h.note("the clock goes back by %s", back)
		h.now = h.now.Add(-back)
	}
	h.walk()
}

// others take places of the group, give them up, or wait for one.
func (h *history) others() {
	h.view.Waiting = nil
	if h.random.IntN(3) == 0 {
		h.view.Waiting = []Waiter{{Schedule: "n/other", Since: h.now.Add(-time.Duration(h.random.IntN(7200)) * time.Second), Limit: 1}}
	}
	spec, err := SpecOf(h.view.CronJob)
	if err != nil || spec.Rules.ConcurrencyGroup == nil || h.random.IntN(2) == 0 {
		for i, p := range h.group.Places {
			if p.Schedule == "n/other" {
				h.group.Places = append(h.group.Places[:i:i], h.group.Places[i+1:]...)
				break
			}
		}
		return
	}
	h.serial++
	p := Place{Schedule: "n/other", Job: fmt.Sprintf("other-%d", h.serial), UID: types.UID(fmt.Sprintf("o%d", h.serial))}
	h.group, _ = h.group.Claim(p, h.held(), Waiter{Schedule: "n/other", Limit: int(spec.Rules.ConcurrencyGroup.Limit)})
}

// held are the places that count.
func (h *history) held() []Place {
	return h.group.Held(func(p Place) bool {
		for _, job := range h.view.Jobs {
			if job.UID == p.UID {
				return Finished(job)
			}
		}
		return p.Schedule != "n/other"
	})
}

func (h *history) edit() {
	cj := h.view.CronJob.DeepCopy()
	switch h.random.IntN(5) {
	case 4:
		p := someRules(h.random, h.now)
		cj.Annotations[schema.AnnotationPolicy] = p.String()
		h.note("policy %s", p)
	case 0:
		cj.Annotations[schema.AnnotationSuspended] = fmt.Sprint(h.random.IntN(2) == 0)
		h.note("suspended: %s", cj.Annotations[schema.AnnotationSuspended])
	case 1:
		cj.Annotations[schema.AnnotationPause] = Pause{Until: h.now.Add(time.Duration(h.random.IntN(300)) * time.Minute)}.String()
		h.note("pause %s", cj.Annotations[schema.AnnotationPause])
	case 2:
		delete(cj.Annotations, schema.AnnotationPause)
	case 3:
		if h.now.Before(h.walked) {
			return // slots that were due before the clock went back stay due
		}
		// The edit is seen at once: what an upper bound on its time loses is
		// for the tests of editedAt.
		cj.Spec.Schedule = someCron(h.random)
		h.note("schedule %s", cj.Spec.Schedule)
		cj.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "rota", Time: &metav1.Time{Time: h.now},
			FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:schedule":{},"f:timeZone":{}}}`)}}
	}
	h.view.CronJob = cj
}

// end lets a released run end.
func (h *history) end() {
	for i, job := range h.view.Jobs {
		if _, prepared := job.Annotations[schema.AnnotationPrepared]; prepared || len(job.Status.Conditions) > 0 || h.random.IntN(2) == 0 {
			continue
		}
		job = job.DeepCopy()
		how := batchv1.JobComplete
		if h.random.IntN(3) == 0 {
			how = batchv1.JobFailed
		}
		job.Status.Conditions = []batchv1.JobCondition{{Type: how, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{Time: h.now}}}
		h.view.Jobs[i] = job
		h.note("%s ends", job.Name)
	}
}

func (h *history) drop(uid types.UID) {
	var left []*batchv1.Job
	for _, job := range h.view.Jobs {
		if job.UID != uid {
			left = append(left, job)
		} else {
			h.note("%s is gone", job.Name)
		}
	}
	h.view.Jobs = left
}

// decide decides once and carries it out, or a part of it. It reports whether
// there was anything to do.
func (h *history) decide(cut bool) bool {
	spec, err := SpecOf(h.view.CronJob)
	if err != nil {
		h.fail("%v", err)
	}
	h.view.Places = h.held()
	if spec.Rules.ConcurrencyGroup == nil {
		h.view.Places = nil
	}
	state := StateOf(h.view)
	d := Decide(spec, state, h.now)
	if again := Decide(spec, state, h.now); describe(again) != describe(d) || !again.Wake.Equal(d.Wake) {
		h.fail("decided %q, then %q", describe(d), describe(again))
	}
	if !d.Wake.IsZero() && !d.Wake.After(h.now) {
		h.fail("wakes at %s, which is not after %s", d.Wake, h.now)
	}
	if len(d.Actions) == 0 {
		h.rests(spec, state, d)
		return false
	}
	h.note("%s", describe(d))
	h.observe(d)
	h.carryOut(d.Actions, cut)
	return true
}

// observe counts what rarely happens.
func (h *history) observe(d Decision) {
	for _, a := range d.Actions {
		switch a := a.(type) {
		case DropRetry:
			h.seen["retry dropped"]++
		case HoldBack:
			if a.Hold.Reason == GroupFull {
				h.seen["GroupFull"]++
			}
		case Withdraw:
			h.seen["run withdrawn"]++
		case Release:
			if a.Run.Retry > 0 {
				h.seen["retry released"]++
			}
		}
	}
	for _, p := range h.view.Places {
		if len(p.After) > 0 {
			h.seen["After"]++
		}
	}
}

// rests checks a decision that does nothing: a schedule that goes on must wake.
func (h *history) rests(spec Spec, state State, d Decision) {
	paused := spec.Pause != nil && (spec.Pause.Until.IsZero() || spec.Pause.Until.After(h.now))
	if spec.Suspended || paused {
		if paused && !spec.Suspended && !d.Wake.Equal(spec.Pause.Until) && d.Wake.After(spec.Pause.Until) {
			h.fail("wakes at %s, after the pause's end", d.Wake)
		}
		return
	}
	times := spec.Times()
	next := times.Due(times.NextOpen(latest(h.now, state.Cursor.Slot, state.Cursor.Since, state.Created)))
	if !next.IsZero() && (d.Wake.IsZero() || d.Wake.After(next)) {
		h.fail("wakes at %s, the next slot is due at %s", d.Wake, next)
	}
}

func (h *history) carryOut(actions []Action, cut bool) {
	stop := len(actions) + 2
	if cut {
		stop = h.random.IntN(stop)
	}
	started := map[string]*batchv1.Job{}
	for _, a := range actions {
		switch a := a.(type) {
		case Verify:
			h.view.Gone[a.Ref.UID] = true // no Job exists that the view lacks
			return
		case Start:
			if stop--; stop < 0 {
				return
			}
			started[a.Name] = h.prepare(a)
			if stop--; stop < 0 {
				return
			}
			if !h.claim(started[a.Name]) {
				h.fail("%s is started, and its group has no place", a.Name)
			}
		case Withdraw:
			h.change(a.Run.UID, func(j *batchv1.Job) { j.Annotations[schema.AnnotationPrepared] = PreparedWithdrawn })
		}
	}
	if stop--; stop < 0 {
		return
	}
	updated, err := Record(h.view, actions, started)
	if err != nil {
		h.fail("recording: %v", err)
	}
	if updated != nil {
		h.journal(updated)
		h.view.CronJob = updated
	}
	for _, a := range actions {
		if stop--; stop < 0 {
			return
		}
		switch a := a.(type) {
		case Release:
			h.change(a.Run.UID, func(j *batchv1.Job) {
				delete(j.Annotations, schema.AnnotationPrepared)
				if a.Run.Retry > 0 {
					h.retried[a.Run.Name]++
				} else {
					h.released[a.Run.Slot.Unix()]++
				}
				h.placed(j)
				h.alone(a.Run)
			})
		case Stop:
			h.drop(a.Run.UID)
		case Sweep:
			h.drop(a.Run.UID)
		case DeleteHistory:
			h.drop(a.Run.UID)
		}
	}
}

// alone checks that a strict policy starts nothing beside another run.
func (h *history) alone(run Run) {
	if h.view.CronJob.Spec.ConcurrencyPolicy == batchv1.AllowConcurrent {
		return
	}
	for _, job := range h.view.Jobs {
		if _, prepared := job.Annotations[schema.AnnotationPrepared]; !prepared && job.UID != run.UID && len(job.Status.Conditions) == 0 {
			h.fail("%s is released while %s runs", run.Name, job.Name)
		}
	}
}

// claim takes the place of a run, as the protocol does before it commits.
func (h *history) claim(job *batchv1.Job) bool {
	spec, _ := SpecOf(h.view.CronJob)
	if spec.Rules.ConcurrencyGroup == nil {
		return true
	}
	var ok bool
	h.group, ok = h.group.Claim(PlaceOf(job, "x"), h.held(), spec.waiter(h.now, time.Time{}))
	return ok
}

// placed checks that a run which begins has a place, if it is of a group, and
// that those it replaces are over.
func (h *history) placed(job *batchv1.Job) {
	for _, p := range h.held() {
		if p.UID == job.UID && len(p.After) > 0 {
			h.fail("%s begins before %v have ended", job.Name, p.After)
		}
	}
}

func (h *history) prepare(a Start) *batchv1.Job {
	for _, job := range h.view.Jobs {
		if job.Name == a.Name {
			return job
		}
	}
	spec, _ := SpecOf(h.view.CronJob)
	if a.Retry > 0 {
		job := NewRetry(h.view.CronJob, "s", a.Slot, a.Retry)
		h.serial++
		job.UID = types.UID(fmt.Sprint(h.serial))
		h.view.Jobs = append(h.view.Jobs, job)
		return job
	}
	if times := spec.Times(); times.Due(a.Slot).After(h.now) {
		h.fail("%s starts before its time", a.Name)
	} else if c := times.At(a.Slot); c != nil {
		h.fail("%s starts while its schedule is closed, %s", a.Name, c.By)
	}
	job := NewRun(h.view.CronJob, "s", a.Slot)
	h.serial++
	job.UID = types.UID(fmt.Sprint(h.serial))
	h.view.Jobs = append(h.view.Jobs, job)
	return job
}

func (h *history) change(uid types.UID, change func(*batchv1.Job)) {
	for i, job := range h.view.Jobs {
		if job.UID == uid {
			job = job.DeepCopy()
			h.view.Jobs[i] = job
			change(job)
		}
	}
}

// journal notes what a record resolves.
func (h *history) journal(updated *batchv1.CronJob) {
	old, _ := ParseCursor(h.view.CronJob.Annotations[schema.AnnotationCursor])
	now, err := ParseCursor(updated.Annotations[schema.AnnotationCursor])
	if err != nil {
		h.fail("%v", err)
	}
	if now.Slot.Before(old.Slot) {
		h.fail("the cursor went back from %s to %s", old.Slot, now.Slot)
	}
	fresh := now.Recent
	if len(old.Recent) > 0 {
		for i, r := range now.Recent {
			if r == old.Recent[len(old.Recent)-1] {
				fresh = now.Recent[i+1:]
			}
		}
	}
	for _, r := range fresh {
		if r.Retry > 0 {
			h.tried[r.Slot.Unix()] = append(h.tried[r.Slot.Unix()], r)
			continue
		}
		last := latest(r.Slot, r.Last)
		n := 0
		for slot := range h.due {
			if slot >= r.Slot.Unix() && slot <= last.Unix() {
				h.outcomes[slot] = append(h.outcomes[slot], r.Outcome)
				n++
			}
		}
		if n != max(r.Count, 1) {
			h.fail("%+v has %d slots by the walk over minutes", r, n)
		}
	}
}

func TestAnyHistoryResolvesEverySlotOnce(t *testing.T) {
	lives, steps := 150, 120
	if testing.Short() {
		lives = 60
	}
	seen := map[string]int{}
	defer func() {
		// What is never drawn is not tested.
		for _, what := range []string{"retry released", "retry dropped", "GroupFull", "run withdrawn", "After"} {
			if seen[what] == 0 {
				t.Errorf("no history had a %s: %v", what, seen)
			}
		}
	}()
	for seed := range uint64(lives) {
		h := newHistory(t, seed)
		h.seen = seen
		h.settle()
		for range steps {
			h.step()
			if h.random.IntN(3) == 0 {
				h.decide(true)
				continue
			}
			h.settle()
		}
		h.settle()
		h.check()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (h *history) settle() {
	for range 20 {
		if !h.decide(false) {
			return
		}
	}
	h.fail("it does not come to rest")
}

func (h *history) check() {
	cursor, err := ParseCursor(h.view.CronJob.Annotations[schema.AnnotationCursor])
	if err != nil {
		h.fail("%v", err)
	}
	committed := map[int64]bool{}
	for _, job := range h.view.Jobs {
		if _, prepared := job.Annotations[schema.AnnotationPrepared]; prepared {
			run, _ := RunOf(h.view.CronJob, job)
			committed[run.Slot.Unix()] = true
		}
	}
	spec, err := SpecOf(h.view.CronJob)
	if err != nil {
		h.fail("%v", err)
	}
	for slot := range h.due {
		text := time.Unix(slot, 0).UTC()
		outcomes := h.outcomes[slot]
		if slot > cursor.Slot.Unix() {
			if cursor.Hold == nil && spec.Times().Due(text).Before(h.now) {
				h.fail("slot %s is not resolved, and nothing holds it back", text)
			}
			if len(outcomes) > 0 || h.released[slot] > 0 {
				h.fail("slot %s is after the cursor and has %v", text, outcomes)
			}
			continue
		}
		if len(outcomes) == 0 || len(outcomes) > 2 || (len(outcomes) == 2 && (outcomes[0] != Ran || outcomes[1] != Skipped)) {
			h.fail("slot %s has the outcomes %v", text, outcomes)
		}
		ran := outcomes[len(outcomes)-1] == Ran
		if h.released[slot] > 1 || (!ran && h.released[slot] > 0) {
			h.fail("slot %s has %v and was released %d times", text, outcomes, h.released[slot])
		}
	}
	h.checkRetries()
	for slot := range h.released {
		if !h.due[slot] {
			h.fail("a run of %s, which is no slot", time.Unix(slot, 0).UTC())
		}
	}
}

// checkRetries: each retry is on record once, or twice if it was withdrawn, in
// order, after a run of its slot; and it was released once if the record says
// that it ran, else never.
func (h *history) checkRetries() {
	for slot, told := range h.tried {
		if outcomes := h.outcomes[slot]; len(outcomes) == 0 || outcomes[0] != Ran {
			h.fail("the slot %s has retries and the outcomes %v", time.Unix(slot, 0).UTC(), outcomes)
		}
		last := map[int]Outcome{}
		number := 0
		for _, r := range told {
			if r.Retry < number || r.Retry > number+1 || r.Retry == number && (last[number] != Ran || r.Outcome != Skipped) {
				h.fail("the slot %s has the retries %+v", time.Unix(slot, 0).UTC(), told)
			}
			number = r.Retry
			last[number] = r.Outcome
		}
		for n, outcome := range last {
			name := RetryName("x", time.Unix(slot, 0), n)
			if h.retried[name] > 1 || outcome != Ran && h.retried[name] > 0 {
				h.fail("%s is %s, and was released %d times", name, outcome, h.retried[name])
			}
		}
	}
	for name, n := range h.retried {
		if n > 1 {
			h.fail("%s was released %d times", name, n)
		}
	}
}
