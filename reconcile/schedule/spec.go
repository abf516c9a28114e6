package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"rota.dev/rota/schema"
)

// AnnotationScheduled is Kubernetes' own mark on the run of a CronJob: the
// slot in RFC 3339, in the zone of the schedule.
const AnnotationScheduled = batchv1.CronJobScheduledTimestampAnnotation

// Spec is what a CronJob asks for, as rota applied it.
type Spec struct {
	// Namespace and Name are the CronJob's.
	Namespace, Name string
	// Schedule and Zone are the texts of spec.schedule and spec.timeZone.
	Schedule, Zone string
	// Cron is Schedule in Zone; the zero value if Err is set.
	Cron Schedule
	// Rules are the policy's; the zero value has none.
	Rules schema.Policy
	// Err says why Cron cannot be had, and nothing fires until it is mended.
	Err error
	// Borrowed is spec.suspend: the cluster's own controller stands back.
	Borrowed bool
	// Suspended is what git wants of suspend.
	Suspended bool
	// Pause is the emergency brake; nil if it is off.
	Pause *Pause
	// Deadline is startingDeadlineSeconds; nil if there is none.
	Deadline *time.Duration
	// Policy is the concurrencyPolicy.
	Policy batchv1.ConcurrencyPolicy
	// KeepSuccessful and KeepFailed are the history limits.
	KeepSuccessful, KeepFailed int
	// Problems are warnings and errors that do not belong to Cron.
	Problems []*schema.Problem
}

// Pause is the value of the annotation rota.dev/pause.
type Pause struct {
	// Until is when the pause ends by itself; zero means never.
	Until time.Time
	// Reason is for people.
	Reason string
}

// Scheduled reports whether rota is the scheduler of cj.
func Scheduled(cj *batchv1.CronJob) bool {
	return cj.Annotations[schema.AnnotationScheduler] == "rota"
}

// SpecOf reads what cj asks for. The error is for a cj that rota does not
// schedule; what is wrong with one that it does is inside the Spec, for the
// runs that already exist go on being looked after.
func SpecOf(cj *batchv1.CronJob) (Spec, error) {
	if !Scheduled(cj) {
		return Spec{}, fmt.Errorf("reading CronJob %s/%s: it has no annotation %s=rota",
			cj.Namespace, cj.Name, schema.AnnotationScheduler)
	}
	s := Spec{
		Namespace:      cj.Namespace,
		Name:           cj.Name,
		Schedule:       cj.Spec.Schedule,
		Borrowed:       cj.Spec.Suspend != nil && *cj.Spec.Suspend,
		Policy:         cj.Spec.ConcurrencyPolicy,
		KeepSuccessful: limit(cj.Spec.SuccessfulJobsHistoryLimit, 3),
		KeepFailed:     limit(cj.Spec.FailedJobsHistoryLimit, 1),
	}
	if cj.Spec.TimeZone != nil {
		s.Zone = *cj.Spec.TimeZone
	}
	s.Cron, s.Err = Parse(s.Schedule, s.Zone)
	if s.Policy == "" {
		s.Policy = batchv1.AllowConcurrent
	}
	if s.Policy != batchv1.AllowConcurrent && s.Policy != batchv1.ForbidConcurrent && s.Policy != batchv1.ReplaceConcurrent {
		s.Err = problem("R313", "spec.concurrencyPolicy", nil, "unknown concurrencyPolicy %q", clip(string(s.Policy)))
	}
	if len(cj.Name) > 52 {
		s.Err = problem("R314", "metadata.name", nil, "the name has %d characters, more than 52", len(cj.Name))
	}
	if d := cj.Spec.StartingDeadlineSeconds; d != nil {
		deadline := time.Duration(min(*d, maxDeadlineSeconds)) * time.Second
		s.Deadline = &deadline
	}
	s.annotations(cj)
	s.warn(cj)
	return s, nil
}

// maxDeadlineSeconds, a hundred years, keeps a deadline inside a Duration.
const maxDeadlineSeconds = 100 * 366 * 86400

func limit(value *int32, otherwise int) int {
	if value == nil {
		return otherwise
	}
	return int(*value)
}

