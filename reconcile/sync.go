package reconcile

import (
	"context"
	"maps"
	"time"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/status"
	"rota.dev/rota/schema"
)

// sync makes the cluster what the revision in force says, once. It reports
// whether it must be tried again though nothing changes.
func (l *Loop) sync(ctx context.Context) (again bool) {
	started := time.Now()
	l.report.Cluster = nil
	ctx, cancel := context.WithTimeout(ctx, l.options.Timeout)
	defer cancel()

	p, err := l.plan(ctx)
	if err != nil {
		l.report.Cluster = schema.Problems(err)
		l.publish(ctx)
		return true
	}
	if p, err = HandBackFirst(ctx, p, l.options.HandBack, l.plan); err != nil {
		l.report.Cluster = schema.Problems(err)
		l.publish(ctx)
		return true
	}
	l.report.Plan, l.report.Outcomes = p, nil
	superseded := false
	if p.Writes() {
		l.report.Outcomes, superseded, err = l.apply(ctx, p)
		if err != nil {
			l.report.Cluster = schema.Problems(err)
			again = true
		}
	}
	l.memory.remember(p, l.report.Outcomes, time.Now())
	l.publish(ctx)
	l.logSync(p, time.Since(started))
	return again || !superseded && unfinished(p, l.report.Outcomes)
}

// plan reads what is there, brings the ledger up to date with it, and decides.
func (l *Loop) plan(ctx context.Context) (plan.Plan, error) {
	options := l.options.Plan
	options.Revision = l.current.name
	p, books, err := Plan(ctx, l.cluster, l.current.objects, options, l.memory)
	if err != nil {
		return p, err
	}
	l.memory.note(books.Runs, time.Now())
	if books.Urgent || p.Writes() || l.memory.flushDue(time.Now()) {
		return p, l.flush(ctx)
	}
	return p, nil
}

// flush makes what was noted of runs durable.
func (l *Loop) flush(ctx context.Context) error {
	if len(l.memory.pending) == 0 {
		return nil
	}
	if err := l.records.Record(ctx, l.memory.pending); err != nil {
		return err
	}
	clear(l.memory.pending)
	return nil
}

// lastFlush keeps an orderly end from losing how runs ended.
func (l *Loop) lastFlush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := l.flush(ctx); err != nil {
		l.log.Warn("recording how runs ended failed", "err", err)
	}
}

// Books is what the ledger lacks.
type Books struct {
	// Runs are the entries to record.
	Runs map[schema.Key]plan.Run
	// Urgent is set when one of them is of a run that the ledger does not know
	// at all: if its Job vanished unrecorded, it would run again. How a known
	// run ended can wait.
	Urgent bool
}

// Plan reads what is there and decides; it writes nothing. The Books that it
// returns were believed in the plan, so they are recorded before it is carried
// out.
func Plan(ctx context.Context, c Cluster, objects []schema.Object, options plan.Options, memory Memory) (plan.Plan, Books, error) {
	objects, refused, err := c.Resolve(ctx, objects)
	if err != nil {
		return plan.Plan{}, Books{}, err
	}
	seen, err := c.Observe(ctx, objects)
	if err != nil {
		return plan.Plan{}, Books{}, err
	}
	options.Owners, options.Incomplete = seen.Owners, seen.Incomplete
	options.HandedBack = plan.HandedBack(seen.Live)
	if len(seen.Refused) > 0 {
		refused = maps.Clone(refused)
		if refused == nil {
			refused = map[schema.Key]*schema.Problem{}
		}
		maps.Copy(refused, seen.Refused)
	}
	books := bookkeep(&seen, options.SetID, memory.pending)
	intended, err := memory.intend(objects, options)
	if err != nil {
		return plan.Plan{}, Books{}, err
	}
	now := options.AsOf
	if now.IsZero() {
		now = time.Now()
	}
	return plan.Compute(plan.Input{
		Desired: intended, Live: seen.Live, Refused: refused, Applied: memory.Applied, Verified: memory.Verified, Corrected: memory.corrected(now),
		Ledger: seen.Ledger, Options: options, Now: now,
	}), books, nil
}

