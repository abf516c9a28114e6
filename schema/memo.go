package schema

import (
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// memo remembers what apimachinery's functions found out about texts that come
// again and again in a repository: most of the time of a validation would be
// theirs. It belongs to one goroutine.
type memo struct {
	quantities  map[string]*resource.Quantity
	values      map[string]bool
	names       map[string]bool
	labels      map[string]bool
	subdomains  map[string]bool
	environment map[string]bool
	schedules   map[string]verdict
	zones       map[string]string
}

// verdict is what there is to say about a schedule; an empty rule is nothing.
type verdict struct{ rule, message, mend string }

func newMemo() *memo {
	return &memo{quantities: map[string]*resource.Quantity{}, values: map[string]bool{}, names: map[string]bool{}, labels: map[string]bool{}, subdomains: map[string]bool{}, environment: map[string]bool{}, schedules: map[string]verdict{}, zones: map[string]string{}}
}

// quantity returns what a text stands for, nil if it is no quantity.
func (m *memo) quantity(text string) *resource.Quantity {
	q, known := m.quantities[text]
	if !known {
		if parsed, err := resource.ParseQuantity(text); err == nil {
			q = &parsed
		}
		m.quantities[text] = q
	}
	return q
}

func (m *memo) labelValue(text string) bool {
	return remembered(m.values, text, validation.IsValidLabelValue)
}

func (m *memo) qualifiedName(text string) bool {
	return remembered(m.names, text, validation.IsQualifiedName)
}

func (m *memo) schedule(text string) verdict {
	known, ok := m.schedules[text]
	if !ok {
		known.rule, known.message, known.mend = checkSchedule(text)
		m.schedules[text] = known
	}
	return known
}

// zone returns what is wrong with a time zone, "" if nothing is: to look one up
// is to read a file.
func (m *memo) zone(name string) string {
	known, ok := m.zones[name]
	if !ok {
		known = checkZone(name)
		m.zones[name] = known
	}
	return known
}

// label reports whether text is a name of the form of DNS labels (RFC 1123).
func (m *memo) label(text string) bool {
	return remembered(m.labels, text, validation.IsDNS1123Label)
}

func (m *memo) subdomain(text string) bool {
	return remembered(m.subdomains, text, validation.IsDNS1123Subdomain)
}

func (m *memo) variable(text string) bool {
	return remembered(m.environment, text, validation.IsRelaxedEnvVarName)
}

func remembered(known map[string]bool, text string, check func(string) []string) bool {
	good, ok := known[text]
	if !ok {
		good = len(check(text)) == 0
		known[text] = good
	}
	return good
}
