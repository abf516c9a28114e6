package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// Observe returns the live state that a plan for desired, which Resolve
// returned, is made on. Its objects are shared: they must not be changed.
//
// Members come from watches that are opened on demand and stay, so that an
// unchanged world costs no request; where much is to be written first, the
// watch follows the Apply. A desired key that no member has is looked up: by
// GET, by one LIST of metadata where there are many, and, if it goes on
// missing, by a watch of metadata. A Job that the ledger takes for active and
// that is not there is looked up live in any case.
func (s *Set) Observe(ctx context.Context, desired []schema.Object) (plan.Observation, error) {
	if s.asErr != nil {
		return plan.Observation{}, s.asErr
	}
	if err := s.readState(ctx); err != nil {
		return plan.Observation{}, err
	}
	o := plan.Observation{
		Live: make(map[schema.Key]*unstructured.Unstructured, len(desired)), Vanished: map[schema.Key]*unstructured.Unstructured{},
		Refused: map[schema.Key]*schema.Problem{},
		Ledger:  plan.Ledger{Jobs: s.ledgerJobs(), Unreadable: s.ledgerBad},
	}
	wanted := s.want(desired)
	fresh := s.readFresh(ctx, desired)
	unread, err := s.readMembers(ctx, wanted, fresh, &o)
	if err != nil {
		return plan.Observation{}, err
	}
	s.mu.Lock()
	s.unread = unread
	s.mu.Unlock()
	s.refuseUnread(unread, desired, &o)
	if err := s.readMissing(ctx, desired, unread, fresh, &o); err != nil {
		return plan.Observation{}, err
	}
	if err := s.readLostRuns(ctx, &o); err != nil {
		return plan.Observation{}, err
	}
	o.Owners = s.ownersOf(ctx, o.Live)
	return o, nil
}

func (s *Set) ledgerJobs() map[schema.Key]plan.Run {
	if s.ledger == nil {
		return map[schema.Key]plan.Run{}
	}
	return s.ledger.jobs()
}

// want notes what is desired and returns the scopes to watch, with the version
// to watch them in: those of desired and those of the inventory.
func (s *Set) want(desired []schema.Object) map[scope]string {
	wanted := map[scope]string{}
	keys := make(map[schema.Key]bool, len(desired))
	for _, d := range desired {
		key := d.Key()
		keys[key] = true
		if at := scopeOf(key); wanted[at] == "" {
			wanted[at] = d.GroupVersionKind().Version
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.desired = keys
	if s.parent != nil {
		for at := range s.parent.scopes {
			if _, ok := wanted[at]; !ok {
				wanted[at] = ""
			}
		}
	}
	return wanted
}

// readMembers fills in the members of the set; fresh scopes have none. Unread
// has the scopes that cannot be read, and why.
func (s *Set) readMembers(ctx context.Context, wanted map[scope]string, fresh map[scope]listed, o *plan.Observation) (unread map[scope]error, err error) {
	unread = map[scope]error{}
	used := map[scope]*mirror{}
	for at, version := range wanted {
		resource, ok, err := s.resourceOf(ctx, at, version)
		switch {
		case err != nil:
			unread[at] = err
			continue
		case !ok:
			continue
		}
		m, err := s.memberMirror(at, resource, fresh[at].version)
		if err != nil {
			return nil, err
		}
		used[at] = m
	}
	s.stopOthers(used)
	for at, m := range used {
		if _, empty := fresh[at]; empty {
			continue
		}
		m.start()
		err := m.wait(ctx)
		switch {
		case err == nil:
			m.each(func(key schema.Key, u *unstructured.Unstructured) { o.Live[key] = u })
			maps.Copy(o.Vanished, m.take())
		case lasting(err):
			unread[at] = err
			s.forgetMirror(at)
			if isGone(err) {
				// The kind itself is gone since it was discovered.
				s.cluster.kinds.forget()
			}
		default:
			return nil, explain(err, subject{what: "the live state"})
		}
	}
	return unread, nil
}

// resourceOf returns what the server calls at's kind in version, or in the
// version that it prefers if that is empty. It is not ok where no object can
// be that a set may hold: the kind is not there (the objects of a
// CustomResourceDefinition go with it), is not for such a namespace, or lacks
// a verb.
func (s *Set) resourceOf(ctx context.Context, at scope, version string) (resource k8sschema.GroupVersionResource, ok bool, err error) {
	found, known, err := s.cluster.kinds.find(ctx, at.kind)
	if err != nil || !known || found.namespaced != (at.namespace != "") {
		return resource, false, err
	}
	resource, ok = found.resource(version)
	return resource, ok && found.missingVerb() == "", nil
}

// refuseUnread says for each scope that cannot be read what follows.
func (s *Set) refuseUnread(unread map[scope]error, desired []schema.Object, o *plan.Observation) {
	if len(unread) == 0 {
		return
	}
	concerned := map[scope]bool{}
	for _, d := range desired {
		if err := unread[scopeOf(d.Key())]; err != nil {
			concerned[scopeOf(d.Key())] = true
			o.Refused[d.Key()] = explain(err, subject{object: d, what: "the live state", account: s.options.ServiceAccount})
		}
	}
	for at, err := range unread {
		if !concerned[at] && s.parent != nil && s.parent.scopes[at] {
			o.Incomplete = fmt.Sprintf("%s in namespace %q cannot be read: %v", kindName(at.kind), at.namespace, err)
		}
	}
}

// memberMirror returns the mirror of the members in at. A new one starts at
// once, unless a list of version emptyAt showed that there is none: then it
// starts when what is written first is there (follow).
func (s *Set) memberMirror(at scope, resource k8sschema.GroupVersionResource, emptyAt string) (*mirror, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("using a closed set")
	}
	old := s.members[at]
	if old != nil && old.resource == resource {
		return old, nil
	}
	if old != nil {
		go old.stop()
	}
	client := s.as.dynamic.Resource(resource).Namespace(at.namespace)
	selector := schema.ApplySetPartOf + "=" + s.id
	m := s.mirror(at, resource, source{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return client.List(ctx, o)
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return client.Watch(ctx, o)
		},
	}, s.memberChanged)
	if emptyAt != "" {
		m.emptyAt(emptyAt, freshPatience)
	} else {
		m.start()
	}
	s.members[at] = m
	return m, nil
}

