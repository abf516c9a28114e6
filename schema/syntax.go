package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	yamlv4 "go.yaml.in/yaml/v4"
)

// syntaxProblem says where and why data is no YAML. The reader of version 3,
// which decides what is accepted, tells a line at best, and often that of the
// mapping around; so the one of version 4, which keeps exact places, reads the
// text again, and what it says is put into the user's words.
func syntaxProblem(file string, data []byte, err error) *Problem {
	f, ok := unreadable(data)
	if !ok {
		f = noticed(data, err).explain()
	}
	if strings.HasSuffix(file, ".json") {
		f.message = strings.Replace(f.message, "cannot read YAML", "cannot read JSON", 1)
	}
	return &Problem{Rule: f.rule, Origin: Origin{File: file, Line: f.line, Column: f.column}, Message: f.message, Mend: f.mend, Cause: err}
}

// slip is where the user has to look, what is wrong there, and how to mend it.
type slip struct {
	spot
	rule, message, mend string
}

// spot counts lines and columns (of code points) from 1; zero is unknown.
type spot struct{ line, column int }

// unreadable finds the first byte that is no text that YAML allows.
func unreadable(data []byte) (slip, bool) {
	if utf16(data) {
		return slip{}, false
	}
	at := spot{1, 1}
	for text := bytes.TrimPrefix(data, []byte(byteOrderMark)); len(text) > 0; {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			return slip{at, "R001", fmt.Sprintf("cannot read YAML: the byte 0x%02X here is not UTF-8", text[0]), "Save the file as UTF-8."}, true
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff:
			return slip{at, "R001", fmt.Sprintf("cannot read YAML: the control character %U is not allowed", r),
				fmt.Sprintf("Remove it, or write it as %s inside double quotes.", escaped(r))}, true
		case r == '\n' || r == '\r' && !bytes.HasPrefix(text[1:], []byte("\n")):
			at = spot{at.line + 1, 1}
		default:
			at.column++
		}
		text = text[size:]
	}
	return slip{}, false
}

// escaped returns r as YAML's double quotes take it.
func escaped(r rune) string {
	if r > 0xff {
		return fmt.Sprintf(`\u%04X`, r)
	}
	return fmt.Sprintf(`\x%02X`, r)
}

const byteOrderMark = "\ufeff"

func utf16(data []byte) bool {
	return bytes.HasPrefix(data, []byte{0xfe, 0xff}) || bytes.HasPrefix(data, []byte{0xff, 0xfe})
}

var lineEnd = regexp.MustCompile(`\r\n|\r|\n`)

// textLines returns the lines of data without their ends, none for a text
// that is not UTF-8.
func textLines(data []byte) []string {
	if utf16(data) {
		return nil
	}
	return lineEnd.Split(string(bytes.TrimPrefix(data, []byte(byteOrderMark))), -1)
}

// syntax is what a reader noticed, and the text that it read.
type syntax struct {
	lines []string
	// at is where it noticed, start where what it was reading began.
	at, start spot
	// message and reading are its own words.
	message, reading string
}

var yamlErrorLine = regexp.MustCompile(`^yaml: (?:(?:unmarshal errors:\s*)?line (\d+): )?(.*)$`)

func noticed(data []byte, err error) *syntax {
	s := &syntax{lines: textLines(data), message: err.Error()}
	if m := yamlErrorLine.FindStringSubmatch(s.message); m != nil {
		s.message = m[2]
		s.at.line, _ = strconv.Atoi(m[1])
	}
	loader, err := yamlv4.NewLoader(bytes.NewReader(data))
	for err == nil {
		err = loader.Load(&yamlv4.Node{})
	}
	if exact, ok := errors.AsType[*yamlv4.LoadError](err); ok && !errors.Is(err, io.EOF) {
		s.message, s.reading = exact.Message, exact.ContextMsg
		s.at = spot{exact.Mark.Line, exact.Mark.Column}
		s.start = spot{exact.ContextMark.Line, exact.ContextMark.Column}
	}
	return s
}

// line returns a line of the text, "" beyond its end.
func (s *syntax) line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	return s.lines[n-1]
}

// split returns a line left and right of a spot.
func (s *syntax) split(p spot) (left, right string) {
	runes := []rune(s.line(p.line))
	i := min(max(p.column-1, 0), len(runes))
	return string(runes[:i]), string(runes[i:])
}

// char returns what stands at a spot, "" if nothing does.
func (s *syntax) char(p spot) string {
	_, right := s.split(p)
	_, size := utf8.DecodeRuneInString(right)
	return right[:size]
}

