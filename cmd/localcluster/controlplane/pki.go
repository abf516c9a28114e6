package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	authorityLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime      = 365 * 24 * time.Hour
)

// pki keeps the cluster's keys and certificates in one directory that only this user can read. Authorities, the
// service account key and the tokens are made once and kept, so that a restart with the same directory honours
// credentials that were handed out before; leaf certificates are made anew at every start.
type pki struct {
	dir string
	now time.Time
}

// authority is a certificate authority: the certificate that clients trust and the key that signs for it.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func (p pki) path(name string) string { return filepath.Join(p.dir, name) }

// authority loads NAME.crt and NAME.key, or makes them when they do not exist.
func (p pki) authority(name string) (authority, error) {
	certFile, keyFile := p.path(name+".crt"), p.path(name+".key")
	if _, err := os.Stat(certFile); err == nil {
		return loadAuthority(certFile, keyFile)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return authority{}, fmt.Errorf("reading certificate authority: %w", err)
	}
	key, err := p.newKey(keyFile)
	if err != nil {
		return authority{}, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "localcluster " + name},
		NotBefore:             p.now.Add(-time.Minute),
		NotAfter:              p.now.Add(authorityLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certificate, err := p.sign(certFile, template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	return authority{certificate: certificate, key: key}, nil
}

func loadAuthority(certFile, keyFile string) (authority, error) {
	certificates, err := cert.CertsFromFile(certFile)
	if err != nil {
		return authority{}, fmt.Errorf("reading certificate authority: %w", err)
	}
	private, err := keyutil.PrivateKeyFromFile(keyFile)
	if err != nil {
		return authority{}, fmt.Errorf("reading certificate authority: %w", err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return authority{}, fmt.Errorf("reading certificate authority %s: %T cannot sign", keyFile, private)
	}
	return authority{certificate: certificates[0], key: signer}, nil
}

// leaf describes a certificate that an authority signs for one component.
type leaf struct {
	file         string
	commonName   string
	organization []string
	usage        x509.ExtKeyUsage
}

// issue writes FILE.crt and FILE.key, signed by the authority. Serving certificates are good for loopback and for
// the names and the address by which Pods of a real cluster know the API server.
func (p pki) issue(by authority, of leaf) error {
	key, err := p.newKey(p.path(of.file + ".key"))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: of.commonName, Organization: of.organization},
		NotBefore:   p.now.Add(-time.Minute),
		NotAfter:    p.now.Add(leafLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{of.usage},
	}
	if of.usage == x509.ExtKeyUsageServerAuth {
		template.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4(10, 0, 0, 1)}
	}
	_, err = p.sign(p.path(of.file+".crt"), template, by.certificate, key.Public(), by.key)
	return err
}

func (p pki) newKey(file string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making key: %w", err)
	}
	encoded, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, fmt.Errorf("encoding key: %w", err)
	}
	if err := os.WriteFile(file, encoded, 0o600); err != nil {
		return nil, fmt.Errorf("writing key: %w", err)
	}
	return key, nil
}

func (p pki) sign(file string, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("making serial number: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", filepath.Base(file), err)
	}
	encoded, err := cert.EncodeCertificates(&x509.Certificate{Raw: der})
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", filepath.Base(file), err)
	}
	if err := os.WriteFile(file, encoded, 0o600); err != nil {
		return nil, fmt.Errorf("writing certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// serviceAccountKey makes sa.key unless it exists.
func (p pki) serviceAccountKey() error {
	if _, err := os.Stat(p.path("sa.key")); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading service account key: %w", err)
	}
	_, err := p.newKey(p.path("sa.key"))
	return err
}

// token returns the content of NAME.token, made of 32 random bytes when the file does not exist.
func (p pki) token(name string) (string, error) {
	file := p.path(name + ".token")
	content, err := os.ReadFile(file)
	if err == nil {
		return strings.TrimSpace(string(content)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading token: %w", err)
	}
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("making token: %w", err)
	}
	token := hex.EncodeToString(random)
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("writing token: %w", err)
	}
	return token, nil
}
