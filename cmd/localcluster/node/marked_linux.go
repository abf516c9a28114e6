package node

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// killMatching kills every process for which match says so.
func killMatching(match func(marked) bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if match(marksOf(filepath.Join("/proc", entry.Name()))) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// marksOf reads the marks of the process in dir; those that cannot be read are empty.
func marksOf(dir string) marked {
	var m marked
	if environ, err := os.ReadFile(filepath.Join(dir, "environ")); err == nil && bytes.Contains(environ, []byte(markNode+"=")) {
		m.container, m.node = variable(environ, markContainer), variable(environ, markNode)
	}
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return m
	}
	// The name, in parentheses, may hold anything; after it come state, parent, group and session.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) > 3 {
		m.session, _ = strconv.Atoi(string(fields[3]))
	}
	return m
}

func variable(environ []byte, name string) string {
	for line := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(line, []byte(name+"=")); ok {
			return string(value)
		}
	}
	return ""
}
