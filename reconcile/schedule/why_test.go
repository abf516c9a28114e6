package schedule

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"rota.dev/rota/schema"
)

// whyWorld is a schedule every ten minutes with a past, looked at at 02:05 UTC.
func whyWorld(change func(*pastWorld, *batchv1.CronJob)) Question {
	w := newPastWorld()
	w.cursor.Schedule, w.cursor.Since = "*/10 * * * *", minute(5)
	w.run(10)
	w.end(10, batchv1.JobComplete)
	w.run(20)
	w.end(20, batchv1.JobFailed)
	w.skip(30, 50, Paused)
	w.cursor.Recent[len(w.cursor.Recent)-1].Count = 3
	w.cursor.Recent[len(w.cursor.Recent)-1].By = "ledger migration"
	w.cursor.resolve(Resolution{Slot: minute(60), Outcome: Skipped, Reason: Superseded, By: "x-1"})
	w.run(70)
	w.forget(70)
	w.delete(70)
	w.run(120)
	view := w.view()
	cj := view.CronJob
	cj.CreationTimestamp = metav1.Time{Time: minute(5)}
	cj.Annotations[schema.AnnotationScheduler] = "rota"
	yes := true
	cj.Spec = batchv1.CronJobSpec{Schedule: "*/10 * * * *", Suspend: &yes, ConcurrencyPolicy: batchv1.ForbidConcurrent}
	if change != nil {
		change(w, cj)
		cj.Annotations[schema.AnnotationCursor] = w.cursor.String()
		view.CronJob = cj
	}
	h := History{}.Merge(HistoryOf(view), minute(125), wide)
	return Question{Namespace: "n", Name: "x", CronJob: cj, Jobs: view.Jobs, History: h, Now: minute(125)}
}

func TestWhy(t *testing.T) {
	nothing := func(*pastWorld, *batchv1.CronJob) {}
	for name, test := range map[string]struct {
		change  func(*pastWorld, *batchv1.CronJob)
		slot    string
		verdict Verdict
		says    string
	}{
		"a run that completed":         {nothing, "00:10", VerdictRan, "00:10 UTC ran as Job x-29926090: completed at 2026-11-25 00:10:30 UTC, after 28s|it began at 2026-11-25 00:10:02 UTC, 2s after its slot|revision r1"},
		"a run that failed":            {nothing, "00:20", VerdictRan, "failed at 2026-11-25 00:20:30 UTC"},
		"a run that was deleted":       {nothing, "01:10", VerdictRan, "its Job was deleted before its end was seen|the Job is not there any more"},
		"a run that is active":         {nothing, "02:00", VerdictRan, "it is active"},
		"slots skipped in a row":       {nothing, "00:40", VerdictSkipped, "00:40 UTC was skipped: the schedule was paused (ledger migration)|one of 3 slots in a row, from 2026-11-25 00:30 UTC to 2026-11-25 00:50 UTC"},
		"the run in the way":           {nothing, "01:00", VerdictSkipped, "only the latest starts; x-1 was in the way"},
		"no slot in a row of skips":    {nothing, "00:35", VerdictNoSlot, `00:35 UTC is no slot of "*/10 * * * *"; the nearest are 2026-11-25 00:30 UTC and 2026-11-25 00:40 UTC`},
		"a slot of which nothing is":   {nothing, "01:20", VerdictUnknown, "01:20 UTC was resolved, and no rota wrote down what came of it"},
		"before the schedule":          {nothing, "00:00", VerdictNoSlot, "00:00 UTC was no slot yet: the schedule is in force since 2026-11-25 00:05 UTC"},
		"to come, with a run before":   {nothing, "02:10", VerdictFuture, "it starts at 2026-11-25 02:10 UTC, in 5m0s|it waits if another run is active then|x-29926200 is active now"},
		"seconds that are no slot":     {nothing, "00:10:30", VerdictNoSlot, "is no slot"},
		"another notation":             {nothing, "2026-11-25T01:10:00+01:00", VerdictRan, "ran as Job x-29926090"},
		"a schedule that is suspended": {func(_ *pastWorld, cj *batchv1.CronJob) { cj.Annotations[schema.AnnotationSuspended] = "true" }, "02:10", VerdictFuture, "will not as things are: the repository suspends the schedule"},
		"a pause over the slot": {func(_ *pastWorld, cj *batchv1.CronJob) {
			cj.Annotations[schema.AnnotationPause] = "until=2026-11-25T03:00:00Z reason=move"
		}, "02:10", VerdictFuture, "the schedule is paused until 2026-11-25 03:00 UTC (move)|when that ends, the latest slot that came due starts at once"},
		"a pause that ends before": {func(_ *pastWorld, cj *batchv1.CronJob) {
			cj.Annotations[schema.AnnotationPause] = "until=2026-11-25T02:08:00Z"
		}, "02:10", VerdictFuture, "it starts at 2026-11-25 02:10 UTC, in 5m0s|which ends before"},
		"the native controller":          {func(_ *pastWorld, cj *batchv1.CronJob) { *cj.Spec.Suspend = false }, "02:10", VerdictFuture, "spec.suspend is false"},
		"a schedule that cannot be read": {func(_ *pastWorld, cj *batchv1.CronJob) { cj.Spec.Schedule = "x" }, "02:10", VerdictNoSlot, "nothing fires until this is mended"},
		"the past of one that cannot":    {func(_ *pastWorld, cj *batchv1.CronJob) { cj.Spec.Schedule = "x" }, "00:10", VerdictRan, "ran as Job"},
		"due and held back": {func(w *pastWorld, _ *batchv1.CronJob) {
			w.cursor.Recent, w.cursor.Slot = w.cursor.Recent[:5], minute(70)
			w.cursor.Hold = &Hold{Reason: Blocked, Since: minute(120), By: "x-9"}
		}, "02:00", VerdictWaiting, "02:00 UTC is due and waits: the run x-9 is active, and the policy allows one at a time, since 2026-11-25 02:00 UTC|when that ends"},
		"due and nobody there": {func(w *pastWorld, _ *batchv1.CronJob) {
			w.cursor.Recent, w.cursor.Slot = w.cursor.Recent[:5], minute(70)
		}, "02:00", VerdictDue, "nothing has resolved it yet|see rota status"},
		"a day that is excluded": {func(_ *pastWorld, cj *batchv1.CronJob) {
			cj.Annotations[schema.AnnotationPolicy] = `{"exclude":["2026-11-26"]}`
		}, "2026-11-26T00:10", VerdictFuture, "a calendar of the policy excludes the day"},
	} {
		t.Run(name, func(t *testing.T) {
			q := whyWorld(test.change)
			var err error
			if q.Slot, err = ParseSlot(test.slot, time.UTC, q.Now); err != nil {
				t.Fatal(err)
			}
			a := Why(q)
			text := strings.Join(append([]string{a.Summary}, a.Details...), "|")
			if a.Verdict != test.verdict {
				t.Errorf("the verdict is %s: %s", a.Verdict, text)
			}
			for part := range strings.SplitSeq(test.says, "|") {
				if !strings.Contains(text, part) {
					t.Errorf("%q does not say %q", text, part)
				}
			}
		})
	}
}

