package source

import (
	"strings"
	"testing"
)

func TestURLsAreReadAsGitReadsThem(t *testing.T) {
	for _, c := range []struct{ url, scheme, user, endpoint, path string }{
		{"https://git.example.com/team/x.git", "https", "", "git.example.com:443", "/team/x.git"},
		{"HTTPS://git.example.com:8443/x", "https", "", "git.example.com:8443", "/x"},
		{"https://[::1]:3000/x.git", "https", "", "[::1]:3000", "/x.git"},
		{"ssh://git@git.example.com/team/x.git", "ssh", "git", "git.example.com:22", "/team/x.git"},
		{"ssh://git.example.com:2222/x.git", "ssh", "git", "git.example.com:2222", "/x.git"},
		{"ssh://ann@host/~ann/x.git", "ssh", "ann", "host:22", "~ann/x.git"},
		{"git@github.com:team/x.git", "ssh", "git", "github.com:22", "team/x.git"},
		{"git@[::1]:team/x.git", "ssh", "git", "[::1]:22", "team/x.git"},
		{"git@host:/srv/x.git", "ssh", "git", "host:22", "/srv/x.git"},
		{"http://localhost:3000/x.git", "http", "", "localhost:3000", "/x.git"},
		{"http://127.0.0.1/x.git", "http", "", "127.0.0.1:80", "/x.git"},
		{"file:///srv/git/x.git", "file", "", "", "/srv/git/x.git"},
	} {
		at, err := parseAddress(c.url, true)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		endpoint := at.endpoint()
		if at.scheme == schemeFile {
			endpoint = ""
		}
		if at.scheme != c.scheme || at.user != c.user || endpoint != c.endpoint || at.path != c.path {
			t.Errorf("%s: got %+v", c.url, at)
		}
	}
}

func TestURLsThatCouldBeMoreThanAnAddressAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, url, word string
		local           bool
	}{
		{name: "empty", url: "", word: "empty"},
		{name: "an option", url: "--upload-pack=touch /tmp/x", word: "space"},
		{name: "an option without a space", url: "--upload-pack=x", word: "dash"},
		{name: "an option as host", url: "ssh://-oProxyCommand=x/y", word: "host"},
		{name: "an option as scp host", url: "git@-oProxyCommand=x:y", word: "host"},
		{name: "an option as user", url: "ssh://-l@host/y", word: "user"},
		{name: "an option as scp user", url: "-l@host:y", word: "dash"},
		{name: "an option as scp path", url: "git@host:--exec=x", word: "dash"},
		{name: "an option as home path", url: "git@host:-x", word: "dash"},
		{name: "a remote helper", url: "ext::sh -c x", word: "space"},
		{name: "a remote helper without a space", url: "ext::sh", word: "remote helper"},
		{name: "a remote helper around a url", url: "fd::https://host/x", word: "remote helper"},
		{name: "a line break", url: "https://host/x\ny", word: "control"},
		{name: "a backslash", url: `https://host\@evil/x`, word: "backslash"},
		{name: "a quote in the path of ssh", url: "ssh://git@host/x'y", word: "shell"},
		{name: "a command in the path of ssh", url: "git@host:$(x)", word: "shell"},
		{name: "an escaped line break", url: "ssh://git@host/x%0ay", word: "control"},
		{name: "an escaped quote", url: "ssh://git@host/x%27y", word: "shell"},
		{name: "a scheme that is not supported", url: "git://host/x", word: "git is not supported"},
		{name: "a bare path", url: "/srv/git/x", word: "no scheme"},
		{name: "a relative path", url: "../x", word: "no scheme"},
		{name: "a path like a host", url: "host:path", word: "no scheme"},
		{name: "plain http", url: "http://host/x", word: "plain http"},
		{name: "plain http to this machine without leave", url: "http://127.0.0.1/x", word: "plain http"},
		{name: "plain http to another machine", url: "http://host/x", local: true, word: "loopback"},
		{name: "plain http to a name like this machine's", url: "http://localhost.example.com/x", local: true, word: "loopback"},
		{name: "a folder without leave", url: "file:///srv/x", word: "reads the disk"},
		{name: "a folder of another host", url: "file://host/x", local: true, word: "host"},
		{name: "a relative folder", url: "file:x", local: true, word: "no scheme"},
		{name: "no path", url: "https://host/", word: "no path"},
		{name: "no host", url: "https:///x", word: "no host"},
		{name: "a port that is none", url: "https://host:99999/x", word: "port"},
		{name: "a query", url: "https://host/x?private_token=hunter2", word: "query"},
		{name: "a fragment", url: "https://host/x#y", word: "fragment"},
		{name: "a password", url: "https://ann:hunter2@host/x", word: "credentials"},
		{name: "a token", url: "https://hunter2@host/x", word: "credentials"},
		{name: "a password for ssh", url: "ssh://git:hunter2@host/x", word: "credentials"},
		{name: "a password that breaks the url", url: "https://ann:hunter2%zz@host/x", word: "cannot be parsed"},
		{name: "a password with a slash", url: "https://ann:hun/hunter2@host/x", word: ""},
		{name: "a password without a scheme", url: "ann:hunter2@host/x", word: "no scheme"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewGit(GitOptions{URL: c.url, AllowLocal: c.local})
			refused(t, err, "R100", c.word)
			clean(t, "hunter2", err)
		})
	}
}

func TestRefsThatAreNoneAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, word string
		o          GitOptions
	}{
		{"two at once", "more than one", GitOptions{Branch: "main", Tag: "v1"}},
		{"an option as branch", "cannot be", GitOptions{Branch: "--upload-pack=x"}},
		{"an option as tag", "cannot be", GitOptions{Tag: "-x"}},
		{"a branch with dots", "cannot be", GitOptions{Branch: "a/../../b"}},
		{"a branch with a space", "cannot be", GitOptions{Branch: "a b"}},
		{"a branch with a line break", "cannot be", GitOptions{Branch: "a\nb"}},
		{"a branch that is not UTF-8", "cannot be", GitOptions{Branch: "a\xff"}},
		{"a pattern", "cannot be", GitOptions{Branch: "*"}},
		{"a full name", "refs/heads/", GitOptions{Branch: "refs/heads/main"}},
		{"a short commit", "40 hex digits", GitOptions{Commit: "abc1234"}},
		{"a commit in upper case", "40 hex digits", GitOptions{Commit: strings.Repeat("AB", 20)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.URL = "https://host/x"
			_, err := NewGit(c.o)
			refused(t, err, "R101", c.word)
		})
	}
	_, err := NewGit(GitOptions{URL: "https://host/x", Path: "../x"})
	refused(t, err, "R108", "../x")
	if g := newGit(t, GitOptions{URL: "https://host/x", Branch: "feature/a-1", Path: "./overlays/prod/"}); g.path != "overlays/prod" {
		t.Errorf("path %q", g.path)
	}
}

func TestCredentialsMustFitTheURL(t *testing.T) {
	_, private := newKey(t)
	hosts := []byte("host ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJq8k3Q3QyL3wJz0hQ0zQJ5n8yQ2r5wKxvCzq4mWm8sC\n")
	for _, c := range []struct {
		name, rule, word string
		o                GitOptions
	}{
		{"two kinds", "R102", "more than one", GitOptions{URL: "https://host/x", Auth: Auth{Token: NewSecret("a"), Bearer: NewSecret("b")}}},
		{"a key for https", "R102", "not an ssh one", GitOptions{URL: "https://host/x", Auth: Auth{PrivateKey: private}}},
		{"a token for a folder", "R102", "folder", GitOptions{URL: "file:///x", AllowLocal: true, Auth: Auth{Token: NewSecret("a")}}},
		{"a username alone", "R102", "without a password", GitOptions{URL: "https://host/x", Auth: Auth{Username: "ann"}}},
		{"a password alone", "R102", "without a username", GitOptions{URL: "https://host/x", Auth: Auth{Password: NewSecret("a")}}},
		{"no key for ssh", "R102", "needs a private key", GitOptions{URL: "git@host:x", KnownHosts: hosts}},
		{"a key that is none", "R102", "cannot be read", GitOptions{URL: "git@host:x", KnownHosts: hosts, Auth: Auth{PrivateKey: NewSecret("hunter2")}}},
		{"no known hosts", "R103", "known_hosts", GitOptions{URL: "git@host:x", Auth: Auth{PrivateKey: private}}},
		{"blank known hosts", "R103", "none are given", GitOptions{URL: "git@host:x", KnownHosts: []byte(" \n"), Auth: Auth{PrivateKey: private}}},
		{"known hosts that are none", "R103", "known_hosts:1", GitOptions{URL: "git@host:x", KnownHosts: []byte("what is this\n"), Auth: Auth{PrivateKey: private}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewGit(c.o)
			refused(t, err, c.rule, c.word)
			clean(t, "hunter2", err)
		})
	}
}
