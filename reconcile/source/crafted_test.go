package source

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
)

// packer writes a packfile by hand.
type packer struct {
	bytes.Buffer
	count uint32
}

// object adds an object or a delta; base goes between header and content.
func (p *packer) object(kind plumbing.ObjectType, base, content []byte) (offset int) {
	return p.claim(kind, base, content, len(content))
}

func (p *packer) claim(kind plumbing.ObjectType, base, content []byte, size int) (offset int) {
	offset = 12 + p.Len()
	first := byte(kind)<<4 | byte(size&0xf)
	for size >>= 4; size > 0; size >>= 7 {
		p.WriteByte(first | 0x80)
		first = byte(size & 0x7f)
	}
	p.WriteByte(first)
	p.Write(base)
	z := zlib.NewWriter(p)
	_, _ = z.Write(content)
	_ = z.Close()
	p.count++
	return offset
}

func (p *packer) pack() []byte {
	var b bytes.Buffer
	b.WriteString("PACK")
	_ = binary.Write(&b, binary.BigEndian, [2]uint32{2, p.count})
	b.Write(p.Bytes())
	sum := sha1.Sum(b.Bytes())
	b.Write(sum[:])
	return b.Bytes()
}

// deltaOf is a delta that copies the whole base of n bytes times times.
func deltaOf(n, times int) []byte {
	d := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(n)), uint64(n*times))
	for range times {
		d = append(d, 0x80|0x10|0x20|0x40, byte(n), byte(n>>8), byte(n>>16))
	}
	return d
}

func TestAPackCannotBeABomb(t *testing.T) {
	limits := Limits{Bytes: 1 << 20, Files: 100}.orDefault()
	sum := func(content []byte) []byte { h := plumbing.ComputeHash(plumbing.BlobObject, content); return h[:] }
	for _, c := range []struct {
		name, rule string
		make       func(p *packer)
	}{
		{"zeros that inflate beyond the limit", "R111", func(p *packer) { p.object(plumbing.BlobObject, nil, make([]byte, 2<<20)) }},
		{"many zeros that do together", "R111", func(p *packer) {
			for i := range 5 {
				p.object(plumbing.BlobObject, nil, make([]byte, 300<<10+i))
			}
		}},
		{"a claim beyond the limit", "R111", func(p *packer) { p.claim(plumbing.BlobObject, nil, []byte("x"), 1<<40) }},
		{"more than was claimed", "R116", func(p *packer) { p.claim(plumbing.BlobObject, nil, make([]byte, 1<<20), 10) }},
		{"less than was claimed", "R116", func(p *packer) { p.claim(plumbing.BlobObject, nil, []byte("x"), 10) }},
		{"deltas that double, again and again", "R111", func(p *packer) {
			content := bytes.Repeat([]byte("0123456789abcdef"), 1024)
			p.object(plumbing.BlobObject, nil, content)
			for range 20 {
				p.object(plumbing.REFDeltaObject, sum(content), deltaOf(len(content), 2))
				content = append(content, content...)
				if len(content) > 8<<20 {
					return
				}
			}
		}},
		{"a delta without a base", "R116", func(p *packer) { p.object(plumbing.REFDeltaObject, make20(1), deltaOf(1, 1)) }},
		{"a delta with a base of no name", "R116", func(p *packer) { p.object(plumbing.REFDeltaObject, make20(0), deltaOf(1, 1)) }},
		{"a delta on itself", "R116", func(p *packer) { p.object(plumbing.OFSDeltaObject, []byte{0}, deltaOf(1, 1)) }},
		{"a delta of a wrong size", "R116", func(p *packer) {
			p.object(plumbing.BlobObject, nil, []byte("base"))
			p.object(plumbing.REFDeltaObject, sum([]byte("base")), deltaOf(400, 1))
		}},
		{"an empty delta", "R116", func(p *packer) {
			p.object(plumbing.BlobObject, nil, []byte("base"))
			p.object(plumbing.REFDeltaObject, sum([]byte("base")), nil)
		}},
		{"an object of no type", "R116", func(p *packer) { p.object(5, nil, []byte("x")) }},
		{"more objects than files can have", "R111", func(p *packer) { p.count = 1 << 30 }},
		{"fewer objects than announced", "R116", func(p *packer) { p.count = 3 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &packer{}
			c.make(p)
			_, err := unpack(bytes.NewReader(p.pack()), limits)
			refused(t, err, c.rule)
		})
	}
}

