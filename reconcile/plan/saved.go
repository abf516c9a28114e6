package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// SavedKind is the kind of a saved plan; its apiVersion is rota's own.
const SavedKind = "SavedPlan"

// Saved is a plan in a file: what was announced, of which revision, on which
// cluster, by which choices. It has no object of the repository, so nothing of
// a Secret either: whoever applies it renders the revision again.
type Saved struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Version is of the rota that made the plan; another may decide otherwise.
	Version string `json:"version"`
	// Created is when the plan was made; its effects speak of times after it.
	Created time.Time `json:"created"`
	// Revision and Overlay name what was rendered.
	Revision string `json:"revision"`
	Overlay  string `json:"overlay,omitempty"`
	// Cluster is where the plan holds.
	Cluster SavedCluster `json:"cluster"`
	// Sync, Namespace and SystemNamespace say which inventory it is about.
	Sync            string `json:"sync"`
	Namespace       string `json:"namespace"`
	SystemNamespace string `json:"systemNamespace"`
	// Options are the choices that the plan was made by.
	Options SavedOptions `json:"options"`
	// Totals is the last line of the plan, for people.
	Totals  string        `json:"totals"`
	Changes []SavedChange `json:"changes"`
	// Checksum is of all the rest. It finds accidents: it is no signature.
	Checksum string `json:"checksum"`
}

// SavedCluster is one API server.
type SavedCluster struct {
	// Server is its address as the plan's maker had it.
	Server string `json:"server"`
	// UID is that of the namespace kube-system, which no two clusters share;
	// empty if the account may not read it.
	UID string `json:"uid,omitempty"`
}

// SavedOptions are the Options that a command line chooses.
type SavedOptions struct {
	Scheduler       string `json:"scheduler"`
	Prune           bool   `json:"prune"`
	MaxPrunePercent int    `json:"maxPrunePercent"`
	ForceConflicts  bool   `json:"forceConflicts"`
	// Judged is set if the API server was asked about every write.
	Judged bool `json:"judged"`
}

// SavedChange is a Change without the objects.
type SavedChange struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Op        Op     `json:"op"`
	Reason    Reason `json:"reason"`
	Effect    string `json:"effect"`
	// Digest is of what is applied; none for a Secret, whose value could be
	// guessed by it.
	Digest string `json:"digest,omitempty"`
	// Retire and Force are as in Change.
	Retire bool `json:"retire,omitempty"`
	Force  bool `json:"force,omitempty"`
	// Live is the object that was decided on; nil if there was none.
	Live *SavedLive `json:"live,omitempty"`
}

// SavedLive is one state of an object.
type SavedLive struct {
	UID             string `json:"uid"`
	ResourceVersion string `json:"resourceVersion"`
}

// Key returns the identity of the object.
func (c SavedChange) Key() schema.Key {
	return schema.Key{Group: c.Group, Kind: c.Kind, Namespace: c.Namespace, Name: c.Name}
}

// Save returns about with the changes of p.
func (p Plan) Save(about Saved) Saved {
	s := about
	s.APIVersion, s.Kind, s.Revision, s.Totals = schema.APIVersion, SavedKind, p.Revision, p.Totals().String()
	s.Changes = make([]SavedChange, 0, len(p.Changes))
	for _, c := range p.Changes {
		s.Changes = append(s.Changes, saved(c))
	}
	return s
}

func saved(c Change) SavedChange {
	s := SavedChange{Group: c.Key.Group, Kind: c.Key.Kind, Namespace: c.Key.Namespace, Name: c.Key.Name,
		Op: c.Op, Reason: c.Reason, Effect: c.Effect, Retire: c.Retire, Force: c.Force}
	if c.Object != nil && c.Key.GroupKind().String() != "Secret" {
		s.Digest = annotation(c.Object.Unstructured, schema.AnnotationApplied)
	}
	if c.Before != nil {
		s.Live = &SavedLive{UID: string(c.Before.GetUID()), ResourceVersion: c.Before.GetResourceVersion()}
	}
	return s
}

// Encode returns the file of s.
func (s Saved) Encode() ([]byte, error) {
	sum, err := s.sum()
	if err != nil {
		return nil, err
	}
	s.Checksum = sum
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding a saved plan: %w", err)
	}
	return append(data, '\n'), nil
}

func (s Saved) sum() (string, error) {
	s.Checksum = ""
	data, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encoding a saved plan: %w", err)
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// ReadSaved reads the file of a saved plan for a version of rota; the error is a
// Problem of R250, or of R251 for the plan of another version.
func ReadSaved(data []byte, version string) (Saved, error) {
	bad := func(message, mend string, cause error) (Saved, error) {
		return Saved{}, &schema.Problem{Rule: "R250", Severity: schema.SeverityError, Message: message, Mend: mend, Cause: cause}
	}
	const again = "Make the plan again: rota plan --out FILE."
	var head Saved
	if err := json.Unmarshal(data, &head); err != nil {
		return bad("it cannot be read: "+err.Error(), again, err)
	}
	if head.APIVersion != schema.APIVersion || head.Kind != SavedKind {
		return bad(fmt.Sprintf("it is no saved plan: apiVersion is %q and kind is %q, not %s and %s", head.APIVersion, head.Kind, schema.APIVersion, SavedKind),
			"Name the file that rota plan --out wrote.", nil)
	}
	if head.Version != version {
		return Saved{}, &schema.Problem{Rule: "R251", Severity: schema.SeverityError, Message: fmt.Sprintf("the plan was made by rota %s, and this is rota %s", head.Version, version),
			Mend: "Apply it with that version, or make the plan again: rota plan --out FILE."}
	}
	var s Saved
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return bad("it cannot be read: "+err.Error(), again, err)
	}
	sum, err := s.sum()
	if err != nil {
		return Saved{}, err
	}
	if sum != s.Checksum {
		return bad("it was changed after rota wrote it: its checksum is another", again, nil)
	}
	return s, nil
}

