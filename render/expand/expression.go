package expand

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// tupleOr reads `a, b` without parentheses as a tuple.
func (w *rewriter) tupleOr(read func() string) string {
	first := read()
	if !w.is(tokens.Comma) {
		return first
	}
	list := []string{first}
	for w.is(tokens.Comma) {
		w.take()
		if w.is(tokens.VariableEnd, tokens.BlockEnd) {
			break
		}
		list = append(list, read())
	}
	return fnTuple + "(" + strings.Join(list, ",") + ")"
}

// conditional reads `a if b else c`. It becomes a lazy choice, for gonja knows
// it only directly inside {{ }}.
func (w *rewriter) conditional() string {
	if w.depth++; w.depth > maxDepth {
		w.fail("R043", fmt.Sprintf("the expression is nested more than %d deep", maxDepth), "Split it with {% set %}.")
	}
	defer func() { w.depth-- }()
	value := w.or()
	for w.isName("if") {
		w.step()
		w.take()
		test := w.or()
		other := fnUndefined + "()"
		if w.isName("else") {
			w.take()
			other = w.conditional()
		}
		value = fmt.Sprintf("%s(%s(%s) and [%s] or [%s])", fnGroup, fnTruth, test, value, other)
	}
	return value
}

func (w *rewriter) or() string {
	left := w.and()
	for w.is(tokens.Or) {
		w.step()
		w.take()
		left = fmt.Sprintf("%s([%s(%s) or %s])", fnGroup, fnOperand, left, w.and())
	}
	return left
}

func (w *rewriter) and() string {
	left := w.not()
	for w.is(tokens.And) {
		w.step()
		w.take()
		left = fmt.Sprintf("%s([%s(%s) and %s])", fnGroup, fnOperand, left, w.not())
	}
	return left
}

func (w *rewriter) not() string {
	if w.is(tokens.Not) {
		w.step()
		w.take()
		return fnNot + "(" + w.not() + ")"
	}
	return w.compare()
}

var comparisons = map[tokens.Type]string{
	tokens.Equals: "==", tokens.Ne: "!=", tokens.LowerThan: "<", tokens.LowerThanOrEqual: "<=", tokens.GreaterThan: ">", tokens.GreaterThanOrEqual: ">=", tokens.In: "in",
}

func (w *rewriter) compare() string {
	list := []string{w.sum()}
	for {
		operator, ok := comparisons[w.peek().Type]
		if !ok && w.is(tokens.Not) && w.next+1 < len(w.tokens) && w.tokens[w.next+1].Type == tokens.In {
			w.take()
			operator, ok = "not in", true
		}
		if !ok {
			break
		}
		w.take()
		w.step()
		list = append(list, "'"+operator+"'", w.sum())
	}
	if len(list) == 1 {
		return list[0]
	}
	return fnCompare + "(" + strings.Join(list, ",") + ")"
}

// binary reads a chain of operators that associate to the left.
func (w *rewriter) binary(read func() string, operators ...tokens.Type) string {
	left := read()
	for w.is(operators...) {
		w.step()
		operator := strings.TrimSpace(w.take())
		left = fmt.Sprintf("%s('%s',%s,%s)", fnBinary, operator, left, read())
	}
	return left
}

func (w *rewriter) sum() string    { return w.binary(w.concat, tokens.Addition, tokens.Subtraction) }
func (w *rewriter) concat() string { return w.binary(w.product, tokens.Tilde) }
func (w *rewriter) product() string {
	return w.binary(w.power, tokens.Multiply, tokens.Division, tokens.FloorDivision, tokens.Modulo)
}
func (w *rewriter) power() string {
	// Jinja2 folds -3 into one constant, which Python then reads as -(3 ** x).
	if w.is(tokens.Subtraction) {
		left := w.unary(true)
		if w.is(tokens.Power) {
			w.fail("R042", "a power of a number with a sign is ambiguous", "Set the number to a name first, or multiply.")
		}
		return left
	}
	return w.binary(func() string { return w.unary(true) }, tokens.Power)
}

func (w *rewriter) unary(filters bool) string {
	if w.depth++; w.depth > maxDepth {
		w.fail("R043", fmt.Sprintf("the expression is nested more than %d deep", maxDepth), "Split it with {% set %}.")
	}
	defer func() { w.depth-- }()
	var value string
	switch {
	case w.is(tokens.Subtraction):
		w.take()
		value = fnNegate + "(" + w.unary(false) + ")"
	case w.is(tokens.Addition):
		w.take()
		value = fnPlus + "(" + w.unary(false) + ")"
	default:
		value = w.primary()
	}
	value = w.postfix(value)
	if filters {
		value = w.filters(value)
	}
	return value
}

