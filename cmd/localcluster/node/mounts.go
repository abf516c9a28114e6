package node

import (
	"slices"
	"strings"
)

// mount is a path that a container expects and the file or directory of this machine that stands for it.
type mount struct {
	path string
	real string
}

// mounts are all mounts of one container.
type mounts []mount

// newMounts orders the mounts so that a mount inside another is tried first, and leaves out `/`, which every path has.
func newMounts(all []mount) mounts {
	var m mounts
	for _, one := range all {
		one.path = strings.TrimRight(one.path, "/")
		if one.path != "" && one.path != one.real {
			m = append(m, one)
		}
	}
	slices.SortStableFunc(m, func(a, b mount) int { return len(b.path) - len(a.path) })
	return m
}

// rewrite replaces every mount path in text by the real path: an unprivileged process cannot mount, so the path that
// the manifest names does not exist. Only whole path components count: with /data mounted, `/data`, `--in=/data/x` and
// `cat "/data/x"` change, and `/database`, `/srv/data` and `/data-old` do not.
func (m mounts) rewrite(text string) string {
	if len(m) == 0 || !strings.Contains(text, "/") {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		if text[i] == '/' && (i == 0 || !isPathByte(text[i-1])) {
			if one, ok := m.at(text[i:]); ok {
				out.WriteString(one.real)
				i += len(one.path)
				continue
			}
		}
		out.WriteByte(text[i])
		i++
	}
	return out.String()
}

// at returns the innermost mount with which text begins.
func (m mounts) at(text string) (mount, bool) {
	for _, one := range m {
		rest, ok := strings.CutPrefix(text, one.path)
		if ok && (rest == "" || rest[0] == '/' || !isPathByte(rest[0])) {
			return one, true
		}
	}
	return mount{}, false
}

// rewriteAll rewrites each text.
func (m mounts) rewriteAll(texts []string) []string {
	rewritten := make([]string, len(texts))
	for i, text := range texts {
		rewritten[i] = m.rewrite(text)
	}
	return rewritten
}

// rewriteValues rewrites each value.
func (m mounts) rewriteValues(values map[string]string) map[string]string {
	rewritten := make(map[string]string, len(values))
	for name, value := range values {
		rewritten[name] = m.rewrite(value)
	}
	return rewritten
}

// isPathByte reports whether b can belong to a path, so that a name goes on or a longer path ends here.
func isPathByte(b byte) bool {
	switch {
	case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b >= 0x80:
		return true
	}
	return strings.IndexByte("/._-~+@%", b) >= 0
}
