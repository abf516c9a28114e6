package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// podOf returns a Pod with these containers, named c0, c1 and so on.
func podOf(policy corev1.RestartPolicy, containers ...corev1.Container) *corev1.Pod {
	for i := range containers {
		containers[i].Name, containers[i].Image = fmt.Sprintf("c%d", i), "unused"
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "pod-"},
		Spec:       corev1.PodSpec{RestartPolicy: policy, Containers: containers, TerminationGracePeriodSeconds: ptr.To[int64](2)},
	}
}

func shell(script string) corev1.Container {
	return corev1.Container{Command: []string{"sh", "-c", script}}
}

func create(t *testing.T, r *running, namespace string, pod *corev1.Pod) string {
	t.Helper()
	made, err := r.client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating pod: %v", err)
	}
	return made.Name
}

func waitForPod(t *testing.T, r *running, namespace, name, what string, holds func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	eventually(t, "pod "+name+" to be "+what, func(ctx context.Context) error {
		var err error
		if pod, err = r.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		return unless(holds(pod), fmt.Sprintf("status is %+v", pod.Status))
	})
	return pod
}

func waitForPhase(t *testing.T, r *running, namespace, name string, phase corev1.PodPhase) *corev1.Pod {
	t.Helper()
	return waitForPod(t, r, namespace, name, string(phase), func(pod *corev1.Pod) bool { return pod.Status.Phase == phase })
}

func logsOf(t *testing.T, r *running, namespace, name string, options corev1.PodLogOptions) string {
	t.Helper()
	content, err := r.client.CoreV1().Pods(namespace).GetLogs(name, &options).DoRaw(t.Context())
	if err != nil {
		t.Fatalf("reading log: %v", err)
	}
	return string(content)
}

// runToEnd creates the Pod, waits for its success and returns its log.
func runToEnd(t *testing.T, r *running, namespace string, pod *corev1.Pod) string {
	t.Helper()
	name := create(t, r, namespace, pod)
	waitForPhase(t, r, namespace, name, corev1.PodSucceeded)
	return logsOf(t, r, namespace, name, corev1.PodLogOptions{Container: "c0"})
}

func TestJobRunsToComplete(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	template := podOf(corev1.RestartPolicyNever, shell("echo item $(JOB_COMPLETION_INDEX)"))
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "job"}, Spec: batchv1.JobSpec{
		Completions: ptr.To[int32](4), Parallelism: ptr.To[int32](2), CompletionMode: ptr.To(batchv1.IndexedCompletion),
		Template: corev1.PodTemplateSpec{Spec: template.Spec},
	}}
	if _, err := r.client.BatchV1().Jobs(ns).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating job: %v", err)
	}
	done := waitForJob(t, r, ns, "job", batchv1.JobComplete)
	if done.Status.Succeeded != 4 || done.Status.Failed != 0 || done.Status.CompletionTime == nil {
		t.Errorf("status: got %+v, want 4 succeeded and a completion time", done.Status)
	}
	pods, err := r.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=job"})
	if err != nil {
		t.Fatalf("listing pods: %v", err)
	}
	got := map[string]string{}
	for _, pod := range pods.Items {
		got[pod.Annotations[batchv1.JobCompletionIndexAnnotation]] = logsOf(t, r, ns, pod.Name, corev1.PodLogOptions{})
		if len(pod.Finalizers) != 0 {
			t.Errorf("finalizers of %s: got %v, want the job controller to have removed its own", pod.Name, pod.Finalizers)
		}
	}
	want := map[string]string{"0": "item 0\n", "1": "item 1\n", "2": "item 2\n", "3": "item 3\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("logs by index (-want +got):\n%s", diff)
	}
}

