package node

import (
	"context"
	"fmt"
	"runtime"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-helpers/apimachinery/lease"
	"k8s.io/utils/clock"
)

// The kubelet's defaults for its heartbeat.
const (
	leaseSeconds = 40
	leasePeriod  = 10 * time.Second
)

// maxPods is the Node's capacity for Pods, for show: nothing is refused. It is more than a kubelet's 110, as a process
// is less than a container.
const maxPods = 1000

// capacity returns what the machine has. Nothing is set aside and nothing is enforced.
func capacity() corev1.ResourceList {
	list := corev1.ResourceList{
		corev1.ResourceCPU:  *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourcePods: *resource.NewQuantity(maxPods, resource.DecimalSI),
	}
	if memory := memoryBytes(); memory > 0 {
		list[corev1.ResourceMemory] = *resource.NewQuantity(memory, resource.BinarySI)
	}
	return list
}

// register creates or refreshes the Node object and marks it ready.
func register(ctx context.Context, client kubernetes.Interface, status corev1.NodeStatus) error {
	nodes := client.CoreV1().Nodes()
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: Name, Labels: map[string]string{
		corev1.LabelHostname: Name, corev1.LabelOSStable: runtime.GOOS, corev1.LabelArchStable: runtime.GOARCH,
	}}}
	if _, err := nodes.Create(ctx, object, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating node %s: %w", Name, err)
	}
	// Admission taints every new Node as not ready, and the controller that would lift the taint is not part of the cluster.
	if _, err := nodes.Patch(ctx, Name, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("removing taints of node %s: %w", Name, err)
	}
	object, err := nodes.Get(ctx, Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading node %s: %w", Name, err)
	}
	object.Status = status
	if _, err := nodes.UpdateStatus(ctx, object, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("updating status of node %s: %w", Name, err)
	}
	return nil
}

// nodeStatus returns the status of a ready Node whose own API listens on port.
func nodeStatus(port int32, version string, now metav1.Time) corev1.NodeStatus {
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, Message: message, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return corev1.NodeStatus{
		Capacity:    capacity(),
		Allocatable: capacity(),
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: address}, {Type: corev1.NodeHostName, Address: Name},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}},
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "not watched"),
			condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "not watched"),
			condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "not watched"),
			condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "localcluster runs containers as local processes"),
		},
		NodeInfo: corev1.NodeSystemInfo{
			Architecture: runtime.GOARCH, OperatingSystem: runtime.GOOS, KubeletVersion: version,
			ContainerRuntimeVersion: "process://localcluster", OSImage: runtime.GOOS,
		},
	}
}

// heartbeat renews the Node's lease until ctx ends.
func heartbeat(ctx context.Context, client kubernetes.Interface) {
	lease.NewController(clock.RealClock{}, client, Name, leaseSeconds, nil, leasePeriod, Name, corev1.NamespaceNodeLease, nil).Run(ctx)
}
