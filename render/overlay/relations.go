package overlay

import (
	"strings"

	"sigs.k8s.io/kustomize/kyaml/resid"

	"rota.dev/rota/schema"
)

// input is an object of the repository and the file of `resources` that it
// stands in.
type input struct {
	schema.Object
	file string
	// times is how many objects kustomize makes of it: one for each way that
	// leads to the file.
	times int
}

// id is what kustomize knows an object by.
type id struct{ apiVersion, kind, namespace, name string }

func idOf(content map[string]any) id {
	metadata := nested(content, "metadata")
	var i id
	i.apiVersion, _ = content["apiVersion"].(string)
	i.kind, _ = content["kind"].(string)
	i.namespace, _ = metadata["namespace"].(string)
	i.name, _ = metadata["name"].(string)
	return i
}

// namespacedKinds are those kinds of which two objects of one name may be there
// in two namespaces. Of others one is taken to exclude the other.
var namespacedKinds = map[string]bool{
	"Job": true, "CronJob": true, "Pod": true, "ConfigMap": true, "Secret": true, "Service": true, "ServiceAccount": true,
	"PersistentVolumeClaim": true, "Deployment": true, "StatefulSet": true, "DaemonSet": true, "Role": true, "RoleBinding": true,
	"NetworkPolicy": true, "Ingress": true, "ResourceQuota": true, "LimitRange": true, "PodDisruptionBudget": true, "HorizontalPodAutoscaler": true,
}

func gvkOf(i id) resid.Gvk {
	group, version := resid.ParseGroupVersion(i.apiVersion)
	return resid.Gvk{Group: group, Version: version, Kind: i.kind}
}

// relations say which objects kustomize may treat with regard to each other.
// It does so when a text in one of them is a name that the other one has or
// had, when two of them have or had one name, and when a kustomization names
// them. Objects that are not related are built alike with and without each
// other.
type relations struct {
	*survey
	objects []input
	ids     []id
	// anywhere are the objects by each name that they may have at some time;
	// within are those of one namespace.
	anywhere map[string][]int
	within   map[inNamespace][]int
	// generated are what the kustomizations generate, by each name that it may
	// have, with its kind and without.
	generated map[reference]bool
	// namespaces are those that anything is in.
	namespaces map[string]bool
	// numeric is whether a name looks like a number or a boolean.
	numeric bool
	// shared are the objects that every run needs.
	shared []bool
	// patched are those that a strategic merge names.
	patched []bool
	// entryOf are the objects of each entry; always are the entries that every
	// run needs.
	entryOf [][]int
	always  []bool
	// groups are the objects that are not shared, those together that are
	// related.
	groups [][]int
}

type inNamespace struct{ namespace, name string }

// mostMatches is how many patterns are tried on names and images.
const mostMatches = 20_000_000

// relate finds the relations of objects. An object that more than crowd others
// name is shared.
func (s *survey) relate(objects []input, crowd int) *relations {
	r := &relations{survey: s, objects: objects, ids: make([]id, len(objects)), anywhere: map[string][]int{}, within: map[inNamespace][]int{},
		generated: map[reference]bool{}, namespaces: map[string]bool{"default": true},
		shared: make([]bool, len(objects)), patched: make([]bool, len(objects)), always: make([]bool, len(s.entries))}
	for _, namespace := range s.namespaces {
		r.namespaces[namespace] = true
	}
	for i, o := range objects {
		r.ids[i] = idOf(o.Object.Object)
		r.namespaces[r.ids[i].namespace] = true
		if r.ids[i].namespace == "default" || !s.namespaced || !namespacedKinds[r.ids[i].kind] {
			r.ids[i].namespace = ""
		}
		annotations, present := nested(o.Object.Object, "metadata")["annotations"]
		texts, isMap := annotations.(map[string]any)
		if present && annotations != nil && !isMap {
			s.apart("the annotations of the object at " + o.Origin.String() + " are no mapping")
		}
		for annotation := range texts {
			if strings.HasPrefix(annotation, markerPrefix) {
				s.apart("the annotation " + annotation + " of the object at " + o.Origin.String() + " belongs to kustomize")
			}
		}
		r.index(i)
	}
	if n := (len(s.affixes)*s.patterns() + len(s.images)) * len(objects); n > mostMatches {
		s.apart("there are very many patterns of names and images")
	}
	r.entries()
	mentions := r.mentions(crowd)
	ties := r.ties()
	r.share(mentions, ties)
	r.group(mentions, ties)
	return r
}

func (r *relations) index(i int) {
	known := r.ids[i]
	add := func(list []int) []int {
		if len(list) > 0 && list[len(list)-1] == i {
			return list
		}
		return append(list, i)
	}
	for _, a := range r.affixes {
		name := a.around(known.name)
		if _, isText := schema.PlainValue(name).(string); !isText {
			r.numeric = true
		}
		r.anywhere[name] = add(r.anywhere[name])
		if r.namespaced {
			in := inNamespace{known.namespace, name}
			r.within[in] = add(r.within[in])
		}
	}
}

// named calls yield with each object that text may be a name of, as seen from
// an object; from -1 all of them are seen.
func (r *relations) named(text string, from int, yield func(int)) {
	all := r.anywhere[text]
	if len(all) == 0 {
		return
	}
	// An object without a namespace may be of the whole cluster, and the
	// subjects of a role binding may be anywhere.
	if from >= 0 && r.ids[from].namespace != "" && !strings.HasSuffix(r.ids[from].kind, "RoleBinding") {
		for _, namespace := range []string{"", r.ids[from].namespace} {
			for _, i := range r.within[inNamespace{namespace, text}] {
				yield(i)
			}
		}
		return
	}
	for _, i := range all {
		yield(i)
	}
}

