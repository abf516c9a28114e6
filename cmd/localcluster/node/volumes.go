package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/api/v1/resource"
	volumeutil "k8s.io/kubernetes/pkg/volume/util"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// apiAccess is how the API server names the volume with the service account's token that it adds to every Pod.
const apiAccess = "kube-api-access-"

// volumes makes a Pod's volumes under one directory and knows where each is.
type volumes struct {
	dir         string
	source      configSource
	client      kubernetes.Interface
	allocatable corev1.ResourceList
}

// path returns where a volume is.
func (v *volumes) path(volume *corev1.Volume) string {
	if volume.HostPath != nil {
		return volume.HostPath.Path
	}
	return filepath.Join(v.dir, volume.Name)
}

// prepare makes every volume that a container can see. A volume of a kind that an unprivileged process cannot have is an
// error, as is a reference to a ConfigMap or Secret that does not exist (yet).
func (v *volumes) prepare(ctx context.Context, pod *corev1.Pod) error {
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		// The token costs a request a Pod, and a process only sees it where its command speaks of its path.
		if strings.HasPrefix(volume.Name, apiAccess) && !mentioned(pod, volume.Name) {
			continue
		}
		if err := v.prepareOne(ctx, pod, volume); err != nil {
			return fmt.Errorf("MountVolume.SetUp failed for volume %q: %w", volume.Name, err)
		}
	}
	return nil
}

func (v *volumes) prepareOne(ctx context.Context, pod *corev1.Pod, volume *corev1.Volume) error {
	if volume.HostPath != nil {
		return prepareHostPath(volume.HostPath)
	}
	dir := v.path(volume)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("making directory: %w", err)
	}
	var payload map[string]volumeutil.FileProjection
	var err error
	switch source := volume.VolumeSource; {
	case source.EmptyDir != nil:
		return nil
	case source.ConfigMap != nil:
		payload, err = v.configMapFiles(ctx, pod, source.ConfigMap.Name, source.ConfigMap.Items, source.ConfigMap.Optional,
			mode(source.ConfigMap.DefaultMode))
	case source.Secret != nil:
		payload, err = v.secretFiles(ctx, pod, source.Secret.SecretName, source.Secret.Items, source.Secret.Optional, mode(source.Secret.DefaultMode))
	case source.DownwardAPI != nil:
		payload, err = v.downwardFiles(pod, source.DownwardAPI.Items, mode(source.DownwardAPI.DefaultMode))
	case source.Projected != nil:
		payload, err = v.projectedFiles(ctx, pod, source.Projected)
	default:
		return errors.New("this kind of volume needs a mount; localcluster has emptyDir, configMap, secret, downwardAPI, projected and hostPath")
	}
	if err != nil {
		return err
	}
	writer, err := volumeutil.NewAtomicWriter(dir, pod.Name)
	if err != nil {
		return fmt.Errorf("writing files: %w", err)
	}
	if err := writer.Write(payload, nil); err != nil {
		return fmt.Errorf("writing files: %w", err)
	}
	return nil
}

