package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"rota.dev/rota/render/expand"
	"rota.dev/rota/render/overlay"
	"rota.dev/rota/schema"
)

// counted is a tree that knows its files by their content and counts what is
// asked of it.
type counted struct {
	fs.FS
	reads map[string]int
	opens int
}

func (c *counted) ReadFile(name string) ([]byte, error) {
	c.reads[name]++
	return fs.ReadFile(c.FS, name)
}

func (c *counted) Open(name string) (fs.File, error) {
	c.opens++
	return c.FS.Open(name)
}

func (c *counted) Stat(name string) (fs.FileInfo, error)      { return fs.Stat(c.FS, name) }
func (c *counted) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(c.FS, name) }

// countedEngine counts the jobs that are carried out.
type countedEngine struct {
	Engine
	templates, overlays []string
}

func (e *countedEngine) Template(job expand.Job, read func(string) ([]byte, error)) (expand.Rendered, error) {
	what := job.File
	for _, v := range job.Variables {
		what += " " + v.Text
	}
	e.templates = append(e.templates, what)
	return e.Engine.Template(job, read)
}

func (e *countedEngine) Overlay(job overlay.Job) ([]json.RawMessage, error) {
	e.overlays = append(e.overlays, job.Folder)
	return e.Engine.Overlay(job)
}

// work is what one render did.
type work struct {
	Reads     map[string]int
	Templates []string
	Overlays  []string
}

// revisions renders one revision of files after the other.
type revisions struct {
	files  map[string]string
	cache  *Cache
	result Result
}

func (r *revisions) render(t *testing.T) work {
	t.Helper()
	tree := &counted{FS: named{mapFS(r.files)}, reads: map[string]int{}}
	engine := &countedEngine{Engine: InProcess{}}
	var err error
	r.result, err = Render(Tree{FS: tree, Path: "."}, Options{Engine: engine, Cache: r.cache})
	if err != nil {
		t.Fatal(err)
	}
	if tree.opens > 0 {
		t.Errorf("%d files were opened behind the back of what counts", tree.opens)
	}
	return work{tree.reads, engine.templates, engine.overlays}
}

