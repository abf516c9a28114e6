package render

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"rota.dev/rota/schema"
)

// finish makes of the objects as written the objects as they are applied, and
// checks what no later stage could tell the user as well.
func (p *part) finish(namespace string) {
	p.made = len(p.objects)
	kept := p.objects[:0]
	p.hashes = make([]uint64, 0, len(p.objects))
	for _, o := range p.objects {
		f := finisher{object: o}
		f.run()
		good := f.identified
		for _, problem := range f.problems {
			if problem.Severity == schema.SeverityWarning {
				p.checked.warnings = append(p.checked.warnings, problem)
				continue
			}
			p.checked.problems = append(p.checked.problems, problem)
			good = false
		}
		if good {
			kept = append(kept, o)
			p.hashes = append(p.hashes, maphash.Comparable(hashSeed, keyIn(o, namespace)))
		}
	}
	p.objects = kept
}

// finish says what was found in single objects, and checks what concerns all
// of them together.
func (r *renderer) finish() {
	count := 0
	for _, p := range r.parts {
		count += len(p.objects)
		r.warnings = append(r.warnings, p.checked.copies()...)
		for _, err := range p.checked.problems {
			r.fail(ownCopy(err))
		}
	}
	r.unique(count)
	r.applyPolicies()
	if len(r.objects) > r.limits.Objects {
		r.fail(&schema.Problem{Rule: "R004", Origin: schema.Origin{File: r.objects[r.limits.Objects].Origin.File},
			Message: fmt.Sprintf("the folder makes %d objects; at most %d are made", len(r.objects), r.limits.Objects), Mend: "Render a smaller folder, or raise spec.limits.objects."})
		r.objects = r.objects[:r.limits.Objects]
	}
}

// hashSeed is that of the hashes of keys.
var hashSeed = maphash.MakeSeed()

// keyIn is the key of o in a cluster where namespace is that of objects which
// name none.
func keyIn(o schema.Object, namespace string) schema.Key {
	key := o.Key()
	if key.Namespace == "" {
		key.Namespace = namespace
	}
	return key
}

// unique takes the objects of all parts, count in number, and reports those
// that are there twice. Keys are compared only where their hashes are equal.
func (r *renderer) unique(count int) {
	r.objects = make([]schema.Object, 0, count)
	first := make(map[uint64]int, count)
	for _, p := range r.parts {
		for i, o := range p.objects {
			at, seen := first[p.hashes[i]]
			if !seen {
				first[p.hashes[i]] = len(r.objects)
				r.objects = append(r.objects, o)
				continue
			}
			key := keyIn(o, r.opts.Namespace)
			if keyIn(r.objects[at], r.opts.Namespace) != key {
				at = slices.IndexFunc(r.objects, func(other schema.Object) bool { return keyIn(other, r.opts.Namespace) == key })
			}
			if at < 0 {
				r.objects = append(r.objects, o)
				continue
			}
			r.duplicate(r.objects[at].Origin, o)
		}
	}
}

// duplicate reports o, whose key an object of the origin other has already.
func (r *renderer) duplicate(other schema.Origin, o schema.Object) {
	if other.Item > 0 && other.File == o.Origin.File && other.Template == o.Origin.Template && other.Item != o.Origin.Item {
		return // said by the Expansion
	}
	message := "the object is there twice, first at " + other.String()
	if other.Overlay != o.Origin.Overlay && other.Overlay != "" && o.Origin.Overlay != "" {
		message = fmt.Sprintf("both %s and %s make the object", other.Overlay, o.Origin.Overlay)
	}
	key := o.Key()
	r.fail(&schema.Problem{Rule: "R012", Origin: o.Origin, Object: &key, Message: message, Mend: "Remove one of them, or render one overlay only."})
}

// finisher works on one object.
type finisher struct {
	object   schema.Object
	problems []*schema.Problem
	// identified is whether the object has an identity, without which it can
	// go nowhere.
	identified bool
}

func (f *finisher) say(severity schema.Severity, rule, field, message, mend string) {
	p := &schema.Problem{Rule: rule, Severity: severity, Origin: f.object.At(field), Field: field, Message: message, Mend: mend}
	if f.identified {
		key := f.object.Key()
		p.Object = &key
	}
	f.problems = append(f.problems, p)
}

func (f *finisher) fail(rule, field, message, mend string) {
	f.say(schema.SeverityError, rule, field, message, mend)
}

