package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
)

// sshWire speaks git's protocol with a git-upload-pack that an SSH server
// runs. go-git's own SSH transport is not used: it reads the ssh_config of
// whoever runs rota, which can lead elsewhere than known_hosts was checked
// for, and a server that stops answering during the handshake holds it for
// ever.
type sshWire struct {
	client *ssh.Client
	in     io.WriteCloser
	out    io.Reader
	stderr *tail
	stop   func() bool
	ended  chan struct{} // closed when the program has ended
	asked  bool
}

func (g *Git) dialSSH(ctx context.Context) (wire, error) {
	config, verdict := g.hosts.config(g.at)
	config.User = g.at.user
	config.Auth = []ssh.AuthMethod{ssh.PublicKeys(g.login)}
	dialer := &net.Dialer{Timeout: 30 * time.Second, Control: guard(false)}
	conn, err := dialer.DialContext(ctx, "tcp", g.at.endpoint())
	if err != nil {
		return nil, err
	}
	// Closing the connection is the only thing that ends a handshake or a
	// read that waits.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	metered := &meteredConn{Conn: conn, in: meter(conn, g.limits)}
	c, channels, requests, err := ssh.NewClientConn(metered, g.at.endpoint(), config)
	if err != nil {
		stop()
		_ = conn.Close()
		return nil, verdict(err)
	}
	w := &sshWire{client: ssh.NewClient(c, channels, requests), stop: stop, stderr: &tail{}}
	if err := w.start(g.at.path); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *sshWire) start(path string) error {
	session, err := w.client.NewSession()
	if err != nil {
		return err
	}
	session.Stderr = w.stderr
	if w.in, err = session.StdinPipe(); err != nil {
		return err
	}
	if w.out, err = session.StdoutPipe(); err != nil {
		return err
	}
	// parseAddress has refused every path that a quote could not contain.
	if err := session.Start("git-upload-pack '" + path + "'"); err != nil {
		return err
	}
	w.ended = make(chan struct{})
	go func() {
		defer close(w.ended)
		// How it ended shows in what it said.
		_ = session.Wait()
	}()
	return nil
}

func (w *sshWire) refs(context.Context) (*packp.AdvRefs, error) {
	adv := packp.NewAdvRefs()
	err := adv.Decode(w.out)
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && adv.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case err != nil:
		return nil, w.said(err)
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	return adv, nil
}

func (w *sshWire) pack(_ context.Context, want *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	w.asked = true
	if err := want.UploadRequest.Encode(w.in); err != nil {
		return nil, w.said(err)
	}
	if err := pktline.NewEncoder(w.in).EncodeString("done\n"); err != nil {
		return nil, w.said(err)
	}
	answer := packp.NewUploadPackResponse(want)
	if err := answer.Decode(io.NopCloser(w.out)); err != nil {
		return nil, w.said(err)
	}
	return answer, nil
}

func (w *sshWire) close() {
	if w.in != nil && !w.asked {
		// So that the server ends in peace and logs no broken connection.
		_ = pktline.NewEncoder(w.in).Flush()
	}
	w.stop()
	_ = w.client.Close()
}

// said adds to err what the server's program wrote to its error output, which
// is where git and the hosts explain themselves.
func (w *sshWire) said(err error) error {
	// The error output has its own way and can come after the end of the
	// other one.
	_ = w.in.Close()
	select {
	case <-w.ended:
	case <-time.After(time.Second):
	}
	text := w.stderr.String()
	if text == "" {
		return err
	}
	return &remoteError{text: text, cause: err}
}

// remoteError is what a server says in words.
type remoteError struct {
	text  string
	cause error
}

func (e *remoteError) Error() string { return fmt.Sprintf("%v: %s", e.cause, e.text) }
func (e *remoteError) Unwrap() error { return e.cause }

// isNotFound knows the words of the well-known servers.
func (e *remoteError) isNotFound() bool {
	text := strings.ToLower(e.text)
	for _, words := range []string{"not appear to be a git repository", "repository not found", "does not exist", "could not be found", "no such file", "cannot find repository"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// tail keeps the first part of what is written to it; safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const enough = 4096
	if room := enough - t.text.Len(); room > 0 {
		t.text.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

type meteredConn struct {
	net.Conn
	in io.Reader
}

func (c *meteredConn) Read(p []byte) (int, error) { return c.in.Read(p) }
