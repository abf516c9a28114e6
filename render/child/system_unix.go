//go:build unix

package child

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// isolate puts cmd into a process group of its own, which can be killed as a
// whole, and where the terminal's signals do not reach it.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
}

// keepFiles lets no program that this process starts inherit files that it was
// itself started with. Those that Go opened are kept already.
func keepFiles() {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// killGroup kills a process that isolate prepared, with all that it started.
func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// processorTime is what this process has used, user and system together.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
