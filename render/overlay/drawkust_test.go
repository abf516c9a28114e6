package overlay

import (
	"fmt"
	"strings"
)

func (d *drawing) generators(dir string, above bool) string {
	var b strings.Builder
	if d.chance(40) {
		behavior, name := "create", dir+"-gen"
		switch {
		case dir == "base":
			name = pick(d, "gen", "cfg", "gen-apple", "gen-banana", "gen-cherry")
		case above && d.chance(30) && d.has("ConfigMap"):
			behavior, name = pick(d, "merge", "replace"), d.of("ConfigMap").name
		}
		if behavior == "create" {
			d.known[dir] = append(d.known[dir], reference{"ConfigMap", name})
		}
		d.write(dir+"/env.txt", "E="+d.name()+"\nF=g\n")
		fmt.Fprintf(&b, "configMapGenerator:\n- {name: %q, behavior: %s, literals: [A=%s, B=b], envs: [env.txt]%s}\n", name, behavior, d.name(), pick(d, "", ", options: {disableNameSuffixHash: true}", ", options: {labels: {app: web}}"))
	}
	if d.chance(10) {
		fmt.Fprintf(&b, "secretGenerator:\n- {name: %s, literals: [P=q]}\n", dir+"-sec")
	}
	if b.Len() > 0 && d.chance(15) {
		b.WriteString("generatorOptions: {annotations: {by: gen}}\n")
	}
	return b.String()
}

func (d *drawing) transformers(dir string) string {
	var b strings.Builder
	add := func(percent int, format string, args ...any) {
		if d.chance(percent) {
			fmt.Fprintf(&b, format+"\n", args...)
		}
	}
	add(35, "namePrefix: %s-", pick(d, "dev", "job", "p"))
	add(15, "nameSuffix: -%s", pick(d, "v2", "apple", "s"))
	add(30, "namespace: %s", pick(d, "batch", "one", "web"))
	add(25, "labels: [{pairs: {env: %s, app: %s}, includeSelectors: %t, includeTemplates: %t}]", pick(d, "dev", "x"), pick(d, "web", "all"), d.chance(50), d.chance(50))
	add(10, "commonLabels: {owner: %q}", d.name())
	add(15, "commonAnnotations: {team: %q}", pick(d, "red", d.name()))
	add(35, "images: [{name: %s, newTag: '3'}, {name: %s, newName: other}]", pick(d, "busybox", "repo/apple", "apple", "a.*"), pick(d, "nginx", "busybox", "plum"))
	if d.has("Deployment") {
		add(10, "replicas: [{name: %q, count: 4}]", d.of("Deployment").name)
	}
	if d.has("ConfigMap") {
		add(5, "vars: [{name: %s, objref: {kind: ConfigMap, apiVersion: v1, name: %q}}]", pick(d, "VAR", strings.ToUpper(dir)), d.of("ConfigMap").name)
	}
	add(4, "buildMetadata: [%s]", pick(d, "originAnnotations", "managedByLabel", "transformerAnnotations"))
	if d.chance(4) {
		d.write(dir+"/config.yaml", pick(d, "nameReference:\n- kind: ConfigMap\n  version: v1\n  fieldSpecs:\n  - {path: spec/config, kind: Widget}\n", "images:\n- {path: spec/list, kind: Widget}\n", "namePrefix:\n- {path: spec/config, kind: Widget}\n"))
		b.WriteString("configurations: [config.yaml]\n")
	}
	d.patches(&b)
	d.replacements(&b)
	return b.String()
}

var versions = map[string]string{"Job": "batch/v1", "CronJob": "batch/v1", "ConfigMap": "v1"}

// patches draws all kinds of patches; those for objects by name sometimes for
// many of them.
func (d *drawing) patches(b *strings.Builder) {
	var patches []string
	for range pick(d, 0, 0, 0, 1, 1, 2, 3) {
		patches = append(patches, d.targeted())
	}
	for range pick(d, 0, 0, 0, 0, 1, 1, 4) {
		if r := d.of("Job", "ConfigMap", "CronJob"); versions[r.kind] != "" {
			patches = append(patches, "- patch: |\n    "+d.strategic(r.kind, r.name))
		}
	}
	if len(patches) > 0 {
		b.WriteString("patches:\n" + strings.Join(patches, "\n") + "\n")
	}
	if d.chance(4) {
		fmt.Fprintf(b, "patchesJson6902:\n- target: {group: batch, version: v1, kind: Job, name: %q}\n  patch: |\n    [%s]\n", d.name(), d.operation())
	}
	if r := d.of("Job"); r.kind == "Job" && d.chance(3) {
		fmt.Fprintf(b, "patchesStrategicMerge:\n- |\n  %s\n", d.strategic("Job", r.name))
	}
}

