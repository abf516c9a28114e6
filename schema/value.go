package schema

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Value returns the document as kubectl reads it: the rules of
// sigs.k8s.io/yaml (YAML 1.1 words such as yes and off are booleans, 0123 is
// octal, 1e3 is 1000), but duplicate keys are refused as the YAML
// specification demands. The result consists of map[string]any, []any, string,
// bool, int64, float64 and nil only, as
// [k8s.io/apimachinery/pkg/apis/meta/v1/unstructured] wants it, and shares
// nothing between aliases. Every failure is a [*Problem], all joined.
func (d Document) Value() (any, error) { return NodeValue(d.File, d.Node) }

// NodeValue is [Document.Value] for one node of a document that
// [ReadDocuments] returned.
func NodeValue(file string, node *yaml.Node) (any, error) {
	r := valueReader{file: file}
	v := r.value(node)
	return v, errors.Join(r.problems...)
}

type valueReader struct {
	file     string
	problems []error
}

func (r *valueReader) fail(rule string, n *yaml.Node, message, mend string) {
	r.problems = append(r.problems, &Problem{Rule: rule, Origin: NodeOrigin(r.file, n), Message: message, Mend: mend})
}

func (r *valueReader) value(n *yaml.Node) any {
	switch n.Kind {
	case yaml.AliasNode:
		return r.value(n.Alias)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, child := range n.Content {
			list[i] = r.value(child)
		}
		return list
	case yaml.MappingNode:
		return r.mapping(n)
	default:
		v, err := ScalarValue(n)
		if err != nil {
			r.fail("R003", n, err.Error(), "Quote the value.")
		}
		return v
	}
}

func (r *valueReader) mapping(n *yaml.Node) any {
	entries, err := Entries(r.file, n)
	if err != nil {
		r.problems = append(r.problems, err)
	}
	m := make(map[string]any, len(entries))
	for _, e := range entries {
		m[e.Name] = r.value(e.Value)
	}
	return m
}

// Entry is one key of a mapping and its value.
type Entry struct {
	// Name is the key as kubectl reads it.
	Name string
	// Key and Value are the nodes; Value may be an alias.
	Key, Value *yaml.Node
}

// Entries returns the entries of a mapping in their order, those that `<<`
// brings last. Keys that are there twice, that are no text, and merges that
// readers of YAML understand differently are left out and returned as
// [*Problem], all joined.
func Entries(file string, n *yaml.Node) ([]Entry, error) {
	r := valueReader{file: file}
	entries := make([]Entry, 0, len(n.Content)/2)
	own := make(map[string]*yaml.Node, len(n.Content)/2)
	merges := false
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if isMerge(key) {
			merges = true
			continue
		}
		name, err := KeyValue(key)
		if err != nil {
			mend := "Quote the key."
			if key.Kind == yaml.MappingNode {
				mend = "If {{ … }} is Jinja, name the file *.yaml.jinja2."
			}
			r.fail("R003", key, err.Error(), mend)
			continue
		}
		if first, ok := own[name]; ok {
			r.fail("R002", key, fmt.Sprintf("the key %q is there twice, first in line %d", name, first.Line), "Remove one of them.")
			continue
		}
		own[name] = key
		entries = append(entries, Entry{name, key, n.Content[i+1]})
	}
	if !merges {
		return entries, errors.Join(r.problems...)
	}
	set := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			entries = append(entries, r.merged(n.Content[i], n.Content[i+1], own, set)...)
		}
	}
	return entries, errors.Join(r.problems...)
}

// merged returns what a `<<` key brings. kubectl's reader lets it win over keys
// written before it, the YAML specification lets it win over none: where the
// two differ the document is refused instead of guessed at.
func (r *valueReader) merged(key, from *yaml.Node, own map[string]*yaml.Node, set map[string]bool) []Entry {
	for from.Kind == yaml.AliasNode {
		from = from.Alias
	}
	var entries []Entry
	switch from.Kind {
	case yaml.SequenceNode:
		for _, item := range from.Content {
			entries = append(entries, r.merged(key, item, own, set)...)
		}
	case yaml.MappingNode:
		brought, err := Entries(r.file, from)
		if err != nil {
			r.problems = append(r.problems, err)
		}
		for _, e := range brought {
			at, written := own[e.Name]
			switch {
			case written && before(at, key):
				r.fail("R003", at, fmt.Sprintf("the key %q stands before a `<<` that brings it too, and readers of YAML disagree which one wins", e.Name),
					"Move the `<<` line to the top of the mapping.")
			case !written && !set[e.Name]:
				set[e.Name] = true
				entries = append(entries, e)
			}
		}
	default:
		r.fail("R003", key, "a `<<` key wants a mapping or a list of mappings", "Give it an alias of a mapping, or quote the key.")
	}
	return entries
}

func before(a, b *yaml.Node) bool {
	return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && (key.Style&^yaml.TaggedStyle == 0) && (key.Tag == "!!merge" || key.Tag == "")
}