func (w *rewriter) primary() string {
	w.step()
	switch {
	case w.is(tokens.Name):
		return w.name()
	case w.is(tokens.String):
		value := w.text()
		for w.is(tokens.String) {
			w.step()
			value = fmt.Sprintf("%s('~',%s,%s)", fnBinary, value, w.text())
		}
		return value
	case w.is(tokens.Integer, tokens.Float):
		return w.number()
	case w.is(tokens.LeftBracket):
		return w.list()
	case w.is(tokens.LeftParenthesis):
		return w.parentheses()
	case w.is(tokens.LeftBrace):
		return w.dict()
	}
	w.unexpected()
	return ""
}

func (w *rewriter) name() string {
	w.reserved()
	name := w.peek().Val
	text := w.take()
	switch name {
	case "caller":
		for i := range w.open {
			w.open[i].calls = true
		}
	case "none":
		return "None" + strings.TrimPrefix(text, name)
	case "loop":
		if w.filtering {
			w.next--
			w.fail("R042", "loop is not there yet in the condition of a loop", "Ask inside of the loop, with {% if %}.")
		}
	case "dict":
		if w.is(tokens.LeftParenthesis) && w.next+2 < len(w.tokens) && w.tokens[w.next+2].Type == tokens.Assign {
			return w.named()
		}
	case "varargs", "kwargs":
		if slices.ContainsFunc(w.open, func(o opened) bool { return o.name == "macro" }) {
			w.next--
			w.fail("R042", name+" in a macro is not supported", "Give the macro a parameter that is a list or a mapping.")
		}
	case "nil":
		w.next--
		w.fail("R041", `"nil" is not defined`, "Write none.")
	}
	return text
}

// named reads the arguments of dict(a=1, b=2), which become a mapping in the
// order that they are written in.
func (w *rewriter) named() string {
	w.take()
	var items []string
	for w.is(tokens.Name) {
		w.step()
		name := w.peek().Val
		w.take()
		if !w.is(tokens.Assign) {
			w.unexpected()
		}
		w.take()
		items = append(items, "'"+name+"'", w.conditional())
		if !w.is(tokens.Comma) {
			break
		}
		w.take()
	}
	return fnDict + "([" + strings.Join(items, ",") + "])" + w.close(tokens.RightParenthesis)
}

func (w *rewriter) number() string {
	text := w.take()
	digits := strings.TrimSpace(text)
	if strings.HasSuffix(digits, ".") {
		w.next--
		w.fail("R040", fmt.Sprintf("the number %s ends with a dot", digits), "Write "+digits+"0.")
	}
	// Python refuses 010, and gonja would read it as octal.
	if len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' && !strings.ContainsAny(digits, ".eE") {
		w.next--
		w.fail("R040", fmt.Sprintf("the number %s begins with a zero", digits), "Remove the zero, or quote it.")
	}
	if _, err := strconv.ParseInt(strings.ReplaceAll(digits, "_", ""), 0, 64); err != nil && !strings.ContainsAny(digits, ".eE") {
		w.next--
		w.fail("R042", fmt.Sprintf("the number %s has more than 64 bits", digits), "Quote it if it is a text.")
	}
	return text
}

func (w *rewriter) list() string {
	w.take()
	var items []string
	for !w.is(tokens.RightBracket) {
		items = append(items, w.conditional())
		if !w.is(tokens.Comma) {
			break
		}
		w.take()
	}
	return fnList + "([" + strings.Join(items, ",") + "])" + w.close(tokens.RightBracket)
}

// close takes a closing token, and returns the white space after it.
func (w *rewriter) close(t tokens.Type) string {
	if !w.is(t) {
		w.unexpected()
	}
	length := len(w.peek().Val)
	return w.take()[length:]
}

func (w *rewriter) parentheses() string {
	w.take()
	if w.is(tokens.RightParenthesis) {
		w.take()
		return fnTuple + "()"
	}
	first := w.conditional()
	if !w.is(tokens.Comma) {
		return fnGroup + "([" + first + "])" + w.close(tokens.RightParenthesis)
	}
	list := []string{first}
	for w.is(tokens.Comma) {
		w.take()
		if w.is(tokens.RightParenthesis) {
			break
		}
		list = append(list, w.conditional())
	}
	return fnTuple + "(" + strings.Join(list, ",") + ")" + w.close(tokens.RightParenthesis)
}

func (w *rewriter) dict() string {
	w.take()
	var items []string
	for !w.is(tokens.RightBrace) {
		key := w.conditional() + w.close(tokens.Colon)
		items = append(items, key, w.conditional())
		if !w.is(tokens.Comma) {
			break
		}
		w.take()
	}
	return fnDict + "([" + strings.Join(items, ",") + "])" + w.close(tokens.RightBrace)
}

