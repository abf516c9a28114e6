package plan

import (
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// immutable are the fields of a Job's spec that cannot change once it exists
// (ValidateJobSpecUpdate of Kubernetes 1.37) and that its digest leaves out.
var immutable = []string{"selector", "manualSelector", "podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "managedBy"}

// adaptImmutable returns desired with everything that a Job cannot change and
// that its digest leaves out as live has it, and the paths of what therefore
// waits for the next run. Desired itself is returned if nothing must give way.
func adaptImmutable(desired *schema.Object, live *unstructured.Unstructured) (*schema.Object, []string) {
	want, _ := desired.Object["spec"].(map[string]any)
	have, _ := live.Object["spec"].(map[string]any)
	replaced := map[string]any{}
	var waiting []string
	for _, field := range immutable {
		w, wanted := want[field]
		h, found := have[field]
		switch {
		case wanted && found && len(differences(map[string]any{field: w}, map[string]any{field: h})) == 0:
			// Live may have more, which the server filled in: to name that too
			// would look as if somebody had taken it from us.
			continue
		case !wanted && !(found && ownsSpecField(live, field)):
			continue
		}
		replaced[field] = h
		waiting = append(waiting, "spec."+field)
	}
	if template, ok := keepOwnKeys(want, have); ok {
		replaced["template"] = template
		waiting = append(waiting, "spec.template")
	}
	if len(replaced) == 0 {
		return desired, nil
	}
	spec := maps.Clone(want)
	for field, v := range replaced {
		if v == nil {
			delete(spec, field)
		} else {
			spec[field] = v
		}
	}
	root := maps.Clone(desired.Object)
	root["spec"] = spec
	return &schema.Object{Unstructured: &unstructured.Unstructured{Object: root}, Origin: desired.Origin, Fields: desired.Fields}, waiting
}

// ownsSpecField reports whether rota applied the field, so that leaving it out
// of the next apply would remove it.
func ownsSpecField(live *unstructured.Unstructured, field string) bool {
	for _, o := range newWalker(live).ours {
		spec, _ := o.fields["f:spec"].(map[string]any)
		if _, ok := spec["f:"+field]; ok {
			return true
		}
	}
	return false
}

// keepOwnKeys returns want's pod template with rota's own labels and
// annotations as have's template has them, and whether that differs: they do
// not count as a change of the run, and a Job's template cannot change.
func keepOwnKeys(want, have map[string]any) (map[string]any, bool) {
	template, _ := want["template"].(map[string]any)
	liveTemplate, _ := have["template"].(map[string]any)
	metadata, _ := template["metadata"].(map[string]any)
	liveMetadata, _ := liveTemplate["metadata"].(map[string]any)
	fresh := map[string]any{}
	for _, field := range []string{"labels", "annotations"} {
		w, _ := metadata[field].(map[string]any)
		h, _ := liveMetadata[field].(map[string]any)
		if sameOwnKeys(w, h) && sameOwnKeys(h, w) {
			continue
		}
		kept := map[string]any{}
		for k, v := range w {
			if !strings.HasPrefix(k, ownPrefix) {
				kept[k] = v
			}
		}
		for k, v := range h {
			if strings.HasPrefix(k, ownPrefix) {
				kept[k] = v
			}
		}
		fresh[field] = kept
	}
	if len(fresh) == 0 {
		return template, false
	}
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]any{}
	}
	maps.Copy(metadata, fresh)
	template = maps.Clone(template)
	template["metadata"] = metadata
	return template, true
}

func sameOwnKeys(a, b map[string]any) bool {
	for k, v := range a {
		if !strings.HasPrefix(k, ownPrefix) {
			continue
		}
		if other, ok := b[k]; !ok || other != v {
			return false
		}
	}
	return true
}
