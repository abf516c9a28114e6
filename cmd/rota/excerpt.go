package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rota.dev/rota/schema"
)

// excerpts says how problems are printed to w: with lines of the files and
// colours on a terminal, plainly elsewhere, or as --excerpt and NO_COLOR say.
func (r *repository) excerpts(c *cobra.Command, w io.Writer) schema.Excerpts {
	terminal := isTerminal(w)
	show := terminal
	if c.Flags().Changed("excerpt") {
		show = r.excerpt
	}
	if !show || r.files == nil {
		return schema.Excerpts{}
	}
	read := func(file string) ([]byte, error) { return fs.ReadFile(r.files, file) }
	return schema.Excerpts{Read: read, Color: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// broken is the error of a verb that needs this repository to render.
func (r *repository) broken(c *cobra.Command, err error) error {
	e := r.excerpts(c, c.ErrOrStderr())
	var texts []string
	for _, p := range schema.Problems(err) {
		texts = append(texts, e.Text(p))
	}
	if len(texts) > 1 {
		texts = append(texts, fmt.Sprintf("%d problems", len(texts)))
	}
	return exit(3, &explained{err: err, text: strings.Join(texts, "\n")})
}

// explained is an error with a text of its own.
type explained struct {
	err  error
	text string
}

func (e *explained) Error() string { return e.text }

func (e *explained) Unwrap() error { return e.err }

func (r *repository) warn(c *cobra.Command, warnings []*schema.Problem) {
	e := r.excerpts(c, c.ErrOrStderr())
	for _, p := range warnings {
		fmt.Fprintln(c.ErrOrStderr(), e.Text(p))
	}
}
