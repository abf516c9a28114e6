package cluster

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"rota.dev/rota/reconcile/schedule"
	"rota.dev/rota/schema"
)

const (
	historyData = "history.json.gz"
	// keptAfterLast is how long the history of a schedule stays after anything
	// of it happened last.
	keptAfterLast = 90 * 24 * time.Hour
)

// HistoryOptions configures a HistoryLedger.
type HistoryOptions struct {
	// Sync is the Sync whose schedules these are.
	Sync string
	// Namespace is where it is kept.
	Namespace string
	// Log receives what is left out because it is damaged.
	Log *slog.Logger
	// Now returns the time; nil means time.Now.
	Now func() time.Time
}

// HistoryLedger is the part of a Sync's ledger that has the histories of its
// schedules: ConfigMaps rota-history-<sync>-<nnn> of at most 64 KiB. They stand
// apart from the ledger of Jobs, for nothing is decided on them but where a
// CronJob that was made anew goes on: one that is damaged must stop no Job, and
// one that is written must not wake the Sync. Its methods may be called from
// several goroutines; writes are by compare-and-swap.
type HistoryLedger struct {
	options HistoryOptions
	client  kubernetes.Interface

	mu     sync.Mutex
	shards []*historyShard
	where  map[types.NamespacedName]*historyShard
}

// historyShard keeps one ConfigMap compressed, as it is stored: a history is
// decoded when it is asked for.
type historyShard struct {
	object *corev1.ConfigMap
	number int
}

// NewHistoryLedger returns the histories of a Sync. It sends nothing yet.
func NewHistoryLedger(client kubernetes.Interface, o HistoryOptions) *HistoryLedger {
	o.Namespace = cmp.Or(o.Namespace, DefaultNamespace)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &HistoryLedger{options: o, client: client, where: map[types.NamespacedName]*historyShard{}}
}

// HistoryLedger returns the histories of the Sync whose runs r writes.
func (r *Runs) HistoryLedger(namespace string, log *slog.Logger) *HistoryLedger {
	return NewHistoryLedger(r.client, HistoryOptions{Sync: r.options.Sync, Namespace: namespace, Log: log})
}

func historyName(sync string, n int) string { return fmt.Sprintf("rota-history-%s-%03d", sync, n) }

