package child

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"rota.dev/rota/render"
	"rota.dev/rota/render/expand"
	"rota.dev/rota/render/overlay"
	"rota.dev/rota/schema"
)

// Limits bound what the jobs of one render may use. A zero field means that of
// [schema.DefaultLimits], which its comment repeats.
type Limits struct {
	// Memory is what one process may have in bytes, whatever it needs itself
	// included; 192 MiB by default.
	Memory int64
	// Objects is how many objects one run of kustomize makes; 50,000 by
	// default.
	Objects int
	// OverlayBytes is the size of these objects as JSON; 64 MiB by default.
	OverlayBytes int
	// Time is how long all jobs together may take; 5 min by default.
	Time time.Duration
}

func (l Limits) withDefaults() Limits {
	d := schema.DefaultLimits
	l.Memory = cmp.Or(l.Memory, int64(d.RendererMemory))
	l.Objects = cmp.Or(l.Objects, int(d.Objects))
	l.OverlayBytes = cmp.Or(l.OverlayBytes, int(d.OverlayBytes))
	l.Time = cmp.Or(l.Time, d.RenderTime.Duration)
	return l
}

// Session carries out the jobs of one render, whose time is counted together.
type Session struct {
	// ctx is that of the render, whose interface has no room for one.
	ctx    context.Context
	engine *Engine
	limits Limits
	spent  atomic.Int64 // nanoseconds
}

var _ render.Engine = (*Session)(nil)

// Session returns what one render is to be given as its Engine. When ctx ends,
// the job that is under way is killed, and that and all further ones fail with
// an error that is [render.ErrEngine].
func (e *Engine) Session(ctx context.Context, l Limits) *Session {
	return &Session{ctx: ctx, engine: e, limits: l.withDefaults()}
}

// Template carries out one job by itself, within the limits of the Options.
func (e *Engine) Template(job expand.Job, read func(file string) ([]byte, error)) (expand.Rendered, error) {
	return e.Session(context.Background(), e.options.Limits).Template(job, read)
}

// Overlay carries out one job by itself, within the limits of the Options.
func (e *Engine) Overlay(job overlay.Job) ([]json.RawMessage, error) {
	return e.Session(context.Background(), e.options.Limits).Overlay(job)
}

// Template does what [expand.Render] does.
func (s *Session) Template(job expand.Job, read func(file string) ([]byte, error)) (expand.Rendered, error) {
	t := task{time: job.Time, rule: "R043", file: job.File, subject: "the template", timeField: "templateTime"}
	variables, nodes := flatten(job.Variables)
	job.Variables = nil
	var answer templateAnswer
	err := s.carryOut(t, &answer, func(b bounds, time time.Duration) order {
		job.Time = time
		return order{
			kind: kindTemplate, message: templateOrder{Bounds: b, Job: job, Variables: variables, Nodes: nodes},
			// Twice the text is for what is said about its lines.
			reply: 3*job.Bytes + 1<<20, read: read, memory: &answer.Memory,
		}
	})
	if err != nil {
		return expand.Rendered{}, err
	}
	return answer.Rendered, errorOf(answer.Faults)
}

// Overlay does what [overlay.Run] does.
func (s *Session) Overlay(job overlay.Job) ([]json.RawMessage, error) {
	t := task{time: job.Time, rule: "R004", file: job.Folder, subject: "kustomize", timeField: "overlayTime"}
	var answer overlayAnswer
	err := s.carryOut(t, &answer, func(b bounds, time time.Duration) order {
		job.Time = time
		return order{kind: kindOverlay, message: overlayOrder{b, job}, reply: 2*s.limits.OverlayBytes + 1<<20, memory: &answer.Memory}
	})
	if err != nil {
		return nil, err
	}
	return answer.Objects, errorOf(answer.Faults)
}

// task is what messages need to know of a job.
type task struct {
	time time.Duration
	// rule is that of its limits.
	rule string
	// file is the template, or the folder that kustomize builds.
	file string
	// subject begins a sentence.
	subject string
	// timeField is the limit that time comes from.
	timeField string
}