// explanations are by the beginning of the reader's message; the first one
// that fits and returns a message is taken.
var explanations = []struct {
	message string
	explain func(*syntax) slip
}{
	{"exceeded max depth", (*syntax).tooDeep},
	{"", (*syntax).tab},
	{"found unexpected end of stream", (*syntax).openQuote},
	{"found unexpected document indicator", (*syntax).openQuote},
	{"did not find expected ','", (*syntax).flow},
	{"mapping values are not allowed", (*syntax).value},
	{"could not find expected ':'", (*syntax).colon},
	{"did not find expected key", (*syntax).key},
	{"did not find expected '-'", (*syntax).entry},
	{"did not find expected <document start>", (*syntax).key},
	{"found character that cannot start", (*syntax).character},
	{"did not find expected node content", (*syntax).content},
	{"block sequence entries are not allowed", (*syntax).list},
	{"found unknown escape character", (*syntax).escape},
	{"did not find expected hex", (*syntax).escape},
	{"did not find expected comment", (*syntax).blockHeader},
	{"did not find expected alphabetic", (*syntax).sign},
	{"unknown anchor", (*syntax).alias},
}

func (s *syntax) explain() slip {
	f := slip{spot: s.at, message: s.message, mend: "Correct the indentation or the quoting near this line."}
	for _, e := range explanations {
		if !strings.HasPrefix(s.message, e.message) {
			continue
		}
		if better := e.explain(s); better.message != "" {
			f = better
			break
		}
	}
	if f.rule == "" {
		f.rule, f.message = "R001", "cannot read YAML: "+f.message
		if line := s.line(f.line); strings.Contains(line, "{{") || strings.Contains(line, "{%") {
			f.mend = "This looks like a Jinja template: name the file *.yaml.jinja2."
		}
	}
	return f
}

func (s *syntax) tooDeep() slip {
	return slip{s.at, "R004", "values are nested too deep to be read", "Flatten the document."}
}

// tab finds a tab among what indents the line.
func (s *syntax) tab() slip {
	line := s.line(s.at.line)
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	i := strings.IndexByte(indent, '\t')
	if i < 0 || i >= s.at.column {
		return slip{}
	}
	return slip{spot: spot{s.at.line, i + 1}, message: "a tab indents the line", mend: "Indent with spaces; YAML forbids tabs."}
}

func (s *syntax) openQuote() slip {
	quote := s.char(s.start)
	if quote != `"` && quote != "'" {
		return slip{}
	}
	return slip{spot: s.start, message: fmt.Sprintf("the quote %s opened here is never closed", quote), mend: "Add the closing quote."}
}

// flow explains a { or [ that does not go on as it should.
func (s *syntax) flow() slip {
	open, found := s.char(s.start), s.char(s.at)
	end := closing[open]
	if end == "" {
		return slip{}
	}
	if found == "}" || found == "]" {
		return slip{spot: s.at, message: fmt.Sprintf("%s closes what %s opened", found, open), mend: "Write " + end + "."}
	}
	left, _ := s.split(s.at)
	before := strings.TrimRight(left, " ")
	switch {
	case s.ended():
		return s.neverClosed(s.start)
	case s.at.line > s.start.line && (before == "" || found == ":" && !strings.ContainsAny(left, ":,{[")):
		return slip{spot: spot{s.at.line, indentation(left) + 1}, message: "a comma is missing before the line", mend: "End the line above with a comma."}
	case found == ":" && strings.Contains(left[strings.LastIndexAny(left, ",{[")+1:], ": "):
		return secondColon(s.at, "")
	case before == left && (strings.HasSuffix(left, `"`) || strings.HasSuffix(left, "'")):
		return s.afterQuote(left)
	}
	return slip{spot: s.at, message: fmt.Sprintf("wants a comma or %s here, for a %s is open", end, open),
		mend: "Separate the entries with commas, and quote texts that have one of , : { } [ ] in them."}
}

// ended reports whether what was opened at start is over before the spot
// where the reader noticed: the text has ended, or a line is indented no more
// than the one with the opening, which therefore was meant to go on there.
func (s *syntax) ended() bool {
	_, rest := s.split(s.at)
	if strings.TrimSpace(rest) == "" && !slices.ContainsFunc(s.lines[min(s.at.line, len(s.lines)):], func(l string) bool { return strings.TrimSpace(l) != "" }) {
		return true
	}
	left, _ := s.split(s.start)
	return s.at.line > s.start.line && strings.TrimSpace(left) != "" && indentation(s.line(s.at.line)) <= indentation(left)
}

func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// entryText returns a line without its indentation and the dashes of lists.
func entryText(line string) string {
	line = strings.TrimSpace(line)
	for strings.HasPrefix(line, "- ") {
		line = strings.TrimSpace(line[2:])
	}
	return line
}

