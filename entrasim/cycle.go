package entrasim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// run is one cycle or on-demand call.
type run struct {
	*Provisioner
	dialect  dialect
	onDemand bool
	view     view
	scope    map[string]bool // object ids in scope
	meter    meter

	// guarded by Provisioner.mu
	sum                   Summary
	events, objects, refs int // things tried; those that failed, objects and references
	silent                int // failures in a row without any answer
	started               time.Time
	escrowsBefore         map[key]escrow
}

func (p *Provisioner) newRun(d dialect, onDemand bool) *run {
	r := &run{Provisioner: p, dialect: d, onDemand: onDemand, view: p.tenant.view(), started: time.Now()}
	p.mu.Lock()
	defer p.mu.Unlock()
	r.scope = make(map[string]bool)
	for _, u := range r.view.users {
		if p.o.SyncAll || p.assigned[u.ID] {
			r.scope[u.ID] = true
		}
	}
	for _, g := range r.view.groups {
		if !p.o.SyncAll && !p.assigned[g.ID] {
			continue
		}
		r.scope[g.ID] = true
		for _, id := range g.Members {
			if r.view.user[id] != nil { // direct members only: nested groups are not expanded
				r.scope[id] = true
			}
		}
	}
	if !onDemand {
		p.cycles++
		r.escrowsBefore = maps.Clone(p.escrows)
	}
	r.sum = Summary{Base: p.client.base, Initial: p.initial, OnDemand: onDemand}
	return r
}

// Cycle runs the initial cycle when there is no watermark, else an incremental one: users, then groups, then
// references. Failures of single objects are in the summary and will be retried in later cycles; the error is for what
// ends the whole cycle ([ErrQuarantine], [ErrUnreachable], the context's). A cycle that ends early is repeated from the
// old watermark, but what it has linked stays linked.
func (p *Provisioner) Cycle(ctx context.Context) (Summary, error) {
	p.busy.Lock()
	defer p.busy.Unlock()
	if err := p.admit(); err != nil {
		return Summary{Base: p.client.base}, err
	}
	r := p.newRun(p.flag, false)
	err := r.syncUsers(ctx)
	if err == nil {
		err = r.syncGroups(ctx)
	}
	if err == nil {
		err = r.syncMembers(ctx)
	}
	if err == nil {
		err = r.syncManagers(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.watermark, p.initial = r.view.rev, false
		p.release()
		maps.DeleteFunc(p.escrows, func(k key, _ escrow) bool { return r.stale(k) })
	} else {
		p.escrows = r.escrowsBefore // the next attempt starts from the same watermark: nothing has to wait
	}
	return r.summary(), err
}

// admit tells whether a cycle may start now.
func (p *Provisioner) admit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, now := &p.quarantine, p.o.Now()
	switch {
	case q.reason == nil:
		return nil
	case now.Sub(q.since) >= disabledAfter:
		return fmt.Errorf("%w: %w", ErrDisabled, q.reason)
	case now.Before(q.next):
		return fmt.Errorf("%w until %s: %w", ErrQuarantine, q.next.Format(time.RFC3339), q.reason)
	}
	return nil
}

// stale reports whether a key in escrow no longer stands for anything. The caller holds mu.
func (r *run) stale(k key) bool {
	switch k.kind {
	case userKey:
		return r.view.user[k.id] == nil && r.users[k.id] == nil
	case groupKey:
		return !r.scope[k.id] && r.groups[k.id] == nil
	}
	return false // references are looked through in their own stage
}

// summary closes the books. The caller holds mu.
func (r *run) summary() Summary {
	s, m := r.sum, &r.meter
	s.Duration = time.Since(r.started)
	s.Escrowed = len(r.escrows)
	s.Quarantined = r.quarantine.reason != nil
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Requests, s.Retries, s.Throttled = m.requests, m.retries, m.throttled
	s.BytesSent, s.BytesReceived = m.sent, m.received
	s.P50, s.P99 = m.quantile(0.50), m.quantile(0.99)
	s.Failures = slices.Clone(s.Failures)
	return s
}

// OnDemand provisions one user, or one group with up to [OnDemandMembers] of its members, at once. It always speaks the
// legacy dialect, whatever the Tenant URL asks for, and returns the failure of the object as error.
// Source: Microsoft, "On-demand provisioning" and "Known issues ... SCIM 2.0 protocol compliance".
func (p *Provisioner) OnDemand(ctx context.Context, objectID string, members ...string) (Summary, error) {
	p.busy.Lock()
	defer p.busy.Unlock()
	r := p.newRun(legacy, true)
	err := r.demand(ctx, objectID, members)
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.summary(), err
}

