package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// itemsOf finds, for each item of a list, the branch that an owner's tree has
// for it; nil where it has none. A tree names items by their key fields as the
// server completed them, so an item that leaves one out (a port's protocol)
// takes what remains after the items that name all of theirs.
func itemsOf(b branch, items []any) []branch {
	out := make([]branch, len(items))
	open := 0
	for i, item := range items {
		if key := likelyKey(item); key != "" {
			if child, ok := b[key]; ok {
				out[i] = childOf(child)
				continue
			}
		}
		open++
	}
	if open == 0 {
		return out
	}
	keys := keysOf(b)
	for _, complete := range []bool{true, false} {
		for i, item := range items {
			if out[i] != nil {
				continue
			}
			at := slices.IndexFunc(keys, func(k itemKey) bool { return k.matches(item, complete) })
			if at >= 0 {
				out[i] = childOf(b[keys[at].text])
				keys[at].taken = !keys[at].set
			}
		}
	}
	return out
}

func childOf(v any) branch {
	if child, ok := v.(map[string]any); ok && child != nil {
		return child
	}
	return branch{}
}

// likelyKey returns the key of an item of the lists that most objects have, so
// that their keys need not be parsed; empty if it cannot tell.
func likelyKey(item any) string {
	fields, ok := item.(map[string]any)
	if !ok {
		return ""
	}
	for _, name := range [...]string{"mountPath", "name"} {
		if value, ok := fields[name].(string); ok && isPlain(value) {
			return `k:{"` + name + `":"` + value + `"}`
		}
	}
	return ""
}

// isPlain reports whether JSON writes s between quotes as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || strings.IndexByte(`"\<>&`, c) >= 0 {
			return false
		}
	}
	return true
}

// itemKey is a parsed `k:` or `v:` key of a tree.
type itemKey struct {
	text   string
	set    bool
	value  any
	fields map[string]any
	taken  bool
}

func keysOf(b branch) []itemKey {
	var keys []itemKey
	for text := range b {
		k := itemKey{text: text}
		if rest, ok := strings.CutPrefix(text, "v:"); ok {
			k.set = true
			if decode(rest, &k.value) == nil {
				keys = append(keys, k)
			}
		} else if rest, ok := strings.CutPrefix(text, "k:"); ok && decode(rest, &k.fields) == nil {
			keys = append(keys, k)
		}
	}
	// An item that leaves a key field out takes the first that fits: of a
	// port's protocols that is TCP, which is also what the server fills in.
	slices.SortFunc(keys, func(a, b itemKey) int { return strings.Compare(a.text, b.text) })
	return keys
}

func decode(text string, into any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	return d.Decode(into)
}

// matches reports whether k names item: with all of its fields if complete is
// set, else with at least one and none that contradicts.
func (k itemKey) matches(item any, complete bool) bool {
	if k.taken {
		return false
	}
	if k.set {
		return equalScalar(k.value, item)
	}
	fields, ok := item.(map[string]any)
	if !ok {
		return false
	}
	matched := 0
	for name, value := range k.fields {
		mine, ok := fields[name]
		if !ok {
			continue
		}
		if !equalScalar(value, mine) {
			return false
		}
		matched++
	}
	if complete {
		return matched == len(k.fields)
	}
	return matched > 0
}

// equalScalar compares a value of a key, decoded with json.Number, with one of
// an object.
func equalScalar(key, value any) bool {
	switch k := key.(type) {
	case string, bool:
		return key == value
	case json.Number:
		return equalNumber(k, value)
	}
	return false
}

func equalNumber(number json.Number, value any) bool {
	switch v := value.(type) {
	case int64:
		return number.String() == strconv.FormatInt(v, 10)
	case float64:
		f, err := number.Float64()
		return err == nil && f == v
	}
	return false
}

// fieldName returns the end of a path that goes to a field.
func fieldName(name string) string {
	if strings.ContainsAny(name, "./[]") {
		return fmt.Sprintf("[%q]", name)
	}
	return "." + name
}

// itemName returns the end of a path that goes to an item of a list, by the
// field that people know it by.
func itemName(i int, item any) string {
	switch v := item.(type) {
	case map[string]any:
		for _, k := range [...]string{"mountPath", "name", "containerPort", "port", "key", "type", "ip", "uid"} {
			value, ok := v[k]
			if !ok {
				continue
			}
			if protocol, ok := v["protocol"]; ok && k != "name" {
				return fmt.Sprintf("[%s=%v protocol=%v]", k, value, protocol)
			}
			return fmt.Sprintf("[%s=%v]", k, value)
		}
	case string:
		return fmt.Sprintf("[%q]", v)
	}
	return fmt.Sprintf("[%d]", i)
}
