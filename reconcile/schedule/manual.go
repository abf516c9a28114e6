package schedule

import (
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"rota.dev/rota/schema"
)

// Parameter is a variable of a run's environment.
type Parameter struct{ Name, Value string }

// annotationInstantiate is kubectl's mark on what was made of a CronJob by hand.
const annotationInstantiate = "cronjob.kubernetes.io/instantiate"

// ManualName returns the name of a Job that is triggered by hand. It ends in
// the suffix, which must not be a number, where the run of a slot, of this or
// any other CronJob, ends in its minute, so that they never collide.
func ManualName(cronJob, suffix string) string {
	const most = 63
	end := "-manual-" + suffix
	return strings.TrimRight(cronJob[:min(len(cronJob), most-len(end))], "-.") + end
}

// NewManual returns a Job made of cj's template by hand. It is no run of the
// schedule: it has neither a slot nor the label of one, so that nothing counts,
// waits for, replaces, sweeps or clears it away. Parameters are set in the
// environment of every container.
func NewManual(cj *batchv1.CronJob, suffix string, parameters []Parameter) *batchv1.Job {
	template := cj.Spec.JobTemplate.DeepCopy()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name:        ManualName(cj.Name, suffix),
			Namespace:   cj.Namespace,
			Labels:      copied(template.Labels),
			Annotations: copied(template.Annotations),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "CronJob", Name: cj.Name, UID: cj.UID,
			}},
		},
		Spec: template.Spec,
	}
	delete(job.Labels, schema.ApplySetPartOf)
	delete(job.Labels, schema.LabelSchedule)
	job.Labels[schema.LabelManual] = cj.Name
	job.Annotations[annotationInstantiate] = "manual"
	for _, key := range []string{schema.AnnotationRevision, schema.AnnotationOrigin} {
		if value, ok := cj.Annotations[key]; ok {
			job.Annotations[key] = value
		}
	}
	if len(parameters) > 0 {
		var names []string
		for _, p := range parameters {
			names = append(names, p.Name)
		}
		job.Annotations[schema.AnnotationParameters] = strings.Join(names, ",")
	}
	pod := &job.Spec.Template
	pod.Labels = copied(pod.Labels)
	delete(pod.Labels, schema.LabelSchedule)
	pod.Labels[schema.LabelManual] = cj.Name
	for i := range pod.Spec.InitContainers {
		setEnv(&pod.Spec.InitContainers[i], parameters)
	}
	for i := range pod.Spec.Containers {
		setEnv(&pod.Spec.Containers[i], parameters)
	}
	return job
}

// setEnv puts parameters into the environment of c. One that is new comes
// first, so that what was there can refer to it as $(NAME).
func setEnv(c *corev1.Container, parameters []Parameter) {
	for _, p := range slices.Backward(parameters) {
		set := corev1.EnvVar{Name: p.Name, Value: escapeReferences(p.Value)}
		i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == p.Name })
		if i >= 0 {
			c.Env[i] = set
			continue
		}
		c.Env = slices.Insert(c.Env, 0, set)
	}
}

// escapeReferences keeps the kubelet from expanding $(NAME) in a value.
func escapeReferences(value string) string { return strings.ReplaceAll(value, "$(", "$$(") }

// ParseParameter reads K=V.
func ParseParameter(text string) (Parameter, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return Parameter{}, fmt.Errorf("the parameter %q cannot be read: write it as NAME=value", clip(text))
	}
	return Parameter{Name: name, Value: value}, nil
}

// InTheWay returns why a run by hand should not be started now: the policy
// allows one run at a time, and one of the schedule, or another by hand, has not
// finished. It is nil if nothing is in the way.
func InTheWay(v View, manual []*batchv1.Job) *schema.Problem {
	spec, state := specOf(v.CronJob), StateOf(v)
	if spec.Policy != batchv1.ForbidConcurrent && spec.Policy != batchv1.ReplaceConcurrent {
		return nil
	}
	names := make([]string, 0, 1)
	for _, run := range state.Jobs {
		if run.Finished == "" && !run.Withdrawn {
			names = append(names, run.Name)
		}
	}
	for _, job := range manual {
		if run, _ := RunOf(v.CronJob, job); run.Finished == "" {
			names = append(names, job.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	p := problem("R340", "", nil, "%s is active, and CronJob %s allows one run at a time", names[0], v.CronJob.Name)
	p.Mend = "Wait for it, or pass --overlap to start another beside it."
	return p
}

// NotOurs returns why a pause would have no effect on cj; nil if it has.
func NotOurs(cj *batchv1.CronJob) *schema.Problem {
	if Scheduled(cj) {
		return nil
	}
	p := problem("R342", "", nil, "CronJob %s/%s is run by the cluster's own controller, which knows no pause", cj.Namespace, cj.Name)
	p.Mend = "Suspend it: kubectl patch cronjob " + cj.Name + " -n " + cj.Namespace + ` -p '{"spec":{"suspend":true}}'`
	return p
}