func (f *finisher) run() {
	content := f.object.Object
	dropNulls(content)
	if !f.identity(content) {
		return
	}
	f.identified = true
	f.current(content)
	dropServerFields(content)
	f.names(content, "metadata")
	for _, path := range podTemplates {
		if m, ok := walkMap(content, path...); ok {
			f.names(m, strings.Join(path, ".")+".metadata")
		}
	}
	f.reruns()
	f.spread()
	setDefaults(f.object)
}

var podTemplates = [][]string{{"spec", "template"}, {"spec", "jobTemplate"}, {"spec", "jobTemplate", "spec", "template"}}

func walkMap(m map[string]any, path ...string) (map[string]any, bool) {
	for _, name := range path {
		next, ok := m[name].(map[string]any)
		if !ok {
			return nil, false
		}
		m = next
	}
	return m, true
}

func dropNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if value == nil {
				delete(v, name)
				continue
			}
			dropNulls(value)
		}
	case []any:
		for _, value := range v {
			dropNulls(value)
		}
	}
}

func (f *finisher) identity(content map[string]any) bool {
	kind := content["kind"].(string)
	metadata, ok := content["metadata"].(map[string]any)
	if !ok {
		f.fail("R011", "metadata", fmt.Sprintf("the %s has no metadata", kind), "Add metadata.name.")
		return false
	}
	for _, field := range []string{"name", "namespace", "generateName"} {
		if v, ok := metadata[field]; ok {
			if _, isText := v.(string); !isText {
				f.wantsText("metadata."+field, v)
				return false
			}
		}
	}
	name, _ := metadata["name"].(string)
	generate, _ := metadata["generateName"].(string)
	switch {
	case name == "" && generate != "":
		f.fail("R011", "metadata.generateName", fmt.Sprintf("the %s has a generateName only, which would be a new object at every sync", kind),
			"Give it a metadata.name; for many alike objects use an Expansion.")
		return false
	case name == "":
		f.fail("R011", "metadata.name", fmt.Sprintf("the %s has no name", kind), "Add metadata.name.")
		return false
	}
	delete(metadata, "generateName")
	return true
}

func describe(v any) string {
	switch v.(type) {
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "a mapping"
	}
	return "a text"
}

// current rewrites the versions of CronJob that old guides show. The fields
// are the same; a conversion by Kubernetes' own code would add defaults, which
// a server-side apply would then own.
func (f *finisher) current(content map[string]any) {
	version, _ := content["apiVersion"].(string)
	if content["kind"] != "CronJob" || version != "batch/v1beta1" && version != "batch/v2alpha1" {
		return
	}
	content["apiVersion"] = "batch/v1"
	f.say(schema.SeverityWarning, "R013", "apiVersion", fmt.Sprintf("%s is no longer served and is read as batch/v1", version), "Write apiVersion: batch/v1.")
}

// dropServerFields removes what only the server writes and what a `kubectl get
// -o yaml` leaves in a file.
func dropServerFields(content map[string]any) {
	delete(content, "status")
	metadata, _ := content["metadata"].(map[string]any)
	for _, field := range []string{"creationTimestamp", "resourceVersion", "uid", "managedFields", "generation", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"} {
		delete(metadata, field)
	}
	for _, path := range podTemplates {
		if m, ok := walkMap(content, append(slices.Clone(path), "metadata")...); ok {
			delete(m, "creationTimestamp")
		}
	}
}

// userKeys are the keys under rota.dev/ that a repository may set.
var userKeys = map[string][]string{
	schema.AnnotationRerun:       {"OnChange", "Never", "Ensure"},
	schema.AnnotationWhileActive: {"Wait", "Replace", "Refuse"},
	schema.AnnotationScheduler:   {schema.SchedulerEmbedded, schema.SchedulerCluster},
}

// meaningful reports whether a key of userKeys has a meaning on a kind.
func meaningful(key string, of schema.Key) bool {
	switch key {
	case schema.AnnotationRerun:
		return of.IsJob()
	case schema.AnnotationScheduler:
		return of.IsCronJob()
	}
	return of.IsJob() || of.IsCronJob()
}

