package schema

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const goodSync = `apiVersion: rota.dev/v1alpha1
kind: Sync
metadata: {name: batch}
spec:
  source:
    git: {url: "https://git.example.com/batch.git", branch: main, path: overlays/prod}
`

func TestSyncHasItsDefaults(t *testing.T) {
	syncs, err := DecodeSyncs("rota.yaml", []byte(goodSync+"---\n"+strings.Replace(goodSync, "batch}", "other}", 1)+"  prune: {enabled: false, maxPercent: 100}\n  interval: 30s\n"))
	if err != nil {
		t.Fatal(err)
	}
	enabled, percent := true, int64(50)
	want := Sync{
		APIVersion: APIVersion, Kind: "Sync", Metadata: Metadata{Name: "batch"}, Origin: Origin{File: "rota.yaml", Line: 1, Column: 1},
		Spec: SyncSpec{
			Source:   SyncSource{Git: &GitSource{URL: "https://git.example.com/batch.git", Branch: "main", Path: "overlays/prod"}},
			Interval: Duration{time.Minute}, Timeout: Duration{5 * time.Minute}, Target: SyncTarget{Namespace: "default"},
			Scheduler: SchedulerEmbedded, Drift: DriftCorrect, Prune: SyncPrune{Enabled: &enabled, MaxPercent: &percent}, Limits: DefaultLimits,
		},
	}
	if diff := cmp.Diff(want, syncs[0]); diff != "" {
		t.Error(diff)
	}
	if s := syncs[1].Spec; s.PruneEnabled() || s.MaxPrunePercent() != 100 || s.Interval.Duration != 30*time.Second {
		t.Errorf("what is written must win over the defaults: %+v", s)
	}
}

