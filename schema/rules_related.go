package schema

// related are rules that speak of the same fault in different places: what
// Validate finds in a repository, the scheduler finds in the cluster.
var related = [][]string{
	{"R065", "R300"},
	{"R066", "R303"},
	{"R067", "R301"},
	{"R068", "R302"},
	{"R069", "R304"},
}

// Related returns the rules that speak of the same fault as the one of id.
func Related(id string) []Rule {
	var out []Rule
	for _, group := range related {
		for i, one := range group {
			if one != id {
				continue
			}
			for j, other := range group {
				if r, ok := Explain(other); ok && i != j {
					out = append(out, r)
				}
			}
		}
	}
	return out
}