// names checks the labels and annotations of a metadata. At is its path.
func (f *finisher) names(owner map[string]any, at string) {
	metadata, ok := owner["metadata"].(map[string]any)
	if !ok {
		return
	}
	for _, group := range []string{"labels", "annotations"} {
		values, present := metadata[group]
		keys, isMap := values.(map[string]any)
		if present && !isMap {
			f.fail("R022", at+"."+group, "wants a mapping, not "+describe(values), "")
			continue
		}
		for _, key := range sortedKeys(keys) {
			field := fmt.Sprintf("%s.%s[%s]", at, group, key)
			if _, isText := keys[key].(string); !isText {
				f.wantsText(field, keys[key])
				continue
			}
			f.reserved(field, key, group == "annotations" && at == "metadata")
		}
	}
}

// wantsText says that a value is no text, as it was written: 1.10 is 1.1 to
// YAML, and quoted so it would be another text.
func (f *finisher) wantsText(field string, v any) {
	written := f.object.Written(field)
	if f.object.Origin.Overlay != "" || written == "" {
		written = fmt.Sprint(v)
	}
	mend := fmt.Sprintf("Quote it: %q.", written)
	switch v.(type) {
	case map[string]any, []any:
		written, mend = "it", "Write a text."
	}
	f.fail("R022", field, fmt.Sprintf("wants a text, and YAML reads %s as %s", written, describe(v)), mend)
}

func (f *finisher) reserved(field, key string, annotation bool) {
	switch {
	case strings.HasPrefix(key, "applyset.kubernetes.io/"), strings.HasPrefix(key, "applyset.k8s.io/"):
		f.fail("R014", field, "the keys of an ApplySet belong to the tool that applies", "Remove it; rota sets its own.")
	case !strings.HasPrefix(key, "rota.dev/"):
	case userKeys[key] != nil && annotation:
	case userKeys[key] != nil:
		f.fail("R015", field, fmt.Sprintf("%s is an annotation of the object itself", key), "Move it to metadata.annotations of the Job or CronJob.")
	case key == schema.AnnotationPause:
		f.fail("R015", field, "a pause is set on the object in the cluster, as the emergency brake", "Set spec.suspend in the repository instead.")
	default:
		f.fail("R015", field, "the keys under rota.dev/ are rota's own", "Remove it; a repository may set rota.dev/rerun, rota.dev/while-active and rota.dev/scheduler.")
	}
}

// reruns checks the values of what users may say about Jobs.
func (f *finisher) reruns() {
	annotations := f.object.GetAnnotations()
	for _, key := range sortedKeys(userKeys) {
		value, ok := annotations[key]
		if !ok {
			continue
		}
		field := fmt.Sprintf("metadata.annotations[%s]", key)
		k := f.object.Key()
		switch {
		case !meaningful(key, k):
			f.fail("R016", field, "it has no meaning on a "+k.Kind, "Remove it.")
		case key == schema.AnnotationRerun && value == "OnCommit":
			f.fail("R016", field, "OnCommit is not supported yet by this version of rota", "Use OnChange, Never or Ensure.")
		case !slices.Contains(userKeys[key], value):
			message := fmt.Sprintf("%q is none of %s", value, strings.Join(userKeys[key], ", "))
			if near := schema.Nearest(value, userKeys[key]); near != "" {
				message += fmt.Sprintf(" (did you mean %q?)", near)
			}
			f.fail("R016", field, message, "Correct the value.")
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// spread replaces H in the schedule of a CronJob, so that a diff shows when it
// fires.
func (f *finisher) spread() {
	spec, ok := f.object.Object["spec"].(map[string]any)
	if !ok || !f.object.Key().IsCronJob() {
		return
	}
	text, ok := spec["schedule"].(string)
	if !ok {
		return
	}
	written, err := schema.Spread(text, f.object.GetNamespace()+"/"+f.object.GetName())
	if err != nil {
		f.fail("R026", "spec.schedule", err.Error(), "Write H, H/15, H(0-29) or H(9-17)/2.")
		return
	}
	spec["schedule"] = written
}

// setDefaults writes out the fields of a CronJob that a person may patch by
// hand: with server-side apply only a field that we own can drift, so a
// default that git leaves unsaid must be said. A starting deadline has no
// value that means none, so it is left out when it is unset, and the suspend
// of a Job belongs to whoever releases it.
func setDefaults(o schema.Object) {
	if !o.Key().IsCronJob() {
		return
	}
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	for name, value := range map[string]any{
		"suspend": false, "timeZone": "Etc/UTC", "concurrencyPolicy": "Allow",
		"successfulJobsHistoryLimit": int64(3), "failedJobsHistoryLimit": int64(1),
	} {
		if _, set := spec[name]; !set {
			spec[name] = value
		}
	}
}
