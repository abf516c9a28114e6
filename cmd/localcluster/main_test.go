package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// asCommand makes the test binary behave as localcluster itself: linking it a second time would take longer than the tests.
const asCommand = "LOCALCLUSTER_TEST_AS_COMMAND"

// patience bounds every wait. It is for a machine that is busy with other things; nothing takes that long on an idle one.
const patience = 90 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	code := m.Run()
	if shared.running != nil {
		shared.running.end()
	}
	os.Exit(code)
}

// running is a localcluster that a test started.
type running struct {
	cmd        *exec.Cmd
	stdin      io.WriteCloser
	stderr     *bytes.Buffer
	kubeconfig string
	client     kubernetes.Interface
}

var shared struct {
	once    sync.Once
	running *running
	err     error
}

// cluster returns the cluster that most tests share.
func cluster(t *testing.T) *running {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a local cluster")
	}
	shared.once.Do(func() { shared.running, shared.err = launch() })
	if shared.err != nil {
		t.Fatalf("starting the shared cluster: %v", shared.err)
	}
	return shared.running
}

// ownCluster starts a cluster for one test.
func ownCluster(t *testing.T, args ...string) *running {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a local cluster")
	}
	r, err := launch(args...)
	if err != nil {
		t.Fatalf("starting a cluster: %v", err)
	}
	t.Cleanup(func() { r.end() })
	return r
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

func launch(args ...string) (*running, error) {
	r := &running{cmd: command(args...), stderr: &bytes.Buffer{}}
	r.cmd.Stderr = r.stderr
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	file, ok := strings.CutPrefix(strings.TrimSpace(line), "ready kubeconfig=")
	if err != nil || !ok {
		r.end()
		return nil, fmt.Errorf("first line %q (%v); standard error: %s", line, err, r.stderr)
	}
	r.kubeconfig = file
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		r.end()
		return nil, err
	}
	config.QPS = -1
	r.client, err = kubernetes.NewForConfig(config)
	return r, err
}

// end closes the cluster's standard input and waits for its end, which it forces if it does not come.
func (r *running) end() error {
	r.stdin.Close()
	force := time.AfterFunc(patience, func() { r.cmd.Process.Kill() })
	defer force.Stop()
	return r.cmd.Wait()
}

// eventually polls until check returns nil.
func eventually(t *testing.T, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// namespace makes a namespace of the test's own in which Pods can be created.
func namespace(t *testing.T, r *running) string {
	t.Helper()
	made, err := r.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating namespace: %v", err)
	}
	eventually(t, "the default service account", func(ctx context.Context) error {
		_, err := r.client.CoreV1().ServiceAccounts(made.Name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	return made.Name
}

// alive reports whether a process with this argument on its command line runs.
func alive(t *testing.T, argument string) bool {
	t.Helper()
	output, err := exec.Command("ps", "-eo", "args").Output()
	if err != nil {
		t.Fatalf("listing processes: %v", err)
	}
	for line := range strings.SplitSeq(string(output), "\n") {
		if strings.Contains(line, argument) && !strings.HasPrefix(line, "ps ") {
			return true
		}
	}
	return false
}

// sleeper returns a command line argument that no other process has, and a command that sleeps with it.
func sleeper(t *testing.T) (string, []string) {
	t.Helper()
	// The fraction of the seconds makes it unlike any other; sleep takes it.
	argument := fmt.Sprintf("3600.%d%d", os.Getpid(), time.Now().UnixNano())
	return argument, []string{"sleep", argument}
}

func TestEndOfStandardInputEndsClusterAndContainers(t *testing.T) {
	r := ownCluster(t)
	dir := filepath.Dir(r.kubeconfig)
	argument, sleep := sleeper(t)
	script := strings.Join(sleep, " ")
	if runtime.GOOS == "linux" {
		script = "(setsid " + script + " &); " + script // the first leaves the container's session
	}
	pod := podOf(corev1.RestartPolicyAlways, corev1.Container{Command: []string{"sh", "-c", script}})
	if _, err := r.client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating pod: %v", err)
	}
	eventually(t, "the process", func(context.Context) error { return unless(alive(t, argument), "not running") })
	began := time.Now()
	if err := r.end(); err != nil {
		t.Errorf("ended with %v; standard error: %s", err, r.stderr)
	}
	t.Logf("ended after %v", time.Since(began))
	if alive(t, argument) {
		t.Error("a process of a container outlived the cluster")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("temporary directory: got %v, want it removed", err)
	}
	if !strings.Contains(r.stderr.String(), "nothing is isolated") {
		t.Errorf("standard error does not say that nothing is isolated: %s", r.stderr)
	}
}

func TestKilledClusterLeavesNoProcesses(t *testing.T) {
	dir := t.TempDir()
	r := ownCluster(t, "--dir", dir)
	argument, sleep := sleeper(t)
	pod := podOf(corev1.RestartPolicyAlways, corev1.Container{Command: sleep})
	if _, err := r.client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating pod: %v", err)
	}
	eventually(t, "the process", func(context.Context) error { return unless(alive(t, argument), "not running") })
	r.cmd.Process.Kill()
	r.cmd.Wait()
	eventually(t, "the end of the process", func(context.Context) error { return unless(!alive(t, argument), "still running") })
}

func TestStateSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	r := ownCluster(t, "--dir", dir)
	before, err := os.ReadFile(r.kubeconfig)
	if err != nil {
		t.Fatalf("reading kubeconfig: %v", err)
	}
	port := portIn(t, before)
	_, sleep := sleeper(t)
	for name, policy := range map[string]corev1.RestartPolicy{"always": corev1.RestartPolicyAlways, "never": corev1.RestartPolicyNever} {
		pod := podOf(policy, corev1.Container{Command: append([]string{"sh", "-c", "echo run; exec \"$@\"", "-"}, sleep...)})
		pod.Name, pod.GenerateName = name, ""
		if _, err := r.client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatalf("creating pod: %v", err)
		}
		waitForPod(t, r, "default", name, "Running", func(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodRunning })
	}
	if output, err := command("--dir", dir).CombinedOutput(); err == nil || !strings.Contains(string(output), "another localcluster uses") {
		t.Errorf("a second cluster on the same directory: got %v and %q, want it refused", err, output)
	}
	if err := r.end(); err != nil {
		t.Fatalf("ending: %v; standard error: %s", err, r.stderr)
	}

	again := ownCluster(t, "--dir", dir, "--port", port)
	after, err := os.ReadFile(again.kubeconfig)
	if err != nil {
		t.Fatalf("reading kubeconfig: %v", err)
	}
	if !bytes.Equal(before, after) {
		t.Error("kubeconfig differs after a restart on the same port: token or authority was not kept")
	}
	restarted := waitForPod(t, again, "default", "always", "restarted", func(pod *corev1.Pod) bool {
		return pod.Status.Phase == corev1.PodRunning && pod.Status.ContainerStatuses[0].RestartCount == 1
	})
	last := restarted.Status.ContainerStatuses[0].LastTerminationState.Terminated
	if last == nil || last.ExitCode != 137 || last.Reason != "ContainerStatusUnknown" {
		t.Errorf("last state of the restarted container: got %+v, want exit code 137, ContainerStatusUnknown", last)
	}
	waitForPod(t, again, "default", "never", "failed", func(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodFailed })
	if got := logsOf(t, again, "default", "never", corev1.PodLogOptions{}); got != "run\n" {
		t.Errorf("log of a container of the earlier process: got %q, want %q", got, "run\n")
	}
}