func (s *Spec) annotations(cj *batchv1.CronJob) {
	if text, ok := cj.Annotations[schema.AnnotationSuspended]; ok {
		suspended, err := strconv.ParseBool(text)
		if err != nil {
			s.Err = problem("R315", "metadata.annotations", err, "the annotation %s is %q", schema.AnnotationSuspended, clip(text))
		}
		s.Suspended = suspended
	}
	if text, ok := cj.Annotations[schema.AnnotationPolicy]; ok {
		rules, err := schema.ParsePolicy(text)
		if err != nil {
			s.Err = problem("R316", "metadata.annotations", err, "the policy %q cannot be read: %v", clip(text), err)
		}
		s.Rules = rules
		if p := rules.Pause; p != nil {
			s.Pause = &Pause{Until: p.Until, Reason: p.Reason}
		}
	}
	if s.Rules.Retries.Limit > 0 && len(s.Name) > schema.MostNameWithRetries {
		s.Err = problem("R331", "metadata.name", nil, "the name has %d characters, more than the %d that leave room for those of retries", len(s.Name), schema.MostNameWithRetries)
	}
	if s.Rules.Overlap == schema.OverlapQueue {
		s.Policy = batchv1.ForbidConcurrent
	}
	if text, ok := cj.Annotations[schema.AnnotationPause]; ok {
		pause, err := ParsePause(text)
		if err != nil {
			s.Problems = append(s.Problems, problem("R307", "metadata.annotations", err,
				"the annotation %s is %q: %v", schema.AnnotationPause, clip(text), err))
			pause = Pause{Reason: text}
		}
		s.Pause = &pause
	}
}

func (s *Spec) warn(cj *batchv1.CronJob) {
	if s.Deadline != nil && *s.Deadline < time.Second {
		s.Problems = append(s.Problems, warning("R304", "spec.startingDeadlineSeconds", "startingDeadlineSeconds is %d: every slot is too late",
			*cj.Spec.StartingDeadlineSeconds))
	}
	if every := s.Cron.Every(); every > 0 && every < time.Minute {
		s.Problems = append(s.Problems, warning("R305", "spec.schedule", "the interval %s is shorter than a minute", every))
	}
	if strings.Contains(s.Schedule, "TZ=") {
		s.Problems = append(s.Problems, warning("R302", "spec.schedule", "the schedule %q has its own time zone", clip(s.Schedule)))
	}
	if !s.Borrowed {
		s.Problems = append(s.Problems, warning("R310", "spec.suspend", "spec.suspend is false: the cluster's own controller runs this CronJob"))
	}
}

func warning(rule, field, format string, args ...any) *schema.Problem {
	p := problem(rule, field, nil, format, args...)
	p.Severity = schema.SeverityWarning
	return p
}

// Times returns the slots of s under its rules.
func (s Spec) Times() Times { return NewTimes(s.Cron, s.Rules, s.Namespace+"/"+s.Name) }

// ParsePause reads `until=2026-12-01T08:00:00Z reason="…"`. Both parts may be
// missing: no until means until the annotation goes. A reason without quotes
// takes the rest of the text.
func ParsePause(text string) (Pause, error) {
	var p Pause
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			return Pause{}, fmt.Errorf("reading %q: want until=… or reason=…", clip(rest))
		}
		switch key {
		case "until":
			value, next, _ := strings.Cut(after, " ")
			until, err := time.Parse(time.RFC3339, strings.Trim(value, `"`))
			if err != nil {
				return Pause{}, fmt.Errorf("reading until: %w", err)
			}
			p.Until, rest = until, next
		case "reason":
			quoted, err := strconv.QuotedPrefix(after)
			if err != nil {
				p.Reason, rest = after, ""
				continue
			}
			reason, err := strconv.Unquote(quoted)
			if err != nil {
				return Pause{}, fmt.Errorf("reading reason: %w", err)
			}
			p.Reason, rest = reason, after[len(quoted):]
		default:
			return Pause{}, fmt.Errorf("reading %q: want until=… or reason=…", clip(key))
		}
	}
	return p, nil
}

// String returns p as [ParsePause] reads it.
func (p Pause) String() string {
	var parts []string
	if !p.Until.IsZero() {
		parts = append(parts, "until="+p.Until.Format(time.RFC3339))
	}
	if p.Reason != "" {
		parts = append(parts, "reason="+strconv.Quote(p.Reason))
	}
	return strings.Join(parts, " ")
}
