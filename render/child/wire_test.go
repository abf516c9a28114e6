package child

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"rota.dev/rota/render/expand"
	"rota.dev/rota/render/overlay"
	"rota.dev/rota/schema"
)

// through sends a message over the pipe's format.
func through[T any](t testing.TB, message T) T {
	t.Helper()
	var pipe bytes.Buffer
	if err := newEncoder(&pipe).send(kindAnswer, 7, message, mostMessage); err != nil {
		t.Fatal(err)
	}
	f, err := readFrame(bufio.NewReader(&pipe), mostMessage)
	if err != nil || f.kind != kindAnswer || f.job != 7 {
		t.Fatalf("frame %q of job %d: %v", f.kind, f.job, err)
	}
	var got T
	if err := newDecoder().decode(f, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestEveryFieldTravels fills each exported field of what crosses the pipe, so
// that one that is added later and cannot travel is found here.
func TestEveryFieldTravels(t *testing.T) {
	for _, message := range []any{
		&expand.Job{}, &expand.Rendered{}, &overlay.Job{}, &schema.Problem{}, &bounds{}, &templateAnswer{}, &overlayAnswer{}, &fileAnswer{}, &variable{}, &node{},
	} {
		into := reflect.ValueOf(message).Elem()
		fill(into, into.Type().String())
		switch m := message.(type) {
		case *expand.Job:
			// The variables have a form of their own, see below.
			m.Variables = nil
		case *schema.Problem:
			m.Cause = nil
		}
		var pipe bytes.Buffer
		if err := newEncoder(&pipe).send(kindAnswer, 1, message, mostMessage); err != nil {
			t.Fatal(err)
		}
		f, err := readFrame(bufio.NewReader(&pipe), mostMessage)
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(into.Type())
		if err := newDecoder().decode(f, got.Interface()); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(message, got.Interface()) {
			t.Errorf("%s:\n%s", into.Type(), cmp.Diff(message, got.Interface()))
		}
	}
}

// fill gives every exported field a value that is not zero.
func fill(v reflect.Value, seed string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Type != reflect.TypeFor[*yaml.Node]() {
				fill(v.Field(i), seed+"."+f.Name)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), seed)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), seed+"[0]")
		fill(v.Index(1), seed+"[1]")
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, seed)
		fill(value, seed)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(seed + " \xff\x00\u2028")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int32, reflect.Int64:
		v.SetInt(int64(len(seed)))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(len(seed)))
	case reflect.Float64:
		v.SetFloat(float64(len(seed)) / 3)
	case reflect.Interface:
		if v.Type() == reflect.TypeFor[any]() {
			v.Set(reflect.ValueOf(seed))
		}
	default:
		panic("a field of a kind that has not been thought of: " + seed)
	}
}

// everyKind has each kind of YAML value that a parameter can be, and the traps
// of reading them: what is text, what is a number and which one, the order of
// mappings, aliases and merges.
const everyKind = `
- {text: plain, quoted: "q\"\x00\u2028", single: '007', block: "a\nb\n", empty: "", binary: !!binary AAH/, tagged: !!str 12, custom: !mine x}
- {yes: no, b: N, c: "on", off: yes, d: true, e: null, tilde: ~, nothing: }
- {octal: 0123, hex: 0x1F, exp: 1e3, one: 1.0, 1: 1, half: 0.5, minus: -0.0, big: 9223372036854775807, bigger: 18446744073709551615, huge: 1e30, under: 1_000}
- {date: 2026-11-25, time: 12:30:45, version: 1.10}
- {z: 1, a: 2, m: {y: [], x: {}, w: [1, [2, {v: [~]}]]}}
- base: &base {k: &deep [1, 2.0], l: x}
  again: *base
  deeper: [*deep, *deep, *base]
  merged: {<<: *base, l: own}
  several: {<<: [*base, {n: 1}], o: 2}
- text: |
    several
    lines
  folded: >-
    several
    lines # no comment
  # a comment
  commented: 1 # here
`

