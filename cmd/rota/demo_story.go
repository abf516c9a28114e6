package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"rota.dev/rota/examples"
	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/cluster/local"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/status"
	"rota.dev/rota/render/child"
	"rota.dev/rota/schema"
)

// demo tells rota's story on a cluster of its own. Every step waits for the
// real thing and fails if it does not come.
type demo struct {
	out, notes io.Writer
	once       bool
	binary     string
	patience   time.Duration

	dir        string
	repository *demoRepository
	kubeconfig string
	client     kubernetes.Interface
	rounds     chan round
}

// round is what the loop reported of one sync.
type round struct {
	report status.Report
	status status.Status
}

func (d *demo) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "rota-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d.dir = dir

	d.say("Starting a local Kubernetes. The first time it is built from source, which takes minutes.")
	d.note("It isolates nothing: containers are processes of this user.")
	started := time.Now()
	kubernetes, err := local.Start(ctx, local.Options{Binary: d.binary, Dir: filepath.Join(dir, "cluster"), Progress: d.notes})
	if err != nil {
		return err
	}
	defer kubernetes.Stop()
	d.kubeconfig = kubernetes.Kubeconfig
	d.note("ready after %s: KUBECONFIG=%s", since(started), d.kubeconfig)

	run, err := d.prepare(kubernetes.Config())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// Whatever ends the controller early ends the story, with its reason.
		stop(run(ctx))
	}()
	err = d.tell(ctx)
	if err == nil && !d.once {
		d.invite()
		<-ctx.Done()
	}
	stop(nil)
	<-ended
	return err
}

// prepare makes the repository and returns what runs the controller on it.
func (d *demo) prepare(cfg *rest.Config) (run func(context.Context) error, err error) {
	if d.client, err = kubernetes.NewForConfig(cfg); err != nil {
		return nil, err
	}
	d.say("Making a git repository from the examples, and running rota on it.")
	if d.repository, err = newDemoRepository(d.dir, examples.FS, "hello", "expansion", "jinja"); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(d.dir, "rota.log"))
	if err != nil {
		return nil, err
	}
	rotaLog := slog.New(slog.NewTextHandler(log, nil))
	hush(rotaLog)
	d.rounds = make(chan round, 1000)
	engine := child.New(child.Options{})
	rt := controller{
		engine: engine,
		kube:   &kube{kubeconfig: d.kubeconfig}, namespace: cluster.DefaultNamespace, allowLocal: true,
		lease: cluster.LeaseOptions{LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second},
		log:   rotaLog,
		onSync: func(r status.Report, s status.Status) {
			select {
			case d.rounds <- round{r, s}:
			default: // nobody listens any more: the story is told
			}
		},
	}
	s := schema.Sync{Metadata: schema.Metadata{Name: "demo"}}
	s.Spec.Source.Git = &schema.GitSource{URL: "file://" + d.repository.bare, Branch: "main"}
	s.Spec.Interval.Duration = time.Second
	s.SetDefaults()
	return func(ctx context.Context) error {
		defer log.Close()
		defer engine.Close()
		return rt.run(ctx, s)
	}, nil
}

// tell goes through the story, step by step.
func (d *demo) tell(ctx context.Context) error {
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"the first apply", d.firstApply},
		{"a Job's log", d.jobLog},
		{"a commit", d.change},
		{"a drift", d.drift},
		{"a scheduled run", d.scheduledRun},
	}
	for _, s := range steps {
		within, cancel := context.WithTimeoutCause(ctx, d.patience, fmt.Errorf("nothing for %s", d.patience))
		err := s.do(within)
		if err != nil && within.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(within), err)
		}
		cancel()
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", s.name, err)
		}
	}
	return nil
}

func (d *demo) firstApply(ctx context.Context) error {
	r, err := d.until(ctx, func(r round) bool { return r.report.Plan.Writes() && len(r.report.Outcomes) > 0 })
	if err != nil {
		return err
	}
	d.say("The plan of the first commit, which is applied by now:")
	return d.show(r.report.Plan)
}

func (d *demo) jobLog(ctx context.Context) error {
	const name = "process-item-apple"
	pods := d.client.CoreV1().Pods("default")
	watch, err := pods.Watch(ctx, metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + name})
	if err != nil {
		return err
	}
	defer watch.Stop()
	for event := range watch.ResultChan() {
		pod, ok := event.Object.(*corev1.Pod)
		if !ok || pod.Status.Phase != corev1.PodSucceeded {
			continue
		}
		text, err := pods.GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), "apple") {
			return fmt.Errorf("the log of %s reads %q", name, text)
		}
		d.say("Job %s has run; its log:", name)
		d.quote(string(text))
		return nil
	}
	return fmt.Errorf("job %s did not complete", name)
}

