package source

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"
)

// plain serves answer over http for every request.
func plain(t testing.TB, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.Config.ErrorLog = discardLog
	s.Start()
	t.Cleanup(s.Close)
	return s.URL + "/x.git"
}

// raw serves answer on every connection.
func raw(t testing.TB, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); answer(c) }()
		}
	}()
	return l.Addr().String()
}

// hang reads and never answers.
func hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// drip begins with head and goes on with one byte at a time.
func drip(head string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			return
		}
		go hang(c)
		_, _ = io.WriteString(c, head)
		for range time.Tick(5 * time.Millisecond) {
			if _, err := c.Write([]byte("0")); err != nil {
				return
			}
		}
	}
}

func TestAServerThatDoesNotFinishIsGivenUp(t *testing.T) {
	_, private := newKey(t)
	host, _ := newKey(t)
	overSSH := func(answer func(net.Conn)) GitOptions {
		at := raw(t, answer)
		return GitOptions{URL: "ssh://git@" + at + "/x.git", KnownHosts: (&shell{Listener: fixed(at)}).line(host.PublicKey()), Auth: Auth{PrivateKey: private}}
	}
	overHTTP := func(answer func(net.Conn)) GitOptions {
		return GitOptions{URL: "http://" + raw(t, answer) + "/x.git", AllowLocal: true}
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n"
	for name, o := range map[string]GitOptions{
		"http, no answer":           overHTTP(hang),
		"http, header drips":        overHTTP(drip("HTTP/1.1 200 OK\r\nX: ")),
		"http, body drips":          overHTTP(drip(head + "001e# service=git-upload-pack\n0000fff0")),
		"ssh, no answer":            overSSH(hang),
		"ssh, version drips":        overSSH(drip("SSH-2.0-")),
		"ssh, no key exchange":      overSSH(func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n"); hang(c) }),
		"ssh, a program that waits": silentProgram(t),
	} {
		t.Run(name, func(t *testing.T) {
			o.Limits.Time = 200 * time.Millisecond
			g := newGit(t, o)
			_, err := g.Fetch(within10s(t), "")
			refused(t, err, "R110", "200ms")
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := g.Fetch(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the caller's own deadline: %v", err)
			}
		})
	}
}

// silentProgram is an SSH server whose program says nothing.
func silentProgram(t testing.TB) GitOptions {
	t.Helper()
	host, _ := newKey(t)
	_, private := newKey(t)
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(host)
	at := raw(t, func(c net.Conn) {
		_, channels, requests, err := ssh.NewServerConn(c, config)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		for offered := range channels {
			channel, requests, err := offered.Accept()
			if err != nil {
				return
			}
			go func() {
				for r := range requests {
					_ = r.Reply(true, nil)
				}
			}()
			go func() { _, _ = io.Copy(io.Discard, channel) }()
		}
	})
	return GitOptions{URL: "ssh://git@" + at + "/x.git", KnownHosts: (&shell{Listener: fixed(at)}).line(host.PublicKey()), Auth: Auth{PrivateKey: private}}
}

// fixed is a listener's address without a listener.
type fixed string

func (f fixed) Addr() net.Addr          { return f }
func (f fixed) Network() string         { return "tcp" }
func (f fixed) String() string          { return string(f) }
func (fixed) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (fixed) Close() error              { return nil }

func TestAnAnswerThatIsNotGitsIsReported(t *testing.T) {
	for _, c := range []struct {
		name, rule, word string
		answer           http.HandlerFunc
	}{
		{"a web page", "R116", "not what git sends", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "<html>please log in</html>")
		}},
		{"nothing", "R116", "not what git sends", func(http.ResponseWriter, *http.Request) {}},
		{"an internal error", "R109", "500", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh", 500) }},
		{"not found", "R105", "knows no repository", http.NotFound},
		{"refs without end", "R111", "1 MiB", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "001e# service=git-upload-pack\n0000")
			line := fmt.Sprintf("%040d refs/heads/%s", 1, strings.Repeat("x", 500))
			fmt.Fprintf(w, "%04x%s\x00multi_ack\n", len(line)+15, line)
			for i := range 1 << 20 {
				if _, err := fmt.Fprintf(w, "%04x%s%08d\n", len(line)+13, line, i); err != nil {
					return
				}
			}
		}},
		{"an error page without end", "R109", "500", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}},
		{"an error of git's with control characters", "R116", "no  such", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "001e# service=git-upload-pack\n0000"+"0014ERR no \x1b[2Jsuch\n")
		}},
		{"a closed connection", "R109", "cannot be reached", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGit(t, GitOptions{URL: plain(t, c.answer), AllowLocal: true, Limits: Limits{Bytes: 1 << 20}})
			_, err := g.Fetch(within10s(t), "")
			refused(t, err, c.rule)
			if strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("%q has an escape character", err)
			}
			if c.word != "no  such" && !strings.Contains(err.Error(), c.word) {
				t.Errorf("the error does not mention %q: %v", c.word, err)
			}
		})
	}
	t.Run("no server", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		_, err = newGit(t, GitOptions{URL: "http://" + l.Addr().String() + "/x.git", AllowLocal: true}).Fetch(within10s(t), "")
		refused(t, err, "R109", "refused")
	})
}

