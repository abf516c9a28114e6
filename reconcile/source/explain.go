package source

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"rota.dev/rota/schema"
)

func tooSlow(limit time.Duration) *schema.Problem {
	return problem(ruleTime, "", fmt.Sprintf("the fetch was not done within %s", limit),
		"Check the git server and the way to it, or raise the time limit if the repository is large.", nil)
}

// explain makes a problem of what a library said. Text that may come from the
// server is shortened and freed of credentials before it is repeated, and the
// error itself is kept only where it cannot hold any.
func (g *Git) explain(err error) error {
	var p *schema.Problem
	if errors.As(err, &p) {
		return p
	}
	// go-git's errors for an unexpected answer do not unwrap.
	var unexpected *plumbing.UnexpectedError
	if errors.As(err, &unexpected) {
		err = unexpected.Err
		if errors.As(err, &p) {
			return p
		}
	}
	place := g.at.url
	var said *remoteError
	var status *githttp.Err
	switch {
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return problem(ruleEmpty, "", fmt.Sprintf("the repository %s has no commit yet", place), "Push a first commit.", ErrEmpty)
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return g.denied(errors.Is(err, transport.ErrAuthorizationFailed))
	case errors.Is(err, transport.ErrRepositoryNotFound), errors.As(err, &said) && said.isNotFound():
		return problem(ruleNotFound, "", fmt.Sprintf("the git server knows no repository %s", place),
			"Correct the url. Many servers also answer so when the credentials may not read the repository.", nil)
	case errors.As(err, &status):
		return problem(ruleUnreachable, "", fmt.Sprintf("%s answered with HTTP status %d", place, status.StatusCode()),
			"Check the git server; the fetch is tried again.", nil)
	case said != nil:
		return problem(ruleUnreachable, "", fmt.Sprintf("%s answered: %s", place, quiet(said.text, g.auth.all()...)),
			"Check the url and what the key may do.", nil)
	}
	return g.unreachable(err)
}

func (g *Git) denied(forbidden bool) error {
	who := "without credentials"
	if !g.auth.header().IsZero() {
		who = "with the credentials given"
	}
	why := "asks for credentials and does not let the repository be read " + who
	if forbidden {
		why = "forbids to read the repository " + who
	}
	return problem(ruleDenied, "", fmt.Sprintf("%s %s", g.at.url, why),
		"Give a token or a key that may read this repository; check that it has not run out.", nil)
}

func (g *Git) unreachable(err error) error {
	var tlsProblem *tls.CertificateVerificationError
	var dns *net.DNSError
	var network net.Error
	var place *url.Error
	closed := false
	if errors.As(err, &place) {
		err = place.Err
		closed = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	}
	text := quiet(err.Error(), g.auth.all()...)
	switch {
	case errors.As(err, &tlsProblem):
		return problem(ruleUnreachable, "", fmt.Sprintf("the certificate of %s is not trusted: %s", g.at.host, text),
			"Give the CA that signed it as the source's CA bundle, or renew the certificate.", nil)
	case errors.As(err, &dns):
		return problem(ruleUnreachable, "", fmt.Sprintf("the host %s cannot be found: %s", g.at.host, text), "Correct the host, or check name resolution.", nil)
	case closed || errors.As(err, &network):
		return problem(ruleUnreachable, "", fmt.Sprintf("%s cannot be reached: %s", g.at.endpoint(), text),
			"Check that the git server runs and that a connection to it is allowed; the fetch is tried again.", nil)
	}
	return garbage(errors.New(text))
}
