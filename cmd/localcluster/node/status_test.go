package node

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

var (
	waiting   = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reasonContainerCreating}}
	runs      = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	succeeded = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	failed    = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
)

func TestPodStatus(t *testing.T) {
	two := corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}, {Name: "b"}}}
	withInit := corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i"}}, Containers: []corev1.Container{{Name: "a"}}}
	gated := corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}, ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "example.com/up"}}}
	status := func(state corev1.ContainerState, ready bool) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: state, Ready: ready, Started: ptr.To(state.Running != nil)}
	}
	backingOff := status(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reasonCrashLoopBackOff}}, false)
	backingOff.LastTerminationState = failed
	type conditions map[corev1.PodConditionType]string
	for name, test := range map[string]struct {
		spec  corev1.PodSpec
		facts podFacts
		phase corev1.PodPhase
		want  conditions
	}{
		"nothing started": {two, podFacts{containers: map[string]corev1.ContainerStatus{"a": status(waiting, false), "b": status(waiting, false)}, initialized: true},
			corev1.PodPending, conditions{"Initialized": "True", "Ready": "False ContainersNotReady", "ContainersReady": "False ContainersNotReady", "PodReadyToStartContainers": "False"}},
		"an init container runs": {withInit, podFacts{containers: map[string]corev1.ContainerStatus{"i": status(runs, false), "a": status(waiting, false)}, prepared: true},
			corev1.PodPending, conditions{"Initialized": "False ContainersNotInitialized", "Ready": "False ContainersNotReady", "ContainersReady": "False ContainersNotReady", "PodReadyToStartContainers": "True"}},
		"one of two runs": {two, podFacts{containers: map[string]corev1.ContainerStatus{"a": status(runs, true), "b": status(waiting, false)}, initialized: true, prepared: true},
			corev1.PodPending, conditions{"Initialized": "True", "Ready": "False ContainersNotReady", "ContainersReady": "False ContainersNotReady", "PodReadyToStartContainers": "True"}},
		"both run": {two, podFacts{containers: map[string]corev1.ContainerStatus{"a": status(runs, true), "b": status(runs, true)}, initialized: true, prepared: true},
			corev1.PodRunning, conditions{"Initialized": "True", "Ready": "True", "ContainersReady": "True", "PodReadyToStartContainers": "True"}},
		"one runs and one succeeded": {two, podFacts{containers: map[string]corev1.ContainerStatus{"a": status(runs, true), "b": status(succeeded, false)}, initialized: true, prepared: true},
			corev1.PodRunning, conditions{"Initialized": "True", "Ready": "False ContainersNotReady", "ContainersReady": "False ContainersNotReady", "PodReadyToStartContainers": "True"}},
		"one backs off": {two, podFacts{containers: map[string]corev1.ContainerStatus{"a": status(runs, true), "b": backingOff}, initialized: true, prepared: true},
			corev1.PodRunning, conditions{"Initialized": "True", "Ready": "False ContainersNotReady", "ContainersReady": "False ContainersNotReady", "PodReadyToStartContainers": "True"}},
		"a readiness gate is missing": {gated, podFacts{containers: map[string]corev1.ContainerStatus{"a": status(runs, true)}, initialized: true, prepared: true},
			corev1.PodRunning, conditions{"Initialized": "True", "Ready": "False ReadinessGatesNotReady", "ContainersReady": "True", "PodReadyToStartContainers": "True"}},
		"all succeeded but something still runs": {two, podFacts{containers: map[string]corev1.ContainerStatus{"a": status(succeeded, false), "b": status(succeeded, false)}, initialized: true, prepared: true},
			corev1.PodRunning, conditions{"Initialized": "True", "Ready": "False ContainersNotReady", "ContainersReady": "False ContainersNotReady", "PodReadyToStartContainers": "True"}},
		"all succeeded": {two, podFacts{containers: map[string]corev1.ContainerStatus{"a": status(succeeded, false), "b": status(succeeded, false)}, initialized: true, prepared: true, finished: true},
			corev1.PodSucceeded, conditions{"Initialized": "True PodCompleted", "Ready": "False PodCompleted", "ContainersReady": "False PodCompleted", "PodReadyToStartContainers": "False"}},
		"one failed": {two, podFacts{containers: map[string]corev1.ContainerStatus{"a": status(succeeded, false), "b": status(failed, false)}, initialized: true, prepared: true, finished: true},
			corev1.PodFailed, conditions{"Initialized": "True", "Ready": "False PodFailed", "ContainersReady": "False PodFailed", "PodReadyToStartContainers": "False"}},
		"ended before its start": {two, podFacts{containers: map[string]corev1.ContainerStatus{"a": status(waiting, false), "b": status(waiting, false)}, initialized: true, finished: true},
			corev1.PodFailed, conditions{"Initialized": "True", "Ready": "False PodFailed", "ContainersReady": "False PodFailed", "PodReadyToStartContainers": "False"}},
		"cut short though all succeeded": {two, podFacts{containers: map[string]corev1.ContainerStatus{"a": status(succeeded, false), "b": status(succeeded, false)}, initialized: true, prepared: true, finished: true, ending: &ending{reason: "DeadlineExceeded"}},
			corev1.PodFailed, conditions{"Initialized": "True", "Ready": "False PodFailed", "ContainersReady": "False PodFailed", "PodReadyToStartContainers": "False"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := podStatus(&corev1.Pod{Spec: test.spec}, test.facts, metav1.Now())
			if got.Phase != test.phase {
				t.Errorf("phase: got %s, want %s", got.Phase, test.phase)
			}
			test.want[corev1.PodScheduled] = "True"
			held := conditions{}
			for _, condition := range got.Conditions {
				held[condition.Type] = string(condition.Status)
				if condition.Reason != "" {
					held[condition.Type] += " " + condition.Reason
				}
			}
			if diff := cmp.Diff(test.want, held); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if ending := test.facts.ending; ending != nil && got.Reason != ending.reason {
				t.Errorf("reason: got %q, want %q", got.Reason, ending.reason)
			}
		})
	}
}

func TestPodStatusKeepsWhatIsNotTheNodes(t *testing.T) {
	began := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}}, Status: corev1.PodStatus{
		StartTime: &began, QOSClass: corev1.PodQOSBurstable,
		Conditions: []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}, {Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: began}},
	}}
	facts := podFacts{containers: map[string]corev1.ContainerStatus{"a": {Name: "a", State: runs, Ready: true}}, initialized: true, prepared: true}
	first := podStatus(pod, facts, metav1.NewTime(began.Add(time.Hour)))
	if first.Conditions[0].Type != corev1.DisruptionTarget || first.QOSClass != corev1.PodQOSBurstable || !first.StartTime.Equal(&began) {
		t.Errorf("got %+v, want the disruption condition, the QoS class and the start time kept", first)
	}
	if !first.Conditions[1].LastTransitionTime.Equal(&began) {
		t.Errorf("PodScheduled: got a transition at %v, want none", first.Conditions[1].LastTransitionTime)
	}
	pod.Status = first
	second := podStatus(pod, facts, metav1.NewTime(began.Add(2*time.Hour)))
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the same facts an hour later (-first +second):\n%s", diff)
	}
}

func TestATerminalPhaseStays(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}}, Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}
	facts := podFacts{containers: map[string]corev1.ContainerStatus{"a": {State: failed}}, finished: true}
	if got := podStatus(pod, facts, metav1.Now()).Phase; got != corev1.PodSucceeded {
		t.Errorf("got %s, want Succeeded", got)
	}
}
