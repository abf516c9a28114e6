package reconcile

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/status"
	"rota.dev/rota/render"
	"rota.dev/rota/schema"
)

// memory is a repository, a cluster and its records in one: what the loop is
// given in a synctest bubble, where no real one can live.
type memory struct {
	mu sync.Mutex

	revision string
	fetchErr error
	// renderErr is what rendering fails with, whatever the revision.
	renderErr error
	objects   map[string][]string // revision → names of ConfigMaps
	broken    map[string]bool

	live      map[schema.Key]*unstructured.Unstructured
	changed   chan struct{}
	failing   map[string]int // name → how many more applies fail
	entered   chan string    // told of each apply before it is done, if set
	proceed   chan struct{}  // holds each apply until sent to, if set
	fetches   int
	observes  int
	writes    []string
	published []status.Status
	forced    []bool // of each apply
}

func newMemory() *memory {
	return &memory{
		objects: map[string][]string{}, broken: map[string]bool{}, failing: map[string]int{},
		live: map[schema.Key]*unstructured.Unstructured{}, changed: make(chan struct{}, 1),
	}
}

func (m *memory) Fetch(_ context.Context, last string) (render.Tree, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fetches++
	if m.fetchErr != nil {
		return render.Tree{}, m.fetchErr
	}
	if m.revision == last {
		return render.Tree{}, render.ErrUnchanged
	}
	return render.Tree{Revision: m.revision}, nil
}

func (m *memory) render(tree render.Tree) ([]schema.Object, []*schema.Problem, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.renderErr != nil {
		return nil, nil, m.renderErr
	}
	if m.broken[tree.Revision] {
		return nil, nil, &schema.Problem{Rule: "R001", Message: "does not parse", Origin: schema.Origin{File: "a.yaml", Line: 3}}
	}
	var out []schema.Object
	for _, name := range m.objects[tree.Revision] {
		out = append(out, configMap(name, tree.Revision))
	}
	return out, nil, nil
}

func configMap(name, value string) schema.Object {
	return schema.Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name, "namespace": "default"},
		"data":     map[string]any{"k": value},
	}}}
}

func (m *memory) Resolve(_ context.Context, objects []schema.Object) ([]schema.Object, map[schema.Key]*schema.Problem, error) {
	return objects, nil, nil
}

func (m *memory) Observe(context.Context, []schema.Object) (plan.Observation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.observes++
	live := map[schema.Key]*unstructured.Unstructured{}
	for k, v := range m.live {
		live[k] = v
	}
	return plan.Observation{Live: live}, nil
}

func (m *memory) Apply(ctx context.Context, p plan.Plan) ([]plan.Outcome, error) {
	var out []plan.Outcome
	for _, c := range p.Changes {
		if c.Op == plan.Keep {
			continue
		}
		if ctx.Err() != nil {
			out = append(out, plan.Outcome{Change: c})
			continue
		}
		if m.entered != nil {
			m.entered <- c.Key.Name
			<-m.proceed
		}
		out = append(out, m.applyOne(c))
	}
	return out, nil
}

func (m *memory) applyOne(c plan.Change) plan.Outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes = append(m.writes, string(c.Op)+" "+c.Key.Name)
	m.forced = append(m.forced, c.Force)
	if m.failing[c.Key.Name] > 0 {
		m.failing[c.Key.Name]--
		return plan.Outcome{Change: c, Done: true, Problem: &schema.Problem{Rule: "R299", Message: "denied", Object: &c.Key}}
	}
	if c.Op == plan.Delete {
		delete(m.live, c.Key)
		return plan.Outcome{Change: c, Done: true}
	}
	u := c.Object.Unstructured.DeepCopy()
	own(u)
	m.live[c.Key] = u
	return plan.Outcome{Change: c, Done: true, Object: u}
}

// own gives u the managedFields that the API server would.
func own(u *unstructured.Unstructured) {
	u.Object["metadata"].(map[string]any)["managedFields"] = []any{map[string]any{
		"manager": "rota", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
		"fieldsV1": map[string]any{
			"f:data":     map[string]any{},
			"f:metadata": map[string]any{"f:annotations": map[string]any{}, "f:labels": map[string]any{}},
		},
	}}
}

// disown gives the field data to somebody else.
func disown(u *unstructured.Unstructured) *unstructured.Unstructured {
	u = u.DeepCopy()
	fields := u.Object["metadata"].(map[string]any)["managedFields"].([]any)
	delete(fields[0].(map[string]any)["fieldsV1"].(map[string]any), "f:data")
	return u
}

