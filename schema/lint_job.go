package schema

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// deadlines warns of runs that nothing ends, and of those that start however
// late they are.
func (l *linter) deadlines(o Object) {
	job, at := jobOf(o)
	if job == nil {
		return
	}
	pod, _ := podOf(o)
	if spec := mapOf(o.Object, "spec"); o.Key().IsCronJob() && !has(spec, "startingDeadlineSeconds") {
		l.warn("R093", o, "spec.startingDeadlineSeconds", "there is no startingDeadlineSeconds: a run that could not start in time starts however late it is", "Add it: for how many seconds a late run still makes sense.")
	}
	if has(job, "activeDeadlineSeconds") || has(pod, "activeDeadlineSeconds") {
		return
	}
	message := "there is no activeDeadlineSeconds: a run that hangs is never ended"
	if o.Key().IsCronJob() && textOf(mapOf(o.Object, "spec"), "concurrencyPolicy") == "Forbid" {
		message += ", and with Forbid no later one starts"
	}
	l.warn("R093", o, at+".activeDeadlineSeconds", message, "Add it: after how many seconds a run is surely broken.")
}

// bounds warns of runs whose retries or resources are left to the cluster.
func (l *linter) bounds(o Object) {
	job, at := jobOf(o)
	if job == nil {
		return
	}
	if !has(job, "backoffLimit") && !has(job, "backoffLimitPerIndex") && !has(job, "podFailurePolicy") {
		l.warn("R094", o, at+".backoffLimit", "there is no backoffLimit: a run that fails is tried six times more", "Add it: 0 for what must not be repeated.")
	}
	pod, at := podOf(o)
	for i, c := range mappings(listOf(pod, "containers")) {
		resources := mapOf(c, "resources")
		if c == nil || has(resources, "requests") || has(resources, "limits") {
			continue
		}
		l.warn("R094", o, fmt.Sprintf("%s.containers[%d].resources", at, i), "the container asks for no resources: it is placed on a node that may have none left, and is the first to be ended there", "Add resources.requests for cpu and memory.")
	}
}

// generatedName is a name that ends with a hash as kustomize makes it.
var generatedName = regexp.MustCompile(`-[2456789bcdfghkmt]{10}$`)

// generated reports whether a kustomization made a ConfigMap or Secret with the
// hash of its content in the name.
func generated(o Object) bool {
	kind := o.Key().GroupKind().String()
	return (kind == "ConfigMap" || kind == "Secret") && o.Origin.Overlay != "" && generatedName.MatchString(o.GetName()) &&
		strings.HasPrefix(strings.ToLower(path.Base(o.Origin.File)), "kustomization")
}

// prunedNames warns of Jobs that never run again and name a generated ConfigMap
// or Secret: at the next change of it that name is pruned.
func (l *linter) prunedNames() {
	l.hashedNames(func(rerun string) bool { return rerun == "Never" }, func(o Object, kind, field string) {
		l.warn("R096", o, field, fmt.Sprintf("the name of the %s has the hash of its content: with rerun: Never the Job keeps the name, and what has it is pruned at the next change", kind),
			"Switch the hash off (generatorOptions.disableNameSuffixHash), or let the Job run again.")
	})
}

// rerunsByHash warns of Jobs that a change of a generated ConfigMap or Secret
// runs again, unless they say themselves when they run again.
func (l *linter) rerunsByHash() {
	l.hashedNames(func(rerun string) bool { return rerun == "" }, func(o Object, kind, field string) {
		l.warn("R098", o, field, fmt.Sprintf("the name of the %s has the hash of its content: every change of it changes the Job's template, and runs the Job again", kind),
			"Say that it is meant with the annotation "+AnnotationRerun+": OnChange, or switch the hash off (generatorOptions.disableNameSuffixHash).")
	})
}

// hashedNames calls warn for the first generated ConfigMap or Secret that a Job
// names, of the Jobs whose rerun concerns.
func (l *linter) hashedNames(concerns func(rerun string) bool, warn func(o Object, kind, field string)) {
	made := map[Key]bool{}
	for _, o := range l.objects {
		if generated(o) {
			made[o.Key()] = true
		}
	}
	for _, o := range l.objects {
		if len(made) == 0 || !o.Key().IsJob() || !concerns(o.GetAnnotations()[AnnotationRerun]) {
			continue
		}
		pod, at := podOf(o)
		said := false
		references(pod, at, func(kind, name, field string) {
			if !said && made[Key{Kind: kind, Namespace: o.GetNamespace(), Name: name}] {
				said = true
				warn(o, kind, field)
			}
		})
	}
}

// references calls f for every ConfigMap and Secret that a Pod names, with the
// path of the name.
func references(pod map[string]any, at string, f func(kind, name, field string)) {
	name := func(kind string, m map[string]any, key, field string) {
		if text := textOf(m, key); text != "" {
			f(kind, text, field+"."+key)
		}
	}
	for _, list := range []string{"initContainers", "containers"} {
		for i, c := range mappings(listOf(pod, list)) {
			at := fmt.Sprintf("%s.%s[%d]", at, list, i)
			for j, from := range mappings(listOf(c, "envFrom")) {
				name("ConfigMap", mapOf(from, "configMapRef"), "name", fmt.Sprintf("%s.envFrom[%d].configMapRef", at, j))
				name("Secret", mapOf(from, "secretRef"), "name", fmt.Sprintf("%s.envFrom[%d].secretRef", at, j))
			}
			for j, env := range mappings(listOf(c, "env")) {
				from := mapOf(env, "valueFrom")
				name("ConfigMap", mapOf(from, "configMapKeyRef"), "name", fmt.Sprintf("%s.env[%d].valueFrom.configMapKeyRef", at, j))
				name("Secret", mapOf(from, "secretKeyRef"), "name", fmt.Sprintf("%s.env[%d].valueFrom.secretKeyRef", at, j))
			}
		}
	}
	for i, v := range mappings(listOf(pod, "volumes")) {
		at := fmt.Sprintf("%s.volumes[%d]", at, i)
		name("ConfigMap", mapOf(v, "configMap"), "name", at+".configMap")
		name("Secret", mapOf(v, "secret"), "secretName", at+".secret")
		for j, s := range mappings(listOf(mapOf(v, "projected"), "sources")) {
			name("ConfigMap", mapOf(s, "configMap"), "name", fmt.Sprintf("%s.projected.sources[%d].configMap", at, j))
			name("Secret", mapOf(s, "secret"), "name", fmt.Sprintf("%s.projected.sources[%d].secret", at, j))
		}
	}
}
