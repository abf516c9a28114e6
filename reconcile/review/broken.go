package review

import (
	"fmt"
	"io"
	"strings"

	"rota.dev/rota/schema"
)

// Broken is what a reviewer reads in place of a plan where the repository, or
// the revision that it is compared with, cannot be rendered.
type Broken struct {
	// Sync is the name of the Sync that a plan would be of.
	Sync string
	// Problems say what is wrong, at least one.
	Problems []*schema.Problem
}

// BrokenWriters print why there is no plan, for those outputs that others read
// than whoever asked for it: `markdown`, a comment that takes the place of the
// plan's, and `github`. To the others the error is told.
var BrokenWriters = map[string]func(w io.Writer, b Broken) error{
	"markdown": writeBroken,
	"github":   func(w io.Writer, b Broken) error { return schema.ProblemWriters["github"](w, b.Problems, 0) },
}

func writeBroken(w io.Writer, b Broken) error {
	s := sheet{room: mostComment - mostTail}
	s.add(Marker(b.Sync) + "\n**No plan: " + problemsText(len(b.Problems)) + ".**\n\n")
	var items []string
	for _, p := range b.Problems {
		var item strings.Builder
		what := p.Message
		if p.Field != "" {
			what = p.Field + ": " + what
		}
		if p.Object != nil {
			what = p.Object.String() + ": " + what
		}
		fmt.Fprintf(&item, "- %s\n", code(what))
		problemItem(&item, "  ", p)
		items = append(items, item.String())
	}
	left := s.list("", items, s.room)
	s.room = mostComment
	if left > 0 {
		s.add(fmt.Sprintf("\nLeft out, for a comment has %d characters at most: %s.\n", mostComment, problemsText(left)))
	}
	_, err := io.WriteString(w, s.text.String())
	return err
}

func problemsText(n int) string {
	if n == 1 {
		return "1 problem"
	}
	return fmt.Sprintf("%d problems", n)
}
