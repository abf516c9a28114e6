package schedule

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/schema"
)

// someCronJob is any schedule under any policy, pause and deadline, whose slots
// are resolved up to now.
func someCronJob(r *rand.Rand, now time.Time) *batchv1.CronJob {
	hold := true
	zone := []string{"UTC", "Europe/Berlin", "America/New_York"}[r.IntN(3)]
	cj := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{
			Name: "x", Namespace: "n", UID: "cj", CreationTimestamp: metav1.Time{Time: now.AddDate(0, 0, -2)},
			Annotations: map[string]string{schema.AnnotationScheduler: "rota", schema.AnnotationSuspended: strconv.FormatBool(r.IntN(20) == 0)},
		},
		Spec: batchv1.CronJobSpec{Schedule: someCron(r), TimeZone: &zone, Suspend: &hold},
	}
	if r.IntN(8) == 0 {
		cj.Spec.Schedule = []string{"@every 20s", "@every 50s", "@every 100s", "@every 90m"}[r.IntN(4)]
	}
	if r.IntN(3) == 0 {
		d := int64(5 + r.IntN(9000))
		cj.Spec.StartingDeadlineSeconds = &d
	}
	if r.IntN(4) > 0 {
		cj.Annotations[schema.AnnotationPolicy] = someRules(r, now).String()
	}
	if r.IntN(3) == 0 {
		pause := Pause{Until: now.Add(time.Duration(r.IntN(3*1440*60)) * time.Second).Truncate(time.Second), Reason: "moving"}
		if r.IntN(6) == 0 {
			pause.Until = time.Time{}
		}
		cj.Annotations[schema.AnnotationPause] = pause.String()
	}
	return cj
}

// carriedOut lets Decide run a CronJob up to the given time, as if every Job
// ended at once, and returns when it started which slot.
func carriedOut(t *testing.T, cj *batchv1.CronJob, now, until time.Time, most int) []string {
	t.Helper()
	view := View{CronJob: cj.DeepCopy(), Gone: map[types.UID]bool{}}
	var starts []string
	for n := 0; len(starts) < most; n++ {
		spec, err := SpecOf(view.CronJob)
		if err != nil {
			t.Fatal(err)
		}
		d := Decide(spec, StateOf(view), now)
		if n > 50_000 {
			t.Fatalf("it does not come to an end: %q at %s: %+v", view.CronJob.Spec.Schedule, now, d.Actions)
		}
		started := map[string]*batchv1.Job{}
		for _, a := range d.Actions {
			if s, ok := a.(Start); ok {
				job := NewRun(view.CronJob, "s", s.Slot)
				job.UID = types.UID(job.Name)
				delete(job.Annotations, schema.AnnotationPrepared)
				job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{Time: now}}}
				started[s.Name] = job
				starts = append(starts, fmt.Sprintf("%s at %s", s.Slot.UTC().Format(time.DateTime), now.UTC().Format(time.DateTime)))
			}
		}
		recorded, err := Record(view, d.Actions, started)
		if err != nil {
			t.Fatal(err)
		}
		if recorded != nil {
			view.CronJob, view.Jobs = recorded, nil
			for _, job := range started {
				view.Jobs = append(view.Jobs, job)
			}
			continue
		}
		if d.Wake.IsZero() || d.Wake.After(until) {
			break
		}
		now = d.Wake
	}
	return starts
}

