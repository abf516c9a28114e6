package schema

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/validation"
)

// form is how a text must be written, and the rule that it breaks otherwise.
type form struct {
	rule string
	good func(m *memo, text string) bool
	what string
	mend string
}

func formOf(rule string, check func(string) []string, what, mend string) form {
	return form{rule, func(_ *memo, text string) bool { return len(check(text)) == 0 }, what, mend}
}

func formIf(good func(text string) bool, what, mend string) form {
	return form{"R079", func(_ *memo, text string) bool { return good(text) }, what, mend}
}

// Forms that apimachinery knows.
var (
	dnsLabel      = form{"R060", (*memo).label, "name", "Use at most 63 lower-case letters, digits and -, a letter or digit first and last."}
	dnsSubdomain  = form{"R060", (*memo).subdomain, "name", "Use lower-case letters, digits, - and ., a letter or digit first and last."}
	portName      = formOf("R060", validation.IsValidPortName, "name of a port", "Use at most 15 lower-case letters, digits and -, with a letter among them.")
	pathSegment   = formOf("R060", content.IsPathSegmentName, "name", "Write it without / and % .")
	variableName  = form{"R060", (*memo).variable, "name of a variable", "Use printable characters other than =."}
	qualifiedName = form{"R063", (*memo).qualifiedName, "key", "Write name or example.com/name, the name of at most 63 letters, digits, -, _ and . ."}
	labelValue    = form{"R063", (*memo).labelValue, "value of a label", "Use at most 63 letters, digits, -, _ and ., a letter or digit first and last."}
	dataKey       = formOf("R079", validation.IsConfigMapKey, "key of data", "Use letters, digits, -, _ and . only.")
	headerName    = formOf("R079", validation.IsHTTPHeaderName, "name of a header", "Use letters, digits and -.")
	driverName    = formOf("R060", func(text string) []string {
		if len(text) > 63 {
			return []string{"too long"}
		}
		return validation.IsDNS1123Subdomain(strings.ToLower(text))
	}, "name of a driver", "Write a DNS name of at most 63 letters.")
	ingressHost = formOf("R060", func(text string) []string {
		if strings.Contains(text, "*") {
			return validation.IsWildcardDNS1123Subdomain(text)
		}
		return validation.IsDNS1123Subdomain(text)
	}, "host", "Write a DNS name, or one that begins with *. .")
	finalizer = formOf("R063", func(text string) []string {
		if strings.Contains(text, "/") || text == "kubernetes" {
			return validation.IsQualifiedName(text)
		}
		return []string{"no finalizer"}
	}, "finalizer", "Write example.com/name.")
)

// Paths, addresses and the like.
var (
	relativePath    = formIf(func(text string) bool { return !strings.HasPrefix(text, "/") && !backsteps(text) }, "relative path", "Write it without a leading / and without .. .")
	localPath       = formIf(func(text string) bool { return relativePath.good(nil, text) && !strings.HasPrefix(text, "..") }, "relative path", "Write it without a leading / or .. .")
	noBacksteps     = formIf(func(text string) bool { return !backsteps(text) }, "path", "Write it without .. .")
	absolutePath    = formIf(func(text string) bool { return strings.HasPrefix(text, "/") }, "absolute path", "Begin it with / .")
	address         = formIf(func(text string) bool { _, err := netip.ParseAddr(text); return err == nil }, "address", "Write an IP address.")
	outsideAddress  = formIf(isOutside, "address", "Write an IP address that is neither loopback nor link-local.")
	network         = formIf(isNetwork, "network", "Write it as 10.9.8.0/24.")
	sysctlName      = formIf(func(text string) bool { return len(text) <= 253 && sysctl.MatchString(text) }, "sysctl", "Write it as kernel.shm_rmid_forced.")
	qualifiedTarget = formIf(isTarget, "iSCSI target", "Begin it with iqn., eui. or naa. .")
)

var sysctl = regexp.MustCompile(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`)

func backsteps(text string) bool { return slices.Contains(strings.Split(text, "/"), "..") }

func isOutside(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && !a.IsUnspecified() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsLinkLocalMulticast()
}

func isNetwork(text string) bool {
	_, err := netip.ParsePrefix(strings.TrimSpace(text))
	return err == nil
}

func isTarget(text string) bool {
	return strings.HasPrefix(text, "iqn.") || strings.HasPrefix(text, "eui.") || strings.HasPrefix(text, "naa.")
}

// written demands that texts, unless they are empty, have a form.
func written(f form, names ...string) check {
	return check{fields: names, value: func(v *validator, value any, at *place) {
		text, _ := value.(string)
		v.form(text, f, at)
	}}
}

// writtenIfSet demands a form of texts that are there, the empty one included.
func writtenIfSet(f form, names ...string) check {
	return check{fields: names, value: func(v *validator, value any, at *place) {
		if text, ok := value.(string); ok {
			v.formed(text, f, at)
		}
	}}
}

// eachWritten demands that the texts of lists have a form.
func eachWritten(f form, names ...string) check {
	return check{fields: names, value: func(v *validator, value any, at *place) {
		for i, item := range asList(value) {
			if text, ok := item.(string); ok {
				v.formed(text, f, at.item(i))
			}
		}
	}}
}

// form checks one text unless it is empty.
func (v *validator) form(text string, f form, at *place) {
	if text != "" {
		v.formed(text, f, at)
	}
}

// formed checks one text that may not be empty.
func (v *validator) formed(text string, f form, at *place) {
	if text == "" || !f.good(v.memo, text) {
		v.fail(f.rule, at, fmt.Sprintf("%q is no %s that Kubernetes takes", text, f.what), f.mend)
	}
}
