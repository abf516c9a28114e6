package node

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// Reasons that the kubelet gives in conditions and container states; Job and Pod tools know them by these words.
const (
	reasonPodCompleted             = "PodCompleted"
	reasonPodFailed                = "PodFailed"
	reasonContainersNotReady       = "ContainersNotReady"
	reasonContainersNotInitialized = "ContainersNotInitialized"
	reasonReadinessGatesNotReady   = "ReadinessGatesNotReady"
	reasonPodInitializing          = "PodInitializing"
	reasonContainerCreating        = "ContainerCreating"
	reasonCrashLoopBackOff         = "CrashLoopBackOff"
	reasonConfigError              = "CreateContainerConfigError"
	reasonStartError               = "StartError"
	reasonStatusUnknown            = "ContainerStatusUnknown"
	reasonDeadlineExceeded         = "DeadlineExceeded"
	reasonCompleted                = "Completed"
	reasonError                    = "Error"
)

// ending says how a Pod ends when it does not simply run out of containers to run.
type ending struct {
	reason  string
	message string
}

// podFacts are what a Pod's status follows from.
type podFacts struct {
	// containers has the statuses of init and ordinary containers, by name.
	containers map[string]corev1.ContainerStatus
	// initialized says that all init containers once succeeded or, if they restart, started.
	initialized bool
	// prepared says that volumes are there, so that containers can start.
	prepared bool
	// finished says that nothing runs and nothing will.
	finished bool
	// ending is nil unless the node ended the Pod.
	ending *ending
}

// podStatus returns the status that a kubelet would report. It keeps startTime, and the conditions that are not a
// kubelet's, from pod.Status; now is the time of every condition that changes.
func podStatus(pod *corev1.Pod, facts podFacts, now metav1.Time) corev1.PodStatus {
	status := *pod.Status.DeepCopy()
	status.ObservedGeneration = pod.Generation
	if status.StartTime == nil {
		status.StartTime = &now
	}
	status.HostIP, status.HostIPs = address, []corev1.HostIP{{IP: address}}
	if facts.prepared {
		status.PodIP, status.PodIPs = address, []corev1.PodIP{{IP: address}}
	}
	status.InitContainerStatuses = statusesOf(pod.Spec.InitContainers, facts.containers)
	status.ContainerStatuses = statusesOf(pod.Spec.Containers, facts.containers)
	status.Phase = podPhase(pod, facts)
	if facts.ending != nil && facts.finished {
		status.Reason, status.Message = facts.ending.reason, facts.ending.message
	}
	for _, condition := range podConditions(pod, facts, status.Phase) {
		setCondition(&status, condition, pod.Generation, now)
	}
	return status
}

func statusesOf(containers []corev1.Container, statuses map[string]corev1.ContainerStatus) []corev1.ContainerStatus {
	var ordered []corev1.ContainerStatus
	for _, container := range containers {
		if status, ok := statuses[container.Name]; ok {
			ordered = append(ordered, status)
		}
	}
	return ordered
}

// setCondition puts a condition into the status; its transition time moves only when its status does.
func setCondition(status *corev1.PodStatus, condition corev1.PodCondition, generation int64, now metav1.Time) {
	condition.ObservedGeneration = generation
	condition.LastTransitionTime = now
	i := slices.IndexFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == condition.Type })
	if i < 0 {
		status.Conditions = append(status.Conditions, condition)
		return
	}
	if status.Conditions[i].Status == condition.Status {
		condition.LastTransitionTime = status.Conditions[i].LastTransitionTime
	}
	condition.LastProbeTime = status.Conditions[i].LastProbeTime
	status.Conditions[i] = condition
}

// podPhase returns the phase by the kubelet's rules; see "Pod phase" in Kubernetes' page on the Pod lifecycle.
// A phase that says the end is only given once nothing runs.
func podPhase(pod *corev1.Pod, facts podFacts) corev1.PodPhase {
	if phase := pod.Status.Phase; phase == corev1.PodSucceeded || phase == corev1.PodFailed {
		return phase
	}
	if facts.finished {
		return finalPhase(pod, facts)
	}
	if !facts.initialized {
		return corev1.PodPending
	}
	for i := range pod.Spec.Containers {
		status, ok := facts.containers[pod.Spec.Containers[i].Name]
		neverRan := ok && status.State.Waiting != nil && status.LastTerminationState.Terminated == nil
		if !ok || neverRan {
			return corev1.PodPending
		}
	}
	return corev1.PodRunning
}

