//go:build unix

package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rota.dev/rota/render"
	"rota.dev/rota/render/expand"
	"rota.dev/rota/render/overlay"
	"rota.dev/rota/schema"
)

// patience is a safety net: nothing that is tested comes near it.
const patience = time.Minute

func noFiles(string) ([]byte, error) { return nil, fs.ErrNotExist }

func jobOf(text string) expand.Job {
	return expand.Job{File: "jobs/job.yaml.j2", Text: text, Bytes: 1 << 20, Time: patience}
}

// pidOf returns the process that carried out a job of trap.
func pidOf(t *testing.T, e render.Engine) int {
	t.Helper()
	out, err := e.Template(jobOf("good"), noFiles)
	if err != nil || out.Text != "good" {
		t.Fatalf("a good job: %q, %v", out.Text, err)
	}
	pid, err := strconv.Atoi(out.Used[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func running(pid int) bool { return syscall.Kill(pid, 0) == nil }

// only returns the error's one Problem.
func only(t *testing.T, err error) *schema.Problem {
	t.Helper()
	problems := schema.Problems(err)
	if len(problems) != 1 || problems[0].Rule == "" {
		t.Fatalf("want one Problem, and got %v", err)
	}
	return problems[0]
}

// TestWhatGoesBeyondALimitIsStoppedAndNamed springs every trap in a child that
// has done a good job before, and has another one done after.
func TestWhatGoesBeyondALimitIsStoppedAndNamed(t *testing.T) {
	short := func(j *expand.Job) { j.Time = 300 * time.Millisecond }
	for _, test := range []struct {
		name    string
		change  func(*expand.Job)
		message string
		mend    string
	}{
		{"loop", short, "the template did not finish within 300ms and was stopped [R043]", "spec.limits.templateTime"},
		{"loop on every thread", func(j *expand.Job) { j.Time = time.Second }, "was stopped [R043]", "spec.limits.templateTime"},
		{"deadlock", short, "the template did not finish within 300ms and was stopped [R043]", "spec.limits.templateTime"},
		{"questions without end", short, "the template did not finish within 300ms and was stopped [R043]", "spec.limits.templateTime"},
		{"recursion", nil, "the template needed more than 32 MiB of stack and was stopped [R043]", "End the recursion"},
		{"doubling", nil, "the template needed more than 100 MiB of memory and was stopped [R043]", "spec.limits.rendererMemory"},
		{"small pieces", nil, "the template needed more than 100 MiB of memory and was stopped [R043]", "spec.limits.rendererMemory"},
		{"one large piece", nil, "the template needed more than 100 MiB of memory and was stopped [R043]", "spec.limits.rendererMemory"},
		{"warnings and one large piece", nil, "the template needed more than 100 MiB of memory and was stopped [R043]", "spec.limits.rendererMemory"},
		{"panic in a goroutine", nil, `the renderer failed on this: it ended with exit status 2, and said "panic: as a library may" [R045]`, "Take the template"},
		{"exit", nil, "the renderer failed on this: it ended with exit status 7 [R045]", ""},
		{"stderr", nil, `the renderer failed on this: it ended with exit status 7, and said "\x1b[31mnoise \x1b[31mnoise `, ""},
		{"killed", nil, "the template was not run: it was ended from outside (signal: killed), as the system does when memory runs out [R045]", "Render again"},
		{"a program that stays", nil, "the renderer failed on this: it ended with exit status 7 [R045]", ""},
		{"output", nil, "the renderer failed on this: broken protocol: a message of 10485", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := newEngine(t, Options{Processes: 1, Grace: 50 * time.Millisecond, Limits: Limits{Memory: 100 << 20}}, "trap")
			before := pidOf(t, e)
			job := jobOf(test.name)
			if test.change != nil {
				test.change(&job)
			} else if !kernelBounds {
				job.Time = 10 * time.Minute // under the race detector memory grows slowly
			}
			_, err := e.Template(job, func(string) ([]byte, error) { return []byte("x"), nil })
			p := only(t, err)
			if !strings.HasPrefix(p.Error(), "jobs/job.yaml.j2: ") || !strings.Contains(p.Error(), test.message) || !strings.Contains(p.Mend, test.mend) {
				t.Errorf("got  %s\nwant %s", p, test.message)
			}
			if len(p.Error()) > 1000 || strings.ContainsAny(p.Message, "\n\x1b") {
				t.Errorf("what the child said is shown raw: %q", p.Error())
			}
			if outside := errors.Is(err, render.ErrEngine); outside != (test.name == "killed") {
				t.Errorf("errors.Is(err, ErrEngine) is %v: %v", outside, err)
			}
			if running(before) {
				t.Error("its process goes on")
			}
			if after := pidOf(t, e); after == before {
				t.Error("the next job has the same process")
			}
		})
	}
}

// TestTheKernelEndsNothingThatTheWatchAllows has a job that uses little and
// has asked the kernel for more than its memory.
func TestTheKernelEndsNothingThatTheWatchAllows(t *testing.T) {
	e := newEngine(t, Options{Processes: 1, Limits: Limits{Memory: 100 << 20}}, "trap")
	if _, err := e.Template(jobOf("a bit more than the memory"), noFiles); err != nil {
		t.Error(err)
	}
}

func TestProcessorTimeIsBoundedByTheChildItself(t *testing.T) {
	e := newEngine(t, Options{Processes: 1, Grace: time.Second}, "trap")
	p, err := e.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.put(p, false)
	o := order{kind: kindTemplate, request: mostMessage, reply: mostMessage, message: templateOrder{Bounds: bounds{Memory: 1 << 30, CPU: 200 * time.Millisecond}, Job: jobOf("loop")}}
	why := p.ending(p.exchange(o, &templateAnswer{}))
	if bound, ok := errors.AsType[*passed](why); !ok || bound.bound != boundCPU {
		t.Fatalf("a busy child that nobody kills: %v", why)
	}
	explained := e.Session(t.Context(), Limits{}).explain(task{rule: "R043", file: "a.j2", subject: "the template", time: time.Second, timeField: "templateTime"}, why)
	if want := "a.j2: the template used more than 4s of processor time and was stopped [R043]"; !strings.HasPrefix(explained.Error(), want) {
		t.Errorf("got %v", explained)
	}
}

func TestKustomizeIsHeldToItsLimits(t *testing.T) {
	e := newEngine(t, Options{Grace: time.Millisecond, Limits: Limits{Objects: 999, OverlayBytes: 999}}, "trap")
	for folder, want := range map[string]string{
		"loop":  "loop: kustomize did not finish within 100ms and was stopped [R004]\n  mend: Make less of it, or raise spec.limits.overlayTime.",
		"many":  "many: kustomize makes 1000 objects; at most 999 are taken [R004]\n  mend: Split the kustomization, or raise spec.limits.objects.",
		"large": "large: kustomize makes 1000 bytes; at most 999 are taken [R004]\n  mend: Split the kustomization, or raise spec.limits.overlayBytes.",
		"fault": "a fault of kustomize",
	} {
		job := overlay.Job{Folder: folder, Time: patience}
		if folder == "loop" {
			job.Time = 100 * time.Millisecond
		}
		if _, err := e.Overlay(job); err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", folder, err, want)
		}
	}
	_, err := e.Session(t.Context(), Limits{Memory: 64 << 20}).Overlay(overlay.Job{Folder: "a", Time: patience, Files: map[string][]byte{"a": make([]byte, 33<<20)}})
	if p := only(t, err); p.Rule != "R004" || !strings.HasPrefix(p.Message, "kustomize would be given 34603") || !strings.Contains(p.Mend, "rendererMemory") {
		t.Errorf("files beyond the memory: %v", err)
	}
}

// TestTheParentSurvivesEveryProtocol has a child that breaks it in each way.
func TestTheParentSurvivesEveryProtocol(t *testing.T) {
	for how, want := range map[string]string{
		"is never ready":              "the template was not run: starting the renderer: it ended with exit status 0 [R045]",
		"begins with noise":           "the template was not run: starting the renderer: broken protocol: ",
		"nothing":                     "the template did not finish within 300ms and was stopped [R043]",
		"closes its output":           "the renderer failed on this: broken protocol: it closed its output [R045]",
		"ends at once":                "the renderer failed on this: it ended with exit status 0 [R045]",
		"noise":                       "the renderer failed on this: broken protocol: ",
		"noise without end":           "the renderer failed on this: broken protocol: ",
		"noise on stderr without end": "the template did not finish within 300ms and was stopped [R043]",
		"half a header":               "the renderer failed on this: it ended with exit status 0 [R045]",
		"half a message":              "the renderer failed on this: it ended with exit status 0 [R045]",
		"a message of a gigabyte":     "the renderer failed on this: broken protocol: a message of 1073741823 bytes",
		"a message that is none":      "the renderer failed on this: broken protocol: ",
		"an answer of another kind":   "the renderer failed on this: broken protocol: ",
		"another job's answer":        "the renderer failed on this: broken protocol: an answer to job 2, not to 1",
		"an unknown frame":            "the renderer failed on this: broken protocol: a frame of kind '?'",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			e := newEngine(t, Options{Processes: 1, Grace: time.Millisecond}, "sabotage", how)
			job := jobOf("x")
			if strings.Contains(want, "300ms") {
				job.Time = 300 * time.Millisecond
			}
			_, err := e.Template(job, noFiles)
			if p := only(t, err); !strings.Contains(p.Error(), want) {
				t.Errorf("got  %v\nwant %s", p, want)
			}
		})
	}
}

