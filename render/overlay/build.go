package overlay

import (
	"bytes"
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
	// Time bounds one run of kustomize.
	Time time.Duration
}

// manyObjects is from where on kustomize's quadratic time is felt.
const manyObjects = 200

// marker is an annotation that every object carries through kustomize, so that
// it can be told afterwards where it came from. Its value is an index.
const marker = "rota.dev/overlay-origin"

// needsHash makes kustomize hash the whole object, annotations included.
const needsHash = "kustomize.config.k8s.io/needs-hash"

// Build runs kustomize on the graph and returns its objects in its order. The
// Origin of each is that of the resource; of a generated one, the
// kustomization file. Overlay is the folder that was built.
func (g *Graph) Build(o Options) ([]schema.Object, []*schema.Problem, error) {
	b := builder{graph: g, options: o, files: map[string][]byte{}, written: map[string]use{}}
	if err := b.fill(); err != nil {
		return nil, nil, err
	}
	var warnings []*schema.Problem
	if len(b.sources) > manyObjects {
		warnings = append(warnings, &schema.Problem{Rule: "R056", Severity: schema.SeverityWarning, Origin: schema.Origin{File: g.File},
			Message: fmt.Sprintf("the kustomization has %d objects, and the time that kustomize needs grows with their square", len(b.sources)),
			Mend:    "Split it, or keep objects that no overlay changes out of it."})
	}
	built, err := o.Run(Job{Files: b.files, Folder: g.Folders[0], Time: o.Time})
	if err != nil {
		return nil, warnings, b.explain(err)
	}
	objects := make([]schema.Object, 0, len(built))
	for _, data := range built {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(data); err != nil {
			return nil, warnings, b.explain(err)
		}
		origin, fields := b.origin(u)
		objects = append(objects, schema.Object{Unstructured: u, Origin: origin, Fields: fields})
	}
	return objects, warnings, nil
}

type builder struct {
	graph   *Graph
	options Options
	files   map[string][]byte
	written map[string]use
	sources []schema.Object
}

// fill takes what the graph refers to, and nothing else.
func (b *builder) fill() error {
	var problems []error
	for file, data := range b.graph.content {
		b.files[file] = data
	}
	for _, f := range b.graph.Files {
		u, again := b.written[f.Path]
		if again && (u == useResource) != (f.use == useResource) {
			problems = append(problems, &schema.Problem{Rule: "R059", Origin: f.Origin, Message: fmt.Sprintf("%s is used as a resource and as something else as well", f.Path),
				Mend: "Copy the file, and use each copy for one thing."})
		}
		if again && u >= f.use {
			continue
		}
		b.written[f.Path] = f.use
		problems = append(problems, b.copy(f))
	}
	return errors.Join(problems...)
}

func (b *builder) copy(f File) error {
	if f.use == useResource {
		objects, err := b.options.Resources(f.Path)
		if err != nil {
			return err
		}
		b.files[f.Path], err = b.encode(objects)
		return err
	}
	data, err := b.options.Read(f.Path)
	if err != nil {
		return err
	}
	b.files[f.Path] = data
	if f.use == useData {
		return nil
	}
	documents, err := schema.ReadDocuments(f.Path, data, schema.DocumentLimits{})
	for _, d := range documents {
		err = errors.Join(err, shallow(f.Path, d.Node))
	}
	if err == nil && f.use == useDefinitions {
		err = definitions(f.Path, data)
	}
	return err
}

// encode writes objects as JSON, which kustomize reads as YAML. So it sees the
// values as kubectl reads them, whatever its own reader makes of `yes`.
func (b *builder) encode(objects []schema.Object) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	var problems []error
	for _, o := range objects {
		if name, _ := nested(o.Object, "metadata")["name"].(string); name == "" {
			problems = append(problems, noName(o))
			continue
		}
		out.WriteString("---\n")
		if err := encoder.Encode(b.marked(o)); err != nil {
			problems = append(problems, fmt.Errorf("writing %s for kustomize: %w", o.Key(), err))
		}
	}
	// JSON leaves DEL as it is, which YAML forbids.
	return bytes.ReplaceAll(out.Bytes(), []byte{0x7f}, []byte(`\u007f`)), errors.Join(problems...)
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

// marked returns the object with the marker. Only what changes is copied.
func (b *builder) marked(o schema.Object) map[string]any {
	index := len(b.sources)
	b.sources = append(b.sources, schema.Object{Origin: o.Origin, Fields: o.Fields})
	metadata := nested(o.Object, "metadata")
	annotations := nested(metadata, "annotations")
	if _, present := metadata["annotations"]; present && annotations == nil && metadata["annotations"] != nil {
		return o.Object // of a wrong type: left for the check to report
	}
	if annotations[needsHash] == "true" {
		return o.Object
	}
	annotations = with(annotations, marker, strconv.Itoa(index))
	return with(o.Object, "metadata", with(metadata, "annotations", annotations))
}

func with(m map[string]any, name string, value any) map[string]any {
	out := make(map[string]any, len(m)+1)
	for k, v := range m {
		out[k] = v
	}
	out[name] = value
	return out
}

// origin takes the marker off and returns what it stands for.
func (b *builder) origin(u *unstructured.Unstructured) (schema.Origin, *schema.Fields) {
	source := schema.Object{Origin: schema.Origin{File: b.graph.File}}
	metadata := nested(u.Object, "metadata")
	text, _ := nested(metadata, "annotations")[marker].(string)
	if i, err := strconv.Atoi(text); err == nil && i >= 0 && i < len(b.sources) {
		source = b.sources[i]
	}
	unmark(u.Object)
	if annotations, ok := metadata["annotations"].(map[string]any); ok && len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	source.Origin.Overlay = b.graph.Folders[0]
	return source.Origin, source.Fields
}

// unmark removes the marker everywhere: a replacement may have copied a whole
// set of annotations somewhere else.
func unmark(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, marker)
		for _, child := range v {
			unmark(child)
		}
	case []any:
		for _, child := range v {
			unmark(child)
		}
	}
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