func everyValue(t testing.TB) []schema.Value {
	t.Helper()
	documents, err := schema.ReadDocuments("items.yaml", []byte(everyKind), schema.DocumentLimits{})
	if err != nil {
		t.Fatal(err)
	}
	var values []schema.Value
	for i, item := range documents[0].Node.Content {
		data, err := schema.NodeValue("items.yaml", item)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, schema.Value{Name: fmt.Sprintf("item%d", i), Data: data, Node: item})
		for j := 0; j+1 < len(item.Content); j += 2 {
			n := item.Content[j+1]
			data, err := schema.NodeValue("items.yaml", n)
			if err != nil {
				t.Fatal(err)
			}
			for n.Kind == yaml.AliasNode {
				n = n.Alias
			}
			text := ""
			if n.Kind == yaml.ScalarNode && data != nil {
				text = n.Value
			}
			values = append(values, schema.Value{Name: item.Content[j].Value, Text: text, Data: data, Node: n})
		}
	}
	return append(values,
		schema.Value{Name: "range", Text: "-3", Data: int64(-3)},
		schema.Value{Name: "csv", Text: "a\xffb", Data: "a\xffb"},
		schema.Value{Name: "emptyCSV", Data: ""},
		schema.Value{Name: "nil"},
		schema.Value{Name: "bare", Data: map[string]any{"a": []any{nil, true, 0.5, int64(0), "", map[string]any{}, []any{}}}})
}

// sameNodes compares what yaml.Node has with its sharing: cmp alone would
// take two copies for one node.
func sameNodes(a, b *yaml.Node, seen map[*yaml.Node]*yaml.Node) error {
	if (a == nil) != (b == nil) {
		return errors.New("one of the nodes is missing")
	}
	if a == nil {
		return nil
	}
	if known, ok := seen[a]; ok {
		if known != b {
			return fmt.Errorf("line %d: the node is no longer shared", a.Line)
		}
		return nil
	}
	seen[a] = b
	x, y := *a, *b
	x.Alias, y.Alias, x.Content, y.Content = nil, nil, nil, nil
	if !reflect.DeepEqual(x, y) || len(a.Content) != len(b.Content) {
		return errors.New(cmp.Diff(x, y))
	}
	for i := range a.Content {
		if err := sameNodes(a.Content[i], b.Content[i], seen); err != nil {
			return err
		}
	}
	return sameNodes(a.Alias, b.Alias, seen)
}

func TestEveryKindOfValueTravels(t *testing.T) {
	values := everyValue(t)
	variables, nodes := flatten(values)
	order := through(t, templateOrder{Variables: variables, Nodes: nodes})
	got, err := unflatten("items.yaml", order.Variables, order.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(values) {
		t.Fatalf("%d values became %d", len(values), len(got))
	}
	seen := map[*yaml.Node]*yaml.Node{}
	for i, v := range values {
		if v.Name != got[i].Name || v.Text != got[i].Text || !reflect.DeepEqual(v.Data, got[i].Data) {
			t.Errorf("%s: %#v became %#v", v.Name, v, got[i])
		}
		if err := sameNodes(v.Node, got[i].Node, seen); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
}

// TestAliasesTravelOnce sends a document whose aliases would be gigabytes.
func TestAliasesTravelOnce(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	text := "- a: &a " + long + "\n  list: &list [" + strings.Repeat("*a, ", 500) + "*a]\n  lists: [" + strings.Repeat("*list, ", 50) + "*list]\n"
	for i := range 500 {
		text += fmt.Sprintf("  v%d: *a\n", i)
	}
	documents, err := schema.ReadDocuments("items.yaml", []byte(text), schema.DocumentLimits{})
	if err != nil {
		t.Fatal(err)
	}
	items, err := schema.DecodeItems(documents[0])
	if err != nil {
		t.Fatal(err)
	}
	variables, nodes := flatten(items[0].List)
	var pipe bytes.Buffer
	if err := newEncoder(&pipe).send(kindTemplate, 1, templateOrder{Variables: variables, Nodes: nodes}, mostMessage); err != nil {
		t.Fatal(err)
	}
	if size := pipe.Len(); size > 2<<20 {
		t.Errorf("a document of %d bytes takes %d on the pipe", len(text), size)
	}
	got, err := unflatten("items.yaml", variables, nodes)
	if err != nil || len(got) != 503 || got[502].Text != long || got[502].Data != long {
		t.Errorf("%d values came back: %v", len(got), err)
	}
}

func TestErrorsTravel(t *testing.T) {
	key := schema.Key{Kind: "Job", Name: "a"}
	problem := &schema.Problem{Rule: "R041", Severity: schema.SeverityWarning, Origin: schema.Origin{File: "a.j2", Line: 3}, Object: &key, Field: "f", Message: "m", Mend: "d"}
	caused := *problem
	caused.Cause = &fs.PathError{Op: "open", Path: "b", Err: fs.ErrNotExist}
	for name, err := range map[string]error{
		"none": nil, "a Problem": problem, "a Problem with a cause": &caused, "a text": errors.New("x"), "a missing file": fmt.Errorf("b: %w", fs.ErrNotExist),
		"several": errors.Join(problem, errors.New("x"), &caused), "a wrapped one": fmt.Errorf("w: %w", problem),
	} {
		got := errorOf(through(t, fileAnswer{Faults: faultsOf(err)}).Faults)
		if errors.Is(got, fs.ErrNotExist) != errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: whether a file is missing was lost: %v", name, got)
		}
		show := func(err error) (all []string) {
			for _, p := range schema.Problems(err) {
				all = append(all, fmt.Sprintf("%s %s %v %v", p.Severity, p, p.Object, p.Cause))
			}
			return all
		}
		if diff := cmp.Diff(show(err), show(got)); diff != "" && name != "a text" && name != "a missing file" && name != "several" {
			t.Errorf("%s:\n%s", name, diff)
		}
		if err != nil && name != "a wrapped one" && err.Error() != got.Error() {
			t.Errorf("%s: %q became %q", name, err, got)
		}
	}
}

func TestFramesAreBounded(t *testing.T) {
	var pipe bytes.Buffer
	e := newEncoder(&pipe)
	var large *tooLarge
	if err := e.send(kindFile, 1, fileAnswer{Data: make([]byte, 5000)}, 5000); !errors.As(err, &large) || pipe.Len() > 0 {
		t.Errorf("a message beyond the bound: %v, and %d bytes were sent", err, pipe.Len())
	}
	if err := newEncoder(&pipe).send(kindFile, 1, fileAnswer{Data: make([]byte, 5000)}, 6000); err != nil {
		t.Error(err)
	}
	whole := pipe.Bytes()
	if _, err := readFrame(bufio.NewReader(bytes.NewReader(whole)), 5000); !errors.Is(err, errNonsense) {
		t.Errorf("a frame beyond the bound: %v", err)
	}
	for cut := range len(whole) {
		want := io.ErrUnexpectedEOF
		if cut == 0 {
			want = io.EOF
		}
		if _, err := readFrame(bufio.NewReader(bytes.NewReader(whole[:cut])), 6000); err != want {
			t.Fatalf("a frame that ends after %d bytes: %v", cut, err)
		}
	}
}

// FuzzAnswers gives the parent whatever a broken child could write.
func FuzzAnswers(f *testing.F) {
	for _, message := range []any{
		templateAnswer{Rendered: expand.Rendered{Text: "a", Used: []string{"b"}}, Faults: []fault{{Problem: &schema.Problem{Rule: "R041"}}}},
		overlayAnswer{Objects: []json.RawMessage{[]byte("{}")}}, fileQuestion{"a"}, stopped{boundMemory},
	} {
		var pipe bytes.Buffer
		if err := newEncoder(&pipe).send(kindAnswer, 1, message, mostMessage); err != nil {
			f.Fatal(err)
		}
		f.Add(pipe.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, d := bufio.NewReader(bytes.NewReader(data)), newDecoder()
		for range 3 {
			frame, err := readFrame(r, 1<<20)
			if err != nil {
				return
			}
			var answer templateAnswer
			if err := d.decode(frame, &answer); err != nil && !errors.Is(err, errNonsense) {
				t.Fatalf("an error of another kind: %v", err)
			} else if err == nil {
				_ = errorOf(answer.Faults)
			}
		}
	})
}

func TestNodesOutOfRangeAreRefused(t *testing.T) {
	for name, nodes := range map[string][]node{
		"an alias": {{Kind: uint32(yaml.AliasNode), Alias: 9}}, "content": {{Kind: uint32(yaml.SequenceNode), Content: []int{-1}}},
	} {
		if _, err := unflatten("a", nil, nodes); !errors.Is(err, errNonsense) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := unflatten("a", []variable{{Node: 1}}, nil); !errors.Is(err, errNonsense) {
		t.Errorf("a variable: %v", err)
	}
}
