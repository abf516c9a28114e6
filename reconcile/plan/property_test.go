package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// worlds calls check with many random inputs. PLAN_SEED repeats a failure.
func worlds(t *testing.T, check func(t *testing.T, r *rand.Rand, in Input)) {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("PLAN_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range 120 {
		check(t, r, randomInput(t, r))
		if t.Failed() {
			t.Fatalf("world %d; repeat with PLAN_SEED=%d", i, seed)
		}
	}
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

// randomObject returns one of a few keys in one of a few versions.
func randomObject(r *rand.Rand, i int) schema.Object {
	metadata := map[string]any{"name": fmt.Sprintf("o-%d", i), "namespace": "batch"}
	annotations := map[string]any{}
	if rerun := one(r, "", "OnChange", "Never", "Ensure"); rerun != "" {
		annotations[schema.AnnotationRerun] = rerun
	}
	if policy := one(r, "", "", "Wait", "Replace", "Refuse"); policy != "" {
		annotations[schema.AnnotationWhileActive] = policy
	}
	if len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	pod := map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "main", "image": one(r, "a:1", "a:2")}}}}
	// The kind is the key's, so that versions of one object meet.
	object := map[string]any{"metadata": metadata}
	switch i % 5 {
	case 0, 1:
		object["apiVersion"], object["kind"] = "batch/v1", "Job"
		spec := map[string]any{"template": pod, "parallelism": one(r, int64(1), int64(2))}
		if chance(r, 30) {
			spec["ttlSecondsAfterFinished"] = int64(60)
		}
		object["spec"] = spec
	case 2:
		object["apiVersion"], object["kind"] = "batch/v1", "CronJob"
		object["spec"] = map[string]any{"schedule": one(r, "0 2 * * *", "30 3 * * *"), "suspend": chance(r, 20),
			"jobTemplate": map[string]any{"spec": map[string]any{"template": pod}}}
	case 3:
		object["apiVersion"], object["kind"] = "v1", one(r, "ConfigMap", "ConfigMap", "Namespace")
		object["data"] = map[string]any{"a": one(r, "1", "2")}
	default:
		object["apiVersion"], object["kind"] = "apps/v1", "Deployment"
		object["spec"] = map[string]any{"replicas": one(r, int64(1), int64(2)), "template": pod}
	}
	return schema.Object{Unstructured: &unstructured.Unstructured{Object: object}, Origin: schema.Origin{File: "a.yaml", Line: i}}
}

func randomStatus(r *rand.Rand, key schema.Key) any {
	switch {
	case key.IsJob():
		condition := func(kind string) any {
			return map[string]any{"startTime": "2026-11-20T00:00:00Z", "conditions": []any{map[string]any{"type": kind, "status": "True", "lastTransitionTime": "2026-11-20T00:05:00Z"}}}
		}
		return one(r, nil, any(map[string]any{"startTime": "2026-11-20T00:00:00Z", "active": int64(2)}), condition("Complete"), condition("Failed"))
	case key.IsCronJob() && chance(r, 40):
		return map[string]any{"active": []any{map[string]any{"name": "x"}}}
	}
	return nil
}

