package node

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// binders is how many Pods are bound at a time.
const binders = 8

// watch begins to follow Pods, Services, ConfigMaps and Secrets, and returns when it knows all that there are.
func (n *Node) watch(ctx, running context.Context, factory informers.SharedInformerFactory) error {
	core := factory.Core().V1()
	services := core.Services().Informer()
	configs := []cache.SharedIndexInformer{core.ConfigMaps().Informer(), core.Secrets().Informer()}
	for _, informer := range configs {
		// Only their coming and changing matters: contents are read when they are needed.
		if err := informer.SetTransform(withoutContent); err != nil {
			return fmt.Errorf("watching configuration: %w", err)
		}
	}
	pods := core.Pods().Informer()
	factory.StartWithContext(running)
	n.working.Go(func() {
		<-running.Done()
		factory.Shutdown()
	})
	// Services first: a Pod's variables come from those that are known when it starts.
	if !cache.WaitForCacheSync(ctx.Done(), services.HasSynced) {
		return fmt.Errorf("watching services: %w", context.Cause(ctx))
	}
	handled, err := pods.AddEventHandler(n.podHandler(running))
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	for _, informer := range configs {
		if _, err := informer.AddEventHandler(n.configHandler()); err != nil {
			return fmt.Errorf("watching configuration: %w", err)
		}
	}
	for range binders {
		n.working.Go(func() { n.bindAll(running) })
	}
	if !cache.WaitForCacheSync(ctx.Done(), handled.HasSynced) {
		return fmt.Errorf("watching pods: %w", context.Cause(ctx))
	}
	n.removeForgotten()
	return nil
}

func withoutContent(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.ConfigMap:
		o.Data, o.BinaryData, o.ManagedFields = nil, nil, nil
	case *corev1.Secret:
		o.Data, o.ManagedFields = nil, nil
	}
	return object, nil
}

func (n *Node) podHandler(running context.Context) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { n.see(running, object.(*corev1.Pod)) },
		UpdateFunc: func(old, object any) {
			before, pod := old.(*corev1.Pod), object.(*corev1.Pod)
			if before.UID != pod.UID {
				n.forget(before.UID)
			}
			n.see(running, pod)
		},
		DeleteFunc: func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			if pod, ok := object.(*corev1.Pod); ok {
				n.forget(pod.UID)
			}
		},
	}
}

// see hands the Pod to its worker, or to the queue of those to be bound.
func (n *Node) see(running context.Context, pod *corev1.Pod) {
	switch pod.Spec.NodeName {
	case "":
		if pod.DeletionTimestamp == nil && len(pod.Spec.SchedulingGates) == 0 {
			n.queue.Add(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
		}
		return
	case Name:
	default:
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if worker := n.workers[pod.UID]; worker != nil {
		worker.tell(func(box *inbox) { box.pod = pod })
		return
	}
	if n.stopped {
		return
	}
	worker := newPodWorker(n, pod)
	n.workers[pod.UID] = worker
	n.working.Go(func() {
		worker.run(running)
		n.mu.Lock()
		delete(n.workers, pod.UID)
		n.mu.Unlock()
	})
}

// forget tells the worker that its Pod is gone from the API server.
func (n *Node) forget(uid types.UID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if worker := n.workers[uid]; worker != nil {
		worker.tell(func(box *inbox) { box.removed = true })
	}
}

// configHandler wakes the Pods of a namespace in which a ConfigMap or Secret came or changed: one may wait for it.
func (n *Node) configHandler() cache.ResourceEventHandler {
	wake := func(object any) {
		accessor, ok := object.(metav1.Object)
		if !ok {
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, worker := range n.workers {
			worker.configChanged(accessor.GetNamespace())
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: wake, UpdateFunc: func(_, object any) { wake(object) }}
}

// bindAll binds Pods from the queue until it shuts down.
func (n *Node) bindAll(ctx context.Context) {
	for {
		key, shutdown := n.queue.Get()
		if shutdown {
			return
		}
		if err := n.bind(ctx, key); err != nil && ctx.Err() == nil {
			n.log.Warn("binding pod", "pod", key.String(), "error", err)
			n.queue.AddRateLimited(key)
		} else {
			n.queue.Forget(key)
		}
		n.queue.Done(key)
	}
}

// bind gives a waiting Pod to this node. A Pod that is gone or bound meanwhile needs nothing.
func (n *Node) bind(ctx context.Context, key types.NamespacedName) error {
	pod, err := n.pods.Pods(key.Namespace).Get(key.Name)
	if err != nil || pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil {
		return nil
	}
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: Name},
	}
	err = n.client.CoreV1().Pods(key.Namespace).Bind(ctx, binding, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// removeForgotten removes the directories of Pods that were deleted while no node ran.
func (n *Node) removeForgotten() {
	entries, err := os.ReadDir(n.dir)
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, entry := range entries {
		if n.workers[types.UID(entry.Name())] == nil {
			os.RemoveAll(filepath.Join(n.dir, entry.Name()))
		}
	}
}

// servicesFor returns the service variables of a Pod: those of its namespace unless it declines them, and always those
// of the API server.
func (n *Node) servicesFor(pod *corev1.Pod) map[string]string {
	var services []*corev1.Service
	if pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks {
		// The lister reads from memory and cannot fail.
		services, _ = n.services.Services(pod.Namespace).List(labels.Everything())
	}
	if pod.Namespace != metav1.NamespaceDefault || len(services) == 0 {
		if api, err := n.services.Services(metav1.NamespaceDefault).Get("kubernetes"); err == nil {
			services = append(services, api)
		}
	}
	return serviceEnv(services, n.targetPort)
}

// targetPort returns where the processes behind a Service's port listen.
func (n *Node) targetPort(service *corev1.Service, port *corev1.ServicePort) int32 {
	if service.Namespace == metav1.NamespaceDefault && service.Name == "kubernetes" {
		return n.apiPort
	}
	if port.TargetPort.Type == intstr.Int {
		if port.TargetPort.IntVal != 0 {
			return port.TargetPort.IntVal
		}
		return port.Port
	}
	pods, _ := n.pods.Pods(service.Namespace).List(labels.SelectorFromSet(service.Spec.Selector))
	for _, pod := range pods {
		if number, ok := namedPort(pod, port.TargetPort.StrVal); ok {
			return number
		}
	}
	return port.Port
}

func namedPort(pod *corev1.Pod, name string) (int32, bool) {
	for i := range pod.Spec.Containers {
		for _, port := range pod.Spec.Containers[i].Ports {
			if port.Name == name {
				return port.ContainerPort, true
			}
		}
	}
	return 0, false
}

// portOf returns the port of a URL or of host:port, or 0.
func portOf(host string) int32 {
	if strings.Contains(host, "://") {
		parsed, err := url.Parse(host)
		if err != nil {
			return 0
		}
		host = parsed.Host
	}
	_, text, err := net.SplitHostPort(host)
	if err != nil {
		return 0
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return int32(number)
}
