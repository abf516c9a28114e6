package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"rota.dev/rota/schema"
)

// syncTimeout bounds how long Observe waits for one kind's first answer.
const syncTimeout = 30 * time.Second

// scope is a kind in a namespace; the namespace is empty for kinds without.
type scope struct {
	kind      k8sschema.GroupKind
	namespace string
}

func scopeOf(k schema.Key) scope { return scope{kind: k.GroupKind(), namespace: k.Namespace} }

// mirror is a copy of some objects of one scope, kept up to date by a watch and
// by the answers to our own writes, whichever comes first: it never shows the
// world before a write that put or drop was told of. Its objects are shared
// and must not be changed.
type mirror struct {
	scope    scope
	resource k8sschema.GroupVersionResource
	from     source
	// tell is called, without locks, for each change that is not our own last
	// write.
	tell func(key schema.Key, before, after *unstructured.Unstructured)
	// lost is called, without locks, when the server refuses to go on with what
	// the mirror has; wait says why.
	lost func()

	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	once   sync.Once
	late   *time.Timer
	done   chan struct{}

	mu      sync.Mutex
	objects map[schema.Key]*unstructured.Unstructured
	// dropped are uids that we saw deleted before the watch did.
	dropped map[types.UID]bool
	// vanished has the last state of what was deleted since take.
	vanished map[schema.Key]*unstructured.Unstructured
	// writing are keys with a request of ours under way, and whether an event
	// came meanwhile; what it means is known when the answer is there.
	writing map[schema.Key]*touched
	// seen is the resourceVersion up to which everything is known; empty before
	// anything is.
	seen string
	// synced is set once the server has answered the reflector.
	synced bool
	err    error
	pulse  chan struct{}
}

type touched struct {
	event  bool
	before *unstructured.Unstructured
}

// source lists and watches what a mirror copies.
type source struct {
	list  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// newMirror returns the mirror of what from lists and watches in at. It asks
// for nothing before start.
func newMirror(at scope, resource k8sschema.GroupVersionResource, from source, log *slog.Logger) *mirror {
	// What the reflector has to say of errors is heard here.
	ctx, cancel := context.WithCancel(logr.NewContext(context.Background(), logr.Discard()))
	return &mirror{
		scope: at, resource: resource, from: from, log: log, ctx: ctx, cancel: cancel, done: make(chan struct{}),
		tell: func(schema.Key, *unstructured.Unstructured, *unstructured.Unstructured) {}, lost: func() {},
		objects: map[schema.Key]*unstructured.Unstructured{}, dropped: map[types.UID]bool{},
		vanished: map[schema.Key]*unstructured.Unstructured{}, writing: map[schema.Key]*touched{},
		pulse: make(chan struct{}),
	}
}

// emptyAt says, before start, that a list of resourceVersion showed nothing to
// copy, and that the mirror is relied on from there. Its first answer is then
// one more list of a world that is known: whatever is neither what that list
// showed nor our own writes since is told, as after a watch that was cut.
// It starts within patience, if nobody starts it before.
func (m *mirror) emptyAt(resourceVersion string, patience time.Duration) {
	m.seen = resourceVersion
	m.late = time.AfterFunc(patience, m.start)
}

// start begins to list and to watch, unless it was started or stopped before.
func (m *mirror) start() {
	m.once.Do(func() {
		silence := logr.Discard()
		reflector := cache.NewReflectorWithOptions(m.listWatch(), nil, m, cache.ReflectorOptions{
			Logger: &silence, Name: "rota", TypeDescription: kindName(m.scope.kind),
			Backoff: &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: 30 * time.Second},
		})
		go func() {
			defer close(m.done)
			reflector.RunWithContext(m.ctx)
		}()
	})
}

func (m *mirror) listWatch() *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			if o.ResourceVersion == "0" {
				// Any old state of the watch cache would do for client-go; a
				// decision on it could repeat what was done since.
				o.ResourceVersion = ""
			}
			list, err := m.from.list(ctx, o)
			m.heard(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := m.from.watch(ctx, o)
			m.heard(err)
			return w, err
		},
	}
}

// stop ends what start began and waits for it; a later start does nothing.
func (m *mirror) stop() {
	m.cancel()
	m.once.Do(func() { close(m.done) })
	if m.late != nil {
		m.late.Stop()
	}
	<-m.done
}

