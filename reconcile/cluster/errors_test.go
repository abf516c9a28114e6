package cluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

func TestWhatTheServerRefusesIsExplained(t *testing.T) {
	w := newWorld(t)
	w.do(k8sschema.GroupVersionResource{Version: "v1", Resource: "resourcequotas"}, w.namespace).create("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: none}\nspec: {hard: {count/secrets: 0}}")
	w.do(k8sschema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"}, "").create(fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-forbidden-%[1]s}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  validations: [{expression: "!has(object.data) || !('forbidden' in object.data)", message: "the key forbidden is not allowed"}]
`, w.namespace))
	w.do(k8sschema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"}, "").create(fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-forbidden-%[1]s}
spec: {policyName: no-forbidden-%[1]s, validationActions: [Deny]}
`, w.namespace))
	terminating := w.namespace + "-ending"
	w.do(namespaces, "").create("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + terminating + "}\nspec: {finalizers: [example.com/never]}")
	w.do(configMapsResource, terminating).create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: holds, finalizers: [example.com/never]}")
	w.do(namespaces, "").delete(terminating)
	t.Cleanup(func() { w.do(configMapsResource, terminating).patch("holds", `{"metadata":{"finalizers":null}}`) })

	long := strings.Repeat("long", 17)
	for _, c := range []struct {
		name, manifest, key, rule, field, message string
		severity                                  schema.Severity
	}{
		{name: "a namespace that does not exist", manifest: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: nowhere}", key: "ConfigMap x",
			rule: "R204", message: "the namespace nowhere does not exist"},
		{name: "a namespace that is being deleted", manifest: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: " + terminating + "}", key: "ConfigMap x",
			rule: "R205", message: "the namespace " + terminating + " is being deleted"},
		{name: "a quota that is used up", manifest: "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {a: hidden-value}", key: "Secret x",
			rule: "R206", severity: schema.SeverityWarning, message: "waits for quota: exceeded quota: none"},
		{name: "an admission policy", manifest: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {forbidden: x}", key: "ConfigMap x",
			rule: "R208", message: "ValidatingAdmissionPolicy 'no-forbidden-" + w.namespace + "'"},
		{name: "a value of the wrong kind", manifest: job("x", "echo", `completions: "three"`), key: "Job x",
			rule: "R222", message: "does not have the shape of its kind"},
		{name: "a field that the kind lacks", manifest: job("x", "echo", "completionz: 3"), key: "Job x",
			rule: "R222", field: "spec.completionz", message: "the kind has no such field"},
		{name: "a value out of range", manifest: job("x", "echo", "parallelism: -1"), key: "Job x",
			rule: "R209", field: "spec.parallelism", message: "must be greater than or equal to 0"},
		{name: "a Job name too long for its Pods", manifest: job(long, "echo"), key: "Job " + long,
			rule: "R211", message: "the name has 68 characters"},
		{name: "a kind that is misspelt", manifest: "apiVersion: batch/v1\nkind: CronJbo\nmetadata: {name: x}", key: "CronJbo x",
			rule: "R202", message: "the cluster has no kind CronJbo in batch/v1"},
		{name: "a version that is not served", manifest: "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: x}", key: "CronJob x",
			rule: "R223", message: "only as batch/v1"},
		{name: "a kind that cannot be kept", manifest: "apiVersion: authorization.k8s.io/v1\nkind: SubjectAccessReview\nmetadata: {name: x}", key: "SubjectAccessReview x",
			rule: "R203", message: "has no verb"},
		{name: "an object that is too large", manifest: configMapOf("x", strings.Repeat("x", 1<<20+10)), key: "ConfigMap x",
			rule: "R212", message: "larger than the cluster stores"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := *w
			w.t = t
			var p *schema.Problem
			// Policies and quotas take a moment to be seen by the server.
			w.eventually("a problem", func() error {
				s := w.setWith(w.config, SetOptions{Sync: fmt.Sprintf("s%d", serial.Add(1)), Namespace: w.namespace})
				outcomes, err := w.sync(s, c.manifest)
				if err != nil {
					return err
				}
				if p = outcomes[c.key].Problem; p == nil {
					w.mustSync(s, configMapOf("only-"+s.options.Sync, "1"))
					return errors.New("it was applied")
				}
				return nil
			})
			severity := c.severity
			if severity == "" {
				severity = schema.SeverityError
			}
			if p.Rule != c.rule || !strings.Contains(p.Message, c.message) || p.Severity != severity || p.Origin.File != "test.yaml" || p.Mend == "" {
				t.Errorf("problem: %v", p)
			}
			if c.field != "" && p.Field != c.field {
				t.Errorf("field %q, want %q", p.Field, c.field)
			}
			if strings.Contains(p.Error(), "hidden-value") {
				t.Errorf("a Secret's value is in the message: %v", p)
			}
		})
	}
}

