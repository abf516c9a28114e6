package schedule

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"rota.dev/rota/schema"
)

func TestAnOutlookKnowsWhatAPauseHoldsBack(t *testing.T) {
	day := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	at := func(hour int) time.Time { return day.Add(time.Duration(hour) * time.Hour) }
	for name, test := range map[string]struct {
		resolved int // the last slot that is, in hours
		pause    string
		deadline *int64
		want     time.Time
	}{
		"no pause": {-18, "", nil, at(30)},
		"the slot of 06:00 was missed and starts then": {-18, "until=2026-11-25T12:00:00Z", nil, at(12)},
		"the slot of 06:00 had run":                    {6, "until=2026-11-25T12:00:00Z", nil, at(30)},
		"the slot of 06:00 is too late by then":        {-18, "until=2026-11-25T12:00:00Z", new(int64(60)), at(30)},
		"no end":                                       {-18, `reason="moving"`, nil, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			hold := true
			cj := &batchv1.CronJob{
				ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "n", CreationTimestamp: metav1.Time{Time: at(-48)}, Annotations: map[string]string{
					schema.AnnotationScheduler: ByRota, schema.AnnotationSuspended: "false",
					schema.AnnotationCursor: Cursor{Schedule: "0 6 * * *", Since: at(-48), Slot: at(test.resolved), Outcome: Ran}.String(),
				}},
				Spec: batchv1.CronJobSpec{Schedule: "0 6 * * *", Suspend: &hold, StartingDeadlineSeconds: test.deadline},
			}
			if test.pause != "" {
				cj.Annotations[schema.AnnotationPause] = test.pause
			}
			if o := OutlookOf(View{CronJob: cj}, History{}, at(7)); !o.Next.Equal(test.want) {
				t.Errorf("the next run starts at %s, want %s", o.Next, test.want)
			}
		})
	}
}
