package render

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/render/calendar"
	"rota.dev/rota/schema"
)

// calendarMonths is how far ahead calendars are carried out, counted from the
// first day of the present month: what a CronJob carries then changes once a
// month at most, and covers the coming year.
const calendarMonths = 13

// policy is a SchedulePolicy of the repository with the calendars that it
// names, by the entry that names them.
type policy struct {
	schema.SchedulePolicy
	calendars map[string][]byte
}

// policy reads a SchedulePolicy.
func (r *renderer) policy(d schema.Document) error {
	decoded, err := schema.DecodeSchedulePolicy(d)
	if err != nil {
		return err
	}
	p := policy{SchedulePolicy: decoded, calendars: map[string][]byte{}}
	if c := decoded.Spec.Calendar; c != nil {
		for i, entry := range c.Exclude {
			if path.Ext(entry) != ".ics" {
				continue
			}
			field := fmt.Sprintf("spec.calendar.exclude[%d]", i)
			at := decoded.At(field)
			_, data, err := r.beside(at, field, entry)
			if err != nil {
				for _, fault := range schema.Problems(err) {
					fault.Rule, fault.Origin = "R025", at
				}
				return err
			}
			p.calendars[entry] = data
		}
	}
	r.policies = append(r.policies, p)
	return nil
}

// applyPolicies writes the rules of the policies onto the CronJobs that they
// select, which are copied for it.
func (r *renderer) applyPolicies() {
	if len(r.policies) == 0 {
		return
	}
	r.groupLimits()
	selected := make([]bool, len(r.policies))
	days := r.calendarDays()
	for i, o := range r.objects {
		if !o.Key().IsCronJob() {
			continue
		}
		m := merger{renderer: r, object: o, days: days, said: map[string]policy{}}
		for j, p := range r.policies {
			if p.Spec.Selector.Matches(o.GetName(), o.GetLabels()) {
				selected[j] = true
				m.add(p)
			}
		}
		if len(m.rules.Names) > 0 {
			r.objects[i] = annotated(o, schema.AnnotationPolicy, m.rules.String())
		}
	}
	for j, p := range r.policies {
		if !selected[j] {
			r.fail(&schema.Problem{Rule: "R024", Origin: p.At("spec.selector"), Field: "spec.selector",
				Message: fmt.Sprintf("the policy %s selects no CronJob of what is rendered", p.Metadata.Name), Mend: "Correct its names or labels, or remove it."})
		}
	}
}

// annotated returns o with one more annotation; o stays as it is.
func annotated(o schema.Object, key, value string) schema.Object {
	object := maps.Clone(o.Object)
	metadata := cloned(object, "metadata")
	cloned(metadata, "annotations")[key] = value
	o.Unstructured = &unstructured.Unstructured{Object: object}
	return o
}

func cloned(parent map[string]any, field string) map[string]any {
	old, _ := parent[field].(map[string]any)
	fresh := make(map[string]any, len(old)+1)
	maps.Copy(fresh, old)
	parent[field] = fresh
	return fresh
}

// calendarDays carries out the calendars, by policy and entry.
func (r *renderer) calendarDays() map[string][]schema.Days {
	found := map[string][]schema.Days{}
	from, until := r.calendarSpan()
	for _, p := range r.policies {
		for _, entry := range slices.Sorted(maps.Keys(p.calendars)) {
			field := fmt.Sprintf("spec.calendar.exclude[%d]", slices.Index(p.Spec.Calendar.Exclude, entry))
			problem := &schema.Problem{Rule: "R025", Origin: p.At(field), Field: field, Mend: "Export the calendar anew, with whole days."}
			days, ignored, err := calendar.Read(p.calendars[entry], from, until)
			switch {
			case err != nil:
				problem.Message, problem.Cause = fmt.Sprintf("cannot use the calendar %s: %v", entry, err), err
				r.fail(problem)
			case len(ignored) > 0:
				problem.Severity = schema.SeverityWarning
				problem.Message = fmt.Sprintf("the calendar %s has events with a time of day, which exclude nothing: %s", entry, shorten(ignored))
				problem.Mend = "Make them events of whole days, or remove them."
				r.warnings = append(r.warnings, problem)
			}
			for i := range days {
				days[i].Source = strings.ReplaceAll(entry, " ", "_")
			}
			found[p.key(entry)] = days
		}
	}
	return found
}

func (p policy) key(entry string) string { return p.Origin.String() + " " + entry }

