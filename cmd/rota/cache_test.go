package main

import (
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"testing/fstest"
	"time"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/render"
	"rota.dev/rota/render/child"
	"rota.dev/rota/schema"
)

// TestNothingChangesARenderedObject takes objects through everything between
// the render and the cluster: with a cache they are shared by later renders.
func TestNothingChangesARenderedObject(t *testing.T) {
	tree := render.Tree{Path: ".", FS: fstest.MapFS{
		"job.yaml": {Data: []byte("apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}\n")},
		"cron.yaml": {Data: []byte("apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: c, annotations: {rota.dev/while-active: Wait}}\n" +
			"spec: {schedule: '@hourly', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}\n")},
		"secret.yaml": {Data: []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: s, labels: {a: b}}\nstringData: {a: b}\ndata: {c: ZA==}\n")},
	}}
	engine := child.New(child.Options{})
	defer engine.Close()
	renders := renderer{engine: engine, cache: render.NewCache(0)}
	objects, _, err := renders.tree(t.Context(), tree)
	if err != nil || len(objects) != 3 {
		t.Fatal(len(objects), err)
	}
	before := asText(t, objects)
	for _, write := range schema.ObjectWriters {
		if err := write(io.Discard, objects, schema.OriginsFields); err != nil {
			t.Fatal(err)
		}
	}
	for _, embedded := range []bool{true, false} {
		options := plan.Options{Sync: "default", SetID: "id", Revision: "r", EmbeddedScheduler: embedded, Prune: true}
		intended, err := plan.Intend(objects, options)
		if err != nil {
			t.Fatal(err)
		}
		plan.Compute(plan.Input{Desired: intended, Options: options, Now: time.Unix(0, 0)})
	}
	if after := asText(t, objects); after != before {
		t.Errorf("objects were changed:\n%s\n%s", before, after)
	}
	again, _, err := renders.tree(t.Context(), tree)
	if err != nil || asText(t, again) != before {
		t.Errorf("they come out of the cache changed: %v", err)
	}
	for i := range again {
		if again[i].Unstructured != objects[i].Unstructured {
			t.Errorf("%s was rendered again", again[i].Key())
		}
	}
}

func asText(t *testing.T, objects []schema.Object) string {
	t.Helper()
	text := ""
	for _, o := range objects {
		data, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%s %+v\n", data, o.Origin)
	}
	return text
}
