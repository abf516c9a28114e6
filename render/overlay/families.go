package overlay

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"rota.dev/rota/schema"
)

// family are groups of objects that differ only in values that kustomize
// copies: it does the same to each of them, and one built for all is enough.
type family struct {
	// groups are the members, as numbers of objects.
	groups [][]int
	// values are the texts and integers of each member that may differ, in the
	// order of leaves.
	values [][]any
	// bits are the names that selectors choose, of each object of a member.
	bits []string
}

// families sorts the groups: those that one may stand for, and the others,
// each of which must be built itself.
func (r *relations) families(looks *looks, least int) (families []*family, others [][]int) {
	read := &reading{relations: r, looks: looks}
	by := map[[sha256.Size]byte]*family{}
	for _, group := range r.groups {
		if read.all(group); read.alone {
			others = append(others, group)
			continue
		}
		key := sha256.Sum256(read.shape)
		f := by[key]
		if f == nil {
			f = &family{bits: slices.Clone(read.bits)}
			by[key] = f
			families = append(families, f)
		}
		f.groups = append(f.groups, group)
		f.values = append(f.values, read.values())
	}
	families = slices.DeleteFunc(families, func(f *family) bool {
		few := len(f.groups) < least
		if few {
			others = append(others, f.groups...)
		}
		return few
	})
	slices.SortFunc(others, func(a, b []int) int { return a[0] - b[0] })
	return families, others
}

// leaf is a value of a group that may differ between the members of a family.
type leaf struct {
	value any
	// name is the position in the group of the first object that is named so,
	// or -1: the value must then stay equal to that name.
	name int
	// own is whether the value is the metadata.name of that object.
	own bool
	// same is an earlier leaf of the same text whose equality kustomize may
	// see, or -1.
	same int
	// slot is where the value stands.
	slot
}

// slot is a place in a mapping or in a list.
type slot struct {
	mapping map[string]any
	key     string
	list    []any
	index   int
}

func (s slot) set(v any) {
	if s.mapping != nil {
		s.mapping[s.key] = v
	} else {
		s.list[s.index] = v
	}
}

// reading is a group, taken apart into what must be equal in a family and what
// may differ.
type reading struct {
	*relations
	looks  *looks
	group  []int
	object int
	look   look
	// alone is whether something in the group is looked at in a way that only
	// its own build answers.
	alone bool
	// shape is all that must be equal.
	shape  []byte
	bits   []string
	leaves []leaf
	// compared are the texts in lists of the object, which a strategic merge
	// compares, with the leaf that has it or -1; their number follows.
	compared map[string]comparison
}

type comparison struct{ number, leaf int }

// all reads the objects of a group.
func (f *reading) all(group []int) {
	f.begin(group)
	for _, i := range group {
		f.alone = f.alone || f.patched[i]
		f.content(i, f.objects[i].Object.Object)
	}
}

func (f *reading) begin(group []int) {
	f.group, f.alone = group, false
	f.shape, f.bits, f.leaves = f.shape[:0], f.bits[:0], f.leaves[:0]
}

// content reads an object, or what was copied from it.
func (f *reading) content(i int, content map[string]any) {
	f.object = i
	known := idOf(content)
	f.look = f.looks.at(known)
	bits, reads, merges := f.look.names(f.affixes, known.name)
	// The subjects of a role binding are looked at for what they are.
	f.alone = f.alone || f.look.reads || reads || strings.HasSuffix(known.kind, "RoleBinding")
	f.compared = nil
	if f.look.merges || merges {
		f.compared = map[string]comparison{}
	}
	f.bits = append(f.bits, bits)
	f.text('o', f.objects[i].file)
	f.text('b', bits)
	f.mapping(content, topLevel)
}

func (f *reading) values() []any {
	values := make([]any, len(f.leaves))
	for i, l := range f.leaves {
		values[i] = l.value
	}
	return values
}

// place is where a value stands, as far as it matters.
type place int

const (
	topLevel place = iota
	inMetadata
	inLabels
	inAnnotations
	inItem // of a list
	elsewhere
)

