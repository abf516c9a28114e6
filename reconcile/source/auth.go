package source

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/http"

	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"golang.org/x/crypto/ssh"
)

// Auth has the credentials of one repository. They are bound to the host, port
// and scheme of its URL and sent nowhere else. Printing it in any way reveals
// none of the secrets.
type Auth struct {
	// Username goes with Password or Token over https. For a Token it is
	// "git" by default, which GitHub, GitLab and Gitea accept.
	Username string
	// Password is for HTTP basic authentication.
	Password Secret
	// Token is sent as the password of HTTP basic authentication, as git
	// servers take their access tokens.
	Token Secret
	// Bearer is sent as it is in an Authorization header, for the servers
	// that want that, such as Azure DevOps and Bitbucket Data Center.
	Bearer Secret
	// PrivateKey is the SSH key in PEM or OpenSSH form.
	PrivateKey Secret
	// Passphrase opens PrivateKey, if that is encrypted.
	Passphrase Secret
}

const mendOneAuth = "Give a token, or a username and password, or a bearer token for https; a private key for ssh."

// check says what is wrong with a for the address at.
func (a Auth) check(at address) error {
	refuse := func(message, mend string) error {
		return problem(ruleCredentials, "", message, mend, nil)
	}
	ways := 0
	for _, s := range []Secret{a.Password, a.Token, a.Bearer, a.PrivateKey} {
		if !s.IsZero() {
			ways++
		}
	}
	switch isSSH := at.scheme == schemeSSH; {
	case ways > 1:
		return refuse("more than one kind of credentials is given", mendOneAuth)
	case isSSH && a.PrivateKey.IsZero():
		return refuse("ssh needs a private key", "Give a deploy key that may read the repository.")
	case !isSSH && !a.PrivateKey.IsZero():
		return refuse("a private key is given, but the url is not an ssh one", mendOneAuth)
	case at.scheme == schemeFile && ways > 0:
		return refuse("credentials are given for a folder on this machine", "Leave the credentials out.")
	case a.Username != "" && ways == 0 && !isSSH:
		return refuse("a username is given without a password or token", mendOneAuth)
	case !a.Password.IsZero() && a.Username == "":
		return refuse("a password is given without a username", mendOneAuth)
	}
	return nil
}

// header returns the Authorization header of a, or an empty Secret.
func (a Auth) header() Secret {
	basic := func(user string, password Secret) Secret {
		return NewSecret("Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password.reveal())))
	}
	switch {
	case !a.Bearer.IsZero():
		return NewSecret("Bearer " + a.Bearer.reveal())
	case !a.Token.IsZero():
		return basic(cmp.Or(a.Username, "git"), a.Token)
	case !a.Password.IsZero():
		return basic(a.Username, a.Password)
	}
	return Secret{}
}

// signer returns the private key of a, ready for use.
func (a Auth) signer() (ssh.Signer, error) {
	key := []byte(a.PrivateKey.reveal())
	var signer ssh.Signer
	var err error
	if a.Passphrase.IsZero() {
		signer, err = ssh.ParsePrivateKey(key)
	} else {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(key, []byte(a.Passphrase.reveal()))
	}
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		return nil, problem(ruleCredentials, "", "the ssh private key is encrypted and no passphrase is given", "Give the passphrase of the key.", nil)
	case err != nil:
		return nil, problem(ruleCredentials, "", "the ssh private key cannot be read: "+quiet(err.Error(), a.all()...),
			"Give the private half of the key, whole, in OpenSSH or PEM form, with the right passphrase.", nil)
	}
	return signer, nil
}

// all returns everything that must not be repeated.
func (a Auth) all() []Secret {
	return []Secret{a.header(), a.Password, a.Token, a.Bearer, a.PrivateKey, a.Passphrase}
}

// bound sends an Authorization header to one origin only.
type bound struct {
	origin string
	header Secret
}

var _ githttp.AuthMethod = bound{}

func (bound) Name() string   { return "bound" }
func (bound) String() string { return redacted }

// SetAuth adds the header to r if r goes to the origin.
func (b bound) SetAuth(r *http.Request) {
	if !b.header.IsZero() && originOf(r.URL) == b.origin {
		r.Header.Set("Authorization", b.header.reveal())
	}
}
