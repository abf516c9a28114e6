package source

import (
	"bytes"
	"context"
	"crypto/sha1"
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
