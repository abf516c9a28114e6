package schema

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// editor is the client's half of the language server protocol, as far as the
// test needs it: requests, and the diagnostics of each document.
type editor struct {
	t     *testing.T
	in    io.WriteCloser
	mu    sync.Mutex // of writing
	next  int
	reply map[int]chan json.RawMessage
	found map[string]chan []diagnostic
	guard sync.Mutex // of the maps
}

type diagnostic struct {
	Range struct {
		Start struct{ Line, Character int }
	}
	Message string
}

type message struct {
	ID     *int            `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// startEditor runs the YAML language server, or skips the test.
func startEditor(t *testing.T, folder string) *editor {
	t.Helper()
	program, err := exec.LookPath("yaml-language-server")
	if err != nil {
		t.Skip("yaml-language-server is not on the PATH: install it with npm, as .ci/run does")
	}
	cmd := exec.Command(program, "--stdio")
	cmd.Dir = folder
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e := &editor{t: t, in: in, reply: map[int]chan json.RawMessage{}, found: map[string]chan []diagnostic{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.listen(bufio.NewReader(out))
	}()
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	e.request("initialize", map[string]any{"processId": os.Getpid(), "rootUri": "file://" + folder,
		"capabilities": map[string]any{
			"workspace":    map[string]any{"configuration": true},
			"textDocument": map[string]any{"publishDiagnostics": map[string]any{}, "hover": map[string]any{"contentFormat": []string{"plaintext"}}},
		}})
	e.send(map[string]any{"method": "initialized", "params": map[string]any{}})
	return e
}

func (e *editor) send(m map[string]any) {
	m["jsonrpc"] = "2.0"
	data, err := json.Marshal(m)
	if err != nil {
		e.t.Error(err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintf(e.in, "Content-Length: %d\r\n\r\n%s", len(data), data)
}

// listen takes what the server says until it ends.
func (e *editor) listen(r *bufio.Reader) {
	for {
		length := 0
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSpace(line)
			if line == "" {
				break
			}
			if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Content-Length") {
				length, _ = strconv.Atoi(strings.TrimSpace(value))
			}
		}
		data := make([]byte, length)
		if _, err := io.ReadFull(r, data); err != nil {
			return
		}
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			continue // an id that is no number: nothing that we asked
		}
		e.take(m)
	}
}

func (e *editor) take(m message) {
	switch {
	case m.Method == "textDocument/publishDiagnostics":
		var p struct {
			URI         string
			Diagnostics []diagnostic
		}
		if json.Unmarshal(m.Params, &p) == nil {
			e.of(p.URI) <- p.Diagnostics
		}
	case m.Method == "workspace/configuration":
		var p struct{ Items []struct{ Section string } }
		_ = json.Unmarshal(m.Params, &p)
		answers := make([]any, len(p.Items))
		for i, item := range p.Items {
			if item.Section == "yaml" {
				// Nothing is fetched: the documents name their schema.
				answers[i] = map[string]any{"validate": true, "hover": true, "completion": true, "schemaStore": map[string]any{"enable": false}}
			}
		}
		e.send(map[string]any{"id": *m.ID, "result": answers})
	case m.Method != "" && m.ID != nil:
		e.send(map[string]any{"id": *m.ID, "result": nil})
	case m.ID != nil:
		e.guard.Lock()
		reply := e.reply[*m.ID]
		e.guard.Unlock()
		if reply != nil {
			reply <- m.Result
		}
	}
}

func (e *editor) of(uri string) chan []diagnostic {
	e.guard.Lock()
	defer e.guard.Unlock()
	if e.found[uri] == nil {
		e.found[uri] = make(chan []diagnostic, 100)
	}
	return e.found[uri]
}

// patience is after how long a server that does not answer is given up.
const patience = 2 * time.Minute

func (e *editor) request(method string, params any) json.RawMessage {
	e.t.Helper()
	reply := make(chan json.RawMessage, 1)
	e.guard.Lock()
	e.next++
	id := e.next
	e.reply[id] = reply
	e.guard.Unlock()
	e.send(map[string]any{"id": id, "method": method, "params": params})
	select {
	case result := <-reply:
		return result
	case <-time.After(patience):
		e.t.Fatalf("the server does not answer %s", method)
		return nil
	}
}

// open opens a document and returns what is wrong with it, as line: message
// with lines from 1.
func (e *editor) open(file, text string) []string {
	e.t.Helper()
	uri := "file://" + file
	e.send(map[string]any{"method": "textDocument/didOpen", "params": map[string]any{
		"textDocument": map[string]any{"uri": uri, "languageId": "yaml", "version": 1, "text": text}}})
	select {
	case found := <-e.of(uri):
		var out []string
		for _, d := range found {
			out = append(out, fmt.Sprintf("%d: %s", d.Range.Start.Line+1, d.Message))
		}
		return out
	case <-time.After(patience):
		e.t.Fatalf("the server says nothing of %s", file)
		return nil
	}
}

func (e *editor) at(method, file string, line, character int) string {
	e.t.Helper()
	return string(e.request(method, map[string]any{
		"textDocument": map[string]any{"uri": "file://" + file}, "position": map[string]any{"line": line - 1, "character": character}}))
}

// TestEditorsCheckAndComplete opens the documents of `rota init` in the
// language server that editors use, as they stand in a folder.
func TestEditorsCheckAndComplete(t *testing.T) {
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("../cmd/rota/starter")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, ".rota", "rota.schema.json"), JSONSchema(), 0o644); err != nil {
		t.Fatal(err)
	}
	e := startEditor(t, folder)
	text := func(name string) string {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	expansion, sync := text("base/process-items.yaml"), text(".rota/sync.yaml")
	if found := e.open(filepath.Join(folder, "base/process-items.yaml"), expansion); len(found) > 0 {
		t.Errorf("the Expansion of the starter: %q", found)
	}
	if found := e.open(filepath.Join(folder, ".rota/sync.yaml"), sync); len(found) > 0 {
		t.Errorf("the Sync of the starter: %q", found)
	}
	for i, fault := range []struct{ folder, text, old, new, want string }{
		{"base", expansion, "template:", "templat:", "8: Property templat is not allowed."},
		{"base", expansion, "file: items.csv", "file: items.txt", "10: String does not match the pattern"},
		{"base", expansion, "file: items.csv", "{}", "9: "},
		{".rota", sync, "drift: Correct", "drift: correct", "19: Value is not accepted"},
		{".rota", sync, "interval: 1m", "interval: 1", "16: Incorrect type"},
		{".rota", sync, "maxPercent: 50", "maxPercent: 500", "20: Value is above the maximum of 100"},
		{".rota", sync, "      branch: main", "      branch: main\n      tag: v1", "13: Matches multiple schemas"},
		{".rota", sync, "kind: Sync", "kind: Snyc", "7: Value is not accepted"},
	} {
		file := filepath.Join(folder, fault.folder, fmt.Sprintf("fault-%d.yaml", i))
		found := e.open(file, strings.Replace(fault.text, fault.old, fault.new, 1))
		if !strings.HasPrefix(strings.Join(found, "\n"), fault.want) {
			t.Errorf("%s instead of %s: %q, want %q", fault.new, fault.old, found, fault.want)
		}
	}
	if hover := e.at("textDocument/hover", filepath.Join(folder, "base/process-items.yaml"), 8, 4); !strings.Contains(hover, "A .yaml, .yml or .json template takes") {
		t.Errorf("hovering over template shows %s", hover)
	}
	incomplete := filepath.Join(folder, ".rota/incomplete.yaml")
	e.open(incomplete, strings.Replace(sync, "  interval: 1m\n", "  \n", 1))
	if offered := e.at("textDocument/completion", incomplete, 16, 2); !strings.Contains(offered, `"interval"`) || !strings.Contains(offered, `"timeout"`) || strings.Contains(offered, `"admission"`) {
		t.Errorf("completing below spec offers %s", offered)
	}
}
