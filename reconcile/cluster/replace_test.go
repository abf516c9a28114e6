package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

func TestAFinishedJobIsReplacedWhenItChanges(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	w.mustSync(s, job("hello", "one"))
	first := w.do(jobsResource, w.namespace).get("hello").GetUID()
	outcomes := w.mustSync(s, job("hello", "two"))
	if o := outcomes["Job hello"]; o.Change.Op != plan.Wait && o.Change.Op != plan.Replace {
		t.Errorf("while it runs: %s %s", o.Change.Op, o.Change.Effect)
	}
	if plan.RunOf(w.do(jobsResource, w.namespace).get("hello")).Outcome == plan.RunActive && w.do(jobsResource, w.namespace).get("hello").GetUID() == first {
		w.finish("hello")
	}
	w.signalled(s)
	w.settle(s, job("hello", "two"))
	now := w.do(jobsResource, w.namespace).get("hello")
	if now.GetUID() == first {
		t.Error("it was not replaced")
	}
	seen, err := w.set(nil).Observe(w.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if run := seen.Ledger.Jobs[jobKey(w.namespace, "hello")]; run.UID != string(now.GetUID()) || run.Digest != now.GetAnnotations()[schema.AnnotationDigest] {
		t.Errorf("the ledger has %+v", run)
	}
}

func TestAJobThatChangedSinceThePlanIsNotReplaced(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	w.mustSync(s, job("hello", "one"))
	w.finish("hello")
	w.settle(s, job("hello", "one"))
	p := w.mustCompute(s, w.objects(job("hello", "two")))
	if p.Changes[0].Op != plan.Replace {
		t.Fatalf("plan:\n%s", describe(p))
	}
	w.do(jobsResource, w.namespace).patch("hello", `{"metadata":{"labels":{"look":"here"}}}`)
	outcomes, err := s.Apply(w.ctx, p)
	if err != nil || outcomes[0].Done || outcomes[0].Problem != nil {
		t.Errorf("outcome %+v, %v", outcomes[0], err)
	}
}

func TestNothingIsBegunAfterTheEndOfTheContext(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	var manifests []string
	for i := range 200 {
		manifests = append(manifests, configMapOf(fmt.Sprintf("c-%03d", i), "1"))
	}
	p := w.mustCompute(s, w.objects(documents(manifests...)))
	ctx, cancel := context.WithCancel(w.ctx)
	outcomes, err := s.ApplyEach(ctx, p, func(plan.Outcome) { cancel() })
	if err != nil {
		t.Fatal(err)
	}
	done := 0
	for _, o := range outcomes {
		if o.Problem != nil {
			t.Fatalf("%s: %v", o.Change.Key, o.Problem)
		}
		if o.Done {
			done++
		}
	}
	there := len(w.do(configMapsResource, w.namespace).names(schema.ApplySetPartOf + "=" + s.ID()))
	if done == 0 || done == len(outcomes) || done != there {
		t.Errorf("%d of %d done, %d are there", done, len(outcomes), there)
	}
	w.settle(s, documents(manifests...))
}

func TestObjectsFollowTheirNamespaceAndTheirKind(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	group := fmt.Sprintf("g%d.example.com", serial.Add(1))
	manifests := documents(
		"apiVersion: "+group+"/v1\nkind: Widget\nmetadata: {name: one, namespace: "+w.namespace+"-own}\nspec: {size: 3}",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: inside, namespace: "+w.namespace+"-own}",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: "+w.namespace+"-own}",
		`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.`+group+`}
spec:
  group: `+group+`
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
`)
	outcomes := w.mustSync(s, manifests)
	if o := outcomes["ConfigMap inside"]; !o.Done || o.Change.Op != plan.Create {
		t.Errorf("ConfigMap: %+v", o)
	}
	if o := outcomes["Widget one"]; o.Change.Op != plan.Wait {
		t.Errorf("Widget: %s", o.Change.Op)
	}
	// The loop is told when the kind is there: it does not poll.
	widgets := k8sschema.GroupVersionResource{Group: group, Version: "v1", Resource: "widgets"}
	for range 20 {
		w.signalled(s)
		if o := w.mustSync(s, manifests)["Widget one"]; o.Change.Op == plan.Create && o.Done {
			break
		}
	}
	if names := w.do(widgets, w.namespace+"-own").names(""); !slices.Equal(names, []string{"one"}) {
		t.Errorf("widgets: %v", names)
	}
	// The kind goes away by hand: not a reason to stop, but to wait for it.
	w.do(k8sschema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, "").delete("widgets." + group)
	w.settle(s, manifests[:0]+configMapOf("other", "1"))
}

func TestARetiredCronJobFiresNoMore(t *testing.T) {
	for _, whileActive := range []string{plan.WhileActiveWait, plan.WhileActiveRefuse} {
		for _, embedded := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, embedded %v", whileActive, embedded), func(t *testing.T) { retire(t, whileActive, embedded) })
		}
	}
}

func retire(t *testing.T, whileActive string, embedded bool) {
	w := newWorld(t)
	w.options.EmbeddedScheduler = embedded
	s := w.set(nil)
	w.mustSync(s, documents(configMapOf("kept", "1"), `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, annotations: {rota.dev/while-active: `+whileActive+`}}
spec:
  schedule: "0 3 * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: example.com/c}]}}}}
`))
	cronJobs := w.do(cronJobsResource, w.namespace)
	// The cluster's own controller takes references to Jobs away that are not
	// there, so there must be one.
	run := w.do(jobsResource, w.namespace).create(job("nightly-1", "echo", "suspend: true"))
	cronJobs.patchStatus("nightly", fmt.Sprintf(`{"status":{"active":[{"apiVersion":"batch/v1","kind":"Job","name":"nightly-1","namespace":%q,"uid":%q}]}}`, w.namespace, run.GetUID()))
	w.eventually("the active run is seen", func() error {
		outcomes, err := w.sync(s, configMapOf("kept", "1"))
		if err != nil {
			return err
		}
		live := cronJobs.get("nightly")
		suspended, _, _ := unstructured.NestedBool(live.Object, "spec", "suspend")
		if got := live.GetAnnotations()[schema.AnnotationSuspended]; embedded && got != "true" || !suspended {
			return fmt.Errorf("%s: suspended %q and %v", outcomes["CronJob nightly"].Change.Effect, got, suspended)
		}
		if o := outcomes["CronJob nightly"]; (o.Problem != nil) != (whileActive == plan.WhileActiveRefuse) {
			return fmt.Errorf("outcome %+v", o)
		}
		return nil
	})
	if _, err := w.sync(s, configMapOf("kept", "1")); err != nil {
		t.Fatal(err)
	}
	w.drain(s)
	cronJobs.patchStatus("nightly", `{"status":{"active":null}}`)
	w.signalled(s)
	w.settle(s, configMapOf("kept", "1"))
	if names := cronJobs.names(""); len(names) > 0 {
		t.Errorf("CronJobs: %v", names)
	}
}
