package review

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones of the golden files
	"unicode/utf8"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// objects reads YAML documents; a comment `# from: FILE (TEMPLATE)` before one
// says that an Expansion made it.
func objects(t testing.TB, text string) []schema.Object {
	t.Helper()
	var all []schema.Object
	line := 1
	for _, doc := range strings.Split(text, "---\n") {
		origin := schema.Origin{File: "batch.yaml", Line: line, Column: 1}
		line += strings.Count(doc, "\n") + 1
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			t.Fatal(err)
		}
		if len(u.Object) == 0 {
			continue
		}
		if from, ok := strings.CutPrefix(doc, "# from: "); ok {
			from, _, _ = strings.Cut(from, "\n")
			file, template, _ := strings.Cut(from, " ")
			origin.File, origin.Template, origin.Item = file, strings.Trim(template, "()"), 1
		}
		all = append(all, schema.Object{Unstructured: u, Origin: origin})
	}
	return all
}

// between is the review of two revisions.
func between(t testing.TB, before, after []schema.Object, change ...func(*Input)) Review {
	t.Helper()
	in := Input{Sync: "batch", Against: "main@sha1:1111111111111111", Namespace: "default", Diffs: map[schema.Key]string{}, Again: "rota plan --against=main", Now: testNow}
	options := plan.Options{Sync: "batch", Revision: "sha256:2222222222222222", EmbeddedScheduler: true, Prune: true, MaxPrunePercent: 100}
	var err error
	in.Plan, err = plan.Between(plan.Sides{Before: before, After: after, BeforeRevision: in.Against}, options, testNow)
	if err != nil {
		t.Fatal(err)
	}
	was := map[schema.Key]*unstructured.Unstructured{}
	for _, o := range before {
		was[o.Key()] = o.Unstructured
	}
	for _, o := range after {
		in.Diffs[o.Key()] = plan.Diff(was[o.Key()], o.Unstructured)
		delete(was, o.Key())
	}
	for key, u := range was {
		in.Diffs[key] = plan.Diff(u, nil)
	}
	for _, f := range change {
		f(&in)
	}
	r, err := New(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func outputOf(t testing.TB, output string, r Review) string {
	t.Helper()
	var b strings.Builder
	if err := Writers[output](&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The archives have before.yaml and after.yaml, and every output of the review.
func TestReviewsReadAsAReviewerExpects(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) < 4 {
		t.Fatalf("found %d archives (%v)", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sections := map[string]string{}
			for _, f := range archive.Files {
				sections[f.Name] = string(f.Data)
			}
			r := between(t, objects(t, sections["before.yaml"]), objects(t, sections["after.yaml"]))
			for _, name := range []string{"text", "markdown", "github", "json"} {
				got := outputOf(t, name, r)
				if again := outputOf(t, name, r); again != got {
					t.Errorf("%s differs when it is written again", name)
				}
				holdFile(t, path, archive, name, got)
			}
			if text := timesText(r.Times); text != "" {
				for line := range strings.Lines(text) {
					if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > textColumns {
						t.Errorf("%d columns: %s", n, line)
					}
				}
			}
			holdToSchema(t, outputOf(t, "json", r))
		})
	}
}

func holdFile(t *testing.T, path string, archive *txtar.Archive, name, got string) {
	t.Helper()
	for i, f := range archive.Files {
		if f.Name != name {
			continue
		}
		if string(f.Data) != got && !*update {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, f.Data)
		}
		archive.Files[i].Data = []byte(got)
		save(t, path, archive)
		return
	}
	if !*update {
		t.Fatalf("%s has no %s; run with -update", path, name)
	}
	archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got)})
	save(t, path, archive)
}

func save(t *testing.T, path string, archive *txtar.Archive) {
	t.Helper()
	if !*update {
		return
	}
	if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// job is a Job of an Expansion.
func job(name, image string) schema.Object {
	return schema.Object{
		Unstructured: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": name, "namespace": "batch"},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "c", "image": image}}}}},
		}},
		Origin: schema.Origin{File: "items.yaml", Line: 3, Template: "job.yaml", Item: 1},
	}
}

func cronJob(name, cron, zone string) schema.Object {
	spec := map[string]any{"schedule": cron, "jobTemplate": map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{}}}}}
	if zone != "" {
		spec["timeZone"] = zone
	}
	return schema.Object{
		Unstructured: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "batch/v1", "kind": "CronJob", "metadata": map[string]any{"name": name, "namespace": "batch"}, "spec": spec}},
		Origin: schema.Origin{File: "cron.yaml", Line: 1},
	}
}

func TestThePauseByHandStaysAfterAnApply(t *testing.T) {
	before, after := cronJob("nightly", "0 2 * * *", ""), cronJob("nightly", "0 3 * * *", "")
	r := between(t, []schema.Object{before}, []schema.Object{after}, func(in *Input) {
		live := in.Plan.Changes[0].Before.DeepCopy()
		annotations := live.GetAnnotations()
		annotations[schema.AnnotationPause] = `reason="migration"`
		live.SetAnnotations(annotations)
		in.Plan.Changes[0].Before = live
	})
	c := r.Times.Changes[0]
	if c.Before.Silent == "" || c.After.Silent != c.Before.Silent || !c.First.IsZero() {
		t.Errorf("before %q, after %q, first run %v", c.Before.Silent, c.After.Silent, c.First)
	}
}

func TestAScheduleOfTheClustersOwnControllerIsComparedToo(t *testing.T) {
	before, after := cronJob("nightly", "0 2 * * *", ""), cronJob("nightly", "0 3 * * *", "")
	for _, o := range []schema.Object{before, after} {
		o.SetAnnotations(map[string]string{schema.AnnotationScheduler: "Cluster"})
	}
	r := between(t, []schema.Object{before}, []schema.Object{after})
	if len(r.Times.Changes) != 1 || r.Times.Changes[0].Before.Silent != "" || len(r.Times.Changes[0].After.Next) != 5 {
		t.Errorf("%+v", r.Times)
	}
}

func TestASuspendedScheduleHasNoTimesAndOneThatIsRefusedKeepsItsOwn(t *testing.T) {
	before, after := cronJob("nightly", "0 2 * * *", ""), cronJob("nightly", "0 2 * * *", "")
	after.Object["spec"].(map[string]any)["suspend"] = true
	r := between(t, []schema.Object{before}, []schema.Object{after})
	if len(r.Times.Changes) != 1 || r.Times.Changes[0].After.Silent == "" {
		t.Errorf("suspended: %+v", r.Times)
	}
	r = between(t, []schema.Object{before}, []schema.Object{after}, func(in *Input) {
		in.Plan.Changes[0].Op, in.Plan.Changes[0].Problem = plan.Refuse, &schema.Problem{Rule: "R208", Message: "no"}
	})
	if len(r.Times.Changes) != 0 {
		t.Errorf("refused: %+v", r.Times)
	}
}

func TestEveryScheduleIsCountedWhereNotAllAreShown(t *testing.T) {
	var before, after []schema.Object
	for i := range mostSchedules + 7 {
		before = append(before, cronJob(fmt.Sprintf("c-%02d", i), "0 2 * * *", ""))
		after = append(after, cronJob(fmt.Sprintf("c-%02d", i), "0 3 * * *", ""))
	}
	r := between(t, before, after)
	for output, want := range map[string]string{"text": "and 7 schedules more, which -o json lists\n", "markdown": "and 7 schedules more\n"} {
		if text := outputOf(t, output, r); !strings.Contains(text, want) || !strings.Contains(text, "27 schedules change") {
			t.Errorf("%s:\n%s", output, text)
		}
	}
}
