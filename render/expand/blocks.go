package expand

import (
	"bytes"

	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// blockStatement is `block name`. gonja's own passes over what fails inside of
// super(), has a super() where there is no parent block, and lets the parent's
// block see what the child's sets.
type blockStatement struct {
	run      *jinjaRun
	location *tokens.Token
	name     string
}

// Position returns the token before the block.
func (b *blockStatement) Position() *tokens.Token { return b.location }

func (b *blockStatement) String() string { return "block" }

func (r *jinjaRun) parseBlock(p, arguments *parser.Parser) (nodes.ControlStructure, error) {
	b := &blockStatement{run: r, location: p.Current()}
	name := arguments.Match(tokens.Name)
	if name == nil || !arguments.End() {
		return nil, arguments.Error("A block has one name.", arguments.Current())
	}
	b.name = name.Val
	wrapper, end, err := p.WrapUntil("endblock")
	if err != nil {
		return nil, err
	}
	if again := end.Match(tokens.Name); again != nil && again.Val != b.name || !end.End() {
		return nil, end.Error("The name after endblock is not that of the block.", end.Current())
	}
	if p.Template.Blocks.Exists(b.name) {
		return nil, arguments.Error("The block "+b.name+" is there twice.", name)
	}
	return b, p.Template.Blocks.Register(b.name, wrapper)
}

// Execute writes the block as the template that extends all others has it.
func (b *blockStatement) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	return b.show(r, r.RootNode.GetBlocks(b.name))
}

// show writes the first of blocks, which can ask for the next by super().
func (b *blockStatement) show(outer *exec.Renderer, blocks []*nodes.Wrapper) error {
	r := outer.Inherit()
	r.Environment.Context.Set("self", exec.Self(r))
	r.Environment.Context.Set("super", func(*exec.VarArgs) *exec.Value {
		if len(blocks) < 2 {
			return exec.AsValue(b.run.fail(typeError("there is no parent block called %q", b.name)))
		}
		parent, made := outer.Inherit(), &bytes.Buffer{}
		parent.Output = made
		if err := b.show(parent, blocks[1:]); err != nil {
			return exec.AsValue(b.run.fail(err))
		}
		return exec.AsValue(made.String())
	})
	return r.ExecuteWrapper(blocks[0])
}
