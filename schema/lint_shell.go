package schema

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shells are programs that read their argument after -c as a script.
var shells = []string{"sh", "bash", "ash", "dash", "ksh", "zsh"}

// shell warns of parameters of an Expansion whose value a shell reads as a part
// of its script: the value of a reviewed list becomes code.
func (l *linter) shell(o Object) {
	if len(o.Origin.Parameters) == 0 || o.Fields == nil {
		return
	}
	pod, at := podOf(o)
	for _, list := range []string{"initContainers", "containers"} {
		for i, c := range mappings(listOf(pod, list)) {
			field, script := shellScript(c, fmt.Sprintf("%s.%s[%d]", at, list, i))
			if field == "" {
				continue
			}
			for _, found := range o.injected(field, script) {
				written := "$" + found.name
				if !o.Fields.template {
					written = "{{ " + found.name + "|tojson }}"
				}
				l.warn("R095", o, field, fmt.Sprintf("the value of the parameter %s stands %s in the script that %s", found.name, found.quoting, found.effect),
					fmt.Sprintf("Hand it over as a variable (env: [{name: VALUE, value: %s}]), and write \"$VALUE\" in the script.", written))
			}
		}
	}
}

// shellScript returns the script that a container hands to a shell with -c, and
// its path; both are empty if there is none.
func shellScript(c map[string]any, at string) (field, script string) {
	var words, fields []string
	for _, name := range []string{"command", "args"} {
		for i, word := range listOf(c, name) {
			text, _ := word.(string)
			words, fields = append(words, text), append(fields, fmt.Sprintf("%s.%s[%d]", at, name, i))
		}
	}
	if !has(c, "command") || len(words) == 0 || !slices.Contains(shells, path.Base(words[0])) {
		return "", ""
	}
	for i := 1; i+1 < len(words) && strings.HasPrefix(words[i], "-"); i++ {
		if !strings.HasPrefix(words[i], "--") && strings.Contains(words[i], "c") {
			return fields[i+1], words[i+1]
		}
	}
	return "", ""
}

// injection is a parameter in a script.
type injection struct{ name, quoting, effect string }

// injected returns the parameters whose values are code where they stand in the
// script at a field. In a template of YAML it is known where they stand; what
// Jinja wrote is searched for them.
func (o Object) injected(field, script string) []injection {
	var found []injection
	add := func(p Parameter, before string) {
		quote := quoteAfter(before)
		special := strings.IndexAny(p.Value, specials[quote])
		if special < 0 || slices.ContainsFunc(found, func(i injection) bool { return i.name == p.Name }) {
			return
		}
		quoting := map[byte]string{0: "without quotes", '"': "in double quotes", '\'': "in single quotes"}[quote]
		found = append(found, injection{p.Name, quoting, fmt.Sprintf("a shell reads, and has %q, which is code to it there", p.Value[special:special+1])})
	}
	if text, ok := o.template(field); ok {
		if whole := placeholder.FindString(text); whole == strings.TrimSpace(text) {
			return nil // the parameter is the script, and meant to be
		}
		for _, at := range placeholder.FindAllStringIndex(text, -1) {
			name := strings.Trim(text[at[0]:at[1]], "${}")
			for _, p := range o.Origin.Parameters {
				if p.Name == name {
					add(p, text[:at[0]])
				}
			}
		}
		return found
	}
	for _, p := range o.Origin.Parameters {
		// A shorter one may be there by chance.
		if at := strings.Index(script, p.Value); len(p.Value) > 2 && at >= 0 && p.Value != strings.TrimSpace(script) {
			add(p, script[:at])
		}
	}
	return found
}

// specials are the characters that end a word of a shell's script or begin
// another command, by the quotes that they stand in.
var specials = map[byte]string{0: ";&|<>()`$\"'\\\n", '"': "\"`$\\", '\'': "'"}

// quoteAfter returns the quote that is open at the end of a script, 0 if none is.
func quoteAfter(script string) byte {
	var open byte
	for i := 0; i < len(script); i++ {
		switch c := script[i]; {
		case c == '\\' && open != '\'':
			i++
		case open != 0:
			if c == open {
				open = 0
			}
		case c == '"' || c == '\'':
			open = c
		}
	}
	return open
}

// template returns a text as the YAML template of an Expansion has it, with its
// placeholders. It is not ok if there is no such template, or an overlay has
// changed the text.
func (o Object) template(field string) (text string, ok bool) {
	if !o.Fields.template {
		return "", false
	}
	node := o.Fields.root()
	var value any = o.Object
	for _, step := range splitPath(field) {
		if node == nil {
			return "", false
		}
		_, node = Counterpart(node, value, step)
		if value, ok = valueAt(value, step); !ok {
			return "", false
		}
	}
	if node == nil || followed(node).Kind != yaml.ScalarNode || !o.Fields.says(node, value, o.Origin) {
		return "", false
	}
	return followed(node).Value, true
}
