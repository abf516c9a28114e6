package source

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"rota.dev/rota/render"
)

// GitOptions say what to fetch, from where, and as whom.
type GitOptions struct {
	// URL is https://host/path, ssh://user@host/path or user@host:path, and
	// with AllowLocal file:///path and http:// to a loopback address. It may
	// hold no credentials.
	URL string
	// Branch, Tag or Commit says what is followed; at most one may be given.
	// Without any it is the branch that the server's HEAD names. Commit has
	// 40 hex digits.
	Branch, Tag, Commit string
	// Path is the folder to render, slash-separated from the root; "." if
	// empty.
	Path string
	// Auth has the credentials. The caller has read them from files or the
	// environment.
	Auth Auth
	// KnownHosts is the content of a known_hosts file; ssh does not work
	// without.
	KnownHosts []byte
	// CABundle has certificates in PEM form that https trusts besides those
	// of the system.
	CABundle []byte
	// AllowLocal permits file:// and http:// on loopback.
	AllowLocal bool
	// Limits bound a fetch.
	Limits Limits
}

// Git follows one branch, tag or commit of a repository. It keeps nothing but
// idle connections from one fetch to the next: each is made from scratch, so a
// force-push, even to an older commit, is a revision like any other.
type Git struct {
	at     address
	want   wanted
	path   string
	limits Limits
	auth   Auth

	transport *http.Transport // of https
	login     ssh.Signer      // of ssh
	hosts     *knownHosts     // of ssh
}

// wanted is what of a repository is followed; at most one field is set.
type wanted struct{ branch, tag, commit string }

func (w wanted) ref() plumbing.ReferenceName {
	if w.tag != "" {
		return plumbing.NewTagReferenceName(w.tag)
	}
	return plumbing.NewBranchReferenceName(w.branch)
}

var commitName = regexp.MustCompile(`^[0-9a-f]{40}$`)

// check refuses names that are none.
func (w wanted) check() error {
	given := 0
	for _, name := range []string{w.branch, w.tag, w.commit} {
		if name != "" {
			given++
		}
	}
	if given > 1 {
		return problem(ruleRef, "", "more than one of branch, tag and commit is given", "Keep the one to follow.", nil)
	}
	if w.commit != "" {
		if !commitName.MatchString(w.commit) {
			return problem(ruleRef, "", fmt.Sprintf("%q is not the full name of a commit", quiet(w.commit)),
				"Give all 40 hex digits, in lower case, as git rev-parse prints them.", nil)
		}
		return nil
	}
	if given == 0 {
		return nil
	}
	name := w.branch + w.tag
	switch {
	case strings.HasPrefix(name, "refs/"):
		return problem(ruleRef, "", fmt.Sprintf("%q is not the short name of a branch or tag", quiet(name)),
			"Leave out refs/heads/ or refs/tags/.", nil)
	case w.ref().Validate() != nil || badName(name) != "":
		return problem(ruleRef, "", fmt.Sprintf("%q cannot be the name of a branch or tag", quiet(name)),
			"Give the name as git branch or git tag prints it; it cannot begin with a dash or have spaces, \"..\" or any of ~^:?*[\\ in it.", nil)
	}
	return nil
}

// NewGit checks o and returns the Git that it describes. It does not touch the
// network. Errors are problems that say which option is wrong.
func NewGit(o GitOptions) (*Git, error) {
	at, err := parseAddress(o.URL, o.AllowLocal)
	if err != nil {
		return nil, err
	}
	g := &Git{at: at, want: wanted{o.Branch, o.Tag, o.Commit}, limits: o.Limits.orDefault(), auth: o.Auth}
	if err := g.want.check(); err != nil {
		return nil, err
	}
	if g.path, err = folder(o.Path); err != nil {
		return nil, err
	}
	if err := o.Auth.check(at); err != nil {
		return nil, err
	}
	switch at.scheme {
	case schemeSSH:
		if g.login, err = o.Auth.signer(); err != nil {
			return nil, err
		}
		if g.hosts, err = readKnownHosts(o.KnownHosts); err != nil {
			return nil, err
		}
	case schemeHTTPS, schemeHTTP:
		roots, err := certificates(o.CABundle)
		if err != nil {
			return nil, err
		}
		g.transport = newTransport(at, roots)
	}
	return g, nil
}

// certificates returns the system's certificates and those of bundle, or nil
// for the system's alone.
func certificates(bundle []byte) (*x509.CertPool, error) {
	if len(bundle) == 0 {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, problem(ruleCredentials, "", "the CA bundle has no certificate", "Give certificates in PEM form.", nil)
	}
	return roots, nil
}

// String returns the URL and what is followed, without credentials.
func (g *Git) String() string {
	switch w := g.want; {
	case w.branch != "":
		return g.at.url + " branch " + w.branch
	case w.tag != "":
		return g.at.url + " tag " + w.tag
	case w.commit != "":
		return g.at.url + " commit " + w.commit
	}
	return g.at.url
}

// Fetch returns the newest revision, or ErrUnchanged if that is last; then it
// has only asked for the tip, and for a commit, which cannot change, not even
// that. Every other error is a problem, or several joined, or that of ctx.
// A fetch that fails leaves nothing behind.
func (g *Git) Fetch(ctx context.Context, last string) (render.Tree, error) {
	if g.want.commit != "" && last == revisionOf("", plumbing.NewHash(g.want.commit)) {
		return render.Tree{}, ErrUnchanged
	}
	outer := ctx
	ctx, cancel := g.limits.within(outer)
	defer cancel()
	if g.at.scheme == schemeFile {
		return g.fetchLocal(ctx, last)
	}
	tree, err := g.fetch(ctx, last)
	switch {
	case err == nil, errors.Is(err, ErrUnchanged):
		return tree, err
	case outer.Err() != nil:
		return render.Tree{}, fmt.Errorf("fetching %s: %w", g.at.url, context.Cause(outer))
	case ctx.Err() != nil:
		return render.Tree{}, context.Cause(ctx)
	}
	return render.Tree{}, g.explain(err)
}

func (g *Git) fetch(ctx context.Context, last string) (tree render.Tree, err error) {
	defer recovered(&err)
	w, err := g.dial(ctx)
	if err != nil {
		return render.Tree{}, err
	}
	defer w.close()
	adv, err := w.refs(ctx)
	if err != nil {
		return render.Tree{}, err
	}
	t, err := g.want.find(adv)
	if err != nil {
		return render.Tree{}, err
	}
	if t.revision() == last {
		return render.Tree{}, ErrUnchanged
	}
	p, err := t.fetch(ctx, w, adv, g.limits)
	if err != nil {
		return render.Tree{}, err
	}
	isTag := p[t.object].kind == plumbing.TagObject
	if t.commit, err = peel(p, t.object, isTag && t.all == nil); err != nil {
		return render.Tree{}, err
	}
	if t.revision() == last {
		return render.Tree{}, ErrUnchanged
	}
	m, err := grow(p, t.commit, g.limits)
	if err != nil {
		return render.Tree{}, err
	}
	return plant(t.revision(), m, g.path)
}

func (g *Git) dial(ctx context.Context) (wire, error) {
	if g.at.scheme == schemeSSH {
		return g.dialSSH(ctx)
	}
	return g.dialHTTP()
}
