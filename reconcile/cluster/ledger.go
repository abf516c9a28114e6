package cluster

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

const (
	// shardLimit is the most that one shard holds, compressed.
	shardLimit = 64 << 10
	// shardFill is up to where new entries go into a shard: what is left is
	// for the entries to grow when their runs end.
	shardFill = 48 << 10
	// shardInflated bounds what a shard may decompress to.
	shardInflated = 16 << 20
	// ledgerVersion is of the shards' format; others are not read.
	ledgerVersion = 1
	// keptAfterLeaving is how long the entry of a Job stays that left the
	// repository, so that a commit taken back does not run it again.
	keptAfterLeaving = 90 * 24 * time.Hour

	shardData = "ledger.json.gz"
)

// entry is one Job in a shard.
type entry struct {
	plan.Run
	// Left is when the repository was first seen without the Job.
	Left time.Time `json:"left,omitzero"`
}

// shard is one ConfigMap of the ledger.
type shard struct {
	entries map[schema.Key]entry
	// rest are the sections that this version does not know: they are kept.
	rest map[string]json.RawMessage
	// object is as it was read or written last; nil before the first write.
	object *unstructured.Unstructured
}

// ledger is what all shards say.
type ledger struct {
	id     string
	shards []*shard
	where  map[schema.Key]int
	// placing is set while a batch is being placed.
	placing *placing
}

func (l *ledger) jobs() map[schema.Key]plan.Run {
	all := make(map[schema.Key]plan.Run, len(l.where))
	for _, s := range l.shards {
		for key, e := range s.entries {
			all[key] = e.Run
		}
	}
	return all
}

func shardName(sync string, n int) string { return fmt.Sprintf("rota-ledger-%s-%02d", sync, n) }

func (s *Set) ledgerProblem(message string, cause error) *schema.Problem {
	return &schema.Problem{Rule: "R217", Severity: schema.SeverityError, Message: "the ledger of runs cannot be believed: " + message, Cause: cause,
		Mend: "No Job is created until then: run rota ledger rebuild --assume-done (Jobs that are absent have run) or --rerun (they have not)."}
}

// loadLedger reads the shards out of the state's ConfigMaps; nothing is asked
// of the server. A shard that did not change is not decoded again.
func (s *Set) loadLedger(p *parent, found map[string]*unstructured.Unstructured) (*ledger, *schema.Problem) {
	prefix := "rota-ledger-" + s.options.Sync + "-"
	if p == nil || p.ledger == "" {
		for name := range found {
			if strings.HasPrefix(name, prefix) {
				return nil, s.ledgerProblem("ConfigMap "+parentName(s.options.Sync)+", which says how many parts it has, was gone", nil)
			}
		}
		return &ledger{where: map[schema.Key]int{}}, nil
	}
	old := s.ledger
	l := &ledger{id: p.ledger, where: map[schema.Key]int{}}
	for n := 0; ; n++ {
		name := shardName(s.options.Sync, n)
		object := found[name]
		switch {
		case n >= p.shards && (object == nil || object.GetAnnotations()[annotationLedger] != p.ledger):
			return l, nil
		case object == nil:
			return nil, s.ledgerProblem(fmt.Sprintf("ConfigMap %s is gone (%d parts are recorded)", name, p.shards), nil)
		case object.GetAnnotations()[annotationLedger] != p.ledger:
			return nil, s.ledgerProblem(fmt.Sprintf("ConfigMap %s is of another ledger (%s, not %s)", name, object.GetAnnotations()[annotationLedger], p.ledger), nil)
		}
		var one *shard
		if old != nil && n < len(old.shards) && old.shards[n].object != nil && old.shards[n].object.GetResourceVersion() == object.GetResourceVersion() && old.shards[n].object.GetUID() == object.GetUID() {
			one = old.shards[n]
		} else {
			var err error
			if one, err = decodeShard(object); err != nil {
				return nil, s.ledgerProblem(fmt.Sprintf("ConfigMap %s is damaged: %v", name, err), err)
			}
		}
		l.shards = append(l.shards, one)
		for key := range one.entries {
			l.where[key] = n
		}
	}
}

// Record writes runs to the ledger; they are durable when it returns nil. A
// ledger that cannot be believed is not written to: that is a Problem.
func (s *Set) Record(ctx context.Context, runs map[schema.Key]plan.Run) error {
	return s.record(ctx, runs, nil)
}

