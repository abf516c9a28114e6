package cluster_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// pastStart is a day ago, the same for all of a test.
var pastStart = time.Now().Truncate(time.Minute).Add(-24 * time.Hour)

// pastOf returns a history with a number of slots that were skipped, from a
// minute on.
func pastOf(from, slots int) schedule.History {
	c := schedule.Cursor{Schedule: "* * * * *", Since: pastStart}
	for i := from; i < from+slots; i++ {
		c.Slot = pastStart.Add(time.Duration(i+1) * time.Minute)
		c.Recent = append(c.Recent, schedule.Resolution{Slot: c.Slot.UTC(), Outcome: schedule.Skipped, Reason: schedule.Superseded, By: fmt.Sprintf("job-%d-%d", i, i*i*7919)})
	}
	return schedule.HistoryOf(schedule.View{CronJob: &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{UID: "u",
		Annotations: map[string]string{schema.AnnotationCursor: c.String()}}}})
}

func (w *runWorld) historyLedger(sync string) *cluster.HistoryLedger {
	l := cluster.NewHistoryLedger(w.client, cluster.HistoryOptions{Sync: sync, Namespace: w.namespace})
	if err := l.Load(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *runWorld) historyMaps() []corev1.ConfigMap {
	list, err := w.client.CoreV1().ConfigMaps(w.namespace).List(w.t.Context(), metav1.ListOptions{LabelSelector: schema.LabelHistory})
	if err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

func TestHistoriesGrowIntoMoreConfigMapsAndAreReadBack(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	l := w.historyLedger("s")
	name := func(i int) types.NamespacedName {
		return types.NamespacedName{Namespace: "n", Name: fmt.Sprintf("schedule-%04d", i)}
	}
	const schedules = 600
	for from := 0; from < 60; from += 10 {
		batch := map[types.NamespacedName]schedule.History{}
		for i := range schedules {
			batch[name(i)] = pastOf(from, 10)
		}
		if n, err := l.Merge(t.Context(), batch); err != nil || n == 0 {
			t.Fatal(n, err)
		}
		if n, err := l.Merge(t.Context(), batch); err != nil || n != 0 {
			t.Fatalf("writing what is there already wrote %d bytes, %v", n, err)
		}
	}
	maps := w.historyMaps()
	if len(maps) < 4 {
		t.Fatalf("%d ConfigMaps", len(maps))
	}
	for _, m := range maps {
		if n := len(m.BinaryData["history.json.gz"]); n > 64<<10 {
			t.Errorf("%s has %d bytes", m.Name, n)
		}
	}
	want := pastOf(50, 10).Cursor.Slot
	again := w.historyLedger("s")
	for i := range schedules {
		if got := again.Past(name(i)); !got.Slot.Equal(want) {
			t.Fatalf("%s goes on from %s, not %s", name(i), got.Slot, want)
		}
	}
}

func TestHistoriesSurviveTwoWritersDamageAndDeletion(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	a, b := w.historyLedger("s"), w.historyLedger("s")
	one := types.NamespacedName{Namespace: "n", Name: "one"}
	two := types.NamespacedName{Namespace: "n", Name: "two"}
	var group sync.WaitGroup
	for name, l := range map[types.NamespacedName]*cluster.HistoryLedger{one: a, two: b} {
		group.Go(func() {
			for from := range 5 {
				if _, err := l.Merge(t.Context(), map[types.NamespacedName]schedule.History{name: pastOf(from, 1)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	want := pastOf(4, 1).Cursor.Slot
	for _, name := range []types.NamespacedName{one, two} {
		if got := w.historyLedger("s").Past(name).Slot; !got.Equal(want) {
			t.Errorf("%s goes on from %s, not %s", name, got, want)
		}
	}
	m := w.historyMaps()[0]
	if err := w.client.CoreV1().ConfigMaps(w.namespace).Delete(t.Context(), m.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Merge(t.Context(), map[types.NamespacedName]schedule.History{one: pastOf(5, 1)}); err != nil {
		t.Fatal(err)
	}
	if got := w.historyLedger("s").Past(one).Slot; !got.Equal(pastOf(5, 1).Cursor.Slot) {
		t.Errorf("after a deletion by hand it goes on from %s", got)
	}
	m = w.historyMaps()[0]
	m.BinaryData = map[string][]byte{"history.json.gz": []byte("spoilt")}
	if _, err := w.client.CoreV1().ConfigMaps(w.namespace).Update(t.Context(), &m, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c := w.historyLedger("s")
	if got := c.Past(one); !got.IsZero() {
		t.Errorf("a damaged history says %v", got)
	}
	if _, err := c.Merge(t.Context(), map[types.NamespacedName]schedule.History{one: pastOf(6, 1)}); err != nil {
		t.Fatal(err)
	}
	if got := w.historyLedger("s").Past(one).Slot; !got.Equal(pastOf(6, 1).Cursor.Slot) {
		t.Errorf("after damage it goes on from %s", got)
	}
}
