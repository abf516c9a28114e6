package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// drainTimeout bounds the wait for a container's last output after its processes were killed: a process that left the
// container's session, on a system where it cannot be found, may hold the pipe open for good.
const drainTimeout = time.Second

// exitStartError is the exit code of a container whose command could not be started, as containerd gives it.
const exitStartError = 128

// processSpec says what to run.
type processSpec struct {
	// id names the run; env must carry the guard's marks of it.
	id      string
	command []string
	env     []string
	dir     string
	output  *containerLog
}

// process is a container's main process. It leads a session, so that everything it starts and does not detach can be
// signalled as one group.
type process struct {
	pid     int
	id      string
	started time.Time
	// done is closed when the main process has ended, the rest of its group was killed and its output is in the log.
	done chan struct{}
	// exitCode and finished are valid once done is closed.
	exitCode int32
	finished time.Time

	mu     sync.Mutex
	exited bool
}

// startProcess starts the command. Its group is known to the guard as long as it lives.
func startProcess(spec processSpec, guard *guard) (*process, error) {
	path, err := lookPath(spec.command[0], spec.env, spec.dir)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making output pipe: %w", err)
	}
	cmd := &exec.Cmd{
		Path:        path,
		Args:        spec.command,
		Env:         spec.env,
		Dir:         spec.dir,
		Stdout:      write,
		Stderr:      write,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = cmd.Start()
	write.Close()
	if err != nil {
		read.Close()
		return nil, fmt.Errorf("starting %q: %w", spec.command[0], err)
	}
	p := &process{pid: cmd.Process.Pid, id: spec.id, started: time.Now(), done: make(chan struct{})}
	guard.add(p.pid)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		spec.output.copyFrom(read)
	}()
	go p.wait(cmd, read, drained, guard)
	return p, nil
}

func (p *process) wait(cmd *exec.Cmd, output *os.File, drained <-chan struct{}, guard *guard) {
	defer close(p.done)
	err := cmd.Wait()
	p.finished = time.Now()
	p.exitCode = exitCode(cmd.ProcessState, err)
	p.mu.Lock()
	p.exited = true
	p.mu.Unlock()
	// As in a container, nothing outlives the first process.
	syscall.Kill(-p.pid, syscall.SIGKILL)
	guard.remove(p.pid)
	guard.sweep(p.id, p.pid)
	timeout := time.NewTimer(drainTimeout)
	defer timeout.Stop()
	select {
	case <-drained:
	case <-timeout.C:
		output.SetReadDeadline(time.Now())
		<-drained
	}
	output.Close()
}

// exitCode returns the exit code, or 128 plus the number of the signal that ended the process.
func exitCode(state *os.ProcessState, err error) int32 {
	if state == nil {
		return exitStartError
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int32(status.Signal())
	}
	if err != nil && state.ExitCode() == 0 {
		return exitStartError
	}
	return int32(state.ExitCode())
}

// signal sends a signal to the process's group, unless the process has ended: then the number may be another's.
func (p *process) signal(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.exited {
		syscall.Kill(-p.pid, signal)
	}
}

// lookPath finds the program as execvp would, with the container's own PATH.
func lookPath(name string, env []string, dir string) (string, error) {
	if strings.ContainsRune(name, '/') {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return path, executable(name, path)
	}
	var search string
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			search = value
		}
	}
	for _, folder := range filepath.SplitList(search) {
		if !filepath.IsAbs(folder) {
			continue
		}
		if path := filepath.Join(folder, name); executable(name, path) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("exec: %q: executable file not found in $PATH; containers are local processes here, so the program must be installed on this machine",
		name)
}

func executable(name, path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("exec: %q: no such file; containers are local processes here, so the program must be on this machine", name)
	case err != nil:
		return fmt.Errorf("exec: %q: %w", name, err)
	case info.IsDir():
		return fmt.Errorf("exec: %q: is a directory", name)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("exec: %q: permission denied (the file is not executable)", name)
	}
	return nil
}