func (d *drawing) targeted() string {
	target := []string{"kind: " + pick(d, "Job", "Job", "CronJob", "ConfigMap", "Job|CronJob", ".*")}
	if d.chance(40) {
		target = append(target, fmt.Sprintf("name: %q", pick(d, d.name(), d.name(), "job-.*", ".*a.*", "job-(apple|plum)", "dev-.*")))
	}
	if d.chance(15) {
		target = append(target, "labelSelector: "+pick(d, "app=web", "tier in (eu)", "app", "env=dev", "app!=apple"))
	}
	if d.chance(8) {
		target = append(target, "annotationSelector: "+pick(d, "note=plain", "team"))
	}
	if d.chance(5) {
		target = append(target, "namespace: "+pick(d, "one", "default", "batch"))
	}
	patch := "[" + d.operation() + "]"
	if d.chance(50) {
		patch = d.strategic("Job", "any")
	}
	options := ""
	if d.chance(2) {
		options = "\n  options: {allowNameChange: true}"
	}
	return "- target: {" + strings.Join(target, ", ") + "}\n  patch: |\n    " + patch + options
}

func (d *drawing) operation() string {
	if d.risky() {
		return pick(d, `{"op": "test", "path": "/metadata/name", "value": "job-apple"}`, `{"op": "replace", "path": "/metadata/name", "value": "job-apple"}`,
			`{"op": "remove", "path": "/metadata/annotations"}`, `{"op": "replace", "path": "/metadata/labels/app", "value": "z"}`)
	}
	return pick(d,
		fmt.Sprintf(`{"op": "add", "path": "/metadata/labels", "value": {"app": %q}}`, d.name()),
		`{"op": "add", "path": "/metadata/annotations/extra", "value": "1"}`,
		`{"op": "add", "path": "/metadata/annotations", "value": {"new": "set"}}`,
		`{"op": "add", "path": "/added", "value": {"x": [1, 2.5, "$A"]}}`,
		fmt.Sprintf(`{"op": "add", "path": "/ref", "value": %q}`, d.name()),
		`{"op": "add", "path": "/kept", "value": 1}`, `{"op": "copy", "from": "/metadata/name", "path": "/copied"}`,
	)
}

func (d *drawing) strategic(kind, name string) string {
	body := pick(d,
		`"metadata": {"name": %q, "labels": {"patched": "yes"}}`,
		`"metadata": {"name": %q, "annotations": {"a": "b"}}`,
		`"metadata": {"name": %q}, "spec": {"parallelism": 7}`,
		`"metadata": {"name": %q}, "spec": {"template": {"spec": {"containers": [{"name": "c0", "image": "busybox", "env": [{"name": "ITEM", "value": "patched"}]}]}}}`,
		`"metadata": {"name": %q}, "spec": {"template": {"spec": {"containers": [{"name": "c0-apple", "image": "nginx"}, {"name": "side", "image": "side"}]}}}`,
		`"metadata": {"name": %q}, "spec": {"template": {"spec": {"serviceAccountName": "`+d.name()+`"}}}`,
		`"metadata": {"name": %q}, "data": {"key": "`+d.name()+`"}`,
		pick(d, `"$patch": "delete", "metadata": {"name": %q}`, `"metadata": {"name": %q, "annotations": null}`, `"metadata": {"name": %q}, "spec": {"template": null}`),
	)
	return fmt.Sprintf(`{"apiVersion": %q, "kind": %q, `+body+`}`, versions[kind], kind, name)
}

func (d *drawing) replacements(b *strings.Builder) {
	if !d.chance(8) || !d.has("ConfigMap") {
		return
	}
	source := fmt.Sprintf("source: {kind: ConfigMap, name: %q, fieldPath: %s}", d.of("ConfigMap").name, pick(d, "metadata.name", "metadata.name", "data.A", "data.key"))
	if d.risky() {
		source = "source: {kind: " + pick(d, "Service", "ConfigMap") + "}"
	}
	if d.chance(25) {
		source = fmt.Sprintf("sourceValue: %q", d.name())
	}
	name := ""
	if d.chance(40) {
		name = fmt.Sprintf(", name: %q", pick(d, d.name(), "job-.*"))
	}
	fmt.Fprintf(b, "replacements:\n- %s\n  targets:\n  - select: {kind: %s%s}\n    fieldPaths: [%s]\n    options: {create: true%s}\n", source, pick(d, "Job", "CronJob", "Widget", "Deployment"), name,
		pick(d, "metadata.labels.from", "metadata.annotations.from", "spec.template.spec.containers.0.envFrom.0.configMapRef.name"), pick(d, "", "", `, delimiter: "-", index: 1`))
}
