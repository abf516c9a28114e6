package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	cacheddiscovery "k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	genericcontrollermanager "k8s.io/controller-manager/app"
	"k8s.io/controller-manager/pkg/informerfactory"
)

// resyncPeriod is kube-controller-manager's default --min-resync-period. It spreads the resyncs of its informers over one to
// two such periods; with twelve hours and one process there is nothing to spread.
const resyncPeriod = 12 * time.Hour

// controllerContext is what the constructors of controllers take from.
type controllerContext struct {
	config     *rest.Config
	informers  informers.SharedInformerFactory
	metadata   metadatainformer.SharedInformerFactory
	restMapper *restmapper.DeferredDiscoveryRESTMapper
	started    chan struct{}
	keys       pki
}

// runController is one controller's loop; it returns when ctx ends.
type runController func(ctx context.Context)

// controller is one loop of kube-controller-manager: its name there, the name it had before v1.28, which --controllers
// still takes, and its constructor.
type controller struct {
	name  string
	alias string
	build func(context.Context, *controllerContext) (runController, error)
}

// clientConfig returns a client configuration that says which controller is calling. As in kube-controller-manager each
// controller has a limit of its own, if there is one.
func (c *controllerContext) clientConfig(name string) *rest.Config {
	config := rest.CopyConfig(c.config)
	config.UserAgent = "kube-controller-manager/" + kubernetesVersion() + " localcluster/" + name
	return config
}

func (c *controllerContext) client(name string) (kubernetes.Interface, error) {
	client, err := kubernetes.NewForConfig(c.clientConfig(name))
	if err != nil {
		return nil, fmt.Errorf("making client of %s: %w", name, err)
	}
	return client, nil
}

// typedOrMetadata gives informers for typed resources where the client knows the type, and for their metadata otherwise.
func (c *controllerContext) typedOrMetadata() informerfactory.InformerFactory {
	return informerfactory.NewInformerFactory(c.informers, c.metadata)
}

func newControllerContext(ctx context.Context, config *rest.Config, keys pki) (*controllerContext, error) {
	c := &controllerContext{config: config, keys: keys, started: make(chan struct{})}
	client, err := c.client("shared-informers")
	if err != nil {
		return nil, err
	}
	metadataClient, err := metadata.NewForConfig(c.clientConfig("metadata-informers"))
	if err != nil {
		return nil, fmt.Errorf("making metadata client: %w", err)
	}
	c.informers = informers.NewSharedInformerFactoryWithOptions(client, resyncPeriod, informers.WithTransform(withoutManagedFields))
	c.metadata = metadatainformer.NewSharedInformerFactoryWithOptions(metadataClient, resyncPeriod,
		metadatainformer.WithTransform(withoutManagedFields))
	c.restMapper = restmapper.NewDeferredDiscoveryRESTMapper(cacheddiscovery.NewMemCacheClient(client.Discovery()))
	// Kinds come and go with CustomResourceDefinitions; kube-controller-manager forgets what it discovered as often.
	go wait.Until(c.restMapper.Reset, 30*time.Second, ctx.Done())
	return c, nil
}

func withoutManagedFields(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}

// startControllers runs the controllers that the selection names until ctx ends, and returns a function that waits for them.
func startControllers(ctx context.Context, config *rest.Config, keys pki, selection []string) (func(), error) {
	selected, err := selectControllers(selection)
	if err != nil {
		return nil, err
	}
	shared, err := newControllerContext(ctx, config, keys)
	if err != nil {
		return nil, err
	}
	var loops []runController
	for _, c := range selected {
		run, err := c.build(ctx, shared)
		if err != nil {
			return nil, fmt.Errorf("making %s: %w", c.name, err)
		}
		loops = append(loops, run)
	}
	shared.informers.Start(ctx.Done())
	shared.metadata.Start(ctx.Done())
	close(shared.started)

	var running sync.WaitGroup
	for _, run := range loops {
		running.Go(func() { run(ctx) })
	}
	return running.Wait, nil
}

// selectControllers returns the controllers that a list in the syntax of kube-controller-manager's --controllers
// selects: `*` all, `NAME` that one, `-NAME` not that one. A name that kube-controller-manager does not have is an
// error, and so is asking by name for one that this binary leaves out.
func selectControllers(selection []string) ([]controller, error) {
	canonical := make([]string, 0, len(selection))
	for _, item := range selection {
		name := strings.TrimPrefix(item, "-")
		found := slices.IndexFunc(controllers, func(c controller) bool { return c.name == name || c.alias == name })
		switch {
		case item == "*":
			canonical = append(canonical, item)
		case found >= 0:
			canonical = append(canonical, item[:len(item)-len(name)]+controllers[found].name)
		case !slices.Contains(leftOut, name):
			return nil, fmt.Errorf("selecting controllers: %q is not a controller of kube-controller-manager; use *, NAME or -NAME with one of %s",
				item, strings.Join(controllerNames(), ", "))
		case !strings.HasPrefix(item, "-"):
			return nil, fmt.Errorf("selecting controllers: %s is not part of localcluster; it has %s", name, strings.Join(controllerNames(), ", "))
		}
	}
	var selected []controller
	for _, c := range controllers {
		if genericcontrollermanager.IsControllerEnabled(c.name, sets.NewString(), canonical) {
			selected = append(selected, c)
		}
	}
	return selected, nil
}

// controllerNames returns the names of the controllers in this binary, in order.
func controllerNames() []string {
	var all []string
	for _, c := range controllers {
		all = append(all, c.name)
	}
	slices.Sort(all)
	return all
}
