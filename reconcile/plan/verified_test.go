package plan

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// An object that nobody owns a field of is drift through and through, unless
// this very state of it was verified.
func TestOnlyTheVeryStateThatWasVerifiedIsNotLookedThroughAgain(t *testing.T) {
	desired := schema.Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a", "namespace": "default"}, "data": map[string]any{"k": "v"},
	}}}
	options := Options{SetID: "set", Revision: "r"}
	intended, err := Intend([]schema.Object{desired}, options)
	if err != nil {
		t.Fatal(err)
	}
	in := intended[0]
	live := in.Object.Unstructured.DeepCopy()
	live.SetResourceVersion("7")
	tests := map[string]struct {
		verified Verified
		want     Op
	}{
		"that very state":           {Verified{"7", in.Digest}, Keep},
		"an older state":            {Verified{"6", in.Digest}, Update},
		"wanted otherwise then":     {Verified{"7", "o1:other"}, Update},
		"nothing was verified":      {Verified{}, Update},
		"only the digest was known": {Verified{Digest: in.Digest}, Update},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := Compute(Input{
				Desired: intended, Live: map[schema.Key]*unstructured.Unstructured{in.Key(): live},
				Verified: map[schema.Key]Verified{in.Key(): tc.verified}, Options: options,
			})
			if got := p.Changes[0].Op; got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}
