package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

// timing is when a CronJob fires, as one object says it.
type timing struct {
	cron, zone string
	suspended  bool
	rules      schema.Policy
	next       time.Time
	err        error
}

// timingOf reads the schedule of a CronJob. For one that rota schedules the
// suspend of git is in an annotation, since the field itself is always true.
func timingOf(cronJob *unstructured.Unstructured, input *Input) timing {
	var t timing
	t.cron, _, _ = unstructured.NestedString(cronJob.Object, "spec", "schedule")
	t.zone, _, _ = unstructured.NestedString(cronJob.Object, "spec", "timeZone")
	t.suspended, _, _ = unstructured.NestedBool(cronJob.Object, "spec", "suspend")
	if said, ok := cronJob.GetAnnotations()[schema.AnnotationSuspended]; ok {
		t.suspended = said == "true"
	}
	parsed, err := schedule.Parse(t.cron, t.zone)
	if err == nil {
		t.rules, err = rulesOf(cronJob)
	}
	if err != nil {
		t.err = err
		return t
	}
	namespace := cmp.Or(cronJob.GetNamespace(), input.Options.Namespace)
	times := schedule.NewTimes(parsed, t.rules, namespace+"/"+cronJob.GetName())
	t.next = times.NextDue(input.Now)
	return t
}

// rulesOf reads the rules that SchedulePolicies gave a CronJob.
func rulesOf(cronJob *unstructured.Unstructured) (schema.Policy, error) {
	text, ok := cronJob.GetAnnotations()[schema.AnnotationPolicy]
	if !ok {
		return schema.Policy{}, nil
	}
	return schema.ParsePolicy(text)
}

// firstFire ends the effect of a CronJob that is created.
func firstFire(in Intended, input *Input) string {
	if !in.Key().IsCronJob() {
		return ""
	}
	t := timingOf(in.Object.Unstructured, input)
	switch {
	case t.suspended:
		return "; it is suspended"
	case t.err != nil || t.next.IsZero():
		return "; it never fires"
	}
	return "; first fires " + t.show(t.next)
}

// schedulerEffect says that an update gives a CronJob to the other scheduler; it
// is empty if it does not.
func schedulerEffect(in Intended, live *unstructured.Unstructured) string {
	before, after := annotation(live, schema.AnnotationScheduler), annotation(in.Object.Unstructured, schema.AnnotationScheduler)
	switch {
	case before == schedule.ByRota && after != schedule.ByRota:
		return "will be handed back to the cluster's own controller"
	case before != schedule.ByRota && after == schedule.ByRota:
		return "will be run by rota's scheduler"
	}
	return ""
}

// scheduleEffect says what an update does to the times that a CronJob fires
// at; it is empty if it does nothing to them.
func scheduleEffect(in Intended, live *unstructured.Unstructured, input *Input) string {
	before, after := timingOf(live, input), timingOf(in.Object.Unstructured, input)
	switch {
	case after.suspended && !before.suspended:
		return "will be suspended: it fires no more" + lastKnown(before)
	case before.suspended && !after.suspended:
		return "will be resumed" + after.fires()
	case before.cron == after.cron && before.zone == after.zone:
		return rulesEffect(before, after)
	case after.suspended:
		return fmt.Sprintf("schedule changes from %s to %s; it stays suspended", before.text(), after.text())
	case after.err != nil || after.next.IsZero():
		return fmt.Sprintf("schedule changes from %s to %s, which never fires", before.text(), after.text())
	case before.next.IsZero():
		return fmt.Sprintf("schedule changes from %s to %s%s", before.text(), after.text(), after.fires())
	}
	return fmt.Sprintf("schedule changes from %s to %s: next fire moves from %s to %s",
		before.text(), after.text(), before.show(before.next), after.show(after.next))
}

// rulesEffect says what an update does to the rules that SchedulePolicies give;
// it is empty if it does nothing.
func rulesEffect(before, after timing) string {
	was, is := before.rules.Rules(), after.rules.Rules()
	if slices.Equal(was, is) {
		return ""
	}
	effect := "policy changes from " + rulesText(was) + " to " + rulesText(is)
	switch {
	case after.suspended || before.next.Equal(after.next):
	case after.next.IsZero():
		effect += "; it never fires"
	case before.next.IsZero():
		effect += after.fires()
	default:
		effect += fmt.Sprintf(": next fire moves from %s to %s", before.show(before.next), after.show(after.next))
	}
	return effect
}

// timingPath reports whether a field is one that scheduleEffect speaks of.
func timingPath(path string) bool {
	switch path {
	case "spec.schedule", "spec.timeZone", "spec.suspend", suspendedPath:
		return true
	}
	return false
}

func rulesText(rules []string) string {
	if len(rules) == 0 {
		return "none"
	}
	return "(" + strings.Join(rules, ", ") + ")"
}

func lastKnown(t timing) string {
	if t.next.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (it would at %s)", t.show(t.next))
}

func (t timing) fires() string {
	if t.next.IsZero() {
		return "; it never fires"
	}
	return "; next fires " + t.show(t.next)
}

func (t timing) text() string {
	if t.zone == "" || t.zone == "Etc/UTC" {
		return fmt.Sprintf("%q", t.cron)
	}
	return fmt.Sprintf("%q %s", t.cron, t.zone)
}

// show prints at in the schedule's own zone, which is the one that the user
// thinks in.
func (t timing) show(at time.Time) string {
	zone := t.zone
	if zone == "" {
		zone = "Etc/UTC"
	}
	if location, err := time.LoadLocation(zone); err == nil {
		at = at.In(location)
	}
	layout := "2006-01-02 15:04"
	if at.Second() != 0 {
		// By jitter and @every a run can start within a minute.
		layout = "2006-01-02 15:04:05"
	}
	return at.Format(layout) + " " + zone
}
