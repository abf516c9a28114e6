package expand

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"go.yaml.in/yaml/v3"

	"rota.dev/rota/schema"
)

// Job is one rendering of one Jinja template: a value, so that it can be
// carried out in a process of its own.
type Job struct {
	// File is where Text is from, and what includes are relative to.
	File string
	// Text is the template.
	Text string
	// Variables are what the template may name.
	Variables []schema.Value
	// Bytes bounds the output, and every text on the way to it.
	Bytes int
	// Time bounds the run. Render keeps it by checks inside of the template's
	// expressions and loops, which one long operation can outlast.
	Time time.Duration
}

// Rendered is the output of a template.
type Rendered struct {
	// Text is what Jinja2 would give: without the newline that ends the
	// template.
	Text string
	// Used are the files that the template included, imported or extended.
	Used []string
	// Lines has, for each line of Text, where the first character that is no
	// space was written: the line of the file whose text it is, and for what
	// {{ }}, a macro or a call block prints the line that prints it.
	Lines []schema.Place
}

// Render carries out a job in this process: it gives what Jinja2 gives with
// StrictUndefined and its other defaults, or an error. Read returns a file that
// the template includes, imports or extends, and an error that is
// [fs.ErrNotExist] if there is none. An error of Render is a
// [*schema.Problem] whose Origin is the line of the template, or of the
// included file, that failed.
func Render(job Job, read func(file string) ([]byte, error)) (Rendered, error) {
	run := &jinjaRun{job: job, read: read, loaded: map[string][]byte{}, files: []string{job.File}}
	run.textMethods, run.lastValues = run.methods(), map[*controlStructures.LoopInfos]*exec.Value{}
	out := &limitedBuffer{run: run}
	timer := time.AfterFunc(job.Time, func() { run.expired.Store(true) })
	defer timer.Stop()
	done := make(chan error, 1)
	go func() { done <- run.render(out) }()
	patience := time.NewTimer(job.Time + time.Second)
	defer patience.Stop()
	select {
	case err := <-done:
		used := slices.Clone(run.files[1:])
		if err != nil {
			return Rendered{Used: used}, run.problem(err)
		}
		return Rendered{Text: out.String(), Used: used, Lines: out.lines.places(run.files)}, nil
	case <-patience.C:
		// Abandoned: it is inside one operation that cannot be interrupted,
		// and ends with it.
		return Rendered{}, &schema.Problem{Rule: "R043", Origin: schema.Origin{File: job.File},
			Message: fmt.Sprintf("the template did not finish within %s", job.Time), Mend: "Make less of it, use an Expansion with items, or raise spec.limits.templateTime."}
	}
}

// jinjaRun is one rendering. Its fields but expired belong to the goroutine
// that renders.
type jinjaRun struct {
	job     Job
	read    func(file string) ([]byte, error)
	loaded  map[string][]byte
	files   []string
	loads   int
	expired atomic.Bool
	file    int
	line    int
	place   place // of what is written next
	// evaluated is where the statement stands that is carried out.
	evaluated place
	written   int   // bytes, in macros and blocks, too
	fault     error // the first fault: a `default` filter must not hide it
	// textMethods are those of texts, lastValues what `loop.changed` compares
	// with.
	textMethods map[string]textMethod
	lastValues  map[*controlStructures.LoopInfos]*exec.Value
}

const (
	maxLoads  = 1000
	maxFrames = 4000
)

func (r *jinjaRun) render(out *limitedBuffer) (err error) {
	defer func() {
		switch p := recover(); {
		case p == nil:
		case r.fault != nil:
			err = r.fault
		default:
			err = &templateFault{rule: "R041", line: r.line, message: fmt.Sprintf("the template failed: %v", p)}
		}
	}()
	rewritten, err := rewrite(r.job.Text, 0)
	if err != nil {
		return err
	}
	options := config.New()
	options.StrictUndefined = true
	loader := &repositoryLoader{run: r, file: r.job.File, text: &rewritten}
	environment := &exec.Environment{Context: r.context(r.job.Variables), Filters: filterSet(r), Tests: testSet(r), ControlStructures: statements(r), Methods: noMethods()}
	template, err := exec.NewTemplate(r.job.File, options, loader, environment)
	if err != nil {
		return err
	}
	err = template.Execute(out, exec.EmptyContext())
	if r.fault != nil {
		return r.fault
	}
	return err
}