func (d *demo) change(ctx context.Context) error {
	if err := d.repository.edit("expansion/process-items.yaml", "- {ITEM: cherry}", "- {ITEM: cherry}\n      - {ITEM: date}"); err != nil {
		return err
	}
	if err := d.repository.edit("hello/cronjob.yaml", `"*/1 * * * *"`, `"*/2 * * * *"`); err != nil {
		return err
	}
	started := time.Now()
	hash, err := d.repository.commit("Process dates too, and greet every other minute")
	if err != nil {
		return err
	}
	r, err := d.until(ctx, func(r round) bool { return strings.Contains(r.status.Revision, hash) && r.report.Plan.Writes() })
	if err != nil {
		return err
	}
	d.say("Committed %s: one more item, and another schedule. In force %s after the commit:", hash[:7], since(started))
	return d.show(r.report.Plan)
}

func (d *demo) drift(ctx context.Context) error {
	jobs := d.client.BatchV1().CronJobs("default")
	watch, err := jobs.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=hello"})
	if err != nil {
		return err
	}
	defer watch.Stop()
	d.say("Somebody patches the schedule by hand: kubectl patch cronjob hello -p '{\"spec\":{\"schedule\":\"0 0 1 1 *\"}}'")
	started := time.Now()
	patched, err := jobs.Patch(ctx, "hello", types.MergePatchType, []byte(`{"spec":{"schedule":"0 0 1 1 *"}}`), metav1.PatchOptions{FieldManager: "kubectl-patch"})
	if err != nil {
		return err
	}
	if patched.Spec.Schedule != "0 0 1 1 *" {
		return fmt.Errorf("the patch did not take: the schedule is %q", patched.Spec.Schedule)
	}
	seen := false
	for event := range watch.ResultChan() {
		cron, ok := event.Object.(*batchv1.CronJob)
		if !ok {
			continue
		}
		seen = seen || cron.ResourceVersion == patched.ResourceVersion
		if seen && cron.Spec.Schedule == "*/2 * * * *" {
			d.note("corrected %s after the patch was sent", since(started))
			break
		}
	}
	r, err := d.until(ctx, func(r round) bool { return drifted(r.report.Plan) })
	if err != nil {
		return err
	}
	return d.show(r.report.Plan)
}

func drifted(p plan.Plan) bool {
	for _, c := range p.Changes {
		if c.Reason == plan.ReasonDrifted || c.Reason == plan.ReasonDriftedFirst {
			return true
		}
	}
	return false
}

func (d *demo) scheduledRun(ctx context.Context) error {
	d.note("waiting for the schedule: at most two minutes")
	watch, err := d.client.BatchV1().Jobs("default").Watch(ctx, metav1.ListOptions{LabelSelector: schema.LabelSchedule + "=hello"})
	if err != nil {
		return err
	}
	defer watch.Stop()
	for event := range watch.ResultChan() {
		job, ok := event.Object.(*batchv1.Job)
		if !ok || job.Status.Succeeded == 0 {
			continue
		}
		at := job.Annotations[batchv1.CronJobScheduledTimestampAnnotation]
		d.say("rota's scheduler ran %s for the slot %s; it succeeded.", job.Name, at)
		return nil
	}
	return errors.New("no run of the schedule succeeded")
}

// until waits for a round that is wanted.
func (d *demo) until(ctx context.Context, wanted func(round) bool) (round, error) {
	last := ""
	for {
		select {
		case r := <-d.rounds:
			if wanted(r) {
				return r, nil
			}
			last = r.status.Condition(status.Ready).Message
		case <-ctx.Done():
			return round{}, fmt.Errorf("the last that rota said is %q", last)
		}
	}
}

func (d *demo) show(p plan.Plan) error {
	var text strings.Builder
	if err := p.WriteText(&text); err != nil {
		return err
	}
	d.quote(text.String())
	return nil
}

func (d *demo) invite() {
	d.say("Everything goes on running until you press Ctrl-C. Now you:")
	d.quote(fmt.Sprintf(`export KUBECONFIG=%s
kubectl get cronjobs,jobs,pods
git clone %s rota-demo && cd rota-demo      # edit, commit, push to main, and watch
go run ./cmd/rota status --kubeconfig %s
tail -f %s`, d.kubeconfig, d.repository.bare, d.kubeconfig, filepath.Join(d.dir, "rota.log")))
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "\n"+format+"\n", args...) }

func (d *demo) note(format string, args ...any) { fmt.Fprintf(d.out, "  "+format+"\n", args...) }

func (d *demo) quote(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(d.out, "  │ %s\n", strings.TrimRight(line, "\n"))
	}
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }
