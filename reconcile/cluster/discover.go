package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

const (
	// rediscoverAfter bounds how often an unknown kind makes rota ask again: a
	// repository that names a kind for ever must not cost two requests a sync.
	rediscoverAfter = 10 * time.Second
	// rediscoverSoon does so for a kind that is just being defined.
	rediscoverSoon = 300 * time.Millisecond
)

// kind is what the server says of one kind.
type kind struct {
	schema     k8sschema.GroupKind
	namespaced bool
	// versions are served, the preferred one first.
	versions []served
}

type served struct {
	version, resource string
	verbs             []string
}

// resource returns the resource of version, or of the preferred version if
// version is empty, and whether it is served.
func (k kind) resource(version string) (k8sschema.GroupVersionResource, bool) {
	for _, v := range k.versions {
		if version == "" || v.version == version {
			return k8sschema.GroupVersionResource{Group: k.schema.Group, Version: v.version, Resource: v.resource}, true
		}
	}
	return k8sschema.GroupVersionResource{}, false
}

// missingVerb returns a verb that a member's kind must have and this one has
// not; empty if there is none.
func (k kind) missingVerb() string {
	for _, verb := range []string{"get", "list", "watch", "patch", "delete"} {
		if !slices.Contains(k.versions[0].verbs, verb) {
			return verb
		}
	}
	return ""
}

// kinds is what discovery said last, by group and kind.
type kinds struct {
	client *discovery.DiscoveryClient
	log    *slog.Logger

	mu    sync.Mutex
	known map[k8sschema.GroupKind]kind
	// failed has the groups that the server could not tell about.
	failed map[string]error
	at     time.Time
	stale  bool
}

// find returns the kind gk. The error is set when the server cannot tell now,
// which never means that the kind is gone.
func (k *kinds) find(ctx context.Context, gk k8sschema.GroupKind) (found kind, served bool, err error) {
	return k.findAfter(ctx, gk, rediscoverAfter)
}

// findAfter is find that believes an answer without gk for at most age.
func (k *kinds) findAfter(ctx context.Context, gk k8sschema.GroupKind, age time.Duration) (found kind, served bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil || k.stale {
		if err := k.refresh(ctx); err != nil {
			return kind{}, false, err
		}
	}
	found, served = k.known[gk]
	if !served && time.Since(k.at) > age {
		if err := k.refresh(ctx); err != nil {
			return kind{}, false, err
		}
		found, served = k.known[gk]
	}
	if !served {
		if err := k.failed[gk.Group]; err != nil {
			return kind{}, false, fmt.Errorf("discovering the API group %s: %w", gk.Group, err)
		}
	}
	return found, served, nil
}

// forget makes the next find ask the server.
func (k *kinds) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stale = true
}

// names returns the kinds that the server has, for suggestions.
func (k *kinds) names() []k8sschema.GroupKind {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Keys(k.known))
}

// preferred returns the apiVersion that the server prefers for a kind it has.
func (k *kinds) preferred(gk k8sschema.GroupKind) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k8sschema.GroupVersion{Group: gk.Group, Version: k.known[gk].versions[0].version}.String()
}

func (k *kinds) refresh(ctx context.Context) error {
	groups, lists, failed, err := k.download(ctx)
	if err != nil {
		return err
	}
	known := map[k8sschema.GroupKind]kind{}
	for _, group := range groups {
		for _, version := range preferredFirst(group) {
			list := lists[k8sschema.GroupVersion{Group: group.Name, Version: version}]
			if list == nil {
				continue
			}
			addResources(known, group.Name, version, list.APIResources)
		}
	}
	failedGroups := map[string]error{}
	for gv, err := range failed {
		failedGroups[gv.Group] = err
		k.log.Warn("an API group cannot be discovered now", "group", gv.String(), "error", err)
	}
	for gk, old := range k.known {
		if _, ok := known[gk]; !ok && failedGroups[gk.Group] != nil {
			known[gk] = old
		}
	}
	k.known, k.failed, k.at, k.stale = known, failedGroups, time.Now(), false
	return nil
}

func (k *kinds) download(ctx context.Context) ([]*metav1.APIGroup, map[k8sschema.GroupVersion]*metav1.APIResourceList, map[k8sschema.GroupVersion]error, error) {
	list, resources, failed, err := k.client.GroupsAndMaybeResourcesWithContext(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	var groups []*metav1.APIGroup
	for i := range list.Groups {
		groups = append(groups, &list.Groups[i])
	}
	if resources != nil {
		return groups, resources, failed, nil
	}
	// A server older than 1.26 has no aggregated discovery: one request a group.
	groups, lists, err := k.client.ServerGroupsAndResourcesWithContext(ctx)
	failed, partial := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err != nil && !partial {
		return nil, nil, nil, err
	}
	resources = map[k8sschema.GroupVersion]*metav1.APIResourceList{}
	for _, l := range lists {
		gv, err := k8sschema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return nil, nil, nil, err
		}
		resources[gv] = l
	}
	return groups, resources, failed, nil
}

func preferredFirst(group *metav1.APIGroup) []string {
	versions := []string{group.PreferredVersion.Version}
	for _, v := range group.Versions {
		if v.Version != group.PreferredVersion.Version {
			versions = append(versions, v.Version)
		}
	}
	return versions
}

func addResources(known map[k8sschema.GroupKind]kind, group, version string, resources []metav1.APIResource) {
	for _, r := range resources {
		if strings.Contains(r.Name, "/") {
			continue
		}
		gk := k8sschema.GroupKind{Group: group, Kind: r.Kind}
		one := known[gk]
		one.schema, one.namespaced = gk, r.Namespaced
		one.versions = append(one.versions, served{version: version, resource: r.Name, verbs: r.Verbs})
		known[gk] = one
	}
}
