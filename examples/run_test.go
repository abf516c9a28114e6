package examples

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile"
	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/cluster/local"
	"rota.dev/rota/reconcile/cluster/local/localtest"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// patience is how long an example may take: a scheduled one waits up to a
// minute for its time to come, and the machine may be busy.
const patience = 4 * time.Minute

// program is something that a container runs as a process of this machine.
type program struct {
	// path is the file that must be there; a bare name is looked up in $PATH.
	path string
	// pkg is the Debian package that has it.
	pkg string
}

// run is what one example does on a cluster.
type run struct {
	repository, path string
	// namespace is what the example itself names; empty for a fresh one.
	namespace string
	// suffix tells the fresh one from that of another run of the example: to
	// the same Sync its Jobs would be done.
	suffix string
	// needs are the programs beyond sh.
	needs []program
	// port is where its server listens on this machine; 0 for none.
	port int
	// succeeded has the Jobs and how many Pods of each must succeed. A Job
	// that a schedule names is under its CronJob's name.
	succeeded map[string]int32
	// work picks the lines of the logs that tell of work; the rest is noise.
	work *regexp.Regexp
	// lines has, for each Job, the lines that all its Pods print, sorted.
	lines map[string][]string
	// edit changes what was rendered; nil for nothing.
	edit func(*testing.T, []schema.Object)
}

var fruits = []string{"apple", "banana", "cherry", "date", "fig", "grape", "lemon", "melon"}

var runs = []run{
	{
		repository: "hello",
		succeeded:  map[string]int32{"hello": 1},
		work:       regexp.MustCompile(`Hello`),
		lines:      map[string][]string{"hello": {"Hello from the Kubernetes cluster"}},
	},
	{
		repository: "hello-v1beta1",
		succeeded:  map[string]int32{"hello": 1},
		work:       regexp.MustCompile(`Hello`),
		lines:      map[string][]string{"hello": {"Hello from the Kubernetes cluster"}},
	},
	{
		repository: "expansion",
		succeeded:  map[string]int32{"process-item-apple": 1, "process-item-banana": 1, "process-item-cherry": 1},
		lines: map[string][]string{
			"process-item-apple":  {"Processing item apple"},
			"process-item-banana": {"Processing item banana"},
			"process-item-cherry": {"Processing item cherry"},
		},
	},
	{
		repository: "jinja",
		succeeded:  map[string]int32{"jobexample-apple": 1, "jobexample-banana": 1, "jobexample-raspberry": 1},
		lines: map[string][]string{
			"jobexample-apple":     {"Processing URL http://www.orangepippin.com/apples"},
			"jobexample-banana":    {"Processing URL https://en.wikipedia.org/wiki/Banana"},
			"jobexample-raspberry": {"Processing URL https://www.raspberrypi.org/"},
		},
	},
	{
		repository: "overlays", path: "overlays/dev", namespace: "batch-dev",
		succeeded: map[string]int32{"dev-import-eu": 1, "dev-import-us": 1},
		lines: map[string][]string{
			"dev-import-eu": {"Importing 10 rows of eu into scratch"},
			"dev-import-us": {"Importing 10 rows of us into scratch"},
		},
	},
	{
		repository: "overlays", path: "overlays/prod", namespace: "batch-prod",
		succeeded: map[string]int32{"import-eu": 1, "import-us": 1},
		lines: map[string][]string{
			"import-eu": {"Importing 100000 rows of eu into ledger"},
			"import-us": {"Importing 100000 rows of us into ledger"},
		},
	},
	{
		repository: "rabbitmq",
		needs: []program{
			{"/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server"},
			{"amqp-consume", "amqp-tools"},
			{"python3", "python3"},
		},
		port:      20672,
		succeeded: map[string]int32{"fill-job1": 1, "job-wq-1": 8},
		work:      regexp.MustCompile(`^(Queued|Processing) `),
		lines:     map[string][]string{"fill-job1": each("Queued ", fruits), "job-wq-1": each("Processing ", fruits)},
	},
	{
		repository: "redis",
		needs: []program{
			{"redis-server", "redis-server"},
			{"/usr/bin/python3", "python3"},
			{"/usr/lib/python3/dist-packages/redis/__init__.py", "python3-redis"},
		},
		port:      20379,
		succeeded: map[string]int32{"fill-job2": 1, "job-wq-2": 2},
		work:      regexp.MustCompile(`^(Queued|Working on) |^Queue empty`),
		lines: map[string][]string{
			"fill-job2": {"Queued 9 items"},
			"job-wq-2":  append([]string{"Queue empty, exiting", "Queue empty, exiting"}, each("Working on ", append(slices.Clone(fruits), "orange"))...),
		},
	},
}

