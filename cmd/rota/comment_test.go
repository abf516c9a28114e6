package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rota.dev/rota/reconcile/notify"
	"rota.dev/rota/reconcile/notify/notifytest"
)

// programs returns a folder with this program under the name rota, for a PATH.
func programs(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "rota")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// secure serves f by https and returns the address, and a file with its
// certificate.
func secure(t *testing.T, f *notifytest.Forge) (address, certificate string) {
	t.Helper()
	server := httptest.NewTLSServer(f)
	t.Cleanup(server.Close)
	certificate = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(certificate, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL, certificate
}

func TestCommentIsToldWhereToPost(t *testing.T) {
	f := notifytest.NewForge(t, notify.Gitea)
	address, certificate := secure(t, f)
	rota := filepath.Join(programs(t), "rota")
	place := []string{"--host", "gitea", "--api", address + "/api/v1", "--repository", notifytest.Repository, "--pull-request", "7", "--commit", notifytest.Commit}
	run := func(input string, args ...string) (stdout, stderr string, code int) {
		var out, notes bytes.Buffer
		cmd := exec.Command(rota, append([]string{"comment"}, args...)...)
		// Of the environment only what is here: the tests may run in a CI.
		cmd.Env = []string{"SSL_CERT_FILE=" + certificate, "GITEA_TOKEN=" + notifytest.Token}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &notes
		_ = cmd.Run() // the exit status says it
		return out.String(), notes.String(), cmd.ProcessState.ExitCode()
	}

	stdout, stderr, code := run("<!-- rota:plan batch -->\nPlan: nothing\n", append(place, "-", "--status", "success", "--description", "nothing")...)
	want := "comment acme/jobs#7: created https://git.example.com/acme/jobs/pull/7#c1\nstatus rota/plan of 0123456789ab: success\n"
	if stdout != want || stderr != "" || code != 0 {
		t.Errorf("%d, %q, %q", code, stdout, stderr)
	}
	file := filepath.Join(t.TempDir(), "note.md")
	if err := os.WriteFile(file, []byte("a note\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code = run("", append(place, file, "--marker", "note", "-o", "json")...)
	var said struct {
		Kind    string
		Comment notify.Posted
	}
	if err := json.Unmarshal([]byte(stdout), &said); err != nil || said.Kind != "PostedReview" || said.Comment.Done != notify.Created || said.Comment.ID != 2 || code != 0 {
		t.Errorf("%v, %d, %q, %q", err, code, stdout, stderr)
	}
	if got := f.Comments(); len(got) != 2 || got[1].Body != "<!-- rota:note -->\na note\n" {
		t.Errorf("the comments are %+v", got)
	}
	if got := f.Statuses(); len(got) != 1 || got[0]["state"] != "success" || got[0]["description"] != "nothing" {
		t.Errorf("the statuses are %q", got)
	}

	for _, test := range []struct {
		name, says string
		args       []string
	}{
		{"nothing to post", "say what to post", place},
		{"a file that is not there", "reading what to post", append(place, "gone.md")},
		{"no marker", "R402", append(place, "-")},
		{"no place", "R400", []string{"-"}},
		{"another host's token", "GITHUB_TOKEN is not set", []string{"--host", "github", "--repository", "a/b", "--pull-request", "1", "-"}},
		{"a status that is none", "R400", append(place, "--status", "fine")},
		{"a repository that is not there", "R404", append(place, "--repository", "nowhere/x", "--marker", "x", "-")},
		{"a token by flag", "unknown flag: --token", append(place, "--token", notifytest.Token)},
	} {
		stdout, stderr, code := run("text", test.args...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, test.says) || strings.Contains(stderr, notifytest.Token) {
			t.Errorf("%s: %d, %q, %q", test.name, code, stdout, stderr)
		}
	}
}
