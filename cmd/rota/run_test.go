package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// clone is a user's clone of a repository that rota pulls.
type clone struct {
	t   *testing.T
	dir string
}

func newClone(t *testing.T) (bare string, c clone) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed (Debian: apt-get install git)")
	}
	dir := t.TempDir()
	bare = filepath.Join(dir, "repository.git")
	c = clone{t, dir}
	c.git("init", "-q", "--bare", "-b", "main", bare)
	c.git("clone", "-q", bare, filepath.Join(dir, "clone"))
	c.dir = filepath.Join(dir, "clone")
	c.git("checkout", "-q", "-B", "main")
	return bare, c
}

func (c clone) git(args ...string) {
	c.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@localhost"}, args...)...)
	cmd.Dir = c.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (c clone) push(file, text string) {
	c.t.Helper()
	write(c.t, filepath.Join(c.dir, file), text)
	c.git("add", "-A")
	c.git("commit", "-q", "-m", "change "+file)
	c.git("push", "-q", "origin", "main")
}

func configMapText(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {k: %q}\n", name, value)
}

func syncText(bare, namespace, drift string) string {
	return fmt.Sprintf(`apiVersion: rota.dev/v1alpha1
kind: Sync
metadata: {name: %s}
spec:
  source: {git: {url: "file://%s", branch: main}}
  interval: 1s
  target: {namespace: %s}
  drift: %s
`, namespace, bare, namespace, drift)
}

// TestRunFollowsGitAndItsOwnConfiguration is a day of rota run: pushes, a
// broken commit, drift, and changes of the configuration.
func TestRunFollowsGitAndItsOwnConfiguration(t *testing.T) {
	const namespace = "run-config"
	kube, client := clusterWith(t, namespace)
	bare, repo := newClone(t)
	repo.push("a.yaml", configMapText("a", "one"))
	config := filepath.Join(t.TempDir(), "sync.yaml")
	write(t, config, syncText(bare, namespace, "Correct"))
	run := startCommand(t, "run", "--kubeconfig", kube.Kubeconfig, "--config", config, "--allow-local")
	maps := client.CoreV1().ConfigMaps(namespace)
	value := func(name, want string) func() string {
		return func() string {
			m, err := maps.Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return err.Error()
			}
			if m.Data["k"] != want {
				return fmt.Sprintf("ConfigMap %s has %q, not %q", name, m.Data["k"], want)
			}
			return ""
		}
	}
	statusSays := func(want string) func() string {
		return func() string {
			out, _ := exec.Command("rota", "status", "--kubeconfig", kube.Kubeconfig, namespace).CombinedOutput()
			if !strings.Contains(string(out), want) {
				return fmt.Sprintf("status lacks %q:\n%s", want, out)
			}
			return ""
		}
	}
	patch := func(text string) {
		t.Helper()
		if _, err := maps.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"data":{"k":"`+text+`"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 30*time.Second, "the first commit is applied", value("a", "one"))
	repo.push("a.yaml", configMapText("a", "two"))
	eventually(t, 10*time.Second, "a push is applied", value("a", "two"))

	repo.push("b.yaml", "kind: [\n")
	eventually(t, 10*time.Second, "the broken commit is reported", statusSays("BuildFailed"))
	eventually(t, 10*time.Second, "its place is named", statusSays("b.yaml:"))
	patch("by hand")
	eventually(t, 10*time.Second, "drift is corrected to the last good revision", value("a", "two"))
	repo.push("b.yaml", configMapText("b", "one"))
	eventually(t, 10*time.Second, "the mended commit is applied", value("b", "one"))

	write(t, config, "nonsense: [")
	run.await(t, "the last good one stays in force")
	repo.push("b.yaml", configMapText("b", "two"))
	eventually(t, 10*time.Second, "git is followed under the last good configuration", value("b", "two"))

	write(t, config, syncText(bare, namespace, "Report"))
	run.await(t, "the configuration changed")
	run.await(t, "leading")
	eventually(t, 30*time.Second, "the new configuration is in force", statusSays("True"))
	patch("and left so")
	eventually(t, 20*time.Second, "drift is reported", statusSays("data.k was changed by kubectl-edit"))
	if why := value("a", "and left so")(); why != "" {
		t.Error(why)
	}

	if err := os.RemoveAll(bare); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "a missing repository is reported", statusSays("stays in force"))
	if why := value("b", "two")(); why != "" {
		t.Error(why)
	}
	run.kill(t)
}

// TestDemoShowsEverything is the README's first command.
func TestDemoShowsEverything(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the local cluster, which -short leaves out")
	}
	out, err := exec.Command("rota", "demo", "--once").CombinedOutput()
	if err != nil {
		t.Fatalf("rota demo --once: %v\n%s", err, out)
	}
	for _, want := range []string{"process-item-apple", "Processing item apple", "will run now", "next fire moves", "changed by kubectl-patch", "it succeeded"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the demo does not show %q:\n%s", want, out)
		}
	}
}