func waitForJob(t *testing.T, r *running, namespace, name string, condition batchv1.JobConditionType) *batchv1.Job {
	t.Helper()
	var job *batchv1.Job
	eventually(t, "job "+name+" to be "+string(condition), func(ctx context.Context) error {
		var err error
		if job, err = r.client.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		for _, c := range job.Status.Conditions {
			if c.Type == condition && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("status is %+v", job.Status)
	})
	return job
}

func TestJobFailsByPodFailurePolicyAndByDeadline(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	argument, sleep := sleeper(t)
	jobs := map[string]struct {
		spec   batchv1.JobSpec
		reason string
	}{
		"exit-code": {batchv1.JobSpec{
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
				Action:      batchv1.PodFailurePolicyActionFailJob,
				OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{42}},
			}}},
			Template: corev1.PodTemplateSpec{Spec: podOf(corev1.RestartPolicyNever, shell("exit 42")).Spec},
		}, batchv1.JobReasonPodFailurePolicy},
		"deadline": {batchv1.JobSpec{
			ActiveDeadlineSeconds: ptr.To[int64](1),
			Template:              corev1.PodTemplateSpec{Spec: podOf(corev1.RestartPolicyNever, corev1.Container{Command: sleep}).Spec},
		}, batchv1.JobReasonDeadlineExceeded},
		"backoff-limit": {batchv1.JobSpec{
			BackoffLimit: ptr.To[int32](0),
			Template:     corev1.PodTemplateSpec{Spec: podOf(corev1.RestartPolicyNever, shell("exit 1")).Spec},
		}, batchv1.JobReasonBackoffLimitExceeded},
	}
	for name, test := range jobs {
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: test.spec}
		if _, err := r.client.BatchV1().Jobs(ns).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
			t.Fatalf("creating job: %v", err)
		}
	}
	for name, test := range jobs {
		failed := waitForJob(t, r, ns, name, batchv1.JobFailed)
		for _, condition := range failed.Status.Conditions {
			if condition.Type == batchv1.JobFailed && condition.Reason != test.reason {
				t.Errorf("job %s: got reason %s, want %s", name, condition.Reason, test.reason)
			}
		}
	}
	eventually(t, "the end of the job's process", func(context.Context) error { return unless(!alive(t, argument), "still running") })
}

func TestCronJobFires(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "hello"}, Spec: batchv1.CronJobSpec{
		Schedule:    "@every 1s",
		JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: podOf(corev1.RestartPolicyOnFailure, corev1.Container{Args: []string{"/bin/sh", "-c", "date; echo hello"}}).Spec}}},
	}}
	if _, err := r.client.BatchV1().CronJobs(ns).Create(t.Context(), cron, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating cron job: %v", err)
	}
	eventually(t, "a run that succeeded", func(ctx context.Context) error {
		now, err := r.client.BatchV1().CronJobs(ns).Get(ctx, "hello", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return unless(now.Status.LastSuccessfulTime != nil, fmt.Sprintf("status is %+v", now.Status))
	})
}

func TestOnFailureRestartsInPlace(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	pod := podOf(corev1.RestartPolicyOnFailure, shell(`if [ -e /state/seen ]; then echo second; exit 0; fi; touch /state/seen; echo first; exit 3`))
	pod.Spec.Volumes = []corev1.Volume{{Name: "state", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "state", MountPath: "/state"}}
	name := create(t, r, ns, pod)
	done := waitForPhase(t, r, ns, name, corev1.PodSucceeded)
	status := done.Status.ContainerStatuses[0]
	if status.RestartCount != 1 || status.LastTerminationState.Terminated == nil || status.LastTerminationState.Terminated.ExitCode != 3 {
		t.Errorf("container status: got %+v, want one restart after exit code 3", status)
	}
	if got := logsOf(t, r, ns, name, corev1.PodLogOptions{}); got != "second\n" {
		t.Errorf("log: got %q, want that of the second run", got)
	}
	if got := logsOf(t, r, ns, name, corev1.PodLogOptions{Previous: true}); got != "first\n" {
		t.Errorf("previous log: got %q, want that of the first run", got)
	}
}

func TestEndsAreReportedInTheKubeletsWords(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	for name, test := range map[string]struct {
		container corev1.Container
		code      int32
		reason    string
		message   string
	}{
		"an exit code":        {shell("exit 7"), 7, "Error", ""},
		"a signal":            {shell("kill -KILL $$$$"), 137, "Error", ""},
		"a termination log":   {shell("echo why > /dev/termination-log; exit 1"), 1, "Error", "why"},
		"no command":          {corev1.Container{}, 128, "StartError", "state the command"},
		"a missing program":   {corev1.Container{Command: []string{"no-such-program"}}, 128, "StartError", "must be installed on this machine"},
		"a missing directory": {corev1.Container{Command: []string{"true"}, WorkingDir: "/no/such/dir"}, 128, "StartError", "must exist on this machine"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := create(t, r, ns, podOf(corev1.RestartPolicyNever, test.container))
			failed := waitForPhase(t, r, ns, pod, corev1.PodFailed)
			end := failed.Status.ContainerStatuses[0].State.Terminated
			if end == nil || end.ExitCode != test.code || end.Reason != test.reason || !strings.Contains(end.Message, test.message) {
				t.Errorf("got %+v, want exit code %d, reason %s and a message with %q", end, test.code, test.reason, test.message)
			}
		})
	}
}

