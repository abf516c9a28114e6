package schedule

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestASentenceSaysWhatASpecDoes(t *testing.T) {
	for spec, want := range map[string]string{
		"*/5 * * * *":             "every 5 minutes (UTC)",
		"0 * * * *":               "every hour at :00 (UTC)",
		"@hourly":                 "every hour at :00 (UTC)",
		"@daily":                  "at 00:00 every day (UTC)",
		"30 2 * * 1-5":            "at 02:30 on Mondays to Fridays (UTC)",
		"0 0 1 */3 *":             "at 00:00 on day 1 of January, April, July and October (UTC)",
		"15,45 9-17 * * MON-FRI":  "every 30 minutes from 09:15 to 17:45 on Mondays to Fridays (UTC)",
		"0 22 * * 0":              "at 22:00 on Sundays (UTC)",
		"0 12 1 JAN *":            "at 12:00 on day 1 of January (UTC)",
		"0 0 29 2 *":              "at 00:00 on day 29 of February; in leap years only (UTC)",
		"5-59/20 * * * *":         "every 20 minutes, from :05 (UTC)",
		"1-10/3 0-6/2 1,15 * *":   "every 3 minutes from :01 to :10 of every 2nd hour from 00 to 06 on days 1 and 15 of the month (UTC)",
		"0 0 13 * FRI":            "at 00:00 on day 13 of the month, or on Fridays; one of the two is enough (UTC)",
		"*/7 * * * *":             "every 7 minutes from :00 to :56 of every hour; from :56 to :00 it is 4 minutes (UTC)",
		"0 */5 * * *":             "every 5 hours from 00:00 to 20:00 every day; from 20 to 00 hours it is 4 hours (UTC)",
		"*/90 * * * *":            "every hour at :00 (UTC)",
		"0 0 31 2 *":              "never",
		"0 0 * * 7":               "never", // refused, as by Kubernetes
		"? 4 * * ?":               "every minute from 04:00 to 04:59 every day (UTC)",
		"@every 1h30m":            "every 1h30m, counted from the slot before and not by the clock",
		"* * * * *":               "every minute (UTC)",
		"*/15 2 * * *":            "every 15 minutes from 02:00 to 02:45 every day (UTC)",
		"*/7 2 * * *":             "every 7 minutes from 02:00 to 02:56 every day (UTC)",
		"0 0 */2 * *":             "at 00:00 on every 2nd day from day 1 to day 31 of the month; days are counted anew each month (UTC)",
		"0 0 */2 * 1":             "at 00:00 on every 2nd day from day 1 to day 31 of the month, or on Mondays; days are counted anew each month; one of the two is enough (UTC)",
		"0 0 */1 * 1":             "at 00:00 on Mondays (UTC)",
		"0 0 1-31 * 1":            "at 00:00 every day (UTC)",
		"0 0 31 * *":              "at 00:00 on day 31 of the month; not in February, April, June, September and November (UTC)",
		"0 0 29 1-3 *":            "at 00:00 on day 29 of January to March; in February in leap years only (UTC)",
		"30 9,17 * 12 6,0":        "at 09:30 and 17:30 on Saturdays and Sundays in December (UTC)",
		"0 9-17 * * *":            "every hour from 09:00 to 17:00 every day (UTC)",
		"0,10 9-17 * * *":         "at :00 and :10 of hours 09 to 17 every day (UTC)",
		"* 0-3,20 * * *":          "every minute of hours 00, 01, 02, 03 and 20 every day (UTC)",
		"10,15 * * 3 *":           "every hour at :10 and :15 in March (UTC)",
		"TZ=Asia/Tokyo 0 3 * * *": "at 03:00 every day (Asia/Tokyo)",
	} {
		t.Run(spec, func(t *testing.T) {
			s, _ := Parse(spec, "") // one that is refused never fires
			if got := s.Words(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if s.never() || s.every > 0 {
				return
			}
			holdTo(t, s, spec)
		})
	}
}

func TestASentenceReadBackFiresWhenTheScheduleDoes(t *testing.T) {
	n := 4000
	if testing.Short() {
		n = 800
	}
	r := rand.New(rand.NewPCG(6, 28))
	for range n {
		spec := sampleSchedule(r)
		if r.IntN(3) == 0 {
			spec = strings.Replace(spec, "* ", fmt.Sprintf("%d,%d ", 1+r.IntN(12), 1+r.IntN(12)), 1+r.IntN(2))
		}
		s, err := Parse(spec, "")
		if err != nil {
			continue
		}
		holdTo(t, s, spec)
	}
}

// holdTo reads the sentence of s back, and compares the next 200 fires, or
// those of twelve years; and holds what the sentence warns of to them.
func holdTo(t *testing.T, s Schedule, spec string) {
	t.Helper()
	s.location = time.UTC
	sentence := s.Words()
	m, err := readBack(sentence)
	if err != nil {
		t.Fatalf("%s: %q: %v", spec, sentence, err)
	}
	after := time.Date(2026, 11, 26, 2, 30, 0, 0, time.UTC)
	got := m.fires(after, after.AddDate(12, 0, 0), 200)
	want := s.Upcoming(after, len(got)+1)
	if len(got) == 200 {
		want = want[:200]
	} else if n := len(want) - 1; n == len(got) && want[n].After(after.AddDate(12, 0, 0)) {
		want = want[:n]
	}
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		t.Fatalf("%s: %q: %d fires, want %d:\n%v\n%v", spec, sentence, len(got), len(want), got[:min(5, len(got))], want[:min(5, len(want))])
	}
	for _, clause := range m.clauses {
		if !m.warns(clause, s.Upcoming(after, 3000)) {
			t.Fatalf("%s: %q: the clause %q is not so", spec, sentence, clause)
		}
	}
}

