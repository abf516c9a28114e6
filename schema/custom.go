package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	openapierrors "k8s.io/kube-openapi/pkg/validation/errors"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
)

// customKinds are those that CustomResourceDefinitions of the repository
// define.
type customKinds struct {
	// kinds are by apiVersion and kind, as the catalog has them.
	kinds map[string]*customKind
	// served are the apiVersions by group and kind, in the order of the
	// definition.
	served map[groupKind][]string
}

// customKind is one version of a kind.
type customKind struct {
	// definition is the shape of the objects, nil if the schema is broken, of
	// which the author of the CustomResourceDefinition is told.
	definition *definition
	// values holds what stands in the shape to ranges, patterns and
	// alternatives: the API server's own validator.
	values *validate.SchemaValidator
	// rules is set if the kind has rules in CEL, which only the server evaluates.
	rules bool
}

// customKindsOf reads the definitions among objects.
func customKindsOf(objects []Object) customKinds {
	custom := customKinds{map[string]*customKind{}, map[groupKind][]string{}}
	for _, o := range objects {
		if o.GetKind() != "CustomResourceDefinition" || groupOf(o.GetAPIVersion()) != "apiextensions.k8s.io" {
			continue
		}
		root := mapOf(o.Object, "spec")
		group, kind := textOf(root, "group"), textOf(mapOf(root, "names"), "kind")
		for _, version := range mappings(listOf(root, "versions")) {
			if !boolOf(version, "served") {
				continue
			}
			apiVersion := group + "/" + textOf(version, "name")
			custom.kinds[apiVersion+" "+kind] = readCustom(mapOf(mapOf(version, "schema"), "openAPIV3Schema"))
			custom.served[groupKind{group, kind}] = append(custom.served[groupKind{group, kind}], apiVersion)
		}
	}
	return custom
}

func readCustom(raw map[string]any) *customKind {
	kind := &customKind{}
	places := newArena()
	probe := validator{root: &places.root, memo: newMemo()}
	if probe.structural(raw, probe.root, levelRoot); len(probe.faults) > 0 {
		return kind
	}
	text, err := json.Marshal(forValues(raw))
	if err != nil {
		return kind
	}
	var values spec.Schema
	if json.Unmarshal(text, &values) != nil {
		return kind // the schema of CustomResourceDefinitions says what is wrong
	}
	kind.values = validate.NewSchemaValidator(&values, nil, "", strfmt.Default)
	kind.definition = compileCustom(raw)
	kind.definition.embed()
	kind.rules = strings.Contains(string(text), `"x-kubernetes-validations"`)
	return kind
}

// compileCustom makes the definition of a structural schema. Unlike in
// Kubernetes' own kinds, a mapping is closed unless it says otherwise.
func compileCustom(raw map[string]any) *definition {
	d := &definition{types: typeNames[textOf(raw, "type")], nullable: boolOf(raw, "nullable")}
	if boolOf(raw, "x-kubernetes-int-or-string") {
		d.types = typeInteger | typeString
	}
	if words := texts(raw["enum"]); len(words) == len(listOf(raw, "enum")) {
		d.words = words
	}
	properties := mapOf(raw, "properties")
	d.closed = d.types == typeObject && !boolOf(raw, "x-kubernetes-preserve-unknown-fields")
	switch rest := raw["additionalProperties"].(type) {
	case bool:
		d.closed = d.closed && !rest
	case map[string]any:
		d.rest, d.closed = compileCustom(rest), false
	}
	if len(properties) > 0 {
		d.fields = make(map[string]*definition, len(properties))
		for name := range properties {
			d.fields[name] = compileCustom(mapOf(properties, name))
		}
	}
	for _, name := range texts(raw["required"]) {
		if !has(mapOf(properties, name), "default") {
			d.required = append(d.required, name)
		}
	}
	d.customItems(raw)
	if boolOf(raw, "x-kubernetes-embedded-resource") {
		d.embed()
		d.required = append(d.required, "apiVersion", "kind")
		d.whole = append(d.whole, (*validator).embedded)
	}
	return d
}

