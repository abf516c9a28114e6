package plan

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// frozenField is one that the API server lets nobody change on an object that
// exists.
type frozenField struct {
	path []string
	// whole compares both ways: what live has and desired has not is a change,
	// too. Without it the server may have filled more in.
	whole bool
	// only says when the field is frozen; always if nil.
	only func(want, have map[string]any) bool
	// but are the parts of it that can change.
	but []string
}

// frozen are the fields by kind (the ValidateXxxUpdate functions of Kubernetes
// 1.37; a test asks the server about each). Jobs have rules of their own, see
// adaptImmutable. Pods are left to the server: nearly all of one is frozen, and
// it says in which way.
var frozen = map[string][]frozenField{
	"Deployment.apps":  {{path: []string{"spec", "selector"}, whole: true}},
	"ReplicaSet.apps":  {{path: []string{"spec", "selector"}, whole: true}},
	"DaemonSet.apps":   {{path: []string{"spec", "selector"}, whole: true}},
	"StatefulSet.apps": {{path: []string{"spec", "selector"}, whole: true}, {path: []string{"spec", "serviceName"}}, {path: []string{"spec", "podManagementPolicy"}}, {path: []string{"spec", "volumeClaimTemplates"}}},
	"Service":          {{path: []string{"spec", "clusterIP"}, only: keepsAddress}, {path: []string{"spec", "clusterIPs"}, only: keepsAddress}},
	"ConfigMap":        {{path: []string{"data"}, whole: true, only: sealed}, {path: []string{"binaryData"}, whole: true, only: sealed}, {path: []string{"immutable"}, whole: true, only: sealed}},
	"Secret":           {{path: []string{"type"}}, {path: []string{"data"}, whole: true, only: sealed}, {path: []string{"immutable"}, whole: true, only: sealed}},
	"PersistentVolumeClaim": {{path: []string{"spec"}, but: []string{"spec.resources", "spec.volumeAttributesClassName"}},
		{path: []string{"spec", "resources"}, only: unbound}, {path: []string{"spec", "resources", "requests", "storage"}, only: shrinks}},
	"RoleBinding.rbac.authorization.k8s.io":        {{path: []string{"roleRef"}}},
	"ClusterRoleBinding.rbac.authorization.k8s.io": {{path: []string{"roleRef"}}},
	"StorageClass.storage.k8s.io":                  {{path: []string{"provisioner"}}, {path: []string{"parameters"}, whole: true}, {path: []string{"reclaimPolicy"}}, {path: []string{"volumeBindingMode"}}},
	"PriorityClass.scheduling.k8s.io":              {{path: []string{"value"}}, {path: []string{"preemptionPolicy"}}},
	"RuntimeClass.node.k8s.io":                     {{path: []string{"handler"}}},
	"IngressClass.networking.k8s.io":               {{path: []string{"spec", "controller"}}},
}

// sealed reports whether live says that it is immutable.
func sealed(_, have map[string]any) bool { return have["immutable"] == true }

// keepsAddress reports whether a Service has an address before and after.
func keepsAddress(want, have map[string]any) bool {
	for _, o := range []map[string]any{want, have} {
		if spec, _ := o["spec"].(map[string]any); spec["type"] == "ExternalName" {
			return false
		}
	}
	address, _ := at(have, []string{"spec", "clusterIP"}).(string)
	return address != ""
}

// unbound reports whether a claim has no volume yet.
func unbound(_, have map[string]any) bool { return at(have, []string{"status", "phase"}) == "Pending" }

// shrinks reports whether a claim asks for less than it did.
func shrinks(want, have map[string]any) bool {
	path := []string{"spec", "resources", "requests", "storage"}
	w, errW := resource.ParseQuantity(fmt.Sprint(at(want, path)))
	h, errH := resource.ParseQuantity(fmt.Sprint(at(have, path)))
	return errW == nil && errH == nil && w.Cmp(h) < 0
}

// Frozen returns the fields of desired that a live object, or the same object
// of another revision, has otherwise and that nobody can change once the object
// exists, each as a Problem at its place. Of a Job none is returned: it would
// run again.
func Frozen(desired schema.Object, live *unstructured.Unstructured) []*schema.Problem {
	key := desired.Key()
	var problems []*schema.Problem
	for _, f := range frozen[key.GroupKind().String()] {
		if f.only != nil && !f.only(desired.Object, live.Object) {
			continue
		}
		want, have := at(desired.Object, f.path), at(live.Object, f.path)
		if want == nil && !(f.whole && owns(live, f.path)) || want == "" {
			continue // the server goes on with what it has
		}
		changed := leavesThatDiffer(f, want, withoutOthers(live, f.path, want, have))
		if len(changed) == 0 {
			continue
		}
		p := problemFor(key, desired.Origin, "R210", "it cannot be changed on an object that exists", "Give the object another name, or delete it so that it is created anew.")
		p.Field = desired.Path(changed[0])
		p.Origin = desired.At(p.Field)
		if n := len(changed); n > 1 {
			p.Message += fmt.Sprintf(" (nor can %d more fields beside it)", n-1)
		}
		problems = append(problems, p)
	}
	return problems
}

