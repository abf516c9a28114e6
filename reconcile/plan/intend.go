package plan

import (
	"encoding/base64"
	"fmt"
	"maps"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/schedule"
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
// The given objects are not changed, but what Intend leaves as it is is
// shared with them: work on a DeepCopy to change a result.
//
// Status, the metadata that only a server writes, and the annotations that
// only rota writes are left out: they are in a repository when somebody
// exported an object of a cluster into it, and an old cursor or a mark of
// preparation that came back from there would make a schedule fire again or a
// Job wait for ever.
func Intend(objects []schema.Object, o Options) ([]Intended, error) {
	out := make([]Intended, 0, len(objects))
	var c canonical
	for _, obj := range objects {
		one, err := intend(obj, o, &c)
		if err != nil {
			return nil, fmt.Errorf("digesting %s: %w", obj.Key(), err)
		}
		out = append(out, one)
	}
	return out, nil
}

func intend(obj schema.Object, o Options, c *canonical) (Intended, error) {
	key := obj.Key()
	d := newDraft(obj.Unstructured)
	in := Intended{Object: schema.Object{Unstructured: &unstructured.Unstructured{Object: d.root}, Origin: obj.Origin, Fields: obj.Fields}}
	switch {
	case key.IsJob():
		digest, err := c.runDigest(obj.Unstructured)
		if err != nil {
			return Intended{}, err
		}
		in.RunDigest = digest
		d.annotations[schema.AnnotationDigest] = digest
	case key.IsCronJob() && o.borrows(key, obj.Unstructured):
		spec, _ := d.root["spec"].(map[string]any)
		suspended, _ := spec["suspend"].(bool)
		d.annotations[schema.AnnotationScheduler] = "rota"
		d.annotations[schema.AnnotationSuspended] = strconv.FormatBool(suspended)
		d.child("spec")["suspend"] = true
	case key.IsCronJob():
		// The cluster's own controller knows no such rules.
		delete(d.annotations, schema.AnnotationPolicy)
		if leftToCluster(obj.Unstructured) {
			d.annotations[schema.AnnotationScheduler] = schedule.ByCluster
		}
	case key.Group == "" && key.Kind == "Secret":
		d.foldStringData()
	}
	if o.SetID != "" {
		d.labels[schema.ApplySetPartOf] = o.SetID
	}
	digest, err := c.digest("o1:", d.root, false)
	if err != nil {
		return Intended{}, err
	}
	in.Digest = digest
	// The three below say when and from where an object was last applied; were
	// they part of the digest, every commit would rewrite every object.
	d.annotations[schema.AnnotationApplied] = digest
	if o.Revision != "" {
		d.annotations[schema.AnnotationRevision] = o.Revision
	}
	if at := obj.Origin.String(); at != "" {
		d.annotations[schema.AnnotationOrigin] = at
	}
	return in, nil
}

// borrows reports whether rota schedules a CronJob of the repository.
func (o Options) borrows(key schema.Key, cronJob *unstructured.Unstructured) bool {
	return o.EmbeddedScheduler && !o.HandedBack[key] && !leftToCluster(cronJob)
}

// leftToCluster reports whether a CronJob says that the cluster's own controller
// schedules it: in the repository for good, in the cluster since a hand-back.
func leftToCluster(cronJob *unstructured.Unstructured) bool {
	return annotation(cronJob, schema.AnnotationScheduler) == schedule.ByCluster
}

// HandedBack returns the CronJobs of live that were given back to the cluster's
// own controller.
func HandedBack(live map[schema.Key]*unstructured.Unstructured) map[schema.Key]bool {
	var back map[schema.Key]bool
	for key, object := range live {
		if !key.IsCronJob() || !leftToCluster(object) {
			continue
		}
		if back == nil {
			back = map[schema.Key]bool{}
		}
		back[key] = true
	}
	return back
}

// HandsBack reports whether c takes a CronJob from rota's scheduler and gives it
// to the cluster's own.
func HandsBack(c Change) bool {
	return c.Key.IsCronJob() && c.Op == Update && c.Before != nil && c.Object != nil &&
		annotation(c.Before, schema.AnnotationScheduler) == schedule.ByRota &&
		annotation(c.Object.Unstructured, schema.AnnotationScheduler) != schedule.ByRota
}

// draft is an object of which only what Intend changes is copied.
type draft struct {
	root, labels, annotations map[string]any
}

func newDraft(u *unstructured.Unstructured) draft {
	d := draft{root: maps.Clone(u.Object)}
	delete(d.root, "status")
	metadata := d.child("metadata")
	for _, field := range []string{"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"} {
		delete(metadata, field)
	}
	d.labels = childOfMap(metadata, "labels")
	d.annotations = childOfMap(metadata, "annotations")
	for _, name := range []string{
		schema.AnnotationApplied, schema.AnnotationRevision, schema.AnnotationOrigin, schema.AnnotationDigest,
		schema.AnnotationPrepared, schema.AnnotationScheduler, schema.AnnotationSuspended, schema.AnnotationCursor,
	} {
		delete(d.annotations, name)
	}
	return d
}

// child returns a copy of a field of the root that is put in its place.
func (d draft) child(field string) map[string]any { return childOfMap(d.root, field) }

func childOfMap(parent map[string]any, field string) map[string]any {
	old, _ := parent[field].(map[string]any)
	fresh := make(map[string]any, len(old)+4)
	maps.Copy(fresh, old)
	parent[field] = fresh
	return fresh
}

// foldStringData moves stringData into data as the API server does on write:
// the server never stores stringData, so owning it would look like drift.
// What is no text is left for the server to refuse, object by object.
func (d draft) foldStringData() {
	plain, _ := d.root["stringData"].(map[string]any)
	for _, v := range plain {
		if _, ok := v.(string); !ok && v != nil {
			return
		}
	}
	if v := d.root["stringData"]; v != nil && plain == nil {
		return
	}
	delete(d.root, "stringData")
	if len(plain) == 0 {
		return
	}
	data := d.child("data")
	for k, v := range plain {
		value, _ := v.(string)
		data[k] = base64.StdEncoding.EncodeToString([]byte(value))
	}
}
