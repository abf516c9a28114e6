package cluster

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// crash fails every write from number at on, as if the process had ended. The
// write at itself is sent first if after is set: the server has it, and nobody
// learns of it.
type crash struct {
	at    int
	after bool

	mu     sync.Mutex
	writes int
}

var errCrashed = errors.New("the process has ended (test)")

func (c *crash) wrap(cfg *rest.Config) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return crashing{c, next} })
	return cfg
}

func (c *crash) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

type crashing struct {
	*crash
	next http.RoundTripper
}

func (c crashing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return c.next.RoundTrip(r)
	}
	c.mu.Lock()
	n := c.writes
	c.writes++
	c.mu.Unlock()
	switch {
	case n < c.at:
		return c.next.RoundTrip(r)
	case n == c.at && c.after:
		response, err := c.next.RoundTrip(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	}
	return nil, errCrashed
}

// births records every Job that the namespace ever had.
type births struct {
	mu   sync.Mutex
	uids map[string]map[string]string // name → uid → digest
	last string
}

func (w *world) births() *births {
	w.t.Helper()
	b := &births{uids: map[string]map[string]string{}}
	list, err := w.client.Resource(jobsResource).Namespace(w.namespace).List(w.ctx, metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	stream, err := w.client.Resource(jobsResource).Namespace(w.namespace).Watch(w.ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(stream.Stop)
	go func() {
		for event := range stream.ResultChan() {
			u, ok := event.Object.(*unstructured.Unstructured)
			if !ok {
				continue
			}
			b.mu.Lock()
			if event.Type == watch.Added {
				if b.uids[u.GetName()] == nil {
					b.uids[u.GetName()] = map[string]string{}
				}
				b.uids[u.GetName()][string(u.GetUID())] = u.GetAnnotations()[schema.AnnotationDigest]
			}
			b.last = u.GetResourceVersion()
			b.mu.Unlock()
		}
	}()
	return b
}

// each calls f, once everything up to now was seen, with the digests of every
// Job of a name, one for each that there was.
func (b *births) each(w *world, f func(name string, digests []string)) {
	w.t.Helper()
	marker := w.do(jobsResource, w.namespace).create(job(fmt.Sprintf("marker-%d", serial.Add(1)), "echo", "suspend: true"))
	w.eventually("the watch has caught up", func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.last == "" || newerVersion(marker.GetResourceVersion(), b.last) {
			return errors.New(b.last)
		}
		return nil
	})
	w.do(jobsResource, w.namespace).delete(marker.GetName())
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, uids := range b.uids {
		var digests []string
		for _, digest := range uids {
			digests = append(digests, digest)
		}
		if digests[0] != "" {
			f(name, digests)
		}
	}
}

// syncUntilCrash goes on as the loop would until the process has ended.
func (w *world) syncUntilCrash(s *Set, manifests string) {
	w.t.Helper()
	p, err := w.compute(s, w.objects(manifests))
	if err != nil {
		return
	}
	_, _ = s.Apply(w.ctx, p)
}

func TestACrashAtAnyWriteRunsEachJobOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the local cluster; left out by -short")
	}
	first := documents(configMapOf("settings", "1"), job("plain", "one"), job("a", "one", "ttlSecondsAfterFinished: 0"), job("b", "one", "ttlSecondsAfterFinished: 0", "suspend: true"))
	second := documents(configMapOf("settings", "2"), job("plain", "two"), job("a", "two", "ttlSecondsAfterFinished: 0"), job("b", "one", "ttlSecondsAfterFinished: 0", "suspend: true"))
	for k := 0; ; k++ {
		ended := false
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, sent %v", k, after), func(t *testing.T) {
				ended = crashOnce(t, k, after, first, second)
			})
		}
		if ended {
			break
		}
		if k > 60 {
			t.Fatal("the sweep does not end")
		}
	}
}

