package plan

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The archives of testdata/lost were captured from kube-apiserver 1.37.2:
// desired.yaml was applied, then changed as the comment says (live.yaml), then
// applied again by force (healed.yaml).
func TestLostOnObjectsOfARealServer(t *testing.T) {
	for _, path := range archives(t, "lost", 50) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			options := Options{SetID: "applyset-test-v1", Revision: "main@sha1:abc"}
			want := intended(t, parse(t, section(t, path, "desired.yaml")), options)[0].Unstructured
			live := parse(t, section(t, path, "live.yaml"))[0].Unstructured
			healed := parse(t, section(t, path, "healed.yaml"))[0].Unstructured

			var b strings.Builder
			for _, l := range Lost(want, live) {
				fmt.Fprintf(&b, "%s: %s\n", l.Path, strings.TrimSpace(l.Manager+" "+l.Operation))
			}
			golden(t, path, "lost.txt", b.String())
			if again := Lost(want, healed); len(again) > 0 {
				t.Errorf("after a forced apply still lost, which would be corrected for ever: %+v", again)
			}
		})
	}
}

// These are written by hand: what the real server does not do on demand.
func TestLostInTreesThatAreRare(t *testing.T) {
	apply := func(fields map[string]any) map[string]any { return entry("rota", "Apply", "", fields) }
	empty := map[string]any{}
	tests := []struct {
		name    string
		applied map[string]any
		live    map[string]any
		entries []any
		want    []string
	}{
		{
			name:    "an Update entry of rota's own that holds only the map does not hide that a label was lost",
			applied: map[string]any{"data": map[string]any{"a": "1", "b": "2"}},
			live:    map[string]any{"data": map[string]any{"b": "2"}},
			entries: []any{
				apply(map[string]any{"f:data": map[string]any{"f:b": empty}}),
				entry("rota", "Update", "", map[string]any{"f:data": empty}),
			},
			want: []string{"data.a"},
		},
		{
			name:    "a field that an Update of rota's own took from its Apply is still rota's",
			applied: map[string]any{"spec": map[string]any{"suspend": false}},
			entries: []any{entry("rota", "Update", "", map[string]any{"f:spec": map[string]any{"f:suspend": empty}})},
		},
		{
			name:    "what rota owns through the status subresource is not what it applied",
			applied: map[string]any{"spec": map[string]any{"x": int64(1)}},
			entries: []any{
				apply(map[string]any{"f:kept": empty}),
				entry("rota", "Update", "status", map[string]any{"f:spec": map[string]any{"f:x": empty}}),
			},
			want: []string{"spec.x rota"},
		},
		{
			name:    "a key of a million is the integer of the object",
			applied: map[string]any{"ports": []any{map[string]any{"port": int64(1000000), "x": "y"}}},
			entries: []any{apply(map[string]any{"f:ports": map[string]any{`k:{"port":1000000}`: map[string]any{".": empty, "f:port": empty, "f:x": empty}}})},
		},
		{
			name:    "the text 80 is not the number 80",
			applied: map[string]any{"ports": []any{map[string]any{"port": "80"}}},
			entries: []any{apply(map[string]any{"f:ports": map[string]any{`k:{"port":80}`: map[string]any{".": empty, "f:port": empty}}})},
			want:    []string{"ports[port=80]"},
		},
		{
			name:    "a name that JSON escapes is found all the same",
			applied: map[string]any{"env": []any{map[string]any{"name": "a<b\"c", "value": "1"}}},
			entries: []any{apply(map[string]any{"f:env": map[string]any{`k:{"name":"a<b\"c"}`: map[string]any{".": empty, "f:name": empty, "f:value": empty}}})},
		},
		{
			name:    "an entry that does not parse is as good as none",
			applied: map[string]any{"spec": map[string]any{"x": int64(1)}},
			entries: []any{map[string]any{"manager": "rota", "operation": "Apply", "fieldsV1": "garbage"}, "garbage", nil},
			want:    []string{"spec"},
		},
		{
			name:    "keys that are no JSON do not match and do not panic",
			applied: map[string]any{"env": []any{map[string]any{"name": "a"}, "text", nil, []any{}, map[string]any{"name": []any{"x"}}}},
			entries: []any{apply(map[string]any{"f:env": map[string]any{"k:{": empty, "v:": empty, `v:["x"]`: empty, `k:{"name":["x"]}`: empty, "f:x": empty}})},
			want:    []string{"env[\"text\"]", "env[name=[x]]", "env[name=a]"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			live := map[string]any{"metadata": map[string]any{"managedFields": tt.entries}}
			maps.Copy(live, tt.applied)
			maps.Copy(live, tt.live)
			var got []string
			for _, l := range Lost(&unstructured.Unstructured{Object: tt.applied}, &unstructured.Unstructured{Object: live}) {
				got = append(got, strings.TrimSpace(l.Path+" "+l.Manager))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("lost %q, want %q", got, tt.want)
			}
		})
	}
}

func entry(manager, operation, subresource string, fields map[string]any) map[string]any {
	return map[string]any{"manager": manager, "operation": operation, "subresource": subresource, "fieldsV1": fields}
}
