package review

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// hostile are texts that a repository may have anywhere.
var hostile = []string{
	"```", "````\n", "\n```\n", "~~~", "`", "``", "a`b", " ` ", "</details>", "</summary></details>\n\n# owned", "<script>alert(1)</script>", "<!--", "-->", "<img src=x>",
	"@team/admins", "@octocat", "#1", "owner/repo#2", "GH-3", "![x](https://evil.example/x.png)", "[a](https://evil.example)", "https://evil.example/?q=1", "www.evil.example", "mail@evil.example",
	"|", "\\", "\\`", "* a", "- a", "# h", "> q", "---", "===", "1. a", "    code", "&lt;b&gt;", "&#64;team", "$`x`$", "$$", "**b**", "__b__", "~~s~~", ":tada:", "[^1]", "[ ] task",
	"\r\n::error::owned", "\n::error file=a::owned", "::stop-commands::x", "%0A::error::", "\x1b[31m", "\x1b]0;t\x07", "\u202e", "\u2028", "\x00", "\x7f", "\xff\xfe", "𝒳", "語", "",
}

// hostileText returns a few of them.
func hostileText(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(3) {
		b.WriteString(hostile[r.IntN(len(hostile))])
		if r.IntN(3) == 0 {
			b.WriteString(strings.Repeat("`", r.IntN(8)))
		}
		if r.IntN(3) == 0 {
			b.WriteString(" ")
		}
	}
	return b.String()
}