func make20(b byte) []byte { return bytes.Repeat([]byte{b}, 20) }

func TestDeltasAreResolvedInAnyOrder(t *testing.T) {
	p := &packer{}
	base := []byte("0123456789abcdef")
	content := [][]byte{base}
	const chain = 500
	for i := 1; i < chain; i++ {
		content = append(content, append(bytes.Clone(content[i-1]), byte(i), byte(i>>8)))
	}
	for i := chain - 1; i > 0; i-- {
		below := content[i-1]
		h := plumbing.ComputeHash(plumbing.BlobObject, below)
		d := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(below))), uint64(len(below)+2))
		d = append(d, 0x80|0x10|0x20, byte(len(below)), byte(len(below)>>8), 2, byte(i), byte(i>>8))
		p.object(plumbing.REFDeltaObject, h[:], d)
	}
	p.object(plumbing.BlobObject, nil, base)
	got, err := unpack(bytes.NewReader(p.pack()), Limits{}.orDefault())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range content {
		if o := got[plumbing.ComputeHash(plumbing.BlobObject, want)]; !bytes.Equal(o.content, want) {
			t.Fatalf("object %d is not what it was", i)
		}
	}
}

// FuzzUnpack holds that no packfile makes the unpacker crash or use more than
// it may.
func FuzzUnpack(f *testing.F) {
	p := &packer{}
	p.object(plumbing.BlobObject, nil, []byte("base"))
	h := plumbing.ComputeHash(plumbing.BlobObject, []byte("base"))
	p.object(plumbing.REFDeltaObject, h[:], deltaOf(4, 2))
	f.Add(p.pack())
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := Limits{Bytes: 1 << 16, Files: 100}.orDefault()
		got, err := unpack(bytes.NewReader(data), limits)
		if err != nil {
			refusedAny(t, err)
			return
		}
		total := int64(0)
		for name, o := range got {
			total += int64(len(o.content))
			if plumbing.ComputeHash(o.kind, o.content) != name {
				t.Errorf("object %s has another name", name)
			}
		}
		if total > limits.Bytes {
			t.Errorf("%d bytes from a budget of %d", total, limits.Bytes)
		}
	})
}

// crafted builds objects that git would not make.
type crafted struct{ packed }

func (c crafted) add(t plumbing.ObjectType, content string) plumbing.Hash {
	h := plumbing.ComputeHash(t, []byte(content))
	c.packed[h] = packedObject{t, []byte(content)}
	return h
}

func (c crafted) entry(mode, name string, h plumbing.Hash) string {
	return mode + " " + name + "\x00" + string(h[:])
}

func (c crafted) commit(tree plumbing.Hash) plumbing.Hash {
	return c.add(plumbing.CommitObject, "tree "+tree.String()+"\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nx\n")
}

