package schema

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// schedule checks the schedule and the time zone of a CronJob's spec.
func (v *validator) schedule(spec map[string]any, at *place) {
	if text, isText := spec["schedule"].(string); isText {
		if bad := v.memo.schedule(text); bad.rule != "" {
			v.fail(bad.rule, at.field("schedule"), bad.message, bad.mend)
		}
	}
	if zone, isText := spec["timeZone"].(string); isText {
		if message := v.memo.zone(zone); message != "" {
			v.fail("R067", at.field("timeZone"), message, "Use a name of the IANA database, such as Europe/Berlin or Etc/UTC.")
		}
	}
}

// checkZone follows the API server: see validateTimeZone in
// k8s.io/kubernetes/pkg/apis/batch/validation.
func checkZone(zone string) string {
	switch {
	case zone == "":
		return "the time zone is empty"
	case strings.EqualFold(zone, "Local"):
		return "Local depends on the machine that looks at it"
	}
	if _, err := time.LoadLocation(zone); err != nil {
		return fmt.Sprintf("%q is no time zone that is known", zone)
	}
	return ""
}

// checkSchedule returns the rule that a schedule breaks, "" if it is good.
func checkSchedule(text string) (rule, message, mend string) {
	if strings.Contains(text, "TZ") {
		return "R068", "a time zone inside the schedule is refused by the API server", "Write it as spec.timeZone."
	}
	if n := len(strings.Fields(text)); n == 6 && !strings.HasPrefix(text, "@") {
		return "R065", "the schedule has six fields; Kubernetes knows no seconds", "Remove the first field."
	}
	parsed, err := parseSchedule(text)
	if err != nil {
		return "R065", fmt.Sprintf("cannot read the schedule %q: %v", text, err), "Write five fields: minute, hour, day of month, month, day of week (0 to 6)."
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return "", "", "" // @every fires always
	}
	if field := emptyField(spec); field != "" {
		return "R065", fmt.Sprintf("the %s of the schedule %q matches nothing", field, text), "Write a number, a list, a range or *."
	}
	if !fires(spec) {
		return "R066", fmt.Sprintf("no day of any year matches the schedule %q", text), "Correct the day or the month."
	}
	return "", "", ""
}

// parseSchedule guards against a parser that panics, as robfig's does for a
// lone `TZ=UTC`.
func parseSchedule(text string) (s cron.Schedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser fails on it (%v)", r)
		}
	}()
	return cron.ParseStandard(text)
}

// starBit is what robfig sets in a field that was written as *.
const starBit = 1 << 63

func emptyField(s *cron.SpecSchedule) string {
	for _, f := range []struct {
		name string
		bits uint64
	}{{"minute", s.Minute}, {"hour", s.Hour}, {"day of month", s.Dom}, {"month", s.Month}, {"day of week", s.Dow}} {
		if f.bits&^starBit == 0 {
			return f.name
		}
	}
	return ""
}

// fires reports whether any date matches, by the bit sets alone: asking for
// the next time would search five years, minute by minute.
func fires(s *cron.SpecSchedule) bool {
	if s.Dom&starBit == 0 && s.Dow&starBit == 0 {
		return true // either day is enough, and every weekday comes in every month
	}
	longest := []uint{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for month, days := range longest {
		if s.Month&(1<<uint(month+1)) == 0 {
			continue
		}
		for day := uint(1); day <= days; day++ {
			if s.Dom&(1<<day) != 0 {
				return true
			}
		}
	}
	return false
}
