package child

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithParent lets the kernel end the child with this process.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }

// selfPath names the program that runs, also after its file was replaced by
// another version.
func selfPath() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}

// confinement is what holds this process to its memory.
type confinement struct {
	// data is how much of it was in use, as RLIMIT_DATA counts, before any
	// job; zero if that is not known.
	data uint64
}

// confine prepares the bounds, and offers this process to the kernel first
// when memory runs out.
func confine() (*confinement, error) {
	// Not permitted is no reason not to work.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return &confinement{}, nil // no /proc: the watch has to do
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmData:")); ok {
			kib, err := strconv.ParseUint(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("reading the memory in use: %w", err)
			}
			return &confinement{data: kib << 10}, nil
		}
	}
	return &confinement{}, nil
}

// apply bounds the memory. The watch sees what grows step by step, and says
// which limit it was; the kernel refuses what one step would take. It counts
// more than the watch does, pages that Go has given back or not yet used, so
// it is given a quarter more: else it would end what the watch has no fault
// to find with.
func (c *confinement) apply(b bounds) {
	debug.SetMemoryLimit(b.Memory / 4 * 3)
	if c.data == 0 || !kernelBounds {
		return
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_DATA, &limit) == nil {
		limit.Cur = min(c.data+uint64(b.Memory/4*5), limit.Max)
		// Refused only where a lower limit is in force already.
		_ = unix.Setrlimit(unix.RLIMIT_DATA, &limit)
	}
}
