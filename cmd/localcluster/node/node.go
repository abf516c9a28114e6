// Package node is a Kubernetes node that runs each container as a local process of this user.
//
// It binds every Pod that waits for a node to itself, in the place of a scheduler; runs init containers, sidecars and
// containers with their environment, probes, hooks, restart policies and grace periods; reports the statuses that a
// kubelet reports; and serves logs to the API server. Job statuses are therefore Kubernetes' own doing.
//
// It isolates nothing. There is no image, no file system, no network and no user of a container's own, and no resource
// limit: a container's processes can do what this user can do, its ports are this machine's, and of a Pod's security
// context nothing is honoured. Images are never read, so a container must say what to run: its command, or args that
// begin with a program of this machine.
//
// Volumes (emptyDir, configMap, secret, downwardAPI, projected, hostPath) are directories below the node's own, since
// an unprivileged process cannot mount. Where the command, the arguments, the working directory or a variable names a
// path below a mountPath, that path is replaced by the real one. A path that is compiled into a program, or stands in a
// file that it reads, is not: such a program does not find its volume here. A volume keeps the content that its
// ConfigMap or Secret had when the Pod started.
//
// A Service has no address here. The variables by which Pods find Services (REDIS_SERVICE_HOST and the like) name this
// machine and the Service's target port; the DNS names of Services do not resolve.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

const (
	// Name is the name of the Node object.
	Name = "local"
	// address is where every Pod and the node are.
	address = "127.0.0.1"
	// stopGrace is how long containers have to end by SIGTERM when the node stops.
	stopGrace = 2 * time.Second
)

// Options say where a node works and for whom.
type Options struct {
	// Config is a client configuration with all rights in the cluster.
	Config *rest.Config
	// Dir keeps volumes and logs, in a directory for each Pod. It must be absolute.
	Dir string
	// Certificate and Key are the files of the certificate with which the node serves logs.
	Certificate, Key string
	// ClientCA is the file of the authority that signed the API server's client certificate.
	ClientCA string
	// Version is what the node reports as its kubelet's version, such as v1.37.2.
	Version string
	// Log takes warnings about what the node could not do.
	Log *slog.Logger
}

// Node is a running node.
type Node struct {
	client  kubernetes.Interface
	log     *slog.Logger
	dir     string
	apiPort int32
	guard   *guard
	server  *http.Server

	cancel   context.CancelFunc
	working  sync.WaitGroup
	queue    workqueue.TypedRateLimitingInterface[types.NamespacedName]
	pods     corelisters.PodLister
	services corelisters.ServiceLister
	recorder record.EventRecorder
	events   record.EventBroadcaster

	mu      sync.Mutex
	workers map[types.UID]*podWorker
	running map[*process]struct{}
	stopped bool
}

// Start registers the node and begins to run Pods. It goes on after ctx ends, which is only about starting; Stop ends it.
func Start(ctx context.Context, options Options) (*Node, error) {
	// Volumes hold Secrets.
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making directory of pods: %w", err)
	}
	config := rest.CopyConfig(options.Config)
	config.UserAgent = "kubelet/" + options.Version + " localcluster"
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making node's client: %w", err)
	}
	n := &Node{
		client: client, log: options.Log, dir: options.Dir, apiPort: portOf(config.Host),
		workers: map[types.UID]*podWorker{}, running: map[*process]struct{}{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName]()),
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	n.pods, n.services = factory.Core().V1().Pods().Lister(), factory.Core().V1().Services().Lister()
	tlsConfig, err := serverConfig(options.Certificate, options.Key, options.ClientCA)
	if err != nil {
		return nil, err
	}
	if n.guard, err = startGuard(string(uuid.NewUUID())); err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	listener, server, err := n.serve(tlsConfig)
	if err != nil {
		n.Stop()
		return nil, err
	}
	n.server = server
	if err := register(ctx, client, nodeStatus(portOf(listener.Addr().String()), options.Version, metav1.Now())); err != nil {
		n.Stop()
		return nil, err
	}
	n.startEvents()
	n.working.Go(func() { heartbeat(running, client) })
	if err := n.watch(ctx, running, factory); err != nil {
		n.Stop()
		return nil, err
	}
	return n, nil
}

// startEvents begins to send events to the API server, in the background.
func (n *Node) startEvents() {
	n.events = record.NewBroadcaster()
	n.events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: n.client.CoreV1().Events("")})
	n.recorder = n.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: Name})
}

// Stop ends every process of every container, with SIGTERM first, and then the node. The Pods keep the statuses that
// they had.
func (n *Node) Stop() {
	n.cancel()
	n.queue.ShutDown()
	n.mu.Lock()
	n.stopped = true
	var processes []*process
	for p := range n.running {
		processes = append(processes, p)
	}
	n.mu.Unlock()
	for _, p := range processes {
		p.signal(syscall.SIGTERM)
	}
	timeout := time.NewTimer(stopGrace)
	defer timeout.Stop()
	for _, p := range processes {
		select {
		case <-p.done:
		case <-timeout.C:
			timeout.Reset(0)
			p.signal(syscall.SIGKILL)
			<-p.done
		}
	}
	n.guard.stop()
	n.working.Wait()
	if n.server != nil {
		n.server.Close()
	}
	if n.events != nil {
		n.events.Shutdown()
	}
}

// start starts a process unless the node stops.
func (n *Node) start(spec processSpec) (*process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return nil, errors.New("the node is stopping")
	}
	p, err := startProcess(spec, n.guard)
	if err != nil {
		return nil, err
	}
	n.running[p] = struct{}{}
	go func() {
		<-p.done
		n.mu.Lock()
		delete(n.running, p)
		n.mu.Unlock()
	}()
	return p, nil
}

func (n *Node) event(pod *corev1.Pod, kind, reason, message string) {
	n.recorder.Event(pod, kind, reason, message)
}

func (n *Node) podDir(uid types.UID) string { return filepath.Join(n.dir, string(uid)) }

// findLog returns the log file of a container, and its live end while it runs.
func (n *Node) findLog(namespace, pod, container string, previous bool) (string, *containerLog, error) {
	object, err := n.pods.Pods(namespace).Get(pod)
	if err != nil {
		return "", nil, &statusError{http.StatusNotFound, fmt.Sprintf("pod %q not found in namespace %q", pod, namespace)}
	}
	n.mu.Lock()
	worker := n.workers[object.UID]
	n.mu.Unlock()
	missing := &statusError{http.StatusBadRequest, fmt.Sprintf("container %q in pod %q is waiting to start", container, pod)}
	if worker == nil {
		return "", nil, missing
	}
	path, live, ok := worker.log(container, previous)
	if _, err := os.Stat(path); !ok || err != nil {
		if previous {
			missing.message = fmt.Sprintf("previous terminated container %q in pod %q not found", container, pod)
		}
		return "", nil, missing
	}
	return path, live, nil
}
