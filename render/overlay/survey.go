package overlay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/utils"
	"sigs.k8s.io/yaml"

	"rota.dev/rota/schema"
)

// survey is what the kustomizations of a graph do to objects, as far as it
// decides which objects may be built apart from each other. It knows no list
// of fields: kustomize finds an object by its name or by a selector, and
// compares texts; where a text stands is of no importance here.
type survey struct {
	files  map[string][]byte
	limits schema.DocumentLimits
	// together is why all objects must be built in one run; "" if they need not.
	together string
	// bare is what depends on an object having annotations at all, so that no
	// marker can be put on it; "" if nothing does.
	bare string
	// layers find where something in an object was written.
	layers *layers
	// item is the entry of a kustomization that is looked at.
	item string
	// affixes are what may stand around the name of an object at any time.
	affixes []affix
	// namespaced is whether objects of two namespaces stay apart: nothing
	// sets a namespace.
	namespaced bool
	// namespaces are those that kustomizations name.
	namespaces []string
	// fifo is whether the order of the repository is kept.
	fifo bool
	// vars is whether $(NAME) is replaced in texts.
	vars bool
	// entries are the patches that are for objects of known names.
	entries []*entry
	// choices are the selectors of all other patches and of replacements.
	choices []choice
	// needed are objects that must be there, in a number that counts.
	needed []reference
	// generated are the objects that the kustomizations make.
	generated []reference
	// constants are texts that the kustomizations write into objects.
	constants map[string]bool
	// images match the images that are changed.
	images []*regexp.Regexp
	// labels and annotations are the keys that selectors look at.
	labels, annotations map[string]bool
}

// reference is how a kustomization names an object; an empty field is any.
type reference struct{ kind, name string }

// entry is an item of `patches` or `patchesStrategicMerge` that is for objects
// of known names, and so is not needed where none of them is.
type entry struct {
	file, field string
	index       int
	// must is whether kustomize fails where the object is missing.
	must bool
	refs []reference
}

// choice is a selector of a patch or of a replacement.
type choice struct {
	pattern *types.SelectorRegex
	// names is whether it looks at names.
	names bool
	// literal is the name that it looks for, if it is no pattern.
	literal string
	// merges is whether keys of lists are compared; reads is whether values of
	// the object decide what is done to it.
	merges, reads bool
}

func (g *Graph) survey(files map[string][]byte) *survey {
	s := &survey{files: files, limits: g.limits, namespaced: true, constants: map[string]bool{}, labels: map[string]bool{}, annotations: map[string]bool{}}
	for _, k := range g.kustomizations {
		s.kustomization(k)
	}
	top := g.kustomizations[0]
	s.fifo = top.SortOptions != nil && top.SortOptions.Order == types.FIFOSortOrder
	if slices.Contains(top.BuildMetadata, types.TransformerAnnotations) {
		s.apart("buildMetadata in " + top.file + " has transformerAnnotations, which lists every transformer on every object")
	}
	if s.bare != "" {
		s.apart(s.bare + " depends on objects having annotations at all")
	}
	n := naming{graph: g, seen: map[affix]bool{}, done: map[string][]affix{}}
	n.folder(top.dir, nil)
	if len(n.seen) > mostAffixes {
		s.apart("bases, prefixes and suffixes are combined in too many ways")
	}
	if n.twice && s.fifo {
		s.apart("sortOptions in " + top.file + " keeps the order of the repository, and a folder is used in two ways")
	}
	for a := range n.seen {
		s.affixes = append(s.affixes, a)
	}
	slices.SortFunc(s.affixes, func(a, b affix) int {
		return strings.Compare(a.prefix+"\x00"+a.suffix, b.prefix+"\x00"+b.suffix)
	})
	return s
}

// leaveBare notes the entry that is looked at as one that depends on an object
// having annotations at all, if it does.
func (s *survey) leaveBare(does bool) {
	if does && s.bare == "" {
		s.bare = s.item
	}
}

// patterns returns how many selectors look for names by a pattern.
func (s *survey) patterns() int {
	n := 0
	for _, c := range s.choices {
		if c.names && c.literal == "" {
			n++
		}
	}
	return n
}

// apart notes why objects cannot be built apart; the first reason is kept.
func (s *survey) apart(why string) {
	if s.together == "" {
		s.together = why
	}
}

