package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// between writes down what is asked of one resource, and does something before
// it passes on the first request that asks for the members.
type between struct {
	resource string
	// do runs in the request: what it does is done before the answer.
	do func()

	mu   sync.Mutex
	next http.RoundTripper
	log  []string
}

func (b *between) RoundTrip(r *http.Request) (*http.Response, error) {
	what := describeRequest(r)
	verb, resource, _ := strings.Cut(what, " ")
	if resource != b.resource {
		return b.next.RoundTrip(r)
	}
	if selector := r.URL.Query().Get("labelSelector"); verb == "list" || verb == "watch" {
		verb = "look up"
		if strings.HasPrefix(selector, schema.ApplySetPartOf) {
			verb = "follow"
		}
	}
	if r.Header.Get("Content-Type") == "application/json-patch+json" {
		verb = "release"
	}
	b.mu.Lock()
	first := verb == "follow" && b.counted("follow") == 0
	b.log = append(b.log, verb)
	b.mu.Unlock()
	if first && b.do != nil {
		b.do()
	}
	return b.next.RoundTrip(r)
}

// counted is how often verb was asked; the lock is held.
func (b *between) counted(verb string) (n int) {
	for _, v := range b.log {
		if v == verb {
			n++
		}
	}
	return n
}

// asked is what was asked, in order, repetitions left out.
func (b *between) asked() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var parts []string
	for i, v := range b.log {
		if i == 0 || b.log[i-1] != v {
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, ", ")
}

func (w *world) between(resource string, do func()) (*between, *rest.Config) {
	b := &between{resource: resource, do: do}
	config := rest.CopyConfig(w.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { b.next = next; return b })
	return b, config
}

// some are as many objects as make a first contact worth a list of its own.
func some(manifest func(name string) string) string {
	var all []string
	for i := range fewKeys + 1 {
		all = append(all, manifest(fmt.Sprintf("x%d", i)))
	}
	return documents(all...)
}

func nightly(name string) string {
	return `apiVersion: batch/v1
kind: CronJob
metadata: {name: ` + name + `}
spec:
  schedule: "0 3 * * *"
  timeZone: Etc/UTC
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: example.com/c}]}}}}
`
}

func TestChangesBetweenAFirstApplyAndItsWatchAreSignalledAndCorrected(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(as)
		reason plan.Reason
	}{
		{"a patch of an owned field", func(cronJobs as) { cronJobs.patch("x3", `{"spec":{"schedule":"0 4 * * *"}}`) }, plan.ReasonDrifted},
		{"an owned field that is removed", func(cronJobs as) { cronJobs.patch("x3", `{"spec":{"timeZone":null}}`) }, plan.ReasonDrifted},
		{"a deletion", func(cronJobs as) { cronJobs.delete("x3") }, plan.ReasonDeletedByHand},
		{"another object in its place", func(cronJobs as) {
			cronJobs.delete("x3")
			cronJobs.create(strings.Replace(nightly("x3"), "spec:", "spec:\n  suspend: true", 1))
		}, plan.ReasonAdopted},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			cronJobs := w.do(cronJobsResource, w.namespace)
			seen, config := w.between("cronjobs", func() { c.change(cronJobs) })
			s := w.set(config)
			w.mustSync(s, some(nightly))
			w.applied = w.intended
			w.signalled(s)
			if got := seen.asked(); got != "look up, patch, follow" {
				t.Errorf("asked of cronjobs: %s", got)
			}
			w.drain(s)
			outcomes, err := w.sync(s, some(nightly))
			if err != nil {
				t.Fatal(err)
			}
			if o := outcomes["CronJob x3"]; o.Change.Reason != c.reason || !o.Done {
				t.Errorf("%s %s: %s", o.Change.Op, o.Change.Reason, o.Change.Effect)
			}
			if schedule, _, _ := unstructured.NestedString(cronJobs.get("x3").Object, "spec", "schedule"); schedule != "0 3 * * *" {
				t.Errorf("schedule %q", schedule)
			}
		})
	}
}

func TestAJobDeletedBetweenAFirstApplyAndItsWatchHasVanished(t *testing.T) {
	w := newWorld(t)
	jobs := w.do(jobsResource, w.namespace)
	_, config := w.between("jobs", func() { jobs.delete("x3") })
	s := w.set(config)
	manifests := some(func(name string) string { return job(name, "echo", "suspend: true") })
	w.mustSync(s, manifests)
	w.signalled(s)
	seen := w.mustObserve(s, w.objects(manifests))
	key := jobKey(w.namespace, "x3")
	if seen.Live[key] != nil || seen.Vanished[key] == nil || len(seen.Live) != fewKeys {
		t.Errorf("live: %v, vanished: %v, %d live", seen.Live[key] != nil, seen.Vanished[key] != nil, len(seen.Live))
	}
}

