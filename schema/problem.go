package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a Problem stops the work.
type Severity string

const (
	// SeverityError stops the object or the revision that it was found in.
	SeverityError Severity = "error"
	// SeverityWarning is said and changes nothing.
	SeverityWarning Severity = "warning"
	// SeverityNotice is of what is no fault at all and is shown at its place: an
	// effect, as an annotation of a pull request.
	SeverityNotice Severity = "notice"
)

// Problem is one fault that a user can mend: what, where, why and how. It is
// an error; a list of them is joined with [errors.Join], and [Problems] takes
// them out again.
type Problem struct {
	// Rule is a stable id such as R012, see Rules.
	Rule string `json:"rule"`
	// Severity is SeverityError unless set.
	Severity Severity `json:"severity"`
	// Origin is where the user wrote it.
	Origin Origin `json:"origin"`
	// Object is the object concerned, if one is known.
	Object *Key `json:"object,omitempty"`
	// Field is the path in the object, such as spec.schedule; may be empty.
	Field string `json:"field,omitempty"`
	// Message says what is wrong and why, in a clause without a full stop.
	Message string `json:"message"`
	// Mend says what to do about it, as an imperative sentence.
	Mend string `json:"mend,omitempty"`
	// Ignored is the reason why a comment in the file asks not to be told of a
	// warning; see [Suppress].
	Ignored string `json:"ignored,omitempty"`
	// Cause is the error beneath, if any.
	Cause error `json:"-"`
}

// Error returns the problem on one line, the way to mend it on the next, with
// nothing of the repository's text that a terminal would act on.
func (p *Problem) Error() string {
	var b strings.Builder
	if at := p.Origin.String(); at != "" {
		b.WriteString(at)
		b.WriteString(": ")
	}
	if p.Severity == SeverityWarning {
		b.WriteString("warning: ")
	}
	if p.Object != nil {
		fmt.Fprintf(&b, "%s: ", p.Object)
	}
	if p.Field != "" {
		fmt.Fprintf(&b, "%s: ", p.Field)
	}
	b.WriteString(p.Message)
	if p.Rule != "" {
		fmt.Fprintf(&b, " [%s]", p.Rule)
	}
	if p.Mend != "" {
		fmt.Fprintf(&b, "\n  mend: %s", p.Mend)
	}
	return Harmless(b.String())
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// HasErrors reports whether one of problems is more than a warning.
func HasErrors(problems []*Problem) bool {
	return slices.ContainsFunc(problems, func(p *Problem) bool { return p.Severity != SeverityWarning && p.Severity != SeverityNotice })
}

// Problems returns every Problem in err's tree, in order, and makes one of
// each leaf error that is none, so that nothing is lost.
func Problems(err error) []*Problem {
	if err == nil {
		return nil
	}
	if p, ok := err.(*Problem); ok {
		return []*Problem{p}
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Problem
		for _, e := range many.Unwrap() {
			all = append(all, Problems(e)...)
		}
		return all
	}
	var p *Problem
	if errors.As(err, &p) {
		return []*Problem{p}
	}
	return []*Problem{{Severity: SeverityError, Message: err.Error(), Cause: err}}
}
