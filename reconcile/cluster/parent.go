package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

const (
	// annotationLedger, on the parent and on each shard, is the ledger's id.
	annotationLedger = "rota.dev/ledger"
	// annotationShards, on the parent, is how many shards the ledger has.
	annotationShards = "rota.dev/ledger-shards"
	// annotationScopes, on the parent, has the pairs of kind and namespace that
	// hold members: narrower than the product of the two KEP-3659 annotations,
	// so that fewer watches are opened.
	annotationScopes = "rota.dev/inventory"

	tooling = "rota/"

	// writeTimeout bounds one request that writes.
	writeTimeout = 30 * time.Second
	// casAttempts bounds how often a compare-and-swap is tried.
	casAttempts = 6
)

var (
	configMaps = k8sschema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	namespaces = k8sschema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	configMap  = k8sschema.GroupKind{Kind: "ConfigMap"}
)

func parentName(sync string) string { return "rota-" + sync }

// parent is the ApplySet parent of a Set: which kinds and namespaces hold its
// members, and which ledger is the right one.
type parent struct {
	scopes map[scope]bool
	ledger string
	shards int
	// object is what was read; nil if there is none yet.
	object *unstructured.Unstructured
}

func (p *parent) clone() *parent {
	copied := *p
	copied.scopes = maps.Clone(p.scopes)
	return &copied
}

// readParent returns what object says, or why it is not a parent of ours.
func (s *Set) readParent(object *unstructured.Unstructured) (*parent, error) {
	where := object.GetNamespace() + "/" + object.GetName()
	annotations := object.GetAnnotations()
	if tool := annotations[schema.ApplySetTooling]; !strings.HasPrefix(tool, tooling) {
		if tool == "" {
			tool = "no tool"
		}
		return nil, &schema.Problem{Rule: "R216", Severity: schema.SeverityError,
			Message: fmt.Sprintf("ConfigMap %s is in the place of the inventory of Sync %s, but belongs to %s", where, s.options.Sync, tool),
			Mend:    "Give the Sync another name, or move that ConfigMap away."}
	}
	if id := object.GetLabels()[schema.ApplySetID]; id != s.id {
		return nil, &schema.Problem{Rule: "R220", Severity: schema.SeverityError,
			Message: fmt.Sprintf("ConfigMap %s carries the ApplySet id %q, but its name gives %s: it was copied or edited", where, id, s.id),
			Mend:    fmt.Sprintf("Run kubectl label -n %s configmap %s --overwrite %s=%s", object.GetNamespace(), object.GetName(), schema.ApplySetID, s.id)}
	}
	p := &parent{object: object, ledger: annotations[annotationLedger], scopes: map[scope]bool{}}
	if text := annotations[annotationShards]; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, s.ledgerProblem(fmt.Sprintf("ConfigMap %s has %s: %q, which is no count", where, annotationShards, text), err)
		}
		p.shards = n
	}
	p.readScopes(annotations, object.GetNamespace())
	return p, nil
}

func (p *parent) readScopes(annotations map[string]string, own string) {
	if exact, ok := annotations[annotationScopes]; ok {
		for _, pair := range fields(exact) {
			name, namespace, _ := strings.Cut(pair, "/")
			p.scopes[scope{kind: k8sschema.ParseGroupKind(name), namespace: namespace}] = true
		}
		return
	}
	places := append(fields(annotations[schema.ApplySetNamespaces]), own, "")
	for _, name := range fields(annotations[schema.ApplySetGroupKinds]) {
		for _, namespace := range places {
			p.scopes[scope{kind: k8sschema.ParseGroupKind(name), namespace: namespace}] = true
		}
	}
}

func fields(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// render returns the ConfigMap for p, on top of what was read.
func (s *Set) renderParent(p *parent) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	if p.object != nil {
		object = p.object.DeepCopy()
	}
	object.SetAPIVersion("v1")
	object.SetKind("ConfigMap")
	object.SetNamespace(s.cluster.options.Namespace)
	object.SetName(parentName(s.options.Sync))
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[schema.ApplySetID], labels[schema.LabelSync] = s.id, s.options.Sync
	object.SetLabels(labels)

	kinds, places, pairs := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for at := range p.scopes {
		name := kindName(at.kind)
		kinds[name] = true
		pairs[name+"/"+at.namespace] = true
		if at.namespace != "" && at.namespace != s.cluster.options.Namespace {
			places[at.namespace] = true
		}
	}
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[schema.ApplySetTooling] = tooling + s.cluster.options.Version
	annotations[schema.ApplySetGroupKinds] = sorted(kinds)
	annotations[schema.ApplySetNamespaces] = sorted(places)
	annotations[annotationScopes] = sorted(pairs)
	annotations[annotationLedger] = p.ledger
	annotations[annotationShards] = strconv.Itoa(p.shards)
	object.SetAnnotations(annotations)
	return object
}

func sorted(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), ",")
}

