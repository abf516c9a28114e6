package node

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func newGuard(t *testing.T, id string) *guard {
	t.Helper()
	g, err := startGuard(id)
	if err != nil {
		t.Fatalf("starting guard: %v", err)
	}
	t.Cleanup(g.stop)
	return g
}

func run(t *testing.T, g *guard, command ...string) (*process, *containerLog) {
	t.Helper()
	log, err := createLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProcess(processSpec{id: t.Name(), command: command, env: append(g.marks(t.Name()), "PATH="+os.Getenv("PATH")), dir: t.TempDir(), output: log}, g)
	if err != nil {
		t.Fatalf("starting %q: %v", command, err)
	}
	return p, log
}

func TestProcessReportsItsExitAndOutput(t *testing.T) {
	g := newGuard(t, t.Name())
	for name, test := range map[string]struct {
		script string
		code   int32
		output string
	}{
		"success":                {"echo out; echo err >&2", 0, "out\nerr\n"},
		"an exit code":           {"echo x; exit 9", 9, "x\n"},
		"a signal":               {"kill -TERM $$", 143, ""},
		"an orphan with the log": {"sleep 3600.7 & echo left", 0, "left\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p, log := run(t, g, "sh", "-c", test.script)
			<-p.done
			if p.exitCode != test.code {
				t.Errorf("exit code: got %d, want %d", p.exitCode, test.code)
			}
			if got := read(t, log, logQuery{tail: -1, limit: -1}); got != test.output {
				t.Errorf("output: got %q, want %q", got, test.output)
			}
		})
	}
}

func TestGuardKillsWhatIsLeftWhenItsInputEnds(t *testing.T) {
	g, err := startGuard(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	stays, _ := run(t, g, "sleep", "3600.1")
	gone, _ := run(t, g, "true")
	<-gone.done
	// As when this process is killed: nothing is said to the guard but the end.
	g.input.Close()
	g.cmd.Wait()
	select {
	case <-stays.done:
	case <-time.After(time.Minute):
		stays.signal(syscall.SIGKILL)
		t.Fatal("the process outlived the guard")
	}
	if stays.exitCode != 137 {
		t.Errorf("exit code: got %d, want 137", stays.exitCode)
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"program": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct{ command, path, want, wantErr string }{
		"by the container's PATH":   {"program", "/nowhere:" + dir, filepath.Join(dir, "program"), ""},
		"relative to its directory": {"./program", "", filepath.Join(dir, "program"), ""},
		"not by a relative PATH":    {"program", ".", "", "not found in $PATH"},
		"a missing file":            {"/nowhere/program", dir, "", "no such file"},
		"a file without x":          {"./text", dir, "", "not executable"},
		"a directory":               {dir, dir, "", "is a directory"},
		"text in PATH":              {"text", dir, "", "not found in $PATH"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := lookPath(test.command, []string{"PATH=" + test.path}, dir)
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Errorf("got %v, want an error with %q", err, test.wantErr)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("got %q and %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestSweepFindsWhatLeftTheGroup(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux shows where a process belongs that left its session")
	}
	g := newGuard(t, t.Name())
	for name, script := range map[string]string{
		"a session of its own": "setsid sleep 3600.2 & echo $!",
		// Job control puts background jobs into groups of their own.
		"a group of its own, and no marks": "set -m; env -i sleep 3600.3 & echo $!",
	} {
		t.Run(name, func(t *testing.T) {
			p, log := run(t, g, "bash", "-c", script)
			<-p.done
			<-g.sweep(p.id, p.pid)
			pid, err := strconv.Atoi(strings.TrimSpace(read(t, log, logQuery{tail: -1, limit: -1})))
			if err != nil {
				t.Fatalf("reading pid: %v", err)
			}
			// A killed process stays for its new parent to collect; it has no command line then.
			line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
			if err == nil && len(line) > 0 {
				t.Errorf("process %d still runs: %q", pid, line)
			}
		})
	}
}
