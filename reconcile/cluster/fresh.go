package cluster

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"rota.dev/rota/schema"
)

// freshPatience is how long the watch of a fresh scope waits for an Apply. A
// plan that writes nothing has none.
const freshPatience = time.Minute

// listed is what one LIST of metadata showed of a scope.
type listed struct {
	resource k8sschema.GroupVersionResource
	// version is the resourceVersion of the list.
	version string
	names   map[string]bool
	// members is set if an object of the set was among them.
	members bool
}

// of returns those of keys that were shown.
func (l listed) of(keys []schema.Key) []schema.Key {
	var there []schema.Key
	for _, key := range keys {
		if l.names[key.Name] {
			there = append(there, key)
		}
	}
	return there
}

func (s *Set) list(ctx context.Context, at scope, resource k8sschema.GroupVersionResource) (listed, error) {
	list, err := s.as.metadata.Resource(resource).Namespace(at.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return listed{}, err
	}
	l := listed{resource: resource, version: list.ResourceVersion, names: make(map[string]bool, len(list.Items))}
	for i := range list.Items {
		l.names[list.Items[i].Name] = true
		l.members = l.members || list.Items[i].Labels[schema.ApplySetPartOf] == s.id
	}
	return l, nil
}

// readFresh returns the scopes that the set is about to write to for the first
// time, and what is there: no member, by a live LIST. A watch that is open while
// a thousand objects are written is sent each of them, which costs the server
// and rota about a quarter of the writes again; so theirs is opened afterwards,
// and compares what it is shown with what was written.
//
// It is for many objects only: the LIST then takes the place of the one that
// looks up the desired keys, and costs no request. A scope that cannot be listed
// is left to its watch, which says why.
func (s *Set) readFresh(ctx context.Context, desired []schema.Object) map[scope]listed {
	count, versions := map[scope]int{}, map[scope]string{}
	for _, d := range desired {
		at := scopeOf(d.Key())
		count[at]++
		versions[at] = d.GroupVersionKind().Version
	}
	fresh := map[scope]listed{}
	for at, n := range count {
		if n <= fewKeys || s.met(at) {
			continue
		}
		resource, ok, err := s.resourceOf(ctx, at, versions[at])
		if err != nil || !ok {
			continue
		}
		if shown, err := s.list(ctx, at, resource); err == nil && !shown.members && shown.version != "" {
			fresh[at] = shown
		}
	}
	return fresh
}

// met reports whether the set follows at, or its inventory has it: what is
// there may then have been written by an earlier process, up to its crash.
func (s *Set) met(at scope) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.members[at] != nil || s.parent != nil && s.parent.scopes[at]
}

// follow starts the watches that wait for the end of an Apply, whatever came of
// it. Those that have started go on.
func (s *Set) follow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		m.start()
	}
}
