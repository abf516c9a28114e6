package cluster_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"rota.dev/rota/reconcile/history"
	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

var (
	proofFor  = flag.Duration("proof.for", 30*time.Second, "how long schedulers are killed, frozen and cut off")
	proofSeed = flag.Uint64("proof.seed", 0, "seed of the proof; zero takes the time")
	proofLogs = flag.String("proof.logs", "", "folder for the logs of the schedulers of the proof")
)

// proof is a namespace in which several schedulers work at once, and everything
// goes wrong that can.
type proof struct {
	*runWorld
	random    *rand.Rand
	clock     *os.File
	settings  processSettings
	processes []*process
	names     []string
	serial    int
	counts    map[string]int
	journal   *journal
}

func newProof(t *testing.T) *proof {
	seed := *proofSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-proof.seed=%d", seed)
	p := &proof{runWorld: newRunWorld(t), random: rand.New(rand.NewPCG(seed, 2)), counts: map[string]int{}}
	var err error
	if p.clock, err = os.Create(filepath.Join(t.TempDir(), "clock")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.clock.Close() })
	p.setClock()
	p.settings = processSettings{Kubeconfig: p.kubeconfig, Namespace: p.namespace, Clock: p.clock.Name(), Seed: seed, Faults: 0.12}
	p.journal = p.follow()
	return p
}

func (p *proof) setClock() {
	if err := writeOffset(p.clock, time.Duration(p.offset.Load())); err != nil {
		p.t.Fatal(err)
	}
}

func (p *proof) chance(percent int) bool { return p.random.IntN(100) < percent }

// populate makes a CronJob of each policy.
func (p *proof) populate() {
	for name, change := range map[string]func(*batchv1.CronJob){
		"allow":   func(cj *batchv1.CronJob) { cj.Spec.ConcurrencyPolicy = batchv1.AllowConcurrent },
		"forbid":  func(cj *batchv1.CronJob) { cj.Spec.ConcurrencyPolicy = batchv1.ForbidConcurrent },
		"replace": func(cj *batchv1.CronJob) { cj.Spec.ConcurrencyPolicy = batchv1.ReplaceConcurrent },
		"queue":   func(cj *batchv1.CronJob) { cj.Annotations[schema.AnnotationPolicy] = `{"overlap":"Queue"}` },
		"all": func(cj *batchv1.CronJob) {
			cj.Annotations[schema.AnnotationPolicy] = `{"catchUp":{"policy":"All","limit":3}}`
		},
		"deadline": func(cj *batchv1.CronJob) {
			cj.Spec.ConcurrencyPolicy = batchv1.ReplaceConcurrent
			cj.Spec.StartingDeadlineSeconds = new(int64(25))
		},
	} {
		p.names = append(p.names, name)
		p.applyChanged(name, "r0", change)
	}
}