// TestExamplesRunToTheirEnd applies each example to a real API server, by the
// path that `rota apply` takes, and follows it until every item is done.
func TestExamplesRunToTheirEnd(t *testing.T) {
	kube := localtest.Own(t, local.Options{Progress: os.Stderr})
	client, err := kubernetes.NewForConfig(kube.Config())
	if err != nil {
		t.Fatal(err)
	}
	// A group, so that what runs in parallel has ended when the next begins.
	t.Run("as they are", func(t *testing.T) {
		for _, r := range runs {
			t.Run(strings.TrimSuffix(r.repository+"/"+r.path, "/"), func(t *testing.T) {
				r.needPrograms(t)
				r.run(t, kube.Config(), client)
			})
		}
	})
	t.Run("with workers that fail at first", func(t *testing.T) {
		r := runs[slices.IndexFunc(runs, func(r run) bool { return r.repository == "rabbitmq" })]
		r.suffix, r.edit = "-failing", failAtFirst
		r.needPrograms(t)
		r.run(t, kube.Config(), client)
	})
}

// failAtFirst lets the first container of each worker fail after it took its
// message. amqp-consume alone would end with success, and the item be lost.
func failAtFirst(t *testing.T, objects []schema.Object) {
	t.Helper()
	for _, object := range objects {
		if object.GetName() == "job-wq-1" {
			container(t, object)["args"] = []any{"sh", "-c", "mkdir $WORK_DIR/failed && exit 1; exec python3 /scripts/worker.py"}
			return
		}
	}
	t.Fatal("there is no job-wq-1 to edit")
}

// TestEveryExampleIsRun keeps a new example from being rendered only.
func TestEveryExampleIsRun(t *testing.T) {
	for _, example := range rendered {
		if !slices.ContainsFunc(runs, func(r run) bool { return r.repository == example.repository }) {
			t.Errorf("%s is rendered and never run", example.repository)
		}
	}
}

func (r run) needPrograms(t *testing.T) {
	t.Helper()
	var missing []string
	for _, p := range r.needs {
		_, err := os.Stat(p.path)
		if !strings.HasPrefix(p.path, "/") {
			_, err = exec.LookPath(p.path)
		}
		if err != nil && !slices.Contains(missing, p.pkg) {
			missing = append(missing, p.pkg)
		}
	}
	if len(missing) > 0 {
		t.Skipf("missing Debian package: %s; install it with: apt-get install --no-install-recommends %[1]s", strings.Join(missing, " "))
	}
}

