package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// batchChecks follow ValidateJobCreate and ValidateCronJobCreate of Kubernetes'
// pkg/apis/batch/validation.
var batchChecks = map[string][]check{
	"batch.v1.Job":             {needed("spec"), whole((*validator).job)},
	"batch.v1.CronJob":         {needed("spec")},
	"batch.v1.CronJobSpec":     {least(0, "successfulJobsHistoryLimit", "failedJobsHistoryLimit", "startingDeadlineSeconds"), whole((*validator).cronJobSpec)},
	"batch.v1.JobTemplateSpec": {needed("spec"), whole((*validator).jobTemplate)},
	"batch.v1.JobSpec": {least(0, "parallelism", "completions", "backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes", "ttlSecondsAfterFinished", "activeDeadlineSeconds"),
		worded("completionMode", "Indexed", "NonIndexed"), worded("podReplacementPolicy", "TerminatingOrFailed", "Failed"), whole((*validator).jobSpec)},
	"batch.v1.PodFailurePolicy":                       {mostItems(20, "rules")},
	"batch.v1.PodFailurePolicyRule":                   {filled("action"), exactlyOne("onExitCodes", "onPodConditions"), mostItems(20, "onPodConditions")},
	"batch.v1.PodFailurePolicyOnPodConditionsPattern": {filled("type"), written(qualifiedName, "type"), wordedIfAny("status", "True", "False", "Unknown")},
	"batch.v1.PodFailurePolicyOnExitCodesRequirement": {filled("operator", "values"), mostItems(255, "values"), whole((*validator).exitCodes)},
	"batch.v1.SuccessPolicy":                          {filled("rules"), mostItems(20, "rules")},
}

// What an Indexed Job may ask for; the lower limits hold for one with more than
// manyCompletions and a backoff limit for each index.
const (
	manyCompletions         = 100_000
	mostParallelIndexed     = 100_000
	mostParallelIfMany      = 10_000
	mostFailedIndexes       = 100_000
	mostFailedIndexesIfMany = 10_000
)

func (v *validator) cronJobSpec(spec map[string]any, at *place) {
	v.schedule(spec, at)
	if deadline, ok := intOf(spec, "startingDeadlineSeconds"); ok && deadline >= 0 && deadline < 10 {
		message := fmt.Sprintf("a deadline of %d s is shorter than the 10 s between two looks of the cluster's own controller", deadline)
		if deadline == 0 {
			message = "with a deadline of 0 every run is late"
		}
		v.warn("R069", at.field("startingDeadlineSeconds"), message, "Remove it, or allow at least 10 seconds.")
	}
}

// jobTemplate is of a CronJob, whose Jobs never have a selector of their own
// and get no defaults before they are checked.
func (v *validator) jobTemplate(template map[string]any, at *place) {
	v.metadata(template, at)
	spec := mapOf(template, "spec")
	at = at.field("spec")
	if has(spec, "selector") {
		v.fail("R073", at.field("selector"), "the selector of a Job is generated", "Remove it.")
	}
	if boolOf(spec, "manualSelector") {
		v.fail("R073", at.field("manualSelector"), "the selector of a CronJob's Jobs is always generated", "Remove it.")
	}
	if textOf(spec, "completionMode") == "Indexed" && !has(spec, "completions") {
		v.fail("R072", at.field("completions"), "an Indexed Job needs completions", "Add the number of indexes.")
	}
}

func (v *validator) job(job map[string]any, at *place) {
	spec := mapOf(job, "spec")
	at = at.field("spec")
	v.jobSelector(spec, at)
	completions, counted := intOf(spec, "completions")
	if textOf(spec, "completionMode") != "Indexed" {
		return
	}
	// Completions and parallelism are 1 if both are left out.
	if !has(spec, "completions") && has(spec, "parallelism") {
		v.fail("R072", at.field("completions"), "an Indexed Job needs completions", "Add the number of indexes.")
	}
	if !counted && !has(spec, "completions") {
		completions = 1
	}
	host := v.key.Name + "-" + strconv.FormatInt(completions-1, 10)
	if completions > 0 && len(validation.IsDNS1123Subdomain(v.key.Name)) == 0 && !v.memo.label(host) {
		v.fail("R062", v.root.fields("metadata", "name"), fmt.Sprintf("the last Pod of the Indexed Job would have the host name %q, which is none", host),
			"Use a shorter name without dots: it and the index have at most 63 letters.")
	}
}

