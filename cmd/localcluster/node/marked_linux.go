package node

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// killMarked kills every process whose marks, the container's and the node's, satisfy match.
func killMarked(match func(container, node string) bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err != nil || !bytes.Contains(environ, []byte(markNode+"=")) {
			continue
		}
		if match(variable(environ, markContainer), variable(environ, markNode)) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func variable(environ []byte, name string) string {
	for line := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(line, []byte(name+"=")); ok {
			return string(value)
		}
	}
	return ""
}
