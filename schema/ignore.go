package schema

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Ignore is a comment in a file of the repository that asks for warnings not to
// be given: `# rota:ignore R092 the reason`.
type Ignore struct {
	// Origin is where the comment stands.
	Origin Origin
	// Rules are the ids that it names.
	Rules []string
	// Reason is why, in the words of whoever wrote it.
	Reason string
	// first and last are the lines that it holds for, from 1, both included.
	first, last int
	// head is set at the top of the first document, where it also holds for
	// what has no line.
	head bool
}

var (
	ignoreMark = regexp.MustCompile(`(?:^|\s)\{?#-?\s*rota:ignore(?:\s+(.*?))?\s*(?:-?#\})?\s*$`)
	onlyNote   = regexp.MustCompile(`^\s*(?:#|\{#.*#\}\s*$)`)
	ruleID     = regexp.MustCompile(`^R\d{3}$`)
)

// Ignores returns the comments of a file that ask for warnings not to be given,
// and what is wrong with those that cannot be carried out. A comment holds for
// the line that it ends; one that stands alone holds for the next line that is
// no comment, and one at the top of a document for all of it. File is used for
// positions only.
func Ignores(file string, data []byte) (ignores []Ignore, faults []*Problem) {
	if !bytes.Contains(data, []byte("rota:ignore")) {
		return nil, nil
	}
	r := ignoreReader{top: true}
	lines := lineEnd.Split(string(data), -1)
	for n, line := range lines {
		at := Origin{File: file, Line: n + 1}
		before := len(line)
		if after, divider := divides(line); divider {
			r.end(n)
			r.top, line = true, after
		}
		before -= len(line)
		alone := onlyNote.MatchString(line)
		if found := ignoreMark.FindStringSubmatchIndex(line); found != nil {
			mark := found[0] + strings.Index(line[found[0]:], "#")
			at.Column = 1 + before + utf8.RuneCountInString(line[:mark])
			text := ""
			if found[2] >= 0 {
				text = line[found[2]:found[3]]
			}
			r.comment(at, text, alone)
		}
		if !alone && strings.TrimSpace(line) != "" {
			r.content(n + 1)
		}
	}
	r.end(len(lines))
	return r.ignores, r.faults
}

// divides returns what is written on a line behind three dashes, and whether
// they begin a document of YAML.
func divides(line string) (after string, divider bool) {
	rest, ok := strings.CutPrefix(line, "---")
	if !ok || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return "", false
	}
	return rest, true
}

// ignoreReader reads the comments of one file.
type ignoreReader struct {
	ignores []Ignore
	faults  []*Problem
	// waiting are those that stand alone, above their line, and tops those at
	// the top of the present document.
	waiting, tops []int
	// top is set before the first line of a document that is no comment, and
	// begun after the first of the file.
	top, begun bool
}

// comment adds the comment at a line; alone says that there is nothing else.
func (r *ignoreReader) comment(at Origin, text string, alone bool) {
	ig, fault := readIgnore(at, text)
	if fault != nil {
		r.faults = append(r.faults, fault)
		return
	}
	ig.first, ig.last = at.Line, at.Line
	switch {
	case alone && r.top:
		ig.head = !r.begun
		r.tops = append(r.tops, len(r.ignores))
	case alone:
		r.waiting = append(r.waiting, len(r.ignores))
	}
	r.ignores = append(r.ignores, ig)
}

// content says that a line has more than comments.
func (r *ignoreReader) content(line int) {
	r.top, r.begun = false, true
	for _, i := range r.waiting {
		r.ignores[i].last = line
	}
	r.waiting = nil
}

// end ends a document at its last line.
func (r *ignoreReader) end(last int) {
	for _, i := range r.tops {
		r.ignores[i].last = last
	}
	r.tops, r.waiting = nil, nil
}

// readIgnore reads what stands behind the mark: ids, divided by commas, and the
// reason.
func readIgnore(at Origin, text string) (Ignore, *Problem) {
	fail := func(message string) (Ignore, *Problem) {
		return Ignore{}, &Problem{Rule: "R008", Severity: SeverityWarning, Origin: at, Message: message + ", so it has no effect", Mend: "Write # rota:ignore R092 and the reason."}
	}
	ids, reason, _ := strings.Cut(text, " ")
	rules := strings.Split(ids, ",")
	for _, id := range rules {
		if !ruleID.MatchString(id) {
			return fail("the comment does not say which rule it ignores")
		}
		if _, known := Explain(id); !known {
			return fail(fmt.Sprintf("the comment ignores %s, and there is no such rule", id))
		}
	}
	if reason = strings.TrimSpace(reason); reason == "" {
		return fail("the comment does not say why it ignores " + ids)
	}
	return Ignore{Origin: at, Rules: rules, Reason: reason}, nil
}

// covers reports whether the comment speaks of p: of its rule, and of the place
// that the user wrote, or the template that made it.
func (ig *Ignore) covers(p *Problem) bool {
	if !slices.Contains(ig.Rules, p.Rule) {
		return false
	}
	o := p.Origin
	if o.Template == ig.Origin.File && ig.holds(o.TemplateLine) {
		return true
	}
	return o.File == ig.Origin.File && ig.holds(o.Line)
}

func (ig *Ignore) holds(line int) bool {
	if line == 0 {
		return ig.head
	}
	return ig.first <= line && line <= ig.last
}

// Suppress marks the warnings that comments ask not to be given as
// [Problem.Ignored], and says of an error that it cannot be ignored: what the
// API server refuses, or what would lose a run, stays so. Given is whether a rule
// was looked for at all; a comment of which nothing was found, although all of
// its rules were looked for, is returned as a warning of its own. With a nil
// given none is. What changes of problems is copied.
func Suppress(problems []*Problem, ignores []Ignore, given func(rule string) bool) (marked, unused []*Problem) {
	marked = slices.Clone(problems)
	used := make([]bool, len(ignores))
	for i, p := range problems {
		for j := range ignores {
			if !ignores[j].covers(p) {
				continue
			}
			used[j] = true
			q := *marked[i]
			if p.Severity == SeverityWarning {
				q.Ignored = ignores[j].Reason
			} else if q.Message == p.Message {
				q.Message += fmt.Sprintf(" (it is an error, which the comment in line %d cannot ignore)", ignores[j].Origin.Line)
			}
			marked[i] = &q
		}
	}
	for j, ig := range ignores {
		if given == nil || used[j] || slices.ContainsFunc(ig.Rules, func(id string) bool { return !given(id) }) {
			continue
		}
		unused = append(unused, &Problem{Rule: "R009", Severity: SeverityWarning, Origin: ig.Origin,
			Message: fmt.Sprintf("the comment ignores %s, of which there is nothing here", strings.Join(ig.Rules, ", ")),
			Mend:    "Remove it, or move it to the line of the warning, the line before, or the top of the document."})
	}
	return marked, unused
}

// WithoutIgnored returns the problems that are to be said.
func WithoutIgnored(problems []*Problem) []*Problem {
	return slices.DeleteFunc(slices.Clone(problems), func(p *Problem) bool { return p.Ignored != "" })
}