func TestFaultsOfASyncAreFoundWhereTheyStand(t *testing.T) {
	for _, test := range []struct {
		name, old, new string
		want           []string
	}{
		{"an unknown field", "path: ov", "pat: ov", []string{`rota.yaml:6:67: spec.source.git: unknown field "pat" (did you mean "path"?) [R019]`}},
		{"no name", "{name: batch}", "{}", []string{"rota.yaml:3:11: metadata.name: the Sync has no name [R020]"}},
		{"a name with capitals", "batch}", "Batch}", []string{`rota.yaml:3:18: metadata.name: "Batch" is no name for a Sync [R020]`}},
		{"two references", "branch: main", "branch: main, tag: v1", []string{"rota.yaml:6:72: spec.source.git.tag: branch and tag exclude each other [R020]"}},
		{"a short hash", "branch: main", "commit: 3f2c1ab", []string{`rota.yaml:6:61: spec.source.git.commit: "3f2c1ab" is no full hash [R020]`}},
		{"a reference that looks like a flag", "branch: main", "branch: --upload-pack=x", []string{`rota.yaml:6:61: spec.source.git.branch: "--upload-pack=x" is no name of a branch [R020]`}},
		{"a path that leaves the root", "overlays/prod", "../x", []string{`rota.yaml:6:73: spec.source.git.path: "../x" is no path inside the root [R020]`}},
		{"no source", "git: {", "gti: {", []string{`rota.yaml:6:5: spec.source: unknown field "gti" (did you mean "git"?) [R019]`}},
		{"no source at all", "git: {", "{}\n  target: {namespace: a} #", []string{"rota.yaml:6:5: spec.source: wants git or directory, and has none [R020]"}},
		{"another kind", "kind: Sync", "kind: Job", []string{`rota.yaml:2:7: kind: wants Sync, not "Job" [R021]`}},
		{"many faults at once", "  source:", "  interval: 5\n  drift: correct\n  scheduler: x\n  prune: {maxPercent: 101}\n  target: {namespace: A, kinds: [job], namespaces: [b, C], serviceAccount: a/}\n  source:", []string{
			`rota.yaml:5:13: spec.interval: "5" is no duration; write it as 90s, 5m or 1h30m [R020]`,
			`rota.yaml:9:23: spec.target.namespace: "A" is no name of a namespace [R020]`,
			`rota.yaml:9:56: spec.target.namespaces[1]: "C" is no name of a namespace [R020]`,
			`rota.yaml:9:34: spec.target.kinds[0]: "job" is no kind [R020]`,
			`rota.yaml:9:76: spec.target.serviceAccount: "a/" is no service account [R020]`,
			`rota.yaml:7:14: spec.scheduler: "x" is none of Embedded, Cluster [R020]`,
			`rota.yaml:6:10: spec.drift: "correct" is none of Correct, Report (did you mean "Correct"?) [R020]`,
			"rota.yaml:8:23: spec.prune.maxPercent: 101 is no percentage [R020]",
		}},
		{"a wrong type", "branch: main", "branch: [main]", []string{"rota.yaml:6:61: spec.source.git.branch: wants a text, not a list [R019]"}},
		{"a branch that YAML reads as a number", "branch: main", "branch: 1.10", []string{"rota.yaml:6:61: spec.source.git.branch: wants a text, not 1.10 [R019]"}},
		{"a field without a value", "branch: main", "branch: ", []string{"rota.yaml:6:61: spec.source.git.branch: the field has no value [R020]"}},
		{"an empty text", "branch: main", `branch: ""`, []string{"rota.yaml:6:61: spec.source.git.branch: the text is empty [R020]"}},
		{"a source without a value says nothing else", "git: {", "git: #", []string{"rota.yaml:6:9: spec.source.git: the field has no value [R020]"}},
		{"a short interval", "  source:", "  interval: 10ms\n  source:", []string{"rota.yaml:5:13: spec.interval: 10ms is too short [R020]"}},
		{"limits", "  source:", "  limits: {fileBytes: 0, totalBytes: 16MB, files: 0, nesting: 20000, objekts: 1, rendererMemory: 1Mi, templateTime: 1ms}\n  source:", []string{
			`rota.yaml:5:38: spec.limits.totalBytes: "16MB" is no size; write it as 65536, 64Ki or 16Mi [R020]`,
			`rota.yaml:5:70: spec.limits: unknown field "objekts" (did you mean "objects"?) [R019]`,
			"rota.yaml:5:23: spec.limits.fileBytes: 0 is too little [R020]",
			"rota.yaml:5:98: spec.limits.rendererMemory: 1Mi is too little [R020]",
			"rota.yaml:5:51: spec.limits.files: 0 is too little [R020]",
			"rota.yaml:5:63: spec.limits.nesting: 20000 is deeper than can be read [R020]",
			"rota.yaml:5:117: spec.limits.templateTime: 1ms is too short [R020]",
		}},
		{"credentials by halves", "branch: main", "credentials: {usernameFile: u}", []string{"rota.yaml:6:66: spec.source.git.credentials: usernameFile and passwordFile go together [R020]"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := strings.Replace(goodSync, test.old, test.new, 1)
			_, err := DecodeSyncs("rota.yaml", []byte(text))
			var got []string
			for _, p := range Problems(err) {
				line, _, _ := strings.Cut(p.Error(), "\n")
				got = append(got, line)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := DecodeSyncs("rota.yaml", []byte(goodSync+"---\n"+goodSync)); err == nil || !strings.Contains(err.Error(), "another Sync is named batch") {
		t.Errorf("two Syncs of one name: %v", err)
	}
	if _, err := DecodeSyncs("rota.yaml", []byte("# nothing\n")); err == nil {
		t.Error("an empty file must be an error")
	}
}

func TestLimitsAreReadAsKubernetesWritesThem(t *testing.T) {
	syncs, err := DecodeSyncs("rota.yaml", []byte(goodSync+"  limits: {fileBytes: 65536, totalBytes: 1Gi, renderedBytes: 0.5Gi, templateBytes: 3M, rendererMemory: 64Mi, files: 7, overlayTime: 90s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultLimits
	want.FileBytes, want.TotalBytes, want.RenderedBytes, want.TemplateBytes, want.RendererMemory = 65536, 1<<30, 1<<29, 3_000_000, 64<<20
	want.Files, want.OverlayTime.Duration = 7, 90*time.Second
	if diff := cmp.Diff(want, syncs[0].Spec.Limits); diff != "" {
		t.Error(diff)
	}
	for text, size := range map[string]Bytes{"65536": 64 << 10, "64Ki": 64 << 10, "1k": 1000, "1.5Mi": 3 << 19} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != size {
			t.Errorf("%s is %d: %v", text, b, err)
		}
	}
	for _, text := range []string{"", "-1", "1e6", "1 Mi", "1m", "1KB", "0x10", "99999999999999Gi"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %d", text, b)
		}
	}
}

func TestALimitIsSetOnTheCommandLine(t *testing.T) {
	var l SyncLimits
	for text, want := range map[string]string{
		"objects=100000": "", "spec.limits.fileBytes=8Mi": "", "templateTime=1s": "",
		"objects": `"objects" is no limit`, "objekts=1": `unknown field "objekts" (did you mean "objects"?)`, "objects=many": "wants an integer, not many",
		"items=0": "0 is too little", "fileBytes=8MB": "is no size", "rendererMemory=1Mi": "Use at least 64Mi", "items=[1]": "wants an integer",
	} {
		if err := l.Set(text); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if l.Objects != 100000 || l.FileBytes != 8<<20 || l.TemplateTime.Duration != time.Second {
		t.Errorf("got %+v", l)
	}
}

func TestNearestFindsTypingErrorsOnly(t *testing.T) {
	known := []string{"template", "inline", "parameters"}
	for name, want := range map[string]string{"templat": "template", "tepmlate": "template", "Template": "template", "parameter": "parameters", "xyz": "", "": ""} {
		if got := Nearest(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
