// Package schema has the words that every stage of rota speaks: Object and
// Origin, the Problem that a user can act on, and rota's own document kinds
// with strict, position-keeping decoding. It reads no files and talks to no
// cluster, and it imports none of rota's other packages.
package schema

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Object is one Kubernetes object that a repository asks for, and the place
// that it came from. Content is shared, not copied: a stage that changes it
// works on a DeepCopy.
type Object struct {
	*unstructured.Unstructured
	// Origin is where the user wrote the object.
	Origin Origin
	// Fields knows where its fields were written; nil if that is unknown.
	// See [Object.At].
	Fields *Fields
}

// DeepCopy returns an Object that shares nothing with o.
func (o Object) DeepCopy() Object {
	o.Unstructured = o.Unstructured.DeepCopy()
	return o
}

// Key returns the identity of o.
func (o Object) Key() Key { return KeyOf(o.Unstructured) }

// Key identifies an object of a cluster. The version is left out on purpose:
// an object is the same one under every version of its group.
type Key struct {
	Group, Kind, Namespace, Name string
}

// KeyOf returns the Key of u.
func KeyOf(u *unstructured.Unstructured) Key {
	gk := u.GroupVersionKind().GroupKind()
	return Key{Group: gk.Group, Kind: gk.Kind, Namespace: u.GetNamespace(), Name: u.GetName()}
}

// GroupKind returns the group and kind of k.
func (k Key) GroupKind() schema.GroupKind { return schema.GroupKind{Group: k.Group, Kind: k.Kind} }

// IsJob reports whether k names a batch Job.
func (k Key) IsJob() bool { return k.Group == "batch" && k.Kind == "Job" }

// IsCronJob reports whether k names a batch CronJob.
func (k Key) IsCronJob() bool { return k.Group == "batch" && k.Kind == "CronJob" }

// String returns k as people write it: `Job batch/hello`, or `Namespace
// batch` for a kind without namespace. The group is shown only for kinds that
// are not Kubernetes' own, where the kind alone may be ambiguous.
func (k Key) String() string {
	kind := k.Kind
	if strings.Contains(k.Group, ".") && !strings.HasSuffix(k.Group, ".k8s.io") {
		kind += "." + k.Group
	}
	if k.Namespace == "" {
		return fmt.Sprintf("%s %s", kind, k.Name)
	}
	return fmt.Sprintf("%s %s/%s", kind, k.Namespace, k.Name)
}

// Compare orders keys by group, kind, namespace and name; it returns a
// negative number, zero or a positive number as [cmp.Compare] does.
func (k Key) Compare(other Key) int {
	return cmp.Or(
		cmp.Compare(k.Group, other.Group),
		cmp.Compare(k.Kind, other.Kind),
		cmp.Compare(k.Namespace, other.Namespace),
		cmp.Compare(k.Name, other.Name),
	)
}

// Parameter is one name and value that a template was expanded with.
type Parameter struct {
	Name, Value string
}

// Origin says where a user wrote something.
type Origin struct {
	// File is a slash-separated path from the root of the repository.
	File string
	// Line and Column count from 1; zero means unknown.
	Line, Column int
	// Template is the template file that File names, for an expanded object.
	Template string
	// TemplateLine is the line in Template, from 1; zero means unknown.
	TemplateLine int
	// Item counts from 1 the item of the Expansion; zero means none.
	Item int
	// Parameters are those of the item, in the order they were declared.
	Parameters []Parameter
	// ParameterFile is the file that the item's parameters are in, if they are
	// not in File itself, and ParameterLine the line there.
	ParameterFile string
	ParameterLine int
	// Overlay is the kustomization folder that was built last, if any.
	Overlay string
	// Base is where the object stands that File, a patch or a kustomization,
	// changes; of a field only, see [Object.At].
	Base Place
}

// Place is a line of a file.
type Place struct {
	// File is a slash-separated path from the root of the repository.
	File string
	// Line counts from 1; zero means unknown.
	Line int
}

// WrittenAt returns o for what a template wrote at p. In the file that o names
// itself p is its line; any other file is a template.
func (o Origin) WrittenAt(p Place) Origin {
	if o.Template == "" && o.File == p.File {
		o.Line, o.Column = p.Line, 0
		return o
	}
	o.Template, o.TemplateLine = p.File, p.Line
	return o
}

// String returns file:line:col as compilers print it, with the template and
// its item where there is one, and with the object that a patch changes.
func (o Origin) String() string {
	var b strings.Builder
	b.WriteString(o.File)
	if o.Line > 0 {
		fmt.Fprintf(&b, ":%d", o.Line)
		if o.Column > 0 {
			fmt.Fprintf(&b, ":%d", o.Column)
		}
	}
	if o.Template != "" {
		fmt.Fprintf(&b, " (%s", o.Template)
		if o.TemplateLine > 0 {
			fmt.Fprintf(&b, ":%d", o.TemplateLine)
		}
		if o.ParameterFile != "" {
			fmt.Fprintf(&b, " %s:%d", o.ParameterFile, o.ParameterLine)
		}
		for _, p := range o.Parameters {
			fmt.Fprintf(&b, " %s=%q", p.Name, p.Value)
		}
		b.WriteString(")")
	}
	if o.Base.File != "" && o.Base.File != o.File {
		fmt.Fprintf(&b, " (of the object at %s", o.Base.File)
		if o.Base.Line > 0 {
			fmt.Fprintf(&b, ":%d", o.Base.Line)
		}
		b.WriteString(")")
	}
	return b.String()
}
