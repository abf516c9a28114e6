package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"rota.dev/rota/reconcile/cluster"
	"rota.dev/rota/reconcile/cluster/local/localtest"
	"rota.dev/rota/reconcile/status"
	"rota.dev/rota/render/child"
	"rota.dev/rota/schema"
)

// BenchmarkDrift patches one of 1,000 applied objects by hand and measures, from
// when the patch is sent, when a bare watch sees it (the limit), when the loop
// has decided on it, and when a bare watch sees it healed.
func BenchmarkDrift(b *testing.B) {
	control := localtest.Shared(b)
	// Not the default limit of five requests a second, which would be measured.
	config := control.Config()
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		b.Fatal(err)
	}
	namespace := fmt.Sprintf("drift-%d", time.Now().UnixNano())
	if _, err := client.CoreV1().Namespaces().Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	repo := b.TempDir()
	var text strings.Builder
	for i := range 1000 {
		text.WriteString("---\n" + configMapText(fmt.Sprintf("m%d", i), "git"))
	}
	if err := os.WriteFile(filepath.Join(repo, "all.yaml"), []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	type syncedAt struct {
		at      time.Time
		drifted bool
		done    bool
	}
	rounds := make(chan syncedAt, 10_000)
	s := schema.Sync{Metadata: schema.Metadata{Name: namespace}}
	s.Spec.Source.Directory = &schema.DirectorySource{Path: repo}
	s.Spec.Target.Namespace = namespace
	s.SetDefaults()
	hush(slog.New(slog.DiscardHandler))
	engine := child.New(child.Options{})
	defer engine.Close()
	rt := controller{engine: engine, kube: &kube{kubeconfig: control.Kubeconfig}, namespace: cluster.DefaultNamespace, log: slog.New(slog.DiscardHandler),
		onSync: func(r status.Report, st status.Status) {
			rounds <- syncedAt{time.Now(), drifted(r.Plan), st.Ready() && st.Counts.InPlace == 1000}
		}}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- rt.run(ctx, s) }()
	defer func() { cancel(); <-ended }()
	for r := range rounds {
		if r.done {
			break
		}
	}
	watch, err := client.CoreV1().ConfigMaps(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer watch.Stop()
	var limit, seen, healed []time.Duration
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprintf("m%d", i%1000)
		sent := time.Now()
		if _, err := client.CoreV1().ConfigMaps(namespace).Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"k":"hand"}}`), metav1.PatchOptions{FieldManager: "kubectl-patch"}); err != nil {
			b.Fatal(err)
		}
		patched := false
		for event := range watch.ResultChan() {
			m, ok := event.Object.(*corev1.ConfigMap)
			if !ok || m.Name != name {
				continue
			}
			if m.Data["k"] == "hand" && !patched {
				patched = true
				limit = append(limit, time.Since(sent))
			} else if patched && m.Data["k"] == "git" {
				healed = append(healed, time.Since(sent))
				break
			}
		}
		for r := range rounds {
			if r.drifted {
				seen = append(seen, r.at.Sub(sent))
				break
			}
		}
	}
	report := func(name string, all []time.Duration) float64 {
		slices.Sort(all)
		p99 := all[len(all)*99/100]
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(p99.Microseconds())/1000, name+"-p99-ms")
		return float64(all[len(all)/2])
	}
	floor := report("watch", limit)
	report("synced", seen)
	b.ReportMetric(report("healed", healed)/floor, "healed/watch")
}