// customItems sets what d demands of the items of a list.
func (d *definition) customItems(raw map[string]any) {
	items, ok := raw["items"].(map[string]any)
	if !ok {
		return
	}
	d.items = compileCustom(items)
	d.set = raw["x-kubernetes-list-type"] == "set"
	if raw["x-kubernetes-list-type"] != "map" {
		return
	}
	for _, name := range texts(raw["x-kubernetes-list-map-keys"]) {
		key := listKey{name: name}
		if word, ok := mapOf(mapOf(items, "properties"), name)["default"]; ok {
			text := fmt.Sprint(word)
			key.word = &text
		}
		d.keys = append(d.keys, key)
	}
}

// embed adds what every object has, which no schema of a custom kind says.
func (d *definition) embed() {
	fields := map[string]*definition{}
	maps.Copy(fields, d.fields)
	fields["apiVersion"], fields["kind"] = &definition{types: typeString}, &definition{types: typeString}
	fields["metadata"] = kubernetes().objectMeta()
	d.fields = fields
}

// embedded checks what the API server demands of an object inside another one.
func (v *validator) embedded(m map[string]any, at *place) {
	v.metadata(m, at)
	if name := textOf(mapOf(m, "metadata"), "name"); name != "" {
		v.form(name, pathSegment, at.fields("metadata", "name"))
	}
	if version, ok := m["apiVersion"].(string); ok && (version == "" || strings.Count(version, "/") > 1) {
		v.fail("R079", at.field("apiVersion"), fmt.Sprintf("%q is no version of an API", version), "Write v1, or a group and a version, such as batch/v1.")
	}
	if kind, ok := m["kind"].(string); ok && len(validation.IsDNS1035Label(strings.ToLower(kind))) > 0 {
		v.fail("R079", at.field("kind"), fmt.Sprintf("%q is no name of a kind", kind), "Use at most 63 letters, digits and -, a letter first.")
	}
}

// forValues returns a structural schema as the validator of values takes it: the
// server fills in defaults before it demands fields, knows some formats, and
// reads an int-or-string as either.
func forValues(raw map[string]any) map[string]any {
	out := maps.Clone(raw)
	if boolOf(raw, "x-kubernetes-int-or-string") {
		out["type"] = []any{"integer", "string"}
	}
	if format := textOf(raw, "format"); !formatKnown(textOf(raw, "type"), format) {
		delete(out, "format")
	}
	properties := mapOf(raw, "properties")
	if required := texts(raw["required"]); len(required) > 0 {
		out["required"] = slices.DeleteFunc(required, func(name string) bool { return has(mapOf(properties, name), "default") })
	}
	if properties != nil {
		inner := make(map[string]any, len(properties))
		for name := range properties {
			inner[name] = forValues(mapOf(properties, name))
		}
		out["properties"] = inner
	}
	for _, name := range []string{"items", "additionalProperties", "not"} {
		if inner := mapOf(raw, name); inner != nil {
			out[name] = forValues(inner)
		}
	}
	for _, name := range []string{"allOf", "anyOf", "oneOf"} {
		if list := listOf(raw, name); len(list) > 0 {
			inner := make([]any, len(list))
			for i, item := range mappings(list) {
				inner[i] = forValues(item)
			}
			out[name] = inner
		}
	}
	return out
}

// customFormats are those that the API server checks in texts of custom kinds,
// without dashes (apiextensions-apiserver's supportedVersionedFormats).
var customFormats = strings.Fields(`bsonobjectid uri email hostname ipv4 ipv6 cidr mac uuid uuid3 uuid4 uuid5 isbn isbn10 isbn13
	creditcard ssn hexcolor rgbcolor byte password date duration datetime k8sshortname k8slongname`)

func formatKnown(kind, format string) bool {
	switch kind {
	case "", "string":
		return slices.Contains(customFormats, strings.ReplaceAll(format, "-", ""))
	case "integer":
		return format == "int32" || format == "int64"
	case "number":
		return format == "float" || format == "double"
	}
	return false
}