func (w *rewriter) postfix(value string) string {
	for {
		switch {
		case w.is(tokens.Dot):
			w.step()
			w.take()
			if !w.is(tokens.Name, tokens.Integer) {
				w.unexpected()
			}
			called := w.next+1 < len(w.tokens) && w.tokens[w.next+1].Type == tokens.LeftParenthesis
			if name := w.peek().Val; mutating[name] && called {
				w.fail("R042", fmt.Sprintf("the method %s changes a value in place, which is not supported", name), "Make a new value, such as {% set list = list + [item] %}; inside a loop keep it in a namespace().")
			}
			value = attributed(value, w.take(), called)
		case w.is(tokens.LeftBracket):
			w.step()
			value = w.subscript(value)
		case w.is(tokens.LeftParenthesis):
			w.step()
			value += w.arguments()
		default:
			return value
		}
	}
}

// mutating are methods that gonja applies to a copy.
var mutating = map[string]bool{
	"append": true, "extend": true, "insert": true, "remove": true, "pop": true, "popitem": true, "clear": true,
	"update": true, "setdefault": true, "sort": true, "reverse": true,
}

func (w *rewriter) subscript(base string) string {
	w.take()
	bounds := []string{""}
	for !w.is(tokens.RightBracket) {
		if w.is(tokens.Colon) {
			w.take()
			if bounds = append(bounds, ""); len(bounds) > 3 {
				w.unexpected()
			}
			continue
		}
		bounds[len(bounds)-1] = w.conditional()
		if !w.is(tokens.Colon, tokens.RightBracket) {
			w.unexpected()
		}
	}
	if len(bounds) == 1 && bounds[0] == "" {
		w.unexpected()
	}
	return subscripted(base, bounds) + w.close(tokens.RightBracket)
}

func (w *rewriter) arguments() string {
	out := w.take()
	for !w.is(tokens.RightParenthesis) {
		if w.is(tokens.Multiply, tokens.Power) {
			w.fail("R042", "* and ** in a call are not supported", "Write the arguments out.")
		}
		if w.is(tokens.Name) && w.next+1 < len(w.tokens) && w.tokens[w.next+1].Type == tokens.Assign {
			out += w.take() + w.take()
		}
		out += w.conditional()
		if !w.is(tokens.Comma) {
			break
		}
		separator := w.take()
		if !w.is(tokens.RightParenthesis) {
			out += separator
		} else {
			out += strings.TrimPrefix(separator, ",")
		}
	}
	return out + ")" + w.close(tokens.RightParenthesis)
}

// filters reads `|name(args)`, `is test` and calls of what they give. Jinja
// lets all of them bind closer than any operator, gonja does not: hence the
// grouping.
func (w *rewriter) filters(value string) string {
	for {
		switch {
		case w.is(tokens.Pipe):
			w.step()
			pipe := w.take()
			if !w.is(tokens.Name) {
				w.unexpected()
			}
			name := w.peek().Val
			if !filterNames[name] {
				w.fail("R042", fmt.Sprintf("the filter %s is not supported", name), filterMend(name))
			}
			value = fnGroup + "([" + value + pipe + w.take()
			if w.is(tokens.LeftParenthesis) {
				value += w.arguments()
			}
			value = w.postfix(value + "])")
		case w.is(tokens.Is):
			w.step()
			value = w.test(value)
			if w.is(tokens.Is) {
				w.fail("R040", "a test follows a test", "Join them with `and`, or use parentheses.")
			}
		default:
			return value
		}
	}
}

func (w *rewriter) test(value string) string {
	w.take()
	out := fnGroup + "([" + value + " is "
	negated := w.is(tokens.Not)
	if negated {
		w.take()
	}
	// Words that are operators elsewhere are names of tests here.
	if !w.is(tokens.Name, tokens.In) {
		w.unexpected()
	}
	if name := strings.TrimSpace(w.peek().Val); !testNames[name] {
		w.fail("R042", fmt.Sprintf("the test %s is not supported", name), testMend(name))
	}
	out += w.take()
	switch {
	case w.is(tokens.LeftParenthesis):
		out += w.arguments()
	case w.is(tokens.Name, tokens.String, tokens.Integer, tokens.Float, tokens.LeftBracket, tokens.LeftBrace) && !w.isName("if", "else", "is", "recursive"):
		out += "(" + w.postfix(w.primary()) + ")"
	}
	out += "])"
	if negated {
		return fnNot + "(" + out + ")"
	}
	return out
}