func TestInitContainersRunInOrderAndSidecarsBeside(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	pod := podOf(corev1.RestartPolicyNever, shell("cat /shared/order; test -e /shared/side && echo side was up"))
	pod.Spec.Volumes = []corev1.Volume{{Name: "shared", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	mounts := []corev1.VolumeMount{{Name: "shared", MountPath: "/shared"}}
	sidecar := shell("touch /shared/side; while :; do sleep 1; done")
	sidecar.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	sidecar.StartupProbe = &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 60, ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"test", "-e", "/shared/side"}}}}
	pod.Spec.InitContainers = []corev1.Container{shell("echo one >> /shared/order"), sidecar, shell("echo two >> /shared/order")}
	for i := range pod.Spec.InitContainers {
		pod.Spec.InitContainers[i].Name, pod.Spec.InitContainers[i].Image = fmt.Sprintf("init%d", i), "unused"
		pod.Spec.InitContainers[i].VolumeMounts = mounts
	}
	pod.Spec.Containers[0].VolumeMounts = mounts
	if got, want := runToEnd(t, r, ns, pod), "one\ntwo\nside was up\n"; got != want {
		t.Errorf("log: got %q, want %q", got, want)
	}
}

func TestFailedInitContainerFailsThePod(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	pod := podOf(corev1.RestartPolicyNever, shell("echo must not run"))
	pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "unused", Command: []string{"false"}}}
	failed := waitForPhase(t, r, ns, create(t, r, ns, pod), corev1.PodFailed)
	if waiting := failed.Status.ContainerStatuses[0].State.Waiting; waiting == nil || waiting.Reason != "PodInitializing" {
		t.Errorf("container: got %+v, want it waiting with PodInitializing", failed.Status.ContainerStatuses[0].State)
	}
}

func TestEnvironmentAndVolumes(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	_, err := r.client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "config"},
		Data: map[string]string{"GREETING": "hello", "app.conf": "from config map\n"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating config map: %v", err)
	}
	_, err = r.client.CoreV1().Services(ns).Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "task-queue"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "q"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating service: %v", err)
	}
	pod := podOf(corev1.RestartPolicyNever, corev1.Container{
		Args:    []string{"sh", "-c", "echo $GREETING $BOTH $(POD) $TASK_QUEUE_SERVICE_HOST:$TASK_QUEUE_SERVICE_PORT; cat /etc/app/app.conf $KEYFILE; echo; ls -L $WORK"},
		EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}},
		Env: []corev1.EnvVar{
			{Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['app']"}}},
			{Name: "BOTH", Value: "$(GREETING)-$(POD)-$$(POD)"},
			{Name: "KEYFILE", Value: "/etc/keys/key"},
			{Name: "WORK", Value: "/work"},
		},
		VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/app"}, {Name: "keys", MountPath: "/etc/keys"}, {Name: "work", MountPath: "/work", SubPath: "sub"}},
	})
	pod.Labels = map[string]string{"app": "worker"}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}},
		{Name: "keys", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "late"}}},
		{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	name := create(t, r, ns, pod)
	waitForPod(t, r, ns, name, "waiting for its secret", func(pod *corev1.Pod) bool {
		return len(pod.Status.ContainerStatuses) == 1 && pod.Status.ContainerStatuses[0].State.Waiting != nil
	})
	began := time.Now()
	_, err = r.client.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "late"}, StringData: map[string]string{"key": "sesame"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating secret: %v", err)
	}
	waitForPhase(t, r, ns, name, corev1.PodSucceeded)
	t.Logf("succeeded %v after its secret came", time.Since(began))
	want := "hello hello-worker-$(POD) worker 127.0.0.1:8080\nfrom config map\nsesame\n"
	if got := logsOf(t, r, ns, name, corev1.PodLogOptions{}); got != want {
		t.Errorf("log: got %q, want %q", got, want)
	}
}

