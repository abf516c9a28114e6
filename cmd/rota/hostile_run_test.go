package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestRunIsUnmovedByHostileCommits pushes repositories of the corpus, one after
// the other, to the branch that rota run follows. The process stays alive, says
// in its status what is wrong and where, and holds the last good revision in
// force; what is due meanwhile runs, and the next good commit is applied.
func TestRunIsUnmovedByHostileCommits(t *testing.T) {
	t.Parallel() // it mostly waits for a minute
	if testing.Short() {
		t.Skip("waits for a schedule to be due, a minute or more; left out by -short")
	}
	const namespace = "run-hostile"
	kube, client := clusterWith(t, namespace)
	bare, repo := newClone(t)
	repo.push("tick.yaml", fmt.Sprintf(everyMinute, "tick"))
	repo.push("a.yaml", configMapText("a", "one"))
	config := filepath.Join(t.TempDir(), "sync.yaml")
	write(t, config, syncText(bare, namespace, "Correct"))
	run := startCommand(t, "run", "--kubeconfig", kube.Kubeconfig, "--config", config, "--allow-local")
	go drain(run)
	value := func(want string) string {
		m, err := client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "a", metav1.GetOptions{})
		switch {
		case err != nil:
			return err.Error()
		case m.Data["k"] != want:
			return fmt.Sprintf("the ConfigMap has %q, not %q", m.Data["k"], want)
		}
		return ""
	}
	jobs := func() int {
		list, err := client.BatchV1().Jobs(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		started := 0
		for _, job := range list.Items {
			if job.Status.StartTime != nil {
				started++
			}
		}
		return started
	}
	eventually(t, 60*time.Second, "the good commit is applied", func() string { return value("one") })
	before := jobs()

	base := filepath.Dir(repo.dir)
	write(t, filepath.Join(base, "canary.yaml"), manifest("ConfigMap", canary))
	dir := filepath.Join(repo.dir, "hostile")
	for _, c := range []struct{ name, reason, place string }{
		{"absolute link", "ArtifactFailed", "hostile/a.yaml"},
		{"alias bomb", "BuildFailed", "at hostile/a.yaml:"},
		{"bases that double at every level", "BuildFailed", "/kustomization.yaml"},
		{"loops inside loops", "BuildFailed", "hostile/a.yaml.j2:1"},
	} {
		i := slices.IndexFunc(hostile, func(h attack) bool { return h.name == c.name })
		if i < 0 {
			t.Fatalf("the corpus has no %q", c.name)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		hostile[i].lay(t, dir, base)
		repo.push("a.yaml", configMapText("a", c.name))
		eventually(t, 60*time.Second, "the status names the fault of "+c.name, statusHas(kube.Kubeconfig, namespace, c.reason, c.place))
		if reason := value("one"); reason != "" {
			t.Errorf("%s: the last good revision is not in force: %s", c.name, reason)
		}
		if reason := alive(run); reason != "" {
			t.Errorf("%s: %s", c.name, reason)
		}
	}
	// The last attack is still at the head of the branch.
	eventually(t, 90*time.Second, "the schedule of the last good revision fires", func() string {
		if jobs() <= before {
			return "no Job was started since"
		}
		return ""
	})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	repo.push("a.yaml", configMapText("a", "two"))
	eventually(t, 30*time.Second, "the good commit after it is applied", func() string { return value("two") })
	if reason := alive(run); reason != "" {
		t.Error(reason)
	}
}

// drain reads what a process says, so that it never waits for a reader.
func drain(r *runProcess) {
	for range r.lines {
	}
}

// alive reports what became of a process that should be there.
func alive(r *runProcess) string {
	if err := r.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		return "rota run is gone: " + err.Error()
	}
	return ""
}

func statusHas(kubeconfig, namespace string, wants ...string) func() string {
	return func() string {
		out, _ := exec.Command("rota", "status", "--kubeconfig", kubeconfig, namespace).CombinedOutput()
		for _, want := range wants {
			if !strings.Contains(string(out), want) {
				return fmt.Sprintf("the status lacks %q:\n%s", want, out)
			}
		}
		if strings.Contains(string(out), canary) {
			return "the status shows the file outside"
		}
		return ""
	}
}