// heard notes what the server said to the last list or watch.
func (m *mirror) heard(err error) {
	m.mu.Lock()
	if err != nil && m.err == nil {
		m.log.Warn("watching failed and is tried again", "kind", kindName(m.scope.kind), "namespace", m.scope.namespace, "error", err)
	}
	lost := m.seen != "" && lasting(err) && !lasting(m.err)
	m.err = err
	if err != nil {
		m.beat()
	}
	m.mu.Unlock()
	if lost {
		m.lost()
	}
}

// beat wakes those who wait for a change; the lock is held.
func (m *mirror) beat() {
	close(m.pulse)
	m.pulse = make(chan struct{})
}

// lasting reports whether waiting will not mend err.
func lasting(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err)
}

// wait returns when the mirror has the state of the server, or why it cannot
// have it any more. A watch that is cut and resumed is no reason to wait.
func (m *mirror) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	for {
		m.mu.Lock()
		synced, err, pulse := m.synced, m.err, m.pulse
		m.mu.Unlock()
		if err != nil && lasting(err) {
			return err
		}
		if synced {
			return nil
		}
		select {
		case <-pulse:
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return fmt.Errorf("reading %s: %w", kindName(m.scope.kind), err)
		}
	}
}

func (m *mirror) key(u metav1.Object) schema.Key {
	return schema.Key{Group: m.scope.kind.Group, Kind: m.scope.kind.Kind, Namespace: u.GetNamespace(), Name: u.GetName()}
}

// Add, Update, Delete, Replace, Resync and Bookmark are for the reflector.

func (m *mirror) Add(obj any) error { return m.Update(obj) }

func (m *mirror) Update(obj any) error {
	u, err := asUnstructured(obj)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.seen = u.GetResourceVersion()
	key := m.key(u)
	if m.dropped[u.GetUID()] {
		m.mu.Unlock()
		return nil
	}
	before := m.objects[key]
	if before != nil && !newer(u, before) {
		m.mu.Unlock()
		return nil
	}
	m.objects[key] = u
	m.changed(key, before, u)
	return nil
}

func (m *mirror) Delete(obj any) error {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	u, err := asUnstructured(obj)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.seen = u.GetResourceVersion()
	key := m.key(u)
	own := m.dropped[u.GetUID()]
	delete(m.dropped, u.GetUID())
	before := m.objects[key]
	if before == nil || before.GetUID() != u.GetUID() {
		if own {
			m.vanished[key] = u
		}
		m.mu.Unlock()
		return nil
	}
	if newer(before, u) {
		// The label was taken off and put on again before this event came.
		m.mu.Unlock()
		return nil
	}
	delete(m.objects, key)
	m.vanished[key] = u
	m.changed(key, before, nil)
	return nil
}

func (m *mirror) Replace(list []any, resourceVersion string) error {
	listed := make(map[schema.Key]*unstructured.Unstructured, len(list))
	for _, obj := range list {
		u, err := asUnstructured(obj)
		if err != nil {
			return err
		}
		listed[m.key(u)] = u
	}
	m.mu.Lock()
	type change struct {
		key           schema.Key
		before, after *unstructured.Unstructured
	}
	var changes []change
	first := m.seen == ""
	uids := map[types.UID]bool{}
	for key, u := range listed {
		uids[u.GetUID()] = true
		before := m.objects[key]
		if m.dropped[u.GetUID()] || before != nil && !newer(u, before) {
			continue
		}
		m.objects[key] = u
		if first && before == nil && m.writing[key] == nil {
			// Nothing was known of it: who needs to know is waiting.
			continue
		}
		changes = append(changes, change{key, before, u})
	}
	for key, before := range m.objects {
		if listed[key] != nil || newerVersion(before.GetResourceVersion(), resourceVersion) {
			continue
		}
		delete(m.objects, key)
		m.vanished[key] = before
		changes = append(changes, change{key, before, nil})
	}
	for uid := range m.dropped {
		if !uids[uid] {
			delete(m.dropped, uid)
		}
	}
	m.seen, m.synced = resourceVersion, true
	m.beat()
	m.mu.Unlock()
	for _, c := range changes {
		m.mu.Lock()
		m.changed(c.key, c.before, c.after)
	}
	return nil
}