func TestOurOwnWritesBeforeTheWatchAreNoChange(t *testing.T) {
	w := newWorld(t)
	configMaps := w.do(configMapsResource, w.namespace)
	seen, config := w.between("configmaps", nil)
	s := w.set(config)
	manifests := some(func(name string) string { return configMapOf(name, "1") })
	w.mustSync(s, manifests)
	w.settle(s, manifests)
	// A foreign change is the mark up to which everything has been seen.
	configMaps.patch("x3", `{"data":{"key":"theirs"}}`)
	w.signalled(s)
	observed, err := s.Observe(w.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	key := schema.Key{Kind: "ConfigMap", Namespace: w.namespace, Name: "x3"}
	if got := observed.Live[key].Object["data"].(map[string]any)["key"]; got != "theirs" {
		t.Errorf("the first signal came for %q: one of our own writes", got)
	}
	if got := seen.asked(); !strings.HasSuffix(got, "patch, follow") {
		t.Errorf("asked of configmaps: %s", got)
	}
}

func TestAFirstApplyThatIsCutShortIsFollowed(t *testing.T) {
	manifests := some(func(name string) string { return configMapOf(name, "1") })
	foreign := func(w *world, id string) {
		w.do(configMapsResource, w.namespace).create(configMapOf("foreign, labels: {"+schema.ApplySetPartOf+": "+id+"}", "1"))
	}
	t.Run("by the end of its context", func(t *testing.T) {
		w := newWorld(t)
		s := w.set(nil)
		p := w.mustCompute(s, w.objects(manifests))
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		_, err := s.ApplyEach(ctx, p, func(plan.Outcome) { cancel() })
		if err != nil {
			t.Fatal(err)
		}
		names := w.do(configMapsResource, w.namespace).names(schema.ApplySetPartOf + "=" + s.ID())
		if len(names) == 0 {
			t.Fatal("nothing was written")
		}
		w.do(configMapsResource, w.namespace).delete(names[0])
		w.signalled(s)
	})
	t.Run("by an object that fails", func(t *testing.T) {
		w := newWorld(t)
		_, config := w.between("configmaps", func() { w.do(configMapsResource, w.namespace).delete("x3") })
		s := w.set(config)
		outcomes, err := w.sync(s, documents(manifests, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndata: {\"not/a/key\": x}"))
		if err != nil || outcomes["ConfigMap bad"].Problem == nil {
			t.Fatal(err, outcomes["ConfigMap bad"])
		}
		w.signalled(s)
	})
	t.Run("by an inventory that cannot be written", func(t *testing.T) {
		w := newWorld(t)
		config := rest.CopyConfig(w.config)
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return refusing{next, "create configmaps"} })
		s := w.set(config)
		if _, err := w.sync(s, manifests); err == nil {
			t.Fatal("the inventory was written")
		}
		foreign(w, s.ID())
		w.signalled(s)
	})
	t.Run("because nobody carried it out", func(t *testing.T) {
		w := newWorld(t)
		s := w.set(nil)
		w.mustCompute(s, w.objects(manifests))
		foreign(w, s.ID())
		seen := w.mustObserve(s, w.objects(manifests))
		if len(seen.Live) != 1 {
			t.Errorf("the second look shows %d objects", len(seen.Live))
		}
	})
}

// refusing answers what it names with an error of the transport.
type refusing struct {
	next http.RoundTripper
	what string
}

func (f refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	if describeRequest(r) == f.what {
		return nil, errors.New("refused by the test")
	}
	return f.next.RoundTrip(r)
}