// texts calls yield with every scalar of v that can be a name.
func (r *relations) texts(v any, yield func(string)) {
	scalars(v, func(v any) {
		if text, ok := v.(string); ok {
			yield(text)
		} else if r.numeric {
			yield(scalarText(v))
		}
	})
}

// mentions returns the objects that each object names, and shares those that
// too many name.
func (r *relations) mentions(crowd int) [][]int {
	mentions := make([][]int, len(r.objects))
	count := make([]int, len(r.objects))
	seen := make([]int, len(r.objects))
	for i := range r.objects {
		r.texts(r.objects[i].Object.Object, func(text string) {
			if len(r.anywhere[text]) > crowd && (r.ids[i].namespace == "" || !r.namespaced) {
				for _, j := range r.anywhere[text] {
					r.shared[j] = true
				}
				return
			}
			r.named(text, i, func(j int) {
				if j != i && seen[j] != i+1 {
					seen[j] = i + 1
					mentions[i] = append(mentions[i], j)
					count[j]++
				}
			})
		})
	}
	for i, n := range count {
		r.shared[i] = r.shared[i] || n > crowd
	}
	return mentions
}

// entries finds the objects of the patches that name them.
func (r *relations) entries() {
	r.entryOf = make([][]int, len(r.survey.entries))
	for _, ref := range r.survey.generated {
		for _, a := range r.affixes {
			r.generated[reference{ref.kind, a.around(ref.name)}] = true
			r.generated[reference{"", a.around(ref.name)}] = true
		}
	}
	for n, e := range r.survey.entries {
		for _, ref := range e.refs {
			r.always[n] = r.always[n] || r.generated[ref]
			for _, i := range r.anywhere[ref.name] {
				if ref.kind == "" || ref.kind == r.ids[i].kind {
					r.entryOf[n] = append(r.entryOf[n], i)
					r.patched[i] = r.patched[i] || e.must
				}
			}
		}
		r.always[n] = r.always[n] || len(r.entryOf[n]) == 0
	}
}

// ties returns sets of objects that must be in one run: those that may have
// the same name at some time, and those of one patch.
func (r *relations) ties() [][]int {
	var ties [][]int
	type named struct{ kind, namespace, name string }
	first := make(map[named]int, len(r.objects)*len(r.affixes))
	same := map[named][]int{}
	for i, known := range r.ids {
		for _, a := range r.affixes {
			key := named{known.kind, known.namespace, a.around(known.name)}
			other, taken := first[key]
			switch {
			case !taken:
				first[key] = i
			case same[key] == nil:
				same[key] = []int{other, i}
			default:
				same[key] = append(same[key], i)
			}
		}
	}
	for _, set := range same {
		ties = append(ties, set)
	}
	for n, e := range r.survey.entries {
		if e.must && len(r.entryOf[n]) > 0 {
			ties = append(ties, r.entryOf[n])
		}
	}
	return ties
}

// share extends the shared objects to all that they depend on.
func (r *relations) share(mentions, ties [][]int) {
	for _, ref := range r.needed {
		for i, known := range r.ids {
			r.shared[i] = r.shared[i] || ref.name == "" && (ref.kind == "" || ref.kind == known.kind)
		}
		for _, i := range r.anywhere[ref.name] {
			r.shared[i] = r.shared[i] || ref.kind == "" || ref.kind == r.ids[i].kind
		}
	}
	for text := range r.constants {
		for _, i := range r.anywhere[text] {
			r.shared[i] = true
		}
	}
	for n, always := range r.always {
		for _, i := range r.entryOf[n] {
			r.shared[i] = r.shared[i] || always
		}
	}
	tiesOf := map[int][]int{}
	for n, tie := range ties {
		for _, i := range tie {
			tiesOf[i] = append(tiesOf[i], n)
		}
	}
	var queue []int
	for i, shared := range r.shared {
		if shared {
			queue = append(queue, i)
		}
	}
	reach := func(set []int) {
		for _, i := range set {
			if !r.shared[i] {
				r.shared[i] = true
				queue = append(queue, i)
			}
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		reach(mentions[queue[0]])
		for _, n := range tiesOf[queue[0]] {
			reach(ties[n])
		}
	}
}

// group joins what is related and not shared.
func (r *relations) group(mentions, ties [][]int) {
	parent := make([]int, len(r.objects))
	for i := range parent {
		parent[i] = i
	}
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	join := func(i, j int) {
		if i, j = root(i), root(j); i != j && !r.shared[i] && !r.shared[j] {
			parent[max(i, j)] = min(i, j)
		}
	}
	for i, set := range mentions {
		for _, j := range set {
			join(i, j)
		}
	}
	for _, set := range ties {
		for _, j := range set[1:] {
			join(set[0], j)
		}
	}
	at := map[int]int{}
	for i := range r.objects {
		if r.shared[i] {
			continue
		}
		n, ok := at[root(i)]
		if !ok {
			n = len(r.groups)
			at[root(i)] = n
			r.groups = append(r.groups, nil)
		}
		r.groups[n] = append(r.groups[n], i)
	}
}
