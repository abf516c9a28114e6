package schema

import (
	"fmt"
	"slices"
	"strconv"
)

func (v *validator) toleration(t map[string]any, at *place) {
	operator, value := textOf(t, "operator"), textOf(t, "value")
	if textOf(t, "key") == "" && operator != "Exists" {
		v.fail("R081", at.field("operator"), "a toleration without a key needs the operator Exists", "Write operator: Exists, or add a key.")
	}
	if has(t, "tolerationSeconds") && textOf(t, "effect") != "NoExecute" {
		v.fail("R081", at.field("effect"), "tolerationSeconds needs the effect NoExecute", "Write effect: NoExecute, or remove tolerationSeconds.")
	}
	switch operator {
	case "", "Equal":
		v.form(value, labelValue, at.field("value"))
	case "Exists":
		if value != "" {
			v.fail("R081", at.field("value"), "with the operator Exists there is no value", "Remove it.")
		}
	case "Lt", "Gt":
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			v.fail("R079", at.field("value"), fmt.Sprintf("%q is no integer, which the operator %s compares", value, operator), "Write a number.")
		}
	}
}

func (v *validator) spread(c map[string]any, at *place) {
	if has(c, "minDomains") && textOf(c, "whenUnsatisfiable") != "DoNotSchedule" {
		v.fail("R081", at.field("minDomains"), "minDomains needs whenUnsatisfiable: DoNotSchedule", "Write it, or remove minDomains.")
	}
	v.labelKeys(c, at)
}

// labelKeys checks matchLabelKeys and mismatchLabelKeys beside a selector.
func (v *validator) labelKeys(m map[string]any, at *place) {
	var other []string
	for _, name := range []string{"matchLabelKeys", "mismatchLabelKeys"} {
		keys := texts(m[name])
		if len(keys) > 0 && !has(m, "labelSelector") {
			v.fail("R081", at.field(name), name+" needs labelSelector", "Add it.")
		}
		used := map[string]bool{}
		for _, r := range mappings(listOf(mapOf(m, "labelSelector"), "matchExpressions")) {
			used[textOf(r, "key")] = true
		}
		for key := range mapOf(mapOf(m, "labelSelector"), "matchLabels") {
			used[key] = true
		}
		for i, key := range keys {
			at := at.field(name).item(i)
			switch {
			case !v.memo.qualifiedName(key):
				v.fail("R063", at, fmt.Sprintf("%q is no key of a label", key), "Correct it.")
			case slices.Contains(other, key):
				v.fail("R078", at, fmt.Sprintf("%q is in both matchLabelKeys and mismatchLabelKeys", key), "Remove one of the two.")
			case used[key]:
				v.fail("R078", at, fmt.Sprintf("%q is in labelSelector, too", key), "Remove one of the two.")
			}
		}
		other = keys
	}
}

// nodeSelector checks the values that nodes must have; those of preferences are
// free.
func (v *validator) nodeSelector(selector map[string]any, at *place) {
	for i, term := range mappings(listOf(selector, "nodeSelectorTerms")) {
		for j, r := range mappings(listOf(term, "matchExpressions")) {
			for k, item := range listOf(r, "values") {
				if text, ok := item.(string); ok {
					v.form(text, labelValue, at.field("nodeSelectorTerms").item(i).field("matchExpressions").item(j).field("values").item(k))
				}
			}
		}
	}
}

// nodeTerm checks requirements on nodes' labels and fields.
func (v *validator) nodeTerm(term map[string]any, at *place) {
	for i, r := range mappings(listOf(term, "matchExpressions")) {
		at := at.field("matchExpressions").item(i)
		v.form(textOf(r, "key"), qualifiedName, at.field("key"))
		v.operands(textOf(r, "operator"), len(listOf(r, "values")), at)
	}
	for i, r := range mappings(listOf(term, "matchFields")) {
		at := at.field("matchFields").item(i)
		if key := textOf(r, "key"); key != "metadata.name" && r != nil {
			v.fail("R070", at.field("key"), fmt.Sprintf("%q is no field that nodes are selected by", key), "Write metadata.name.")
		}
		if operator := textOf(r, "operator"); operator != "In" && operator != "NotIn" && r != nil {
			v.fail("R070", at.field("operator"), "a field is compared with In or NotIn only", "Write one of them.")
		}
		eachWritten(dnsSubdomain, "values").on(v, r, at)
		if len(listOf(r, "values")) != 1 && r != nil {
			v.fail("R081", at.field("values"), "a field is compared with exactly one value", "Write one.")
		}
	}
}

// operands checks how many values an operator takes.
func (v *validator) operands(operator string, values int, at *place) {
	switch operator {
	case "In", "NotIn":
		if values == 0 {
			v.fail("R072", at.field("values"), fmt.Sprintf("the operator %s needs values", operator), "Add one.")
		}
	case "Exists", "DoesNotExist":
		if values > 0 {
			v.fail("R081", at.field("values"), fmt.Sprintf("the operator %s takes no values", operator), "Remove them.")
		}
	case "Gt", "Lt":
		if values != 1 {
			v.fail("R081", at.field("values"), fmt.Sprintf("the operator %s takes exactly one value", operator), "Write one.")
		}
	case "":
		v.fail("R072", at.field("operator"), "the operator is missing", "Write In, NotIn, Exists or DoesNotExist.")
	}
}

func (v *validator) labelSelector(selector map[string]any, at *place) {
	v.labels(mapOf(selector, "matchLabels"), at.field("matchLabels"))
}

func (v *validator) requirement(r map[string]any, at *place) {
	operator := textOf(r, "operator")
	if operator != "" && !slices.Contains(selectorOperators, operator) {
		v.word(operator, selectorOperators, at.field("operator"))
		return
	}
	v.operands(operator, len(listOf(r, "values")), at)
	for i, item := range listOf(r, "values") {
		if text, ok := item.(string); ok {
			v.form(text, labelValue, at.field("values").item(i))
		}
	}
}

var selectorOperators = []string{"In", "NotIn", "Exists", "DoesNotExist"}

// selects checks that a selector that is written out finds the Pods that the
// template beside it makes.
func (v *validator) selects(selector, labels map[string]any, at, labelsAt *place) {
	wanted := mapOf(selector, "matchLabels")
	if len(wanted) == 0 && len(listOf(selector, "matchExpressions")) == 0 {
		v.fail("R072", at, "the selector is empty, which would select every Pod", "Add matchLabels.")
		return
	}
	for _, key := range sortedNames(wanted) {
		if got, ok := labels[key]; !ok || got != wanted[key] {
			v.fail("R082", at.field("matchLabels").key(key), fmt.Sprintf("the selector wants %s=%v, and the Pods' template has %s", key, wanted[key], labelled(key, got, ok)),
				"Make the labels of the template and the selector equal.")
		}
	}
	for i, r := range mappings(listOf(selector, "matchExpressions")) {
		key, values := textOf(r, "key"), texts(r["values"])
		got, ok := labels[key].(string)
		matches := true
		switch textOf(r, "operator") {
		case "In":
			matches = ok && slices.Contains(values, got)
		case "NotIn":
			matches = !ok || !slices.Contains(values, got)
		case "Exists":
			matches = ok
		case "DoesNotExist":
			matches = !ok
		}
		if !matches {
			v.fail("R082", at.field("matchExpressions").item(i), fmt.Sprintf("the selector does not match: the Pods' template has %s", labelled(key, got, ok)), "Make the labels of the template and the selector agree.")
		}
	}
}

func labelled(key string, value any, ok bool) string {
	if !ok {
		return "no label " + key
	}
	return fmt.Sprintf("%s=%v", key, value)
}
