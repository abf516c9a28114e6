package overlay

import (
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// world is a base of groups of a Job, its ConfigMap and a CronJob, with a
// Deployment, a Namespace and a ClusterRole beside them.
const world = `-- base/items.yaml --
apiVersion: rota.dev/v1alpha1
kind: Expansion
metadata: {name: e}
spec:
  template: t.txt
  parameters: {items: [{A: ab, B: x, N: 1}, {A: cd, B: x, N: 2}, {A: ef, B: y, N: 3}, {A: gh, B: z, N: 2}, {A: ij, B: x, N: 7}, {A: kl, B: y, N: 9}]}
-- base/t.txt --
apiVersion: batch/v1
kind: Job
metadata: {name: job-$A, labels: {app: web, tier: $B}, annotations: {note: $B}}
spec:
  parallelism: $N
  suspend: null
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: []
      containers:
      - name: c
        image: "busybox:1.0"
        command: [sh, -c, "echo $A"]
        args: []
        env: [{name: ITEM, value: $A}, {name: N, value: "$N"}]
        envFrom: [{configMapRef: {name: cfg-$A}}, {configMapRef: {name: common}}]
        ports: [{containerPort: $N, protocol: TCP}]
      - {name: side, image: nginx}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cfg-$A}
data: {key: $B, both: "$A/$B:$N", empty: ""}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: cron-$A, labels: {tier: $B}}
spec:
  schedule: "$N * * * *"
  jobTemplate:
    spec:
      template:
        spec:
          containers: [{name: c, image: "busybox@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", envFrom: [{configMapRef: {name: common}}]}]
          volumes: [{name: v, configMap: {name: common}}, {name: w, secret: {secretName: sec-$A}}]
-- base/plain.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec: {replicas: 1, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: busybox}]}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: ServiceAccount, name: default, namespace: batch}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {image: "registry.example.com/busybox:9", tier: x, url: "http://host/path"}
-- base/kustomization.yaml --
resources: [items.yaml, plain.yaml]
configMapGenerator: [{name: common, literals: [A=b, tier=x]}]
`

const top = "-- ns/kustomization.yaml --\nresources: [ns.yaml]\n-- ns/ns.yaml --\napiVersion: v1\nkind: Namespace\nmetadata: {name: batch}\n-- top/kustomization.yaml --\nresources: [../base, ../ns]\n"

// TestHardKustomizations has what the drawn kustomizations do not: each is
// built as one run of kustomize builds it, and kustomize builds each.
func TestHardKustomizations(t *testing.T) {
	for name, rest := range map[string]string{
		"nothing":                                             top,
		"a base twice with different prefixes":                "-- l/kustomization.yaml --\nresources: [../base]\nnamePrefix: l-\n-- r/kustomization.yaml --\nresources: [../base]\nnamePrefix: r-\nnameSuffix: -x\n-- top/kustomization.yaml --\nresources: [../l, ../r]\nnamespace: batch\n",
		"a base twice in two namespaces":                      "-- l/kustomization.yaml --\nresources: [../base]\nnamespace: l\nnamePrefix: l-\n-- r/kustomization.yaml --\nresources: [../base]\nnamespace: r\n-- top/kustomization.yaml --\nresources: [../l, ../r]\npatches:\n- target: {kind: Job, namespace: r}\n  patch: '- {op: add, path: /spec/suspend, value: true}'\n",
		"a component used by two overlays":                    "-- comp/kustomization.yaml --\napiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n- target: {kind: Job, labelSelector: tier=x}\n  patch: '- {op: add, path: /spec/suspend, value: true}'\nconfigMapGenerator: [{name: common, behavior: merge, literals: [B=c]}]\n-- top/kustomization.yaml --\nresources: [../base]\ncomponents: [../comp]\nnamePrefix: t-\n",
		"a component adds its own objects":                    "-- comp/kustomization.yaml --\napiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [x.yaml]\nnamePrefix: c-\n-- comp/x.yaml --\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i, envFrom: [{configMapRef: {name: common}}, {configMapRef: {name: cfg-cd}}]}]}\n-- top/kustomization.yaml --\nresources: [../base]\ncomponents: [../comp]\nnameSuffix: -t\n",
		"a generator merges":                                  top + "configMapGenerator: [{name: common, behavior: merge, literals: [A=z, NEW=cfg-ab]}]\nnamePrefix: p-\n",
		"a generator replaces":                                top + "configMapGenerator: [{name: common, behavior: replace, literals: [Z=job-ab]}]\n",
		"a generator merges into an item":                     top + "configMapGenerator: [{name: cfg-cd, behavior: merge, literals: [Z=job-ab]}]\nnamePrefix: p-\n",
		"a generator replaces an item with a hash":            top + "configMapGenerator: [{name: cfg-ef, behavior: replace, literals: [Z=1], options: {annotations: {a: b}}}]\nsecretGenerator: [{name: sec-ij, literals: [P=1]}]\nnameSuffix: -s\n",
		"a secret is generated that items name":               top + "secretGenerator: [{name: sec-ab, literals: [P=1]}, {name: sec-kl, literals: [P=2], type: kubernetes.io/basic-auth}]\nnamePrefix: p-\n",
		"generators make hashes that depend on options":       top + "generatorOptions: {disableNameSuffixHash: true, labels: {gen: 'true'}, immutable: true}\nconfigMapGenerator: [{name: other, literals: [a=b]}]\n",
		"a replacement with a delimiter":                      top + "replacements:\n- source: {kind: ConfigMap, name: settings, fieldPath: data.image, options: {delimiter: ':', index: 1}}\n  targets:\n  - select: {kind: Job}\n    fieldPaths: ['spec.template.spec.containers.[name=c].image']\n    options: {delimiter: ':', index: 1}\n",
		"a replacement with create":                           top + "replacements:\n- source: {kind: ConfigMap, name: settings, fieldPath: data.tier}\n  targets:\n  - select: {kind: Job}\n    reject: [{name: job-ab}]\n    fieldPaths: ['metadata.annotations.[example.com/tier]', 'spec.template.metadata.labels.tier']\n    options: {create: true}\n",
		"a replacement from an item into itself":              top + "replacements:\n- source: {kind: ConfigMap, name: cfg-ab, fieldPath: data.both}\n  targets:\n  - select: {kind: ConfigMap}\n    fieldPaths: [data.copied]\n    options: {create: true}\n",
		"a replacement from a name that gets a prefix":        top + "namePrefix: p-\nreplacements:\n- source: {kind: ConfigMap, name: common}\n  targets:\n  - select: {kind: Job}\n    fieldPaths: ['spec.template.spec.containers.0.env.0.value']\n",
		"a replacement of all containers":                     top + "replacements:\n- source: {kind: Deployment, name: web, fieldPath: metadata.name}\n  targets:\n  - select: {kind: Job}\n    fieldPaths: ['spec.template.spec.containers.*.image']\n",
		"a replacement whose target is missing in some":       top + "replacements:\n- source: {kind: Deployment, name: web, fieldPath: metadata.name}\n  targets:\n  - select: {kind: ConfigMap, name: 'cfg-.*'}\n    fieldPaths: [data.key]\n",
		"vars in commands":                                    "-- top/kustomization.yaml --\nresources: [../base]\nnamePrefix: v-\nvars: [{name: C, objref: {apiVersion: v1, kind: ConfigMap, name: settings}, fieldref: {fieldpath: data.tier}}]\npatches:\n- target: {kind: Job}\n  patch: '- {op: add, path: /spec/template/spec/containers/0/args, value: [\"$(C)\", \"$(D)\"]}'\n",
		"a merge deletes a container":                         top + "patches:\n- target: {kind: Job}\n  patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: {spec: {containers: [{name: side, $patch: delete}]}}}}'\n",
		"a merge replaces the list":                           top + "patches:\n- target: {kind: Job}\n  patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: {spec: {containers: [{name: only, image: busybox}, {$patch: replace}]}}}}'\n",
		"a merge replaces a mapping":                          top + "patches:\n- target: {kind: ConfigMap, name: 'cfg-.*'}\n  patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {$patch: replace, a: b}}'\n",
		"a merge deletes one object":                          top + "patches:\n- patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: job-cd}, $patch: delete}'\n",
		"a merge deletes by label":                            top + "patches:\n- target: {kind: CronJob, labelSelector: 'tier in (x, z)'}\n  patch: '{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}, $patch: delete}'\n",
		"a merge sets what items have":                        top + "patches:\n- target: {kind: Job}\n  patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {parallelism: 2, template: {spec: {containers: [{name: c, env: [{name: ITEM, value: ab}, {name: N, value: \"2\"}], ports: [{containerPort: 2, protocol: TCP, name: two}]}]}}}}'\n",
		"a merge appends to a primitive list":                 top + "patches:\n- target: {kind: Job}\n  patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: x, finalizers: [a/b]}, spec: {template: {spec: {containers: [{name: c, args: [ab]}], imagePullSecrets: [{name: sec-ab}]}}}}'\n",
		"a merge sets null":                                   top + "patches:\n- target: {kind: Job}\n  patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: x, labels: null}, spec: {parallelism: null, template: {spec: {containers: [{name: c, envFrom: null}]}}}}'\n",
		"a merge has order directives":                        top + "patches:\n- target: {kind: Job}\n  patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: {spec: {$setElementOrder/containers: [{name: side}, {name: c}], containers: [{name: side, image: z}]}}}}'\n",
		"a merge deletes from a primitive list":               top + "patches:\n- target: {kind: Job}\n  patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: {spec: {containers: [{name: c, $deleteFromPrimitiveList/command: [sh]}]}}}}'\n",
		"a merge of nested names":                             top + "namePrefix: q-\npatches:\n- target: {kind: CronJob}\n  patch: '{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}, spec: {jobTemplate: {spec: {template: {spec: {volumes: [{name: w, secret: {secretName: cfg-ab}}]}}}}}}'\n",
		"a JSON patch tests":                                  top + "patches:\n- target: {kind: Job}\n  patch: \"- {op: test, path: /spec/template/spec/containers/1/name, value: side}\\n- {op: remove, path: /spec/template/spec/containers/1}\"\n",
		"a JSON patch moves":                                  top + "patches:\n- target: {kind: Job}\n  patch: \"- {op: move, from: /metadata/labels/tier, path: /metadata/labels/moved}\\n- {op: copy, from: /spec/parallelism, path: /spec/completions}\"\n",
		"a JSON patch appends":                                top + "patches:\n- target: {kind: Job}\n  patch: \"- {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: X, value: cfg-ab}}\\n- {op: replace, path: /spec/parallelism, value: 3}\"\n",
		"a JSON patch of a key with a slash":                  top + "patches:\n- target: {kind: Job}\n  patch: \"- {op: add, path: /metadata/labels/a.b~1c, value: x}\\n- {op: remove, path: /metadata/annotations/note}\"\n",
		"a JSON patch replaces the only annotation's mapping": top + "patches:\n- target: {kind: Job}\n  patch: '- {op: replace, path: /metadata/annotations, value: {new: old}}'\n",
		"a target by group and version":                       top + "patches:\n- target: {group: batch, version: v1}\n  patch: '- {op: add, path: /spec/suspend, value: true}'\n",
		"a target by an annotation":                           top + "patches:\n- target: {annotationSelector: 'note in (x,y)'}\n  patch: '- {op: add, path: /spec/suspend, value: true}'\n",
		"a target by a label that an earlier patch writes":    top + "patches:\n- target: {kind: Job, name: 'job-(ab|gh)'}\n  patch: '- {op: add, path: /metadata/labels/sel, value: here}'\n- target: {labelSelector: sel=here}\n  patch: '- {op: add, path: /spec/suspend, value: true}'\n",
		"a target by a label copied from a value":             top + "patches:\n- target: {kind: Job}\n  patch: '- {op: copy, from: /metadata/annotations/note, path: /metadata/labels/sel}'\n- target: {labelSelector: sel=x}\n  patch: '- {op: add, path: /spec/suspend, value: true}'\n",
		"a target by a label that labels write":               "-- mid/kustomization.yaml --\nresources: [../base]\nlabels: [{pairs: {tier: x}}]\n-- top/kustomization.yaml --\nresources: [../mid]\npatches:\n- target: {labelSelector: tier=x}\n  patch: '{kind: Job, apiVersion: batch/v1, metadata: {name: x, labels: {found: me}}}'\n",
		"a target by the name before the prefix":              "-- mid/kustomization.yaml --\nresources: [../base]\nnamePrefix: m-\n-- top/kustomization.yaml --\nresources: [../mid]\npatches:\n- target: {kind: Job, name: job-cd}\n  patch: '- {op: add, path: /spec/suspend, value: true}'\n- target: {kind: Job, name: m-job-ef}\n  patch: '- {op: add, path: /spec/suspend, value: false}'\n",
		"a target by a short pattern":                         top + "patches:\n- target: {kind: Job, name: '.*[acg][bdh]'}\n  patch: '- {op: add, path: /spec/suspend, value: true}'\n",
		"a target by length":                                  top + "patches:\n- target: {kind: Job, name: '.{6}'}\n  patch: '- {op: add, path: /spec/suspend, value: true}'\n",
		"the namespace of cluster kinds":                      top + "namespace: batch\n",
		"the namespace is renamed":                            top + "namespace: other\nnamePrefix: p-\n",
		"images of all forms":                                 top + "images: [{name: busybox, digest: 'sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff'}, {name: nginx, newName: my/nginx, newTag: '1'}]\n",
		"an image suffix":                                     top + "images: [{name: busybox, tagSuffix: -alpine}]\n",
		"images in two layers":                                "-- mid/kustomization.yaml --\nresources: [../base]\nimages: [{name: busybox, newName: r/bb}]\n-- top/kustomization.yaml --\nresources: [../mid]\nimages: [{name: r/bb, newTag: v2}]\n",
		"replicas":                                            top + "replicas: [{name: web, count: 5}]\n",
		"replicas with a prefix":                              "-- mid/kustomization.yaml --\nresources: [../base]\nnamePrefix: m-\n-- top/kustomization.yaml --\nresources: [../mid]\nreplicas: [{name: web, count: 5}]\n",
		"labels with selectors":                               top + "labels: [{pairs: {env: dev, app: other}, includeSelectors: true}, {pairs: {x: z}, includeTemplates: true}, {pairs: {deep: d}, fields: [{path: spec/template/spec/nodeSelector, kind: Job, create: true}]}]\n",
		"common labels and annotations":                       top + "commonLabels: {tier: x, app: ab}\ncommonAnnotations: {note: cd, other: cfg-ab}\n",
		"a name reference of a custom kind":                   "-- w/kustomization.yaml --\nresources: [w.yaml]\n-- w/w.yaml --\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {config: cfg-ab, job: job-cd}\n-- top/kustomization.yaml --\nresources: [../base, ../w]\nnamePrefix: p-\nconfigurations: [c.yaml]\n-- top/c.yaml --\nnameReference:\n- kind: ConfigMap\n  version: v1\n  fieldSpecs: [{kind: Widget, path: spec/config}]\n- kind: Job\n  group: batch\n  fieldSpecs: [{kind: Widget, path: spec/job}]\nvarReference: [{kind: Widget, path: spec/config}]\nimages: [{kind: Widget, path: spec/config}]\n",
		"crds":                                                "-- w/kustomization.yaml --\nresources: [w.yaml]\n-- w/w.yaml --\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {config: {name: cfg-ab}}\n-- top/kustomization.yaml --\nresources: [../base, ../w]\nnamePrefix: p-\ncrds: [crd.json]\n-- top/crd.json --\n{\"example.com/v1.Widget\": {\"Schema\": {\"properties\": {\"spec\": {\"$ref\": \"S\"}, \"apiVersion\": {\"type\": \"string\"}, \"kind\": {\"type\": \"string\"}, \"metadata\": {\"type\": \"object\"}}}}, \"S\": {\"Schema\": {\"properties\": {\"config\": {\"type\": \"object\", \"x-kubernetes-object-ref-api-version\": \"v1\", \"x-kubernetes-object-ref-kind\": \"ConfigMap\", \"x-kubernetes-object-ref-name-key\": \"name\"}}}}}\n",
		"sortOptions legacy with first and last":              top + "sortOptions: {order: legacy, legacySortOptions: {orderFirst: [CronJob, Namespace], orderLast: [ConfigMap]}}\nnamePrefix: p-\n",
		"sortOptions fifo":                                    top + "sortOptions: {order: fifo}\nnamePrefix: p-\nconfigMapGenerator: [{name: more, literals: [a=b]}]\n",
		"sortOptions below the top":                           "-- mid/kustomization.yaml --\nresources: [../base]\nsortOptions: {order: fifo}\n-- top/kustomization.yaml --\nresources: [../mid]\nnamePrefix: p-\n",
		"buildMetadata":                                       top + "buildMetadata: [originAnnotations, managedByLabel]\n",
		"buildMetadata in the base":                           "-- mid/kustomization.yaml --\nresources: [../base]\nbuildMetadata: [originAnnotations, managedByLabel]\n-- top/kustomization.yaml --\nresources: [../mid]\nnamePrefix: p-\n",
		"transformerAnnotations":                              top + "namePrefix: p-\nbuildMetadata: [transformerAnnotations]\n",
		"a suffix and a hash":                                 top + "nameSuffix: -s9\n",
		"a patch names what another names":                    top + "namePrefix: z-\npatches:\n- patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: job-ab}, spec: {template: {spec: {containers: [{name: c, envFrom: [{configMapRef: {name: cfg-kl}}]}]}}}}'\n",
		"a patch with allowNameChange":                        top + "patches:\n- target: {kind: Job, name: job-ab}\n  patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: job-new}}'\n  options: {allowNameChange: true}\n",
		"numbers as names":                                    "-- n/kustomization.yaml --\nresources: [n.yaml]\n-- n/n.yaml --\n" + numbered + "-- top/kustomization.yaml --\nresources: [../base, ../n]\nnamePrefix: p\nnameSuffix: '7'\n",
		"numbers as names without a prefix":                   "-- n/kustomization.yaml --\nresources: [n.yaml]\n-- n/n.yaml --\n" + numbered + "-- top/kustomization.yaml --\nresources: [../base, ../n]\nlabels: [{pairs: {a: '1'}, includeTemplates: true}]\n",
		"nulls and empties":                                   "-- n/kustomization.yaml --\nresources: [n.yaml]\n-- n/n.yaml --\n" + empties + "-- top/kustomization.yaml --\nresources: [../n]\ncommonAnnotations: {a: b}\nnamePrefix: p-\nlabels: [{pairs: {x: z}, includeSelectors: true}]\n",
		"nulls and empties that are merged":                   "-- n/kustomization.yaml --\nresources: [n.yaml]\n-- n/n.yaml --\n" + empties + "-- top/kustomization.yaml --\nresources: [../n]\npatches:\n- target: {kind: Job}\n  patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: {spec: {containers: [{name: c}]}}}}'\n",
		"CronJobs name a hashed ConfigMap":                    top + "configMapGenerator: [{name: common, behavior: merge, literals: [X=y]}]\nnamePrefix: a-\nnameSuffix: -b\nnamespace: batch\n",
		"a merge of a patch file with two docs":               top + "patches: [{path: two.yaml}]\n-- top/two.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job-ab}\nspec: {suspend: true}\n---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: cron-cd}\nspec: {suspend: true}\n",
		"local config":                                        "-- n/kustomization.yaml --\nresources: [n.yaml]\n-- n/n.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: l1, annotations: {config.kubernetes.io/local-config: 'true'}}\ndata: {v: job-ab}\n-- top/kustomization.yaml --\nresources: [../base, ../n]\nreplacements:\n- source: {kind: ConfigMap, name: l1, fieldPath: data.v}\n  targets: [{select: {kind: Job}, fieldPaths: [metadata.annotations.note]}]\n",
		"annotations of kustomize on objects":                 "-- n/kustomization.yaml --\nresources: [n.yaml]\n-- n/n.yaml --\n" + needsHash + "-- top/kustomization.yaml --\nresources: [../base, ../n]\nnamePrefix: p-\n",
		"images as a regular expression":                      top + "images: [{name: 'busy.*', newName: b}, {name: 'n(ginx|ode)', newTag: '5'}]\n",
		"a List in resources":                                 "-- n/kustomization.yaml --\nresources: [n.yaml]\n-- n/n.yaml --\n" + numbered + "-- top/kustomization.yaml --\nresources: [../base, ../n]\nnamespace: batch\npatches:\n- target: {kind: ConfigMap}\n  patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {k: cfg-ab}}'\n",
		"different namespaces of one name":                    "-- n/kustomization.yaml --\nresources: [n.yaml]\n-- n/n.yaml --\n" + spaces + "-- top/kustomization.yaml --\nresources: [../n]\nnamePrefix: p-\n",
		"a cluster role that many subjects name":              "-- n/kustomization.yaml --\nresources: [n.yaml]\n-- n/n.yaml --\n" + spaces + "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: rb, namespace: one}\nroleRef: {kind: ClusterRole, name: x}\nsubjects: [{kind: ServiceAccount, name: sa, namespace: two}]\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: sa, namespace: two}\n-- top/kustomization.yaml --\nresources: [../n]\nnameSuffix: -s\n",
	} {
		t.Run(name, func(t *testing.T) {
			archive := txtar.Parse([]byte(world))
			archive.Files = append(archive.Files, txtar.Parse([]byte(rest)).Files...)
			fsys, err := txtar.FS(archive)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []sizes{{whole: 1, run: 4, family: 3}, {whole: 1, run: 2, family: 99}} {
				if testing.Short() && s.family == 99 {
					break
				}
				o := compare(fsys, "top", s)
				if o.problem != "" {
					t.Errorf("with %+v: %s", s, o.problem)
				}
				if o.wantErr != nil {
					t.Errorf("kustomize does not build it: %v", o.wantErr)
				}
			}
		})
	}
}

var (
	numbered  = several("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '$A'}\ndata: {k: '$A'}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: pod$A, labels: {l: '$A'}}\nspec: {containers: [{name: '$A', image: 'i', envFrom: [{configMapRef: {name: '$A'}}]}]}\n", "1", "22", "1e3", "0x1f", "007", "1.5", "true", "null", "yes")
	empties   = several("apiVersion: batch/v1\nkind: Job\nmetadata: {name: j$A, labels: {}, annotations: {}}\nspec: {suspend: null, selector: {}, template: {metadata: null, spec: {containers: [{name: c, image: '', env: [], args: null, resources: {limits: {}}}], volumes: null}}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c$A, annotations: null}\ndata: null\n", "a", "b", "c", "d")
	needsHash = several("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: h$A, annotations: {kustomize.config.k8s.io/needs-hash: 'true', kustomize.config.k8s.io/behavior: create}}\ndata: {a: $A}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: pod$A}\nspec: {containers: [{name: c, image: i, envFrom: [{configMapRef: {name: h$A}}]}]}\n", "a", "b", "c")
	spaces    = several("apiVersion: batch/v1\nkind: Job\nmetadata: {name: nightly, namespace: $A}\nspec: {template: {spec: {containers: [{name: c, image: i, envFrom: [{configMapRef: {name: cfg}}]}]}}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg, namespace: $A}\ndata: {a: b}\n", "one", "two", "three", "four")
)

func several(text string, values ...string) string {
	var docs []string
	for _, v := range values {
		docs = append(docs, strings.ReplaceAll(text, "$A", v))
	}
	return strings.Join(docs, "---\n")
}
