package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"rota.dev/rota/reconcile/cluster/local"
	"rota.dev/rota/reconcile/cluster/local/localtest"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

var (
	jobsResource       = k8sschema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	cronJobsResource   = k8sschema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}
	configMapsResource = k8sschema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

// patience bounds every wait of the tests: generous, for the machine is shared.
const patience = 60 * time.Second

var serial atomic.Int64

// world is one test's corner of the local cluster: its own namespaces.
type world struct {
	t         testing.TB
	ctx       context.Context
	config    *rest.Config
	client    dynamic.Interface
	namespace string
	system    string
	// applied is what the loop would remember; intended is of the last plan.
	applied  map[schema.Key]plan.Intended
	intended map[schema.Key]plan.Intended
	options  plan.Options
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldIn(t, localtest.Shared(t, "--node", "none"))
}

func newWorldIn(t testing.TB, cluster *local.Local) *world {
	t.Helper()
	config := cluster.Config()
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	n := serial.Add(1)
	w := &world{
		t: t, ctx: ctx, config: config, client: client,
		namespace: fmt.Sprintf("work-%d", n), system: fmt.Sprintf("system-%d", n),
		applied: map[schema.Key]plan.Intended{},
	}
	w.options = plan.Options{Sync: "batch", Prune: true, MaxPrunePercent: 100, EmbeddedScheduler: true}
	w.do(namespaces, "").create("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + w.namespace + "}")
	return w
}

// set opens a Set on config, which is the world's own if nil.
func (w *world) set(config *rest.Config) *Set {
	w.t.Helper()
	if config == nil {
		config = w.config
	}
	return w.setWith(config, SetOptions{Sync: "batch", Namespace: w.namespace})
}

func (w *world) setWith(config *rest.Config, o SetOptions) *Set {
	w.t.Helper()
	level := slog.LevelError
	c, err := Connect(config, Options{Namespace: w.system, Version: "test", Log: slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: level}))})
	if err != nil {
		w.t.Fatal(err)
	}
	s := c.Set(o)
	w.t.Cleanup(s.Close)
	return s
}

// objects parses manifests divided by `---`.
func (w *world) objects(manifests string) []schema.Object {
	w.t.Helper()
	var all []schema.Object
	for i, text := range strings.Split(manifests, "\n---\n") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		u := w.parse(text)
		all = append(all, schema.Object{Unstructured: u, Origin: schema.Origin{File: "test.yaml", Line: i + 1}})
	}
	return all
}

func (w *world) parse(text string) *unstructured.Unstructured {
	w.t.Helper()
	u := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		w.t.Fatalf("parsing %s: %v", text, err)
	}
	if err := u.UnmarshalJSON(data); err != nil {
		w.t.Fatalf("parsing %s: %v", text, err)
	}
	return u
}

// compute goes from objects to a plan as the loop does.
func (w *world) compute(s *Set, objects []schema.Object) (plan.Plan, error) {
	resolved, refused, err := s.Resolve(w.ctx, objects)
	if err != nil {
		return plan.Plan{}, err
	}
	seen, err := s.Observe(w.ctx, resolved)
	if err != nil {
		return plan.Plan{}, err
	}
	maps.Copy(refused, seen.Refused)
	options := w.options
	options.SetID, options.Owners, options.Incomplete = s.ID(), seen.Owners, seen.Incomplete
	if options.Revision == "" {
		options.Revision = "r1"
	}
	if seen.Ledger.Unreadable == nil {
		runs := plan.Bookkeep(seen.Live, seen.Vanished, seen.Ledger, s.ID())
		if err := s.Record(w.ctx, runs); err != nil {
			return plan.Plan{}, err
		}
		maps.Copy(seen.Ledger.Jobs, runs)
	}
	intended, err := plan.Intend(resolved, options)
	if err != nil {
		return plan.Plan{}, err
	}
	w.intended = map[schema.Key]plan.Intended{}
	for _, in := range intended {
		w.intended[in.Key()] = in
	}
	return plan.Compute(plan.Input{Desired: intended, Live: seen.Live, Refused: refused, Applied: w.applied, Ledger: seen.Ledger, Options: options, Now: time.Now()}), nil
}

// sync plans and applies once; errors are returned, outcomes keyed.
func (w *world) sync(s *Set, manifests string) (map[string]plan.Outcome, error) {
	w.t.Helper()
	p, err := w.compute(s, w.objects(manifests))
	if err != nil {
		return nil, err
	}
	outcomes, err := s.Apply(w.ctx, p)
	byKey := map[string]plan.Outcome{}
	for _, o := range outcomes {
		byKey[o.Change.Key.Kind+" "+o.Change.Key.Name] = o
	}
	return byKey, err
}

