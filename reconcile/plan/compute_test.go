package plan

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

const settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: batch}\ndata: {a: '1', b: '2'}\n"

// lose takes a field away from rota, and as the server does what is empty then.
func lose(live *unstructured.Unstructured, path ...string) {
	entry := live.Object["metadata"].(map[string]any)["managedFields"].([]any)[0].(map[string]any)
	fields := entry["fieldsV1"].(map[string]any)
	for n := len(path); n > 0; n-- {
		rest, _, _ := unstructured.NestedMap(fields, path[:n]...)
		if n == len(path) || len(rest) == 0 {
			unstructured.RemoveNestedField(fields, path[:n]...)
		}
	}
}

func TestDriftIsDecidedByWhoOwnsWhatWasApplied(t *testing.T) {
	const changed = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: batch}\ndata: {a: '7', b: '2'}\n"
	tests := []struct {
		name    string
		desired string
		live    func(u *unstructured.Unstructured, in *Input)
		options func(o *Options)
		want    string
	}{
		{name: "an object as applied is kept", desired: settings, want: "Keep Unchanged force=false"},
		{name: "a field that was lost is taken back by force", desired: settings,
			live: func(u *unstructured.Unstructured, _ *Input) { lose(u, "f:data", "f:a") },
			want: "Update Drifted force=true"},
		{name: "a field that was lost stays so where drift is only reported", desired: settings,
			live:    func(u *unstructured.Unstructured, _ *Input) { lose(u, "f:data", "f:a") },
			options: func(o *Options) { o.ReportDrift = true },
			want:    "Keep Drifted force=false"},
		{name: "a membership label removed by hand is drift, not adoption", desired: settings,
			live: func(u *unstructured.Unstructured, _ *Input) {
				lose(u, "f:metadata", "f:labels", "f:"+schema.ApplySetPartOf)
				u.SetLabels(nil)
			},
			want: "Update Drifted force=true"},
		{name: "a membership label removed by hand stays so where drift is only reported", desired: settings,
			live: func(u *unstructured.Unstructured, _ *Input) {
				lose(u, "f:metadata", "f:labels", "f:"+schema.ApplySetPartOf)
				u.SetLabels(nil)
			},
			options: func(o *Options) { o.ReportDrift = true },
			want:    "Keep Drifted force=false"},
		{name: "a copy of an object, without label and without rota's entry, is adopted", desired: settings,
			live: func(u *unstructured.Unstructured, _ *Input) { u.SetLabels(nil); u.SetManagedFields(nil) },
			want: "Update Adopted force=false"},
		{name: "an adoption forces only when told", desired: settings,
			live:    func(u *unstructured.Unstructured, _ *Input) { u.SetLabels(nil); u.SetManagedFields(nil) },
			options: func(o *Options) { o.ForceConflicts = true },
			want:    "Update Adopted force=true"},
		{name: "a change in the repository does not force, for the field may be another's from before", desired: changed,
			live: func(u *unstructured.Unstructured, _ *Input) { lose(u, "f:data", "f:a") },
			want: "Update Changed force=false"},
		{name: "a change in the repository forces when told", desired: changed,
			options: func(o *Options) { o.ForceConflicts = true },
			want:    "Update Changed force=true"},
		{name: "a change in the repository is applied where drift is only reported", desired: changed,
			options: func(o *Options) { o.ReportDrift = true },
			want:    "Update Changed force=false"},
		{name: "rota's own mark overwritten by hand is drift, and force comes from what this process saw applied", desired: settings,
			live: func(u *unstructured.Unstructured, in *Input) {
				lose(u, "f:metadata", "f:annotations", "f:"+schema.AnnotationApplied)
				annotate(u, schema.AnnotationApplied, "o1:rubbish")
				in.Applied[in.Desired[0].Key()] = in.Desired[0]
			},
			want: "Update Drifted force=true"},
		{name: "rota's own mark overwritten by hand is not forced over what nobody remembers", desired: settings,
			live: func(u *unstructured.Unstructured, _ *Input) {
				lose(u, "f:metadata", "f:annotations", "f:"+schema.AnnotationApplied)
				annotate(u, schema.AnnotationApplied, "o1:rubbish")
			},
			want: "Update Drifted force=false"},
		{name: "a value that somebody else than the owner sees differently is no drift", desired: settings,
			live: func(u *unstructured.Unstructured, _ *Input) {
				_ = unstructured.SetNestedField(u.Object, "mutated by admission", "data", "a")
			},
			want: "Keep Unchanged force=false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions()
			if tt.options != nil {
				tt.options(&o)
			}
			in := testInput(t, tt.desired, settings, "", o)
			if tt.live != nil {
				tt.live(in.Live[in.Desired[0].Key()], &in)
			}
			c := Compute(in).Changes[0]
			if got := fmt.Sprintf("%s %s force=%v", c.Op, c.Reason, c.Force); got != tt.want {
				t.Errorf("got %s (%s), want %s", got, c.Effect, tt.want)
			}
		})
	}
}