// meaning is what a sentence says to a reader that knows no cron.
type meaning struct {
	times    [1440]bool
	doms     [32]bool
	weekdays [7]bool
	months   [13]bool
	// anyDay is set where no days are named, and either where days of the month
	// and of the week are.
	anyDay, byDay, byWeekday bool
	clauses                  []string
}

func (m *meaning) fires(after, until time.Time, most int) []time.Time {
	var fires []time.Time
	for day := after.Truncate(24 * time.Hour); !day.After(until); day = day.AddDate(0, 0, 1) {
		if !m.months[day.Month()] || !m.anyDay && !(m.byDay && m.doms[day.Day()]) && !(m.byWeekday && m.weekdays[day.Weekday()]) {
			continue
		}
		for minute, starts := range m.times {
			at := day.Add(time.Duration(minute) * time.Minute)
			if starts && at.After(after) && !at.After(until) {
				if fires = append(fires, at); len(fires) == most {
					return fires
				}
			}
		}
	}
	return fires
}

// warns reports whether what a clause says is so of the fires.
func (m *meaning) warns(clause string, fires []time.Time) bool {
	var from, to, n int
	if k, _ := fmt.Sscanf(clause, "from :%d to :%d it is %d minute", &from, &to, &n); k == 3 {
		return slices.ContainsFunc(fires, func(t time.Time) bool {
			return t.Minute() == from && slices.ContainsFunc(fires, t.Add(time.Duration(n)*time.Minute).Equal)
		}) && (from+n)%60 == to
	}
	if k, _ := fmt.Sscanf(clause, "from %d to %d hours it is %d hour", &from, &to, &n); k == 3 {
		return slices.ContainsFunc(fires, func(t time.Time) bool {
			return t.Hour() == from && slices.ContainsFunc(fires, t.Add(time.Duration(n)*time.Hour).Equal)
		}) && (from+n)%24 == to
	}
	if list, ok := strings.CutPrefix(clause, "not in "); ok {
		for _, name := range strings.Split(strings.ReplaceAll(list, " and ", ", "), ", ") {
			if slices.ContainsFunc(fires, func(t time.Time) bool { return t.Month().String() == name }) || !m.months[monthNamed(name)] {
				return false
			}
		}
		return true
	}
	switch clause {
	case "days are counted anew each month":
		return m.byDay
	case "one of the two is enough":
		return m.byDay && m.byWeekday
	case "in leap years only", "in February in leap years only":
		return !slices.ContainsFunc(fires, func(t time.Time) bool { return t.Month() == time.February && t.Day() < 29 }) &&
			m.months[time.February] && m.doms[29] && !m.byWeekday
	}
	return false
}

const clockText = `(\d\d):(\d\d)`

var sentences = []struct {
	text *regexp.Regexp
	read func(m *meaning, part []string)
}{
	{regexp.MustCompile(`^every (?:(\d+) )?(minute|hour)s? from ` + clockText + ` to ` + clockText), func(m *meaning, part []string) {
		step := number(part[1])
		if part[2] == "hour" {
			step *= 60
		}
		for at := number(part[3])*60 + minuteNumber(part[4]); at <= number(part[5])*60+minuteNumber(part[6]); at += step {
			m.times[at] = true
		}
	}},
	{regexp.MustCompile(`^(every minute|every (?:\d+ )?minutes? from :\d\d to :\d\d|at :[:\d, and]+\d) of (every hour|every \d+\w\w hour from \d\d to \d\d|hours? (?:\d\d(?:, | and | to )?)+)`), func(m *meaning, part []string) {
		m.product(minutesNamed(part[1]), hoursNamed(part[2]))
	}},
	{regexp.MustCompile(`^every hour at (:\d\d(?:(?:, | and ):\d\d)*)`), func(m *meaning, part []string) {
		m.product(minutesNamed("at "+part[1]), hoursNamed("every hour"))
	}},
	{regexp.MustCompile(`^at (\d\d:\d\d(?:(?:, | and )\d\d:\d\d)*)`), func(m *meaning, part []string) {
		for _, at := range items(part[1]) {
			hour, minute, _ := strings.Cut(at, ":")
			m.times[minuteNumber(hour)*60+minuteNumber(minute)] = true
		}
	}},
	{regexp.MustCompile(`^every (?:(\d+) )?minutes?(?:, from :(\d\d))?`), func(m *meaning, part []string) {
		for at := minuteNumber(part[2]); at < 1440; at += number(part[1]) {
			m.times[at] = true
		}
	}},
}

