package reconcile

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"rota.dev/rota/schema"
)

// write is a request that was not a read, as it went over the wire.
type write struct {
	key schema.Key
	// verb is POST, PUT, DELETE, APPLY or PATCH (of JSON); status is zero for
	// a request that was lost before the server had it.
	verb   string
	status int
	force  bool
	body   map[string]any
}

func (w write) ok() bool { return w.status >= 200 && w.status < 300 }

func (w write) String() string {
	return fmt.Sprintf("%s %s (%d)", w.verb, w.key, w.status)
}

// wire records the writes that pass, and can lose the release of a Job.
type wire struct {
	next http.RoundTripper

	mu     sync.Mutex
	writes []write
	lose   bool
}

// resources are what the stories work with.
var resources = map[string]struct {
	resource   k8sschema.GroupVersionResource
	kind       string
	namespaced bool
}{
	"jobs":                      {k8sschema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, "Job", true},
	"cronjobs":                  {k8sschema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}, "CronJob", true},
	"configmaps":                {k8sschema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, "ConfigMap", true},
	"secrets":                   {k8sschema.GroupVersionResource{Version: "v1", Resource: "secrets"}, "Secret", true},
	"serviceaccounts":           {k8sschema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, "ServiceAccount", true},
	"widgets":                   {k8sschema.GroupVersionResource{Group: widgetGroup, Version: "v1", Resource: "widgets"}, "Widget", true},
	"namespaces":                {k8sschema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "Namespace", false},
	"customresourcedefinitions": {k8sschema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, "CustomResourceDefinition", false},
}

const widgetGroup = "honest.example.com"

var errLost = errors.New("the request is lost")

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return w.next.RoundTrip(r)
	}
	one := write{verb: r.Method, force: r.URL.Query().Get("force") == "true", key: keyOfPath(r.URL.Path)}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		// A JSON patch is a list, and told by its type alone.
		_ = json.Unmarshal(body, &one.body)
	}
	if r.Method == http.MethodPatch && strings.Contains(r.Header.Get("Content-Type"), "apply-patch") {
		one.verb = "APPLY"
	}
	if one.key.Name == "" {
		one.key.Name = (&unstructured.Unstructured{Object: one.body}).GetName()
	}
	w.mu.Lock()
	lost := w.lose && one.verb == http.MethodPatch && one.key.IsJob()
	w.lose = w.lose && !lost
	w.mu.Unlock()
	var answer *http.Response
	err := errLost
	if !lost {
		answer, err = w.next.RoundTrip(r)
	}
	if answer != nil {
		one.status = answer.StatusCode
	}
	w.mu.Lock()
	w.writes = append(w.writes, one)
	w.mu.Unlock()
	return answer, err
}

func (w *wire) take() []write {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.writes
	w.writes = nil
	return taken
}

// keyOfPath reads /api/v1/... and /apis/GROUP/VERSION/...; what is none of the
// stories' resources gets its path as a name.
func keyOfPath(path string) schema.Key {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parts = parts[3:]
	}
	var key schema.Key
	if len(parts) > 2 && parts[0] == "namespaces" {
		key.Namespace, parts = parts[1], parts[2:]
	}
	known, ok := resources[parts[0]]
	if !ok || len(parts) > 2 {
		return schema.Key{Kind: "request", Name: path}
	}
	key.Group, key.Kind = known.resource.Group, known.kind
	if len(parts) == 2 {
		key.Name = parts[1]
	}
	return key
}

// snapshot is all that is there of the stories' kinds.
type snapshot map[schema.Key]*unstructured.Unstructured

// look reads the cluster by the test's own client.
func (w *honestWorld) look(ctx context.Context) (snapshot, error) {
	var mu sync.Mutex
	seen := snapshot{}
	var group errgroup.Group
	group.SetLimit(8)
	add := func(u *unstructured.Unstructured) {
		mu.Lock()
		defer mu.Unlock()
		seen[schema.KeyOf(u)] = u
	}
	for name, known := range resources {
		for _, namespace := range []string{w.namespace, w.second} {
			if !known.namespaced {
				continue
			}
			group.Go(func() error {
				list, err := w.client.Resource(known.resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
				if err != nil {
					return fmt.Errorf("listing %s: %w", name, err)
				}
				for i := range list.Items {
					add(&list.Items[i])
				}
				return nil
			})
		}
	}
	group.Go(func() error {
		u, err := w.client.Resource(resources["namespaces"].resource).Get(ctx, w.second, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		add(u)
		return nil
	})
	return seen, group.Wait()
}

// booked reads the ledger as it is stored: the Jobs' uids by namespace/name.
func (w *honestWorld) booked(ctx context.Context) (map[string]string, error) {
	list, err := w.client.Resource(resources["configmaps"].resource).Namespace(w.system).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	uids := map[string]string{}
	for _, shard := range list.Items {
		if !strings.HasPrefix(shard.GetName(), "rota-ledger-") {
			continue
		}
		text, _, _ := unstructured.NestedString(shard.Object, "binaryData", "ledger.json.gz")
		packed, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, err
		}
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, err
		}
		var content struct {
			Jobs map[string]struct {
				UID string `json:"uid"`
			} `json:"jobs"`
		}
		if err := json.NewDecoder(z).Decode(&content); err != nil {
			return nil, err
		}
		for name, job := range content.Jobs {
			uids[name] = job.UID
		}
	}
	return uids, nil
}
