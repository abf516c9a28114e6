package overlay

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// Options say how a Graph is built.
type Options struct {
	// Resources returns the objects that a file of `resources` stands for:
	// an Expansion or a Jinja template is carried out before kustomize sees it.
	Resources func(file string) ([]schema.Object, error)
	// Read returns the bytes of any other file.
	Read func(file string) ([]byte, error)
	// Run runs kustomize: [Run], or the like in another process.
	Run func(Job) ([]json.RawMessage, error)
	// Time bounds one run of kustomize, and after it no other one is begun.
	Time time.Duration

	sizes sizes
}

// sizes say how the objects of a kustomization are built. A zero field means
// the default that its comment states.
type sizes struct {
	// whole is up to how many objects one run is made of all; 40 by default.
	whole int
	// run is how many objects a run has besides those that every run needs;
	// 50 by default: a run has a cost of its own, and one that grows with the
	// square of its objects.
	run int
	// family is how many groups of objects one stands for at least; 3 by default.
	family int
	// most is how many objects one run may have; 2,000 by default, which takes
	// about a minute.
	most int
}

func (s sizes) withDefaults() sizes {
	return sizes{cmp.Or(s.whole, 40), cmp.Or(s.run, 50), cmp.Or(s.family, 3), cmp.Or(s.most, 2_000)}
}

// manyObjects is from where on kustomize's quadratic time is felt.
const manyObjects = 200

// Build runs kustomize on the graph and returns its objects in its order. The
// Origin of each is that of the resource; of a generated one, the
// kustomization file. Overlay is the folder that was built.
//
// The time that kustomize needs grows with more than the square of the objects
// in a run. So it is given few at a time, in such a way that what it returns
// is what one run of all would return; docs/render.md has the rule.
func (g *Graph) Build(o Options) ([]schema.Object, []*schema.Problem, error) {
	b, err := g.builder(o)
	if err != nil {
		return nil, nil, err
	}
	return b.build()
}

func (g *Graph) builder(o Options) (*builder, error) {
	o.sizes = o.sizes.withDefaults()
	b := &builder{graph: g, options: o, files: map[string][]byte{}}
	if err := b.fill(); err != nil {
		return nil, err
	}
	b.survey = g.survey(b.files)
	b.survey.layers = newLayers(g, b.files, b.survey.affixes)
	b.tokens = newTokens(b.inputs, b.files)
	return b, nil
}

type builder struct {
	graph   *Graph
	options Options
	// files are all that kustomize reads besides the objects, which are inputs
	// from the files that resources names.
	files     map[string][]byte
	resources []string
	inputs    []input
	weight    int // how many objects kustomize makes of the inputs
	survey    *survey
	tokens    *tokens
	// why is why all objects were built in one run; "" if they were not.
	why string
	// marker is an annotation that every object carries through kustomize, so
	// that it can be told afterwards where it came from; "" if none may be put.
	marker string
}

func (b *builder) build() ([]schema.Object, []*schema.Problem, error) {
	b.why = b.survey.together
	switch {
	case b.weight <= b.options.sizes.whole:
		b.why = "they are few"
	case b.why == "":
		objects, why, err := b.apart()
		if err != nil {
			return nil, nil, b.explain(err)
		}
		if why == "" {
			return b.finished(objects), nil, nil
		}
		b.why = why
	}
	return b.together()
}

// together builds all objects in one run.
func (b *builder) together() ([]schema.Object, []*schema.Problem, error) {
	var warnings []*schema.Problem
	n, most := b.weight, b.options.sizes.most
	many := &schema.Problem{Rule: "R056", Origin: schema.Origin{File: b.graph.File},
		Message: fmt.Sprintf("the %d objects of the kustomization are built together, for %s", n, b.why),
		Mend:    "Mend that, or split the kustomization, or keep objects that no overlay changes out of it."}
	switch {
	case n > most:
		many.Message += fmt.Sprintf("; at most %d are", most)
		return nil, nil, many
	case n > manyObjects:
		many.Severity = schema.SeverityWarning
		many.Message += ", and the time that kustomize needs grows with their square"
		warnings = append(warnings, many)
	}
	if b.survey.bare == "" {
		b.marker = markerPrefix + b.tokens.mark
	}
	one := &batch{}
	for i, o := range b.inputs {
		one.objects = append(one.objects, placed{content: o.Object.Object, file: o.file, source: i, times: o.times})
	}
	objects, err := b.run(one, nil)
	if err != nil {
		return nil, warnings, b.explain(err)
	}
	r := &relations{survey: b.survey, objects: b.inputs}
	all := make([]merged, len(objects))
	sources := map[reference][]int{}
	if b.marker == "" {
		sources = b.sources()
	}
	for i, m := range objects {
		is := idOf(m.content)
		if found := sources[reference{is.kind, is.name}]; len(found) == 1 {
			m.placed.source, m.known = found[0], true
		}
		all[i] = merged{object: r.object(m.content, m)}
	}
	return b.finished(all), warnings, nil
}