func (m *mirror) Resync() error { return nil }

func (m *mirror) Bookmark(resourceVersion string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = resourceVersion
	return nil
}

// changed wakes waiters and tells of the change, unless a write of ours is
// under way that may be its cause. The lock is held and given back.
func (m *mirror) changed(key schema.Key, before, after *unstructured.Unstructured) {
	m.beat()
	if t := m.writing[key]; t != nil {
		if !t.event {
			t.event, t.before = true, before
		}
		m.mu.Unlock()
		return
	}
	m.mu.Unlock()
	m.tell(key, before, after)
}

// begin says that a write of key is sent now; each begin needs one end.
func (m *mirror) begin(key schema.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writing[key] = &touched{}
}

// end says that the write of key was answered: with the object as the server
// has it now, or with nil if it failed or was not kept.
func (m *mirror) end(key schema.Key, answer *unstructured.Unstructured) {
	m.mu.Lock()
	t := m.writing[key]
	delete(m.writing, key)
	now := m.objects[key]
	gone := false
	switch {
	case answer == nil || m.dropped[answer.GetUID()]:
	case now == nil && !newerVersion(answer.GetResourceVersion(), m.seen):
		// What is known is past this write already: somebody deleted it since.
		gone = true
		if last := m.vanished[key]; last == nil || newer(answer, last) {
			m.vanished[key] = answer
		}
	case now == nil || newer(answer, now):
		m.objects[key] = answer
		m.beat()
		now = answer
	}
	own := answer != nil && now != nil && now.GetResourceVersion() == answer.GetResourceVersion()
	m.mu.Unlock()
	switch {
	case t != nil && t.event && !own:
		m.tell(key, t.before, now)
	case gone:
		// A list that was answered meanwhile did not show it at all.
		m.tell(key, answer, nil)
	}
}

// endDelete says that the deletion of the object with uid was accepted.
func (m *mirror) endDelete(key schema.Key, uid types.UID) {
	m.mu.Lock()
	t := m.writing[key]
	delete(m.writing, key)
	now := m.objects[key]
	own := now == nil || now.GetUID() == uid && now.GetDeletionTimestamp() != nil
	m.mu.Unlock()
	if t != nil && t.event && !own {
		m.tell(key, t.before, now)
	}
}

// drop says that the object with uid is known to be deleted.
func (m *mirror) drop(key schema.Key, uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.objects[key]; now != nil && now.GetUID() == uid {
		delete(m.objects, key)
		m.vanished[key] = now
		m.dropped[uid] = true
		m.beat()
	}
}

// get returns the object of key, nil if there is none, and a channel that is
// closed at the next change of any object.
func (m *mirror) get(key schema.Key) (*unstructured.Unstructured, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.objects[key], m.pulse
}

// gone reports whether the object that was seen as before is known not to be
// there any more. That none is shown says so only if more is known than what
// before was.
func (m *mirror) gone(key schema.Key, before *unstructured.Unstructured) (bool, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.objects[key]; now != nil {
		return now.GetUID() != before.GetUID(), m.pulse
	}
	return !newerVersion(before.GetResourceVersion(), m.seen), m.pulse
}

// empty reports whether there is no object.
func (m *mirror) empty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.objects) == 0
}

// each calls f with every object.
func (m *mirror) each(f func(schema.Key, *unstructured.Unstructured)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, u := range m.objects {
		f(key, u)
	}
}

// take returns the last state of what was deleted since the last take.
func (m *mirror) take() map[schema.Key]*unstructured.Unstructured {
	m.mu.Lock()
	defer m.mu.Unlock()
	gone := m.vanished
	m.vanished = map[schema.Key]*unstructured.Unstructured{}
	return gone
}

func asUnstructured(obj any) (*unstructured.Unstructured, error) {
	switch o := obj.(type) {
	case *unstructured.Unstructured:
		return o, nil
	case *metav1.PartialObjectMetadata:
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			return nil, fmt.Errorf("reading metadata of %s: %w", o.GetName(), err)
		}
		return &unstructured.Unstructured{Object: fields}, nil
	default:
		return nil, fmt.Errorf("reading a watch event: unexpected %T", obj)
	}
}