var dayPart = regexp.MustCompile(`^( every day)?(?: on (days? [\d, andto]*\d|every \d+\w\w day from day \d+ to day \d+) of (the month|[A-Z][A-Za-z, ]*?))?(?:,? ?(?:or )?on ([A-Z][a-z]+days[A-Za-z, ]*?))?(?: in ([A-Z][A-Za-z, ]*))?$`)

// readBack reads a sentence of Words.
func readBack(sentence string) (*meaning, error) {
	m := &meaning{}
	text, ok := strings.CutSuffix(sentence, " (UTC)")
	if !ok {
		return nil, fmt.Errorf("no zone")
	}
	clauses := strings.Split(text, "; ")
	text, m.clauses = clauses[0], clauses[1:]
	for _, s := range sentences {
		part := s.text.FindStringSubmatch(text)
		if part == nil {
			continue
		}
		s.read(m, part)
		day := dayPart.FindStringSubmatch(text[len(part[0]):])
		if day == nil {
			return nil, fmt.Errorf("the days %q say nothing", text[len(part[0]):])
		}
		return m, m.readDays(day)
	}
	return nil, fmt.Errorf("it says nothing")
}

func (m *meaning) readDays(part []string) error {
	doms, ofMonths, dows, inMonths := part[2], part[3], part[4], part[5]
	m.byDay, m.byWeekday = doms != "", dows != ""
	m.anyDay = !m.byDay && !m.byWeekday
	var step, from, to int
	if k, _ := fmt.Sscanf(strings.NewReplacer("nd day", " day", "rd day", " day", "th day", " day").Replace(doms), "every %d day from day %d to day %d", &step, &from, &to); k == 3 {
		for d := from; d <= to; d += step {
			m.doms[d] = true
		}
	} else if doms != "" {
		for _, d := range ranged(strings.TrimPrefix(strings.TrimPrefix(doms, "days "), "day "), minuteNumber) {
			m.doms[d] = true
		}
	}
	weekday := func(name string) int {
		return slices.IndexFunc([]string{"", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays"}, func(s string) bool { return s == name })
	}
	if dows != "" {
		for _, d := range ranged(dows, weekday) {
			m.weekdays[d%7] = true
		}
	}
	months := ofMonths
	if months == "" || months == "the month" {
		months = inMonths
	}
	if ofMonths != "" && inMonths != "" && ofMonths != inMonths {
		return fmt.Errorf("months of %q and in %q", ofMonths, inMonths)
	}
	if months == "" {
		months = "January to December"
	}
	for _, month := range ranged(months, monthNamed) {
		m.months[month] = true
	}
	return nil
}

func (m *meaning) product(minutes, hours []int) {
	for _, hour := range hours {
		for _, minute := range minutes {
			m.times[hour*60+minute] = true
		}
	}
}

func minutesNamed(text string) []int {
	if text == "every minute" {
		return through(0, 59, 1)
	}
	if list, ok := strings.CutPrefix(text, "at "); ok {
		return ranged(strings.ReplaceAll(list, ":", ""), minuteNumber)
	}
	part := regexp.MustCompile(`^every (?:(\d+) )?minutes? from :(\d\d) to :(\d\d)$`).FindStringSubmatch(text)
	return through(minuteNumber(part[2]), minuteNumber(part[3]), number(part[1]))
}

func hoursNamed(text string) []int {
	if text == "every hour" {
		return through(0, 23, 1)
	}
	if part := regexp.MustCompile(`^every (\d+)\w\w hour from (\d\d) to (\d\d)$`).FindStringSubmatch(text); part != nil {
		return through(minuteNumber(part[2]), minuteNumber(part[3]), number(part[1]))
	}
	return ranged(strings.TrimPrefix(strings.TrimPrefix(text, "hours "), "hour "), minuteNumber)
}

// ranged reads a list, or the first and the last of a row.
func ranged(text string, value func(string) int) []int {
	if from, to, ok := strings.Cut(text, " to "); ok {
		return through(value(from), value(to), 1)
	}
	var values []int
	for _, item := range items(text) {
		values = append(values, value(item))
	}
	return values
}

func items(text string) []string { return strings.Split(strings.ReplaceAll(text, " and ", ", "), ", ") }

func through(from, to, step int) []int {
	var values []int
	for v := from; v <= to; v += step {
		values = append(values, v)
	}
	return values
}

// number reads a step, of which the one is not said.
func number(text string) int {
	if text == "" {
		return 1
	}
	return minuteNumber(text)
}

func minuteNumber(text string) int { n, _ := strconv.Atoi(text); return n }

func monthNamed(name string) int {
	for m := time.January; m <= time.December; m++ {
		if m.String() == name {
			return int(m)
		}
	}
	return 0
}