func mapFS(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// everyKind has files of every kind, so that a change of one can be told from
// a change of another.
func everyKind() map[string]string {
	files := map[string]string{
		"many/all.yaml":            expansion + "  template: tmpl.yaml\n  parameters: {file: values.csv}\n",
		"many/tmpl.yaml":           fmt.Sprintf(jobText, "$NAME", "$TAG"),
		"many/values.csv":          "NAME,TAG\na,1\nb,2\n",
		"jinja/all.yaml":           expansion + "  template: tmpl.yaml.j2\n  parameters: {items: [{NAME: c}, {NAME: d}]}\n",
		"jinja/tmpl.yaml.j2":       "{% include 'part.j2' %}\n",
		"jinja/part.j2":            fmt.Sprintf(jobText, "{{ NAME }}", "1"),
		"alone.yaml.j2":            fmt.Sprintf(jobText, "alone", "1"),
		"base/kustomization.yaml":  "resources: [job.yaml]\nconfigMapGenerator: [{name: cfg, files: [data.txt]}]\n",
		"base/job.yaml":            fmt.Sprintf(jobText, "base", "1"),
		"base/data.txt":            "one",
		"over/kustomization.yaml":  "resources: [../base]\nnamePrefix: o-\n",
		"other/kustomization.yaml": "resources: [job.yaml]\nnamePrefix: p-\n",
		"other/job.yaml":           fmt.Sprintf(jobText, "other", "1"),
	}
	for i := range 50 {
		files[fmt.Sprintf("plain/%02d.yaml", i)] = fmt.Sprintf(jobText, fmt.Sprintf("plain-%d", i), "1")
	}
	return files
}

func TestOnlyWhatChangedIsRenderedAgain(t *testing.T) {
	r := revisions{files: everyKind(), cache: NewCache(0)}
	first := r.render(t)
	if len(first.Reads) != len(r.files) || len(first.Templates) != 3 || len(first.Overlays) != 2 {
		t.Fatalf("the first render did %+v", first)
	}
	if objects := len(r.result.Objects); objects != 50+2+2+1+2+1 {
		t.Fatalf("%d objects", objects)
	}
	for _, step := range []struct {
		name       string
		file, text string // no text removes the file
		want       work
	}{
		{"nothing", "", "", work{}},
		{"one file among many", "plain/07.yaml", fmt.Sprintf(jobText, "plain-7", "2"), work{Reads: map[string]int{"plain/07.yaml": 1}}},
		{"the same file, back as it was", "plain/07.yaml", fmt.Sprintf(jobText, "plain-7", "1"), work{}},
		{"a file more", "plain/99.yaml", fmt.Sprintf(jobText, "plain-99", "1"), work{Reads: map[string]int{"plain/99.yaml": 1}}},
		{"a file less", "plain/99.yaml", "", work{}},
		{"parameters in a file", "many/values.csv", "NAME,TAG\na,1\n", work{Reads: map[string]int{"many/all.yaml": 1, "many/tmpl.yaml": 1, "many/values.csv": 1}}},
		{"a template", "many/tmpl.yaml", fmt.Sprintf(jobText, "$NAME", "v$TAG"), work{Reads: map[string]int{"many/all.yaml": 1, "many/tmpl.yaml": 1, "many/values.csv": 1}}},
		{"one more item of a Jinja template", "jinja/all.yaml", expansion + "  template: tmpl.yaml.j2\n  parameters:\n    items: [{NAME: c}, {NAME: m}, {NAME: d}]\n", work{
			Reads: map[string]int{"jinja/all.yaml": 1, "jinja/tmpl.yaml.j2": 1, "jinja/part.j2": 3}, Templates: []string{"jinja/tmpl.yaml.j2 m"},
		}},
		{"what a Jinja template includes", "jinja/part.j2", fmt.Sprintf(jobText, "{{ NAME }}", "2"), work{
			Reads:     map[string]int{"jinja/all.yaml": 1, "jinja/tmpl.yaml.j2": 1, "jinja/part.j2": 3},
			Templates: []string{"jinja/tmpl.yaml.j2 c", "jinja/tmpl.yaml.j2 m", "jinja/tmpl.yaml.j2 d"},
		}},
		{"a Jinja template by itself", "alone.yaml.j2", fmt.Sprintf(jobText, "alone", "2"), work{Reads: map[string]int{"alone.yaml.j2": 1}, Templates: []string{"alone.yaml.j2"}}},
		{"a resource of a base", "base/job.yaml", fmt.Sprintf(jobText, "base", "2"), work{
			Reads: map[string]int{"over/kustomization.yaml": 1, "base/kustomization.yaml": 1, "base/job.yaml": 1, "base/data.txt": 1}, Overlays: []string{"over"},
		}},
		{"a comment in a resource of a base", "base/job.yaml", "# a comment\n" + fmt.Sprintf(jobText, "base", "2"), work{
			Reads: map[string]int{"over/kustomization.yaml": 1, "base/kustomization.yaml": 1, "base/job.yaml": 1, "base/data.txt": 1},
		}},
		{"a kustomization", "other/kustomization.yaml", "resources: [job.yaml]\nnamePrefix: q-\n", work{
			Reads: map[string]int{"other/kustomization.yaml": 1, "other/job.yaml": 1}, Overlays: []string{"other"},
		}},
		{"a file that nothing reads", "README.md", "hello", work{}},
	} {
		t.Run(step.name, func(t *testing.T) {
			switch {
			case step.text != "":
				r.files[step.file] = step.text
			case step.file != "":
				delete(r.files, step.file)
			}
			got := r.render(t)
			if step.want.Reads == nil {
				step.want.Reads = map[string]int{}
			}
			if diff := cmp.Diff(step.want, got); diff != "" {
				t.Errorf("the work (-want +got):\n%s", diff)
			}
			fresh := revisions{files: r.files}
			fresh.render(t)
			if diff := cmp.Diff(everything(fresh.result, nil), everything(r.result, nil)); diff != "" {
				t.Errorf("the result (-fresh +got):\n%s", diff)
			}
		})
	}
}

// TestTheCacheKeepsItsBound renders a hundred revisions into a Cache that has
// room for few.
func TestTheCacheKeepsItsBound(t *testing.T) {
	r := revisions{files: everyKind(), cache: NewCache(0)}
	r.render(t)
	bound := 2 * r.cache.Size()
	r.cache = NewCache(bound)
	old := cacheKey{}
	for revision := range 100 {
		for i := range 10 {
			r.files[fmt.Sprintf("plain/%02d.yaml", i)] = fmt.Sprintf(jobText, fmt.Sprintf("plain-%d", i), fmt.Sprintf("v%d", revision))
		}
		r.files["base/data.txt"] = fmt.Sprint(revision)
		got := r.render(t)
		if size := r.cache.Size(); size > bound {
			t.Fatalf("revision %d: %d bytes are kept, and at most %d may be", revision, size, bound)
		}
		if revision > 0 && len(got.Reads) != 10+4 {
			t.Errorf("revision %d: what did not change was read: %v", revision, slices.Sorted(maps.Keys(got.Reads)))
		}
		if revision == 0 {
			for key := range r.cache.entries {
				if key.name == "plain/00.yaml" {
					old = key
				}
			}
		}
	}
	if old == (cacheKey{}) || r.cache.entries[old] != nil {
		t.Errorf("the first of a hundred revisions is still there: %v", old)
	}
	var sum int64
	for _, e := range r.cache.entries {
		sum += e.size
	}
	if sum != r.cache.Size() {
		t.Errorf("the entries have %d bytes, and %d are counted", sum, r.cache.Size())
	}
}

func TestARepositoryThatIsTooLargeIsKeptInPart(t *testing.T) {
	r := revisions{files: everyKind(), cache: NewCache(0)}
	r.render(t)
	all := len(r.files)
	r.cache = NewCache(r.cache.Size() / 2)
	r.render(t)
	for range 3 {
		if reads := len(r.render(t).Reads); reads == 0 || reads > all*3/4 {
			t.Errorf("half of the repository fits, and %d of %d files were read again", reads, all)
		}
	}
	r.cache = NewCache(1)
	if reads := len(r.render(t).Reads); reads != all || r.cache.Size() != 0 {
		t.Errorf("nothing fits, and %d of %d files were read, %d bytes kept", reads, all, r.cache.Size())
	}
}

// TestTheSizeOfACacheIsAboutItsMemory compares the estimate with the heap.
func TestTheSizeOfACacheIsAboutItsMemory(t *testing.T) {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for name, files := range map[string]map[string]string{
		"plain files": manyJobs(2000),
		"an Expansion": {
			"all.yaml":  expansion + "  template: tmpl.yaml\n  parameters: {matrix: {ITEM: {range: {from: 1, to: 5000}}}}\n",
			"tmpl.yaml": expansionTemplate,
		},
		"a Jinja template": {"all.yaml.j2": "{% for i in range(1000) %}" + fmt.Sprintf(jobText, "a-{{ i }}", "1") + "---\n{% endfor %}"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := named{mapFS(files)}
			before := heap()
			cache := NewCache(0)
			if _, err := Render(Tree{FS: tree, Path: "."}, Options{Cache: cache}); err != nil {
				t.Fatal(err)
			}
			grown, estimate := heap()-before, cache.Size()
			t.Logf("%d bytes of heap, estimated at %d", grown, estimate)
			if estimate < grown*3/4 || estimate > grown*2 {
				t.Errorf("the estimate of %d bytes is too far from %d", estimate, grown)
			}
			runtime.KeepAlive(cache)
			runtime.KeepAlive(tree)
		})
	}
}