// above returns the number of the nearest line before n with content, 0 if
// there is none.
func (s *syntax) above(n int) int {
	for n--; n > 0; n-- {
		if text := entryText(s.line(n)); text != "" && text[0] != '#' {
			break
		}
	}
	return max(n, 0)
}

// value explains a colon where no mapping can begin.
func (s *syntax) value() slip {
	left, _ := s.split(s.at)
	if _, value, found := strings.Cut(entryText(s.line(s.at.line)), ": "); found && strings.Contains(entryText(left), ": ") {
		return secondColon(s.at, value)
	}
	above := s.above(s.at.line)
	text := entryText(s.line(above))
	switch {
	case above == 0 || strings.HasPrefix(strings.TrimSpace(s.line(above)), "---"):
		return slip{}
	case !strings.Contains(text, ":") && !strings.HasPrefix(strings.TrimSpace(s.line(above)), "- "):
		return s.missingColon(above)
	case indentation(s.line(s.at.line)) > indentation(s.line(above)):
		return slip{spot: spot{s.at.line, indentation(s.line(s.at.line)) + 1}, message: "the line is indented below one that has its value already",
			mend: "Indent it like the key above, or let nothing follow the colon there."}
	}
	return slip{}
}

func secondColon(at spot, value string) slip {
	return slip{spot: at, message: "a second `: ` stands here, in a value without quotes", mend: quoteIt(value)}
}

// quoteIt says how to quote what stands on a line after its key, if that is
// short and needs no escapes.
func quoteIt(value string) string {
	value, _, _ = strings.Cut(value, " #")
	value = strings.TrimSpace(value)
	if value == "" || len(value) > 60 || strings.ContainsAny(value, `"'\\`) {
		return "Quote the value."
	}
	return fmt.Sprintf(`Quote the value: "%s".`, value)
}

func (s *syntax) missingColon(line int) slip {
	word, _, _ := strings.Cut(entryText(s.line(line)), " ")
	return slip{spot: spot{line, indentation(s.line(line)) + 1}, message: "the line has no colon, so it is no key",
		mend: fmt.Sprintf("Write `%s:`; or indent the line, if it continues the value above.", word)}
}

func (s *syntax) colon() slip {
	if entryText(s.line(s.start.line)) == "" {
		return slip{}
	}
	return s.missingColon(s.start.line)
}

// key explains what stands where a key of a mapping, or a document, must begin.
func (s *syntax) key() slip {
	left, right := s.split(s.at)
	before := strings.TrimRight(left, " ")
	switch found := s.char(s.at); {
	case before == "" && strings.HasPrefix(right+" ", "- "):
		return slip{spot: s.at, message: "an entry of a list stands where a key of the mapping is expected",
			mend: "Indent it like the entries above it, or remove the dash."}
	case before == "":
		return s.indented()
	case found == "}" || found == "]":
		return slip{spot: s.at, message: found + " closes nothing", mend: "Remove it, or quote the value."}
	case strings.HasSuffix(before, `"`) || strings.HasSuffix(before, "'"):
		return s.afterQuote(before)
	}
	return slip{}
}

// afterQuote explains text behind a closing quote: either that quote was
// meant to open a text, since another one was never closed, or the text has
// quotes inside.
func (s *syntax) afterQuote(before string) slip {
	quote := before[len(before)-1:]
	if strings.Contains(before[:len(before)-1], quote) {
		inside := map[string]string{`"`: `Write \" for a quote inside double quotes`, "'": "Write '' for a quote inside single quotes"}[quote]
		return slip{spot: s.at, message: "text follows the closing quote", mend: inside + ", or quote the whole value."}
	}
	for n := s.at.line - 1; n > 0; n-- {
		line := s.line(n)
		if strings.Count(line, quote)%2 == 1 {
			column := utf8.RuneCountInString(line[:strings.LastIndex(line, quote)]) + 1
			return slip{spot: spot{n, column}, message: fmt.Sprintf("the quote %s opened here is closed only by the next one, lines below", quote), mend: "Add the closing quote."}
		}
	}
	return slip{}
}

// indented explains a line that begins between the columns of the blocks that
// are open.
func (s *syntax) indented() slip {
	own := indentation(s.line(s.at.line))
	deeper, shallower := -1, -1
	for n := s.above(s.at.line); n > 0 && shallower < 0; n = s.above(n) {
		line := s.line(n)
		if strings.HasPrefix(line, "---") {
			break
		}
		for _, level := range []int{len(line) - len(strings.TrimLeft(line, " -")), indentation(line)} {
			switch {
			case level > own && (deeper < 0 || level < deeper):
				deeper = level
			case level < own:
				shallower = max(shallower, level)
			}
		}
	}
	if deeper < 0 || shallower < 0 {
		return slip{}
	}
	return slip{spot: s.at, message: fmt.Sprintf("the line is indented by %d, which fits neither the %d nor the %d of the lines above", own, deeper, shallower),
		mend: "Indent it like the line that it belongs to."}
}

