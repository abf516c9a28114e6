package expand

import (
	"bytes"
	"fmt"
	"io"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"

	"rota.dev/rota/schema"
)

// place is a line of a file, by the number of the file. Text of the template
// goes on to the next line with each line break, what is printed does not.
type place struct {
	file, line int
	text       bool
}

// number makes one integer of a place, for the engine to carry.
func (p place) number() int { return p.file<<32 | p.line }

// limitedBuffer is the output.
type limitedBuffer struct {
	bytes.Buffer
	run   *jinjaRun
	lines lineMap
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.run.job.Bytes {
		return 0, b.run.fail(&templateFault{rule: "R043", message: fmt.Sprintf("the output has more than %d bytes", b.run.job.Bytes), mend: "Make less of it, use an Expansion with items, or raise spec.limits.templateBytes."})
	}
	b.lines.write(p, b.run.place)
	return b.Buffer.Write(p)
}

func (b *limitedBuffer) WriteString(s string) (int, error) { return b.Write([]byte(s)) }

// lineMap has the place of each line of the output.
type lineMap struct {
	lines []place
	// begun says that the last line is not ended; blank that it has nothing
	// but spaces so far, and what is written next may claim it.
	begun, blank bool
}

func (m *lineMap) write(p []byte, at place) {
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if !m.begun {
			m.lines = append(m.lines, at)
			m.begun, m.blank = true, true
		}
		if m.blank && len(bytes.TrimLeft(line, " \t")) > 0 {
			m.lines[len(m.lines)-1], m.blank = at, false
		}
		p = rest
		if ended {
			m.begun = false
			if at.text {
				at.line++
			}
		}
	}
}

func (m *lineMap) places(files []string) []schema.Place {
	places := make([]schema.Place, len(m.lines))
	for i, line := range m.lines {
		places[i] = schema.Place{File: files[line.file], Line: line.line}
	}
	return places
}

// here notes the place of the text that the template writes next, and checks
// the limits.
func (r *jinjaRun) here(arguments *exec.VarArgs) *exec.Value {
	r.file, r.line = arguments.Args[0].Integer(), arguments.Args[1].Integer()
	r.wrote(arguments.Args[2].Integer())
	if r.check() != nil {
		panic(r.fault)
	}
	r.place = place{file: r.file, line: r.line, text: true}
	return exec.AsValue("")
}

// print gives the text of a value. Its place is noted after the value was
// made, for that may have written text in other places.
func (r *jinjaRun) print(v *exec.Value) (any, error) {
	r.place = r.evaluated
	s, err := text(v)
	r.wrote(len(s))
	return s, err
}

// wrote counts what is written anywhere: macros and set blocks gather text that
// the limit of the output does not see.
func (r *jinjaRun) wrote(bytes int) {
	if r.written += bytes; r.written > gathered*r.job.Bytes {
		r.fail(&templateFault{rule: "R043", message: fmt.Sprintf("macros and blocks make more than %d bytes", gathered*r.job.Bytes), mend: "Make less of it, use an Expansion with items, or raise spec.limits.templateBytes."})
	}
}

// gathered is how many times more than the output the texts on the way to it
// may be.
const gathered = 4

// statements are gonja's, with call blocks that know their place and imports
// of our own.
func statements(r *jinjaRun) *exec.ControlStructureSet {
	call, _ := builtins.ControlStructures.Get("call")
	own := exec.NewControlStructureSet(map[string]parser.ControlStructureParser{})
	own.Update(builtins.ControlStructures)
	// It is there, so that replacing it cannot fail.
	_ = own.Replace("call", func(p, arguments *parser.Parser) (nodes.ControlStructure, error) {
		parsed, err := call(p, arguments)
		if err != nil {
			return nil, err
		}
		return callBlock{parsed.(exec.ControlStructure), r}, nil
	})
	include, _ := builtins.ControlStructures.Get("include")
	_ = own.Replace("include", func(p, arguments *parser.Parser) (nodes.ControlStructure, error) {
		parsed, err := include(p, arguments)
		if err != nil {
			return nil, err
		}
		return inclusion{parsed.(exec.ControlStructure), r}, nil
	})
	_ = own.Replace("block", r.parseBlock)
	_ = own.Replace("import", r.parseImport)
	_ = own.Replace("from", r.parseFrom)
	return own
}

// callBlock writes what its macro made in the place where the block stands.
type callBlock struct {
	exec.ControlStructure
	run *jinjaRun
}

func (c callBlock) Execute(r *exec.Renderer, tag *nodes.ControlStructureBlock) error {
	at, out := c.run.place, r.Output
	at.text = false
	var made bytes.Buffer
	r.Output = &made
	err := c.ControlStructure.Execute(r, tag)
	r.Output = out
	if err != nil {
		return err
	}
	c.run.place = at
	_, err = io.WriteString(out, made.String())
	return err
}

// inclusion keeps what goes wrong: what is printed by super() or self has no
// way to give an error back.
type inclusion struct {
	exec.ControlStructure
	run *jinjaRun
}

func (i inclusion) Execute(r *exec.Renderer, tag *nodes.ControlStructureBlock) error {
	if err := i.ControlStructure.Execute(r, tag); err != nil {
		return i.run.fail(err)
	}
	return nil
}
