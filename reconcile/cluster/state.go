package cluster

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"rota.dev/rota/schema"
)

// readState brings parent and ledger up to what the watch of rota's own
// ConfigMaps says; the first call opens that watch. It decides nothing on a
// ledger that cannot be believed: that is in ledgerBad.
func (s *Set) readState(ctx context.Context) error {
	m, err := s.stateMirror()
	if err != nil {
		return err
	}
	if err := m.wait(ctx); err != nil {
		return explain(err, subject{what: "the inventory and the ledger of Sync " + s.options.Sync})
	}
	found := map[string]*unstructured.Unstructured{}
	ledgers := false
	m.each(func(key schema.Key, u *unstructured.Unstructured) {
		found[key.Name] = u
		ledgers = ledgers || strings.HasPrefix(key.Name, "rota-ledger-")
	})
	current := s.currentParent()
	object := found[parentName(s.options.Sync)]
	switch {
	case object != nil:
		read, err := s.readParent(object)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.parent = read
		s.mu.Unlock()
	case current != nil && current.object != nil:
		// Deleted under us: what it said is still known, so it is made again.
		lost := current.clone()
		lost.object = nil
		s.mu.Lock()
		s.parent = lost
		s.mu.Unlock()
	case current == nil && ledgers:
		// It may have lost the label that the watch selects by.
		if err := s.rereadParent(ctx); err != nil {
			return err
		}
	}
	s.ledger, s.ledgerBad = s.loadLedger(s.currentParent(), found)
	return nil
}

func (s *Set) stateMirror() (*mirror, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("using the closed set of Sync %s", s.options.Sync)
	}
	if s.state == nil {
		client := s.cluster.own.dynamic.Resource(configMaps).Namespace(s.cluster.options.Namespace)
		selector := schema.LabelSync + "=" + s.options.Sync
		s.state = s.mirror(scope{kind: configMap, namespace: s.cluster.options.Namespace}, configMaps, source{
			list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				o.LabelSelector = selector
				return client.List(ctx, o)
			},
			watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				o.LabelSelector = selector
				return client.Watch(ctx, o)
			},
		}, func(key schema.Key, before, after *unstructured.Unstructured) {
			if key.Name != statusName(s.options.Sync) {
				s.signal()
			}
		})
		s.state.start()
	}
	return s.state, nil
}

func (s *Set) stateBegin(key schema.Key) {
	if m := s.stateStarted(); m != nil {
		m.begin(key)
	}
}

func (s *Set) stateEnd(key schema.Key, answer *unstructured.Unstructured) {
	if m := s.stateStarted(); m != nil {
		m.end(key, answer)
	}
}

func (s *Set) stateStarted() *mirror {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}
