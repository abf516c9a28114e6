package schema

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// value holds v to d and goes on below it, so that all faults are found.
func (v *validator) value(value any, d *definition, at *place) {
	got := typeOf(value)
	if value == nil && d.nullable {
		return
	}
	if d.types != 0 && (got == 0 || d.types&got == 0) {
		v.wrongType(value, d, at)
		return
	}
	for _, check := range d.values {
		check(v, value, at)
	}
	switch value := value.(type) {
	case map[string]any:
		v.mapping(value, d, at)
		for _, check := range d.whole {
			check(v, value, at)
		}
	case []any:
		v.list(value, d, at)
	case string:
		v.text(value, d, at)
	case int64:
		v.integer(value, d, at)
	case float64:
		if d.format == "quantity" {
			v.text(strconv.FormatFloat(value, 'f', -1, 64), d, at)
		}
	}
}

func (v *validator) mapping(m map[string]any, d *definition, at *place) {
	if d.fields == nil && !d.closed {
		return
	}
	for name, value := range m {
		switch field := d.fields[name]; {
		case d.gates[name] != "":
			v.warn("R084", at.field(name), "the field has an effect only where the feature gate "+d.gates[name]+" is on, which it is not by default", "Remove it, unless your cluster has it.")
		case field != nil:
			v.value(value, field, at.field(name))
		case d.rest != nil:
			v.value(value, d.rest, at.key(name))
		case d.closed:
			v.unknownField(name, d, at)
		}
	}
	for _, name := range d.required {
		if _, ok := m[name]; !ok {
			v.breach("R072", at.field(name), "the field is missing", "Add it; the API server refuses the object without it.")
		}
	}
}

func (v *validator) unknownField(name string, d *definition, at *place) {
	message := fmt.Sprintf("unknown field %q", name)
	known := d.names()
	near := Nearest(name, known)
	mend := "Remove it, or correct its indentation: the field may belong to a mapping above or below."
	switch {
	case near != "":
		message += fmt.Sprintf(" (did you mean %q?)", near)
		mend = fmt.Sprintf("Write %s.", near)
	case len(known) > 0 && len(known) <= 12:
		mend = "Known fields here: " + strings.Join(known, ", ") + "."
	}
	v.note(fault{rule: "R074", at: at.field(name), meant: near, key: true, schema: true, message: message, mend: mend})
}

func (v *validator) list(list []any, d *definition, at *place) {
	if d.items != nil {
		for i, item := range list {
			v.value(item, d.items, at.item(i))
		}
	}
	switch {
	case len(d.keys) > 0:
		v.keyed(list, d, at)
	case len(list) < 2:
	case d.set:
		first := make(map[any]int, len(list))
		for i, item := range list {
			if t := typeOf(item); t == typeObject || t == typeArray {
				continue
			}
			if other, twice := first[item]; twice {
				v.breach("R077", at.item(i), fmt.Sprintf("%v is in the list already, as item %d", item, other+1), "Remove one of the two.")
				continue
			}
			first[item] = i
		}
	}
}

// keyed refuses items of one identity: server-side apply could not tell them
// apart. Items that lack a part of it are told of as lacking a field.
func (v *validator) keyed(list []any, d *definition, at *place) {
	first := make(map[string]int, len(list))
	for i, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			continue
		}
		id, whole, any := d.identity(m)
		switch other, twice := first[id]; {
		case !any:
			v.breach("R072", at.item(i).field(d.keys[0].name), "the field is missing, by which the items of the list are told apart", "Add it.")
		case !whole:
		case twice:
			v.breach("R077", at.item(i).field(d.keys[0].name), fmt.Sprintf("two items of the list have the same identity (%s), the first is item %d", strings.TrimSuffix(id, ", "), other+1),
				"Rename or remove one of them.")
		default:
			first[id] = i
		}
	}
}

