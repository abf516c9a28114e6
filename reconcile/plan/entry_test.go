package plan

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// item is a Job of an Expansion.
func item(name, image, variable string) schema.Object {
	return schema.Object{
		Unstructured: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": name, "namespace": "batch"},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
				map[string]any{"name": "c", "image": image, "env": []any{map[string]any{"name": "X", "value": variable}}}}}}},
		}},
		Origin: schema.Origin{File: "items.yaml", Template: "items.yaml", Item: 1},
	}
}

func TestAnExpansionIsOneEntryWithCounts(t *testing.T) {
	many := func(prefix string, n int, image, variable string) []schema.Object {
		var all []schema.Object
		for i := range n {
			all = append(all, item(fmt.Sprintf("%s-%d", prefix, i), image, variable))
		}
		return all
	}
	tests := []struct {
		name          string
		before, after []schema.Object
		want          string
	}{
		{"nothing changed", many("a", 3, "1", ""), many("a", 3, "1", ""), ""},
		{"one group says everything", nil, many("a", 3, "1", ""), ""},
		{"all of them", append(append(many("gone", 3, "1", ""), many("same", 40, "1", "")...), many("new-image", 5, "1", "")...),
			append(append(many("come", 12, "1", ""), many("same", 40, "1", "")...), many("new-image", 5, "2", "")...), "+12 −3, 40 unchanged, 5 differ in image"},
		{"different fields", append(many("a", 2, "1", ""), many("b", 1, "1", "")...), append(many("a", 2, "2", "v"), many("b", 1, "1", "v")...), ""},
		{"different fields beside what is the same", append(append(many("a", 2, "1", ""), many("b", 1, "1", "")...), many("c", 1, "", "")...),
			append(append(many("a", 2, "2", "v"), many("b", 1, "1", "v")...), many("c", 1, "", "")...), "1 unchanged, 2 differ in env, image, 1 differs in env"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions()
			o.MaxPrunePercent = 100
			p, err := Between(Sides{Before: tt.before, After: tt.after}, o, testNow)
			if err != nil {
				t.Fatal(err)
			}
			entries := p.Entries()
			if len(entries) > 1 {
				t.Fatalf("%d entries:\n%s", len(entries), p)
			}
			got := ""
			for _, e := range entries {
				got = e.Summary()
			}
			if got != tt.want {
				t.Errorf("got  %q\nwant %q\n%s", got, tt.want, p)
			}
		})
	}
}

func TestThePlansTextHasNothingThatATerminalActsOn(t *testing.T) {
	o := testOptions()
	before, after := item("a", "1", ""), item("a", "\x1b]0;owned\x07\u202e2", "")
	p, err := Between(Sides{Before: []schema.Object{before}, After: []schema.Object{after}}, o, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if text := p.String(); strings.ContainsAny(text, "\x1b\x07\u202e") || !strings.Contains(text, "]0;owned") {
		t.Errorf("%q", text)
	}
}
