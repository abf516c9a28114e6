package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// statusData is the key of the status in its ConfigMap.
const statusData = "status"

func statusName(sync string) string { return "rota-status-" + sync }

// PublishStatus makes data, at most about 1 MiB of text, what Status returns.
// Nothing is sent if that is what is there already.
func (s *Set) PublishStatus(ctx context.Context, data []byte) error {
	m, err := s.stateMirror()
	if err != nil {
		return err
	}
	if err := m.wait(ctx); err != nil {
		return explain(err, subject{what: "the status of Sync " + s.options.Sync})
	}
	key := schema.Key{Kind: "ConfigMap", Namespace: s.cluster.options.Namespace, Name: statusName(s.options.Sync)}
	now, _ := m.get(key)
	var last error
	for range casAttempts {
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"data": map[string]any{statusData: string(data)},
		}}
		object.SetName(key.Name)
		object.SetNamespace(key.Namespace)
		object.SetLabels(map[string]string{schema.LabelSync: s.options.Sync})
		if now != nil {
			if text, _, _ := unstructured.NestedString(now.Object, "data", statusData); text == string(data) {
				return nil
			}
			object.SetResourceVersion(now.GetResourceVersion())
		}
		if _, last = s.writeConfigMap(ctx, object); last == nil {
			return nil
		}
		if !apierrors.IsConflict(last) && !apierrors.IsAlreadyExists(last) && !isGone(last) {
			break
		}
		if now, err = s.readStatus(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("publishing the status of Sync %s: %w", s.options.Sync, last)
}

// readStatus returns the ConfigMap of the status, read live; nil if there is
// none.
func (s *Set) readStatus(ctx context.Context) (*unstructured.Unstructured, error) {
	object, err := s.cluster.own.dynamic.Resource(configMaps).Namespace(s.cluster.options.Namespace).Get(ctx, statusName(s.options.Sync), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, explain(err, subject{what: "the status of Sync " + s.options.Sync})
	}
	return object, nil
}

// Status returns what was published last, read live; nil if nothing was.
func (s *Set) Status(ctx context.Context) ([]byte, error) {
	object, err := s.readStatus(ctx)
	if err != nil || object == nil {
		return nil, err
	}
	text, _, _ := unstructured.NestedString(object.Object, "data", statusData)
	return []byte(text), nil
}

// SetInfo is what a parent says of its set.
type SetInfo struct {
	// Sync is the Sync's name.
	Sync string
	// Namespace is the parent's.
	Namespace string
	// ID is the set's.
	ID string
	// Tooling is what wrote the parent last, such as rota/1.2.3.
	Tooling string
	// Kinds are the members' as KEP-3659 has them, and Namespaces where they
	// are beyond the parent's own.
	Kinds, Namespaces []string
}

// Sets returns the sets of this cluster that rota owns in its namespace, by
// name of Sync.
func (c *Cluster) Sets(ctx context.Context) ([]SetInfo, error) {
	list, err := c.own.metadata.Resource(configMaps).Namespace(c.options.Namespace).List(ctx, metav1.ListOptions{LabelSelector: schema.ApplySetID})
	if err != nil {
		return nil, explain(err, subject{what: "the Syncs of this cluster"})
	}
	var sets []SetInfo
	for _, parent := range list.Items {
		tool := parent.Annotations[schema.ApplySetTooling]
		sync, named := strings.CutPrefix(parent.Name, "rota-")
		if !named || !strings.HasPrefix(tool, tooling) {
			continue
		}
		sets = append(sets, SetInfo{
			Sync: sync, Namespace: parent.Namespace, ID: parent.Labels[schema.ApplySetID], Tooling: tool,
			Kinds: fields(parent.Annotations[schema.ApplySetGroupKinds]), Namespaces: fields(parent.Annotations[schema.ApplySetNamespaces]),
		})
	}
	slices.SortFunc(sets, func(a, b SetInfo) int { return strings.Compare(a.Sync, b.Sync) })
	return sets, nil
}