// TestAStaleAnswerIsNeverTaken has a child that answers more often than it is
// asked: the second job must not get what was meant for the first.
func TestAStaleAnswerIsNeverTaken(t *testing.T) {
	e := newEngine(t, Options{Processes: 1}, "sabotage", "an answer without an order, and again")
	e2 := newEngine(t, Options{Processes: 1}, "sabotage", "another job's answer")
	if out, err := e.Template(jobOf("x"), noFiles); err != nil || out.Text != "stale" {
		t.Fatalf("an answer cannot be told from one that came too early: %v", err)
	}
	if _, err := e2.Template(jobOf("x"), noFiles); err == nil {
		t.Error("the answer to another job was taken")
	}
}

func TestTheChildHasNothingOfItsParent(t *testing.T) {
	t.Setenv("ROTA_TEST_TOKEN", "secret")
	// A file that whoever started this process left open for it.
	stray, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer stray.Close()
	fd, err := syscall.Dup(int(stray.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	e := newEngine(t, Options{}, "trap")
	out, err := e.Template(jobOf("what is there"), noFiles)
	if err != nil {
		t.Fatal(err)
	}
	want := "environment [GOTRACEBACK=none GOMAXPROCS=2]\nfolder /\nfiles [0 pipe 1 pipe 2 pipe]\nown group true\nstack 33554432"
	if runtime.GOOS != "linux" {
		t.Skip("what is open is listed on Linux only")
	}
	if out.Text != want {
		t.Errorf("got\n%s\nwant\n%s", out.Text, want)
	}
}

func TestProcessesAreKeptAndReplaced(t *testing.T) {
	t.Run("one does many jobs", func(t *testing.T) {
		e := newEngine(t, Options{Processes: 1}, "trap")
		first := pidOf(t, e)
		for range 100 {
			if pid := pidOf(t, e); pid != first {
				t.Fatal("another process did the job")
			}
		}
	})
	t.Run("it is replaced after so many", func(t *testing.T) {
		e := newEngine(t, Options{Processes: 1, Jobs: 2}, "trap")
		if a, b, c := pidOf(t, e), pidOf(t, e), pidOf(t, e); a != b || b == c {
			t.Errorf("processes %d, %d and %d", a, b, c)
		}
	})
	t.Run("it is replaced when it has grown", func(t *testing.T) {
		e := newEngine(t, Options{Processes: 1, Limits: Limits{Memory: 130 << 20}}, "trap")
		a := pidOf(t, e)
		if _, err := e.Template(jobOf("heap"), noFiles); err != nil {
			t.Fatal(err)
		}
		if a == pidOf(t, e) {
			t.Error("it was kept")
		}
	})
	t.Run("it is replaced when a job took all of its time", func(t *testing.T) {
		e := newEngine(t, Options{Processes: 1}, "trap")
		a, job := pidOf(t, e), jobOf("late")
		job.Time = 10 * time.Millisecond
		if out, err := e.Template(job, noFiles); err != nil || out.Text != "late" {
			t.Fatal(out, err)
		}
		if a == pidOf(t, e) {
			t.Error("it was kept")
		}
	})
	t.Run("one that died while it waited is replaced without a word", func(t *testing.T) {
		e := newEngine(t, Options{Processes: 1}, "trap")
		a := pidOf(t, e)
		e.mu.Lock()
		p := e.idle[0].process
		e.mu.Unlock()
		killGroup(p.cmd.Process)
		if a == pidOf(t, e) {
			t.Error("a dead one did the job")
		}
	})
	t.Run("one that is idle ends", func(t *testing.T) {
		e := newEngine(t, Options{Processes: 1, Idle: time.Millisecond}, "trap")
		p, err := e.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		e.put(p, true)
		select {
		case <-p.exited:
		case <-time.After(patience):
			t.Fatal("it waits for ever")
		}
		if !p.cmd.ProcessState.Success() {
			t.Errorf("it ended with %s", p.cmd.ProcessState)
		}
		pidOf(t, e)
	})
}

func TestJobsRunSideBySideAsFarAsAllowed(t *testing.T) {
	e := newEngine(t, Options{Processes: 2}, "trap")
	var mu sync.Mutex
	pids := map[int]int{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				out, err := e.Template(jobOf("good"), noFiles)
				if err != nil {
					t.Error(err)
					return
				}
				pid, _ := strconv.Atoi(out.Used[0])
				mu.Lock()
				pids[pid]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(pids) > 2 {
		t.Errorf("%d processes were used: %v", len(pids), pids)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	e := New(Options{Args: []string{"trap"}, Processes: 2})
	idle := pidOf(t, e)
	var group sync.WaitGroup
	failed := make(chan error, 3)
	asked := make(chan bool, 3)
	for range 3 { // two that run, and one that waits for its turn
		group.Go(func() {
			_, err := e.Template(jobOf("questions without end"), func(string) ([]byte, error) {
				select {
				case asked <- true:
				default:
				}
				return nil, nil
			})
			failed <- err
		})
	}
	<-asked
	e.Close()
	e.Close()
	group.Wait()
	close(failed)
	for err := range failed {
		if !errors.Is(err, ErrClosed) || !errors.Is(err, render.ErrEngine) {
			t.Errorf("a job under way: %v", err)
		}
	}
	if _, err := e.Template(jobOf("good"), noFiles); !errors.Is(err, ErrClosed) {
		t.Errorf("a job after the end: %v", err)
	}
	if running(idle) {
		t.Error("a process is left")
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 64<<10)
			t.Fatalf("goroutines are left: %d, of %d\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func TestAJobEndsWithItsContext(t *testing.T) {
	e := newEngine(t, Options{Processes: 1}, "trap")
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	s := e.Session(ctx, Limits{})
	_, err := s.Template(jobOf("questions without end"), func(string) ([]byte, error) {
		cancel(enough)
		return nil, nil
	})
	if !errors.Is(err, render.ErrEngine) || !errors.Is(err, enough) {
		t.Errorf("a job under way: %v", err)
	}
	if _, err := s.Template(jobOf("good"), noFiles); !errors.Is(err, render.ErrEngine) {
		t.Errorf("a job after that: %v", err)
	}
	pidOf(t, e)
}

// TestTheChildEndsWithItsParent closes the pipe of a child that is busy.
func TestTheChildEndsWithItsParent(t *testing.T) {
	e := newEngine(t, Options{}, "trap")
	p, err := e.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := order{kind: kindTemplate, request: mostMessage, reply: mostMessage, message: templateOrder{Bounds: bounds{Memory: 1 << 30}, Job: jobOf("questions without end")},
		read: func(string) ([]byte, error) { return nil, p.in.Close() }}
	_ = p.exchange(o, &templateAnswer{})
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Error("it goes on")
	}
	e.put(p, false)

	if p, err = e.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.encoder.send(kindTemplate, 1, templateOrder{Bounds: bounds{Memory: 1 << 30}, Job: jobOf("loop")}, mostMessage); err != nil {
		t.Fatal(err)
	}
	p.in.Close()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Error("it goes on in its loop")
	}
	e.put(p, false)
}

func TestTheTimeOfARenderIsCountedTogether(t *testing.T) {
	e := newEngine(t, Options{Grace: time.Millisecond}, "trap")
	s := e.Session(t.Context(), Limits{Time: 400 * time.Millisecond})
	_, err := s.Template(jobOf("deadlock"), noFiles)
	if p := only(t, err); p.Rule != "R043" || !strings.Contains(p.Mend, "spec.limits.renderTime") {
		t.Errorf("a job that takes all of it: %v", err)
	}
	_, err = s.Overlay(overlay.Job{Folder: "overlays/prod", Time: patience})
	want := "overlays/prod: the templates and kustomizations together took longer than 400ms [R004]\n  mend: Render less at a time, or raise spec.limits.renderTime."
	if err == nil || err.Error() != want {
		t.Errorf("a job after that: %v", err)
	}
	pidOf(t, e.Session(t.Context(), Limits{Time: 400 * time.Millisecond}))
}

func TestAProgramThatCannotBeStartedIsNoFaultOfTheRepository(t *testing.T) {
	e := newEngine(t, Options{Path: "/nonexistent/rota"})
	_, err := e.Template(jobOf("good"), noFiles)
	if p := only(t, err); !errors.Is(err, render.ErrEngine) || p.Rule != "R045" || !strings.Contains(p.Message, "/nonexistent/rota") {
		t.Errorf("got %v", err)
	}
}

func TestAPanicOfTheCallersFunctionLosesNoProcess(t *testing.T) {
	e := newEngine(t, Options{Processes: 1}, "trap")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = e.Template(jobOf("questions without end"), func(string) ([]byte, error) { panic("a fault of the caller") })
	}()
	pidOf(t, e)
}

// TestTemplatesAndKustomizeAreTheSameInAChild holds the real engine in a child
// to the one in this process.
func TestTemplatesAndKustomizeAreTheSameInAChild(t *testing.T) {
	e := newEngine(t, Options{})
	files := map[string]string{"jobs/m.j2": "{% macro m(x) %}<{{ x }}>{% endmacro %}", "jobs/b.j2": "[{% block b %}{% endblock %}]", "bad.j2": "{{ nope }}", "caf\xe9.j2": "\xff"}
	read := func(file string) ([]byte, error) {
		if file == "broken.j2" {
			return nil, &schema.Problem{Rule: "R005", Origin: schema.Origin{File: file}, Message: "cannot read the file", Cause: errors.New("why")}
		}
		if text, ok := files[file]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
	values := everyValue(t)
	for _, text := range []string{
		"hello {{ 1 + 1 }}\n", "{% import 'm.j2' as m %}{{ m.m(csv) }}", "{% extends 'b.j2' %}{% block b %}x{% endblock %}", "{% include 'bad.j2' %}", "{% include 'none.j2' %}",
		"{% include 'none.j2' ignore missing %}x", "{% include 'broken.j2' %}", "{% include '../../x' %}", "{{ nope }}", "\n\n{{ 1 / 0 }}", "{% for x in range(10**9) %}{% endfor %}", "{{ 'a' * 10**8 }}",
		"{{ item0 }}", "{{ item1 }}", "{{ item2 }}", "{{ item3 }}", "{{ item4 }}", "{{ item5 }}", "{{ item6 }}", "{{ m }}", "{{ one }} {{ exp }} {{ half }}", "{% for k in several %}{{ k }};{% endfor %}",
		"{{ range + 1 }}", "\xff\xfe", "{{ bare }}", "{% for x in range(99999) %}{% for y in range(99999) %}{% endfor %}{% endfor %}",
	} {
		job := expand.Job{File: "jobs/job.yaml.j2", Text: text, Variables: values, Bytes: 1 << 16, Time: 300 * time.Millisecond}
		want, wantErr := expand.Render(job, read)
		got, gotErr := e.Template(job, read)
		if got.Text != want.Text || !slices.Equal(got.Used, want.Used) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Errorf("%q:\nhere     %q %v %v\nin child %q %v %v", text, want.Text, want.Used, wantErr, got.Text, got.Used, gotErr)
		}
	}
	for name, kustomization := range map[string]string{
		"good": "namePrefix: p-\nresources: [a.yaml]\n", "missing": "resources: [b.yaml]\n", "no folder": "",
	} {
		job := overlay.Job{Folder: "o", Time: patience, Files: map[string][]byte{"o/kustomization.yaml": []byte(kustomization), "o/a.yaml": []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: \"caf\u00e9 \\u2028\"}\n")}}
		if kustomization == "" {
			job.Files = nil
		}
		want, wantErr := overlay.Run(job)
		got, gotErr := e.Overlay(job)
		if !slices.EqualFunc(got, want, func(a, b json.RawMessage) bool { return string(a) == string(b) }) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Errorf("%s:\nhere     %s %v\nin child %s %v", name, want, wantErr, got, gotErr)
		}
		if name == "good" && len(got) != 1 {
			t.Errorf("kustomize made %d objects", len(got))
		}
	}
}
