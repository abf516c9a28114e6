package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	canary = "canary-7be19c"
	// hostileTime is how long any reply may take, and hostileMemory how much
	// more of it than a small repository with a template and an overlay.
	hostileTime   = 10 * time.Second
	hostileMemory = 256 << 20
)

var ruleID = regexp.MustCompile(`\[R\d{3}\]`)

// TestHostileRepositoriesAreAnswered gives rota, as a process of its own, each
// repository of the corpus. What must not be taken is refused with a rule's
// id; nothing of the file beside the repository is shown; every reply comes in
// time and within the memory.
func TestHostileRepositoriesAreAnswered(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute of attacks; left out by -short")
	}
	base := t.TempDir()
	if err := os.WriteFile(filepath.Join(base, "canary.yaml"), []byte(manifest("ConfigMap", canary)), 0o600); err != nil {
		t.Fatal(err)
	}
	friendly := filepath.Join(base, "friendly")
	lay(t, friendly, map[string]string{
		"kustomization.yaml": "resources: [job.yaml.j2]\nnamePrefix: a-\n",
		"job.yaml.j2":        "{% for i in range(3) %}\n---\n" + manifest("ConfigMap", "c{{ i }}") + "{% endfor %}",
	})
	usual := measure(t, friendly, "render").peak
	if len(hostile) < 40 {
		t.Errorf("the corpus has %d repositories, fewer than 40", len(hostile))
	}
	for _, h := range hostile {
		t.Run(strings.ReplaceAll(h.name, " ", "-"), func(t *testing.T) {
			dir := filepath.Join(base, "repository")
			defer os.RemoveAll(dir)
			h.lay(t, dir, base)
			for _, verb := range []string{"validate", "render"} {
				got := measure(t, dir, verb)
				h.judge(t, verb, got)
				if extra := got.peak - usual; usual > 0 && extra > hostileMemory {
					t.Errorf("%s took %d MiB more than a usual repository", verb, extra>>20)
				}
			}
		})
	}
	t.Logf("%d repositories, usual memory %d MiB", len(hostile), usual>>20)
}

// attack is one hostile repository.
type attack struct {
	name  string
	files map[string]string // `link:` begins a symbolic link, CANARY is the path outside
	make  func(t *testing.T, dir string)
	// good repositories look hostile and are not: they render.
	good bool
	// never must not be in any output.
	never string
}

func (h attack) lay(t *testing.T, dir, base string) {
	files := map[string]string{}
	for name, text := range h.files {
		files[name] = strings.ReplaceAll(text, "CANARY", filepath.ToSlash(filepath.Join(base, "canary.yaml")))
	}
	lay(t, dir, files)
	if h.make != nil {
		h.make(t, dir)
	}
}

func (h attack) judge(t *testing.T, verb string, got reply) {
	switch {
	case got.late:
		t.Fatalf("%s gave no answer within %s", verb, hostileTime)
	case strings.Contains(got.output, canary):
		t.Errorf("%s shows the file outside:\n%s", verb, cut(got.output))
	case h.never != "" && strings.Contains(got.output, h.never):
		t.Errorf("%s shows %q:\n%s", verb, h.never, cut(got.output))
	case strings.Contains(got.output, "goroutine "), strings.Contains(got.output, "panic:"):
		t.Errorf("%s crashed:\n%s", verb, cut(got.output))
	case h.good && got.code != 0:
		t.Errorf("%s refuses it with exit status %d:\n%s", verb, got.code, cut(got.output))
	case !h.good && verb == "validate" && (got.code != 1 || !ruleID.MatchString(got.output)):
		t.Errorf("validate gave exit status %d and no rule's id:\n%s", got.code, cut(got.output))
	case !h.good && verb == "render" && got.code != 3 && got.code != 0:
		t.Errorf("render gave exit status %d:\n%s", got.code, cut(got.output))
	}
}

func cut(s string) string { return s[:min(len(s), 1500)] }

// reply is what a process said.
type reply struct {
	output string
	code   int
	peak   int64 // bytes that it and its children had at most, as far as seen
	late   bool
}

// measure runs a verb of rota on dir, and looks at its memory all the while.
func measure(t *testing.T, dir, verb string) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hostileTime)
	defer cancel()
	c := exec.CommandContext(ctx, "rota", verb, ".")
	c.Dir = dir
	c.Env = append(os.Environ(), "KUBECONFIG="+os.DevNull, "HOME="+dir)
	c.WaitDelay = time.Second
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	peak := make(chan int64)
	go func() { peak <- watchMemory(c.Process.Pid, done) }()
	err := c.Wait()
	close(done)
	got := reply{output: out.String(), peak: <-peak, late: ctx.Err() != nil, code: c.ProcessState.ExitCode()}
	if exited := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exited) && !got.late {
		t.Fatal(err)
	}
	return got
}

// watchMemory returns the most memory that a process and its children were
// seen to have until done; 0 where /proc does not tell.
func watchMemory(pid int, done <-chan struct{}) int64 {
	var most int64
	if runtime.GOOS != "linux" {
		<-done
		return 0
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return most
		case <-tick.C:
			most = max(most, resident(pid))
		}
	}
}

func resident(pid int) int64 {
	var pages int64
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 2 {
			all, _ := strconv.ParseInt(fields[1], 10, 64)
			shared, _ := strconv.ParseInt(fields[2], 10, 64)
			pages = all - shared // the binary itself is there once for all
		}
	}
	total := pages * int64(os.Getpagesize())
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				total += resident(n)
			}
		}
	}
	return total
}

func lay(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "link:"); ok {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func manifest(kind, name string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: %s\nmetadata: {name: %q}\n", kind, name)
}