// bookkeep brings the ledger that was seen up to date with what is noted
// already and with what is there, and returns what that adds.
func bookkeep(seen *plan.Observation, setID string, noted map[schema.Key]plan.Run) Books {
	if seen.Ledger.Unreadable != nil {
		return Books{}
	}
	known := seen.Ledger.Jobs
	seen.Ledger.Jobs = make(map[schema.Key]plan.Run, len(known))
	maps.Copy(seen.Ledger.Jobs, known)
	maps.Copy(seen.Ledger.Jobs, noted)
	books := Books{Runs: plan.Bookkeep(seen.Live, seen.Vanished, seen.Ledger, setID)}
	for key, run := range books.Runs {
		if entry, ok := seen.Ledger.Jobs[key]; !ok || entry.UID != run.UID {
			books.Urgent = true
		}
	}
	maps.Copy(seen.Ledger.Jobs, books.Runs)
	return books
}

// apply carries p out unless a newer revision comes first; then what is in
// progress is finished and the rest left, so that no two revisions mix.
func (l *Loop) apply(ctx context.Context, p plan.Plan) (outcomes []plan.Outcome, superseded bool, err error) {
	applying, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		token := false
		for !superseded {
			select {
			case <-l.inbox.ready:
				token = true
				if superseded = l.inbox.usable(); superseded {
					cancel()
				}
			case <-done:
				if token {
					l.inbox.signal()
				}
				return
			}
		}
		l.inbox.signal()
	}()
	outcomes, err = l.cluster.Apply(applying, p)
	close(done)
	<-watching
	cancel()
	return outcomes, superseded, err
}

// publish summarizes what is known and makes it visible if it says anything
// new. Failing to is no reason to stop.
func (l *Loop) publish(ctx context.Context) {
	l.report.Now = time.Now()
	if l.options.Troubles != nil {
		l.report.Schedules = l.options.Troubles()
	}
	s := status.Summarize(l.report, l.published)
	if l.published == nil || !l.published.Same(s) {
		if err := l.records.PublishStatus(ctx, s); err != nil {
			l.log.Warn("publishing the status failed", "err", err)
		} else {
			l.published = &s
		}
	}
	if l.options.OnSync != nil {
		l.options.OnSync(l.report, s)
	}
}

// unfinished reports whether p left something that no watch will tell of.
func unfinished(p plan.Plan, outcomes []plan.Outcome) bool {
	for _, o := range outcomes {
		if o.Change.Op != plan.Refuse && (o.Problem != nil || !o.Done) {
			return true
		}
	}
	for _, c := range p.Changes {
		switch {
		case c.Op == plan.Refuse && c.Reason != plan.ReasonPruneGuard,
			c.Reason == plan.ReasonAwaitsKind, c.Reason == plan.ReasonFought, c.Reason == plan.ReasonHandBack, c.Reason == plan.ReasonDriftedFirst:
			return true
		}
	}
	return false
}

func (l *Loop) logSync(p plan.Plan, took time.Duration) {
	ops := map[plan.Op]int{}
	for _, c := range p.Changes {
		ops[c.Op]++
	}
	problems := 0
	for _, o := range l.report.Outcomes {
		if o.Problem != nil && o.Change.Op != plan.Refuse {
			problems++
			l.log.Warn("applying failed", "object", o.Change.Key.String(), "problem", o.Problem.Error())
		}
	}
	level := l.log.Debug
	if p.Writes() {
		level = l.log.Info
	}
	level("synced", "revision", p.Revision, "create", ops[plan.Create], "update", ops[plan.Update], "replace", ops[plan.Replace],
		"delete", ops[plan.Delete], "wait", ops[plan.Wait], "refuse", ops[plan.Refuse], "keep", ops[plan.Keep], "problems", problems,
		"took", took.Round(time.Millisecond))
}
