package expand

import (
	"fmt"
	"strings"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// raw rewrites a raw block. gonja has none that is empty, and strips nothing
// inside of one.
func (w *rewriter) raw(begin string) {
	w.take()
	if !w.is(tokens.BlockEnd) {
		w.unexpected()
	}
	opened := w.take()
	line, text := w.line(), ""
	if w.is(tokens.Data) {
		text = w.take()
	}
	kept := text
	if strings.HasPrefix(opened, "-") {
		kept = strings.TrimLeftFunc(kept, isSpace)
		line += strings.Count(text[:len(text)-len(kept)], "\n")
	}
	if strings.HasPrefix(w.take(), "{%-") {
		kept = strings.TrimRightFunc(kept, isSpace)
	}
	w.take()
	closed := w.take()
	w.here(line, len(kept), leftDash(begin), kept == "" && strings.HasPrefix(closed, "-"))
	// The lines after it keep their numbers.
	w.out.WriteString("{#" + strings.Repeat("\n", strings.Count(text, "\n")-strings.Count(kept, "\n")) + "#}")
	if kept != "" {
		w.out.WriteString("{% raw %}" + kept + "{% endraw " + closed)
	}
}

func (w *rewriter) block() {
	begin := w.take()
	keyword := w.peek()
	if keyword.Type == tokens.Name && keyword.Val == "raw" {
		w.raw(begin)
		return
	}
	if keyword.Type == tokens.Name {
		w.guard(keyword.Val, begin)
	}
	w.out.WriteString(begin)
	if keyword.Type != tokens.Name {
		w.unexpected()
	}
	w.copy()
	switch keyword.Val {
	case "for":
		w.loop()
	case "if", "elif":
		w.out.WriteString(w.wrapped(fnTest, func() string { return w.tupleOr(w.or) }))
		if !w.is(tokens.BlockEnd) {
			w.unexpected()
		}
	case "set":
		w.set()
	case "macro":
		w.macro()
	case "block":
		w.blockStatement()
	case "call":
		if w.is(tokens.LeftParenthesis) {
			w.out.WriteString(w.parameters())
		}
		w.out.WriteString(w.unary(false))
	case "with":
		w.assignments()
	case "do", "include", "import", "from":
		w.out.WriteString(w.wrapped(fnValue, w.conditional))
		for keyword.Val == "include" && !w.is(tokens.BlockEnd) {
			if w.isName("without") {
				w.fail("R042", "an include without context is not supported", "Import a macro from the file, which sees no variables either.")
			}
			w.copy()
		}
	}
	w.untilEnd()
	if keyword.Val == "for" {
		// Even a loop that does nothing comes by the limits at each turn.
		w.here(w.line(), 0, "", w.stripped())
	}
}

// opened is a statement that is open. A set block is called set.
type opened struct {
	name  string
	sets  bool // a name is set in it
	calls bool // it mentions the caller
}

// nesting are the statements that have an end; set has one if it has no value.
var nesting = names("block call for if macro with")

// guard refuses statements that gonja has and does otherwise, and checks the
// limits before one that can recurse without an expression.
func (w *rewriter) guard(keyword, begin string) {
	switch {
	case strings.HasPrefix(keyword, "end") && len(w.open) > 0:
		if closed := w.open[len(w.open)-1]; closed.name == "macro" && !closed.calls {
			// As in Jinja2 a call block is for macros that have a use for it.
			w.out.WriteString("{{" + leftDash(begin) + fnNoCaller + "([caller])}}")
		}
		w.open = w.open[:len(w.open)-1]
	case nesting[keyword]:
		w.opens(keyword)
	}
	switch {
	case keyword == "extends":
		if w.extends = true; w.tokens[w.next-1].Pos != 0 {
			w.fail("R042", "extends is supported at the very beginning of a template only", "Move it there; what stands before it would be printed by Jinja2.")
		}
	case w.extends && len(w.open) == 0 || w.extends && len(w.open) == 1 && nesting[keyword] && keyword != "block":
		if keyword != "block" && !strings.HasPrefix(keyword, "end") {
			w.fail("R042", keyword+" outside of the blocks of a template that extends another is not supported", "Move it into the block that needs it.")
		}
	}
	switch keyword {
	case "autoescape", "trans", "filter":
		w.fail("R042", fmt.Sprintf("the statement %s is not supported", keyword), "Write the text without it, or use filters.")
	case "call":
		w.here(w.line(), 0, leftDash(begin), false)
	case "set", "import", "from", "macro":
		for i := range w.open {
			w.open[i].sets = true
		}
	case "break", "continue":
		w.leaves(keyword)
	}
}

func (w *rewriter) opens(keyword string) {
	if w.open = append(w.open, opened{name: keyword}); len(w.open) > maxBlocks {
		w.fail("R043", fmt.Sprintf("statements are nested more than %d deep", maxBlocks), "Use macros, or nest less.")
	}
}

// leaves checks that break and continue leave a loop of their own block.
func (w *rewriter) leaves(keyword string) {
	for i := len(w.open) - 1; i >= 0; i-- {
		switch w.open[i].name {
		case "if", "with":
			continue
		case "for":
			return
		}
		break
	}
	w.fail("R042", keyword+" is supported directly in a loop only", "Use the condition of the loop: {% for x in list if … %}.")
}

// blockStatement checks that the block sees nothing in gonja that it does not
// see in Jinja2, where it has the names of the whole template only, and leaves
// out `scoped`, by which it sees those around it.
func (w *rewriter) blockStatement() {
	w.copy()
	if w.isName("scoped") {
		w.take()
		return
	}
	for _, around := range w.open[:len(w.open)-1] {
		if names("for with macro call set")[around.name] || around.name == "block" && around.sets {
			w.fail("R042", fmt.Sprintf("a block inside of a %s sees none of the names that are set there", around.name), "Write {% block name scoped %} if it needs them, or move the block out.")
		}
	}
}

func (w *rewriter) loop() {
	each := fnIterate
	for count := 0; !w.is(tokens.In); count++ {
		if !w.is(tokens.Name, tokens.Comma, tokens.LeftParenthesis, tokens.RightParenthesis) {
			w.unexpected()
		}
		if count == 3 || w.is(tokens.LeftParenthesis) {
			w.fail("R042", "more than two names in a loop, or parentheses around them, are not supported", "Loop over one name, and take its items by their index.")
		}
		if w.is(tokens.Comma) {
			each = fnPairs
		}
		w.own()
		w.copy()
	}
	w.copy()
	w.out.WriteString(w.wrapped(each, func() string { return w.tupleOr(w.or) }) + " ")
	if w.isName("if") {
		w.copy()
		w.filtering = true
		w.out.WriteString(w.wrapped(fnTest, w.or) + " ")
		w.filtering = false
	}
}

func (w *rewriter) set() {
	function := fnValue
	w.own()
	if !w.is(tokens.Name) {
		w.unexpected()
	}
	w.copy()
	if w.is(tokens.Dot) {
		function = fnKeep
		w.copy()
		w.expect(tokens.Name)
	}
	switch {
	case w.is(tokens.Pipe):
		w.fail("R042", "a filter on a set block is not supported", "Set the text first, and use the filter where it is printed.")
	case w.is(tokens.Comma):
		w.fail("R042", "several names in one set are not supported", "Write a set for each.")
	case w.is(tokens.BlockEnd):
		w.opens("set")
		return
	case !w.is(tokens.Assign):
		w.unexpected()
	}
	w.copy()
	w.out.WriteString(w.wrapped(function, func() string { return w.tupleOr(w.conditional) }))
}

func (w *rewriter) macro() {
	w.own()
	if w.isName("dict") {
		w.fail("R042", "a macro called dict would hide Jinja2's own function", "Use another name.")
	}
	w.copy()
	w.out.WriteString(w.parameters())
}

// parameters rewrites the defaults in (a, b=1).
func (w *rewriter) parameters() string {
	if !w.is(tokens.LeftParenthesis) {
		w.unexpected()
	}
	out := w.take()
	for !w.is(tokens.RightParenthesis) {
		if !w.is(tokens.Name) {
			w.unexpected()
		}
		w.own()
		out += w.take()
		if w.is(tokens.Assign) {
			out += w.take() + w.conditional()
		}
		if w.is(tokens.Comma) {
			out += w.take()
		}
	}
	return out + w.take()
}

func (w *rewriter) assignments() {
	for !w.is(tokens.BlockEnd) {
		w.own()
		w.copy()
		w.expect(tokens.Assign)
		w.out.WriteString(w.conditional())
		if !w.is(tokens.Comma) {
			return
		}
		w.copy()
	}
}
