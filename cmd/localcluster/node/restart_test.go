package node

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func TestBackOffDoublesFromTenSecondsToFiveMinutes(t *testing.T) {
	exit := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var b backOff
	var got []time.Duration
	for range 8 {
		b = b.exited(exit.Add(-time.Second), exit)
		got = append(got, b.until.Sub(exit))
		b = b.restarted()
	}
	want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("delays of restarts (-want +got):\n%s", diff)
	}
	if b = b.exited(exit.Add(-10*time.Minute), exit); b.until != exit {
		t.Errorf("after a run of ten minutes: got a delay of %v, want none", b.until.Sub(exit))
	}
}

func TestShouldRestart(t *testing.T) {
	rules := corev1.Container{RestartPolicy: ptr.To(corev1.ContainerRestartPolicyNever), RestartPolicyRules: []corev1.ContainerRestartRule{{
		Action:    corev1.ContainerRestartRuleActionRestart,
		ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}},
	}}}
	for name, test := range map[string]struct {
		policy    corev1.RestartPolicy
		container corev1.Container
		code      int32
		want      bool
	}{
		"Always after success":                        {corev1.RestartPolicyAlways, corev1.Container{}, 0, true},
		"Always after failure":                        {corev1.RestartPolicyAlways, corev1.Container{}, 1, true},
		"OnFailure after success":                     {corev1.RestartPolicyOnFailure, corev1.Container{}, 0, false},
		"OnFailure after failure":                     {corev1.RestartPolicyOnFailure, corev1.Container{}, 1, true},
		"Never after failure":                         {corev1.RestartPolicyNever, corev1.Container{}, 1, false},
		"the container's own rule for the exit code":  {corev1.RestartPolicyNever, rules, 42, true},
		"the container's own policy for another code": {corev1.RestartPolicyAlways, rules, 1, false},
		"a container that always restarts in a Never": {corev1.RestartPolicyNever, corev1.Container{RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := shouldRestart(&corev1.PodSpec{RestartPolicy: test.policy}, &test.container, test.code); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
