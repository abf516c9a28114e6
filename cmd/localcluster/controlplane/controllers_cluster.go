package controlplane

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/klog/v2"
	pkgcontroller "k8s.io/kubernetes/pkg/controller"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	serviceaccountcontroller "k8s.io/kubernetes/pkg/controller/serviceaccount"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// discoveryPeriod is how often the garbage collector and the quota controller look for new kinds, as in
// kube-controller-manager.
const discoveryPeriod = 30 * time.Second

// together runs both loops and returns when both ended.
func together(first, second runController) runController {
	return func(ctx context.Context) {
		var running sync.WaitGroup
		running.Go(func() { first(ctx) })
		running.Go(func() { second(ctx) })
		running.Wait()
	}
}

func newGarbageCollector(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("generic-garbage-collector")
	if err != nil {
		return nil, err
	}
	metadataClient, err := metadata.NewForConfig(c.clientConfig("generic-garbage-collector"))
	if err != nil {
		return nil, fmt.Errorf("making metadata client: %w", err)
	}
	ignored := map[schema.GroupResource]struct{}{}
	for resource := range garbagecollector.DefaultIgnoredResources() {
		ignored[resource] = struct{}{}
	}
	graph := garbagecollector.NewDependencyGraphBuilder(ctx, metadataClient, c.restMapper, ignored, c.typedOrMetadata(), c.started)
	collector, err := garbagecollector.NewComposedGarbageCollector(ctx, client, metadataClient, c.restMapper, graph)
	if err != nil {
		return nil, err
	}
	return together(
		func(ctx context.Context) { collector.Run(ctx, 20, discoveryPeriod) },
		func(ctx context.Context) { collector.Sync(ctx, client.Discovery(), discoveryPeriod) },
	), nil
}

func newNamespaceController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("namespace-controller")
	if err != nil {
		return nil, err
	}
	metadataClient, err := metadata.NewForConfig(c.clientConfig("namespace-controller"))
	if err != nil {
		return nil, fmt.Errorf("making metadata client: %w", err)
	}
	namespaces := namespace.NewNamespaceController(ctx, client, metadataClient, client.Discovery().ServerPreferredNamespacedResources,
		c.informers.Core().V1().Namespaces(), 5*time.Minute, corev1.FinalizerKubernetes)
	return func(ctx context.Context) { namespaces.Run(ctx, 10) }, nil
}

func newServiceAccountController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("service-account-controller")
	if err != nil {
		return nil, err
	}
	core := c.informers.Core().V1()
	accounts, err := serviceaccountcontroller.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(),
		client, serviceaccountcontroller.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { accounts.Run(ctx, 1) }, nil
}

func newServiceAccountTokenController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("tokens-controller")
	if err != nil {
		return nil, err
	}
	key, err := keyutil.PrivateKeyFromFile(c.keys.path("sa.key"))
	if err != nil {
		return nil, fmt.Errorf("reading service account key: %w", err)
	}
	rootCA, err := os.ReadFile(c.keys.path("ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("reading root certificate: %w", err)
	}
	generator, err := serviceaccount.JWTTokenGenerator(serviceaccount.LegacyIssuer, key)
	if err != nil {
		return nil, fmt.Errorf("making token generator: %w", err)
	}
	core := c.informers.Core().V1()
	tokens, err := serviceaccountcontroller.NewTokensController(klog.FromContext(ctx), core.ServiceAccounts(), core.Secrets(), client,
		serviceaccountcontroller.TokensControllerOptions{TokenGenerator: generator, RootCA: rootCA})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { tokens.Run(ctx, 5) }, nil
}

func newRootCAPublisher(_ context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("root-ca-cert-publisher")
	if err != nil {
		return nil, err
	}
	rootCA, err := os.ReadFile(c.keys.path("ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("reading root certificate: %w", err)
	}
	core := c.informers.Core().V1()
	publisher, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), client, rootCA)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { publisher.Run(ctx, 1) }, nil
}

func newResourceQuotaController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("resourcequota-controller")
	if err != nil {
		return nil, err
	}
	discover := client.Discovery().ServerPreferredNamespacedResources
	configuration, err := quotainstall.NewQuotaConfigurationForControllers(generic.ListerFuncForResourceFunc(c.informers.ForResource), c.informers)
	if err != nil {
		return nil, fmt.Errorf("making quota configuration: %w", err)
	}
	quotas, err := resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient:               client.CoreV1(),
		ResourceQuotaInformer:     c.informers.Core().V1().ResourceQuotas(),
		ResyncPeriod:              pkgcontroller.StaticResyncPeriodFunc(5 * time.Minute),
		InformerFactory:           c.typedOrMetadata(),
		ReplenishmentResyncPeriod: func() time.Duration { return resyncPeriod },
		DiscoveryFunc:             discover,
		IgnoredResourcesFunc:      configuration.IgnoredResources,
		InformersStarted:          c.started,
		Registry:                  generic.NewRegistry(configuration.Evaluators()),
		UpdateFilter:              quotainstall.DefaultUpdateFilter(),
	})
	if err != nil {
		return nil, err
	}
	return together(
		func(ctx context.Context) { quotas.Run(ctx, 5) },
		func(ctx context.Context) { quotas.Sync(ctx, discover, discoveryPeriod) },
	), nil
}

func newClusterRoleAggregation(_ context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("clusterrole-aggregation-controller")
	if err != nil {
		return nil, err
	}
	aggregation := clusterroleaggregation.NewClusterRoleAggregation(c.informers.Rbac().V1().ClusterRoles(), client.RbacV1())
	return func(ctx context.Context) { aggregation.Run(ctx, 5) }, nil
}
