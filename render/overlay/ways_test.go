package overlay

import (
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// expansion is an Expansion of t.txt in the folder base, with two parameters.
const expansion = `-- base/items.yaml --
apiVersion: rota.dev/v1alpha1
kind: Expansion
metadata: {name: e}
spec: {template: t.txt, parameters: {items: [ITEMS]}}
`

const (
	jobName    = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: job-$A, labels: {app: \"$A\", tier: \"$B\"}}\n"
	containers = "spec:\n  parallelism: $N\n  template:\n    spec:\n      containers:\n"
)

// TestWhatTellsMembersApart has a repository for each thing that kustomize may
// look at, so that values are not only copied. Each is built as one run builds
// it, and in the way that is expected.
func TestWhatTellsMembersApart(t *testing.T) {
	abc := "{A: a, B: x, N: 1}, {A: b, B: x, N: 2}, {A: c, B: y, N: 3}"
	for name, test := range map[string]struct {
		items, template, rest string
		want                  way
	}{
		"nothing looks at the values": {abc, jobName + containers + "      - {name: c, image: busybox, command: [echo, $A], env: [{name: X, value: $B}]}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamePrefix: dev-\nnamespace: batch\nimages: [{name: busybox, newTag: '1'}]\nlabels: [{pairs: {env: dev}, includeTemplates: true}]\n", byStandIns},
		"a mapping that is overlaid with a text of the same kind as a placeholder": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\ncommonAnnotations: {note: $A, own: '${B}'}\n", byStandIns},
		"some have an image that is changed": {"{A: a, B: busybox, N: 1}, {A: b, B: busybox, N: 2}, {A: c, B: nginx, N: 3}, {A: d, B: redis, N: 3}", jobName + containers + "      - {name: c, image: $B}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nimages: [{name: busybox, newTag: '1'}]\n", byStandIns},
		"every image is changed": {abc, jobName + containers + "      - {name: c, image: 'repo/app:$A'}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nimages: [{name: repo/app, newName: other}]\n", apart},
		"a patch chooses some names by a pattern": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {kind: Job, name: 'job-(a|b)'}\n  patch: '- {op: add, path: /spec, value: {suspend: true}}'\n", apart},
		"a patch chooses one name with its prefix": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamePrefix: p-\n-- top/kustomization.yaml --\nresources: [../base]\npatches:\n- target: {kind: Job, name: p-job-b}\n  patch: '- {op: add, path: /spec, value: {suspend: true}}'\n", byStandIns},
		"a patch chooses all names by what they begin with": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {kind: Job, name: 'job-.*'}\n  patch: '- {op: add, path: /spec, value: {suspend: true}}'\n", byStandIns},
		"a patch chooses by a label": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {labelSelector: tier=x}\n  patch: '- {op: add, path: /spec, value: {suspend: true}}'\n", byStandIns},
		"a patch chooses by an annotation": {abc, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: $A, annotations: {note: $B}}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {annotationSelector: note=x}\n  patch: '- {op: add, path: /data, value: {x: y}}'\n", byStandIns},
		"a strategic merge names one": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: job-c}, spec: {suspend: true}}'\n", byStandIns},
		"strategic merges name all": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: job-c}, spec: {suspend: true}}'\n- path: p.yaml\n- patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: job-b}, spec: {suspend: false}}'\n" +
				"-- base/p.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job-a}\nspec: {suspend: true}\n", apart},
		"one merge names two": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatchesStrategicMerge: [p.yaml]\n-- base/p.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job-a}\nspec: {suspend: true}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job-c}\nspec: {suspend: true}\n", apart},
		"a merge finds an item of a list by its name": {abc, jobName + containers + "      - {name: $A, image: busybox}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {kind: Job}\n  patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: {spec: {containers: [{name: b, image: nginx}]}}}}'\n", byStandIns},
		"a merge finds an item of a list by its number": {abc, "apiVersion: v1\nkind: Service\nmetadata: {name: $A}\nspec: {ports: [{port: $N, targetPort: 80}]}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {kind: Service}\n  patch: '{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: 2, targetPort: 81}]}}'\n", byStandIns},
		"a merge meets two items of one name": {"{A: a, B: x, N: 1}, {A: b, B: b, N: 2}, {A: c, B: y, N: 3}", jobName + containers + "      - {name: $A, image: busybox}\n      - {name: $B, image: nginx}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {kind: Job}\n  patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: {spec: {containers: [{name: new, image: n}]}}}}'\n", byStandIns},
		"a patch deletes": {abc, jobName + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, $patch: delete}'\n", byStandIns},
		"a JSON patch copies the name": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {kind: Job}\n  patch: '- {op: copy, from: /metadata/name, path: /copied}'\n", apart},
		"a JSON patch tests a value": {"{A: a, B: x, N: 1}, {A: b, B: x, N: 2}", jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {kind: Job}\n  patch: \"- {op: test, path: /metadata/labels/tier, value: x}\\n- {op: add, path: /spec, value: {}}\"\n", apart},
		"a JSON patch rounds a number": {"{A: a, B: x, N: 1}, {A: b, B: x, N: 9007199254740993}, {A: c, B: x, N: 3}", jobName + containers + "      - {name: c}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {kind: Job}\n  patch: '- {op: add, path: /added, value: 1}'\n", byStandIns},
		"an object of the same item is named": {abc, jobName + containers + "      - {name: c, envFrom: [{configMapRef: {name: cfg-$A}}]}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamePrefix: dev-\n", byStandIns},
		"an object of another item is named": {"{A: a, B: b, N: 1}, {A: b, B: c, N: 2}, {A: c, B: x, N: 3}, {A: d, B: x, N: 3}", jobName + containers + "      - {name: c, envFrom: [{configMapRef: {name: cfg-$B}}]}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamePrefix: dev-\n", byStandIns},
		"an object is named with its prefix": {abc, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamePrefix: dev-\n-- top/kustomization.yaml --\nresources: [../base, job.yaml]\nnameSuffix: -v2\n-- top/job.yaml --\n" +
				"apiVersion: batch/v1\nkind: Job\nmetadata: {name: one}\nspec: {template: {spec: {containers: [{name: c, envFrom: [{configMapRef: {name: dev-cfg-b}}]}]}}}\n", byStandIns},
		"an object of the same item is named with its prefix": {abc, jobName + containers + "      - {name: c, envFrom: [{configMapRef: {name: dev-cfg-$A}}]}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamePrefix: dev-\n-- top/kustomization.yaml --\nresources: [../base]\nnameSuffix: -v2\n", apart},
		"what is generated is named by some": {abc, jobName + containers + "      - {name: c, envFrom: [{configMapRef: {name: gen-$A}}]}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nconfigMapGenerator: [{name: gen-b, literals: [A=b]}]\n", byStandIns},
		"a plain object is named by some": {abc, jobName + containers + "      - {name: c, envFrom: [{configMapRef: {name: cfg-$B}}]}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml, c.yaml]\nnamePrefix: dev-\n-- base/c.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-x}\n", byStandIns},
		"a patch lets a plain object name one": {abc, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml, j.yaml]\nnamePrefix: dev-\npatches:\n- target: {kind: Job}\n  patch: '- {op: add, path: /spec/template/spec/containers/0/envFrom, value: [{configMapRef: {name: cfg-c}}]}'\n" +
				"-- base/j.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: one}\nspec: {template: {spec: {containers: [{name: c}]}}}\n", byStandIns},
		"a replacement lets a plain object name one": {abc, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml, j.yaml]\nnamePrefix: dev-\n-- top/kustomization.yaml --\nresources: [../base]\nnameSuffix: -s\nreplacements:\n- source: {kind: Secret, name: s, fieldPath: stringData.x, options: {delimiter: '/', index: 1}}\n" +
				"  targets: [{select: {kind: Job}, fieldPaths: [spec.template.spec.containers.0.envFrom.0.configMapRef.name]}]\n" +
				"-- base/j.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: one}\nspec: {template: {spec: {containers: [{name: c, envFrom: [{configMapRef: {name: x}}]}]}}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {x: see/cfg-c}\n", together},
		"an object is the source of a replacement in others": {abc, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-$A}\ndata: {k: $B}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nreplacements:\n- source: {kind: ConfigMap, name: cfg-b, fieldPath: data.k}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.copied], options: {create: true}}]\n", apart},
		"there are two sources of a replacement": {abc, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-$A}\ndata: {k: $B}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nreplacements:\n- source: {kind: ConfigMap, fieldPath: data.k}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.copied], options: {create: true}}]\n", together},
		"a var has the value of an object": {abc, jobName + containers + "      - {name: c, command: [echo, $(V), $A]}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamePrefix: p-\nvars: [{name: V, objref: {apiVersion: v1, kind: ConfigMap, name: cfg-b}}]\n", byStandIns},
		"a value has a var in it": {"{A: a, B: $(V), N: 1}, {A: b, B: x, N: 2}, {A: c, B: y, N: 3}", jobName + containers + "      - {name: c, command: [echo, $B]}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml, c.yaml]\nnamePrefix: p-\nvars: [{name: V, objref: {apiVersion: v1, kind: ConfigMap, name: cfg}}]\n-- base/c.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg}\n", byStandIns},
		"replicas name one": {abc, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web-$A}\nspec: {replicas: 1}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nreplicas: [{name: web-a, count: 5}]\n", byStandIns},
		"a generator merges into one": {abc, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg-$A}\ndata: {k: $B}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\n-- top/kustomization.yaml --\nresources: [../base]\nconfigMapGenerator: [{name: cfg-b, behavior: merge, literals: [new=1]}]\n", byStandIns},
		"a prefix makes a name a number": {"{A: e3, B: x, N: 1}, {A: b, B: x, N: 2}, {A: c, B: x, N: 2}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: $A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamePrefix: '1'\npatches:\n- target: {kind: ConfigMap}\n  patch: '- {op: add, path: /data, value: {x: z}}'\n", byStandIns},
		"a name has a comma": {"{A: 'a,b', B: x, N: 1}, {A: b, B: x, N: 2}, {A: c, B: x, N: 2}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: $A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamePrefix: x-\n", together},
		"objects of one name are in many namespaces": {abc, "apiVersion: batch/v1\nkind: Job\nmetadata: {name: nightly, namespace: team-$A}\nspec: {template: {spec: {containers: [{name: c, envFrom: [{configMapRef: {name: nightly}}]}]}}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: nightly, namespace: team-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamePrefix: dev-\n", apart},
		"a patch chooses by a namespace": {abc, "apiVersion: batch/v1\nkind: Job\nmetadata: {name: job-$A, namespace: team-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {namespace: team-b}\n  patch: '- {op: add, path: /spec, value: {suspend: true}}'\n", apart},
		"objects of many namespaces are put into one": {abc, "apiVersion: batch/v1\nkind: Job\nmetadata: {name: nightly, namespace: team-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamespace: all\n", together},
		"a reference has a namespace": {"{A: a, B: one, N: 1}, {A: b, B: two, N: 2}, {A: c, B: three, N: 2}, {A: d, B: four, N: 2}", "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: w-$A}\nwebhooks: [{name: w, clientConfig: {service: {name: svc, namespace: $B}}}]\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml, s.yaml]\nnamePrefix: dev-\n-- base/s.yaml --\napiVersion: v1\nkind: Service\nmetadata: {name: svc, namespace: two}\n", byStandIns},
		"the subject of a role binding is the default one": {"{A: a, B: default, N: 1}, {A: b, B: x, N: 2}, {A: c, B: y, N: 2}", "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: r-$A}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}\nsubjects: [{kind: ServiceAccount, name: $B}]\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamespace: batch\n", apart},
		"some are for the local use only": {"{A: a, B: 'false', N: 1}, {A: b, B: 'true', N: 2}, {A: c, B: 'x', N: 2}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: $A, annotations: {config.kubernetes.io/local-config: $B}}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnamePrefix: x-\n", apart},
		"two files have objects of the same shape": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\n-- other/kustomization.yaml --\nresources: [j.yaml]\nnameSuffix: -o\n-- other/j.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job-d, labels: {app: d, tier: x}}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job-e, labels: {app: e, tier: y}}\n" +
				"-- top/kustomization.yaml --\nresources: [../base, ../other]\n", byStandIns},
		"a base is used twice": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\n-- l/kustomization.yaml --\nresources: [../base]\nnamePrefix: l-\n-- r/kustomization.yaml --\nresources: [../base]\nnamePrefix: r-\n-- top/kustomization.yaml --\nresources: [../l, ../r]\n", byStandIns},
		"a base is used twice, and the order is that of the repository": {abc, jobName,
			"-- base/kustomization.yaml --\nresources: [items.yaml]\n-- l/kustomization.yaml --\nresources: [../base]\nnamePrefix: l-\n-- r/kustomization.yaml --\nresources: [../base]\nnamePrefix: r-\n" +
				"-- top/kustomization.yaml --\nresources: [../l, ../r]\nsortOptions: {order: fifo}\n", together},
		"the order is that of the repository": {abc, jobName + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s-$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml, z.yaml]\nconfigMapGenerator: [{name: gen, literals: [A=b]}]\ncomponents: [../c]\n-- base/z.yaml --\napiVersion: v1\nkind: Namespace\nmetadata: {name: z}\n" +
				"-- c/kustomization.yaml --\napiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [s.yaml]\n-- c/s.yaml --\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n" +
				"-- top/kustomization.yaml --\nresources: [../base]\nsortOptions: {order: fifo}\n", byStandIns},
		"kinds are in different runs": {"{A: a, B: x, N: 1}, {A: b, B: x, N: 2}", "apiVersion: v1\nkind: Secret\nmetadata: {name: $A, labels: {app: x}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: x$A}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: y$A}\n---\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: z$A}\n---\napiVersion: example.com/v2\nkind: Widget\nmetadata: {name: w$A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nimages: [{name: '.*', newTag: x}]\nsortOptions: {order: legacy, legacySortOptions: {orderFirst: [Widget], orderLast: [Secret]}}\n", apart},
		"two objects get one name": {"{A: a-b, B: x, N: 1}, {A: b, B: x, N: 2}, {A: c, B: x, N: 2}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: $A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\n-- other/kustomization.yaml --\nresources: [c.yaml]\nnamePrefix: a-\n-- other/c.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n-- top/kustomization.yaml --\nresources: [../base, ../other]\n", together},
		"two objects have one name until one is deleted": {abc, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: $A}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\nnameSuffix: -x\n-- other/kustomization.yaml --\nresources: [c.yaml]\nnamePrefix: a-\n-- other/c.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, labels: {gone: soon}}\n" +
				"-- top/kustomization.yaml --\nresources: [../base, ../other]\npatches:\n- target: {labelSelector: gone}\n  patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, $patch: delete}'\n", together},
		"a patch replaces names": {abc, jobName, "-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {name: job-a}\n  patch: '- {op: replace, path: /metadata/name, value: new}'\n", together},
		"annotations are set to null": {abc, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: $A, annotations: {note: $B}}\n",
			"-- base/kustomization.yaml --\nresources: [items.yaml]\npatches:\n- target: {name: a}\n  patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: x, annotations: null}}'\n", together},
	} {
		t.Run(name, func(t *testing.T) {
			archive := txtar.Parse([]byte(strings.Replace(expansion, "ITEMS", test.items, 1)))
			archive.Files = append(archive.Files, txtar.File{Name: "base/t.txt", Data: []byte(test.template)})
			archive.Files = append(archive.Files, txtar.Parse([]byte(test.rest)).Files...)
			fsys, err := txtar.FS(archive)
			if err != nil {
				t.Fatal(err)
			}
			folder := "base"
			for _, f := range archive.Files {
				if f.Name == "top/kustomization.yaml" {
					folder = "top"
				}
			}
			o := compare(fsys, folder, sizes{whole: 1, run: 1, family: 2})
			if o.problem != "" {
				t.Errorf("%s", o.problem)
			}
			if o.way != test.want || o.wantErr != nil && test.want != together {
				t.Errorf("built %s (%s), not %s; kustomize says %v", o.way, o.why, test.want, o.wantErr)
			}
		})
	}
}
