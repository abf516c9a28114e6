package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/status"
	"rota.dev/rota/schema"
)

var honestSerial atomic.Int64

// honestWorld is a repository, a corner of the cluster, and a Loop whose
// rounds the test calls one by one.
type honestWorld struct {
	ctx                       context.Context
	config                    *rest.Config
	client                    dynamic.Interface
	namespace, second, system string

	repository map[string]object
	commits    int
	options    honestOptions
	wire       *wire
	set        *cluster.Set
	loop       *Loop
	judge      *judge
	// settled is set while nothing has happened since a plan was empty.
	settled bool
}

type honestRecords struct{ *cluster.Set }

func (r honestRecords) PublishStatus(ctx context.Context, s status.Status) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return r.Set.PublishStatus(ctx, data)
}

func newHonestWorld(ctx context.Context, config *rest.Config, seen map[string]int) (*honestWorld, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	n := honestSerial.Add(1)
	w := &honestWorld{
		ctx: ctx, config: config, client: client, repository: map[string]object{},
		namespace: fmt.Sprintf("honest-%d", n), second: fmt.Sprintf("honest-%d-b", n), system: fmt.Sprintf("honest-%d-system", n),
	}
	w.judge = newJudge(w, seen)
	namespace := &unstructured.Unstructured{Object: object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": w.namespace}}}
	_, err = client.Resource(resources["namespaces"].resource).Create(ctx, namespace, metav1.CreateOptions{})
	return w, err
}

// restart begins a process that remembers nothing.
func (w *honestWorld) restart() error {
	if w.set != nil {
		w.set.Close()
	}
	w.wire = &wire{}
	config := rest.CopyConfig(w.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		w.wire.next = next
		return w.wire
	})
	c, err := cluster.Connect(config, cluster.Options{Namespace: w.system, Version: "test"})
	if err != nil {
		return err
	}
	w.set = c.Set(cluster.SetOptions{Sync: "batch", Namespace: w.namespace})
	w.loop = NewLoop(nil, nil, w.set, honestRecords{w.set}, Options{Plan: plan.Options{
		Sync: "batch", SetID: w.set.ID(), EmbeddedScheduler: w.options.Embedded, ReportDrift: w.options.Report,
		ForceConflicts: w.options.Force, Prune: w.options.Prune, MaxPrunePercent: w.options.MaxPrune,
	}}, slog.New(slog.DiscardHandler))
	w.accept()
	return nil
}

// accept gives the Loop the repository as it is now.
func (w *honestWorld) accept() {
	var objects []schema.Object
	for i, target := range slices.Sorted(maps.Keys(w.repository)) {
		o := schema.Object{Unstructured: w.desired(target), Origin: schema.Origin{File: "batch.yaml", Line: 1 + i}}
		if strings.HasPrefix(target, "jobs/each-") {
			o.Origin.Template, o.Origin.Item = "job-tmpl.yaml", i
			o.Origin.Parameters = []schema.Parameter{{Name: "ITEM", Value: target}}
		}
		objects = append(objects, o)
	}
	w.loop.accept(revision{name: fmt.Sprintf("main@sha1:%07d", w.commits), objects: objects})
}

// identity returns what a target is in the cluster.
func (w *honestWorld) identity(target string) (at dynamic.ResourceInterface, apiVersion, kind, namespace, name string) {
	resource, name, _ := strings.Cut(target, "/")
	known := resources[resource]
	apiVersion = known.resource.GroupVersion().String()
	switch {
	case !known.namespaced:
		return w.client.Resource(known.resource), apiVersion, known.kind, "", w.second
	case strings.HasPrefix(name, "in-"):
		namespace = w.second
	default:
		namespace = w.namespace
	}
	return w.client.Resource(known.resource).Namespace(namespace), apiVersion, known.kind, namespace, name
}

// complete returns content with the identity of target.
func (w *honestWorld) complete(target string, content object) *unstructured.Unstructured {
	_, apiVersion, kind, namespace, name := w.identity(target)
	u := (&unstructured.Unstructured{Object: content}).DeepCopy()
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetName(name)
	if namespace != "" {
		u.SetNamespace(namespace)
	}
	return u
}

