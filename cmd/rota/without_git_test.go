package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"rota.dev/rota/schema"
)

const everyMinute = `apiVersion: batch/v1
kind: CronJob
metadata: {name: %s}
spec:
  schedule: "* * * * *"
  jobTemplate:
    spec:
      template:
        spec:
          containers: [{name: c, image: none, command: ["true"]}]
          restartPolicy: Never
---
`

// TestSchedulesRunOnWithoutGit restarts rota run where one repository is gone
// and the newest commit of another is broken: what the API server accepted
// last goes on, pauses included.
func TestSchedulesRunOnWithoutGit(t *testing.T) {
	t.Parallel() // it mostly waits for a minute
	names := []string{"git-gone", "git-broken"}
	kube, client := clusterWith(t, names...)
	var config strings.Builder
	repos := map[string]string{}
	clones := map[string]clone{}
	for _, name := range names {
		bare, repo := newClone(t)
		repo.push("a.yaml", fmt.Sprintf(everyMinute+everyMinute, "tick", "held"))
		repos[name], clones[name] = bare, repo
		fmt.Fprintf(&config, "%s---\n", syncText(bare, name, "Correct"))
	}
	file := filepath.Join(t.TempDir(), "syncs.yaml")
	write(t, file, config.String())
	args := []string{"run", "--kubeconfig", kube.Kubeconfig, "--config", file, "--allow-local",
		"--lease-duration", "2s", "--renew-deadline", "1500ms", "--retry-period", "200ms"}

	run := startCommand(t, args...)
	revisions := map[string]string{}
	for name := range repos {
		for _, cronJob := range []string{"tick", "held"} {
			eventually(t, 60*time.Second, cronJob+" of "+name+" is in force", func() string {
				cj, err := client.BatchV1().CronJobs(name).Get(t.Context(), cronJob, metav1.GetOptions{})
				if err != nil {
					return err.Error()
				}
				revisions[name] = cj.Annotations[schema.AnnotationRevision]
				if cj.Annotations[schema.AnnotationCursor] == "" {
					return "it has no cursor"
				}
				return ""
			})
		}
		// As the emergency brake is pulled, without rota's help.
		brake := fmt.Sprintf(`{"metadata":{"annotations":{%q:"reason=\"a test\""}}}`, schema.AnnotationPause)
		if _, err := client.BatchV1().CronJobs(name).Patch(t.Context(), "held", types.MergePatchType, []byte(brake), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	run.kill(t)

	if err := os.RemoveAll(repos["git-gone"]); err != nil {
		t.Fatal(err)
	}
	clones["git-broken"].push("a.yaml", "kind: [\n")
	restarted := time.Now()
	run = startCommand(t, args...)
	for name := range repos {
		eventually(t, 100*time.Second, "a slot after the restart runs in "+name, func() string {
			return runsOf(t, client, name, restarted, revisions[name])
		})
	}
	run.kill(t)
}

// runsOf looks for a run of tick whose slot is later than the restart, and for
// any of held, which is paused.
func runsOf(t *testing.T, client kubernetes.Interface, namespace string, restarted time.Time, revision string) string {
	t.Helper()
	jobs, err := client.BatchV1().Jobs(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	ran := "there is no such run"
	for _, job := range jobs.Items {
		slot, err := time.Parse(time.RFC3339, job.Annotations[batchv1.CronJobScheduledTimestampAnnotation])
		if err != nil || !slot.After(restarted) {
			continue
		}
		if job.Labels[schema.LabelSchedule] == "held" {
			t.Fatalf("%s ran, and its schedule is paused", job.Name)
		}
		if got := job.Annotations[schema.AnnotationRevision]; got != revision || revision == "" {
			t.Fatalf("%s is of revision %q, want %q, the last that was accepted", job.Name, got, revision)
		}
		ran = ""
	}
	return ran
}
