package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

func jobKey(namespace, name string) schema.Key {
	return schema.Key{Group: "batch", Kind: "Job", Namespace: namespace, Name: name}
}

func someRuns(n int) map[schema.Key]plan.Run {
	runs := map[schema.Key]plan.Run{}
	for i := range n {
		digest := fmt.Sprintf("d1:%064x", uint64(i+1)*0x9e3779b97f4a7c15)
		runs[jobKey("batch", fmt.Sprintf("job-%05d", i))] = plan.Run{
			Digest: digest, UID: fmt.Sprintf("%08x-0000-4000-8000-%012x", i, uint64(i+1)*0x9e3779b97f4a), Outcome: plan.RunComplete,
			Revision: "3f2c1ab", Started: time.Unix(1_800_000_000+int64(i), 0).UTC(), Ended: time.Unix(1_800_000_060+int64(i), 0).UTC(),
		}
	}
	return runs
}

func TestPlacedEntriesFillShardsWithinTheLimit(t *testing.T) {
	l := &ledger{where: map[schema.Key]int{}}
	runs := someRuns(5000)
	for _, batch := range []int{1, 10, 989, 4000} {
		fresh := sortedKeys(runs)[len(l.where):][:batch]
		for len(fresh) > 0 {
			n, count, err := l.place(fresh, runs)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range fresh[:count] {
				l.where[key] = n
				l.shards[n].entries[key] = entry{Run: runs[key]}
			}
			fresh = fresh[count:]
		}
	}
	if diff := cmp.Diff(runs, l.jobs()); diff != "" {
		t.Fatal(diff)
	}
	for n, one := range l.shards {
		data, err := encodeShard(one)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > shardLimit || n < len(l.shards)-1 && len(data) < shardFill/2 {
			t.Errorf("shard %d has %d entries in %d bytes", n, len(one.entries), len(data))
		}
	}
	if len(l.shards) < 3 {
		t.Errorf("%d shards for 5000 runs", len(l.shards))
	}
}

func TestARecordIsReadByAFreshSet(t *testing.T) {
	w := newWorld(t)
	runs := someRuns(1500)
	if err := w.set(nil).Record(w.ctx, runs); err != nil {
		t.Fatal(err)
	}
	seen, err := w.set(nil).Observe(w.ctx, nil)
	if err != nil || seen.Ledger.Unreadable != nil {
		t.Fatal(err, seen.Ledger.Unreadable)
	}
	if diff := cmp.Diff(runs, seen.Ledger.Jobs); diff != "" {
		t.Error(diff)
	}
}

