package schema

import (
	"slices"
	"strconv"
	"strings"
)

// place is where in an object a value stands. It is built while the object is
// walked and written out only when there is something to say.
type place struct {
	parent *place
	// name is a field, or with free a key that the user chose.
	name  string
	free  bool
	index int
}

// field returns the path of a field of the object at p, which may be nil.
func (p *place) field(name string) *place { return &place{parent: p, name: name} }

// key returns the path of a key that the user chose, such as a label's.
func (p *place) key(name string) *place { return &place{parent: p, name: name, free: true} }

// item returns the path of an item of the list at p.
func (p *place) item(index int) *place { return &place{parent: p, index: index} }

// fields returns the path of a field inside others.
func (p *place) fields(names ...string) *place {
	for _, name := range names {
		p = p.field(name)
	}
	return p
}

// String returns the path as [Object.At] reads it and the API server writes
// it: spec.containers[0].image, metadata.labels[app.kubernetes.io/name].
func (p *place) String() string {
	var steps []*place
	for ; p != nil; p = p.parent {
		steps = append(steps, p)
	}
	var b strings.Builder
	for _, step := range slices.Backward(steps) {
		switch {
		case step.name == "" && !step.free:
			b.WriteString("[" + strconv.Itoa(step.index) + "]")
		case step.free:
			b.WriteString("[" + step.name + "]")
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(step.name)
		}
	}
	return b.String()
}