func TestWhatIsForeseenIsWhatIsStarted(t *testing.T) {
	seeds := uint64(1500)
	if testing.Short() {
		seeds = 300
	}
	const most = 12
	compared, paused := 0, 0
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 11))
		// Around both changes of the clocks in both zones.
		now := time.Date(2026, []time.Month{3, 10, 6}[r.IntN(3)], 1, 0, 0, 30, 0, time.UTC).Add(time.Duration(r.IntN(35*1440)) * time.Minute)
		until := now.AddDate(0, 0, 20)
		cj := someCronJob(r, now)
		spec, err := SpecOf(cj)
		if err != nil || spec.Err != nil {
			t.Fatal(err, spec.Err)
		}
		since := now.AddDate(0, 0, -1)
		cursor := Cursor{Schedule: spec.Schedule, Zone: spec.Zone, Since: since, Outcome: Ran, Slot: spec.Times().LastDue(since, now)}
		cj.Annotations[schema.AnnotationCursor] = cursor.String()
		if !cursor.Slot.IsZero() {
			cj.Status.LastScheduleTime = &metav1.Time{Time: cursor.Slot}
		}
		var foreseen []string
		for _, f := range spec.Coming(Coming{After: now, Until: until, Anchor: anchor(cursor, cursor.Slot), Ran: cursor.Slot, Most: most}) {
			foreseen = append(foreseen, fmt.Sprintf("%s at %s", f.Slot.UTC().Format(time.DateTime), f.Due.UTC().Format(time.DateTime)))
		}
		started := carriedOut(t, cj, now, until, most)
		if fmt.Sprint(foreseen) != fmt.Sprint(started) {
			t.Fatalf("seed %d: schedule %q in %s, policy %s, pause %q, deadline %v, now %s\nforeseen %v\nstarted  %v", seed, spec.Schedule, spec.Zone,
				cj.Annotations[schema.AnnotationPolicy], cj.Annotations[schema.AnnotationPause], spec.Deadline, now.UTC(), foreseen, started)
		}
		compared += len(started)
		if spec.Pause != nil && len(started) > 0 {
			paused++
		}
	}
	if compared < int(seeds) || paused < int(seeds)/20 {
		t.Errorf("only %d starts and %d pauses that ended were compared", compared, paused)
	}
	t.Logf("%d starts are as foreseen", compared)
}

func TestSlotsWithoutARunAreForeseenWithTheirReason(t *testing.T) {
	after := time.Date(2026, 12, 23, 12, 0, 0, 0, time.UTC)
	rules := schema.Policy{Exclude: []schema.Days{{First: schema.Day{Year: 2026, Month: 12, Day: 24}, Last: schema.Day{Year: 2026, Month: 12, Day: 25}, Source: "holidays.ics"}}}
	cron, err := Parse("0 6 * * *", "")
	if err != nil {
		t.Fatal(err)
	}
	every, err := Parse("@every 30s", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*Spec)
		want   []string
	}{
		"two slots of one minute": {func(s *Spec) { s.Cron, s.Rules = every, schema.Policy{} },
			[]string{"23 12:00 runs 12:00", "23 12:01 runs 12:01", "23 12:01 SameMinute (x-29967121)", "23 12:02 runs 12:02"}},
		"an excluded day":      {func(*Spec) {}, []string{"24 06:00 Excluded (holidays.ics)", "25 06:00 Excluded (holidays.ics)", "26 06:00 runs 06:00"}},
		"a suspended schedule": {func(s *Spec) { s.Suspended = true }, []string{"24 06:00 Excluded (holidays.ics)", "25 06:00 Excluded (holidays.ics)", "26 06:00 Suspended ()"}},
		"a pause that ends, and the latest slot in it": {func(s *Spec) {
			s.Pause = &Pause{Until: after.AddDate(0, 0, 5), Reason: "moving"}
		}, []string{"24 06:00 Excluded (holidays.ics)", "25 06:00 Excluded (holidays.ics)", "26 06:00 Paused (moving)", "27 06:00 Paused (moving)", "28 06:00 runs 12:00"}},
		"a pause that ends too late for the deadline": {func(s *Spec) {
			deadline := time.Minute
			s.Pause, s.Deadline = &Pause{Until: after.AddDate(0, 0, 5), Reason: "moving"}, &deadline
		}, []string{"24 06:00 Excluded (holidays.ics)", "25 06:00 Excluded (holidays.ics)", "26 06:00 Paused (moving)", "27 06:00 Paused (moving)", "28 06:00 Paused (moving)"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := Spec{Namespace: "n", Name: "x", Cron: cron, Rules: rules}
			test.change(&s)
			var got []string
			for _, f := range s.Coming(Coming{After: after, Most: len(test.want), Skipped: true}) {
				text := f.Slot.Format("02 15:04 ") + string(f.Reason) + " (" + f.By + ")"
				if f.Reason == "" {
					text = f.Slot.Format("02 15:04 runs ") + f.Due.Format("15:04")
				}
				got = append(got, text)
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got  %v\nwant %v", got, test.want)
			}
		})
	}
}
