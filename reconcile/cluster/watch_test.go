package cluster

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

func (w *world) drain(s *Set) {
	for len(s.Changed()) > 0 {
		<-s.Changed()
	}
}

func TestChangesByOthersAreSignalledAndCorrected(t *testing.T) {
	cronJob := `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  timeZone: Etc/UTC
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: example.com/c, resources: {requests: {cpu: 1000m}}}]}}}}
`
	for _, c := range []struct {
		name   string
		change func(w *world)
		reason plan.Reason
	}{
		{"a patch of an owned field", func(w *world) {
			w.do(cronJobsResource, w.namespace).patch("nightly", `{"spec":{"schedule":"0 4 * * *"}}`)
		}, plan.ReasonDrifted},
		{"an owned field that is removed", func(w *world) { w.do(cronJobsResource, w.namespace).patch("nightly", `{"spec":{"timeZone":null}}`) }, plan.ReasonDrifted},
		{"a manager that forces another value", func(w *world) {
			u := w.parse(strings.Replace(cronJob, "0 3", "0 5", 1))
			if _, err := w.do(cronJobsResource, w.namespace).resource.Apply(w.ctx, "nightly", u, metav1.ApplyOptions{FieldManager: "somebody", Force: true}); err != nil {
				w.t.Fatal(err)
			}
		}, plan.ReasonDrifted},
		{"a deletion", func(w *world) { w.do(cronJobsResource, w.namespace).delete("nightly") }, plan.ReasonDeletedByHand},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.set(nil)
			w.mustSync(s, cronJob)
			w.applied = w.intended
			w.drain(s)
			c.change(w)
			w.signalled(s)
			outcomes := w.mustSync(s, cronJob)
			if o := outcomes["CronJob nightly"]; o.Change.Reason != c.reason || !o.Done {
				t.Errorf("%s %s: %s", o.Change.Op, o.Change.Reason, o.Change.Effect)
			}
			live := w.do(cronJobsResource, w.namespace).get("nightly")
			if schedule, _, _ := unstructured.NestedString(live.Object, "spec", "schedule"); schedule != "0 3 * * *" {
				t.Errorf("schedule %q", schedule)
			}
			w.drain(s)
			if p := w.mustCompute(s, w.objects(cronJob)); p.Writes() {
				t.Errorf("it does not rest:\n%s", describe(p))
			}
		})
	}
}

func TestOurOwnWritesAreNoChange(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	w.settle(s, documents(configMapOf("a", "1"), configMapOf("b", "1")))
	w.drain(s)
	for i := range 20 {
		w.mustSync(s, documents(configMapOf("a", fmt.Sprint(i)), configMapOf("b", fmt.Sprint(i))))
	}
	// A foreign change is the mark up to which everything has been seen.
	w.do(configMapsResource, w.namespace).patch("a", `{"data":{"key":"theirs"}}`)
	w.signalled(s)
	seen, err := s.Observe(w.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	key := schema.Key{Kind: "ConfigMap", Namespace: w.namespace, Name: "a"}
	if got := seen.Live[key].Object["data"].(map[string]any)["key"]; got != "theirs" {
		t.Errorf("the first signal came for %q: one of our own writes", got)
	}
}

func TestStatusOfMembersIsNoChangeButTheEndOfAJob(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	w.settle(s, job("hello", "echo"))
	jobs := w.do(jobsResource, w.namespace)
	w.eventually("the Job controller has started it", func() error {
		if plan.RunOf(jobs.get("hello")).Started.IsZero() {
			return fmt.Errorf("not started")
		}
		return nil
	})
	w.settle(s, job("hello", "echo"))
	w.drain(s)
	jobs.patchStatus("hello", `{"status":{"ready":0}}`)
	jobs.patch("hello", `{"spec":{"activeDeadlineSeconds":1}}`)
	w.signalled(s)
	w.eventually("the end is signalled", func() error {
		select {
		case <-s.Changed():
		default:
		}
		seen, err := s.Observe(w.ctx, nil)
		if err != nil {
			return err
		}
		u := seen.Live[jobKey(w.namespace, "hello")]
		if u == nil || !finished(u) {
			return fmt.Errorf("not finished")
		}
		return nil
	})
}

// cutter passes connections on to the API server until it is told to cut them.
type cutter struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	open     map[net.Conn]bool
}

func (w *world) cutter() (*cutter, *rest.Config) {
	w.t.Helper()
	server, err := url.Parse(w.config.Host)
	if err != nil {
		w.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = listener.Close() })
	c := &cutter{listener: listener, target: server.Host, open: map[net.Conn]bool{}}
	go c.serve()
	cfg := rest.CopyConfig(w.config)
	cfg.Host = "https://" + listener.Addr().String()
	return c, cfg
}