func (r run) run(t *testing.T, cfg *rest.Config, client kubernetes.Interface) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r.mustNotListen(t, "before the test: end what holds it")
	hadEpmd := listens(epmdPort)
	namespace := r.namespace
	if namespace == "" {
		namespace = "example-" + r.repository + r.suffix
		made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		if _, err := client.CoreV1().Namespaces().Create(ctx, made, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			explain(t, client, namespace)
		}
	})
	set := r.set(t, cfg, namespace)
	r.apply(ctx, t, set)
	// All are applied before any is waited for, so that the minute of one
	// passes while the others work.
	t.Parallel()
	for job, pods := range r.succeeded {
		awaitJob(ctx, t, client, namespace, job, pods)
	}
	for job, want := range r.lines {
		var got []string
		for _, line := range jobLines(ctx, t, client, namespace, job) {
			if r.work == nil || r.work.MatchString(line) {
				got = append(got, line)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(sorted(want), got); diff != "" {
			t.Errorf("what the Pods of %s printed (-want +got):\n%s", job, diff)
		}
	}
	if strings.HasPrefix(r.repository, "hello") {
		checkDate(t, jobLines(ctx, t, client, namespace, "hello"))
	}
	if p := r.plan(ctx, t, set); p.Writes() {
		var text strings.Builder
		if err := p.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		t.Errorf("applying again would do something:\n%s", text.String())
	}
	remove(ctx, t, client, namespace)
	r.mustNotListen(t, "after the namespace was deleted")
	if !hadEpmd && listens(epmdPort) {
		t.Error("an epmd was left behind")
	}
}

// set returns the ApplySet of a Sync for this run alone.
func (r run) set(t *testing.T, cfg *rest.Config, namespace string) *cluster.Set {
	t.Helper()
	c, err := cluster.Connect(cfg, cluster.Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	set := c.Set(cluster.SetOptions{Sync: namespace, Namespace: namespace})
	t.Cleanup(set.Close)
	return set
}

// plan decides as `rota apply --scheduler Cluster` does: the cluster's own
// controller fires the CronJobs, for no `rota run` is here.
func (r run) plan(ctx context.Context, t *testing.T, set *cluster.Set) plan.Plan {
	t.Helper()
	result := renderExample(t, r.repository, r.path)
	for _, problem := range schema.Validate(result.Objects) {
		t.Errorf("validating: %v", problem)
	}
	if r.edit != nil {
		r.edit(t, result.Objects)
	}
	options := plan.Options{SetID: set.ID(), Revision: "sha256:" + strings.Repeat("0", 64)}
	p, known, err := reconcile.Plan(ctx, set, result.Objects, options, reconcile.Memory{})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Record(ctx, known.Runs); err != nil {
		t.Fatal(err)
	}
	return p
}

func (r run) apply(ctx context.Context, t *testing.T, set *cluster.Set) {
	t.Helper()
	outcomes, err := set.Apply(ctx, r.plan(ctx, t, set))
	if err != nil {
		t.Fatal(err)
	}
	for _, outcome := range outcomes {
		if outcome.Problem != nil || !outcome.Done {
			t.Errorf("applying %s: %v", outcome.Change.Key, outcome.Problem)
		}
	}
}

// awaitJob waits until a Job, or the first one of the CronJob of that name, is
// complete with so many Pods; it fails at once if the Job does.
func awaitJob(ctx context.Context, t *testing.T, client kubernetes.Interface, namespace, name string, pods int32) {
	t.Helper()
	last := "there is none"
	err := wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		job, err := findJob(ctx, client, namespace, name)
		if err != nil || job == nil {
			return false, err
		}
		last = fmt.Sprintf("%d active, %d succeeded, %d failed", job.Status.Active, job.Status.Succeeded, job.Status.Failed)
		for _, condition := range job.Status.Conditions {
			switch {
			case condition.Status != corev1.ConditionTrue:
			case condition.Type == batchv1.JobFailed:
				return false, fmt.Errorf("it failed: %s", condition.Message)
			case condition.Type == batchv1.JobComplete:
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		t.Fatalf("waiting for Job %s/%s: %v (%s)", namespace, name, err, last)
	}
	if job, err := findJob(ctx, client, namespace, name); err != nil || job.Status.Succeeded != pods {
		t.Errorf("Job %s/%s is complete, and not with %d Pods: %s %v", namespace, name, pods, last, err)
	}
}

func findJob(ctx context.Context, client kubernetes.Interface, namespace, name string) (*batchv1.Job, error) {
	jobs, err := client.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var first *batchv1.Job
	for i := range jobs.Items {
		job := &jobs.Items[i]
		owner := metav1.GetControllerOf(job)
		if job.Name != name && (owner == nil || owner.Name != name) {
			continue
		}
		if first == nil || job.CreationTimestamp.Before(&first.CreationTimestamp) {
			first = job
		}
	}
	return first, nil
}

// jobLines returns what all Pods of a Job printed.
func jobLines(ctx context.Context, t *testing.T, client kubernetes.Interface, namespace, name string) []string {
	t.Helper()
	job, err := findJob(ctx, client, namespace, name)
	if err != nil || job == nil {
		t.Fatalf("finding Job %s/%s: %v", namespace, name, err)
	}
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job.Name})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, pod := range pods.Items {
		text, err := client.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
		if err != nil {
			t.Fatalf("reading the log of %s: %v", pod.Name, err)
		}
		lines = append(lines, strings.Split(strings.TrimSpace(string(text)), "\n")...)
	}
	return lines
}

// checkDate: the form of `date` depends on the machine's locale, the year does
// not.
func checkDate(t *testing.T, lines []string) {
	t.Helper()
	if len(lines) != 2 || !regexp.MustCompile(`\b20\d\d\b`).MatchString(lines[0]) {
		t.Errorf("hello printed %q, want a date and the greeting", lines)
	}
}

// remove deletes the namespace and waits until every Pod in it has ended.
func remove(ctx context.Context, t *testing.T, client kubernetes.Interface, namespace string) {
	t.Helper()
	if err := client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	err := wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		t.Fatalf("waiting for namespace %s to go: %v", namespace, err)
	}
}

// mustNotListen: a server of somebody else's on the port would be used by the
// workers in the place of the example's own, and one of our own must not
// outlive its Pod.
func (r run) mustNotListen(t *testing.T, when string) {
	t.Helper()
	if r.port == 0 {
		return
	}
	if listens(r.port) {
		t.Fatalf("something listens on port %d %s", r.port, when)
	}
}

// epmdPort is that of the daemon that Erlang starts unless it is told not to.
const epmdPort = 4369

func listens(port int) bool {
	connection, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err == nil {
		connection.Close()
	}
	return err == nil
}

// explain prints what a person would look at.
func explain(t *testing.T, client kubernetes.Interface, namespace string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Log(err)
		return
	}
	for _, pod := range pods.Items {
		t.Logf("Pod %s: %s %s %s", pod.Name, pod.Status.Phase, pod.Status.Reason, pod.Status.Message)
		for _, c := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
			text, err := client.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: c.Name}).DoRaw(ctx)
			t.Logf("  %s: %+v\n%s%v", c.Name, c.State, text, err)
		}
	}
	events, err := client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Log(err)
		return
	}
	for _, e := range events.Items {
		t.Logf("event %s %s/%s: %s", e.Reason, e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Message)
	}
}

func each(prefix string, items []string) []string {
	var lines []string
	for _, item := range items {
		lines = append(lines, prefix+item)
	}
	return lines
}