// Load reads all shards by quorum.
func (l *HistoryLedger) Load(ctx context.Context) error {
	objects, err := listHistories(ctx, l.client, l.options.Namespace, schema.LabelHistory+"="+l.options.Sync)
	if err != nil {
		return fmt.Errorf("reading the history of the schedules of Sync %s: %w", l.options.Sync, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shards, l.where = nil, map[types.NamespacedName]*historyShard{}
	for i := range objects {
		one := &historyShard{object: &objects[i], number: historyNumber(objects[i].Name)}
		if one.number < 0 {
			continue
		}
		l.shards = append(l.shards, one)
		l.index(one)
	}
	slices.SortFunc(l.shards, func(a, b *historyShard) int { return cmp.Compare(a.number, b.number) })
	return nil
}

func historyNumber(name string) int {
	n := -1
	_, _ = fmt.Sscanf(name[strings.LastIndex(name, "-")+1:], "%d", &n)
	return n
}

// index notes which schedules a shard has. One that a crash left in two of
// them is where something happened last.
func (l *HistoryLedger) index(one *historyShard) {
	for name, text := range l.decode(one) {
		if other := l.where[name]; other != nil && other != one && !lastTouched(text).After(lastTouched(l.decode(other)[name])) {
			continue
		}
		l.where[name] = one
	}
}

func lastTouched(text json.RawMessage) time.Time {
	var h schedule.History
	if json.Unmarshal(text, &h) != nil {
		return time.Time{}
	}
	return h.Touched()
}

func (l *HistoryLedger) decode(one *historyShard) map[types.NamespacedName]json.RawMessage {
	all, err := decodeHistories(one.object)
	if err != nil {
		l.options.Log.Warn("a part of the history of schedules is damaged and begun anew", "configmap", one.object.Name, "error", err)
	}
	return all
}

// Past returns the cursor that is kept of a schedule, or the zero one.
func (l *HistoryLedger) Past(name types.NamespacedName) schedule.Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.where[name]
	if one == nil {
		return schedule.Cursor{}
	}
	var h schedule.History
	if json.Unmarshal(l.decode(one)[name], &h) != nil {
		return schedule.Cursor{}
	}
	return h.Cursor
}

// Merge adds histories to what is kept, with one write for each shard of which
// anything changes.
func (l *HistoryLedger) Merge(ctx context.Context, add map[types.NamespacedName]schedule.History) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	work := map[*historyShard]map[types.NamespacedName]schedule.History{}
	names := slices.SortedFunc(maps.Keys(add), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	for _, name := range names {
		one := l.where[name]
		if one == nil {
			one = l.open(len(work[l.last()]))
		}
		if work[one] == nil {
			work[one] = map[types.NamespacedName]schedule.History{}
		}
		work[one][name] = add[name]
	}
	written := 0
	for _, one := range slices.SortedFunc(maps.Keys(work), func(a, b *historyShard) int { return cmp.Compare(a.number, b.number) }) {
		n, err := l.write(ctx, one, work[one])
		written += n
		if err != nil {
			return written, fmt.Errorf("writing the history of the schedules of Sync %s: %w", l.options.Sync, err)
		}
	}
	return written, nil
}

func (l *HistoryLedger) last() *historyShard {
	if len(l.shards) == 0 {
		return nil
	}
	return l.shards[len(l.shards)-1]
}

// newHistory is what a schedule that is new is reckoned to take, compressed.
const newHistory = 256

// open returns the shard for a schedule that is new, when so many others are
// on their way into the last one.
func (l *HistoryLedger) open(coming int) *historyShard {
	last := l.last()
	if last != nil && len(last.object.BinaryData[historyData])+coming*newHistory < shardFill {
		return last
	}
	return l.add()
}

// add begins a shard.
func (l *HistoryLedger) add() *historyShard {
	n := 0
	if last := l.last(); last != nil {
		n = last.number + 1
	}
	one := &historyShard{number: n, object: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: historyName(l.options.Sync, n), Namespace: l.options.Namespace,
		Labels: map[string]string{schema.LabelHistory: l.options.Sync},
	}}}
	l.shards = append(l.shards, one)
	return one
}

// write merges into one shard, unless that changes nothing. What grew out of
// it moves to a new one, which is written first.
func (l *HistoryLedger) write(ctx context.Context, one *historyShard, add map[types.NamespacedName]schedule.History) (int, error) {
	written := 0
	var last error
	for range casAttempts {
		all := l.decode(one)
		if changed := l.mergeInto(all, add); !changed {
			return written, nil
		}
		data, err := encodeHistories(all)
		if err != nil {
			return written, err
		}
		if len(data) > shardLimit && len(all) > 1 {
			n, err := l.split(ctx, all)
			written += n
			if err != nil {
				return written, err
			}
			if data, err = encodeHistories(all); err != nil {
				return written, err
			}
		}
		if last = l.put(ctx, one, data); last == nil {
			l.index(one)
			return written + len(data), nil
		}
		if !apierrors.IsConflict(last) && !apierrors.IsAlreadyExists(last) && !apierrors.IsNotFound(last) {
			return written, last
		}
		if err := l.reread(ctx, one); err != nil {
			return written, err
		}
	}
	return written, last
}

// mergeInto reports whether anything changed. Schedules of which nothing was
// heard for long leave.
func (l *HistoryLedger) mergeInto(all map[types.NamespacedName]json.RawMessage, add map[types.NamespacedName]schedule.History) bool {
	changed := false
	bounds := schedule.BoundsFor(len(l.where) + len(add))
	for name, newer := range add {
		var old schedule.History
		_ = json.Unmarshal(all[name], &old) // what cannot be read is begun anew
		merged := old.Merge(newer, l.options.Now(), bounds)
		if merged.Equal(old) {
			continue
		}
		if text, err := json.Marshal(merged); err == nil {
			all[name], changed = text, true
		}
	}
	if !changed {
		return false
	}
	for name, text := range all {
		if _, ok := add[name]; !ok && l.options.Now().Sub(lastTouched(text)) > keptAfterLast {
			delete(all, name)
			delete(l.where, name)
		}
	}
	return true
}