// applyChanged applies a manifest with a change, as rota does.
func (p *proof) applyChanged(name, revision string, change func(*batchv1.CronJob)) {
	p.t.Helper()
	var cj batchv1.CronJob
	if err := json.Unmarshal(fmt.Appendf(nil, manifest, name, p.namespace, revision, batchv1.AllowConcurrent, 2), &cj); err != nil {
		p.t.Fatal(err)
	}
	change(&cj)
	cj.APIVersion, cj.Kind = "batch/v1", "CronJob"
	body, err := json.Marshal(map[string]any{"apiVersion": cj.APIVersion, "kind": cj.Kind, "spec": cj.Spec, "metadata": map[string]any{
		"name": name, "namespace": p.namespace, "labels": cj.Labels, "annotations": cj.Annotations,
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	force := true
	if _, err := p.client.BatchV1().CronJobs(p.namespace).Patch(p.t.Context(), name, types.ApplyPatchType, body,
		metav1.PatchOptions{FieldManager: schema.FieldManager, Force: &force}); err != nil {
		p.t.Fatal(err)
	}
}

// commit gives a CronJob a new revision, as a new commit in git does.
func (p *proof) commit(name string) {
	p.serial++
	p.annotate(name, schema.AnnotationRevision, fmt.Sprintf("r%d", p.serial))
	p.counts["commits in git"]++
}

func (p *proof) annotate(name, key string, value any) {
	p.t.Helper()
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.client.BatchV1().CronJobs(p.namespace).Patch(p.t.Context(), name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// begin starts the scheduler i.
func (p *proof) begin(i int) {
	s := p.settings
	p.settings.Seed++
	s.Identity, s.Lease = fmt.Sprintf("p%d", i), i > 0 // the first always believes to lead
	log := io.Discard
	if *proofLogs != "" {
		file, err := os.OpenFile(filepath.Join(*proofLogs, s.Identity+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(func() { _ = file.Close() })
		log = file
	}
	started := startProcess(p.t, s, log)
	if i == len(p.processes) {
		p.processes = append(p.processes, started)
		return
	}
	p.processes[i] = started
}

// disturb lets something happen to the schedulers and to what they work on.
func (p *proof) disturb() {
	for i, process := range p.processes {
		switch {
		case process.stopped && p.chance(50):
			process.freeze(p.t, false)
		case process.stopped:
		case p.chance(12):
			p.counts["kills"]++
			process.kill()
			p.begin(i)
		case p.chance(15):
			p.counts["freezes"]++
			process.freeze(p.t, true)
		}
	}
	name := p.names[p.random.IntN(len(p.names))]
	switch p.random.IntN(6) {
	case 0, 1:
		p.commit(name)
	case 2:
		p.counts["foreign writes"]++
		p.annotate(name, "example.com/note", fmt.Sprint(p.random.Uint32()))
	case 3:
		p.deleteRun(name)
	}
}

// deleteRun deletes a run that has a Pod, as a person would.
func (p *proof) deleteRun(name string) {
	pods, err := p.client.CoreV1().Pods(p.namespace).List(p.t.Context(), metav1.ListOptions{LabelSelector: schema.LabelSchedule + "=" + name})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, pod := range pods.Items {
		owner := metav1.GetControllerOf(&pod)
		if pod.Spec.NodeName == "" || pod.DeletionTimestamp != nil || owner == nil {
			continue
		}
		p.counts["runs deleted by hand"]++
		p.journal.hand(owner.UID)
		background := metav1.DeletePropagationBackground
		_ = p.client.BatchV1().Jobs(p.namespace).Delete(p.t.Context(), owner.Name, metav1.DeleteOptions{
			PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &owner.UID},
		})
		return
	}
}

// playNode is the node: Pods begin, work for a while, and die slowly.
func (p *proof) playNode(ctx context.Context) {
	random := rand.New(rand.NewPCG(p.settings.Seed, 4))
	ends := map[types.UID]time.Time{}
	for ctx.Err() == nil {
		pods, err := p.client.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return
		}
		for i := range pods.Items {
			p.treat(ctx, &pods.Items[i], ends, random)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *proof) treat(ctx context.Context, pod *corev1.Pod, ends map[types.UID]time.Time, random *rand.Rand) {
	pods := p.client.CoreV1().Pods(p.namespace)
	deleting := pod.UID + "-deleting"
	switch {
	case pod.DeletionTimestamp != nil:
		if ends[deleting].IsZero() {
			ends[deleting] = time.Now().Add(time.Duration(random.IntN(900)) * time.Millisecond)
		}
		if time.Now().After(ends[deleting]) {
			_ = pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
		}
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
	case pod.Spec.NodeName == "":
		_ = pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "played"}}, metav1.CreateOptions{})
		ends[pod.UID] = time.Now().Add(time.Duration(random.IntN(2500)) * time.Millisecond)
	case time.Now().After(ends[pod.UID]):
		phase := []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed}[random.IntN(2)]
		body, _ := json.Marshal(map[string]any{"status": map[string]any{"phase": phase}})
		_, _ = pods.Patch(ctx, pod.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
	}
}

// TestProofOnTheAPIServer lets three schedulers, of which one believes to lead
// always and two take turns by a lease, work on the same CronJobs while they are
// killed, frozen and thawed, their requests and answers are lost, hang, or arrive
// too late, and others write to the CronJobs. Every slot is judged.
func TestProofOnTheAPIServer(t *testing.T) {
	p := newProof(t)
	from := p.now()
	p.populate()
	node, stopNode := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.playNode(node) }()
	defer func() { stopNode(); <-done }()
	for i := range 3 {
		p.begin(i)
	}
	for _, name := range p.names {
		p.observed(name)
	}
	slots := 0
	for until := time.Now().Add(*proofFor); time.Now().Before(until); slots++ {
		if p.chance(30) {
			p.commit(p.names[p.random.IntN(len(p.names))]) // in the moment of the slot
		}
		p.nextSlot()
		p.setClock()
		time.Sleep(time.Duration(p.random.IntN(500)) * time.Millisecond) // lets the schedulers get on to some point
		p.disturb()
		time.Sleep(time.Duration(100+p.random.IntN(900)) * time.Millisecond)
	}
	for _, process := range p.processes {
		process.kill()
	}
	// What was sent late may still arrive, and then a healthy scheduler goes on.
	time.Sleep(time.Second)
	p.start()
	p.calmDown()
	chaos := history.Span{From: from, Until: p.now(), What: "everything goes wrong"}
	for range 3 {
		p.nextSlot()
		p.calmDown()
	}
	end := p.now()
	verdicts := p.journal.judge(t, from, []history.Span{chaos}, end)
	t.Logf("%d slots each of %d schedules: %v; %v", slots, len(p.names), verdicts, p.counts)
	for v, n := range verdicts {
		// A write that hung when the clock went past a deadline is late; nothing
		// can take it back.
		if v != history.OK && v != history.Late {
			t.Errorf("%d slots are %s", n, v)
		}
	}
	if verdicts[history.OK] < slots {
		t.Errorf("only %d slots are judged", verdicts[history.OK])
	}
}

// calmDown waits until every slot is resolved, and nothing is left to do.
func (p *proof) calmDown() {
	last := p.now().Truncate(time.Minute)
	p.until("every run has ended, and the journal has it all", func() bool {
		for _, job := range p.jobs() {
			if _, prepared := job.Annotations[schema.AnnotationPrepared]; prepared || !p.journal.has(&job) {
				return false
			}
		}
		for _, name := range p.names {
			cj := p.cronJob(name)
			c, _ := schedule.ParseCursor(cj.Annotations[schema.AnnotationCursor])
			if c.Hold != nil || c.Slot.Before(last) || len(cj.Status.Active) > 0 || !p.journal.has(cj) {
				return false
			}
		}
		return true
	})
}