// KeyValue returns a mapping key as kubectl reads it: numbers and booleans
// become their text, so that the key `on` is "true". A key that is null, a
// list or a mapping is an error.
func KeyValue(key *yaml.Node) (string, error) {
	for key.Kind == yaml.AliasNode {
		key = key.Alias
	}
	if key.Kind != yaml.ScalarNode {
		return "", errors.New("a key that is a list or a mapping is not supported")
	}
	v, err := resolve(key)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		// kubectl's reader prints keys with the precision of float32.
		return strings.NewReplacer("+Inf", ".inf", "-Inf", "-.inf", "NaN", ".nan").Replace(strconv.FormatFloat(v, 'g', -1, 32)), nil
	case bool:
		return strconv.FormatBool(v), nil
	default:
		return "", fmt.Errorf("the key %q is not a text", key.Value)
	}
}

// ScalarValue returns a scalar node as kubectl reads it: a string, bool,
// int64, float64 or nil.
func ScalarValue(n *yaml.Node) (any, error) {
	v, err := resolve(n)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%s is not a number that Kubernetes can store", n.Value)
		}
		return jsonNumber(v), nil
	case uint64:
		return float64(v), nil
	}
	return v, nil
}

// jsonNumber makes an integer of a float that JSON would print without
// fraction or exponent: kubectl reads YAML by way of JSON, where 1e3 and 1000
// are the same.
func jsonNumber(f float64) any {
	if f != math.Trunc(f) || math.Abs(f) >= 1e21 {
		return f
	}
	// The shortest digits, not the exact ones, are what JSON has.
	if i, err := strconv.ParseInt(strconv.FormatFloat(f, 'f', -1, 64), 10, 64); err == nil {
		return i
	}
	return f
}

func resolve(n *yaml.Node) (any, error) {
	tag := ""
	if n.Style&yaml.TaggedStyle != 0 {
		tag = n.Tag
	}
	quoted := n.Style&^(yaml.TaggedStyle|yaml.FlowStyle) != 0
	switch tag {
	case "":
		if quoted {
			return n.Value, nil
		}
		return PlainValue(n.Value), nil
	case "!!str", "!!timestamp":
		return n.Value, nil
	case "!!binary":
		b, err := base64.StdEncoding.DecodeString(n.Value)
		if err != nil {
			return nil, fmt.Errorf("!!binary value is not base64: %w", err)
		}
		return string(b), nil
	case "!!bool", "!!int", "!!float", "!!null":
		return convertTagged(tag, n.Value)
	default:
		return n.Value, nil
	}
}

func convertTagged(tag, text string) (any, error) {
	v := PlainValue(text)
	switch got := v.(type) {
	case nil:
		if tag == "!!null" {
			return nil, nil
		}
	case bool:
		if tag == "!!bool" {
			return got, nil
		}
	case int64:
		if tag == "!!int" {
			return got, nil
		}
		if tag == "!!float" {
			return float64(got), nil
		}
	case uint64:
		if tag == "!!int" {
			return got, nil
		}
	case float64:
		if tag == "!!float" {
			return got, nil
		}
	}
	return nil, fmt.Errorf("cannot read %q as %s", text, tag)
}

var plainFloat = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// PlainValue returns what kubectl makes of an unquoted scalar: a string, bool,
// int64, uint64 (beyond int64), float64 (also infinite or NaN) or nil. The
// rules are those of YAML 1.1 as go.yaml.in/yaml/v2 has them, on which
// sigs.k8s.io/yaml and so kubectl are built.
func PlainValue(text string) any {
	if text == "" {
		return nil
	}
	switch c := text[0]; {
	case c == '.':
		if v, ok := plainWord(text); ok {
			return v
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
		return text
	case c == '+' || c == '-' || c >= '0' && c <= '9':
		return plainNumber(text)
	default:
		if v, ok := plainWord(text); ok {
			return v
		}
		return text
	}
}

func plainWord(text string) (any, bool) {
	switch text {
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return true, true
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return false, true
	case "~", "null", "Null", "NULL":
		return nil, true
	case ".nan", ".NaN", ".NAN":
		return math.NaN(), true
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF":
		return math.Inf(1), true
	case "-.inf", "-.Inf", "-.INF":
		return math.Inf(-1), true
	}
	return nil, false
}

func plainNumber(text string) any {
	if v, ok := plainWord(text); ok {
		return v
	}
	digits := strings.ReplaceAll(text, "_", "")
	if i, err := strconv.ParseInt(digits, 0, 64); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(digits, 0, 64); err == nil {
		return u
	}
	if plainFloat.MatchString(digits) {
		if f, err := strconv.ParseFloat(digits, 64); err == nil {
			return f
		}
	}
	// Oddities such as 0b+1 and 0b-1, which kubectl's reader takes.
	if rest, ok := strings.CutPrefix(digits, "0b"); ok {
		if i, err := strconv.ParseInt(rest, 2, 64); err == nil {
			return i
		}
	} else if rest, ok := strings.CutPrefix(digits, "-0b"); ok {
		if i, err := strconv.ParseInt("-"+rest, 2, 64); err == nil {
			return i
		}
	}
	return text
}
