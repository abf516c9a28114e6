package overlay

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/utils"

	"rota.dev/rota/schema"
)

// indexer makes an index.
type indexer struct {
	*layers
	*index
	layer *kustomization
	node  *yaml.Node // of the kustomization file
	roots map[string][]*yaml.Node
	count int
}

// What is asked after all that writes values as they are: a name that ends
// with a hash is that of what is generated, and other names have what is put
// around them.
const (
	levelHashed = 1
	levelNames  = 2
)

func (b *indexer) add(level int, wrote func(q question) (schema.Origin, bool)) {
	b.count++
	b.all = append(b.all, writer{b.count, level, b.layer, wrote})
}

// documents returns the nodes of the documents of a file.
func (b *indexer) documents(file string) []*yaml.Node {
	if nodes, ok := b.roots[file]; ok {
		return nodes
	}
	// It was read before, within the limits.
	data := b.files[file]
	read, _ := schema.ReadDocuments(file, data, schema.DocumentLimits{FileBytes: len(data) + 1})
	var nodes []*yaml.Node
	for _, d := range read {
		nodes = append(nodes, d.Node)
	}
	if b.roots == nil {
		b.roots = map[string][]*yaml.Node{}
	}
	b.roots[file] = nodes
	return nodes
}

func (b *indexer) root(file string) *yaml.Node {
	if nodes := b.documents(file); len(nodes) > 0 {
		return nodes[0]
	}
	return nil
}

// step returns the value of a field or an item; nil if it is not there.
func step[T string | int](n *yaml.Node, at T) *yaml.Node {
	if n == nil {
		return nil
	}
	name, isName := any(at).(string)
	if !isName {
		name = strconv.Itoa(any(at).(int))
	}
	_, value := schema.Child(n, name)
	return value
}

func below(v any, step string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[step]
	case []any:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}

// kustomization adds what one writes, the last first: kustomize carries out
// its fields in the reverse of this order.
func (b *indexer) kustomization(k *kustomization) {
	b.layer, b.node = k, b.root(k.file)
	for i := range slices.Backward(k.Replacements) {
		b.replacements(i)
	}
	for i, image := range slices.Backward(k.Images) {
		b.image(step(step(b.node, "images"), i), image)
	}
	for i, r := range slices.Backward(k.Replicas) {
		n := step(step(step(b.node, "replicas"), i), "count")
		b.add(0, func(q question) (schema.Origin, bool) {
			at, ok := schema.NodeOrigin(k.file, n), n != nil && q.last() == "replicas" && q.value == r.Count && slices.Contains(q.forms, r.Name)
			return at, ok
		})
	}
	b.patches(k)
	b.namespace()
	b.merges(k)
	for _, g := range generatorsOf(k) {
		b.generator(g)
	}
}

// pairs adds labels or annotations, which stand in a mapping of one of the
// names, or at a path.
func (b *indexer) pairs(n *yaml.Node, names []string, specs []types.FieldSpec) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	file := b.layer.file
	b.add(0, func(q question) (schema.Origin, bool) {
		key, value := schema.Child(n, q.last())
		if value == nil || !schema.SameScalar(value, q.value) && value.Value != q.value {
			return schema.Origin{}, false
		}
		here := slices.Contains(names, q.before()) || slices.ContainsFunc(specs, func(s types.FieldSpec) bool {
			return slices.Equal(utils.PathSplitter(s.Path, "/"), q.path[:len(q.path)-1])
		})
		if q.key {
			value = key
		}
		return schema.NodeOrigin(file, value), here
	})
}

// namespace adds what changes namespaces and names.
func (b *indexer) namespace() {
	k := b.layer
	named := func(q question) bool { return strings.HasSuffix(strings.ToLower(q.last()), "name") }
	suffix, prefix, namespace := step(b.node, "nameSuffix"), step(b.node, "namePrefix"), step(b.node, "namespace")
	if suffix != nil && k.NameSuffix != "" {
		b.add(levelNames, func(q question) (schema.Origin, bool) {
			text, _ := q.value.(string)
			return schema.NodeOrigin(k.file, suffix), named(q) && strings.HasSuffix(text, k.NameSuffix)
		})
	}
	if prefix != nil && k.NamePrefix != "" {
		b.add(levelNames, func(q question) (schema.Origin, bool) {
			text, _ := q.value.(string)
			return schema.NodeOrigin(k.file, prefix), named(q) && strings.HasPrefix(text, k.NamePrefix)
		})
	}
	if namespace != nil && k.Namespace != "" {
		b.add(0, func(q question) (schema.Origin, bool) {
			own := q.is("metadata", "name") && q.base.kind == types.NamespaceKind
			return schema.NodeOrigin(k.file, namespace), (q.last() == "namespace" || own) && q.value == k.Namespace
		})
	}
}

// imageName matches an image and takes it apart as kustomize does.
var imageName = regexp.MustCompile(`^(.*?)(?::([^:/@]*))?(?:@(.*))?$`)

