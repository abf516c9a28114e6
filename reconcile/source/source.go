// Package source brings one revision of a repository into memory: a branch, a
// tag or a commit of a git repository, or a folder on disk. What it delivers
// is a [render.Tree], whose file system is a snapshot: it never changes, reads
// neither disk nor network, and cannot be left by a symbolic link.
//
// It never runs a git binary, never checks a repository out and never writes
// what it fetched to disk. It decides nothing about what is done with a
// revision: when a fetch fails, the revision that is in force stays so, and
// that is the duty of the caller.
package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rota.dev/rota/render"
	"rota.dev/rota/schema"
)

// Sentinels that callers test for with [errors.Is].
var (
	// ErrUnchanged is render.ErrUnchanged: the source is still at the revision
	// that the caller named; nothing but the tip was asked for.
	ErrUnchanged = render.ErrUnchanged
	// ErrRefMissing says that the branch, tag or commit is not there, or is
	// no longer there.
	ErrRefMissing = errors.New("ref missing")
	// ErrPathMissing says that the folder to render is not in the revision.
	ErrPathMissing = errors.New("path missing")
	// ErrEmpty says that the repository has no commit yet.
	ErrEmpty = errors.New("empty repository")
)

// Limits bound what one fetch may cost. A zero field takes its default.
type Limits struct {
	// Bytes bounds the content of one revision, and what the server may send
	// for it, each; 128 MiB by default.
	Bytes int64
	// Files bounds the number of files, links and folders of one revision;
	// 20,000 by default.
	Files int
	// FileBytes bounds one file; 4 MiB by default. A larger file is no error
	// until something reads it.
	FileBytes int64
	// Time bounds one fetch from the first packet to the last; one minute by
	// default.
	Time time.Duration
}

// defaultTime bounds a fetch. The other defaults are those of a Sync: they
// leave room for any repository of job definitions and keep a controller with
// 1 GiB of memory alive beside a hostile one.
const defaultTime = time.Minute

func (l Limits) orDefault() Limits {
	return Limits{
		Bytes:     cmp.Or(l.Bytes, int64(schema.DefaultLimits.TotalBytes)),
		Files:     cmp.Or(l.Files, int(schema.DefaultLimits.Files)),
		FileBytes: cmp.Or(l.FileBytes, int64(schema.DefaultLimits.FileBytes)),
		Time:      cmp.Or(l.Time, defaultTime),
	}
}

// within returns ctx with the deadline of l.
func (l Limits) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, l.Time, tooSlow(l.Time))
}

// problem makes an error that a user can act on.
func problem(rule, file, message, mend string, cause error) *schema.Problem {
	return &schema.Problem{
		Rule:     rule,
		Severity: schema.SeverityError,
		Origin:   schema.Origin{File: file},
		Message:  message,
		Mend:     mend,
		Cause:    cause,
	}
}

// folder returns name as a slash-separated path from the root, or an error if
// it is none.
func folder(name string) (string, error) {
	clean := path.Clean(cmp.Or(name, "."))
	if path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") || badName(clean) != "" {
		return "", problem(rulePath, "", fmt.Sprintf("the path %q does not name a folder inside the repository", name),
			"Give the folder relative to the repository's root, such as overlays/prod.", nil)
	}
	return clean, nil
}

// badName says what is wrong with the name of a file, or returns the empty
// string.
func badName(name string) string {
	if !utf8.ValidString(name) {
		return "is not UTF-8"
	}
	for _, r := range name {
		switch {
		case unicode.IsControl(r):
			return "has a control character"
		case r == '\\':
			return "has a backslash"
		}
	}
	return ""
}

// quiet returns text that came from elsewhere in a form fit for one line of a
// log: without control characters, without any of the secrets, and short.
func quiet(text string, secrets ...Secret) string {
	for _, s := range secrets {
		text = s.redact(text)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	const enough = 240
	if len(text) > enough {
		text = strings.ToValidUTF8(text[:enough], "") + "..."
	}
	return text
}

// plant returns the Tree of a snapshot, after a look at everything that can be
// listed under the folder to render: what cannot be read there would otherwise
// be left out silently, and prune would then take it for deleted.
func plant(revision string, m *memory, sub string) (render.Tree, error) {
	found, where, err := m.walk(sub)
	switch {
	case isMissing(err):
		return render.Tree{}, problem(rulePath, sub, fmt.Sprintf("the folder is not in revision %s", revision),
			"Correct the path of the source, or commit the folder.", ErrPathMissing)
	case err != nil:
		return render.Tree{}, err
	case found.kind != kindFolder:
		return render.Tree{}, problem(rulePath, sub, "the path names a file, not a folder",
			"Name the folder that holds the file.", ErrPathMissing)
	}
	if faults := m.faults(found, where, sub); len(faults) > 0 {
		return render.Tree{}, errors.Join(faults...)
	}
	return render.Tree{Revision: revision, FS: m, Path: sub}, nil
}