// entry explains what stands among the entries of a list.
func (s *syntax) entry() slip {
	left, _ := s.split(s.at)
	if strings.TrimSpace(left) != "" {
		return s.key()
	}
	if f := s.indented(); f.message != "" && s.start.column != s.at.column {
		return f
	}
	return slip{spot: s.at, message: "the line stands among the entries of a list and does not begin with a dash",
		mend: "Begin it with `- `; or indent it less, to end the list, or more, to continue the entry."}
}

func (s *syntax) character() slip {
	_, value := s.split(s.at)
	return slip{spot: s.at, message: "a value cannot begin with " + s.char(s.at), mend: quoteIt(value)}
}

// sign explains a lone * or &, with which many schedules and globs begin.
func (s *syntax) sign() slip {
	at := s.start
	left, value := s.split(at)
	// Of `*/5 * * * *` only the second star is no alias.
	if i := max(strings.LastIndex(left, ": "), strings.LastIndex(left, "- ")); i >= 0 && strings.HasPrefix(left[i+2:], "*") {
		at.column, value = utf8.RuneCountInString(left[:i+2])+1, left[i+2:]+value
	}
	what := map[string]string{"*": "an alias", "&": "an anchor"}[s.char(at)]
	if what == "" {
		return slip{}
	}
	return slip{spot: at, message: fmt.Sprintf("a value cannot begin with %s, which is the sign of %s", s.char(at), what), mend: quoteIt(value)}
}

func (s *syntax) content() slip {
	switch char := s.char(s.at); char {
	case "}", "]", ",":
		return slip{spot: s.at, message: "a value is expected before " + char, mend: "Add the value, or quote it if this is its text."}
	}
	if _, rest := s.split(s.at); strings.TrimSpace(rest) == "" && s.at.line >= len(s.lines) {
		if open, ok := s.lastOpen(); ok {
			return s.neverClosed(open)
		}
		return slip{spot: s.at, message: "the text ends where a value is expected", mend: "Add what is missing."}
	}
	return slip{}
}

// lastOpen returns the last { or [ of the text that has no partner.
func (s *syntax) lastOpen() (spot, bool) {
	closed := 0
	for n := len(s.lines); n > 0; n-- {
		runes := []rune(s.lines[n-1])
		for i := len(runes) - 1; i >= 0; i-- {
			switch runes[i] {
			case '}', ']':
				closed++
			case '{', '[':
				if closed == 0 {
					return spot{n, i + 1}, true
				}
				closed--
			}
		}
	}
	return spot{}, false
}

func (s *syntax) neverClosed(open spot) slip {
	sign := s.char(open)
	return slip{spot: open, message: fmt.Sprintf("the %s opened here is never closed", sign), mend: "Add the " + closing[sign] + "."}
}

var closing = map[string]string{"{": "}", "[": "]"}

func (s *syntax) list() slip {
	return slip{spot: s.at, message: "a list cannot begin on the line of its key", mend: "Put each `- ` entry on a line of its own, or write the list as [a, b]."}
}

func (s *syntax) escape() slip {
	left, right := s.split(s.at)
	at := s.at
	if i := strings.LastIndexByte(left, '\\'); i >= 0 && !strings.HasPrefix(right, `\`) {
		right = left[i:] + right
		at.column = utf8.RuneCountInString(left[:i]) + 1
	}
	if len(right) < 2 || right[0] != '\\' {
		return slip{}
	}
	_, size := utf8.DecodeRuneInString(right[1:])
	return slip{spot: at, message: fmt.Sprintf("%s begins no escape of a text in double quotes", right[:1+size]),
		mend: `Write \\ for a backslash, or put the text in single quotes.`}
}

func (s *syntax) blockHeader() slip {
	if s.reading != "while scanning a block scalar" {
		return slip{}
	}
	return slip{spot: s.at, message: "text follows the " + s.char(s.start) + " that begins a block of lines", mend: "Begin the text on the next line."}
}

func (s *syntax) alias() slip {
	name := strings.TrimSuffix(strings.TrimPrefix(s.message, "unknown anchor '"), "' referenced")
	return slip{spot: s.at, message: fmt.Sprintf("the alias *%s names no anchor before it", name),
		mend: fmt.Sprintf("Set the anchor &%s further up in the document, or quote the value.", name)}
}
