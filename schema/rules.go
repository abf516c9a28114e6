package schema

import (
	"cmp"
	"slices"
)

// Rule explains one kind of Problem.
type Rule struct {
	// ID is stable: it keeps its meaning for ever, and is never used again.
	ID string
	// Title is one line.
	Title string
	// Explanation says why it is a problem and how to mend it.
	Explanation string
}

// Rules are all rules in the order of their ids: R001-R099 reading and
// checking documents (R090-R099 are lints), R100-R199 sources, R200-R299 plans and clusters,
// R300-R399 schedules, R400-R499 hosts of pull requests.
var Rules = slices.Concat(readingRules, commentRules, documentRules, ownKindRules, policyRules, templateRules, overlayRules, validationRules, lintRules, sourceRules, clusterRules, savedRules, scheduleRules, byHandRules, forecastRules, notifyRules)

// Explain returns the rule of an id.
func Explain(id string) (Rule, bool) {
	i, ok := slices.BinarySearchFunc(Rules, id, func(r Rule, id string) int { return cmp.Compare(r.ID, id) })
	if !ok {
		return Rule{}, false
	}
	return Rules[i], true
}

var readingRules = []Rule{
	{"R001", "YAML or JSON that cannot be read", "The file breaks the syntax of YAML, so nothing in it can be trusted. The place is where the fault was probably made: where a quote or a brace was opened that is never closed, where a tab or the number of spaces is wrong, where a value needs quotes. A file with {{ or {% is a Jinja template and must be named so, such as job.yaml.jinja2."},
	{"R002", "Key that is there twice", "YAML forbids a key twice in one mapping, and readers that tolerate it take the last one without a word. Remove one of the two."},
	{"R003", "YAML value that Kubernetes cannot store", "The value has a form that JSON, and so the API server, does not know: not-a-number, an infinite number, a key that is no text, an alias inside its own anchor. Readers of YAML may also differ on it. Quote the value, or write it out."},
	{"R004", "Limit passed", "Reading is bounded, so that a broken or hostile repository cannot exhaust memory or time. The message names the limit: bytes, files, objects, items, nesting, aliases, time or memory. Make the input smaller, or raise the limit where it can be set."},
	{"R005", "File that cannot be read", "The file is named or listed, and reading it failed. A symbolic link that leaves the repository is refused on purpose: it could show files of the machine that renders."},
	{"R006", "Path to render that is not there", "The folder to render must exist and be a folder inside the repository. A path that vanished is an error and not an empty repository, for that would delete everything."},
	{"R007", "Symbolic link to a folder", "Folders behind symbolic links are not looked into when a folder is read as a whole, as kubectl and Flux do it, because such links can form cycles. Refer to the folder from a kustomization."},
}

var documentRules = []Rule{
	{"R010", "Document that is no Kubernetes object", "Every document of a rendered folder must have apiVersion and kind. It is refused and not skipped, because a mistyped `kind` that is skipped would delete the object. Move other YAML files out of the folder, or into one whose name begins with a dot."},
	{"R011", "Object without a name", "An object from git must have a metadata.name, by which it is found again. With generateName every sync would make another one; for many alike objects use an Expansion."},
	{"R012", "Object that is there twice", "Two documents name the same kind, namespace and name, and only one of them could be applied. This also happens when several overlays of one base are rendered together: render one of them."},
	{"R013", "CronJob of a removed version", "batch/v1beta1 and batch/v2alpha1 CronJobs are no longer served since Kubernetes 1.25. The fields are the same, so the document is read as batch/v1. Change its apiVersion to silence the warning."},
	{"R014", "Key of an ApplySet in the repository", "Labels and annotations under applyset.kubernetes.io/ say which tool owns an object, and decide what is pruned. rota writes them itself; a repository must not."},
	{"R015", "Key of rota's own in the repository", "Keys under rota.dev/ hold rota's records on objects in the cluster. A repository may set the annotations rota.dev/rerun (on Jobs), rota.dev/while-active (on Jobs and CronJobs) and rota.dev/scheduler (on CronJobs), nothing else."},
	{"R016", "Unknown value of rerun, while-active or scheduler", "rota.dev/rerun is OnChange (default), Never or Ensure; OnCommit is not supported yet. rota.dev/while-active is Wait (default), Replace or Refuse. rota.dev/scheduler is Embedded or Cluster: Cluster leaves a CronJob to the cluster's own controller, whatever the Sync says."},
}

var ownKindRules = []Rule{
	{"R017", "Feature that this version does not support", "The kind or field is one that rota knows and does not carry out yet. It is refused and not ignored, since ignoring it would run Jobs otherwise than the repository says."},
	{"R018", "Sync inside the repository", "A Sync configures the controller. It is never read from the repository that it pulls, or whoever can push could change where and as whom objects are applied. Give it to `rota run --config FILE`."},
	{"R019", "Unknown field or wrong type", "rota's own documents are read strictly: a field that does not exist or has another type is an error, because a mistyped field would be ignored otherwise. The message lists what is known there."},
	{"R020", "Wrong value in a document of rota's own", "The field exists and its value cannot be: something is missing, out of range, or excluded by another field. The message says which."},
	{"R021", "Unknown kind or version under rota.dev", "The version is rota.dev/v1alpha1, and the kinds are Expansion, SchedulePolicy, Run, Backfill and Sync. Anything else is a typing error or of a newer rota."},
	{"R022", "Metadata of a wrong type", "Names, labels and annotations are texts. YAML reads an unquoted 1, yes or on as a number or a boolean, which the API server refuses. Quote the value."},
}

