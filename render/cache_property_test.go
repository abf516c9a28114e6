package render

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"rota.dev/rota/schema"
)

const jobText = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: %s\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - {name: a, image: 'busybox:%s'}\n"

// slot is a file that a drawn repository may have, and what may be in it; §
// is a number that is drawn. What is bad is drawn less often, so that most
// parts are whole.
type slot struct {
	name      string
	good, bad []string
}

// anyTag shows a parameter as whatever it is.
const anyTag = "{% if TAG is mapping %}{% for k in TAG %}{{ k }}{{ TAG[k] }}{% endfor %}{% else %}{{ TAG }}{% endif %}"

const expansion = "apiVersion: rota.dev/v1alpha1\nkind: Expansion\nspec:\n"

var slots = []slot{
	{"plain/a.yaml", []string{
		fmt.Sprintf(jobText, "a", "§"), "# moves everything\n\n" + fmt.Sprintf(jobText, "a", "1"), fmt.Sprintf(jobText, "a", "1") + "---\n" + fmt.Sprintf(jobText, "a§", "1"),
		"apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nstatus: {active: 1}\nspec: null\n",
	}, []string{"a: [1", ""}},
	{"plain/b.yaml", []string{
		fmt.Sprintf(jobText, "b", "1"), "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: b}\nspec: {schedule: '@hourly'}\n",
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}\n",
	}, []string{
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  labels: {n: 1}\n  annotations: {rota.dev/pause: x}\n", fmt.Sprintf(jobText, "a", "1"),
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}\n- {apiVersion: v1, kind: ConfigMap}\n",
	}},
	{"plain/c.yaml", []string{fmt.Sprintf(jobText, "c", "1")}, []string{fmt.Sprintf(jobText, "a", "1"), "kind: Job\n"}},
	{"plain/deep/d.json", []string{`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d", "namespace": "n§"}}`}, []string{`{"a":`}},
	{"many/all.yaml", []string{
		expansion + "  template: tmpl.yaml\n  parameters: {file: values.csv}\n",
		expansion + "  template: tmpl.yaml\n  parameters: {items: [{NAME: x, TAG: 1}, {NAME: w§, TAG: 2}]}\n",
		"# a line more\n" + expansion + "  template: tmpl.yaml\n  parameters: {file: values.csv}\n",
		expansion + "  inline: |\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: $NAME}\n    data: {tag: $TAGS}\n  parameters: {items: [{NAME: x, TAG: 1}, {NAME: z, TAG: 2}]}\n",
	}, []string{expansion + "  template: all.yaml\n", expansion + "  template: gone.yaml\n", expansion + "  template: tmpl.yaml\n  parameters: {items: [{NAME: x}, {NAME: x}]}\n"}},
	{"many/tmpl.yaml", []string{fmt.Sprintf(jobText, "$NAME", "$TAG"), fmt.Sprintf(jobText, "$NAME-§", "1")}, []string{"$NAME: {"}},
	{"many/values.csv", []string{"NAME,TAG\na,1\nb,2\n", "NAME,TAG\na,1\nb,§\nc,3\n"}, []string{"NAME,TAG\na\n"}},
	{"jinja/all.yaml", []string{
		expansion + "  template: tmpl.yaml.j2\n  parameters: {file: values.json}\n",
		"# a line more\n" + expansion + "  template: tmpl.yaml.j2\n  parameters: {items: [{NAME: x, TAG: 1}, {NAME: w, TAG: {b: §, a: 2}}]}\n",
		expansion + "  template: tmpl.yaml.j2\n  parameters: {items: [{NAME: x, TAG: 1}, {NAME: w, TAG: {a: 2, b: 1}}]}\n",
		expansion + "  template: ../a-tmpl.yaml.j2\n  parameters: {items: [{NAME: x, TAG: '1'}, {NAME: w, TAG: 1}]}\n",
	}, nil},
	{"jinja/tmpl.yaml.j2", []string{
		"{% include 'part.j2' %}\n", "{% import 'macros.j2' as m %}" + fmt.Sprintf(jobText, "{{ m.name() }}-{{ NAME }}", anyTag),
		fmt.Sprintf(jobText, "{{ NAME }}", anyTag),
		"{% include 'part.j2' ignore missing %}\n---\n" + fmt.Sprintf(jobText, "{{ NAME }}", anyTag),
	}, []string{"{{ nope }}"}},
	{"a-tmpl.yaml.j2", []string{fmt.Sprintf(jobText, "t-{{ NAME|default('none') }}", "{{ TAG is string }}")}, nil},
	{"jinja/part.j2", []string{fmt.Sprintf(jobText, "p-{{ NAME }}", "1"), "# nothing\n"}, []string{"{% if %}"}},
	{"jinja/macros.j2", []string{"{% macro name() %}m§{% endmacro %}"}, []string{"{% macro other() %}{% endmacro %}"}},
	{"jinja/values.json", []string{`[{"NAME": "j", "TAG": 1}]`, `[{"NAME": "j", "TAG": §}, {"NAME": "k", "TAG": {"z": 1, "a": 2}}]`}, []string{"{"}},
	{"alone.yaml.jinja2", []string{
		fmt.Sprintf(jobText, "{{ 'alone' }}", "§"), "{% from 'jinja/macros.j2' import name %}" + fmt.Sprintf(jobText, "{{ name() }}", "1"),
		"{% for i in range(3) %}" + fmt.Sprintf(jobText, "loop-{{ i }}", "1") + "---\n{% endfor %}",
	}, nil},
	{"base/kustomization.yaml", []string{
		"resources: [job.yaml]\n", "resources: [job.yaml, more.yaml]\nlabels: [{pairs: {a: b}}]\n",
		"resources: [job.yaml]\nconfigMapGenerator: [{name: cfg, files: [data.txt]}]\n",
	}, []string{"resources: [job.yaml\n", "kind: Component\nresources: [job.yaml]\n"}},
	{"base/job.yaml", []string{fmt.Sprintf(jobText, "base", "§"), "\n" + fmt.Sprintf(jobText, "base", "1")}, []string{"x"}},
	{"base/more.yaml", []string{expansion + "  inline: |\n" + "    {apiVersion: v1, kind: ConfigMap, metadata: {name: $NAME}}\n" + "  parameters: {items: [{NAME: k}, {NAME: l§}]}\n", fmt.Sprintf(jobText, "more", "1")}, nil},
	{"base/data.txt", []string{"one", "two §"}, nil},
	{"over/kustomization.yml", []string{
		"resources: [../base]\nnamePrefix: o-\n", "resources: [../base]\nnamePrefix: o§-\npatches: [{path: patch.yaml}]\n", "resources: [own.yaml]\n",
	}, []string{"resources: [../base, ../plain]\n"}},
	{"over/patch.yaml", []string{"apiVersion: batch/v1\nkind: Job\nmetadata: {name: base}\nspec: {parallelism: §}\n"}, []string{"apiVersion: batch/v1\nkind: Job\nmetadata: {name: gone}\n"}},
	{"over/own.yaml", []string{fmt.Sprintf(jobText, "own", "§")}, []string{fmt.Sprintf(jobText, "base", "1")}},
	{"plain/kustomization.yaml", nil, []string{"resources: [a.yaml, c.yaml]\n"}},
}

