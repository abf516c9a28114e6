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
	environment map[string]bool
}

func newMemo() *memo {
	return &memo{quantities: map[string]*resource.Quantity{}, values: map[string]bool{}, names: map[string]bool{}, labels: map[string]bool{}, environment: map[string]bool{}}
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

// label reports whether text is a name of the form of DNS labels (RFC 1123).
func (m *memo) label(text string) bool {
	return remembered(m.labels, text, validation.IsDNS1123Label)
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