// split moves half of all into a new shard.
func (l *HistoryLedger) split(ctx context.Context, all map[types.NamespacedName]json.RawMessage) (int, error) {
	names := slices.SortedFunc(maps.Keys(all), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	moved := map[types.NamespacedName]json.RawMessage{}
	for _, name := range names[len(names)/2:] {
		moved[name] = all[name]
	}
	data, err := encodeHistories(moved)
	if err != nil {
		return 0, err
	}
	fresh := l.add()
	if err := l.put(ctx, fresh, data); err != nil {
		l.shards = l.shards[:len(l.shards)-1]
		return 0, err
	}
	for name := range moved {
		l.where[name] = fresh
		delete(all, name)
	}
	return len(data), nil
}

func (l *HistoryLedger) put(ctx context.Context, one *historyShard, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	object := one.object.DeepCopy()
	object.BinaryData = map[string][]byte{historyData: data}
	client := l.client.CoreV1().ConfigMaps(l.options.Namespace)
	var stored *corev1.ConfigMap
	var err error
	if object.ResourceVersion == "" {
		stored, err = client.Create(ctx, object, metav1.CreateOptions{FieldManager: schema.FieldManager})
	} else {
		stored, err = client.Update(ctx, object, metav1.UpdateOptions{FieldManager: schema.FieldManager})
	}
	if err != nil {
		return err
	}
	stored.ManagedFields = nil
	one.object = stored
	return nil
}

// reread takes over what another writer made of a shard.
func (l *HistoryLedger) reread(ctx context.Context, one *historyShard) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	object, err := l.client.CoreV1().ConfigMaps(l.options.Namespace).Get(ctx, one.object.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		// Deleted by hand: what it said is still here, and is written again.
		one.object.ResourceVersion, one.object.UID = "", ""
		return nil
	}
	if err != nil {
		return err
	}
	one.object = object
	return nil
}

func encodeHistories(all map[types.NamespacedName]json.RawMessage) ([]byte, error) {
	named := make(map[string]json.RawMessage, len(all))
	for name, text := range all {
		named[name.String()] = text
	}
	text, err := json.Marshal(map[string]any{"version": 1, "schedules": named})
	if err != nil {
		return nil, fmt.Errorf("encoding the history: %w", err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		return nil, fmt.Errorf("compressing the history: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compressing the history: %w", err)
	}
	return b.Bytes(), nil
}

// decodeHistories never returns nil.
func decodeHistories(object *corev1.ConfigMap) (map[types.NamespacedName]json.RawMessage, error) {
	all := map[types.NamespacedName]json.RawMessage{}
	raw := object.BinaryData[historyData]
	if len(raw) == 0 {
		return all, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return all, err
	}
	text, err := io.ReadAll(io.LimitReader(z, shardInflated+1))
	if err != nil {
		return all, err
	}
	var file struct {
		Version   int                        `json:"version"`
		Schedules map[string]json.RawMessage `json:"schedules"`
	}
	if len(text) > shardInflated {
		return all, fmt.Errorf("it has more than %d bytes", shardInflated)
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return all, err
	}
	if file.Version != 1 {
		return all, fmt.Errorf("its version is %d; this rota reads 1", file.Version)
	}
	for name, one := range file.Schedules {
		namespace, name, _ := strings.Cut(name, "/")
		all[types.NamespacedName{Namespace: namespace, Name: name}] = one
	}
	return all, nil
}

// listHistories reads the ConfigMaps of a selector, page by page.
func listHistories(ctx context.Context, client kubernetes.Interface, namespace, selector string) ([]corev1.ConfigMap, error) {
	var all []corev1.ConfigMap
	o := metav1.ListOptions{LabelSelector: selector, Limit: 100}
	for {
		list, err := client.CoreV1().ConfigMaps(namespace).List(ctx, o)
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			list.Items[i].ManagedFields = nil
		}
		all = append(all, list.Items...)
		if o.Continue = list.Continue; o.Continue == "" {
			return all, nil
		}
	}
}