func (r *run) demand(ctx context.Context, id string, members []string) error {
	if u := r.view.user[id]; u != nil {
		if len(members) > 0 {
			return fmt.Errorf("user %s has no members: %w", id, ErrState)
		}
		if err := r.syncUser(ctx, u); err != nil {
			return err
		}
		return r.syncManager(ctx, u)
	}
	g := r.view.group[id]
	if g == nil {
		return fmt.Errorf("object %s: %w", id, ErrNotFound)
	}
	if !r.scope[id] {
		return fmt.Errorf("group %s is not in scope: %w", id, ErrState)
	}
	if len(members) > OnDemandMembers {
		return fmt.Errorf("%d members, at most %d go on demand", len(members), OnDemandMembers)
	}
	for _, m := range members {
		if !slices.Contains(g.Members, m) {
			return fmt.Errorf("member %s of group %s: %w", m, id, ErrNotFound)
		}
		if u := r.view.user[m]; u != nil {
			if err := r.syncUser(ctx, u); err != nil {
				return err
			}
		}
	}
	if err := r.syncGroup(ctx, g); err != nil {
		return err
	}
	for _, b := range r.memberBatches(g, make(map[key]bool)) {
		b.objects = slices.DeleteFunc(b.objects, func(id string) bool { return !slices.Contains(members, id) })
		if b.remove || len(b.objects) == 0 {
			continue
		}
		if err := r.patchMembers(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// each calls do for 0 to n-1 with the job's concurrency, until the first error.
func (r *run) each(ctx context.Context, stage string, n int, do func(context.Context, int) error) error {
	if n == 0 {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tick := r.stage(stage, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(r.o.Concurrency, n) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
					return
				}
				tick()
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// stage starts progress reports for n things and returns what to call after each.
func (r *run) stage(name string, n int) func() {
	start, done := time.Now(), 0
	var mu sync.Mutex
	report := func() {
		if r.o.Progress != nil {
			rate := float64(done) / max(time.Since(start).Seconds(), 1e-6)
			r.o.Progress(Progress{Stage: name, Done: done, Total: n, Rate: rate, Elapsed: time.Since(start)})
		}
	}
	report()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		report()
	}
}

// waits reports whether a key is in escrow and not yet due. The caller holds mu.
func (r *run) waits(k key, rev uint64) bool {
	e, held := r.escrows[k]
	return held && r.cycles < e.due && rev <= e.rev && !r.onDemand
}

// settle books the outcome for one object or the references of one PATCH. It returns an error only when the whole run
// has to end.
func (r *run) settle(keys []key, rev uint64, object string, err error) error {
	e, failed := errors.AsType[*Error](err)
	if err != nil && !failed {
		return err
	}
	if failed {
		r.o.Logf("failed %s: %v", object, e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events++
	if !failed {
		r.silent = 0
		for _, k := range keys {
			delete(r.escrows, k)
		}
		return nil
	}
	r.sum.Failed++
	if len(r.sum.Failures) < maxFailures {
		r.sum.Failures = append(r.sum.Failures, Failure{Object: object, Err: e})
	}
	if r.onDemand {
		return err
	}
	for _, k := range keys {
		x := r.escrows[k]
		x.failures++
		x.due = r.cycles + min(1<<min(x.failures-1, 30), maxEscrowDelay)
		x.rev = rev
		r.escrows[k] = x
	}
	if keys[0].kind == userKey || keys[0].kind == groupKey {
		r.objects++
	} else {
		r.refs++
	}
	if r.silent++; e.Code != Timeout && e.Code != ConnectionLost {
		r.silent = 0
	}
	r.meter.mu.Lock()
	succeeded := r.meter.succeeded
	r.meter.mu.Unlock()
	failures := r.objects + r.refs
	switch {
	case e.Code == Unauthorized, e.Code == InsufficientRights && !succeeded:
		// A 403 beside successes is about one object; on its own it is about the credentials.
		return r.enterQuarantine(e)
	case r.silent >= silentLimit:
		return fmt.Errorf("%w: %w", ErrUnreachable, e)
	// Microsoft, "Application provisioning in quarantine status".
	case failures >= r.o.QuarantineFailures && failures*10 > r.events*4, r.objects > 40_000, failures > 60_000:
		return r.enterQuarantine(e)
	}
	return nil
}

// enterQuarantine notes the reason and when to try next: after 6, 12, 24, 24 ... hours. The caller holds mu.
func (r *run) enterQuarantine(cause error) error {
	q, now := &r.quarantine, r.o.Now()
	if q.reason == nil {
		q.since = now
	}
	q.tries++
	q.next = now.Add(min(6*time.Hour<<min(q.tries-1, 2), 24*time.Hour))
	q.reason = cause
	return fmt.Errorf("%w: %w", ErrQuarantine, cause)
}

func (r *run) count(n *int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n++
}
