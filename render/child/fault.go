package child

import (
	"errors"
	"io/fs"

	"rota.dev/rota/schema"
)

// fault is one error on the pipe: a Problem, or the text of something else.
type fault struct {
	// Problem is without its Cause.
	Problem *schema.Problem
	// Text is that of the Cause, or of what is no Problem; Missing is whether
	// it was [fs.ErrNotExist].
	Text    string
	Missing bool
}

// remote is an error of the other process. Its text is all that is left of it,
// but for the question that is asked of errors here.
type remote struct {
	text    string
	missing bool
}

func (e *remote) Error() string        { return e.text }
func (e *remote) Is(target error) bool { return e.missing && target == fs.ErrNotExist }

// faultsOf makes err fit for the pipe; joined errors stay several.
func faultsOf(err error) []fault {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []fault
		for _, e := range many.Unwrap() {
			all = append(all, faultsOf(e)...)
		}
		return all
	}
	p, ok := errors.AsType[*schema.Problem](err)
	if !ok {
		return []fault{{Text: err.Error(), Missing: errors.Is(err, fs.ErrNotExist)}}
	}
	without := *p
	without.Cause = nil
	f := fault{Problem: &without}
	if p.Cause != nil {
		f.Text, f.Missing = p.Cause.Error(), errors.Is(p.Cause, fs.ErrNotExist)
	}
	return []fault{f}
}

// errorOf is the reverse of faultsOf.
func errorOf(faults []fault) error {
	var all []error
	for _, f := range faults {
		switch {
		case f.Problem == nil:
			all = append(all, &remote{f.Text, f.Missing})
		default:
			if f.Text != "" {
				f.Problem.Cause = &remote{f.Text, f.Missing}
			}
			all = append(all, f.Problem)
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	return errors.Join(all...)
}