// crashOnce applies first, ends the process at write k, goes on with a fresh
// one, and does the same with second. It reports whether neither had k writes.
func crashOnce(t *testing.T, k int, after bool, first, second string) (ended bool) {
	w := newWorld(t)
	w.annotateWhileActive(&second)
	seen := w.births()
	ended = true
	for _, manifests := range []string{first, second} {
		c := &crash{at: k, after: after}
		dying := w.set(c.wrap(w.config))
		w.syncUntilCrash(dying, manifests)
		dying.Close()
		ended = ended && c.count() <= k
		w.settle(w.set(nil), manifests)
	}
	want := map[string]int{"plain": 2, "a": 2, "b": 1}
	got := map[string]int{}
	seen.each(w, func(name string, digests []string) {
		got[name] = len(digests)
		for i, d := range digests {
			for _, other := range digests[:i] {
				if d == other {
					t.Errorf("%s was created twice with the same digest", name)
				}
			}
		}
	})
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s was created %d times, want %d", name, got[name], n)
		}
	}
	for _, name := range []string{"a", "b"} {
		u := w.do(jobsResource, w.namespace).get(name)
		suspend, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
		if neverRan(u) || suspend != (name == "b") {
			t.Errorf("%s: prepared %v, suspend %v", name, neverRan(u), suspend)
		}
	}
	return ended
}

// annotateWhileActive lets a run of before be replaced although it is active:
// nothing runs its Pods here.
func (w *world) annotateWhileActive(manifests *string) {
	var texts []string
	for _, o := range w.objects(*manifests) {
		if o.Key().IsJob() {
			o.SetAnnotations(map[string]string{schema.AnnotationWhileActive: plan.WhileActiveReplace})
		}
		text, err := o.MarshalJSON()
		if err != nil {
			w.t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	*manifests = documents(texts...)
}

// TestAReleasedJobThatVanishesInACrashHasRun ends the process at each write of
// an apply, then has the Job vanish, as its TTL would, if it was let go.
func TestAReleasedJobThatVanishesInACrashHasRun(t *testing.T) {
	manifests := job("a", "one", "ttlSecondsAfterFinished: 0")
	for k := 0; k < 12; k++ {
		for _, after := range []bool{false, true} {
			w := newWorld(t)
			seen := w.births()
			dying := w.set((&crash{at: k, after: after}).wrap(w.config))
			w.syncUntilCrash(dying, manifests)
			dying.Close()
			released := false
			if names := w.do(jobsResource, w.namespace).names(""); len(names) == 1 {
				if u := w.do(jobsResource, w.namespace).get("a"); !neverRan(u) {
					released = true
					w.do(jobsResource, w.namespace).delete("a")
				}
			}
			w.settle(w.set(nil), manifests)
			seen.each(w, func(name string, digests []string) {
				if len(digests) != 1 {
					t.Errorf("write %d, sent %v: %s was created %d times (it had been released: %v)", k, after, name, len(digests), released)
				}
			})
		}
	}
}

// TestAJobThatWasPreparedOnlyHasNotRun ends the process while a Job is being
// prepared, again while a newer revision takes it away, then goes back to the
// first revision: what never started must not count as having run.
func TestAJobThatWasPreparedOnlyHasNotRun(t *testing.T) {
	one, two := job("a", "one", "ttlSecondsAfterFinished: 0"), job("a", "two", "ttlSecondsAfterFinished: 0")
	prepared := 0
	for k := 3; k < 7; k++ {
		for then := range 4 {
			for _, after := range []bool{false, true} {
				w := newWorld(t)
				w.annotateWhileActive(&two)
				first := w.set((&crash{at: k, after: after}).wrap(w.config))
				w.syncUntilCrash(first, one)
				first.Close()
				released := false
				if names := w.do(jobsResource, w.namespace).names(""); len(names) == 1 {
					released = !neverRan(w.do(jobsResource, w.namespace).get("a"))
				}
				if !released {
					prepared++
				}
				second := w.set((&crash{at: then, after: after}).wrap(w.config))
				w.syncUntilCrash(second, two)
				second.Close()
				w.settle(w.set(nil), one)
				names := w.do(jobsResource, w.namespace).names("")
				if !released && (len(names) != 1 || neverRan(w.do(jobsResource, w.namespace).get("a"))) {
					t.Errorf("writes %d and %d, sent %v: the Job never ran: %v", k, then, after, names)
				}
			}
		}
	}
	if prepared == 0 {
		t.Error("no crash left a prepared Job behind")
	}
}