// custom checks an object of a kind that the repository defines, and reports
// whether it does.
func (v *validator) custom(apiVersion string) bool {
	kind, ok := v.customs.kinds[apiVersion+" "+v.key.Kind]
	if !ok {
		served := v.customs.served[groupKind{v.key.Group, v.key.Kind}]
		if len(served) > 0 {
			v.fail("R075", v.root.field("apiVersion"), fmt.Sprintf("the CustomResourceDefinition in the repository does not serve %s in %s", v.key.Kind, apiVersion),
				"Write apiVersion: "+strings.Join(served, " or ")+"; the fields may differ.")
		}
		return len(served) > 0
	}
	if kind.definition == nil {
		return true
	}
	v.ruled = kind.rules
	v.value(v.object.Object, kind.definition, v.root)
	found := leaves(kind.values.Validate(v.object.Object).Errors)
	slices.SortFunc(found, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	for _, err := range found {
		v.customValue(err)
	}
	return true
}

// leaves returns the errors without those that only gather others.
func leaves(all []error) []error {
	var found []error
	for _, err := range all {
		var many *openapierrors.CompositeError
		if errors.As(err, &many) {
			found = append(found, leaves(many.Errors)...)
		} else {
			found = append(found, err)
		}
	}
	return found
}

// valueRules are the rules of what the validator of values finds, by its codes.
var valueRules = map[int32]string{
	openapierrors.RequiredFailCode: "R072", openapierrors.EnumFailCode: "R070", openapierrors.PatternFailCode: "R079",
	openapierrors.UniqueFailCode: "R077", openapierrors.CompositeErrorCode: "R078",
}

// alternatives is how the validator names the place of allOf, anyOf and the
// like, without which it has no place.
var alternatives = regexp.MustCompile(`^"([^"]*)" (must .*)`)

func (v *validator) customValue(err error) {
	rule, path, message := "R073", "", err.Error()
	var coded openapierrors.Error
	if errors.As(err, &coded) && valueRules[coded.Code()] != "" {
		rule = valueRules[coded.Code()]
	}
	var one *openapierrors.Validation
	if errors.As(err, &one) {
		path = strings.Trim(one.Name, ".")
		message = strings.TrimPrefix(strings.TrimPrefix(message, one.Name+" in "+one.In+" "), one.Name+" ")
	} else if m := alternatives.FindStringSubmatch(message); m != nil {
		path, message = strings.Trim(m[1], "."), m[2]
	}
	v.breach(rule, v.placeOf(path), message, "Correct the value; the CustomResourceDefinition in the repository says what the field takes.")
}

// placeOf returns the place of a path of the validator of values, in which dots
// of keys are not told from dots between fields: the object tells.
func (v *validator) placeOf(path string) *place {
	at := v.root
	var value any = v.object.Object
	for path != "" {
		m, isMap := value.(map[string]any)
		step, rest := longestKey(m, path)
		switch {
		case !isMap && strings.HasPrefix(step, "["):
			i := 0
			_, _ = fmt.Sscanf(step, "[%d]", &i)
			next, _ := valueAt(value, strconv.Itoa(i))
			at, value = at.item(i), next
		default:
			at, value = at.field(step), m[step]
		}
		path = strings.TrimPrefix(rest, ".")
	}
	return at
}

// longestKey cuts path after the longest key of m that it begins with, or else
// after its first step.
func longestKey(m map[string]any, path string) (step, rest string) {
	for key := range m {
		after, ok := strings.CutPrefix(path, key)
		if ok && len(key) > len(step) && (after == "" || after[0] == '.' || after[0] == '[') {
			step, rest = key, after
		}
	}
	if step != "" {
		return step, rest
	}
	if path[0] == '[' {
		if end := strings.IndexByte(path, ']'); end > 0 {
			return path[:end+1], path[end+1:]
		}
	}
	if end := strings.IndexAny(path[1:], ".["); end >= 0 {
		return path[:end+1], path[end+1:]
	}
	return path, ""
}
