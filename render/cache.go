package render

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

// DefaultCacheBytes is the bound of a Cache that names none: room for about
// 15,000 Jobs with the text that they were read from.
const DefaultCacheBytes = 128 << 20

// Cache keeps what renders made, for later ones of the same repository: an
// input that has not changed is not read, parsed, expanded or built again.
// Everything in it goes by the content that it was made of and by the options
// that applied, so that a render with a Cache returns what one without would.
// What failed for a reason that may pass, such as a limit on time, is not kept.
//
// It is bounded by bytes, as they are estimated; what went unused for most
// renders goes first. What one render has used is not given up for what the
// same render adds: a repository that is larger than the bound is kept in
// part, instead of every file pushing out the next. Safe for concurrent use.
type Cache struct {
	mu      sync.Mutex
	most    int64
	used    int64
	round   int64 // counts renders
	full    int64 // the round in which nothing older was left
	entries map[cacheKey]*cacheEntry
}

// cacheKey says what a value was made of.
type cacheKey struct {
	// kind tells apart things that are made of the same content, and the
	// options where they show in the value.
	kind uint64
	// name is a path, where it shows in the value.
	name string
	// id is the ID of a file's content, or the hash of an engine's job.
	id string
}

type cacheEntry struct {
	value any
	size  int64
	round int64 // of the last use
}

// NewCache returns an empty Cache of at most so many bytes; zero means
// [DefaultCacheBytes].
func NewCache(bytes int64) *Cache {
	return &Cache{most: cmp.Or(bytes, DefaultCacheBytes), entries: map[cacheKey]*cacheEntry{}}
}

// Size returns how many bytes are kept, as they are estimated.
func (c *Cache) Size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// begin tells that another render uses the Cache from now on.
func (c *Cache) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.round++
}

// get returns the value of key, nil if there is none.
func (c *Cache) get(key cacheKey) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return nil
	}
	e.round = c.round
	return e.value
}

// entryBytes is what an entry costs beside its value.
const entryBytes = 250

// put keeps value, of about size bytes, under key, if there is room. Value
// must not change any more.
func (c *Cache) put(key cacheKey, value any, size int64) {
	size += entryBytes + int64(len(key.name)+len(key.id))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(key)
	if !c.makeRoom(size) {
		return
	}
	c.used += size
	c.entries[key] = &cacheEntry{value: value, size: size, round: c.round}
}

// makeRoom gives up old entries until size bytes fit, and then some more, for
// it has to look at all of them. It reports whether they fit.
func (c *Cache) makeRoom(size int64) bool {
	if c.used+size <= c.most || c.full == c.round || size > c.most {
		return c.used+size <= c.most
	}
	var old []cacheKey
	for key, e := range c.entries {
		if e.round < c.round {
			old = append(old, key)
		}
	}
	slices.SortFunc(old, func(a, b cacheKey) int { return cmp.Compare(c.entries[a].round, c.entries[b].round) })
	for _, key := range old {
		if c.used+size <= c.most-c.most/8 {
			return true
		}
		c.remove(key)
	}
	c.full = c.round
	return c.used+size <= c.most
}

func (c *Cache) remove(key cacheKey) {
	if e := c.entries[key]; e != nil {
		c.used -= e.size
		delete(c.entries, key)
	}
}

// kindOf is the cacheKey.kind of a part.
func kindOf(what string, limits Limits, namespace string) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %+v %q", what, limits, namespace))
	return binary.BigEndian.Uint64(sum[:])
}

// sizeOf estimates the memory that a value of an object takes.
func sizeOf(v any) int64 {
	const text, slot, group = 16, 32, 8
	switch v := v.(type) {
	case string:
		return text + int64(len(v))
	case []any:
		size := int64(24 + 16*len(v))
		for _, item := range v {
			size += sizeOf(item)
		}
		return size
	case map[string]any:
		// Go's maps have groups of eight slots, which grow by doubling.
		slots := group
		for slots*7/8 < len(v) {
			slots *= 2
		}
		size := int64(48 + slots*(slot+1))
		for name, value := range v {
			size += text/2 + int64(len(name)) + sizeOf(value)
		}
		return size
	}
	return 8
}