func (r *jinjaRun) context(variables []schema.Value) *exec.Context {
	values := map[string]any{
		fnAt:        r.at,
		fnHere:      r.here,
		fnPrint:     r.statement(r.print),
		fnValue:     r.statement(func(v *exec.Value) (any, error) { return v, nil }),
		fnKeep:      r.statement(kept),
		fnTest:      r.statement(func(v *exec.Value) (any, error) { return truth(v), nil }),
		fnIterate:   r.statement(iterable),
		fnPairs:     r.statement(iterablePairs),
		fnGroup:     r.lenient(1, r.group),
		fnAttribute: r.lenient(2, r.attribute),
		fnMethod:    r.lenient(2, r.method),
		fnItem:      r.lenient(2, r.item),
		fnSlice:     r.lenient(4, r.slice),
		fnList:      r.lenient(1, r.listOf),
		fnNoCaller: r.lenient(1, func(a []*exec.Value) (any, error) {
			if v := boxed(a[0]); !v.IsError() && !v.IsNil() {
				return nil, typeError("the macro of a call block does not use caller()")
			}
			return "", nil
		}),
		fnDict:    r.lenient(1, r.dictOf),
		fnTruth:   r.guard(1, func(a []*exec.Value) (any, error) { return truth(a[0]), nil }),
		fnOperand: r.guard(1, operand),
		fnNot:     r.guard(1, func(a []*exec.Value) (any, error) { return !truth(a[0]), nil }),
		fnTuple:   r.guard(-1, func(a []*exec.Value) (any, error) { return tuple(a), nil }),
		fnNegate:  r.guard(1, negate),
		fnPlus:    r.guard(1, plus),
		fnCompare: r.guard(-1, chain),
		fnUndefined: r.lenient(0, func([]*exec.Value) (any, error) {
			return missing("the `if` has no `else`, and its condition is false"), nil
		}),
		fnBinary: r.guard(3, func(a []*exec.Value) (any, error) {
			return arithmetic(a[0].String(), a[1], a[2], r.job.Bytes)
		}),
	}
	for name, f := range r.globals() {
		values[name] = r.calls(name, f)
	}
	for _, v := range variables {
		values[v.Name] = jinjaValue(v.Data, v.Node)
	}
	return exec.NewContext(values)
}

// at notes where the template is, and ends it when a limit is passed. Every
// expression comes by here first, so that recursion is seen before Go's own
// stack overflows, which no recover can stop.
func (r *jinjaRun) at(arguments *exec.VarArgs) *exec.Value {
	r.file, r.line = arguments.Args[0].Integer(), arguments.Args[1].Integer()
	if r.check() != nil {
		// An error would only be the value of this expression, and a loop would
		// go on to evaluate the rest for each item.
		panic(r.fault)
	}
	return exec.AsValue(place{file: r.file, line: r.line}.number())
}

func (r *jinjaRun) check() error {
	var frame [1]uintptr
	switch {
	case r.fault != nil:
	case r.expired.Load():
		r.fail(&templateFault{rule: "R043", message: fmt.Sprintf("the template did not finish within %s", r.job.Time), mend: "Make less of it, use an Expansion with items, or raise spec.limits.templateTime."})
	case runtime.Callers(maxFrames, frame[:]) > 0:
		r.fail(&templateFault{rule: "R043", message: "macros, includes or loops call themselves too often", mend: "End the recursion."})
	}
	return r.fault
}

// fail keeps the first fault, with the position where it happened.
func (r *jinjaRun) fail(err error) error {
	if r.fault == nil {
		if f, ok := errors.AsType[*templateFault](err); ok && f.line == 0 {
			f.line = r.line
		}
		r.fault = err
	}
	return r.fault
}

// guard makes a function for templates of f; count is how many arguments it
// takes, -1 for any. All of them must be there.
func (r *jinjaRun) guard(count int, f func([]*exec.Value) (any, error)) func(*exec.VarArgs) *exec.Value {
	return r.lenient(count, func(a []*exec.Value) (any, error) {
		for _, v := range a {
			if _, err := r.given(v); err != nil {
				return nil, err
			}
		}
		return f(a)
	})
}

