// Package controlplane runs etcd, kube-apiserver and the controllers of kube-controller-manager in this process: the
// real code of the k8s.io/kubernetes module, on loopback, with TLS, RBAC and bearer tokens.
//
// It has no scheduler, no cloud and no volumes; package node binds Pods and runs them.
//
// Kubernetes keeps flags, feature gates, metrics and its logger in variables of the process: one process can run one
// control plane, once.
package controlplane

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// readyTimeout bounds the wait for the API server. It takes about three seconds on an idle machine; a crowded CI
// machine may take ten times that.
const readyTimeout = 2 * time.Minute

// Options say where and how to run a control plane.
type Options struct {
	// Dir keeps keys, tokens, etcd's data and the kubeconfig file. It must exist and be absolute.
	Dir string
	// Port is where the API server listens on 127.0.0.1; 0 takes a free one.
	Port int
	// Controllers selects controllers in the syntax of kube-controller-manager's --controllers.
	Controllers []string
	// QPS is how many requests a second each controller sends at most, and Burst how many at once, as
	// kube-controller-manager's --kube-api-qps and --kube-api-burst; a QPS of 0 is without limit.
	QPS   float32
	Burst int
	// Log takes etcd's warnings. Kubernetes itself logs through klog, which the caller sets up.
	Log io.Writer
}

// ControlPlane is a running control plane. Its Config may be copied and used until Stop.
type ControlPlane struct {
	// Config is a client configuration of a member of system:masters.
	Config *rest.Config
	// Kubeconfig is the file that lets kubectl in with the same rights.
	Kubeconfig string
	// NodeCertificate and NodeKey are the files of the serving certificate for the node's own API (logs).
	NodeCertificate, NodeKey string
	// ClientCA is the file of the authority that signed the API server's certificate as a client of the node.
	ClientCA string

	failed          <-chan error
	stopControllers context.CancelFunc
	waitControllers func()
	stopAPIServer   context.CancelFunc
	store           *store
}

// Validate reports the first problem in the options that can be seen without starting anything.
func (o Options) Validate() error {
	if o.Port < 0 || o.Port > 65535 {
		return fmt.Errorf("port %d is not between 0 and 65535", o.Port)
	}
	if o.QPS < 0 || o.Burst < 0 {
		return fmt.Errorf("requests of %g a second and %d at once: they must not be negative", o.QPS, o.Burst)
	}
	_, err := selectControllers(o.Controllers)
	return err
}

// Start runs a control plane and returns when it serves requests, its controllers run and Pods can be created in the
// namespace default. When ctx ends first, or anything fails, it stops what it started and returns why. It goes on after
// ctx ends: only Stop stops it.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(options.Port)))
	if err != nil {
		return nil, fmt.Errorf("listening for the API server: %w", err)
	}
	keys := pki{dir: filepath.Join(options.Dir, "pki"), now: time.Now()}
	tokens, err := keys.prepare()
	if err != nil {
		listener.Close()
		return nil, err
	}
	c := &ControlPlane{
		Kubeconfig:      filepath.Join(options.Dir, "kubeconfig"),
		NodeCertificate: keys.path("node.crt"),
		NodeKey:         keys.path("node.key"),
		ClientCA:        keys.path("ca.crt"),
	}
	if c.store, err = startStore(ctx, options.Dir, options.Log); err != nil {
		listener.Close()
		return nil, err
	}
	if err := c.start(ctx, listener, keys, tokens, options); err != nil {
		listener.Close()
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *ControlPlane) start(ctx context.Context, listener net.Listener, keys pki, tokens tokens, options Options) error {
	// The API server outlives ctx, which is only about starting: it must stop after the controllers and the node.
	serving, stopAPIServer := context.WithCancel(context.WithoutCancel(ctx))
	c.stopAPIServer = stopAPIServer
	var err error
	if c.failed, err = startAPIServer(serving, listener, keys, c.store.endpoint); err != nil {
		return err
	}
	host := "https://" + listener.Addr().String()
	config := &rest.Config{Host: host, TLSClientConfig: rest.TLSClientConfig{CAFile: keys.path("ca.crt")}}
	if err := rest.LoadTLSFiles(config); err != nil {
		return fmt.Errorf("reading root certificate: %w", err)
	}
	c.Config = rest.CopyConfig(config)
	c.Config.BearerToken = tokens.admin
	if err := c.waitForAPIServer(ctx); err != nil {
		return err
	}

	managing, stopControllers := context.WithCancel(context.WithoutCancel(ctx))
	c.stopControllers = stopControllers
	controllerConfig := rest.CopyConfig(config)
	controllerConfig.BearerToken = tokens.controllers
	controllerConfig.QPS, controllerConfig.Burst = -1, options.Burst
	if options.QPS > 0 {
		controllerConfig.QPS = options.QPS
	}
	if c.waitControllers, err = startControllers(managing, controllerConfig, keys, options.Controllers); err != nil {
		return err
	}
	if err := c.waitForServiceAccount(ctx, options.Controllers); err != nil {
		return err
	}
	return writeKubeconfig(c.Kubeconfig, c.Config)
}

