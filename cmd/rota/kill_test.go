package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"rota.dev/rota/reconcile/cluster/local"
	"rota.dev/rota/reconcile/cluster/local/localtest"
)

const killRepository = `apiVersion: rota.dev/v1alpha1
kind: Expansion
metadata: {name: keep}
spec:
  parameters: {matrix: {N: {range: {from: 1, to: 20}}}}
  inline: |
    apiVersion: batch/v1
    kind: Job
    metadata: {name: keep-$N}
    spec:
      template:
        spec:
          containers: [{name: c, image: none, command: ["true"]}]
          restartPolicy: Never
---
apiVersion: rota.dev/v1alpha1
kind: Expansion
metadata: {name: vanish}
spec:
  parameters: {matrix: {N: {range: {from: 1, to: 20}}}}
  inline: |
    apiVersion: batch/v1
    kind: Job
    metadata: {name: vanish-$N}
    spec:
      ttlSecondsAfterFinished: 0
      template:
        spec:
          containers: [{name: c, image: none, command: ["true"]}]
          restartPolicy: Never
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "* * * * *"
  jobTemplate:
    spec:
      template:
        spec:
          containers: [{name: c, image: none, command: ["true"]}]
          restartPolicy: Never
`

// TestKilledAtAnyMomentRunsNothingTwice kills rota run with SIGKILL again and
// again while it works, lets it converge, and counts the Jobs that ever were.
func TestKilledAtAnyMomentRunsNothingTwice(t *testing.T) {
	const namespace = "kill"
	kubernetesCluster, client := clusterWith(t, namespace)
	journal := journalJobs(t, client, namespace)
	repo := t.TempDir()
	write(t, filepath.Join(repo, "repo.yaml"), killRepository)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	for range 8 {
		run := startRun(t, kubernetesCluster.Kubeconfig, repo, namespace)
		run.await(t, "leading")
		time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond) // the moment of the kill, not a wait for anything
		run.kill(t)
	}
	run := startRun(t, kubernetesCluster.Kubeconfig, repo, namespace)
	eventually(t, 90*time.Second, "every Job has run", func() string {
		for i := 1; i <= 20; i++ {
			for _, name := range []string{fmt.Sprintf("keep-%d", i), fmt.Sprintf("vanish-%d", i)} {
				if !journal.finished(name) {
					return name + " has not"
				}
			}
		}
		return ""
	})
	run.kill(t)
	// A start over what is finished, and in part gone, must do the new work only.
	write(t, filepath.Join(repo, "marker.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: marker}\n")
	run = startRun(t, kubernetesCluster.Kubeconfig, repo, namespace)
	eventually(t, 60*time.Second, "the marker is applied", func() string {
		if _, err := client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "marker", metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
	run.kill(t)
	for name, uids := range journal.all() {
		if len(uids) != 1 {
			t.Errorf("Job %s was created %d times", name, len(uids))
		}
	}
}

// clusterWith returns the local cluster, with namespaces for one test alone.
func clusterWith(t *testing.T, namespaces ...string) (*local.Local, kubernetes.Interface) {
	t.Helper()
	kube := localtest.Shared(t)
	client, err := kubernetes.NewForConfig(kube.Config())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range namespaces {
		if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return kube, client
}

// jobJournal remembers every Job that ever was.
type jobJournal struct {
	mu   sync.Mutex
	uids map[string]map[types.UID]bool
	done map[string]bool
}

func journalJobs(t *testing.T, client kubernetes.Interface, namespace string) *jobJournal {
	t.Helper()
	j := &jobJournal{uids: map[string]map[types.UID]bool{}, done: map[string]bool{}}
	see := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		job := object.(*batchv1.Job)
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.uids[job.Name] == nil {
			j.uids[job.Name] = map[types.UID]bool{}
		}
		j.uids[job.Name][job.UID] = true
		for _, c := range job.Status.Conditions {
			if c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue {
				j.done[job.Name] = true
			}
		}
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	informer := factory.Batch().V1().Jobs().Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: see, UpdateFunc: func(_, now any) { see(now) }, DeleteFunc: see,
	}); err != nil {
		t.Fatal(err)
	}
	go informer.RunWithContext(t.Context())
	if !cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced) {
		t.Fatal("the journal of Jobs did not start")
	}
	return j
}

func (j *jobJournal) finished(name string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.done[name]
}

func (j *jobJournal) all() map[string]map[types.UID]bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.uids
}

// runProcess is a rota run in a process of its own.
type runProcess struct {
	cmd   *exec.Cmd
	lines chan string
}

func startRun(t *testing.T, kubeconfig, repo, namespace string) *runProcess {
	t.Helper()
	return startCommand(t, "run", "--kubeconfig", kubeconfig, "--dir", repo, "--target-namespace", namespace,
		"--lease-duration", "2s", "--renew-deadline", "1500ms", "--retry-period", "200ms")
}

func startCommand(t *testing.T, args ...string) *runProcess {
	t.Helper()
	cmd := exec.Command("rota", args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &runProcess{cmd: cmd, lines: make(chan string, 10_000)}
	go func() {
		defer close(r.lines)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return r
}

func (r *runProcess) await(t *testing.T, text string) {
	t.Helper()
	late := time.After(60 * time.Second)
	var seen []string
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				t.Fatalf("rota run ended:\n%s", strings.Join(seen, "\n"))
			}
			seen = append(seen, line)
			if strings.Contains(line, text) {
				return
			}
		case <-late:
			t.Fatalf("no %q in:\n%s", text, strings.Join(seen, "\n"))
		}
	}
}

func (r *runProcess) kill(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = r.cmd.Wait()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// eventually polls until why returns nothing.
func eventually(t *testing.T, patience time.Duration, what string, why func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		reason := why()
		if reason == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %s", what, reason)
		case <-tick.C:
		}
	}
}