// Moved returns one Problem, of R255, for each object that has another effect
// in now than was saved, or is another object by now. What only changed without
// changing what happens is none.
func (s Saved) Moved(now Plan) []*schema.Problem {
	var moved []*schema.Problem
	then := make(map[schema.Key]SavedChange, len(s.Changes))
	for _, c := range s.Changes {
		then[c.Key()] = c
	}
	for _, c := range now.Changes {
		old, known := then[c.Key]
		delete(then, c.Key)
		switch {
		case !known && c.Op == Keep:
			// Nothing was to happen to it, and nothing does.
		case !known:
			moved = append(moved, s.moved(c.Key, c.Object, fmt.Sprintf("the plan does not have it, and now it %s", c.Effect)))
		default:
			if message := s.movedChange(old, c); message != "" {
				moved = append(moved, s.moved(c.Key, c.Object, message))
			}
		}
	}
	for _, old := range s.Changes {
		if _, left := then[old.Key()]; left && old.Op != Keep {
			moved = append(moved, s.moved(old.Key(), nil, fmt.Sprintf("the plan says that it %s, and now there is nothing to do: %s", old.Effect, s.why(old, nil))))
		}
	}
	return moved
}

func (s Saved) moved(key schema.Key, object *schema.Object, message string) *schema.Problem {
	p := &schema.Problem{Rule: "R255", Severity: schema.SeverityError, Object: &key, Message: message}
	if object != nil {
		p.Origin = object.Origin
	}
	return p
}

// movedChange says what moved of one object; it is empty if nothing did.
func (s Saved) movedChange(old SavedChange, c Change) string {
	now := saved(c)
	switch {
	case old.Digest != now.Digest:
		return "the repository renders it otherwise than for the plan"
	case !sameEffect(old, now):
		return fmt.Sprintf("the plan says that it %s, and now it %s: %s", old.Effect, now.Effect, s.why(old, c.Before))
	case writes(now) && old.Live != nil && now.Live != nil && old.Live.UID != now.Live.UID:
		return fmt.Sprintf("the plan says that it %s, and it is another object by now: %s", old.Effect, s.why(old, c.Before))
	}
	return ""
}

func writes(c SavedChange) bool {
	switch c.Op {
	case Create, Update, Replace, Delete:
		return true
	}
	return c.Retire
}

// countedPods is how effects name an active run; how many Pods it has at a
// moment is no part of the effect.
var countedPods = regexp.MustCompile(`\(\d+ pods?\)`)

// sameEffect reports whether the same happens. Where nothing is written it is
// enough that it is for the same reason: what a Job that stays as it is does
// meanwhile is its own affair.
func sameEffect(a, b SavedChange) bool {
	if a.Op != b.Op || a.Reason != b.Reason || a.Retire != b.Retire || a.Force != b.Force {
		return false
	}
	return !writes(a) || countedPods.ReplaceAllString(a.Effect, "") == countedPods.ReplaceAllString(b.Effect, "")
}

// why says what happened to the live object since the plan.
func (s Saved) why(old SavedChange, live *unstructured.Unstructured) string {
	switch {
	case old.Live == nil && live == nil && old.Key().IsJob():
		return "what is known of its runs changed since"
	case old.Live == nil && live == nil:
		return "something that it depends on changed since"
	case old.Live == nil:
		return "it was created since" + s.by(live)
	case live == nil && old.Key().IsJob():
		return "it was deleted since, by somebody or, if it had ended, by its ttlSecondsAfterFinished"
	case live == nil:
		return "it was deleted since"
	case string(live.GetUID()) != old.Live.UID:
		return "it was deleted and created anew since" + s.by(live)
	case live.GetResourceVersion() != old.Live.ResourceVersion:
		return "it was changed since" + s.by(live)
	}
	return "something that it depends on changed since"
}

// by names who wrote to live last, if that was after the plan.
func (s Saved) by(live *unstructured.Unstructured) string {
	manager, part := "", ""
	at := s.Created.Truncate(time.Second)
	for _, entry := range live.GetManagedFields() {
		if entry.Time != nil && !entry.Time.Time.Before(at) {
			manager, part, at = entry.Manager, entry.Subresource, entry.Time.UTC()
		}
	}
	switch {
	case manager == "":
		return ""
	case part != "":
		return fmt.Sprintf(" (its %s) by %s at %s", part, manager, stamp(at))
	}
	return " by " + manager + " at " + stamp(at)
}
