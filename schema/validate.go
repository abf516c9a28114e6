package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Validate finds, without a cluster, what the API server would refuse or what
// would never run, all of it at once and in the order of objects. Names, labels
// and quantities are checked by apimachinery's own functions. The result
// depends on nothing but its argument and the time zones of this program.
func Validate(objects []Object) []*Problem {
	var problems []*Problem
	for _, o := range objects {
		v := validator{object: o, key: o.Key()}
		v.run()
		problems = append(problems, v.problems...)
	}
	return problems
}

// validator checks one object.
type validator struct {
	object   Object
	key      Key
	problems []*Problem
}

func (v *validator) say(severity Severity, rule, field, message, mend string) {
	v.problems = append(v.problems, &Problem{Rule: rule, Severity: severity, Origin: v.object.At(field), Object: &v.key, Field: field, Message: message, Mend: mend})
}

func (v *validator) fail(rule, field, message, mend string) {
	v.say(SeverityError, rule, field, message, mend)
}

func (v *validator) run() {
	v.names()
	v.metadata(v.object.Object, "metadata")
	spec, _ := v.object.Object["spec"].(map[string]any)
	switch group := v.key.Group; {
	case v.key.IsCronJob():
		v.cronJob(spec)
	case v.key.IsJob():
		v.job(spec, "spec", true)
	case v.key.Kind == "Pod" && group == "":
		v.pod(spec, "spec", nil)
	case group == "apps" && slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}, v.key.Kind), group == "" && v.key.Kind == "ReplicationController":
		if template, ok := v.child(spec, "spec", "template"); ok {
			v.template(template, "spec.template", []string{"Always"})
		}
	}
}

// names checks metadata.name and metadata.namespace by the rule of the kind.
func (v *validator) names() {
	name := v.key.Name
	check := validation.IsDNS1123Subdomain
	form := "lower-case letters, digits, - and ., a letter or digit first and last"
	switch {
	case v.key.Group == "rbac.authorization.k8s.io":
		check = content.IsPathSegmentName
		form = "anything but /, % and the names . and .."
	case v.key.Group == "" && (v.key.Kind == "Namespace" || v.key.Kind == "Service"):
		check = validation.IsDNS1123Label
		form = "at most 63 lower-case letters, digits and -, a letter or digit first and last"
	}
	if len(check(name)) > 0 {
		message := fmt.Sprintf("%q is no name that Kubernetes takes", name)
		if strings.ContainsRune(name, '$') {
			message += ": a placeholder was not replaced"
		}
		v.fail("R060", "metadata.name", message, "Use "+form+".")
	}
	if ns := v.key.Namespace; ns != "" && len(validation.IsDNS1123Label(ns)) > 0 {
		v.fail("R060", "metadata.namespace", fmt.Sprintf("%q is no name of a namespace", ns), "Use at most 63 lower-case letters, digits and -.")
	}
	switch {
	case v.key.IsCronJob() && len(name) > 52:
		v.fail("R061", "metadata.name", fmt.Sprintf("the name has %d letters; a CronJob's has at most 52, for its Jobs' names add 11", len(name)), "Shorten the name.")
	case v.key.IsJob() && len(name) > 63:
		v.fail("R062", "metadata.name", fmt.Sprintf("the name has %d letters; with more than 63 a Job never gets a Pod", len(name)), "Shorten the name.")
	}
}

// metadata checks labels and annotations; at is the path of the metadata.
func (v *validator) metadata(owner map[string]any, at string) {
	metadata, _ := owner["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	for _, key := range sortedNames(labels) {
		field := fmt.Sprintf("%s.labels[%s]", at, key)
		v.qualified(field, key)
		if value, ok := labels[key].(string); ok && len(validation.IsValidLabelValue(value)) > 0 {
			v.fail("R063", field, fmt.Sprintf("%q is no value of a label", value), "Use at most 63 letters, digits, -, _ and ., a letter or digit first and last; longer texts belong into an annotation.")
		}
	}
	annotations, _ := metadata["annotations"].(map[string]any)
	total := 0
	for _, key := range sortedNames(annotations) {
		v.qualified(fmt.Sprintf("%s.annotations[%s]", at, key), strings.ToLower(key))
		value, _ := annotations[key].(string)
		total += len(key) + len(value)
	}
	if total > 256<<10 {
		v.fail("R063", at+".annotations", fmt.Sprintf("the annotations have %d bytes; at most %d are stored", total, 256<<10), "Move large texts into a ConfigMap.")
	}
}

