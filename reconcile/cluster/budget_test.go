package cluster

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"rota.dev/rota/reconcile/cluster/local/localtest"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

const many = 1000

// manyJobs are suspended, so that the Job controller's work on their Pods is
// not what is measured.
func (w *world) manyJobs(prefix string, n int) []schema.Object {
	w.t.Helper()
	first := w.objects(job("x", "echo", "suspend: true"))[0]
	all := make([]schema.Object, n)
	for i := range all {
		all[i] = first.DeepCopy()
		all[i].SetName(fmt.Sprintf("%s-%04d", prefix, i))
		container := all[i].Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
		container["command"] = []any{"echo", fmt.Sprint(i)}
	}
	return all
}

func total(counts map[string]int, verbs ...string) (n int) {
	for what, count := range counts {
		for _, verb := range verbs {
			if strings.HasPrefix(what, verb+" ") {
				n += count
			}
		}
	}
	return n
}

func TestRequestsOfAThousandJobs(t *testing.T) {
	w := newWorld(t)
	config, counts := Count(w.config)
	s := w.set(config)
	jobs := w.manyJobs("job", many)

	p := w.mustCompute(s, jobs)
	if _, err := s.Apply(w.ctx, p); err != nil {
		t.Fatal(err)
	}
	// What follows the Jobs from then on is opened by the apply, and counted.
	w.mustObserve(s, jobs)
	got, sum := counts.Take()
	t.Logf("first apply: %d requests: %v", sum, got)
	// A busy server cuts watches under a burst; to resume them is no cost of
	// the apply.
	sum -= total(got, "watch") - 2
	if sum > 1010 {
		t.Errorf("first apply of %d Jobs took %d requests, at most 1010 are allowed: %v", many, sum, got)
	}

	// The ledger takes what the Job controller wrote meanwhile, once.
	w.mustCompute(s, jobs)
	w.eventually("the watch is quiet", func() error {
		counts.Take()
		took := time.Hour
		for range 5 {
			started := time.Now()
			p = w.mustCompute(s, jobs)
			took = min(took, time.Since(started))
		}
		if got, sum := counts.Take(); sum > 0 {
			return fmt.Errorf("a sync that changes nothing took %d requests: %v", sum, got)
		}
		t.Logf("unchanged sync (resolve, observe, intend, compute): %s", took)
		return nil
	})
	if p.Writes() {
		t.Fatalf("the plan writes:\n%.2000s", describe(p))
	}

	changed := w.manyJobs("job", many)
	changed[500].SetLabels(map[string]string{"changed": "true"})
	counts.Take()
	if _, err := s.Apply(w.ctx, w.mustCompute(s, changed)); err != nil {
		t.Fatal(err)
	}
	if got, sum := counts.Take(); sum != 1 {
		t.Errorf("one changed of %d took %d requests: %v", many, sum, got)
	}

	s.Close()
	counts.Take()
	fresh := w.set(config)
	started := time.Now()
	p = w.mustCompute(fresh, changed)
	got, sum = counts.Take()
	t.Logf("cold start: %d requests in %s: %v", sum, time.Since(started), got)
	if sum > 10 || p.Writes() {
		t.Errorf("cold start over %d unchanged Jobs took %d requests: %v; writes: %v", many, sum, got, p.Writes())
	}
}

// mustObserve looks at objects as they are named in the repository.
func (w *world) mustObserve(s *Set, objects []schema.Object) plan.Observation {
	w.t.Helper()
	resolved, _, err := s.Resolve(w.ctx, objects)
	if err != nil {
		w.t.Fatal(err)
	}
	seen, err := s.Observe(w.ctx, resolved)
	if err != nil {
		w.t.Fatal(err)
	}
	return seen
}

func (w *world) mustCompute(s *Set, objects []schema.Object) plan.Plan {
	w.t.Helper()
	p, err := w.compute(s, objects)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// BenchmarkFirstApply reports the ratio of a first apply of a thousand Jobs to
// what the server can do: a loop that only applies, in the same run; and that
// of the apply with the first answer of the watch that it opens, which comes
// after its end. Its cluster runs no Job controller, whose work on the Jobs of
// one loop would be counted against the next.
func BenchmarkFirstApply(b *testing.B) {
	if testing.Short() || raced {
		b.Skip("needs the local cluster, and times that mean something; left out by -short and -race")
	}
	quiet := localtest.Shared(b, "--node", "none", "--controllers", "namespace")
	warm := newWorldIn(b, quiet)
	warm.bareLoop(warm.manyJobs("warm", 100))
	var applied, followed []float64
	for b.Loop() {
		// Namespaces of their own: the Jobs of the rounds before are not to be
		// listed.
		w := newWorldIn(b, quiet)
		bare := w.bareLoop(w.manyJobs("job", many))
		w = newWorldIn(b, quiet)
		s := w.set(nil)
		jobs := w.manyJobs("job", many)
		started := time.Now()
		if _, err := s.Apply(w.ctx, w.mustCompute(s, jobs)); err != nil {
			b.Fatal(err)
		}
		applied = append(applied, time.Since(started).Seconds()/bare.Seconds())
		w.mustObserve(s, jobs)
		followed = append(followed, time.Since(started).Seconds()/bare.Seconds())
		s.Close()
	}
	slices.Sort(applied)
	slices.Sort(followed)
	b.ReportMetric(applied[0], "best-x-of-bare")
	b.ReportMetric(applied[len(applied)/2], "median-x-of-bare")
	b.ReportMetric(followed[len(followed)/2], "followed-median-x-of-bare")
}

func (w *world) bareLoop(jobs []schema.Object) time.Duration {
	w.t.Helper()
	client, err := dynamic.NewForConfig(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	resource := client.Resource(jobsResource).Namespace(w.namespace)
	started := time.Now()
	var group errgroup.Group
	group.SetLimit(defaultWorkers)
	var once sync.Once
	for _, j := range jobs {
		group.Go(func() error {
			_, err := resource.Apply(w.ctx, j.GetName(), j.Unstructured, metav1.ApplyOptions{FieldManager: "bare"})
			if err != nil {
				once.Do(func() { w.t.Error(err) })
			}
			return nil
		})
	}
	_ = group.Wait()
	return time.Since(started)
}
