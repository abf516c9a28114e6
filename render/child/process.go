package child

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// farewell is how long a child that was told to end may take.
const farewell = 2 * time.Second

// process is a child, seen from the parent.
type process struct {
	cmd     *exec.Cmd
	in      *os.File
	out     *os.File
	reader  *bufio.Reader
	encoder *encoder
	decoder *decoder
	stderr  *ends
	exited  chan struct{}

	jobs uint32

	mu     sync.Mutex
	reason error // why it was stopped, if it was
}

// mostStart is how long a child may take until it is ready. It is long, for
// only a machine that is very busy needs any of it.
const mostStart = 30 * time.Second

// await waits until the child is ready.
func (p *process) await() error {
	deadline := time.AfterFunc(mostStart, func() { p.stop(fmt.Errorf("it was not ready within %s", mostStart)) })
	defer deadline.Stop()
	f, err := readFrame(p.reader, smallMessage)
	if err == nil && f.kind != kindReady {
		err = fmt.Errorf("%w: a frame of kind %q", errNonsense, f.kind)
	}
	if err == nil {
		err = p.decoder.decode(f, &ready{})
	}
	if err == nil {
		return nil
	}
	return p.ending(err)
}

// start starts a child. It inherits nothing but the three pipes: no variable,
// no folder, no file.
func start(path string, args []string) (*process, error) {
	inside, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer inside.Close()
	out, outside, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer outside.Close()
	p := &process{
		in: in, out: out, reader: bufio.NewReaderSize(out, 64<<10), encoder: newEncoder(in), decoder: newDecoder(),
		stderr: &ends{}, exited: make(chan struct{}),
	}
	p.cmd = &exec.Cmd{
		Path: path, Args: args, Dir: string(os.PathSeparator),
		// Two threads: one for the job, one for the collector and the watch.
		Env:   []string{"GOTRACEBACK=none", "GOMAXPROCS=2"},
		Stdin: inside, Stdout: outside, Stderr: p.stderr,
		WaitDelay: farewell,
	}
	isolate(p.cmd)
	keepFiles()
	if err := p.cmd.Start(); err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // what it ended with is in ProcessState
		in.Close()
		// What it has written is still there; what it started may write on.
		_ = out.SetReadDeadline(time.Now().Add(farewell))
		close(p.exited)
	}()
	return p, nil
}

// alive reports whether the child has not exited.
func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stop kills the child for a reason, of which the first counts. A read from it
// that is under way fails.
func (p *process) stop(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason == nil {
		p.reason = reason
	}
	if p.alive() {
		killGroup(p.cmd.Process)
	}
	// Something that it started may hold the other end open.
	p.out.Close()
}

// stopped returns the reason of stop.
func (p *process) stopped() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

// errRetired is the reason of children that nobody needs any more.
var errRetired = errors.New("no longer needed")

// retire tells a child that is idle to end, and sees to it that it does.
func (p *process) retire() {
	p.in.Close()
	go func() {
		select {
		case <-p.exited:
		case <-time.After(farewell):
		}
		p.stop(errRetired)
	}()
}

// order is one job on its way to a child.
type order struct {
	kind    byte
	message any
	// request and reply bound the messages of both directions in bytes.
	request, reply int
	// read answers questions; nil if there can be none.
	read func(file string) ([]byte, error)
	// memory is where the answer says what the process uses after the job.
	memory *int64
}

// exchange sends an order and decodes its answer. After an error the child is
// of no further use.
func (p *process) exchange(o order, answer any) error {
	p.jobs++
	if err := p.encoder.send(o.kind, p.jobs, o.message, o.request); err != nil {
		return err
	}
	for {
		f, err := readFrame(p.reader, o.reply)
		switch {
		case err != nil:
			return err
		case f.job != p.jobs:
			return fmt.Errorf("%w: an answer to job %d, not to %d", errNonsense, f.job, p.jobs)
		}
		switch {
		case f.kind == kindAnswer:
			return p.decoder.decode(f, answer)
		case f.kind == kindStopped:
			var s stopped
			if err := p.decoder.decode(f, &s); err != nil {
				return err
			}
			return &passed{s.Bound}
		case f.kind != kindQuestion || o.read == nil:
			return fmt.Errorf("%w: a frame of kind %q", errNonsense, f.kind)
		}
		if err := p.reply(f, o); err != nil {
			return err
		}
	}
}

// reply answers a question of the child.
func (p *process) reply(f frame, o order) error {
	var q fileQuestion
	if err := p.decoder.decode(f, &q); err != nil {
		return err
	}
	data, err := o.read(q.File)
	return p.encoder.send(kindFile, p.jobs, fileAnswer{Data: data, Faults: faultsOf(err)}, o.request)
}

// passed is a bound that a child went beyond.
type passed struct{ bound string }

func (e *passed) Error() string { return "passed its bound of " + e.bound }

// ending ends a child that failed in a job with err, and says why it failed:
// a *passed for a bound, a *tooLarge for what it could not be sent, a *lost if
// it was ended from outside, or what is known of its own end.
func (p *process) ending(err error) error {
	gone := slices.ContainsFunc([]error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, os.ErrDeadlineExceeded, os.ErrClosed}, func(end error) bool { return errors.Is(err, end) })
	if gone {
		// It has ended, and is about to be seen to; or it only pretends.
		select {
		case <-p.exited:
		case <-time.After(farewell):
		}
	}
	byItself := !p.alive()
	reason := p.stopped()
	p.stop(err)
	<-p.exited
	if reason != nil {
		return reason
	}
	if !gone {
		return err
	}
	// What Go writes when it cannot go on, in its own words.
	switch said := p.stderr.String(); {
	case strings.Contains(said, "stack overflow"):
		return &passed{boundStack}
	case strings.Contains(said, "out of memory"), strings.Contains(said, "cannot allocate memory"),
		// A thread whose stack there is no memory for.
		strings.Contains(said, "pthread_create failed"), strings.Contains(said, "failed to create new OS thread"):
		return &passed{boundMemory}
	}
	if byItself && !p.cmd.ProcessState.Exited() {
		return &lost{p.cmd.ProcessState.String()}
	}
	if !byItself {
		return fmt.Errorf("%w: it closed its output", errNonsense)
	}
	return fmt.Errorf("it ended with %s%s", p.cmd.ProcessState, p.stderr.line())
}

// lost is the end of a child by a signal that is not ours.
type lost struct{ state string }

func (e *lost) Error() string {
	return "it was ended from outside (" + e.state + "), as the system does when memory runs out"
}

// ends keeps the beginning and the end of what is written to it: kustomize may
// warn at length before Go says why it cannot go on.
type ends struct {
	mu          sync.Mutex
	begin, last []byte
}

// The end has room for the stack that Go prints after its reason.
const beginSize, lastSize = 4 << 10, 64 << 10

func (e *ends) Write(data []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := min(beginSize-len(e.begin), len(data))
	e.begin = append(e.begin, data[:taken]...)
	e.last = append(e.last, data[max(taken, len(data)-lastSize):]...)
	e.last = append(e.last[:0], e.last[max(0, len(e.last)-lastSize):]...)
	return len(data), nil
}

// String returns all of it.
func (e *ends) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return string(e.begin) + string(e.last)
}

// line returns the first line in a form that fits into a message, or "".
func (e *ends) line() string {
	text, _, _ := strings.Cut(strings.TrimSpace(e.String()), "\n")
	if text == "" {
		return ""
	}
	return fmt.Sprintf(", and said %.200q", text)
}