// apart builds groups of objects that are not related in runs of their own,
// and one group for all that are alike. It returns why that is not possible
// otherwise.
func (b *builder) apart() (all []merged, why string, err error) {
	sizes := b.options.sizes
	r := b.survey.relate(b.inputs, sizes.run)
	if r.together != "" {
		return nil, r.together, nil
	}
	b.marker = markerPrefix + b.tokens.mark
	looks := newLooks(b.survey)
	families, others := r.families(looks, sizes.family)
	var standIns []*standIn
	for _, f := range families {
		if s := r.standIn(f, looks, b.tokens); s != nil {
			standIns = append(standIns, s)
		} else {
			others = append(others, f.groups...)
		}
	}
	runs := r.plan(standIns, others, sizes.run)
	for _, one := range runs {
		if n := weight(one.objects); n > sizes.most {
			return nil, fmt.Sprintf("%d of them name each other or are named by a kustomization", n), nil
		}
	}
	results, why, err := b.results(runs, r)
	if why != "" || err != nil {
		return nil, why, err
	}
	if all, why = r.merge(results, b.tokens); why != "" {
		return nil, why, nil
	}
	return all, "", b.sort(all, results)
}

// results carries out the runs, until the time is over.
func (b *builder) results(runs []*batch, r *relations) (results [][]made, why string, err error) {
	over := time.NewTimer(b.options.Time)
	defer over.Stop()
	for n, one := range runs {
		select {
		case <-over.C:
			return nil, "", &schema.Problem{Rule: "R004", Message: fmt.Sprintf("kustomize finished %d of %d runs within %s", n, len(runs), b.options.Time),
				Mend: "Split the kustomization into smaller ones, or raise spec.limits.overlayTime."}
		default:
		}
		objects, err := b.run(one, r)
		// A Problem is a limit that was passed, or a renderer that failed.
		if _, ok := errors.AsType[*schema.Problem](err); ok || err != nil && b.weight > b.options.sizes.most {
			return nil, "", err
		}
		if err != nil {
			// One run of all says what is wrong, without a doubt.
			return nil, fmt.Sprintf("kustomize fails on some of them: %.200s", strings.TrimSpace(err.Error())), nil
		}
		if why := r.check(one, objects, b.tokens); why != "" {
			return nil, why, nil
		}
		results = append(results, objects)
	}
	return results, "", nil
}

// run carries out one run.
func (b *builder) run(one *batch, r *relations) ([]made, error) {
	job, err := b.job(one, r)
	if err != nil {
		return nil, err
	}
	built, err := b.options.Run(job)
	if err != nil {
		return nil, err
	}
	objects := make([]made, 0, len(built))
	for _, data := range built {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(data); err != nil {
			return nil, err
		}
		objects = append(objects, b.unmarked(u.Object, one))
	}
	return objects, nil
}

// fill takes what the graph refers to, and nothing else.
func (b *builder) fill() error {
	var problems []error
	for file, data := range b.graph.content {
		b.files[file] = data
	}
	taken := map[string]use{}
	for _, f := range b.graph.Files {
		u, again := taken[f.Path]
		if again && (u == useResource) != (f.use == useResource) {
			problems = append(problems, &schema.Problem{Rule: "R059", Origin: f.Origin, Message: fmt.Sprintf("%s is used as a resource and as something else as well", f.Path),
				Mend: "Copy the file, and use each copy for one thing."})
		}
		if again && u >= f.use {
			continue
		}
		taken[f.Path] = f.use
		problems = append(problems, b.take(f))
	}
	return errors.Join(problems...)
}

