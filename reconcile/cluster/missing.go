package cluster

import (
	"context"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// fewKeys is up to how many objects are read one by one; beyond it one LIST is
// cheaper for the server.
const fewKeys = 8

// readMissing fills in the objects that have a desired key and are no members.
func (s *Set) readMissing(ctx context.Context, desired []schema.Object, unread map[scope]error, fresh map[scope]listed, o *plan.Observation) error {
	missing := map[scope][]schema.Key{}
	versions := map[scope]string{}
	for _, d := range desired {
		key := d.Key()
		at := scopeOf(key)
		if o.Live[key] == nil && unread[at] == nil {
			missing[at] = append(missing[at], key)
			versions[at] = d.GroupVersionKind().Version
		}
	}
	s.retireOthers(missing)
	for at, keys := range missing {
		var found map[schema.Key]*unstructured.Unstructured
		var err error
		if shown, ok := fresh[at]; ok {
			s.missed[at]++
			found, err = s.readKeys(ctx, at, shown.resource, shown.of(keys))
		} else {
			found, err = s.missingIn(ctx, at, versions[at], keys)
		}
		switch {
		case err == nil:
			maps.Copy(o.Live, found)
		case lasting(err):
			for _, d := range desired {
				if scopeOf(d.Key()) == at && o.Live[d.Key()] == nil {
					o.Refused[d.Key()] = explain(err, subject{object: d, what: "the live state", account: s.options.ServiceAccount})
				}
			}
		default:
			return explain(err, subject{what: "the live state"})
		}
	}
	return nil
}

// retireOthers ends the metadata watches of scopes where nothing is missing.
func (s *Set) retireOthers(missing map[scope][]schema.Key) {
	s.mu.Lock()
	var ended []*mirror
	for at, m := range s.others {
		if len(missing[at]) == 0 {
			ended = append(ended, m)
			delete(s.others, at)
		}
	}
	for at := range s.missed {
		if len(missing[at]) == 0 {
			delete(s.missed, at)
		}
	}
	s.mu.Unlock()
	for _, m := range ended {
		m.stop()
	}
}

// missingIn returns what the keys of one scope name. The first time it reads;
// keys that go on missing are followed by a watch of metadata.
func (s *Set) missingIn(ctx context.Context, at scope, version string, keys []schema.Key) (map[schema.Key]*unstructured.Unstructured, error) {
	resource, ok, err := s.resourceOf(ctx, at, version)
	if err != nil || !ok {
		return nil, err
	}
	s.missed[at]++
	if s.missed[at] == 1 {
		return s.lookUp(ctx, at, version, keys)
	}
	m := s.otherMirror(at, resource)
	if err := m.wait(ctx); err != nil {
		s.mu.Lock()
		delete(s.others, at)
		s.mu.Unlock()
		m.stop()
		return nil, err
	}
	live := map[schema.Key]*unstructured.Unstructured{}
	var unknown []schema.Key
	for _, key := range keys {
		seen, _ := m.get(key)
		full := s.full[key]
		switch {
		case seen == nil:
			delete(s.full, key)
		case full != nil && full.GetUID() == seen.GetUID() && full.GetResourceVersion() == seen.GetResourceVersion():
			live[key] = full
		default:
			unknown = append(unknown, key)
		}
	}
	read, err := s.lookUp(ctx, at, version, unknown)
	if err != nil {
		return nil, err
	}
	maps.Copy(s.full, read)
	maps.Copy(live, read)
	return live, nil
}

// otherMirror returns the watch of the metadata of every object in the scope.
func (s *Set) otherMirror(at scope, resource k8sschema.GroupVersionResource) *mirror {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.others[at]; m != nil && m.resource == resource {
		return m
	}
	client := s.as.metadata.Resource(resource).Namespace(at.namespace)
	m := s.mirror(at, resource, source{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, o)
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return client.Watch(ctx, o)
		},
	}, s.otherChanged)
	m.start()
	s.others[at] = m
	return m
}

// otherChanged decides whether a change of an object that is in the way, or
// was, is worth a sync. Members are told of by their own watch.
func (s *Set) otherChanged(key schema.Key, before, after *unstructured.Unstructured) {
	s.mu.Lock()
	concerned := s.desired[key]
	s.mu.Unlock()
	one := after
	if one == nil {
		one = before
	}
	if !concerned || one == nil || one.GetLabels()[schema.ApplySetPartOf] == s.id {
		return
	}
	if before == nil || after == nil || !sameIntent(before, after) {
		s.signal()
	}
}

// lookUp reads keys of one scope live: one by one if they are few, otherwise
// by a LIST of metadata first.
func (s *Set) lookUp(ctx context.Context, at scope, version string, keys []schema.Key) (map[schema.Key]*unstructured.Unstructured, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	resource, ok, err := s.resourceOf(ctx, at, version)
	if err != nil || !ok {
		return nil, err
	}
	if len(keys) > fewKeys {
		shown, err := s.list(ctx, at, resource)
		if err != nil {
			return nil, err
		}
		keys = shown.of(keys)
	}
	return s.readKeys(ctx, at, resource, keys)
}

// readKeys reads full objects live.
func (s *Set) readKeys(ctx context.Context, at scope, resource k8sschema.GroupVersionResource, keys []schema.Key) (map[schema.Key]*unstructured.Unstructured, error) {
	if len(keys) > fewKeys {
		return s.listFull(ctx, at, resource, keys)
	}
	client := s.as.dynamic.Resource(resource).Namespace(at.namespace)
	found := map[schema.Key]*unstructured.Unstructured{}
	for _, key := range keys {
		u, err := client.Get(ctx, key.Name, metav1.GetOptions{})
		switch {
		case err == nil:
			found[key] = u
		case !apierrors.IsNotFound(err):
			return nil, err
		}
	}
	return found, nil
}

func (s *Set) listFull(ctx context.Context, at scope, resource k8sschema.GroupVersionResource, keys []schema.Key) (map[schema.Key]*unstructured.Unstructured, error) {
	list, err := s.as.dynamic.Resource(resource).Namespace(at.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	byName := make(map[string]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		byName[list.Items[i].GetName()] = &list.Items[i]
	}
	found := map[schema.Key]*unstructured.Unstructured{}
	for _, key := range keys {
		if u := byName[key.Name]; u != nil {
			found[key] = u
		}
	}
	return found, nil
}