var policyRules = []Rule{
	{"R023", "Policies that contradict each other", "Two SchedulePolicies select the same CronJob and both say what a field is. Neither goes before the other, so it is refused. Let their selectors differ, or say it in one of them."},
	{"R024", "Policy that selects nothing", "No CronJob of what is rendered has one of the names or all of the labels. Often a name is misspelt, or the CronJob was renamed; its rules would be lost without a word."},
	{"R025", "Calendar that cannot be used", "A SchedulePolicy names an .ics file of the repository, relative to its own folder. It is missing, is no iCalendar, or has a rule that is not one of days. Events with a time of day exclude nothing and are a warning."},
	{"R026", "H in a schedule that cannot be read", "H stands for a value that is a hash of the CronJob's name, so that many schedules spread over an hour or a day: H, H/15, H(0-29) or H(9-17)/2, in any of the five fields. The range must be inside what the field takes."},
}

var templateRules = []Rule{
	{"R030", "Template or parameter file that cannot be used", "An Expansion names files relative to its own folder, inside the repository. The file is missing, cannot be read or leads outside."},
	{"R031", "Parameters that cannot be used", "Every item must have the same parameters as the first one. A CSV file begins with a line of names, and every line has as many fields. A YAML template takes texts, numbers and booleans only; lists and mappings need a Jinja template."},
	{"R032", "Parameter that nothing uses", "The parameter is declared and no placeholder of the template uses it. Often its name is misspelt in one of the two places."},
	{"R033", "Placeholder that is nearly a parameter", "$ITEM_x is read as the name ITEM_x, as a shell does, and only declared parameters are replaced. Write ${ITEM}_x if the parameter ITEM is meant."},
	{"R034", "Two items that make the same object", "Both items expand to an object of the same kind and name, so one of them would be lost. Put a parameter that differs into metadata.name."},
	{"R035", "Parameter of a wrong type", "A placeholder that stands alone takes the type that the field wants: a decimal integer, true or false. The value of this item is something else."},
	{"R036", "Placeholder in the name of a field", "Placeholders are replaced in values, and in keys that are free, such as those of labels, annotations and data. A field's name cannot come from a parameter, or a value could change what the document means."},
	{"R040", "Jinja template that cannot be parsed", "The template breaks Jinja's syntax at the line given. A brace that belongs to a shell script can be kept with {% raw %} and {% endraw %}."},
	{"R041", "Jinja template that failed", "The template was understood, and an expression in it failed: a name or attribute that is not defined, a division by zero, a wrong type. Names must be defined, as with Jinja's StrictUndefined; use the filter default for optional ones."},
	{"R042", "Jinja that rota would render differently", "The expression is valid Jinja, but the engine inside rota would give another result than Jinja2 does, without a word. It is refused instead. The message names another way to write it."},
	{"R043", "Jinja template beyond its limits", "A template may run for a limited time, use limited memory and write a limited number of bytes. Endless loops, endless recursion and texts that double are stopped here, by the template's own checks or by ending the process that it runs in. The message names the limit. Its own text is bounded as well: 100,000 words and signs, 1,000 operators, filters and items in one expression, statements 100 deep."},
	{"R044", "Include that leads out of the repository", "Templates include, import and extend files of the repository only, relative to their own folder or to the root. Absolute paths and .. beyond the root are refused."},
	{"R045", "Renderer that failed", "Templates and kustomize run in a process of their own. It could not be started, was ended from outside (as the system does when memory runs out), or failed in a way that names no limit. If the message speaks of the template or the kustomization, it can be made to fail again and is worth reporting; otherwise look at the machine or the container, whose memory has to suffice for rota and for its renderers."},
}

var overlayRules = []Rule{
	{"R050", "Address in a kustomization", "Nothing is fetched while rendering: what is applied must be in the commit that was reviewed. Copy the base into the repository and name its folder."},
	{"R051", "Entry of a kustomization that is not there", "The file or folder does not exist in the repository. Entries are relative to the folder of the kustomization. kustomize itself would take it for an address on the network."},
	{"R052", "Kustomizations in a cycle", "A kustomization refers to itself, directly, by others, or by a base that contains it. kustomize cannot build it. Remove one of the entries."},
	{"R053", "Refused field of a kustomization", "openapi changes the schema of later builds in the same process, helm fields fetch and run helm, and generators, transformers and validators may run programs. Commit what they make instead."},
	{"R054", "Kustomization that cannot be built", "kustomize itself failed: often a patch whose target does not exist, two resources of one name, or a wrong path in a patch. Its message is shown."},
	{"R055", "Entry that leaves its folder", "kustomize takes files only from the kustomization's folder or below, and rota takes nothing from outside of the repository. A folder elsewhere in the repository can be named if it has a kustomization of its own."},
	{"R056", "Kustomization whose objects are built together", "The time that kustomize needs grows with the square of the objects in one run: 250 take half a second, 2,000 over half a minute. So rota builds those that have nothing to do with each other apart, and one for all that differ only in values which kustomize copies. Where that could make a difference, all are built in one run, up to 2,000 of them; the message says why. Mend that, split the kustomization, or keep objects that no overlay changes out of it. docs/render.md has the rule."},
	{"R057", "Kustomization file that cannot be read", "The file must have one document with known fields of their types, and a folder has one such file: kustomization.yaml, kustomization.yml or Kustomization."},
	{"R058", "Component that nothing uses", "A component has an effect only where a kustomization names it under components. It is left out here."},
	{"R059", "File that is a resource and something else", "A file under resources may be an Expansion or a template, and kustomize is given what it stands for. So the same file cannot be a patch, a file of a generator or a configuration as well. Copy it."},
}
