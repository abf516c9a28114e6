package expand

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// The names of the functions that a rewritten template calls. A template's own
// names may not begin so.
const (
	ours        = "rota__"
	fnAt        = ours + "at"        // (file, line): notes the position and checks the limits
	fnHere      = ours + "here"      // (file, line, bytes): prints nothing; the text of the template that follows is from there
	fnPrint     = ours + "print"     // (at, [value]): what {{ }} prints
	fnValue     = ours + "value"     // (at, [value])
	fnTest      = ours + "test"      // (at, [value]): the truth of value
	fnIterate   = ours + "each"      // (at, [value]): what a loop goes through
	fnPairs     = ours + "pairs"     // (at, [value]): what a loop with two names goes through
	fnGroup     = ours + "group"     // ([value])
	fnAttribute = ours + "attribute" // ([base], name)
	fnMethod    = ours + "method"    // ([base], name): for a call
	fnItem      = ours + "item"      // ([base], [key])
	fnSlice     = ours + "slice"     // ([base], [start], [stop], [step])
	fnList      = ours + "list"      // ([…])
	fnKeep      = ours + "keep"      // (at, [value]): for a namespace, which would lose None
	fnNoCaller  = ours + "nocaller"  // ([caller]): fails if there is one
	fnDict      = ours + "dict"      // ([key, value, …])
	fnPlus      = ours + "plus"      // (value)
	fnTuple     = ours + "tuple"     // (…)
	fnTruth     = ours + "truth"     // (value)
	fnNot       = ours + "not"       // (value)
	fnNegate    = ours + "negate"    // (value)
	fnBinary    = ours + "binary"    // (operator, left, right)
	fnCompare   = ours + "compare"
	fnOperand   = ours + "operand" // (value): what `and` and `or` look at
	fnUndefined = ours + "undefined"
)

// rewrite turns a template into one that gonja renders as Jinja2 would, or not
// at all: operators, comparisons, output and loops become calls of functions
// that follow Python by value. Line numbers do not change. File is the number
// by which positions are noted.
//
// gonja's own parser is still what reads the statements; only expressions are
// parsed here, by the grammar of jinja2/parser.py.
func rewrite(source string, file int) (string, error) {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	list, err := lex(source)
	if err != nil {
		return "", err
	}
	if spaced := spaceAfterBreaks(source, list); spaced != source {
		source = spaced
		if list, err = lex(source); err != nil {
			return "", err
		}
	}
	w := &rewriter{source: source, tokens: list, file: file}
	if err := w.run(); err != nil {
		return "", err
	}
	return w.out.String(), nil
}

// spaceAfterBreaks puts a space after a line break inside of a tag, where
// gonja would take the break for a part of the word that follows.
func spaceAfterBreaks(source string, list []*tokens.Token) string {
	var out strings.Builder
	done := 0
	for _, token := range list {
		if token.Type == tokens.Data || token.Pos >= len(source) || source[token.Pos] != '\n' {
			continue
		}
		end := token.Pos + len(source[token.Pos:]) - len(strings.TrimLeft(source[token.Pos:], "\n"))
		out.WriteString(source[done:end] + " ")
		done = end
	}
	out.WriteString(source[done:])
	return out.String()
}

// templateFault is what is wrong with a template, before its file is known.
type templateFault struct {
	rule, message, mend string
	line                int
}

func (f *templateFault) Error() string { return f.message }

type rewriter struct {
	source string
	tokens []*tokens.Token
	next   int
	file   int
	depth  int // of parentheses and the like
	steps  int // of the expression so far
	open   []opened
	// filtering says that the condition of a loop is being read, where the
	// loop has not begun.
	filtering bool
	// extends says that the template has a parent, and that what stands outside
	// of its blocks is not carried out.
	extends bool
	out     strings.Builder
}

// What a template is made of is bounded, since the work for some of it grows
// with its square: each operator and filter wraps what stands before it.
const (
	maxTokens = 100_000
	maxDepth  = 200
	maxBlocks = 100
	maxSteps  = 1000
)

// step counts operators, filters, attributes and items of an expression.
func (w *rewriter) step() {
	if w.steps++; w.steps > maxSteps {
		w.fail("R043", fmt.Sprintf("the expression has more than %d operators, filters and items", maxSteps), "Split it with {% set %}, or make the value a parameter.")
	}
}

func (w *rewriter) run() (err error) {
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(*templateFault)
			if !ok {
				panic(r)
			}
			err = fault
		}
	}()
	for w.next < len(w.tokens) {
		w.steps = 0
		switch w.peek().Type {
		case tokens.VariableBegin:
			w.copy()
			w.out.WriteString(w.wrapped(fnPrint, func() string { return w.tupleOr(w.conditional) }))
			w.expect(tokens.VariableEnd)
		case tokens.BlockBegin:
			w.block()
		case tokens.CommentBegin:
			w.comment()
		case tokens.Data:
			w.data()
		default:
			w.copy()
		}
	}
	return nil
}

