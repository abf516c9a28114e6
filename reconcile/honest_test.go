package reconcile

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"rota.dev/rota/reconcile/cluster/local/localtest"
)

var (
	honestFor  = flag.Duration("honest.for", 30*time.Second, "how long plans are held to what they announced")
	honestSeed = flag.Uint64("honest.seed", 0, "seed of one story of TestAPlanIsHonest; zero takes the time, and goes on from there")
)

// TestAPlanIsHonest tells random stories on the real API server, and holds every
// sync to its plan: what was announced is what went over the wire and what
// became of the cluster, and a second plan is empty. No controllers work on the
// objects, so that a seed says all that happens: the story plays their part.
func TestAPlanIsHonest(t *testing.T) {
	kube := localtest.Shared(t, "--node", "none", "--controllers", "namespace,garbagecollector")
	config := kube.Config()
	config.QPS = -1
	installWidgets(t, config)
	seed, one := *honestSeed, *honestSeed != 0
	if !one {
		seed = uint64(time.Now().UnixNano())
	}
	told, syncs, seen := 0, 0, map[string]int{}
	for until := time.Now().Add(*honestFor); time.Now().Before(until); seed++ {
		story := honestStory(rand.New(rand.NewPCG(seed, 3)))
		if err := tell(t, config, story, seen); err != nil {
			t.Fatalf("-honest.seed=%d: %v\nthe shortest story with it:\n%s", seed, err, shortestWith(t, config, story, err))
		}
		told++
		for _, s := range story {
			if s.do == "sync" {
				syncs++
			}
		}
		if one {
			break
		}
	}
	t.Logf("%d stories with %d syncs, which announced: %v", told, syncs, seen)
}

// shortestWith returns the shortest story found in which the same is wrong.
func shortestWith(t *testing.T, config *rest.Config, story []honestStep, err error) string {
	until := time.Now().Add(min(*honestFor, time.Minute))
	var last error
	story = shortest(story, func() bool { return time.Now().After(until) }, func(less []honestStep) bool {
		again := tell(t, config, less, map[string]int{})
		if again == nil || kindOf(again) != kindOf(err) {
			return false
		}
		last = again
		return true
	})
	var b strings.Builder
	for _, s := range story {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	if last != nil {
		fmt.Fprintf(&b, "there: %v", last)
	}
	return b.String()
}

// kindOf is an error without the names in it.
func kindOf(err error) string {
	var d *dishonest
	if !errors.As(err, &d) {
		return "another"
	}
	line, _, _ := strings.Cut(d.what, "\n")
	if _, rest, ok := strings.Cut(line, " was announced as "); ok {
		verdict := rest[strings.LastIndex(rest, ", and ")+1:]
		return strings.Join(append(strings.Fields(rest)[:2], strings.Fields(verdict)[:3]...), " ")
	}
	return strings.Join(strings.Fields(line)[:3], " ")
}

// installWidgets defines the stories' custom kind, and waits until it is served.
func installWidgets(t *testing.T, config *rest.Config) {
	t.Helper()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	size := object{"type": "object", "properties": object{"size": object{"type": "integer"}, "parts": object{"type": "array", "items": object{"type": "string"}}}}
	definition, err := parsed(compact(object{"metadata": object{"name": "widgets." + widgetGroup}, "spec": object{
		"group": widgetGroup, "scope": "Namespaced", "names": object{"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
		"versions": []object{{"name": "v1", "served": true, "storage": true, "schema": object{"openAPIV3Schema": object{"type": "object", "properties": object{"spec": size}}}}},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: definition}
	u.SetAPIVersion("apiextensions.k8s.io/v1")
	u.SetKind("CustomResourceDefinition")
	if _, err := client.Resource(resources["customresourcedefinitions"].resource).Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if _, err = client.Resource(resources["widgets"].resource).List(ctx, metav1.ListOptions{}); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the kind Widget is not served: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
