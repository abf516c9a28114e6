package plan

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// benchInput is n unchanged objects with the managedFields, defaults and
// status that a real server gave one of their kind.
func benchInput(b *testing.B, n int) ([]schema.Object, Input) {
	b.Helper()
	o := Options{SetID: "applyset-test-v1", Revision: "main@sha1:abc", Prune: true, MaxPrunePercent: 50, EmbeddedScheduler: false}
	var objects []schema.Object
	in := Input{Live: map[schema.Key]*unstructured.Unstructured{}, Applied: map[schema.Key]Intended{}, Ledger: Ledger{Jobs: map[schema.Key]Run{}}, Options: o, Now: testNow}
	files := []string{"job-as-applied", "cronjob-env-moved", "deployment-as-applied", "service-as-applied"}
	for i := range n {
		path := "testdata/lost/" + files[i%len(files)] + ".txtar"
		if i >= len(files) {
			objects = append(objects, objects[i%len(files)].DeepCopy())
		} else {
			objects = append(objects, parse(b, section(b, path, "desired.yaml"))[0])
		}
	}
	for i, o := range objects {
		o.SetName(fmt.Sprintf("%s-%d", o.GetName(), i))
	}
	lives := make([]*unstructured.Unstructured, len(files))
	for i, name := range files {
		lives[i] = parse(b, section(b, "testdata/lost/"+name+".txtar", "live.yaml"))[0].Unstructured
	}
	desired := intended(b, objects, o)
	for i, d := range desired {
		live := lives[i%len(files)].DeepCopy()
		live.SetName(d.GetName())
		annotate(live, schema.AnnotationApplied, d.Digest)
		if d.RunDigest != "" {
			annotate(live, schema.AnnotationDigest, d.RunDigest)
		}
		in.Live[d.Key()] = live
	}
	in.Desired = desired
	for _, c := range Compute(in).Changes {
		if c.Op != Keep || c.Reason != ReasonUnchanged {
			b.Fatalf("%s is not unchanged: %s", c.Key, c.Effect)
		}
	}
	return objects, in
}

func BenchmarkSyncOfUnchangedObjects(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		objects, in := benchInput(b, n)
		b.Run(fmt.Sprintf("Intend/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Intend(objects, in.Options); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("Compute/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if Compute(in).Writes() {
					b.Fatal("something changed")
				}
			}
		})
	}
}