func TestATreeCannotBeForged(t *testing.T) {
	limits := Limits{Files: 1000, Bytes: 1 << 20}.orDefault()
	for _, c := range []struct {
		name, rule, word string
		tree             func(c crafted, blob plumbing.Hash) plumbing.Hash
	}{
		{"a file named ..", "R115", `".."`, func(c crafted, b plumbing.Hash) plumbing.Hash {
			return c.add(plumbing.TreeObject, c.entry("100644", "..", b))
		}},
		{"a folder named .GIT", "R115", ".GIT", func(c crafted, b plumbing.Hash) plumbing.Hash {
			return c.add(plumbing.TreeObject, c.entry("40000", ".GIT", c.add(plumbing.TreeObject, "")))
		}},
		{"a name with a slash", "R115", "a/b", func(c crafted, b plumbing.Hash) plumbing.Hash {
			return c.add(plumbing.TreeObject, c.entry("100644", "a/b", b))
		}},
		{"a name that is not UTF-8", "R115", "UTF-8", func(c crafted, b plumbing.Hash) plumbing.Hash {
			return c.add(plumbing.TreeObject, c.entry("100644", "a\xff.yaml", b))
		}},
		{"the same name twice", "R116", "two entries", func(c crafted, b plumbing.Hash) plumbing.Hash {
			return c.add(plumbing.TreeObject, c.entry("100644", "a", b)+c.entry("100644", "a", b))
		}},
		{"a folder that is a file", "R116", "is a blob", func(c crafted, b plumbing.Hash) plumbing.Hash {
			return c.add(plumbing.TreeObject, c.entry("40000", "a", b))
		}},
		{"a file that was not sent", "R116", "not sent", func(c crafted, b plumbing.Hash) plumbing.Hash {
			return c.add(plumbing.TreeObject, c.entry("100644", "a", plumbing.NewHash(strings.Repeat("12", 20))))
		}},
		{"a tree that ends too early", "R116", "", func(c crafted, b plumbing.Hash) plumbing.Hash {
			return c.add(plumbing.TreeObject, c.entry("100644", "a", b)[:20])
		}},
		{"a link with a target that is too long", "R113", "usable target", func(c crafted, b plumbing.Hash) plumbing.Hash {
			return c.add(plumbing.TreeObject, c.entry("120000", "a", c.add(plumbing.BlobObject, strings.Repeat("x/", 5000))))
		}},
		{"folders that hold each other ten times, ten deep", "R111", "1000 files", func(c crafted, b plumbing.Hash) plumbing.Hash {
			at := c.add(plumbing.TreeObject, c.entry("100644", "a", b))
			for range 10 {
				var all string
				for i := range 10 {
					all += c.entry("40000", fmt.Sprint(i), at)
				}
				at = c.add(plumbing.TreeObject, all)
			}
			return at
		}},
		{"folders in folders without end", "R115", "nested", func(c crafted, b plumbing.Hash) plumbing.Hash {
			at := c.add(plumbing.TreeObject, c.entry("100644", "a", b))
			for range 500 {
				at = c.add(plumbing.TreeObject, c.entry("40000", "d", at))
			}
			return at
		}},
		{"one file under many names", "R111", "1 MiB", func(c crafted, b plumbing.Hash) plumbing.Hash {
			big := c.add(plumbing.BlobObject, strings.Repeat("x", 100<<10))
			var all string
			for i := range 20 {
				all += c.entry("100644", fmt.Sprintf("%02d", i), big)
			}
			return c.add(plumbing.TreeObject, all)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := crafted{packed{}}
			commit := objects.commit(c.tree(objects, objects.add(plumbing.BlobObject, "x")))
			m, err := grow(objects, commit, limits)
			if err == nil {
				_, err = plant("x", m, ".")
			}
			refused(t, err, c.rule, c.word)
		})
	}
}

func TestATagMustNameACommit(t *testing.T) {
	c := crafted{packed{}}
	tag := func(kind string, h plumbing.Hash) plumbing.Hash {
		return c.add(plumbing.TagObject, fmt.Sprintf("object %s\ntype %s\ntag v1\ntagger a <a> 0 +0000\n\nx\n", h, kind))
	}
	commit := c.commit(c.add(plumbing.TreeObject, ""))
	if got, err := peel(c, tag("tag", tag("commit", commit)), true); err != nil || got != commit {
		t.Errorf("a tag of a tag: %s, %v", got, err)
	}
	_, err := peel(c, tag("blob", c.add(plumbing.BlobObject, "x")), true)
	refused(t, err, "R101", "names a blob")
	deep := tag("commit", commit)
	for range 20 {
		deep = tag("tag", deep)
	}
	_, err = peel(c, deep, true)
	refused(t, err, "R116", "and so on")
}
