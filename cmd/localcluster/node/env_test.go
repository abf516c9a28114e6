package node

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
)

// memoryConfig is a configSource of one namespace.
type memoryConfig struct {
	configMaps map[string]map[string]string
	secrets    map[string]map[string][]byte
}

func (m memoryConfig) configMap(_ context.Context, _, name string) (*corev1.ConfigMap, error) {
	data, ok := m.configMaps[name]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, name)
	}
	return &corev1.ConfigMap{Data: data}, nil
}

func (m memoryConfig) secret(_ context.Context, _, name string) (*corev1.Secret, error) {
	data, ok := m.secrets[name]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
	}
	return &corev1.Secret{Data: data}, nil
}

func fromConfigMap(name, key string, optional *bool) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key, Optional: optional}}
}

func TestDeclaredEnv(t *testing.T) {
	source := memoryConfig{
		configMaps: map[string]map[string]string{"config": {"A": "from config", "B": "b"}},
		secrets:    map[string]map[string][]byte{"keys": {"A": []byte("from secret")}},
	}
	services := map[string]string{"REDIS_SERVICE_HOST": "127.0.0.1"}
	for name, test := range map[string]struct {
		container corev1.Container
		want      map[string]string
		wantErr   string
	}{
		"a value may name an earlier variable and a service's": {
			container: corev1.Container{Env: []corev1.EnvVar{{Name: "X", Value: "x"}, {Name: "Y", Value: "$(X)@$(REDIS_SERVICE_HOST)"}}},
			want:      map[string]string{"X": "x", "Y": "x@127.0.0.1"},
		},
		"a name that is unknown or later, an escape and the shell's own signs stay": {
			container: corev1.Container{Env: []corev1.EnvVar{{Name: "Y", Value: "$(X) $$(X) $X ${X} $"}, {Name: "X", Value: "x"}}},
			want:      map[string]string{"Y": "$(X) $(X) $X ${X} $", "X": "x"},
		},
		"later sources win over earlier ones and env over all": {
			container: corev1.Container{
				EnvFrom: []corev1.EnvFromSource{
					{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}},
					{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}}},
				},
				Env: []corev1.EnvVar{{Name: "B", Value: "declared"}},
			},
			want: map[string]string{"A": "from secret", "B": "declared"},
		},
		"a prefix comes before every name of its source": {
			container: corev1.Container{EnvFrom: []corev1.EnvFromSource{{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}}},
			want:      map[string]string{"P_A": "from config", "P_B": "b"},
		},
		"an optional reference that leads nowhere sets nothing": {
			container: corev1.Container{Env: []corev1.EnvVar{{Name: "X", ValueFrom: fromConfigMap("none", "k", ptr.To(true))}, {Name: "Y", ValueFrom: fromConfigMap("config", "none", ptr.To(true))}}},
			want:      map[string]string{},
		},
		"a missing object is an error": {
			container: corev1.Container{Env: []corev1.EnvVar{{Name: "X", ValueFrom: fromConfigMap("none", "k", nil)}}},
			wantErr:   `configmaps "none" not found`,
		},
		"a missing key is an error": {
			container: corev1.Container{Env: []corev1.EnvVar{{Name: "X", ValueFrom: fromConfigMap("config", "none", nil)}}},
			wantErr:   "couldn't find key none in ConfigMap ns/config",
		},
		"fields of the pod and resources of the container": {
			container: corev1.Container{Env: []corev1.EnvVar{
				{Name: "NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
				{Name: "INDEX", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['index']"}}},
				{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
				{Name: "CPU", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}},
			}},
			want: map[string]string{"NAME": "pod", "INDEX": "4", "IP": "127.0.0.1", "CPU": "3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.container.Name = "c"
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod", Namespace: "ns", Annotations: map[string]string{"index": "4"}},
				Spec: corev1.PodSpec{Containers: []corev1.Container{test.container}}}
			allocatable := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3")}
			got, err := declaredEnv(t.Context(), source, pod, &test.container, services, allocatable)
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("got error %v, want one with %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatalf("got error %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("variables (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServiceEnv(t *testing.T) {
	services := []*corev1.Service{
		{ObjectMeta: metav1.ObjectMeta{Name: "rabbitmq-service"}, Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.9", Ports: []corev1.ServicePort{
			{Name: "amqp", Port: 80, Protocol: corev1.ProtocolTCP}, {Name: "stats-udp", Port: 81, Protocol: corev1.ProtocolUDP},
		}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "headless"}, Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Port: 1}}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "external"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName}},
	}
	got := serviceEnv(services, func(_ *corev1.Service, port *corev1.ServicePort) int32 { return port.Port + 8000 })
	want := map[string]string{
		"RABBITMQ_SERVICE_SERVICE_HOST":           "127.0.0.1",
		"RABBITMQ_SERVICE_SERVICE_PORT":           "8080",
		"RABBITMQ_SERVICE_SERVICE_PORT_AMQP":      "8080",
		"RABBITMQ_SERVICE_SERVICE_PORT_STATS_UDP": "8081",
		"RABBITMQ_SERVICE_PORT":                   "tcp://127.0.0.1:8080",
		"RABBITMQ_SERVICE_PORT_80_TCP":            "tcp://127.0.0.1:8080",
		"RABBITMQ_SERVICE_PORT_80_TCP_PROTO":      "tcp",
		"RABBITMQ_SERVICE_PORT_80_TCP_PORT":       "8080",
		"RABBITMQ_SERVICE_PORT_80_TCP_ADDR":       "127.0.0.1",
		"RABBITMQ_SERVICE_PORT_81_UDP":            "udp://127.0.0.1:8081",
		"RABBITMQ_SERVICE_PORT_81_UDP_PROTO":      "udp",
		"RABBITMQ_SERVICE_PORT_81_UDP_PORT":       "8081",
		"RABBITMQ_SERVICE_PORT_81_UDP_ADDR":       "127.0.0.1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("service variables (-want +got):\n%s", diff)
	}
}

func TestInheritedEnvLeavesTheRestOfTheUsersEnvironmentOut(t *testing.T) {
	t.Setenv("PATH", "/bin")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	env := inheritedEnv()
	if env["PATH"] != "/bin" {
		t.Errorf("PATH: got %q, want it inherited", env["PATH"])
	}
	if _, ok := env["AWS_SECRET_ACCESS_KEY"]; ok {
		t.Error("a credential of the user's environment reached the container")
	}
}

func TestEnvironIsSortedAndLaterSetsWin(t *testing.T) {
	got := environ(map[string]string{"B": "1", "A": "1"}, map[string]string{"B": "2"})
	if diff := cmp.Diff([]string{"A=1", "B=2"}, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}
