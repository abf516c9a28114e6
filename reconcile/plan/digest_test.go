package plan

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

const plainJob = `
apiVersion: batch/v1
kind: Job
metadata: {name: hello, namespace: batch}
spec:
  completions: 8
  parallelism: 2
  template:
    metadata: {labels: {app: x}}
    spec:
      containers: [{name: main, image: "busybox:1.36", env: [{name: A, value: "1"}]}]
      restartPolicy: Never
`

// An upgrade of rota must not run every Job again: if this test fails, the
// digest needs a new version beside d1, not a new value here.
func TestTheRunDigestOfAKnownJobIsForEver(t *testing.T) {
	const want = "d1:5b14af6ce528810c2482921e4658197c6a7e243eddf3effff0aa6b59220444f5"
	got, err := RunDigest(parse(t, plainJob)[0].Unstructured)
	if err != nil || got != want {
		t.Errorf("digest %s (%v), want %s", got, err, want)
	}
}

func TestRunDigestChangesWithTheRunOnly(t *testing.T) {
	tests := []struct {
		name, old, new string
		same           bool
	}{
		{"another image", "busybox:1.36", "busybox:1.37", false},
		{"another value of a variable", `value: "1"`, `value: "2"`, false},
		{"another number of completions", "completions: 8", "completions: 9", false},
		{"no completions", "completions: 8", "backoffLimit: 1", false},
		{"a completion mode", "parallelism: 2", "completionMode: Indexed", false},
		{"a label of the pods", "{app: x}", "{app: y}", false},
		{"another parallelism", "parallelism: 2", "parallelism: 3", true},
		{"a ttl", "parallelism: 2", "ttlSecondsAfterFinished: 3", true},
		{"suspended", "parallelism: 2", "suspend: true", true},
		{"a label of the Job", "{name: hello, namespace: batch}", "{name: hello, namespace: batch, labels: {a: b}}", true},
		{"a key of rota's own on the pods", "{app: x}", "{app: x, rota.dev/y: z}", true},
		{"annotations of rota's own on the pods", "{labels: {app: x}}", "{labels: {app: x}, annotations: {rota.dev/y: z}}", true},
		{"empty annotations on the pods", "{labels: {app: x}}", "{labels: {app: x}, annotations: {}}", true},
		{"a creationTimestamp as kubectl writes it", "{labels: {app: x}}", "{labels: {app: x}, creationTimestamp: null}", true},
		{"a null field", "restartPolicy: Never", "restartPolicy: Never\n      dnsPolicy: null", true},
	}
	before, err := RunDigest(parse(t, plainJob)[0].Unstructured)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(plainJob, tt.old, tt.new, 1)
			if text == plainJob {
				t.Fatal("the test changes nothing")
			}
			after, err := RunDigest(parse(t, text)[0].Unstructured)
			if err != nil {
				t.Fatal(err)
			}
			if (before == after) != tt.same {
				t.Errorf("same digest: %v, want %v", before == after, tt.same)
			}
		})
	}
}

func TestMetadataOfRotaOnlyIsNoMetadata(t *testing.T) {
	without := strings.Replace(plainJob, "    metadata: {labels: {app: x}}\n", "", 1)
	with := strings.Replace(plainJob, "{labels: {app: x}}", "{annotations: {rota.dev/y: z}, creationTimestamp: null}", 1)
	a, _ := RunDigest(parse(t, without)[0].Unstructured)
	b, _ := RunDigest(parse(t, with)[0].Unstructured)
	if a != b {
		t.Error("the digests differ")
	}
}

func TestCanonicalTextTellsValuesApart(t *testing.T) {
	values := []string{`null`, `true`, `false`, `"true"`, `1`, `"1"`, `1.5`, `[]`, `{}`, `[[]]`, `[{}]`, `["a","b"]`, `["ab"]`, `["a:b"]`,
		`["s1:a"]`, `{"a":"b"}`, `{"a":{"b":null}}`, `{"a":{},"b":null}`, `{"ab":""}`, `{"a":"","b":""}`, `""`, `[null]`, `[1,2]`, `[12]`, `-1`, `1e300`}
	seen := map[string]string{}
	for _, text := range values {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		digest, err := new(canonical).digest("x:", v, false)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[digest]; ok {
			t.Errorf("%s and %s have the same text", text, other)
		}
		seen[digest] = text
	}
	a, _ := new(canonical).digest("", map[string]any{"x": int64(3)}, false)
	b, _ := new(canonical).digest("", map[string]any{"x": float64(3)}, false)
	if a != b {
		t.Error("3 and 3.0 are one number, but have two digests")
	}
	if _, err := new(canonical).digest("", map[string]any{"x": []any{struct{}{}}}, false); err == nil || !strings.Contains(err.Error(), "x: ") {
		t.Errorf("a value of no JSON type gives %v", err)
	}
}