func manyJobs(n int) map[string]string {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("jobs/%02d/%04d.yaml", i%50, i)] = fmt.Sprintf(jobText, fmt.Sprintf("job-%d", i), "1")
	}
	return files
}

// failing fails the first job of each kind, as a machine under load does.
type failing struct {
	Engine
	templates, overlays int
}

func (e *failing) Template(job expand.Job, read func(string) ([]byte, error)) (expand.Rendered, error) {
	if e.templates++; e.templates == 1 {
		return expand.Rendered{}, &schema.Problem{Rule: "R043", Origin: schema.Origin{File: job.File}, Message: "too slow today"}
	}
	return e.Engine.Template(job, read)
}

func (e *failing) Overlay(job overlay.Job) ([]json.RawMessage, error) {
	if e.overlays++; e.overlays == 1 {
		return nil, &schema.Problem{Rule: "R004", Message: "too slow today"}
	}
	return e.Engine.Overlay(job)
}

func TestAFailureOfTheMachineIsNotRemembered(t *testing.T) {
	tree, cache, engine := Tree{FS: named{mapFS(everyKind())}, Path: "."}, NewCache(0), &failing{Engine: InProcess{}}
	_, err := Render(tree, Options{Engine: engine, Cache: cache})
	if n := len(schema.Problems(err)); n != 2 {
		t.Fatalf("%d problems: %v", n, err)
	}
	again, err := Render(tree, Options{Engine: engine, Cache: cache})
	if got, want := everything(again, err), everything(Render(tree, Options{})); got != want {
		t.Errorf("(-without +with a Cache):\n%s", cmp.Diff(want, got))
	}
}

