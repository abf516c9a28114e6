package plan

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// Intended is a desired object as it will be applied: with the membership
// label, with rota's annotations, and, for a CronJob that rota schedules,
// suspended.
type Intended struct {
	schema.Object
	// Digest identifies what is applied: `o1:` and 64 hex digits.
	Digest string
	// RunDigest identifies what a Job runs (DESIGN §4): `d1:` and 64 hex
	// digits; empty for every other kind.
	RunDigest string
}

// Intend returns objects as they will be applied under o, in the same order.
// The given objects are not changed.
func Intend(objects []schema.Object, o Options) ([]Intended, error) {
	out := make([]Intended, 0, len(objects))
	for _, obj := range objects {
		one, err := intend(obj, o)
		if err != nil {
			return nil, fmt.Errorf("digesting %s: %w", obj.Key(), err)
		}
		out = append(out, one)
	}
	return out, nil
}

func intend(obj schema.Object, o Options) (Intended, error) {
	obj = obj.DeepCopy()
	in := Intended{Object: obj}
	key := obj.Key()
	annotations := map[string]string{}
	switch {
	case key.IsJob():
		digest, err := RunDigest(obj.Unstructured)
		if err != nil {
			return Intended{}, err
		}
		in.RunDigest = digest
		annotations[schema.AnnotationDigest] = digest
	case key.IsCronJob() && o.EmbeddedScheduler:
		suspended, _, _ := unstructured.NestedBool(obj.Object, "spec", "suspend")
		annotations[schema.AnnotationScheduler] = "rota"
		annotations[schema.AnnotationSuspended] = fmt.Sprint(suspended)
		if err := unstructured.SetNestedField(obj.Object, true, "spec", "suspend"); err != nil {
			return Intended{}, err
		}
	case key.Group == "" && key.Kind == "Secret":
		if err := foldStringData(obj.Unstructured); err != nil {
			return Intended{}, err
		}
	}
	setLabel(obj.Unstructured, schema.ApplySetPartOf, o.SetID)
	annotate(obj.Unstructured, annotations)
	digest, err := objectDigest(obj.Unstructured)
	if err != nil {
		return Intended{}, err
	}
	in.Digest = digest
	// The three below say when and from where an object was last applied; were
	// they part of the digest, every commit would rewrite every object.
	annotate(obj.Unstructured, map[string]string{
		schema.AnnotationApplied:  digest,
		schema.AnnotationRevision: o.Revision,
		schema.AnnotationOrigin:   obj.Origin.String(),
	})
	return in, nil
}

// RunDigest returns the digest of what a Job runs: its pod template without
// rota's own keys, its completions and its completion mode, as written.
func RunDigest(job *unstructured.Unstructured) (string, error) {
	spec, _, err := unstructured.NestedMap(job.Object, "spec")
	if err != nil {
		return "", err
	}
	what := map[string]any{}
	for _, field := range []string{"template", "completions", "completionMode"} {
		if v, ok := spec[field]; ok {
			what[field] = v
		}
	}
	for _, field := range []string{"labels", "annotations"} {
		keys, found, _ := unstructured.NestedMap(what, "template", "metadata", field)
		if !found {
			continue
		}
		for k := range keys {
			if strings.HasPrefix(k, "rota.dev/") {
				unstructured.RemoveNestedField(what, "template", "metadata", field, k)
			}
		}
	}
	return digestOf("d1:", what)
}

func objectDigest(u *unstructured.Unstructured) (string, error) { return digestOf("o1:", u.Object) }

func digestOf(version string, v any) (string, error) {
	// encoding/json sorts map keys, which makes the text canonical.
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return version + hex.EncodeToString(sum[:]), nil
}

// foldStringData moves stringData into data as the API server does on write:
// the server never stores stringData, so owning it would look like drift.
func foldStringData(u *unstructured.Unstructured) error {
	plain, found, err := unstructured.NestedStringMap(u.Object, "stringData")
	if err != nil || !found {
		return err
	}
	for k, v := range plain {
		if err := unstructured.SetNestedField(u.Object, base64.StdEncoding.EncodeToString([]byte(v)), "data", k); err != nil {
			return err
		}
	}
	unstructured.RemoveNestedField(u.Object, "stringData")
	return nil
}

func setLabel(u *unstructured.Unstructured, k, v string) {
	labels := u.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[k] = v
	u.SetLabels(labels)
}

func annotate(u *unstructured.Unstructured, kv map[string]string) {
	if len(kv) == 0 {
		return
	}
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	for k, v := range kv {
		if v != "" {
			annotations[k] = v
		}
	}
	u.SetAnnotations(annotations)
}
