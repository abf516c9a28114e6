package schema

import (
	"slices"
	"strconv"
	"strings"
)

// place is where in an object a value stands. It is made for every value that
// is looked at and written out only when there is something to say, so it comes
// from an arena.
type place struct {
	parent *place
	arena  *arena
	// name is a field, or with free a key that the user chose.
	name  string
	free  bool
	index int
}

// arena hands out places, and all of them anew once an object is done that had
// no fault. It belongs to one goroutine.
type arena struct {
	root place
	slab []place
	used int
}

const slabPlaces = 512

func newArena() *arena {
	a := &arena{slab: make([]place, slabPlaces)}
	a.root.arena = a
	return a
}

// reset takes back what was handed out; keep says that some of it is in use.
func (a *arena) reset(keep bool) {
	if keep {
		a.slab = make([]place, slabPlaces)
	}
	a.used = 0
}

func (a *arena) next(parent *place) *place {
	if a.used == len(a.slab) {
		a.slab, a.used = make([]place, slabPlaces), 0
	}
	p := &a.slab[a.used]
	a.used++
	p.parent, p.arena = parent, a
	return p
}

// field returns the place of a field of the object at p.
func (p *place) field(name string) *place {
	next := p.arena.next(p)
	next.name, next.free = name, false
	return next
}

// key returns the place of a key that the user chose, such as a label's.
func (p *place) key(name string) *place {
	next := p.arena.next(p)
	next.name, next.free = name, true
	return next
}

// item returns the place of an item of the list at p.
func (p *place) item(index int) *place {
	next := p.arena.next(p)
	next.name, next.free, next.index = "", false, index
	return next
}

// fields returns the place of a field inside others.
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
	for ; p.parent != nil; p = p.parent {
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