func TestWhatARenderSaidMayBeChanged(t *testing.T) {
	files := map[string]string{
		"a.yaml": "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: b}\nspec: {schedule: '@hourly'}\n",
		"b.yaml": "kind: Job\n",
		"c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, labels: {n: 1}}\n",
		"e.yaml": expansion + "  inline: 'a: $AB'\n  parameters: {items: [{A: 1, C: 2}]}\n",
	}
	tree, cache := Tree{FS: named{mapFS(files)}, Path: "."}, NewCache(0)
	want := everything(Render(tree, Options{}))
	for range 3 {
		result, err := Render(tree, Options{Cache: cache})
		if got := everything(result, err); got != want {
			t.Fatalf("(-without +with a Cache):\n%s", cmp.Diff(want, got))
		}
		for _, p := range append(schema.Problems(err), result.Warnings...) {
			p.Message, p.Origin.File, p.Severity = "changed", "elsewhere", "changed"
		}
		clear(result.Objects)
	}
}

func TestObjectsAreCountedBeforeTheyAreAllMade(t *testing.T) {
	files := map[string]string{}
	for i := range 100 {
		files[fmt.Sprintf("%02d.yaml", i)] = expansion + fmt.Sprintf("  inline: '{apiVersion: v1, kind: ConfigMap, metadata: {name: c%d-$I}}'\n  parameters: {matrix: {I: {range: {from: 1, to: 10}}}}\n", i)
	}
	tree, cache := &counted{FS: named{mapFS(files)}, reads: map[string]int{}}, NewCache(0)
	var limits Limits
	limits.Objects = 25
	for range 2 {
		clear(tree.reads)
		result, err := Render(Tree{FS: tree, Path: "."}, Options{Limits: limits, Cache: cache})
		if len(result.Objects) != 25 || !strings.Contains(err.Error(), "at most 25 are made") {
			t.Errorf("%d objects, %v", len(result.Objects), err)
		}
		if n := len(tree.reads); n > 6 {
			t.Errorf("%d files were read for 25 objects", n)
		}
	}
}

func TestACacheMayBeSharedByRendersAtATime(t *testing.T) {
	cache, want := NewCache(100_000), map[int]string{}
	trees := map[int]Tree{}
	for i := range 3 {
		files := everyKind()
		files["plain/00.yaml"] = fmt.Sprintf(jobText, "plain-0", fmt.Sprint(i))
		trees[i] = Tree{FS: named{mapFS(files)}, Path: "."}
		want[i] = everything(Render(trees[i], Options{}))
	}
	var group sync.WaitGroup
	for i, tree := range trees {
		group.Go(func() {
			for range 5 {
				if got := everything(Render(tree, Options{Cache: cache})); got != want[i] {
					t.Errorf("tree %d (-without +with a Cache):\n%s", i, cmp.Diff(want[i], got))
				}
			}
		})
	}
	group.Wait()
}