// Version returns the Kubernetes release of this binary, such as v1.37.2.
func (c *ControlPlane) Version() string { return kubernetesVersion() }

// Failed yields the error with which the API server ended, or closes when it ended by itself without one.
func (c *ControlPlane) Failed() <-chan error { return c.failed }

// Stop ends the controllers, then the API server, then etcd, and returns when all have ended: an API server that loses
// its etcd first waits for it in vain.
func (c *ControlPlane) Stop() error {
	if c.stopControllers != nil {
		c.stopControllers()
		if c.waitControllers != nil {
			c.waitControllers()
		}
	}
	var err error
	if c.stopAPIServer != nil {
		c.stopAPIServer()
		if c.failed != nil {
			err = <-c.failed
		}
	}
	c.store.stop()
	return err
}

// tokens are bearer tokens, each good for one user of the cluster.
type tokens struct{ admin, controllers string }

// prepare makes every key, certificate and token that is missing or does not outlive the process.
func (p pki) prepare() (tokens, error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return tokens{}, fmt.Errorf("making directory for keys: %w", err)
	}
	root, err := p.authority("ca")
	if err != nil {
		return tokens{}, err
	}
	proxies, err := p.authority("front-proxy-ca")
	if err != nil {
		return tokens{}, err
	}
	err = errors.Join(
		p.issue(root, leaf{file: "apiserver", commonName: "kube-apiserver", usage: x509.ExtKeyUsageServerAuth}),
		p.issue(root, leaf{file: "kubelet-client", commonName: "kube-apiserver-kubelet-client", usage: x509.ExtKeyUsageClientAuth}),
		p.issue(root, leaf{file: "node", commonName: "localcluster node", usage: x509.ExtKeyUsageServerAuth}),
		p.issue(proxies, leaf{file: "front-proxy-client", commonName: "front-proxy-client", usage: x509.ExtKeyUsageClientAuth}),
		p.serviceAccountKey(),
	)
	if err != nil {
		return tokens{}, err
	}
	var t tokens
	if t.admin, err = p.token("admin"); err != nil {
		return tokens{}, err
	}
	if t.controllers, err = p.token("controllers"); err != nil {
		return tokens{}, err
	}
	var lines strings.Builder
	fmt.Fprintf(&lines, "%s,localcluster-admin,localcluster-admin,\"system:masters\"\n", t.admin)
	fmt.Fprintf(&lines, "%s,system:kube-controller-manager,system:kube-controller-manager,\"system:masters\"\n", t.controllers)
	if err := os.WriteFile(p.path("tokens.csv"), []byte(lines.String()), 0o600); err != nil {
		return tokens{}, fmt.Errorf("writing tokens: %w", err)
	}
	return t, nil
}

// waitFor asks until ready says so; the API server has no watch to tell when it begins to serve.
func (c *ControlPlane) waitFor(ctx context.Context, what string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case failure := <-c.failed:
			if failure == nil {
				failure = errors.New("it gave no reason")
			}
			return fmt.Errorf("waiting for %s: the API server ended: %w", what, failure)
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last answer: %w)", what, context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *ControlPlane) waitForAPIServer(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return fmt.Errorf("making client: %w", err)
	}
	return c.waitFor(ctx, "the API server to be ready", func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// waitForServiceAccount waits for the account that Pods in the namespace default run as: without it they are refused.
func (c *ControlPlane) waitForServiceAccount(ctx context.Context, selection []string) error {
	selected, err := selectControllers(selection)
	if err != nil {
		return err
	}
	made := false
	for _, s := range selected {
		made = made || s.alias == "serviceaccount"
	}
	if !made {
		return nil
	}
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return fmt.Errorf("making client: %w", err)
	}
	return c.waitFor(ctx, "the service account default", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func writeKubeconfig(file string, config *rest.Config) error {
	const name = "localcluster"
	content := clientcmdapi.NewConfig()
	content.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	content.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	content.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	content.CurrentContext = name
	if err := clientcmd.WriteToFile(*content, file); err != nil {
		return fmt.Errorf("writing kubeconfig: %w", err)
	}
	return nil
}
