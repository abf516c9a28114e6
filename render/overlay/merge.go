package overlay

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// made is an object that kustomize returned, without the marker.
type made struct {
	content map[string]any
	placed  placed
	// known is whether placed says where it came from; it does not for what
	// the kustomizations generate.
	known bool
}

// common reports whether every run makes the object.
func (m made) common() bool { return !m.known || m.placed.shared }

// check holds what one run made to what was assumed: that no text in it names
// an object of another run, for kustomize would have put another name there;
// and that tokens are in stand-ins only. It returns why that is not so.
func (r *relations) check(one *batch, objects []made, t *tokens) string {
	for _, m := range objects {
		from := -1
		if m.known {
			from = m.placed.source
		}
		named := -1
		r.texts(m.content, func(text string) {
			r.named(text, from, func(i int) {
				if !one.present[i] {
					named = i
				}
			})
		})
		switch {
		case named >= 0:
			return fmt.Sprintf("a kustomization writes the name of the %s %s into another object", r.ids[named].kind, r.ids[named].name)
		case t.in(m.content) && (!m.known || m.placed.standIn == nil):
			return "a kustomization writes what differs between objects into others"
		}
	}
	return ""
}

// merged is an object of the result and, in the order of the repository, the
// object that it is or comes after.
type merged struct {
	object schema.Object
	source int
	after  bool
}

// merge puts together what the runs made, as one run would have made it, or
// says why that is not certain.
func (r *relations) merge(runs [][]made, t *tokens) (all []merged, why string) {
	shared := common(runs[0])
	for _, objects := range runs[1:] {
		if !slices.EqualFunc(shared, common(objects), func(a, b made) bool {
			return a.placed.source == b.placed.source && reflect.DeepEqual(a.content, b.content)
		}) {
			return nil, "an object that others name is built differently beside each of them"
		}
	}
	after := r.after(runs)
	for n, objects := range runs {
		generated := 0
		for _, m := range objects {
			switch {
			case !m.known:
				if n == 0 {
					all = append(all, merged{r.object(m.content, m), after[generated], true})
				}
				generated++
			case !m.placed.shared:
				var ok bool
				if all, ok = r.fill(all, m, t); !ok {
					return nil, fmt.Sprintf("kustomize does more with the values of the %s objects than copy them", idOf(m.content).kind)
				}
			case n == 0:
				all = append(all, merged{r.object(m.content, m), m.placed.source, false})
			}
		}
	}
	return all, r.distinct(all)
}

// after returns for each generated object the last object of the repository
// that is before it in the order of the repository. It comes after all of a
// file or before all of it.
func (r *relations) after(runs [][]made) []int {
	last := map[string]int{}
	for i, o := range r.objects {
		last[o.file] = i
	}
	var after []int
	for _, objects := range runs {
		generated, before := 0, -1
		for _, m := range objects {
			if m.known {
				before = max(before, last[m.placed.file])
				continue
			}
			if generated == len(after) {
				after = append(after, -1)
			}
			after[generated] = max(after[generated], before)
			generated++
		}
	}
	return after
}

func common(objects []made) []made {
	var out []made
	for _, m := range objects {
		if m.common() {
			out = append(out, m)
		}
	}
	return out
}

// object returns what was made of an object of the repository.
func (r *relations) object(content map[string]any, m made) schema.Object {
	o := schema.Object{Unstructured: &unstructured.Unstructured{Object: content}}
	if !m.known {
		p := passage{layers: r.layers, base: idOf(content)}
		var name string
		if o.Origin, name = r.layers.generated(p.base); name != "" {
			p.base.name = name
		}
		o.Fields = (*schema.Fields)(nil).Through(p)
		return o
	}
	from := r.objects[m.placed.source]
	o.Origin = from.Origin
	o.Fields = from.Fields.Through(passage{r.layers, idOf(from.Object.Object), from.file})
	return o
}