func (b *builder) take(f File) error {
	if f.use == useResource {
		delete(b.files, f.Path)
		b.resources = append(b.resources, f.Path)
		objects, err := b.options.Resources(f.Path)
		if err != nil {
			return err
		}
		var problems []error
		for _, o := range objects {
			if name, _ := nested(o.Object, "metadata")["name"].(string); name == "" {
				problems = append(problems, noName(o))
				continue
			}
			b.inputs = append(b.inputs, input{o, f.Path, b.graph.times[f.Path]})
			b.weight += b.graph.times[f.Path]
		}
		return errors.Join(problems...)
	}
	data, err := b.options.Read(f.Path)
	if err != nil {
		return err
	}
	b.files[f.Path] = data
	if f.use == useData {
		return nil
	}
	documents, err := schema.ReadDocuments(f.Path, data, b.graph.limits)
	for _, d := range documents {
		err = errors.Join(err, shallow(f.Path, d.Node))
	}
	if err == nil && f.use == useDefinitions {
		err = definitions(f.Path, data)
	}
	return err
}

func noName(o schema.Object) error {
	p := &schema.Problem{Rule: "R011", Origin: o.Origin, Field: "metadata.name", Message: fmt.Sprintf("the %s has no name", o.GetKind()), Mend: "Add metadata.name."}
	if _, ok := nested(o.Object, "metadata")["generateName"]; ok {
		p.Message = fmt.Sprintf("the %s has a generateName only, which would be a new object at every sync", o.GetKind())
		p.Mend = "Give it a metadata.name; for many alike objects use an Expansion."
	}
	return p
}

func nested(m map[string]any, name string) map[string]any {
	n, _ := m[name].(map[string]any)
	return n
}

// markerPrefix begins the marker. A JSON patch that replaces all annotations
// keeps those of kustomize's own, which begin so.
const markerPrefix = "internal.config.kubernetes.io/"

// unmarked takes the marker off an object and finds what it stands for.
func (b *builder) unmarked(content map[string]any, one *batch) made {
	m := made{content: content}
	if b.marker == "" {
		return m
	}
	metadata := nested(content, "metadata")
	text, _ := nested(metadata, "annotations")[b.marker].(string)
	if i, err := strconv.Atoi(text); err == nil && i >= 0 && i < len(one.objects) {
		m.placed, m.known = one.objects[i], true
	}
	b.unmark(content)
	if annotations, ok := metadata["annotations"].(map[string]any); ok && len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	return m
}

// unmark removes the marker everywhere: a replacement may have copied a whole
// set of annotations somewhere else.
func (b *builder) unmark(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, b.marker)
		for _, child := range v {
			b.unmark(child)
		}
	case []any:
		for _, child := range v {
			b.unmark(child)
		}
	}
}

// sources returns the objects of the repository by kind and each name that
// they may have, for where no marker can be put on them.
func (b *builder) sources() map[reference][]int {
	sources := map[reference][]int{}
	for i, o := range b.inputs {
		was := idOf(o.Object.Object)
		for _, a := range b.survey.affixes {
			name := reference{was.kind, a.around(was.name)}
			sources[name] = append(sources[name], i)
		}
	}
	return sources
}

// finished returns the objects with the origin of each.
func (b *builder) finished(all []merged) []schema.Object {
	objects := make([]schema.Object, len(all))
	for i, m := range all {
		o := m.object
		if o.Origin.File == "" {
			o.Origin.File = b.graph.File
		}
		o.Origin.Overlay = b.graph.Folders[0]
		objects[i] = o
	}
	return objects
}

// explain makes a Problem of what kustomize says, with paths as the user
// writes them.
func (b *builder) explain(err error) error {
	p, ok := errors.AsType[*schema.Problem](err)
	if !ok {
		text := err.Error()
		for _, dir := range b.graph.Folders {
			text = strings.ReplaceAll(text, "'/"+dir+"'", "'"+dir+"'")
		}
		if _, after, found := strings.Cut(text, "accumulating resources: "); found && !strings.Contains(after, "accumulation err") {
			text = after
		}
		p = &schema.Problem{Rule: "R054", Message: "kustomize cannot build " + path.Clean(b.graph.Folders[0]) + ": " + strings.TrimSpace(text),
			Mend: "Correct the kustomization, or what its patches and names refer to.", Cause: err}
	}
	p.Origin = schema.Origin{File: b.graph.File}
	return p
}