// jobSelector checks a selector that a Job was given by hand.
func (v *validator) jobSelector(spec map[string]any, at *place) {
	selector, isMap := spec["selector"].(map[string]any)
	chosen := has(selector, "matchLabels") || given(selector, "matchExpressions")
	labels := mapOf(mapOf(mapOf(spec, "template"), "metadata"), "labels")
	switch {
	case !boolOf(spec, "manualSelector"):
		if chosen {
			v.fail("R073", at.field("selector"), "the selector of a Job is generated", "Remove it.")
		}
		for _, key := range []string{"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"} {
			if value, set := labels[key]; set && (strings.HasSuffix(key, "uid") || value != v.key.Name) {
				v.fail("R081", at.fields("template", "metadata", "labels").key(key), "the label is the Job's own: Kubernetes sets it, and refuses another value", "Remove it.")
			}
		}
	case !isMap:
		v.fail("R072", at.field("selector"), "with manualSelector a Job needs a selector", "Add it, or remove manualSelector.")
	default:
		v.selects(selector, labels, at.field("selector"), at.fields("template", "metadata", "labels"))
	}
}

func (v *validator) jobSpec(spec map[string]any, at *place) {
	indexed := textOf(spec, "completionMode") == "Indexed"
	for _, name := range []string{"backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"} {
		if has(spec, name) && !indexed {
			v.fail("R081", at.field(name), name+" needs an Indexed Job", "Add completionMode: Indexed, or remove the field.")
		}
	}
	if has(spec, "maxFailedIndexes") && !has(spec, "backoffLimitPerIndex") {
		v.fail("R081", at.field("maxFailedIndexes"), "maxFailedIndexes needs backoffLimitPerIndex", "Add it.")
	}
	if indexed {
		v.indexes(spec, at)
	}
	if name, ok := spec["managedBy"].(string); ok {
		if len(validation.IsDomainPrefixedPath(nil, name)) > 0 || len(name) > 63 {
			v.fail("R079", at.field("managedBy"), fmt.Sprintf("%q names no controller", name), "Write example.com/name, with at most 63 letters.")
		}
	}
	v.jobPolicies(spec, at)
	v.jobRestarts(spec, at)
}

// indexes checks the numbers of an Indexed Job.
func (v *validator) indexes(spec map[string]any, at *place) {
	completions, counted := intOf(spec, "completions")
	parallelism, _ := intOf(spec, "parallelism")
	failed, _ := intOf(spec, "maxFailedIndexes")
	mostParallel, mostFailed := int64(mostParallelIndexed), int64(mostFailedIndexes)
	if completions > manyCompletions && has(spec, "backoffLimitPerIndex") {
		mostParallel, mostFailed = mostParallelIfMany, mostFailedIndexesIfMany
		if !has(spec, "maxFailedIndexes") {
			v.fail("R072", at.field("maxFailedIndexes"), fmt.Sprintf("with more than %d completions and backoffLimitPerIndex it is needed", manyCompletions), "Add it.")
		}
	}
	if parallelism > mostParallel {
		v.fail("R073", at.field("parallelism"), fmt.Sprintf("an Indexed Job of this size runs at most %d Pods at a time, not %d", mostParallel, parallelism), "Lower it.")
	}
	if counted && failed > completions {
		mostFailed = completions
	}
	if failed > mostFailed {
		v.fail("R073", at.field("maxFailedIndexes"), fmt.Sprintf("wants at most %d, not %d", mostFailed, failed), "Lower it.")
	}
}

// jobRestarts checks the restart policy of a Job's Pods: their default, Always,
// is refused.
func (v *validator) jobRestarts(spec map[string]any, at *place) {
	pod, ok := mapOf(spec, "template")["spec"].(map[string]any)
	if !ok {
		return
	}
	at = at.fields("template", "spec", "restartPolicy")
	policy, isText := pod["restartPolicy"].(string)
	switch {
	case !has(pod, "restartPolicy"), isText && policy == "":
		v.fail("R064", at, "the restart policy is missing, and its default Always is refused for a Job", "Add restartPolicy: Never or OnFailure.")
	case policy == "Always":
		v.fail("R064", at, "a Job's Pods cannot have restartPolicy Always", "Use Never or OnFailure.")
	case policy == "OnFailure" && has(spec, "podFailurePolicy"):
		v.fail("R064", at, "a Job with a podFailurePolicy needs restartPolicy Never", "Use Never, or remove the podFailurePolicy.")
	}
}