func randomInput(t *testing.T, r *rand.Rand) Input {
	o := testOptions()
	o.EmbeddedScheduler = chance(r, 70)
	o.ReportDrift = chance(r, 30)
	o.ForceConflicts = chance(r, 20)
	o.Prune = chance(r, 80)
	o.MaxPrunePercent = one(r, 0, 20, 50, 100)
	if chance(r, 10) {
		o.Incomplete = "a file is broken"
	}
	in := Input{Live: map[schema.Key]*unstructured.Unstructured{}, Refused: map[schema.Key]*schema.Problem{}, Applied: map[schema.Key]Intended{},
		Ledger: Ledger{Jobs: map[schema.Key]Run{}}, Options: o, Now: testNow}
	n := r.IntN(30)
	for i := range n {
		if chance(r, 60) {
			in.Desired = append(in.Desired, intended(t, []schema.Object{randomObject(r, i)}, o)...)
		}
		if chance(r, 70) {
			addLive(t, r, in, i)
		}
	}
	for _, d := range in.Desired {
		if d.Key().IsJob() && chance(r, 50) {
			run := Run{Digest: one(r, d.RunDigest, "d1:other"), Outcome: one(r, RunActive, RunComplete, RunFailed, RunDeleted, RunGone, RunAssumed)}
			in.Ledger.Jobs[d.Key()] = run
		}
		if chance(r, 20) {
			in.Applied[d.Key()] = Intended{Object: d.Object, Digest: one(r, d.Digest, "o1:other")}
		}
		if chance(r, 4) {
			in.Refused[d.Key()] = problemFor(d.Key(), d.Origin, "R299", "unknown", "")
		}
	}
	if chance(r, 10) {
		in.Ledger.Unreadable = &schema.Problem{Rule: "R240", Message: "a shard is missing"}
	}
	return in
}

// addLive adds an object that rota applied, or somebody else made, in one of
// the states that a plan must tell apart.
func addLive(t *testing.T, r *rand.Rand, in Input, i int) {
	earlier := in.Options
	earlier.Revision = "main@sha1:111"
	d := intended(t, []schema.Object{randomObject(r, i)}, earlier)[0]
	u := applied(d, randomStatus(r, d.Key()))
	metadata := u.Object["metadata"].(map[string]any)
	switch r.IntN(14) {
	case 0:
		delete(metadata, "labels")
		delete(metadata, "managedFields")
	case 1:
		setLabel(u, schema.ApplySetPartOf, one(r, otherSet, "applyset-unknown"))
	case 2:
		metadata["ownerReferences"] = []any{map[string]any{"kind": "CronJob", "name": "x", "uid": "y", "apiVersion": "batch/v1", "controller": chance(r, 50)}}
	case 3:
		metadata["deletionTimestamp"] = "2026-11-20T00:00:00Z"
	case 4:
		lose(u, one(r, []string{"f:spec"}, []string{"f:data", "f:a"}, []string{"f:metadata", "f:labels"})...)
	case 5:
		if d.Key().IsJob() {
			annotate(u, schema.AnnotationPrepared, "false")
		}
	case 6:
		setLabel(u, schema.ApplySetPartOf, "")
		delete(metadata, "labels")
	}
	in.Live[d.Key()] = u
}

func setLabel(u *unstructured.Unstructured, k, v string) {
	labels := u.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[k] = v
	u.SetLabels(labels)
}