func shorten(names []string) string {
	const most = 3
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func (r *renderer) calendarSpan() (from, until schema.Day) {
	now := r.opts.Now.UTC()
	day := func(t time.Time) schema.Day { return schema.Day{Year: t.Year(), Month: t.Month(), Day: 1} }
	return day(now), day(time.Date(now.Year(), now.Month()+calendarMonths, 1, 0, 0, 0, 0, time.UTC))
}

// merger gathers the rules of one CronJob.
type merger struct {
	*renderer
	object schema.Object
	days   map[string][]schema.Days
	rules  schema.Policy
	said   map[string]policy // who said which field
}

func (m *merger) add(p policy) {
	m.rules.Names = append(m.rules.Names, p.Metadata.Name)
	if m.rules.Origin == "" {
		m.rules.Origin = p.Origin.String()
	}
	spec := p.Spec
	if spec.Jitter.Duration > 0 && m.claim(p, "spec.jitter") {
		m.rules.Jitter = spec.Jitter
	}
	if spec.Window != nil && m.claim(p, "spec.window") {
		m.window(*spec.Window)
	}
	if spec.Calendar != nil {
		// Calendars add up: what either excludes is excluded.
		m.exclude(p)
	}
	if spec.Overlap != "" && m.claim(p, "spec.overlap") {
		m.rules.Overlap = spec.Overlap
		m.overlap(p)
	}
	if spec.CatchUp != nil && m.claim(p, "spec.catchUp") {
		m.rules.CatchUp = *spec.CatchUp
	}
	if spec.DaylightSaving != nil && m.claim(p, "spec.daylightSaving") {
		m.rules.DaylightSaving = *spec.DaylightSaving
	}
	if spec.Pause != nil && m.claim(p, "spec.pause") {
		m.rules.Pause = spec.Pause
	}
	if spec.ExpectWithin.Duration > 0 && m.claim(p, "spec.expectWithin") {
		m.rules.ExpectWithin = spec.ExpectWithin
	}
	if spec.ConcurrencyGroup != nil && m.claim(p, "spec.concurrencyGroup") {
		m.rules.ConcurrencyGroup = spec.ConcurrencyGroup
	}
	if spec.Retries != nil && m.claim(p, "spec.retries") {
		m.rules.Retries = *spec.Retries
		m.retries(p)
	}
}

// claim reports whether p is the first to say a field.
func (m *merger) claim(p policy, field string) bool {
	first, twice := m.said[field]
	if !twice {
		m.said[field] = p
		return true
	}
	key := m.object.Key()
	m.fail(&schema.Problem{Rule: "R023", Origin: p.At(field), Field: field, Object: &key,
		Message: fmt.Sprintf("the policies %s and %s both say it, the first at %s", first.Metadata.Name, p.Metadata.Name, first.At(field)),
		Mend:    "Let their selectors differ, or say it in one of them."})
	return false
}

// zone is that of the CronJob; one that is unknown is said by the validation.
func (m *merger) zone() *time.Location {
	name, _, _ := unstructured.NestedString(m.object.Object, "spec", "timeZone")
	if zone, err := time.LoadLocation(name); err == nil && !strings.EqualFold(name, "local") {
		return zone
	}
	return time.UTC
}

func (m *merger) window(w schema.PolicyWindow) {
	if !w.NotBefore.IsZero() {
		m.rules.NotBefore = w.NotBefore.Start(m.zone())
	}
	if !w.NotAfter.IsZero() {
		m.rules.NotAfter = w.NotAfter.End(m.zone())
	}
}

func (m *merger) exclude(p policy) {
	for _, entry := range p.Spec.Calendar.Exclude {
		if _, ok := p.calendars[entry]; !ok {
			days, _ := schema.ParseDays(entry) // it was checked when it was read
			m.rules.Exclude = append(m.rules.Exclude, days)
			continue
		}
		m.rules.Exclude = append(m.rules.Exclude, m.days[p.key(entry)]...)
		_, until := m.calendarSpan()
		m.rules.CalendarUntil = until.String()
	}
}

// overlap refuses Queue beside a concurrencyPolicy that says something else.
func (m *merger) overlap(p policy) {
	said, _, _ := unstructured.NestedString(m.object.Object, "spec", "concurrencyPolicy")
	if said == "Replace" {
		key := m.object.Key()
		m.fail(&schema.Problem{Rule: "R023", Origin: p.At("spec.overlap"), Field: "spec.overlap", Object: &key,
			Message: fmt.Sprintf("the policy %s queues runs, and the CronJob replaces them (%s)", p.Metadata.Name, m.object.At("spec.concurrencyPolicy")),
			Mend:    "Set concurrencyPolicy to Forbid, or remove overlap."})
	}
}

// retries refuses a CronJob whose name leaves no room for those of its retries.
func (m *merger) retries(p policy) {
	if n := len(m.object.GetName()); n > schema.MostNameWithRetries {
		key := m.object.Key()
		m.fail(&schema.Problem{Rule: "R331", Origin: p.At("spec.retries"), Field: "spec.retries", Object: &key,
			Message: fmt.Sprintf("the name of the CronJob (%s) has %d letters; with retries it has at most %d", m.object.At("metadata.name"), n, schema.MostNameWithRetries),
			Mend:    "Shorten the name, or let the policy not select it."})
	}
}

// groupLimits refuses two limits of one group: each run goes by the limit that
// its own schedule has, so that the larger one would hold.
func (r *renderer) groupLimits() {
	first := map[string]policy{}
	for _, p := range r.policies {
		g := p.Spec.ConcurrencyGroup
		if g == nil {
			continue
		}
		other, known := first[g.Name]
		if !known {
			first[g.Name] = p
			continue
		}
		if said := other.Spec.ConcurrencyGroup.Limit; said != g.Limit {
			const field = "spec.concurrencyGroup.limit"
			r.fail(&schema.Problem{Rule: "R330", Origin: p.At(field), Field: field,
				Message: fmt.Sprintf("the policy %s gives the group %s the limit %d, and the policy %s the limit %d, at %s",
					p.Metadata.Name, g.Name, g.Limit, other.Metadata.Name, said, other.At(field)),
				Mend: "Give both the same limit, or the groups two names."})
		}
	}
}