func (f *reading) mapping(m map[string]any, at place) {
	var few [16]string
	keys := few[:0]
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	f.shape = binary.AppendUvarint(append(f.shape, '{'), uint64(len(m)))
	for _, key := range keys {
		f.text('k', key)
		in := slot{mapping: m, key: key}
		f.alone = f.alone || at == inAnnotations && belongsToKustomize.MatchString(key)
		switch {
		case at == topLevel && (key == "apiVersion" || key == "kind"), at == inMetadata && key == "namespace",
			at == inLabels && f.labels[key], at == inAnnotations && f.annotations[key]:
			f.fixed(m[key])
		case at == inMetadata && key == "name":
			f.ownName(m[key], in)
		case at == topLevel && key == "metadata":
			f.value(m[key], inMetadata, in)
		case at == inMetadata && key == "labels":
			f.value(m[key], inLabels, in)
		case at == inMetadata && key == "annotations":
			f.value(m[key], inAnnotations, in)
		case at == inItem:
			f.value(m[key], inItem, in)
		default:
			f.value(m[key], elsewhere, in)
		}
	}
}

// belongsToKustomize matches annotations that change what is done to an object.
var belongsToKustomize = regexp.MustCompile(`^([a-z.]+\.)?(config\.(kubernetes|k8s)\.io|kustomize\.[a-z0-9.]+)/`)

func (f *reading) value(v any, at place, in slot) {
	switch v := v.(type) {
	case map[string]any:
		if at == inItem { // below a direct child
			at = elsewhere
		}
		f.mapping(v, at)
	case []any:
		f.shape = binary.AppendUvarint(append(f.shape, '['), uint64(len(v)))
		for i, item := range v {
			if m, ok := item.(map[string]any); ok {
				f.mapping(m, inItem)
				continue
			}
			f.value(item, inItem, slot{list: v, index: i})
		}
	default:
		f.scalar(v, at, in)
	}
}

// scalar takes a value for one that may differ, unless kustomize looks at what
// it is.
func (f *reading) scalar(v any, at place, in slot) {
	l := leaf{value: v, name: -1, same: -1, slot: in}
	compared := at == inItem && f.compared != nil
	number := 0
	if compared {
		number, l.same = f.compare(v)
	}
	switch v := v.(type) {
	case string:
		if v == "" || !utf8.ValidString(v) || f.vars && strings.Contains(v, "$") || compared && f.constants[v] ||
			slices.ContainsFunc(f.images, func(p *regexp.Regexp) bool { return p.MatchString(v) }) {
			f.fixed(v)
			return
		}
	case int64:
		// A JSON patch takes a number through a float.
		if v > 1<<53 || v < -1<<53 || compared && f.constants[scalarText(v)] {
			f.fixed(v)
			return
		}
	default:
		f.fixed(v)
		return
	}
	named, ok := f.name(v)
	if !ok {
		f.fixed(v)
		return
	}
	if len(named) > 0 {
		l.name = slices.Min(named)
	}
	if l.same >= 0 && isText(f.leaves[l.same].value) != isText(v) {
		f.fixed(v)
		return
	}
	f.differing(v, number, named)
	if compared {
		f.compared[scalarText(v)] = comparison{number, len(f.leaves)}
	}
	f.leaves = append(f.leaves, l)
}

func isText(v any) bool {
	_, is := v.(string)
	return is
}

// compare returns the number of the text among those that a strategic merge
// compares, and the leaf that has it already.
func (f *reading) compare(v any) (number, leaf int) {
	text := scalarText(v)
	known, ok := f.compared[text]
	if !ok {
		known = comparison{len(f.compared) + 1, -1}
		f.compared[text] = known
	}
	return known.number, known.leaf
}

// name returns the positions in the group of the objects that v names. It is
// not ok if v names one of all other objects, or one by another name than the
// one it was written with.
func (f *reading) name(v any) (positions []int, ok bool) {
	text, isText := v.(string)
	if !isText {
		if !f.numeric {
			return nil, true
		}
		text = scalarText(v)
	}
	// What is generated is there always. A reference with a namespace means an
	// object of that one.
	ok = !f.generated[reference{name: text}] && !f.namespaces[text]
	f.named(text, f.object, func(i int) {
		position := slices.Index(f.group, i)
		switch {
		case f.shared[i]:
			ok = false
		case position < 0 || f.ids[i].name != text || !isText:
			f.alone = true
		default:
			positions = append(positions, position)
		}
	})
	return positions, ok
}