func TestMissingKeyIsAConfigError(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	container := shell("echo $A")
	container.Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "none"}, Key: "a"}}}}
	name := create(t, r, ns, podOf(corev1.RestartPolicyNever, container))
	waitForPod(t, r, ns, name, "waiting with CreateContainerConfigError", func(pod *corev1.Pod) bool {
		statuses := pod.Status.ContainerStatuses
		return len(statuses) == 1 && statuses[0].State.Waiting != nil && statuses[0].State.Waiting.Reason == "CreateContainerConfigError" &&
			strings.Contains(statuses[0].State.Waiting.Message, `configmaps "none" not found`)
	})
	if _, err := r.client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Data: map[string]string{"a": "b"}}, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating config map: %v", err)
	}
	waitForPhase(t, r, ns, name, corev1.PodSucceeded)
}

func TestServiceAccountTokenIsGivenWhereTheCommandNamesIt(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	got := runToEnd(t, r, ns, podOf(corev1.RestartPolicyNever, shell("ls /var/run/secrets/kubernetes.io/serviceaccount; wc -w < /var/run/secrets/kubernetes.io/serviceaccount/token")))
	if fields := strings.Fields(got); !cmp.Equal(fields, []string{"ca.crt", "namespace", "token", "1"}) {
		t.Errorf("service account directory: got %q", got)
	}
}

func TestLogsCanBeFollowedAndCut(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	pod := podOf(corev1.RestartPolicyNever, shell("echo one; echo two >&2; until [ -e /go/on ]; do sleep 0.05; done; echo three"))
	pod.Spec.Volumes = []corev1.Volume{{Name: "go", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: t.TempDir()}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "go", MountPath: "/go"}}
	name := create(t, r, ns, pod)
	waitForPhase(t, r, ns, name, corev1.PodRunning)
	stream, err := r.client.CoreV1().Pods(ns).GetLogs(name, &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatalf("following log: %v", err)
	}
	defer stream.Close()
	first := make([]byte, len("one\ntwo\n"))
	if _, err := io.ReadFull(stream, first); err != nil || string(first) != "one\ntwo\n" {
		t.Fatalf("followed log: got %q and %v, want the first two lines while the container runs", first, err)
	}
	other := podOf(corev1.RestartPolicyNever, shell("touch /go/on"))
	other.Spec.Volumes, other.Spec.Containers[0].VolumeMounts = pod.Spec.Volumes, pod.Spec.Containers[0].VolumeMounts
	create(t, r, ns, other)
	rest, err := io.ReadAll(stream)
	if err != nil || string(rest) != "three\n" {
		t.Errorf("rest of the followed log: got %q and %v, want %q and the end", rest, err, "three\n")
	}
	waitForPhase(t, r, ns, name, corev1.PodSucceeded)
	if got := logsOf(t, r, ns, name, corev1.PodLogOptions{TailLines: ptr.To[int64](2), LimitBytes: ptr.To[int64](5)}); got != "two\nt" {
		t.Errorf("last two lines, five bytes: got %q", got)
	}
	stamped := logsOf(t, r, ns, name, corev1.PodLogOptions{Timestamps: true, TailLines: ptr.To[int64](1)})
	if stamp, text, _ := strings.Cut(stamped, " "); text != "three\n" {
		t.Errorf("line with its time: got %q", stamped)
	} else if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil {
		t.Errorf("time of a line: %v", err)
	}
}

func TestDeletionEndsTheWholeGroupWithinItsGrace(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	for name, script := range map[string]string{
		"a process that obeys":   "trap 'echo bye; exit 0' TERM; sleep %[1]s & wait",
		"a process that ignores": "trap '' TERM; sleep %[1]s & while :; do sleep 1; done",
		"one that left":          "(setsid sleep %[1]s &); exec sleep %[1]s",
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(script, "setsid") && runtime.GOOS != "linux" {
				t.Skip("only Linux shows where a process belongs that left its session")
			}
			argument, _ := sleeper(t)
			pod := create(t, r, ns, podOf(corev1.RestartPolicyAlways, shell(fmt.Sprintf(script, argument))))
			waitForPhase(t, r, ns, pod, corev1.PodRunning)
			eventually(t, "the process", func(context.Context) error { return unless(alive(t, argument), "not running") })
			if err := r.client.CoreV1().Pods(ns).Delete(t.Context(), pod, metav1.DeleteOptions{}); err != nil {
				t.Fatalf("deleting pod: %v", err)
			}
			eventually(t, "the pod to be gone", func(ctx context.Context) error {
				_, err := r.client.CoreV1().Pods(ns).Get(ctx, pod, metav1.GetOptions{})
				return unless(apierrors.IsNotFound(err), "still there")
			})
			eventually(t, "the end of its processes", func(context.Context) error { return unless(!alive(t, argument), "still running") })
		})
	}
}

