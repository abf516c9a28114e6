// Package child carries out templates and runs of kustomize in a process of
// its own, which can be killed: what exhausts its memory, its stack or its time
// ends that process, and the one that asked gets a [schema.Problem] that names
// the template and the limit. It is the only package of the controller that
// starts a process, always the program that runs already: see [Verb].
package child

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"rota.dev/rota/render"
)

// Verb is the argument with which the program is to call [Serve] on its
// standard input and output.
const Verb = "render-child"

// Options say how an Engine keeps its processes. The zero value is good.
type Options struct {
	// Path is the program; the one that runs by default.
	Path string
	// Args are its arguments; [Verb] by default.
	Args []string
	// Processes is how many there are at most, and so how many jobs are carried
	// out at a time; 2 by default, or 1 on a machine with one processor.
	// kustomize keeps its schema in globals, so that only processes can build
	// side by side; more than two gain little, and their memory adds up.
	Processes int
	// Jobs is after how many jobs a process is replaced; 10,000 by default.
	Jobs int
	// Idle is after how long a process without a job ends; 20 s by default.
	Idle time.Duration
	// Grace is how long a job may be late before it is killed, so that it can
	// say itself where it was; 2 s by default.
	Grace time.Duration
	// Limits bound the jobs that are given to the Engine itself.
	Limits Limits
}

// Engine carries out jobs in processes of its own, which it starts when they
// are needed. It may be used by several goroutines.
type Engine struct {
	options Options
	slots   chan struct{}
	closed  chan struct{}
	ending  sync.WaitGroup

	mu   sync.Mutex
	all  map[*process]bool
	idle []*rest
}

var _ render.Engine = (*Engine)(nil)

// rest is a process that waits for a job, for a while.
type rest struct {
	process *process
	timer   *time.Timer
}

// New returns an Engine. It starts nothing yet.
func New(o Options) *Engine {
	o.Processes = cmp.Or(o.Processes, min(2, runtime.GOMAXPROCS(0)))
	o.Jobs = cmp.Or(o.Jobs, 10_000)
	o.Idle = cmp.Or(o.Idle, 20*time.Second)
	o.Grace = cmp.Or(o.Grace, 2*time.Second)
	if o.Args == nil {
		o.Args = []string{Verb}
	}
	return &Engine{options: o, slots: make(chan struct{}, o.Processes), closed: make(chan struct{}), all: map[*process]bool{}}
}

// ErrClosed is the cause of jobs that [Engine.Close] ended.
var ErrClosed = errors.New("the renderer was closed")

// Close kills the processes and waits for their end. Jobs that are under way
// fail with an error that is [render.ErrEngine].
func (e *Engine) Close() {
	e.mu.Lock()
	select {
	case <-e.closed:
	default:
		close(e.closed)
	}
	for p := range e.all {
		p.stop(ErrClosed)
	}
	e.mu.Unlock()
	e.ending.Wait()
}

// take returns a process that is ready, once there may be another one.
func (e *Engine) take(ctx context.Context) (*process, error) {
	select {
	case e.slots <- struct{}{}:
	case <-e.closed:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if p := e.rested(); p != nil {
		return p, nil
	}
	p, err := e.start()
	if err == nil {
		err = p.await()
	}
	if err != nil {
		<-e.slots
		return nil, fmt.Errorf("starting the renderer: %w", err)
	}
	return p, nil
}

// rested returns the process that worked last of those that wait, or nil.
func (e *Engine) rested() *process {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.idle) > 0 {
		last := e.idle[len(e.idle)-1]
		e.idle = e.idle[:len(e.idle)-1]
		last.timer.Stop()
		if last.process.alive() {
			return last.process
		}
		last.process.stop(errRetired)
	}
	return nil
}

func (e *Engine) start() (*process, error) {
	path := e.options.Path
	if path == "" {
		var err error
		if path, err = selfPath(); err != nil {
			return nil, fmt.Errorf("finding its program: %w", err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.closed:
		return nil, ErrClosed
	default:
	}
	// The child has the name of this process: programs with several names
	// look at it.
	p, err := start(path, append([]string{os.Args[0]}, e.options.Args...))
	if err != nil {
		return nil, err
	}
	e.all[p] = true
	e.ending.Go(func() {
		<-p.exited
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.all, p)
		if i := slices.IndexFunc(e.idle, func(r *rest) bool { return r.process == p }); i >= 0 {
			e.idle[i].timer.Stop()
			p.stop(errRetired)
			e.idle = slices.Delete(e.idle, i, i+1)
		}
	})
	return p, nil
}

// put takes a process back after a job that it survived; one that is not fit
// for another one ends.
func (e *Engine) put(p *process, fit bool) {
	defer func() { <-e.slots }()
	if !fit || int(p.jobs) >= e.options.Jobs {
		p.retire()
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r := &rest{process: p}
	r.timer = time.AfterFunc(e.options.Idle, func() { e.expire(r) })
	e.idle = append(e.idle, r)
}

// expire ends a process that has waited long enough, unless it has a job again.
func (e *Engine) expire(r *rest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := slices.Index(e.idle, r); i >= 0 {
		e.idle = slices.Delete(e.idle, i, i+1)
		r.process.retire()
	}
}