func leavesThatDiffer(f frozenField, want, have any) []string {
	path := strings.Join(f.path, ".")
	var c comparison
	c.compare(path, want, have)
	if f.whole {
		var back comparison
		back.compare(path, have, want)
		c.found = append(c.found, back.found...)
	}
	var paths []string
	for _, d := range c.found {
		free := slices.ContainsFunc(f.but, func(but string) bool { return underPath(d.path, but) })
		if !free && !sameStored(d.want, d.have) && !slices.Contains(paths, d.path) {
			paths = append(paths, d.path)
		}
	}
	return paths
}

// sameStored reports whether two values that are written differently are stored
// as the same: quantities, base64, and nothing for an empty mapping.
func sameStored(a, b any) bool {
	if empty(a) && empty(b) {
		return true
	}
	x, isTextX := a.(string)
	y, isTextY := b.(string)
	if !isTextX || !isTextY {
		return false
	}
	p, errP := resource.ParseQuantity(x)
	q, errQ := resource.ParseQuantity(y)
	if errP == nil && errQ == nil && p.Cmp(q) == 0 {
		return true
	}
	d, errD := base64.StdEncoding.DecodeString(x)
	e, errE := base64.StdEncoding.DecodeString(y)
	return errD == nil && errE == nil && bytes.Equal(d, e)
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// at returns the value at a path of fields, nil if it is not there.
func at(object map[string]any, path []string) any {
	var v any = object
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// withoutOthers returns have without the keys that want lacks and that rota did
// not apply: leaving them out changes nothing.
func withoutOthers(live *unstructured.Unstructured, path []string, want, have any) any {
	m, ok := have.(map[string]any)
	if !ok || len(live.GetManagedFields()) == 0 || ownsWhole(live, path) {
		return have
	}
	w, _ := want.(map[string]any)
	kept := map[string]any{}
	for key, v := range m {
		if _, wanted := w[key]; wanted || owns(live, append(slices.Clip(path), key)) {
			kept[key] = v
		}
	}
	return kept
}

// ownsWhole reports whether rota applied a field that has one owner for all that
// is in it.
func ownsWhole(live *unstructured.Unstructured, path []string) bool {
	for _, field := range ownedAt(live, path) {
		if m, _ := field.(map[string]any); len(m) == 0 {
			return true
		}
	}
	return false
}

// owns reports whether rota applied the field at a path, so that leaving it out
// removes it.
func owns(live *unstructured.Unstructured, path []string) bool { return len(ownedAt(live, path)) > 0 }

// ownedAt returns what rota's entries in managedFields say of a field.
func ownedAt(live *unstructured.Unstructured, path []string) []any {
	var found []any
	for _, o := range newWalker(live).ours {
		var v any = map[string]any(o.fields)
		for _, name := range path {
			m, _ := v.(map[string]any)
			v = m["f:"+name]
		}
		if v != nil {
			found = append(found, v)
		}
	}
	return found
}

// Foretell returns, as warnings, the changes between two revisions of an object
// that nobody can make to one that exists: see Frozen and
// runsAgain.
func Foretell(desired schema.Object, before *unstructured.Unstructured) []*schema.Problem {
	problems := append(Frozen(desired, before), runsAgain(desired, before)...)
	for _, p := range problems {
		p.Severity = schema.SeverityWarning
	}
	return problems
}

// jobFrozen are the fields of a Job's spec that cannot change once it exists.
// Of completions that is so unless the Job is Indexed and parallelism changes
// alike; rota runs it again in any case, for it is part of the digest.
var jobFrozen = append([]string{"template", "completions", "completionMode"}, immutable...)

// runsAgain returns the fields of a Job that another revision of it has
// otherwise and that no Job can change once it exists, each as a warning at its
// place that says what becomes of it: what changes the run makes it run again,
// the rest waits for its next run.
func runsAgain(desired schema.Object, before *unstructured.Unstructured) []*schema.Problem {
	if !desired.Key().IsJob() {
		return nil
	}
	want, _ := desired.Object["spec"].(map[string]any)
	have, _ := before.Object["spec"].(map[string]any)
	var problems []*schema.Problem
	for _, name := range jobFrozen {
		paths := leavesThatDiffer(frozenField{path: []string{"spec", name}, whole: true}, want[name], have[name])
		if len(paths) == 0 {
			continue
		}
		message := "a Job that exists cannot change it: the change takes effect with the next run"
		if slices.Contains(jobFrozen[:3], name) {
			message = "a Job that exists cannot change it: it will run again as a new Job"
			if annotation(desired.Unstructured, schema.AnnotationRerun) == RerunNever {
				message = "a Job that exists cannot change it: the change is ignored if it has run (rerun: Never)"
			}
		}
		p := problemFor(desired.Key(), desired.Origin, "R089", message, "Nothing, if that is meant; the annotation "+schema.AnnotationRerun+" says when a Job runs again.")
		p.Field = desired.Path(paths[0])
		p.Origin = desired.At(p.Field)
		problems = append(problems, p)
	}
	return problems
}