func (b *indexer) image(n *yaml.Node, image types.Image) {
	var at *yaml.Node
	for _, field := range []string{"newName", "tagSuffix", "digest", "newTag"} {
		if found := step(n, field); found != nil {
			at = found
		}
	}
	pattern, err := regexp.Compile("^" + image.Name + "$")
	if at == nil || err != nil {
		return
	}
	file := b.layer.file
	b.add(0, func(q question) (schema.Origin, bool) {
		text, _ := q.value.(string)
		parts := imageName.FindStringSubmatch(text)
		if q.last() != "image" || parts == nil {
			return schema.Origin{}, false
		}
		name, tag, digest := parts[1], parts[2], parts[3]
		good := image.NewName != "" && name == image.NewName || image.NewName == "" && pattern.MatchString(name)
		good = good && (image.NewTag == "" || tag == image.NewTag) && (image.Digest == "" || digest == image.Digest)
		return schema.NodeOrigin(file, at), good && strings.HasSuffix(tag, image.TagSuffix)
	})
}

// replacements adds those of one entry, which may be a file of several.
func (b *indexer) replacements(i int) {
	entry := step(step(b.node, "replacements"), i)
	file, lists := b.layer.file, []*yaml.Node{entry}
	if name := b.layer.Replacements[i].Path; name != "" {
		file = path.Join(b.layer.dir, name)
		lists = nil
		if root := b.root(file); root != nil && root.Kind == yaml.SequenceNode {
			lists = root.Content
		} else if root != nil {
			lists = []*yaml.Node{root}
		}
	}
	for _, n := range slices.Backward(lists) {
		var r types.Replacement
		if n == nil || n.Decode(&r) != nil {
			continue
		}
		for t, target := range r.Targets {
			if target == nil || target.Select == nil {
				continue
			}
			paths := step(step(step(n, "targets"), t), "fieldPaths")
			b.add(0, func(q question) (schema.Origin, bool) {
				if !q.chosen(target.Select) || slices.ContainsFunc(target.Reject, func(s *types.Selector) bool { return s != nil && q.chosen(s) }) {
					return schema.Origin{}, false
				}
				for f, fieldPath := range target.FieldPaths {
					if q.follows(utils.SmarterPathSplitter(fieldPath, ".")) {
						return schema.NodeOrigin(file, step(paths, f)), true
					}
				}
				return schema.NodeOrigin(file, n), len(target.FieldPaths) == 0 && q.is("metadata", "name")
			})
		}
	}
}

// follows reports whether the path is one that a replacement writes to.
func (q question) follows(steps []string) bool {
	if len(steps) != len(q.path) {
		return false
	}
	var at any = q.object
	for i, step := range steps {
		at = below(at, q.path[i])
		key, value, keyed := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(step, "["), "]"), "=")
		switch {
		case step == "*", step == q.path[i]:
		case keyed && strings.HasPrefix(step, "[") && scalarText(below(at, key)) == value:
		case strings.HasPrefix(step, "[") && key == q.path[i]:
		default:
			return false
		}
	}
	return true
}

// generator is one entry that makes a ConfigMap or a Secret.
type generator struct {
	types.GeneratorArgs
	kind, field string
	index       int
}

func generatorsOf(k *kustomization) (all []generator) {
	for i, g := range k.ConfigMapGenerator {
		all = append(all, generator{g.GeneratorArgs, "ConfigMap", "configMapGenerator", i})
	}
	for i, g := range k.SecretGenerator {
		all = append(all, generator{g.GeneratorArgs, "Secret", "secretGenerator", i})
	}
	return all
}

func (b *indexer) generator(g generator) {
	n, file := step(step(b.node, g.field), g.index), b.layer.file
	if n == nil {
		return
	}
	b.add(0, func(q question) (schema.Origin, bool) {
		if is, _ := q.named(q.name, g.Name); !is || q.base.kind != g.kind {
			return schema.Origin{}, false
		}
		var at *yaml.Node
		switch {
		case len(q.path) > 1 && (q.path[0] == "data" || q.path[0] == "binaryData" || q.path[0] == "stringData"):
			at = source(n, q.path[1])
		case len(q.path) > 2 && q.path[0] == "metadata":
			at = step(step(step(n, "options"), q.path[1]), q.path[2])
		}
		return schema.NodeOrigin(file, at), at != nil
	})
	b.add(levelHashed, func(q question) (schema.Origin, bool) {
		text, _ := q.value.(string)
		_, hashed := q.named(text, g.Name)
		return schema.NodeOrigin(file, step(n, "name")), hashed && strings.HasSuffix(strings.ToLower(q.last()), "name")
	})
}

// source returns the entry of a generator that a key is from. Files of
// variables are the last that is thought of: their keys are in them.
func source(n *yaml.Node, key string) *yaml.Node {
	for _, field := range []string{"literals", "files"} {
		list := step(n, field)
		if list == nil {
			continue
		}
		for _, item := range list.Content {
			name, _, has := strings.Cut(item.Value, "=")
			if !has {
				name = path.Base(name)
			}
			if name == key {
				return item
			}
		}
	}
	for _, field := range []string{"envs", "env"} {
		if at := step(n, field); at != nil && len(at.Content) == 1 {
			return at.Content[0]
		} else if at != nil {
			return at
		}
	}
	return nil
}