// fill appends an object of a run, or those of all members for one of a
// stand-in.
func (r *relations) fill(all []merged, m made, t *tokens) ([]merged, bool) {
	s := m.placed.standIn
	if s == nil {
		return append(all, merged{r.object(m.content, m), m.placed.source, false}), true
	}
	form, ok := s.compile(m.content, t)
	if !ok {
		return nil, false
	}
	all = slices.Grow(all, len(s.family.groups))
	for n, group := range s.family.groups {
		member := m
		member.placed.source = group[m.placed.position]
		content := form.fill(s.family.values[n]).(map[string]any)
		all = append(all, merged{r.object(content, member), member.placed.source, false})
	}
	return all, true
}

// distinct returns which two objects have one id, which kustomize refuses.
func (r *relations) distinct(all []merged) string {
	seen := make(map[id]bool, len(all))
	for _, m := range all {
		key := idOf(m.object.Object)
		if key.namespace == "default" || !namespacedKinds[key.kind] {
			key.namespace = ""
		}
		if seen[key] {
			return fmt.Sprintf("two of them become the %s %s", key.kind, key.name)
		}
		seen[key] = true
	}
	return ""
}

// sort puts the objects into kustomize's order: that of the repository, or by
// kind, namespace and name. The order of the kinds is asked of kustomize.
func (b *builder) sort(all []merged, runs [][]made) error {
	if b.survey.fifo {
		slices.SortStableFunc(all, func(a, b merged) int {
			return cmp.Or(cmp.Compare(a.source, b.source), compareBool(a.after, b.after))
		})
		return nil
	}
	ranks, err := b.ranks(runs)
	if err != nil {
		return err
	}
	type keyed struct {
		merged
		rank int
		name string
	}
	sorted := make([]keyed, len(all))
	for n, m := range all {
		i := idOf(m.object.Object)
		// As legacyResIDSortString in kustomize's sources has it.
		sorted[n] = keyed{m, ranks[kindOf(i)], cmp.Or(i.namespace, "~X") + "|" + cmp.Or(i.name, "~N")}
	}
	slices.SortFunc(sorted, func(a, b keyed) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.name, b.name))
	})
	for n := range sorted {
		all[n] = sorted[n].merged
	}
	return nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

func kindOf(i id) id { return id{apiVersion: i.apiVersion, kind: i.kind} }

// ranks returns the order of the kinds: that of a run which has all of them,
// or that of one with nothing else in it.
func (b *builder) ranks(runs [][]made) (map[id]int, error) {
	ranks := map[id]int{}
	var kinds []id
	for n, objects := range runs {
		for _, m := range objects {
			kind := kindOf(idOf(m.content))
			if _, ok := ranks[kind]; !ok {
				ranks[kind] = len(ranks)
				kinds = append(kinds, kind)
				if n > 0 {
					ranks[kind] = -1 // not in the first one
				}
			}
		}
	}
	if len(kinds) == 0 || ranks[kinds[len(kinds)-1]] >= 0 {
		return ranks, nil
	}
	job, err := b.kinds(kinds)
	if err != nil {
		return nil, err
	}
	objects, err := b.options.Run(job)
	if err != nil {
		return nil, err
	}
	if len(objects) != len(kinds) {
		return nil, fmt.Errorf("kustomize sorted %d kinds into %d", len(kinds), len(objects))
	}
	for i, data := range objects {
		var content map[string]any
		if err := json.Unmarshal(data, &content); err != nil {
			return nil, fmt.Errorf("reading the order of kinds: %w", err)
		}
		ranks[kindOf(idOf(content))] = i
	}
	return ranks, nil
}

// kinds is a job with one object of each kind.
func (b *builder) kinds(kinds []id) (Job, error) {
	var text bytes.Buffer
	for _, k := range kinds {
		if err := encode(&text, map[string]any{"apiVersion": k.apiVersion, "kind": k.kind, "metadata": map[string]any{"name": "x"}}); err != nil {
			return Job{}, err
		}
	}
	kustomization, err := json.Marshal(map[string]any{"resources": []string{"kinds.yaml"}, "sortOptions": b.graph.kustomizations[0].SortOptions})
	if err != nil {
		return Job{}, fmt.Errorf("writing sortOptions: %w", err)
	}
	return Job{Files: map[string][]byte{"kustomization.yaml": kustomization, "kinds.yaml": escapeControls(text.Bytes())}, Folder: ".", Time: b.options.Time}, nil
}
