package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// newTransport returns the HTTP transport of one repository. The system's
// proxies are used, as git does; they never see what https carries.
func newTransport(at address, roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second, Control: guard(at.scheme == schemeHTTP)}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:   30 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          2,
		IdleConnTimeout:       2 * time.Minute,
		ExpectContinueTimeout: time.Second,
	}
}

// guard looks at the address that a name has resolved to, where no answer of a
// name server can deceive it any more: plain http stays on loopback, and
// nothing goes to the link-local addresses where clouds serve credentials.
func guard(loopbackOnly bool) func(network, address string, c syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("checking the address %s: %w", address, err)
		}
		ip := net.ParseIP(host)
		if ip == nil || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || loopbackOnly && !ip.IsLoopback() {
			return problem(ruleURL, "", fmt.Sprintf("the git url leads to the address %s, which is refused", host),
				"Use a host name that resolves to the git server's own address.", nil)
		}
		return nil
	}
}

// httpWire speaks git's smart HTTP protocol through go-git.
type httpWire struct {
	transport.UploadPackSession
}

func (g *Git) dialHTTP() (wire, error) {
	client := githttp.NewClientWithOptions(&http.Client{
		Transport:     meteredTransport{g.transport, g.limits},
		CheckRedirect: g.sameOrigin,
	}, nil)
	end, err := transport.NewEndpoint(g.at.url)
	if err != nil {
		return nil, garbage(err)
	}
	session, err := client.NewUploadPackSession(end, bound{g.at.origin(), g.auth.header()})
	if err != nil {
		return nil, err
	}
	return httpWire{session}, nil
}

// sameOrigin refuses to be led to another host, where the credentials must not
// go and whose content nobody has configured.
func (g *Git) sameOrigin(to *http.Request, _ []*http.Request) error {
	if originOf(to.URL) != g.at.origin() {
		return problem(ruleRedirect, "", fmt.Sprintf("the git server redirects to %s, which is refused", quiet(originOf(to.URL))),
			"If the repository has moved, set the url of the source to its new place.", nil)
	}
	return nil
}

func (w httpWire) refs(ctx context.Context) (*packp.AdvRefs, error) {
	return w.AdvertisedReferencesContext(ctx)
}

func (w httpWire) pack(ctx context.Context, want *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	return w.UploadPack(ctx, want)
}

func (w httpWire) close() { _ = w.Close() }

// meteredTransport bounds every answer.
type meteredTransport struct {
	base   http.RoundTripper
	limits Limits
}

func (t meteredTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	most := t.limits
	if answer.StatusCode >= 300 {
		// The body of an error is for people; go-git reads it whole.
		most.Bytes = 1
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{meter(answer.Body, most), answer.Body}
	return answer, nil
}