func TestPropertyEveryObjectGetsExactlyOneChange(t *testing.T) {
	worlds(t, func(t *testing.T, _ *rand.Rand, in Input) {
		want := map[schema.Key]int{}
		for _, d := range in.Desired {
			want[d.Key()]++
		}
		for key, u := range in.Live {
			if want[key] == 0 && u.GetLabels()[schema.ApplySetPartOf] == testSet && len(u.GetOwnerReferences()) == 0 {
				want[key]++
			}
		}
		got := map[schema.Key]int{}
		for _, c := range Compute(in).Changes {
			got[c.Key]++
			if c.Op == "" || c.Reason == "" || c.Effect == "" || (c.Op == Refuse) != (c.Problem != nil) {
				t.Errorf("incomplete change %+v", c)
			}
			if (c.Op == Create || c.Op == Update || c.Op == Replace) && c.Object == nil {
				t.Errorf("%s %s without an object", c.Op, c.Key)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("changes by key (-want +got):\n%s", diff)
		}
	})
}

func TestPropertyOnlyUnownedMembersAreDeleted(t *testing.T) {
	deletions := 0
	worlds(t, func(t *testing.T, _ *rand.Rand, in Input) {
		desired := map[schema.Key]bool{}
		for _, d := range in.Desired {
			desired[d.Key()] = true
		}
		for _, c := range Compute(in).Changes {
			if c.Op != Delete {
				continue
			}
			deletions++
			u := in.Live[c.Key]
			switch {
			case u == nil || c.Before != u:
				t.Errorf("%s is deleted without having been seen", c.Key)
			case u.GetLabels()[schema.ApplySetPartOf] != testSet || len(u.GetOwnerReferences()) > 0:
				t.Errorf("%s is not ours to delete", c.Key)
			case desired[c.Key] || c.Key.Kind == "Namespace":
				t.Errorf("%s must stay", c.Key)
			case !in.Options.Prune || in.Options.Incomplete != "" || len(in.Desired) == 0:
				t.Errorf("%s is deleted though nothing may be pruned", c.Key)
			}
		}
	})
	if deletions == 0 {
		t.Error("no world deleted anything: the property was not tested")
	}
}

func TestPropertyGuardBoundsWhatIsDeleted(t *testing.T) {
	refused := 0
	worlds(t, func(t *testing.T, _ *rand.Rand, in Input) {
		members := 0
		for _, u := range in.Live {
			if u.GetLabels()[schema.ApplySetPartOf] == testSet && len(u.GetOwnerReferences()) == 0 {
				members++
			}
		}
		p := Compute(in)
		deleted := p.Totals().Pruned
		if members >= 10 && deleted*100 > members*in.Options.MaxPrunePercent {
			t.Errorf("%d of %d deleted, at most %d %% may be", deleted, members, in.Options.MaxPrunePercent)
		}
		if p.PruneProblem != nil {
			refused++
			if deleted > 0 {
				t.Errorf("%d deleted in spite of %v", deleted, p.PruneProblem)
			}
		}
		for _, c := range p.Changes {
			if _, wanted := in.Live[c.Key]; c.Op == Refuse && c.Object != nil && deleted > 0 && wanted {
				t.Errorf("%s is refused and %d are pruned", c.Key, deleted)
			}
		}
	})
	if refused == 0 {
		t.Error("no world tripped the guard: the property was not tested")
	}
}

func TestPropertyADoneJobIsNeverCreated(t *testing.T) {
	kept, ensured := 0, 0
	worlds(t, func(t *testing.T, _ *rand.Rand, in Input) {
		digests := map[schema.Key]string{}
		for _, d := range in.Desired {
			digests[d.Key()] = d.RunDigest
		}
		for _, c := range Compute(in).Changes {
			run, known := in.Ledger.Jobs[c.Key]
			if !c.Key.IsJob() || c.Op != Create && c.Op != Replace {
				if known && in.Live[c.Key] == nil && c.Reason == ReasonAlreadyRan {
					kept++
				}
				continue
			}
			rerun := c.Object.GetAnnotations()[schema.AnnotationRerun]
			switch {
			case in.Ledger.Unreadable != nil:
				t.Errorf("%s starts though the ledger is unreadable", c.Key)
			case in.Live[c.Key] == nil && known && rerun == RerunEnsure:
				ensured++
			case in.Live[c.Key] == nil && known && (run.Digest == digests[c.Key] || rerun == RerunNever):
				t.Errorf("%s starts again: %s", c.Key, c.Effect)
			case in.Live[c.Key] != nil && in.Live[c.Key].GetAnnotations()[schema.AnnotationDigest] == digests[c.Key]:
				t.Errorf("%s is in the cluster with this digest and starts again", c.Key)
			}
		}
	})
	if kept == 0 || ensured == 0 {
		t.Errorf("%d kept, %d ensured: the property was not tested", kept, ensured)
	}
}

func TestPropertyAnActiveRunIsEndedOnlyWhenAskedTo(t *testing.T) {
	worlds(t, func(t *testing.T, _ *rand.Rand, in Input) {
		for _, c := range Compute(in).Changes {
			if !c.Key.IsJob() || c.Op != Replace && c.Op != Delete {
				continue
			}
			run := RunOf(c.Before)
			policy := c.Before.GetAnnotations()
			if c.Object != nil {
				policy = c.Object.GetAnnotations()
			}
			if run.Outcome == RunActive && !run.Started.IsZero() && policy[schema.AnnotationWhileActive] != WhileActiveReplace {
				t.Errorf("%s ends an active run: %s %s", c.Key, c.Op, c.Effect)
			}
		}
	})
}

func TestPropertyChangesAreInTheOrderOfWaves(t *testing.T) {
	worlds(t, func(t *testing.T, _ *rand.Rand, in Input) {
		changes := Compute(in).Changes
		for i := 1; i < len(changes); i++ {
			a, b := changes[i-1], changes[i]
			switch {
			case a.Op == Delete && b.Op != Delete:
				t.Errorf("%s is deleted before %s is applied", a.Key, b.Key)
			case a.Op == Delete && Wave(a.Key) < Wave(b.Key):
				t.Errorf("%s is deleted before %s, which may stand on it", a.Key, b.Key)
			case b.Op != Delete && Wave(a.Key) > Wave(b.Key):
				t.Errorf("%s comes before %s", a.Key, b.Key)
			}
		}
	})
}

func TestPropertyComputeIsDeterministicAndLeavesItsInputAlone(t *testing.T) {
	worlds(t, func(t *testing.T, _ *rand.Rand, in Input) {
		before := copyInput(in)
		first, second := Compute(in), Compute(in)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("two plans of one input differ:\n%s", diff)
		}
		if first.String() != Compute(before).String() {
			t.Errorf("the plan of a copy differs")
		}
		if diff := cmp.Diff(before, in); diff != "" {
			t.Errorf("the input was changed:\n%s", diff)
		}
	})
}

