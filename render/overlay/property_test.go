package overlay

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/render/expand"
	"rota.dev/rota/schema"
)

var (
	seeds = flag.Uint64("overlay.seeds", 0, "how many generated kustomizations are built; 0 for the default")
	first = flag.Uint64("overlay.seed", 0, "the first seed")
	show  = flag.Bool("overlay.show", false, "print the generated kustomizations that are built otherwise")
)

// resources reads a file of the repository as render does: its documents, or
// what an Expansion expands to.
func resources(fsys fs.FS, file string) ([]schema.Object, error) {
	read := func(file string) []schema.Document {
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			panic(err)
		}
		docs, err := schema.ReadDocuments(file, data, schema.DocumentLimits{})
		if err != nil {
			panic(err)
		}
		return docs
	}
	var objects []schema.Object
	add := func(content any, item int) {
		objects = append(objects, schema.Object{Unstructured: &unstructured.Unstructured{Object: content.(map[string]any)}, Origin: schema.Origin{File: file, Item: item}})
	}
	for _, d := range read(file) {
		content, err := d.Value()
		if err != nil {
			panic(err)
		}
		if content.(map[string]any)["kind"] != "Expansion" {
			add(content, 0)
			continue
		}
		e, err := schema.DecodeExpansion(d)
		if err != nil {
			panic(err)
		}
		names, items, err := expand.Items(e, "", nil, 50_000, schema.DocumentLimits{})
		if err != nil {
			panic(err)
		}
		template, _, err := expand.Compile(read(path.Join(path.Dir(file), e.Spec.Template)), names)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			made, err := template.Expand(item.Values)
			if err != nil {
				return nil, err
			}
			for _, m := range made {
				add(m.Content, item.Number)
			}
		}
	}
	return objects, nil
}

// expandedJob is one run of kustomize on the expanded repository, with nothing
// of ours in it.
func expandedJob(fsys fs.FS, g *Graph) (Job, error) {
	files := map[string][]byte{}
	for file, data := range g.content {
		files[file] = data
	}
	for _, f := range g.Files {
		if f.use != useResource {
			files[f.Path], _ = fs.ReadFile(fsys, f.Path)
			continue
		}
		objects, err := resources(fsys, f.Path)
		if err != nil {
			return Job{}, err
		}
		var text bytes.Buffer
		for _, o := range objects {
			if err := encode(&text, o.Object); err != nil {
				return Job{}, err
			}
		}
		files[f.Path] = escapeControls(text.Bytes())
	}
	return Job{Files: files, Folder: g.Folders[0], Time: time.Hour}, nil
}

// plain returns what that run makes.
func plain(fsys fs.FS, g *Graph) ([]map[string]any, error) {
	job, err := expandedJob(fsys, g)
	if err != nil {
		return nil, err
	}
	built, err := Run(job)
	if err != nil {
		return nil, err
	}
	var objects []map[string]any
	for _, data := range built {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(data); err != nil {
			return nil, err
		}
		objects = append(objects, u.Object)
	}
	return objects, nil
}

var aToken = regexp.MustCompile(`rota[0-9]+q[0-9]+x`)

func TestBuiltApartIsAsOneRun(t *testing.T) {
	n := uint64(120)
	if testing.Short() {
		n = 25
	}
	if *seeds > 0 {
		n = *seeds
	}
	ways, reasons, built, late := map[way]uint64{}, map[string]int{}, uint64(0), 0
	for seed := *first; seed < *first+n; seed++ {
		d := draw(seed)
		o := compare(d.files, string(d.files["ROOT"].Data), sizes{whole: 1, run: 1 + int(seed%5), family: 2 + int(seed%2)})
		ways[o.way]++
		if o.why != "" {
			reasons[o.why]++
		}
		if o.wantErr == nil {
			built++
		}
		if o.late && o.wantErr == nil {
			late++
			t.Logf("seed %d: %s", seed, o.why)
		}
		if o.problem == "" {
			continue
		}
		t.Errorf("seed %d: %s", seed, o.problem)
		if *show {
			for name, f := range d.files {
				t.Logf("-- %s --\n%s", name, f.Data)
			}
		}
	}
	t.Logf("%d kustomizations: %d with stand-ins, %d in small runs only, %d together, of which %d were tried apart in vain; %d were built, the others fail in kustomize",
		n, ways[byStandIns], ways[apart], ways[together], late, built)
	for why, n := range reasons {
		t.Logf("%4d together, for %s", n, why)
	}
	if min(ways[byStandIns], ways[apart]) < n/10 || ways[together] < n/50 || built < n/2 {
		t.Error("a way of building was hardly taken")
	}
}

