package schema

import (
	"cmp"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// What Sync fields say, and what they say when they are left out.
const (
	// SchedulerEmbedded lets rota fire the CronJobs.
	SchedulerEmbedded = "Embedded"
	// SchedulerCluster leaves them to the cluster's own controller.
	SchedulerCluster = "Cluster"
	// DriftCorrect restores what somebody else changed.
	DriftCorrect = "Correct"
	// DriftReport says it only.
	DriftReport = "Report"

	// DefaultInterval is how often a source is asked for something new.
	DefaultInterval = time.Minute
	// DefaultTimeout bounds one fetch, render and apply.
	DefaultTimeout = 5 * time.Minute
	// DefaultMaxPrunePercent is the share of an inventory of ten objects or
	// more that one prune may delete.
	DefaultMaxPrunePercent = 50
)

// Sync is one repository that the controller keeps a cluster equal to.
type Sync struct {
	// APIVersion is rota.dev/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind is Sync.
	Kind string `json:"kind"`
	// Metadata names the Sync; the name is part of the names of its inventory
	// and ledger, and must not change.
	Metadata Metadata `json:"metadata"`
	// Spec says what is pulled and where it goes.
	Spec SyncSpec `json:"spec"`

	// Origin is where the document stands.
	Origin Origin `json:"-"`
}

// SyncSpec says what is pulled, where it goes, and how it is kept.
type SyncSpec struct {
	// Source is where the documents come from.
	Source SyncSource `json:"source"`
	// Interval is how often the source is asked for something new, such as
	// 30s; 1m by default. A directory is watched besides.
	Interval Duration `json:"interval,omitempty"`
	// Timeout bounds one fetch, render and apply; 5m by default.
	Timeout Duration `json:"timeout,omitempty"`
	// Target is where the objects go.
	Target SyncTarget `json:"target,omitempty"`
	// Scheduler is Embedded, the default: rota fires the CronJobs; or Cluster:
	// the cluster's own controller does.
	Scheduler string `json:"scheduler,omitempty"`
	// Drift is Correct, the default: what somebody else changed is restored;
	// or Report: it is only said.
	Drift string `json:"drift,omitempty"`
	// Prune says what happens to objects that left the repository.
	Prune SyncPrune `json:"prune,omitempty"`
	// Apply says how objects are written.
	Apply SyncApply `json:"apply,omitempty"`
	// Limits bound what one revision may cost.
	Limits SyncLimits `json:"limits,omitempty"`
}

// SyncSource is exactly one of git and directory.
type SyncSource struct {
	// Git is a repository that is pulled.
	Git *GitSource `json:"git,omitempty"`
	// Directory is a folder of this machine that is watched.
	Directory *DirectorySource `json:"directory,omitempty"`
}

// GitSource is a git repository and what of it is rendered.
type GitSource struct {
	// URL is https://… or ssh://… (or git@host:path).
	URL string `json:"url"`
	// Branch is the branch to follow. At most one of branch, tag and commit;
	// the remote's default branch without any.
	Branch string `json:"branch,omitempty"`
	// Tag is the tag to follow.
	Tag string `json:"tag,omitempty"`
	// Commit is the full hash to stay at.
	Commit string `json:"commit,omitempty"`
	// Path is the folder to render, from the root; the root by default.
	Path string `json:"path,omitempty"`
	// Credentials are files with secrets, read anew for each fetch.
	Credentials *GitCredentials `json:"credentials,omitempty"`
	// KnownHostsFile has the keys of ssh servers, as OpenSSH writes them; it
	// is needed for ssh.
	KnownHostsFile string `json:"knownHostsFile,omitempty"`
	// CAFile has PEM certificates that https servers are checked against, besides
	// the system's.
	CAFile string `json:"caFile,omitempty"`
}

// GitCredentials are files with secrets: a token, a user and a password, or an
// ssh key.
type GitCredentials struct {
	// TokenFile has a bearer or access token for https.
	TokenFile string `json:"tokenFile,omitempty"`
	// UsernameFile has the user for https; it goes with passwordFile.
	UsernameFile string `json:"usernameFile,omitempty"`
	// PasswordFile has the password for https.
	PasswordFile string `json:"passwordFile,omitempty"`
	// SSHKeyFile has a private key without passphrase for ssh.
	SSHKeyFile string `json:"sshKeyFile,omitempty"`
}

// DirectorySource is a folder of this machine.
type DirectorySource struct {
	// Path is the root, which no file may lead out of; relative to the
	// configuration file.
	Path string `json:"path"`
	// Sub is the folder to render, from the root; the root by default.
	Sub string `json:"sub,omitempty"`
}

// SyncTarget is where the objects of a Sync go, and as whom.
type SyncTarget struct {
	// Namespace is where objects without a namespace go; "default" by default.
	Namespace string `json:"namespace,omitempty"`
	// Context is one of the kubeconfig's; the current one by default.
	Context string `json:"context,omitempty"`
	// ServiceAccount is impersonated, as namespace/name, or a name in the
	// target's namespace.
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// Kinds are the only ones allowed, as Kind or Kind.group, such as Job and
	// Role.rbac.authorization.k8s.io; all by default.
	Kinds []string `json:"kinds,omitempty"`
	// Namespaces are the only ones allowed; all by default.
	Namespaces []string `json:"namespaces,omitempty"`
}

// SyncPrune says what happens to objects that left the repository.
type SyncPrune struct {
	// Enabled is whether they are deleted; true by default.
	Enabled *bool `json:"enabled,omitempty"`
	// MaxPercent is the share of an inventory of ten objects or more that one
	// prune may delete; 50 by default, 100 allows all.
	MaxPercent *int64 `json:"maxPercent,omitempty"`
}

// SyncApply says how objects are written.
type SyncApply struct {
	// ForceConflicts takes fields over that another manager owns; false by
	// default: such an object is reported and left as it is.
	ForceConflicts bool `json:"forceConflicts,omitempty"`
}

// PruneEnabled reports whether objects that left the repository are deleted.
func (s SyncSpec) PruneEnabled() bool { return s.Prune.Enabled == nil || *s.Prune.Enabled }

// MaxPrunePercent returns the share that one prune may delete.
func (s SyncSpec) MaxPrunePercent() int {
	if s.Prune.MaxPercent == nil {
		return DefaultMaxPrunePercent
	}
	return int(*s.Prune.MaxPercent)
}

// SetDefaults fills in what the fields' comments name as defaults.
func (s *Sync) SetDefaults() {
	spec := &s.Spec
	spec.Interval.Duration = cmp.Or(spec.Interval.Duration, DefaultInterval)
	spec.Timeout.Duration = cmp.Or(spec.Timeout.Duration, DefaultTimeout)
	spec.Limits.SetDefaults()
	spec.Scheduler = cmp.Or(spec.Scheduler, SchedulerEmbedded)
	spec.Drift = cmp.Or(spec.Drift, DriftCorrect)
	spec.Target.Namespace = cmp.Or(spec.Target.Namespace, "default")
	enabled, percent := spec.PruneEnabled(), int64(spec.MaxPrunePercent())
	spec.Prune = SyncPrune{Enabled: &enabled, MaxPercent: &percent}
	if spec.Source.Git != nil {
		spec.Source.Git.Path = cmp.Or(spec.Source.Git.Path, ".")
	}
	if spec.Source.Directory != nil {
		spec.Source.Directory.Sub = cmp.Or(spec.Source.Directory.Sub, ".")
	}
}

// DecodeSyncs reads every Sync of a configuration file, with defaults filled
// in. Any fault of any of them is an error, and all faults are joined as
// [*Problem] with their positions. File is used for positions only.
func DecodeSyncs(file string, data []byte) ([]Sync, error) {
	documents, err := ReadDocuments(file, data, DocumentLimits{})
	if err != nil {
		return nil, err
	}
	s := newStrict(file)
	if len(documents) == 0 {
		s.failAt("R020", "", "the file has no Sync", "Write a document with apiVersion: "+APIVersion+" and kind: Sync.")
	}
	var syncs []Sync
	names := map[string]Origin{}
	for _, d := range documents {
		s.begin()
		sync := Sync{Origin: d.Origin()}
		s.decode(d.Node, "", reflect.ValueOf(&sync).Elem())
		sync.check(s)
		if first, twice := names[sync.Metadata.Name]; twice && sync.Metadata.Name != "" {
			s.failAt("R020", "metadata.name", fmt.Sprintf("another Sync is named %s, at %s", sync.Metadata.Name, first), "Give each Sync its own name.")
		}
		names[sync.Metadata.Name] = sync.Origin
		sync.SetDefaults()
		syncs = append(syncs, sync)
	}
	if err := s.err(); err != nil {
		return nil, err
	}
	return syncs, nil
}

func (s *Sync) check(d *strict) {
	if s.APIVersion != APIVersion {
		d.failAt("R021", "apiVersion", fmt.Sprintf("wants %s, not %q", APIVersion, s.APIVersion), "Write apiVersion: "+APIVersion+".")
	}
	if s.Kind != "Sync" {
		d.failAt("R021", "kind", fmt.Sprintf("wants Sync, not %q", s.Kind), "A configuration file has documents of kind Sync only.")
	}
	// The name is part of the names of ConfigMaps and the value of a label.
	if s.Metadata.Name == "" {
		d.failAt("R020", "metadata.name", "the Sync has no name", "Add metadata.name.")
	} else if len(s.Metadata.Name) > 40 || len(validation.IsDNS1123Label(s.Metadata.Name)) > 0 {
		d.failAt("R020", "metadata.name", fmt.Sprintf("%q is no name for a Sync", s.Metadata.Name), "Use at most 40 lower-case letters, digits and -, a letter or digit first and last.")
	}
	spec := &s.Spec
	spec.Source.check(d)
	spec.Target.check(d)
	spec.Limits.check(d)
	d.oneOf("spec.scheduler", spec.Scheduler, SchedulerEmbedded, SchedulerCluster)
	d.oneOf("spec.drift", spec.Drift, DriftCorrect, DriftReport)
	d.atLeast("spec.interval", spec.Interval, time.Second)
	d.atLeast("spec.timeout", spec.Timeout, time.Second)
	if p := spec.Prune.MaxPercent; p != nil && (*p < 0 || *p > 100) {
		d.failAt("R020", "spec.prune.maxPercent", fmt.Sprintf("%d is no percentage", *p), "Use 0 to 100.")
	}
}

func (s *strict) oneOf(path, value string, words ...string) {
	if value == "" {
		return
	}
	for _, w := range words {
		if value == w {
			return
		}
	}
	message := fmt.Sprintf("%q is none of %s", value, strings.Join(words, ", "))
	if near := Nearest(value, words); near != "" {
		message += fmt.Sprintf(" (did you mean %q?)", near)
	}
	s.failAt("R020", path, message, "Correct the value.")
}

func (s *strict) atLeast(path string, d Duration, least time.Duration) {
	if s.given(path) && d.Duration < least {
		s.failAt("R020", path, fmt.Sprintf("%s is too short", d.Duration), "Use at least "+least.String()+".")
	}
}

func (s *SyncSource) check(d *strict) {
	switch git, directory := d.given("spec.source.git"), d.given("spec.source.directory"); {
	case !git && !directory:
		d.failAt("R020", "spec.source", "wants git or directory, and has none", "Add spec.source.git.url or spec.source.directory.path.")
	case git && directory:
		d.failAt("R020", "spec.source", "wants one of git and directory, and has both", "Remove one of them.")
	}
	if s.Git != nil {
		s.Git.check(d)
	}
	if s.Directory != nil {
		if s.Directory.Path == "" {
			d.failAt("R020", "spec.source.directory.path", "the directory has no path", "Add spec.source.directory.path.")
		}
		d.inside("spec.source.directory.sub", s.Directory.Sub)
	}
}

func (g *GitSource) check(d *strict) {
	const at = "spec.source.git"
	if g.URL == "" {
		d.failAt("R020", at+".url", "the git source has no url", "Add spec.source.git.url.")
	}
	d.inside(at+".path", g.Path)
	var refs []string
	for _, r := range []struct{ field, value string }{{"branch", g.Branch}, {"tag", g.Tag}, {"commit", g.Commit}} {
		if r.value != "" {
			refs = append(refs, r.field)
		}
		if strings.HasPrefix(r.value, "-") || strings.ContainsAny(r.value, " \t\n~^:?*[\\") || strings.Contains(r.value, "..") {
			d.failAt("R020", at+"."+r.field, fmt.Sprintf("%q is no name of a %s", r.value, r.field), "Write the name as `git ls-remote` shows it.")
		}
	}
	if len(refs) > 1 {
		d.failAt("R020", at+"."+refs[1], strings.Join(refs, " and ")+" exclude each other", "Keep one of them.")
	}
	if g.Commit != "" && !isHash(g.Commit) {
		d.failAt("R020", at+".commit", fmt.Sprintf("%q is no full hash", g.Commit), "Write all 40 digits; a shortened hash can become ambiguous.")
	}
	if c := g.Credentials; c != nil {
		if c.TokenFile != "" && c.PasswordFile != "" {
			d.failAt("R020", at+".credentials", "tokenFile and passwordFile exclude each other", "Remove one of them.")
		}
		if (c.UsernameFile == "") != (c.PasswordFile == "") && c.TokenFile == "" {
			d.failAt("R020", at+".credentials", "usernameFile and passwordFile go together", "Set both of them, or use tokenFile.")
		}
	}
}

func isHash(s string) bool {
	return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == ""
}

// inside refuses a path that is not below the repository's root.
func (s *strict) inside(field, p string) {
	if p == "" {
		return
	}
	if path.IsAbs(p) || slices.Contains(strings.Split(p, "/"), "..") {
		s.failAt("R020", field, fmt.Sprintf("%q is no path inside the root", p), "Write it relative to the root, without `..`.")
	}
}

func (t *SyncTarget) check(d *strict) {
	const at = "spec.target"
	for i, ns := range append([]string{t.Namespace}, t.Namespaces...) {
		if ns == "" && i == 0 || len(validation.IsDNS1123Label(ns)) == 0 {
			continue
		}
		field := at + ".namespace"
		if i > 0 {
			field = fmt.Sprintf("%s.namespaces[%d]", at, i-1)
		}
		d.failAt("R020", field, fmt.Sprintf("%q is no name of a namespace", ns), "Use lower-case letters, digits and -.")
	}
	for i, kind := range t.Kinds {
		name, _, _ := strings.Cut(kind, ".")
		if name == "" || name[0] < 'A' || name[0] > 'Z' {
			d.failAt("R020", fmt.Sprintf("%s.kinds[%d]", at, i), fmt.Sprintf("%q is no kind", kind), "Write Job, or with its group Role.rbac.authorization.k8s.io.")
		}
	}
	namespace, name, found := strings.Cut(t.ServiceAccount, "/")
	if found && (namespace == "" || name == "" || strings.Contains(name, "/")) {
		d.failAt("R020", at+".serviceAccount", fmt.Sprintf("%q is no service account", t.ServiceAccount), "Write namespace/name.")
	}
}