// fail leaves the parser; run turns it into an error.
func (w *rewriter) fail(rule, message, mend string) {
	panic(&templateFault{rule: rule, line: w.line(), message: message, mend: mend})
}

func (w *rewriter) line() int {
	if len(w.tokens) == 0 {
		return 0
	}
	return w.tokens[min(w.next, len(w.tokens)-1)].Line
}

var endToken = &tokens.Token{Type: tokens.EOF, Val: "the end of the file"}

func (w *rewriter) peek() *tokens.Token {
	if w.next >= len(w.tokens) {
		return endToken
	}
	return w.tokens[w.next]
}

func (w *rewriter) is(types ...tokens.Type) bool {
	for _, t := range types {
		if w.peek().Type == t {
			return true
		}
	}
	return false
}

func (w *rewriter) isName(names ...string) bool {
	for _, name := range names {
		if w.peek().Type == tokens.Name && w.peek().Val == name {
			return true
		}
	}
	return false
}

// take returns the source of the next token with the white space after it, so
// that every line break stays where it was.
func (w *rewriter) take() string {
	if w.next >= len(w.tokens) {
		w.fail("R040", "the template ends inside an expression", "Close what is open.")
	}
	from, to := w.tokens[w.next].Pos, len(w.source)
	if w.next+1 < len(w.tokens) {
		to = w.tokens[w.next+1].Pos
	}
	w.next++
	return w.source[from:to]
}

func (w *rewriter) copy() { w.out.WriteString(w.take()) }

func (w *rewriter) expect(t tokens.Type) {
	if !w.is(t) {
		w.unexpected()
	}
	w.copy()
}

func (w *rewriter) unexpected() {
	token := w.peek()
	w.fail("R040", fmt.Sprintf("unexpected %q", strings.TrimSpace(token.Val)), "Correct the expression; compare it with the documentation of Jinja2.")
}

// wrapped notes the position before the expression that read rewrites is
// evaluated.
func (w *rewriter) wrapped(function string, read func() string) string {
	at := w.at()
	// A line break before the expression is part of its first token.
	return fmt.Sprintf(" %s(%s,[%s])", function, at, read())
}

func (w *rewriter) at() string {
	return fmt.Sprintf("%s(%d,%d)", fnAt, w.file, w.line())
}

// comment copies a comment, whose text is of no concern.
func (w *rewriter) comment() {
	for !w.is(tokens.CommentEnd) {
		w.copy()
	}
	w.copy()
}

// data copies text of the template, and has its place noted before. What a
// dash before it strips does not count, and is what Python takes for space,
// which is more than gonja does.
func (w *rewriter) data() {
	line, stripped := w.line(), w.stripped()
	text := w.take()
	if stripped {
		rest := strings.TrimLeftFunc(text, isSpace)
		space := text[:len(text)-len(rest)]
		line += strings.Count(space, "\n")
		text = strings.Map(plainSpace, space) + rest
	}
	if w.is(tokens.VariableBegin, tokens.BlockBegin, tokens.CommentBegin) && strings.HasSuffix(w.peek().Val, "-") {
		rest := strings.TrimRightFunc(text, isSpace)
		text = rest + strings.Map(plainSpace, text[len(rest):])
	}
	w.here(line, len(text), "", stripped)
	w.out.WriteString(text)
}

// here has a place noted. What stands before and after in the template is
// stripped by the dashes of the tags that it has there now.
func (w *rewriter) here(line, bytes int, left string, right bool) {
	w.out.WriteString(fmt.Sprintf("{{%s%s(%d,%d,%d)", left, fnHere, w.file, line, bytes))
	if right {
		w.out.WriteString("-")
	}
	w.out.WriteString("}}")
}

// stripped reports whether the tag before the next token ends with a dash.
func (w *rewriter) stripped() bool {
	return w.next > 0 && w.tokens[w.next-1].Type != tokens.Data && strings.HasPrefix(w.tokens[w.next-1].Val, "-")
}

// isSpace is Python's str.isspace.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func plainSpace(r rune) rune {
	if r == '\n' {
		return r
	}
	return ' '
}

func (w *rewriter) untilEnd() {
	for !w.is(tokens.BlockEnd) {
		w.copy()
	}
	w.copy()
}

func leftDash(begin string) string {
	if strings.HasPrefix(begin, "{%-") {
		return "-"
	}
	return ""
}

// own refuses names that a template cannot set.
func (w *rewriter) own() {
	w.reserved()
	if w.isName("true", "false", "none", "True", "False", "None") {
		w.fail("R040", w.peek().Val+" cannot be set", "Use another name.")
	}
}

// reserved refuses names that would hide our functions.
func (w *rewriter) reserved() {
	if w.peek().Type == tokens.Name && strings.HasPrefix(w.peek().Val, ours) {
		w.fail("R042", "names that begin with "+ours+" are reserved", "Use another name.")
	}
}
