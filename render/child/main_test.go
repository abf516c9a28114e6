//go:build unix

package child

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"rota.dev/rota/render"
	"rota.dev/rota/render/expand"
	"rota.dev/rota/render/overlay"
)

// The tests' own program is the child: what it is to do there is its argument.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		os.Exit(m.Run())
	}
	var err error
	switch os.Args[1] {
	case Verb:
		err = Serve(os.Stdin, os.Stdout, render.InProcess{})
	case "trap":
		err = Serve(os.Stdin, os.Stdout, trap{})
	case "sabotage":
		err = sabotage(os.Args[2])
	default:
		err = fmt.Errorf("unknown argument %q", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// newEngine returns an Engine whose children are this program.
func newEngine(t testing.TB, o Options, args ...string) *Engine {
	t.Helper()
	if len(args) > 0 {
		o.Args = args
	}
	e := New(o)
	t.Cleanup(e.Close)
	return e
}

// trap is an engine that does what a template must not: the text of the job
// says what. So it is certain to happen, whatever the templates' own checks are.
type trap struct{}

var kept any

func (trap) Template(job expand.Job, read func(string) ([]byte, error)) (expand.Rendered, error) {
	switch job.Text {
	case "loop":
		spin()
	case "loop on every thread":
		for range 3 {
			go spin()
		}
		spin()
	case "recursion":
		return expand.Rendered{Text: fmt.Sprint(recurse(0))}, nil
	case "doubling":
		for s := "a"; ; s += s {
			kept = s
		}
	case "small pieces":
		type piece struct {
			next *piece
			_    [100]byte
		}
		for p := (*piece)(nil); ; p = (&piece{next: p}) {
			kept = p
		}
	case "one large piece":
		kept = make([]byte, 1<<40)
	case "panic in a goroutine":
		go panic("as a library may")
		select {}
	case "exit":
		os.Exit(7)
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "deadlock":
		select {}
	case "questions without end":
		for {
			if _, err := read("a"); err != nil {
				return expand.Rendered{}, err
			}
		}
	case "a program that stays":
		stay := exec.Command("/bin/sleep", "3600")
		stay.Stdout, stay.Stderr = os.Stdout, os.Stderr
		if err := stay.Start(); err != nil {
			return expand.Rendered{}, err
		}
		os.Exit(7)
	case "late":
		time.Sleep(job.Time + 10*time.Millisecond)
	case "output":
		return expand.Rendered{Text: strings.Repeat("x", 8*job.Bytes+2<<20)}, nil
	case "what is there":
		return expand.Rendered{Text: surroundings()}, nil
	case "stderr":
		fmt.Fprintln(os.Stderr, strings.Repeat("\x1b[31mnoise ", 10_000))
		os.Exit(7)
	case "warnings and one large piece":
		for range 1_000 {
			fmt.Fprintln(os.Stderr, "# Warning: 'vars' is deprecated.")
		}
		kept = make([]byte, 1<<40)
	case "a bit more than the memory":
		// Pages that are only asked for count to the kernel, and not to the watch.
		for range 14 {
			data, err := syscall.Mmap(-1, 0, 8<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
			if err != nil {
				panic(err)
			}
			_ = data
		}
	case "heap":
		kept = bytes.Repeat([]byte("x"), 70<<20)
	}
	return expand.Rendered{Text: job.Text, Used: []string{fmt.Sprint(os.Getpid())}}, nil
}

func (trap) Overlay(job overlay.Job) ([]json.RawMessage, error) {
	switch job.Folder {
	case "loop":
		spin()
	case "many":
		return make([]json.RawMessage, 1000), nil
	case "large":
		return []json.RawMessage{bytes.Repeat([]byte("x"), 1000)}, nil
	}
	return nil, errors.New("a fault of kustomize")
}

// spin never ends, and calls nothing.
func spin() {
	for i := 0; i >= 0; i = (i + 1) & 0xffff {
	}
}

//go:noinline
func recurse(n int) int {
	if n < 0 {
		return n
	}
	var frame [64]int
	frame[n%64] = n
	return recurse(n+1) + frame[(n+1)%64]
}

// surroundings says what this process can reach of its parent.
func surroundings() string {
	dir, _ := os.Getwd()
	var files []string // but for those of Go's runtime
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") && !strings.HasPrefix(target, "/sys/fs/cgroup/") {
			kind, _, _ := strings.Cut(target, ":")
			files = append(files, e.Name()+" "+kind)
		}
	}
	group, _ := syscall.Getpgid(0)
	return fmt.Sprintf("environment %v\nfolder %s\nfiles %v\nown group %v\nstack %d", os.Environ(), dir, files, group == os.Getpid(), debug.SetMaxStack(mostStack))
}

// sabotage speaks the protocol wrongly.
func sabotage(how string) error {
	noise := bytes.Repeat([]byte("noise!"), 10_000)
	e := newEncoder(os.Stdout)
	switch how {
	case "is never ready":
		return nil
	case "begins with noise":
		os.Stdout.Write(noise)
		return wait()
	}
	if err := e.send(kindReady, 0, ready{}, mostMessage); err != nil {
		return err
	}
	switch how {
	case "nothing":
		time.Sleep(time.Hour)
	case "closes its output":
		os.Stdout.Close()
		time.Sleep(time.Hour)
	case "ends at once":
	case "noise":
		os.Stdout.Write(noise)
		time.Sleep(time.Hour)
	case "noise without end":
		for {
			os.Stdout.Write(noise)
		}
	case "noise on stderr without end":
		for {
			os.Stderr.Write(noise)
		}
	case "half a header":
		os.Stdout.Write([]byte{kindAnswer, 0, 0})
	case "half a message":
		os.Stdout.Write([]byte{kindAnswer, 0, 0, 0, 1, 0, 0, 1, 0, 'x'})
	case "a message of a gigabyte":
		os.Stdout.Write([]byte{kindAnswer, 0, 0, 0, 1, 0x3f, 0xff, 0xff, 0xff, 'x'})
		time.Sleep(time.Hour)
	case "a message that is none":
		os.Stdout.Write(append([]byte{kindAnswer, 0, 0, 0, 1, 0, 0, 0, 60}, noise[:60]...))
		time.Sleep(time.Hour)
	case "an answer of another kind":
		return errors.Join(e.send(kindAnswer, 1, fileQuestion{"a"}, mostMessage), wait())
	case "another job's answer":
		return errors.Join(e.send(kindAnswer, 2, templateAnswer{}, mostMessage), wait())
	case "an unknown frame":
		return errors.Join(e.send('?', 1, templateAnswer{}, mostMessage), wait())
	case "an answer without an order, and again":
		for i := range uint32(3) {
			if err := e.send(kindAnswer, i+1, templateAnswer{Rendered: expand.Rendered{Text: "stale"}}, mostMessage); err != nil {
				return err
			}
		}
		return wait()
	}
	return nil
}

func wait() error {
	time.Sleep(time.Hour)
	return nil
}