// drawn is a repository that changes file by file.
type drawn struct {
	r     *rand.Rand
	files map[string]string
}

func newDrawn(seed uint64) *drawn {
	d := &drawn{r: rand.New(rand.NewPCG(seed, 1)), files: map[string]string{}}
	for _, s := range slots {
		if len(s.good) > 0 {
			d.files[s.name] = d.text(s.good)
		}
	}
	return d
}

func (d *drawn) text(variants []string) string {
	return strings.ReplaceAll(variants[d.r.IntN(len(variants))], "§", fmt.Sprint(d.r.IntN(4)))
}

// edit changes, adds or removes one file, or moves or copies its content elsewhere.
func (d *drawn) edit() string {
	s := slots[d.r.IntN(len(slots))]
	const moved = "plain/moved.yaml"
	switch draw := d.r.IntN(16); {
	case draw == 0:
		delete(d.files, s.name)
		return "remove " + s.name
	case draw == 1 && d.files[s.name] != "":
		d.files[moved] = d.files[s.name]
		delete(d.files, s.name)
		return "move " + s.name + " to " + moved
	case draw == 2 && d.files[s.name] != "":
		d.files[moved] = d.files[s.name]
		return "copy " + s.name + " to " + moved
	case draw <= 2:
		delete(d.files, moved)
		return "remove " + moved
	case len(s.good) == 0 || draw < 5 && len(s.bad) > 0:
		d.files[s.name] = d.text(s.bad)
	default:
		d.files[s.name] = d.text(s.good)
	}
	return "write " + s.name
}

