package node

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/api/v1/resource"
	"k8s.io/kubernetes/pkg/fieldpath"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// inherited are the variables that a container gets from this machine, where one in an image would get the image's.
// Everything else of the user's environment, and with it every credential there, stays out.
var inherited = []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"}

// inheritedEnv returns the inherited variables that are set.
func inheritedEnv() map[string]string {
	env := map[string]string{}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env[name] = value
		}
	}
	return env
}

// configSource reads what environment variables and volumes refer to.
type configSource interface {
	configMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error)
	secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
}

// declaredEnv evaluates a container's envFrom and env as Kubernetes does: later entries win, and `$(NAME)` stands for
// an earlier entry or a service variable. It does not return the service variables themselves.
func declaredEnv(ctx context.Context, source configSource, pod *corev1.Pod, container *corev1.Container, services map[string]string,
	allocatable corev1.ResourceList) (map[string]string, error) {
	env := map[string]string{}
	for i := range container.EnvFrom {
		values, err := envFrom(ctx, source, pod.Namespace, &container.EnvFrom[i])
		if err != nil {
			return nil, err
		}
		maps.Copy(env, values)
	}
	lookup := expansion.MappingFuncFor(env, services)
	for i := range container.Env {
		variable := &container.Env[i]
		if variable.ValueFrom == nil {
			env[variable.Name] = expansion.Expand(variable.Value, lookup)
			continue
		}
		value, set, err := envValueFrom(ctx, source, pod, container.Name, variable.ValueFrom, allocatable)
		if err != nil {
			return nil, err
		}
		if set {
			env[variable.Name] = value
		}
	}
	return env, nil
}

func envFrom(ctx context.Context, source configSource, namespace string, from *corev1.EnvFromSource) (map[string]string, error) {
	values := map[string]string{}
	switch {
	case from.ConfigMapRef != nil:
		object, err := source.configMap(ctx, namespace, from.ConfigMapRef.Name)
		if err != nil {
			return nil, unlessOptional(err, from.ConfigMapRef.Optional)
		}
		for name, value := range object.Data {
			values[from.Prefix+name] = value
		}
	case from.SecretRef != nil:
		object, err := source.secret(ctx, namespace, from.SecretRef.Name)
		if err != nil {
			return nil, unlessOptional(err, from.SecretRef.Optional)
		}
		for name, value := range object.Data {
			values[from.Prefix+name] = string(value)
		}
	}
	return values, nil
}

// unlessOptional returns nil instead of err when the reference may be missing and is.
func unlessOptional(err error, optional *bool) error {
	if optional != nil && *optional && isMissing(err) {
		return nil
	}
	return err
}

// envValueFrom returns the value and whether it is set: an optional reference that leads nowhere sets nothing.
func envValueFrom(ctx context.Context, source configSource, pod *corev1.Pod, containerName string, from *corev1.EnvVarSource,
	allocatable corev1.ResourceList) (string, bool, error) {
	switch {
	case from.FieldRef != nil:
		value, err := podField(pod, from.FieldRef.FieldPath)
		return value, err == nil, err
	case from.ResourceFieldRef != nil:
		name := from.ResourceFieldRef.ContainerName
		if name == "" {
			name = containerName
		}
		value, err := resource.ExtractResourceValueByContainerNameAndNodeAllocatable(from.ResourceFieldRef, pod, name, allocatable)
		return value, err == nil, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		object, err := source.configMap(ctx, pod.Namespace, ref.Name)
		if err != nil {
			return "", false, unlessOptional(err, ref.Optional)
		}
		value, ok := object.Data[ref.Key]
		if !ok && (ref.Optional == nil || !*ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %s in ConfigMap %s/%s", ref.Key, pod.Namespace, ref.Name)
		}
		return value, ok, nil
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		object, err := source.secret(ctx, pod.Namespace, ref.Name)
		if err != nil {
			return "", false, unlessOptional(err, ref.Optional)
		}
		value, ok := object.Data[ref.Key]
		if !ok && (ref.Optional == nil || !*ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %s in Secret %s/%s", ref.Key, pod.Namespace, ref.Name)
		}
		return string(value), ok, nil
	}
	return "", false, fmt.Errorf("valueFrom names a source that this node does not know")
}

// podField returns the value of a fieldRef.
func podField(pod *corev1.Pod, path string) (string, error) {
	switch path {
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.podIP", "status.hostIPs", "status.podIPs":
		return address, nil
	}
	return fieldpath.ExtractFieldPathAsString(pod, path)
}

// serviceEnv returns the variables by which Pods find Services, named as the kubelet names them: REDIS_SERVICE_HOST,
// REDIS_SERVICE_PORT and the older REDIS_PORT_6379_TCP_ADDR and so on.
//
// Their values differ from the kubelet's, for nothing forwards a Service's address here: the host is this machine's
// loopback address and the port is the one at which the process listens (the Service's targetPort). Names keep the
// Service's own port number, because manifests spell them so.
func serviceEnv(services []*corev1.Service, targetPort func(*corev1.Service, *corev1.ServicePort) int32) map[string]string {
	env := map[string]string{}
	ordered := slices.Clone(services)
	slices.SortFunc(ordered, func(a, b *corev1.Service) int { return strings.Compare(a.Name, b.Name) })
	for _, service := range ordered {
		if service.Spec.ClusterIP == "" || service.Spec.ClusterIP == corev1.ClusterIPNone || len(service.Spec.Ports) == 0 {
			continue
		}
		prefix := variableName(service.Name)
		env[prefix+"_SERVICE_HOST"] = address
		for i := range service.Spec.Ports {
			port := &service.Spec.Ports[i]
			number := strconv.Itoa(int(targetPort(service, port)))
			protocol := strings.ToLower(string(port.Protocol))
			if protocol == "" {
				protocol = "tcp"
			}
			url := protocol + "://" + address + ":" + number
			if i == 0 {
				env[prefix+"_SERVICE_PORT"] = number
				env[prefix+"_PORT"] = url
			}
			if port.Name != "" {
				env[prefix+"_SERVICE_PORT_"+variableName(port.Name)] = number
			}
			link := fmt.Sprintf("%s_PORT_%d_%s", prefix, port.Port, strings.ToUpper(protocol))
			env[link] = url
			env[link+"_PROTO"] = protocol
			env[link+"_PORT"] = number
			env[link+"_ADDR"] = address
		}
	}
	return env
}

func variableName(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// expandAll replaces `$(NAME)` in each argument, as Kubernetes does for command and args.
func expandAll(arguments []string, env ...map[string]string) []string {
	lookup := expansion.MappingFuncFor(env...)
	expanded := make([]string, len(arguments))
	for i, argument := range arguments {
		expanded[i] = expansion.Expand(argument, lookup)
	}
	return expanded
}

// environ joins sets of variables into the form that a process takes, sorted; later sets win.
func environ(sets ...map[string]string) []string {
	merged := map[string]string{}
	for _, set := range sets {
		maps.Copy(merged, set)
	}
	lines := make([]string, 0, len(merged))
	for name, value := range merged {
		lines = append(lines, name+"="+value)
	}
	slices.Sort(lines)
	return lines
}
