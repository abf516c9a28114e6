package source

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// backend serves the folder that r is in by git's own smart HTTP program.
func backend(t testing.TB, r *repository) http.Handler {
	t.Helper()
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Skip("git --exec-path does not work: ", err)
	}
	program := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(program); err != nil {
		t.Skip("git-http-backend, which serves this test's repository, is not installed: ", err)
	}
	return &cgi.Handler{
		Path:   program,
		Env:    append(gitEnvironment(r.dir), "GIT_PROJECT_ROOT="+filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1"),
		Stderr: io.Discard,
	}
}

// web is a git server over HTTP that counts what it is asked.
type web struct {
	*httptest.Server
	asked, packs atomic.Int32
	name         string
}

func (w *web) url() string { return w.URL + "/" + w.name }

func serve(t testing.TB, r *repository, wrap func(http.Handler) http.Handler) *web {
	t.Helper()
	return start(t, r, wrap, (*httptest.Server).Start)
}

func start(t testing.TB, r *repository, wrap func(http.Handler) http.Handler, how func(*httptest.Server)) *web {
	t.Helper()
	next := backend(t, r)
	if wrap != nil {
		next = wrap(next)
	}
	w := &web{name: filepath.Base(r.dir) + "/.git"}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		w.asked.Add(1)
		if q.Method == http.MethodPost {
			w.packs.Add(1)
		}
		next.ServeHTTP(rw, q)
	}))
	w.Config.ErrorLog = discardLog
	how(w.Server)
	t.Cleanup(w.Close)
	return w
}

// basic asks for a username and a password.
func basic(user, password string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u, p, ok := r.BasicAuth()
			switch {
			case !ok:
				w.Header().Set("WWW-Authenticate", "Basic")
				http.Error(w, "who are you", http.StatusUnauthorized)
			case u != user || p != password:
				// A server that repeats what it was sent.
				http.Error(w, "not with "+r.Header.Get("Authorization")+" "+u+":"+p, http.StatusForbidden)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

// shell is an SSH server that runs git-upload-pack and nothing else.
type shell struct {
	net.Listener
	config *ssh.ServerConfig
	logins atomic.Int32
	wg     sync.WaitGroup
	t      testing.TB
	env    []string
}

func newKey(t testing.TB) (ssh.Signer, Secret) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, NewSecret(string(pem.EncodeToMemory(block)))
}

// serveSSH lets in the holder of the key of login and shows the host keys.
func serveSSH(t testing.TB, r *repository, login ssh.PublicKey, keys ...ssh.Signer) *shell {
	t.Helper()
	s := &shell{t: t, env: gitEnvironment(r.dir)}
	s.config = &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(login.Marshal()) {
			return nil, errors.New("no")
		}
		s.logins.Add(1)
		return nil, nil
	}}
	for _, k := range keys {
		s.config.AddHostKey(k)
	}
	var err error
	if s.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.wg.Go(func() {
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.conversation(conn) })
		}
	})
	t.Cleanup(func() { s.Close(); s.wg.Wait() })
	return s
}

func (s *shell) conversation(conn net.Conn) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			if r.Type != "exec" {
				_ = r.Reply(false, nil)
				continue
			}
			var line struct{ Command string }
			if err := ssh.Unmarshal(r.Payload, &line); err != nil {
				s.t.Errorf("exec request: %v", err)
			}
			_ = r.Reply(true, nil)
			s.run(channel, line.Command)
			_ = channel.Close()
		}
	}
}

func (s *shell) run(channel ssh.Channel, line string) {
	path, asked := strings.CutPrefix(line, "git-upload-pack '")
	path, closed := strings.CutSuffix(path, "'")
	if !asked || !closed {
		s.t.Errorf("the client ran %q", line)
		return
	}
	c := exec.Command("git-upload-pack", path)
	c.Env = s.env
	c.Stdout, c.Stderr = channel, channel.Stderr()
	// Not c.Stdin: Run would wait for its end, and the client keeps it open.
	in, err := c.StdinPipe()
	if err != nil {
		s.t.Error(err)
		return
	}
	go func() { _, _ = io.Copy(in, channel); in.Close() }()
	status := uint32(0)
	if err := c.Run(); err != nil {
		status = 128
	}
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
}

func (s *shell) url(r *repository) string { return "ssh://git@" + s.Addr().String() + r.dir }

// line is the line of known_hosts for a key of the server.
func (s *shell) line(key ssh.PublicKey) []byte {
	return []byte(knownhosts.Line([]string{s.Addr().String()}, key) + "\n")
}