// TestEveryFieldOfAJobIsInItsID changes each field of the jobs, also those that
// come later.
func TestEveryFieldOfAJobIsInItsID(t *testing.T) {
	template := func() any {
		return &expand.Job{Variables: []schema.Value{{Data: map[string]any{"a": []any{int64(1)}}, Node: &yaml.Node{Content: []*yaml.Node{{}}}}}}
	}
	run := func() any { return &overlay.Job{Files: map[string][]byte{"a": []byte("x")}} }
	for _, c := range []struct {
		fresh func() any
		id    func(any) string
	}{
		{template, func(v any) string { return templateID(*v.(*expand.Job)) }},
		{run, func(v any) string { return overlayID(*v.(*overlay.Job)) }},
	} {
		seen := map[string]string{c.id(c.fresh()): "no change"}
		for i := 0; ; i++ {
			job, left := c.fresh(), i
			name := change(reflect.ValueOf(job).Elem(), reflect.TypeOf(job).Elem().Name(), &left)
			if name == "" {
				break
			}
			id := c.id(job)
			if other, ok := seen[id]; ok {
				t.Errorf("a change of %s has the ID of %s", name, other)
			}
			seen[id] = name
		}
		if len(seen) < 5 {
			t.Errorf("only %d changes were found to make", len(seen))
		}
	}
}

// positions are the fields of a node that say where it is; a value that is
// written elsewhere is the same.
var positions = []string{"Line", "Column", "HeadComment", "LineComment", "FootComment", "Anchor", "Alias"}

// change changes the leaf that left counts down to, and returns its path.
func change(v reflect.Value, path string, left *int) string {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if v.Type() == reflect.TypeFor[yaml.Node]() && slices.Contains(positions, name) {
				continue
			}
			if found := change(v.Field(i), path+"."+name, left); found != "" {
				return found
			}
		}
	case reflect.Slice:
		if *left--; *left == -1 {
			v.Set(reflect.Append(v, reflect.New(v.Type().Elem()).Elem()))
			return path + " one longer"
		}
		for i := range v.Len() {
			if found := change(v.Index(i), path+"[]", left); found != "" {
				return found
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			return change(v.Elem(), path, left)
		}
	case reflect.Interface:
		if *left--; *left == -1 {
			v.Set(reflect.ValueOf(map[string]any{"a": []any{"1"}}))
			return path
		}
	case reflect.Map:
		for _, name := range v.MapKeys() {
			if *left--; *left == -1 {
				v.SetMapIndex(name, reflect.ValueOf([]byte("y")))
				return path + " in content"
			}
			if *left--; *left == -1 {
				content := v.MapIndex(name)
				v.SetMapIndex(name, reflect.Value{})
				v.SetMapIndex(reflect.ValueOf("b"), content)
				return path + " in name"
			}
		}
	default:
		if *left--; *left == -1 {
			changed := map[reflect.Kind]any{reflect.String: "changed", reflect.Int: 7, reflect.Int64: int64(7), reflect.Uint8: uint8(7), reflect.Uint32: uint32(7), reflect.Bool: true}[v.Kind()]
			if changed == nil {
				panic(fmt.Sprintf("%s is of a kind that this test cannot change: %s", path, v.Kind()))
			}
			v.Set(reflect.ValueOf(changed).Convert(v.Type()))
			return path
		}
	}
	return ""
}

func TestTheOrderOfAMappingIsInTheIDOfATemplate(t *testing.T) {
	id := func(text string) string {
		documents, err := schema.ReadDocuments("a.yaml", []byte(text), schema.DocumentLimits{})
		if err != nil {
			t.Fatal(err)
		}
		data, err := documents[0].Value()
		if err != nil {
			t.Fatal(err)
		}
		return templateID(expand.Job{Variables: []schema.Value{{Name: "a", Data: data, Node: documents[0].Node}}})
	}
	if id("{a: 1, b: 2}") == id("{b: 2, a: 1}") {
		t.Error("two orders, one ID")
	}
	if id("{a: 1, b: 2}") != id("\n\n  {a: 1, b: 2}") {
		t.Error("another line gives another ID")
	}
}

