package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

const groupRepository = `apiVersion: batch/v1
kind: CronJob
metadata: {name: load, namespace: group-east, labels: {uses: warehouse}}
spec:
  schedule: "* * * * *"
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          containers: [{name: c, image: none, command: ["sleep", "5"]}]
          restartPolicy: Never
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: group-west, labels: {uses: warehouse}}
spec:
  schedule: "* * * * *"
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          containers: [{name: c, image: none, command: ["sleep", "5"]}]
          restartPolicy: Never
---
apiVersion: rota.dev/v1alpha1
kind: SchedulePolicy
metadata: {name: warehouse}
spec:
  selector: {matchLabels: {uses: warehouse}}
  concurrencyGroup: {name: warehouse, limit: 1}
`

// TestRunKeepsAGroupToItsLimitAcrossNamespaces waits for a minute of the wall
// clock: two schedules in two namespaces, of a group with one place, fire at it.
func TestRunKeepsAGroupToItsLimitAcrossNamespaces(t *testing.T) {
	t.Parallel() // it mostly waits for a minute
	spaces := []string{"group-east", "group-west"}
	kube, client := clusterWith(t, spaces...)
	repo := t.TempDir()
	write(t, filepath.Join(repo, "repo.yaml"), groupRepository)
	run := startCommand(t, "run", "--kubeconfig", kube.Kubeconfig, "--dir", repo, "--target-namespace", spaces[0], "--namespace", "group-system")
	run.await(t, "leading")
	jobs := func() []batchv1.Job {
		// One list, so that both namespaces are seen at the same time.
		list, err := client.BatchV1().Jobs(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{LabelSelector: schema.LabelGroup})
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(list.Items, func(job batchv1.Job) bool { return !slices.Contains(spaces, job.Namespace) })
	}
	eventually(t, 150*time.Second, "a run of each has ended", func() string {
		ended, going := map[string]bool{}, 0
		all := jobs()
		for i := range all {
			switch {
			case schedule.Finished(&all[i]):
				ended[all[i].Namespace] = true
			case !*all[i].Spec.Suspend:
				going++
			}
		}
		if going > 1 {
			t.Fatalf("%d runs go on at a time", going)
		}
		if len(ended) < len(spaces) {
			return fmt.Sprintf("of %d Jobs, those in %v have ended", len(all), ended)
		}
		return ""
	})
	// One began when the other had ended.
	all := jobs()
	for i := range all {
		t.Logf("%s: %v to %v", all[i].Name, all[i].Status.StartTime, all[i].Status.CompletionTime)
		for j := range all {
			a, b := all[i].Status, all[j].Status
			if i != j && a.CompletionTime != nil && b.StartTime != nil && b.StartTime.Before(a.CompletionTime) && a.StartTime.Before(b.StartTime) {
				t.Errorf("%s began before %s had ended", all[j].Name, all[i].Name)
			}
		}
	}

	// The group's object stays: it is nothing of the repository, and no drift.
	write(t, filepath.Join(repo, "more.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n")
	eventually(t, 60*time.Second, "the next revision is applied", func() string {
		if _, err := client.CoreV1().ConfigMaps(spaces[0]).Get(t.Context(), "more", metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
	_, err := client.CoreV1().ConfigMaps("group-system").Get(t.Context(), "rota-group-default.warehouse", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		t.Error("the group's object is gone")
	} else if err != nil {
		t.Error(err)
	}
	run.kill(t)
}
