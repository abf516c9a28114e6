package plan

import (
	"slices"

	"rota.dev/rota/schema"
)

// waves orders kinds: what others stand on comes first. Kinds that are not
// named are workloads or custom resources and come between.
var waves = map[string]int{
	"Namespace":                0,
	"CustomResourceDefinition": 0,

	"PriorityClass":                    1,
	"StorageClass":                     1,
	"ClusterRole":                      1,
	"Role":                             1,
	"ServiceAccount":                   1,
	"ClusterRoleBinding":               2,
	"RoleBinding":                      2,
	"ResourceQuota":                    1,
	"LimitRange":                       1,
	"NetworkPolicy":                    1,
	"ConfigMap":                        2,
	"Secret":                           2,
	"PersistentVolume":                 2,
	"PersistentVolumeClaim":            2,
	"Service":                          2,
	"ValidatingAdmissionPolicy":        1,
	"ValidatingAdmissionPolicyBinding": 2,
	"MutatingAdmissionPolicy":          1,
	"MutatingAdmissionPolicyBinding":   2,
}

const (
	waveWorkloads = 3
	waveJobs      = 4
)

// Wave returns the turn of k: every object of a lower wave is applied before
// any of a higher one, and deleted after it.
func Wave(k schema.Key) int {
	if k.IsJob() || k.IsCronJob() {
		return waveJobs
	}
	if n, ok := waves[k.Kind]; ok {
		return n
	}
	return waveWorkloads
}

// sortChanges puts applies in the order of their waves, as the repository has
// them within one, and deletions last, in the opposite order of waves.
func sortChanges(changes []Change) {
	turn := func(c Change) int {
		if c.Op == Delete {
			return 100 - Wave(c.Key)
		}
		return Wave(c.Key)
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return turn(a) - turn(b) })
}