// way is how a kustomization was built.
type way string

const (
	byStandIns way = "with stand-ins"
	apart      way = "in small runs"
	together   way = "together"
)

// outcome is what became of a kustomization.
type outcome struct {
	way way
	why string // together
	// late is whether that was found only when runs were made.
	late bool
	// wantErr is kustomize's own error.
	wantErr error
	// problem is how what was built differs from one plain run; "" if it does
	// not.
	problem string
}

func compare(fsys fs.FS, folder string, s sizes) (o outcome) {
	read := func(file string) ([]byte, error) { return fs.ReadFile(fsys, file) }
	g, err := Load(fsys, folder, schema.DocumentLimits{}, read)
	if err != nil {
		return outcome{problem: fmt.Sprintf("the graph cannot be loaded: %v", err)}
	}
	want, wantErr := plain(fsys, g)
	o = outcome{way: apart, wantErr: wantErr}
	b, err := g.builder(Options{
		Resources: func(file string) ([]schema.Object, error) { return resources(fsys, file) },
		Read:      read, Time: time.Minute, sizes: s,
		Run: func(job Job) ([]json.RawMessage, error) {
			for _, data := range job.Files {
				if aToken.Match(data) {
					o.way = byStandIns
				}
			}
			return Run(job)
		},
	})
	if err != nil {
		if wantErr == nil {
			o.problem = fmt.Sprintf("kustomize builds it, and the objects cannot be read: %v", err)
		}
		return o
	}
	objects, _, err := b.build()
	if o.why = b.why; o.why != "" {
		o.late = o.way != together && b.survey.together == "" && o.why != "they are few"
		o.way = together
	}
	var p *schema.Problem
	switch {
	case wantErr != nil && err != nil && !errors.As(err, &p):
		o.problem = fmt.Sprintf("the error is no Problem: %v", err)
	case wantErr != nil && err == nil:
		o.problem = fmt.Sprintf("kustomize fails, and apart it is built: %v", wantErr)
	case wantErr == nil && err != nil:
		o.problem = fmt.Sprintf("kustomize builds it, and apart it fails: %v", err)
	case err == nil:
		var got []map[string]any
		for _, o := range objects {
			got = append(got, o.Object)
		}
		o.problem = cmp.Diff(want, got) + misplaced(fsys, objects)
	}
	return o
}

// misplaced asks for the position of every field, and returns those that are
// said to be from elsewhere than their object and from no line of a file.
func misplaced(fsys fs.FS, objects []schema.Object) (wrong string) {
	for _, o := range objects {
		for _, f := range schema.TraceObject(o).Fields {
			data, err := fs.ReadFile(fsys, f.Origin.File)
			if lines := bytes.Count(data, []byte("\n")) + 1; err != nil || f.Origin.Line < 1 || f.Origin.Line > lines {
				wrong += fmt.Sprintf("%s of %s is said to be at %s\n", f.Path, o.Key(), f.Origin)
			}
		}
	}
	return wrong
}

// TestJobsAreTheSameForTheSameInput holds what kustomize is given to the byte,
// for what it made may be kept by that.
func TestJobsAreTheSameForTheSameInput(t *testing.T) {
	jobs := func(seed uint64) (all []Job) {
		d := draw(seed)
		read := func(file string) ([]byte, error) { return fs.ReadFile(d.files, file) }
		g, err := Load(d.files, string(d.files["ROOT"].Data), schema.DocumentLimits{}, read)
		if err != nil {
			t.Fatal(err)
		}
		_, _, _ = g.Build(Options{Read: read, Time: time.Minute, sizes: sizes{whole: 1, run: 2, family: 2},
			Resources: func(file string) ([]schema.Object, error) { return resources(d.files, file) },
			Run: func(job Job) ([]json.RawMessage, error) {
				all = append(all, job)
				return Run(job)
			}})
		return all
	}
	for seed := range uint64(8) {
		if diff := cmp.Diff(jobs(seed), jobs(seed)); diff != "" {
			t.Errorf("seed %d: %s", seed, diff)
		}
	}
}