// updateParent writes the parent as change makes it, by compare-and-swap;
// change returns false if there is nothing to write.
func (s *Set) updateParent(ctx context.Context, change func(*parent) bool) error {
	var last error
	for range casAttempts {
		current := s.currentParent()
		if current == nil {
			current = &parent{scopes: map[scope]bool{}}
		}
		if current.ledger == "" && s.ledgerBad == nil {
			// With parts of a ledger there and no parent, an id would make
			// an empty ledger of them: only a rebuild gives one then.
			current.ledger = newLedgerID()
		}
		wanted := current.clone()
		if !change(wanted) && wanted.object != nil {
			return nil
		}
		written, err := s.writeConfigMap(ctx, s.renderParent(wanted))
		if err == nil {
			wanted.object = written
			s.mu.Lock()
			s.parent = wanted
			s.mu.Unlock()
			return nil
		}
		last = err
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			break
		}
		if err := s.rereadParent(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("writing the inventory of Sync %s: %w", s.options.Sync, last)
}

func (s *Set) currentParent() *parent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parent
}

func (s *Set) rereadParent(ctx context.Context) error {
	object, err := s.cluster.own.dynamic.Resource(configMaps).Namespace(s.cluster.options.Namespace).Get(ctx, parentName(s.options.Sync), metav1.GetOptions{})
	var read *parent
	switch {
	case apierrors.IsNotFound(err):
		if current := s.currentParent(); current != nil {
			read = current.clone()
			read.object = nil
		}
	case err != nil:
		return fmt.Errorf("reading the inventory of Sync %s: %w", s.options.Sync, err)
	default:
		if read, err = s.readParent(object); err != nil {
			// A parent that lost its label only is found by name alone.
			return err
		}
	}
	s.mu.Lock()
	s.parent = read
	s.mu.Unlock()
	return nil
}

// writeConfigMap creates object, or replaces it if it has a resourceVersion,
// as rota's own account, in rota's namespace, which it makes if missing.
func (s *Set) writeConfigMap(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	ctx, answer := await(ctx)
	key := schema.KeyOf(object)
	s.stateBegin(key)
	var kept *unstructured.Unstructured
	defer func() { s.stateEnd(key, kept) }()

	if m := s.stateStarted(); m != nil && m.empty() {
		// Most likely there is no namespace yet: to make it at once saves the
		// request that would tell. Without permission it must be there.
		if err := s.makeNamespace(ctx); err != nil && !apierrors.IsForbidden(err) {
			return nil, err
		}
	}
	client := s.cluster.own.dynamic.Resource(configMaps).Namespace(object.GetNamespace())
	var written *unstructured.Unstructured
	var err error
	if object.GetResourceVersion() != "" {
		written, err = client.Update(ctx, object, metav1.UpdateOptions{FieldManager: schema.FieldManager})
	} else {
		written, err = client.Create(ctx, object, metav1.CreateOptions{FieldManager: schema.FieldManager})
		if missingNamespace(err) {
			if err = s.makeNamespace(ctx); err == nil {
				written, err = client.Create(ctx, object, metav1.CreateOptions{FieldManager: schema.FieldManager})
			}
		}
		if answer.dry() && missingNamespace(err) {
			return object, nil
		}
	}
	if err == nil && !answer.dry() {
		kept = written
	}
	return written, err
}

func (s *Set) makeNamespace(ctx context.Context) error {
	namespace := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": s.cluster.options.Namespace},
	}}
	_, err := s.cluster.own.dynamic.Resource(namespaces).Create(ctx, namespace, metav1.CreateOptions{FieldManager: schema.FieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating the namespace %s: %w", s.cluster.options.Namespace, err)
	}
	return nil
}

// widen puts the scopes that p writes to into the inventory, before the first
// write, so that a crash leaves no member that the inventory cannot find.
func (s *Set) widen(ctx context.Context, p plan.Plan) error {
	return s.updateParent(ctx, func(now *parent) bool {
		grown := false
		for _, c := range p.Changes {
			at := scopeOf(c.Key)
			if (c.Op == plan.Create || c.Op == plan.Update || c.Op == plan.Replace) && !now.scopes[at] {
				now.scopes[at], grown = true, true
			}
		}
		return grown
	})
}

// narrow takes the scopes out of the inventory that hold no member any more;
// only after everything of p was carried out. What could not be read may hold
// some, which nobody would ever find again.
func (s *Set) narrow(ctx context.Context, p plan.Plan) error {
	used := map[scope]bool{}
	for _, c := range p.Changes {
		if c.Op != plan.Delete {
			used[scopeOf(c.Key)] = true
		}
	}
	s.mu.Lock()
	for at, m := range s.members {
		m.each(func(schema.Key, *unstructured.Unstructured) { used[at] = true })
	}
	for at := range s.unread {
		used[at] = true
	}
	s.mu.Unlock()
	return s.updateParent(ctx, func(now *parent) bool {
		shrunk := false
		for at := range now.scopes {
			if !used[at] {
				delete(now.scopes, at)
				shrunk = true
			}
		}
		return shrunk
	})
}

func newLedgerID() string {
	var raw [8]byte
	// crypto/rand.Read never fails (it ends the process instead).
	_, _ = rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}
