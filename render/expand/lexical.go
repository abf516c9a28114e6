package expand

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// lex splits a template into tokens as Jinja2 would, or not at all: what gonja
// passes over in silence is a fault.
func lex(source string) ([]*tokens.Token, error) {
	stream := tokens.LexAll(source, config.New())
	var list []*tokens.Token
	comment := false
	for !stream.End() {
		token := stream.Current()
		if token.Type == tokens.Error {
			return nil, &templateFault{rule: "R040", line: lineAt(source, token.Pos), message: "the expression is not closed, or a text in it is not", mend: "Close every bracket, quote and tag that is open."}
		}
		if list = append(list, token); len(list) > maxTokens {
			return nil, &templateFault{rule: "R043", line: token.Line, message: fmt.Sprintf("the template has more than %d words and signs", maxTokens), mend: "Use a loop, or an Expansion with items."}
		}
		comment = token.Type == tokens.CommentBegin || comment && token.Type != tokens.CommentEnd
		if err := odd(token); !comment && err != nil {
			return nil, err
		}
		stream.Next()
	}
	return list, nil
}

func lineAt(source string, position int) int {
	return 1 + strings.Count(source[:min(position, len(source))], "\n")
}

// odd says what Jinja2 does not know in a token: gonja lets such a character
// be a part of the next word or sign.
func odd(token *tokens.Token) error {
	switch token.Type {
	case tokens.Data, tokens.String, tokens.CommentBegin, tokens.CommentEnd, tokens.EOF:
		return nil
	}
	fault := func(r rune) error {
		return &templateFault{rule: "R040", line: token.Line, message: fmt.Sprintf("unexpected character %q", r), mend: "Remove it, or quote the text that it is part of."}
	}
	// A sign is the only one in its token, and a number has one kind of them.
	for i, r := range token.Val {
		switch {
		case r == '_' || r == '\n' || r == ' ' || r == '\t' || unicode.IsLetter(r) || unicode.IsDigit(r):
		case r == '!' && strings.HasPrefix(token.Val[i:], "!="):
		case strings.ContainsRune("{}%#()[].,:|+-*/<>=~", r):
		default:
			return fault(r)
		}
	}
	return nil
}

// literal is the form of a text in jinja2/lexer.py.
var literal = regexp.MustCompile(`(?s)^('([^'\\]*(?:\\.[^'\\]*)*)'|"([^"\\]*(?:\\.[^"\\]*)*)")`)

// text rewrites a text so that gonja gives it the value that Python does.
func (w *rewriter) text() string {
	written := literal.FindString(w.source[w.tokens[w.next].Pos:])
	rest := strings.TrimSpace(w.take())
	if written == "" || rest != written {
		w.next--
		w.fail("R042", "a text that has a quote or a backslash after a backslash is not supported here", "Put the text in the other kind of quotes, or make it a parameter.")
	}
	value, err := decoded(written[1 : len(written)-1])
	if err != nil {
		w.next--
		w.fail("R042", err.Error(), "Write the character itself, or make the text a parameter.")
	}
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range value {
		switch {
		case r == '\'' || r == '"' || r == '\\' || r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('\'')
	// The lines after it keep their numbers.
	return b.String() + strings.Repeat("\n", strings.Count(written, "\n")) + " "
}

var simpleEscapes = map[byte]string{
	'\n': "", '\\': `\`, '\'': `'`, '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v",
}

// decoded is what Python's unicode-escape makes of a text. An escape that it
// does not know stays as it is.
func decoded(s string) (string, error) {
	var b strings.Builder
	for s != "" {
		before, after, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			break
		}
		if simple, ok := simpleEscapes[after[0]]; ok {
			b.WriteString(simple)
			s = after[1:]
			continue
		}
		digits, base := 0, 16
		switch c := after[0]; {
		case c == 'x':
			digits = 2
		case c == 'u':
			digits = 4
		case c == 'U':
			digits = 8
		case c >= '0' && c <= '7':
			base = 8
		case c == 'N' || c >= utf8.RuneSelf:
			return "", fmt.Errorf(`the escape \%c is not supported`, []rune(after)[0])
		default:
			b.WriteByte('\\')
			s = after
			continue
		}
		number := after[:min(len(after), 1+digits)]
		if base == 16 {
			number = number[1:]
		} else {
			digits = len(after) - len(strings.TrimLeft(after[:min(3, len(after))], "01234567")+after[min(3, len(after)):])
			number = after[:digits]
			after = "x" + after
		}
		n, err := strconv.ParseUint(number, base, 32)
		if err != nil || len(number) != digits || n > unicode.MaxRune || n >= 0xd800 && n < 0xe000 {
			return "", fmt.Errorf(`the escape \%s is not a character`, after[:min(len(after), 1+digits)])
		}
		b.WriteRune(rune(n))
		s = after[1+digits:]
	}
	return b.String(), nil
}
