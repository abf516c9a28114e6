package cluster

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

func TestApplyCreatesUpdatesAndPrunes(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	outcomes := w.mustSync(s, documents(configMapOf("settings", "1"), job("hello", "echo"), `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: example.com/c}]}}}}
`))
	for key, o := range outcomes {
		if !o.Done || o.Object == nil || o.Object.GetResourceVersion() == "" {
			t.Errorf("%s: not done, or without the object as the server has it: %+v", key, o)
		}
	}
	selector := schema.ApplySetPartOf + "=" + s.ID()
	if got := w.do(jobsResource, w.namespace).names(selector); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("members that are Jobs: %v", got)
	}
	parent := w.do(configMapsResource, w.system).get("rota-batch")
	want := map[string]string{
		schema.ApplySetTooling: "rota/test", schema.ApplySetGroupKinds: "ConfigMap,CronJob.batch,Job.batch", schema.ApplySetNamespaces: w.namespace,
	}
	for name, value := range want {
		if got := parent.GetAnnotations()[name]; got != value {
			t.Errorf("parent annotation %s is %q, want %q", name, got, value)
		}
	}
	if parent.GetLabels()[schema.ApplySetID] != s.ID() {
		t.Errorf("parent labels: %v", parent.GetLabels())
	}

	updated := w.mustSync(s, documents(configMapOf("settings", "2"), job("hello", "echo")))
	if o := updated["ConfigMap settings"]; o.Change.Op != plan.Update {
		t.Errorf("changed ConfigMap: %s", o.Change.Op)
	}
	if o := updated["Job hello"]; o.Change.Op != plan.Keep {
		t.Errorf("unchanged Job: %s %s", o.Change.Op, o.Change.Effect)
	}
	if o := updated["CronJob nightly"]; o.Change.Op != plan.Delete || !o.Done {
		t.Errorf("CronJob that left: %+v", o)
	}
	if got := w.do(cronJobsResource, w.namespace).names(""); len(got) > 0 {
		t.Errorf("CronJobs left: %v", got)
	}
	parent = w.do(configMapsResource, w.system).get("rota-batch")
	if got := parent.GetAnnotations()[schema.ApplySetGroupKinds]; got != "ConfigMap,Job.batch" {
		t.Errorf("inventory after prune: %q", got)
	}
}

func TestApplySetIDFollowsTheFormula(t *testing.T) {
	// echo -n 'rota-batch.rota-system.ConfigMap.' | openssl sha256 -binary | basenc --base64url | tr -d =
	const want = "applyset-ijRUbI0_F3278A_ggL3kk9dz11PTeyvVbSk_w75ciDk-v1"
	if got := ApplySetID("rota-batch", "rota-system", "ConfigMap", ""); got != want {
		t.Errorf("id is %s, want %s", got, want)
	}
}

func TestASecondSyncWritesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	manifests := documents(configMapOf("settings", "1"), job("hello", "echo"), job("bye", "echo", "ttlSecondsAfterFinished: 60"))
	w.mustSync(s, manifests)
	p, err := w.compute(s, w.objects(manifests))
	if err != nil {
		t.Fatal(err)
	}
	if p.Writes() {
		t.Errorf("plan after apply:\n%s", describe(p))
	}
	fresh := w.set(nil)
	p, err = w.compute(fresh, w.objects(manifests))
	if err != nil {
		t.Fatal(err)
	}
	if p.Writes() {
		t.Errorf("plan after a restart:\n%s", describe(p))
	}
}

func TestAConflictIsReportedByManagerAndField(t *testing.T) {
	w := newWorld(t)
	w.do(configMapsResource, w.namespace).create(configMapOf("settings", "theirs"))
	s := w.set(nil)
	outcomes, err := w.sync(s, configMapOf("settings", "ours"))
	if err != nil {
		t.Fatal(err)
	}
	p := outcomes["ConfigMap settings"].Problem
	if p == nil || p.Rule != "R201" || p.Field != "data.key" || p.Message != "fields belong to other managers: somebody has data.key" {
		t.Fatalf("problem: %v", p)
	}
	if p.Origin.File != "test.yaml" {
		t.Errorf("origin: %v", p.Origin)
	}
	if got := w.do(configMapsResource, w.namespace).get("settings"); got.Object["data"].(map[string]any)["key"] != "theirs" {
		t.Error("the conflict was forced")
	}
	w.options.ForceConflicts = true
	w.mustSync(s, configMapOf("settings", "ours"))
	if got := w.do(configMapsResource, w.namespace).get("settings"); got.Object["data"].(map[string]any)["key"] != "ours" {
		t.Error("the conflict was not forced when told")
	}
}

