package overlay

import (
	"path"
	"slices"
)

// affix is a prefix and a suffix of a name.
type affix struct{ prefix, suffix string }

func (a affix) around(name string) string { return a.prefix + name + a.suffix }

// mostAffixes is how many ways to change a name are looked at.
const mostAffixes = 64

// naming gathers the affixes of names by walking the kustomizations as
// kustomize does.
type naming struct {
	graph *Graph
	seen  map[affix]bool
	done  map[string][]affix
	// twice is whether a folder is used in two ways.
	twice bool
}

// folder returns what stands around the names of the objects of a folder when
// it is done; before are those of the objects that a component is given.
func (n *naming) folder(dir string, before []affix) []affix {
	known, again := n.done[dir]
	n.twice = n.twice || again
	if again && before == nil {
		return known
	}
	i := slices.IndexFunc(n.graph.kustomizations, func(k kustomization) bool { return k.dir == dir })
	if len(n.seen) > mostAffixes || i < 0 {
		return before
	}
	k := n.graph.kustomizations[i]
	n.seen[affix{}] = true
	current := append([]affix{{}}, before...)
	for _, entry := range k.Resources {
		current = append(current, n.folder(path.Join(dir, entry), nil)...)
	}
	for _, entry := range k.Components {
		current = n.folder(path.Join(dir, entry), distinct(current))
	}
	current = distinct(current)
	for i := range current {
		current[i].prefix = k.NamePrefix + current[i].prefix
		n.seen[current[i]] = true
	}
	for i := range current {
		current[i].suffix += k.NameSuffix
		n.seen[current[i]] = true
	}
	n.done[dir] = current
	return current
}

func distinct(list []affix) []affix {
	var out []affix
	for _, a := range list {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
