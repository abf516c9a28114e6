package source

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func signerOf(t testing.TB, key any, err error) ssh.Signer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAHostMustShowAKeyThatIsKnown(t *testing.T) {
	r := newRepository(t)
	r.commit("one")
	login, private := newKey(t)
	ed, _ := newKey(t)
	stranger, _ := newKey(t)
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec := signerOf(t, ecdsaKey, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	rs := signerOf(t, rsaKey, err)
	authority, _ := newKey(t)
	certified := certificate(t, ed, authority)

	all := serveSSH(t, r, login.PublicKey(), ed, ec, rs)
	onlyEd := serveSSH(t, r, login.PublicKey(), ed)
	withCertificate := serveSSH(t, r, login.PublicKey(), certified)
	at := func(s *shell) string { return knownhosts.Normalize(s.Addr().String()) }
	hashed := func(s *shell, k ssh.PublicKey) []byte {
		return []byte(knownhosts.HashHostname(at(s)) + " " + string(ssh.MarshalAuthorizedKey(k)))
	}
	marked := func(mark string, s *shell, k ssh.PublicKey) []byte {
		return []byte(mark + " " + at(s) + " " + string(ssh.MarshalAuthorizedKey(k)))
	}
	for _, c := range []struct {
		name   string
		server *shell
		hosts  []byte
		words  []string // none: it is let in
	}{
		{"one key of three, an ed25519 one", all, all.line(ed.PublicKey()), nil},
		{"one key of three, an ecdsa one", all, all.line(ec.PublicKey()), nil},
		{"one key of three, an rsa one", all, all.line(rs.PublicKey()), nil},
		{"a hashed name", all, hashed(all, ed.PublicKey()), nil},
		{"a wildcard", all, []byte(strings.Replace(at(all), "0.0.1", "0.0.*", 1) + " " + string(ssh.MarshalAuthorizedKey(ed.PublicKey()))), nil},
		{"a certificate of a known authority", withCertificate, marked("@cert-authority", withCertificate, authority.PublicKey()), nil},
		{"a certificate of another authority", withCertificate, marked("@cert-authority", withCertificate, stranger.PublicKey()), []string{"no authorities"}},
		{"another key", onlyEd, onlyEd.line(stranger.PublicKey()), []string{"new key, or another server", ssh.FingerprintSHA256(ed.PublicKey()), ssh.FingerprintSHA256(stranger.PublicKey())}},
		{"a key of another type", onlyEd, onlyEd.line(ec.PublicKey()), []string{"offers keys of the types ssh-ed25519", "known_hosts has ecdsa-sha2-nistp256"}},
		{"another host's key", onlyEd, []byte(knownhosts.Line([]string{"git.example.com"}, ed.PublicKey())), []string{"known_hosts has none for it", "ssh-ed25519", ssh.FingerprintSHA256(ed.PublicKey())}},
		{"a revoked key", onlyEd, append(onlyEd.line(ed.PublicKey()), marked("@revoked", onlyEd, ed.PublicKey())...), []string{"revoked"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := c.server.logins.Load()
			g := newGit(t, GitOptions{URL: c.server.url(r), KnownHosts: c.hosts, Auth: Auth{PrivateKey: private}})
			_, err := g.Fetch(within10s(t), "")
			if c.words == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			refused(t, err, "R103", c.words...)
			if c.server.logins.Load() != before {
				t.Error("it has logged in all the same")
			}
		})
	}
	t.Run("but the login is refused", func(t *testing.T) {
		_, other := newKey(t)
		_, err := newGit(t, GitOptions{URL: all.url(r), KnownHosts: all.line(ed.PublicKey()), Auth: Auth{PrivateKey: other}}).Fetch(within10s(t), "")
		refused(t, err, "R104", "does not accept the private key", "deploy key")
	})
}

func certificate(t testing.TB, host, authority ssh.Signer) ssh.Signer {
	t.Helper()
	c := &ssh.Certificate{Key: host.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity}
	if err := c.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewCertSigner(c, host)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnEncryptedKeyNeedsItsPassphrase(t *testing.T) {
	_, private := newKey(t)
	key, err := ssh.ParseRawPrivateKey([]byte(private.reveal()))
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	locked := NewSecret(string(pemOf(block)))
	host, _ := newKey(t)
	o := GitOptions{URL: "git@host:x", KnownHosts: []byte(knownhosts.Line([]string{"host"}, host.PublicKey()))}
	for _, c := range []struct{ passphrase, word string }{{"", "no passphrase"}, {"wrong-hunter2", "cannot be read"}} {
		o.Auth = Auth{PrivateKey: locked, Passphrase: NewSecret(c.passphrase)}
		_, err := NewGit(o)
		refused(t, err, "R102", c.word)
		clean(t, strings.TrimSpace(c.passphrase+"hunter2"), err)
	}
	o.Auth.Passphrase = NewSecret("hunter2")
	newGit(t, o)
}