func (m *memory) Changed() <-chan struct{} { return m.changed }

func (m *memory) Record(context.Context, map[schema.Key]plan.Run) error { return nil }

func (m *memory) PublishStatus(_ context.Context, s status.Status) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.published = append(m.published, s)
	return nil
}

func (m *memory) set(revision string, names ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revision, m.objects[revision] = revision, names
}

func (m *memory) written() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := strings.Join(m.writes, ", ")
	m.writes = nil
	return text
}

func (m *memory) last() status.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.published) == 0 {
		return status.Status{}
	}
	return m.published[len(m.published)-1]
}

// start runs a loop over m until the test ends.
func start(t *testing.T, m *memory) {
	t.Helper()
	loop := NewLoop(m, m.render, m, m, Options{
		Plan:     plan.Options{Sync: "test", SetID: "applyset-test", Prune: true, MaxPrunePercent: 50},
		Interval: time.Minute,
	}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- loop.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantWrites(t *testing.T, m *memory, want string) {
	t.Helper()
	if got := m.written(); got != want {
		t.Errorf("writes: %q, want %q", got, want)
	}
}

func TestLoopAppliesARevisionAndThenRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("v1", "a", "b")
		start(t, m)
		later(0)
		wantWrites(t, m, "Create a, Create b")
		if !m.last().Ready() {
			t.Errorf("not ready: %+v", m.last())
		}
		observes, published := m.observes, len(m.published)
		later(time.Hour)
		wantWrites(t, m, "")
		if m.observes != observes || len(m.published) != published {
			t.Errorf("an idle hour cost %d observations and %d statuses", m.observes-observes, len(m.published)-published)
		}
		if m.fetches < 55 || m.fetches > 70 {
			t.Errorf("%d fetches in an hour of one-minute intervals", m.fetches)
		}
	})
}

func TestLoopKeepsTheLastGoodRevisionInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("v1", "a")
		start(t, m)
		later(0)
		wantWrites(t, m, "Create a")
		m.mu.Lock()
		m.broken["v2"] = true
		m.mu.Unlock()
		m.set("v2")
		// Long enough for fetches that find nothing newer than the broken one.
		later(10 * time.Minute)
		wantWrites(t, m, "")
		s := m.last()
		if s.Revision != "v1" || s.Attempted != "v2" || s.Ready() || s.Condition(status.Stalled).Reason != status.ReasonBuildFailed {
			t.Errorf("status after a broken revision: %+v", s)
		}
		m.mu.Lock()
		m.live[configMap("a", "").Key()] = disown(m.live[configMap("a", "").Key()])
		m.mu.Unlock()
		m.changed <- struct{}{}
		later(0)
		wantWrites(t, m, "Update a")
		m.set("v3", "a")
		later(2 * time.Minute)
		wantWrites(t, m, "Update a")
		if s := m.last(); !s.Ready() || s.Revision != "v3" || s.Attempted != "" {
			t.Errorf("status after the mend: %+v", s)
		}
	})
}

func TestLoopGoesOnWhileGitIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("v1", "a")
		start(t, m)
		later(0)
		m.mu.Lock()
		m.fetchErr = errors.New("connection refused")
		m.mu.Unlock()
		later(3 * time.Minute)
		if s := m.last(); s.Ready() || s.Condition(status.Ready).Reason != status.ReasonArtifactFailed || s.Revision != "v1" {
			t.Errorf("status while git is down: %+v", s)
		}
		statuses := len(m.published)
		later(time.Hour)
		if len(m.published) != statuses {
			t.Errorf("the same trouble was published %d times more", len(m.published)-statuses)
		}
		m.mu.Lock()
		m.fetchErr = nil
		m.mu.Unlock()
		later(2 * time.Minute)
		if s := m.last(); !s.Ready() {
			t.Errorf("status after git came back: %+v", s)
		}
	})
}

func TestLoopRendersAgainWhatWasNoFaultOfTheRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("v1", "a")
		start(t, m)
		later(0)
		wantWrites(t, m, "Create a")
		m.mu.Lock()
		m.renderErr = &schema.Problem{Rule: "R045", Message: "the template was not run", Cause: render.ErrEngine}
		m.mu.Unlock()
		m.set("v2", "a")
		later(5 * time.Minute)
		wantWrites(t, m, "")
		if s := m.last(); s.Ready() || s.Revision != "v1" || s.Condition(status.Stalled).Reason == status.ReasonBuildFailed {
			t.Errorf("status while nothing can be rendered: %+v", s)
		}
		m.mu.Lock()
		m.renderErr = nil
		m.mu.Unlock()
		later(2 * time.Minute)
		wantWrites(t, m, "Update a")
		if s := m.last(); !s.Ready() || s.Revision != "v2" {
			t.Errorf("status after that: %+v", s)
		}
	})
}

func TestLoopRetriesWhatFailedWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.failing["a"] = 3
		m.set("v1", "a", "b")
		start(t, m)
		later(0)
		wantWrites(t, m, "Create a, Create b")
		later(time.Second)
		wantWrites(t, m, "Create a")
		later(time.Second)
		wantWrites(t, m, "")
		later(time.Second)
		wantWrites(t, m, "Create a")
		later(4 * time.Second)
		wantWrites(t, m, "Create a")
		if !m.last().Ready() {
			t.Errorf("not ready: %+v", m.last())
		}
		later(time.Hour)
		wantWrites(t, m, "")
	})
}

func TestLoopLetsANewCommitSupersedeASyncBetweenTwoObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.entered, m.proceed = make(chan string), make(chan struct{})
		m.set("v1", "a", "b", "c")
		start(t, m)
		if got := <-m.entered; got != "a" {
			t.Fatalf("first apply is %s", got)
		}
		m.set("v2", "a", "b")
		later(2 * time.Minute)
		m.proceed <- struct{}{}
		if got := <-m.entered; got != "a" {
			t.Errorf("after the new commit %s is applied, want a of v2", got)
		}
		m.proceed <- struct{}{}
		<-m.entered
		m.proceed <- struct{}{}
		later(0)
		wantWrites(t, m, "Create a, Update a, Create b")
		if s := m.last(); s.Revision != "v2" || !s.Ready() {
			t.Errorf("status: %+v", s)
		}
	})
}

func TestLoopPrunesWhatLeftTheRepository(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("v1", "a", "b")
		start(t, m)
		later(0)
		m.set("v2", "b")
		later(2 * time.Minute)
		wantWrites(t, m, "Create a, Create b, Update b, Delete a")
	})
}

func TestLoopDoesNotFightWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("v1", "a")
		start(t, m)
		later(0)
		wantWrites(t, m, "Create a")
		key := configMap("a", "").Key()
		fight, stop := context.WithCancel(t.Context())
		defer stop()
		go func() {
			for fight.Err() == nil {
				m.mu.Lock()
				m.live[key] = disown(m.live[key])
				m.mu.Unlock()
				select {
				case m.changed <- struct{}{}:
				default:
				}
				time.Sleep(100 * time.Millisecond)
			}
		}()
		later(10 * time.Minute)
		m.mu.Lock()
		writes := len(m.writes)
		m.mu.Unlock()
		if writes < 20 || writes > 110 {
			t.Errorf("%d corrections in ten minutes of a fight, want some, and at most ten a minute", writes)
		}
		if s := m.last(); !strings.Contains(s.Objects[0].Message, "somebody undid") {
			t.Errorf("the fight is not told: %+v", s.Objects)
		}
		stop()
		later(10 * time.Minute)
		if s := m.last(); !s.Ready() {
			t.Errorf("after the fight: %+v", s)
		}
	})
}

func TestLoopCorrectsADriftBeforeItAppliesAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("v1", "a")
		start(t, m)
		later(0)
		wantWrites(t, m, "Create a")
		key := configMap("a", "").Key()
		m.mu.Lock()
		m.live[key] = disown(m.live[key]) // while nothing tells the loop
		m.mu.Unlock()
		m.set("v2", "a")
		later(2 * time.Minute)
		wantWrites(t, m, "Update a, Update a")
		m.mu.Lock()
		defer m.mu.Unlock()
		if got := m.live[key].Object["data"].(map[string]any)["k"]; got != "v2" {
			t.Errorf("the change is not applied: %v", got)
		}
		if want := []bool{false, true, false}; !slices.Equal(m.forced, want) {
			t.Errorf("forced: %v, want %v: only what was ours is taken back by force", m.forced, want)
		}
	})
}

func TestARevisionIsNotLostWhenTheNextFetchFailsBeforeItIsTaken(t *testing.T) {
	b := newInbox()
	b.put(revision{name: "v2", objects: []schema.Object{configMap("a", "v2")}})
	b.put(revision{source: schema.Problems(errors.New("connection refused"))})
	if !b.usable() {
		t.Error("v2 does not supersede a sync in progress")
	}
	r, ok := b.take()
	if !ok || r.name != "v2" || !r.usable() || len(r.objects) != 1 || len(r.source) != 1 {
		t.Errorf("taken: %+v", r)
	}
}