func TestTwoWritersLoseNoEntry(t *testing.T) {
	w := newWorld(t)
	a, b := w.set(nil), w.set(nil)
	if err := a.Record(w.ctx, someRuns(1)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	write := func(s *Set, prefix string) {
		for i := range 20 {
			run := map[schema.Key]plan.Run{jobKey("batch", fmt.Sprintf("%s-%d", prefix, i)): {Digest: "d1:x", Outcome: plan.RunActive}}
			var err error
			for range 5 {
				if err = s.Record(w.ctx, run); err == nil {
					break
				}
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}
	go write(a, "a")
	go write(b, "b")
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	seen, err := w.set(nil).Observe(w.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"a", "b"} {
		for i := range 20 {
			if _, ok := seen.Ledger.Jobs[jobKey("batch", fmt.Sprintf("%s-%d", prefix, i))]; !ok {
				t.Errorf("%s-%d is lost", prefix, i)
			}
		}
	}
}

func TestADamagedLedgerStopsJobsUntilItIsRebuilt(t *testing.T) {
	damages := map[string]func(w *world){
		"a shard is gone": func(w *world) { w.do(configMapsResource, w.system).delete("rota-ledger-batch-00") },
		"a shard is not what it was": func(w *world) {
			w.do(configMapsResource, w.system).patch("rota-ledger-batch-00", `{"binaryData": {"ledger.json.gz": "bm90IGd6aXA="}}`)
		},
		"a shard is of another ledger": func(w *world) {
			w.do(configMapsResource, w.system).patch("rota-ledger-batch-00", `{"metadata": {"annotations": {"rota.dev/ledger": "0123"}}}`)
		},
		"the parent is gone": func(w *world) { w.do(configMapsResource, w.system).delete("rota-batch") },
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first := w.set(nil)
			w.mustSync(first, documents(job("ran", "echo"), configMapOf("settings", "1")))
			first.Close()
			w.do(jobsResource, w.namespace).delete("ran")
			w.eventually("the Job is gone", func() error {
				if names := w.do(jobsResource, w.namespace).names(""); len(names) > 0 {
					return fmt.Errorf("%v", names)
				}
				return nil
			})
			damage(w)

			s := w.set(nil)
			manifests := documents(job("ran", "echo"), configMapOf("settings", "2"))
			outcomes, err := w.sync(s, manifests)
			if err != nil {
				t.Fatal(err)
			}
			if p := outcomes["Job ran"].Problem; p == nil || p.Rule != "R217" {
				t.Errorf("the Job's problem is %v", p)
			}
			if !outcomes["ConfigMap settings"].Done {
				t.Error("what is no Job was held up")
			}
			if err := s.Record(w.ctx, someRuns(1)); err == nil {
				t.Error("a ledger that cannot be believed was written to")
			}
			objects, _, err := s.Resolve(w.ctx, w.objects(manifests))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.RebuildLedger(w.ctx, true, objects); err != nil {
				t.Fatal(err)
			}
			s.Close()
			outcomes = w.mustSync(w.set(nil), manifests)
			if o := outcomes["Job ran"]; o.Change.Op != plan.Keep || o.Change.Reason != plan.ReasonAlreadyRan {
				t.Errorf("after the rebuild: %s %s", o.Change.Op, o.Change.Effect)
			}
		})
	}
}

func TestRebuildWithoutAssumingRunsAbsentJobs(t *testing.T) {
	w := newWorld(t)
	first := w.set(nil)
	w.mustSync(first, job("ran", "echo"))
	first.Close()
	w.do(jobsResource, w.namespace).delete("ran")
	w.do(configMapsResource, w.system).delete("rota-ledger-batch-00")
	s := w.set(nil)
	objects, _, err := s.Resolve(w.ctx, w.objects(job("ran", "echo")))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RebuildLedger(w.ctx, false, objects); err != nil {
		t.Fatal(err)
	}
	w.eventually("the Job runs again", func() error {
		outcomes, err := w.sync(s, job("ran", "echo"))
		if err != nil {
			return err
		}
		if o := outcomes["Job ran"]; o.Change.Op != plan.Create {
			return fmt.Errorf("%s %s", o.Change.Op, o.Change.Effect)
		}
		return nil
	})
}

func TestAParentOfAnotherToolIsRefusedByName(t *testing.T) {
	w := newWorld(t)
	w.do(namespaces, "").create("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + w.system + "}")
	s := w.set(nil)
	w.do(configMapsResource, w.system).create(fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata:
  name: rota-batch
  labels: {applyset.kubernetes.io/id: %s}
  annotations: {applyset.kubernetes.io/tooling: kubectl/v1.37}
`, s.ID()))
	_, err := w.sync(s, configMapOf("settings", "1"))
	problems := schema.Problems(err)
	if len(problems) != 1 || problems[0].Rule != "R216" || problems[0].Message != "ConfigMap "+w.system+"/rota-batch is in the place of the inventory of Sync batch, but belongs to kubectl/v1.37" {
		t.Errorf("error: %v", err)
	}
}

func TestEntriesOfJobsThatLeftAreKeptAWhile(t *testing.T) {
	old := time.Now().Add(-100 * 24 * time.Hour)
	s := &Set{desired: map[schema.Key]bool{jobKey("n", "desired"): true}}
	now := &shard{entries: map[schema.Key]entry{
		jobKey("n", "desired"):   {Run: plan.Run{Outcome: plan.RunComplete, Ended: old}, Left: old},
		jobKey("n", "just-left"): {Run: plan.Run{Outcome: plan.RunComplete, Ended: old}},
		jobKey("n", "long-left"): {Run: plan.Run{Outcome: plan.RunComplete, Ended: old}, Left: old},
		jobKey("n", "active"):    {Run: plan.Run{Outcome: plan.RunActive}, Left: old},
	}}
	next := s.changedShard(now, nil)
	for name, want := range map[string]bool{"desired": true, "just-left": true, "long-left": false, "active": true} {
		if _, kept := next.entries[jobKey("n", name)]; kept != want {
			t.Errorf("%s is kept: %v, want %v", name, kept, want)
		}
	}
	if !next.entries[jobKey("n", "desired")].Left.IsZero() || next.entries[jobKey("n", "just-left")].Left.IsZero() {
		t.Error("when a Job left is not noted")
	}
}

func TestStatusIsPublishedOnceAndReadByAnother(t *testing.T) {
	w := newWorld(t)
	config, counts := Count(w.config)
	s := w.set(config)
	if err := s.PublishStatus(w.ctx, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	counts.Take()
	if err := s.PublishStatus(w.ctx, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if got, sum := counts.Take(); sum != 0 {
		t.Errorf("publishing the same again took %v", got)
	}
	if err := s.PublishStatus(w.ctx, []byte(`{"a":2}`)); err != nil {
		t.Fatal(err)
	}
	data, err := w.set(nil).Status(w.ctx)
	if err != nil || string(data) != `{"a":2}` {
		t.Errorf("status %s, %v", data, err)
	}
	if len(s.Changed()) > 0 {
		t.Error("our own status was signalled as a change")
	}
}

func TestSetsListsWhatRotaOwns(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	w.mustSync(s, configMapOf("settings", "1"))
	sets, err := s.cluster.Sets(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []SetInfo{{Sync: "batch", Namespace: w.system, ID: s.ID(), Tooling: "rota/test", Kinds: []string{"ConfigMap"}, Namespaces: []string{w.namespace}}}
	if diff := cmp.Diff(want, sets); diff != "" {
		t.Error(diff)
	}
	if got := w.do(configMapsResource, w.namespace).names(schema.ApplySetPartOf + "=" + sets[0].ID); len(got) != 1 {
		t.Errorf("members by label: %v", got)
	}
}
