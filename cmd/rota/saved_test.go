package main

import (
	"testing"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

func TestASavedPlanIsOfOneCluster(t *testing.T) {
	tests := []struct {
		name      string
		then, now plan.SavedCluster
		want      string
	}{
		{"the same", plan.SavedCluster{Server: "https://a", UID: "1"}, plan.SavedCluster{Server: "https://a", UID: "1"}, ""},
		{"the same by another address", plan.SavedCluster{Server: "https://a", UID: "1"}, plan.SavedCluster{Server: "https://10.0.0.1", UID: "1"}, ""},
		{"another at the same address, as behind a tunnel", plan.SavedCluster{Server: "https://a", UID: "1"}, plan.SavedCluster{Server: "https://a", UID: "2"},
			"the plan is of the cluster https://a (uid 1), and this is https://a (uid 2)"},
		{"an account that may not ask, at the same address", plan.SavedCluster{Server: "https://a", UID: "1"}, plan.SavedCluster{Server: "https://a"}, ""},
		{"an account that may not ask, at another", plan.SavedCluster{Server: "https://a"}, plan.SavedCluster{Server: "https://b", UID: "1"},
			"the plan is of the cluster https://a, and this is https://b"},
	}
	for _, tt := range tests {
		err := sameCluster(tt.then, tt.now)
		if tt.want == "" && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if p := schema.Problems(err); tt.want != "" && (len(p) != 1 || p[0].Rule != "R252" || p[0].Message != tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