func (c *cutter) serve() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		c.mu.Lock()
		c.open[near], c.open[far] = true, true
		c.mu.Unlock()
		pipe := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			_ = to.Close()
			_ = from.Close()
		}
		go pipe(near, far)
		go pipe(far, near)
	}
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		_ = conn.Close()
	}
	c.open = map[net.Conn]bool{}
}

func TestNothingIsLostWhenWatchesAreCut(t *testing.T) {
	w := newWorld(t)
	cut, config := w.cutter()
	s := w.set(config)
	manifests := documents(configMapOf("a", "1"), configMapOf("b", "1"), configMapOf("c", "1"))
	w.settle(s, manifests)
	for i := range 5 {
		w.drain(s)
		cut.cut()
		w.do(configMapsResource, w.namespace).patch("a", fmt.Sprintf(`{"data":{"key":"theirs %d"}}`, i))
		w.do(configMapsResource, w.namespace).delete("b")
		w.signalled(s)
		w.settle(s, manifests)
		w.eventually("both changes are corrected", func() error {
			w.settle(s, manifests)
			if value := w.do(configMapsResource, w.namespace).get("a").Object["data"].(map[string]any)["key"]; value != "1" {
				return fmt.Errorf("a is %v", value)
			}
			if names := w.do(configMapsResource, w.namespace).names(schema.ApplySetPartOf + "=" + s.ID()); len(names) != 3 {
				return fmt.Errorf("members: %v", names)
			}
			return nil
		})
	}
}

// stall holds the events of watches back while it is shut.
type stall struct {
	next http.RoundTripper
	gate *sync.RWMutex
}

func (s stall) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(r)
	if err == nil && r.URL.Query().Get("watch") != "" {
		response.Body = stalled{response.Body, s.gate}
	}
	return response, err
}

type stalled struct {
	io.ReadCloser
	gate *sync.RWMutex
}

func (s stalled) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.gate.RLock()
	defer s.gate.RUnlock()
	return n, err
}

func TestObserveShowsOurOwnWritesBeforeTheWatchDoes(t *testing.T) {
	w := newWorld(t)
	var gate sync.RWMutex
	config := rest.CopyConfig(w.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return stall{next, &gate} })
	s := w.set(config)
	w.settle(s, documents(configMapOf("a", "1"), configMapOf("b", "1")))
	gate.Lock()
	w.mustSync(s, documents(configMapOf("a", "2"), configMapOf("c", "1")))
	p := w.mustCompute(s, w.objects(documents(configMapOf("a", "2"), configMapOf("c", "1"))))
	if p.Writes() || len(p.Changes) != 2 {
		t.Errorf("with the watch held back, the plan after an apply is:\n%s", describe(p))
	}
	gate.Unlock()
	w.settle(s, documents(configMapOf("a", "2"), configMapOf("c", "1")))
	w.drain(s)
	w.do(configMapsResource, w.namespace).delete("c")
	w.signalled(s)
	seen, err := s.Observe(w.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for key := range seen.Live {
		if key.Name != "a" {
			t.Errorf("after the watch went on, %s is live", key)
		}
	}
	if len(seen.Vanished) == 0 {
		t.Error("what was deleted did not vanish")
	}
}

func TestAMutatingPolicyIsNoDrift(t *testing.T) {
	w := newWorld(t)
	group := func(resource string) k8sschema.GroupVersionResource {
		return k8sschema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: resource}
	}
	w.do(group("mutatingadmissionpolicies"), "").create(fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: change-%[1]s}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: "Object{data: {'key': 'changed by policy'}}"}
`, w.namespace))
	w.do(group("mutatingadmissionpolicybindings"), "").create(fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: change-%[1]s}
spec: {policyName: change-%[1]s}
`, w.namespace))
	s := w.set(nil)
	w.eventually("the policy is in force", func() error {
		w.mustSync(s, configMapOf("probe", fmt.Sprint(serial.Add(1))))
		if value := w.do(configMapsResource, w.namespace).get("probe").Object["data"].(map[string]any)["key"]; value != "changed by policy" {
			return fmt.Errorf("%v", value)
		}
		return nil
	})
	w.mustSync(s, configMapOf("settings", "ours"))
	for range 3 {
		if p := w.mustCompute(s, w.objects(configMapOf("settings", "ours"))); p.Writes() {
			t.Fatalf("endless drift:\n%s", describe(p))
		}
	}
}