func (s *survey) kustomization(k kustomization) {
	if k.Namespace != "" {
		s.namespaced = false
		s.needed = append(s.needed, reference{kind: types.NamespaceKind}) // it renames them
		s.namespaces = append(s.namespaces, k.Namespace)
		s.constants[k.Namespace] = true
	}
	for _, image := range k.Images {
		s.image(image)
	}
	for _, r := range k.Replicas {
		s.needed = append(s.needed, reference{name: r.Name})
	}
	//lint:ignore SA1019 repositories still have the old field, and it is read
	for i, v := range k.Vars {
		s.vars, s.item = true, itemOf("vars", i, k.file)
		s.needed = append(s.needed, reference{v.ObjRef.Kind, v.ObjRef.Name})
		s.leaveBare(wholeAnnotations(v.FieldRef.FieldPath))
	}
	s.pairs(k)
	for _, g := range k.ConfigMapGenerator {
		s.generator("ConfigMap", k.dir, g.GeneratorArgs)
	}
	for _, g := range k.SecretGenerator {
		s.generator("Secret", k.dir, g.GeneratorArgs)
	}
	s.patches(k)
	for i, r := range k.Replacements {
		s.item = itemOf("replacements", i, k.file)
		s.replacementField(k.dir, r)
	}
	for _, file := range k.Configurations {
		s.configuration(path.Join(k.dir, file))
	}
	for _, file := range k.Crds {
		if bytes.Contains(s.files[path.Join(k.dir, file)], []byte("x-kubernetes-identity")) {
			s.apart(path.Join(k.dir, file) + " decides which fields get a prefix")
		}
	}
}

// image compiles what matches all that kustomize takes for the image, which
// puts the name into a regular expression as it is.
func (s *survey) image(image types.Image) {
	s.constants[image.NewName] = true
	if pattern, err := regexp.Compile("^" + image.Name + "(?s:[:@].*)?$"); err == nil {
		s.images = append(s.images, pattern)
	}
}

func (s *survey) pairs(k kustomization) {
	//lint:ignore SA1019 repositories still have the old field, and it is read
	pairs := []map[string]string{k.CommonLabels, k.CommonAnnotations}
	for _, l := range k.Labels {
		pairs = append(pairs, l.Pairs)
		for _, spec := range l.FieldSpecs {
			if identity(utils.PathSplitter(spec.Path, "/")) {
				s.apart("labels of " + k.file + " change the name of objects")
			}
		}
	}
	if o := k.GeneratorOptions; o != nil {
		pairs = append(pairs, o.Labels, o.Annotations)
	}
	for _, m := range pairs {
		for _, v := range m {
			s.constants[v] = true
		}
	}
}

func (s *survey) generator(kind, dir string, g types.GeneratorArgs) {
	made := reference{kind, g.Name}
	s.namespaces = append(s.namespaces, g.Namespace)
	s.generated = append(s.generated, made)
	s.needed = append(s.needed, made)
	values := func(lines []string) {
		for _, line := range lines {
			if _, v, ok := strings.Cut(line, "="); ok {
				s.constants[v] = true
			}
		}
	}
	values(g.LiteralSources)
	for _, file := range g.EnvSources {
		values(strings.Split(string(s.files[path.Join(dir, file)]), "\n"))
	}
	for _, file := range g.FileSources {
		if _, after, ok := strings.Cut(file, "="); ok {
			file = after
		}
		if data := s.files[path.Join(dir, file)]; len(data) < 256 {
			s.constants[string(bytes.TrimSpace(data))] = true
		}
	}
	if o := g.Options; o != nil {
		for _, v := range o.Labels {
			s.constants[v] = true
		}
		for _, v := range o.Annotations {
			s.constants[v] = true
		}
	}
}

// selector adds a choice. It is false if kustomize could not read it either.
func (s *survey) selector(t *types.Selector, c choice) bool {
	var err error
	if c.pattern, err = types.NewSelectorRegex(t); err != nil {
		return false
	}
	if c.names = t.Name != ""; c.names && regexp.QuoteMeta(t.Name) == t.Name {
		c.literal = t.Name
	}
	for _, look := range []struct {
		expression string
		keys       map[string]bool
	}{{t.LabelSelector, s.labels}, {t.AnnotationSelector, s.annotations}} {
		if look.expression == "" {
			continue
		}
		parsed, err := labels.Parse(look.expression)
		if err != nil {
			return false
		}
		requirements, _ := parsed.Requirements()
		for _, r := range requirements {
			look.keys[r.Key()] = true
		}
	}
	s.choices = append(s.choices, c)
	return true
}

