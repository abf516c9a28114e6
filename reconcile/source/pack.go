package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// objects are the objects of a repository that one revision may need.
type objects interface {
	// read returns the content of an object. Content of more than most bytes
	// is not returned, only its size.
	read(h plumbing.Hash, t plumbing.ObjectType, most int64) (content []byte, size int64, err error)
}

// packed has every object of one packfile, inflated. The names of objects are
// computed from what was received, so whatever is found by its name is what
// that name stands for.
type packed map[plumbing.Hash]packedObject

type packedObject struct {
	kind    plumbing.ObjectType
	content []byte
}

func (p packed) read(h plumbing.Hash, t plumbing.ObjectType, most int64) ([]byte, int64, error) {
	o, ok := p[h]
	switch size := int64(len(o.content)); {
	case !ok:
		return nil, 0, garbage(fmt.Errorf("object %s was not sent", h))
	case o.kind != t:
		return nil, 0, garbage(fmt.Errorf("object %s is a %s, not a %s", h, o.kind, t))
	case size > most:
		return nil, size, nil
	default:
		return o.content, size, nil
	}
}

// unpacker inflates a packfile within a budget. go-git's own parser writes to
// a storage that learns of an object's size when the object is in memory, so
// it cannot be stopped before a bomb has gone off; its scanner and its delta
// arithmetic are used.
type unpacker struct {
	scanner *packfile.Scanner
	limits  Limits
	left    int64 // bytes that may still be inflated
	all     []*entry
	at      map[int64]*entry
	named   map[plumbing.Hash]*entry
}

// entry is one object of a packfile. One with a base is a delta still.
type entry struct {
	kind    plumbing.ObjectType
	content []byte
	base    *entry        // of a delta that goes by offset
	name    plumbing.Hash // of the base of a delta that goes by name
}

// unpack reads one packfile from r.
func unpack(r io.Reader, limits Limits) (p packed, err error) {
	defer recovered(&err)
	u := &unpacker{
		scanner: packfile.NewScanner(r), limits: limits, left: limits.Bytes,
		at: map[int64]*entry{}, named: map[plumbing.Hash]*entry{},
	}
	if err := u.scan(); err != nil {
		return nil, err
	}
	if err := u.resolve(); err != nil {
		return nil, err
	}
	all := make(packed, len(u.named))
	for name, e := range u.named {
		all[name] = packedObject{e.kind, e.content}
	}
	return all, nil
}

func (u *unpacker) scan() error {
	_, count, err := u.scanner.Header()
	if err != nil {
		return garbage(err)
	}
	// A revision has at most one folder for each file, and its commit.
	if most := 2*u.limits.Files + 2; int64(count) > int64(most) {
		return tooManyFiles(u.limits.Files)
	}
	for range count {
		e, offset, err := u.next()
		if err != nil {
			return garbage(err)
		}
		u.at[offset] = e
		u.all = append(u.all, e)
	}
	if _, err := u.scanner.Checksum(); err != nil {
		return garbage(err)
	}
	return nil
}

func (u *unpacker) next() (*entry, int64, error) {
	h, err := u.scanner.NextObjectHeader()
	if err != nil {
		return nil, 0, err
	}
	if err := u.spend(h.Length); err != nil {
		return nil, 0, err
	}
	e := &entry{kind: h.Type}
	switch h.Type {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
	case plumbing.OFSDeltaObject:
		if e.base = u.at[h.OffsetReference]; e.base == nil {
			return nil, 0, errors.New("a delta has no base")
		}
	case plumbing.REFDeltaObject:
		if e.name = h.Reference; e.name.IsZero() {
			return nil, 0, errors.New("a delta has no base")
		}
	default:
		return nil, 0, fmt.Errorf("object type %d is unknown", h.Type)
	}
	var content bytes.Buffer
	// A small answer can claim a large object, so the claim alone reserves
	// little.
	content.Grow(int(min(h.Length, 64<<10)))
	n, _, err := u.scanner.NextObject(&content)
	if err != nil {
		return nil, 0, err
	}
	if n != h.Length {
		return nil, 0, io.ErrUnexpectedEOF
	}
	e.content = content.Bytes()
	return e, h.Offset, nil
}

func (u *unpacker) spend(n int64) error {
	if n < 0 || n > u.left {
		return tooManyBytes(u.limits.Bytes)
	}
	u.left -= n
	return nil
}

// resolve applies the deltas. One can have its base anywhere in the file, and
// its base can be a delta, so each object that is complete is passed to those
// that wait for it.
func (u *unpacker) resolve() error {
	waiting := map[*entry][]*entry{}
	waitingFor := map[plumbing.Hash][]*entry{}
	var ready []*entry
	for _, e := range u.all {
		switch {
		case e.base != nil:
			waiting[e.base] = append(waiting[e.base], e)
		case !e.name.IsZero():
			waitingFor[e.name] = append(waitingFor[e.name], e)
		default:
			ready = append(ready, e)
		}
	}
	done := 0
	for len(ready) > 0 {
		base := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		done++
		hash := plumbing.ComputeHash(base.kind, base.content)
		u.named[hash] = base
		next := append(waiting[base], waitingFor[hash]...)
		delete(waitingFor, hash)
		for _, e := range next {
			if err := u.apply(e, base); err != nil {
				return err
			}
		}
		ready = append(ready, next...)
	}
	if done < len(u.all) {
		return garbage(errors.New("a delta has no base"))
	}
	return nil
}

// apply makes the delta e the object that it describes.
func (u *unpacker) apply(e, base *entry) error {
	_, n := binary.Uvarint(e.content)
	size, m := binary.Uvarint(e.content[max(n, 0):])
	if n <= 0 || m <= 0 {
		return garbage(packfile.ErrInvalidDelta)
	}
	if size > uint64(u.limits.Bytes) {
		return tooManyBytes(u.limits.Bytes)
	}
	if err := u.spend(int64(size)); err != nil {
		return err
	}
	content, err := packfile.PatchDelta(base.content, e.content)
	if err != nil {
		return garbage(err)
	}
	*e = entry{kind: base.kind, content: content}
	return nil
}
