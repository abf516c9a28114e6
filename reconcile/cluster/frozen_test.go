package cluster

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// frozenCase is an object and a change of one field of it.
type frozenCase struct{ what, before, after string }

const (
	podOf      = "template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: none}]}}"
	workload   = "apiVersion: apps/v1\nkind: KIND\nmetadata: {name: NAME}\nspec: {selector: {matchLabels: {app: a}}, " + podOf
	relabelled = "apiVersion: apps/v1\nkind: KIND\nmetadata: {name: NAME}\nspec: {selector: {matchLabels: {app: b}}, template: {metadata: {labels: {app: b}}, spec: {containers: [{name: c, image: none}]}}"
	claimOf    = "volumeClaimTemplates: [{metadata: {name: v}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: SIZE}}}}]"
)

const (
	storageClass  = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: NAME}\nprovisioner: example.com/p\nparameters: {k: a}\nreclaimPolicy: Delete\nvolumeBindingMode: Immediate"
	priorityClass = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: NAME}\nvalue: 7"
)

func clusterBinding(role string) string {
	return "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: NAME}\nroleRef: {kind: ClusterRole, name: " + role + ", apiGroup: rbac.authorization.k8s.io}"
}

func of(kind, text string) string { return strings.ReplaceAll(text, "KIND", kind) }