func (w *honestWorld) desired(target string) *unstructured.Unstructured {
	u := w.complete(target, w.repository[target])
	if u.GetNamespace() == w.namespace {
		u.SetNamespace("") // the Sync's own
	}
	return u
}

func parsed(text string) (object, error) {
	u := &unstructured.Unstructured{}
	// The decoder of unstructured objects reads numbers as the API machinery does.
	if err := u.UnmarshalJSON([]byte(`{"kind":"x","apiVersion":"x",` + strings.TrimPrefix(text, "{"))); err != nil {
		return nil, fmt.Errorf("reading %s: %w", text, err)
	}
	delete(u.Object, "kind")
	delete(u.Object, "apiVersion")
	return u.Object, nil
}

// take makes one step happen. What the server refuses a person to do does not
// happen; the error is for what should not go wrong.
func (w *honestWorld) take(s honestStep) error {
	w.settled = w.settled && s.do == "anew"
	switch s.do {
	case "commit":
		content, err := parsed(s.arg)
		if err != nil {
			return err
		}
		w.repository[s.target] = content
		w.commits++
	case "remove":
		delete(w.repository, s.target)
		w.commits++
	case "options":
		if err := json.Unmarshal([]byte(s.arg), &w.options); err != nil {
			return err
		}
		return w.restart()
	case "restart":
		return w.restart()
	case "lose":
		w.wire.mu.Lock()
		defer w.wire.mu.Unlock()
		w.wire.lose = true
	case "sync":
		w.accept()
		return w.sync()
	case "anew":
		return w.anew()
	default:
		var refused apierrors.APIStatus
		if err := w.byHand(s); err != nil && !errors.As(err, &refused) {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// byHand does what somebody else than rota does.
func (w *honestWorld) byHand(s honestStep) error {
	at, _, _, _, name := w.identity(s.target)
	somebody := metav1.PatchOptions{FieldManager: "kubectl-edit"}
	switch s.do {
	case "patch":
		_, err := at.Patch(w.ctx, name, types.MergePatchType, []byte(s.arg), somebody)
		return err
	case "status":
		if job, err := at.Get(w.ctx, name, metav1.GetOptions{}); err != nil || job.GetKind() == "Job" && !canRun(job) {
			return err // no controller starts what is suspended
		}
		_, err := at.Patch(w.ctx, name, types.MergePatchType, []byte(s.arg), somebody, "status")
		return err
	case "take", "create":
		content, err := parsed(s.arg)
		if err != nil {
			return err
		}
		u := w.complete(s.target, content)
		if s.do == "create" {
			_, err = at.Create(w.ctx, u, metav1.CreateOptions{FieldManager: "kubectl-create"})
			return err
		}
		if _, err := at.Get(w.ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		_, err = at.Apply(w.ctx, name, u, metav1.ApplyOptions{FieldManager: "argo", Force: true})
		return err
	case "delete", "hold":
		if s.do == "hold" {
			if _, err := at.Patch(w.ctx, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":["example.com/hold"]}}`), somebody); err != nil {
				return err
			}
		}
		background := metav1.DeletePropagationBackground
		return at.Delete(w.ctx, name, metav1.DeleteOptions{PropagationPolicy: &background})
	case "free":
		_, err := at.Patch(w.ctx, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), somebody)
		return err
	case "own":
		return w.own(at, name)
	}
	return fmt.Errorf("unknown step %s", s.do)
}

// own makes a ConfigMap that stays the controller of an object.
func (w *honestWorld) own(at dynamic.ResourceInterface, name string) error {
	owners := w.client.Resource(resources["configmaps"].resource).Namespace(w.namespace)
	owner, err := owners.Get(w.ctx, "owner", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		u := w.complete("configmaps/owner", object{})
		owner, err = owners.Create(w.ctx, u, metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	patch := compact(object{"metadata": object{"ownerReferences": []object{
		{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.GetUID(), "controller": true}}}})
	_, err = at.Patch(w.ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// mostRounds is how many syncs of one revision may have something to write:
// drift first, then a change that waited for its correction, then a Job that
// an interruption left.
const mostRounds = 5

// sync has the Loop sync until it has nothing to write, and each sync judged.
func (w *honestWorld) sync() error {
	var last *round
	for n := range mostRounds + 1 {
		before, announced, err := w.announce()
		if err != nil {
			return err
		}
		if n > 0 {
			if !announced.Writes() {
				w.settled = true
				return nil
			}
			if n == mostRounds {
				return &dishonest{"the plan never becomes empty", lines(announced)}
			}
		}
		w.wire.take()
		w.loop.sync(w.ctx)
		if p := w.loop.report.Cluster; len(p) > 0 {
			return fmt.Errorf("syncing: %v", p)
		}
		after, err := w.look(w.ctx)
		if err != nil {
			return err
		}
		booked, err := w.booked(w.ctx)
		if err != nil {
			return err
		}
		this := &round{plan: announced, carried: w.loop.report.Plan, outcomes: w.loop.report.Outcomes, before: before, after: after, writes: w.wire.take(), booked: booked}
		if err := w.judge.judge(this, last); err != nil {
			return err
		}
		last = this
		if last.failed() {
			return nil // it would be tried again for ever
		}
	}
	return nil
}

// announce plans on what is there, once the watches have shown it.
func (w *honestWorld) announce() (snapshot, plan.Plan, error) {
	deadline := time.Now().Add(time.Minute)
	for {
		before, err := w.look(w.ctx)
		if err != nil {
			return nil, plan.Plan{}, err
		}
		p, err := w.loop.plan(w.ctx)
		if err != nil {
			return nil, plan.Plan{}, fmt.Errorf("planning: %w", err)
		}
		late := w.late(p, before)
		if late == "" {
			return before, p, nil
		}
		if time.Now().After(deadline) {
			return nil, plan.Plan{}, &dishonest{"the plan is not made on what is there: " + late, lines(p)}
		}
		<-time.After(2 * time.Millisecond)
	}
}

// late names an object that the plan saw otherwise than it is.
func (w *honestWorld) late(p plan.Plan, now snapshot) string {
	planned := map[schema.Key]bool{}
	for _, c := range p.Changes {
		planned[c.Key] = true
		live := now[c.Key]
		if (live == nil) != (c.Before == nil) || live != nil && live.GetResourceVersion() != c.Before.GetResourceVersion() {
			return c.Key.String()
		}
	}
	for key, u := range now {
		if u.GetLabels()[schema.ApplySetPartOf] == w.set.ID() && len(u.GetOwnerReferences()) == 0 && !planned[key] {
			return key.String() + " (a member that the plan does not have)"
		}
	}
	return ""
}

// anew sees that a process that remembers nothing, as `rota plan` is one, has
// nothing to write either.
func (w *honestWorld) anew() error {
	if !w.settled || w.options.Report {
		return nil // what was deleted by hand is new to it
	}
	kept := *w
	w.set = nil
	defer func() {
		w.close()
		w.set, w.loop, w.wire = kept.set, kept.loop, kept.wire
	}()
	if err := w.restart(); err != nil {
		return err
	}
	_, p, err := w.announce()
	if err == nil && p.Writes() {
		return &dishonest{"a process that begins anew does not find it settled", lines(p)}
	}
	return err
}

// close ends the watches.
func (w *honestWorld) close() {
	if w.set != nil {
		w.set.Close()
	}
}

// tell makes a story happen in a world of its own, and counts in seen what its
// plans announced.
func tell(t testing.TB, config *rest.Config, story []honestStep, seen map[string]int) error {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	w, err := newHonestWorld(ctx, config, seen)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.take(honestStep{do: "options", arg: compact(honestOptions{Prune: true, MaxPrune: 100, Embedded: true})}); err != nil {
		return err
	}
	for _, s := range story {
		if err := w.take(s); err != nil {
			return err
		}
	}
	return nil
}