// record puts and drops entries, one write for each shard concerned.
func (s *Set) record(ctx context.Context, put map[schema.Key]plan.Run, drop []schema.Key) error {
	if len(put)+len(drop) == 0 {
		return nil
	}
	if err := s.readState(ctx); err != nil {
		return err
	}
	if s.ledgerBad != nil {
		return s.ledgerBad
	}
	recorded := ""
	if p := s.currentParent(); p != nil && p.object != nil {
		recorded = p.object.GetAnnotations()[annotationLedger]
	}
	if err := s.updateParent(ctx, func(p *parent) bool { return p.ledger != recorded }); err != nil {
		return err
	}
	l := s.ledger
	l.id = s.currentParent().ledger
	work := map[int]map[schema.Key]*plan.Run{}
	give := func(n int, key schema.Key, run *plan.Run) {
		if work[n] == nil {
			work[n] = map[schema.Key]*plan.Run{}
		}
		work[n][key] = run
	}
	var fresh []schema.Key
	for key, run := range put {
		if n, known := l.where[key]; known {
			give(n, key, &run)
		} else {
			fresh = append(fresh, key)
		}
	}
	for _, key := range drop {
		if n, known := l.where[key]; known {
			give(n, key, nil)
		}
	}
	slices.SortFunc(fresh, schema.Key.Compare)
	for len(fresh) > 0 {
		n, count, err := l.place(fresh, put)
		if err != nil {
			return err
		}
		for _, key := range fresh[:count] {
			run := put[key]
			give(n, key, &run)
			l.where[key] = n
		}
		fresh = fresh[count:]
	}
	for _, n := range slices.Sorted(maps.Keys(work)) {
		if err := s.writeShard(ctx, n, work[n]); err != nil {
			// What was placed but not written is not there; the next record
			// must place it anew.
			s.dropLedger()
			return fmt.Errorf("writing the ledger: %w", err)
		}
	}
	if n := len(l.shards); s.currentParent().shards < n {
		return s.updateParent(ctx, func(p *parent) bool {
			grown := p.shards < n
			p.shards = max(p.shards, n)
			return grown
		})
	}
	return nil
}

func (s *Set) dropLedger() {
	for _, one := range s.ledger.shards {
		one.object = nil
	}
}

// place returns the shard that takes the first count of fresh; it opens one if
// the last is full. What it decides by is the average size of an entry, so that
// a batch is encoded once to be placed and once to be written.
func (l *ledger) place(fresh []schema.Key, put map[schema.Key]plan.Run) (n, count int, err error) {
	if len(l.shards) == 0 {
		l.shards = append(l.shards, &shard{entries: map[schema.Key]entry{}})
	}
	last := l.shards[len(l.shards)-1]
	there := len(last.entries)
	if l.placing != nil {
		there = l.placing.used
	} else {
		trial := &shard{entries: maps.Clone(last.entries), rest: last.rest}
		for _, key := range fresh {
			trial.entries[key] = entry{Run: put[key]}
		}
		data, err := encodeShard(trial)
		if err != nil {
			return 0, 0, err
		}
		l.placing = &placing{room: shardFill * len(trial.entries) / len(data)}
	}
	if there >= l.placing.room {
		l.shards = append(l.shards, &shard{entries: map[schema.Key]entry{}})
		there = 0
	}
	count = min(len(fresh), max(1, l.placing.room-there))
	l.placing.used = there + count
	if count == len(fresh) {
		l.placing = nil
	}
	return len(l.shards) - 1, count, nil
}

// placing is a batch of entries on its way into shards.
type placing struct {
	// room is how many entries of its average size a shard takes.
	room int
	// used is how many the last shard has, those that are placed counted.
	used int
}

// writeShard carries changes into shard n by compare-and-swap; a nil run drops
// the entry. Entries that another writer put there meanwhile stay.
func (s *Set) writeShard(ctx context.Context, n int, changes map[schema.Key]*plan.Run) error {
	l := s.ledger
	name := shardName(s.options.Sync, n)
	var last error
	for range casAttempts {
		next := s.changedShard(l.shards[n], changes)
		data, err := encodeShard(next)
		if err != nil {
			return err
		}
		ctxAnswer, answer := await(ctx)
		written, err := s.writeConfigMap(ctxAnswer, s.renderShard(name, l, l.shards[n].object, data))
		if err == nil {
			if !answer.dry() {
				next.object = written
				l.shards[n] = next
			}
			return nil
		}
		last = err
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return err
		}
		if l.shards[n], err = s.rereadShard(ctx, name, l.id); err != nil {
			return err
		}
	}
	return last
}

func (s *Set) changedShard(now *shard, changes map[schema.Key]*plan.Run) *shard {
	next := &shard{entries: maps.Clone(now.entries), rest: now.rest}
	for key, run := range changes {
		if run == nil {
			delete(next.entries, key)
		} else {
			next.entries[key] = entry{Run: *run}
		}
	}
	if len(s.desired) == 0 {
		return next
	}
	for key, e := range next.entries {
		switch {
		case s.desired[key]:
			e.Left = time.Time{}
		case e.Left.IsZero():
			e.Left = time.Now().UTC().Truncate(time.Second)
		case time.Since(e.Left) > keptAfterLeaving && e.Outcome != plan.RunActive:
			delete(next.entries, key)
			continue
		}
		next.entries[key] = e
	}
	return next
}

func (s *Set) rereadShard(ctx context.Context, name, id string) (*shard, error) {
	object, err := s.cluster.own.dynamic.Resource(configMaps).Namespace(s.cluster.options.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if object.GetAnnotations()[annotationLedger] != id {
		if current := s.currentParent(); current.shards <= shardNumber(name) {
			// Left over from a ledger that was rebuilt since.
			return &shard{entries: map[schema.Key]entry{}, object: object}, nil
		}
		return nil, s.ledgerProblem("ConfigMap "+name+" is of another ledger", nil)
	}
	one, err := decodeShard(object)
	if err != nil {
		return nil, s.ledgerProblem(fmt.Sprintf("ConfigMap %s is damaged: %v", name, err), err)
	}
	return one, nil
}

func shardNumber(name string) int {
	var n int
	_, _ = fmt.Sscanf(name[strings.LastIndex(name, "-")+1:], "%d", &n)
	return n
}

func (s *Set) renderShard(name string, l *ledger, over *unstructured.Unstructured, data []byte) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"binaryData": map[string]any{shardData: base64.StdEncoding.EncodeToString(data)},
	}}
	object.SetName(name)
	object.SetNamespace(s.cluster.options.Namespace)
	object.SetLabels(map[string]string{schema.LabelSync: s.options.Sync})
	object.SetAnnotations(map[string]string{annotationLedger: l.id})
	if over != nil {
		object.SetResourceVersion(over.GetResourceVersion())
	}
	return object
}

// encodeShard returns the bytes of a shard: the same for the same entries.
func encodeShard(one *shard) ([]byte, error) {
	jobs := map[string]entry{}
	for key, e := range one.entries {
		jobs[key.Namespace+"/"+key.Name] = e
	}
	sections := map[string]any{}
	for name, raw := range one.rest {
		sections[name] = raw
	}
	sections["version"], sections["jobs"] = ledgerVersion, jobs
	text, err := json.Marshal(sections)
	if err != nil {
		return nil, fmt.Errorf("encoding the ledger: %w", err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		return nil, fmt.Errorf("compressing the ledger: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compressing the ledger: %w", err)
	}
	return b.Bytes(), nil
}

func decodeShard(object *unstructured.Unstructured) (*shard, error) {
	text, _, err := unstructured.NestedString(object.Object, "binaryData", shardData)
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(z, shardInflated+1))
	if err != nil {
		return nil, err
	}
	if len(data) > shardInflated {
		return nil, fmt.Errorf("it has more than %d bytes", shardInflated)
	}
	one := &shard{entries: map[schema.Key]entry{}, object: object}
	if err := json.Unmarshal(data, &one.rest); err != nil {
		return nil, err
	}
	var version int
	if err := json.Unmarshal(one.rest["version"], &version); err != nil || version != ledgerVersion {
		return nil, fmt.Errorf("its version is %s; this rota reads %d", one.rest["version"], ledgerVersion)
	}
	var jobs map[string]entry
	if err := json.Unmarshal(one.rest["jobs"], &jobs); err != nil {
		return nil, err
	}
	delete(one.rest, "version")
	delete(one.rest, "jobs")
	for name, e := range jobs {
		namespace, name, _ := strings.Cut(name, "/")
		one.entries[schema.Key{Group: "batch", Kind: "Job", Namespace: namespace, Name: name}] = e
	}
	return one, nil
}