// jobPolicies checks what the policies say of other parts of the Job.
func (v *validator) jobPolicies(spec map[string]any, at *place) {
	if policy, ok := spec["podFailurePolicy"].(map[string]any); ok {
		v.failurePolicy(policy, spec, at.field("podFailurePolicy"))
		if textOf(spec, "podReplacementPolicy") == "TerminatingOrFailed" {
			v.fail("R081", at.field("podReplacementPolicy"), "with a podFailurePolicy only Failed is possible", "Write Failed, or remove the field.")
		}
	}
	completions, counted := intOf(spec, "completions")
	if policy, ok := spec["successPolicy"].(map[string]any); ok && counted && textOf(spec, "completionMode") == "Indexed" {
		for i, item := range listOf(policy, "rules") {
			if rule, ok := item.(map[string]any); ok {
				v.successRule(rule, completions, at.fields("successPolicy", "rules").item(i))
			}
		}
	}
}

func (v *validator) failurePolicy(policy, spec map[string]any, at *place) {
	var names []string
	pod := mapOf(mapOf(spec, "template"), "spec")
	for _, item := range slices.Concat(listOf(pod, "initContainers"), listOf(pod, "containers")) {
		if c, ok := item.(map[string]any); ok {
			names = append(names, textOf(c, "name"))
		}
	}
	for i, item := range listOf(policy, "rules") {
		rule, _ := item.(map[string]any)
		at := at.field("rules").item(i)
		if textOf(rule, "action") == "FailIndex" && !has(spec, "backoffLimitPerIndex") {
			v.fail("R081", at.field("action"), "FailIndex needs backoffLimitPerIndex", "Add it to the Job, or use another action.")
		}
		if name, ok := mapOf(rule, "onExitCodes")["containerName"].(string); ok && !slices.Contains(names, name) {
			v.missing("container", name, names, at.fields("onExitCodes", "containerName"))
		}
	}
}

// exitCodes are numbers in ascending order, each once.
func (v *validator) exitCodes(m map[string]any, at *place) {
	last, first := int64(0), true
	for i, item := range listOf(m, "values") {
		code, ok := item.(int64)
		at := at.field("values").item(i)
		switch {
		case !ok:
			continue
		case code == 0 && textOf(m, "operator") == "In":
			v.fail("R073", at, "0 is no failure, so that the operator In cannot have it", "Remove it.")
		case !first && code == last:
			v.fail("R077", at, fmt.Sprintf("%d is in the list already", code), "Remove one of the two.")
		case !first && code < last:
			v.fail("R073", at, fmt.Sprintf("%d stands after %d, and exit codes must be in ascending order", code, last), "Sort the list.")
		}
		last, first = code, false
	}
}

func (v *validator) successRule(rule map[string]any, completions int64, at *place) {
	count, counted := intOf(rule, "succeededCount")
	indexes, listed := rule["succeededIndexes"].(string)
	if !has(rule, "succeededCount") && !has(rule, "succeededIndexes") {
		v.fail("R078", at, "none of the fields is set of which one is needed: succeededCount, succeededIndexes", "Set one of them, or both.")
	}
	total := completions
	if listed {
		n, fault := countIndexes(indexes, completions)
		if fault != "" {
			v.fail("R079", at.field("succeededIndexes"), fault, "Write numbers and ranges in ascending order, such as 0,2-4.")
			return
		}
		total = n
	}
	switch {
	case counted && count < 0:
		v.fail("R073", at.field("succeededCount"), fmt.Sprintf("wants at least 0, not %d", count), "")
	case counted && count > total:
		v.fail("R073", at.field("succeededCount"), fmt.Sprintf("wants at most %d, the number of indexes, not %d", total, count), "Lower it.")
	}
}

// countIndexes returns how many indexes below completions a list such as 1,3-5
// has, or what is wrong with it.
func countIndexes(text string, completions int64) (n int64, fault string) {
	if len(text) > 64<<10 {
		return 0, "the list has more than 65536 letters"
	}
	if text == "" {
		return 0, ""
	}
	last := int64(-1)
	for part := range strings.SplitSeq(text, ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		low, err := strconv.ParseInt(from, 10, 32)
		high, err2 := strconv.ParseInt(to, 10, 32)
		switch {
		case err != nil || err2 != nil:
			return 0, fmt.Sprintf("%q is neither a number nor a range", part)
		case low <= last || ranged && high <= low:
			return 0, fmt.Sprintf("%q is not in ascending order", part)
		case high >= completions:
			return 0, fmt.Sprintf("%q goes beyond the last index, %d", part, completions-1)
		}
		n += high - low + 1
		last = high
	}
	return n, ""
}