// mirror returns a mirror, not started yet, that signals what tell lets it.
func (s *Set) mirror(at scope, resource k8sschema.GroupVersionResource, from source, tell func(schema.Key, *unstructured.Unstructured, *unstructured.Unstructured)) *mirror {
	m := newMirror(at, resource, from, s.log)
	m.tell, m.lost = tell, s.signal
	return m
}

// memberChanged decides whether a change of a member is worth a sync.
func (s *Set) memberChanged(key schema.Key, before, after *unstructured.Unstructured) {
	switch {
	case before == nil || after == nil || before.GetUID() != after.GetUID() || !sameIntent(before, after):
		s.signal()
	case key.IsJob() && finished(after) && !finished(before):
		s.signal()
	case key.IsCronJob() && busy(before) && !busy(after) && s.awaited(key):
		s.signal()
	case key.Kind == "CustomResourceDefinition":
		s.cluster.kinds.forget()
		s.signal()
	}
}

// awaited reports whether the last plan waits for key.
func (s *Set) awaited(key schema.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting[key]
}

// stopOthers ends the watches that nothing asks for any more.
func (s *Set) stopOthers(used map[scope]*mirror) {
	s.mu.Lock()
	var ended []*mirror
	for at, m := range s.members {
		if used[at] == nil {
			ended = append(ended, m)
			delete(s.members, at)
		}
	}
	s.mu.Unlock()
	for _, m := range ended {
		m.stop()
	}
}

func (s *Set) forgetMirror(at scope) {
	s.mu.Lock()
	m := s.members[at]
	delete(s.members, at)
	s.mu.Unlock()
	if m != nil {
		m.stop()
	}
}

// readLostRuns looks up, live, the Jobs that the ledger takes for active but no
// watch shows: that they are absent decides whether they ran.
func (s *Set) readLostRuns(ctx context.Context, o *plan.Observation) error {
	lost := map[scope][]schema.Key{}
	for key, run := range o.Ledger.Jobs {
		if run.Outcome == plan.RunActive && o.Live[key] == nil {
			lost[scopeOf(key)] = append(lost[scopeOf(key)], key)
		}
	}
	for at, keys := range lost {
		found, err := s.lookUp(ctx, at, "", keys)
		if err != nil {
			return explain(err, subject{what: "the Jobs that the ledger has as active", account: s.options.ServiceAccount})
		}
		maps.Copy(o.Live, found)
	}
	return nil
}

// ownerName is what the parent of another ApplySet is called.
type ownerName struct {
	text string
	ok   bool
}

// ownersOf names the parents of the other ApplySets that live objects belong
// to, as far as rota may read them.
func (s *Set) ownersOf(ctx context.Context, live map[schema.Key]*unstructured.Unstructured) map[string]string {
	names := map[string]string{}
	for _, u := range live {
		id := u.GetLabels()[schema.ApplySetPartOf]
		if id == "" || id == s.id {
			continue
		}
		if _, known := s.owners[id]; !known {
			s.owners[id] = s.findOwner(ctx, id)
		}
		if owner := s.owners[id]; owner.ok {
			names[id] = owner.text
		}
	}
	return names
}

func (s *Set) findOwner(ctx context.Context, id string) ownerName {
	for _, parentKind := range []struct {
		kind     string
		resource k8sschema.GroupVersionResource
	}{{"ConfigMap", configMaps}, {"Secret", k8sschema.GroupVersionResource{Version: "v1", Resource: "secrets"}}} {
		list, err := s.cluster.own.metadata.Resource(parentKind.resource).List(ctx, metav1.ListOptions{LabelSelector: schema.ApplySetID + "=" + id})
		if err != nil || len(list.Items) == 0 {
			continue
		}
		parent := list.Items[0]
		tool := parent.Annotations[schema.ApplySetTooling]
		if tool == "" {
			tool = "unknown tooling"
		}
		return ownerName{text: fmt.Sprintf("%s %s/%s (%s)", parentKind.kind, parent.Namespace, parent.Name, tool), ok: true}
	}
	return ownerName{}
}

// isGone reports whether err says that the object is not there.
func isGone(err error) bool { return apierrors.IsNotFound(err) && !missingNamespace(err) }

func sortedKeys[V any](m map[schema.Key]V) []schema.Key {
	return slices.SortedFunc(maps.Keys(m), schema.Key.Compare)
}