// carryOut does one job; prepare makes its order, with the bounds and the time
// that it has.
func (s *Session) carryOut(t task, answer any, prepare func(bounds, time.Duration) order) error {
	left := s.limits.Time - time.Duration(s.spent.Load())
	if left <= 0 {
		return t.problem("R004", fmt.Sprintf("the templates and kustomizations together took longer than %s", s.limits.Time),
			"Render less at a time, or raise spec.limits.renderTime.")
	}
	if left < t.time {
		t.time, t.timeField = left, "renderTime"
	}
	o := prepare(bounds{Memory: s.limits.Memory, CPU: s.processorTime(t), Objects: s.limits.Objects, Output: s.limits.OverlayBytes}, t.time)
	// The child decodes it, and has its own work to do with it.
	o.request = int(min(s.limits.Memory/2, mostMessage))
	o.reply = min(o.reply, mostMessage)
	for {
		p, err := s.engine.take(s.ctx)
		if err != nil {
			return t.unavailable(err)
		}
		used := p.jobs > 0
		if err = s.attempt(p, t, o, answer); err == nil {
			return nil
		}
		why := p.ending(err)
		s.engine.put(p, false)
		if _, outside := errors.AsType[*lost](why); outside && used {
			continue // perhaps for what it did before this job
		}
		return s.explain(t, why)
	}
}

// processorTime is what a job may use on the two threads of a child until it is
// killed by the clock: a bound for the child to keep should nobody kill it.
func (s *Session) processorTime(t task) time.Duration { return 2 * (t.time + s.engine.options.Grace) }

// attempt does the job in one process, which is given back if it succeeds.
func (s *Session) attempt(p *process, t task, o order, answer any) error {
	returned := false
	defer func() {
		if !returned { // the caller's own function panicked
			p.stop(errRetired)
			s.engine.put(p, false)
		}
	}()
	began := time.Now()
	deadline := time.AfterFunc(t.time+s.engine.options.Grace, func() { p.stop(&passed{boundTime}) })
	forget := context.AfterFunc(s.ctx, func() { p.stop(&givenUp{context.Cause(s.ctx)}) })
	err := p.exchange(o, answer)
	deadline.Stop()
	forget()
	returned = true
	elapsed := time.Since(began)
	s.spent.Add(int64(elapsed))
	if err == nil {
		// A job that ran out of time may have left something running.
		s.engine.put(p, elapsed < t.time && *o.memory < s.limits.Memory/2)
	}
	return err
}

func (t task) problem(rule, message, mend string) *schema.Problem {
	return &schema.Problem{Rule: rule, Origin: schema.Origin{File: t.file}, Message: message, Mend: mend}
}

// unavailable is the error of a job that could not be done for a reason that
// it has no part in.
func (t task) unavailable(err error) error {
	p := t.problem("R045", t.subject+" was not run: "+err.Error(), "Render again; if it stays so, look at what the machine or the container forbids.")
	p.Cause = fmt.Errorf("%w: %w", render.ErrEngine, err)
	return p
}

// givenUp is the end of a job whose render is not wanted any more.
type givenUp struct{ cause error }

func (e *givenUp) Error() string { return e.cause.Error() }
func (e *givenUp) Unwrap() error { return e.cause }

// explain makes a Problem of the reason for which a job's process ended.
func (s *Session) explain(t task, why error) error {
	var outside *lost
	var up *givenUp
	if errors.Is(why, ErrClosed) || errors.As(why, &outside) || errors.As(why, &up) {
		return t.unavailable(why)
	}
	if large, ok := errors.AsType[*tooLarge](why); ok {
		return t.problem("R004", fmt.Sprintf("%s would be given %d bytes; the memory of the renderer allows %d", t.subject, large.size, large.most),
			"Make the files smaller, or raise spec.limits.rendererMemory.")
	}
	bound, ok := errors.AsType[*passed](why)
	if !ok {
		p := t.problem("R045", fmt.Sprintf("the renderer failed on this: %v", why), "Take the template or the kustomization apart to find what it fails on.")
		p.Cause = why
		return p
	}
	mend := "Make less of it, or raise spec.limits." + t.timeField + "."
	switch bound.bound {
	case boundTime:
		return t.problem(t.rule, fmt.Sprintf("%s did not finish within %s and was stopped", t.subject, t.time), mend)
	case boundCPU:
		return t.problem(t.rule, fmt.Sprintf("%s used more than %s of processor time and was stopped", t.subject, s.processorTime(t)), mend)
	case boundStack:
		return t.problem(t.rule, fmt.Sprintf("%s needed more than %d MiB of stack and was stopped", t.subject, mostStack>>20), "End the recursion, or nest less.")
	default:
		return t.problem(t.rule, fmt.Sprintf("%s needed more than %d MiB of memory and was stopped", t.subject, s.limits.Memory>>20),
			"Make less of it, or raise spec.limits.rendererMemory.")
	}
}