// mustSync syncs and fails the test on any error or problem.
func (w *world) mustSync(s *Set, manifests string) map[string]plan.Outcome {
	w.t.Helper()
	outcomes, err := w.sync(s, manifests)
	if err != nil {
		w.t.Fatalf("syncing: %v", err)
	}
	for key, o := range outcomes {
		if o.Problem != nil {
			w.t.Fatalf("%s: %v", key, o.Problem)
		}
	}
	return outcomes
}

// settle syncs until a plan writes nothing.
func (w *world) settle(s *Set, manifests string) {
	w.t.Helper()
	w.eventually("the plan writes nothing", func() error {
		p, err := w.compute(s, w.objects(manifests))
		if err != nil {
			return err
		}
		if !p.Writes() {
			for _, c := range p.Changes {
				// The loop would be told of its end, and go on.
				if c.Reason == plan.ReasonTerminating {
					return fmt.Errorf("it waits: %s", describe(p))
				}
			}
			return nil
		}
		if _, err := s.Apply(w.ctx, p); err != nil {
			return err
		}
		return fmt.Errorf("it wrote: %s", describe(p))
	})
}

func describe(p plan.Plan) string {
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "%s %s %s: %s\n", c.Op, c.Reason, c.Key, c.Effect)
	}
	return b.String()
}

func (w *world) eventually(what string, check func() error) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// signalled waits for a value on Changed.
func (w *world) signalled(s *Set) {
	w.t.Helper()
	select {
	case <-s.Changed():
	case <-time.After(patience):
		w.t.Fatal("no change was signalled")
	}
}

// as is a client of one resource that acts as another field manager would.
type as struct {
	w         *world
	resource  dynamic.ResourceInterface
	namespace string
}

func (w *world) do(resource k8sschema.GroupVersionResource, namespace string) as {
	return as{w: w, resource: w.client.Resource(resource).Namespace(namespace), namespace: namespace}
}

func (a as) create(text string) *unstructured.Unstructured {
	a.w.t.Helper()
	u, err := a.resource.Create(a.w.ctx, a.w.parse(text), metav1.CreateOptions{FieldManager: "somebody"})
	if err != nil {
		a.w.t.Fatalf("creating: %v", err)
	}
	return u
}

func (a as) get(name string) *unstructured.Unstructured {
	a.w.t.Helper()
	u, err := a.resource.Get(a.w.ctx, name, metav1.GetOptions{})
	if err != nil {
		a.w.t.Fatalf("getting %s: %v", name, err)
	}
	return u
}

func (a as) patch(name, patch string) *unstructured.Unstructured {
	a.w.t.Helper()
	u, err := a.resource.Patch(a.w.ctx, name, "application/merge-patch+json", []byte(patch), metav1.PatchOptions{FieldManager: "somebody"})
	if err != nil {
		a.w.t.Fatalf("patching %s: %v", name, err)
	}
	return u
}

func (a as) patchStatus(name, patch string) *unstructured.Unstructured {
	a.w.t.Helper()
	u, err := a.resource.Patch(a.w.ctx, name, "application/merge-patch+json", []byte(patch), metav1.PatchOptions{FieldManager: "somebody"}, "status")
	if err != nil {
		a.w.t.Fatalf("patching the status of %s: %v", name, err)
	}
	return u
}

func (a as) delete(name string) {
	a.w.t.Helper()
	background := metav1.DeletePropagationBackground
	if err := a.resource.Delete(a.w.ctx, name, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		a.w.t.Fatalf("deleting %s: %v", name, err)
	}
}

func (a as) names(selector string) []string {
	a.w.t.Helper()
	list, err := a.resource.List(a.w.ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		a.w.t.Fatalf("listing: %v", err)
	}
	var names []string
	for _, item := range list.Items {
		names = append(names, item.GetName())
	}
	return names
}

// job is a manifest of a Job that cannot start, with more fields of its spec.
func job(name, command string, more ...string) string {
	return fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: %s}
spec:
  %s
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: example.com/c, command: [%s]}]
`, name, strings.Join(append(more, "backoffLimit: 0"), "\n  "), command)
}

func configMapOf(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {key: %q}\n", name, value)
}

func documents(texts ...string) string { return strings.Join(texts, "\n---\n") }
