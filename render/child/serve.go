package child

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"rota.dev/rota/render"
	"rota.dev/rota/schema"
)

// mostStack is what one goroutine's stack may take in bytes. Go's own bound, a
// gigabyte, is more than all of the process may.
const mostStack = 32 << 20

// watchEvery is how often the child looks at what it has used.
const watchEvery = 20 * time.Millisecond

// Serve is the child's side: it carries out the jobs that come in with engine,
// one at a time, until the end of in, at which it returns at once, also in the
// middle of a job. It takes the process for its own: it sets the bounds of the
// stack, the memory and the processor time on it, and after an error the
// process is of no further use.
func Serve(in io.Reader, out io.Writer, engine render.Engine) error {
	debug.SetMaxStack(mostStack)
	s := &server{
		engine: engine, orders: make(chan frame), ended: make(chan error, 1),
		asks: make(chan ask), encoder: newEncoder(out), decoder: newDecoder(),
	}
	confined, err := confine()
	if err != nil {
		return err
	}
	s.confined = confined
	go s.read(bufio.NewReader(in))
	if err := s.encoder.send(kindReady, 0, ready{}, mostMessage); err != nil {
		return err
	}
	for err == nil {
		select {
		case f := <-s.orders:
			err = s.carryOut(f)
		case err = <-s.ended:
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// server is the state of Serve. Everything but read and the job itself runs in
// Serve's own goroutine.
type server struct {
	engine   render.Engine
	confined *confinement
	orders   chan frame
	ended    chan error
	asks     chan ask
	encoder  *encoder
	decoder  *decoder
}

// ask is a question of a job: what does the file have?
type ask struct {
	file   string
	answer chan<- fileAnswer
}

// read hands the frames over. It is always waiting for the next one, so that
// the parent's end is noticed whatever a job is at.
func (s *server) read(r *bufio.Reader) {
	for {
		f, err := readFrame(r, mostMessage)
		if err != nil {
			s.ended <- err
			return
		}
		s.orders <- f
	}
}

// carryOut does one job from order to answer.
func (s *server) carryOut(f frame) error {
	var b bounds
	var work func() any
	switch f.kind {
	case kindTemplate:
		var o templateOrder
		if err := s.decoder.decode(f, &o); err != nil {
			return err
		}
		b, work = o.Bounds, func() any { return s.template(o) }
	case kindOverlay:
		var o overlayOrder
		if err := s.decoder.decode(f, &o); err != nil {
			return err
		}
		b, work = o.Bounds, func() any { return s.overlay(o) }
	default:
		return fmt.Errorf("%w: an order of kind %q", errNonsense, f.kind)
	}
	s.confined.apply(b)
	done := make(chan any, 1)
	go func() { done <- work() }()
	return s.attend(f.job, b, done)
}

// attend waits for a job, passes its questions on, and ends the process when
// it passes a bound.
func (s *server) attend(job uint32, b bounds, done <-chan any) error {
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	before := processorTime()
	var open *ask
	for {
		select {
		case answer := <-done:
			return s.encoder.send(kindAnswer, job, answer, mostMessage)
		case a := <-s.asks:
			open = &a
			if err := s.encoder.send(kindQuestion, job, fileQuestion{a.file}, mostMessage); err != nil {
				return err
			}
		case f := <-s.orders:
			if f.kind != kindFile || f.job != job || open == nil {
				return fmt.Errorf("%w: a frame of kind %q in the middle of a job", errNonsense, f.kind)
			}
			var answer fileAnswer
			if err := s.decoder.decode(f, &answer); err != nil {
				return err
			}
			open.answer <- answer
			open = nil
		case err := <-s.ended:
			return err
		case <-watch.C:
			if passed := b.passed(before); passed != "" {
				return errors.Join(fmt.Errorf("the job passed its bound of %s", passed),
					s.encoder.send(kindStopped, job, stopped{passed}, mostMessage))
			}
		}
	}
}

// passed returns the bound that the process is beyond, or "".
func (b bounds) passed(before time.Duration) string {
	switch {
	case b.Memory > 0 && memoryInUse() > b.Memory:
		return boundMemory
	case b.CPU > 0 && processorTime()-before > b.CPU:
		return boundCPU
	}
	return ""
}

// memoryInUse is the memory of the Go runtime in bytes, without what it has
// given back to the system.
func memoryInUse() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

func (s *server) template(o templateOrder) templateAnswer {
	var err error
	if o.Job.Variables, err = unflatten(o.Job.File, o.Variables, o.Nodes); err != nil {
		return templateAnswer{Faults: faultsOf(err)}
	}
	rendered, err := s.engine.Template(o.Job, s.file)
	return templateAnswer{Rendered: rendered, Faults: faultsOf(err), Memory: memoryInUse()}
}

// file asks the parent for a file that a template includes.
func (s *server) file(name string) ([]byte, error) {
	answer := make(chan fileAnswer, 1)
	s.asks <- ask{name, answer}
	a := <-answer
	return a.Data, errorOf(a.Faults)
}

func (s *server) overlay(o overlayOrder) overlayAnswer {
	objects, err := s.engine.Overlay(o.Job)
	if err == nil {
		err = o.Bounds.measure(o.Job.Folder, objects)
	}
	if err != nil {
		objects = nil
	}
	return overlayAnswer{Objects: objects, Faults: faultsOf(err), Memory: memoryInUse()}
}

// measure refuses what a run of kustomize made if it is too much.
func (b bounds) measure(folder string, objects []json.RawMessage) error {
	size := 0
	for _, data := range objects {
		size += len(data)
	}
	problem := &schema.Problem{Rule: "R004", Origin: schema.Origin{File: folder}}
	switch {
	case len(objects) > b.Objects:
		problem.Message = fmt.Sprintf("kustomize makes %d objects; at most %d are taken", len(objects), b.Objects)
		problem.Mend = "Split the kustomization, or raise spec.limits.objects."
	case size > b.Output:
		problem.Message = fmt.Sprintf("kustomize makes %d bytes; at most %d are taken", size, b.Output)
		problem.Mend = "Split the kustomization, or raise spec.limits.overlayBytes."
	default:
		return nil
	}
	return problem
}
