// Package cluster reads live state from a Kubernetes API server and is the only
// writer to it: the objects of a Sync (server-side apply, ApplySet inventory,
// prune), the ledger of runs, the published status, and the runs of schedules,
// leases and events. It carries a plan.Plan out and decides nothing that a plan
// decides. It opens no repository and renders nothing.
package cluster

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"rota.dev/rota/schema"
)

// DefaultNamespace holds parents, ledgers and status unless Options say
// otherwise.
const DefaultNamespace = "rota-system"

// defaultWorkers is what one API server has use for; more only adds latency
// (measured: creates peak at 4 to 16 workers).
const defaultWorkers = 16

// Options are the choices for all Sets of a Cluster.
type Options struct {
	// Namespace holds the parent, the ledger and the status of each Sync;
	// rota-system by default. It is created when first written to.
	Namespace string
	// Version is rota's own, written as tooling rota/<version>.
	Version string
	// Workers bounds the writes at a time; 16 by default.
	Workers int
	// Log receives what no caller can be told; discarded by default.
	Log *slog.Logger
}

// Cluster is one API server. Its methods may be called from several
// goroutines.
type Cluster struct {
	options Options
	config  *rest.Config
	own     clients
	kinds   *kinds
}

// clients are the ways to speak to the server as one account.
type clients struct {
	dynamic  dynamic.Interface
	metadata metadata.Interface
}

// Connect returns the Cluster that cfg names. It sends nothing yet. The
// client-side rate limit is switched off: API priority and fairness on the
// server is the limit.
func Connect(cfg *rest.Config, opts Options) (*Cluster, error) {
	if opts.Namespace == "" {
		opts.Namespace = DefaultNamespace
	}
	if opts.Version == "" {
		opts.Version = "dev"
	}
	if opts.Workers <= 0 {
		opts.Workers = defaultWorkers
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	cfg.UserAgent = "rota/" + opts.Version
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's configuration: %w", err)
	}
	own, err := clientsFor(cfg, client)
	if err != nil {
		return nil, err
	}
	known, err := discovery.NewDiscoveryClientForConfigAndClient(cfg, client)
	if err != nil {
		return nil, fmt.Errorf("preparing discovery: %w", err)
	}
	return &Cluster{options: opts, config: cfg, own: own, kinds: &kinds{client: known, log: opts.Log}}, nil
}

func clientsFor(cfg *rest.Config, client *http.Client) (clients, error) {
	d, err := dynamic.NewForConfigAndClient(cfg, client)
	if err != nil {
		return clients{}, fmt.Errorf("preparing the client: %w", err)
	}
	m, err := metadata.NewForConfigAndClient(metadata.ConfigFor(cfg), client)
	if err != nil {
		return clients{}, fmt.Errorf("preparing the metadata client: %w", err)
	}
	return clients{dynamic: d, metadata: m}, nil
}

// SetOptions say what one Sync may touch, and as whom.
type SetOptions struct {
	// Sync is the Sync's name.
	Sync string
	// Namespace is for objects that name none; `default` if empty.
	Namespace string
	// Kinds are the only ones that the Sync may hold; any if empty.
	Kinds []k8sschema.GroupKind
	// Namespaces are the only ones that the Sync may write to; any if empty.
	Namespaces []string
	// ServiceAccount, as namespace/name, reads and writes the repository's
	// objects. The parent, the ledger and the status are always rota's own.
	ServiceAccount string
}

// Set is the ApplySet of one Sync: its members, its parent and its ledger.
// Observe, Apply, Record and RebuildLedger are for one goroutine at a time, the
// others for any. A Set watches on until Close. A replica that becomes leader
// takes a new Set, which reads everything live.
type Set struct {
	cluster *Cluster
	options SetOptions
	id      string
	// as is the account of the repository's objects.
	as    clients
	asErr error
	log   *slog.Logger

	changed chan struct{}
	// wake, once set, signals a change later; guarded by mu.
	wake *time.Timer

	mu      sync.Mutex
	closed  bool
	state   *mirror
	members map[scope]*mirror
	// others follow objects that are not members but have a desired key.
	others map[scope]*mirror
	missed map[scope]int
	// unread are the scopes that the last Observe could not read, and why.
	unread  map[scope]error
	full    map[schema.Key]*unstructured.Unstructured
	owners  map[string]ownerName
	waiting map[schema.Key]bool
	desired map[schema.Key]bool
	parent  *parent
	ledger  *ledger
	// ledgerBad says why ledger cannot be believed; nil if it can.
	ledgerBad *schema.Problem
}

// Set returns the set of one Sync. It sends nothing yet.
func (c *Cluster) Set(o SetOptions) *Set {
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	s := &Set{
		cluster: c, options: o, as: c.own, log: c.options.Log.With("sync", o.Sync),
		id:      SetID(o.Sync, c.options.Namespace),
		changed: make(chan struct{}, 1),
		members: map[scope]*mirror{}, others: map[scope]*mirror{}, missed: map[scope]int{},
		full: map[schema.Key]*unstructured.Unstructured{}, owners: map[string]ownerName{},
		waiting: map[schema.Key]bool{}, desired: map[schema.Key]bool{},
	}
	if o.ServiceAccount != "" {
		s.as, s.asErr = c.impersonate(o.ServiceAccount)
	}
	return s
}

func (c *Cluster) impersonate(account string) (clients, error) {
	namespace, name, ok := strings.Cut(account, "/")
	if !ok || namespace == "" || name == "" {
		return clients{}, fmt.Errorf("reading the service account %q: it must be namespace/name", account)
	}
	cfg := rest.CopyConfig(c.config)
	// What the API server gives a token of that account, so that RBAC bound to
	// the groups holds as it does for a Pod.
	cfg.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + name,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return clients{}, fmt.Errorf("impersonating %s: %w", account, err)
	}
	return clientsFor(cfg, client)
}

// ID returns the set's id: the value of its members' part-of label.
func (s *Set) ID() string { return s.id }

// ApplySetID returns the id of the ApplySet whose parent is named, by the
// formula of KEP-3659. Group is empty for the core group.
func ApplySetID(name, namespace, kind, group string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{name, namespace, kind, group}, ".")))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// SetID returns the id of the set of a Sync whose parent is in a namespace.
func SetID(sync, namespace string) string {
	return ApplySetID(parentName(sync), namespace, "ConfigMap", "")
}

// Changed receives a value when a member, the parent or the ledger changed or
// vanished in a way that is not the last write of this Set. Several changes may
// be one value.
func (s *Set) Changed() <-chan struct{} { return s.changed }

func (s *Set) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Close ends the watches and waits for them. The Set must not be used again.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	if s.wake != nil {
		s.wake.Stop()
	}
	var all []*mirror
	if s.state != nil {
		all = append(all, s.state)
	}
	for _, m := range s.members {
		all = append(all, m)
	}
	for _, m := range s.others {
		all = append(all, m)
	}
	s.mu.Unlock()
	for _, m := range all {
		m.stop()
	}
}