func prepareHostPath(source *corev1.HostPathVolumeSource) error {
	kind := corev1.HostPathUnset
	if source.Type != nil {
		kind = *source.Type
	}
	switch kind {
	case corev1.HostPathDirectoryOrCreate:
		return os.MkdirAll(source.Path, 0o755)
	case corev1.HostPathFileOrCreate:
		file, err := os.OpenFile(source.Path, os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		return file.Close()
	case corev1.HostPathUnset:
		return nil
	}
	_, err := os.Stat(source.Path)
	return err
}

func mode(given *int32) int32 {
	if given == nil {
		return 0o644
	}
	return *given
}

func (v *volumes) configMapFiles(ctx context.Context, pod *corev1.Pod, name string, items []corev1.KeyToPath, optional *bool, mode int32) (map[string]volumeutil.FileProjection, error) {
	object, err := v.source.configMap(ctx, pod.Namespace, name)
	if err != nil {
		return nil, unlessOptional(err, optional)
	}
	content := make(map[string][]byte, len(object.Data)+len(object.BinaryData))
	for key, value := range object.Data {
		content[key] = []byte(value)
	}
	for key, value := range object.BinaryData {
		content[key] = value
	}
	return selectFiles(content, items, optional, mode)
}

func (v *volumes) secretFiles(ctx context.Context, pod *corev1.Pod, name string, items []corev1.KeyToPath, optional *bool, mode int32) (map[string]volumeutil.FileProjection, error) {
	object, err := v.source.secret(ctx, pod.Namespace, name)
	if err != nil {
		return nil, unlessOptional(err, optional)
	}
	return selectFiles(object.Data, items, optional, mode)
}

// selectFiles returns a file for each item, or for each key when there are no items.
func selectFiles(content map[string][]byte, items []corev1.KeyToPath, optional *bool, mode int32) (map[string]volumeutil.FileProjection, error) {
	files := map[string]volumeutil.FileProjection{}
	if len(items) == 0 {
		for key, data := range content {
			files[key] = volumeutil.FileProjection{Data: data, Mode: mode}
		}
		return files, nil
	}
	for _, item := range items {
		data, ok := content[item.Key]
		if !ok {
			if optional != nil && *optional {
				continue
			}
			return nil, fmt.Errorf("references non-existent config key: %s", item.Key)
		}
		file := volumeutil.FileProjection{Data: data, Mode: mode}
		if item.Mode != nil {
			file.Mode = *item.Mode
		}
		files[item.Path] = file
	}
	return files, nil
}

func (v *volumes) downwardFiles(pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile, mode int32) (map[string]volumeutil.FileProjection, error) {
	files := map[string]volumeutil.FileProjection{}
	for _, item := range items {
		var value string
		var err error
		switch {
		case item.FieldRef != nil:
			value, err = podField(pod, item.FieldRef.FieldPath)
		case item.ResourceFieldRef != nil:
			value, err = resource.ExtractResourceValueByContainerNameAndNodeAllocatable(item.ResourceFieldRef, pod,
				item.ResourceFieldRef.ContainerName, v.allocatable)
		}
		if err != nil {
			return nil, err
		}
		file := volumeutil.FileProjection{Data: []byte(value), Mode: mode}
		if item.Mode != nil {
			file.Mode = *item.Mode
		}
		files[item.Path] = file
	}
	return files, nil
}

func (v *volumes) projectedFiles(ctx context.Context, pod *corev1.Pod, projected *corev1.ProjectedVolumeSource) (map[string]volumeutil.FileProjection, error) {
	all := map[string]volumeutil.FileProjection{}
	mode := mode(projected.DefaultMode)
	for i := range projected.Sources {
		var files map[string]volumeutil.FileProjection
		var err error
		switch source := &projected.Sources[i]; {
		case source.ConfigMap != nil:
			files, err = v.configMapFiles(ctx, pod, source.ConfigMap.Name, source.ConfigMap.Items, source.ConfigMap.Optional, mode)
		case source.Secret != nil:
			files, err = v.secretFiles(ctx, pod, source.Secret.Name, source.Secret.Items, source.Secret.Optional, mode)
		case source.DownwardAPI != nil:
			files, err = v.downwardFiles(pod, source.DownwardAPI.Items, mode)
		case source.ServiceAccountToken != nil:
			files, err = v.tokenFile(ctx, pod, source.ServiceAccountToken)
		default:
			err = errors.New("this kind of projection is not part of localcluster")
		}
		if err != nil {
			return nil, err
		}
		for path, file := range files {
			all[path] = file
		}
	}
	return all, nil
}

func (v *volumes) tokenFile(ctx context.Context, pod *corev1.Pod, projection *corev1.ServiceAccountTokenProjection) (map[string]volumeutil.FileProjection, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: projection.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if projection.Audience != "" {
		request.Spec.Audiences = []string{projection.Audience}
	}
	token, err := v.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("requesting service account token: %w", err)
	}
	return map[string]volumeutil.FileProjection{projection.Path: {Data: []byte(token.Status.Token), Mode: 0o600}}, nil
}

// mounts returns where each mount of the container really is, with subPath directories made.
func (v *volumes) mounts(pod *corev1.Pod, container *corev1.Container, env ...map[string]string) (mounts, error) {
	var all []mount
	for _, m := range container.VolumeMounts {
		for i := range pod.Spec.Volumes {
			volume := &pod.Spec.Volumes[i]
			if volume.Name != m.Name {
				continue
			}
			real := v.path(volume)
			if sub := m.SubPath + expansion.Expand(m.SubPathExpr, expansion.MappingFuncFor(env...)); sub != "" {
				if !filepath.IsLocal(sub) {
					return nil, fmt.Errorf("subPath %q of volume %s leads out of the volume", sub, m.Name)
				}
				real = filepath.Join(real, sub)
				if _, err := os.Stat(real); errors.Is(err, os.ErrNotExist) {
					if err := os.MkdirAll(real, 0o777); err != nil {
						return nil, fmt.Errorf("making subPath %q of volume %s: %w", sub, m.Name, err)
					}
				}
			}
			all = append(all, mount{path: m.MountPath, real: real})
		}
	}
	return newMounts(all), nil
}

// mentioned reports whether the command, the arguments, the working directory or a variable of any container speaks of
// the path at which it mounts the volume.
func mentioned(pod *corev1.Pod, volume string) bool {
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			container := &containers[i]
			for _, m := range container.VolumeMounts {
				if m.Name == volume && speaksOf(container, m.MountPath) {
					return true
				}
			}
		}
	}
	return false
}

func speaksOf(container *corev1.Container, path string) bool {
	texts := append(append([]string{container.WorkingDir}, container.Command...), container.Args...)
	for _, variable := range container.Env {
		texts = append(texts, variable.Value)
	}
	for _, text := range texts {
		if strings.Contains(text, path) {
			return true
		}
	}
	return false
}

// liveConfig reads ConfigMaps and Secrets from the API server, each time anew: a Pod may be created the moment after
// what it refers to, before any cache knows.
type liveConfig struct{ client kubernetes.Interface }

func (l liveConfig) configMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	return l.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (l liveConfig) secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return l.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
}

func isMissing(err error) bool { return apierrors.IsNotFound(err) }