func TestPreparedJobsAreWatchedBeforeTheirRelease(t *testing.T) {
	w := newWorld(t)
	seen, config := w.between("jobs", nil)
	s := w.set(config)
	manifests := some(func(name string) string { return job(name, "echo", "ttlSecondsAfterFinished: 0") })
	p := w.mustCompute(s, w.objects(manifests))
	watched := func() bool {
		m := s.member(jobKey(w.namespace, "x0"))
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.synced
	}
	if watched() {
		t.Error("they are watched before they are written")
	}
	outcomes, err := s.ApplyEach(w.ctx, p, func(o plan.Outcome) {
		if !watched() {
			t.Errorf("%s was released before it was watched", o.Change.Key)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		if o.Problem != nil || !o.Done {
			t.Errorf("%s: %v", o.Change.Key, o.Problem)
		}
	}
	if got := seen.asked(); got != "look up, patch, follow, release" {
		t.Errorf("asked of jobs: %s", got)
	}
}

func TestAnObjectThatIsThereAlreadyIsAdoptedByAFirstApply(t *testing.T) {
	for _, there := range []int{1, fewKeys + 1} {
		t.Run(fmt.Sprintf("%d of them", there), func(t *testing.T) {
			w := newWorld(t)
			configMaps := w.do(configMapsResource, w.namespace)
			for i := range there {
				configMaps.create(configMapOf(fmt.Sprintf("x%d", i), "1"))
			}
			seen, config := w.between("configmaps", nil)
			s := w.set(config)
			manifests := some(func(name string) string { return configMapOf(name, "1") })
			w.mustSync(s, manifests)
			w.settle(s, manifests)
			if names := configMaps.names(schema.ApplySetPartOf + "=" + s.ID()); len(names) != fewKeys+1 {
				t.Errorf("members: %v", names)
			}
			if got := seen.asked(); !strings.HasSuffix(got, "patch, follow") {
				t.Errorf("asked of configmaps: %s", got)
			}
		})
	}
}

func TestAScopeThatHasMembersIsWatchedAtOnce(t *testing.T) {
	w := newWorld(t)
	manifests := some(func(name string) string { return job(name, "echo", "suspend: true") })
	before := w.set(nil)
	w.mustSync(before, manifests)
	before.Close()
	for _, c := range []struct {
		name string
		lose func()
		want string
	}{
		{"by the inventory", func() {}, "follow"},
		// Its ledger cannot be believed then, and nothing is written; what is
		// there is seen all the same.
		{"without one", func() { w.do(configMapsResource, w.system).delete(parentName("batch")) }, "look up, follow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.lose()
			seen, config := w.between("jobs", nil)
			s := w.set(config)
			observed := w.mustObserve(s, w.objects(manifests))
			if len(observed.Live) != fewKeys+1 || seen.asked() != c.want {
				t.Errorf("%d live; asked of jobs: %s", len(observed.Live), seen.asked())
			}
		})
	}
}

func TestASetCanBeClosedAtAnyPointOfAFirstApply(t *testing.T) {
	manifests := some(func(name string) string { return configMapOf(name, "1") })
	t.Run("before it", func(t *testing.T) {
		w := newWorld(t)
		s := w.set(nil)
		w.mustCompute(s, w.objects(manifests))
		s.Close()
	})
	t.Run("in it", func(t *testing.T) {
		w := newWorld(t)
		s := w.set(nil)
		p := w.mustCompute(s, w.objects(manifests))
		var once sync.Once
		if _, err := s.ApplyEach(w.ctx, p, func(plan.Outcome) { once.Do(s.Close) }); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("right after it", func(t *testing.T) {
		w := newWorld(t)
		s := w.set(nil)
		w.mustSync(s, manifests)
		s.Close()
	})
}

func TestAWatchThatIsRefusedAfterAFirstApplyIsSignalled(t *testing.T) {
	w := newWorld(t)
	rbac := func(resource string) k8sschema.GroupVersionResource {
		return k8sschema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: resource}
	}
	w.do(rbac("roles"), w.namespace).create(`apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list, create, patch, delete]}]
`)
	w.do(rbac("rolebindings"), w.namespace).create(`apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deployer}
subjects: [{kind: ServiceAccount, name: deployer, namespace: ` + w.namespace + `}]
`)
	manifests := some(func(name string) string { return configMapOf(name, "1") })
	var s *Set
	w.eventually("RBAC is in force", func() error {
		s = w.setWith(w.config, SetOptions{Sync: "batch", Namespace: w.namespace, ServiceAccount: w.namespace + "/deployer"})
		_, err := s.list(w.ctx, scope{kind: configMap, namespace: w.namespace}, configMapsResource)
		return err
	})
	w.mustSync(s, manifests)
	w.signalled(s)
	w.eventually("the next plan refuses", func() error {
		outcomes, err := w.sync(s, manifests)
		if err != nil {
			return err
		}
		if p := outcomes["ConfigMap x0"].Problem; p == nil || p.Rule != "R207" || !strings.Contains(p.Message, "may not watch configmaps") {
			return fmt.Errorf("problem: %v", p)
		}
		return nil
	})
}