func TestWhyOfWhatIsGone(t *testing.T) {
	q := whyWorld(nil)
	q.CronJob, q.Jobs = nil, nil
	for slot, says := range map[string]string{
		"00:10": "ran as Job x-29926090: completed",
		"00:40": "was skipped",
		"02:10": "was no slot: the CronJob is gone; the last slot on record is 2026-11-25 02:00 UTC",
	} {
		q.Slot, _ = ParseSlot(slot, time.UTC, q.Now)
		if a := Why(q); !strings.Contains(a.Summary, says) {
			t.Errorf("of %s it says %q, not %q", slot, a.Summary, says)
		}
	}
}

func TestWhyKnowsTheScheduleOfItsTime(t *testing.T) {
	q := whyWorld(func(w *pastWorld, cj *batchv1.CronJob) {
		cj.Spec.Schedule, w.cursor.Schedule, w.cursor.Since = "5 * * * *", "5 * * * *", minute(121)
	})
	q.History.InForce = append([]InForce{{Schedule: "*/10 * * * *", Since: minute(5)}}, q.History.InForce...)
	for slot, says := range map[string]string{
		"00:12": `is no slot of "*/10 * * * *"; the nearest are 2026-11-25 00:10 UTC and 2026-11-25 00:20 UTC|it fires every 10 minutes (UTC)`,
		"03:00": `is no slot of "5 * * * *"`,
		"03:05": "is to come",
	} {
		q.Slot, _ = ParseSlot(slot, time.UTC, q.Now)
		a := Why(q)
		if text := strings.Join(append([]string{a.Summary}, a.Details...), "|"); !strings.Contains(text, says) {
			t.Errorf("of %s it says %q, not %q", slot, text, says)
		}
	}
}

func TestParseSlotReadsWhatPeopleWrite(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-12-01T08:00:00+01:00": "2026-12-01T07:00:00Z",
		"2026-12-01T08:00":          "2026-12-01T07:00:00Z",
		"2026-07-01 08:00:05":       "2026-07-01T06:00:05Z",
		"08:00":                     "2026-03-29T06:00:00Z",
		"2026-03-29T02:30":          "does not exist in Europe/Berlin",
		"tomorrow":                  "cannot be read",
	} {
		got, err := ParseSlot(text, berlin, now)
		if said := fmt.Sprint(got.From.UTC().Format(time.RFC3339), err); !strings.Contains(said, want) {
			t.Errorf("%s is read as %s, not %s", text, said, want)
		}
	}
}