func (s *survey) replacementField(dir string, r types.ReplacementField) {
	if r.Path == "" {
		s.replacement(r.Replacement)
		return
	}
	var list []types.Replacement
	data := s.files[path.Join(dir, r.Path)]
	if yaml.Unmarshal(data, &list) != nil {
		var one types.Replacement
		if err := yaml.Unmarshal(data, &one); err != nil {
			s.apart(s.item + " cannot be read")
			return
		}
		list = []types.Replacement{one}
	}
	for _, one := range list {
		s.replacement(one)
	}
}

func (s *survey) replacement(r types.Replacement) {
	if r.SourceValue != nil {
		s.constants[*r.SourceValue] = true
	}
	if r.Source != nil {
		s.needed = append(s.needed, reference{r.Source.Kind, r.Source.Name})
		s.leaveBare(wholeAnnotations(r.Source.FieldPath))
	}
	for _, t := range r.Targets {
		if t == nil || t.Select == nil || !s.selector(t.Select, choice{reads: true}) {
			s.apart(s.item + " has no selector, or one that cannot be read")
			continue
		}
		for _, reject := range t.Reject {
			if reject == nil || !s.selector(reject, choice{}) {
				s.apart(s.item + " has a selector that cannot be read")
			}
		}
		fieldPaths := t.FieldPaths
		if len(fieldPaths) == 0 {
			fieldPaths = []string{types.DefaultReplacementFieldPath}
		}
		for _, fieldPath := range fieldPaths {
			s.leaveBare(wholeAnnotations(fieldPath))
			if identity(utils.SmarterPathSplitter(fieldPath, ".")) {
				s.apart(s.item + " changes the name, the namespace or the kind of objects")
			}
		}
	}
}

// identity reports whether a path may lead to what an object is known by.
func identity(path []string) bool {
	any := func(step string) bool { return step == "" || step == "*" }
	switch first := path[0]; {
	case any(first), first == "kind", first == "apiVersion":
		return true
	case first != "metadata":
		return false
	}
	return len(path) == 1 || any(path[1]) || path[1] == "name" || path[1] == "namespace"
}

// wholeAnnotations reports whether a field path shows if an object has
// annotations, or all of them.
func wholeAnnotations(fieldPath string) bool {
	path := utils.SmarterPathSplitter(fieldPath, ".")
	switch {
	case path[0] == "*":
		return true
	case path[0] != "metadata":
		return false
	}
	return len(path) == 1 || path[1] == "*" || path[1] == "annotations" && (len(path) == 2 || path[2] == "*")
}

// configuration looks at a file of field specs, which may write into names.
func (s *survey) configuration(file string) {
	var content any
	if err := yaml.Unmarshal(s.files[file], &content); err != nil {
		s.apart(file + " cannot be read")
	}
	s.fieldSpecs(file, content)
}

func (s *survey) fieldSpecs(file string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			// Names of fields are taken in any case.
			where, isText := value.(string)
			if strings.EqualFold(key, "namePrefix") || strings.EqualFold(key, "nameSuffix") ||
				isText && strings.EqualFold(key, "path") && identity(utils.PathSplitter(where, "/")) {
				s.apart(file + " decides which names are changed")
			}
			s.fieldSpecs(file, value)
		}
	case []any:
		for _, value := range v {
			s.fieldSpecs(file, value)
		}
	}
}

// write notes the texts that v would bring into an object.
func (s *survey) write(v any) {
	scalars(v, func(value any) { s.constants[scalarText(value)] = true })
}

// scalars calls yield with every scalar in v.
func scalars(v any, yield func(any)) {
	switch v := v.(type) {
	case map[string]any:
		for _, value := range v {
			scalars(value, yield)
		}
	case []any:
		for _, value := range v {
			scalars(value, yield)
		}
	case nil:
	default:
		yield(v)
	}
}

// scalarText returns a scalar as YAML writes it.
func scalarText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(text)
	}
}

// documents reads the text of a patch.
func (s *survey) documents(text []byte) ([]any, bool) {
	read, err := schema.ReadDocuments("", text, s.limits)
	if err != nil {
		return nil, false
	}
	var values []any
	for _, d := range read {
		v, err := d.Value()
		if err != nil {
			return nil, false
		}
		values = append(values, v)
	}
	return values, len(values) > 0
}
