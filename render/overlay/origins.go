package overlay

import (
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"weak"

	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/types"

	"rota.dev/rota/schema"
)

// layers are the kustomizations of a graph, as far as they tell where something
// in an object was written. That is found out when it is asked for, by looking
// for what writes the value that is there now: kustomize does not say. They
// hold on to nothing of the tree.
type layers struct {
	// kustomizations are in the reverse order of their application.
	kustomizations []kustomization
	files          map[string][]byte // of kustomizations, patches and replacements
	affixes        []affix
	// reach are the files of resources whose objects each folder is applied to.
	reach map[string]map[string]bool
	// makers are the generators that make an object, the last first.
	makers []maker

	mu    sync.Mutex
	index weak.Pointer[index]
}

func newLayers(g *Graph, files map[string][]byte, affixes []affix) *layers {
	l := &layers{files: maps.Clone(g.content), affixes: affixes, reach: map[string]map[string]bool{}}
	for _, f := range g.Files {
		if f.use == useYAML {
			l.files[f.Path] = files[f.Path]
		}
	}
	by := map[string]kustomization{}
	for _, k := range g.kustomizations {
		by[k.dir] = k
	}
	l.add(by, g.Folders[0])
	for _, k := range l.kustomizations {
		for _, entry := range k.Components {
			maps.Copy(l.reach[path.Join(k.dir, entry)], l.reach[k.dir])
		}
	}
	l.make()
	return l
}

// maker is a generator and its place.
type maker struct {
	kind, name string
	at         schema.Origin
}

func (l *layers) make() {
	for i := range l.kustomizations {
		k := &l.kustomizations[i]
		b := &indexer{layers: l}
		for _, g := range generatorsOf(k) {
			if g.Behavior == "" || g.Behavior == "create" {
				l.makers = append(l.makers, maker{g.kind, g.Name, schema.NodeOrigin(k.file, step(step(b.root(k.file), g.field), g.index))})
			}
		}
	}
}

// add adds a folder and those that it builds on.
func (l *layers) add(by map[string]kustomization, dir string) {
	k, ok := by[dir]
	if !ok || l.reach[dir] != nil {
		return
	}
	reach := map[string]bool{}
	l.reach[dir] = reach
	l.kustomizations = append(l.kustomizations, k)
	for _, list := range [][]string{k.Components, k.Resources} {
		for _, entry := range slices.Backward(list) {
			target := path.Join(dir, entry)
			reach[target] = true
			l.add(by, target)
			maps.Copy(reach, l.reach[target])
		}
	}
}

// index has what may write into an object, the last first.
type index struct {
	// all are for any object; byName are for objects of one name only.
	all    []writer
	byName map[string][]writer
}

// writer is an entry of a kustomization.
type writer struct {
	number int
	// level is 0 for what writes a value as it stands in the file. Others are
	// asked after all of those.
	level int
	layer *kustomization
	wrote func(q question) (schema.Origin, bool)
}

// indexed returns the index, which is held only weakly: positions are asked
// for seldom.
func (l *layers) indexed() *index {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ix := l.index.Value(); ix != nil {
		return ix
	}
	b := &indexer{layers: l, index: &index{byName: map[string][]writer{}}}
	for i := range l.kustomizations {
		b.kustomization(&l.kustomizations[i])
	}
	l.index = weak.Make(b.index)
	return b.index
}

// passage is the way of one object through the layers.
type passage struct {
	*layers
	base id
	// file is that of resources which has the object; "" for one that a
	// kustomization generates.
	file string
}

// question asks where a value was written.
type question struct {
	passage
	object map[string]any
	name   string
	path   []string
	value  any
	key    bool
	// forms are the names that the object may have had.
	forms []string
}

// Wrote returns where what path leads to was written.
func (p passage) Wrote(object map[string]any, path []string, key bool) (schema.Origin, bool) {
	if len(path) == 0 {
		return schema.Origin{}, false
	}
	q := question{passage: p, object: object, name: idOf(object).name, path: path, value: object, key: key}
	for _, step := range path {
		q.value = below(q.value, step)
	}
	for _, a := range p.affixes {
		q.forms = append(q.forms, a.around(p.base.name))
	}
	q.forms = append(q.forms, q.name)
	ix := p.indexed()
	writers := slices.Clone(ix.all)
	for _, form := range slices.Compact(slices.Sorted(slices.Values(q.forms))) {
		writers = append(writers, ix.byName[form]...)
	}
	slices.SortFunc(writers, func(a, b writer) int {
		if a.level != b.level {
			return a.level - b.level
		}
		return a.number - b.number
	})
	for _, w := range writers {
		if !q.passed(w.layer) {
			continue
		}
		if at, ok := w.wrote(q); ok {
			return at, true
		}
	}
	return schema.Origin{}, false
}

// unnamed are kinds that get no prefix and suffix.
var unnamed = []string{"Namespace", "CustomResourceDefinition", "APIService"}

// passed reports whether the object went through a layer, as far as is known.
func (q question) passed(k *kustomization) bool {
	if q.file != "" && !q.reach[k.dir][q.file] {
		return false
	}
	return slices.Contains(unnamed, q.base.kind) || strings.Contains(q.name, k.NamePrefix) && strings.Contains(q.name, k.NameSuffix)
}

// last returns the last step of the path.
func (q question) last() string { return q.path[len(q.path)-1] }

// before returns the step before the last one, "" if there is none.
func (q question) before() string {
	if len(q.path) < 2 {
		return ""
	}
	return q.path[len(q.path)-2]
}

// is reports whether the path is that of a field.
func (q question) is(steps ...string) bool { return slices.Equal(q.path, steps) }

// chosen reports whether a selector chooses the object, by the labels and
// annotations that it has at last.
func (q question) chosen(s *types.Selector) bool {
	pattern, err := types.NewSelectorRegex(s)
	if err != nil || !pattern.MatchGvk(gvkOf(q.base)) || !slices.ContainsFunc(q.forms, pattern.MatchName) {
		return false
	}
	if !pattern.MatchNamespace(q.base.namespace) && !pattern.MatchNamespace(idOf(q.object).namespace) {
		return false
	}
	metadata := nested(q.object, "metadata")
	return matches(s.LabelSelector, nested(metadata, "labels")) && matches(s.AnnotationSelector, nested(metadata, "annotations"))
}

func matches(expression string, texts map[string]any) bool {
	if expression == "" {
		return true
	}
	selector, err := labels.Parse(expression)
	set := labels.Set{}
	for key, value := range texts {
		set[key], _ = value.(string)
	}
	return err == nil && selector.Matches(set)
}

// hashLength is that of what kustomize adds to the name of what it generates.
const hashLength = 10

// named reports whether name is one that what is generated as base may have.
func (l *layers) named(name, base string) (is, hashed bool) {
	for _, a := range l.affixes {
		form := a.around(base)
		rest, ok := strings.CutPrefix(name, form)
		switch {
		case ok && rest == "":
			return true, false
		case ok && len(rest) == hashLength+1 && rest[0] == '-':
			return true, true
		}
	}
	return false, false
}

// generated returns where a kustomization says that it makes an object.
func (l *layers) generated(is id) (at schema.Origin, base string) {
	for _, m := range l.makers {
		if ok, _ := l.named(is.name, m.name); ok && m.kind == is.kind {
			return m.at, m.name
		}
	}
	return schema.Origin{}, ""
}