func TestAnImmutableFieldIsExplained(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	w.mustSync(s, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nimmutable: true\ndata: {a: b}")
	outcomes, err := w.sync(s, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nimmutable: true\ndata: {a: c}")
	if err != nil {
		t.Fatal(err)
	}
	key := outcomes["ConfigMap x"].Change.Key
	if p := outcomes["ConfigMap x"].Problem; p == nil || p.Rule != "R210" || p.Field != "data.a" {
		t.Errorf("the plan foretells: %v", p)
	}
	changed := w.intended[key].Object
	if p := explain(s.tryApply(w.ctx, changed), subject{object: changed}); p == nil || p.Rule != "R210" || p.Field != "data" {
		t.Errorf("of the server's answer: %v", p)
	}
}

func TestAMissingPermissionRefusesOnlyWhatItConcerns(t *testing.T) {
	w := newWorld(t)
	rbac := func(resource string) k8sschema.GroupVersionResource {
		return k8sschema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: resource}
	}
	w.do(k8sschema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, w.namespace).create("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: deployer}")
	w.do(rbac("roles"), w.namespace).create(`apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [batch], resources: [cronjobs], verbs: [get, list, watch]}
`)
	w.do(rbac("rolebindings"), w.namespace).create(`apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deployer}
subjects: [{kind: ServiceAccount, name: deployer, namespace: ` + w.namespace + `}]
`)
	manifests := documents(configMapOf("settings", "1"), job("hello", "echo"), `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: example.com/c}]}}}}
`)
	var outcomes map[string]plan.Outcome
	w.eventually("RBAC is in force", func() error {
		s := w.setWith(w.config, SetOptions{Sync: "batch", Namespace: w.namespace, ServiceAccount: w.namespace + "/deployer"})
		defer s.Close()
		var err error
		if outcomes, err = w.sync(s, manifests); err != nil {
			return err
		}
		if o := outcomes["ConfigMap settings"]; !o.Done {
			return fmt.Errorf("the ConfigMap: %v", o.Problem)
		}
		return nil
	})
	account := "service account " + w.namespace + "/deployer, as which this Sync writes, may not "
	for key, want := range map[string]string{
		"Job hello":       account + "watch jobs.batch in the namespace " + w.namespace,
		"CronJob nightly": account + "patch cronjobs.batch in the namespace " + w.namespace,
	} {
		p := outcomes[key].Problem
		if p == nil || p.Rule != "R207" || strings.Replace(p.Message, "may not list", "may not watch", 1) != want {
			t.Errorf("%s: problem %v, want %q", key, p, want)
		}
	}
}

func TestKindsAndNamespacesOutsideOfTheSyncAreRefused(t *testing.T) {
	w := newWorld(t)
	s := w.setWith(w.config, SetOptions{Sync: "batch", Namespace: w.namespace, Kinds: []k8sschema.GroupKind{{Kind: "ConfigMap"}, {Kind: "Namespace"}}, Namespaces: []string{w.namespace}})
	_, refused, err := s.Resolve(w.ctx, w.objects(documents(
		configMapOf("fine", "1"), job("hello", "echo"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: far, namespace: kube-system}", "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}")))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for key, p := range refused {
		got[key.Name] = p.Rule
	}
	if fmt.Sprint(got) != "map[far:R214 hello:R213 other:R214]" {
		t.Errorf("refused: %v", got)
	}
}

func TestNamespacesAreCompletedByKind(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	objects := w.objects(documents(configMapOf("a", "1"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: n, namespace: wrong}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: other}"))
	resolved, refused, err := s.Resolve(w.ctx, objects)
	if err != nil || len(refused) > 0 {
		t.Fatal(err, refused)
	}
	for i, want := range []string{w.namespace, "", "other"} {
		if got := resolved[i].GetNamespace(); got != want {
			t.Errorf("%s: namespace %q, want %q", resolved[i].GetName(), got, want)
		}
	}
	if objects[0].GetNamespace() != "" || objects[1].GetNamespace() != "wrong" {
		t.Error("the given objects were changed")
	}
}

func TestASecretsValuesAreInNoMessage(t *testing.T) {
	secret := schema.Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "x"},
		"data":       map[string]any{"a": base64.StdEncoding.EncodeToString([]byte("canary-one"))},
		"stringData": map[string]any{"b": "canary-two", "c": int64(987654321)},
	}}}
	texts := []string{"canary-one", "canary-two", "987654321", base64.StdEncoding.EncodeToString([]byte("canary-one"))}
	for _, message := range []string{
		`Secret in version "v1" cannot be handled as a Secret: json: cannot unmarshal number 987654321 into Go struct field`,
		"data[a]: Invalid value: \"canary-one\": no", "stringData.b: canary-two", "illegal base64 data canary-t",
	} {
		for _, reason := range []metav1.StatusReason{metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest, metav1.StatusReasonForbidden, metav1.StatusReasonInternalError, ""} {
			err := &apierrors.StatusError{ErrStatus: metav1.Status{Reason: reason, Message: message, Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Message: message}}}}}
			p := explain(fmt.Errorf("applying: %w", err), subject{object: secret})
			for _, text := range texts {
				if strings.Contains(p.Error(), text) {
					t.Errorf("%q is in %q", text, p.Error())
				}
			}
			if errors.As(error(p), new(*apierrors.StatusError)) {
				t.Error("the cause is kept")
			}
		}
	}
}

func TestAServerThatIsAwayIsSaidToBe(t *testing.T) {
	p := explain(fmt.Errorf("reading: %w", context.DeadlineExceeded), subject{what: "the live state"})
	if p.Rule != "R200" || p.Message != "reading the live state: the API server did not answer in time" {
		t.Errorf("problem: %v", p)
	}
}

func TestTheClosestKindIsSuggested(t *testing.T) {
	kinds := []k8sschema.GroupKind{{Group: "batch", Kind: "CronJob"}, {Group: "batch", Kind: "Job"}, {Group: "apps", Kind: "Deployment"}, {Kind: "Pod"}}
	for want, got := range map[string]string{"CronJbo": "CronJob", "cronjob": "CronJob", "Deploymnet": "Deployment", "Widget": ""} {
		close, ok := closest(k8sschema.GroupKind{Group: "batch", Kind: want}, kinds)
		if ok != (got != "") || ok && close.Kind != got {
			t.Errorf("%s: suggested %v %v, want %q", want, close, ok, got)
		}
	}
}
