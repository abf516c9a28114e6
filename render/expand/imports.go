package expand

import (
	"fmt"
	"io"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// importStatement is `import file as name` and `from file import names`. As in
// Jinja2 the file is carried out by itself and sees no variables, unless it
// says `with context`; gonja's own gives it those of the importing template,
// and takes nothing but macros.
type importStatement struct {
	run      *jinjaRun
	location *tokens.Token
	file     nodes.Expression
	module   string            // the name for all of the file, or
	names    map[string]string // the names taken from it, by what they become
	context  bool
}

// fnImported begins the names of marks for what a file has itself imported,
// which it does not pass on.
const fnImported = ours + "imported "

// Position returns the token before the statement's body.
func (s *importStatement) Position() *tokens.Token { return s.location }

func (s *importStatement) String() string { return "import" }

func (r *jinjaRun) parseImport(p, arguments *parser.Parser) (nodes.ControlStructure, error) {
	s := &importStatement{run: r, location: p.Current()}
	var err error
	if s.file, err = arguments.ParseExpression(); err != nil {
		return nil, err
	}
	alias := arguments.MatchName("as")
	name := arguments.Match(tokens.Name)
	if alias == nil || name == nil {
		return nil, arguments.Error("Expected `as` and a name.", arguments.Current())
	}
	s.module = name.Val
	return s, s.parseContext(arguments)
}

func (r *jinjaRun) parseFrom(p, arguments *parser.Parser) (nodes.ControlStructure, error) {
	s := &importStatement{run: r, location: p.Current(), names: map[string]string{}}
	var err error
	if s.file, err = arguments.ParseExpression(); err != nil {
		return nil, err
	}
	if arguments.MatchName("import") == nil {
		return nil, arguments.Error("Expected `import` and names.", arguments.Current())
	}
	for {
		name := arguments.Match(tokens.Name)
		if name == nil {
			return nil, arguments.Error("Expected a name.", arguments.Current())
		}
		becomes := name
		if arguments.MatchName("as") != nil {
			if becomes = arguments.Match(tokens.Name); becomes == nil {
				return nil, arguments.Error("Expected a name.", arguments.Current())
			}
		}
		s.names[becomes.Val] = name.Val
		if arguments.Match(tokens.Comma) == nil {
			return s, s.parseContext(arguments)
		}
	}
}

func (s *importStatement) parseContext(arguments *parser.Parser) error {
	if with := arguments.MatchName("with", "without"); with != nil && arguments.MatchName("context") != nil {
		s.context = with.Val == "with"
	}
	if !arguments.End() {
		return arguments.Error("Malformed import.", arguments.Current())
	}
	return nil
}

// Execute carries the file out and sets the names.
func (s *importStatement) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	m, err := s.load(r)
	if err != nil {
		return err
	}
	set := func(name string, value any) {
		r.Environment.Context.Set(name, value)
		r.Environment.Context.Set(fnImported+name, true)
	}
	if s.module != "" {
		set(s.module, m)
		return nil
	}
	for becomes, name := range s.names {
		value, found := m.GetAttribute(name)
		if !found {
			return typeError("the imported file has no %q", name)
		}
		set(becomes, value)
	}
	return nil
}

func (s *importStatement) load(r *exec.Renderer) (*module, error) {
	file := r.Eval(s.file)
	if file.IsError() {
		return nil, file
	}
	name, err := r.Loader.Resolve(file.String())
	if err != nil {
		return nil, err
	}
	loader, err := r.Loader.Inherit(name)
	if err != nil {
		return nil, err
	}
	m := &module{names: s.run.context(nil), hidden: s.run.context(nil)}
	if s.context {
		m.names, m.hidden = r.Environment.Context.Inherit(), r.Environment.Context
	}
	environment := &exec.Environment{Context: m.names, Filters: r.Environment.Filters, Tests: r.Environment.Tests,
		ControlStructures: r.Environment.ControlStructures, Methods: r.Environment.Methods}
	template, err := exec.NewTemplate(name, r.Config, loader, environment)
	if err != nil {
		return nil, fmt.Errorf("cannot import %s: %w", name, err)
	}
	return m, exec.NewRenderer(environment, io.Discard, r.Config.Inherit(), loader, template).Execute()
}

// module is what an imported file defines.
type module struct {
	names *exec.Context
	// hidden are the names that were there before.
	hidden *exec.Context
}

// GetAttribute returns a macro or a value of the file. A name that was there
// before the file is not told from one that it has set, and not given.
func (m *module) GetAttribute(name string) (*exec.Value, bool) {
	value, found := m.names.Get(name)
	if !found || m.hidden.Has(name) || m.names.Has(fnImported+name) || strings.HasPrefix(name, "_") || name == "self" {
		return exec.AsValue(nil), false
	}
	return exec.ToValue(value), true
}
