package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"rota.dev/rota/schema"
)

// Resolve returns objects as this cluster names them: with the default
// namespace where a namespaced kind has none, without one where the kind has
// no namespaces. Refused has, by the resolved key, those that cannot be
// applied here: unknown kinds, and kinds or namespaces that the Sync does not
// allow; they are in resolved as well, in the order of objects. The given
// objects are not changed. The error is for a server that does not answer.
func (s *Set) Resolve(ctx context.Context, objects []schema.Object) (resolved []schema.Object, refused map[schema.Key]*schema.Problem, err error) {
	if s.asErr != nil {
		return nil, nil, s.asErr
	}
	resolved = make([]schema.Object, 0, len(objects))
	refused = map[schema.Key]*schema.Problem{}
	defined := definedKinds(objects)
	for _, o := range objects {
		if len(s.options.Kinds) > 0 && !slices.Contains(s.options.Kinds, o.Key().GroupKind()) {
			resolved = append(resolved, o)
			refused[o.Key()] = problemAt("R213", o, "kind", fmt.Sprintf("the Sync %s does not allow the kind %s", s.options.Sync, kindName(o.Key().GroupKind())),
				"Add the kind to spec.target.kinds of the Sync, or remove the object from the repository.")
			continue
		}
		found, p, err := s.kindOf(ctx, o, defined[o.Key().GroupKind()])
		if err != nil {
			return nil, nil, err
		}
		if p == nil {
			o = inNamespace(o, found, s.options.Namespace)
			p = s.allowedNamespace(o)
		}
		resolved = append(resolved, o)
		if p != nil {
			refused[o.Key()] = p
		}
	}
	return resolved, refused, nil
}

// definedKinds returns the kinds that CustomResourceDefinitions among objects
// define.
func definedKinds(objects []schema.Object) map[k8sschema.GroupKind]bool {
	defined := map[k8sschema.GroupKind]bool{}
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			group, _, _ := unstructured.NestedString(o.Object, "spec", "group")
			name, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
			defined[k8sschema.GroupKind{Group: group, Kind: name}] = true
		}
	}
	return defined
}

// kindOf returns what the server says of o's kind, or why o cannot be applied.
// Defined says that the kind comes with the same objects.
func (s *Set) kindOf(ctx context.Context, o schema.Object, defined bool) (kind, *schema.Problem, error) {
	gvk := o.GroupVersionKind()
	age := rediscoverAfter
	if defined {
		age = rediscoverSoon
	}
	found, known, err := s.cluster.kinds.findAfter(ctx, gvk.GroupKind(), age)
	switch {
	case err == nil && !known && defined:
		// Discovery tells of a new kind a little after the server serves it,
		// and no watch says when.
		s.wakeAfter(2 * rediscoverSoon)
		return kind{}, s.unknownKind(o), nil
	case err != nil && s.cluster.kinds.knowsAny():
		p := problem("R215", o, fmt.Sprintf("the server cannot tell about its API group now: %v", err),
			"Look at the APIService or the CustomResourceDefinition of this group; rota tries again.")
		p.Cause = err
		return kind{}, p, nil
	case err != nil:
		return kind{}, nil, explain(err, subject{what: "the kinds of the cluster"})
	case !known:
		return kind{}, s.unknownKind(o), nil
	}
	if _, ok := found.resource(gvk.Version); !ok {
		var versions []string
		for _, v := range found.versions {
			versions = append(versions, k8sschema.GroupVersion{Group: gvk.Group, Version: v.version}.String())
		}
		return kind{}, problemAt("R223", o, "apiVersion", fmt.Sprintf("the server does not serve %s as %s, only as %s", gvk.Kind, o.GetAPIVersion(), strings.Join(versions, ", ")),
			fmt.Sprintf("Change apiVersion to %s.", versions[0])), nil
	}
	if verb := found.missingVerb(); verb != "" {
		return kind{}, problemAt("R203", o, "kind", fmt.Sprintf("the server's %s has no verb %q, so that it cannot be kept from a repository", gvk.Kind, verb),
			"Remove the object from the repository."), nil
	}
	return found, nil, nil
}

// wakeAfter signals a change once d has passed.
func (s *Set) wakeAfter(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake == nil {
		s.wake = time.AfterFunc(d, s.signal)
	} else if !s.closed {
		s.wake.Reset(d)
	}
}

func (k *kinds) knowsAny() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.known) > 0
}

func inNamespace(o schema.Object, k kind, fallback string) schema.Object {
	switch {
	case k.namespaced && o.GetNamespace() == "":
		o = o.DeepCopy()
		o.SetNamespace(fallback)
	case !k.namespaced && o.GetNamespace() != "":
		o = o.DeepCopy()
		o.SetNamespace("")
	}
	return o
}

func (s *Set) allowedNamespace(o schema.Object) *schema.Problem {
	namespace := o.GetNamespace()
	if namespace == "" && o.Key().GroupKind() == (k8sschema.GroupKind{Kind: "Namespace"}) {
		namespace = o.GetName()
	}
	if len(s.options.Namespaces) == 0 || namespace == "" || slices.Contains(s.options.Namespaces, namespace) {
		return nil
	}
	return problemAt("R214", o, "metadata.namespace", fmt.Sprintf("the Sync %s does not allow the namespace %s", s.options.Sync, namespace),
		"Add the namespace to spec.target.namespaces of the Sync, or move the object.")
}

func (s *Set) unknownKind(o schema.Object) *schema.Problem {
	gvk := o.GroupVersionKind()
	message := fmt.Sprintf("the cluster has no kind %s in %s", gvk.Kind, o.GetAPIVersion())
	mend := "Install the CustomResourceDefinition that defines it, or add it to the repository."
	if close, ok := closest(gvk.GroupKind(), s.cluster.kinds.names()); ok {
		mend = fmt.Sprintf("Did you mean kind %s in %s? Otherwise install the CustomResourceDefinition.", close.Kind, s.cluster.kinds.preferred(close))
	}
	return problemAt("R202", o, "kind", message, mend)
}

// closest returns the kind that want is most likely a misspelling of: the same
// kind in another group, or one at most two edits away.
func closest(want k8sschema.GroupKind, kinds []k8sschema.GroupKind) (k8sschema.GroupKind, bool) {
	slices.SortFunc(kinds, func(a, b k8sschema.GroupKind) int { return strings.Compare(a.String(), b.String()) })
	best, least := k8sschema.GroupKind{}, 5
	for _, k := range kinds {
		d := 2 * distance(strings.ToLower(want.Kind), strings.ToLower(k.Kind))
		if k.Group != want.Group {
			d++
		}
		if d < least {
			best, least = k, d
		}
	}
	return best, least < 5
}

// distance is Levenshtein's, with a swap of neighbours as one edit.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

func kindName(gk k8sschema.GroupKind) string {
	if gk.Group == "" {
		return gk.Kind
	}
	return gk.Kind + "." + gk.Group
}

// problemAt is problem about one field of o.
func problemAt(rule string, o schema.Object, field, message, mend string) *schema.Problem {
	p := problem(rule, o, message, mend)
	p.Field, p.Origin = field, o.At(field)
	return p
}

func problem(rule string, o schema.Object, message, mend string) *schema.Problem {
	key := o.Key()
	return &schema.Problem{Rule: rule, Severity: schema.SeverityError, Origin: o.Origin, Object: &key, Message: message, Mend: mend}
}