func TestActiveDeadlineEndsThePod(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	argument, sleep := sleeper(t)
	pod := podOf(corev1.RestartPolicyAlways, corev1.Container{Command: sleep})
	pod.Spec.ActiveDeadlineSeconds = ptr.To[int64](1)
	failed := waitForPhase(t, r, ns, create(t, r, ns, pod), corev1.PodFailed)
	if failed.Status.Reason != "DeadlineExceeded" || failed.Status.ContainerStatuses[0].State.Terminated.ExitCode != 143 {
		t.Errorf("status: got %+v, want DeadlineExceeded and exit code 143", failed.Status)
	}
	if alive(t, argument) {
		t.Error("its process still runs")
	}
}

func TestProbes(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	dir := t.TempDir()
	pod := podOf(corev1.RestartPolicyAlways, shell("touch /state/ready; if [ -e /state/again ]; then touch /state/alive; fi; touch /state/again; while :; do sleep 1; done"))
	pod.Spec.Volumes = []corev1.Volume{{Name: "state", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}}}}
	container := &pod.Spec.Containers[0]
	container.VolumeMounts = []corev1.VolumeMount{{Name: "state", MountPath: "/state"}}
	exec := func(file string) corev1.ProbeHandler {
		return corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"test", "-e", file}}}
	}
	container.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: exec("/state/ready")}
	container.LivenessProbe = &corev1.Probe{InitialDelaySeconds: 2, PeriodSeconds: 1, FailureThreshold: 1, ProbeHandler: exec("/state/alive")}
	name := create(t, r, ns, pod)
	waitForPod(t, r, ns, name, "restarted by its liveness probe and ready", func(pod *corev1.Pod) bool {
		statuses := pod.Status.ContainerStatuses
		return len(statuses) == 1 && statuses[0].RestartCount > 0 && statuses[0].Ready
	})
}

func TestMutatingAdmissionPolicyChangesObjects(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	policies := r.client.AdmissionregistrationV1()
	policy := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: ns}, Spec: admissionv1.MutatingAdmissionPolicySpec{
		ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
		}}}},
		MatchConditions: []admissionv1.MatchCondition{{Name: "namespace", Expression: fmt.Sprintf("object.metadata.namespace == %q", ns)}},
		Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeApplyConfiguration, ApplyConfiguration: &admissionv1.ApplyConfiguration{
			Expression: `Object{metadata: Object.metadata{labels: {"mutated": "yes"}}}`,
		}}},
	}}
	if _, err := policies.MutatingAdmissionPolicies().Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating policy: %v", err)
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: ns}, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: ns}}
	if _, err := policies.MutatingAdmissionPolicyBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating binding: %v", err)
	}
	eventually(t, "the policy to be in force", func(ctx context.Context) error {
		made, err := r.client.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "x-"}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		return unless(made.Labels["mutated"] == "yes", "not mutated")
	})
}

func TestNamespaceDeletionEndsItsProcesses(t *testing.T) {
	r := cluster(t)
	ns := namespace(t, r)
	argument, sleep := sleeper(t)
	create(t, r, ns, podOf(corev1.RestartPolicyAlways, corev1.Container{Command: sleep}))
	eventually(t, "the process", func(context.Context) error { return unless(alive(t, argument), "not running") })
	if err := r.client.CoreV1().Namespaces().Delete(t.Context(), ns, metav1.DeleteOptions{}); err != nil {
		t.Fatalf("deleting namespace: %v", err)
	}
	eventually(t, "the namespace to be gone", func(ctx context.Context) error {
		_, err := r.client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
		return unless(apierrors.IsNotFound(err), "still there")
	})
	if alive(t, argument) {
		t.Error("a process outlived its namespace")
	}
}
