package source

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// The schemes that an address can have.
const (
	schemeHTTPS = "https"
	schemeHTTP  = "http"
	schemeSSH   = "ssh"
	schemeFile  = "file"
)

// address is the place of a repository, taken apart and checked. It holds no
// credentials, so it can be printed.
type address struct {
	scheme string
	user   string // of ssh only
	host   string // without brackets
	port   string // never empty but for file
	path   string // as the server shall see it
	url    string // for people
}

var (
	// scpLike is git's short form of an ssh URL, user@host:path.
	scpLike = regexp.MustCompile(`^([^@/:]+)@(\[[0-9A-Fa-f:.]+\]|[^@/:\[\]]+):(.+)$`)
	sshUser = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.+-]*$`)
	// hostName has what is left of names when IP addresses are dealt with.
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)
)

const mendURL = "Use https://host/path.git, ssh://git@host/path.git or git@host:path.git."

// parseAddress checks raw and takes it apart. What could be read as an option
// or as a command by a program further on is refused here, although no program
// is ever started by rota: the server starts one.
func parseAddress(raw string, local bool) (address, error) {
	refuse := func(why, mend string) (address, error) {
		return address{}, problem(ruleURL, "", fmt.Sprintf("the git url %q is refused: %s", printable(raw), why), mend, nil)
	}
	switch {
	case raw == "":
		return refuse("it is empty", mendURL)
	case strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) || badName(raw) != "":
		return refuse("it has a space, a backslash or a control character", mendURL)
	case strings.HasPrefix(raw, "-"):
		return refuse("it begins with a dash, as an option does", mendURL)
	case strings.Contains(raw, "::"):
		if before, _, _ := strings.Cut(raw, "::"); !strings.ContainsAny(before, "/@[") {
			return refuse("it names a remote helper, which would be a program", mendURL)
		}
	}
	if !strings.Contains(raw, "://") {
		m := scpLike.FindStringSubmatch(raw)
		if m == nil {
			return refuse("it has no scheme; a path on this machine needs file:// and --allow-local", mendURL)
		}
		at := address{scheme: schemeSSH, user: m[1], host: strings.Trim(m[2], "[]"), port: "22", path: m[3], url: raw}
		if why := at.flaw(); why != "" {
			return refuse(why, mendURL)
		}
		return at, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		// The error's own text repeats the URL with what it may hold, so it stays
		// unsaid.
		return refuse("it cannot be parsed", mendURL)
	}
	at := address{scheme: strings.ToLower(u.Scheme), host: u.Hostname(), port: u.Port(), path: u.Path, url: raw}
	if why, mend := at.takeUser(u); why != "" {
		return refuse(why, mend)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return refuse("it has a query or a fragment", mendURL)
	}
	if why, mend := at.settle(local); why != "" {
		return refuse(why, mend)
	}
	if why := at.flaw(); why != "" {
		return refuse(why, mendURL)
	}
	return at, nil
}

// takeUser takes the user's name from u and says why u cannot have one, or a
// password, if so.
func (at *address) takeUser(u *url.URL) (why, mend string) {
	if u.User == nil {
		if at.scheme == schemeSSH {
			at.user = "git"
		}
		return "", ""
	}
	if _, has := u.User.Password(); has || at.scheme != schemeSSH {
		return "it holds credentials, which would end in logs",
			"Take the credentials out of the url and give them as the source's credentials; renew them if they were committed."
	}
	at.user = u.User.Username()
	return "", ""
}

// settle fills in what the scheme implies and says why the scheme cannot be
// used here, if so.
func (at *address) settle(local bool) (why, mend string) {
	const mendLocal = "Use https:// or ssh://; for demos and tests on one machine add --allow-local."
	switch at.scheme {
	case schemeHTTPS:
		at.port = cmp.Or(at.port, "443")
	case schemeSSH:
		at.port = cmp.Or(at.port, "22")
		// Servers take a path after the host for an absolute one, but for the
		// spelling of a home folder.
		if strings.HasPrefix(at.path, "/~") {
			at.path = at.path[1:]
		}
	case schemeHTTP:
		at.port = cmp.Or(at.port, "80")
		if !local {
			return "plain http lets anyone on the way read and change what is run", mendLocal
		}
		if !isLoopback(at.host) {
			return "plain http is for this machine's loopback address only", "Use https://."
		}
	case schemeFile:
		if !local {
			return "file:// reads the disk of the machine that rota runs on", mendLocal
		}
		if at.host != "" && at.host != "localhost" {
			return "a file:// url cannot name a host", "Write file:///path, with three slashes."
		}
		if !filepath.IsAbs(filepath.FromSlash(at.path)) {
			return "a file:// url needs an absolute path", "Write file:///path, with three slashes."
		}
	default:
		return fmt.Sprintf("the scheme %s is not supported", at.scheme), mendURL
	}
	return "", ""
}

// flaw says what is wrong with the parts of at, or returns the empty string.
func (at address) flaw() string {
	switch {
	case strings.Trim(at.path, "/") == "":
		return "it has no path"
	case strings.HasPrefix(at.path, "-"):
		return "its path begins with a dash, as an option does"
	case badName(at.path) != "":
		return "its path " + badName(at.path)
	case at.scheme == schemeFile:
		return ""
	case at.host == "":
		return "it has no host"
	case net.ParseIP(at.host) == nil && !hostName.MatchString(at.host):
		return "its host is no host name"
	}
	if n, err := strconv.Atoi(at.port); err != nil || n < 1 || n > 65535 {
		return "its port is no port"
	}
	if at.scheme == schemeSSH {
		switch {
		case !sshUser.MatchString(at.user):
			return "its user is no user name"
		case strings.ContainsAny(at.path, "'\"`$!;&|<>*?()"):
			return "its path has characters that a shell reads"
		}
	}
	return ""
}

// endpoint returns host and port as dialers take them.
func (at address) endpoint() string { return net.JoinHostPort(at.host, at.port) }

// origin returns what credentials are bound to.
func (at address) origin() string { return at.scheme + "://" + at.endpoint() }

// originOf returns the origin of u in the same spelling.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{schemeHTTPS: "443", schemeHTTP: "80"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// printable returns raw without anything that may be a credential.
func printable(raw string) string {
	raw, _, _ = strings.Cut(raw, "?")
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		scheme, rest = "", raw
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 && (found || strings.Contains(rest[:at], ":")) {
		rest = redacted + rest[at:]
	}
	if found {
		rest = scheme + "://" + rest
	}
	return quiet(rest)
}
