package schema

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
)

// SyncLimits bound what one revision may cost, so that a broken or hostile
// repository gets an error and nothing else suffers.
type SyncLimits struct {
	// FileBytes is the size of one file that is read; 4Mi by default.
	FileBytes Bytes `json:"fileBytes,omitempty"`
	// TotalBytes is the size of all files of a revision; 128Mi by default.
	TotalBytes Bytes `json:"totalBytes,omitempty"`
	// Files is how many files, links and folders a revision has; 20000 by
	// default.
	Files int64 `json:"files,omitempty"`
	// Nesting is how deep the values of a document stand inside each other;
	// 200 by default.
	Nesting int64 `json:"nesting,omitempty"`
	// AliasNodes is how many values the aliases of one document may add;
	// 100000 by default.
	AliasNodes int64 `json:"aliasNodes,omitempty"`
	// Objects is how many objects are made; 50000 by default.
	Objects int64 `json:"objects,omitempty"`
	// Items is how many items one Expansion has; 50000 by default.
	Items int64 `json:"items,omitempty"`
	// RenderedBytes is the size of all that Expansions and Jinja templates
	// make; 256Mi by default.
	RenderedBytes Bytes `json:"renderedBytes,omitempty"`
	// TemplateBytes is the output of one Jinja template; 16Mi by default.
	TemplateBytes Bytes `json:"templateBytes,omitempty"`
	// TemplateTime is how long one Jinja template runs; 5s by default.
	TemplateTime Duration `json:"templateTime,omitempty"`
	// OverlayBytes is the size of the objects that one run of kustomize makes,
	// as JSON; 64Mi by default.
	OverlayBytes Bytes `json:"overlayBytes,omitempty"`
	// OverlayTime is how long one run of kustomize takes; 2m by default.
	OverlayTime Duration `json:"overlayTime,omitempty"`
	// RenderTime is how long all templates and runs of kustomize of a revision
	// take together; 5m by default.
	RenderTime Duration `json:"renderTime,omitempty"`
	// RendererMemory is the memory of the process that templates and kustomize
	// run in; 192Mi by default, and at least 64Mi.
	RendererMemory Bytes `json:"rendererMemory,omitempty"`
}

// DefaultLimits are the limits of a Sync that names none, and of verbs that
// know of no Sync.
var DefaultLimits = SyncLimits{
	FileBytes: 4 << 20, TotalBytes: 128 << 20, Files: 20_000, Nesting: 200, AliasNodes: 100_000,
	Objects: 50_000, Items: 50_000, RenderedBytes: 256 << 20,
	TemplateBytes: 16 << 20, TemplateTime: Duration{5 * time.Second},
	OverlayBytes: 64 << 20, OverlayTime: Duration{2 * time.Minute},
	RenderTime: Duration{5 * time.Minute}, RendererMemory: 192 << 20,
}

// SetDefaults fills in what is not set.
func (l *SyncLimits) SetDefaults() {
	d := DefaultLimits
	l.FileBytes = cmp.Or(l.FileBytes, d.FileBytes)
	l.TotalBytes = cmp.Or(l.TotalBytes, d.TotalBytes)
	l.Files = cmp.Or(l.Files, d.Files)
	l.Nesting = cmp.Or(l.Nesting, d.Nesting)
	l.AliasNodes = cmp.Or(l.AliasNodes, d.AliasNodes)
	l.Objects = cmp.Or(l.Objects, d.Objects)
	l.Items = cmp.Or(l.Items, d.Items)
	l.RenderedBytes = cmp.Or(l.RenderedBytes, d.RenderedBytes)
	l.TemplateBytes = cmp.Or(l.TemplateBytes, d.TemplateBytes)
	l.TemplateTime = cmp.Or(l.TemplateTime, d.TemplateTime)
	l.OverlayBytes = cmp.Or(l.OverlayBytes, d.OverlayBytes)
	l.OverlayTime = cmp.Or(l.OverlayTime, d.OverlayTime)
	l.RenderTime = cmp.Or(l.RenderTime, d.RenderTime)
	l.RendererMemory = cmp.Or(l.RendererMemory, d.RendererMemory)
}

// Set sets one limit, given as on a command line: objects=100000.
func (l *SyncLimits) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is no limit; write it as objects=100000", text)
	}
	s := newStrict("")
	s.decode(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
		{Kind: yaml.ScalarNode, Value: strings.TrimPrefix(name, "spec.limits.")}, {Kind: yaml.ScalarNode, Value: value},
	}}, "spec.limits", reflect.ValueOf(l).Elem())
	if len(s.problems) == 0 {
		l.check(s)
	}
	return s.err()
}

// Bytes is a size, written as Kubernetes writes one: 65536, 64Ki, 16Mi, 0.5Gi.
type Bytes int64

// bytesForm is the part of Kubernetes' quantities that makes sense for a size.
var bytesForm = regexp.MustCompile(`^[0-9]{1,12}((\.[0-9]{1,6})?(k|M|G|Ki|Mi|Gi))?$`)

// UnmarshalText reads text such as 16Mi.
func (b *Bytes) UnmarshalText(text []byte) error {
	if bytesForm.Match(text) {
		if q, err := resource.ParseQuantity(string(text)); err == nil {
			*b = Bytes(q.Value())
			return nil
		}
	}
	return fmt.Errorf("%q is no size; write it as 65536, 64Ki or 16Mi", text)
}

// MarshalText writes b with the largest unit that it is a multiple of.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String returns b as [Bytes.MarshalText] writes it.
func (b Bytes) String() string { return resource.NewQuantity(int64(b), resource.BinarySI).String() }

const (
	// deepest is what the YAML reader itself can follow.
	deepest = 10_000
	// leastMemory is what a renderer needs before it has anything to do.
	leastMemory = 64 << 20
	leastTime   = 100 * time.Millisecond
)

func (l *SyncLimits) check(s *strict) {
	const at = "spec.limits."
	for _, b := range []struct {
		name  string
		value Bytes
		least Bytes
	}{
		{"fileBytes", l.FileBytes, 1}, {"totalBytes", l.TotalBytes, 1}, {"renderedBytes", l.RenderedBytes, 1}, {"templateBytes", l.TemplateBytes, 1},
		{"overlayBytes", l.OverlayBytes, 1}, {"rendererMemory", l.RendererMemory, leastMemory},
	} {
		if s.at[at+b.name] != nil && b.value < b.least {
			s.failAt("R020", at+b.name, fmt.Sprintf("%s is too little", b.value), fmt.Sprintf("Use at least %s.", b.least))
		}
	}
	for _, n := range []struct {
		name  string
		value int64
	}{{"files", l.Files}, {"nesting", l.Nesting}, {"aliasNodes", l.AliasNodes}, {"objects", l.Objects}, {"items", l.Items}} {
		if s.at[at+n.name] != nil && n.value < 1 {
			s.failAt("R020", at+n.name, fmt.Sprintf("%d is too little", n.value), "Use at least 1.")
		}
	}
	if l.Nesting > deepest {
		s.failAt("R020", at+"nesting", fmt.Sprintf("%d is deeper than can be read", l.Nesting), fmt.Sprintf("Use at most %d.", deepest))
	}
	s.atLeast(at+"templateTime", l.TemplateTime, leastTime)
	s.atLeast(at+"overlayTime", l.OverlayTime, leastTime)
	s.atLeast(at+"renderTime", l.RenderTime, leastTime)
}