func (v *validator) qualified(field, key string) {
	if reasons := validation.IsQualifiedName(key); len(reasons) > 0 {
		v.fail("R063", field, fmt.Sprintf("%q is no key of a label or annotation", key), "Write name or example.com/name, the name of at most 63 letters, digits, -, _ and ..")
	}
}

func sortedNames(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// child returns a mapping that must be there.
func (v *validator) child(of map[string]any, at, name string) (map[string]any, bool) {
	value, present := of[name]
	m, ok := value.(map[string]any)
	if !ok {
		field := at + "." + name
		if present {
			v.fail("R073", field, fmt.Sprintf("wants a mapping, not %v", value), "")
		} else {
			v.fail("R072", field, "the field is missing", "Add it.")
		}
	}
	return m, ok
}

func (v *validator) cronJob(spec map[string]any) {
	if spec == nil {
		v.fail("R072", "spec", "the CronJob has no spec", "Add spec.schedule and spec.jobTemplate.")
		return
	}
	v.schedule(spec)
	v.word("spec.concurrencyPolicy", spec["concurrencyPolicy"], "Allow", "Forbid", "Replace")
	for _, name := range []string{"successfulJobsHistoryLimit", "failedJobsHistoryLimit"} {
		v.number(spec, "spec", name, 0)
	}
	if deadline, ok := v.number(spec, "spec", "startingDeadlineSeconds", 0); ok {
		switch {
		case deadline == 0:
			v.say(SeverityWarning, "R069", "spec.startingDeadlineSeconds", "with a deadline of 0 every run is late", "Remove it, or allow at least 10 seconds.")
		case deadline < 10:
			v.say(SeverityWarning, "R069", "spec.startingDeadlineSeconds", fmt.Sprintf("a deadline of %d s is shorter than the 10 s between two looks of the cluster's own controller", deadline), "Allow at least 10 seconds.")
		}
	}
	v.boolean(spec, "spec", "suspend")
	template, ok := v.child(spec, "spec", "jobTemplate")
	if !ok {
		return
	}
	v.metadata(template, "spec.jobTemplate.metadata")
	jobSpec, ok := v.child(template, "spec.jobTemplate", "spec")
	if ok {
		v.job(jobSpec, "spec.jobTemplate.spec", false)
	}
}

func (v *validator) job(spec map[string]any, at string, own bool) {
	if spec == nil {
		v.fail("R072", at, "the Job has no spec", "Add spec.template.")
		return
	}
	for _, name := range []string{"parallelism", "completions", "backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes", "ttlSecondsAfterFinished"} {
		v.number(spec, at, name, 0)
	}
	v.number(spec, at, "activeDeadlineSeconds", 1)
	v.boolean(spec, at, "suspend")
	v.word(at+".completionMode", spec["completionMode"], "NonIndexed", "Indexed")
	v.word(at+".podReplacementPolicy", spec["podReplacementPolicy"], "TerminatingOrFailed", "Failed")
	if _, given := spec["completions"]; spec["completionMode"] == "Indexed" && !given {
		v.fail("R072", at+".completions", "an Indexed Job needs completions", "Add the number of indexes.")
	}
	if manual, _ := spec["manualSelector"].(bool); !manual && spec["selector"] != nil {
		v.fail("R073", at+".selector", "the selector of a Job is generated", "Remove it.")
	}
	if template, ok := v.child(spec, at, "template"); ok {
		v.template(template, at+".template", []string{"Never", "OnFailure"})
	}
}

func (v *validator) template(template map[string]any, at string, restart []string) {
	v.metadata(template, at+".metadata")
	if spec, ok := v.child(template, at, "spec"); ok {
		v.pod(spec, at+".spec", restart)
	}
}

// pod checks a Pod's spec; restart are the policies that its owner allows.
func (v *validator) pod(spec map[string]any, at string, restart []string) {
	field := at + ".restartPolicy"
	policy, set := spec["restartPolicy"]
	jobs := slices.Contains(restart, "Never")
	switch {
	case jobs && !set:
		v.fail("R064", field, "the restart policy is missing, and its default Always is refused for a Job", "Add restartPolicy: Never or OnFailure.")
	case jobs && policy == "Always":
		v.fail("R064", field, "a Job's Pods cannot have restartPolicy Always", "Use Never or OnFailure.")
	case jobs:
		v.word(field, policy, restart...)
	default:
		v.word(field, policy, "Always", "OnFailure", "Never")
	}
	v.number(spec, at, "activeDeadlineSeconds", 1)
	containers, _ := spec["containers"].([]any)
	if len(containers) == 0 {
		v.fail("R071", at+".containers", "the Pod has no container", "Add one with a name and an image.")
	}
	names := map[string]string{}
	for _, list := range []string{"initContainers", "containers"} {
		items, _ := spec[list].([]any)
		for i, item := range items {
			v.container(item, fmt.Sprintf("%s.%s[%d]", at, list, i), names)
		}
	}
}

func (v *validator) container(item any, at string, names map[string]string) {
	c, ok := item.(map[string]any)
	if !ok {
		v.fail("R073", at, fmt.Sprintf("a container is a mapping, not %v", item), "")
		return
	}
	name, _ := c["name"].(string)
	switch first, twice := names[name]; {
	case name == "":
		v.fail("R071", at+".name", "the container has no name", "Add one.")
	case twice:
		v.fail("R071", at+".name", fmt.Sprintf("%s is called %q, too", first, name), "Give each container its own name.")
	case len(validation.IsDNS1123Label(name)) > 0:
		v.fail("R060", at+".name", fmt.Sprintf("%q is no name of a container", name), "Use at most 63 lower-case letters, digits and -.")
	}
	names[name] = at
	if image, _ := c["image"].(string); strings.TrimSpace(image) == "" {
		v.fail("R071", at+".image", "the container has no image", "Add one.")
	}
	v.word(at+".imagePullPolicy", c["imagePullPolicy"], "Always", "IfNotPresent", "Never")
	v.environment(c, at)
	v.quantities(c, at)
}

func (v *validator) environment(c map[string]any, at string) {
	list, _ := c["env"].([]any)
	for i, item := range list {
		field := fmt.Sprintf("%s.env[%d]", at, i)
		variable, _ := item.(map[string]any)
		switch name, isText := variable["name"].(string); {
		case !isText && variable["name"] != nil:
			v.fail("R073", field+".name", fmt.Sprintf("wants a text; YAML reads it as %v", variable["name"]), "Quote it.")
		case name == "":
			v.fail("R072", field+".name", "the variable has no name", "Add one.")
		}
		if value := variable["value"]; value != nil {
			if _, isText := value.(string); !isText {
				v.fail("R073", field+".value", fmt.Sprintf("wants a text; YAML reads it as the number or boolean %v", value), fmt.Sprintf("Quote it: \"%v\".", value))
			}
		}
	}
}

func (v *validator) quantities(c map[string]any, at string) {
	resources, _ := c["resources"].(map[string]any)
	for _, group := range []string{"limits", "requests"} {
		amounts, _ := resources[group].(map[string]any)
		for _, name := range sortedNames(amounts) {
			text := fmt.Sprint(amounts[name])
			if _, err := resource.ParseQuantity(text); err != nil {
				v.fail("R073", fmt.Sprintf("%s.resources.%s[%s]", at, group, name), fmt.Sprintf("%q is no quantity", text), "Write 500m, 2, 128Mi or 1Gi.")
			}
		}
	}
}

func (v *validator) word(field string, value any, words ...string) {
	if value == nil {
		return
	}
	text, ok := value.(string)
	if ok && slices.Contains(words, text) {
		return
	}
	message := fmt.Sprintf("%v is none of %s", value, strings.Join(words, ", "))
	if near := Nearest(cmp.Or(text, "?"), words); near != "" {
		message += fmt.Sprintf(" (did you mean %q?)", near)
	}
	v.fail("R070", field, message, "Write one of them exactly so.")
}

// number checks an integer field, and returns it if it is there and good.
func (v *validator) number(of map[string]any, at, name string, least int64) (int64, bool) {
	value, present := of[name]
	if !present {
		return 0, false
	}
	n, ok := value.(int64)
	field := at + "." + name
	switch {
	case !ok:
		v.fail("R073", field, fmt.Sprintf("wants an integer, not %q", fmt.Sprint(value)), "Write it as a number without quotes.")
	case n < least:
		v.fail("R073", field, fmt.Sprintf("wants at least %d, not %d", least, n), "")
	}
	return n, ok && n >= least
}

func (v *validator) boolean(of map[string]any, at, name string) {
	if value, present := of[name]; present {
		if _, ok := value.(bool); !ok {
			v.fail("R073", at+"."+name, fmt.Sprintf("wants true or false, not %q", fmt.Sprint(value)), "")
		}
	}
}
