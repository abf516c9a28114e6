package schema

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
)

// spreadField is what H in a cron field looks like, as Jenkins introduced it.
var spreadField = regexp.MustCompile(`^H(?:\((\d{1,2})-(\d{1,2})\))?(?:/(\d{1,2}))?$`)

// spreadBounds are the values of each field that H spreads over. Days of the
// month end with 28, so that every month has them.
var spreadBounds = [...]struct {
	name      string
	low, high int
	most      int
}{{"minute", 0, 59, 59}, {"hour", 0, 23, 23}, {"day of month", 1, 28, 31}, {"month", 1, 12, 12}, {"day of week", 0, 6, 6}}

// Spread replaces each H of a cron schedule by a value that is a hash of name
// and field: `H * * * *` becomes `17 * * * *`, the same one every time. H(a-b)
// stays within a range, H/n begins a step of n anywhere below n. A schedule
// without H is returned as it is. The error says which field is wrong.
func Spread(schedule, name string) (string, error) {
	if !strings.Contains(schedule, "H") || strings.HasPrefix(schedule, "@") {
		return schedule, nil
	}
	fields := strings.Fields(schedule)
	if len(fields) != len(spreadBounds) {
		return schedule, nil // for the parser to refuse
	}
	for i, field := range fields {
		parts := strings.Split(field, ",")
		for j, part := range parts {
			if !strings.HasPrefix(part, "H") {
				continue
			}
			value, err := spread(part, name, i, j)
			if err != nil {
				return "", err
			}
			parts[j] = value
		}
		fields[i] = strings.Join(parts, ",")
	}
	return strings.Join(fields, " "), nil
}

func spread(part, name string, field, index int) (string, error) {
	b := spreadBounds[field]
	m := spreadField.FindStringSubmatch(part)
	if m == nil {
		return "", fmt.Errorf("the %s %q is no H that can be read", b.name, part)
	}
	low, high := b.low, b.high
	if m[1] != "" {
		low, _ = strconv.Atoi(m[1])
		high, _ = strconv.Atoi(m[2])
		if low > high || low < b.low || high > b.most {
			return "", fmt.Errorf("the range of the %s %q is not within %d to %d", b.name, part, b.low, b.most)
		}
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d %d", name, field, index)
	hash := mix(h.Sum64())
	if m[3] == "" {
		return strconv.Itoa(low + int(hash%uint64(high-low+1))), nil
	}
	step, _ := strconv.Atoi(m[3])
	if step < 1 || step > high-low+1 {
		return "", fmt.Errorf("the step of the %s %q is not within 1 to %d", b.name, part, high-low+1)
	}
	return fmt.Sprintf("%d-%d/%d", low+int(hash%uint64(step)), high, step), nil
}

// mix spreads the bits of a hash whose last ones are much alike for names that
// are (the finalizer of MurmurHash3, which is in the public domain).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
