package overlay

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

// standIn is a group of objects that is built in place of a family. Where the
// members differ it has tokens, which are put nowhere else and by which the
// values are found in what was built.
type standIn struct {
	family  *family
	content []map[string]any
	// holes are what the tokens stand for.
	holes   map[string]hole
	numbers map[int64]int // by the integer that stands for a leaf
}

// hole is a value that differs: a leaf without so many bytes at its beginning
// and its end, which are the same in all members.
type hole struct{ leaf, before, after int }

// tokens gives texts and numbers that the input does not have.
type tokens struct {
	mark    string
	numbers int64
	pattern *regexp.Regexp
	next    int
}

// mostTokens is how far numbers may go on from the first one.
const mostTokens = 1 << 24

// newTokens chooses a mark that no text of the input has. It is the same for
// equal inputs.
func newTokens(inputs []input, files map[string][]byte) *tokens {
	t := &tokens{}
	for try := 0; ; try++ {
		t.mark = fmt.Sprintf("rota%dq", try)
		t.numbers = int64(71_000_000_000_000 + try*mostTokens)
		if !t.found(inputs, files) {
			break
		}
	}
	t.pattern = regexp.MustCompile(t.mark + `([0-9]+)x`)
	return t
}

func (t *tokens) found(inputs []input, files map[string][]byte) bool {
	for _, data := range files {
		if strings.Contains(string(data), t.mark) {
			return true
		}
	}
	for _, o := range inputs {
		if t.in(o.Object.Object) {
			return true
		}
	}
	return false
}

// in reports whether v has a token, in a key or a value.
func (t *tokens) in(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if strings.Contains(key, t.mark) || t.in(value) {
				return true
			}
		}
	case []any:
		for _, value := range v {
			if t.in(value) {
				return true
			}
		}
	case string:
		return strings.Contains(v, t.mark)
	case int64:
		return v >= t.numbers && v < t.numbers+mostTokens
	}
	return false
}

func (t *tokens) text() string {
	t.next++
	return fmt.Sprintf("%s%dx", t.mark, t.next)
}

// standIn makes one for a family. It is nil if selectors would choose it
// otherwise than the members.
func (r *relations) standIn(f *family, looks *looks, t *tokens) *standIn {
	s := &standIn{family: f, holes: map[string]hole{}, numbers: map[int64]int{}}
	read := &reading{relations: r, looks: looks}
	read.begin(f.groups[0])
	for _, i := range f.groups[0] {
		content := runtime.DeepCopyJSON(r.objects[i].Object.Object)
		s.content = append(s.content, content)
		read.content(i, content)
	}
	names := map[int]string{}
	for i, l := range read.leaves {
		if l.own {
			names[l.name] = s.name(i, l.value, t)
		}
	}
	written := make([]any, len(read.leaves))
	for i, l := range read.leaves {
		written[i] = l.value
		switch {
		case l.name >= 0:
			written[i] = names[l.name]
		case f.same(i):
			continue
		case l.same >= 0:
			written[i] = written[l.same]
		default:
			written[i] = s.value(i, l.value, t)
		}
		l.set(written[i])
	}
	for position, content := range s.content {
		if bits, _, _ := looks.at(idOf(content)).names(r.affixes, idOf(content).name); bits != f.bits[position] {
			return nil
		}
	}
	return s
}

// same reports whether all members have the same value.
func (f *family) same(leaf int) bool {
	for _, values := range f.values[1:] {
		if values[leaf] != f.values[0][leaf] {
			return false
		}
	}
	return true
}

func (s *standIn) value(leaf int, v any, t *tokens) any {
	if _, isText := v.(string); isText {
		token := t.text()
		s.holes[token] = hole{leaf: leaf}
		return token
	}
	t.next++
	number := t.numbers + int64(t.next)
	s.numbers[number] = leaf
	return number
}

// name returns the name of the stand-in: what all names begin and end with, as
// selectors may look at it, round a token.
func (s *standIn) name(leaf int, v any, t *tokens) string {
	first := v.(string)
	begin, end := len(first), len(first)
	for _, values := range s.family.values {
		name := values[leaf].(string)
		begin = min(begin, alike(first, name))
	}
	for _, values := range s.family.values {
		name := values[leaf].(string)
		end = min(end, len(name)-begin, alike(reverse(first[begin:]), reverse(name[begin:])))
	}
	token := t.text()
	s.holes[token] = hole{leaf, begin, end}
	return first[:begin] + token + first[len(first)-end:]
}

// alike returns how many bytes a and b begin with alike. Names are ASCII.
func alike(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func reverse(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// form is what was built of a stand-in, ready to be filled with the values of
// a member. Exactly one field is in use.
type form struct {
	fixed  any
	fields map[string]*form
	list   []*form
	leaf   int // from 1
	parts  []part
}

// part is a piece of a text.
type part struct {
	text string
	hole *hole
}

// compile makes a form. It is not ok if a token is where none can be filled.
func (s *standIn) compile(v any, t *tokens) (*form, bool) {
	switch v := v.(type) {
	case map[string]any:
		f := &form{fields: make(map[string]*form, len(v))}
		for key, value := range v {
			child, ok := s.compile(value, t)
			if !ok || strings.Contains(key, t.mark) {
				return nil, false
			}
			f.fields[key] = child
		}
		return f, true
	case []any:
		f := &form{list: make([]*form, len(v))}
		for i, value := range v {
			child, ok := s.compile(value, t)
			if !ok {
				return nil, false
			}
			f.list[i] = child
		}
		return f, true
	case string:
		return s.compileText(v, t)
	case int64:
		if leaf, ok := s.numbers[v]; ok {
			return &form{leaf: leaf + 1}, true
		}
	}
	return &form{fixed: v}, !t.in(v)
}

func (s *standIn) compileText(text string, t *tokens) (*form, bool) {
	for number := range s.numbers {
		if strings.Contains(text, strconv.FormatInt(number, 10)) {
			return nil, false
		}
	}
	if h, ok := s.holes[text]; ok && h.before == 0 && h.after == 0 {
		return &form{leaf: h.leaf + 1}, true
	}
	if !strings.Contains(text, t.mark) {
		return &form{fixed: text}, true
	}
	f := &form{}
	for text != "" {
		at := t.pattern.FindStringIndex(text)
		if at == nil {
			f.parts = append(f.parts, part{text: text})
			break
		}
		h, ok := s.holes[text[at[0]:at[1]]]
		if !ok {
			return nil, false
		}
		f.parts = append(f.parts, part{text: text[:at[0]]}, part{hole: &h})
		text = text[at[1]:]
	}
	for _, p := range f.parts {
		if strings.Contains(p.text, t.mark) {
			return nil, false
		}
	}
	return f, true
}

// fill returns what was built with the values of a member in it, sharing
// nothing.
func (f *form) fill(values []any) any {
	switch {
	case f.fields != nil:
		m := make(map[string]any, len(f.fields))
		for key, child := range f.fields {
			m[key] = child.fill(values)
		}
		return m
	case f.list != nil:
		list := make([]any, len(f.list))
		for i, child := range f.list {
			list[i] = child.fill(values)
		}
		return list
	case f.leaf > 0:
		return values[f.leaf-1]
	case f.parts != nil:
		var b strings.Builder
		for _, p := range f.parts {
			b.WriteString(p.text)
			if p.hole != nil {
				v := values[p.hole.leaf].(string)
				b.WriteString(v[p.hole.before : len(v)-p.hole.after])
			}
		}
		return b.String()
	default:
		return f.fixed
	}
}
