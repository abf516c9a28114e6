//go:build !linux

package child

import (
	"os"
	"runtime/debug"
	"syscall"
)

func dieWithParent(*syscall.SysProcAttr) {}

// selfPath names the program that runs.
func selfPath() (string, error) { return os.Executable() }

// confinement is what holds this process to its memory: here, the watch alone.
type confinement struct{}

func confine() (*confinement, error) { return &confinement{}, nil }

func (c *confinement) apply(b bounds) { debug.SetMemoryLimit(b.Memory / 4 * 3) }
