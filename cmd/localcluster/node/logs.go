package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// maxLogLine is where a longer line is cut in two; the parts are joined again when read. It is containerd's limit.
const maxLogLine = 16 << 10

// containerLog is the log of one run of a container: the output and errors of its processes, in the order of their
// writes. Each line of the file is `TIME stdout F TEXT`, or P in the place of F when the line goes on in the next, as in
// the files of a container runtime.
type containerLog struct {
	path string

	mu      sync.Mutex
	file    *os.File
	closed  bool
	changed chan struct{}
}

// createLog makes the file and its directory.
func createLog(path string) (*containerLog, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making log directory: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making log: %w", err)
	}
	return &containerLog{path: path, file: file, changed: make(chan struct{})}, nil
}

// copyFrom writes what it reads, line by line, until the end, and closes the log.
func (l *containerLog) copyFrom(output io.Reader) {
	defer l.close()
	chunk := make([]byte, 32<<10)
	var pending []byte
	for {
		n, err := output.Read(chunk)
		now := time.Now()
		pending = l.writeLines(append(pending, chunk[:n]...), now)
		if err != nil {
			if len(pending) > 0 {
				l.write(appendLogLine(nil, now, true, pending))
			}
			return
		}
	}
}

// writeLines writes the whole lines in data, and returns the rest.
func (l *containerLog) writeLines(data []byte, now time.Time) []byte {
	var out []byte
	for {
		end := bytes.IndexByte(data, '\n')
		switch {
		case end >= 0 && end <= maxLogLine:
			out = appendLogLine(out, now, true, data[:end])
			data = data[end+1:]
		case len(data) > maxLogLine:
			out = appendLogLine(out, now, false, data[:maxLogLine])
			data = data[maxLogLine:]
		default:
			if len(out) > 0 {
				l.write(out)
			}
			return bytes.Clone(data)
		}
	}
}

func appendLogLine(out []byte, now time.Time, full bool, text []byte) []byte {
	out = now.UTC().AppendFormat(out, time.RFC3339Nano)
	if full {
		out = append(out, " stdout F "...)
	} else {
		out = append(out, " stdout P "...)
	}
	out = append(out, text...)
	return append(out, '\n')
}

func (l *containerLog) write(lines []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A full disk loses log lines; it must not stop the container.
	_, _ = l.file.Write(lines)
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *containerLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	l.file.Close()
	close(l.changed)
}

// next returns a channel that is closed when there is more to read, and whether there can be more.
func (l *containerLog) next() (<-chan struct{}, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed, !l.closed
}

// logQuery is what a reader of a log asks for; its fields are those of PodLogOptions.
type logQuery struct {
	follow     bool
	timestamps bool
	since      time.Time
	tail       int64 // -1: all
	limit      int64 // -1: no limit
}

// readLog writes the log file to out as the query says. When it follows, live tells of new lines, and it returns when
// the container has ended or stop is closed; live is nil for a container that has ended.
func readLog(path string, live *containerLog, query logQuery, out io.Writer, stop <-chan struct{}) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening log: %w", err)
	}
	defer file.Close()
	if query.tail >= 0 {
		if err := seekTail(file, query.tail); err != nil {
			return err
		}
	}
	writer := &logWriter{query: query, out: out, left: query.limit}
	for {
		var changed <-chan struct{}
		more := false
		if live != nil {
			changed, more = live.next()
		}
		if err := writer.copyFrom(file); err != nil {
			if errors.Is(err, errLogLimit) {
				return nil
			}
			return err
		}
		if !query.follow || !more {
			return nil
		}
		select {
		case <-changed:
		case <-stop:
			return nil
		}
	}
}

var errLogLimit = errors.New("limit reached")

// logWriter turns lines of a log file into what a reader sees.
type logWriter struct {
	query   logQuery
	out     io.Writer
	left    int64
	partial []byte
	midLine bool
}

func (w *logWriter) copyFrom(file io.Reader) error {
	chunk := make([]byte, 64<<10)
	for {
		n, err := file.Read(chunk)
		data := append(w.partial, chunk[:n]...)
		var out []byte
		for {
			end := bytes.IndexByte(data, '\n')
			if end < 0 {
				break
			}
			out = w.appendLine(out, data[:end])
			data = data[end+1:]
		}
		w.partial = bytes.Clone(data)
		if err := w.flush(out); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading log: %w", err)
		}
	}
}

func (w *logWriter) appendLine(out, line []byte) []byte {
	stamp, rest, _ := bytes.Cut(line, []byte(" stdout "))
	if len(rest) < 2 {
		return out
	}
	if !w.query.since.IsZero() {
		if at, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil && at.Before(w.query.since) {
			return out
		}
	}
	if w.query.timestamps && !w.midLine {
		out = append(append(out, stamp...), ' ')
	}
	out = append(out, rest[2:]...)
	w.midLine = rest[0] == 'P'
	if !w.midLine {
		out = append(out, '\n')
	}
	return out
}

func (w *logWriter) flush(data []byte) error {
	limited := w.query.limit >= 0 && int64(len(data)) >= w.left
	if limited {
		data = data[:w.left]
	}
	w.left -= int64(len(data))
	if len(data) > 0 {
		if _, err := w.out.Write(data); err != nil {
			return fmt.Errorf("sending log: %w", err)
		}
	}
	if limited {
		return errLogLimit
	}
	return nil
}

// seekTail moves to the beginning of the last n lines.
func seekTail(file *os.File, n int64) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("reading log: %w", err)
	}
	block := make([]byte, 8<<10)
	// The last line's own end is not the end of a line before it.
	for end, lines := size, int64(-1); end > 0; {
		start := max(0, end-int64(len(block)))
		if _, err := file.ReadAt(block[:end-start], start); err != nil {
			return fmt.Errorf("reading log: %w", err)
		}
		for i := end - start - 1; i >= 0; i-- {
			if block[i] == '\n' {
				lines++
			}
			if lines == n {
				_, err := file.Seek(start+i+1, io.SeekStart)
				return err
			}
		}
		end = start
	}
	_, err = file.Seek(0, io.SeekStart)
	return err
}

// logName is the file name of a container's run, counted from 0 by its restarts.
func logName(restart int32) string { return strconv.Itoa(int(restart)) + ".log" }