func TestABrokenPackIsReportedAndTheNextFetchWorks(t *testing.T) {
	for name, spoil := range map[string]func(body []byte) []byte{
		"cut in the middle": func(b []byte) []byte { return b[:len(b)/2] },
		"cut at the end":    func(b []byte) []byte { return b[:len(b)-30] },
		"a byte changed":    func(b []byte) []byte { b[len(b)-60] ^= 0x55; return b },
		"replaced by noise": func(b []byte) []byte { return bytes.Repeat([]byte("noise"), 100) },
		"empty":             func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t)
			for i := range 20 {
				r.write(fmt.Sprintf("%d.yaml", i), strings.Repeat(fmt.Sprintf("%x", sha1.Sum([]byte{byte(i)})), 10))
			}
			r.commit("one")
			var broken atomic.Bool
			broken.Store(true)
			s := serve(t, r, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					if q.Method != http.MethodPost || !broken.Load() {
						next.ServeHTTP(w, q)
						return
					}
					rec := httptest.NewRecorder()
					next.ServeHTTP(rec, q)
					_, _ = w.Write(spoil(rec.Body.Bytes()))
				})
			})
			g := newGit(t, GitOptions{URL: s.url(), AllowLocal: true})
			_, err := g.Fetch(within10s(t), "")
			refused(t, err, "R116")
			broken.Store(false)
			if _, files := fetched(t, g, ""); len(files) != 20 {
				t.Errorf("%d files after the server was mended, want 20", len(files))
			}
		})
	}
}

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

func TestCredentialsStayWhereTheyBelong(t *testing.T) {
	const secret = "s3cr3t/+&tok en"
	var elsewhere atomic.Int32
	var leaked atomic.Bool
	other := plain(t, func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		if r.Header.Get("Authorization") != "" {
			leaked.Store(true)
		}
		http.NotFound(w, r)
	})
	for name, auth := range map[string]Auth{
		"a token":    {Token: NewSecret(secret)},
		"a password": {Username: "ann", Password: NewSecret(secret)},
		"a bearer":   {Bearer: NewSecret(secret)},
	} {
		t.Run(name, func(t *testing.T) {
			fetch := func(answer http.HandlerFunc) error {
				_, err := newGit(t, GitOptions{URL: plain(t, answer), AllowLocal: true, Auth: auth}).Fetch(within10s(t), "")
				if err == nil {
					t.Fatal("the fetch worked")
				}
				clean(t, secret, auth, err)
				return err
			}
			t.Log("a redirect to another host")
			err := fetch(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other+"/info/refs?service=git-upload-pack", http.StatusFound)
			})
			refused(t, err, "R117", strings.TrimSuffix(other, "/x.git"))
			t.Log("servers that repeat what they were sent")
			for _, status := range []int{400, 401, 403, 404, 500} {
				err := fetch(func(w http.ResponseWriter, r *http.Request) {
					http.Error(w, r.Header.Get("Authorization")+" "+secret, status)
				})
				if status == 401 || status == 403 {
					refused(t, err, "R104")
				}
			}
			fetch(func(w http.ResponseWriter, r *http.Request) {
				text := "ERR " + r.Header.Get("Authorization") + " " + secret
				fmt.Fprintf(w, "001e# service=git-upload-pack\n0000%04x%s", len(text)+4, text)
			})
			fetch(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/"+secret+"/info/refs", http.StatusFound)
			})
		})
	}
	if elsewhere.Load() > 0 || leaked.Load() {
		t.Errorf("the other host was asked %d times, with credentials: %v", elsewhere.Load(), leaked.Load())
	}
}

func TestARedirectOnTheSameHostIsFollowed(t *testing.T) {
	r := newRepository(t)
	r.write("a.yaml", "a: 1\n")
	r.commit("one")
	var s *web
	s = serve(t, r, func(next http.Handler) http.Handler {
		return basic("git", "s3cret")(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if rest, ok := strings.CutPrefix(q.URL.Path, "/old/"); ok {
				http.Redirect(w, q, s.url()+"/"+rest+"?"+q.URL.RawQuery, http.StatusMovedPermanently)
				return
			}
			next.ServeHTTP(w, q)
		}))
	})
	g := newGit(t, GitOptions{URL: s.URL + "/old", AllowLocal: true, Auth: Auth{Token: NewSecret("s3cret")}})
	if _, files := fetched(t, g, ""); files["a.yaml"] == "" {
		t.Error("nothing was fetched")
	}
}

func TestACertificateMustBeTrusted(t *testing.T) {
	r := newRepository(t)
	r.commit("one")
	s := start(t, r, nil, (*httptest.Server).StartTLS)
	_, err := newGit(t, GitOptions{URL: s.url()}).Fetch(within10s(t), "")
	refused(t, err, "R109", "not trusted", "CA bundle")
	_, err = NewGit(GitOptions{URL: s.url(), CABundle: []byte("nothing")})
	refused(t, err, "R102", "CA bundle")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if _, err := newGit(t, GitOptions{URL: s.url(), CABundle: ca}).Fetch(within10s(t), ""); err != nil {
		t.Errorf("with the CA: %v", err)
	}
}
