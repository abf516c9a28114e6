package main

import (
	"context"
	"errors"
	"flag"
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"rota.dev/rota/reconcile/cluster/local/localtest"
	"rota.dev/rota/schema"
)

var everyMutant = flag.Int("mutants", 5, "judge one of so many mutated objects; 1 judges all, which takes minutes")

// server asks a real API server what it thinks of objects.
type server struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
	// beside are objects of the same repository as the one that is judged.
	beside []schema.Object
}

func newServer(t testing.TB) *server {
	t.Helper()
	config := localtest.Shared(t).Config()
	config.QPS = -1
	config.WarningHandler = nil
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	found, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &server{client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found))}
}

// apply returns why the server would not take the object as rota applies it.
func (s *server) apply(ctx context.Context, object map[string]any) error {
	u := &unstructured.Unstructured{Object: object}
	gvk := u.GroupVersionKind()
	mapping, err := s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	resource := s.client.Resource(mapping.Resource)
	options := metav1.ApplyOptions{FieldManager: schema.FieldManager, Force: true, DryRun: []string{metav1.DryRunAll}}
	if mapping.Scope.Name() == "namespace" {
		_, err = resource.Namespace("default").Apply(ctx, u.GetName(), u, options)
	} else {
		_, err = resource.Apply(ctx, u.GetName(), u, options)
	}
	return err
}

// ofTheCluster reports whether a refusal is about what else is in the cluster,
// or how it is configured, which nobody can know offline.
func ofTheCluster(refused error) bool {
	return apierrors.IsForbidden(refused) || strings.Contains(refused.Error(), "not configured")
}

// onPurpose reports whether a problem is an error here though the server takes
// the object.
func onPurpose(m mutant, p *schema.Problem) bool {
	switch {
	case strings.HasSuffix(m.what, ": number 2147483648"):
		return true // the server keeps the lower 32 bits without a word
	case p.Rule == "R063" && strings.HasPrefix(p.Field, "spec.jobTemplate.metadata"):
		return true // the server refuses the Job of each run
	}
	return false
}

// judged is what the server and the offline validation think of one mutant.
type judged struct {
	mutant
	refused error
	errors  []*schema.Problem
}

func (s *server) judge(ctx context.Context, all []mutant) []judged {
	out := make([]judged, len(all))
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := worker; i < len(all); i += 4 {
				out[i] = judged{mutant: all[i], refused: s.apply(ctx, all[i].object)}
				object := schema.Object{Unstructured: &unstructured.Unstructured{Object: all[i].object}}
				for _, p := range schema.Validate(append(slices.Clip(s.beside), object)) {
					if p.Object != nil && *p.Object != object.Key() {
						continue
					}
					if p.Severity == schema.SeverityError {
						out[i].errors = append(out[i].errors, p)
					}
				}
			}
		})
	}
	group.Wait()
	return out
}

// TestOfflineValidationAgreesWithTheServer holds the two to each other over
// thousands of objects that are nearly right: whatever the server refuses must
// be found offline, and whatever it takes must be no error.
func TestOfflineValidationAgreesWithTheServer(t *testing.T) {
	s := newServer(t)
	for _, file := range []string{"jobs", "workloads", "core", "cluster"} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile("testdata/validate/" + file + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			documents, err := schema.ReadDocuments(file, text, schema.DocumentLimits{})
			if err != nil {
				t.Fatal(err)
			}
			var all []mutant
			for _, d := range documents {
				value, err := d.Value()
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, sample(mutate(t, value.(map[string]any)))...)
			}
			compare(t, s.judge(t.Context(), all))
		})
	}
}

// sample keeps one of -mutants by a hash, so that it is the same every time.
func sample(all []mutant) []mutant {
	return slices.DeleteFunc(all, func(m mutant) bool {
		if m.what == unchanged {
			return false
		}
		h := fnv.New32()
		h.Write([]byte(m.what))
		return h.Sum32()%uint32(*everyMutant) != 0
	})
}

func compare(t *testing.T, all []judged) {
	t.Helper()
	refused, same := 0, 0
	for _, j := range all {
		name := (&unstructured.Unstructured{Object: j.object}).GetKind() + " " + j.what
		if j.what == unchanged && (j.refused != nil || len(j.errors) > 0) {
			t.Errorf("%s: a seed must be right: %v, %v", name, j.refused, j.errors)
		}
		switch {
		case j.refused != nil && len(j.errors) == 0 && !ofTheCluster(j.refused):
			t.Errorf("%s: the server refuses it, and offline nothing is found: %v", name, j.refused)
		case j.refused == nil:
			for _, p := range j.errors {
				if !onPurpose(j.mutant, p) {
					t.Errorf("%s: the server takes it, and offline it is an error: %v", name, p)
				}
			}
		case len(j.errors) > 0:
			refused++
			if sameField(j) {
				same++
			}
		}
	}
	t.Logf("%d objects, %d refused by both, for %d of them at the same field", len(all), refused, same)
}

// sameField reports whether one of our problems is about a field that the
// server names, or about one above or below it.
func sameField(j judged) bool {
	var status apierrors.APIStatus
	if !errors.As(j.refused, &status) || status.Status().Details == nil {
		return false
	}
	for _, cause := range status.Status().Details.Causes {
		for _, p := range j.errors {
			if strings.HasPrefix(p.Field, cause.Field) || strings.HasPrefix(cause.Field, p.Field) {
				return true
			}
		}
	}
	return false
}