// hostileReviews calls check with many reviews whose every text is hostile.
// REVIEW_SEED repeats a failure.
func hostileReviews(t *testing.T, check func(t *testing.T, rnd *rand.Rand, r Review)) {
	t.Helper()
	seed := rand.Uint64()
	if given := os.Getenv("REVIEW_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	rnd := rand.New(rand.NewPCG(seed, 1))
	for i := range 60 {
		check(t, rnd, hostileReview(t, rnd))
		if t.Failed() {
			t.Fatalf("review %d; repeat with REVIEW_SEED=%d", i, seed)
		}
	}
}

func hostileReview(t *testing.T, rnd *rand.Rand) Review {
	t.Helper()
	var before, after []schema.Object
	for i := range rnd.IntN(12) {
		name := fmt.Sprintf("%s-%d", hostileText(rnd), i)
		was, is := job(name, hostileText(rnd)), job(name, hostileText(rnd))
		if rnd.IntN(2) == 0 {
			was, is = cronJob(name, hostileText(rnd), hostileText(rnd)), cronJob(name, hostileText(rnd), "")
		}
		if rnd.IntN(3) == 0 {
			is.Object["metadata"].(map[string]any)["annotations"] = map[string]any{hostileText(rnd): hostileText(rnd)}
		}
		is.Origin = schema.Origin{File: hostileText(rnd), Line: 1 + rnd.IntN(9), Template: hostileText(rnd), Item: 1,
			Parameters: []schema.Parameter{{Name: hostileText(rnd), Value: hostileText(rnd)}}}
		if rnd.IntN(4) > 0 {
			before = append(before, was)
		}
		if rnd.IntN(4) > 0 {
			after = append(after, is)
		}
	}
	return between(t, before, after, func(in *Input) {
		in.Sync, in.Again, in.Against = hostileText(rnd), hostileText(rnd), hostileText(rnd)
		for i := range rnd.IntN(3) {
			in.Warnings = append(in.Warnings, &schema.Problem{Rule: fmt.Sprintf("R01%d", i), Severity: schema.SeverityWarning,
				Origin: schema.Origin{File: hostileText(rnd), Line: 1}, Field: hostileText(rnd), Message: hostileText(rnd), Mend: hostileText(rnd)})
		}
		for i := range in.Plan.Changes {
			if rnd.IntN(6) == 0 {
				c := &in.Plan.Changes[i]
				c.Op, c.Reason, c.Effect = plan.Refuse, plan.ReasonServerRefuses, "is refused: "+hostileText(rnd)
				c.Problem = &schema.Problem{Rule: "R208", Severity: schema.SeverityError, Origin: schema.Origin{File: hostileText(rnd), Line: 1}, Message: hostileText(rnd), Mend: hostileText(rnd)}
			}
		}
		if rnd.IntN(2) == 0 {
			for key := range in.Diffs {
				in.Diffs[key] += strings.Repeat("+"+hostileText(rnd)+"\n", rnd.IntN(400))
			}
		}
	})
}

func TestPropertyNoRepositoryTextIsMarkup(t *testing.T) {
	folded, cut := 0, 0
	hostileReviews(t, func(t *testing.T, rnd *rand.Rand, r Review) {
		for _, limit := range []int{mostComment, 2500 + rnd.IntN(20000)} {
			comment := r.comment(limit)
			if n := utf8.RuneCountInString(comment); n > limit {
				t.Errorf("%d characters, more than %d", n, limit)
			}
			if !utf8.ValidString(comment) {
				t.Error("the comment is not UTF-8")
			}
			folded += strings.Count(comment, "<details>")
			cut += strings.Count(comment, "Left out, for")
			holdToStructure(t, r.Sync, comment)
		}
	})
	if folded == 0 || cut == 0 {
		t.Errorf("%d folded, %d cut: the property was not tested", folded, cut)
	}
}

// blocks are the only HTML that a comment has.
var blocks = regexp.MustCompile(`^(<!-- rota:plan [A-Za-z0-9._-]+ -->|<details><summary><code>[^<>]*</code>( and [0-9]+ more that fare alike)?</summary>|</details>)$`)

// spoken is what GitHub makes something of outside code.
var spoken = regexp.MustCompile(`[@#<>]|://|www\.|[0-9a-f]{7,}|GH-`)

// holdToStructure reads a comment as GitHub does and complains of everything
// that the repository could have put there.
func holdToStructure(t *testing.T, sync, comment string) {
	t.Helper()
	source := []byte(comment)
	if !strings.HasPrefix(comment, Marker(sync)+"\n") {
		t.Errorf("the marker is not on the first line: %q", comment[:min(len(comment), 80)])
	}
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	open, fences := 0, 0
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link, *ast.AutoLink, *ast.Image, *ast.RawHTML, *ast.Blockquote, *ast.ThematicBreak, *ast.CodeBlock:
			t.Errorf("there is a %s in\n%s", n.Kind(), comment)
			return ast.WalkStop, nil
		case *ast.Heading:
			if n.Level != 3 {
				t.Errorf("there is a heading of level %d in\n%s", n.Level, comment)
			}
		case *ast.FencedCodeBlock:
			if fences++; open != 1 {
				t.Errorf("a fence is not in one block that is folded:\n%s", comment)
			}
		case *ast.HTMLBlock:
			html := string(n.Lines().Value(source))
			if n.HasClosure() {
				html += string(n.ClosureLine.Value(source))
			}
			for line := range strings.Lines(html) {
				line = strings.TrimSuffix(line, "\n")
				if !blocks.MatchString(line) && !strings.HasPrefix(line, "**Plan: ") && !strings.HasPrefix(line, "**No plan: ") {
					t.Errorf("HTML that is not ours: %q", line)
				}
				open += strings.Count(line, "<details>") - strings.Count(line, "</details>")
			}
		case *ast.CodeSpan:
			return ast.WalkSkipChildren, nil
		case *ast.Text:
			if words := string(n.Value(source)); spoken.MatchString(words) {
				t.Errorf("text outside code: %q in\n%s", words, comment)
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Error(err)
	}
	if open != 0 || fences != strings.Count(comment, "<details><summary>") {
		t.Errorf("%d blocks are left open, %d fences in:\n%s", open, fences, comment)
	}
}

func TestPropertyNoTextOfABrokenRepositoryIsMarkup(t *testing.T) {
	left := 0
	hostileReviews(t, func(t *testing.T, rnd *rand.Rand, _ Review) {
		b := Broken{Sync: hostileText(rnd)}
		for i := range 1 + rnd.IntN(1200) {
			p := &schema.Problem{Rule: fmt.Sprintf("R0%02d", i%90), Origin: schema.Origin{File: hostileText(rnd), Line: i}, Field: hostileText(rnd), Message: hostileText(rnd), Mend: hostileText(rnd)}
			if i%3 == 0 {
				p = &schema.Problem{Message: hostileText(rnd)}
			}
			b.Problems = append(b.Problems, p)
		}
		var out strings.Builder
		if err := BrokenWriters["markdown"](&out, b); err != nil {
			t.Fatal(err)
		}
		if n := utf8.RuneCountInString(out.String()); n > mostComment {
			t.Errorf("%d characters", n)
		}
		left += strings.Count(out.String(), "Left out, for")
		holdToStructure(t, b.Sync, out.String())
	})
	if left == 0 {
		t.Error("none was cut: the property was not tested")
	}
}

func TestPropertyNothingActsOnATerminal(t *testing.T) {
	hostileReviews(t, func(t *testing.T, _ *rand.Rand, r Review) {
		if out := outputOf(t, "text", r); strings.ContainsAny(out, "\x1b\x07\x00\r\x7f\u202e\u2028") {
			t.Errorf("%q", out)
		}
	})
}

func TestPropertyNoRepositoryTextIsAWorkflowCommand(t *testing.T) {
	command := regexp.MustCompile(`^::(error|warning|notice) title=rota (plan|R[0-9]{3})(,[a-z]+=[^,:\r\n]*)*::[^\r\n]*$`)
	commands := 0
	hostileReviews(t, func(t *testing.T, _ *rand.Rand, r Review) {
		last := 0
		for line := range strings.Lines(outputOf(t, "github", r)) {
			commands++
			m := command.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if m == nil {
				t.Fatalf("%q", line)
			}
			rank := map[string]int{"error": 0, "warning": 1, "notice": 2}[m[1]]
			if rank < last {
				t.Errorf("%s comes late: %q", m[1], line)
			}
			last = rank
		}
	})
	if commands == 0 {
		t.Error("there was no command: the property was not tested")
	}
}

func TestPropertyEveryOutputIsWhatTheSchemaSays(t *testing.T) {
	hostileReviews(t, func(t *testing.T, _ *rand.Rand, r Review) { holdToSchema(t, outputOf(t, "json", r)) })
}
