package plan

import (
	"strings"

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
	if n, ok := waves[k.Kind]; ok && builtIn(k.Group) {
		return n
	}
	return waveWorkloads
}

// builtIn reports whether Kubernetes itself defines the group: others may have
// a workload that they call Service.
func builtIn(group string) bool {
	return !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
}

// lastTurn is after the apply of every wave.
const lastTurn = 2*waveJobs + 1

// sortChanges returns applies in the order of their waves, as the repository
// has them within one, and deletions last, in the opposite order of waves.
func sortChanges(changes []Change) []Change {
	var turns [lastTurn + 1][]int
	for i, c := range changes {
		turn := Wave(c.Key)
		if c.Op == Delete {
			turn = lastTurn - turn
		}
		turns[turn] = append(turns[turn], i)
	}
	sorted := make([]Change, 0, len(changes))
	for _, turn := range turns {
		for _, i := range turn {
			sorted = append(sorted, changes[i])
		}
	}
	return sorted
}