// lenient is guard for functions that see by themselves to what is not there.
func (r *jinjaRun) lenient(count int, f func([]*exec.Value) (any, error)) func(*exec.VarArgs) *exec.Value {
	return func(arguments *exec.VarArgs) *exec.Value {
		if count >= 0 && len(arguments.Args) != count {
			return exec.AsValue(r.fail(typeError("wrong number of arguments")))
		}
		v, err := f(arguments.Args)
		if err != nil {
			return exec.AsValue(r.fail(err))
		}
		return exec.ToValue(v)
	}
}

// statement is guard for what statements do with a value, whose place is noted
// before.
func (r *jinjaRun) statement(f func(*exec.Value) (any, error)) func(*exec.VarArgs) *exec.Value {
	return r.lenient(2, func(a []*exec.Value) (any, error) {
		v, err := r.unbox(a[1])
		if err != nil {
			return nil, err
		}
		number := a[0].Integer()
		r.evaluated = place{file: number >> 32, line: number & (1<<32 - 1)}
		return f(v)
	})
}

// truthy and falsy carry the left side of `and` and `or`, of which gonja knows
// less than Python whether it is true; a struct is true to it, and a function
// is false.
type (
	truthy struct{ value *exec.Value }
	falsy  func() *exec.Value
)

func operand(a []*exec.Value) (any, error) {
	if truth(a[0]) {
		return truthy{a[0]}, nil
	}
	return falsy(func() *exec.Value { return a[0] }), nil
}

// none is None in a namespace.
type none struct{}

func kept(v *exec.Value) (any, error) {
	if v.IsNil() {
		return none{}, nil
	}
	return v, nil
}

func negate(a []*exec.Value) (any, error) {
	switch kindOf(a[0]) {
	case "float":
		return -a[0].Float(), nil
	case "int", "bool":
		return integers("-", 0, integer(a[0]))
	}
	return nil, typeError("- is not supported for %s", kindOf(a[0]))
}

func plus(a []*exec.Value) (any, error) {
	switch kind := kindOf(a[0]); kind {
	case "float":
		return a[0], nil
	case "int", "bool":
		return int(integer(a[0])), nil
	default:
		return nil, typeError("+ is not supported for %s", kind)
	}
}

