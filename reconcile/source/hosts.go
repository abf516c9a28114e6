package source

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// knownHosts is a known_hosts file, parsed.
type knownHosts struct {
	check      ssh.HostKeyCallback
	algorithms func(endpoint string) []string
}

const mendHosts = "Put the lines of ssh-keyscan for the host into known_hosts, after comparing the fingerprints with those that the host publishes."

// readKnownHosts parses content. The parser reads files only, so the content
// is in a temporary one for a moment.
func readKnownHosts(content []byte) (*knownHosts, error) {
	if len(strings.TrimSpace(string(content))) == 0 {
		return nil, problem(ruleHostKey, "", "ssh needs known_hosts, and none are given", mendHosts, nil)
	}
	f, err := os.CreateTemp("", "known_hosts")
	if err != nil {
		return nil, problem(ruleHostKey, "", "known_hosts cannot be read: "+err.Error(), "Make TMPDIR name a folder that can be written, such as an emptyDir.", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, problem(ruleHostKey, "", "known_hosts cannot be read: "+err.Error(), "Make room in TMPDIR.", err)
	}
	db, err := gitssh.NewKnownHostsDb(f.Name())
	if err != nil {
		text := strings.ReplaceAll(err.Error(), f.Name(), "known_hosts")
		return nil, problem(ruleHostKey, "", "known_hosts cannot be read: "+quiet(text), mendHosts, nil)
	}
	return &knownHosts{check: db.HostKeyCallback(), algorithms: db.HostKeyAlgorithms}, nil
}

// config returns how to check the key of the server at, and a function that
// explains why a handshake has failed. Only those types of keys are asked for
// that are known: otherwise a server that has several kinds sends one that is
// not listed, which looks like an attack (go-git issue 1551).
func (k *knownHosts) config(at address) (*ssh.ClientConfig, func(error) error) {
	known := k.algorithms(at.endpoint())
	var refused error
	var offered ssh.PublicKey
	config := &ssh.ClientConfig{
		HostKeyAlgorithms: known,
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			offered, refused = key, k.check(host, remote, key)
			return refused
		},
	}
	return config, func(err error) error {
		var disagreed *ssh.AlgorithmNegotiationError
		switch {
		case refused != nil:
			return hostKeyProblem(at, offered, refused)
		case errors.As(err, &disagreed) && strings.Contains(disagreed.What, "host key"):
			return problem(ruleHostKey, "", fmt.Sprintf("the host %s offers keys of the types %s, and known_hosts has %s for it",
				at.host, list(disagreed.RequestedAlgorithms), list(known)), mendHosts, nil)
		case strings.Contains(err.Error(), "unable to authenticate"):
			return problem(ruleDenied, "", fmt.Sprintf("the host %s does not accept the private key for the user %s", at.host, at.user),
				"Add the public half of the key to the repository as a deploy key that may read.", nil)
		}
		return err
	}
}

// hostKeyProblem explains why a key was refused.
func hostKeyProblem(at address, offered ssh.PublicKey, err error) error {
	seen := fmt.Sprintf("%s %s", offered.Type(), ssh.FingerprintSHA256(offered))
	var revoked *knownhosts.RevokedError
	var unknown *knownhosts.KeyError
	switch {
	case errors.As(err, &revoked):
		return problem(ruleHostKey, "", fmt.Sprintf("the host %s offers the key %s, which known_hosts has revoked", at.host, seen),
			"Do not connect; ask those who run the host which key it has.", nil)
	case errors.As(err, &unknown) && len(unknown.Want) == 0:
		return problem(ruleHostKey, "", fmt.Sprintf("the host %s offers the key %s, and known_hosts has none for it", at.endpoint(), seen), mendHosts, nil)
	case errors.As(err, &unknown):
		var want []string
		for _, k := range unknown.Want {
			want = append(want, fmt.Sprintf("%s %s", k.Key.Type(), ssh.FingerprintSHA256(k.Key)))
		}
		return problem(ruleHostKey, "", fmt.Sprintf("the host %s offers the key %s, and known_hosts has %s: it has a new key, or another server answers in its place",
			at.host, seen, list(want)), "Ask those who run the host whether its key has changed; only then replace the line in known_hosts.", nil)
	}
	return problem(ruleHostKey, "", fmt.Sprintf("the key %s of the host %s is refused: %s", seen, at.host, quiet(err.Error())), mendHosts, nil)
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	names = slices.Clone(names)
	for i := range names {
		names[i] = quiet(names[i])
	}
	return strings.Join(names, ", ")
}