func TestAnObjectWithoutConflictIsAdopted(t *testing.T) {
	w := newWorld(t)
	w.do(configMapsResource, w.namespace).create(configMapOf("settings", "same"))
	s := w.set(nil)
	outcomes := w.mustSync(s, configMapOf("settings", "same"))
	if o := outcomes["ConfigMap settings"]; o.Change.Reason != plan.ReasonAdopted || o.Object.GetLabels()[schema.ApplySetPartOf] != s.ID() {
		t.Errorf("outcome: %s %s %v", o.Change.Op, o.Change.Reason, o.Object.GetLabels())
	}
}

func TestAnObjectOfAnotherSyncIsRefusedByName(t *testing.T) {
	w := newWorld(t)
	first := w.setWith(w.config, SetOptions{Sync: "first", Namespace: w.namespace})
	w.mustSync(first, configMapOf("settings", "1"))
	second := w.setWith(w.config, SetOptions{Sync: "second", Namespace: w.namespace})
	outcomes, err := w.sync(second, configMapOf("settings", "2"))
	if err != nil {
		t.Fatal(err)
	}
	p := outcomes["ConfigMap settings"].Problem
	want := "it belongs to ConfigMap " + w.system + "/rota-first (rota/test)"
	if p == nil || p.Message != want {
		t.Fatalf("problem: %v, want %q", p, want)
	}
	// The one in the way goes; the other Sync is told without polling.
	if _, err := w.sync(second, configMapOf("settings", "2")); err != nil {
		t.Fatal(err)
	}
	for len(second.Changed()) > 0 {
		<-second.Changed()
	}
	w.do(configMapsResource, w.namespace).delete("settings")
	w.signalled(second)
	w.settle(second, configMapOf("settings", "2"))
}

func TestOneBadObjectDoesNotStopTheOthersButPrune(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	w.mustSync(s, documents(configMapOf("old", "1"), configMapOf("kept", "1")))
	outcomes, err := w.sync(s, documents(configMapOf("kept", "2"), configMapOf("Bad_Name", "x"), configMapOf("new", "1")))
	if err != nil {
		t.Fatal(err)
	}
	if p := outcomes["ConfigMap Bad_Name"].Problem; p == nil || p.Rule != "R209" || p.Field != "metadata.name" {
		t.Errorf("problem: %v", p)
	}
	if !outcomes["ConfigMap kept"].Done || !outcomes["ConfigMap new"].Done {
		t.Error("a good object was not applied")
	}
	if outcomes["ConfigMap old"].Done {
		t.Error("something was pruned after an error")
	}
	names := w.do(configMapsResource, w.namespace).names(schema.ApplySetPartOf + "=" + s.ID())
	if diff := cmp.Diff([]string{"kept", "new", "old"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestAPruneThatIsRefusedHoldsBackNoOther(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	busy := strings.Replace(job("busy", "echo"), "{name: busy}", "{name: busy, annotations: {rota.dev/while-active: Refuse}}", 1)
	w.mustSync(s, documents(configMapOf("old", "1"), configMapOf("kept", "1"), busy))
	w.eventually("the Job has started", func() error {
		if plan.RunOf(w.do(jobsResource, w.namespace).get("busy")).Started.IsZero() {
			return errors.New("not started")
		}
		return nil
	})
	w.settle(s, documents(configMapOf("kept", "1"), configMapOf("old", "1"), busy))
	outcomes, err := w.sync(s, configMapOf("kept", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if o := outcomes["Job busy"]; o.Change.Op != plan.Refuse || o.Problem == nil {
		t.Fatalf("the plan for the Job: %s %s", o.Change.Op, o.Change.Effect)
	}
	if o := outcomes["ConfigMap old"]; o.Change.Op != plan.Delete || !o.Done {
		t.Errorf("the plan says %q of the ConfigMap, done: %v", o.Change.Effect, o.Done)
	}
}

// forbidding answers every request of a resource as RBAC does without a rule.
type forbidding struct {
	next     http.RoundTripper
	resource string
	on       *atomic.Bool
}

func (f forbidding) RoundTrip(r *http.Request) (*http.Response, error) {
	if !f.on.Load() || !strings.Contains(r.URL.Path+"/", "/"+f.resource+"/") {
		return f.next.RoundTrip(r)
	}
	body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"%s is forbidden"}`, f.resource)
	return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func TestWhatCannotBeReadStaysInTheInventory(t *testing.T) {
	w := newWorld(t)
	const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: old}\nstringData: {a: b}\n"
	w.mustSync(w.set(nil), documents(configMapOf("settings", "1"), secret))

	var on atomic.Bool
	on.Store(true)
	config := rest.CopyConfig(w.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return forbidding{next, "secrets", &on} })
	w.mustSync(w.set(config), configMapOf("settings", "2"))

	on.Store(false)
	outcomes := w.mustSync(w.set(config), configMapOf("settings", "2"))
	if o := outcomes["Secret old"]; o.Change.Op != plan.Delete || !o.Done {
		t.Errorf("the Secret that left while it could not be read is not pruned: %s %q", o.Change.Op, o.Change.Effect)
	}
}