// jinjaValue makes of a parameter what gonja takes; mappings keep the order
// that they were written in.
func jinjaValue(data any, node *yaml.Node) any {
	for node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch v := data.(type) {
	case map[string]any:
		dict := exec.NewDict()
		add := func(name string, child *yaml.Node) {
			dict.Pairs = append(dict.Pairs, &exec.Pair{Key: exec.AsValue(name), Value: exec.AsValue(jinjaValue(v[name], child))})
		}
		if node != nil {
			entries, _ := schema.Entries("", node)
			for _, e := range entries {
				add(e.Name, e.Value)
			}
			return dict
		}
		for _, name := range sortedNames(v) {
			add(name, nil)
		}
		return dict
	case []any:
		list := make([]any, len(v))
		for i := range v {
			var child *yaml.Node
			if node != nil && i < len(node.Content) {
				child = node.Content[i]
			}
			list[i] = jinjaValue(v[i], child)
		}
		return list
	case int64:
		// kubectl reads 1.0 as 1; Python does not.
		if node != nil && node.Kind == yaml.ScalarNode {
			if f, ok := schema.PlainValue(node.Value).(float64); ok {
				return f
			}
		}
		return int(v)
	}
	return data
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// repositoryLoader gives gonja the files of the repository and nothing else.
type repositoryLoader struct {
	run  *jinjaRun
	file string
	// text is the rewritten content of file, nil if it is still to be read.
	text *string
}

func (l *repositoryLoader) Inherit(from string) (loaders.Loader, error) {
	if from == "" {
		from = l.file
	}
	return &repositoryLoader{run: l.run, file: from}, nil
}

// Resolve finds a file beside the one that names it, or from the root.
func (l *repositoryLoader) Resolve(name string) (string, error) {
	if name == l.file {
		return name, nil
	}
	if path.IsAbs(name) || strings.Contains(name, "\\") || !fs.ValidPath(path.Join(path.Dir(l.file), name)) {
		return "", l.run.fail(&templateFault{rule: "R044", message: fmt.Sprintf("%q leads out of the repository", name), mend: "Name a file of the repository, relative to this one."})
	}
	for _, file := range []string{path.Join(path.Dir(l.file), name), path.Clean(name)} {
		if !fs.ValidPath(file) {
			continue
		}
		if _, err := l.run.load(file); !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
	}
	return "", fmt.Errorf("there is no file %s", name)
}

// load returns a file of the repository; each is asked for once.
func (r *jinjaRun) load(file string) ([]byte, error) {
	if data, ok := r.loaded[file]; ok {
		return data, nil
	}
	data, err := r.read(file)
	if err != nil {
		return nil, err
	}
	r.loaded[file] = data
	return data, nil
}

func (l *repositoryLoader) Read(name string) (io.Reader, error) {
	if name == l.file && l.text != nil {
		return strings.NewReader(*l.text), nil
	}
	file, err := l.Resolve(name)
	if err != nil {
		return nil, err
	}
	if l.run.loads++; l.run.loads > maxLoads {
		return nil, l.run.fail(&templateFault{rule: "R043", message: fmt.Sprintf("more than %d files are included", maxLoads), mend: "End the recursion, or include less."})
	}
	if err := l.run.check(); err != nil {
		return nil, err
	}
	data, err := l.run.load(file)
	if err != nil {
		return nil, err
	}
	number := slices.Index(l.run.files, file)
	if number < 0 {
		number = len(l.run.files)
		l.run.files = append(l.run.files, file)
	}
	rewritten, err := rewrite(string(data), number)
	if err != nil {
		l.run.file = number
		return nil, l.run.fail(err)
	}
	return strings.NewReader(rewritten), nil
}

var (
	parserLine   = regexp.MustCompile(`(?s)^(.*) \(Line: (\d+) Col: \d+, near "(.*)"\)$`)
	noName       = regexp.MustCompile(`Unable to evaluate name "([^"]+)"`)
	noAttribute  = regexp.MustCompile(`(?:attribute|item) '?([^' ]+)'? not found`)
	noFunction   = regexp.MustCompile(`(?:^|\s)(\w+) is not callable`)
	noFilter     = regexp.MustCompile(`(filter|test) '([^']+)' not found`)
	ourFunctions = regexp.MustCompile(ours + `[a-z]+`)
)

// problem says what failed in the words of a user of Jinja2.
func (r *jinjaRun) problem(err error) error {
	if p, ok := errors.AsType[*schema.Problem](err); ok {
		return p
	}
	p := &schema.Problem{Rule: "R041", Origin: schema.Origin{File: r.files[min(r.file, len(r.files)-1)], Line: r.line}, Cause: err}
	if f, ok := errors.AsType[*templateFault](err); ok {
		p.Rule, p.Message, p.Mend = f.rule, f.message, f.mend
		p.Origin.Line = max(f.line, p.Origin.Line)
		if f.line > 0 {
			p.Origin.Line = f.line
		}
		return p
	}
	message := err.Error()
	switch {
	case noName.MatchString(message):
		name := noName.FindStringSubmatch(message)[1]
		p.Message, p.Mend = fmt.Sprintf("%q is not defined", name), nameMend(name)
	case noAttribute.MatchString(message):
		p.Message = fmt.Sprintf("there is no attribute %q", noAttribute.FindStringSubmatch(message)[1])
		p.Mend = "Correct the name, or use the filter default."
	case noFunction.MatchString(message):
		p.Message, p.Mend = noFunctionCalled(noFunction.FindStringSubmatch(message)[1])
	case noFilter.MatchString(message):
		m := noFilter.FindStringSubmatch(message)
		p.Rule, p.Message, p.Mend = "R042", fmt.Sprintf("the %s %s is not supported", m[1], m[2]), "Use one of Jinja2's own."
	default:
		cause := err
		for errors.Unwrap(cause) != nil {
			cause = errors.Unwrap(cause)
		}
		p.Message = strings.TrimSpace(ourFunctions.ReplaceAllString(cause.Error(), "…"))
		if syntax := parserLine.FindStringSubmatch(cause.Error()); syntax != nil {
			p.Rule, p.Message = "R040", ourFunctions.ReplaceAllString(strings.TrimSuffix(fmt.Sprintf("%s near %q", syntax[1], syntax[3]), ` near ""`), "…")
			fmt.Sscan(syntax[2], &p.Origin.Line)
			p.Message, p.Mend = syntaxWords(p.Message)
		}
	}
	return p
}
