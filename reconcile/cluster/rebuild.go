package cluster

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// RebuildLedger makes a new ledger in the place of one that cannot be believed:
// from the live members, from the entries that can still be read, and, if
// assumeDone is set, with every other Job of desired (which Resolve returned)
// as having run. It is durable when it returns nil; interrupted, it leaves a
// ledger that cannot be believed, and can be repeated.
func (s *Set) RebuildLedger(ctx context.Context, assumeDone bool, desired []schema.Object) error {
	o, err := s.Observe(ctx, desired)
	if err != nil {
		return err
	}
	runs := s.readableRuns()
	if o.Ledger.Unreadable == nil {
		runs = o.Ledger.Jobs
	}
	for key, u := range o.Live {
		if key.IsJob() && u.GetLabels()[schema.ApplySetPartOf] == s.id && !neverRan(u) && u.GetAnnotations()[schema.AnnotationDigest] != "" {
			run := plan.RunOf(u)
			run.Parameters = runs[key].Parameters
			runs[key] = run
		}
	}
	for _, d := range desired {
		key := d.Key()
		if _, known := runs[key]; known || !key.IsJob() || !assumeDone || o.Live[key] != nil {
			continue
		}
		digest, err := plan.RunDigest(d.Unstructured)
		if err != nil {
			return fmt.Errorf("digesting %s: %w", key, err)
		}
		runs[key] = plan.Run{Digest: digest, Outcome: plan.RunAssumed}
	}
	return s.replaceLedger(ctx, runs)
}

// readableRuns returns the entries of the shards that can be decoded, whatever
// ledger they are of.
func (s *Set) readableRuns() map[schema.Key]plan.Run {
	runs := map[schema.Key]plan.Run{}
	for n := range maxShards {
		now, _ := s.stateStarted().get(s.shardKey(n))
		if now == nil {
			continue
		}
		if one, err := decodeShard(now); err == nil {
			for key, e := range one.entries {
				runs[key] = e.Run
			}
		}
	}
	return runs
}

// maxShards is far beyond what is needed: 600,000 Jobs.
const maxShards = 1000

func (s *Set) shardKey(n int) schema.Key {
	return schema.Key{Kind: "ConfigMap", Namespace: s.cluster.options.Namespace, Name: shardName(s.options.Sync, n)}
}

// replaceLedger writes runs as a ledger with a new id. The parent, which says
// which id and how many shards are right, is written last.
func (s *Set) replaceLedger(ctx context.Context, runs map[schema.Key]plan.Run) error {
	l := &ledger{id: newLedgerID(), where: map[schema.Key]int{}}
	fresh := sortedKeys(runs)
	for len(fresh) > 0 {
		n, count, err := l.place(fresh, runs)
		if err != nil {
			return err
		}
		for _, key := range fresh[:count] {
			l.shards[n].entries[key] = entry{Run: runs[key]}
			l.where[key] = n
		}
		fresh = fresh[count:]
	}
	for n, one := range l.shards {
		data, err := encodeShard(one)
		if err != nil {
			return err
		}
		over, _ := s.stateStarted().get(s.shardKey(n))
		written, err := s.writeConfigMap(ctx, s.renderShard(shardName(s.options.Sync, n), l, over, data))
		if err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
		one.object = written
	}
	if err := s.updateParent(ctx, func(p *parent) bool {
		p.ledger, p.shards = l.id, len(l.shards)
		return true
	}); err != nil {
		return err
	}
	s.ledger, s.ledgerBad = l, nil
	return s.dropShards(ctx, len(l.shards))
}

// dropShards deletes the shards of the old ledger from number n on.
func (s *Set) dropShards(ctx context.Context, n int) error {
	for ; n < maxShards; n++ {
		old, _ := s.stateStarted().get(s.shardKey(n))
		if old == nil {
			continue
		}
		uid := old.GetUID()
		err := s.cluster.own.dynamic.Resource(configMaps).Namespace(old.GetNamespace()).Delete(ctx, old.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		if err != nil && !isGone(err) {
			return fmt.Errorf("deleting %s: %w", old.GetName(), err)
		}
	}
	return nil
}