var frozenCases = []frozenCase{
	{"the selector of a Deployment", of("Deployment", workload+"}"), of("Deployment", relabelled+"}")},
	{"replicas of a Deployment", of("Deployment", workload+"}"), of("Deployment", workload+", replicas: 0}")},
	{"the strategy of a Deployment", of("Deployment", workload+"}"), of("Deployment", workload+", strategy: {rollingUpdate: {maxSurge: 2}}}")},
	{"the selector of a ReplicaSet", of("ReplicaSet", workload+"}"), of("ReplicaSet", relabelled+"}")},
	{"the selector of a DaemonSet", of("DaemonSet", workload+"}"), of("DaemonSet", relabelled+"}")},
	{"the selector of a StatefulSet", of("StatefulSet", workload+", serviceName: s}"), of("StatefulSet", relabelled+", serviceName: s}")},
	{"the service of a StatefulSet", of("StatefulSet", workload+", serviceName: s}"), of("StatefulSet", workload+", serviceName: other}")},
	{"the pod management of a StatefulSet", of("StatefulSet", workload+", serviceName: s}"), of("StatefulSet", workload+", serviceName: s, podManagementPolicy: Parallel}")},
	{"the claims of a StatefulSet", of("StatefulSet", workload+", serviceName: s, "+strings.ReplaceAll(claimOf, "SIZE", "1Gi")+"}"), of("StatefulSet", workload+", serviceName: s, "+strings.ReplaceAll(claimOf, "SIZE", "2Gi")+"}")},
	{"the same claims in other words", of("StatefulSet", workload+", serviceName: s, "+strings.ReplaceAll(claimOf, "SIZE", "1Gi")+"}"), of("StatefulSet", workload+", replicas: 0, serviceName: s, "+strings.ReplaceAll(claimOf, "SIZE", "1024Mi")+"}")},
	{"the update strategy of a StatefulSet", of("StatefulSet", workload+", serviceName: s}"), of("StatefulSet", workload+", serviceName: s, updateStrategy: {rollingUpdate: {partition: 1}}}")},

	{"the address of a Service", "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: 80}]}", "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {clusterIP: 10.0.3.3, ports: [{port: 80}]}"},
	{"a Service that becomes headless", "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: 80}]}", "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {clusterIP: None, ports: [{port: 80}]}"},
	{"a Service that gets a name outside", "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: 80}]}", "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {type: ExternalName, externalName: example.com, clusterIP: \"\", ports: [{port: 80}]}"},
	{"the port of a Service", "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: 80}]}", "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: 81}]}"},

	{"data of a sealed ConfigMap", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\nimmutable: true\ndata: {k: a}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\nimmutable: true\ndata: {k: b}"},
	{"a key less in a sealed ConfigMap", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\nimmutable: true\ndata: {k: a, l: b}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\nimmutable: true\ndata: {k: a}"},
	{"no data any more in a sealed ConfigMap", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\nimmutable: true\ndata: {k: a}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\nimmutable: true"},
	{"the seal of a ConfigMap", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\nimmutable: true\ndata: {k: a}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\ndata: {k: a}"},
	{"a label of a sealed ConfigMap", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\nimmutable: true\ndata: {k: a}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME, labels: {l: x}}\nimmutable: true\ndata: {k: a}"},
	{"data of an open ConfigMap", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\ndata: {k: a}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\nimmutable: true\ndata: {k: b}"},
	{"data of a sealed Secret", "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME}\nimmutable: true\nstringData: {k: a}", "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME}\nimmutable: true\nstringData: {k: b}"},
	{"the same data of a sealed Secret", "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME}\nimmutable: true\nstringData: {k: a}", "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME, labels: {l: x}}\nimmutable: true\ndata: {k: YQ==}"},
	{"the type of a Secret", "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME}\nstringData: {k: a}", "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME}\ntype: example.com/x\nstringData: {k: a}"},

	{"the modes of a claim", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: NAME}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: NAME}\nspec: {accessModes: [ReadOnlyMany], resources: {requests: {storage: 2Gi}}}"},
	{"less of a claim", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: NAME}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: NAME}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}"},
	{"more of a claim that is not bound", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: NAME}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: NAME}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 3Gi}}}"},
	{"a claim in other words", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: NAME}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: NAME, labels: {l: x}}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2048Mi}}}"},

	{"the role of a binding", "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: NAME}\nroleRef: {kind: Role, name: a, apiGroup: rbac.authorization.k8s.io}", "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: NAME}\nroleRef: {kind: Role, name: b, apiGroup: rbac.authorization.k8s.io}"},
	{"the subjects of a binding", "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: NAME}\nroleRef: {kind: Role, name: a, apiGroup: rbac.authorization.k8s.io}", "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: NAME}\nroleRef: {kind: Role, name: a, apiGroup: rbac.authorization.k8s.io}\nsubjects: [{kind: ServiceAccount, name: x, namespace: default}]"},
	{"the role of a cluster binding", clusterBinding("a"), clusterBinding("b")},
	{"the subjects of a cluster binding", clusterBinding("a"), clusterBinding("a") + "\nsubjects: [{kind: ServiceAccount, name: x, namespace: default}]"},
	{"the provisioner of a StorageClass", storageClass, strings.ReplaceAll(storageClass, "example.com/p", "example.com/q")},
	{"the parameters of a StorageClass", storageClass, strings.ReplaceAll(storageClass, "{k: a}", "{k: b}")},
	{"a parameter less of a StorageClass", storageClass, strings.ReplaceAll(storageClass, "{k: a}", "{}")},
	{"the reclaiming of a StorageClass", storageClass, strings.ReplaceAll(storageClass, "Delete", "Retain")},
	{"the binding of a StorageClass", storageClass, strings.ReplaceAll(storageClass, "Immediate", "WaitForFirstConsumer")},
	{"expansion of a StorageClass", storageClass, storageClass + "\nallowVolumeExpansion: true"},
	{"the value of a PriorityClass", priorityClass, strings.ReplaceAll(priorityClass, "value: 7", "value: 8")},
	{"the preemption of a PriorityClass", priorityClass, priorityClass + "\npreemptionPolicy: Never"},
	{"the description of a PriorityClass", priorityClass, priorityClass + "\ndescription: d"},
	{"the handler of a RuntimeClass", "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: NAME}\nhandler: a", "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: NAME}\nhandler: b"},
	{"the controller of an IngressClass", "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: NAME}\nspec: {controller: example.com/a}", "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: NAME}\nspec: {controller: example.com/b}"},

	{"the schedule of a CronJob", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: NAME}\nspec: {schedule: \"@daily\", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: none}]}}}}}", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: NAME}\nspec: {schedule: \"@hourly\", concurrencyPolicy: Forbid, jobTemplate: {spec: {completions: 2, template: {spec: {restartPolicy: Never, containers: [{name: c, image: other}]}}}}}"},
}

