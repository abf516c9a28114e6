package node

import "golang.org/x/sys/unix"

// memoryBytes returns the machine's memory, or 0 when it is not known.
func memoryBytes() int64 {
	size, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return int64(size)
}
