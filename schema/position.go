package schema

// Fields knows where the fields of an object were written.
type Fields struct{}

// At returns the position of a field, such as spec.schedule, as far as it is
// known; otherwise that of o.
func (o Object) At(field string) Origin { return o.Origin }
