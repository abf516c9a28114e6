package expand

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// words are what Python's \w+ finds.
var words = regexp.MustCompile(`[\pL\pN_]+`)

// specialCase are the letters whose other case has several letters, or depends
// on where they stand; Go changes letter by letter.
const specialCase = "ßŉǰΐΰևẖẗẘẙẚẞİΣ"

func plainCase(s string) error {
	for _, r := range s {
		if strings.ContainsRune(specialCase, r) || r >= 0xfb00 && r <= 0xfb17 || r >= 0x1f50 && r <= 0x1fff {
			return &templateFault{rule: "R042", message: fmt.Sprintf("the other case of %q is not supported", r), mend: "Write the text in the case that is wanted."}
		}
	}
	return nil
}

func upper(s string) (string, error) { return strings.ToUpper(s), plainCase(s) }

func lower(s string) (string, error) { return strings.ToLower(s), plainCase(s) }

// capitalize is str.capitalize.
func capitalize(s string) (string, error) {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return "", nil
	}
	return string(unicode.ToTitle(first)) + strings.ToLower(s[size:]), plainCase(s)
}

// textMethod is a method of texts.
type textMethod func(self string, a *exec.VarArgs) (any, error)

// ownMethods are the methods of texts that templates may call; format,
// startswith and endswith are, too. gonja's own count bytes, want arguments that
// Python does not, and differ in smaller things.
var ownMethods = map[string]func(string, []*exec.Value) (any, error){
	"upper":      caseMethod(upper),
	"lower":      caseMethod(lower),
	"capitalize": caseMethod(capitalize),
	"center": padded(func(s, fill string, width, space int) string {
		left := space/2 + space&width&1
		return strings.Repeat(fill, left) + s + strings.Repeat(fill, space-left)
	}),
	"ljust":        padded(func(s, fill string, _, space int) string { return s + strings.Repeat(fill, space) }),
	"rjust":        padded(func(s, fill string, _, space int) string { return strings.Repeat(fill, space) + s }),
	"zfill":        zfill,
	"strip":        stripping(true, true),
	"lstrip":       stripping(true, false),
	"rstrip":       stripping(false, true),
	"split":        splitting(false),
	"rsplit":       splitting(true),
	"isalnum":      asking(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }),
	"isalpha":      asking(unicode.IsLetter),
	"isdigit":      asking(unicode.IsDigit),
	"isspace":      asking(isSpace),
	"islower":      caseAsking(lower, upper),
	"isupper":      caseAsking(upper, lower),
	"removeprefix": affixed(strings.TrimPrefix),
	"removesuffix": affixed(strings.TrimSuffix),
	"replace":      replaceMethod,
	"join":         joinMethod,
	"title":        caseMethod(titleMethod),
	"count": func(s string, a []*exec.Value) (any, error) {
		if len(a) != 1 || !a[0].IsString() {
			return nil, typeError("count wants one text")
		}
		return strings.Count(s, a[0].String()), nil
	},
	"find": func(s string, a []*exec.Value) (any, error) {
		if len(a) != 1 || !a[0].IsString() {
			return nil, typeError("find wants one text")
		}
		i := strings.Index(s, a[0].String())
		if i < 0 {
			return -1, nil
		}
		return utf8.RuneCountInString(s[:i]), nil
	},
	"splitlines": func(s string, a []*exec.Value) (any, error) {
		if len(a) > 0 {
			return nil, typeError("splitlines is supported without arguments")
		}
		return splitLines(s), nil
	},
}

func caseMethod(f func(string) (string, error)) func(string, []*exec.Value) (any, error) {
	return func(s string, a []*exec.Value) (any, error) {
		if len(a) > 0 {
			return nil, typeError("the method takes no arguments")
		}
		return f(s)
	}
}

func padded(pad func(s, fill string, width, space int) string) func(string, []*exec.Value) (any, error) {
	return func(s string, a []*exec.Value) (any, error) {
		fill := " "
		switch {
		case len(a) == 0 || len(a) > 2 || !a[0].IsInteger():
			return nil, typeError("the method wants a width, and a character if it is not the space")
		case len(a) == 2 && (!a[1].IsString() || a[1].Len() != 1):
			return nil, typeError("the method wants one character to fill with")
		case len(a) == 2:
			fill = a[1].String()
		}
		width := a[0].Integer()
		return pad(s, fill, width, max(0, width-utf8.RuneCountInString(s))), nil
	}
}

func zfill(s string, a []*exec.Value) (any, error) {
	if len(a) != 1 || !a[0].IsInteger() {
		return nil, typeError("zfill wants a width")
	}
	zeros := strings.Repeat("0", max(0, a[0].Integer()-utf8.RuneCountInString(s)))
	if s != "" && (s[0] == '+' || s[0] == '-') {
		return s[:1] + zeros + s[1:], nil
	}
	return zeros + s, nil
}

// methods are the methods of texts for one run.
func (r *jinjaRun) methods() map[string]textMethod {
	texts := map[string]textMethod{"format": r.textMethod("format", formatMethod)}
	for name, own := range ownMethods {
		texts[name] = r.textMethod(name, func(self string, a *exec.VarArgs) (any, error) {
			if len(a.KwArgs) > 0 {
				return nil, &templateFault{rule: "R042", message: "the method " + name + " is not supported with names of arguments", mend: "Give the arguments in their order."}
			}
			return own(self, a.Args)
		})
	}
	texts["startswith"] = r.affix("startswith", strings.HasPrefix)
	texts["endswith"] = r.affix("endswith", strings.HasSuffix)
	return texts
}

func (r *jinjaRun) textMethod(name string, m textMethod) textMethod {
	return func(self string, a *exec.VarArgs) (any, error) {
		if err := bounded(a); err != nil && name != "format" {
			return nil, err
		}
		if err := r.methodGrows(name, self, a); err != nil {
			return nil, err
		}
		return m(self, a)
	}
}
