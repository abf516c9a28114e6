package expand

import (
	"strings"

	"rota.dev/rota/schema"
)

// part is a piece of a scalar: a text that stays, or a parameter.
type part struct {
	text      string
	parameter int // index of the parameter; -1 for a text
}

// nearMiss is a placeholder that looks like a declared parameter and is none.
type nearMiss struct {
	written, parameter string
}

// scan splits text at the placeholders of the declared parameters: $NAME, with
// the longest name that follows, and ${NAME}. There is no escape: every other
// byte stays as it is, for $x, $(X), $1, ${X:-d} belong to the shell or to
// Kubernetes, and $$ is read as one unit as both of them read it, so that
// $$NAME stays too.
func scan(text string, index map[string]int) (parts []part, misses []nearMiss) {
	start := 0
	for i := 0; i < len(text); {
		if text[i] != '$' {
			next := strings.IndexByte(text[i:], '$')
			if next < 0 {
				break
			}
			i += next
			continue
		}
		if i+1 < len(text) && text[i+1] == '$' {
			i += 2
			continue
		}
		name, length := placeholder(text[i:])
		p, declared := index[name]
		if !declared {
			if near := startsWithParameter(name, index); near != "" {
				misses = append(misses, nearMiss{text[i : i+length], near})
			}
			i += max(length, 1)
			continue
		}
		if start < i {
			parts = append(parts, part{text[start:i], -1})
		}
		parts = append(parts, part{text[i : i+length], p})
		i += length
		start = i
	}
	if start < len(text) {
		parts = append(parts, part{text[start:], -1})
	}
	return parts, misses
}

// placeholder returns the name that stands at the beginning of text, which
// begins with $, and how many bytes the placeholder has. It returns "" and 1
// if there is none.
func placeholder(text string) (name string, length int) {
	braces := strings.HasPrefix(text, "${")
	begin := 1
	if braces {
		begin = 2
	}
	end := begin
	for end < len(text) && isNameByte(text[end], end == begin) {
		end++
	}
	switch {
	case end == begin:
		return "", 1
	case !braces:
		return text[begin:end], end
	case end < len(text) && text[end] == '}':
		return text[begin:end], end + 1
	default:
		return "", 1
	}
}

func isNameByte(c byte, first bool) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || !first && c >= '0' && c <= '9'
}

func startsWithParameter(name string, index map[string]int) string {
	best := ""
	for parameter := range index {
		if strings.HasPrefix(name, parameter+"_") && len(parameter) > len(best) {
			best = parameter
		}
	}
	return best
}

// fill returns the text of parts with the values put in.
func fill(parts []part, values []schema.Value) string {
	var b strings.Builder
	for _, p := range parts {
		if p.parameter < 0 {
			b.WriteString(p.text)
		} else {
			b.WriteString(values[p.parameter].Text)
		}
	}
	return b.String()
}
