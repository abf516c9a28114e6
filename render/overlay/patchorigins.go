package overlay

import (
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"

	"rota.dev/rota/schema"
)

// patchText is the text of a patch and where it stands.
type patchText struct {
	file      string
	documents []*yaml.Node
	// line and column are added to positions in the text.
	line, column int
	// whole, if set, is the position of all of it: that inside is not known.
	whole *yaml.Node
}

func (t patchText) at(n *yaml.Node) schema.Origin {
	if t.whole != nil {
		return schema.NodeOrigin(t.file, t.whole)
	}
	return schema.Origin{File: t.file, Line: n.Line + t.line, Column: n.Column + t.column}
}

// patches adds what is carried out after prefixes and namespaces: the old JSON
// patches, annotations and labels.
func (b *indexer) patches(k *kustomization) {
	//lint:ignore SA1019 repositories still have the old fields, and they are read
	old := k.PatchesJson6902
	for i, p := range slices.Backward(old) {
		b.patch(step(step(b.node, "patchesJson6902"), i), p)
	}
	b.pairs(step(b.node, "commonAnnotations"), []string{"annotations"}, nil)
	inSelectors := []string{"labels", "matchLabels", "selector"}
	b.pairs(step(b.node, "commonLabels"), inSelectors, nil)
	for i, l := range slices.Backward(k.Labels) {
		b.pairs(step(step(step(b.node, "labels"), i), "pairs"), inSelectors, l.FieldSpecs)
	}
}

// merges adds what is carried out before them.
func (b *indexer) merges(k *kustomization) {
	for i, p := range slices.Backward(k.Patches) {
		b.patch(step(step(b.node, "patches"), i), p)
	}
	//lint:ignore SA1019 repositories still have the old field, and it is read
	for i, p := range slices.Backward(k.PatchesStrategicMerge) {
		n := step(step(b.node, "patchesStrategicMerge"), i)
		if file := path.Join(k.dir, string(p)); b.files[file] != nil {
			b.texts(b.inFile(file), nil)
		} else if n != nil {
			b.texts(b.inline(n), nil)
		}
	}
}

func (b *indexer) patch(n *yaml.Node, p types.Patch) {
	switch inline := step(n, "patch"); {
	case p.Path != "":
		b.texts(b.inFile(path.Join(b.layer.dir, p.Path)), p.Target)
	case inline != nil:
		b.texts(b.inline(inline), p.Target)
	}
}

func (b *indexer) inFile(file string) patchText {
	return patchText{file: file, documents: b.documents(file)}
}

// inline reads a patch that is a text in the kustomization. Where its lines
// stand is known of a literal block, and of a text on one line.
func (b *indexer) inline(n *yaml.Node) patchText {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	t := patchText{file: b.layer.file}
	read, _ := schema.ReadDocuments(t.file, []byte(n.Value), schema.DocumentLimits{FileBytes: len(n.Value) + 1})
	for _, d := range read {
		t.documents = append(t.documents, d.Node)
	}
	lines := strings.Split(string(b.files[t.file]), "\n")
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		t.line = n.Line
		for i, inner := range strings.Split(n.Value, "\n") {
			if strings.TrimSpace(inner) != "" && n.Line+i < len(lines) {
				t.column = indentOf(lines[n.Line+i]) - indentOf(inner)
				return t
			}
		}
	case n.Line >= 1 && n.Line <= len(lines) && strings.Contains(lines[n.Line-1], n.Value):
		t.line, t.column = n.Line-1, n.Column-1
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			t.column++
		}
	default:
		t.whole = n
	}
	return t
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// texts adds the documents of a patch, each for the object that it names if
// there is no target.
func (b *indexer) texts(t patchText, target *types.Selector) {
	for _, doc := range slices.Backward(t.documents) {
		b.count++
		w := writer{number: b.count, layer: b.layer}
		switch {
		case doc.Kind == yaml.SequenceNode:
			w.wrote = func(q question) (schema.Origin, bool) { return t.operations(q, doc) }
		default:
			w.wrote = func(q question) (schema.Origin, bool) { return t.merge(q, doc) }
		}
		if target != nil {
			inner := w.wrote
			w.wrote = func(q question) (schema.Origin, bool) {
				if !q.chosen(target) {
					return schema.Origin{}, false
				}
				return inner(q)
			}
			b.all = append(b.all, w)
			continue
		}
		kind, name := step(doc, "kind"), step(step(doc, "metadata"), "name")
		if kind == nil || name == nil {
			continue
		}
		inner := w.wrote
		w.wrote = func(q question) (schema.Origin, bool) {
			if q.base.kind != kind.Value {
				return schema.Origin{}, false
			}
			return inner(q)
		}
		b.byName[name.Value] = append(b.byName[name.Value], w)
	}
}

// merge looks for the value in a strategic merge.
func (t patchText) merge(q question, doc *yaml.Node) (schema.Origin, bool) {
	return t.found(q, doc, doc, q.object, q.path)
}

// found looks for the rest of the path in a node that became v; name is the
// name of the node.
func (t patchText) found(q question, name, n *yaml.Node, v any, rest []string) (schema.Origin, bool) {
	for _, step := range rest {
		if name, n = schema.Counterpart(n, v, step); n == nil {
			return schema.Origin{}, false
		}
		v = below(v, step)
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch v.(type) {
	case map[string]any:
		if n.Kind != yaml.MappingNode {
			return schema.Origin{}, false
		}
	case []any:
		if n.Kind != yaml.SequenceNode {
			return schema.Origin{}, false
		}
	default:
		if !schema.SameScalar(n, v) {
			return schema.Origin{}, false
		}
	}
	if q.key {
		n = name
	}
	return t.at(n), true
}

// operations looks for the value in a JSON patch.
func (t patchText) operations(q question, doc *yaml.Node) (schema.Origin, bool) {
	for _, o := range slices.Backward(doc.Content) {
		op, pointer := step(o, "op"), step(o, "path")
		if op == nil || pointer == nil {
			continue
		}
		steps := pointerSteps(pointer.Value)
		if len(steps) > len(q.path) {
			continue
		}
		var v any = q.object
		same := true
		for i, s := range steps {
			_, isList := v.([]any)
			same = same && (s == q.path[i] || isList && s == "-")
			v = below(v, q.path[i])
		}
		if !same {
			continue
		}
		switch value := step(o, "value"); {
		case op.Value == "copy" || op.Value == "move":
			return t.at(pointer), true
		case value == nil || op.Value != "add" && op.Value != "replace":
		default:
			if at, ok := t.found(q, pointer, value, v, q.path[len(steps):]); ok {
				return at, true
			}
		}
	}
	return schema.Origin{}, false
}

// pointerSteps takes a JSON pointer apart, as the library that kustomize uses:
// what stands before the first slash does not matter.
func pointerSteps(pointer string) []string {
	_, after, ok := strings.Cut(pointer, "/")
	if !ok {
		return nil
	}
	steps := strings.Split(after, "/")
	for i, s := range steps {
		steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
	}
	return steps
}
