package render

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"slices"
	"sync/atomic"

	"go.yaml.in/yaml/v3"

	"rota.dev/rota/render/expand"
	"rota.dev/rota/render/overlay"
)

// remembering is an Engine that asks another one for what its Cache does not
// have. Only success is kept: a failure may be due to the machine, and the
// next render has to try again.
type remembering struct {
	engine Engine
	cache  *Cache
	// failures counts the jobs that failed.
	failures atomic.Int64
}

// run is a Template job that succeeded.
type run struct {
	out expand.Rendered
	// reads are the files that it read or looked for, in order.
	reads []look
}

// Template returns what an earlier run gave if every file that it read has the
// content that it had. The files are read for that, so that they count.
func (e *remembering) Template(job expand.Job, read func(string) ([]byte, error)) (expand.Rendered, error) {
	type content struct {
		data []byte
		err  error
	}
	seen := map[string]content{}
	once := func(file string) ([]byte, error) {
		c, ok := seen[file]
		if !ok {
			c.data, c.err = read(file)
			seen[file] = c
		}
		return c.data, c.err
	}
	key := cacheKey{id: templateID(job)}
	if known, ok := e.cache.get(key).(*run); ok && !slices.ContainsFunc(known.reads, func(l look) bool { return contentOf(once(l.name)) != l.seen }) {
		return known.out, nil
	}
	var fresh run
	var err error
	fresh.out, err = e.engine.Template(job, func(file string) ([]byte, error) {
		data, err := once(file)
		fresh.reads = append(fresh.reads, look{file, contentOf(data, err)})
		return data, err
	})
	if err != nil {
		e.failures.Add(1)
		return fresh.out, err
	}
	if !slices.ContainsFunc(fresh.reads, func(l look) bool { return l.seen == "" }) {
		e.cache.put(key, &fresh, int64(200+len(fresh.out.Text)+200*len(fresh.reads)))
	}
	return fresh.out, nil
}

// contentOf is the look.seen of a file that was read, "" if nothing is known
// of it.
func contentOf(data []byte, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return seenNothing
	case err != nil:
		return ""
	}
	sum := sha256.Sum256(data)
	return seenContent + string(sum[:])
}

// Overlay returns what an earlier run on the same files gave.
func (e *remembering) Overlay(job overlay.Job) ([]json.RawMessage, error) {
	key := cacheKey{id: overlayID(job)}
	if known, ok := e.cache.get(key).([]json.RawMessage); ok {
		return known, nil
	}
	built, err := e.engine.Overlay(job)
	if err != nil {
		e.failures.Add(1)
		return nil, err
	}
	size := int64(24 * len(built))
	for _, data := range built {
		size += int64(cap(data))
	}
	e.cache.put(key, built, size)
	return built, nil
}

// templateID is a hash of everything in job.
func templateID(job expand.Job) string {
	d := digest{sha256.New()}
	d.text("template")
	d.text(job.File)
	d.text(job.Text)
	d.number(int64(job.Bytes))
	d.number(int64(job.Time))
	for _, v := range job.Variables {
		d.text(v.Name)
		d.text(v.Text)
		d.value(v.Data)
		d.node(v.Node)
	}
	return d.sum()
}

// overlayID is a hash of everything in job.
func overlayID(job overlay.Job) string {
	d := digest{sha256.New()}
	d.text("overlay")
	d.text(job.Folder)
	d.number(int64(job.Time))
	for _, file := range slices.Sorted(maps.Keys(job.Files)) {
		d.text(file)
		d.number(int64(len(job.Files[file])))
		d.Write(job.Files[file])
	}
	return d.sum()
}

// digest hashes values so that no two are written alike.
type digest struct{ hash.Hash }

func (d digest) sum() string { return string(d.Sum(nil)) }

func (d digest) number(n int64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	d.Write(b[:])
}

func (d digest) text(s string) {
	d.number(int64(len(s)))
	d.Write([]byte(s))
}

// value hashes what a document's reader makes of a value.
func (d digest) value(v any) {
	switch v := v.(type) {
	case []any:
		d.text("list")
		d.number(int64(len(v)))
		for _, item := range v {
			d.value(item)
		}
	case map[string]any:
		d.text("map")
		d.number(int64(len(v)))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			d.text(name)
			d.value(v[name])
		}
	default:
		d.text(fmt.Sprintf("%T %#v", v, v))
	}
}

// node hashes how a value was written, but not where: a mapping has its order
// there only, and a change elsewhere in the file moves its lines.
func (d digest) node(n *yaml.Node) {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil {
		d.number(-1)
		return
	}
	d.number(int64(n.Kind))
	d.number(int64(n.Style))
	d.text(n.Tag)
	d.text(n.Value)
	d.number(int64(len(n.Content)))
	for _, child := range n.Content {
		d.node(child)
	}
}