// finalPhase returns Succeeded when every container ended with exit code 0 and nothing cut the Pod short.
func finalPhase(pod *corev1.Pod, facts podFacts) corev1.PodPhase {
	if facts.ending != nil {
		return corev1.PodFailed
	}
	for i := range pod.Spec.Containers {
		terminated := facts.containers[pod.Spec.Containers[i].Name].State.Terminated
		if terminated == nil || terminated.ExitCode != 0 {
			return corev1.PodFailed
		}
	}
	return corev1.PodSucceeded
}

func podConditions(pod *corev1.Pod, facts podFacts, phase corev1.PodPhase) []corev1.PodCondition {
	containersReady := containersReadyCondition(pod, facts, phase)
	conditions := []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: conditionStatus(facts.prepared && !facts.finished)},
		initializedCondition(pod, facts, phase),
		readyCondition(pod, containersReady),
		containersReady,
	}
	return append(conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue})
}

func conditionStatus(holds bool) corev1.ConditionStatus {
	if holds {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

func initializedCondition(pod *corev1.Pod, facts podFacts, phase corev1.PodPhase) corev1.PodCondition {
	condition := corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}
	if phase == corev1.PodSucceeded {
		condition.Reason = reasonPodCompleted
		return condition
	}
	if facts.initialized {
		return condition
	}
	var incomplete []string
	for i := range pod.Spec.InitContainers {
		container := &pod.Spec.InitContainers[i]
		status := facts.containers[container.Name]
		started := status.Started != nil && *status.Started
		if done := status.Ready; (isSidecar(container) && !started) || (!isSidecar(container) && !done) {
			incomplete = append(incomplete, container.Name)
		}
	}
	if len(incomplete) > 0 {
		condition.Status = corev1.ConditionFalse
		condition.Reason = reasonContainersNotInitialized
		condition.Message = fmt.Sprintf("containers with incomplete status: %s", incomplete)
	}
	return condition
}

func containersReadyCondition(pod *corev1.Pod, facts podFacts, phase corev1.PodPhase) corev1.PodCondition {
	condition := corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionFalse}
	switch phase {
	case corev1.PodSucceeded:
		condition.Reason = reasonPodCompleted
		return condition
	case corev1.PodFailed:
		condition.Reason = reasonPodFailed
		return condition
	}
	var unready []string
	for i := range pod.Spec.InitContainers {
		if container := &pod.Spec.InitContainers[i]; isSidecar(container) && !facts.containers[container.Name].Ready {
			unready = append(unready, container.Name)
		}
	}
	for i := range pod.Spec.Containers {
		if name := pod.Spec.Containers[i].Name; !facts.containers[name].Ready {
			unready = append(unready, name)
		}
	}
	if len(unready) > 0 {
		condition.Reason = reasonContainersNotReady
		condition.Message = fmt.Sprintf("containers with unready status: %s", unready)
		return condition
	}
	condition.Status = corev1.ConditionTrue
	return condition
}

func readyCondition(pod *corev1.Pod, containersReady corev1.PodCondition) corev1.PodCondition {
	condition := containersReady
	condition.Type = corev1.PodReady
	if containersReady.Status != corev1.ConditionTrue {
		return condition
	}
	var missing []string
	for _, gate := range pod.Spec.ReadinessGates {
		_, found := podutil.GetPodCondition(&pod.Status, gate.ConditionType)
		switch {
		case found == nil:
			missing = append(missing, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		case found.Status != corev1.ConditionTrue:
			missing = append(missing, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", gate.ConditionType, found.Status))
		}
	}
	if len(missing) > 0 {
		condition.Status = corev1.ConditionFalse
		condition.Reason = reasonReadinessGatesNotReady
		condition.Message = strings.Join(missing, ", ")
	}
	return condition
}

// isSidecar reports whether an init container goes on running beside the others.
func isSidecar(container *corev1.Container) bool {
	return podutil.IsRestartableInitContainer(container)
}
