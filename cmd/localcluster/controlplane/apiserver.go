package controlplane

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	basecompatibility "k8s.io/component-base/compatibility"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// serviceRange is where Services get their cluster addresses from. Nothing routes them: see package node on how
// processes find each other instead.
const serviceRange = "10.0.0.0/16"

// releasedVersion answers /version with the release that the module was built from. Built as a dependency,
// Kubernetes calls itself v0.0.0, for only its own build script sets the version, by linker flags.
type releasedVersion struct {
	basecompatibility.MutableEffectiveVersion
	git string
}

// Info returns the version information of the API server with GitVersion set to the module's version.
func (v releasedVersion) Info() *apimachineryversion.Info {
	info := v.MutableEffectiveVersion.Info()
	if info != nil && v.git != "" {
		info.GitVersion = v.git
		info.GitCommit = ""
	}
	return info
}

// kubernetesVersion returns the version of k8s.io/kubernetes in this binary, such as v1.37.2, or "" when the build
// did not record it.
func kubernetesVersion() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, module := range build.Deps {
		if module.Path == "k8s.io/kubernetes" {
			return module.Version
		}
	}
	return ""
}

// startAPIServer runs kube-apiserver on the listener until ctx ends. The channel yields its last error, or closes,
// once it no longer uses etcd.
func startAPIServer(ctx context.Context, listener net.Listener, keys pki, etcdEndpoint string) (<-chan error, error) {
	version := releasedVersion{compatibility.DefaultBuildEffectiveVersion(), kubernetesVersion()}
	registry := basecompatibility.NewComponentGlobalsRegistry()
	if err := registry.Register(basecompatibility.DefaultKubeComponent, version, utilfeature.DefaultMutableFeatureGate); err != nil {
		return nil, fmt.Errorf("registering version: %w", err)
	}
	server := options.NewServerRunOptions()
	server.GenericServerRunOptions.ComponentGlobalsRegistry = registry

	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range server.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(apiServerFlags(keys, listener.Addr().(*net.TCPAddr).Port, etcdEndpoint)); err != nil {
		return nil, fmt.Errorf("setting API server flags: %w", err)
	}
	server.SecureServing.Listener = listener
	if err := registry.Set(); err != nil {
		return nil, fmt.Errorf("setting feature gates: %w", err)
	}
	completed, err := server.Complete(ctx)
	if err != nil {
		return nil, fmt.Errorf("completing API server options: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return nil, fmt.Errorf("validating API server options: %w", utilerrors.NewAggregate(errs))
	}
	done := make(chan error, 1)
	go func() {
		defer close(done)
		if err := app.Run(ctx, completed); err != nil {
			done <- fmt.Errorf("running API server: %w", err)
		}
	}()
	return done, nil
}

func apiServerFlags(keys pki, port int, etcdEndpoint string) []string {
	flags := map[string]string{
		"bind-address":      "127.0.0.1",
		"secure-port":       strconv.Itoa(port),
		"advertise-address": "127.0.0.1",
		// The kubernetes Service cannot have an endpoint on loopback: validation refuses it.
		"endpoint-reconciler-type": "none",
		"service-cluster-ip-range": serviceRange,

		"etcd-servers":                    etcdEndpoint,
		"etcd-count-metric-poll-period":   "0",
		"tls-cert-file":                   keys.path("apiserver.crt"),
		"tls-private-key-file":            keys.path("apiserver.key"),
		"client-ca-file":                  keys.path("ca.crt"),
		"token-auth-file":                 keys.path("tokens.csv"),
		"authorization-mode":              "Node,RBAC",
		"allow-privileged":                "true",
		"profiling":                       "false",
		"kubelet-certificate-authority":   keys.path("ca.crt"),
		"kubelet-client-certificate":      keys.path("kubelet-client.crt"),
		"kubelet-client-key":              keys.path("kubelet-client.key"),
		"kubelet-preferred-address-types": "InternalIP",

		"requestheader-client-ca-file":       keys.path("front-proxy-ca.crt"),
		"requestheader-allowed-names":        "front-proxy-client",
		"requestheader-username-headers":     "X-Remote-User",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"proxy-client-cert-file":             keys.path("front-proxy-client.crt"),
		"proxy-client-key-file":              keys.path("front-proxy-client.key"),

		"service-account-issuer":           "https://kubernetes.default.svc.cluster.local",
		"service-account-key-file":         keys.path("sa.key"),
		"service-account-signing-key-file": keys.path("sa.key"),
	}
	args := make([]string, 0, len(flags))
	for name, value := range flags {
		args = append(args, "--"+strings.Join([]string{name, value}, "="))
	}
	return args
}