// identity returns the words that tell an item of a list apart, whether all of
// its keys are known, and whether any is.
func (d *definition) identity(m map[string]any) (id string, whole, any bool) {
	whole = true
	for _, key := range d.keys {
		value, given := m[key.name]
		if !given && key.word != nil {
			value, given = *key.word, true
		}
		any, whole = any || given, whole && given
		switch value := value.(type) {
		case string:
			id += key.name + " " + value + ", "
		case int64:
			id += key.name + " " + strconv.FormatInt(value, 10) + ", "
		default:
			whole = false // it has a wrong type, of which the user is told
		}
	}
	return id, whole, any
}

func (v *validator) text(text string, d *definition, at *place) {
	if len(d.words) > 0 && text != "" {
		v.word(text, d.words, at)
		return
	}
	switch d.format {
	case "quantity":
		if v.memo.quantity(text) == nil {
			v.breach("R073", at, fmt.Sprintf("%q is no quantity", text), "Write 500m, 2, 128Mi or 1Gi.")
		}
	case "byte":
		if _, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\r", "", "\n", "").Replace(text)); err != nil {
			v.breach("R073", at, "the value is no base64", "Encode it, or use stringData where the kind has it.")
		}
	case "micro-time":
		if _, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", text); err != nil {
			v.breach("R073", at, fmt.Sprintf("%q is no time with microseconds", text), "Write it as 2026-12-01T08:00:00.000000Z.")
		}
	case "date-time":
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			v.breach("R073", at, fmt.Sprintf("%q is no time", text), "Write it as 2026-12-01T08:00:00Z.")
		}
	}
}

func (v *validator) word(text string, words []string, at *place) {
	for _, word := range words {
		if text == word {
			return
		}
	}
	message := fmt.Sprintf("%q is none of %s", text, strings.Join(words, ", "))
	if near := Nearest(text, words); near != "" {
		message += fmt.Sprintf(" (did you mean %q?)", near)
	}
	v.breach("R070", at, message, "Write one of them exactly so.")
}

func (v *validator) integer(n int64, d *definition, at *place) {
	if (d.format == "int32" || d.format == "int-or-string") && (n < math.MinInt32 || n > math.MaxInt32) {
		v.breach("R073", at, fmt.Sprintf("%d does not fit into 32 bits", n), "Write a number between -2147483648 and 2147483647.")
	}
}

// breach notes what breaks the schema.
func (v *validator) breach(rule string, at *place, message, mend string) {
	v.note(fault{rule: rule, at: at, schema: true, message: message, mend: mend})
}

// wrongType says what is wanted and what YAML read, which often is not what
// was meant.
func (v *validator) wrongType(value any, d *definition, at *place) {
	v.note(fault{rule: "R073", at: at, schema: true, value: value, wants: d.types})
}

// mistyped returns the words for a value of a wrong type. Written is the scalar
// as it stands in the file, "" if that is not known.
func mistyped(value any, wants typeSet, written string) (message, mend string) {
	message = "wants " + wants.String() + ", "
	if written == "" {
		written = fmt.Sprint(value)
	}
	switch got := value.(type) {
	case nil:
		return message + "and YAML reads nothing here", "Write a value, or remove it."
	case string:
		message += fmt.Sprintf("and %q is a text", got)
		switch PlainValue(got).(type) {
		case bool:
			if wants&typeBoolean != 0 {
				return message, "Remove the quotes: " + got + "."
			}
		case int64, float64:
			if wants&(typeInteger|typeNumber) != 0 {
				return message, "Remove the quotes: " + got + "."
			}
		}
		return message, "Write " + wants.String() + "."
	case bool:
		message += fmt.Sprintf("and YAML reads %s as the boolean %t", written, got)
	case int64, float64:
		message += "and YAML reads " + written + " as "
		if text := fmt.Sprint(got); text != written {
			message += "the number " + text
		} else {
			message += "a number"
		}
	case []any:
		return message + "not a list", ""
	case map[string]any:
		return message + "not a mapping", ""
	}
	if wants&typeString != 0 {
		mend = fmt.Sprintf("Quote it: %q.", written)
	}
	return message, mend
}
