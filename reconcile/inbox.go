package reconcile

import (
	"sync"

	"rota.dev/rota/schema"
)

// revision is a tree that was fetched and, unless problems say otherwise,
// rendered.
type revision struct {
	name     string
	objects  []schema.Object
	warnings []*schema.Problem
	// build says why a revision cannot be applied, source why none was fetched.
	source, build []*schema.Problem
}

// usable reports whether r can be applied. Trouble with a later fetch does not
// matter to what was fetched before.
func (r revision) usable() bool { return r.name != "" && r.build == nil }

// inbox holds the newest revision that the loop has not taken yet. A revision
// that was never taken is superseded by the next, so there is one place.
type inbox struct {
	// ready has a token while there is something to take.
	ready chan struct{}

	mu     sync.Mutex
	newest *revision
}

func newInbox() *inbox { return &inbox{ready: make(chan struct{}, 1)} }

// put makes r the newest. A failed fetch says nothing of what was fetched
// before it, so that stays beside the trouble.
func (b *inbox) put(r revision) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.name == "" && b.newest != nil {
		r.name, r.objects, r.warnings, r.build = b.newest.name, b.newest.objects, b.newest.warnings, b.newest.build
	}
	b.newest = &r
	b.signal()
}

// take returns the newest revision and empties the inbox.
func (b *inbox) take() (revision, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.newest == nil {
		return revision{}, false
	}
	r := *b.newest
	b.newest = nil
	return r, true
}

// usable reports whether the newest revision can be applied. Who took the
// token from ready to ask gives it back with signal.
func (b *inbox) usable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest != nil && b.newest.usable()
}

// signal puts the token back unless it is there.
func (b *inbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}