func TestIntendLeavesOutWhatAnExportBringsBack(t *testing.T) {
	clean := parse(t, plainJob)[0]
	dirty := parse(t, plainJob)[0]
	metadata := dirty.Object["metadata"].(map[string]any)
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "selfLink"} {
		metadata[field] = "x"
	}
	metadata["generation"] = int64(3)
	metadata["managedFields"] = []any{map[string]any{"manager": "rota"}}
	metadata["annotations"] = map[string]any{
		schema.AnnotationApplied: "o1:x", schema.AnnotationPrepared: "false", schema.AnnotationCursor: "2026-01-01T00:00:00Z Ran",
		schema.AnnotationRevision: "old", schema.AnnotationOrigin: "old", schema.AnnotationDigest: "d1:x", schema.AnnotationScheduler: "rota", schema.AnnotationSuspended: "true",
	}
	dirty.Object["status"] = map[string]any{"succeeded": int64(1)}
	a, b := intended(t, []schema.Object{clean}, testOptions())[0], intended(t, []schema.Object{dirty}, testOptions())[0]
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("the exported object is applied otherwise:\n%s", diff)
	}
}

func TestIntendDoesNotChangeWhatItIsGiven(t *testing.T) {
	objects := parse(t, plainJob+"---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c, labels: {a: b}, annotations: {a: b}}\nspec: {suspend: false}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: eA==}\nstringData: {a: 'y', b: z}\n")
	var before []*unstructured.Unstructured
	for _, o := range objects {
		before = append(before, o.DeepCopy().Unstructured)
	}
	in := intended(t, objects, testOptions())
	for i, o := range objects {
		if diff := cmp.Diff(before[i].Object, o.Object); diff != "" {
			t.Errorf("%s was changed:\n%s", o.Key(), diff)
		}
	}
	if suspend, _, _ := unstructured.NestedBool(in[1].Object.Object, "spec", "suspend"); !suspend {
		t.Error("a CronJob that rota schedules is not suspended")
	}
	if got := in[1].GetAnnotations()[schema.AnnotationSuspended]; got != "false" {
		t.Errorf("suspended is %q, git says false", got)
	}
	want := map[string]any{"a": "eQ==", "b": "eg=="}
	if diff := cmp.Diff(want, in[2].Object.Object["data"]); diff != "" || in[2].Object.Object["stringData"] != nil {
		t.Errorf("stringData is not folded:\n%s", diff)
	}
}

func TestStringDataThatIsNoTextIsLeftForTheServerToRefuse(t *testing.T) {
	for _, text := range []string{"stringData: {a: 1, b: x}", "stringData: [a]"} {
		objects := parse(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"+text+"\n")
		in := intended(t, objects, testOptions())[0]
		if diff := cmp.Diff(objects[0].Object["stringData"], in.Object.Object["stringData"]); diff != "" || in.Object.Object["data"] != nil {
			t.Errorf("%s was folded:\n%s", text, diff)
		}
	}
}

func TestTheObjectDigestIsTheSameForEveryRevision(t *testing.T) {
	a, b := testOptions(), testOptions()
	b.Revision = "main@sha1:other"
	moved := parse(t, "\n\n"+plainJob)
	moved[0].Origin.Line = 77
	if intended(t, parse(t, plainJob), a)[0].Digest != intended(t, moved, b)[0].Digest {
		t.Error("a commit that does not touch the object would write it")
	}
	b.SetID = "applyset-other"
	if intended(t, parse(t, plainJob), a)[0].Digest == intended(t, parse(t, plainJob), b)[0].Digest {
		t.Error("an object of another set has the same digest")
	}
}