func copyInput(in Input) Input {
	out := in
	out.Desired = nil
	out.Ledger.Jobs = maps.Clone(in.Ledger.Jobs)
	for _, d := range in.Desired {
		d.Object = d.Object.DeepCopy()
		out.Desired = append(out.Desired, d)
	}
	out.Live = map[schema.Key]*unstructured.Unstructured{}
	for k, u := range in.Live {
		out.Live[k] = u.DeepCopy()
	}
	return out
}

// carryOut does to the input what an ideal cluster would do with the plan.
func carryOut(in Input, p Plan) Input {
	out := copyInput(in)
	for _, c := range p.Changes {
		switch c.Op {
		case Delete:
			delete(out.Live, c.Key)
		case Create, Replace:
			out.Live[c.Key] = applied(Intended{Object: *c.Object}, nil)
		case Update:
			u := applied(Intended{Object: *c.Object}, c.Before.Object["status"])
			out.Live[c.Key] = u
		}
		if c.Key.IsJob() && (c.Op == Create || c.Op == Replace) {
			out.Ledger.Jobs[c.Key] = RunOf(out.Live[c.Key])
		}
	}
	return out
}

func TestPropertyAPlanCarriedOutLeavesNothingToDo(t *testing.T) {
	wrote := 0
	worlds(t, func(t *testing.T, _ *rand.Rand, in Input) {
		first := Compute(in)
		if first.Writes() {
			wrote++
		}
		second := Compute(carryOut(in, first))
		for _, c := range second.Changes {
			switch c.Op {
			case Keep, Refuse, Wait:
				continue
			case Delete:
				// What a refused object held back, or the guard, may go now
				// that less is left; it must not have been allowed before.
				if first.PruneProblem != nil || len(first.Changes) > 0 && refusedIn(first) {
					continue
				}
			}
			t.Errorf("after the plan\n%s\nstill %s %s %s: %s", first, c.Op, c.Reason, c.Key, c.Effect)
		}
	})
	if wrote == 0 {
		t.Error("no plan wrote anything: the property was not tested")
	}
}

func refusedIn(p Plan) bool {
	for _, c := range p.Changes {
		if c.Op == Refuse && c.Object != nil {
			return true
		}
	}
	return false
}
