package cluster

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"rota.dev/rota/reconcile/plan"
)

func TestADryRunWritesNothingAndAnswersAsTheServerWould(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	w.mustSync(s, documents(configMapOf("kept", "1"), configMapOf("left", "1"), job("again", "one")))
	w.finish("again")
	w.settle(s, documents(configMapOf("kept", "1"), configMapOf("left", "1"), job("again", "one")))
	before := w.everything()

	fresh := w.namespace + "-fresh"
	dry := w.set(DryRun(w.config))
	outcomes := w.mustSync(dry, documents(
		configMapOf("kept", "2"), configMapOf("new", "1"), job("again", "two"), job("prepared", "one", "ttlSecondsAfterFinished: 5"),
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: "+fresh+"}",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: inside, namespace: "+fresh+"}"))
	for key, o := range outcomes {
		if !o.Done || o.Change.Op != plan.Delete && o.Object == nil {
			t.Errorf("%s: %+v", key, o)
		}
	}
	if o := outcomes["Job again"]; o.Change.Op != plan.Replace || o.Object.GetName() != "again" || o.Object.GetUID() == "" {
		t.Errorf("replaced Job: %s %v", o.Change.Op, o.Object)
	}
	released := outcomes["Job prepared"].Object
	if suspend, _, _ := unstructured.NestedBool(released.Object, "spec", "suspend"); suspend || neverRan(released) {
		t.Error("the prepared Job is not shown released")
	}
	if got, want := outcomes["ConfigMap kept"].Object.Object["data"].(map[string]any)["key"], "2"; got != want {
		t.Errorf("the changed ConfigMap is shown with %v", got)
	}
	if after := w.everything(); after != before {
		t.Errorf("a dry run wrote:\nbefore %s\nafter  %s", before, after)
	}
	refused, err := w.sync(w.set(DryRun(w.config)), documents(configMapOf("kept", "1"), configMapOf("left", "1"), job("again", "one"), job("bad", "x", "parallelism: -1")))
	if err != nil || refused["Job bad"].Problem == nil {
		t.Errorf("a refusal was not told: %v", err)
	}
}

// finish lets a Job end as its own controller would have it.
func (w *world) finish(name string) {
	w.t.Helper()
	jobs := w.do(jobsResource, w.namespace)
	w.eventually("the Job has started", func() error {
		if plan.RunOf(jobs.get(name)).Started.IsZero() {
			return fmt.Errorf("not started")
		}
		return nil
	})
	jobs.patch(name, `{"spec":{"activeDeadlineSeconds":1}}`)
	w.eventually("the Job has ended", func() error {
		if !finished(jobs.get(name)) {
			return fmt.Errorf("not ended")
		}
		return nil
	})
}

// everything is a fingerprint of the world's objects.
func (w *world) everything() string {
	w.t.Helper()
	text := ""
	for _, r := range []k8sschema.GroupVersionResource{configMapsResource, jobsResource} {
		for _, namespace := range []string{w.namespace, w.system} {
			for _, name := range w.do(r, namespace).names("") {
				if name != "kube-root-ca.crt" {
					text += fmt.Sprintf("%s/%s@%s ", namespace, name, w.do(r, namespace).get(name).GetUID())
				}
			}
		}
	}
	return text
}

func TestADryRunOfAFirstApplyNeedsNoNamespaceOfRota(t *testing.T) {
	w := newWorld(t)
	outcomes := w.mustSync(w.set(DryRun(w.config)), documents(configMapOf("a", "1"), job("hello", "echo")))
	if len(outcomes) != 2 || !outcomes["Job hello"].Done {
		t.Errorf("outcomes: %v", outcomes)
	}
	for _, name := range w.do(namespaces, "").names("") {
		if name == w.system {
			t.Error("the namespace was created")
		}
	}
}

func TestADryRunTakesForGrantedWhatThePlanCreates(t *testing.T) {
	w := newWorld(t)
	pod := func(account string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: of-" + account + "}\nspec: {serviceAccountName: " + account + ", containers: [{name: c, image: none}]}"
	}
	outcomes, err := w.sync(w.set(DryRun(w.config)), documents("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: brought}", pod("brought"), pod("nobodys")))
	if err != nil {
		t.Fatal(err)
	}
	if o := outcomes["Pod of-brought"]; !o.Done || o.Problem != nil {
		t.Errorf("a Pod whose account comes with it: %+v", o.Problem)
	}
	if o := outcomes["Pod of-nobodys"]; o.Problem == nil {
		t.Error("a Pod whose account is nowhere was not refused")
	}
}