// TestEveryOptionIsKnownToTheCache is here for those that come later.
func TestEveryOptionIsKnownToTheCache(t *testing.T) {
	known := map[string]string{
		"Namespace": "is in the key of every part",
		"Limits":    "is in the key of every part",
		"Now":       "is looked at when all parts are there",
		"Engine":    "decides how a job is done, not what comes of it",
		"Cache":     "itself",
	}
	for i := range reflect.TypeFor[Options]().NumField() {
		if name := reflect.TypeFor[Options]().Field(i).Name; known[name] == "" {
			t.Errorf("does Options.%s show in what a file becomes? Then it belongs into kindsOf; say so here", name)
		}
	}
	for i := range reflect.TypeFor[Limits]().NumField() {
		limits := reflect.New(reflect.TypeFor[Limits]()).Elem()
		left := 0
		change(limits.Field(i), "", &left)
		if kindsOf(Options{}, limits.Interface().(Limits)) == kindsOf(Options{}, Limits{}) {
			t.Errorf("Limits.%s is not in the keys", reflect.TypeFor[Limits]().Field(i).Name)
		}
	}
}

// behind is an engine whose template reads a file that the repository does not
// let it have.
type behind struct{ Engine }

func (behind) Template(job expand.Job, read func(string) ([]byte, error)) (expand.Rendered, error) {
	_, err := read("broken")
	return expand.Rendered{Text: fmt.Sprintf(jobText, "a", fmt.Sprint(errors.Is(err, fs.ErrNotExist)))}, nil
}

func TestARunOnAFileThatCannotBeReadIsNotRemembered(t *testing.T) {
	cache := NewCache(0)
	for _, file := range []*fstest.MapFile{{Mode: fs.ModeNamedPipe}, {Data: []byte("x")}, {Mode: fs.ModeNamedPipe}, nil} {
		tree := fstest.MapFS{"a.yaml.j2": {Data: []byte("x")}}
		if file != nil {
			tree["broken"] = file
		}
		opts := Options{Engine: behind{InProcess{}}}
		want := everything(Render(Tree{FS: named{tree}, Path: "."}, opts))
		opts.Cache = cache
		if got := everything(Render(Tree{FS: named{tree}, Path: "."}, opts)); got != want {
			t.Errorf("(-without +with a Cache):\n%s", cmp.Diff(want, got))
		}
	}
}

// TestWhatTemplatesMakeIsBoundedInBytes has two Expansions of gigabytes in few
// objects; both are refused before their objects are made.
func TestWhatTemplatesMakeIsBoundedInBytes(t *testing.T) {
	large := strings.Repeat("x", 400_000)
	for name, files := range map[string]map[string]string{
		"many items of a large template": {
			"all.yaml":  expansion + "  template: tmpl.yaml\n  parameters: {matrix: {I: {range: {from: 1, to: 40000}}}}\n",
			"tmpl.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: c$I}, data: {a: " + large + "}}",
		},
		"a large parameter in many places": {
			"all.yaml": expansion + "  inline: '{apiVersion: v1, kind: ConfigMap, metadata: {name: c$I}, data: {a: \"" + strings.Repeat("$LARGE", 20) + "\"}}'\n" +
				"  parameters: {matrix: {I: {range: {from: 1, to: 1000}}, LARGE: [" + large + "]}}\n",
		},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		result, err := Render(Tree{FS: mapFS(files), Path: "."}, Options{})
		runtime.ReadMemStats(&after)
		problems := schema.Problems(err)
		if len(result.Objects) != 0 || len(problems) != 1 || !strings.Contains(problems[0].Message, "more than 268435456 bytes") {
			t.Errorf("%s: %d objects, %d problems", name, len(result.Objects), len(problems))
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 128<<20 {
			t.Errorf("%s: %d MiB were allocated", name, allocated>>20)
		}
	}
}