func (d *drawn) fs() fs.FS {
	fsys := fstest.MapFS{}
	for name, text := range d.files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func (d *drawn) options() Options {
	var o Options
	switch d.r.IntN(14) {
	case 0:
		o.Limits.Objects = 1 + d.r.IntN(8)
	case 1:
		o.Limits.Files = 1 + d.r.IntN(12)
	case 2:
		o.Limits.TotalBytes = int64(100 + d.r.IntN(3000))
	case 3:
		o.Limits.Documents.FileBytes = 50 + d.r.IntN(300)
	case 4:
		o.Limits.Documents.Nesting = 2 + d.r.IntN(6)
	case 5:
		o.Limits.Items = 1 + d.r.IntN(2)
	case 6:
		o.Limits.TemplateBytes = 100 + d.r.IntN(300)
	case 7:
		o.Namespace = "batch"
	case 8:
		o.Limits.RenderedBytes = int64(100 + d.r.IntN(1000))
	case 9:
		o.Limits.Documents.Documents = 1
	}
	return o
}

// everything is all that a render tells, as text.
func everything(result Result, err error) string {
	var b strings.Builder
	for _, o := range result.Objects {
		text, _ := json.Marshal(o.Object)
		fmt.Fprintf(&b, "object %s\n  from %+v\n", text, o.Origin)
		for _, field := range []string{"metadata.name", "spec.template.spec.containers[0].image", "items[0]", "data.tag"} {
			fmt.Fprintf(&b, "  %s at %+v\n", field, o.At(field))
		}
	}
	for _, p := range result.Warnings {
		fmt.Fprintf(&b, "warning %s %s\n", p, detail(p))
	}
	for _, p := range schema.Problems(err) {
		fmt.Fprintf(&b, "problem %s %s\n", p, detail(p))
	}
	fmt.Fprintf(&b, "error %v\nfiles %q\n", err, result.Files)
	return b.String()
}

func detail(p *schema.Problem) string {
	own := *p
	own.Cause, own.Object = nil, nil
	return fmt.Sprintf("%+v %v", own.Origin, p.Object)
}

// TestACacheChangesNoResult edits drawn repositories file by file, changes
// limits and the namespace, and compares each render that has a Cache with one
// that has none, in full. What is in the Cache must never change meanwhile.
func TestACacheChangesNoResult(t *testing.T) {
	seeds, steps := uint64(3), 150
	if testing.Short() {
		seeds, steps = 2, 60
	}
	hits := 0
	for seed := range seeds {
		d, cache, sums := newDrawn(seed), NewCache(0), map[*part]string{}
		if seed%3 == 2 {
			cache = NewCache(30_000) // so small that parts come and go
		}
		for step := range steps {
			did := d.edit()
			opts, tree := d.options(), Tree{FS: d.fs(), Path: "."}
			want := everything(Render(tree, opts))
			if step%2 == 0 {
				tree.FS = named{tree.FS}
			}
			opts.Cache = cache
			for range 2 {
				if got := everything(Render(tree, opts)); got != want {
					t.Fatalf("seed %d, step %d, %s, %+v (-without +with a Cache):\n%s", seed, step, did, opts.Limits, cmp.Diff(want, got))
				}
			}
			hits += compareSums(t, cache, sums)
		}
	}
	if hits == 0 {
		t.Error("nothing was ever kept")
	}
}

// compareSums holds what is kept to what it was when it was seen first.
func compareSums(t *testing.T, c *Cache, sums map[*part]string) (again int) {
	t.Helper()
	for _, e := range c.entries {
		p, ok := e.value.(*part)
		if !ok {
			continue
		}
		sum := sumOf(p)
		if was, known := sums[p]; known && was != sum {
			t.Fatalf("a part of %v changed while it was kept", p.files)
		} else if known {
			again++
		}
		sums[p] = sum
	}
	return again
}

func sumOf(p *part) string {
	h := sha256.New()
	for i, o := range p.objects {
		text, err := json.Marshal(o.Object)
		fmt.Fprintf(h, "%s %v %+v %v\n", text, err, o.Origin, p.hashes[i])
	}
	for _, f := range []findings{p.said, p.checked} {
		for _, w := range f.warnings {
			fmt.Fprintf(h, "%s %s\n", w, detail(w))
		}
		for _, e := range f.problems {
			fmt.Fprintf(h, "%s\n", e)
		}
	}
	fmt.Fprint(h, p.claimed, p.files, p.bytes, p.looks)
	return string(h.Sum(nil))
}

// named is a file system that knows its files by their content.
type named struct{ fs.FS }

type namedInfo struct {
	fs.FileInfo
	id string
}

func (i namedInfo) ContentID() string { return i.id }

func (n named) Stat(name string) (fs.FileInfo, error) {
	info, err := fs.Stat(n.FS, name)
	if err != nil || !info.Mode().IsRegular() {
		return info, err
	}
	data, err := fs.ReadFile(n.FS, name)
	if err != nil {
		return info, nil
	}
	return namedInfo{info, "content of " + string(data)}, nil
}

func (n named) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(n.FS, name)
	for i, entry := range entries {
		if info, err := n.Stat(path.Join(name, entry.Name())); err == nil && entry.Type() == 0 {
			entries[i] = fs.FileInfoToDirEntry(info)
		}
	}
	return entries, err
}