func TestNodeNoneLeavesPodsPending(t *testing.T) {
	r := ownCluster(t, "--node", "none", "--controllers", "*,-cronjob-controller")
	pod, err := r.client.CoreV1().Pods("default").Create(t.Context(), podOf(corev1.RestartPolicyNever, corev1.Container{Command: []string{"true"}}), metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating pod: %v", err)
	}
	if pod.Status.Phase != corev1.PodPending || pod.Spec.NodeName != "" {
		t.Errorf("pod: got phase %s on node %q, want Pending on none", pod.Status.Phase, pod.Spec.NodeName)
	}
	nodes, err := r.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 0 {
		t.Errorf("nodes: got %d and %v, want none", len(nodes.Items), err)
	}
	r.cmd.Process.Signal(syscall.SIGTERM)
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("ended by SIGTERM with %v, want exit code 0", err)
	}
}

func TestBadArgumentsAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"an unknown node":             {[]string{"--node", "docker"}, "must be process or none"},
		"an unknown controller":       {[]string{"--controllers", "*,-cron"}, "is not a controller"},
		"a controller that is absent": {[]string{"--controllers", "node-ipam-controller"}, "is not part of localcluster"},
		"a rate below nothing":        {[]string{"--kube-api-qps", "-1"}, "must not be negative"},
		"a port out of range":         {[]string{"--port", "65536"}, "not between 0 and 65535"},
		"an argument":                 {[]string{"start"}, "unexpected argument"},
	} {
		t.Run(name, func(t *testing.T) {
			output, err := command(test.args...).CombinedOutput()
			if err == nil || !strings.Contains(string(output), test.want) {
				t.Errorf("got %v and %q, want an error with %q", err, output, test.want)
			}
		})
	}
}

func TestOnlyTheTokenLetsIn(t *testing.T) {
	r := cluster(t)
	config, err := clientcmd.BuildConfigFromFlags("", r.kubeconfig)
	if err != nil {
		t.Fatalf("reading kubeconfig: %v", err)
	}
	if !strings.HasPrefix(config.Host, "https://127.0.0.1:") {
		t.Errorf("server: got %s, want https on 127.0.0.1", config.Host)
	}
	info, err := os.Stat(r.kubeconfig)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: got mode %v and %v, want 0600", info.Mode(), err)
	}
	config.BearerToken = "wrong"
	stranger, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatalf("making client: %v", err)
	}
	if _, err := stranger.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("listing secrets with a wrong token: got %v, want Unauthorized", err)
	}
	version, err := r.client.Discovery().ServerVersion()
	if err != nil || !strings.HasPrefix(version.GitVersion, "v1.") {
		t.Errorf("version: got %v and %v, want that of the module", version, err)
	}
}

func unless(holds bool, problem string) error {
	if holds {
		return nil
	}
	return fmt.Errorf("%s", problem)
}

func portIn(t *testing.T, kubeconfig []byte) string {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatalf("reading kubeconfig: %v", err)
	}
	return config.Host[strings.LastIndex(config.Host, ":")+1:]
}