// TestWhatNobodyCanChangeIsForetold holds the list of the plan to the server:
// what it refuses to change is refused before it is asked, and nothing else is.
func TestWhatNobodyCanChangeIsForetold(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	var before, after []string
	byName := map[string]frozenCase{}
	for _, c := range frozenCases {
		// Some kinds have no namespace, and the tests share a cluster.
		name := strings.ReplaceAll(strings.ToLower(c.what), " ", "-") + "-" + w.namespace
		byName[name] = c
		before, after = append(before, strings.ReplaceAll(c.before, "NAME", name)), append(after, strings.ReplaceAll(c.after, "NAME", name))
	}
	w.mustSync(s, documents(before...))
	p, err := w.compute(s, w.objects(documents(after...)))
	if err != nil {
		t.Fatal(err)
	}
	refusals := 0
	for _, change := range p.Changes {
		c := byName[change.Key.Name]
		refused := s.tryApply(w.ctx, schema.Object{Unstructured: w.intended[change.Key].Unstructured})
		if refused != nil && !apierrors.IsInvalid(refused) && !apierrors.IsForbidden(refused) {
			t.Errorf("%s: %v", c.what, refused)
		}
		foretold := change.Op == plan.Refuse && change.Problem.Rule == "R210" && change.Problem.Field != ""
		if foretold != (refused != nil) {
			t.Errorf("%s: the plan says %s (%s), the server %v", c.what, change.Op, change.Effect, refused)
		}
		if foretold {
			refusals++
		}
	}
	if refusals < 25 {
		t.Errorf("only %d changes are refused: the server is not asked what it was", refusals)
	}
}

const (
	jobBase    = "spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: none}]}}"
	jobIndexed = jobBase + ", completionMode: Indexed, completions: 3, parallelism: 3, backoffLimitPerIndex: 1, maxFailedIndexes: 2"
)

// jobCases are changes of a Job. Again says that rota runs it again although the
// server would take the change.
var jobCases = []struct {
	what, before, after string
	again               bool
}{
	{"image", jobBase, strings.ReplaceAll(jobBase, "none", "other"), false},
	{"completions", jobBase + ", completions: 1", jobBase + ", completions: 2", false},
	{"completions of an indexed one", jobIndexed, strings.ReplaceAll(strings.ReplaceAll(jobIndexed, "completions: 3", "completions: 2"), "parallelism: 3", "parallelism: 2"), true},
	{"completion mode", jobBase + ", completions: 2", jobBase + ", completions: 2, completionMode: Indexed", false},
	{"policy of failure", jobBase, jobBase + ", podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}", false},
	{"policy of success", jobIndexed, jobIndexed + ", successPolicy: {rules: [{succeededCount: 1}]}", false},
	{"backoff per index", jobIndexed, strings.ReplaceAll(jobIndexed, "PerIndex: 1", "PerIndex: 2"), false},
	{"failed indexes", jobIndexed, strings.ReplaceAll(jobIndexed, "Indexes: 2", "Indexes: 1"), false},
	{"managed by", jobBase, jobBase + ", managedBy: example.com/x", false},
	{"replacement of pods", jobBase + ", podReplacementPolicy: TerminatingOrFailed", jobBase + ", podReplacementPolicy: Failed", false},
	{"parallelism", jobBase, jobBase + ", parallelism: 2", false},
	{"backoff", jobBase, jobBase + ", backoffLimit: 2", false},
	{"deadline", jobBase, jobBase + ", activeDeadlineSeconds: 600", false},
	{"time to live", jobBase, jobBase + ", ttlSecondsAfterFinished: 600", false},
	{"suspend", jobBase, jobBase + ", suspend: true", false},
}

// TestWhatAJobCannotChangeIsForetold does so for Jobs: what the server refuses
// runs again or waits for the next run, and all else is applied in place.
func TestWhatAJobCannotChangeIsForetold(t *testing.T) {
	w := newWorld(t)
	s := w.set(nil)
	var before, after []string
	again := map[string]bool{}
	for _, c := range jobCases {
		name := strings.ReplaceAll(c.what, " ", "-")
		head := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: " + name + "}\n"
		before, after = append(before, head+c.before+"}"), append(after, head+c.after+"}")
		again[name] = c.again
	}
	w.mustSync(s, documents(before...))
	p, err := w.compute(s, w.objects(documents(after...)))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range p.Changes {
		refused := s.tryApply(w.ctx, schema.Object{Unstructured: w.intended[change.Key].Unstructured})
		if refused != nil && !immutableField(refused) {
			t.Errorf("%s: %v", change.Key.Name, refused)
		}
		waits := change.Op == plan.Update && strings.Contains(change.Effect, "takes effect with the next run")
		runs := change.Op == plan.Replace || change.Op == plan.Wait && strings.Contains(change.Effect, "will run again")
		if (waits || runs) != (refused != nil || again[change.Key.Name]) {
			t.Errorf("%s: the plan says %s (%s), the server %v", change.Key.Name, change.Op, change.Effect, refused)
		}
		if change.Op == plan.Update {
			if err := s.tryApply(w.ctx, *change.Object); err != nil {
				t.Errorf("%s: the server refuses what the plan has in place of it: %v", change.Key.Name, err)
			}
		}
	}
}