// simpleName matches the names that kustomize keeps as they are. It writes
// them into lists that are separated by commas, for instance.
var simpleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (f *reading) ownName(v any, in slot) {
	name, isText := v.(string)
	plain := isText && simpleName.MatchString(name)
	for _, a := range f.affixes {
		// A text that becomes a number loses its quotes somewhere.
		_, isText := schema.PlainValue(a.around(name)).(string)
		plain = plain && isText
	}
	before := len(f.leaves)
	if plain {
		f.scalar(v, elsewhere, in)
	}
	if len(f.leaves) == before {
		f.fixed(v)
		f.alone = true
		return
	}
	l := &f.leaves[before]
	l.own = l.name == slices.Index(f.group, f.object)
}

// fixed notes a value that must be the same in the whole family.
func (f *reading) fixed(v any) {
	tag := byte('=')
	switch v.(type) {
	case string:
		tag = '"'
	case int64:
		tag = '#'
	}
	f.text(tag, scalarText(v))
}

// differing notes a value that may differ, by its type and what it must be
// equal to.
func (f *reading) differing(v any, number int, named []int) {
	tag := byte('i')
	if isText(v) {
		tag = 's'
	}
	f.shape = binary.AppendUvarint(append(f.shape, tag), uint64(number))
	f.shape = binary.AppendUvarint(f.shape, uint64(len(named)))
	for _, position := range named {
		f.shape = binary.AppendUvarint(f.shape, uint64(position))
	}
}

// text adds a text to the shape so that its end is clear.
func (f *reading) text(tag byte, text string) {
	f.shape = binary.AppendUvarint(append(f.shape, tag), uint64(len(text)))
	f.shape = append(f.shape, text...)
}

// looks knows, for each kind, what looks at objects of it.
type looks struct {
	choices  []choice
	literals map[string][]int // choices by the name that they look for
	known    map[[2]string]look
}

// look is what may be done to objects of one kind.
type look struct {
	looks         *looks
	reads, merges bool
	// patterns are the choices by a pattern of names; kind is whether a choice
	// is for objects of this kind.
	patterns []int
	kind     func(choice) bool
}

func newLooks(s *survey) *looks {
	l := &looks{choices: s.choices, literals: map[string][]int{}, known: map[[2]string]look{}}
	for i, c := range s.choices {
		if c.literal != "" {
			l.literals[c.literal] = append(l.literals[c.literal], i)
		}
	}
	return l
}

func (l *looks) at(known id) look {
	key := [2]string{known.apiVersion, known.kind}
	if found, ok := l.known[key]; ok {
		return found
	}
	gvk := gvkOf(known)
	found := look{looks: l, kind: func(c choice) bool { return c.pattern.MatchGvk(gvk) }}
	for i, c := range l.choices {
		switch {
		case !found.kind(c) || c.literal != "":
		case c.names:
			found.patterns = append(found.patterns, i)
		default:
			found.reads = found.reads || c.reads
			found.merges = found.merges || c.merges
		}
	}
	l.known[key] = found
	return found
}

// names returns which choices are for a name, and for which form of it, and
// what the chosen ones do.
func (l look) names(affixes []affix, name string) (bits string, reads, merges bool) {
	var out []byte
	chosen := func(i, affix int) {
		c := l.looks.choices[i]
		out = fmt.Appendf(out, "%d.%d ", i, affix)
		reads, merges = reads || c.reads, merges || c.merges
	}
	for n, a := range affixes {
		for _, i := range l.looks.literals[a.around(name)] {
			if l.kind(l.looks.choices[i]) {
				chosen(i, n)
			}
		}
		for _, i := range l.patterns {
			if l.looks.choices[i].pattern.MatchName(a.around(name)) {
				chosen(i, n)
			}
		}
	}
	return string(out), reads, merges
}