func annotate(u *unstructured.Unstructured, name, value string) {
	annotations := u.GetAnnotations()
	annotations[name] = value
	u.SetAnnotations(annotations)
}

func TestPruneGuardCountsWhatWouldGo(t *testing.T) {
	configMaps := func(prefix string, n int) string {
		var docs []string
		for i := range n {
			docs = append(docs, fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s-%d, namespace: batch}\n", prefix, i))
		}
		return strings.Join(docs, "---\n")
	}
	namespaces := strings.ReplaceAll(configMaps("ns", 6), "ConfigMap", "Namespace")
	tests := []struct {
		name          string
		desired, left string
		percent       int
		deleted       int
		rule          string
	}{
		{"nine objects are below the floor", configMaps("a", 1), configMaps("left", 8), 50, 8, ""},
		{"ten objects are not", configMaps("a", 1), configMaps("left", 9), 50, 0, "R231"},
		{"exactly at the limit goes", configMaps("a", 5), configMaps("left", 5), 50, 5, ""},
		{"one above the limit does not", configMaps("a", 9), configMaps("left", 11), 50, 0, "R231"},
		{"a limit of 100 lets all but the last go", configMaps("a", 1), configMaps("left", 20), 100, 20, ""},
		{"a limit of zero lets nothing go", configMaps("a", 50), configMaps("left", 1), 0, 0, "R231"},
		{"nothing rendered deletes nothing, whatever the limit", "", configMaps("left", 2), 100, 0, "R230"},
		{"what stays in any case does not trip the guard", configMaps("a", 5), namespaces, 50, 0, ""},
		{"nothing left is no problem", configMaps("a", 5), "", 50, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions()
			o.MaxPrunePercent = tt.percent
			p := Compute(testInput(t, tt.desired, tt.desired+"\n---\n"+tt.left, "", o))
			if got := p.Totals().Pruned; got != tt.deleted {
				t.Errorf("%d pruned, want %d\n%s", got, tt.deleted, p)
			}
			rule := ""
			if p.PruneProblem != nil {
				rule = p.PruneProblem.Rule
			}
			if rule != tt.rule {
				t.Errorf("problem %q, want %q", rule, tt.rule)
			}
		})
	}
}

func TestWithoutASetIDNothingIsPruned(t *testing.T) {
	o := testOptions()
	in := testInput(t, settings, "", strings.Replace(settings, "name: settings", "name: somebodys", 1), o)
	in.Options.SetID = ""
	if p := Compute(in); p.Totals().Pruned > 0 {
		t.Errorf("an object without any label is pruned:\n%s", p)
	}
}

func TestWritesIsTrueOnlyForPlansThatChangeTheCluster(t *testing.T) {
	for op, want := range map[Op]bool{Create: true, Update: true, Replace: true, Delete: true, Keep: false, Wait: false, Refuse: false} {
		if got := (Plan{Changes: []Change{{Op: Keep}, {Op: op}}}).Writes(); got != want {
			t.Errorf("%s: %v, want %v", op, got, want)
		}
	}
	for _, op := range []Op{Wait, Refuse} {
		if !(Plan{Changes: []Change{{Op: op, Retire: true}}}).Writes() {
			t.Errorf("%s with Retire writes", op)
		}
	}
}

func TestWavesPutWhatOthersStandOnFirst(t *testing.T) {
	tests := []struct {
		key  schema.Key
		wave int
	}{
		{schema.Key{Kind: "Namespace"}, 0},
		{schema.Key{Kind: "ServiceAccount"}, 1},
		{schema.Key{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}, 2},
		{schema.Key{Kind: "ConfigMap"}, 2},
		{schema.Key{Group: "serving.knative.dev", Kind: "Service"}, 3},
		{schema.Key{Group: "apps", Kind: "Deployment"}, 3},
		{schema.Key{Group: "batch", Kind: "Job"}, 4},
		{schema.Key{Group: "batch", Kind: "CronJob"}, 4},
		{schema.Key{Group: "example.com", Kind: "Job"}, 3},
	}
	for _, tt := range tests {
		if got := Wave(tt.key); got != tt.wave {
			t.Errorf("%s: wave %d, want %d", tt.key, got, tt.wave)
		}
	}
}
