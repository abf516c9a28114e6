package plan

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// scenario reads an archive of testdata/plan:
//
//	desired.yaml  what the repository has
//	applied.yaml  what rota applied earlier, with the status of today
//	live.yaml     what others made
//	changed.yaml  merged over the live object of the same key by its manager
//	ledger.json   a list of {job, digest: same|other, outcome, revision}
//	options.json  Options, and "seen": keys that this process saw applied
func scenario(t *testing.T, path string) Input {
	t.Helper()
	var extra struct {
		Options
		Seen       []string
		Unreadable string
		Refused    map[string]string
	}
	extra.Options = testOptions()
	if text := section(t, path, "options.json"); text != "" {
		if err := json.Unmarshal([]byte(text), &extra); err != nil {
			t.Fatal(err)
		}
	}
	in := testInput(t, section(t, path, "desired.yaml"), section(t, path, "applied.yaml"), section(t, path, "live.yaml"), extra.Options)
	for _, in2 := range in.Desired {
		for _, name := range extra.Seen {
			if in2.Key().String() == name {
				in.Applied[in2.Key()] = in2
			}
		}
		if message := extra.Refused[in2.Key().String()]; message != "" {
			in.Refused[in2.Key()] = problemFor(in2.Key(), in2.Origin, "R299", message, "Mend it.")
		}
	}
	var runs []struct {
		Job, Digest, Revision string
		Outcome               RunOutcome
	}
	if text := section(t, path, "ledger.json"); text != "" {
		if err := json.Unmarshal([]byte(text), &runs); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range runs {
		namespace, name, _ := strings.Cut(r.Job, "/")
		key := schema.Key{Group: "batch", Kind: "Job", Namespace: namespace, Name: name}
		run := Run{Digest: "d1:other", Outcome: r.Outcome, Revision: r.Revision, UID: "old"}
		for _, d := range in.Desired {
			if d.Key() == key && r.Digest == "same" {
				run.Digest = d.RunDigest
			}
		}
		in.Ledger.Jobs[key] = run
	}
	if extra.Unreadable != "" {
		in.Ledger.Unreadable = &schema.Problem{Rule: "R240", Severity: schema.SeverityError, Message: extra.Unreadable, Mend: "Run rota ledger rebuild."}
	}
	return in
}

// testInput makes an Input of YAML texts. Objects of applied are what rota
// applied one revision earlier; objects of live are others' work.
func testInput(t testing.TB, desired, before, live string, o Options) Input {
	t.Helper()
	in := Input{Live: map[schema.Key]*unstructured.Unstructured{}, Refused: map[schema.Key]*schema.Problem{}, Applied: map[schema.Key]Intended{},
		Ledger: Ledger{Jobs: map[schema.Key]Run{}}, Options: o, Now: testNow}
	in.Desired = intended(t, parse(t, desired), o)
	earlier := o
	earlier.Revision = "main@sha1:1111111111111111"
	old := parse(t, before)
	for i, one := range intended(t, old, earlier) {
		u := applied(one, old[i].Object["status"])
		metadata := old[i].Object["metadata"].(map[string]any)
		for _, field := range []string{"deletionTimestamp", "ownerReferences"} {
			if v, ok := metadata[field]; ok {
				u.Object["metadata"].(map[string]any)[field] = v
			}
		}
		// Marks that Intend leaves out of what comes from a repository.
		if v, ok := old[i].GetAnnotations()[schema.AnnotationPrepared]; ok {
			annotations := u.GetAnnotations()
			annotations[schema.AnnotationPrepared] = v
			u.SetAnnotations(annotations)
		}
		in.Live[one.Key()] = u
	}
	for _, o := range parse(t, live) {
		in.Live[o.Key()] = o.Unstructured
	}
	return in
}

func TestPlansReadAsAReviewerExpects(t *testing.T) {
	for _, path := range archives(t, "plan", 10) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			in := scenario(t, path)
			p := Compute(in)
			var b strings.Builder
			for _, c := range p.Changes {
				flags := ""
				if c.Prepare && c.Op != Keep {
					flags += " prepare"
				}
				if c.Force {
					flags += " force"
				}
				if c.Retire {
					flags += " retire"
				}
				fmt.Fprintf(&b, "%s %s%s %s: %s\n", c.Op, c.Reason, flags, c.Key, c.Effect)
			}
			golden(t, path, "plan.txt", b.String())
			golden(t, path, "text.txt", p.String())
		})
	}
}
